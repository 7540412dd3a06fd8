"""The parts of the desk, as handed to pages and rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from trading.accounts import Accounts
from trading.batch import Baskets
from trading.broker import PortfolioFeed
from trading.candles import CandleBuilder
from trading.clock import Clock
from trading.closing import Closing
from trading.cycle import MonitoringCycle
from trading.health_ports import Watchroom
from trading.hours import TradingHours
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.orders import OrderManager
from trading.ports import Catalogue, Journal, MarketFeed, PnlJournal, Vitals
from trading.positions import PositionBook
from trading.subscriptions import SubscriptionBook

Stage = Literal["starting", "ready", "failed", "stopping"]


@dataclass(frozen=True, slots=True)
class World:
    """What is real and what is made up; the words are those of the mode frame."""

    exchange: Literal["simulated", "replay", "upstox"]
    execution: Literal["broker", "paper"]

    @property
    def is_mock(self) -> bool:
        return self.exchange != "upstox"

    @property
    def word(self) -> str:
        if self.exchange == "simulated":
            return "SIMULATED"
        if self.exchange == "replay":
            return "SIMULATED REPLAY"
        return "PAPER" if self.execution == "paper" else "LIVE"


@dataclass(slots=True)
class Progress:
    """How far the start has come; owned by main, read by /health and the pages."""

    stage: Stage = "starting"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    world: World
    clock: Clock
    market_data: MarketDataService
    subscriptions: SubscriptionBook
    hours: TradingHours
    candles: CandleBuilder
    feed: MarketFeed
    journal: Journal
    catalogue: Catalogue
    vitals: Vitals
    accounts: Accounts
    orders: OrderManager
    closing: Closing
    positions: PositionBook
    marks: Marks
    baskets: Baskets
    cycle: MonitoringCycle
    portfolio_feeds: Mapping[str, PortfolioFeed]  # by account; none where fills are made up
    pnl: PnlJournal
    started: datetime
    versions: dict[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    canaries: tuple[str, ...] = ()  # instruments held all the time, shown in the header
    first_watchlist: tuple[str, ...] = ()  # until the trader has one of his own
    watch: Watchroom | None = None  # the rules look at a desk without it
