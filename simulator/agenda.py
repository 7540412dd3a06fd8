"""What the broker does later: in order of time, and kept while the exchange's loop is down."""

import asyncio
import heapq
import time
from collections.abc import Callable


class Agenda:
    """A list of things to do, run by the loop that it is attached to, or by `run`.

    Unlike the loop's own timers it survives a restart of the exchange: orders on their way then
    go on. Things due at the same moment are done in the order in which they were asked for.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self._monotonic()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Do this at a moment in seconds of the monotonic time."""
        self._asked += 1
        heapq.heappush(self._due, (moment, self._asked, act))
        if self._due[0][1] == self._asked:
            self._arm()

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Have this loop run what is due, or none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = loop
        self._arm()

    def run(self) -> None:
        """Do all that is due by now, also what that brings with it."""
        try:
            while self._due and self._due[0][0] <= self._monotonic():
                heapq.heappop(self._due)[2]()
        finally:
            self._arm()

    @property
    def empty(self) -> bool:
        return not self._due

    @property
    def next_at(self) -> float:
        """Return the moment of the next thing, infinity if there is none."""
        return self._due[0][0] if self._due else float("inf")

    def _arm(self) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            wait = max(0.0, self._due[0][0] - self._monotonic())
            self._timer = self._loop.call_later(wait, self.run)
