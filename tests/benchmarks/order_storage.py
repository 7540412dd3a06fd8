"""Orders, intents and paper fills to disk, alone and while 5,000 ticks/s are written."""

import asyncio
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import load
from tests.benchmarks.storage import FRAME, Source, interpreter_of_the_desk
from tests.storage.account import child, fill, intent, moved
from trading.order import OrderStatus

TICKS: Final = 5_000  # a second
PAUSE: Final = 0.001  # seconds between two commits: as warm as a loop that hears 1,000 ticks/s
WORLD: Final = "benchmark"
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)

Commit = Callable[[int], Awaitable[None]]


def run(*, short: bool = False) -> list[Figure]:
    seconds = 2.0 if short else 10.0
    with interpreter_of_the_desk():
        return [
            *_figures(seconds, beside_ticks=False),
            *_figures(seconds, beside_ticks=True),
            _throughput(durable=False, seconds=seconds / 2),
            _throughput(durable=True, seconds=seconds / 2),
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
            intents = asyncio.run(timed(_intents(database, writer), seconds=seconds))
            normal = asyncio.run(
                timed(_paper_fills(database, writer, durable=False), seconds=seconds)
            )
            full = asyncio.run(timed(_paper_fills(database, writer, durable=True), seconds=seconds))
        finally:
            stop.set()
            if beside_ticks:
                feed.join()
            writer.stop()
        assert writer.dropped == 0, "the writer kept up with the ticks"
    return [
        Figure(f"intent committed (FULL){tail}: p50", intents.p50, "ms"),
        Figure("  p99", intents.p99, "ms", reference=f"{intents.count} intents; {load()}"),
        _below(f"paper fill committed (NORMAL){tail}: p50", normal.p50, 0.2),
        _below("  p99", normal.p99, 2.0, reference=f"{normal.count} fills"),
        Figure(f"paper fill committed (FULL){tail}: p50", full.p50, "ms"),
        Figure("  p99", full.p99, "ms", reference=f"{full.count} fills"),
    ]


def _below(name: str, value: float, goal: float, *, reference: str = "") -> Figure:
    return Figure(name, value, "ms", f"< {goal:g}", value < goal, reference)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds until the loop knows that it is done, sorted."""

    sorted: list[float]

    @property
    def count(self) -> int:
        return len(self.sorted)

    @property
    def p50(self) -> float:
        return self.sorted[self.count // 2]

    @property
    def p99(self) -> float:
        return self.sorted[int(self.count * 0.99)]


async def timed(commit: Commit, *, seconds: float, most: int | None = None) -> Times:
    """Do it again and again, for so many seconds or so many times."""
    for number in range(20):  # statements are compiled, pages are there
        await commit(number)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    for number in itertools.count(20):
        began = time.perf_counter()
        if began > until or len(taken) == most:
            break
        await commit(number)
        taken.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)
    return Times(sorted(taken))


def _intents(database: Database, writer: Writer) -> Commit:
    journal = DatabaseOrderJournal(database, writer, world=WORLD)

    async def commit(number: int) -> None:
        await journal.open_intents([intent(str(number))])

    return commit


def _paper_fills(database: Database, writer: Writer, *, durable: bool) -> Commit:
    account = f"durable {durable}"
    ledger = DatabasePaperLedger(database, writer, world=WORLD, durable=durable)
    order = child(intent("a"), "", account=account)

    async def commit(number: int) -> None:
        done = replace(
            order, order_id=str(number), status=OrderStatus.FILLED, filled=150, average_price=142.6
        )
        executed = fill(str(number), f"{number}-1", account=account, quantity=150)
        await ledger.keep(account, orders=[done], fills=[executed], cash=number)

    return commit


def _throughput(*, durable: bool, seconds: float) -> Figure:
    """Keep states of 100 orders as fast as the loop can, until all of them are on the disk."""
    level = "FULL" if durable else "NORMAL"
    with fresh_database() as database:
        writer = Writer(database)
        kept, taken, states = asyncio.run(_keep(database, writer, durable=durable, seconds=seconds))
        writer.stop()
    return Figure(
        f"orders kept, each in its next state ({level})",
        kept / taken,
        "states/s",
        reference=f"{states} steps in the file, {load()}",
    )


async def _keep(
    database: Database, writer: Writer, *, durable: bool, seconds: float
) -> tuple[int, float, int]:
    journal = DatabaseOrderJournal(database, writer, world=WORLD, durable=durable)
    kept, began, rounds = 0, time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        states = [intent(f"{rounds}-{n}") for n in range(100)]
        rounds += 1
        for filled in range(5):  # the usual length of a life
            for n, order in enumerate(states):
                told = child(order, order.id, filled=filled)
                states[n] = moved(order, OrderStatus.WORKING, told, filled=filled)
                journal.keep(states[n])
                kept += 1
            await asyncio.sleep(0.001)
        if journal.unwritten > 1_000:
            await journal.fills(since=NEVER)  # a reader waits for what was kept before
    await journal.fills(since=NEVER)
    taken = time.perf_counter() - began
    journal.close()
    with database.reading.connect() as connection:
        steps: int = connection.exec_driver_sql("SELECT count(*) FROM order_steps").scalar_one()
    assert steps == kept, "every step is there"
    return kept, taken, steps


def write_ticks(writer: Writer, stop: threading.Event) -> None:
    source, offered, began = Source(per_second=TICKS), 0, time.perf_counter()
    while not stop.is_set():
        if offered >= TICKS * (time.perf_counter() - began):
            time.sleep(0.001)
            continue
        writer.ticks(source.frame(), source.now)
        offered += FRAME


@contextmanager
def fresh_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        database = open_database(Path(folder) / "bench.db")
        try:
            yield database
        finally:
            database.close()
            os.sync()  # or the next figure pays for this one's pages
