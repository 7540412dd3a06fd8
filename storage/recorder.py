"""Hands everything worth keeping to the writer: ticks, minutes, gaps and the desk's heartbeat."""

from concurrent.futures import Future
from datetime import datetime

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


class Recorder:
    """Lives on the loop; knows when prices were last heard, which is when a gap begins."""

    def __init__(self, writer: Writer, clock: Clock, *, is_mock: bool) -> None:
        self._writer = writer
        self._clock = clock
        self._is_mock = is_mock
        self._heard: int | None = None  # ms of the desk's clock
        self._followed_on: set[str] = set()  # feeds that were live in this run

        # asked before this run's own first heartbeat can be written
        self._alive_before = writer.submit(
            lambda connection: gaps.fact(connection, Fact.ALIVE, is_mock=is_mock)
        )

    def follow(
        self, market_data: MarketDataService, candles: CandleBuilder, feed: MarketFeed
    ) -> None:
        market_data.ticks.subscribe(self._ticks)
        market_data.late.subscribe(self._ticks)
        candles.finished.subscribe(self._writer.candles)
        feed.changes.subscribe(self._on_change)

    async def heartbeat(self) -> None:
        """Say that the desk is running; after a crash this is when the gap began."""
        alive = to_ms(self._clock.now())
        mock = self._is_mock
        self._writer.submit(lambda c: gaps.keep_fact(c, Fact.ALIVE, alive, is_mock=mock))

    def _ticks(self, ticks: list[Tick]) -> None:
        self._heard = to_ms(self._clock.now())
        self._writer.ticks(ticks, self._heard)

    def _on_change(self, change: FeedChange) -> None:
        feed, mock = change.feed, self._is_mock
        if change.after is FeedState.LIVE:
            first = feed not in self._followed_on
            self._followed_on.add(feed)
            alive = self._alive_before if first else None
            end = change.at
            self._writer.submit(lambda c: _resume(c, feed, end, alive, is_mock=mock))
        elif change.before is FeedState.LIVE:
            # the last price, not the moment at which somebody noticed the silence
            start = change.at if self._heard is None else min(change.at, from_ms(self._heard))
            reason = change.reason or change.after.value
            self._writer.submit(lambda c: gaps.open_gap(c, feed, start, reason, is_mock=mock))


def _resume(
    connection: Connection,
    feed: str,
    end: datetime,
    alive_before: Future[int | None] | None,
    *,
    is_mock: bool,
) -> None:
    """Close the gap; the first time in a run, one without a beginning began at the last heartbeat.

    A clean stop leaves a gap open, which says when it began; kill -9 leaves only the heartbeat,
    and coming alive is one: a desk that was killed within its first seconds was not away longer.
    """
    closed = gaps.close_gaps(connection, feed, end, is_mock=is_mock)
    gaps.keep_fact(connection, Fact.ALIVE, to_ms(end), is_mock=is_mock)
    if closed or alive_before is None or alive_before.exception():
        return
    alive = alive_before.result()  # there already: records are done in their order
    if alive is not None and alive < to_ms(end):
        gap = Gap(feed, from_ms(alive), end, "Vigil was not running", is_mock)
        gaps.record_gap(connection, gap)
