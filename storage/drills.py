"""Runs of fire drills on the disk: the scorecard of the last of each."""

import asyncio
from typing import Any, Final

from sqlalchemy import Connection, Row

from storage.characters import plain
from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_rows import Values, insert_into, moment, ms, take_over
from storage.reader import Reader
from storage.writer import Writer
from trading.health import DrillResult

_PUT: Final = (
    f"{insert_into('drill_runs')} ON CONFLICT (world, drill, began) DO UPDATE SET "
    f"{take_over('drill_runs', but=('world', 'drill', 'began'))}"
)
# The last that was written, not the latest hour: a simulated day may be lived through twice.
_LAST: Final = (
    "SELECT * FROM drill_runs WHERE number IN "
    "(SELECT max(number) FROM drill_runs WHERE world = ? GROUP BY drill) ORDER BY drill"
)


class DatabaseDrillJournal:
    """Implements health_ports.DrillJournal for one world."""

    def __init__(self, database: Database, writer: Writer, *, world: str, is_mock: bool) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._world = world
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    async def keep_drill(self, result: DrillResult) -> None:
        """Write a run as it is now, in place of what was written of it before.

        Raises Retryable or VigilError if the disk does not take it.
        """
        row = self._values(result)

        def put(connection: Connection) -> None:
            connection.exec_driver_sql(_PUT, row)

        await asyncio.wrap_future(self._writer.submit(put))

    async def drills(self) -> dict[str, DrillResult]:
        """Return the last run of each, by its name."""
        rows = await self._reader.run(lambda c: c.exec_driver_sql(_LAST, (self._world,)).all())
        return {row.drill: _result(row) for row in rows}

    def _values(self, result: DrillResult) -> Values:
        return (
            self._world,
            plain(result.drill),
            to_ms(result.began),
            result.detected_after,
            result.recovered_after,
            result.ticks_lost,
            result.alerts_sent,
            result.told_after,
            ms(result.ended),
            result.good,
            plain(result.words),
            self._is_mock,
        )


def _result(row: Row[Any]) -> DrillResult:
    return DrillResult(
        drill=row.drill,
        began=from_ms(row.began),
        detected_after=row.detected_after,
        recovered_after=row.recovered_after,
        ticks_lost=row.ticks_lost,
        alerts_sent=row.alerts_sent,
        told_after=row.told_after,
        ended=moment(row.ended),
        good=bool(row.good),
        words=row.words,
    )
