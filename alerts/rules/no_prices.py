"""The market feed is silent, or not connected, while a wanted market is open."""

from collections.abc import Iterator

from alerts.sight import FeedSight, Sight
from alerts.words import count, duration
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    feed = sight.market
    if not feed.due or feed.silence is None or feed.refusal is not None:
        return
    silent = feed.silence >= sight.limits.feed_silent
    if feed.connected and not silent:
        return
    grave = sight.exposed and feed.silence >= sight.limits.position_blind
    yield Finding(
        rule="no_prices",
        component=Component.MARKET_FEED,
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        what=_what(feed, silent=silent),
        meaning=_meaning(sight),
        act=f"Do not trade on the prices you see. Nothing else to do: {feed.attempts}",
        at_once=feed.stalled,
        lasted=feed.silence,
        instruments=tuple(held.instrument_key for held in sight.held if held.is_open),
    )


def _what(feed: FeedSight, *, silent: bool) -> str:
    if silent and feed.silence is not None:
        return f"market feed silent {duration(feed.silence)}"
    because = f": {feed.stats.reason}" if feed.stats.reason else ""
    return f"market feed disconnected{because}"


def _meaning(sight: Sight) -> str:
    held = [each for each in sight.held if each.is_open]
    if not held:
        known = sight.not_known if sight.unread else "no position is open in that market"
        return f"No new price comes in; {known}"
    blind = sum(each.blind is not None for each in held)
    if not blind:
        return f"{count(len(held), 'open position')}: prices are asked for one by one meanwhile"
    return f"{blind} of {count(len(held), 'open position')} without a price that may be believed"
