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

_WHOLE: Final = re.compile(r"[0-9]+")
_PRICE: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_GROUPED: Final = re.compile(r"[0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]*)?")
MOST: Final = 10_000_000  # lots, shares or rupees: nobody means more in one order
FINEST: Final = 6  # digits after the point
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
    found = [_in_lots(problem, lots, instrument) for problem in problems(request, instrument)]
    return (None, found) if found else (request, [])


def _in_lots(problem: Problem, lots: int, instrument: Instrument) -> Problem:
    """Say in lots, as they were typed, what is wrong with a quantity in units."""
    if problem.field != "quantity" or instrument.lot_size <= 1:
        return problem
    asked = f"{fmt.grouped(str(lots))} lot{'' if lots == 1 else 's'}"
    units = fmt.grouped(str(lots * instrument.lot_size))
    return Problem("quantity", f"{asked} are {units} units: {problem.words}")


def stepped(text: str, steps: int, *, size: float, start: float) -> str:
    """Return a typed price moved by so many ticks; from `start` if nothing usable was typed."""
    typed = plain(text)
    value = float(typed) if _PRICE.fullmatch(typed) else start
    if not 0 < value <= MOST:  # also if the start is not known
        return text
    # the first step goes to the tick beside it, the others from there
    base = to_tick(value, size, up=steps < 0)
    moved = Decimal(str(base)) + steps * Decimal(str(size))
    return written(float(max(moved, Decimal(str(size)))))


def stepped_lots(text: str, steps: int) -> str:
    typed = plain(text)
    lots = int(typed) if _WHOLE.fullmatch(typed) and len(typed) <= SHOWN else 0
    return str(min(MOST, max(1, lots + steps)))


def written(price: float) -> str:
    """Return a price as it is typed: no grouping, at least two decimals."""
    return f"{Decimal(str(price)):.2f}" if price == round(price, 2) else str(price)


def typed_lots(units: int, instrument: Instrument) -> str:
    return str(max(1, units // max(1, instrument.lot_size)))


def plain(text: str) -> str:
    """Return a typed number without its grouping; `99,50` keeps its comma: nobody knows it.

    Both 1,23,456 and 123,456 are groupings; a comma elsewhere might be meant as the point.
    """
    typed = text.strip()
    return typed.replace(",", "") if _GROUPED.fullmatch(typed) else typed


def count(text: str) -> tuple[int, str]:
    """Return a typed count, or 0 and what is wrong with it."""
    typed = plain(text)
    if not typed:
        return 0, "say how many"
    if not _WHOLE.fullmatch(typed) or not typed.strip("0"):
        return 0, f"“{text[:SHOWN]}” is not a whole number above zero"
    digits = typed.lstrip("0")
    if len(digits) > len(str(MOST)) or int(digits) > MOST:
        return 0, f"{_short(text)} is more than {fmt.grouped(str(MOST))}: nobody means so many"
    return int(digits), ""


def _whole(text: str, found: list[Problem]) -> int:
    value, wrong = count(text)
    if wrong:
        found.append(Problem("quantity", wrong))
    return value


def _price(field: str, text: str, found: list[Problem]) -> float:
    typed = plain(text)
    wrong = ""
    if not typed:
        wrong = f"type the {field}"
    elif not _PRICE.fullmatch(typed) or not typed.strip("0."):
        wrong = f"“{text[:SHOWN]}” is not a price above zero, such as {fmt.price(142.35)}"
    elif float(typed) > MOST:
        wrong = f"{_short(text)} is dearer than anything listed"
    elif len(typed.partition(".")[2].rstrip("0")) > FINEST:
        wrong = f"{_short(text)} is finer than any tick"
    if wrong:
        found.append(Problem(field, wrong))
        return 0.0
    return float(typed)


def _short(text: str) -> str:
    typed = text.strip()
    return typed if len(typed) <= SHOWN else f"{typed[:SHOWN]}…"
