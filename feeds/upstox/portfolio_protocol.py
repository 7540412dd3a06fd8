"""Orders, positions, holdings and trades as the broker writes them: JSON in, no I/O.

The stream's messages and the rows of the REST answers are the same objects but for a few fields.
What a row must have to mean anything (whose, which instrument, how many) is insisted on; every
other field may be null, missing or new to us.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson

from feeds.upstox.answers import parsed
from trading.hours import IST
from trading.model import UNKNOWN
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Validity,
)

Update = BrokerOrder | BrokerPosition | BrokerHolding
Word = TypeVar("Word")

LARGEST: Final = 1 << 53  # beyond it JSON's numbers are not exact
LONGEST_ID: Final = 64
LONGEST_MESSAGE: Final = 300
WORDS_KEPT: Final = 100  # of those that we do not know

STATUSES: Final = {
    "put order req received": OrderStatus.WORKING,
    "validation pending": OrderStatus.WORKING,
    "open pending": OrderStatus.WORKING,
    "open": OrderStatus.WORKING,
    "trigger pending": OrderStatus.WORKING,
    "complete": OrderStatus.FILLED,
    "rejected": OrderStatus.REJECTED,
    "cancelled": OrderStatus.CANCELLED,
    "cancel pending": OrderStatus.WORKING,
    "not cancelled": OrderStatus.WORKING,  # the request failed, the order stays as it was
    "modify validation pending": OrderStatus.WORKING,
    "modify pending": OrderStatus.WORKING,
    "modified": OrderStatus.WORKING,
    "not modified": OrderStatus.WORKING,
    "after market order req received": OrderStatus.WORKING,
    "modify after market order req received": OrderStatus.WORKING,
    "cancelled after market order": OrderStatus.CANCELLED,
}
# The stages before the exchange has an order; all later ones follow them.
EARLY: Final = ("put order req received", "validation pending", "open pending")

PRODUCTS: Final = {
    "I": Product.INTRADAY,
    "D": Product.DELIVERY,
    "MTF": Product.MTF,
    "CO": Product.INTRADAY,  # cover and bracket orders of the past, both intraday
    "OCO": Product.INTRADAY,
}
VALIDITIES: Final = {
    "DAY": Validity.DAY,
    "IOC": Validity.IOC,
    "EOS": Validity.DAY,  # the end of the session, of commodities
}
ORDER_TYPES: Final = {word.value: word for word in OrderType}
SIDES: Final = {word.value: word for word in Side}


class Unreadable(ValueError):
    """A row that lacks what gives it a meaning; the words name the field."""


class Rows:
    """Reads the rows of one account; counts and tells once what is new to us. One thread's own."""

    def __init__(self, account: str, *, is_mock: bool) -> None:
        self.unknown: Counter[str] = Counter()  # "status 'frozen'" -> times
        self.strange = 0  # their sum, which another thread may read
        self._account = account
        self._logger = logging.getLogger(f"{__name__}.{account}")
        self._is_mock = is_mock

    def order(self, row: Any) -> BrokerOrder:
        """Raises Unreadable."""
        order_id = _id(row, "order_id")
        raw_status = _text(row, "status", most=LONGEST_ID)
        if not raw_status:
            raise Unreadable(f"order {order_id}: no status")
        status = self._word(STATUSES, "status", raw_status.lower(), OrderStatus.WORKING)
        quantity = _units(row, "quantity")
        filled = quantity if status is OrderStatus.FILLED else 0
        if row.get("filled_quantity") is not None:
            filled = _units(row, "filled_quantity")
        price, trigger = _amount(row.get("price")), _amount(row.get("trigger_price"))
        return BrokerOrder(
            self._account,
            order_id,
            _text(row, "tag", most=LONGEST_ID),
            _instrument(row),
            _side(row),
            quantity,
            self._product(row),
            self._order_type(row, price, trigger),
            price,
            trigger,
            self._word(VALIDITIES, "validity", _text(row, "validity").upper(), Validity.DAY),
            status,
            raw_status,
            filled,
            _price(row.get("average_price")),
            _message(row),
            _parent(row),
            _text(row, "exchange_order_id", most=LONGEST_ID),
            _moment(row.get("order_timestamp")),
            _moment(row.get("exchange_timestamp")),
            row.get("is_amo") is True,
        )

    def position(self, row: Any) -> BrokerPosition:
        """Raises Unreadable: a row left out would look like no position."""
        bought = _whole_or(row, "day_buy_quantity", 0)
        sold = _whole_or(row, "day_sell_quantity", 0)
        carried_bought = _whole_or(row, "overnight_buy_quantity", 0)
        carried_sold = _whole_or(row, "overnight_sell_quantity", 0)
        return BrokerPosition(
            self._account,
            _instrument(row),
            self._product(row),
            _whole(row, "quantity"),
            _number(row.get("multiplier")) or 1.0,
            bought,
            _value(row, "day_buy_value", bought),
            sold,
            _value(row, "day_sell_value", sold),
            _whole_or(row, "overnight_quantity", 0),
            carried_bought,
            _value(row, "overnight_buy_amount", carried_bought),
            carried_sold,
            _value(row, "overnight_sell_amount", carried_sold),
            _price(row.get("last_price")),
            _price(row.get("close_price")),
        )

    def holding(self, row: Any) -> BrokerHolding:
        """Raises Unreadable."""
        symbol = _text(row, "trading_symbol") or _text(row, "tradingsymbol")
        return BrokerHolding(
            self._account,
            _instrument(row),
            symbol or _text(row, "company_name"),  # the stream tells no symbol
            _whole(row, "quantity"),
            _whole_or(row, "t1_quantity", 0),
            _price(row.get("average_price")),
            _price(row.get("last_price")),
            _price(row.get("close_price")),
        )

    def fill(self, row: Any) -> Fill:
        """Read a row of the trades. Raises Unreadable."""
        order_id = _id(row, "order_id")
        at = _moment(row.get("exchange_timestamp")) or _moment(row.get("order_timestamp"))
        if at is None:
            raise Unreadable(f"trade of order {order_id}: no time")
        return Fill(
            self._account,
            order_id,
            _id(row, "trade_id"),
            _instrument(row),
            self._product(row),
            _side(row),
            _units(row, "quantity"),
            _price(row.get("average_price")),
            at,
            self._is_mock,
        )

    def message(self, frame: bytes) -> Update | None:
        """Read a message of the stream; None for a kind that we do not know, which is counted.

        Raises Unreadable.
        """
        try:
            row = orjson.loads(frame)
        except orjson.JSONDecodeError:  # be it for half a character in words of somebody
            row = parsed(frame)
        match row.get("update_type") if isinstance(row, dict) else None:
            case "order":
                return self.order(row)
            case "position":
                return self.position(row)
            case "holding":
                return self.holding(row)
            case str(other):
                self.note("update_type", other)
                return None
        raise Unreadable("no update_type")

    def _product(self, row: Mapping[str, Any]) -> Product:
        word = _text(row, "product").upper()
        return self._word(PRODUCTS, "product", word, Product.INTRADAY)

    def _order_type(self, row: Mapping[str, Any], price: float, trigger: float) -> OrderType:
        """Judge an unknown type by the prices that it has."""
        if trigger:
            guess = OrderType.SL if price else OrderType.SL_M
        else:
            guess = OrderType.LIMIT if price else OrderType.MARKET
        return self._word(ORDER_TYPES, "order_type", _text(row, "order_type").upper(), guess)

    def _word(self, known: Mapping[str, Word], kind: str, word: str, instead: Word) -> Word:
        if word in known:
            return known[word]
        self.note(kind, word)
        return instead

    def note(self, kind: str, word: str) -> None:
        """Count what is new to us, and log it the first time."""
        name = f"{kind} {word[:LONGEST_ID]!r}"
        if name not in self.unknown:
            if len(self.unknown) >= WORDS_KEPT:
                name = "others"
            self._logger.warning("%s: the broker's %s is new to us", self._account, name)
        self.unknown[name] += 1
        self.strange += 1


def latest(stages: Iterable[BrokerOrder]) -> list[BrokerOrder]:
    """Keep the last stage of each order, by what it says rather than by where it stands.

    A final stage is the last one, more filled is later than less; the clock of whole seconds and
    the order of the rows only decide between equals.
    """
    best: dict[str, BrokerOrder] = {}
    for stage in stages:
        known = best.get(stage.order_id)
        if known is None or _age(stage) >= _age(known):
            best[stage.order_id] = stage
    return list(best.values())


def _age(stage: BrokerOrder) -> tuple[bool, int, float, int]:
    word = stage.raw_status.lower()
    return (
        stage.status.final,
        stage.filled,
        stage.placed.timestamp() if stage.placed else 0.0,
        EARLY.index(word) if word in EARLY else len(EARLY),
    )


def joined(rows: Iterable[BrokerPosition]) -> list[BrokerPosition]:
    """Add up rows of one instrument and product, so that none hides another.

    There are such rows when products of the past are read as intraday.
    """
    found: dict[tuple[str, Product], BrokerPosition] = {}
    for row in rows:
        key = row.instrument_key, row.product
        found[key] = _sum(found[key], row) if key in found else row
    return list(found.values())


def _sum(one: BrokerPosition, other: BrokerPosition) -> BrokerPosition:
    return BrokerPosition(
        one.account,
        one.instrument_key,
        one.product,
        one.quantity + other.quantity,
        one.multiplier,
        one.day_buy_quantity + other.day_buy_quantity,
        one.day_buy_value + other.day_buy_value,
        one.day_sell_quantity + other.day_sell_quantity,
        one.day_sell_value + other.day_sell_value,
        one.overnight_quantity + other.overnight_quantity,
        one.overnight_buy_quantity + other.overnight_buy_quantity,
        one.overnight_buy_amount + other.overnight_buy_amount,
        one.overnight_sell_quantity + other.overnight_sell_quantity,
        one.overnight_sell_amount + other.overnight_sell_amount,
        one.last_price,
        one.close_price,
    )


def _field(row: Any, name: str) -> Any:
    if not isinstance(row, dict):
        raise Unreadable("not an object")
    return row.get(name)


def _text(row: Any, name: str, *, most: int = LONGEST_MESSAGE) -> str:
    """Return one line of text, empty for null; a number is taken by its digits."""
    value = _field(row, name)
    return " ".join(str(value).split())[:most] if isinstance(value, str | int) else ""


def _id(row: Any, name: str) -> str:
    text = _text(row, name, most=LONGEST_ID + 1)
    if not text or len(text) > LONGEST_ID:
        raise Unreadable(f"no {name}")
    return text


def _instrument(row: Any) -> str:
    text = _text(row, "instrument_token") or _text(row, "instrument_key")
    if "|" not in text:
        raise Unreadable("no instrument_token")
    return text


def _side(row: Any) -> Side:
    word = _text(row, "transaction_type").upper()
    if word not in SIDES:
        raise Unreadable("no transaction_type")
    return SIDES[word]


def _number(value: Any) -> float | None:
    """Return a finite number; integers come as floats and the other way round."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -LARGEST <= value <= LARGEST:  # nor is infinity, nor what is not a number
        return None
    return float(value)


def _whole(row: Any, name: str) -> int:
    number = _number(_field(row, name))
    if number is None or number != int(number):
        raise Unreadable(f"no {name}")
    return int(number)


def _units(row: Any, name: str) -> int:
    """Return how many were ordered or traded; only a position can be below zero."""
    quantity = _whole(row, name)
    if quantity < 0:
        raise Unreadable(f"a {name} below zero")
    return quantity


def _whole_or(row: Any, name: str, missing: int) -> int:
    return missing if _field(row, name) is None else _whole(row, name)


def _price(value: Any) -> float:
    """Return a positive price, else unknown: null and 0 both mean that there is none."""
    number = _number(value)
    return number if number is not None and number > 0 else UNKNOWN


def _amount(value: Any) -> float:
    """Return a price that an order has or, by 0, has not."""
    number = _number(value)
    return number if number is not None and number > 0 else 0.0


def _value(row: Any, name: str, quantity: int) -> float:
    """Return rupees: of nothing they are 0, else what is missing is unknown."""
    number = _number(_field(row, name))
    if number is None:
        return UNKNOWN if quantity else 0.0
    return number


def _message(row: Any) -> str:
    """Join what is meant for the trader with the words of the broker's risk system."""
    told, raw = _text(row, "status_message"), _text(row, "status_message_raw")
    if not told or raw in told:
        return told or raw
    return f"{told} ({raw})"


def _parent(row: Any) -> str:
    text = _text(row, "parent_order_id", most=LONGEST_ID)
    return "" if text == "NA" else text


def _moment(value: Any) -> datetime | None:
    """Read both of the broker's ways to write a time of India; None if it is neither."""
    if not isinstance(value, str):
        return None
    for form in ("%Y-%m-%d %H:%M:%S", "%d-%b-%Y %H:%M:%S"):
        try:
            return datetime.strptime(value, form).replace(tzinfo=IST).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None
