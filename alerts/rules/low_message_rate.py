"""A feed that lives, and tells far less than it did for as many instruments."""

from collections.abc import Iterator

from alerts.minutes import Past
from alerts.sight import Sight
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True
WORTH_IT = 1.0  # messages a second; below it chance decides


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market.due or not sight.market.connected:
        return
    for past in sight.past:
        if past.component is Component.MARKET_FEED:
            yield from _judged(past, sight.limits.message_rate)


def _judged(past: Past, share: float) -> Iterator[Finding]:
    if past.rate is None or past.usual is None or past.usual < WORTH_IT:
        return
    if past.rate < share * past.usual:
        yield Finding(
            rule="low_message_rate",
            component=Component.MARKET_FEED,
            severity=Severity.WARNING,
            what=f"market feed slow: {past.rate:.1f} prices a second, usually {past.usual:.0f}",
            meaning="Some prices may be older than they look, though others come",
            act="Compare a few with the broker's own app before you trade on them",
        )
