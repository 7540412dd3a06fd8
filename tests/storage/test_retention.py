"""Retention: the old goes in small bites, the young stays, and the writer hardly notices."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database
from storage.moments import to_ms
from storage.order_journal import DatabaseOrderJournal
from storage.pnl import DatabasePnlJournal
from storage.retention import Deleted, Retention
from storage.uptime import DatabaseUptimeJournal
from storage.writer import Writer
from tests.storage.account import intent, moved
from tests.storage.sql import count, rows, value
from tests.storage.test_writer import locked
from tests.storage.watch import alert, by, incident, news
from tests.ticks import tick
from trading.clock import ManualClock
from trading.health import Minute
from trading.health_ports import LetterState, News
from trading.model import Candle
from trading.order import OrderStatus
from trading.ports import PnlPoint

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def retention(writer: Writer) -> Retention:
    return Retention(writer, ManualClock(NOW), 7, 400)


def days_ago(days: float) -> int:
    return to_ms(NOW - timedelta(days=days))


def write(writer: Writer, days: float, frames: int = 1) -> None:
    ticks = [tick(f"NSE_FO|{n}") for n in range(500)]
    for _ in range(frames):
        writer.ticks(ticks, days_ago(days))
    writer.flush()


def point(account: str, days: float) -> PnlPoint:
    return PnlPoint(account, NOW - timedelta(days=days), 1, 2, True, True)


def candle(days: float, key: str = "NSE_FO|1") -> Candle:
    return Candle(key, days_ago(days), 1.0, 1.0, 1.0, 1.0, 1, 1, True, True)


async def test_old_ticks_go_and_young_ones_stay(writer: Writer, path: Path) -> None:
    write(writer, 8, frames=13)
    write(writer, 6.99, frames=3)
    write(writer, 0, frames=2)

    assert await retention(writer).run() == Deleted(ticks=6_500, candles=0)

    assert value(path, "SELECT min(received) FROM quote_ticks") == days_ago(6.99)
    assert count(path) == 2_500
    assert await retention(writer).run() == Deleted()


async def test_rows_of_another_clock_do_not_hide_the_old_ones(writer: Writer, path: Path) -> None:
    """A simulated exchange lives in another year, and both worlds share the table."""
    write(writer, -900, frames=9)
    write(writer, 8, frames=5)
    write(writer, 1)

    assert (await retention(writer).run()).ticks == 2_500
    assert count(path) == 5_000


async def test_old_candles_go_and_young_ones_stay(writer: Writer, path: Path) -> None:
    keys = [f"NSE_FO|{n}" for n in range(300)]
    writer.candles([candle(401 + n / 100, key) for key in keys for n in range(10)])
    writer.candles([candle(401 + n / 1440) for n in range(1, 4_500)])
    writer.candles([candle(399, key) for key in keys])
    writer.flush()
    written = count(path, "candles")

    deleted = await retention(writer).run()

    assert deleted == Deleted(candles=written - 300)
    assert rows(path, "SELECT DISTINCT start FROM candles") == [(days_ago(399),)]


async def test_old_points_of_every_curve_go_and_young_ones_stay(
    database: Database, writer: Writer, path: Path
) -> None:
    for world in ("simulated broker", "simulated paper", "upstox broker"):
        journal = DatabasePnlJournal(database, writer, world=world)
        for account in ("few", "main", "second"):
            old = [point(account, 401 + n / 1440) for n in range(3 if account == "few" else 2_300)]
            journal.keep_pnl([*old, point(account, 399), point(account, 0)])
        journal.close()
    writer.flush()

    assert await retention(writer).run() == Deleted(points=3 * (2_300 + 2_300 + 3))

    assert value(path, "SELECT min(at) FROM pnl_points") == days_ago(399)
    assert count(path, "pnl_points") == 3 * 3 * 2
    assert await retention(writer).run() == Deleted()


async def test_old_minutes_of_components_go_and_their_hours_stay_longer(
    database: Database, writer: Writer, path: Path
) -> None:
    for world in ("simulated broker", "upstox broker"):
        journal = DatabaseUptimeJournal(database, writer, world=world, is_mock=True)
        for days in (401, 399, 36, 34, 0):
            for n in range(30 if days == 36 else 1):
                start = NOW - timedelta(days=days, minutes=n)
                journal.keep_minutes(dict.fromkeys(("REST", "books"), Minute(start, 60.0, 60.0)))
        journal.close()
    writer.flush()
    hours = count(path, "component_hours")

    assert await retention(writer).run() == Deleted(minutes=2 * 2 * (1 + 1 + 30) + 2 * 2)

    assert value(path, "SELECT min(start) FROM component_minutes") == days_ago(34)
    assert value(path, "SELECT min(start) FROM component_hours") >= days_ago(399.1)
    assert count(path, "component_hours") == hours - 4
    assert await retention(writer).run() == Deleted()


async def test_old_alerts_go_with_their_letters_unless_one_is_still_on_its_way(
    database: Database, writer: Writer, path: Path
) -> None:
    journal = DatabaseAlertJournal(database, writer, world="simulated broker", is_mock=True)
    old = NOW - timedelta(days=401)
    await journal.tell([News(alert("unsent", at=old), by("telegram", "e-mail"))])
    await journal.tell([News(alert(str(n), at=old), by("telegram")) for n in range(1_200)])
    await journal.tell([News(alert("made up", at=NOW + timedelta(days=900)))])
    await journal.tell([News(alert("last", at=old), (), incident(began=old, ended=old))])
    await journal.tell([news("young", at=NOW - timedelta(days=399))])
    letters = await journal.letters(most=5_000)
    states = (LetterState.SENT, LetterState.FOLDED, LetterState.PARKED)
    await journal.settle(
        [
            replace(letter, state=states[letter.number % 3])
            for letter in letters
            if (letter.alert.key, letter.channel) != ("unsent", "e-mail")
        ]
    )
    orders = DatabaseOrderJournal(database, writer, world="simulated broker")
    orders.keep(moved(intent("a", at=old), OrderStatus.WORKING))

    assert await retention(writer).run() == Deleted(alerts=1_201)

    assert [a.key for a in await journal.alerts()] == ["young", "made up", "unsent"]
    assert rows(path, "SELECT channel FROM letters ORDER BY number") == [("e-mail",), ("telegram",)]
    assert len(await journal.incidents(since=old)) == 1
    assert len(await journal.order_news()) == 1
    assert await retention(writer).run() == Deleted()
    orders.close()
    journal.close()


async def test_ticks_go_on_being_written_while_old_ones_are_deleted(
    writer: Writer, path: Path
) -> None:
    write(writer, 30, frames=60)
    young = [tick(f"NSE_FO|{n}") for n in range(100)]
    longest = 0.0

    async def trade() -> int:
        nonlocal longest
        sent = 0
        while not deleting.done():
            writer.ticks(young, days_ago(0))
            sent += len(young)
            longest = max(longest, writer.stats().lag)
            await asyncio.sleep(0.005)
        return sent

    deleting = asyncio.create_task(retention(writer).run())
    sent = await trade()
    writer.flush()

    assert deleting.result().ticks == 30_000
    assert writer.stats().dropped == 0
    assert count(path) == sent > 500
    assert longest < 1.0


async def test_a_locked_database_ends_the_run_without_an_error(writer: Writer, path: Path) -> None:
    write(writer, 8)
    with locked(path):
        running = asyncio.create_task(retention(writer).run())
        await asyncio.sleep(0.05)
        await asyncio.to_thread(writer.stop, 0.5)

    assert await running == Deleted()
    assert count(path) == 500
