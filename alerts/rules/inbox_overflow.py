"""Prices came faster than the desk could take them, and some were dropped."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    for feed in (sight.market, *sight.streams):
        if feed.due and feed.dropped > 0:
            market = feed is sight.market
            yield Finding(
                rule="inbox_overflow",
                component=Component.MARKET_FEED if market else Component.PORTFOLIO,
                severity=Severity.WARNING,
                what=f"{feed.stats.feed} feed: {feed.dropped:,} updates dropped within a minute",
                meaning="What is shown is the latest; what was in between is lost for good",
                act="Close pages and programs that keep this machine busy",
                about="" if market else feed.account,
                at_once=True,
            )
