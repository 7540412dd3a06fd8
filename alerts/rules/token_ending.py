"""An account's token ends soon, and one of our markets is open then."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import clock, duration
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    for ending in sight.endings:
        left = (ending.at - sight.now).total_seconds()
        if ending.market_open and 0 < left <= sight.limits.token_minutes * 60:
            yield Finding(
                rule="token_ending",
                component=Component.REST,
                severity=Severity.WARNING,
                what=f"token ends in {duration(left)}: {ending.account}",
                meaning=f"From {clock(ending.at)} IST no price and no order without a new one",
                act="Sign in to the broker and put the new token in its place",
                about=ending.account,
            )
