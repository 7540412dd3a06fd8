"""From a socket's thread to the loop: in order, one wake-up a batch, bounded, drops counted."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from trading.model import Batch

log = logging.getLogger(__name__)

CAPACITY: Final = 20_000  # ticks, some 20 MB; four seconds of the busiest desk we measured
SLICE: Final = 2_000  # ticks delivered before the loop gets a turn, about 5 ms


class Inbox:
    """Carries ticks, of which the oldest are dropped when full, and events, which never are.

    `put` and `tell` belong to the socket's thread, `deliver` and the events run on the loop. When
    the loop is closed nothing is delivered any more, and nothing is raised.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Batch], None],
        *,
        capacity: int = CAPACITY,
    ) -> None:
        self.dropped = 0  # ticks
        self._loop = loop
        self._deliver = deliver
        self._capacity = capacity
        self._items: deque[Batch | Callable[[], None]] = deque()
        self._held = 0  # ticks in `_items`
        self._waking = False
        self._lock = threading.Lock()

    def put(self, batch: Batch) -> None:
        with self._lock:
            self._items.append(batch)
            self._held += len(batch.ticks)
            if self._held > self._capacity:
                self._make_room()
        self._wake()

    def tell(self, event: Callable[[], None]) -> None:
        """Have the loop call this, after everything that was put before it."""
        with self._lock:
            self._items.append(event)
        self._wake()

    def _make_room(self) -> None:
        kept: list[Callable[[], None]] = []
        while self._held > self._capacity and self._items:
            item = self._items.popleft()
            if isinstance(item, Batch):
                self._held -= len(item.ticks)
                self.dropped += len(item.ticks)
            else:
                kept.append(item)
        self._items.extendleft(reversed(kept))

    def _wake(self) -> None:
        if self._waking:
            return
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: the desk is stopping
            with self._lock:
                self._items.clear()
                self._held = 0

    def deliver_rest(self) -> None:
        """Deliver what is still held; for the loop's thread, when the feed has been stopped."""
        while (item := self._next()) is not None:
            self._hand_over(item)

    def _drain(self) -> None:
        self._waking = False  # first, so that an item put during delivery wakes us again
        delivered = 0
        while delivered < SLICE:
            item = self._next()
            if item is None:
                return
            delivered += len(item.ticks) if isinstance(item, Batch) else 1
            self._hand_over(item)
        self._wake()

    def _next(self) -> Batch | Callable[[], None] | None:
        with self._lock:
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, Batch):
                self._held -= len(item.ticks)
            return item

    def _hand_over(self, item: Batch | Callable[[], None]) -> None:
        try:
            if isinstance(item, Batch):
                self._deliver(item)
            else:
                item()
        except Exception:
            log.exception("what came from a feed could not be taken")
