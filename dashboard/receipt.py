"""What became of an order that was sent, in words that follow it while they are shown."""

from collections.abc import Callable, Sequence
from typing import Final

from nicegui import ui

from dashboard import order_words as words
from dashboard.hold import Undo
from dashboard.live import Cell, Live
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.order import Order
from trading.order_book import OrderMoved
from trading.ports import FeedState


class OrderResult:
    """Three lines: what happened, what it means for the money, what to do now."""

    def __init__(
        self,
        desk: Desk,
        live: Live,
        order: Order,
        *,
        tell: Callable[[Order], words.Outcome] | None = None,
    ) -> None:
        """`tell` says what the order means if it is not simply what became of it."""
        self._desk = desk
        self._id = order.id
        self._tell = tell or self._outcome
        with ui.element("div").classes("v-result-lines").props('role="status"'):
            Undo(desk.orders.changes.subscribe(self._moved))
            self._happened = Cell(live, "v-happened status")
            self._money = Cell(live, "v-money")
            self._todo = Cell(live, "v-todo")
            for leaf, name in zip((self._happened, self._money, self._todo), NAMES, strict=True):
                leaf.mark(f"result-{name}")
        self._show(desk.orders.get(order.id) or order)

    def _moved(self, moved: OrderMoved) -> None:
        if moved.after.id == self._id:
            self._show(moved.after)

    def _outcome(self, order: Order) -> words.Outcome:
        return words.outcome(order, self._desk.catalogue.get(order.request.instrument_key))

    def _show(self, order: Order) -> None:
        outcome = self._tell(order)
        took = f" It took {words.lasted(order)}." if order.status.final else ""
        self._happened.show(Shown(outcome.happened, outcome.tone, order.id))
        self._money.show(Shown(outcome.money + took))
        late = "" if order.status.final or self._is_told_at_once(order) else f" {BY_READS}"
        self._todo.show(Shown(outcome.todo + late))

    def _is_told_at_once(self, order: Order) -> bool:
        stream = self._desk.portfolio_feeds.get(order.request.account)
        return stream is None or stream.stats().state is FeedState.LIVE


BY_READS: Final = (
    "The portfolio stream is not live: a fill shows here only when the broker's book is read "
    "again, which takes some seconds."
)
NAMES: Final = ("happened", "money", "todo")


def results(desk: Desk, live: Live, orders: Sequence[Order]) -> None:
    """Draw the results of several orders, one below the other."""
    for order in orders:
        OrderResult(desk, live, order)
