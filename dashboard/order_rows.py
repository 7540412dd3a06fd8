"""The list of orders: a row each, followed by what is told of it; the chosen one shows its life."""

from collections.abc import Callable
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard import order_life
from dashboard import order_words as words
from dashboard.cancelling import cancel
from dashboard.change_sheet import ChangeSheet
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Age, Cell
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.order import Order
from trading.order_book import OrderMoved

STEP: Final = 50  # rows of one tab, and more with each press: a long page is slow to change
HEADINGS: Final = (
    "Time", "Instrument", "", "Lots (units)", "Type", "Price / trigger", "Status", "Filled",
    "Avg", "Age", "",
)  # fmt: skip
Keeps = Callable[[Order], bool]


class OrderRow:
    """One order. Cells follow it; only the buttons and the life are ever drawn anew."""

    def __init__(self, desk: Desk, tab: Tab, order: Order, choose: Callable[[str], None]) -> None:
        self._desk, self._tab = desk, tab
        self.order = order
        self._chosen = False
        self.box = ui.element("div").classes("v-order").mark(f"order-{order.id}")
        with self.box:
            self._row = self._draw_row(choose)
            self._note = Cell(tab.live, "v-order-note").mark("note")
            self._life = ui.element("div").classes("v-life").mark("life")
            self._life.set_visibility(False)
        self.show(order)

    def _draw_row(self, choose: Callable[[str], None]) -> Element:
        order, request, live = self.order, self.order.request, self._tab.live
        instrument = self._desk.catalogue.get(request.instrument_key)
        with ui.element("div").classes("v-row v-order-row") as row:
            row.props('role="row" tabindex="0" aria-selected="false"').mark("order-row")
            row._props["data-key"] = request.instrument_key
            ui.label(fmt.moment(order.created, self._desk.clock.now())).classes("n o-time")
            with ui.element("div").classes("v-name o-name") as name:
                name._props["title"] = f"{request.instrument_key} · {order.id}"
                ui.label(words.title(instrument, request.instrument_key))
                for chip in self._chips():
                    ui.label(chip).classes("v-chip")
            ui.label(request.side[0]).classes(f"v-side v-{request.side.lower()}")
            self._lots = Cell(live, "n o-lots")
            self._type = Cell(live, "o-type")
            self._price = Cell(live, "n o-price")
            self._status = Cell(live, "status o-status").mark("status")
            self._filled = Cell(live, "n o-filled").mark("filled")
            self._average = Cell(live, "n o-avg").mark("average")
            with ui.element("div").classes("o-age"):
                self._age = Age(live, "va")
                self._took = Cell(live, "n").mark("took")
            with ui.element("div").classes("o-acts") as self._acts:
                self._button("edit", "Change this order", "modify", self._change)
                self._button("close", "Cancel this order", "cancel", self._cancel)
        row.on("click", lambda: choose(order.id), [])
        row.on("keydown.enter.self", lambda: choose(order.id), [])
        return row

    def _chips(self) -> list[str]:
        order = self.order
        chips = [whence] if (whence := words.whence(order)) else []
        if order.request.batch_id:
            chips.append("basket")
        states = self._desk.accounts.all()
        if len(states) > 1:
            names = {s.account.id: s.account.name for s in states}
            chips.append(names.get(order.request.account, order.request.account))
        return chips

    def _button(self, icon: str, text: str, marker: str, act: Callable[[], object]) -> None:
        button = ui.button(icon=icon, color=None).props("flat dense").mark(marker)
        button.classes(f"v-{marker}")
        button._props["aria-label"] = text
        button.on("click.stop", act, [])
        button.tooltip(text)

    # following

    def show(self, order: Order) -> None:
        self.order = order
        request = order.request
        instrument = self._desk.catalogue.get(request.instrument_key)
        self._lots.show(Shown(words.quantity(request.quantity, instrument)))
        self._type.show(Shown(words.TYPES[request.order_type]))
        self._price.show(words.price_cell(request))
        self._status.show(words.status(order))
        self._filled.show(Shown(words.filled(order)))
        self._average.show(words.average(order))
        self._note.show(Shown(words.note(order)))
        final = order.status.final
        self._took.show(Shown(words.lasted(order) if final else ""))
        self._age.set_visibility(not final)
        if not final:
            age = (self._desk.clock.now() - order.created).total_seconds()
            self._age.start(self._desk.clock.monotonic() - age)
        self._acts.set_visibility(not final and bool(order.children))
        if self._chosen:
            self._draw_life()

    def choose(self, chosen: bool) -> None:
        self._chosen = chosen
        self._row.props(f'aria-selected="{str(chosen).lower()}"')
        self._life.set_visibility(chosen)
        self._life.clear()
        if chosen:
            self._draw_life()

    def _draw_life(self) -> None:
        self._life.clear()
        with self._life:
            order_life.draw(self.order)

    # acting

    def _change(self) -> None:
        with self.box:
            ChangeSheet(self._desk, self._tab, self.order)

    async def _cancel(self) -> None:
        self._acts.set_visibility(False)  # until it is known what came of it
        text = await cancel(self._desk, self.order.id)
        if not self.box.is_deleted:
            self.show(self._desk.orders.get(self.order.id) or self.order)
        self._tab.say(text)


class OrderRows:
    """The rows of one tab, newest first."""

    def __init__(self, desk: Desk, tab: Tab, keeps: Keeps, empty: str) -> None:
        self._desk, self._tab, self._keeps = desk, tab, keeps
        self._rows: dict[str, OrderRow] = {}
        self._chosen: str | None = None
        self._most = STEP
        with ui.element("div").classes("v-table v-orders-table").props('role="grid"'):
            Undo(desk.orders.changes.subscribe(self._moved))
            with ui.element("div").classes("v-head v-order-row").props('role="row"'):
                for heading in HEADINGS:
                    ui.label(heading).props('role="columnheader"')
            self._body = ui.element("div").classes("v-rows").props('role="rowgroup"')
            self._more = ui.button("", on_click=self._show_older, color=None)
            self._more.props("flat no-caps").classes("v-more").mark("older-orders")
            self._empty = ui.label(empty).classes("v-empty").mark("no-orders")
        for order in self._kept()[-self._most :]:
            self._add(order)
        self._count()

    def _kept(self) -> list[Order]:
        return [order for order in self._desk.orders.orders() if self._keeps(order)]

    def _moved(self, moved: OrderMoved) -> None:
        order = moved.after
        row = self._rows.get(order.id)
        if not self._keeps(order):
            if row is not None:
                row.box.delete()
                del self._rows[order.id]
        elif row is not None:
            row.show(order)
            return
        else:
            self._add(order)
        self._count()

    def _add(self, order: Order) -> None:
        with self._body:
            row = OrderRow(self._desk, self._tab, order, self._choose)
        row.box.move(target_index=0)
        self._rows[order.id] = row
        if len(self._rows) > self._most:
            oldest = next(iter(self._rows))
            self._rows.pop(oldest).box.delete()

    def _count(self) -> None:
        self._empty.set_visibility(not self._rows)
        more = len(self._kept()) - len(self._rows)
        self._more.set_text(f"Show {min(more, STEP)} of {more} older ones")
        self._more.set_visibility(more > 0)

    def _show_older(self) -> None:
        self._most += STEP
        kept = self._kept()
        with self._body:
            for order in reversed(kept[-self._most :]):
                if order.id not in self._rows:
                    self._rows[order.id] = OrderRow(self._desk, self._tab, order, self._choose)
        self._rows = {o.id: self._rows[o.id] for o in kept if o.id in self._rows}
        self._count()

    def _choose(self, order_id: str) -> None:
        before, self._chosen = self._chosen, None if order_id == self._chosen else order_id
        for known in {before, self._chosen} - {None}:
            if known in self._rows:
                self._rows[known].choose(known == self._chosen)
