"""Who may speak to the bot: on the disk, and in memory for every message that comes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from storage.characters import plain
from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_rows import insert_into
from storage.reader import Reader
from storage.writer import Writer
from trading.health_ports import Person

_PUT: Final = (
    f"{insert_into('people')} ON CONFLICT (is_mock, chat, user) DO UPDATE SET "
    "role = excluded.role, name = excluded.name, since = excluded.since"
)
_REMOVE: Final = "DELETE FROM people WHERE is_mock = ? AND chat = ? AND user = ?"
_ALL: Final = "SELECT * FROM people WHERE is_mock = ? ORDER BY since, chat, user"


class DatabasePeople:
    """Implements health_ports.People. Belongs to the loop thread.

    `is_mock` says whose phones these are: a number that the stand-in made up must not open the
    real bot to a stranger.
    """

    def __init__(self, database: Database, writer: Writer, *, is_mock: bool) -> None:
        """Read them on the caller's thread: there are a few."""
        self._writer = writer
        self._is_mock = is_mock
        self._people = _load(database, is_mock=is_mock)

    def all(self) -> Sequence[Person]:
        return tuple(self._people.values())

    async def add(self, person: Person) -> None:
        """Let somebody in, or give a known one another role; done when the disk has it.

        Raises Retryable or VigilError if it does not take it: then nothing changed.
        """
        row = (
            self._is_mock,
            person.chat,
            person.user,
            person.role,
            plain(person.name),
            to_ms(person.since),
        )
        await self._write(lambda c: c.exec_driver_sql(_PUT, row))
        self._people[person.chat, person.user] = person

    async def remove(self, chat: int, user: int) -> None:
        """Shut somebody out, at once; raises Retryable or VigilError if the disk keeps the name."""
        self._people.pop((chat, user), None)
        await self._write(lambda c: c.exec_driver_sql(_REMOVE, (self._is_mock, chat, user)))

    async def _write(self, work: Callable[[Connection], object]) -> None:
        def put(connection: Connection) -> None:
            work(connection)

        await asyncio.wrap_future(self._writer.submit(put))


def _load(database: Database, *, is_mock: bool) -> dict[tuple[int, int], Person]:
    reader = Reader(database, threads=1)
    try:
        rows = reader.now(lambda c: c.exec_driver_sql(_ALL, (is_mock,)).all())
    finally:
        reader.close()
    people = [Person(r.chat, r.user, r.role, r.name, from_ms(r.since)) for r in rows]
    return {(person.chat, person.user): person for person in people}
