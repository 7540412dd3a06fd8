"""The ledger of gaps: what is known of each, what is still to fill, and how fast prices came."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.database import Database
from storage.gaps import DatabaseGapLedger
from storage.journal import DatabaseJournal
from storage.recorder import TickRate
from storage.writer import Writer
from tests.storage.sql import rows
from tests.storage.test_recorder import NOON, Running
from tests.storage.watch import HOSTILE
from tests.ticks import CALL, NIFTY, T0, batch, tick
from trading.errors import BadRequest
from trading.health_ports import GapLedger
from trading.model import Batch, Gap
from trading.ports import FeedState

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(database: Database, writer: Writer) -> Iterator[DatabaseGapLedger]:
    ledger = DatabaseGapLedger(database, writer, is_mock=True)
    yield ledger
    ledger.close()


async def record(database: Database, writer: Writer, *minutes: int, is_mock: bool = True) -> None:
    """Let there be a gap of half a minute in each of these minutes."""
    journal = DatabaseJournal(database, writer, is_mock=is_mock)
    for minute in minutes:
        start = NOON + minute * MINUTE
        await asyncio.wrap_future(
            journal.record_gap("market", start, start + MINUTE / 2, f"silent {minute}")
        )
    journal.close()


async def test_what_is_known_of_a_gap_is_written_to_it(
    database: Database, writer: Writer, ledger: DatabaseGapLedger
) -> None:
    watch_asks_for: GapLedger = ledger
    await record(database, writer, 0, 1)
    first, second = await watch_asks_for.unfilled("market")
    known = replace(
        first, instruments=50, ticks_missed=1_240, filled=3, fill_words="from candles over REST"
    )

    await watch_asks_for.filled(known)
    await watch_asks_for.filled(replace(second, filled=0, fill_words="the broker has none yet"))

    assert await watch_asks_for.unfilled("market") == []
    found = await watch_asks_for.gaps("market", since=NOON, until=NOON + MINUTE)
    assert found == [known]
    journal = DatabaseJournal(database, writer, is_mock=True)
    assert await journal.gaps("market", since=NOON, until=NOON + MINUTE) == [known]
    journal.close()


async def test_only_gaps_that_are_over_are_to_be_filled_oldest_first(
    database: Database, writer: Writer, ledger: DatabaseGapLedger
) -> None:
    await record(database, writer, 5, 2)
    await record(database, writer, 3, is_mock=False)
    journal = DatabaseJournal(database, writer, is_mock=True)
    await asyncio.wrap_future(journal.open_gap("market", NOON, "stalled"))

    assert [gap.reason for gap in await ledger.unfilled("market")] == ["silent 2", "silent 5"]
    assert await ledger.unfilled("portfolio-main") == []
    await asyncio.wrap_future(journal.close_gap("market", NOON + MINUTE))
    first, *_ = await ledger.unfilled("market")
    assert first.reason == "stalled"
    journal.close()


async def test_a_gap_that_the_ledger_does_not_have_is_refused(
    database: Database, writer: Writer, ledger: DatabaseGapLedger
) -> None:
    await record(database, writer, 0, is_mock=False)

    with pytest.raises(BadRequest, match="no gap 1 of market"):
        await ledger.filled(Gap("market", NOON, NOON + MINUTE, "", True, number=1, filled=9))


@pytest.mark.parametrize("words", HOSTILE)
async def test_c7_hostile_words_stay_words(
    database: Database, writer: Writer, ledger: DatabaseGapLedger, words: str
) -> None:
    await record(database, writer, 0)
    (gap,) = await ledger.unfilled("market")
    await ledger.filled(replace(gap, fill_words=words))

    (kept,) = await ledger.gaps("market", since=LONG_AGO, until=NOON + MINUTE)
    assert kept.fill_words == words


# How fast prices came before


def prices(number: int, *keys: str) -> Batch:
    return batch(*(tick(key, ltt=T0 + number, ltp=100.0 + number) for key in keys))


def test_the_rate_is_that_of_the_last_minute_with_prices() -> None:
    rate = TickRate()
    assert rate.per_second is None
    for second in range(4):
        rate.add(1_000 + second, 30)
    assert rate.per_second is None  # four seconds say little
    rate.add(1_004, 20)
    rate.add(1_004, 10)
    assert rate.per_second == 30.0
    for second in range(1_005, 1_300):
        rate.add(second, 12)
    assert rate.per_second == 12.0
    rate.add(1_350, 60)  # a market that was quiet for a while, on a feed that was live
    assert rate.per_second == (9 * 12 + 60) / 60
    rate.add(1_349, 60)  # the clock was set right
    assert rate.per_second == (9 * 12 + 120) / 60
    rate.add(100, 1)  # a simulated day began again
    assert rate.per_second is None


async def test_a_gap_knows_the_rate_before_it(
    database: Database, ledger: DatabaseGapLedger
) -> None:
    desk = Running(database)
    desk.feed.become(FeedState.LIVE, NOON)
    for n in range(600):
        desk.market_data.publish(prices(n, NIFTY, CALL))
        desk.clock.advance(0.2)
    desk.clock.advance(15.0)
    desk.feed.become(FeedState.STALLED, desk.clock.now(), "silent for 15 s")
    desk.clock.advance(5.0)
    desk.feed.become(FeedState.LIVE, desk.clock.now())
    desk.writer.stop()

    (gap,) = await ledger.unfilled("market")
    assert gap.rate == pytest.approx(10.0, rel=0.05)
    assert (gap.ticks_missed, gap.instruments, gap.filled) == (None, None, None)


async def test_an_outage_does_not_thin_out_the_rate_before_the_next(
    database: Database, ledger: DatabaseGapLedger
) -> None:
    desk = Running(database)
    for seconds in (300, 6, 3):  # live for so long, then away for longer than is remembered
        desk.feed.become(FeedState.LIVE, desk.clock.now())
        for n in range(seconds * 5):
            desk.market_data.publish(prices(n, NIFTY, CALL))
            desk.clock.advance(0.2)
        desk.feed.become(FeedState.BACKING_OFF, desk.clock.now(), f"lost after {seconds} s")
        desk.clock.advance(90.0)
    desk.feed.become(FeedState.LIVE, desk.clock.now())
    desk.writer.stop()

    found = {gap.reason: gap.rate for gap in await ledger.unfilled("market")}
    assert found == {
        "lost after 300 s": pytest.approx(10.0, rel=0.05),
        "lost after 6 s": pytest.approx(10.0, rel=0.2),
        "lost after 3 s": None,  # too short to know
    }


async def test_the_rate_of_a_run_is_not_taken_for_that_of_the_next(
    database: Database, ledger: DatabaseGapLedger
) -> None:
    crashed = Running(database)
    crashed.feed.become(FeedState.LIVE, NOON)
    for n in range(70):
        crashed.market_data.publish(prices(n, NIFTY, CALL))
        crashed.clock.advance(1.0)
    await crashed.recorder.heartbeat()
    crashed.writer.stop()
    for minutes, heard in ((10, True), (20, False), (30, False)):  # each is killed within seconds
        desk = Running(database)
        desk.clock.advance(minutes * 60.0)
        desk.feed.become(FeedState.LIVE, desk.clock.now())
        if heard:
            desk.market_data.publish(prices(0, NIFTY, CALL))
        await desk.recorder.heartbeat()
        desk.writer.stop()

    assert [gap.rate for gap in await ledger.unfilled("market")] == [2.0, None, None]


async def test_after_a_crash_the_rate_is_that_of_the_last_heartbeat(
    database: Database, ledger: DatabaseGapLedger, path: Path
) -> None:
    crashed = Running(database)
    crashed.feed.become(FeedState.LIVE, NOON)
    for n in range(70):
        crashed.market_data.publish(prices(n, NIFTY, CALL, "NSE_FO|1"))
        crashed.clock.advance(1.0)
    await crashed.recorder.heartbeat()
    crashed.writer.stop()
    desk = Running(database)
    desk.clock.advance(3600.0)
    await desk.recorder.heartbeat()
    desk.feed.become(FeedState.LIVE, desk.clock.now())
    desk.writer.stop()

    (gap,) = await ledger.unfilled("market")
    assert (gap.reason, gap.rate) == ("Vigil was not running", 3.0)
    assert rows(path, "SELECT name FROM desk_state") == [("alive",)]  # its own rate is not known
