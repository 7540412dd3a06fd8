"""Who may speak to the bot: known at once, over a restart, and never across from the stand-in."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from storage.database import Database
from storage.people import DatabasePeople
from storage.writer import Writer
from tests.storage.account import MORNING, SECOND
from tests.storage.sql import rows
from tests.storage.test_writer import locked
from tests.storage.watch import HOSTILE
from trading.errors import VigilError
from trading.health_ports import People, Person

OWNER = Person(chat=-1001234567890, user=1 << 40, role="owner", name="Asha", since=MORNING)
WATCHER = replace(OWNER, user=7, role="watcher", name="Ravi", since=MORNING + SECOND)


async def test_who_is_let_in_is_known_after_a_restart(database: Database, writer: Writer) -> None:
    people: People = DatabasePeople(database, writer, is_mock=False)
    assert people.all() == ()
    await people.add(WATCHER)
    await people.add(OWNER)
    await people.add(replace(WATCHER, role="owner"))

    again = DatabasePeople(database, writer, is_mock=False)
    assert sorted(again.all(), key=lambda p: p.user) == [replace(WATCHER, role="owner"), OWNER]
    await again.remove(WATCHER.chat, WATCHER.user)
    await again.remove(WATCHER.chat, WATCHER.user)
    assert again.all() == (OWNER,)
    assert DatabasePeople(database, writer, is_mock=False).all() == (OWNER,)


async def test_whoever_the_stand_in_made_up_is_a_stranger_to_the_real_bot(
    database: Database, writer: Writer
) -> None:
    await DatabasePeople(database, writer, is_mock=True).add(OWNER)

    assert DatabasePeople(database, writer, is_mock=False).all() == ()


@pytest.mark.parametrize("name", HOSTILE)
async def test_c7_a_hostile_name_is_a_name(database: Database, writer: Writer, name: str) -> None:
    await DatabasePeople(database, writer, is_mock=False).add(replace(OWNER, name=name))

    (kept,) = DatabasePeople(database, writer, is_mock=False).all()
    assert kept.name == name


async def test_in_trouble_nobody_is_let_in_and_whoever_is_shut_out_stays_out(
    database: Database, path: Path
) -> None:
    writer = Writer(database, reserve=0)
    people = DatabasePeople(database, writer, is_mock=False)
    await people.add(OWNER)
    with locked(path):
        adding = asyncio.create_task(people.add(WATCHER))
        removing = asyncio.create_task(people.remove(OWNER.chat, OWNER.user))
        await asyncio.sleep(0.1)
        assert people.all() == ()
        await asyncio.to_thread(writer.stop, 0.6)

    for task in (adding, removing):
        with pytest.raises(VigilError):
            await task
    assert people.all() == ()
    assert rows(path, "SELECT user FROM people") == [(OWNER.user,)]
