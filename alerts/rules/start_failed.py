"""The desk could not start."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    if sight.stage == "failed":
        yield Finding(
            rule="start_failed",
            component=Component.PROCESS,
            severity=Severity.CRITICAL,
            what=f"the desk could not start: {sight.stage_reason}",
            meaning="Nothing of what it shows is kept up to date, and it sends no orders",
            act="Look at the log and start it again; trade in the broker's own app until then",
            at_once=True,
        )
