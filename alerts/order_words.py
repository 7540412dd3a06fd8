"""What is told of an order and of a basket, line by line. Pure; from confirmed facts only."""

import math
from typing import Final

from alerts import words
from alerts.digest import CANCELLED, FILLED, PART_FILLED, REJECTED
from trading.basket import Basket, BasketState, left_words
from trading.health import Severity
from trading.model import Instrument
from trading.order import Order, OrderStatus, OrderType, Step
from trading.paper_day import SETTLED
from trading.paper_orders import SQUARE_OFF

IN_DOUBT: Final = "🚨 IN DOUBT"
NOT_PLACED: Final = "❌ NOT PLACED"
FOUND: Final = "○ WORKING"
NAKED_LEG: Final = "🚨 NAKED LEG"
# What the broker complains of, and what helps; the first that its words contain.
_ADVICE: Final = (
    (("margin", "fund", "balance", "short by"), "take fewer lots, or add funds"),
    (("circuit", "price range", "price band"), "choose a price inside today's circuit limits"),
    (("freeze",), "take fewer lots, below the freeze quantity"),
    (("tick",), "choose a price on the tick of the instrument"),
    (("trigger",), "choose a trigger on the other side of the market's price"),
    (("from this address", "ip address"), "register this machine's IP address with the broker"),
    (("session", "closed", "after market"), "wait until the market is open"),
    (("token", "sign in", "login", "unauthor"), "sign in again, then send it anew"),
)
# How what paper execution does of itself begins to say why.
_OF_ITSELF: Final = {
    SQUARE_OFF: "squared off before the close",
    SETTLED: "settled at expiry",
}
_OTHERWISE: Final = "change what the reason names and send it anew, or ask the broker"


def title(head: str, order: Order, instrument: Instrument | None) -> str:
    """Return `✅ FILLED  SELL 2 lots NIFTY 28 NOV 24000 CE`."""
    request = order.request
    what = words.name(instrument, request.instrument_key)
    where = f" · {_whence(order)}" if order.external else ""
    return f"{head}  {request.side} {words.lots(request.quantity, instrument)} {what}{where}"


def _whence(order: Order) -> str:
    """Say who sent what we did not: paper execution itself, at the end of a day, or somebody."""
    told = (order.message, *(child.tag for child in order.children))  # a message may change
    own = (said for start, said in _OF_ITSELF.items() if any(t.startswith(start) for t in told))
    return next(own, "from elsewhere")


def severity(status: OrderStatus) -> Severity:
    if status is OrderStatus.IN_DOUBT:
        return Severity.CRITICAL
    unwanted = (OrderStatus.REJECTED, OrderStatus.NOT_PLACED)
    return Severity.WARNING if status in unwanted else Severity.INFO


def head(order: Order, step: Step) -> str:
    match step.status:
        case OrderStatus.FILLED:
            return FILLED
        case OrderStatus.REJECTED:
            return REJECTED
        case OrderStatus.CANCELLED:
            return CANCELLED
        case OrderStatus.NOT_PLACED:
            return NOT_PLACED
        case OrderStatus.IN_DOUBT:
            return IN_DOUBT
        case _:
            return PART_FILLED if 0 < step.filled < order.request.quantity else FOUND


def facts(order: Order, step: Step) -> str:
    """Return the second line: what happened, and what of it costs money."""
    at, none = words.clock(step.at), f"nothing was {words.done(order.request.side)}"
    reason = words.one_line(order.message or step.message)
    match step.status:
        case OrderStatus.FILLED:
            quantity = f"{words.grouped(str(step.filled))} qty"
            return f"{_price(order)} · {quantity} · {at}"
        case OrderStatus.REJECTED | OrderStatus.NOT_PLACED if not step.filled:
            why = reason or "the broker told no reason"
            return f"{why} · {none} · {at}"
        case OrderStatus.IN_DOUBT:
            return f"{reason or 'the broker gave no answer'} · it may exist · {at}"
        case status if step.filled:
            stays = " stays" if status.final else ""
            why = f"{reason} · " if reason and status.final else ""
            return f"{why}{_part(order, step)}{stays} {_price(order)} · {at}"
        case OrderStatus.CANCELLED:
            return f"{f'{reason} · ' if reason else ''}{none} · {at}"
        case _:
            return f"it is at the broker, nothing of it is filled yet · {at}"


def act(order: Order, step: Step, free: int | None) -> str:
    """Return what to do, empty where there is nothing; `free` are the account's funds in paise."""
    reason = (order.message or step.message).lower()
    known = next((a for said, a in _ADVICE if any(w in reason for w in said)), "")
    match step.status:
        case OrderStatus.REJECTED:
            helps = known or _OTHERWISE
            money = (
                f"Free {words.rupees(free)} · " if "margin" in reason or "fund" in reason else ""
            )
            return f"{money}{helps}" if money else helps[:1].upper() + helps[1:]
        case OrderStatus.NOT_PLACED:
            return known[:1].upper() + known[1:] or "Send it anew if you still want it"
        case OrderStatus.IN_DOUBT:
            return "Do not send it again: the broker's book is searched for it by its tag"
        case _:
            return ""


def _part(order: Order, step: Step) -> str:
    quantity = words.grouped(str(order.request.quantity))
    return f"{words.grouped(str(step.filled))} of {quantity} {words.done(order.request.side)}"


def _price(order: Order) -> str:
    """Return `@ 142.35 (limit 142.00)`."""
    request = order.request
    asked = {
        OrderType.MARKET: "market",
        OrderType.LIMIT: f"limit {words.price(request.price)}",
        OrderType.SL: f"limit {words.price(request.price)}, trigger {words.price(request.trigger)}",
        OrderType.SL_M: f"market, trigger {words.price(request.trigger)}",
    }[request.order_type]
    if math.isnan(order.average_price):
        return f"@ {words.DASH} ({asked}; the broker has not told the price yet)"
    return f"@ {words.price(order.average_price)} ({asked})"


# baskets

_BASKETS: Final = {
    BasketState.PLACED: ("✅ BASKET PLACED", Severity.INFO),
    BasketState.NOTHING_DONE: ("⊘ BASKET NOT DONE", Severity.WARNING),
    BasketState.REVERSED: ("↩ BASKET REVERSED", Severity.WARNING),
    BasketState.PARTIAL_KEPT: ("◐ BASKET PARTLY KEPT", Severity.WARNING),
    BasketState.UNRESOLVED: (NAKED_LEG, Severity.CRITICAL),
}


def basket_severity(state: BasketState) -> Severity | None:
    """Return how grave an outcome is; None if whoever sent it was told already."""
    known = _BASKETS.get(state)
    return known[1] if known else None


def basket_title(basket: Basket) -> str:
    name = basket.name or f"basket {basket.id}"
    return f"{_BASKETS[basket.state][0]}  {name}"


def basket_lines(basket: Basket) -> tuple[str, ...]:
    legs = words.count(len(basket.legs), "leg")
    at = words.clock(basket.updated)
    reason = words.one_line(basket.reason)
    match basket.state:
        case BasketState.PLACED:
            return (f"All of {legs} accepted by the broker · {at}",)
        case BasketState.REVERSED:
            return (
                f"{reason} · what was filled is undone · {at}",
                f"Nothing is held of it; it cost {_cost(basket)}",
            )
        case BasketState.NOTHING_DONE:
            return (f"{reason} · {at}", "Nothing is held of it, and it cost nothing")
        case BasketState.PARTIAL_KEPT:
            return (f"{reason} · {at}", f"Kept: {left_words(basket.legs)}")
        case _:
            return (
                f"{left_words(basket.legs)} · {at}",
                f"{reason}. Act now: close what is left, or take note of it on the Baskets page",
            )


def _cost(basket: Basket) -> str:
    if basket.cost is None:
        return f"{words.DASH} (the broker has not told all prices and charges yet)"
    return words.rupees(basket.cost)
