"""The words of the account: what an order, a fill, a position and a margin are.

Prices are rupees as on the wire, sums of money are integer paise, quantities are units, moments
are aware UTC. An unknown price is NaN, never zero.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trading.model import UNKNOWN


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class Product(StrEnum):
    INTRADAY = "I"
    DELIVERY = "D"  # for derivatives: carry forward
    MTF = "MTF"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"  # a limit order that waits for its trigger
    SL_M = "SL-M"  # a market order that waits for its trigger

    @property
    def has_price(self) -> bool:
        return self in (OrderType.LIMIT, OrderType.SL)

    @property
    def has_trigger(self) -> bool:
        return self in (OrderType.SL, OrderType.SL_M)


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"


class OrderStatus(StrEnum):
    """What we know about an order, in the plain words of the screens.

    Denied, rejected and in doubt are three different things: refused by our own rules, so that
    nothing was sent; refused by the broker, proven; and no answer, so that it may exist.
    """

    SENT = "sent"  # the intent is on the disk, the broker has not answered yet
    IN_DOUBT = "in doubt"  # no answer: looked for by its tag, never sent again
    WORKING = "working"  # can still change; partly filled is working with `filled` above zero
    FILLED = "filled"
    CANCELLED = "cancelled"  # what was filled before stays filled
    REJECTED = "rejected"
    DENIED = "denied"
    NOT_PLACED = "not placed"  # looked for long enough: it never reached the broker

    @property
    def final(self) -> bool:
        return self not in (OrderStatus.SENT, OrderStatus.IN_DOUBT, OrderStatus.WORKING)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What somebody wants: `quantity` in units, `price` and `trigger` in rupees or 0.

    `nonce` is made once for each press of a button or call of a program: one nonce, one order,
    however often it arrives. `reduces` marks an exit, which is allowed when entries are not.
    """

    account: str
    instrument_key: str
    side: Side
    quantity: int
    product: Product
    order_type: OrderType
    nonce: str
    price: float = 0.0
    trigger: float = 0.0
    validity: Validity = Validity.DAY
    source: str = "ticket"  # who asked, in words that the order's page shows
    reduces: bool = False
    batch_id: str = ""
    leg: int = 0  # of the batch, from 1


@dataclass(frozen=True, slots=True)
class OrderChange:
    """What a modification asks for; None leaves a field as it is."""

    quantity: int | None = None
    order_type: OrderType | None = None
    price: float | None = None
    trigger: float | None = None
    validity: Validity | None = None


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """One order as the broker told it at one moment, over the stream or over REST.

    `average_price` is NaN while the broker tells none, which it does for partly filled orders.
    `placed` and `exchange_time` have the broker's resolution of one second.
    """

    account: str
    order_id: str
    tag: str
    instrument_key: str
    side: Side
    quantity: int
    product: Product
    order_type: OrderType
    price: float
    trigger: float
    validity: Validity
    status: OrderStatus  # WORKING, FILLED, CANCELLED or REJECTED
    raw_status: str  # the broker's own word
    filled: int
    average_price: float
    message: str = ""
    parent_id: str = ""
    exchange_order_id: str = ""
    placed: datetime | None = None
    exchange_time: datetime | None = None
    is_amo: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of an order's life: a status, the broker's word, and how much was filled."""

    status: OrderStatus
    raw_status: str
    filled: int
    at: datetime
    seen_by: str  # "us", "answer", "stream", "read", "paper"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An intent of ours with what became of it, or an order that was placed elsewhere.

    `id` is the tag that travels with it; an external order has `ext-` and the broker's number.
    `children` are the broker's orders: none before it is known, several if it was sliced.
    """

    id: str
    request: OrderRequest
    status: OrderStatus
    created: datetime
    updated: datetime
    is_mock: bool
    external: bool = False
    filled: int = 0
    average_price: float = UNKNOWN
    message: str = ""  # the reason of a denial or rejection, or why it is in doubt
    children: tuple[BrokerOrder, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def pending(self) -> int:
        """Units that can still be filled."""
        return 0 if self.status.final else self.request.quantity - self.filled

    @property
    def part_filled(self) -> bool:
        return 0 < self.filled < self.request.quantity


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution of ours; `trade_id` is `~1`, `~2` while only the order has told of it."""

    account: str
    order_id: str  # the broker's
    trade_id: str
    instrument_key: str
    product: Product
    side: Side
    quantity: int
    price: float  # NaN while only the quantity is known
    at: datetime
    is_mock: bool

    @property
    def value(self) -> int | None:
        """Paise, always positive; None while the price is unknown."""
        return None if math.isnan(self.price) else round(self.price * self.quantity * 100)


@dataclass(frozen=True, slots=True)
class OrderFills:
    """All fills of one of the broker's orders as known now, oldest first."""

    account: str
    order_id: str
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """One row of the broker's positions, from REST or from the stream; values in rupees.

    The broker's own P&L is left out on purpose: for carried rows it omits the cost.
    """

    account: str
    instrument_key: str
    product: Product
    quantity: int  # net, signed
    multiplier: float
    day_buy_quantity: int
    day_buy_value: float
    day_sell_quantity: int
    day_sell_value: float
    overnight_quantity: int
    overnight_buy_quantity: int
    overnight_buy_amount: float
    overnight_sell_quantity: int
    overnight_sell_amount: float
    last_price: float = UNKNOWN  # REST only
    close_price: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class BrokerHolding:
    """One row of the demat account; `average_price` NaN if the broker tells none."""

    account: str
    instrument_key: str
    symbol: str
    quantity: int
    t1_quantity: int
    average_price: float
    last_price: float
    close_price: float


@dataclass(frozen=True, slots=True)
class Funds:
    """Paise."""

    available: int
    used: int


@dataclass(frozen=True, slots=True)
class Margin:
    """Paise for a set of lines sent together: `required` in between, `final` once all stand."""

    required: int
    final: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the settings; exactly one is primary, and feeds the market data."""

    id: str
    name: str
    primary: bool
    is_mock: bool


@dataclass(frozen=True, slots=True)
class AccountState:
    """What we know of an account's session with the broker."""

    account: Account
    signed_in: bool | None  # None: not asked yet, or no answer
    reason: str = ""
    user_id: str = ""
    checked: datetime | None = None
    funds: Funds | None = None
    holdings: tuple[BrokerHolding, ...] = field(default=())
