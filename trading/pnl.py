"""The arithmetic of a position: fills in the order of time with a running average cost.

Money is integer paise throughout, so that realised + unrealised = cash flow + mark holds to the
paisa after any fills. None is an amount that nobody has told us yet; whatever depends on it is
None too, and nothing else is.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from trading.model import UNKNOWN, segment_of
from trading.order import Fill

# Where a quantity is in units; elsewhere it is in lots, and only the broker tells their size.
UNIT_SEGMENTS: Final = frozenset({"NSE_EQ", "BSE_EQ", "NSE_FO", "BSE_FO", "NSE_INDEX", "BSE_INDEX"})


@dataclass(frozen=True, slots=True)
class Running:
    """A position after some fills. Quantity is signed; `cost` is what was paid for what is open,
    negative for a short, and exactly 0 when flat.

    `generation` counts how often it was opened: from flat, or by going through zero.
    """

    quantity: int = 0
    cost: int | None = 0
    realised: int | None = 0
    opened_at: datetime | None = None
    generation: int = 0


FLAT: Final = Running()


def started(quantity: int, cost: int | None) -> Running:
    """Return the position that was carried over; its opening was on an earlier day."""
    return Running(quantity, cost, generation=1) if quantity else FLAT


def replayed(start: Running, fills: Iterable[Fill], multiplier: float) -> Running:
    """Return the position after these fills, which are in the order of time."""
    running = start
    for fill in fills:
        value = amount(fill.price, fill.quantity, multiplier)
        running = after(running, fill.side.sign * fill.quantity, value, fill.at)
    return running


def after(running: Running, units: int, value: int | None, at: datetime) -> Running:
    """Return the position after buying `units`, or selling if negative, for `value` paise.

    What closes is realised against its share of the cost, rounded once; the rest of the cost
    stays. What goes through zero closes all first and opens with the rest.
    """
    held = running.quantity
    if units == 0:
        return running
    if held == 0 or (held > 0) is (units > 0):
        return _opened(running, units, value, at)
    closing = min(abs(held), abs(units))
    paid = _share(value, closing, abs(units))
    closed = _reduced(running, closing, paid)
    rest = abs(units) - closing
    if not rest:
        return closed
    left = None if value is None or paid is None else value - paid
    return _opened(closed, rest if units > 0 else -rest, left, at)


def _opened(running: Running, units: int, value: int | None, at: datetime) -> Running:
    cost = None
    if running.cost is not None and value is not None:
        cost = running.cost + (value if units > 0 else -value)
    if running.quantity:
        return replace(running, quantity=running.quantity + units, cost=cost)
    return Running(units, cost, running.realised, at, running.generation + 1)


def _reduced(running: Running, units: int, value: int | None) -> Running:
    """Close `units` for `value`: a long by selling, a short by buying back."""
    long = running.quantity > 0
    released = _share(running.cost, units, abs(running.quantity))
    realised = None
    if running.realised is not None and value is not None and released is not None:
        realised = running.realised + (value if long else -value) - released
    quantity = running.quantity + (-units if long else units)
    if quantity == 0:
        return replace(running, quantity=0, cost=0, realised=realised, opened_at=None)
    cost = None if running.cost is None or released is None else running.cost - released
    return replace(running, quantity=quantity, cost=cost, realised=realised)


def _share(amount: int | None, part: int, whole: int) -> int | None:
    """Return amount * part / whole to the nearest paisa; all of it for all, without rounding."""
    if amount is None:
        return None
    return (2 * amount * part + whole) // (2 * whole)


def amount(price: float, quantity: int, multiplier: float) -> int | None:
    """Return paise for so many units at this price in rupees; None if either is unknown."""
    rupees = price * quantity * multiplier
    return round(rupees * 100) if math.isfinite(rupees) else None


def average(running: Running, multiplier: float) -> float:
    """Return rupees a unit of what is open; NaN if flat or unknown."""
    if not running.quantity or running.cost is None or not multiplier > 0:
        return UNKNOWN
    return abs(running.cost) / (100 * abs(running.quantity) * multiplier)


def default_multiplier(instrument_key: str) -> float:
    """Return what counts until the broker has told its own."""
    return 1.0 if segment_of(instrument_key) in UNIT_SEGMENTS else UNKNOWN
