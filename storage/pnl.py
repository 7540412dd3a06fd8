"""The points of the day's P&L curves on the disk, and how many of them are drawn."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_rows import insert_into
from storage.reader import Reader
from storage.writer import Writer
from trading.ports import PnlPoint

FEWEST: Final = 5  # points that a thinned curve may be asked to have

_UPSERT: Final = (
    f"{insert_into('pnl_points')} ON CONFLICT (world, account, at) DO UPDATE SET "
    "realised = excluded.realised, unrealised = excluded.unrealised, complete = excluded.complete, "
    "is_mock = excluded.is_mock"
)
_POINTS: Final = (
    "SELECT * FROM pnl_points WHERE world = ? AND account = ? AND at >= ? AND at < ? ORDER BY at"
)


class DatabasePnlJournal:
    """Implements ports.PnlJournal for one world."""

    def __init__(self, database: Database, writer: Writer, *, world: str) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._world = world

    def close(self) -> None:
        self._reader.close()

    def keep_pnl(self, points: Sequence[PnlPoint]) -> None:
        """Write points behind; one of a moment that has one already takes its place.

        A curve without a point is a curve, so while the disk is full for longer they are lost.
        """
        rows = [_values(point, self._world) for point in points]

        def write(connection: Connection) -> None:
            for row in rows:
                connection.exec_driver_sql(_UPSERT, row)

        self._writer.submit(write, durable=False)

    async def pnl(
        self, account: str, *, since: datetime, until: datetime, most: int | None = None
    ) -> list[PnlPoint]:
        """Return the points from `since` to before `until`, oldest first, thinned to `most`."""
        asked = (self._world, account, to_ms(since), to_ms(until))
        points = await self._reader.run(
            lambda c: [_point(row) for row in c.exec_driver_sql(_POINTS, asked)]
        )
        return points if most is None else thinned(points, most)


def thinned(points: Sequence[PnlPoint], most: int) -> list[PnlPoint]:
    """Return at most so many (5 or more) of these points, in their order.

    The first and the last stay, and of each stretch of time its lowest and its highest and one of
    those without a total: neither a short loss nor a moment of not knowing is smoothed away.
    """
    if most < FEWEST:
        raise ValueError(f"a curve of fewer than {FEWEST} points shows nothing")
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretches = (most - 2) // 3
    kept = {0, len(points) - 1}
    for number in range(stretches):
        first = number * len(inner) // stretches
        behind = (number + 1) * len(inner) // stretches
        kept |= {1 + first + place for place in _telling(inner[first:behind])}
    return [points[index] for index in sorted(kept)]


def _telling(points: Sequence[PnlPoint]) -> Iterator[int]:
    known = {index: total for index, p in enumerate(points) if (total := _total(p)) is not None}
    if known:
        yield min(known, key=known.__getitem__)
        yield max(known, key=known.__getitem__)
    if len(known) < len(points):
        yield next(index for index in range(len(points)) if index not in known)


def _total(point: PnlPoint) -> int | None:
    if point.realised is None or point.unrealised is None:
        return None
    return point.realised + point.unrealised


def _values(point: PnlPoint, world: str) -> tuple[Any, ...]:
    return (
        world,
        point.account,
        to_ms(point.at),
        point.realised,
        point.unrealised,
        point.complete,
        point.is_mock,
    )


def _point(row: Row[Any]) -> PnlPoint:
    return PnlPoint(
        account=row.account,
        at=from_ms(row.at),
        realised=row.realised,
        unrealised=row.unrealised,
        complete=bool(row.complete),
        is_mock=bool(row.is_mock),
    )
