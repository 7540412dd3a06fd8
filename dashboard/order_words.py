"""Orders in a trader's words: what was asked, what became of it, what to do. Pure."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dashboard import format as fmt
from dashboard.sheet import Shown, Tone
from trading.checks import slices
from trading.model import Instrument, InstrumentType
from trading.order import (
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
)
from trading.paper_day import SETTLED
from trading.paper_orders import SQUARE_OFF

TYPES: Final = {
    OrderType.MARKET: "Market",
    OrderType.LIMIT: "Limit",
    OrderType.SL: "SL",
    OrderType.SL_M: "SL-M",
}
DERIVATIVES: Final = (InstrumentType.FUTURE, InstrumentType.CALL, InstrumentType.PUT)
_STATUS: Final = {
    OrderStatus.SENT: ("◌ sent", Tone.NONE),
    OrderStatus.IN_DOUBT: ("? IN DOUBT", Tone.WARN),
    OrderStatus.WORKING: ("○ working", Tone.NONE),
    OrderStatus.FILLED: ("● filled", Tone.GOOD),
    OrderStatus.CANCELLED: ("⊘ cancelled", Tone.MUTED),
    OrderStatus.REJECTED: ("✖ rejected", Tone.BAD),
    OrderStatus.DENIED: ("✖ denied", Tone.BAD),
    OrderStatus.NOT_PLACED: ("✖ not placed", Tone.BAD),
}
# What the broker complains of, and what helps; the first that its words contain.
_ADVICE: Final = (
    (("margin", "fund", "balance"), "Take fewer lots, free some margin, or add funds."),
    (("circuit", "price range", "price band"), "Choose a price inside today's circuit limits."),
    (("freeze",), "Take fewer lots, below the freeze quantity of the instrument."),
    (("tick",), "Choose a price on the tick of the instrument."),
    (("lot",), "Choose a multiple of the lot."),
    (("trigger",), "Choose a trigger on the other side of the market's price."),
    (("after market", "market is closed", "market closed", "session"), "Wait until it is open."),
    (("square", "intraday"), "Use Delivery, or wait for the next session."),
    (("token", "sign in", "login", "unauthor"), "Sign in again, then send it anew."),
    (("limit reached", "too many", "rate"), "Wait a minute, then send it anew."),
)
NOT_MODIFIED: Final = "not modified"  # the broker's word
_OTHERWISE: Final = "Change what the reason names and send it anew, or ask the broker."


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an act: what happened, what it means for the money, what to do now."""

    happened: str
    money: str
    todo: str
    tone: Tone = Tone.NONE


def title(instrument: Instrument | None, key: str) -> str:
    return instrument.title if instrument else key


def quantity(units: int, instrument: Instrument | None) -> str:
    """Return lots first, units second: `2 lots (150)`; shares have no lots."""
    if instrument is None or instrument.type not in DERIVATIVES or instrument.lot_size <= 1:
        return fmt.grouped(str(units))
    lots, rest = divmod(units, instrument.lot_size)
    if rest:
        return fmt.grouped(str(units))
    return f"{fmt.grouped(str(lots))} lot{'' if lots == 1 else 's'} ({fmt.grouped(str(units))})"


def sliced(units: int, instrument: Instrument) -> str:
    """Return `2 slices` for what the broker has to split, else nothing."""
    parts = slices(units, instrument)
    return f"{parts} slices" if parts > 1 else ""


def product(chosen: Product, instrument: Instrument | None) -> str:
    if chosen is Product.INTRADAY:
        return "Intraday"
    if chosen is Product.MTF:
        return "Margin trading"
    derivative = instrument is not None and instrument.type in DERIVATIVES
    return "Carry forward" if derivative else "Delivery"


def verb(side: Side) -> str:
    return "Buy" if side is Side.BUY else "Sell"


def done(side: Side) -> str:
    return "bought" if side is Side.BUY else "sold"


def at_price(request: OrderRequest) -> str:
    """Return at which price it is meant to happen: `at the market`, `at 142.00 or better`."""
    limit, trigger = fmt.price(request.price), fmt.price(request.trigger)
    worse = "rises to" if request.side is Side.BUY else "falls to"
    match request.order_type:
        case OrderType.MARKET:
            return "at the market"
        case OrderType.LIMIT:
            return f"at {limit} or better"
        case OrderType.SL:
            return f"at {limit} or better, once the price {worse} {trigger}"
        case OrderType.SL_M:
            return f"at the market, once the price {worse} {trigger}"


def sentence(request: OrderRequest, instrument: Instrument | None) -> str:
    """Return the request in one line, as the review sheet and the receipts say it."""
    what = f"{quantity(request.quantity, instrument)} {title(instrument, request.instrument_key)}"
    return f"{verb(request.side)} {what} {at_price(request)}"


def price_cell(request: OrderRequest) -> Shown:
    """Return price and trigger as a table shows them: `142.00 / 140.00`."""
    price = fmt.price(request.price) if request.order_type.has_price else "market"
    if not request.order_type.has_trigger:
        return Shown(price)
    trigger = fmt.price(request.trigger)
    return Shown(f"{price} / {trigger}", Tone.NONE, f"{price}, trigger {trigger}")


def status(order: Order) -> Shown:
    """Return the plain word with its dot; resting on it shows the broker's own word."""
    text, tone = _STATUS[order.status]
    if order.status is OrderStatus.WORKING and order.part_filled:
        text = "◐ part-filled"
    raw = [child.raw_status for child in order.children] or [s.raw_status for s in order.steps[-1:]]
    words = ", ".join(dict.fromkeys(raw))
    return Shown(text, tone, f"the broker's word: {words}" if order.children else words)


def filled(order: Order) -> str:
    return f"{fmt.grouped(str(order.filled))} / {fmt.grouped(str(order.request.quantity))}"


def average(order: Order) -> Shown:
    if not order.filled:
        return Shown(fmt.DASH, Tone.NONE, "nothing was filled")
    if math.isnan(order.average_price):
        return Shown(fmt.DASH, Tone.NONE, "the broker has not told the price of the fill yet")
    return Shown(fmt.price(order.average_price))


def lasted(order: Order) -> str:
    """Return how long it took from the intent to the last news, in ms below a second."""
    return elapsed(order.updated - order.created)


def elapsed(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    return fmt.milliseconds(seconds * 1000) if seconds < 1 else fmt.age(seconds)


def note(order: Order) -> str:
    """Return the line under a row: the reason in full and what one can do; mostly nothing."""
    match order.status:
        case OrderStatus.IN_DOUBT:
            words = order.message or "the broker has not answered"
            return f"{fmt.capital(words)}. The same leg can only be sent again with a typed reason."
        case OrderStatus.REJECTED | OrderStatus.DENIED:
            return f"{order.message or 'The broker gave no reason'}. {advice(order.message)}"
        case OrderStatus.NOT_PLACED:
            return f"{fmt.capital(order.message)}. Nothing was {done(order.request.side)}."
        case OrderStatus.CANCELLED if order.message:
            return order.message
        case _:
            return ""


def whence(order: Order) -> str:
    """Return who sent it: the desk (empty), paper execution at the end of a day, or somebody."""
    if not order.external:
        return ""
    if order.is_mock and any(child.tag == SQUARE_OFF for child in order.children):
        return "squared off by the paper account"
    if order.is_mock and order.message.startswith(SETTLED):
        return "settled by the paper account"
    return "placed elsewhere"


def advice(reason: str) -> str:
    lower = reason.lower()
    return next((a for words, a in _ADVICE if any(w in lower for w in words)), _OTHERWISE)


def outcome(order: Order, instrument: Instrument | None) -> Outcome:
    """Return in words what became of an order that was sent."""
    asked, side = sentence(order.request, instrument), done(order.request.side)
    nothing = f"Nothing was {side}, no money moved."
    if order.filled:
        nothing = f"{filled(order)} stay {side}. {worth(order)}"
    match order.status:
        case OrderStatus.SENT:
            return Outcome(f"Sent: {asked}.", "Not answered yet.", "Wait for the answer.")
        case OrderStatus.WORKING if order.filled:
            return Outcome(
                f"Part-filled: {filled(order)} {side} {_at_average(order)}.",
                f"{worth(order)} The rest still works.",
                "Wait, or change or cancel the rest in Orders.",
            )
        case OrderStatus.WORKING:
            return Outcome(
                f"Accepted: {asked}.",
                "No fill has been told yet; the broker keeps the margin aside.",
                "Wait, or change or cancel it in Orders.",
            )
        case OrderStatus.FILLED:
            what = f"{quantity(order.filled, instrument)} "
            what += title(instrument, order.request.instrument_key)
            happened = f"Filled: {side} {what} {_at_average(order)}."
            return Outcome(happened, worth(order), "Nothing to do.", Tone.GOOD)
        case OrderStatus.CANCELLED:
            why = f" {order.message}." if order.message else ""
            return Outcome(f"Cancelled: {asked}.{why}", nothing, "Nothing to do.", Tone.MUTED)
        case OrderStatus.REJECTED | OrderStatus.DENIED:
            reason = order.message or "no reason was given"
            return Outcome(f"Rejected: {reason}.", nothing, advice(order.message), Tone.BAD)
        case OrderStatus.NOT_PLACED:
            happened = f"Not placed: {order.message}."
            return Outcome(happened, nothing, "It can be sent again.", Tone.BAD)
        case OrderStatus.IN_DOUBT:
            return Outcome(
                f"IN DOUBT: {order.message or 'no answer from the broker'}.",
                f"It may have been {side} or not.",
                "Do not send it again: the desk looks for it and will say here what is true.",
                Tone.WARN,
            )


def is_changed(request: OrderRequest, change: OrderChange) -> bool:
    """Return whether a request stands as a change wanted it."""
    wanted = (change.quantity, change.price, change.trigger)
    stands = (request.quantity, request.price, request.trigger)
    return all(want is None or want == have for want, have in zip(wanted, stands, strict=True))


def change_outcome(
    order: Order, change: OrderChange, instrument: Instrument | None, *, known: int
) -> Outcome:
    """Return what became of a change; `known` is how many steps there were before it was asked."""
    told = outcome(order, instrument)
    if order.status is not OrderStatus.WORKING:
        return told
    stands = sentence(order.request, instrument)
    if is_changed(order.request, change):
        return Outcome(f"Changed, it stands now: {stands}.", told.money, told.todo, Tone.GOOD)
    refused = [step for step in order.steps[known:] if step.raw_status == NOT_MODIFIED]
    if refused:
        why = refused[-1].message or "the broker gave no reason"
        return Outcome(
            f"Not changed: {why}.", f"It stands as it was: {stands}.", advice(why), Tone.BAD
        )
    return Outcome(
        "Change asked; the broker has not confirmed it yet.",
        f"Until then it stands as it was: {stands}.",
        "Wait: what comes of it is said here.",
    )


def passed(request: OrderRequest, ltp: float) -> str:
    """Return a caution if the market is beyond the trigger already, else nothing."""
    if not request.order_type.has_trigger or not math.isfinite(ltp):
        return ""
    if (ltp - request.trigger) * request.side.sign < 0:
        return ""
    where = "above" if request.side is Side.BUY else "below"
    return (
        f"The market, {fmt.price(ltp)}, is at or {where} this trigger already: the broker "
        "refuses it, or sends it at once."
    )


def worth(order: Order) -> str:
    value = order.average_price * order.filled
    if math.isnan(value):
        return "The price of the fill is not told yet."
    return f"Worth ₹{fmt.number(value)} before charges."


def _at_average(order: Order) -> str:
    if math.isnan(order.average_price):
        return "at a price not told yet"
    return f"at {fmt.price(order.average_price)}"
