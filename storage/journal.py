"""What was recorded in one of the two worlds, and the few things that the trader keeps there."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from storage import gaps, hours
from storage.database import Database
from storage.gaps import Fact
from storage.moments import from_ms
from storage.reader import Reader
from storage.tables import METADATA
from storage.writer import Writer
from trading.hours import Holiday, HoursRules, SpecialSession
from trading.model import UNKNOWN, UNKNOWN_COUNT, Candle, Gap, Tick
from trading.ports import StorageStats

_instruments = METADATA.tables["instruments"]
_ticks = METADATA.tables["quote_ticks"]
_candles = METADATA.tables["candles"]
_watchlist = METADATA.tables["watchlist"]


class DatabaseJournal:
    """Reads on threads of its own, writes through the Writer; implements ports.Journal."""

    def __init__(self, database: Database, writer: Writer, *, is_mock: bool) -> None:
        self._reader = Reader(database)
        self._writer = writer
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    def stats(self) -> StorageStats:
        return self._writer.stats()

    # Prices

    async def candles(self, instrument_key: str, *, since: int, until: int) -> list[Candle]:
        """Return the minutes from `since` (epoch ms) to before `until`, oldest first."""
        query = (
            select(_candles)
            .join(_instruments, _instruments.c.id == _candles.c.instrument_id)
            .where(
                _instruments.c.instrument_key == instrument_key,
                _instruments.c.is_mock == self._is_mock,
                _candles.c.start >= since,
                _candles.c.start < until,
            )
            .order_by(_candles.c.start)
        )
        rows = await self._reader.run(lambda c: c.execute(query).all())
        return [_candle(instrument_key, row) for row in rows]

    async def ticks(
        self, instrument_key: str, *, since: int, until: int, limit: int = 100_000
    ) -> list[Tick]:
        """Return the first `limit` ticks from `since` to before `until`, in ms of the exchange.

        What is not stored is unknown in them; a fact of the past has no age, so neither have they.
        """
        query = (
            select(_ticks)
            .join(_instruments, _instruments.c.id == _ticks.c.instrument_id)
            .where(
                _instruments.c.instrument_key == instrument_key,
                _instruments.c.is_mock == self._is_mock,
                _ticks.c.exchange_ts >= since,
                _ticks.c.exchange_ts < until,
            )
            .order_by(_ticks.c.exchange_ts, _ticks.c.id)
            .limit(limit)
        )
        rows = await self._reader.run(lambda c: c.execute(query).all())
        return [_tick(instrument_key, row) for row in rows]

    # Gaps

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]:
        mock = self._is_mock
        return await self._reader.run(lambda c: gaps.between(c, feed, since, until, is_mock=mock))

    def open_gap(self, feed: str, start: datetime, reason: str) -> "Future[bool]":
        """Begin a gap; False if one was open already."""
        mock = self._is_mock
        return self._writer.submit(lambda c: gaps.open_gap(c, feed, start, reason, is_mock=mock))

    def close_gap(self, feed: str, end: datetime) -> "Future[int]":
        mock = self._is_mock
        return self._writer.submit(lambda c: gaps.close_gaps(c, feed, end, is_mock=mock))

    def record_gap(self, feed: str, start: datetime, end: datetime, reason: str) -> "Future[None]":
        """Keep a gap that is over, for example the time in which the desk was not running."""
        gap = Gap(feed, start, end, reason, self._is_mock)
        return self._writer.submit(lambda c: gaps.record_gap(c, gap))

    async def last_alive(self) -> datetime | None:
        """Return the last heartbeat before this process's own first one, if it asks early."""
        mock = self._is_mock
        found = await self._reader.run(lambda c: gaps.fact(c, Fact.ALIVE, is_mock=mock))
        return None if found is None else from_ms(found)

    # What the trader keeps

    async def watchlist(self) -> list[str] | None:
        return await self._reader.run(self._kept_watchlist)

    def _kept_watchlist(self, connection: Connection) -> list[str] | None:
        row = _watchlist.c
        query = (
            select(row.instrument_key).where(row.is_mock == self._is_mock).order_by(row.position)
        )
        keys = list(connection.execute(query).scalars())
        kept = gaps.fact(connection, Fact.WATCHLIST, is_mock=self._is_mock)
        return keys if keys or kept else None

    async def set_watchlist(self, instrument_keys: Sequence[str]) -> None:
        rows = [
            {"is_mock": self._is_mock, "position": position, "instrument_key": key}
            for position, key in enumerate(instrument_keys)
        ]

        def replace(connection: Connection) -> None:
            connection.execute(delete(_watchlist).where(_watchlist.c.is_mock == self._is_mock))
            if rows:
                connection.execute(insert(_watchlist), rows)
            gaps.keep_fact(connection, Fact.WATCHLIST, 1, is_mock=self._is_mock)

        await asyncio.wrap_future(self._writer.submit(replace))

    # Trading hours

    async def hours(self) -> HoursRules:
        return await self._reader.run(hours.load)

    async def hours_without_broker(self) -> HoursRules:
        """Return what its answers are compared with; its own earlier ones would look usual."""
        return await self._reader.run(lambda c: hours.load(c, broker=False))

    def hours_now(self) -> HoursRules:
        """Return the same while there is no loop yet."""
        return self._reader.now(hours.load)

    async def keep_broker_hours(
        self, holidays: Iterable[Holiday], specials: Iterable[SpecialSession]
    ) -> None:
        """Replace what the broker said before; our defaults and the trader's rows stay."""
        closed, special = list(holidays), list(specials)
        await asyncio.wrap_future(
            self._writer.submit(
                lambda c: hours.keep(c, "broker", holidays=closed, specials=special)
            )
        )


def _candle(instrument_key: str, row: Row[Any]) -> Candle:
    return Candle(
        instrument_key,
        row.start,
        row.open,
        row.high,
        row.low,
        row.close,
        _count(row.volume),
        row.ticks,
        row.complete,
        row.is_mock,
    )


def _tick(instrument_key: str, row: Row[Any]) -> Tick:
    return Tick(
        instrument_key=instrument_key,
        ltp=_measure(row.ltp),
        ltt=row.ltt or 0,
        ltq=_count(row.ltq),
        close=_measure(row.close),
        bid=_measure(row.bid),
        bid_qty=_count(row.bid_qty),
        ask=_measure(row.ask),
        ask_qty=_count(row.ask_qty),
        volume=_count(row.volume),
        atp=UNKNOWN,
        oi=_measure(row.oi),
        iv=_measure(row.iv),
        delta=_measure(row.delta),
        theta=_measure(row.theta),
        gamma=_measure(row.gamma),
        vega=_measure(row.vega),
        rho=UNKNOWN,
        total_buy=UNKNOWN,
        total_sell=UNKNOWN,
        day_open=UNKNOWN,
        day_high=UNKNOWN,
        day_low=UNKNOWN,
        exchange_ts=row.exchange_ts,
        received=UNKNOWN,
        price_received=UNKNOWN,
        book_received=UNKNOWN,
        greeks_received=UNKNOWN,
        parts=row.parts or 0,
        is_mock=row.is_mock,
        depth=None,
    )


def _measure(stored: float | None) -> float:
    return UNKNOWN if stored is None else stored


def _count(stored: int | None) -> int:
    return UNKNOWN_COUNT if stored is None else stored
