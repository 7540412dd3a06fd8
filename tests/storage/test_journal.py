"""The journal gives back what was recorded in its own world, and nothing that was not known."""

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Database
from storage.journal import DatabaseJournal
from storage.writer import Writer
from tests.ticks import CALL, NIFTY, T0, tick
from trading.errors import VigilError
from trading.model import Candle, Gap, Part
from trading.ports import Journal

MINUTE = 60_000
NOON = datetime(2025, 11, 26, 6, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseJournal]:
    journal = DatabaseJournal(database, writer, is_mock=True)
    yield journal
    journal.close()


@pytest.fixture
def real(database: Database, writer: Writer) -> Iterator[DatabaseJournal]:
    journal = DatabaseJournal(database, writer, is_mock=False)
    yield journal
    journal.close()


def minute(number: int, *, key: str = NIFTY, volume: int = 7, is_mock: bool = True) -> Candle:
    start = T0 + number * MINUTE
    return Candle(key, start, 1.0, 3.0, 0.5, 2.0, volume, 4, True, is_mock)


async def test_it_is_the_journal_that_the_desk_asks_for(journal: DatabaseJournal) -> None:
    desk_asks_for: Journal = journal

    assert desk_asks_for.stats().state == "ok"


async def test_candles_come_oldest_first_from_since_to_before_until(
    journal: DatabaseJournal, writer: Writer
) -> None:
    writer.candles([minute(n) for n in (3, 1, 0, 2)])
    writer.candles([minute(1, key=CALL), minute(1, is_mock=False)])
    writer.flush()

    found = await journal.candles(NIFTY, since=T0 + MINUTE, until=T0 + 3 * MINUTE)

    assert found == [minute(1), minute(2)]
    assert type(found[0].complete) is bool


async def test_an_unknown_volume_stays_unknown(journal: DatabaseJournal, writer: Writer) -> None:
    writer.candles([minute(0, volume=-1)])
    writer.flush()

    (found,) = await journal.candles(NIFTY, since=0, until=T0 + MINUTE)
    assert found.volume == -1


async def test_the_real_journal_does_not_see_simulated_prices(
    journal: DatabaseJournal, real: DatabaseJournal, writer: Writer
) -> None:
    writer.candles([minute(0)])
    writer.ticks([tick(NIFTY)], T0)
    await journal.set_watchlist([NIFTY])
    await asyncio.wrap_future(journal.open_gap("market", NOON, "stalled"))
    writer.flush()

    assert await real.candles(NIFTY, since=0, until=T0 + MINUTE) == []
    assert await real.ticks(NIFTY, since=0, until=T0 + MINUTE) == []
    assert await real.watchlist() is None
    assert await real.gaps("market", since=NOON - HOUR, until=NOON + HOUR) == []
    assert len(await journal.candles(NIFTY, since=0, until=T0 + MINUTE)) == 1


async def test_ticks_come_back_as_they_were_with_the_unknown_unknown(
    journal: DatabaseJournal, writer: Writer
) -> None:
    whole, book = tick(CALL, at=T0 + 1), tick(CALL, at=T0 + 2, parts=Part.BOOK)
    writer.ticks([book, whole, tick(NIFTY)], T0)
    writer.flush()

    first, second = await journal.ticks(CALL, since=T0 + 1, until=T0 + 3)

    stored = ("ltp", "ltt", "ltq", "close", "bid", "ask_qty", "volume", "oi", "iv", "vega", "parts")
    assert [getattr(first, name) for name in stored] == [getattr(whole, name) for name in stored]
    assert math.isnan(second.ltp)
    assert (second.ltt, second.ltq, second.volume, second.parts) == (0, -1, -1, Part.BOOK)
    assert math.isnan(second.received)
    assert len(await journal.ticks(CALL, since=0, until=T0 + 9, limit=1)) == 1


async def test_a_gap_is_opened_once_and_closed(journal: DatabaseJournal) -> None:
    end = NOON + timedelta(seconds=40)
    assert await asyncio.wrap_future(journal.open_gap("market", NOON, "stalled"))
    assert not await asyncio.wrap_future(journal.open_gap("market", end, "backing off"))
    (still_open,) = await journal.gaps("market", since=NOON - HOUR, until=NOON + HOUR)
    assert still_open == Gap("market", NOON, None, "stalled", True, number=1)

    assert await asyncio.wrap_future(journal.close_gap("market", end)) == 1
    assert await asyncio.wrap_future(journal.close_gap("market", end)) == 0

    (closed,) = await journal.gaps("market", since=NOON - HOUR, until=NOON + HOUR)
    assert closed == Gap("market", NOON, end, "stalled", True, number=1)


async def test_gaps_are_those_that_touch_the_stretch(journal: DatabaseJournal) -> None:
    for hour in range(5):
        begin = NOON + hour * HOUR
        journal.record_gap("market", begin, begin + HOUR / 2, str(hour))
    await asyncio.wrap_future(journal.record_gap("portfolio", NOON, NOON + HOUR, "other"))

    found = await journal.gaps("market", since=NOON + 1.4 * HOUR, until=NOON + 3 * HOUR)

    assert [gap.reason for gap in found] == ["1", "2"]


async def test_a_gap_that_would_end_before_it_began_is_forgotten(journal: DatabaseJournal) -> None:
    """A simulated exchange that starts its day again sets the desk's clock back."""
    journal.open_gap("market", NOON, "stopped")
    await asyncio.wrap_future(journal.close_gap("market", NOON - HOUR))

    assert await journal.gaps("market", since=NOON - 9 * HOUR, until=NOON + HOUR) == []


async def test_a_watchlist_that_was_never_kept_is_not_an_empty_one(
    journal: DatabaseJournal,
) -> None:
    assert await journal.watchlist() is None
    await journal.set_watchlist([])
    assert await journal.watchlist() == []


async def test_the_watchlist_keeps_its_order_and_its_worlds(
    journal: DatabaseJournal, real: DatabaseJournal
) -> None:
    await journal.set_watchlist([CALL, NIFTY, "NSE_EQ|M&M'; DROP TABLE watchlist;--"])
    await real.set_watchlist([NIFTY])
    await journal.set_watchlist([NIFTY, CALL])

    assert await journal.watchlist() == [NIFTY, CALL]
    assert await real.watchlist() == [NIFTY]


async def test_no_heartbeat_is_no_time_and_not_the_beginning_of_time(
    journal: DatabaseJournal,
) -> None:
    assert await journal.last_alive() is None


async def test_a_read_that_cannot_be_done_is_told_in_words(
    database: Database, journal: DatabaseJournal, writer: Writer
) -> None:
    writer.stop()
    database.reading.dispose()
    database.path.unlink()

    with pytest.raises(VigilError, match="database: unable to open"):
        await journal.watchlist()
