"""Alerts to disk and out again, alone and beside 5,000 ticks/s; the uptimes of a month."""

import asyncio
import threading
import time
from dataclasses import replace

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database
from storage.uptime import DatabaseUptimeJournal
from storage.writer import Writer
from tests.benchmarks.figures import Figure, below
from tests.benchmarks.order_storage import TICKS, Times, fresh_database, timed, write_ticks
from tests.benchmarks.processes import load
from tests.benchmarks.storage import interpreter_of_the_desk
from tests.storage.test_uptime import NOW, fill_with_minutes
from tests.storage.watch import LATER, WORLD, alert, by
from trading.health_ports import LetterState, News


def run(*, short: bool = False) -> list[Figure]:
    seconds = 1.0 if short else 5.0
    with interpreter_of_the_desk():
        return [
            *_figures(seconds, beside_ticks=False),
            *_figures(seconds, beside_ticks=True),
            *_uptimes(20 if short else 100),
        ]


def _figures(seconds: float, *, beside_ticks: bool) -> list[Figure]:
    tail = f", {TICKS:,} ticks/s written" if beside_ticks else ""
    with fresh_database() as database:
        writer = Writer(database)
        stop = threading.Event()
        feed = threading.Thread(target=write_ticks, args=(writer, stop))
        if beside_ticks:
            feed.start()
        try:
            tell, deliver = asyncio.run(_timed(database, writer, seconds))
        finally:
            stop.set()
            if beside_ticks:
                feed.join()
            writer.stop()
        assert writer.dropped == 0, "the writer kept up with the ticks"
    return [
        Figure(f"alert told with 2 letters (FULL){tail}: p50", tell.p50, "ms"),
        Figure("  p99", tell.p99, "ms", reference=f"{tell.count} alerts; {load()}"),
        Figure(f"due, claim and settle of a letter{tail}: p50", deliver.p50, "ms"),
        Figure("  p99", deliver.p99, "ms", reference=f"{deliver.count} letters"),
    ]


async def _timed(database: Database, writer: Writer, seconds: float) -> tuple[Times, Times]:
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)

    async def tell(number: int) -> None:
        await journal.tell([News(alert(f"{number % 20}"), by("telegram", "e-mail"))])

    async def deliver(_: int) -> None:
        (letter,) = await journal.due("telegram", LATER, most=1)
        assert await journal.claim(letter.number)
        sent = replace(letter, state=LetterState.SENT, sent=LATER, took_ms=1.0, reference="m1")
        await journal.settle([sent])

    told = await timed(tell, seconds=seconds)
    sent = await timed(deliver, seconds=seconds, most=told.count)
    journal.close()
    return told, sent


def _uptimes(times: int) -> list[Figure]:
    """Ask for 24 h, 7 and 30 days of 12 components that have a minute for every minute."""
    with fresh_database() as database:
        fill_with_minutes(database.path, NOW, days=30)
        writer = Writer(database)
        journal = DatabaseUptimeJournal(database, writer, world=WORLD, is_mock=True)

        async def ask() -> Times:
            taken = []
            for _ in range(times):
                began = time.perf_counter()
                found = await journal.uptimes(NOW)
                taken.append((time.perf_counter() - began) * 1000)
                assert len(found) == 12
            return Times(sorted(taken))

        asked = asyncio.run(ask())
        journal.close()
        writer.stop()
    rows = 12 * 30 * 1_440
    return [
        below("uptimes of 12 components, 30 days: p50", asked.p50, "ms", 50),
        Figure("  p99", asked.p99, "ms", reference=f"{rows:,} minutes in the file; {load()}"),
    ]
