"""The other sides of a desk for dashboard tests: a feed, a disk and a catalogue in memory."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from tests.ticks import tick
from trading.candles import CandleBuilder
from trading.clock import Clock
from trading.desk import Desk, Progress, World
from trading.hours import HoursRules, Phase, TemplateSession, TradingHours
from trading.market_data import MarketDataService
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
from trading.ports import (
    FeedChange,
    FeedState,
    FeedStats,
    Percentiles,
    StorageStats,
    VitalStats,
)
from trading.signal import Signal
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


def instruments(strikes: int = 20) -> list[Instrument]:
    index, equity = InstrumentType.INDEX, InstrumentType.EQUITY
    option: dict[str, Any] = {
        "segment": "NSE_FO",
        "name": "NIFTY",
        "underlying_symbol": "NIFTY",
        "underlying_key": NIFTY,
        "expiry": EXPIRY,
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
        self._known = {i.instrument_key: i for i in known}

    def get(self, instrument_key: str) -> Instrument | None:
        return self._known.get(instrument_key)

    async def search(self, text: str, *, limit: int = 20) -> list[Instrument]:
        words = text.upper().split()
        found = [
            i
            for i in self._known.values()
            if all(w in f"{i.title} {i.name}".upper() for w in words)
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


class SteadyVitals:
    def stats(self) -> VitalStats:
        return VitalStats(Percentiles(0.4, 1.9, 4.1), 12.0, 148_000_000, 9, 11.5)


def make_desk(
    clock: Clock,
    *,
    world: World | None = None,
    rules: HoursRules = WEEKDAYS,
    known: Sequence[Instrument] | None = None,
) -> Desk:
    feed = MemoryFeed(clock.now())
    subscriptions = SubscriptionBook()
    subscriptions.changes.subscribe(lambda w: feed.want(w.modes, w.deep))
    return Desk(
        world=world or World("simulated", "broker"),
        clock=clock,
        market_data=MarketDataService(clock),
        subscriptions=subscriptions,
        hours=TradingHours(rules),
        candles=CandleBuilder(),
        feed=feed,
        journal=MemoryJournal(),
        catalogue=MemoryCatalogue(known if known is not None else instruments()),
        vitals=SteadyVitals(),
        started=clock.now(),
        versions={"vigil": "0.1.0", "nicegui": "3.18.0"},
        progress=Progress("ready"),
        canaries=(NIFTY, BANK),
        first_watchlist=(NIFTY, BANK),
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
