"""Hands everything worth keeping to the writer: ticks, minutes, gaps and the desk's heartbeat."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from storage import gaps
from storage.gaps import Fact
from storage.moments import from_ms, to_ms
from storage.writer import Writer
from trading.candles import CandleBuilder
from trading.clock import Clock
from trading.market_data import MarketDataService
from trading.model import Gap, Tick
from trading.ports import FeedChange, FeedState, MarketFeed

MINUTE: Final = 60  # seconds over which ticks are counted
SHORTEST: Final = 5  # seconds of a first minute that say something about the rate


class Recorder:
    """Lives on the loop; knows when prices were last heard, which is when a gap begins."""

    def __init__(self, writer: Writer, clock: Clock, *, is_mock: bool) -> None:
        self._writer = writer
        self._clock = clock
        self._is_mock = is_mock
        self._heard: int | None = None  # ms of the desk's clock
        self._rate = TickRate()
        self._followed_on: set[str] = set()  # feeds that were live in this run

        # asked before this run's own first heartbeat can be written
        self._before = writer.submit(lambda connection: _last_life(connection, is_mock=is_mock))

    def follow(
        self, market_data: MarketDataService, candles: CandleBuilder, feed: MarketFeed
    ) -> None:
        market_data.ticks.subscribe(self._ticks)
        market_data.late.subscribe(self._ticks)
        candles.finished.subscribe(self._writer.candles)
        feed.changes.subscribe(self._on_change)

    async def heartbeat(self) -> None:
        """Say that the desk is running; after a crash this is when the gap began.

        Not before its feed was live: what a run before it missed must still be found.
        """
        if not self._followed_on:
            return
        alive, rate = to_ms(self._clock.now()), self._rate.per_second
        mock = self._is_mock
        self._writer.submit(lambda c: _keep_life(c, alive, rate, is_mock=mock))

    def _ticks(self, ticks: list[Tick]) -> None:
        self._heard = to_ms(self._clock.now())
        self._rate.add(self._heard // 1000, len(ticks))
        self._writer.ticks(ticks, self._heard)

    def _on_change(self, change: FeedChange) -> None:
        feed, mock = change.feed, self._is_mock
        if change.after is FeedState.LIVE:
            first = feed not in self._followed_on
            self._followed_on.add(feed)
            self._rate = TickRate()  # an outage is no time in which prices came slowly
            before = self._before if first else None
            end = change.at
            self._writer.submit(lambda c: _resume(c, feed, end, before, is_mock=mock))
        elif change.before is FeedState.LIVE:
            # the last price, not the moment at which somebody noticed the silence
            start = change.at if self._heard is None else min(change.at, from_ms(self._heard))
            reason = change.reason or change.after.value
            rate = self._rate.per_second
            self._writer.submit(
                lambda c: gaps.open_gap(c, feed, start, reason, is_mock=mock, rate=rate)
            )


class TickRate:
    """Ticks in the last minute in which there were any, by the seconds of the desk's clock."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque()
        self._ticks = 0
        self._first: int | None = None  # since when it can be known

    def add(self, second: int, ticks: int) -> None:
        seconds = self._seconds
        if seconds and second < seconds[-1][0] - MINUTE:
            seconds.clear()  # a simulated exchange started its day again
            self._ticks, self._first = 0, None
        elif seconds:
            second = max(second, seconds[-1][0])  # the clock was set right
        if self._first is None:
            self._first = second
        self._ticks += ticks
        if seconds and seconds[-1][0] == second:
            seconds[-1] = (second, seconds[-1][1] + ticks)
            return
        seconds.append((second, ticks))
        while seconds[0][0] <= second - MINUTE:
            self._ticks -= seconds.popleft()[1]

    @property
    def per_second(self) -> float | None:
        """Of the first minute what there is of it, None in its first seconds."""
        if self._first is None:
            return None
        watched = min(MINUTE, self._seconds[-1][0] - self._first + 1)
        return self._ticks / watched if watched >= SHORTEST else None


@dataclass(frozen=True, slots=True)
class _Life:
    """The last sign of life of the run before: ms, and ticks a minute then if known."""

    alive: int | None
    ticks: int | None


def _last_life(connection: Connection, *, is_mock: bool) -> _Life:
    return _Life(
        gaps.fact(connection, Fact.ALIVE, is_mock=is_mock),
        gaps.fact(connection, Fact.TICKS, is_mock=is_mock),
    )


def _keep_life(connection: Connection, alive: int, rate: float | None, *, is_mock: bool) -> None:
    """Write a moment (ms) and the ticks a second before it, which belong together."""
    ticks = None if rate is None else round(rate * MINUTE)
    gaps.keep_fact(connection, Fact.ALIVE, alive, is_mock=is_mock)
    gaps.keep_fact(connection, Fact.TICKS, ticks, is_mock=is_mock)


def _resume(
    connection: Connection,
    feed: str,
    end: datetime,
    before: Future[_Life] | None,
    *,
    is_mock: bool,
) -> None:
    """Close the gap; the first time in a run, one without a beginning began at the last heartbeat.

    A clean stop leaves a gap open, which says when it began; kill -9 leaves only the heartbeat,
    and coming alive is one: a desk that was killed within its first seconds was not away longer.
    """
    closed = gaps.close_gaps(connection, feed, end, is_mock=is_mock)
    _keep_life(connection, to_ms(end), None, is_mock=is_mock)
    if closed or before is None or before.exception():
        return
    life = before.result()  # there already: records are done in their order
    if life.alive is not None and life.alive < to_ms(end):
        rate = None if life.ticks is None else life.ticks / MINUTE
        start = from_ms(life.alive)
        gaps.record_gap(
            connection, Gap(feed, start, end, "Vigil was not running", is_mock, rate=rate)
        )
