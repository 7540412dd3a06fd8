"""Too many of the broker's answers, or of a feed's frames, are errors."""

from collections.abc import Iterator

from alerts.minutes import Past
from alerts.sight import Sight
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True
ENOUGH = 20  # calls or messages within five minutes; with fewer, one error would be many
JUDGED = {Component.REST: "calls to the broker", Component.MARKET_FEED: "messages of the feed"}


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market_open:
        return
    for past in sight.past:
        if past.component in JUDGED and past.messages >= ENOUGH:
            percent = 100 * past.errors / past.messages
            if percent > sight.limits.error_percent:
                yield _finding(past, percent)


def _finding(past: Past, percent: float) -> Finding:
    rest = past.component is Component.REST
    return Finding(
        rule="high_error_rate",
        component=past.component,
        severity=Severity.WARNING,
        what=f"{percent:.0f} % of {JUDGED[past.component]} fail",
        meaning="Orders and readings of the books may take several attempts"
        if rest
        else "Some prices are missing",
        act="Look at the broker's status page; send nothing in a hurry",
        about=str(past.component) if rest else "",
    )
