"""The recorder: ticks, minutes, gaps and the heartbeat of a desk reach the disk."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.database import Database
from storage.journal import DatabaseJournal
from storage.moments import to_ms
from storage.recorder import Recorder
from storage.writer import Writer
from tests.storage.sql import count, value
from tests.ticks import NIFTY, T0, batch, tick
from trading.candles import CandleBuilder
from trading.clock import ManualClock
from trading.market_data import MarketDataService
from trading.model import Gap, Mode
from trading.ports import FeedChange, FeedState, FeedStats
from trading.signal import Signal

NOON = datetime(2025, 11, 26, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


class QuietFeed:
    """A feed whose states a test tells."""

    name = "market"

    def __init__(self) -> None:
        self.changes: Signal[FeedChange] = Signal("feed changes")
        self.state = FeedState.STOPPED

    def become(self, state: FeedState, at: datetime, reason: str = "") -> None:
        before, self.state = self.state, state
        self.changes.emit(FeedChange(self.name, before, state, reason, at))

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def want(self, wanted: Mapping[str, Mode], deep: Collection[str] = ()) -> None: ...
    def expect_prices(self, expected: bool) -> None: ...
    def reconnect(self, reason: str) -> None: ...

    def stats(self) -> FeedStats:
        return FeedStats(self.name, self.state, NOON, "", True)


class Running:
    """One run of a desk, as far as recording goes."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock(NOON)
        self.writer = Writer(database, reserve=0)
        self.market_data = MarketDataService(self.clock)
        self.candles = CandleBuilder()
        self.feed = QuietFeed()
        self.market_data.ticks.subscribe(self.candles.add)
        self.recorder = Recorder(self.writer, self.clock, is_mock=True)
        self.recorder.follow(self.market_data, self.candles, self.feed)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseJournal]:
    journal = DatabaseJournal(database, writer, is_mock=True)
    yield journal
    journal.close()


async def gaps(journal: DatabaseJournal) -> list[Gap]:
    """Return them without the numbers that the ledger gave them."""
    found = await journal.gaps("market", since=NOON - 9 * DAY, until=NOON + 9 * DAY)
    assert all(gap.number for gap in found)
    return [replace(gap, number=0) for gap in found]


def test_what_is_published_is_stored_with_its_minutes_and_the_late_ones_too(
    database: Database, path: Path
) -> None:
    desk = Running(database)
    for second in range(0, 130, 10):
        desk.market_data.publish(batch(tick(NIFTY, ltt=T0 + second * 1000, ltp=100.0 + second)))
    desk.market_data.publish(batch(tick(NIFTY, ltt=T0 + 1000, ltp=99.0)))
    desk.candles.flush()
    desk.writer.stop()

    assert count(path) == 14
    assert count(path, "candles") == 3
    assert value(path, "SELECT max(received) FROM quote_ticks") == to_ms(NOON)


async def test_a_gap_begins_with_the_last_price_and_ends_with_the_next(
    database: Database, journal: DatabaseJournal
) -> None:
    desk = Running(database)
    desk.feed.become(FeedState.LIVE, NOON)
    desk.market_data.publish(batch(tick(NIFTY)))
    desk.clock.advance(15.0)
    desk.feed.become(FeedState.STALLED, desk.clock.now(), "silent for 15 s")
    desk.feed.become(FeedState.BACKING_OFF, desk.clock.now(), "refused")
    desk.clock.advance(5.0)
    desk.feed.become(FeedState.LIVE, desk.clock.now())
    desk.writer.stop()

    end = NOON + timedelta(seconds=20)
    assert await gaps(journal) == [Gap("market", NOON, end, "silent for 15 s", True)]


async def test_a_first_run_has_no_gap_before_it(
    database: Database, journal: DatabaseJournal
) -> None:
    desk = Running(database)
    await desk.recorder.heartbeat()
    desk.feed.become(FeedState.LIVE, NOON + timedelta(seconds=30))
    desk.writer.stop()

    assert await gaps(journal) == []


async def test_after_a_crash_the_gap_began_at_the_last_heartbeat(
    database: Database, journal: DatabaseJournal
) -> None:
    crashed = Running(database)
    crashed.feed.become(FeedState.LIVE, NOON)
    await crashed.recorder.heartbeat()
    crashed.writer.stop()

    desk = Running(database)
    desk.clock.advance(3600.0)
    await desk.recorder.heartbeat()  # its own does not count
    desk.feed.become(FeedState.LIVE, desk.clock.now())
    desk.feed.become(FeedState.LIVE, desk.clock.now() + DAY)
    desk.writer.stop()

    end = NOON + timedelta(hours=1)
    assert await gaps(journal) == [Gap("market", NOON, end, "Vigil was not running", True)]
    assert await journal.last_alive() == end + DAY  # coming alive counts


async def test_a_run_that_was_never_live_does_not_hide_what_was_missed(
    database: Database, journal: DatabaseJournal
) -> None:
    crashed = Running(database)
    crashed.feed.become(FeedState.LIVE, NOON)
    crashed.writer.stop()  # killed: it never said goodbye
    refused = Running(database)
    refused.clock.advance(600.0)
    refused.feed.become(FeedState.REFUSED, refused.clock.now(), "the token has ended")
    await refused.recorder.heartbeat()
    refused.feed.become(FeedState.STOPPED, refused.clock.now(), "stopped")
    refused.writer.stop()

    desk = Running(database)
    end = NOON + timedelta(minutes=11)
    desk.feed.become(FeedState.LIVE, end)
    desk.writer.stop()

    assert await gaps(journal) == [Gap("market", NOON, end, "Vigil was not running", True)]


async def test_a_clean_stop_is_one_gap_until_the_next_run(
    database: Database, journal: DatabaseJournal
) -> None:
    first = Running(database)
    await first.recorder.heartbeat()
    first.feed.become(FeedState.LIVE, NOON)
    first.feed.become(FeedState.STOPPED, NOON + timedelta(minutes=5), "stopped")
    first.writer.stop()

    second = Running(database)
    second.feed.become(FeedState.LIVE, NOON + timedelta(minutes=9))
    second.writer.stop()

    (gap,) = await gaps(journal)
    expected = Gap("market", NOON + timedelta(minutes=5), None, "stopped", True)
    assert gap == replace(expected, end=NOON + timedelta(minutes=9))


async def test_a_desk_killed_before_its_first_heartbeat_was_alive_when_prices_came(
    database: Database, journal: DatabaseJournal
) -> None:
    first = Running(database)
    first.feed.become(FeedState.LIVE, NOON)
    first.writer.flush()
    first.writer.stop()  # killed: it never said goodbye
    second = Running(database)
    second.feed.become(FeedState.LIVE, NOON + timedelta(seconds=40))
    second.writer.flush()
    second.writer.stop()

    found = [(gap.start, gap.end) for gap in await gaps(journal)]
    assert found == [(NOON, NOON + timedelta(seconds=40))]
