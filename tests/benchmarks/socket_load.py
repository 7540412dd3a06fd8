"""Five minutes of 5,000 ticks a second through a socket into the real desk, each accounted for."""

import asyncio
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import Page

from alerts.vitals import LoopVitals
from tests.benchmarks.figures import Figure, at_least, below
from tests.benchmarks.processes import (
    Exchange,
    Process,
    browser,
    browser_cpu_seconds,
    desk,
    exchange,
    folder,
    load,
    median,
    until,
    watch,
)

INSTRUMENTS: Final = 500
RATE: Final = 5_000.0  # ticks/s
SETTLE: Final = 10.0  # seconds; drawing a page of 500 rows is not what is measured
SAMPLE: Final = 5.0  # seconds
LAG_WINDOW: Final = 60.0  # seconds that the desk's own percentiles look back
MARKET: Final = '{feed="market"}'


def run(*, short: bool = False) -> list[Figure]:
    seconds = 30.0 if short else 300.0
    with (
        exchange(instruments=INSTRUMENTS, rate=RATE, keep_rows=True) as other_end,
        folder() as directory,
    ):
        watch(directory, other_end.instruments()[:INSTRUMENTS])
        with desk(directory, other_end.url) as running, browser() as chromium:
            page = chromium.new_page(viewport={"width": 1366, "height": 768})
            _open(page, running)
            cost = _measure(running, other_end, seconds=seconds)
            account = _account(running, other_end, directory / "simulated.db")
            assert running.json("/health")["is_mock"], "a loopback exchange is never the real one"
            assert page.locator(".v-row").count() == INSTRUMENTS
    return _figures(cost, account, seconds)


def _open(page: Page, running: Process) -> None:
    page.goto(running.url)
    page.wait_for_selector(".v-light[data-level=live]")
    page.wait_for_function(f"document.querySelectorAll('.v-row').length === {INSTRUMENTS}")
    assert "SIMULATED" in page.inner_text("body")
    until(
        lambda: _metric(running, 'vigil_feed_subscribed{feed="market",mode="full"}') == INSTRUMENTS,
        within=10,
        what="500 instruments subscribed",
    )
    time.sleep(SETTLE)


# What it costs


@dataclass(slots=True)
class Cost:
    """Shares of one core, and the desk's own figures, each once every `SAMPLE` seconds."""

    desk: float = 0.0
    simulator: float = 0.0
    browser: float = 0.0
    ticks: float = 0.0  # a second
    memory_mb: list[float] = field(default_factory=list)
    lag_p99: list[float] = field(default_factory=list)  # ms, of the minute before
    idle_p99: list[float] = field(default_factory=list)  # the same of a loop with nothing to do
    latency_p99: list[float] = field(default_factory=list)  # ms, exchange's stamp to our receipt
    peak_mb: float = 0.0
    load: str = ""


@contextmanager
def _idle_loop() -> Iterator[LoopVitals]:
    """Measure in this process as the desk does in its own: what the machine itself adds."""
    vitals, loop = LoopVitals(), asyncio.new_event_loop()
    watching = loop.create_task(vitals.run())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield vitals
    finally:
        watching.add_done_callback(lambda _: loop.stop())
        loop.call_soon_threadsafe(watching.cancel)
        thread.join()
        loop.close()


def _measure(running: Process, other_end: Exchange, *, seconds: float) -> Cost:
    with _idle_loop() as idle:
        return _sampled(running, other_end, idle, seconds=seconds)


def _sampled(running: Process, other_end: Exchange, idle: LoopVitals, *, seconds: float) -> Cost:
    cost = Cost()
    used = (running.cpu_seconds, other_end.cpu_seconds, browser_cpu_seconds())
    heard, began = _metric(running, f"vigil_feed_ticks_total{MARKET}"), time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(SAMPLE, seconds - passed))
        cost.memory_mb.append(running.memory_mb)
        text = running.get("/metrics").decode()
        cost.latency_p99.append(_quantile(text, "vigil_feed_latency_seconds"))
        if time.monotonic() - began + SETTLE >= min(LAG_WINDOW, seconds):
            cost.lag_p99.append(_quantile(text, "vigil_loop_lag_seconds"))
            cost.idle_p99.append(idle.stats().loop_lag.p99 or 0.0)
    taken = time.monotonic() - began
    cost.desk, cost.simulator, cost.browser = (
        100 * (now - before) / taken
        for now, before in zip(
            (running.cpu_seconds, other_end.cpu_seconds, browser_cpu_seconds()), used, strict=True
        )
    )
    cost.ticks = (_metric(running, f"vigil_feed_ticks_total{MARKET}") - heard) / taken
    cost.peak_mb, cost.load = running.peak_memory_mb, load()
    return cost


def _metric(running: Process, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", running.get("/metrics").decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def _quantile(text: str, name: str) -> float:
    found = re.search(rf'^{name}{{.*quantile="0.99"}} (\S+)$', text, re.MULTILINE)
    assert found, name
    return float(found[1]) * 1000


# Whether everything arrived


class Told(NamedTuple):
    """One tick by what identifies it on both sides: the frame's time, and what was traded."""

    instrument_key: str
    exchange_ts: int
    ltt: int
    ltp: float


@dataclass(frozen=True, slots=True)
class Account:
    """What the exchange's ledger says it put on the wire, against the desk's counters and rows.

    The identities: the desk decoded exactly what was sent (snapshots and live entries, over all
    connections), and each of these is a row in `quote_ticks`, unless it repeats the tick before it
    value for value, as the snapshot of a `sub` for an instrument does that was already wanted. A
    repeat is proven from the ledger: the entry before it, of the same instrument, has the same
    trade time, price, quantity and volume. Everything else that has no row was lost.
    """

    sent: int
    connections: int
    decoded: int
    published: int
    dropped: int
    rows: int
    repeats: int
    lost: int
    invented: int  # rows that the ledger does not have


def _account(running: Process, other_end: Exchange, database: Path) -> Account:
    other_end.stall()
    until(lambda: _settled(running), within=10, what="the desk has taken in everything")
    ledger = other_end.ledger()
    missing, repeats, invented, rows = _compare(other_end, database)
    return Account(
        sent=ledger["ticks_sent"],
        connections=len(ledger["connections"]),
        decoded=int(_metric(running, f"vigil_feed_ticks_total{MARKET}")),
        published=int(_metric(running, "vigil_market_ticks_published_total")),
        dropped=int(
            _metric(running, f"vigil_feed_dropped_ticks_total{MARKET}")
            + _metric(running, "vigil_storage_rows_dropped_total")
        ),
        rows=rows,
        repeats=repeats,
        lost=missing - repeats,
        invented=invented,
    )


def _settled(running: Process) -> bool:
    before = _metric(running, f"vigil_feed_ticks_total{MARKET}")
    time.sleep(0.6)  # longer than a flush of the exchange and a batch of the writer
    return before == _metric(running, f"vigil_feed_ticks_total{MARKET}") and not _metric(
        running, "vigil_storage_queue_rows"
    )


def _compare(other_end: Exchange, database: Path) -> tuple[int, int, int, int]:
    """Return entries without a row, how many of these repeat, rows without an entry, and rows."""
    stored, rows = _stored(database)
    before: dict[str, tuple[Any, ...]] = {}
    missing = repeats = 0
    for _, key, current_ts, ltt, vtt, ltq, ltp, *_ in other_end.ledger_rows():
        told, trade = Told(key, current_ts, ltt, ltp), (ltt, vtt, ltq, ltp)
        if stored.get(told, 0):
            stored[told] -= 1
        else:
            missing += 1
            repeats += before.get(key) == trade
        before[key] = trade
    return missing, repeats, sum(stored.values()), rows


def _stored(database: Path) -> tuple[dict[Told, int], int]:
    """Return each row and how often it is there; read as a stranger would."""
    query = (
        "SELECT instrument_key, exchange_ts, ltt, ltp FROM quote_ticks "
        "JOIN instruments i ON i.id = instrument_id"
    )
    stored: dict[Told, int] = defaultdict(int)
    rows = 0
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        for row in connection.execute(query):
            stored[Told._make(row)] += 1
            rows += 1
    return stored, rows


def _figures(cost: Cost, account: Account, seconds: float) -> list[Figure]:
    others = f"simulator {cost.simulator:.0f} %, browser {cost.browser:.0f} %, {cost.load}"
    sent = (
        f"{account.sent:,} sent on {account.connections} connection(s), {account.rows:,} rows "
        f"+ {account.repeats} repeats; {account.invented} rows not in the ledger"
    )
    period, decoded = f"for {seconds:.0f} s", f"{account.decoded:,} decoded"
    return [
        at_least("over the socket", cost.ticks, "ticks/s", 0.95 * RATE, reference=period),
        _zero("sent and not decoded", account.sent - account.decoded, decoded),
        _zero("lost against the simulator's ledger", account.lost + account.invented, sent),
        _zero("dropped by inbox or writer", account.dropped, f"{account.published:,} published"),
        below("CPU of the desk, 500 rows on a page", cost.desk, "% core", 60, reference=others),
        below(
            "loop lag p99, worst minute",
            max(cost.lag_p99),
            "ms",
            50,
            reference=f"median minute {median(cost.lag_p99):.1f} ms; an idle loop beside it "
            f"{max(cost.idle_p99):.1f}, {median(cost.idle_p99):.1f} ms",
        ),
        Figure("exchange's stamp to our receipt p99, median", median(cost.latency_p99), "ms"),
        below(
            "memory of the process, 500 instruments, at the end",
            cost.memory_mb[-1],
            "MB",
            200,
            reference=f"at first {cost.memory_mb[0]:.0f}, peak {cost.peak_mb:.0f} MB",
        ),
    ]  # fmt: skip


def _zero(name: str, value: float, reference: str) -> Figure:
    return Figure(name, value, "ticks", "= 0", value == 0, reference)
