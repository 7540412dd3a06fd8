"""What paper execution refuses, in words: the part of a broker's risk desk that it plays. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from trading.checks import Band, problems
from trading.hours import IST, TradingHours
from trading.model import Instrument, InstrumentType
from trading.order import OrderRequest, Product, Side

# Of the others the list of instruments does not tell what one unit is worth.
SEGMENTS: Final = ("NSE_EQ", "BSE_EQ", "NSE_FO", "BSE_FO")


def malformed(request: OrderRequest, instrument: Instrument | None) -> str:
    """Return why a request is refused before it becomes an order, empty if it is not."""
    if found := problems(request, instrument):
        return "; ".join(f"{problem.field}: {problem.words}" for problem in found)
    segment = request.instrument_key.partition("|")[0]
    if segment not in SEGMENTS:
        return f"paper execution knows shares and their derivatives, not {segment}"
    return ""


def outside_hours(
    request: OrderRequest,
    hours: TradingHours,
    now: datetime,
    *,
    ends: datetime | None,
    position: int,
) -> str:
    """Return why the moment is wrong; `ends` is the square-off, `position` the units held."""
    segment = request.instrument_key.partition("|")[0]
    if not hours.is_open(segment, now):
        state = hours.state(segment, now)
        name = f" ({state.name})" if state.name else ""
        opens = state.next_open
        when = f", it opens {opens.astimezone(IST):%d %b %H:%M}" if opens else ""
        return f"{segment} is {state.phase}{name}{when}: paper execution takes no orders until then"
    if request.product is not Product.INTRADAY or reduces(request, position):
        return ""
    if ends is not None and now >= ends:
        at = f"{ends.astimezone(IST):%H:%M}"
        return f"intraday positions are squared off from {at} on: no new ones until tomorrow"
    return ""


def outside_circuit(request: OrderRequest, instrument: Instrument, band: Band | None) -> str:
    return "; ".join(problem.words for problem in problems(request, instrument, band=band))


def uncovered(request: OrderRequest, instrument: Instrument, *, position: int, selling: int) -> str:
    """Return why shares that are not held cannot be sold for delivery."""
    delivers = request.product is not Product.INTRADAY and request.side is Side.SELL
    if instrument.type is not InstrumentType.EQUITY or not delivers:
        return ""
    free = max(0, position - selling)
    if request.quantity <= free:
        return ""
    return f"{request.quantity} cannot be sold for delivery: {free} are held and not being sold"


def short_of(need: int, free: int) -> str:
    """Return what is missing (paise); what needs nothing passes even when nothing is free."""
    if need <= max(0, free):
        return ""
    return (
        f"margin short: it needs {rupees(need)}, that is {rupees(need - free)} more; "
        f"free {rupees(free)}"
    )


def reduces(request: OrderRequest, position: int) -> bool:
    """Return whether it only closes what is held (signed units)."""
    return position * request.side.sign < 0 and request.quantity <= abs(position)


def sliced(quantity: int, most: int) -> Sequence[int]:
    """Return the quantities of the orders that an exchange's freeze quantity makes of one."""
    if not most or quantity <= most:
        return (quantity,)
    whole, rest = divmod(quantity, most)
    return (most,) * whole + ((rest,) if rest else ())


def rupees(paise: int) -> str:
    return f"{'-' if paise < 0 else ''}₹{abs(paise) / 100:,.2f}"
