"""Orders: what works, what is done, what was rejected, the baskets; and the ticket beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard.basket_receipt import BasketReceipt
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Cell
from dashboard.order_rows import OrderRows
from dashboard.sheet import Shown
from dashboard.ticket import Ticket
from trading.basket_book import BasketMoved
from trading.desk import Desk
from trading.order import Order, OrderStatus, Product, Side

PATH = "/orders"
TITLE = "Orders"
ICON = "receipt_long"
ORDER = 4

DONE: Final = (OrderStatus.FILLED, OrderStatus.CANCELLED)
BATCHES: Final = "batches"


@dataclass(frozen=True, slots=True)
class View:
    """One tab of orders: which it keeps, and what it says while there are none."""

    name: str
    title: str
    keeps: Callable[[Order], bool]
    empty: str


VIEWS: Final = (
    View(
        "working",
        "Working",
        lambda o: not o.status.final,
        "No order is working. Search what to trade on the ticket (+ on a phone), or press B or S "
        "on a row.",
    ),
    View(
        "done",
        "Done",
        lambda o: o.status in DONE,
        "Nothing was filled or cancelled today.",
    ),
    View(
        "rejected",
        "Rejected",
        lambda o: o.status.final and o.status not in DONE,
        "Nothing was rejected today.",
    ),
    View("all", "All", lambda o: True, "No order was sent today."),
)


def build(desk: Desk, tab: Tab) -> None:
    with ui.element("div").classes("v-orders"):
        with ui.element("section").classes("v-panel v-list").props('aria-label="orders"'):
            _Tabs(desk, tab)
        with ui.element("section").classes("v-panel v-ticket-panel") as panel:
            panel.props('aria-label="ticket"')
            ticket = _Panel(desk, tab, panel)
        plus = ui.button(icon="add", on_click=ticket.open, color=None).classes("v-plus v-phone")
        plus.props('unelevated aria-label="New order"').mark("plus")


class _Panel:
    """The ticket beside the list; on a phone a sheet that the + button and the keys open."""

    def __init__(self, desk: Desk, tab: Tab, panel: Element) -> None:
        self._tab, self._panel = tab, panel
        self._ticket = Ticket(desk, tab, sent=self.close)
        close = ui.button(icon="close", on_click=self.close, color=None)
        close.props('flat dense aria-label="Close the ticket"').classes("v-close v-phone")
        Undo(self._leave)
        tab.panel = self.fill

    def open(self) -> None:
        self._panel.classes(add="v-open")

    def close(self) -> None:
        self._panel.classes(remove="v-open")

    def fill(
        self,
        instrument_key: str,
        side: Side,
        *,
        units: int | None = None,
        product: Product | None = None,
        reduces: bool = False,
    ) -> None:
        self._ticket.fill(instrument_key, side, units=units, product=product, reduces=reduces)
        self.open()

    def _leave(self) -> None:
        if self._tab.panel == self.fill:
            self._tab.panel = None


class _Tabs:
    """The tabs with their counts; only the chosen one is drawn."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk, self._tab = desk, tab
        self._buttons: dict[str, Element] = {}
        self._counts: dict[str, Cell] = {}
        with ui.element("div").classes("v-tabs").props('role="tablist"'):
            Undo(desk.orders.changes.subscribe(lambda _: self._count()))
            Undo(desk.baskets.changes.subscribe(lambda _: self._count()))
            for view in VIEWS[:-1]:
                self._button(view.name, view.title)
            self._button(BATCHES, "Batches")
            self._button(VIEWS[-1].name, VIEWS[-1].title)
        self._body = ui.element("div").classes("v-tab-body")
        self._count()
        self.show("working")

    def _button(self, name: str, title: str) -> None:
        with ui.element("button").classes("v-tab").props('type="button" role="tab"') as button:
            button.mark(f"tab-{name}")
            ui.label(title)
            self._counts[name] = Cell(self._tab.live, "n", Shown(""))
        button.on("click", lambda: self.show(name), [])
        self._buttons[name] = button

    def show(self, name: str) -> None:
        for other, button in self._buttons.items():
            button.props(f'aria-selected="{str(other == name).lower()}"')
        self._body.clear()
        with self._body:
            if name == BATCHES:
                _Batches(self._desk, self._tab)
                return
            view = next(view for view in VIEWS if view.name == name)
            OrderRows(self._desk, self._tab, view.keeps, view.empty)

    def _count(self) -> None:
        orders = self._desk.orders.orders()
        counts = {view.name: sum(map(view.keeps, orders)) for view in VIEWS}
        counts[BATCHES] = len(self._desk.baskets.all())
        for name, count in counts.items():
            self._counts[name].show(Shown(str(count) if count else ""))


class _Batches:
    """The receipts of the day's baskets, newest first."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk, self._tab = desk, tab
        self._known: set[str] = set()
        with ui.element("div").classes("v-receipts") as self._body:
            Undo(desk.baskets.changes.subscribe(self._moved))
            self._empty = ui.label(
                "No basket was sent today. Put one together on the Baskets page."
            ).classes("v-empty")
        for basket in desk.baskets.all():
            self._add(basket.id)

    def _moved(self, moved: BasketMoved) -> None:
        self._add(moved.after.id)

    def _add(self, basket_id: str) -> None:
        basket = self._desk.baskets.get(basket_id)
        if basket is None or basket_id in self._known:
            return  # the receipt follows it by itself
        self._known.add(basket_id)
        self._empty.set_visibility(False)
        with self._body:
            BasketReceipt(self._desk, self._tab.live, basket).box.move(target_index=0)
