"""The desk itself answers late."""

from collections.abc import Iterator

from alerts.sight import Sight, late_by
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    lag = late_by(sight)
    if lag is not None:
        yield Finding(
            rule="loop_lag",
            component=Component.PROCESS,
            severity=Severity.WARNING,
            what=f"desk late by {lag / 1000:.1f} s within the last minute",
            meaning="Prices, orders and this page came so much later than they could have",
            act="Close pages and programs that keep this machine busy",
        )
