"""The ledger of gaps: when a feed was silent, and when the desk itself was not running."""

import asyncio
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.reader import Reader
from storage.tables import GAP_IS_UNFILLED, METADATA
from storage.writer import Writer
from trading.errors import BadRequest
from trading.model import Gap

_gaps = METADATA.tables["feed_gaps"]
_state = METADATA.tables["desk_state"]

_UNFILLED: Final = (
    f"SELECT * FROM feed_gaps WHERE feed = ? AND is_mock = ? AND {GAP_IS_UNFILLED} "
    "ORDER BY started, id"
)


class Fact(StrEnum):
    """The names in desk_state."""

    ALIVE = "alive"  # ms of the desk's clock, the last sign of life of a desk whose feed was live
    TICKS = "ticks"  # a minute, before that sign; none if it was too early to know
    TRIED = "tried"  # ms of the desk's clock, when the checklist last wrote to see that it can
    WATCHLIST = "watchlist"  # 1 once the trader has kept a list, be it an empty one
    MASTER = "master"  # number of the last instrument master that was taken over whole


def fact(connection: Connection, name: Fact, *, is_mock: bool) -> int | None:
    row = _state.c
    query = select(row.value).where(row.name == name, row.is_mock == is_mock)
    found: int | None = connection.execute(query).scalar()
    return found


def keep_fact(connection: Connection, name: Fact, value: int | None, *, is_mock: bool) -> None:
    """Write a fact, or that it is not known any more."""
    if value is None:
        row = _state.c
        connection.execute(delete(_state).where(row.name == name, row.is_mock == is_mock))
        return
    connection.execute(
        upsert(_state)
        .values(name=name.value, is_mock=is_mock, value=value)
        .on_conflict_do_update(index_elements=["name", "is_mock"], set_={"value": value})
    )


def open_gap(
    connection: Connection,
    feed: str,
    start: datetime,
    reason: str,
    *,
    is_mock: bool,
    rate: float | None = None,
) -> bool:
    """Begin a gap unless one is open already: it began when the first trouble did.

    `rate` is ticks per second in the last minute before it, None if nobody knows.
    """
    row = _gaps.c
    is_open = select(row.id).where(row.feed == feed, row.ended.is_(None), row.is_mock == is_mock)
    if connection.execute(is_open).first():
        return False
    record_gap(connection, Gap(feed, start, None, reason, is_mock, rate=rate))
    return True


def close_gaps(connection: Connection, feed: str, end: datetime, *, is_mock: bool) -> int:
    """End the open gap of a feed; return how many there were.

    A gap that would end before it began is forgotten: a simulated exchange started its day again.
    """
    row = _gaps.c
    is_open = (row.feed == feed) & row.ended.is_(None) & (row.is_mock == is_mock)
    backwards = connection.execute(delete(_gaps).where(is_open, row.started >= to_ms(end)))
    closed = connection.execute(update(_gaps).where(is_open).values(ended=to_ms(end)))
    return backwards.rowcount + closed.rowcount


def record_gap(connection: Connection, gap: Gap) -> None:
    connection.execute(
        insert(_gaps).values(
            feed=gap.feed,
            started=to_ms(gap.start),
            ended=to_ms(gap.end) if gap.end else None,
            reason=gap.reason,
            is_mock=gap.is_mock,
            rate=gap.rate,
        )
    )


def keep_filled(connection: Connection, gap: Gap) -> bool:
    """Write what is known of an ended gap; return whether there is one of its number."""
    row = _gaps.c
    known = (row.id == gap.number) & (row.feed == gap.feed) & (row.is_mock == gap.is_mock)
    found = connection.execute(
        update(_gaps)
        .where(known)
        .values(
            instruments=gap.instruments,
            ticks_missed=gap.ticks_missed,
            filled=gap.filled,
            fill_words=gap.fill_words,
        )
    )
    return found.rowcount == 1


def unfilled(connection: Connection, feed: str, *, is_mock: bool) -> list[Gap]:
    """Return ended gaps that nobody tried to fill yet, oldest first."""
    found = connection.exec_driver_sql(_UNFILLED, (feed, is_mock))
    return [_gap(row) for row in found]


def between(
    connection: Connection, feed: str, since: datetime, until: datetime, *, is_mock: bool
) -> list[Gap]:
    """Return the gaps that touch this stretch of time, oldest first."""
    row = _gaps.c
    query = (
        select(_gaps)
        .where(
            row.feed == feed,
            row.is_mock == is_mock,
            row.started < to_ms(until),
            or_(row.ended.is_(None), row.ended > to_ms(since)),
        )
        .order_by(row.started, row.id)
    )
    return [_gap(found) for found in connection.execute(query)]


def _gap(row: Row[Any]) -> Gap:
    return Gap(
        feed=row.feed,
        start=from_ms(row.started),
        end=None if row.ended is None else from_ms(row.ended),
        reason=row.reason,
        is_mock=bool(row.is_mock),
        number=row.id,
        instruments=row.instruments,
        ticks_missed=row.ticks_missed,
        filled=row.filled,
        fill_words=row.fill_words or "",
        rate=row.rate,
    )


class DatabaseGapLedger:
    """Implements health_ports.GapLedger for one of the two kinds of market."""

    def __init__(self, database: Database, writer: Writer, *, is_mock: bool) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]:
        """Return the gaps that touch this stretch of time, oldest first."""
        mock = self._is_mock
        return await self._reader.run(lambda c: between(c, feed, since, until, is_mock=mock))

    async def unfilled(self, feed: str) -> list[Gap]:
        """Return ended gaps that nobody tried to fill yet, oldest first."""
        mock = self._is_mock
        return await self._reader.run(lambda c: unfilled(c, feed, is_mock=mock))

    async def filled(self, gap: Gap) -> None:
        """Write what is known of an ended gap: instruments, ticks missed, what filled it.

        Raises BadRequest if the ledger has no such gap, Retryable or VigilError if the disk does
        not take it.
        """
        written = self._writer.submit(lambda c: keep_filled(c, gap))
        if not await asyncio.wrap_future(written):
            raise BadRequest(f"there is no gap {gap.number} of {gap.feed} in the ledger")
