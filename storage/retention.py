"""Deletes what is older than the trader wants to keep, in bites that let the writer go on."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from storage.moments import to_ms
from storage.writer import Writer
from trading.clock import Clock
from trading.errors import VigilError

log = logging.getLogger(__name__)

BITE: Final = 2_000  # rows: one DELETE of 200,000 held the write lock for half a second
PAUSE: Final = 0.02  # seconds between two bites, which belong to the ticks
SERIES: Final = 200  # instruments whose oldest candle is looked at in one bite
AHEAD: Final = timedelta(days=1)  # a row later than that was stamped by another clock
ALERTS: Final = timedelta(days=400)  # that alerts are kept, and the hours of components
MINUTES: Final = timedelta(days=35)  # that their minutes are: more than the longest uptime asks for

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Deleted:
    ticks: int = 0
    candles: int = 0
    points: int = 0  # of P&L curves
    alerts: int = 0
    minutes: int = 0  # of components, and their hours


@dataclass(frozen=True, slots=True)
class _Bite(Generic[Place]):
    deleted: int
    reached: Place | None  # go on behind this; None at the end


class _Bites(Protocol[Place]):
    def take(self, connection: Connection, behind: Place) -> _Bite[Place]: ...


class Retention:
    """Counts days on the desk's clock, which on a simulated exchange is the exchange's.

    Points of the P&L curve are kept as long as candles. Orders, fills, incidents, and what nobody
    was told of yet, are never deleted.
    """

    def __init__(self, writer: Writer, clock: Clock, ticks_days: int, candles_days: int) -> None:
        self._writer = writer
        self._clock = clock
        self._ticks_days = ticks_days
        self._candles_days = candles_days

    async def run(self) -> Deleted:
        """Delete and return how much; in trouble it is less, and the next run has more to do."""
        now = self._clock.now()
        ticks_before = to_ms(now - timedelta(days=self._ticks_days))
        candles_before = to_ms(now - timedelta(days=self._candles_days))
        minutes_before, alerts_before = to_ms(now - MINUTES), to_ms(now - ALERTS)
        future = to_ms(now + AHEAD)
        minutes = _SeriesBites("component_minutes", "name", "start", minutes_before)
        points = _SeriesBites("pnl_points", "account", "at", candles_before)
        deleted = Deleted(
            ticks=await self._all(_TickBites(ticks_before, future), 0),
            candles=await self._all(_CandleBites(candles_before), 0),
            points=await self._all(points, ("", "")),
            alerts=await self._all(_AlertBites(alerts_before, future), 0),
            minutes=await self._all(minutes, ("", ""))
            + await self._all(_HourBites(alerts_before), ""),
        )
        if deleted != Deleted():
            log.info("retention: %s", deleted)
        return deleted

    async def _all(self, bites: _Bites[Place], start: Place) -> int:
        total = 0
        reached: Place | None = start
        while reached is not None:
            try:
                take = partial(bites.take, behind=reached)
                bite = await asyncio.wrap_future(self._writer.submit(take))
            except VigilError as error:
                log.warning("retention: %s; goes on at the next run", error)
                break
            total += bite.deleted
            reached = bite.reached
            await asyncio.sleep(PAUSE)
        return total


@dataclass(frozen=True, slots=True)
class _TickBites:
    """Ids grow with the time of arrival, so the first young row is the end.

    A row from the future is no sign of youth: two worlds with clocks of their own share the table.
    """

    before: int
    future: int

    def take(self, connection: Connection, behind: int) -> _Bite[int]:
        reached, rows, old, young = connection.exec_driver_sql(
            "SELECT max(id), count(*), coalesce(sum(received < ?), 0), "
            "coalesce(sum(received BETWEEN ? AND ?), 0) FROM "
            "(SELECT id, received FROM quote_ticks WHERE id > ? ORDER BY id LIMIT ?)",
            (self.before, self.before, self.future, behind, BITE),
        ).one()
        if old:
            connection.exec_driver_sql(
                "DELETE FROM quote_ticks WHERE id > ? AND id <= ? AND received < ?",
                (behind, reached, self.before),
            )
        return _Bite(old, None if young or rows < BITE else reached)


@dataclass(frozen=True, slots=True)
class _CandleBites:
    """One instrument after the other: a search by age alone would read the whole table."""

    before: int

    def take(self, connection: Connection, behind: int) -> _Bite[int]:
        deleted = 0
        for _ in range(SERIES):
            instrument = connection.exec_driver_sql(
                "SELECT min(instrument_id) FROM candles WHERE instrument_id > ?", (behind,)
            ).scalar()
            if instrument is None:
                return _Bite(deleted, None)
            rows = connection.exec_driver_sql(
                "DELETE FROM candles WHERE instrument_id = ?1 AND start IN (SELECT start FROM "
                "candles WHERE instrument_id = ?1 AND start < ?2 ORDER BY start LIMIT ?3)",
                (instrument, self.before, BITE),
            ).rowcount
            deleted += rows
            if rows < BITE:
                behind = instrument
            if deleted >= BITE:
                break
        return _Bite(deleted, behind)


@dataclass(frozen=True, slots=True)
class _SeriesBites:
    """One series after the other, which are few; behind is the world and name of the last."""

    table: str
    name: str  # the column that, with the world, says which series
    at: str
    before: int

    def take(self, connection: Connection, behind: tuple[str, str]) -> _Bite[tuple[str, str]]:
        table, name, at = self.table, self.name, self.at
        series = connection.exec_driver_sql(
            f"SELECT world, {name} FROM {table} WHERE (world, {name}) > (?, ?) "
            f"ORDER BY world, {name} LIMIT 1",
            behind,
        ).first()
        if series is None:
            return _Bite(0, None)
        world, which = series
        rows = connection.exec_driver_sql(
            f"DELETE FROM {table} WHERE world = ?1 AND {name} = ?2 AND {at} IN (SELECT {at} FROM "
            f"{table} WHERE world = ?1 AND {name} = ?2 AND {at} < ?3 ORDER BY {at} LIMIT ?4)",
            (world, which, self.before, BITE),
        ).rowcount
        return _Bite(rows, behind if rows == BITE else (world, which))


@dataclass(frozen=True, slots=True)
class _HourBites:
    """One world after the other."""

    before: int

    def take(self, connection: Connection, behind: str) -> _Bite[str]:
        world = connection.exec_driver_sql(
            "SELECT min(world) FROM component_hours WHERE world > ?", (behind,)
        ).scalar()
        if world is None:
            return _Bite(0, None)
        rows = connection.exec_driver_sql(
            "DELETE FROM component_hours WHERE world = ?1 AND (start, name) IN (SELECT start, name "
            "FROM component_hours WHERE world = ?1 AND start < ?2 ORDER BY start LIMIT ?3)",
            (world, self.before, BITE),
        ).rowcount
        return _Bite(rows, behind if rows == BITE else world)


@dataclass(frozen=True, slots=True)
class _AlertBites:
    """As with ticks: numbers grow with the time of arrival, of every world by its own clock.

    An alert goes with its letters, but not while one of them is still on its way.
    """

    before: int
    future: int

    def take(self, connection: Connection, behind: int) -> _Bite[int]:
        most = BITE // 4  # each has letters
        reached, rows, young = connection.exec_driver_sql(
            "SELECT max(number), count(*), coalesce(sum(at BETWEEN ? AND ?), 0) FROM "
            "(SELECT number, at FROM alerts WHERE number > ? ORDER BY number LIMIT ?)",
            (self.before, self.future, behind, most),
        ).one()
        stretch = (behind, reached, self.before)
        connection.exec_driver_sql(
            "DELETE FROM letters WHERE state IN ('sent', 'folded', 'parked') AND alert IN "
            "(SELECT number FROM alerts WHERE number > ? AND number <= ? AND at < ?)",
            stretch,
        )
        deleted = connection.exec_driver_sql(
            "DELETE FROM alerts WHERE number > ? AND number <= ? AND at < ? "
            "AND NOT EXISTS (SELECT 1 FROM letters WHERE letters.alert = alerts.number)",
            stretch,
        ).rowcount
        return _Bite(deleted, None if young or rows < most else reached)
