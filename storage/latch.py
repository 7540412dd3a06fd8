"""Words of a person that hold over a restart: that real orders may leave today, that none may."""

import asyncio
from datetime import date
from enum import StrEnum

from sqlalchemy import Connection

from storage.database import Database
from storage.order_rows import insert_into
from storage.reader import Reader
from storage.writer import Writer


class Word(StrEnum):
    """The names in `latches`."""

    LIVE = "live orders"  # the day (IST) for which somebody has allowed them
    REFUSED = "entries refused"  # why


class KeptWord:
    """One text in one world, or none."""

    def __init__(
        self, database: Database, writer: Writer, word: Word, *, world: str, is_mock: bool
    ) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._word = word
        self._world = world
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    def read(self) -> str | None:
        """Return it, from the disk, on the caller's thread: for the start."""
        query = "SELECT value FROM latches WHERE world = ? AND name = ?"
        asked = (self._world, self._word.value)
        found: str | None = self._reader.now(lambda c: c.exec_driver_sql(query, asked).scalar())
        return found

    async def write(self, value: str | None) -> None:
        """Return when it is on the disk; raise Retryable or VigilError if it is not."""

        def put(connection: Connection) -> None:
            asked = (self._world, self._word.value)
            connection.exec_driver_sql("DELETE FROM latches WHERE world = ? AND name = ?", asked)
            if value is not None:
                connection.exec_driver_sql(_INSERT, (*asked, value, self._is_mock))

        await asyncio.wrap_future(self._writer.submit(put))


class LiveDay:
    """Implements latch.Memory: the day for which the word was said."""

    def __init__(self, word: KeptWord) -> None:
        self._word = word

    def read(self) -> date | None:
        found = self._word.read()
        return None if found is None else date.fromisoformat(found)

    async def write(self, day: date) -> None:
        await self._word.write(day.isoformat())


_INSERT = insert_into("latches")
