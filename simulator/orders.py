"""What an order is at the broker: its fields, its statuses, and how each answer writes it down.

Money is in whole paise inside; the rows of the wire have rupees.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum, auto
from typing import Final, NamedTuple

from simulator.calendar import IST, SEGMENTS
from simulator.envelope import Json
from simulator.model import Instrument
from simulator.quotes import symbol

Row = dict[str, Json]

FOREVER: Final = 1 << 62  # units


class Status(StrEnum):
    """The broker's words, as they stand on the wire."""

    RECEIVED = "put order req received"
    VALIDATING = "validation pending"
    OPEN_PENDING = "open pending"
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    CANCEL_PENDING = "cancel pending"
    NOT_CANCELLED = "not cancelled"
    MODIFY_VALIDATING = "modify validation pending"
    MODIFY_PENDING = "modify pending"
    MODIFIED = "modified"
    NOT_MODIFIED = "not modified"
    AMO_RECEIVED = "after market order req received"
    AMO_MODIFIED = "modify after market order req received"
    AMO_CANCELLED = "cancelled after market order"


class Phase(Enum):
    """Where an order is, whatever its status says at the moment."""

    AFTER_MARKET = auto()  # waits for the next session
    ENTERING = auto()  # on its way to the exchange
    STOP = auto()  # waits for its trigger
    WORKING = auto()  # in the book
    DONE = auto()


class Terms(NamedTuple):
    """What a modification may change; prices in rupees, as asked."""

    order_type: str  # "MARKET", "LIMIT", "SL", "SL-M"
    validity: str  # "DAY", "IOC"
    quantity: int
    price: float
    trigger_price: float
    disclosed_quantity: int = 0
    market_protection: float = 0.0


class Stage(NamedTuple):
    """A status that the order went through, and its history row of that moment."""

    status: str
    exchange_ms: int
    row: Row


class Step(NamedTuple):
    """What the broker does next with an order: an act of its, and what that must know."""

    act: str
    about: tuple[Json, ...] = ()


class Trade(NamedTuple):
    """One execution; a partial fill is one of several."""

    trade_id: str
    order: "Order"
    quantity: int
    paise: int  # a unit
    exchange_ms: int

    @property
    def value(self) -> int:
        """Return quantity times price, in paise."""
        return self.quantity * self.paise


@dataclass(slots=True, eq=False)
class Order:
    """One order of a user; slices are orders of their own. Owned by the broker."""

    user: str
    order_id: str
    order_ref_id: str
    instrument: Instrument
    product: str
    transaction_type: str  # "BUY", "SELL"
    terms: Terms
    placed_ms: int
    tag: str | None = None
    correlation_id: str | None = None  # of the multi-order request it came in
    line: int = 1  # its place in that request, as sent
    source: str = "api"  # or "phone": placed elsewhere
    is_amo: bool = False
    exchange_order_id: str = ""
    status: str = Status.RECEIVED
    status_message: str = ""
    status_message_raw: str | None = None
    phase: Phase = Phase.ENTERING
    passed: bool = False  # by the risk management, which reserves its money from then on
    filled_quantity: int = 0
    filled_value: int = 0  # paise
    limit: float | None = None  # in force; a market order without protection has none
    exchange_ms: int | None = None  # of the exchange's last word
    trades: list[Trade] = field(default_factory=list)
    history: list[Stage] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # that are to come, the next one first
    ready_at: float = 0.0  # monotonic seconds; the last of its steps comes then
    requests: int = 1  # this order's own, as `order_request_id` counts them
    most: int = FOREVER  # units that a fault lets it fill, while `held_while` holds
    held_while: tuple[str, int] = ("", 0)  # the fault's name, and how often it had been cleared

    @property
    def buying(self) -> bool:
        return self.transaction_type == "BUY"

    @property
    def key(self) -> str:
        return self.instrument.instrument_key

    @property
    def quantity(self) -> int:
        return self.terms.quantity

    @property
    def unfilled(self) -> int:
        return self.terms.quantity - self.filled_quantity

    @property
    def pending_quantity(self) -> int:
        return 0 if self.status == Status.REJECTED else self.unfilled

    @property
    def is_final(self) -> bool:
        return self.phase is Phase.DONE

    @property
    def is_stop(self) -> bool:
        return self.terms.order_type in ("SL", "SL-M")

    @property
    def average_price(self) -> float:
        """Return the mean of its fills in rupees, 0 without any."""
        if not self.filled_quantity:
            return 0.0
        return round(self.filled_value / self.filled_quantity / 100, 4)

    @property
    def told_average(self) -> float:
        """Return what the wire says: nothing yet while it is open, as in the documented history."""
        return self.average_price if self.is_final else 0.0

    def take(self, trade: Trade) -> None:
        """Take on a fill."""
        self.trades.append(trade)
        self.filled_quantity += trade.quantity
        self.filled_value += trade.value

    def note(self, status: str, exchange_ms: int) -> None:
        """Take on a status."""
        self.status = status
        self.history.append(Stage(status, exchange_ms, history_row(self)))


@dataclass(slots=True)
class WriteRequest:
    """One request that was to write orders, as it arrived.

    `status` is that of the answer that went out, 0 without one; `lost` says whether a fault kept
    the broker's own answer back, and on which side of the effect.
    """

    exchange_ms: int
    user: str
    method: str
    path: str
    query: str
    body: str
    status: int = 0
    lost: str = ""  # "before" or "after" the effect


def order_row(order: Order) -> Row:
    """Return the order book's row."""
    terms = order.terms
    return {
        "exchange": exchange_of(order.instrument),
        "product": order.product,
        "price": terms.price,
        "quantity": terms.quantity,
        "status": str(order.status),
        "guid": None,
        "tag": order.tag,
        "instrument_token": order.key,
        "placed_by": order.user,
        "trading_symbol": order_symbol(order.instrument),
        "tradingsymbol": order_symbol(order.instrument),
        "order_type": terms.order_type,
        "validity": terms.validity,
        "trigger_price": terms.trigger_price,
        "disclosed_quantity": terms.disclosed_quantity,
        "transaction_type": order.transaction_type,
        "average_price": order.told_average,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": order.pending_quantity,
        "status_message": order.status_message,
        "status_message_raw": order.status_message_raw,
        "exchange_order_id": order.exchange_order_id,
        "parent_order_id": None,
        "order_id": order.order_id,
        "variety": "SIMPLE",
        "order_timestamp": stamp(order.placed_ms),
        "exchange_timestamp": None if order.exchange_ms is None else stamp(order.exchange_ms),
        "is_amo": order.is_amo,
        "order_request_id": str(order.requests),
        "order_ref_id": order.order_ref_id,
    }


def order_message(order: Order) -> Row:
    """Return the portfolio stream's message of the order as it is now."""
    return {
        "update_type": "order",
        "user_id": order.user,
        "userId": order.user,
        "instrument_key": order.key,
        **order_row(order),
    }


HISTORY_LACKS: Final = ("pending_quantity", "guid", "status_message_raw", "order_ref_id")


def history_row(order: Order) -> Row:
    """Return the row of one stage, which has fewer fields than the order book's."""
    row = {name: value for name, value in order_row(order).items() if name not in HISTORY_LACKS}
    return row | {"parent_order_id": "NA"}


def trade_row(trade: Trade) -> Row:
    order = trade.order
    return {
        "exchange": exchange_of(order.instrument),
        "product": order.product,
        "trading_symbol": order_symbol(order.instrument),
        "tradingsymbol": order_symbol(order.instrument),
        "instrument_token": order.key,
        "order_type": order.terms.order_type,
        "transaction_type": order.transaction_type,
        "quantity": trade.quantity,
        "average_price": trade.paise / 100,
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_order_id,
        "trade_id": trade.trade_id,
        "order_ref_id": order.order_ref_id,
        "order_timestamp": trade_stamp(order.placed_ms),
        "exchange_timestamp": trade_stamp(trade.exchange_ms),
    }


def exchange_of(instrument: Instrument) -> str:
    """Return the exchange as orders, trades and holdings name it: NSE, NFO."""
    return SEGMENTS[instrument.segment]


def order_symbol(instrument: Instrument) -> str:
    """Return the symbol as orders and trades have it; a share's differs from its position's."""
    series = "-EQ" if instrument.instrument_type == "EQ" else ""
    return symbol(instrument) + series


def stamp(ms: int) -> str:
    return _ist(ms).strftime("%Y-%m-%d %H:%M:%S")


def trade_stamp(ms: int) -> str:
    """Write a moment as trades have it: 26-Nov-2025 09:30:02."""
    return _ist(ms).strftime("%d-%b-%Y %H:%M:%S")


def _ist(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(IST)


def paise(rupees: float) -> int:
    return round(rupees * 100)


class Counts(NamedTuple):
    """The last numbers given to orders at the broker, orders at the exchange, and trades."""

    orders: int = 12_344
    entered: int = 12_345_677
    trades: int = 50_091_501


FIRST: Final = Counts()


class Numbers:
    """The numbers that the broker and the exchange give to orders and trades, none twice."""

    def __init__(self, after: Counts = FIRST) -> None:
        self._orders, self._entered, self._trades = after

    @property
    def counts(self) -> Counts:
        return Counts(self._orders, self._entered, self._trades)

    def order_id(self, now_ms: int) -> str:
        """Return the next one: the date, then nine digits."""
        self._orders += 1
        return f"{_ist(now_ms):%y%m%d}{self._orders:09d}"

    def ref_id(self) -> str:
        return f"577448{self._orders:08d}"

    def exchange_order_id(self) -> str:
        self._entered += 1
        return f"11{self._entered:014d}"

    def trade_id(self) -> str:
        self._trades += 1
        return str(self._trades)
