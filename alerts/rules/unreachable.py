"""Nothing of the broker answers, neither feeds nor REST: very likely it is our own network."""

from collections.abc import Iterator

from alerts.sight import Sight, rest_sum
from trading.health import Component, Finding, Severity
from trading.ports import FeedState

OPEN_MARKET_ONLY = True
TRYING = (FeedState.BACKING_OFF, FeedState.CONNECTING)


def check(sight: Sight) -> Iterator[Finding]:
    feeds = [sight.market, *sight.streams]
    if not sight.market.due or any(f.stats.state not in TRYING or f.refusal for f in feeds):
        return
    rest = rest_sum(sight.rest.values())
    if rest.last_failure_age is None:
        return
    if rest.last_success_age is not None and rest.last_success_age <= rest.last_failure_age:
        return
    yield Finding(
        rule="unreachable",
        component=Component.MARKET_FEED,
        severity=Severity.CRITICAL if sight.exposed else Severity.WARNING,
        what=f"nothing reaches the broker: {rest.last_error or sight.market.stats.reason}",
        meaning=f"No prices, no orders, and nobody knows what has been filled; {sight.stake}",
        act="Look at this machine's network; the broker's own app on a phone shows your positions",
        lasted=sight.market.silence,
    )
