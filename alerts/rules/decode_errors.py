"""Frames of a feed that cannot be read."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import count
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    for feed in (sight.market, *sight.streams):
        if feed.due and feed.decode_errors >= sight.limits.decode_errors:
            market = feed is sight.market
            yield Finding(
                rule="decode_errors",
                component=Component.MARKET_FEED if market else Component.PORTFOLIO,
                severity=Severity.WARNING,
                what=f"{feed.stats.feed} feed: {count(feed.decode_errors, 'unreadable frame')}",
                meaning="Within a minute: prices may be missing without being old"
                if market
                else "Within a minute: a fill may be seen only when the books are read",
                act="Compare with the broker's own app; if it goes on, reconnect the feed",
                about="" if market else feed.account,
            )
