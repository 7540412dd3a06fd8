"""The database cannot be written to, or soon will not be."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.health import Component, Finding, Severity

WELL = "ok"
PASSES = "locked"  # by another program
MIB = 1 << 20


def check(sight: Sight) -> Iterator[Finding]:
    storage, free = sight.storage, sight.disk_free
    if storage.state != WELL:
        because = f", {storage.reason}" if storage.reason else ""
        yield Finding(
            rule="disk",
            component=Component.STORAGE,
            severity=Severity.WARNING if storage.state == PASSES else Severity.CRITICAL,
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


def _meaning(state: str) -> str:
    if state == PASSES:
        return "Orders wait for it: one that cannot be remembered is not sent"
    return "New entries are refused, exits pass; what happens now may not be remembered"


def _act(state: str) -> str:
    return {
        PASSES: "Close the program that has the database open",
        "disk full": "Make room on the disk; it goes on by itself",
    }.get(state, "Look at the disk and the log, then restart the desk")
