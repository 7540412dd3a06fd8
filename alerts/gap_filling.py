"""Fetches minutes that the desk did not watch: those of a gap, and those from before it began."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from alerts.words import count
from trading.candles import MINUTE
from trading.desk import Desk
from trading.errors import BadRequest, RateLimited, VigilError
from trading.health_ports import GapLedger
from trading.hours import IST, Phase, TradingHours
from trading.model import Candle, Gap, segment_of
from trading.ports import CandleSource, CandleStore, FeedChange, FeedState
from trading.signal import Signal
from trading.subscriptions import Wanted

log = logging.getLogger(__name__)

MOST: Final = 200  # instruments of one gap
MOST_A_DAY: Final = 500  # instruments that are caught up with
AT_ONCE: Final = 25  # of those in one run
BETWEEN: Final = 0.25  # seconds between two calls: four a second of the broker's fifty
SETTLED: Final = 5_000  # ms after a minute's end until the broker's candle of it is final
TRIES: Final = 5  # of one gap
RETRY: Final = 30.0  # seconds
SAME: Final = 300.0  # seconds within which an instrument is not fetched twice for its past

CLOSED_THEN: Final = "nothing to fill: the market was closed"


@dataclass(slots=True)
class _Yield:
    """What the fetching of a gap has brought so far."""

    candles: int = 0
    instruments: int = 0
    refused: int = 0
    reason: str = ""


def session_seconds(
    hours: TradingHours, segments: Iterable[str], start: datetime, end: datetime
) -> float:
    """Return for how many seconds between two moments any of the segments was open."""
    first, last = start.astimezone(IST).date() - timedelta(days=1), end.astimezone(IST).date()
    opened = [
        (session.start, session.end)
        for days in range((last - first).days + 1)  # one may reach past midnight
        for segment in set(segments)
        for session in hours.sessions(segment, first + timedelta(days=days))
        if session.phase is Phase.OPEN
    ]
    total, until = 0.0, start
    for begins, ends in sorted(opened):
        total += max(0.0, (min(ends, end) - max(begins, until)).total_seconds())
        until = max(until, min(ends, end))
    return total


def words(found: _Yield, asked: int) -> str:
    """Say what filled a gap, or why nothing did."""
    if not found.candles:
        return f"not filled: {found.reason or 'the broker has no candles of it'}"
    of = f" of {asked}" if found.instruments < asked else ""
    refused = f"; {count(found.refused, 'instrument')} refused: {found.reason}"
    said = f"1-minute candles of {found.instruments}{of} instruments"
    if asked == found.instruments == 1:
        said = "1-minute candles of 1 instrument"
    return said + (refused if found.refused else "")


class GapFilling:
    """Owns the fetching, one run at a time, held instruments first; the ledger is told of gaps.

    `look` is a job of every few seconds that only begins a run; whole minutes that we have seen
    ourselves are never replaced. `changed` names instruments whose past has become more.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        ledger: GapLedger,
        source: CandleSource,
        store: CandleStore,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.changed: Signal[frozenset[str]] = Signal("filled minutes")
        self._desk = desk
        self._ledger = ledger
        self._source = source
        self._store = store
        self._pause = pause
        self._task: asyncio.Task[None] | None = None
        self._may_have_gaps = True  # the ledger is asked at the start, and when the feed is back
        self._then: frozenset[str] = frozenset()  # wanted when the feed was lost
        self._tries: dict[int, int] = {}
        self._not_before = 0.0  # monotonic
        self._came: dict[str, datetime] = {}  # wanted instruments, since when
        self._new: dict[str, int] = {}  # of those, whose past is to be fetched, and from when (ms)
        self._fetched: dict[str, float] = {}  # monotonic
        self._day: tuple[date, int] = (date.min, 0)  # how many were caught up with on it
        self._undo = (
            desk.feed.changes.subscribe(self._on_feed),
            desk.subscriptions.changes.subscribe(self._on_wanted),
        )
        self._on_wanted(desk.subscriptions.wanted())

    async def look(self) -> None:
        """Begin a run if there may be something to fetch and none is under way."""
        idle = self._task is None or self._task.done()
        now = _ms(self._desk.clock.now())
        if idle and (self._may_have_gaps or any(due <= now for due in self._new.values())):
            self._task = asyncio.get_running_loop().create_task(self.run())

    def stop(self) -> None:
        for undo in self._undo:
            undo()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Fill the gaps that are over, then catch up with what was newly wanted."""
        if self._desk.clock.monotonic() < self._not_before:
            return
        try:
            if self._may_have_gaps:
                await self._fill_gaps()
            await self._catch_up()
        except VigilError as error:
            wait = max(RETRY, error.retry_after) if isinstance(error, RateLimited) else RETRY
            self._not_before = self._desk.clock.monotonic() + wait
            log.warning("minutes could not be fetched: %s; again in %.0f s", error, wait)
        except Exception:
            self._not_before = self._desk.clock.monotonic() + RETRY
            log.exception("minutes could not be fetched")

    # gaps

    async def _fill_gaps(self) -> None:
        self._may_have_gaps = False  # one that ends while others are being filled says so again
        try:
            for gap in await self._ledger.unfilled(self._desk.feed.name):
                if gap.end is None or not self._is_final(gap.end):
                    self._may_have_gaps = True
                else:
                    await self._fill(gap, gap.end)
        except BaseException:
            self._may_have_gaps = True
            raise

    def _is_final(self, end: datetime) -> bool:
        """Say whether the broker's candle of the gap's last minute will not change any more."""
        return _ms(self._desk.clock.now()) >= _minute(end) + MINUTE + SETTLED

    async def _fill(self, gap: Gap, end: datetime) -> None:
        keys = self._in_order(self._then | self._desk.subscriptions.wanted().modes.keys())
        segments = {segment_of(key) for key in keys}
        seconds = session_seconds(self._desk.hours, segments, gap.start, end)
        missed = None if gap.rate is None else round(gap.rate * seconds)
        if keys and not seconds:
            known = replace(gap, instruments=0, ticks_missed=0, filled=0, fill_words=CLOSED_THEN)
            await self._ledger.filled(known)
            return
        found = _Yield(reason="" if keys else "no instrument was wanted")
        self._tries[gap.number] = self._tries.get(gap.number, 0) + 1
        try:
            for key in keys[:MOST]:
                await self._fill_one(key, gap.start, end, found)
        except VigilError as error:
            if self._tries[gap.number] < TRIES:
                raise
            found.reason = str(error)
        known = replace(gap, instruments=len(keys), ticks_missed=missed, filled=found.candles)
        known = replace(known, fill_words=words(found, min(len(keys), MOST)))
        await self._ledger.filled(known)
        self._tries.pop(gap.number, None)
        log.info("gap %d of %s: %s", gap.number, gap.feed, known.fill_words)

    async def _fill_one(self, key: str, start: datetime, end: datetime, found: _Yield) -> None:
        try:
            candles = await self._fetch(key, start.astimezone(IST).date(), end)
            lost = [c for c in candles if _minute(start) <= c.start <= _minute(end)]
            await self._keep(key, candles if key in self._new else lost)
        except BadRequest as error:  # one that has expired, say; the others are still asked for
            found.refused += 1
            found.reason = str(error)
            return
        self._new.pop(key, None)
        found.candles += len(lost)
        found.instruments += bool(lost)

    # what was newly wanted

    async def _catch_up(self) -> None:
        now = self._desk.clock.now()
        today = now.astimezone(IST).date()
        if self._day[0] != today:
            self._day = (today, 0)
        due = [key for key, at in self._new.items() if at <= _ms(now)]
        for key in self._in_order(due)[:AT_ONCE]:
            asked = self._new.pop(key, None)  # none if it was left while another was fetched
            if asked is None or key not in self._came:
                continue
            again = asked > 0
            if not again and not self._has_a_past(key, today):
                continue
            self._day = (today, self._day[1] + 1)
            try:
                await self._keep(key, await self._fetch(key, today, now))
            except BadRequest as error:
                log.info("%s has no minutes of today: %s", key, error)
            except VigilError:
                self._new[key] = _ms(now) if again else 0
                raise
            self._fetched[key] = self._desk.clock.monotonic()
            came = self._came.get(key)  # none if its last holder left while it was fetched
            if came is not None and not again and not self._is_final(came):
                # the minute in which it came was watched in part, and is not over yet
                self._new[key] = _minute(came) + MINUTE + SETTLED

    def _has_a_past(self, key: str, today: date) -> bool:
        """Say whether its session had begun before it was wanted, and nobody fetched that yet."""
        fetched = self._fetched.get(key)
        if fetched is not None and self._desk.clock.monotonic() - fetched < SAME:
            return False
        if self._day[1] >= MOST_A_DAY:
            return False
        sessions = self._desk.hours.sessions(segment_of(key), today)
        return any(s.phase is Phase.OPEN and s.start < self._came[key] for s in sessions)

    # both

    async def _fetch(self, key: str, first: date, end: datetime) -> list[Candle]:
        """Return the minutes from a day to that of `end` which are over and will not change."""
        await self._pause(BETWEEN)
        candles = await self._source.minutes(key, first, end.astimezone(IST).date())
        final = _ms(self._desk.clock.now()) - MINUTE - SETTLED
        return [candle for candle in candles if candle.start <= final]

    async def _keep(self, key: str, candles: Sequence[Candle]) -> None:
        if candles and await self._store.fill(candles):
            self.changed.emit(frozenset({key}))

    def _in_order(self, instrument_keys: Iterable[str]) -> Sequence[str]:
        """Return what is held first, then what everybody looks at, then the rest."""
        held, canaries = self._desk.marks.wanted(), self._desk.canaries
        return sorted(instrument_keys, key=lambda k: (k not in held, k not in canaries, k))

    def _on_feed(self, change: FeedChange) -> None:
        if change.before is FeedState.LIVE:
            self._then = frozenset(self._desk.subscriptions.wanted().modes)
        if change.after is FeedState.LIVE:
            self._may_have_gaps = True

    def _on_wanted(self, wanted: Wanted) -> None:
        for key in self._came.keys() - wanted.modes.keys():
            del self._came[key]
            self._new.pop(key, None)
        now = self._desk.clock.now()
        for key in wanted.modes.keys() - self._came.keys():
            self._came[key] = now
            self._new[key] = 0


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _minute(at: datetime) -> int:
    """Return the beginning of a moment's minute, in epoch ms."""
    return _ms(at) // MINUTE * MINUTE
