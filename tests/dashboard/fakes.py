"""The other sides of a desk for dashboard tests: a feed, a disk and a catalogue in memory."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from tests.dashboard.scripted_watch import watchroom
from tests.ticks import tick
from tests.trading.scripted import Paper, ScriptedBroker
from trading.accounts import Accounts
from trading.basket import Basket, OnFilled
from trading.batch import Baskets
from trading.broker import Line
from trading.candles import CandleBuilder
from trading.clock import Clock
from trading.closing import Closing
from trading.cycle import MonitoringCycle
from trading.desk import Desk, Progress, World
from trading.errors import VigilError
from trading.hours import HoursRules, Phase, TemplateSession, TradingHours
from trading.latch import LiveLatch
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import (
    Batch,
    Candle,
    Gap,
    Instrument,
    InstrumentType,
    Level,
    Mode,
    Part,
    Tick,
)
from trading.order import Account, BrokerPosition, Funds, Margin, OrderRequest, Product
from trading.orders import Gate, OrderManager, Patience
from trading.ports import (
    FeedChange,
    FeedState,
    FeedStats,
    Percentiles,
    PnlPoint,
    PolledQuote,
    StorageStats,
    VitalStats,
)
from trading.positions import PositionBook
from trading.signal import Priority, Signal
from trading.subscriptions import SubscriptionBook

NIFTY = "NSE_INDEX|Nifty 50"
BANK = "NSE_INDEX|Nifty Bank"
RELIANCE = "NSE_EQ|INE002A01018"
TCS = "NSE_EQ|INE467B01029"
CALL = "NSE_FO|45450"
PUT = "NSE_FO|45451"
FUTURE = "NSE_FO|53001"
OPEN_NOW = datetime(2025, 11, 26, 5, 30, tzinfo=UTC)  # a Wednesday, 11:00 IST
EXPIRY = date(2025, 11, 27)
SEGMENTS = ("NSE_INDEX", "NSE_EQ", "NSE_FO")
WEEKDAYS = HoursRules(
    tuple(TemplateSession(s, Phase.OPEN, time(9, 15), time(15, 30)) for s in SEGMENTS)
)
ALWAYS = HoursRules(
    tuple(TemplateSession(s, Phase.OPEN, time(0), time(0), frozenset(range(7))) for s in SEGMENTS)
)


def instruments(strikes: int = 20, expiry: date = EXPIRY) -> list[Instrument]:
    index, equity = InstrumentType.INDEX, InstrumentType.EQUITY
    option: dict[str, Any] = {
        "segment": "NSE_FO",
        "name": "NIFTY",
        "underlying_symbol": "NIFTY",
        "underlying_key": NIFTY,
        "expiry": expiry,
        "lot_size": 75,
        "freeze_quantity": 1800,
    }
    found = [
        Instrument(NIFTY, "NSE_INDEX", index, "NIFTY", "Nifty 50", lot_size=0),
        Instrument(BANK, "NSE_INDEX", index, "BANKNIFTY", "Nifty Bank", lot_size=0),
        Instrument(RELIANCE, "NSE_EQ", equity, "RELIANCE", "Reliance Industries", tick_size=0.1),
        Instrument(TCS, "NSE_EQ", equity, "TCS", "Tata Consultancy Services", tick_size=0.1),
        Instrument(FUTURE, type=InstrumentType.FUTURE, symbol="NIFTY25NOVFUT", **option),
    ]
    for number in range(strikes):
        strike = 24_000 + 50 * number
        for offset, type_ in enumerate((InstrumentType.CALL, InstrumentType.PUT)):
            key = f"NSE_FO|{45450 + 2 * number + offset}"
            symbol = f"NIFTY25NOV{strike}{type_}"
            found.append(Instrument(key, type=type_, symbol=symbol, strike=strike, **option))
    return found


class MemoryCatalogue:
    def __init__(self, known: Sequence[Instrument]) -> None:
        self.known = {i.instrument_key: i for i in known}

    def get(self, instrument_key: str) -> Instrument | None:
        return self.known.get(instrument_key)

    async def options(self, underlying_key: str) -> list[Instrument]:
        kinds = (InstrumentType.CALL, InstrumentType.PUT)
        known = self.known.values()
        return [i for i in known if i.underlying_key == underlying_key and i.type in kinds]

    async def search(self, text: str, *, limit: int = 20) -> list[Instrument]:
        words = text.upper().split()
        found = [
            i for i in self.known.values() if all(w in f"{i.title} {i.name}".upper() for w in words)
        ]
        return found[:limit]


class MemoryJournal:
    def __init__(self) -> None:
        self.kept: list[str] | None = None
        self.minutes: dict[str, list[Candle]] = {}
        self.holes: list[Gap] = []
        self.rules = WEEKDAYS
        self.storage = StorageStats(
            "ok", "", 120, 200_000, 0.04, 1_234_567, 0, 4_321, 0, 2.1, 48_200_000, 1_400_000
        )

    async def candles(self, instrument_key: str, *, since: int, until: int) -> list[Candle]:
        return [c for c in self.minutes.get(instrument_key, []) if since <= c.start < until]

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]:
        return [g for g in self.holes if g.feed == feed and g.start < until]

    async def watchlist(self) -> list[str] | None:
        return None if self.kept is None else list(self.kept)

    async def set_watchlist(self, instrument_keys: Sequence[str]) -> None:
        self.kept = list(instrument_keys)

    async def hours(self) -> HoursRules:
        return self.rules

    def stats(self) -> StorageStats:
        return self.storage


class MemoryFeed:
    name = "market"

    def __init__(self, now: datetime) -> None:
        self.changes: Signal[FeedChange] = Signal("feed changes")
        self.wanted: Mapping[str, Mode] = {}
        self.deep: Collection[str] = ()
        self.reconnects: list[str] = []
        self.figures = FeedStats(
            "market",
            FeedState.LIVE,
            now,
            "",
            is_mock=True,
            frames=52_310,
            ticks=1_204_331,
            bytes=48_000_000,
            frame_rate=38.2,
            tick_rate=402.5,
            byte_rate=64_200.0,
            frame_age=0.1,
            tick_age=0.2,
            latency=Percentiles(0.8, 2.4, 7.9),
            connections=2,
            reconnects=1,
            clock_skew=0.02,
            subscribed={Mode.FULL: 44},
            limits={Mode.FULL: 1_500, Mode.LTPC: 2_000},
            segments={"NSE_EQ": "NORMAL_OPEN", "NSE_FO": "NORMAL_OPEN"},
        )

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def want(self, wanted: Mapping[str, Mode], deep: Collection[str] = ()) -> None:
        self.wanted, self.deep = wanted, deep

    def expect_prices(self, expected: bool) -> None: ...

    def reconnect(self, reason: str) -> None:
        self.reconnects.append(reason)

    def stats(self) -> FeedStats:
        return self.figures

    def now(self, **changes: Any) -> None:
        self.figures = replace(self.figures, **changes)


class DeskBroker(ScriptedBroker):
    """A scripted broker that also tells what things cost, or says why it does not."""

    def __init__(self, account: str = "main") -> None:
        super().__init__(account)
        self.needs = Margin(required=2_13_52_50, final=1_80_00_00)  # paise
        self.has = Funds(available=10_00_000_00, used=0)
        self.takes = 56_30
        self.cost_error: VigilError | None = None
        self.fills: dict[str, float] = {}  # instruments whose orders are filled at once, at what
        self.confirms = True  # a cancel at once; else the stream tells of it later

    async def place(self, line: Line) -> tuple[str, ...]:
        numbers = await super().place(line)
        filled_at = self.fills.get(line.request.instrument_key)
        if filled_at is not None:
            self.fill(numbers[0], price=filled_at)
        return numbers

    async def cancel(self, order_id: str) -> None:
        if self.confirms or self.cancel_error:
            await super().cancel(order_id)

    async def positions(self) -> list[BrokerPosition]:
        """Return the net of everything that was filled here."""
        rows: dict[tuple[str, Product], BrokerPosition] = {}
        for order in self.book.values():
            key = (order.instrument_key, order.product)
            row = rows.get(key) or BrokerPosition(
                self.account, *key, 0, 1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0
            )
            rows[key] = replace(row, quantity=row.quantity + order.filled * order.side.sign)
        return [*self.held, *rows.values()]

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        self._may_tell()
        return self.needs

    async def charges(self, request: OrderRequest, price: float) -> int:
        self._may_tell()
        return self.takes

    async def funds(self) -> Funds:
        self._may_tell()
        return self.has

    def _may_tell(self) -> None:
        if self.cost_error:
            raise self.cost_error


class MemoryBatches:
    """Implements `trading.basket.BatchJournal`."""

    def __init__(self) -> None:
        self.kept: dict[str, Basket] = {}

    async def open_basket(self, basket: Basket) -> Basket:
        known = next((b for b in self.kept.values() if b.nonce == basket.nonce), None)
        return known or self.kept.setdefault(basket.id, basket)

    def keep_basket(self, basket: Basket) -> None:
        self.kept[basket.id] = basket

    async def baskets(self, *, since: datetime) -> list[Basket]:
        return list(self.kept.values())


class MemoryPnl:
    def __init__(self) -> None:
        self.points: list[PnlPoint] = []

    def keep_pnl(self, points: Sequence[PnlPoint]) -> None:
        self.points.extend(points)

    async def pnl(self, account: str, *, since: datetime, until: datetime) -> list[PnlPoint]:
        return [p for p in self.points if p.account == account and since <= p.at < until]


class MemoryQuotes:
    def __init__(self) -> None:
        self.told: dict[str, PolledQuote] = {}

    async def quotes(self, instrument_keys: Sequence[str]) -> list[PolledQuote]:
        return [self.told[key] for key in instrument_keys if key in self.told]


class MemoryDay:
    """The date of the day's word for real orders."""

    def __init__(self) -> None:
        self.day: date | None = None

    def read(self) -> date | None:
        return self.day

    async def write(self, day: date) -> None:
        self.day = day


class SteadyVitals:
    def stats(self) -> VitalStats:
        return VitalStats(Percentiles(0.4, 1.9, 4.1), 12.0, 148_000_000, 9, 11.5)


MAIN = Account("main", "Main", primary=True, is_mock=True)


def make_desk(
    clock: Clock,
    *,
    world: World | None = None,
    rules: HoursRules = WEEKDAYS,
    known: Sequence[Instrument] | None = None,
    accounts: Sequence[Account] = (MAIN,),
    patience: Patience | None = None,
) -> Desk:
    """Build a desk with the real core; the brokers at its other end are `DeskBroker`s."""
    feed = MemoryFeed(clock.now())
    subscriptions = SubscriptionBook()
    subscriptions.changes.subscribe(lambda w: feed.want(w.modes, w.deep))
    market_data, hours = MarketDataService(clock), TradingHours(rules)
    catalogue = MemoryCatalogue(known if known is not None else instruments())
    marks = Marks(
        clock=clock, market_data=market_data, source=MemoryQuotes(), is_open=hours.is_open
    )
    mock = {account.id: account.is_mock for account in accounts}
    brokers = {account.id: DeskBroker(account.id) for account in accounts}
    latch = LiveLatch(clock, MemoryDay(), is_real=lambda account: not mock[account])
    orders = _orders(clock, brokers, mock, catalogue, marks, latch, patience)
    positions = PositionBook(accounts, clock=clock, marks=marks)
    orders.filled.subscribe(positions.on_fills, priority=Priority.HIGH)
    orders.reconciled.subscribe(positions.on_read, priority=Priority.HIGH)
    orders.read_failed.subscribe(positions.on_read_failed, priority=Priority.HIGH)
    for broker in brokers.values():
        broker.position_updates.subscribe(positions.on_told)
    return Desk(
        world=world or World("simulated", "broker"),
        clock=clock,
        market_data=market_data,
        subscriptions=subscriptions,
        hours=hours,
        candles=CandleBuilder(),
        feed=feed,
        journal=MemoryJournal(),
        catalogue=catalogue,
        vitals=SteadyVitals(),
        accounts=Accounts(
            accounts,
            clock=clock,
            brokers=brokers,
            sign_in=dict.fromkeys(brokers, _signed_in),
            latch=latch,
        ),
        orders=orders,
        closing=Closing(orders, positions),
        positions=positions,
        marks=marks,
        baskets=Baskets(
            clock=clock,
            orders=orders,
            brokers=brokers,
            journal=MemoryBatches(),
            instrument=catalogue.get,
            quote=marks.of,
            mock=mock,
            on_filled=OnFilled.REVERSE,
        ),
        cycle=MonitoringCycle(
            clock=clock, orders=orders, exposure=positions, accounts=list(brokers), feeds={}
        ),
        portfolio_feeds={},
        pnl=MemoryPnl(),
        started=clock.now(),
        versions={"vigil": "0.1.0", "nicegui": "3.18.0"},
        progress=Progress("ready"),
        canaries=(NIFTY, BANK),
        first_watchlist=(NIFTY, BANK),
        watch=watchroom(clock),
    )


async def _signed_in() -> str:
    return "AB1234"


def _orders(
    clock: Clock,
    brokers: Mapping[str, DeskBroker],
    mock: Mapping[str, bool],
    catalogue: MemoryCatalogue,
    marks: Marks,
    latch: LiveLatch,
    patience: Patience | None,
) -> OrderManager:
    async def no_band(instrument_key: str) -> None:
        return None

    def ltp(instrument_key: str) -> float | None:
        mark = marks.of(instrument_key)
        return None if mark is None else mark.price

    gate = Gate()
    gate.add(latch.reason, exits_too=True)
    return OrderManager(
        clock=clock,
        brokers=brokers,
        journal=Paper(),
        mock=mock,
        instrument=catalogue.get,
        ltp=ltp,
        band=no_band,
        gate=gate,
        patience=patience,
    )


class Market:
    """Random walks for whatever is asked for; published like a feed's frames."""

    def __init__(self, clock: Clock, seed: int = 7) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._prices: dict[str, tuple[float, float]] = {}
        self._volume: dict[str, int] = {}

    def tick(self, key: str) -> Tick:
        start, ltp = self._prices.get(key, (0.0, 0.0))
        if not start:
            start = ltp = self._first(key)
        step = round(self._random.gauss(0, ltp * 0.0002) / 0.05) * 0.05
        ltp = max(0.05, round(ltp + step, 2))
        self._prices[key] = (start, ltp)
        volume = self._volume[key] = self._volume.get(key, 10_000) + self._random.randrange(400)
        at = int(self._clock.now().timestamp() * 1000)
        levels = tuple(
            Level(ltp - 0.05 * n, 75 * self._random.randrange(1, 60), ltp + 0.05 * n, 75 * n * 3)
            for n in range(1, 6)
        )
        parts = Part(511)
        if key.startswith("NSE_INDEX"):
            parts = Part.PRICE | Part.CLOSE | Part.DAY
        elif not key.startswith("NSE_FO"):
            parts &= ~(Part.IV | Part.GREEKS | Part.OI)
        made = tick(
            key,
            ltp=ltp,
            ltt=at,
            volume=volume,
            bid=levels[0].bid,
            ask=levels[0].ask,
            received=self._clock.monotonic(),
            parts=parts,
            depth=levels if parts & Part.BOOK else None,
        )
        day: dict[str, Any] = {
            "day_open": start,
            "day_high": max(start, ltp) * 1.004,
            "day_low": min(start, ltp),
        }
        return made._replace(close=round(start * 0.9955, 2), **day)

    def batch(self, keys: Sequence[str]) -> Batch:
        return Batch([self.tick(key) for key in keys], 1)

    def minutes(self, key: str, since: int, until: int) -> list[Candle]:
        """Return whole minutes that end where the price of now is."""
        found = []
        _, price = self._prices.get(key, (0.0, 0.0))
        price = price or self._first(key)
        self._prices[key] = (price, price)
        for start in range(until - 60_000, since - 1, -60_000):
            opened = round(price + self._random.gauss(0, price * 0.0003), 2)
            high = max(opened, price) + abs(self._random.gauss(0, price * 0.0001))
            low = min(opened, price) - abs(self._random.gauss(0, price * 0.0001))
            volume = 0 if key.startswith("NSE_INDEX") else self._random.randrange(50_000)
            prices = (opened, round(high, 2), round(low, 2), price)
            found.append(Candle(key, start, *prices, volume, 40, True, True))
            price = opened
        return found[::-1]

    def _first(self, key: str) -> float:
        fixed = {
            NIFTY: 24_012.35,
            BANK: 51_834.1,
            RELIANCE: 2_944.6,
            TCS: 4_101.2,
            FUTURE: 24_060.0,
        }
        return fixed.get(key) or round(20 + 300 * math.fabs(self._random.random()), 2)
