"""A desk that deals, beside the truth of its broker: what was placed, filled, and is held."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from main import Vigil
from settings import Feed
from simulator.server import SimulatedExchange
from simulator.tokens import USER
from tests.rig import FAST, Rig, running
from trading.model import Instrument
from trading.order import Order, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.order_book import OrderMoved
from trading.ports import FeedState
from trading.positions import Position

ACCOUNT = "main"
_presses = itertools.count()


class Dealing(Rig):
    """A rig with its books read, and every change of an order or position on record."""

    def __init__(self, vigil: Vigil, exchange: SimulatedExchange | None = None) -> None:
        super().__init__(vigil, exchange)
        self.moves: list[OrderMoved] = []
        self.desk.orders.changes.subscribe(self.moves.append)

    # to do

    async def ready(self) -> None:
        """Wait until the books were read, the stream is live, and instruments are known."""
        await self.live()
        await self.until(self._is_ready, within=10, what="the books and the instruments")

    def _is_ready(self) -> bool:
        listed = self.vigil.catalogue.get(self.option().instrument_key)
        read = self.desk.cycle.confirmed_age(ACCOUNT) is not None
        return read and self.stream is FeedState.LIVE and listed is not None

    async def buy(self, lots: int = 1, **changes: Any) -> Order:
        return await self.desk.orders.place(self.request(lots, **changes))

    def request(self, lots: int = 1, **changes: Any) -> OrderRequest:
        option = changes.pop("instrument", None) or self.option()
        values: dict[str, Any] = {
            "account": ACCOUNT,
            "instrument_key": option.instrument_key,
            "side": Side.BUY,
            "quantity": lots * option.lot_size,
            "product": Product.INTRADAY,
            "order_type": OrderType.MARKET,
            "nonce": f"press-{next(_presses)}",
        }
        return OrderRequest(**{**values, **changes})

    def fault(self, name: str, **parameters: Any) -> None:
        self.exchange.faults.set(name, **parameters)

    async def becomes(self, order: Order, status: OrderStatus, *, within: float = 5.0) -> Order:
        await self.until(
            lambda: self.now(order).status is status, within=within, what=f"{status} of {order.id}"
        )
        return self.now(order)

    async def agrees(self, *, within: float = 10.0) -> None:
        """Wait until every position and filled quantity is the broker's, and it is known."""
        await self.until(self._same_as_truth, within=within, what="agreement with the broker")

    # what the desk says

    @property
    def stream(self) -> FeedState:
        """Return LIVE where there is none: paper execution tells by itself."""
        feed = self.desk.portfolio_feeds.get(ACCOUNT)
        return feed.stats().state if feed else FeedState.LIVE

    def now(self, order: Order) -> Order:
        found = self.desk.orders.get(order.id)
        assert found is not None
        return found

    def position(self, instrument: Instrument | Any = None) -> Position | None:
        key = (instrument or self.option()).instrument_key
        return next((p for p in self.positions() if p.instrument_key == key), None)

    def positions(self) -> list[Position]:
        return self.desk.positions.positions(ACCOUNT)

    def held(self) -> dict[str, int]:
        return {p.instrument_key: p.quantity for p in self.positions() if p.quantity}

    def told(self, order: Order, status: OrderStatus) -> int:
        """Return how often an order was told to have come into this state."""
        return sum(
            move.after.id == order.id
            and move.after.status is status
            and (move.before is None or move.before.status is not status)
            for move in self.moves
        )

    # what the exchange knows

    def option(self, nth: int = 0, kind: str = "CE") -> Any:
        """Return the nth option above the money of the nearest expiry."""
        options = [
            i
            for i in self.exchange.market.instruments.values()
            if i.instrument_type == kind and i.underlying_symbol == "NIFTY"
        ]
        spot = self.exchange.market.quotes["NSE_INDEX|Nifty 50"].ltp
        nearest = min(i.expiry for i in options)
        near = sorted((i for i in options if i.expiry == nearest), key=lambda i: i.strike)
        above = [i for i in near if i.strike >= spot] or near[-1:]
        return above[min(nth, len(above) - 1)]

    def truth(self) -> dict[str, Any]:
        """Return the broker's book of our account, with the requests that it has received."""
        told = httpx.get(f"{self.exchange.base_url}/control/book", trust_env=False).json()["data"]
        nothing: dict[str, Any] = {"orders": [], "trades": [], "positions": []}
        return {**told["accounts"].get(USER, nothing), "requests": told["requests"]}

    def placed(self) -> list[dict[str, Any]]:
        return list(self.truth()["orders"])

    def truly_held(self) -> dict[str, int]:
        rows = self.truth()["positions"]
        sums: Counter[str] = Counter()
        for row in rows:
            sums[row["instrument_key"]] += row["quantity"]
        return {key: units for key, units in sums.items() if units}

    def _same_as_truth(self) -> bool:
        truth = self.truth()
        filled = {o["order_id"]: o["filled_quantity"] for o in truth["orders"]}
        ours = {c.order_id: c.filled for o in self.desk.orders.orders() for c in o.children}
        return (
            ours == filled
            and self.held() == self.truly_held()
            and not any(p.in_doubt for p in self.positions())
        )

    def check(self) -> None:
        """Assert the promises of faults.md C3 over our book and the broker's."""
        owners: Counter[str] = Counter()
        for order in self.desk.orders.orders():
            owners.update(child.order_id for child in order.children)
        placed = self.placed()
        assert set(owners) == {o["order_id"] for o in placed}
        assert all(count == 1 for count in owners.values()), (
            "an order of the broker's has two intents"
        )
        tags = Counter(o["tag"] for o in placed if o["tag"] and not o["parent_order_id"])
        sliced = {o.id for o in self.desk.orders.orders() if len(o.children) > 1}
        assert all(count == 1 or tag in sliced for tag, count in tags.items()), "sent twice"


@asynccontextmanager
async def dealing(
    folder: Path,
    *,
    feed: Feed = FAST,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
    **rest: Any,
) -> AsyncIterator[Dealing]:
    """Start a desk that may deal: its books read, its stream live."""
    async with running(folder, feed=feed, prepare=prepare, **{"instruments": 200, **rest}) as rig:
        desk = Dealing(rig.vigil)
        await desk.ready()
        yield desk
