"""What is to be recorded waits for the disk, or did not find room in the queue."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import duration
from trading.health import Component, Finding, Severity

DROPPED = "dropped"


def check(sight: Sight) -> Iterator[Finding]:
    storage = sight.storage
    if storage.lag > sight.limits.storage_lag:
        yield Finding(
            rule="storage_behind",
            component=Component.STORAGE,
            severity=Severity.WARNING,
            what=f"disk behind by {duration(storage.lag)}",
            meaning=f"{storage.queued:,} rows are in memory only; orders are written before them",
            act="Look what else writes to this disk",
        )
    if sight.storage_dropped > 0:
        yield Finding(
            rule="storage_behind",
            component=Component.STORAGE,
            severity=Severity.WARNING,
            what=f"{sight.storage_dropped:,} prices not recorded within a minute",
            meaning="The day's record has a hole. Orders, fills and prices on screen are not hit",
            act="Look what else writes to this disk, and whether it has room",
            about=DROPPED,
            at_once=True,
        )
