"""An account's stream of orders and positions is not live while a market is open."""

from collections.abc import Iterator

from alerts.sight import FeedSight, Sight
from trading.health import Component, Finding, Severity
from trading.ports import FeedState

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    for stream in sight.streams:
        down = stream.due and stream.stats.state is not FeedState.LIVE
        if down and stream.refusal is None:
            yield _finding(sight, stream)


def _finding(sight: Sight, stream: FeedSight) -> Finding:
    because = f", {stream.stats.reason}" if stream.stats.reason else ""
    return Finding(
        rule="stream_down",
        component=Component.PORTFOLIO,
        severity=Severity.CRITICAL if sight.exposed else Severity.WARNING,
        what=f"portfolio stream down: {stream.account}{because}",
        meaning=f"Fills are seen only when the books are read, every few seconds; {sight.stake}",
        act=f"Look twice before you send an order again. Nothing else to do: {stream.attempts}",
        about=stream.account,
    )
