"""Fetched minutes go where ours are missing, and never over what we saw ourselves."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from storage.database import Database
from storage.filled_candles import CHUNK, FilledCandles
from storage.journal import DatabaseJournal
from storage.writer import Writer
from tests.ticks import CALL, NIFTY, T0
from trading.model import Candle
from trading.ports import CandleStore

MINUTE = 60_000


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseJournal]:
    journal = DatabaseJournal(database, writer, is_mock=True)
    yield journal
    journal.close()


def ours(number: int, *, complete: bool = True, is_mock: bool = True) -> Candle:
    return Candle(NIFTY, T0 + number * MINUTE, 1.0, 3.0, 0.5, 2.0, 7, 4, complete, is_mock)


def theirs(number: int, key: str = NIFTY) -> Candle:
    return Candle(key, T0 + number * MINUTE, 1.5, 4.0, 0.7, 2.5, 90, 0, True, True)


async def minutes(journal: DatabaseJournal, key: str = NIFTY) -> list[Candle]:
    return await journal.candles(key, since=T0, until=T0 + 3_000 * MINUTE)


async def test_whole_minutes_of_ours_stay_parts_are_replaced_and_missing_ones_added(
    journal: DatabaseJournal, writer: Writer
) -> None:
    store: CandleStore = FilledCandles(writer)
    writer.candles([ours(0), ours(1, complete=False)])
    writer.flush()

    news = await store.fill([theirs(0), theirs(1), theirs(2)])

    assert news == 2
    assert await minutes(journal) == [ours(0), replace(theirs(1), ticks=4), theirs(2)]
    assert await store.fill([theirs(0), theirs(1), theirs(2)]) == 0


async def test_the_other_world_is_not_touched(journal: DatabaseJournal, writer: Writer) -> None:
    writer.candles([ours(0, complete=False, is_mock=False)])
    writer.flush()

    await FilledCandles(writer).fill([theirs(0)])

    assert await minutes(journal) == [theirs(0)]


async def test_an_instrument_that_was_never_recorded_gets_its_minutes_and_its_ticks_later(
    journal: DatabaseJournal, writer: Writer
) -> None:
    many = [theirs(number, CALL) for number in range(2 * CHUNK + 7)]

    assert await FilledCandles(writer).fill(many) == len(many)
    writer.candles([replace(ours(len(many)), instrument_key=CALL)])
    writer.flush()

    assert len(await minutes(journal, CALL)) == len(many) + 1
