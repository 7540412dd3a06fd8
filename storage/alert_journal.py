"""Alerts, incidents and letters of one world on the disk: stored first, sent second."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage import incidents, order_news, outbox
from storage.alert_rows import alert_of, alert_values, storable
from storage.alert_tables import WANTS_A_WORD
from storage.characters import plain
from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_journal import READ_PATIENCE
from storage.order_rows import insert_into
from storage.reader import Reader
from storage.trouble import words_of
from storage.writer import PATIENCE, Writer, driver_of
from trading.errors import BadRequest, VigilError
from trading.health import Alert, Incident
from trading.health_ports import Letter, News, OrderNews

T = TypeVar("T")

TELL_PATIENCE: Final = 2.0  # seconds; whoever has news shows them then without the disk
CLAIM_PATIENCE: Final = 3.0  # seconds; a letter that waits for longer may not be due any more

_INSERT: Final = f"{insert_into('alerts')} RETURNING number"
_IS_KNOWN: Final = "SELECT 1 FROM alerts WHERE world = ? AND once = ? AND once <> ''"
_LATEST: Final = "SELECT * FROM alerts WHERE world = ? AND number < ? ORDER BY number DESC LIMIT ?"
# Named, because SQLite would rather go through all alerts of the world.
_UNACKNOWLEDGED: Final = (
    "SELECT * FROM alerts INDEXED BY ix_alerts_unacknowledged "
    f"WHERE world = ? AND {WANTS_A_WORD} ORDER BY number"
)
_THESE: Final = (
    "SELECT * FROM alerts WHERE number IN (SELECT value FROM json_each(?)) AND world = ? "
    "AND acknowledged IS NULL ORDER BY number"
)
_ACKNOWLEDGE: Final = "UPDATE alerts SET acknowledged = ?, acknowledged_by = ? WHERE number = ?"
_ACKNOWLEDGE_INCIDENT: Final = (
    "UPDATE incidents SET acknowledged = ?, acknowledged_by = ? "
    "WHERE number = ? AND acknowledged IS NULL"
)
_MUTES: Final = "SELECT key, until FROM mutes WHERE world = ? AND until > ?"
_MUTE: Final = (
    f"{insert_into('mutes')} ON CONFLICT (world, key) DO UPDATE SET "
    "until = excluded.until, is_mock = excluded.is_mock"
)
_UNMUTE: Final = "DELETE FROM mutes WHERE world = ? AND key = ?"
_NEWEST: Final = (1 << 63) - 1  # no number is above it


class DatabaseAlertJournal:
    """Implements health_ports.AlertJournal for one world.

    Every method raises Retryable or VigilError if the disk is in trouble, and BadRequest for what
    no database would accept; then nothing of the call was written.
    """

    def __init__(self, database: Database, writer: Writer, *, world: str, is_mock: bool) -> None:
        self._reader = Reader(database)
        self._writer = writer
        self._world = world
        self._is_mock = is_mock

    def close(self) -> None:
        self._reader.close()

    # Telling

    async def tell(self, news: Sequence[News], *, handled: Sequence[int] = ()) -> list[Alert]:
        """Commit alerts, letters and incidents, and forget the order news `handled`, all or none.

        Return the alerts as they were stored, with their numbers and those of their incidents; one
        whose `once` is known already is left out, with its letters and its incident if that would
        be a new one.
        """
        told = tuple(replace(item, alert=storable(item.alert)) for item in news)
        numbers = tuple(handled)
        return await self._write(lambda d: self._tell(d, told, numbers), patience=TELL_PATIENCE)

    def _tell(
        self, driver: sqlite3.Connection, news: Sequence[News], handled: Sequence[int]
    ) -> list[Alert]:
        told: list[Alert] = []
        begun: dict[tuple[str, datetime], int] = {}  # incidents that are new in this call
        for item in news:
            known = self._is_known(driver, item.alert)
            number = self._put_incident(driver, item.incident, begun, known=known)
            if not known:
                told.append(self._put_alert(driver, item, number or item.alert.incident))
        order_news.forget(driver, handled)
        return told

    def _is_known(self, driver: sqlite3.Connection, alert: Alert) -> bool:
        asked = (self._world, alert.once)
        return bool(alert.once) and driver.execute(_IS_KNOWN, asked).fetchone() is not None

    def _put_incident(
        self,
        driver: sqlite3.Connection,
        incident: Incident | None,
        begun: dict[tuple[str, datetime], int],
        *,
        known: bool,
    ) -> int:
        """Write it and return its number; a known alert's new incident was written with it."""
        if incident is None or (known and not incident.number):
            return 0
        name = (incident.key, incident.began)
        number = incident.number or begun.get(name, 0)
        number = incidents.put(driver, replace(incident, number=number), world=self._world)
        begun[name] = number
        return number

    def _put_alert(self, driver: sqlite3.Connection, item: News, incident: int) -> Alert:
        alert = replace(item.alert, incident=incident)
        values = alert_values(alert, world=self._world)
        alert = replace(alert, id=int(driver.execute(_INSERT, values).fetchone()[0]))
        outbox.put(driver, alert, item.posts, world=self._world)
        return alert

    async def order_news(self, *, most: int = 100) -> list[OrderNews]:
        """Return what was committed of orders and nobody was told of, oldest first.

        What an order journal was given before is among it, unless the disk is in trouble.
        """
        behind = self._writer.submit(lambda _: None, patience=READ_PATIENCE, durable=False)
        with suppress(VigilError):
            await asyncio.wrap_future(behind)
        return await self._reader.run(lambda c: order_news.oldest(c, self._world, most=most))

    # Incidents

    async def keep_incident(self, incident: Incident) -> Incident:
        """Write an incident as it is now; return it with its number.

        What a person said of it on the disk, an acknowledgement or a note, stays.
        """
        number = await self._write(lambda d: incidents.put(d, incident, world=self._world))
        return replace(incident, number=number)

    async def incidents(self, *, since: datetime, most: int = 50) -> list[Incident]:
        """Return open ones first, then those that began since then; each the latest first."""
        return await self._reader.run(
            lambda c: incidents.latest(c, self._world, since=since, most=most)
        )

    async def note(self, number: int, words: str) -> None:
        """Write what a person says of an incident, which must be of this world."""
        await self._write(lambda d: incidents.note(d, number, words, world=self._world))

    # Alerts

    async def alerts(self, *, most: int = 100, before: int | None = None) -> list[Alert]:
        """Return the latest, newest first; `before` a number, to page on."""
        asked = (self._world, _NEWEST if before is None else before, most)
        return await self._reader.run(
            lambda c: [alert_of(row) for row in c.exec_driver_sql(_LATEST, asked)]
        )

    async def unacknowledged(self) -> list[Alert]:
        """Return those of severity WARNING and above that nobody has acknowledged, oldest first."""
        return await self._reader.run(
            lambda c: [alert_of(r) for r in c.exec_driver_sql(_UNACKNOWLEDGED, (self._world,))]
        )

    async def acknowledge(
        self, at: datetime, by: str, *, numbers: Sequence[int] | None = None
    ) -> list[Alert]:
        """Acknowledge these alerts, or all of severity WARNING and above.

        Return those that were not yet, as they are now; their incidents are acknowledged too.
        """
        return await self._commit(lambda c: self._acknowledge(c, at, plain(by), numbers))

    def _acknowledge(
        self, connection: Connection, at: datetime, by: str, numbers: Sequence[int] | None
    ) -> list[Alert]:
        if numbers is None:
            rows = connection.exec_driver_sql(_UNACKNOWLEDGED, (self._world,)).all()
        else:
            asked = (json.dumps(list(numbers)), self._world)
            rows = connection.exec_driver_sql(_THESE, asked).all()
        found = [replace(alert_of(row), acknowledged=at, acknowledged_by=by) for row in rows]
        driver, said = driver_of(connection), (to_ms(at), by)
        driver.executemany(_ACKNOWLEDGE, [(*said, alert.id) for alert in found])
        meant = {alert.incident for alert in found if alert.incident}
        driver.executemany(_ACKNOWLEDGE_INCIDENT, [(*said, number) for number in meant])
        return found

    # Mutes

    async def mutes(self, now: datetime) -> dict[str, datetime]:
        asked = (self._world, to_ms(now))
        rows = await self._reader.run(lambda c: c.exec_driver_sql(_MUTES, asked).all())
        return {key: from_ms(until) for key, until in rows}

    async def mute(self, key: str, until: datetime | None) -> None:
        """Keep a key (or a component's name) silent until then; None ends it."""
        name = (self._world, plain(key))

        def put(driver: sqlite3.Connection) -> None:
            if until is None:
                driver.execute(_UNMUTE, name)
            else:
                driver.execute(_MUTE, (*name, to_ms(until), self._is_mock))

        await self._write(put)

    # Letters

    async def due(self, channel: str, now: datetime, *, most: int = 50) -> list[Letter]:
        """Return queued letters, critical ones first, else in the order of their alerts."""
        return await self._reader.run(lambda c: outbox.due(c, self._world, channel, now, most=most))

    async def waiting(self, channel: str) -> int:
        """Return how many are queued, those too that must not be sent yet."""
        return await self._reader.run(lambda c: outbox.waiting(c, self._world, channel))

    async def unsettled(self, channel: str) -> list[Letter]:
        """Return the letters that were claimed when the desk died."""
        return await self._reader.run(lambda c: outbox.claimed(c, self._world, channel))

    async def claim(self, number: int) -> bool:
        """Mark a letter SENDING before it is sent; False if somebody else has dealt with it.

        A power cut may forget it: the letter is then sent once more, as after a crash.
        """
        return await self._write(
            lambda d: outbox.claim(d, number), patience=CLAIM_PATIENCE, durable=False
        )

    async def settle(self, letters: Sequence[Letter]) -> None:
        """Write what became of letters: state, attempts, error, reference, not_before."""
        settled = tuple(letters)
        await self._write(lambda d: outbox.settle(d, settled))

    async def letters(self, *, most: int = 50) -> list[Letter]:
        """Return the latest, newest first: the delivery log."""
        return await self._reader.run(lambda c: outbox.latest(c, self._world, most=most))

    # Writing

    async def _write(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        patience: float = PATIENCE,
        durable: bool = True,
    ) -> T:
        return await self._commit(lambda c: work(driver_of(c)), patience=patience, durable=durable)

    async def _commit(
        self, work: Callable[[Connection], T], *, patience: float = PATIENCE, durable: bool = True
    ) -> T:
        with _told_in_words():
            return await asyncio.wrap_future(
                self._writer.submit(work, patience=patience, durable=durable)
            )


@contextmanager
def _told_in_words() -> Iterator[None]:
    """Say so of what is no trouble of the disk, which comes as VigilError already."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OverflowError) as error:
        raise BadRequest(f"the database does not accept it: {words_of(error)}") from error
