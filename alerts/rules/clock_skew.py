"""This machine's clock against the exchange's."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    skew = sight.market.stats.clock_skew
    if skew is None or not abs(skew) > sight.limits.skew_warning:  # of NaN neither holds
        return
    grave = abs(skew) > sight.limits.skew_critical
    yield Finding(
        rule="clock_skew",
        component=Component.CLOCK,
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        what=f"clock {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the exchange's",
        meaning="Times of fills and of the session are wrong by that; ages of prices are right",
        act="Synchronise this machine's clock, e.g. sudo chronyc makestep",
    )
