"""Once a second: whose books must be read now, and is what we know of an account confirmed?"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from trading.broker import PortfolioFeed
from trading.clock import Clock
from trading.errors import RateLimited, Refused, VigilError
from trading.order import OrderRequest
from trading.orders import OrderManager
from trading.ports import FeedChange, FeedState
from trading.signal import Signal

log = logging.getLogger(__name__)

HINT_EVERY: Final = 2.0  # seconds; a webhook is a hint, and a flood of them is one hint
IN_HAND: Final = 20  # readings that may come at once before the rhythm of `working` holds them back


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two readings of an account's books, by what there is to watch.

    Whatever happens (books that differ for ever, a stream that flaps, postbacks), no more than one
    in `working` seconds is done in the long run: the broker allows 2,000 calls in half an hour, and
    a reading is three of them.
    """

    working: float = 10.0  # an order can still change, or the stream is not live
    open: float = 30.0  # a position is open
    idle: float = 60.0
    differs: float = 2.0  # the broker's positions are not ours: look again before believing it
    failed: float = 2.0  # doubled with each failure, up to `working`
    refused: float = 30.0


class Exposure(Protocol):
    """What the cycle asks of the position book."""

    def is_open(self, account: str) -> bool: ...

    def differs(self, account: str) -> bool: ...


@dataclass(slots=True)
class _Reading:
    """One account's state in the rhythm; times are monotonic."""

    begun: float | None = None  # of the last that succeeded
    tried: float | None = None  # the beginning of the last
    in_hand: float = IN_HAND
    due: float = 0.0
    why: str = "start"
    failures: int = 0
    running: bool = False
    opened: float = 0.0  # when the present connection of the stream opened


class MonitoringCycle:
    """Reads each account's books at start, after every reconnect, on a hint and in a rhythm.

    A stream is live only when everything that happened before it opened has been read: its
    feed is told `caught_up` after a reading that began after the opening (fault O04).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        orders: OrderManager,
        exposure: Exposure,
        accounts: Sequence[str],
        feeds: Mapping[str, PortfolioFeed],
        rhythm: Rhythm | None = None,
    ) -> None:
        self.ready_changed: Signal[str] = Signal("books read")
        self._clock = clock
        self._orders = orders
        self._exposure = exposure
        self._feeds = feeds
        self._rhythm = rhythm or Rhythm()
        self._readings = {account: _Reading() for account in accounts}
        self._tasks: set[asyncio.Task[None]] = set()
        for account, feed in feeds.items():
            feed.changes.subscribe(self._follower(account))

    async def look(self) -> None:
        now = self._clock.monotonic()
        for account, reading in self._readings.items():
            if not reading.running and (why := self._why(account, reading, now)):
                self._begin(account, reading, why)

    def confirmed_age(self, account: str) -> float | None:
        """Return seconds since the books were read, None if they never were."""
        begun = self._readings[account].begun
        return None if begun is None else self._clock.monotonic() - begun

    def hint(self, account: str) -> None:
        """Somebody unproven says that something happened: read, but not more often than that."""
        reading, now = self._readings[account], self._clock.monotonic()
        if reading.failures:  # it is being tried as often as is good for the broker
            return
        due = now if reading.tried is None else max(now, reading.tried + HINT_EVERY)
        if due < reading.due:
            reading.due, reading.why = due, "a hint"

    def reason(self, request: OrderRequest) -> str:
        """A rule for the gate: nothing new before it is known what there is."""
        if self._readings[request.account].begun is None:
            return (
                f"the books of account {request.account} have not been read yet: "
                "entries wait until it is known what is open"
            )
        return ""

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _why(self, account: str, reading: _Reading, now: float) -> str:
        if reading.failures or reading.begun is None:
            return reading.why if now >= reading.due else ""
        if now >= reading.due:
            return reading.why
        pace, why = self._pace(account)
        return why if now - reading.begun >= pace else ""

    def _pace(self, account: str) -> tuple[float, str]:
        rhythm = self._rhythm
        feed = self._feeds.get(account)
        if self._exposure.differs(account):
            return rhythm.differs, "the books differ"
        if account in self._orders.book.unpriced:
            return rhythm.differs, "a fill has no price yet"
        if feed is not None and feed.stats().state is not FeedState.LIVE:
            return rhythm.working, "the stream is not live"
        if self._orders.working(account):
            return rhythm.working, "an order is working"
        if self._exposure.is_open(account):
            return rhythm.open, "a position is open"
        return rhythm.idle, "rhythm"

    def _begin(self, account: str, reading: _Reading, why: str) -> None:
        """Read, unless too many readings came lately: then it stays due."""
        now, pace = self._clock.monotonic(), self._rhythm.working
        since = 0.0 if reading.tried is None else now - reading.tried
        in_hand = min(IN_HAND, reading.in_hand + since / pace)
        if in_hand < 1.0:
            return
        reading.in_hand, reading.tried = in_hand - 1.0, now
        reading.running, reading.due = True, float("inf")
        self._spawn(self._read(account, reading, why, now))

    async def _read(self, account: str, reading: _Reading, why: str, begun: float) -> None:
        try:
            await self._orders.reconcile(account, why=why)
        except VigilError as error:
            self._failed(reading, error)
            return
        except Exception as error:  # a book that we cannot digest must be read again all the same
            log.exception("the books of %s were read and not understood", account)
            self._failed(reading, error)
            return
        finally:
            reading.running = False
        first = reading.begun is None
        reading.begun, reading.failures, reading.why = begun, 0, "rhythm"
        feed = self._feeds.get(account)
        if feed is not None and begun >= reading.opened and feed.stats().state is FeedState.OPEN:
            feed.caught_up()
        if first:
            self.ready_changed.emit(account)

    def _failed(self, reading: _Reading, error: Exception) -> None:
        rhythm = self._rhythm
        reading.failures += 1
        doublings = min(reading.failures - 1, 10)  # of a weekend without a token no float is left
        pause = min(rhythm.working, rhythm.failed * 2.0**doublings)
        pause = rhythm.refused if isinstance(error, Refused) else pause
        pause = max(pause, error.retry_after) if isinstance(error, RateLimited) else pause
        reading.due = min(reading.due, self._clock.monotonic() + pause)
        reading.why = "again, after a failure"

    def _follower(self, account: str) -> Callable[[FeedChange], None]:
        def follow(change: FeedChange) -> None:
            if change.after is FeedState.OPEN:
                reading = self._readings[account]
                now = self._clock.monotonic()
                reading.opened = reading.due = now
                reading.why = "the stream has connected"
                if not reading.running:
                    self._begin(account, reading, reading.why)

        return follow

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a reading of the books ended", exc_info=error)
