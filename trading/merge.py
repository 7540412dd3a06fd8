"""How what is told about an order is joined with what is known: pure, whatever comes how often.

Updates repeat, overtake one another and contradict the answer to the placing call (faults O03,
O05). One rule for all of them, whether they came over the stream, from a read or from an answer.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from trading.model import UNKNOWN
from trading.order import BrokerOrder, Fill, Order, OrderRequest, OrderStatus

ACCEPTED: Final = "accepted"  # our word for a child of which only the number is known
DAY_OVER: Final = "day over"  # our word for one that the broker did not list the day after

# The words of an order on its way to the exchange; it never goes back to one of them.
_EARLY: Final = {
    ACCEPTED: 0,
    "put order req received": 1,
    "after market order req received": 1,
    "validation pending": 2,
    "open pending": 3,
}
_ON_THE_BOOK: Final = 4


def newer(known: BrokerOrder | None, told: BrokerOrder) -> BrokerOrder:
    """Return what holds after `told`; `known` itself if it says nothing new.

    A final state is final, unless it is one that we only inferred (`DAY_OVER`). Filled quantities
    only grow, so a smaller one is a straggler, and a larger one is a fact whenever it comes. The
    broker's times have a resolution of one second and decide only where they differ.
    """
    told = _whole(told)
    if known is None:
        return told
    if known.raw_status == DAY_OVER:
        return told if told.filled >= known.filled else _with_fills(told, known)
    if known.status.final:
        return _after_the_end(known, told)
    if told.status.final:
        return _priced(told, known) if told.filled >= known.filled else _with_fills(told, known)
    if told.filled != known.filled:
        return told if told.filled > known.filled else known
    return known if _straggles(known, told) else _priced(told, known)


def _whole(told: BrokerOrder) -> BrokerOrder:
    """Take the broker at its word that an order is complete, though its count lags behind."""
    if told.status is OrderStatus.FILLED and told.filled < told.quantity:
        return replace(told, filled=told.quantity)
    return told


def _after_the_end(known: BrokerOrder, told: BrokerOrder) -> BrokerOrder:
    """Return a final order after a late word: a fill still counts, everything else is old."""
    if told.filled <= known.filled:
        return _priced(known, told)
    return told if told.status.final else _with_fills(known, told)


def _with_fills(order: BrokerOrder, other: BrokerOrder) -> BrokerOrder:
    return replace(order, filled=other.filled, average_price=other.average_price)


def _straggles(known: BrokerOrder, told: BrokerOrder) -> bool:
    before, now = _rank(known), _rank(told)
    if now < before:
        return True
    if now < _ON_THE_BOOK:
        return False
    triggered = known.raw_status == "open" and told.raw_status == "trigger pending"
    if triggered and (known.price, known.trigger) == (told.price, told.trigger):
        return True
    times = (known.exchange_time, told.exchange_time)
    return times[0] is not None and times[1] is not None and times[1] < times[0]


def _rank(order: BrokerOrder) -> int:
    return _EARLY.get(order.raw_status, _ON_THE_BOOK)


def _priced(order: BrokerOrder, other: BrokerOrder) -> BrokerOrder:
    """Return `order` with the average price of `other` where it has none for the same fills."""
    lacks = math.isnan(order.average_price) and not math.isnan(other.average_price)
    if lacks and order.filled == other.filled:
        return replace(order, average_price=other.average_price)
    return order


def with_child(order: Order, child: BrokerOrder) -> Order:
    """Return the order with this state of one of its children, everything else made to agree."""
    known = next((c for c in order.children if c.order_id == child.order_id), None)
    others = tuple(c for c in order.children if c is not known)
    children = tuple(sorted((*others, child), key=lambda c: (len(c.order_id), c.order_id)))
    request = order.request if others else _as_modified(order.request, known, child)
    return summed(replace(order, request=request, children=children))


def summed(order: Order, *, all_known: bool = False) -> Order:
    """Derive status, fills and message from the children; without any, nothing changes.

    A sliced order is not final before all of its slices have been told of, unless a read has shown
    that there are no more (`all_known`).
    """
    children = order.children
    if not children:
        return order
    filled = sum(c.filled for c in children)
    return replace(
        order,
        status=_status(order, filled, all_known=all_known),
        filled=filled,
        average_price=average(children),
        message=_twice(order) or next((c.message for c in reversed(children) if c.message), ""),
    )


def _as_modified(
    request: OrderRequest, known: BrokerOrder | None, child: BrokerOrder
) -> OrderRequest:
    """Return the request as it stands at the broker, who may have been told of a change.

    A smaller quantity is one only if it was another before: the first slice that is told of is
    smaller, too.
    """
    if child.quantity <= 0:  # only its number is known
        return request
    was = 0 if known is None or known.raw_status == ACCEPTED else known.quantity
    changed = child.quantity > request.quantity or (was and was != child.quantity)
    return replace(
        request,
        quantity=child.quantity if changed else request.quantity,
        order_type=child.order_type,
        price=child.price,
        trigger=child.trigger,
        validity=child.validity,
    )


def _twice(order: Order) -> str:
    """Return in words that the broker has more under our tag than we have ever sent."""
    asked, there = order.request.quantity, sum(c.quantity for c in order.children)
    if len(order.children) == 1 or there <= asked:
        return ""
    count = len(order.children)
    return f"{asked} were sent, but the broker has {there} in {count} orders with this tag"


def _status(order: Order, filled: int, *, all_known: bool) -> OrderStatus:
    quantity = order.request.quantity
    statuses = {c.status for c in order.children}
    if not all(status.final for status in statuses):
        return OrderStatus.WORKING
    if filled >= quantity:
        return OrderStatus.FILLED
    told_of = sum(c.quantity for c in order.children)
    if statuses == {OrderStatus.FILLED} and told_of < quantity and not all_known:
        return OrderStatus.WORKING  # other slices have not been heard of yet
    return OrderStatus.REJECTED if statuses == {OrderStatus.REJECTED} else OrderStatus.CANCELLED


def average(children: Iterable[BrokerOrder]) -> float:
    """Return rupees over all that was filled; NaN if nothing was or a price is still unknown."""
    filled = [c for c in children if c.filled]
    units = sum(c.filled for c in filled)
    price = sum(c.filled * c.average_price for c in filled) / units if units else UNKNOWN
    return UNKNOWN if math.isnan(price) else price  # the one NaN, which is equal to itself


def grown(fills: Sequence[Fill], child: BrokerOrder, *, at: datetime, is_mock: bool) -> list[Fill]:
    """Return the fills after what an order told: one more for what was filled since.

    Its price follows from the averages, and is NaN while the broker tells none. Then it may be
    told later for the same quantity, which prices the fills that have none yet.
    """
    known = sum(f.quantity for f in fills)
    more = child.filled - known
    if more <= 0:
        return _priced_fills(fills, child) if more == 0 else list(fills)
    value = child.average_price * child.filled - sum(f.price * f.quantity for f in fills)
    fill = Fill(
        account=child.account,
        order_id=child.order_id,
        trade_id=f"~{len(fills) + 1}",
        instrument_key=child.instrument_key,
        product=child.product,
        side=child.side,
        quantity=more,
        price=_believable(value / more),
        at=child.exchange_time or at,
        is_mock=is_mock,
    )
    return [*fills, fill]


def _priced_fills(fills: Sequence[Fill], child: BrokerOrder) -> list[Fill]:
    unknown = [f for f in fills if math.isnan(f.price)]
    if not unknown or math.isnan(child.average_price):
        return list(fills)
    known = sum(f.price * f.quantity for f in fills if not math.isnan(f.price))
    left = child.average_price * child.filled - known
    price = _believable(left / sum(f.quantity for f in unknown))
    return [replace(f, price=price) if math.isnan(f.price) else f for f in fills]


def _believable(price: float) -> float:
    """Return a derived price, or unknown: from rounded averages it may come out below zero."""
    return price if price > 0 else UNKNOWN


def settled(fills: Sequence[Fill], trades: Sequence[Fill]) -> list[Fill]:
    """Return the broker's own rows once they tell of everything that the order told of.

    The list of trades may lag behind the order, so a shorter one changes nothing; nor does one
    without prices where we have them. A row that is told twice is one.
    """
    rows = list(dict.fromkeys(trades))
    told, known = sum(t.quantity for t in rows), sum(f.quantity for f in fills)
    lacks = any(math.isnan(t.price) for t in rows)
    if told < known or (lacks and told == known):
        return list(fills)
    return sorted(rows, key=lambda t: (t.at, t.trade_id))
