"""Ticks to disk through the real Writer, beside plain sqlite3, and reading them meanwhile."""

import asyncio
import gc
import itertools
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.database import Database, open_database
from storage.journal import DatabaseJournal
from storage.reader import Reader
from storage.statements import tick_rows
from storage.writer import Writer
from tests.benchmarks.figures import Figure, at_least, below
from tests.benchmarks.processes import load
from tests.ticks import T0, tick
from trading.model import Tick

INSTRUMENTS: Final = 500
FRAME: Final = 100  # ticks
CAPACITY: Final = 200_000  # rows, the default of settings.toml
GOAL: Final = 100_000  # rows/s
BATCH: Final = 10_000  # rows in a transaction of the reference, as many as the Writer takes
KEYS: Final = [f"NSE_FO|{45_000 + index}" for index in range(INSTRUMENTS)]
RECENT: Final = 5 * 60_000  # ms


def run(*, short: bool = False) -> list[Figure]:
    with interpreter_of_the_desk():
        return _figures(short=short)


@contextmanager
def interpreter_of_the_desk() -> Iterator[None]:
    """Switch threads and collect garbage as main has it: its defaults make another program."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(0.001)
    gc.set_threshold(50_000, 20, 20)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)


def _figures(*, short: bool) -> list[Figure]:
    seconds = 6.0 if short else 60.0
    plain = _plain_sqlite(seconds=seconds / 4)
    flat_out = _written(_as_fast_as_it_goes, seconds=seconds)
    rate = 0.9 * flat_out.rate
    paced = _written(lambda w, s: _paced(w, s, rate=rate), seconds=seconds)
    beside = _beside_a_busy_thread(seconds=seconds / 4)
    return [
        at_least(
            f"written in {seconds:.0f} s, the queue kept half full",
            flat_out.rate,
            "rows/s",
            GOAL,
            reference=f"sqlite3 executemany {plain:,.0f} rows/s; file "
            f"{flat_out.megabytes:,.0f} MB; {load()}",
        ),
        _none("  of these lost", flat_out),
        at_least(
            f"written in {seconds:.0f} s, offered blindly at 90 % of that",
            paced.rate,
            "rows/s",
            GOAL,
            reference=f"offered {rate:,.0f}; at most {paced.most_queued:,} of {CAPACITY:,} queued",
        ),
        _none("  of these lost", paced),
        Figure("written beside a thread that never rests", beside.rate, "rows/s"),
        *_reading(seconds=seconds / 3),
    ]


def _none(name: str, done: "Done") -> Figure:
    lost = done.accepted - done.found
    reference = f"{done.accepted:,} accepted, {done.found:,} in the file, {done.dropped} dropped"
    return Figure(name, lost, "rows", "= 0", lost == 0 == done.dropped, reference)


@dataclass(frozen=True, slots=True)
class Done:
    """What went in and what is in the file afterwards; the rate includes writing what waited."""

    accepted: int
    found: int
    dropped: int
    most_queued: int
    seconds: float
    megabytes: float

    @property
    def rate(self) -> float:
        return self.found / self.seconds


class Source:
    """Frames of a market in which every tick differs and the exchange's time goes on."""

    def __init__(self, *, per_second: float) -> None:
        rng = random.Random(7)
        self._keys = itertools.cycle(range(0, INSTRUMENTS, FRAME))
        self._step = FRAME * 1000 / per_second  # ms between frames
        self._now = float(T0)
        self._price = [rng.randrange(2_000, 100_000) * 0.05 for _ in KEYS]
        self._first = tick()

    @property
    def now(self) -> int:
        """Epoch ms of the exchange."""
        return int(self._now)

    def frame(self) -> list[Tick]:
        first = next(self._keys)
        self._now += self._step
        now = int(self._now)
        head, tail = self._first[11:23], self._first[24:]
        ticks = []
        for index in range(first, first + FRAME):
            price = self._price[index] = self._price[index] + 0.05
            ticks.append(
                Tick._make(
                    (
                        *(KEYS[index], price, now - 90, 75, 131.2, price - 0.05, 300),
                        *(price + 0.05, 225, now % 10**7, 137.44, *head, now, *tail),
                    )
                )
            )
        return ticks


Feed = Callable[[Writer, float], tuple[int, int]]  # rows accepted, most rows queued


def _written(feed: Feed, *, seconds: float) -> Done:
    with _database() as database:
        return _write(database, feed, seconds)


def _write(database: Database, feed: Feed, seconds: float) -> Done:
    """Feed the Writer from a thread of its own, as the loop does, and count what arrived."""
    writer = Writer(database, capacity=CAPACITY)
    result: list[tuple[int, int]] = []
    loop = threading.Thread(target=lambda: result.append(feed(writer, seconds)))
    began = time.perf_counter()
    loop.start()
    loop.join()
    writer.flush(timeout=30)
    taken = time.perf_counter() - began
    writer.stop()
    (accepted, most_queued), dropped = result[0], writer.dropped
    found = _count(database.path)
    size = database.path.stat().st_size / 1e6
    return Done(accepted, found, dropped, most_queued, taken, size)


def _as_fast_as_it_goes(writer: Writer, seconds: float) -> tuple[int, int]:
    """Wait only while the queue is half full: the Writer never runs dry and never has to drop."""
    source, accepted, most = Source(per_second=GOAL), 0, 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if writer.queued >= CAPACITY // 2:
            time.sleep(0.002)
            continue
        ticks = source.frame()
        writer.ticks(ticks, source.now)
        accepted += len(ticks)
        most = max(most, writer.queued)
    return accepted, most


def _paced(writer: Writer, seconds: float, *, rate: float) -> tuple[int, int]:
    """Offer so many rows a second whatever the Writer does; what it cannot take, it drops."""
    source, accepted, most = Source(per_second=rate), 0, 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        if accepted >= rate * passed:
            time.sleep(0.001)
            continue
        ticks = source.frame()
        writer.ticks(ticks, source.now)
        accepted += len(ticks)
        most = max(most, writer.queued)
    return accepted, most


def _beside_a_busy_thread(*, seconds: float) -> Done:
    """The interpreter is shared: what is left for the Writer when a thread never waits."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1_000))

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        return _written(_as_fast_as_it_goes, seconds=seconds)
    finally:
        stop.set()
        busy.join()


def _plain_sqlite(*, seconds: float) -> float:
    """Return rows/s of executemany on one thread: the same rows, schema, pragmas and batches.

    The rows of a batch are made outside the clock; the Writer's are made inside.
    """
    with _database() as database:
        source = Source(per_second=GOAL)
        ids = {(key, True): number for number, key in enumerate(KEYS, 1)}
        with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-16384")
            columns = [
                name
                for _, name, *_ in connection.execute("PRAGMA table_info(quote_ticks)")
                if name != "id"
            ]
            insert = (
                f"INSERT INTO quote_ticks ({', '.join(columns)}) "
                f"VALUES ({', '.join('?' * len(columns))})"
            )
            taken, rows = 0.0, 0
            while taken < seconds:
                batch = [
                    row
                    for _ in range(BATCH // FRAME)
                    for row in tick_rows(source.frame(), source.now, ids)
                ]
                began = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(insert, batch)
                connection.execute("COMMIT")
                taken += time.perf_counter() - began
                rows += len(batch)
        return rows / taken


def _reading(*, seconds: float) -> list[Figure]:
    """Read the last five minutes of random instruments while 20,000 rows/s are written.

    Two markets, because the work is proportional to the rows that are found: 500 instruments at
    10 ticks a second, which is what the wire carries at 5,000 ticks/s, and one instrument in
    twenty times as many of them.
    """
    with _database() as database:
        source = Source(per_second=5_000)
        writer = Writer(database, capacity=CAPACITY)
        for _ in range(RECENT * 5 // FRAME):  # five minutes, so that the past is complete
            writer.ticks(source.frame(), source.now)
            while writer.queued > CAPACITY // 2:
                time.sleep(0.002)
        writer.flush(timeout=60)
        stop = threading.Event()
        loop = threading.Thread(target=_write_20_000, args=(writer, source, stop))
        loop.start()
        try:
            statement = _statement_times(database, source, seconds=seconds / 2)
            whole = asyncio.run(_journal_times(database, writer, source, seconds=seconds / 2))
        finally:
            stop.set()
            loop.join()
            writer.stop()
    assert writer.dropped == 0, "the writer kept up while it was read"
    return [
        below(
            "last 5 minutes of one instrument, 20,000 rows/s written: p99",
            statement.p99,
            "ms",
            10,
            reference=f"p50 {statement.p50:.1f} ms, {statement.rows:,} rows each, "
            f"{statement.reads} reads; {load()}",
        ),
        Figure(
            "  the same through the journal, as Tick values: p99",
            whole.p99,
            "ms",
            reference=f"p50 {whole.p50:.1f} ms, {whole.reads} reads",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Reads:
    milliseconds: list[float]
    rows: int  # of the last read

    @property
    def reads(self) -> int:
        return len(self.milliseconds)

    @property
    def p50(self) -> float:
        return sorted(self.milliseconds)[self.reads // 2]

    @property
    def p99(self) -> float:
        return sorted(self.milliseconds)[int(self.reads * 0.99)]


def _write_20_000(writer: Writer, source: Source, stop: threading.Event) -> None:
    began, offered = time.perf_counter(), 0
    while not stop.is_set():
        if offered >= 20_000 * (time.perf_counter() - began):
            time.sleep(0.001)
            continue
        writer.ticks(source.frame(), source.now)
        offered += FRAME


def _statement_times(database: Database, source: Source, *, seconds: float) -> Reads:
    """Time and price of each tick, which is what a chart draws."""
    rng = random.Random(11)
    query = (
        "SELECT exchange_ts, ltp, volume FROM quote_ticks "
        "JOIN instruments i ON i.id = instrument_id "
        "WHERE i.instrument_key = ? AND exchange_ts >= ? ORDER BY exchange_ts"
    )
    reader = Reader(database)
    taken: list[float] = []
    rows = 0
    try:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            values = (rng.choice(KEYS), source.now - RECENT)
            began = time.perf_counter()
            found = reader.now(lambda c: c.exec_driver_sql(query, values).fetchall())  # noqa: B023
            taken.append((time.perf_counter() - began) * 1000)
            rows = len(found)
            time.sleep(0.005)
    finally:
        reader.close()
    return Reads(taken, rows)


async def _journal_times(
    database: Database, writer: Writer, source: Source, *, seconds: float
) -> Reads:
    rng = random.Random(11)
    journal = DatabaseJournal(database, writer, is_mock=True)
    taken: list[float] = []
    rows = 0
    try:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            ticks = await journal.ticks(
                rng.choice(KEYS), since=source.now - RECENT, until=source.now + 1
            )
            taken.append((time.perf_counter() - began) * 1000)
            rows = len(ticks)
            await asyncio.sleep(0.005)
    finally:
        journal.close()
    return Reads(taken, rows)


def _count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM quote_ticks").fetchone()[0]
    return found


@contextmanager
def _database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        database = open_database(Path(folder) / "bench.db")
        try:
            yield database
        finally:
            database.close()
            os.sync()  # or the next figure pays for this one's pages
