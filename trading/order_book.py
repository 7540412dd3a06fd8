"""All orders of the day, ours and those placed elsewhere: one owner, one rule for every update."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from trading.broker import OrderJournal
from trading.clock import Clock
from trading.hours import IST
from trading.merge import ACCEPTED, grown, newer, settled, summed, with_child
from trading.model import UNKNOWN
from trading.order import (
    BrokerOrder,
    Fill,
    Order,
    OrderFills,
    OrderRequest,
    OrderStatus,
    Step,
)
from trading.signal import Signal

log = logging.getLogger(__name__)

MOST_STEPS: Final = 200  # of one order; beyond them only its end is added
Number = tuple[str, str]  # account, the broker's order number


@dataclass(frozen=True, slots=True)
class OrderMoved:
    """A confirmed change; `before` is None for an order that was not known."""

    before: Order | None
    after: Order


class OrderBook:
    """Facts in, changes out. Nothing here waits or sends."""

    def __init__(self, *, clock: Clock, journal: OrderJournal, mock: Mapping[str, bool]) -> None:
        """`mock` says for each account whether its orders are made up."""
        self.changes: Signal[OrderMoved] = Signal("orders")
        self.filled: Signal[OrderFills] = Signal("fills")
        self.unpriced: set[str] = set()  # accounts with a fill whose price only a read can tell
        self._clock = clock
        self._journal = journal
        self._mock = mock
        self._orders: dict[str, Order] = {}
        self._working: dict[str, Order] = {}  # those of them that are not final: asked all the time
        self._numbers: dict[Number, str] = {}
        self._fills: dict[Number, tuple[Fill, ...]] = {}
        self._early: list[tuple[BrokerOrder, str]] = []

    # what others ask

    def get(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    def orders(self, account: str | None = None) -> list[Order]:
        """Return the orders in the order in which they became known."""
        return [o for o in self._orders.values() if account in (None, o.request.account)]

    def working(self, account: str | None = None) -> list[Order]:
        return [o for o in self._working.values() if account in (None, o.request.account)]

    def batch(self, batch_id: str) -> list[Order]:
        return [o for o in self._orders.values() if batch_id and o.request.batch_id == batch_id]

    def fills(self, account: str | None = None) -> list[Fill]:
        """Return all executions, oldest first."""
        found = [f for fills in self._fills.values() for f in fills]
        return sorted((f for f in found if account in (None, f.account)), key=lambda f: f.at)

    # what is told

    def load(self, orders: Iterable[Order], fills: Iterable[Fill]) -> None:
        """Take over what the disk has, telling it as if it had just become known."""
        for order in orders:
            self._take(order)
            for child in order.children:
                self._numbers[order.request.account, child.order_id] = order.id
            self.changes.emit(OrderMoved(None, order))
        for fill in fills:
            number = (fill.account, fill.order_id)
            self._fills[number] = (*self._fills.get(number, ()), fill)
            if fill.value is None:
                self.unpriced.add(fill.account)
        for (account, order_id), known in self._fills.items():
            self.filled.emit(OrderFills(account, order_id, known))

    def add(self, order: Order) -> None:
        """Take an intent that the disk has already."""
        self._take(order)
        self.changes.emit(OrderMoved(None, order))

    def told(self, told: BrokerOrder, *, seen_by: str) -> None:
        """Merge one order as the broker told it, from wherever."""
        order = self._find(told)
        if order is None and self._may_be_awaited(told):
            self._early.append((told, seen_by))  # its answer brings the number
            return
        if order is None and self._is_history(told):
            return
        if order is None:
            order = self._external(told)
        known = next((c for c in order.children if c.order_id == told.order_id), None)
        child = newer(known, told)
        if child == known:
            return
        self._numbers[told.account, told.order_id] = order.id
        self._fill(child)  # first: who hears of the change finds the position with it
        self._put_child(order, child, seen_by)

    def answered(self, order_id: str, numbers: Iterable[str]) -> None:
        """Note the broker's numbers of an intent; updates may have come before them."""
        order = self._orders[order_id]
        numbers = tuple(numbers)
        for number in numbers:
            self._claim((order.request.account, number), order_id)
            order = self._orders[order_id]
            if all(c.order_id != number for c in order.children):
                child = _only_a_number(order, number, alone=len(numbers) == 1)
                self._put_child(order, child, "answer")
        self._replay_early()

    def judged(self, order_id: str, status: OrderStatus, message: str, *, seen_by: str) -> None:
        """Set the state of an intent that no broker's order speaks for."""
        order = self._orders[order_id]
        if not order.children and (order.status, order.message) != (status, message):
            after = replace(order, status=status, message=message)
            self._put(after, status.value, seen_by, message, 0)
        self._replay_early()

    def complete(self, order_id: str) -> None:
        """Note that a read has shown every child there is."""
        order = self._orders[order_id]
        after = summed(order, all_known=True)
        if after.status is not order.status:
            self._put(after, after.status.value, "read", after.message, after.filled)

    def settle(self, account: str, trades: Iterable[Fill]) -> None:
        """Replace derived fills by the broker's own rows."""
        rows: dict[str, list[Fill]] = {}
        for trade in trades:
            rows.setdefault(trade.order_id, []).append(trade)
        for order_id, found in rows.items():
            number = (account, order_id)
            known = self._fills.get(number, ())
            self._keep_fills(number, settled(known, self._of_the_order(number, found)))
        if not any(f.value is None for f in self.fills(account)):
            self.unpriced.discard(account)

    def forget(self, before: datetime) -> None:
        """Drop final orders that were created and last changed before this moment, with fills.

        The disk keeps them; what is dropped is what a start of today would not load.
        """
        old = [
            order
            for order in self._orders.values()
            if order.status.final and max(order.created, order.updated) < before
        ]
        for order in old:
            del self._orders[order.id]
            for child in order.children:
                number = (child.account, child.order_id)
                if self._numbers.get(number) == order.id:
                    del self._numbers[number]
        for number, fills in list(self._fills.items()):
            if number not in self._numbers and all(fill.at < before for fill in fills):
                del self._fills[number]

    # inside

    def _take(self, order: Order) -> None:
        self._orders[order.id] = order
        if order.status.final:
            self._working.pop(order.id, None)
        else:
            self._working[order.id] = order

    def _find(self, told: BrokerOrder) -> Order | None:
        number = (told.account, told.order_id)
        known = self._orders.get(self._numbers.get(number, ""))
        ours = self._orders.get(told.tag) if told.tag else None
        if ours is None or not _is_its_own(ours, told):
            return known
        if known is None or known.external:
            self._claim(number, ours.id)
            return self._orders[ours.id]
        return known

    def _claim(self, number: Number, order_id: str) -> None:
        """Note whose number this is; what was taken for somebody else's order may be ours."""
        owner = self._orders.get(self._numbers.get(number, ""))
        self._numbers[number] = order_id
        if owner is None or owner.id == order_id or not owner.external:
            return
        for child in owner.children:
            self._put_child(self._orders[order_id], child, "us")
        words = f"this is our own order {order_id}"
        gone = replace(owner, status=OrderStatus.NOT_PLACED, children=(), filled=0, message=words)
        self._put(gone, OrderStatus.NOT_PLACED.value, "us", words, 0)

    def _of_the_order(self, number: Number, trades: Sequence[Fill]) -> Sequence[Fill]:
        """Return the trades as fills of this order; none of them if one is of something else."""
        order = self._orders.get(self._numbers.get(number, ""))
        child = (
            next((c for c in order.children if c.order_id == number[1]), None) if order else None
        )
        if child is None:
            return trades
        for trade in trades:
            if (trade.instrument_key, trade.side) != (child.instrument_key, child.side):
                log.error("trade %s is not of order %s: not believed", trade.trade_id, number[1])
                return ()
        return [replace(trade, product=child.product) for trade in trades]

    def _is_history(self, told: BrokerOrder) -> bool:
        """Return whether it was over before today: the broker may still list it, we do not."""
        moments = [moment for moment in (told.placed, told.exchange_time) if moment]
        if not told.status.final or told.is_amo or not moments:
            return False
        return max(moments).astimezone(IST).date() < self._clock.now().astimezone(IST).date()

    def _may_be_awaited(self, told: BrokerOrder) -> bool:
        wanted = (told.account, told.instrument_key, told.side)
        return not told.tag and any(
            (o.request.account, o.request.instrument_key, o.request.side) == wanted
            for o in self._working.values()
            if o.status is OrderStatus.SENT
        )

    def _replay_early(self) -> None:
        early, self._early = self._early, []
        for told, seen_by in early:
            self.told(told, seen_by=seen_by)

    def _external(self, told: BrokerOrder) -> Order:
        at = told.placed or self._clock.now()
        request = OrderRequest(
            account=told.account,
            instrument_key=told.instrument_key,
            side=told.side,
            quantity=told.quantity,
            product=told.product,
            order_type=told.order_type,
            nonce=f"ext-{told.account}-{told.order_id}",
            price=told.price,
            trigger=told.trigger,
            validity=told.validity,
            source="placed elsewhere",
        )
        return Order(
            id=request.nonce,
            request=request,
            status=OrderStatus.WORKING,
            created=at,
            updated=at,
            is_mock=self._mock[told.account],
            external=True,
        )

    def _put(self, order: Order, raw_status: str, seen_by: str, message: str, filled: int) -> None:
        """Keep and tell a new state of an order, with the step that led to it."""
        before, now = self._orders.get(order.id), self._clock.now()
        steps = order.steps
        if len(steps) < MOST_STEPS or order.status.final:
            steps = (*steps, Step(order.status, raw_status, filled, now, seen_by, message))
        after = replace(order, updated=now, steps=steps)
        self._take(after)
        self._journal.keep(after)
        self.changes.emit(OrderMoved(before, after))

    def _put_child(self, order: Order, child: BrokerOrder, seen_by: str) -> None:
        after = with_child(order, child)
        self._put(after, child.raw_status, seen_by, child.message, after.filled)

    def _fill(self, child: BrokerOrder) -> None:
        number = (child.account, child.order_id)
        known = self._fills.get(number, ())
        mock = self._mock[child.account]
        self._keep_fills(number, grown(known, child, at=self._clock.now(), is_mock=mock))

    def _keep_fills(self, number: Number, fills: list[Fill]) -> None:
        if tuple(fills) == self._fills.get(number, ()):
            return
        told = OrderFills(*number, tuple(fills))
        self._fills[number] = told.fills
        if any(fill.value is None for fill in fills):
            self.unpriced.add(told.account)
        self._journal.keep_fills(told)
        self.filled.emit(told)


def _is_its_own(order: Order, told: BrokerOrder) -> bool:
    """Return whether an order with its tag can be what it asked for: a tag may be copied."""
    asked = order.request
    return (asked.account, asked.instrument_key, asked.side) == (
        told.account,
        told.instrument_key,
        told.side,
    )


def _only_a_number(order: Order, number: str, *, alone: bool) -> BrokerOrder:
    """Return what the answer to a placing call says: it exists; of a slice not even how large."""
    request = order.request
    return BrokerOrder(
        account=request.account,
        order_id=number,
        tag=order.id,
        instrument_key=request.instrument_key,
        side=request.side,
        quantity=request.quantity if alone else 0,
        product=request.product,
        order_type=request.order_type,
        price=request.price,
        trigger=request.trigger,
        validity=request.validity,
        status=OrderStatus.WORKING,
        raw_status=ACCEPTED,
        filled=0,
        average_price=UNKNOWN,
    )
