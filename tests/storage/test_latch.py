"""What a person said holds over a restart, in its own world, and only as long as it is meant."""

from datetime import date
from pathlib import Path

import pytest

from storage.database import Database
from storage.latch import KeptWord, LiveDay, Word
from storage.writer import Writer
from tests.storage.sql import rows
from trading.errors import VigilError
from trading.latch import Memory


def kept(database: Database, writer: Writer, word: Word, world: str = "upstox broker") -> KeptWord:
    return KeptWord(database, writer, word, world=world, is_mock=False)


async def test_the_day_of_live_orders_is_read_again_after_a_restart(
    database: Database, writer: Writer, path: Path
) -> None:
    day: Memory = LiveDay(kept(database, writer, Word.LIVE))
    assert day.read() is None

    await day.write(date(2026, 11, 20))
    await day.write(date(2026, 11, 23))

    assert LiveDay(kept(database, writer, Word.LIVE)).read() == date(2026, 11, 23)
    assert rows(path, "SELECT name, value, is_mock FROM latches") == [
        ("live orders", "2026-11-23", 0)
    ]


async def test_the_word_of_one_world_does_not_hold_in_another(
    database: Database, writer: Writer
) -> None:
    await kept(database, writer, Word.LIVE, "simulated broker").write("2026-11-20")

    assert LiveDay(kept(database, writer, Word.LIVE)).read() is None


async def test_entries_are_refused_until_the_word_is_taken_back(
    database: Database, writer: Writer
) -> None:
    refused = kept(database, writer, Word.REFUSED)
    await refused.write("kill switch; DROP TABLE latches")
    await kept(database, writer, Word.LIVE).write("2026-11-20")
    assert kept(database, writer, Word.REFUSED).read() == "kill switch; DROP TABLE latches"

    await refused.write(None)

    assert refused.read() is None
    assert kept(database, writer, Word.LIVE).read() == "2026-11-20"


async def test_a_word_that_the_disk_did_not_take_is_an_error(
    database: Database, writer: Writer
) -> None:
    refused = kept(database, writer, Word.REFUSED)
    writer.stop()

    with pytest.raises(VigilError, match="stopped"):
        await refused.write("why")
