"""Time as the desk sees it: a wall clock that may be the exchange's, and ages that never are."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the aware UTC wall time; on a simulated exchange, the exchange's time."""
        ...

    def monotonic(self) -> float:
        """Return real seconds that only grow; every age is a difference of these."""
        ...

    @property
    def rate(self) -> float:
        """Return how many seconds of wall time pass in one of those: 1, if nothing is simulated."""
        ...


class SystemClock:
    rate = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ExchangeTime:
    """The wall time of a simulated exchange; ages stay real seconds of this machine.

    A stalled feed is as dangerous at sixty times the speed, so speed never touches an age.
    """

    def __init__(
        self, now: Callable[[], datetime], rate: Callable[[], float] = lambda: 1.0
    ) -> None:
        self._now = now
        self._rate = rate

    @property
    def rate(self) -> float:
        return self._rate()

    def now(self) -> datetime:
        return self._now()

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when a test says so; wall time and monotonic time can be split."""

    rate = 1.0

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as an NTP step or a wake from sleep does."""
        self._now += timedelta(seconds=seconds)
