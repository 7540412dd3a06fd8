"""The desk itself answers late."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    lag = sight.vitals.loop_lag_max
    if lag is not None and lag > sight.limits.loop_lag_ms:
        yield Finding(
            rule="loop_lag",
            component=Component.PROCESS,
            severity=Severity.WARNING,
            what=f"desk late by {lag / 1000:.1f} s within the last minute",
            meaning="Prices, orders and this page came so much later than they could have",
            act="Close pages and programs that keep this machine busy",
        )
