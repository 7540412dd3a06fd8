"""The only event mechanism: a fact is told to its subscribers, most urgent first."""

import bisect
import logging
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Priority(IntEnum):
    CRITICAL = 0  # paper fills, risk stops
    HIGH = 1  # positions, P&L
    NORMAL = 2  # storage, candles, chains
    LOW = 3  # analytics


class Signal(Generic[T]):
    """Facts of one kind. It belongs to the thread that made it and refuses all others.

    A fact cannot fail: a subscriber that raises is logged and counted, the rest still hear.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0
        self._thread = threading.get_ident()
        self._subscribers: list[tuple[Priority, int, Callable[[T], None]]] = []
        self._serial = 0
        self._called: tuple[Callable[[T], None], ...] = ()

    def subscribe(
        self, subscriber: Callable[[T], None], *, priority: Priority = Priority.NORMAL
    ) -> Callable[[], None]:
        """Return the undo. Equal priorities hear in the order of subscription."""
        self._serial += 1
        entry = (priority, self._serial, subscriber)
        bisect.insort(self._subscribers, entry, key=lambda e: e[:2])
        self._refresh()

        def undo() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)
                self._refresh()

        return undo

    def emit(self, fact: T) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"{self.name} was emitted on a foreign thread")
        for subscriber in self._called:
            try:
                subscriber(fact)
            except Exception:
                self.failures += 1
                log.exception("a subscriber of %s failed", self.name)

    def __len__(self) -> int:
        return len(self._called)

    def _refresh(self) -> None:
        self._called = tuple(entry[2] for entry in self._subscribers)
