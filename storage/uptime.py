"""How components were, minute by minute: kept as minutes for weeks, as hours for longer."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Row

from storage.characters import plain
from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_rows import Values, insert_into
from storage.reader import Reader
from storage.writer import FOR_EVER, Writer, driver_of
from trading.health import Minute, Uptimes

HOUR: Final = 3_600_000  # ms
WINDOWS: Final = (timedelta(days=1), timedelta(days=7), timedelta(days=30))  # as in Uptimes

_PUT: Final = (
    f"{insert_into('component_minutes')} ON CONFLICT (world, name, start) DO UPDATE SET "
    "judged = excluded.judged, up = excluded.up, messages = excluded.messages, "
    "errors = excluded.errors, is_mock = excluded.is_mock"
)
# Summed again from its minutes, of which some may have been replaced.
_SUM: Final = (
    "INSERT INTO component_hours SELECT world, ?3, name, sum(judged), sum(up), sum(messages), "
    "sum(errors), max(is_mock) FROM component_minutes "
    "WHERE world = ?1 AND name = ?2 AND start >= ?3 AND start < ?3 + 3600000 "
    "GROUP BY world, name ON CONFLICT (world, start, name) DO UPDATE SET "
    "judged = excluded.judged, up = excluded.up, messages = excluded.messages, "
    "errors = excluded.errors, is_mock = excluded.is_mock"
)
_MINUTES: Final = (
    "SELECT * FROM component_minutes WHERE world = ? AND name = ? AND start >= ? AND start < ? "
    "ORDER BY start"
)
_NAMES: Final = (
    "SELECT DISTINCT name FROM component_hours WHERE world = ? AND start >= ? AND start <= ?"
)
# Whole hours of each window, and the minutes before its first and behind its last.
_HOURS_OF: Final = (
    "SELECT name, sum(judged), sum(up) FROM component_hours "
    "WHERE world = ? AND start >= ? AND start < ? GROUP BY name"
)
_MINUTES_OF: Final = (
    "SELECT name, sum(judged), sum(up) FROM component_minutes "
    "WHERE world = ? AND name = ? AND start >= ? AND start < ?"
)


class DatabaseUptimeJournal:
    """Implements health_ports.UptimeJournal for one world."""

    def __init__(self, database: Database, writer: Writer, *, world: str, is_mock: bool) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._world = world
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    def keep_minutes(self, minutes: Mapping[str, Minute]) -> None:
        """Write behind; a minute of a name that is known already is replaced.

        They wait for as long as the disk is in trouble, whose own minutes are among them.
        """
        rows = [self._values(plain(name), minute) for name, minute in minutes.items()]

        def write(connection: Connection) -> None:
            driver = driver_of(connection)
            driver.executemany(_PUT, rows)
            for world, name, start, *_ in rows:
                driver.execute(_SUM, (world, name, start - start % HOUR))

        self._writer.submit(write, patience=FOR_EVER, durable=False)

    async def minutes(self, name: str, *, since: datetime, until: datetime) -> list[Minute]:
        """Return the minutes that were kept from `since` to before `until`, oldest first."""
        asked = (self._world, plain(name), to_ms(since), to_ms(until))
        return await self._reader.run(
            lambda c: [_minute(row) for row in c.exec_driver_sql(_MINUTES, asked)]
        )

    async def uptimes(self, now: datetime) -> dict[str, Uptimes]:
        """Return the shares of the 24 hours, 7 and 30 days before now, by name."""
        return await self._reader.run(lambda c: self._uptimes(c, to_ms(now)))

    def _uptimes(self, connection: Connection, now: int) -> dict[str, Uptimes]:
        begins = [now - window // timedelta(milliseconds=1) for window in WINDOWS]
        asked = (self._world, _hour(begins[-1]), now)
        names = [name for (name,) in connection.exec_driver_sql(_NAMES, asked)]
        shares = [self._shares(connection, names, begin, now) for begin in begins]
        return {name: Uptimes(*(share.get(name) for share in shares)) for name in names}

    def _shares(
        self, connection: Connection, names: list[str], begin: int, now: int
    ) -> dict[str, float]:
        judged = dict.fromkeys(names, 0.0)
        up = dict.fromkeys(names, 0.0)
        for name, seconds, good in self._sums(connection, names, begin, now):
            judged[name] += seconds
            up[name] += good
        return {name: min(1.0, up[name] / judged[name]) for name in names if judged[name]}

    def _sums(
        self, connection: Connection, names: list[str], begin: int, now: int
    ) -> Iterator[tuple[str, float, float]]:
        first, last = _hour(begin + HOUR - 1), _hour(now)
        hours = connection.exec_driver_sql(_HOURS_OF, (self._world, first, last))
        edges = (
            connection.exec_driver_sql(_MINUTES_OF, (self._world, name, *edge))
            for name in names
            for edge in ((begin, first), (last, now))
        )
        for row in chain(hours, chain.from_iterable(edges)):
            if row[0] is not None:
                yield tuple(row)

    def _values(self, name: str, minute: Minute) -> Values:
        return (
            self._world,
            name,
            to_ms(minute.start),
            minute.judged,
            minute.up,
            minute.messages,
            minute.errors,
            self._is_mock,
        )


def _hour(at: int) -> int:
    return at - at % HOUR


def _minute(row: Row[Any]) -> Minute:
    return Minute(from_ms(row.start), row.judged, row.up, row.messages, row.errors)
