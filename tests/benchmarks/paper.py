"""From a tick to a paper fill on the disk, and what ticks cost that reach no order."""

import asyncio
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import time as wall_time
from pathlib import Path
from typing import Any, Final

from storage.database import Database, open_database
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.benchmarks.figures import Figure, at_least, below, median_seconds
from tests.benchmarks.processes import load, share
from tests.benchmarks.storage import interpreter_of_the_desk
from tests.ticks import T0, tick
from trading.broker import Line
from trading.clock import SystemClock
from trading.hours import HoursRules, Phase, TemplateSession, TradingHours
from trading.market_data import MarketDataService
from trading.model import Batch, Instrument, InstrumentType, Tick
from trading.order import BrokerOrder, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.paper import PaperBroker, PaperRules

INSTRUMENTS: Final = 50
ORDERS: Final = 100  # working all the time
RATE: Final = 1_000  # ticks/s, one in a frame
FRAMES: Final = 200  # of each timing
REACHED: Final = 20  # of a thousand ticks fill one order each
LOW, HIGH = 100.0, 105.0  # where buys rest, and where the market is
KEYS: Final = [f"NSE_FO|{45_000 + n}" for n in range(INSTRUMENTS)]
ALWAYS: Final = TradingHours(
    HoursRules(
        templates=(
            TemplateSession("NSE_FO", Phase.OPEN, wall_time(0), wall_time(0), frozenset(range(7))),
        )
    )
)


def run(*, short: bool = False) -> list[Figure]:
    seconds = 5.0 if short else 30.0
    with interpreter_of_the_desk():
        figures = asyncio.run(_unreached())
        for durable, recording in ((False, False), (False, True), (True, True)):
            figures += asyncio.run(_fills(seconds, durable=durable, recording=recording))
    return figures


class TimedWriter(Writer):
    """Notes when each record was committed, on the thread that committed it."""

    def __init__(self, database: Database) -> None:
        self.committed: deque[float] = deque(maxlen=1_000)
        super().__init__(database)

    def submit(self, work: Any, **how: Any) -> Any:
        future = super().submit(work, **how)
        future.add_done_callback(lambda _: self.committed.append(time.perf_counter()))
        return future


@dataclass
class Desk:
    """A paper account over a real database, and the market that it hears."""

    broker: PaperBroker
    market_data: MarketDataService
    writer: TimedWriter
    ledger: DatabasePaperLedger
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    made: int = 0

    async def place(self, key: str) -> None:
        """Let a buy of one lot rest below the market."""
        self.made += 1
        request = OrderRequest(
            "main", key, Side.BUY, 75, Product.DELIVERY, OrderType.LIMIT, "", price=LOW
        )
        await self.broker.place(Line(f"bench-{self.made}", request))

    def publish(self, key: str, ask: float) -> None:
        self.market_data.publish(Batch([_tick(key, ask, self.rng)], 1))


@contextmanager
def _desk(*, durable: bool) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        database = open_database(Path(folder) / "vigil.db")
        writer = TimedWriter(database)
        ledger = DatabasePaperLedger(database, writer, world="bench", durable=durable)
        market_data = MarketDataService(SystemClock())
        broker = PaperBroker(
            "main",
            clock=SystemClock(),
            hours=ALWAYS,
            ledger=ledger,
            market_data=market_data,
            marks=None,
            instrument=_instruments().get,
            rules=PaperRules(cash=10**15),
        )
        yield Desk(broker, market_data, writer, ledger)
        ledger.close()
        writer.stop()
        database.close()


async def _unreached() -> list[Figure]:
    """Time frames of new ticks through the cache and the engine, and the engine's part alone."""
    with _desk(durable=False) as desk:
        await desk.broker.start()
        for n in range(ORDERS):
            await desk.place(KEYS[n % INSTRUMENTS])
        others = [f"NSE_FO|{90_000 + n}" for n in range(INSTRUMENTS)]
        figures = []
        for name, keys in (("of the orders' own 50 instruments", KEYS), ("of others", others)):
            frames = iter([_frame(keys, n, desk.rng) for n in range(FRAMES * 7)])
            whole = median_seconds(
                lambda f=frames: desk.market_data.publish(Batch(next(f), 1)), calls=FRAMES
            )
            frame = _frame(keys, 0, desk.rng)
            alone = median_seconds(lambda f=frame: desk.market_data.ticks.emit(f), calls=FRAMES)
            figures.append(
                at_least(
                    f"ticks {name}, {ORDERS} orders working, none reached",
                    INSTRUMENTS / whole,
                    "ticks/s",
                    100_000,
                    reference=f"cache and engine; the engine alone {INSTRUMENTS / alone:,.0f}/s",
                )
            )
        await desk.broker.stop()
    return figures


def _frame(keys: list[str], number: int, rng: random.Random) -> list[Tick]:
    """Return a tick of each instrument, later ones in later frames: a repeated one is not news."""
    later = 100 * number
    made = [_tick(key, HIGH, rng) for key in keys]
    return [t._replace(ltt=t.ltt + later, exchange_ts=t.exchange_ts + later) for t in made]


async def _fills(seconds: float, *, durable: bool, recording: bool) -> list[Figure]:
    with _desk(durable=durable) as desk:
        if recording:
            desk.market_data.ticks.subscribe(
                lambda ticks: desk.writer.ticks(ticks, round(time.time() * 1000))
            )
        await desk.broker.start()
        bare = await _bare_commits(desk)
        took = await _measure(desk, seconds)
        await desk.broker.stop()
    kind = "power-cut proof commit" if durable else "commit that survives kill -9"
    beside = "ticks recorded, too" if recording else "nothing else written"
    name = f"tick to paper fill on the disk, {kind}, {beside}"
    ms = [recorded * 1000 for recorded, _ in took]
    told = [announced * 1000 for _, announced in took]
    p50, p99 = share(ms, 0.5), share(ms, 0.99)
    beside = (
        f"{len(ms):,} fills, p95 {share(ms, 0.95):.3f}, most {max(ms):.2f} ms; announced on the "
        f"loop p50 {share(told, 0.5):.2f}, p99 {share(told, 0.99):.2f} ms; {load()}"
    )
    return [
        Figure(f"{name}: p50", p50, "ms", "< 0.2", p50 < 0.2, beside),
        below(
            "  p99",
            p99,
            "ms",
            2,
            reference=f"a bare commit of one row by the same way: p50 {share(bare, 0.5):.2f}, "
            f"p99 {share(bare, 0.99):.2f} ms",
        ),
    ]


async def _bare_commits(desk: Desk) -> list[float]:
    """Return the ms of commits of one row, from the loop to the storage thread and back."""
    took = []
    for n in range(200):
        await asyncio.sleep(1 / RATE)
        begun = time.perf_counter()
        await desk.ledger.keep("nobody", cash=n)
        took.append((time.perf_counter() - begun) * 1000)
    return took


async def _measure(desk: Desk, seconds: float) -> list[tuple[float, float]]:
    """Return the seconds from before a tick is published to its fill's commit and announcement."""
    filled: asyncio.Queue[BrokerOrder] = asyncio.Queue()
    took: list[tuple[float, float]] = []
    begun = 0.0

    def hear(order: BrokerOrder) -> None:
        if order.status is OrderStatus.FILLED:
            took.append((desk.writer.committed[-1] - begun, time.perf_counter() - begun))
            filled.put_nowait(order)

    for n in range(ORDERS):
        await desk.place(KEYS[n % INSTRUMENTS])
    desk.broker.order_updates.subscribe(hear)
    start = time.perf_counter()
    for n in range(round(seconds * RATE)):
        key = KEYS[n % INSTRUMENTS]
        reached = n % (RATE // REACHED) == 0
        if reached:
            await _only(desk, filled)
        begun = time.perf_counter()
        desk.publish(key, LOW if reached else HIGH)
        await asyncio.sleep(max(0.0, start + n / RATE - time.perf_counter()))
    await _only(desk, filled)
    return took


async def _only(desk: Desk, filled: "asyncio.Queue[BrokerOrder]") -> None:
    """Put new orders in the place of those that were filled."""
    while not filled.empty():
        await desk.place(filled.get_nowait().instrument_key)


def _instruments() -> dict[str, Instrument]:
    return {
        key: Instrument(
            key, "NSE_FO", InstrumentType.CALL, key, "NIFTY", lot_size=75, strike=24_000.0
        )
        for key in KEYS
    }


def _tick(key: str, ask: float, rng: random.Random) -> Tick:
    """Build a tick of now; 75 units are shown, so that each fills one order."""
    now = round(time.time() * 1000)
    ltp = round(ask + rng.randrange(20) * 0.05, 2)
    made = tick(key, ltp=ltp, ltt=max(now, T0), bid=ask - 0.1, ask=ask, received=time.monotonic())
    return made._replace(ask_qty=75, day_low=50.0, day_high=200.0)
