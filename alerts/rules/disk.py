"""The database cannot be written to, or soon will not be."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity

WELL = "ok"
PASSES = "locked"  # by another program
STUCK = 2  # times the limit of the disk's lag
MIB = 1 << 20


def check(sight: Sight) -> Iterator[Finding]:
    storage, free = sight.storage, sight.disk_free
    if storage.state != WELL:
        because = f", {storage.reason}" if storage.reason else ""
        yield Finding(
            rule="disk",
            component=Component.STORAGE,
            severity=severity(sight),
            what=f"database {storage.state}{because}",
            meaning=_meaning(storage.state),
            act=_act(storage.state),
        )
    elif free is not None and free < sight.limits.disk_free_mb * MIB:
        yield Finding(
            rule="disk",
            component=Component.STORAGE,
            severity=Severity.WARNING,
            what=f"{free // MIB:,} MB left on the disk",
            meaning="When it is full, prices are not recorded and new entries are refused",
            act="Make room on the disk of the database",
            about="room",
        )


def severity(sight: Sight) -> Severity:
    """Return how grave it is: a lock passes; one that does not leaves positions that cannot be
    closed from here.
    """
    stuck = sight.exposed and sight.storage.lag >= STUCK * sight.limits.storage_lag
    return Severity.CRITICAL if sight.storage.state != PASSES or stuck else Severity.WARNING


def _meaning(state: str) -> str:
    if state == PASSES:
        return "No order is sent meanwhile, exits neither: none that cannot be remembered is"
    return "New entries are refused, exits pass; what happens now may not be remembered"


def _act(state: str) -> str:
    return {
        PASSES: "Close the program that has the database open. To get out now: the broker's app",
        "disk full": "Make room on the disk; it goes on by itself",
    }.get(state, "Look at the disk and the log, then restart the desk")
