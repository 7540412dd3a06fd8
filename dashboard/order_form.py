"""What was typed into a ticket, and the request it means. Pure; every refusal names its field."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dashboard import format as fmt
from trading.checks import problems, to_tick
from trading.errors import Problem
from trading.model import Instrument
from trading.order import OrderRequest, OrderType, Product, Side, Validity

_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_PRICE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
SHOWN: Final = 30  # characters of what was typed


@dataclass(slots=True)
class Form:
    """The fields of one ticket; quantities in lots and prices in rupees, as they were typed."""

    account: str
    instrument_key: str = ""
    side: Side = Side.BUY
    lots: str = "1"
    product: Product = Product.INTRADAY
    order_type: OrderType = OrderType.MARKET
    price: str = ""
    trigger: str = ""
    validity: Validity = Validity.DAY
    reduces: bool = False


def read(form: Form, instrument: Instrument) -> tuple[OrderRequest | None, list[Problem]]:
    """Return the request without its nonce, or all that is wrong with what was typed."""
    found: list[Problem] = []
    lots = _whole(form.lots, found)
    kind = form.order_type
    price = _price("price", form.price, found) if kind.has_price else 0.0
    trigger = _price("trigger", form.trigger, found) if kind.has_trigger else 0.0
    if found:
        return None, found
    request = OrderRequest(
        account=form.account,
        instrument_key=instrument.instrument_key,
        side=form.side,
        quantity=lots * instrument.lot_size,
        product=form.product,
        order_type=kind,
        nonce="",
        price=price,
        trigger=trigger,
        validity=form.validity,
        reduces=form.reduces,
    )
    found = problems(request, instrument)
    return (None, found) if found else (request, [])


def stepped(text: str, steps: int, *, size: float, start: float) -> str:
    """Return a typed price moved by so many ticks; from `start` if nothing usable was typed."""
    value = float(text) if _PRICE.fullmatch(text.strip()) else start
    if not 0 < value < 1e9:  # also if the start is not known
        return text
    # the first step goes to the tick beside it, the others from there
    base = to_tick(value, size, up=steps < 0)
    moved = Decimal(str(base)) + steps * Decimal(str(size))
    return written(float(max(moved, Decimal(str(size)))))


def stepped_lots(text: str, steps: int) -> str:
    lots = int(text) if _WHOLE.fullmatch(text.strip()) else 0
    return str(min(999_999_999, max(1, lots + steps)))


def written(price: float) -> str:
    """Return a price as it is typed: no grouping, at least two decimals."""
    return f"{Decimal(str(price)):.2f}" if price == round(price, 2) else str(price)


def typed_lots(units: int, instrument: Instrument) -> str:
    return str(max(1, units // max(1, instrument.lot_size)))


def _whole(text: str, found: list[Problem]) -> int:
    plain = text.strip().replace(",", "")
    if _WHOLE.fullmatch(plain) and int(plain) > 0:
        return int(plain)
    words = f"“{text[:SHOWN]}” is not a whole number above zero"
    found.append(Problem("quantity", words if text.strip() else "say how many"))
    return 0


def _price(field: str, text: str, found: list[Problem]) -> float:
    plain = text.strip().replace(",", "")
    if _PRICE.fullmatch(plain) and float(plain) > 0:
        return float(plain)
    words = f"“{text[:SHOWN]}” is not a price above zero, such as {fmt.price(142.35)}"
    found.append(Problem(field, words if text.strip() else f"say at which {field}"))
    return 0.0
