"""Rows as the broker writes them, requests as the desk makes them, and an account at a broker."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from feeds.connection import Timing
from feeds.upstox.broker import UpstoxBroker
from feeds.upstox.portfolio_feed import UPDATE_TYPES, UpstoxPortfolioFeed
from feeds.upstox.portfolio_protocol import Rows
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.token import FixedToken, TokenStore
from simulator.clock import ExchangeClock
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.feeds.exchange import TOKEN
from tests.simulator.tiny import CALL, INSTRUMENTS, TinyMarket
from trading.broker import Line
from trading.clock import SystemClock
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    OrderRequest,
    OrderType,
    Product,
    Side,
)
from trading.ports import FeedChange, FeedState

FAST = Timing().scaled(0.1)
REQUEST = OrderRequest(
    "main", CALL, Side.BUY, 75, Product.INTRADAY, OrderType.LIMIT, nonce="n", price=142.5
)
Row = dict[str, Any]


def line(tag: str = "vigil-1", **changes: Any) -> Line:
    """Ask for a lot of the call to buy at 142.50, which rests in the tiny market's book."""
    return Line(tag, replace(REQUEST, **changes))


def rows() -> Rows:
    return Rows("main", is_mock=True)


def order_row(**changes: object) -> Row:
    return {
        "update_type": "order",
        "user_id": "4XA7QK",
        "exchange": "NFO",
        "instrument_token": CALL,
        "instrument_key": CALL,
        "trading_symbol": "NIFTY25D0226100CE",
        "product": "I",
        "order_type": "LIMIT",
        "average_price": 0,
        "price": 142.5,
        "trigger_price": 0,
        "quantity": 75,
        "disclosed_quantity": 0,
        "pending_quantity": 75,
        "filled_quantity": 0,
        "transaction_type": "BUY",
        "validity": "DAY",
        "variety": "SIMPLE",
        "tag": "vigil-1",
        "is_amo": False,
        "order_id": "251126000012345",
        "exchange_order_id": "",
        "parent_order_id": None,
        "status": "put order req received",
        "status_message": "",
        "status_message_raw": None,
        "order_timestamp": "2025-11-26 09:30:02",
        "exchange_timestamp": None,
        **changes,
    }


def position_row(**changes: object) -> Row:
    return {
        "update_type": "position",
        "instrument_token": CALL,
        "exchange": "NSE_FO",
        "product": "I",
        "multiplier": 1,
        "quantity": 75,
        "average_price": 0,
        "day_buy_value": 10687.5,
        "day_buy_quantity": 75,
        "day_sell_value": 0,
        "day_sell_quantity": 0,
        "overnight_quantity": 0,
        "overnight_buy_amount": 0,
        "overnight_buy_quantity": 0,
        "overnight_sell_amount": 0,
        "overnight_sell_quantity": 0,
        **changes,
    }


def holding_row(**changes: object) -> Row:
    return {
        "update_type": "holding",
        "instrument_token": "NSE_EQ|INE009A01021",
        "company_name": "INFOSYS LTD",
        "product": "D",
        "quantity": 10,
        "t1_quantity": 2,
        "average_price": 1490.5,
        **changes,
    }


def trade_row(**changes: object) -> Row:
    return {
        "product": "I",
        "instrument_token": CALL,
        "order_type": "LIMIT",
        "transaction_type": "SELL",
        "quantity": 75,
        "average_price": 142.5,
        "order_id": "251126000012345",
        "trade_id": "50091502",
        "order_timestamp": "2025-11-26 09:30:02",
        "exchange_timestamp": "26-Nov-2025 09:30:03",
        **changes,
    }


class Client:
    """A broker with its stream, and everything that the stream told."""

    def __init__(
        self,
        base_url: str,
        *,
        token: TokenStore | None = None,
        update_types: tuple[str, ...] = UPDATE_TYPES,
        timing: Timing = FAST,
        **options: Any,
    ) -> None:
        self.token = token or FixedToken(TOKEN)
        self.rest = UpstoxRest(base_url, self.token, is_mock=True, **options)
        self.feed = UpstoxPortfolioFeed(
            self.rest,
            self.token,
            SystemClock(),
            account="main",
            update_types=update_types,
            timing=timing,
            jitter=random.Random(7),
        )
        self.broker = UpstoxBroker(self.rest, self.feed, "main")
        self.orders: list[BrokerOrder] = []
        self.positions: list[BrokerPosition] = []
        self.holdings: list[BrokerHolding] = []
        self.changes: list[FeedChange] = []
        self.broker.order_updates.subscribe(self.orders.append)
        self.broker.position_updates.subscribe(self.positions.append)
        self.feed.holding_updates.subscribe(self.holdings.append)
        self.feed.changes.subscribe(self.changes.append)

    @property
    def states(self) -> list[FeedState]:
        return [change.after for change in self.changes]

    def catch_up_always(self) -> None:
        """Say after every opening at once that everything was read."""

        def follow(change: FeedChange) -> None:
            if change.after is FeedState.OPEN:
                self.feed.caught_up()

        self.feed.changes.subscribe(follow)

    async def until(self, condition: Callable[[], bool], *, within: float = 3.0) -> float:
        """Return the seconds it took; fail with what the feed says of itself."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise AssertionError(f"{self.feed.stats()} {self.changes} {self.orders}")
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def state(self, wanted: FeedState, *, within: float = 3.0) -> float:
        return await self.until(lambda: self.states[-1:] == [wanted], within=within)


@asynccontextmanager
async def account(base_url: str, *, stream: bool = False, **options: Any) -> AsyncIterator[Client]:
    client = Client(base_url, **options)
    if stream:
        client.feed.start()
    try:
        yield client
    finally:
        began = time.monotonic()
        client.feed.stop()
        took = time.monotonic() - began
        await client.rest.aclose()
        assert took < 2.2, f"stop() took {took:.2f} s"


@contextmanager
def simulated(**options: Any) -> Iterator[SimulatedExchange]:
    """Run an exchange with a quiet book: 300 to buy at 142.50, 225 to sell at 142.70."""
    clock = ExchangeClock()
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    year = 365 * 86_400_000
    later = [replace(i, expiry=clock.now_ms() + year) for i in INSTRUMENTS if i.expiry]
    with SimulatedExchange(
        TinyMarket(*later), clock=clock, tokens=tokens, flush=0.01, **options
    ) as exchange:
        yield exchange
