"""An order, a fill or a basket could not be written: not for lack of a disk, but as it is."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import count
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    """Find it until the desk is started again: what the disk lacks is not mended by waiting."""
    if sight.storage.left_out > 0:
        yield Finding(
            rule="record_incomplete",
            component=Component.STORAGE,
            severity=Severity.WARNING,
            what=f"{count(sight.storage.left_out, 'fact')} of orders or baskets not on disk",
            meaning="Shown now, but gone after a restart, and maybe no message was sent of it",
            act="Note open orders and baskets before you restart; the log says which it is",
            at_once=True,
        )
