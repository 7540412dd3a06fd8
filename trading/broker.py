"""What the desk needs of whoever executes orders, and of the disk that remembers them.

The same ports stand before a real broker, the simulated exchange and paper execution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from trading.errors import VigilError
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
)
from trading.ports import FeedChange, FeedStats
from trading.signal import Signal


@dataclass(frozen=True, slots=True)
class Line:
    """A request with the tag that its order will be found by."""

    tag: str
    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to one line: the broker's numbers, or what it said instead.

    `error` is BadRequest, Refused or RateLimited if nothing was placed, proven; Unanswered if it
    may have been. `order_ids` are several if the broker sliced the order.
    """

    tag: str
    order_ids: tuple[str, ...] = ()
    error: VigilError | None = None


class Broker(Protocol):
    """One account's way to the market.

    Every read raises Retryable, Refused or BadAnswer rather than return less than the truth: an
    empty list means that the broker said there is none. Writes raise Unanswered when they may have
    happened, BadRequest, Refused or Retryable when they certainly did not.
    """

    account: str
    order_updates: Signal[BrokerOrder]
    position_updates: Signal[BrokerPosition]

    async def place(self, line: Line) -> tuple[str, ...]:
        """Return the broker's order numbers."""
        ...

    async def place_many(self, lines: Sequence[Line]) -> list[Placed]:
        """Send all in one call, buys first; return one answer for each line, in their order.

        Raises like `place` if the call as a whole was refused or not answered.
        """
        ...

    async def modify(self, order: BrokerOrder, change: OrderChange) -> None: ...

    async def cancel(self, order_id: str) -> None: ...

    async def orders(self) -> list[BrokerOrder]:
        """Return today's order book."""
        ...

    async def orders_tagged(self, tag: str) -> list[BrokerOrder]:
        """Return the latest state of every order with this tag."""
        ...

    async def trades(self) -> list[Fill]:
        """Return today's executions."""
        ...

    async def positions(self) -> list[BrokerPosition]: ...

    async def holdings(self) -> list[BrokerHolding]: ...

    async def funds(self) -> Funds: ...

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        """Return what the requests would block if they were sent together now."""
        ...

    async def charges(self, request: OrderRequest, price: float) -> int:
        """Return brokerage, taxes and fees in paise if all of it were filled at this price."""
        ...


class PortfolioFeed(Protocol):
    """The stream of one account's order and position updates; it shows no snapshot.

    After each connection it stays OPEN until `caught_up` says that everything was read over REST:
    only then it is LIVE.
    """

    name: str  # "portfolio-main"
    account: str
    changes: Signal[FeedChange]

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def caught_up(self) -> None: ...

    def reconnect(self, reason: str) -> None: ...

    def stats(self) -> FeedStats: ...


class OrderJournal(Protocol):
    """Orders and fills on the disk. Every method is done when the disk has it."""

    async def open_intents(self, orders: Sequence[Order]) -> list[Order]:
        """Commit new intents, all or none, before anything is sent.

        Return them, or, if the nonce of the first is known, the orders that this press has made
        already: then nothing was written and nothing may be sent.
        """
        ...

    def keep(self, order: Order) -> None:
        """Write an order as it is now with its new steps, in the order of the calls; never lost.

        An external order is new to the disk here.
        """
        ...

    def keep_fills(self, fills: OrderFills) -> None:
        """Write the executions of one of the broker's orders in place of those written before."""
        ...

    async def orders(self, *, since: datetime) -> list[Order]:
        """Return the orders created since then, and all older ones that are not final."""
        ...

    async def fills(self, *, since: datetime) -> list[Fill]: ...


@dataclass(frozen=True, slots=True)
class PaperState:
    """Everything that a paper account is made of; cash in paise."""

    cash: int
    orders: tuple[BrokerOrder, ...]
    fills: tuple[Fill, ...]
    carried: tuple[BrokerPosition, ...]


class PaperLedger(Protocol):
    """A paper account on the disk. The broker's own book: the desk's journal is another one."""

    async def load(self, account: str, *, day: date) -> PaperState | None: ...

    async def keep(
        self,
        account: str,
        *,
        orders: Sequence[BrokerOrder] = (),
        fills: Sequence[Fill] = (),
        cash: int,
        opening: Sequence[BrokerPosition] | None = None,
    ) -> None:
        """Commit orders, fills and cash in one transaction; a fill that is known already raises."""
        ...
