"""The other end of the wire for tests of the core: a broker whose book and answers are scripted."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from trading.broker import Line, Placed
from trading.errors import VigilError
from trading.model import UNKNOWN, Instrument, InstrumentType
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    Funds,
    Margin,
    Order,
    OrderChange,
    OrderFills,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
)
from trading.signal import Signal

T0 = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)  # 10:30 IST
CALL = Instrument(
    "NSE_FO|1", "NSE_FO", InstrumentType.CALL, "NIFTY26N24000CE", "NIFTY", lot_size=75,
    tick_size=0.05, freeze_quantity=1800,
)  # fmt: skip


def request(nonce: str = "n1", **changes: object) -> OrderRequest:
    base = OrderRequest(
        account="main",
        instrument_key=CALL.instrument_key,
        side=Side.BUY,
        quantity=75,
        product=Product.INTRADAY,
        order_type=OrderType.LIMIT,
        nonce=nonce,
        price=100.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


class ScriptedBroker:
    """Implements `trading.broker.Broker`. Each placing takes the next outcome of `script`:

    None accepts; an error before the effect refuses; `After(error)` accepts and loses the answer.
    """

    def __init__(self, account: str = "main") -> None:
        self.account = account
        self.order_updates: Signal[BrokerOrder] = Signal("orders")
        self.position_updates: Signal[BrokerPosition] = Signal("positions")
        self.script: list[VigilError | After | None] = []
        self.book: dict[str, BrokerOrder] = {}
        self.executed: list[Fill] = []
        self.held: list[BrokerPosition] = []
        self.sent: list[Line] = []
        self.reads = 0
        self.read_error: VigilError | None = None
        self.cancel_error: VigilError | None = None
        self.delay = asyncio.Event()
        self.delay.set()

    async def place(self, line: Line) -> tuple[str, ...]:
        self.sent.append(line)
        outcome = self.script.pop(0) if self.script else None
        if isinstance(outcome, VigilError):
            raise outcome
        number = self.accept(line)
        await self.delay.wait()
        if isinstance(outcome, After):
            raise outcome.error
        return (number,)

    async def place_many(self, lines: Sequence[Line]) -> list[Placed]:
        answers = []
        for line in lines:
            try:
                answers.append(Placed(line.tag, await self.place(line)))
            except VigilError as error:
                answers.append(Placed(line.tag, error=error))
        return answers

    def accept(self, line: Line) -> str:
        number = f"26112000000{len(self.book) + 1:04d}"
        asked = line.request
        self.book[number] = BrokerOrder(
            self.account, number, line.tag, asked.instrument_key, asked.side, asked.quantity,
            asked.product, asked.order_type, asked.price, asked.trigger, asked.validity,
            OrderStatus.WORKING, "open", 0, UNKNOWN, placed=T0,
        )  # fmt: skip
        return number

    def move(self, number: str, *, tell: bool = True, **changes: object) -> BrokerOrder:
        """Change the truth of an order, and put it on the stream."""
        self.book[number] = replace(self.book[number], **changes)  # type: ignore[arg-type]
        if tell:
            self.order_updates.emit(self.book[number])
        return self.book[number]

    def fill(
        self, number: str, quantity: int | None = None, price: float = 100.0, *, tell: bool = True
    ) -> BrokerOrder:
        order = self.book[number]
        filled = order.filled + (quantity or order.quantity - order.filled)
        done = filled == order.quantity
        return self.move(
            number,
            tell=tell,
            filled=filled,
            average_price=price,
            status=OrderStatus.FILLED if done else OrderStatus.WORKING,
            raw_status="complete" if done else "open",
        )

    async def modify(self, order: BrokerOrder, change: OrderChange) -> None:
        if self.cancel_error:
            raise self.cancel_error
        self.move(order.order_id, tell=False, price=change.price or order.price)

    async def cancel(self, order_id: str) -> None:
        if self.cancel_error:
            raise self.cancel_error
        self.move(order_id, status=OrderStatus.CANCELLED, raw_status="cancelled")

    async def orders(self) -> list[BrokerOrder]:
        self._read()
        return list(self.book.values())

    async def orders_tagged(self, tag: str) -> list[BrokerOrder]:
        self._read()
        return [o for o in self.book.values() if o.tag == tag]

    async def trades(self) -> list[Fill]:
        self._read()
        return list(self.executed)

    async def positions(self) -> list[BrokerPosition]:
        self._read()
        return list(self.held)

    async def holdings(self) -> list[BrokerHolding]:
        return []

    async def funds(self) -> Funds:
        return Funds(100_000_00, 0)

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        return Margin(0, 0)

    async def charges(self, request: OrderRequest, price: float) -> int:
        return 0

    def _read(self) -> None:
        self.reads += 1
        if self.read_error:
            raise self.read_error


class After:
    """The order is taken, the answer is lost."""

    def __init__(self, error: VigilError) -> None:
        self.error = error


class Paper:
    """A disk made of dictionaries: implements `trading.broker.OrderJournal`."""

    def __init__(self) -> None:
        self.kept: dict[str, Order] = {}
        self.executions: dict[tuple[str, str], OrderFills] = {}
        self.nonces: dict[str, list[str]] = {}

    async def open_intents(self, orders: Sequence[Order]) -> list[Order]:
        nonce = orders[0].request.nonce
        if nonce in self.nonces:
            return [self.kept[order_id] for order_id in self.nonces[nonce]]
        self.nonces[nonce] = [order.id for order in orders]
        self.kept |= {order.id: order for order in orders}
        return list(orders)

    def keep(self, order: Order) -> None:
        self.kept[order.id] = order

    def keep_fills(self, fills: OrderFills) -> None:
        self.executions[fills.account, fills.order_id] = fills

    async def orders(self, *, since: datetime) -> list[Order]:
        return list(self.kept.values())

    async def fills(self, *, since: datetime) -> list[Fill]:
        return [fill for told in self.executions.values() for fill in told.fills]
