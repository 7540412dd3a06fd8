"""A feed or the broker's REST was away for too much of the last hour of market time."""

from collections.abc import Iterator

from alerts.minutes import STRIP, Past
from alerts.sight import Sight
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True
JUDGED = (Component.MARKET_FEED, Component.PORTFOLIO, Component.REST)
WHOLE_HOUR = (STRIP - 5) * 60.0  # seconds judged; with less nothing is said


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market_open:
        return
    for past in sight.past:
        if past.component not in JUDGED or past.judged < WHOLE_HOUR:
            continue
        percent = 100 * past.up / past.judged
        if percent < sight.limits.uptime_percent:
            yield _finding(past, percent)


def _finding(past: Past, percent: float) -> Finding:
    of = f" of {past.about}" if past.about else ""
    return Finding(
        rule="low_uptime",
        component=past.component,
        severity=Severity.WARNING,
        what=f"{past.component}{of} up for only {percent:.1f} % of the last hour",
        meaning="What you see may be old again at any moment",
        act="Trade smaller, or wait until it is steady; Incidents tell why",
        about=past.about if past.component is not Component.REST else str(past.component),
    )
