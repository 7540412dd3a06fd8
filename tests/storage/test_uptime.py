"""Minutes of components: kept as they are, replaced when told again, summed to the minute."""

import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event

from storage.database import Database, open_database
from storage.moments import to_ms
from storage.uptime import DatabaseUptimeJournal
from storage.writer import PATIENCE, Writer
from tests.storage.account import MORNING
from tests.storage.sql import count, rows
from tests.storage.test_writer import eventually, locked
from tests.storage.watch import HOSTILE, WORLD
from trading.health import Minute, Uptimes
from trading.health_ports import UptimeJournal

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = MORNING + timedelta(minutes=23, seconds=40)  # not on the hour, nor on the minute


def journal_in(database: Database, writer: Writer, world: str = WORLD) -> DatabaseUptimeJournal:
    return DatabaseUptimeJournal(database, writer, world=world, is_mock=True)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseUptimeJournal]:
    journal = journal_in(database, writer)
    yield journal
    journal.close()


async def test_minutes_come_back_as_they_were_oldest_first(
    journal: DatabaseUptimeJournal, writer: Writer
) -> None:
    watch_asks_for: UptimeJournal = journal
    kept = [Minute(MORNING + n * MINUTE, 60.0, 12.25 * n, 100 * n, n) for n in range(4)]
    for minute in reversed(kept):
        watch_asks_for.keep_minutes({"market feed": minute, "portfolio stream of main": minute})
    writer.flush()

    since, until = MORNING, MORNING + 3 * MINUTE
    assert await watch_asks_for.minutes("market feed", since=since, until=until) == kept[:3]
    assert await watch_asks_for.minutes("REST", since=since, until=until) == []


async def test_a_minute_that_is_told_again_takes_the_place_of_the_first(
    journal: DatabaseUptimeJournal, writer: Writer, path: Path
) -> None:
    journal.keep_minutes({"REST": Minute(MORNING, 30.0, 30.0, 5, 1)})
    journal.keep_minutes({"REST": Minute(MORNING, 60.0, 15.0, 9, 2)})
    writer.flush()

    assert rows(path, "SELECT judged, up, messages, errors FROM component_hours") == [
        (60.0, 15.0, 9, 2)
    ]
    assert count(path, "component_minutes") == 1
    assert (await journal.uptimes(NOW))["REST"].day == 0.25


async def test_uptime_counts_market_time_only_and_is_unknown_without_any(
    journal: DatabaseUptimeJournal, writer: Writer
) -> None:
    journal.keep_minutes({"market feed": Minute(NOW - 2 * DAY, 0.0, 0.0)})
    journal.keep_minutes({"market feed": Minute(NOW - 3 * DAY, 60.0, 45.0)})
    journal.keep_minutes({"market feed": Minute(NOW - 29 * DAY, 20.0, 15.0)})
    journal.keep_minutes({"REST": Minute(NOW - 31 * DAY, 60.0, 60.0)})
    writer.flush()

    assert await journal.uptimes(NOW) == {"market feed": Uptimes(None, 0.75, 0.75)}


async def test_uptimes_are_exact_to_the_minute_whatever_the_hour(
    journal: DatabaseUptimeJournal, writer: Writer
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    names = ["market feed", "REST", "storage"]
    edges = [NOW, *(NOW - days * DAY for days in (1, 7, 30))]
    starts = {edge.replace(second=0) + n * MINUTE for edge in edges for n in range(-70, 70, 7)} | {
        (NOW - timedelta(minutes=chance.randrange(45_000))).replace(second=0) for _ in range(200)
    }
    kept: dict[str, list[Minute]] = {name: [] for name in names}
    for start in sorted(starts):
        told = {name: Minute(start, 60.0, chance.choice([0.0, 30.0, 60.0])) for name in names}
        journal.keep_minutes(told)
        for name, minute in told.items():
            kept[name].append(minute)
    writer.flush()

    found = await journal.uptimes(NOW)

    assert found == {name: Uptimes(*(share(kept[name], d) for d in (1, 7, 30))) for name in names}


def share(minutes: list[Minute], days: int) -> float | None:
    counted = [m for m in minutes if NOW - days * DAY <= m.start < NOW]
    return sum(m.up for m in counted) / sum(m.judged for m in counted)


async def test_what_a_simulated_day_before_left_in_the_future_does_not_count(
    journal: DatabaseUptimeJournal, writer: Writer
) -> None:
    journal.keep_minutes({"REST": Minute(NOW - 5 * MINUTE, 60.0, 60.0)})
    journal.keep_minutes({"REST": Minute(NOW + 5 * MINUTE, 60.0, 0.0)})
    journal.keep_minutes({"REST": Minute(NOW + 2 * HOUR, 60.0, 0.0)})
    writer.flush()

    assert await journal.uptimes(NOW) == {"REST": Uptimes(1.0, 1.0, 1.0)}


async def test_worlds_and_hostile_names_do_not_meet(
    database: Database, journal: DatabaseUptimeJournal, writer: Writer
) -> None:
    live = journal_in(database, writer, "upstox broker")
    journal.keep_minutes({name: Minute(MORNING, 60.0, 60.0) for name in HOSTILE})
    live.keep_minutes({"REST": Minute(MORNING, 60.0, 0.0)})
    writer.flush()

    assert set(await journal.uptimes(NOW)) == set(HOSTILE)
    assert await live.uptimes(NOW) == {"REST": Uptimes(0.0, 0.0, 0.0)}
    live.close()


async def test_minutes_that_the_disk_would_never_take_cost_only_themselves(
    journal: DatabaseUptimeJournal, writer: Writer, path: Path
) -> None:
    journal.keep_minutes({"REST": Minute(MORNING, float("nan"), 0.0)})
    journal.keep_minutes({"REST": Minute(MORNING + MINUTE, 60.0, 60.0)})
    writer.flush()

    assert count(path, "component_minutes") == 1


class NotingWriter(Writer):
    """The writer, with how long each record may wait: a real outage would be a long test."""

    def submit(
        self, work: Callable[[Connection], T], *, patience: float = PATIENCE, durable: bool = True
    ) -> "Future[T]":
        self.patience = patience
        return super().submit(work, patience=patience, durable=durable)


def test_minutes_of_an_outage_of_the_disk_wait_until_it_is_over(
    database: Database, path: Path
) -> None:
    """Else the share would be best where the storage was down: a lost minute is not judged."""
    writer = NotingWriter(database, reserve=0)
    journal = journal_in(database, writer)
    with locked(path):
        for n in range(3):
            journal.keep_minutes({"storage": Minute(MORNING + n * MINUTE, 60.0, 0.0)})
        eventually(lambda: writer.stats().state == "locked", within=5)
    writer.flush()
    writer.stop()
    journal.close()

    assert count(path, "component_minutes") == 3
    assert writer.patience == math.inf


async def test_thirty_days_of_twelve_components_are_summed_without_reading_them(
    path: Path,
) -> None:
    """By SQLite's own count of steps: the minutes of one component alone would be 500,000."""
    fill_with_minutes(path, NOW, days=30)
    database = open_database(path)
    writer = Writer(database, reserve=0)
    journal = journal_in(database, writer)
    steps = 0

    def count_steps() -> int:
        nonlocal steps
        steps += 1
        return 0

    @event.listens_for(database.reading, "checkout")
    def begin(driver: object, *_: object) -> None:
        driver.set_progress_handler(count_steps, 1_000)  # type: ignore[attr-defined]

    found = await journal.uptimes(NOW)
    writer.stop()
    journal.close()
    database.close()

    assert len(found) == 12
    assert all(uptimes == Uptimes(0.75, 0.75, 0.75) for uptimes in found.values())
    assert steps * 1_000 < 500_000


def fill_with_minutes(path: Path, now: datetime, *, days: int) -> None:
    """Make the minutes that 12 components leave, all of them market time."""
    open_database(path).close()
    last = to_ms(now.replace(second=0))
    minutes = (
        "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n LIMIT ?2), "
        "c(c) AS (SELECT 0 UNION ALL SELECT c + 1 FROM c LIMIT 12) INSERT INTO component_minutes "
        "SELECT 'simulated broker', 'component ' || c, ?1 - n * 60000, 60.0, 45.0, 100, 0, 1 "
        "FROM c, n ORDER BY c, n DESC"
    )
    hours = (
        "INSERT INTO component_hours SELECT world, start - start % 3600000, name, sum(judged), "
        "sum(up), sum(messages), sum(errors), 1 FROM component_minutes GROUP BY 1, 2, 3"
    )
    database = open_database(path)
    with closing(database), database.writing.connect() as connection, connection.begin():
        connection.exec_driver_sql(minutes, (last, days * 1_440 + 60))
        connection.exec_driver_sql(hours)
