"""The exchange's own time: the real one, or a day of the past that runs at any speed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class ExchangeClock:
    """Owns the time that the exchange's session, stamps and token expiry run on.

    Without a start and at speed 1 it is the wall time. Otherwise it is the start plus `speed`
    times the monotonic seconds since, so that a step of the wall clock cannot move it.
    """

    def __init__(
        self,
        start: datetime | None = None,
        speed: float = 1.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(f"exchange clock: the start {start} has no time zone")
        if not 0 < speed <= 100_000:
            raise ValueError(f"exchange clock: the speed must be above 0, not {speed}")
        self._speed = speed
        self._start = start.astimezone(UTC) if start is not None else None
        self._monotonic = monotonic
        self._wall = wall
        self._origin = self._start if speed == 1.0 or self._start else wall()
        self._since = monotonic()

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def start(self) -> datetime | None:
        """The moment it was started at, or None if it began at the wall time."""
        return self._start

    def now(self) -> datetime:
        """Return the exchange's time, aware UTC."""
        if self._origin is None:
            return self._wall()
        return self._origin + timedelta(seconds=(self._monotonic() - self._since) * self._speed)

    def now_ms(self) -> int:
        """Return the exchange's time in epoch milliseconds."""
        return int(self.now().timestamp() * 1000)

    def set(self, to: datetime) -> None:
        """Jump, forwards or back, and run on from there; for example past the 03:30 expiry."""
        if to.tzinfo is None:
            raise ValueError(f"exchange clock: {to} has no time zone")
        self._origin = to.astimezone(UTC)
        self._since = self._monotonic()


class ManualExchangeClock(ExchangeClock):
    """An exchange clock that stands still until a test moves it."""

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        self._elapsed = 0.0
        super().__init__(start, speed, monotonic=lambda: self._elapsed)
        self.set(start)

    def advance(self, seconds: float) -> None:
        """Let so many seconds of the exchange's time pass."""
        self._elapsed += seconds / self.speed
