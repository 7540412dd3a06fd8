"""Two hundred positions re-marked while five thousand ticks arrive in a second."""

import time
from datetime import UTC, datetime
from datetime import time as day_time
from typing import Final

from tests.benchmarks.figures import Figure, below
from tests.ticks import T0, tick
from trading.clock import ManualClock
from trading.hours import HoursRules, Phase, TemplateSession, TradingHours
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import Batch, Tick
from trading.order import Account, Fill, OrderFills, Product, Side
from trading.orders import BookRead
from trading.ports import PolledQuote
from trading.positions import PositionBook
from trading.signal import Priority

POSITIONS: Final = 200
TICKS: Final = 5_000  # a second
FRAMES: Final = 100  # a second
RULES: Final = 20  # times a second that a rule hears of prices and asks for the total
PAGES: Final = 3  # tabs that show every position and the total
HERTZ: Final = 4
ACCOUNT: Final = Account("main", "Main", primary=True, is_mock=True)
KEYS: Final = [f"NSE_FO|{45_000 + n}" for n in range(POSITIONS)]


class _Nobody:
    async def quotes(self, instrument_keys: object) -> list[PolledQuote]:
        raise AssertionError("ticks serve all of them")


class _Desk:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime.fromtimestamp(T0 / 1000, UTC))
        self.market_data = MarketDataService(self.clock)
        day = TemplateSession("NSE_FO", Phase.OPEN, day_time(9, 15), day_time(15, 30))
        self.marks = Marks(
            clock=self.clock,
            market_data=self.market_data,
            source=_Nobody(),
            is_open=TradingHours(HoursRules((day,))).is_open,
        )
        self.book = PositionBook([ACCOUNT], clock=self.clock, marks=self.marks)
        self.valued = 0
        for number, key in enumerate(KEYS):
            fill = Fill(
                "main", str(number), "t", key, Product.INTRADAY, Side.BUY, 75, 100.0 + number,
                self.clock.now(), True,
            )  # fmt: skip
            self.book.on_fills(OrderFills("main", str(number), (fill,)))
        self.book.on_read(BookRead("main", (), (), (), self.clock.now()))
        first = [_tick(key, -1)._replace(price_received=self.clock.monotonic()) for key in KEYS]
        self.market_data.publish(Batch(first, 1))

    def rule(self, moved: frozenset[str]) -> None:
        for position in self.book.positions():
            if position.instrument_key in moved:
                self.valued += 1
                assert self.book.value(position).total is not None

    def page(self) -> None:
        for position in self.book.positions():
            self.valued += 1
            assert self.book.value(position).total is not None
        assert self.book.total().total is not None

    def second(self, frames: list[list[Tick]], *, pages: bool) -> None:
        start = self.clock.monotonic()
        for number, frame in enumerate(frames):
            self.clock.advance(1 / FRAMES)
            received = start + number / FRAMES
            ticks = [t._replace(received=received, price_received=received) for t in frame]
            self.market_data.publish(Batch(ticks, 1))
            if pages and number % (FRAMES // HERTZ) == 0:
                for _ in range(PAGES):
                    self.page()


def run(*, short: bool = False) -> list[Figure]:
    seconds = 5 if short else 20
    bare = _spent(_Desk(), seconds, pages=False)

    screens = _Desk()
    shown = _spent(screens, seconds, pages=True) - bare

    rules = _Desk()
    rules.market_data.ticks.subscribe(rules.book.on_ticks, priority=Priority.HIGH)
    rules.book.marked.subscribe(rules.rule)
    heard = _spent(rules, seconds, pages=False) - bare

    kind = f"{POSITIONS} positions at {TICKS:,} ticks/s"
    return [
        below(
            f"{kind}, {PAGES} tabs at {HERTZ} Hz",
            100 * shown,
            "% core",
            10,
            reference=f"{screens.valued / seconds:,.0f} values/s and the totals; "
            f"ticks into the cache alone {100 * bare:.1f} %",
        ),
        below(
            f"{kind}, a rule hears each {1000 // RULES} ms",
            100 * heard,
            "% core",
            10,
            reference=f"{rules.valued / seconds:,.0f} values/s",
        ),
    ]


def _spent(desk: _Desk, seconds: int, *, pages: bool) -> float:
    """Return CPU seconds for each second of ticks, of the median second."""
    taken = []
    each = TICKS // FRAMES
    for second in range(seconds):
        frames = [
            [
                _tick(KEYS[(number * each + n) % POSITIONS], second * FRAMES + number)
                for n in range(each)
            ]
            for number in range(FRAMES)
        ]
        began = time.process_time()
        desk.second(frames, pages=pages)
        taken.append(time.process_time() - began)
    return sorted(taken)[len(taken) // 2]


def _tick(key: str, step: int) -> Tick:
    at = T0 + step * 1000 // FRAMES
    return tick(key, ltp=100 + step % 400 / 20, ltt=at, volume=1000 + step)
