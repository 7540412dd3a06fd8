"""An exit in a trader's words: what is sent, what stands in its way, what it brings. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from dashboard import format as fmt
from dashboard import order_words
from trading.charges import charges
from trading.exit_plan import ExitLine
from trading.marks import Mark
from trading.model import Instrument
from trading.order import Order, OrderStatus, Product, Side
from trading.pnl import amount
from trading.positions import Position

_STATES: Final = {
    "filled": (OrderStatus.FILLED,),
    "not filled yet": (OrderStatus.SENT, OrderStatus.WORKING),
    "IN DOUBT": (OrderStatus.IN_DOUBT,),
    "cancelled": (OrderStatus.CANCELLED,),
    "rejected": (OrderStatus.REJECTED, OrderStatus.DENIED, OrderStatus.NOT_PLACED),
}
VERBS: Final = {Side.BUY: "Buy back", Side.SELL: "Sell"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What closing is likely to bring, paise: proceeds are negative where one pays."""

    price: float
    proceeds: int
    charges: int
    realises: int | None


def sentence(line: ExitLine, instrument: Instrument | None) -> str:
    """Return what will be done now: `Buy back 2 lots (150) NIFTY ... at the market, Intraday`."""
    what = order_words.title(instrument, line.key[1])
    if not line.quantity:
        return f"{what}: nothing is left to send"
    units = order_words.quantity(line.quantity, instrument)
    return f"{VERBS[line.side]} {units} {what} at the market, {_product(line.key[2], instrument)}"


def obstacles(line: ExitLine, instrument: Instrument | None) -> list[str]:
    """Return what the trader has to know of a line before it is sent, in words."""
    said = []
    for order in line.resting:
        asked = order_words.sentence(order.request, instrument)
        said.append(f"First cancels the resting order: {asked}.")
    if line.on_its_way:
        units = order_words.quantity(line.on_its_way, instrument)
        said.append(f"An order that closes {units} is on its way already.")
    if line.doubtful is not None:
        at = fmt.clock(line.doubtful.created)
        said.append(
            f"An order that may close it is IN DOUBT since {at}: sent again, it may close it twice."
        )
    for order in line.adding:
        units = order_words.quantity(order.pending, instrument)
        verb = order_words.verb(order.request.side).lower()
        state = "is IN DOUBT" if order.status is OrderStatus.IN_DOUBT else "still works"
        said.append(
            f"An order to {verb} {units} {state}: filled later, it opens this again. Cancel "
            "it in Orders."
        )
    if line.position_doubt:
        said.append(f"How much is held is in doubt: {line.position_doubt}.")
    return said


def likely_price(side: Side, mark: Mark | None) -> float:
    """Return what a market order is likely had for: the other side of the book, else the ltp."""
    if mark is None:
        return math.nan
    best = mark.ask if side is Side.BUY else mark.bid
    return best if math.isfinite(best) and best > 0 else mark.price


def estimate(
    line: ExitLine, position: Position, instrument: Instrument | None, mark: Mark | None, day: date
) -> Estimate | None:
    """Return what the line is likely to bring; None if there is no price to reckon with."""
    price = likely_price(line.side, mark)
    worth = amount(price, line.quantity, position.multiplier)
    if worth is None or instrument is None or not line.quantity:
        return None
    cost = charges(instrument, line.key[2], line.side, worth, day).total
    proceeds = worth if line.side is Side.SELL else -worth
    realises = None
    if position.cost is not None and position.quantity:
        realises = proceeds - round(position.cost * line.quantity / line.held)
    return Estimate(price, proceeds, cost, realises)


def estimate_words(found: Estimate, side: Side) -> str:
    """Return `about ₹10,676.25 come in at 142.35, charges about ₹48.20, realises ▲ +₹1,120.00`."""
    money = fmt.rupees(abs(found.proceeds))
    verb = "come in" if side is Side.SELL else "are paid"
    said = f"About {money} {verb} at {fmt.price(found.price)}, charges about "
    said += fmt.rupees(found.charges)
    if found.realises is None:
        return f"{said}; what it realises is not known"
    return f"{said}; realises about {fmt.gain(found.realises)}"


def total_words(found: Sequence[Estimate | None]) -> str:
    """Return the sum of all lines, or which part of it is known."""
    known = [e for e in found if e is not None]
    if not known:
        return "What it brings cannot be reckoned: no line has a price to rely on."
    proceeds = sum(e.proceeds for e in known)
    cost = sum(e.charges for e in known)
    verb = "come in" if proceeds >= 0 else "are paid"
    said = f"Together about {fmt.rupees(abs(proceeds))} {verb}, charges about {fmt.rupees(cost)}"
    realised = [e.realises for e in known if e.realises is not None]
    if len(realised) == len(found):
        said += f"; realises about {fmt.gain(sum(realised))}"
    missing = len(found) - len(known)
    if missing:
        said += f"; {missing} of {len(found)} lines have no price and are not in it"
    return f"{said}."


def sent_words(orders: Sequence[Order], of: int, left: int, took: str) -> str:
    """Return what became of the exits of one press; `left` lines were not even tried."""
    said = [f"{len(orders)} of {of} exits sent in {took}"]
    counts = {word: sum(o.status in states for o in orders) for word, states in _STATES.items()}
    said += [f"{count} {word}" for word, count in counts.items() if count]
    if left:
        said.append(f"{left} left out")
    if counts["filled"] == of and not left:
        return f"{', '.join(said)}."
    return f"{', '.join(said)}. Look at each line, and at Positions for what is left."


def _product(product: Product, instrument: Instrument | None) -> str:
    return order_words.product(product, instrument)
