"""A feed's side on the loop: it owns the connection, and tells there what the thread has seen."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

from feeds.connection import Connection, Counters, Reader, Timing
from feeds.inbox import CAPACITY, Inbox
from trading.clock import Clock
from trading.model import Batch
from trading.ports import FeedChange, FeedState, FeedStats
from trading.signal import Signal

NO_GENERATION: Final = -1


class Listener(Reader, Protocol):
    """A reader that sends what it understands through an inbox."""

    inbox: Inbox
    generation: int  # of the last socket


class Stream:
    """Begins and ends connections, of which there is one at a time; belongs to the loop.

    `authorise`, `token_mark` and `probe` are called on the connection's thread. `changes` is told
    on the loop, in order with what the listener sends.
    """

    def __init__(
        self,
        name: str,
        listener: Listener,
        clock: Clock,
        *,
        authorise: Callable[[], str],
        token_mark: Callable[[], str],
        probe: Callable[[], bool],
        deliver: Callable[[Batch], None],
        is_mock: bool,
        timing: Timing,
        jitter: random.Random,
        capacity: int = CAPACITY,
        opened: str = "connected, no price yet",
        expected: bool = False,
    ) -> None:
        self.name = name
        self.changes: Signal[FeedChange] = Signal(f"{name} feed")
        self._listener = listener
        self._clock = clock
        self._authorise = authorise
        self._token_mark = token_mark
        self._probe = probe
        self._deliver = deliver
        self._is_mock = is_mock
        self._timing = timing
        self._jitter = jitter
        self._capacity = capacity
        self._opened = opened
        self._expected = expected
        self._connection: Connection | None = None
        self._inbox: Inbox | None = None
        self._open = NO_GENERATION  # the connection whose opening was told last, if none since

    def start(self) -> None:
        """Begin to connect; must be called on the loop that is to hear."""
        if self._connection is not None:
            return
        inbox = Inbox(asyncio.get_running_loop(), self._deliver, capacity=self._capacity)

        def changed(before: FeedState, after: FeedState, reason: str) -> None:
            generation = connection.generation
            inbox.tell(lambda: self._announce(before, after, reason, generation))

        self._inbox = self._listener.inbox = inbox
        connection = self._connection = Connection(
            self.name,
            self._listener,
            authorise=self._authorise,
            token_mark=self._token_mark,
            probe=self._probe,
            changed=changed,
            timing=self._timing,
            jitter=self._jitter,
            generation=self._listener.generation,
            opened=self._opened,
        )
        connection.expect(self._expected)
        connection.start()

    def stop(self) -> None:
        """End the connection and deliver what it had received: nothing heard is lost."""
        if self._connection is not None and self._inbox is not None:
            self._connection.stop()
            self._connection = None
            self._inbox.deliver_rest()

    def wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    def expect(self, expected: bool) -> None:
        self._expected = expected
        if self._connection is not None:
            self._connection.expect(expected)

    def reconnect(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.reconnect(reason)

    def confirm(self, reason: str) -> None:
        """Call the connection LIVE whose opening was the last change told; none if it is gone."""
        if self._connection is not None and self._open != NO_GENERATION:
            self._connection.confirm(self._open, reason)

    def stats(self) -> FeedStats:
        """Return what the connection knows; while its counters move they may be a frame apart."""
        now = time.monotonic()
        connection = self._connection
        counters = connection.counters if connection else Counters()
        changed = connection.changed_at if connection else now
        return FeedStats(
            feed=self.name,
            state=connection.state if connection else FeedState.STOPPED,
            since=self._clock.now() - timedelta(seconds=(now - changed) * self._clock.rate),
            reason=connection.reason if connection else "",
            is_mock=self._is_mock,
            frames=counters.frames,
            bytes=counters.bytes,
            frame_age=_since(counters.frame_at, now),
            tick_age=_since(counters.price_at, now),
            connections=counters.connections,
            reconnects=max(0, counters.connections - 1),
            attempt=counters.attempt,
            next_attempt_in=_until(counters.next_attempt_at, now),
            authorisations=counters.authorisations,
            text_frames=counters.text_frames,
            dropped=self._inbox.dropped if self._inbox else 0,
        )

    def _announce(self, before: FeedState, after: FeedState, reason: str, generation: int) -> None:
        self._open = generation if after is FeedState.OPEN else NO_GENERATION
        self.changes.emit(FeedChange(self.name, before, after, reason, self._clock.now()))


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, now - moment)


def _until(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, moment - now)
