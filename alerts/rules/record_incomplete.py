"""An order, a fill or a basket could not be written: not for lack of a disk, but as it is."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import count
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    if sight.storage_left_out > 0:
        what = count(sight.storage_left_out, "fact")
        yield Finding(
            rule="record_incomplete",
            component=Component.STORAGE,
            severity=Severity.WARNING,
            what=f"{what} of orders could not be written within a minute",
            meaning="On screen they are right; after a restart only the broker's book has them",
            act="Compare Orders and Positions with your broker; the log says which they are",
            at_once=True,
        )
