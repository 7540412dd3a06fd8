"""What a request may ask for, in the broker's field names; refused with the broker's codes.

Only what the broker refuses at once stands here. Lots, ticks, circuit limits, freeze quantity and
margin are judged later, and refused by a status.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from simulator.envelope import BrokerError, Json
from simulator.orders import Terms

ORDER_TYPES: Final = ("MARKET", "LIMIT", "SL", "SL-M")
PRODUCTS: Final = ("I", "D", "MTF")
VALIDITIES: Final = ("DAY", "IOC")
SIDES: Final = ("BUY", "SELL")
LONGEST_TAG: Final = 40
WIDEST_BAND: Final = 25.0  # percent

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OrderForm:
    """One order as asked for, of the right types and with prices that fit its type."""

    instrument_key: str
    transaction_type: str
    product: str
    terms: Terms
    tag: str | None = None
    slice: bool = False
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class ModifyForm:
    """A modification; what is None stays as it is."""

    order_id: str
    order_type: str
    validity: str
    price: float
    trigger_price: float
    quantity: int | None
    disclosed_quantity: int | None
    market_protection: float | None

    def terms(self, now: Terms) -> Terms:
        return Terms(
            self.order_type,
            self.validity,
            now.quantity if self.quantity is None else self.quantity,
            self.price,
            self.trigger_price,
            now.disclosed_quantity if self.disclosed_quantity is None else self.disclosed_quantity,
            now.market_protection if self.market_protection is None else self.market_protection,
        )


def read_json(body: bytes) -> object:
    """Parse a body; raise BrokerError 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BrokerError(400, message="Invalid Input: the body is not JSON") from None


def read_object(body: bytes) -> Body:
    given = read_json(body)
    if not isinstance(given, dict):
        raise BrokerError(400, message="Invalid Input: the body is not a JSON object")
    return given


def read_order(body: Body) -> OrderForm:
    """Read a place request; raise BrokerError with the code of the first thing wrong."""
    key = _text(body, "instrument_token", "UDAPI1026", "instrument_token is required")
    quantity = _quantity(body)
    product = _one_of(body, "product", PRODUCTS, "UDAPI1006", "UDAPI1054")
    validity = _one_of(body, "validity", VALIDITIES, "UDAPI1007", "UDAPI1055")
    order_type = _one_of(body, "order_type", ORDER_TYPES, "UDAPI1004", "UDAPI1056")
    side = _one_of(body, "transaction_type", SIDES, "UDAPI1057", "UDAPI1057")
    terms = Terms(
        order_type,
        validity,
        quantity,
        _price(body, "price", required="UDAPI1008"),
        _price(body, "trigger_price"),
        _disclosed(body, quantity) or 0,
        _protection(body) or 0.0,
    )
    check_prices(terms, side)
    _flag(body, "is_amo")  # read and ignored: the session decides
    return OrderForm(key, side, product, terms, _tag(body), _flag(body, "slice"))


def read_modify(body: Body) -> ModifyForm:
    """Read a modify request; raise BrokerError. Prices are checked when the side is known."""
    order_id = read_order_id(body.get("order_id"), "UDAPI1003")
    quantity = _quantity(body) if body.get("quantity") is not None else None
    return ModifyForm(
        order_id,
        _one_of(body, "order_type", ORDER_TYPES, "UDAPI1029", "UDAPI1056"),
        _one_of(body, "validity", VALIDITIES, "UDAPI1030", "UDAPI1055"),
        _price(body, "price", required="UDAPI1031"),
        _price(body, "trigger_price", required="UDAPI1032"),
        quantity,
        _disclosed(body, quantity),
        _protection(body),
    )


def read_order_id(given: object, missing: str) -> str:
    """Check an order number; raise BrokerError `missing`, or UDAPI1010 for odd characters."""
    if given is None or given == "":
        raise BrokerError(400, missing, "The 'order_id' is required", path="order_id")
    if not isinstance(given, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given):
        message = "The 'order_id' accepts only alphanumeric characters and '-'."
        raise BrokerError(400, "UDAPI1010", message, path="order_id", value=_shown(given))
    return given


def check_prices(terms: Terms, side: str) -> None:
    """Say whether prices fit the order type; raise BrokerError."""
    price, trigger = terms.price, terms.trigger_price
    match terms.order_type:
        case "MARKET":
            if price or trigger:
                raise _wrong("UDAPI1040", "price", price, "Price is not required for this order")
        case "LIMIT":
            if not price:
                raise _wrong("UDAPI1043", "price", price, "The 'price' is required")
        case "SL-M":
            if price or not trigger:
                message = "Only the 'trigger_price' is required for an SL-M order"
                raise _wrong("UDAPI1042", "trigger_price", trigger, message)
        case _:
            _check_stop(price, trigger, side)


def _check_stop(price: float, trigger: float, side: str) -> None:
    if not price or not trigger:
        message = "The 'price' and the 'trigger_price' are required for an SL order"
        raise _wrong("UDAPI1041", "trigger_price", trigger, message)
    if side == "BUY" and trigger > price:
        message = "The 'trigger_price' of a buy order must be below its 'price'"
        raise _wrong("UDAPI1037", "trigger_price", trigger, message)
    if side == "SELL" and trigger < price:
        message = "The 'trigger_price' of a sell order must be above its 'price'"
        raise _wrong("UDAPI1038", "trigger_price", trigger, message)


def _wrong(code: str, path: str, value: Json, message: str) -> BrokerError:
    return BrokerError(400, code, message, path=path, value=value)


def _shown(given: object) -> Json:
    """Return what may stand as `invalid_value`."""
    return given if isinstance(given, str | int | float | bool) else None


def _text(body: Body, name: str, code: str, message: str) -> str:
    given = body.get(name)
    if not isinstance(given, str) or not given:
        raise _wrong(code, name, _shown(given), message)
    return given


def _one_of(body: Body, name: str, known: tuple[str, ...], missing: str, invalid: str) -> str:
    given = body.get(name)
    if given is None or given == "":
        raise _wrong(missing, name, None, f"The '{name}' is required")
    if given not in known:
        raise _wrong(invalid, name, _shown(given), f"The '{name}' is invalid")
    return str(given)


def _number(body: Body, name: str) -> float | None:
    given = body.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or abs(given) > 1e12:
        raise _wrong("UDAPI100036", name, _shown(given), f"Invalid Input: '{name}' is no number")
    return given


def _whole(body: Body, name: str) -> int | None:
    given = _number(body, name)
    if given is None:
        return None
    if given != int(given) or abs(given) >= 1 << 31:
        raise _wrong("UDAPI100036", name, given, f"Invalid Input: '{name}' is not a whole number")
    return int(given)


def _quantity(body: Body) -> int:
    quantity = _whole(body, "quantity")
    if quantity is None or quantity == 0:
        raise _wrong("UDAPI1052", "quantity", quantity, "The order 'quantity' cannot be zero")
    if quantity < 0:
        message = "Invalid Input: 'quantity' is below zero"
        raise _wrong("UDAPI100036", "quantity", quantity, message)
    return quantity


def _price(body: Body, name: str, *, required: str = "") -> float:
    price = _number(body, name)
    if price is None:
        if required:
            raise _wrong(required, name, None, f"The '{name}' is required")
        return 0.0
    if price < 0:
        raise _wrong("UDAPI100036", name, price, f"Invalid Input: '{name}' is below zero")
    return float(price)


def _disclosed(body: Body, quantity: int | None) -> int | None:
    disclosed = _whole(body, "disclosed_quantity")
    if disclosed is None or disclosed == 0:
        return disclosed
    if disclosed < 0 or (quantity is not None and not quantity / 10 <= disclosed <= quantity):
        message = "The 'disclosed_quantity' must be at least 10 % of the quantity and no more"
        raise _wrong("UDAPI1039", "disclosed_quantity", disclosed, message)
    return disclosed


def _protection(body: Body) -> float | None:
    percent = _number(body, "market_protection")
    if percent is not None and percent != -1 and not 0 <= percent <= WIDEST_BAND:
        message = "Invalid Input: 'market_protection' is -1, or from 0 to 25"
        raise _wrong("UDAPI100036", "market_protection", percent, message)
    return percent


def _tag(body: Body) -> str | None:
    tag = body.get("tag")
    if tag is None:
        return None
    if not isinstance(tag, str):
        raise _wrong("UDAPI100036", "tag", _shown(tag), "Invalid Input: 'tag' is no text")
    if len(tag) > LONGEST_TAG:
        raise _wrong("UDAPI1119", "tag", tag, "The 'tag' is longer than 40 characters")
    return tag


def _flag(body: Body, name: str) -> bool:
    given = body.get(name, False)
    if given is None:
        return False
    if not isinstance(given, bool):
        raise _wrong("UDAPI100036", name, _shown(given), f"Invalid Input: '{name}' is no flag")
    return given
