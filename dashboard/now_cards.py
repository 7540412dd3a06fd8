"""What the Now page says of the account: is all well, what are we in, what still works."""

from collections.abc import Callable
from functools import partial
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import health, order_words
from dashboard import position_words as words
from dashboard.books_view import verdict
from dashboard.cancelling import cancel
from dashboard.exits import open_exit
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Age, Cell, Facts, Since
from dashboard.pnl_curve import PnlCurve
from dashboard.position_table import price_badge
from dashboard.position_words import Key
from dashboard.search import marker
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.order import Order
from trading.order_book import OrderMoved
from trading.ports import FeedState
from trading.positions import Position, PositionMoved

CARDS: Final = 5  # positions
ORDERS: Final = 4  # working ones
NOTHING_OPEN: Final = "Nothing is open. Choose a row below and press B to buy or S to sell."
INSTEAD: Final = "fills are read from the book, seconds late"
NO_ORDER: Final = "No order is working."


def state_strip(desk: Desk, tab: Tab) -> None:
    """Draw one line of cards: the market feed, the streams of the account, the books."""
    with ui.element("section").classes("v-states").props('aria-label="state"'):
        _feed_card(desk, tab)
        for account in desk.portfolio_feeds:
            _stream_card(desk, tab, account)
        for state in desk.accounts.all():
            _books_card(desk, tab, state.account.id)


def _feed_card(desk: Desk, tab: Tab) -> None:
    group = tab.live.group(lambda: health.told_facts(desk.feed.stats(), desk.clock))
    with _card("Market feed", "/status"):
        group.cell("state", "status").mark("state-market")
        group.cell("frame_rate", "n v-faint")
        group.cell("tick_age", "n")


def _stream_card(desk: Desk, tab: Tab, account: str) -> None:
    def read() -> Facts:
        live = desk.portfolio_feeds[account].stats().state is FeedState.LIVE
        return {**health.stream_facts(desk, account), "instead": "" if live else INSTEAD}

    group = tab.live.group(read)
    title = "Portfolio stream" + _suffix(desk, account)
    with _card(title, "/status"):
        group.cell("state", "status").mark(f"state-stream-{account}")
        ui.label("last sign").classes("v-faint")
        group.cell("frame_age", "n")
        group.cell("instead", "v-faint").mark(f"instead-{account}")


def _books_card(desk: Desk, tab: Tab, account: str) -> None:
    def read() -> Facts:
        books = desk.positions.books(account)
        now = desk.clock.monotonic()
        return {
            "verdict": verdict(books, desk.clock.now()),
            "age": Since(None if books.age is None else now - books.age),
        }

    group = tab.live.group(read)
    with _card("Books" + _suffix(desk, account), "/positions"):
        group.cell("verdict", "status").mark(f"state-books-{account}")
        group.cell("age", "n")
        ui.label("ago").classes("v-faint")


def _card(title: str, path: str) -> Element:
    card = ui.element("a").classes("v-panel v-state").props(f'href="{path}"')
    with card:
        ui.label(title).classes("v-faint")
    return card


def _suffix(desk: Desk, account: str) -> str:
    state = desk.accounts.get(account)
    if state is None or len(desk.accounts.all()) == 1:
        return ""
    return f" · {state.account.name}"


class DayCard:
    """The day's P&L in figures and as a curve."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        total = tab.live.group(tab.ledger.total, fast=True)
        with ui.element("section").classes("v-panel v-day").props('aria-label="P&L today"'):
            with ui.element("div").classes("v-day-head") as head:
                total.cell("total", "n price toned v-total").mark("day-total")
                for name, classes in (("realised", "sure"), ("unrealised", "")):
                    with ui.element("span").classes("v-pair"):
                        ui.label(name).classes("v-faint")
                        total.cell(name, f"n toned {classes}").mark(f"day-{name}")
                total.badge("trust", full=True).marks(head)
            PnlCurve(desk, tab)


class Exposures:
    """The largest open positions, and the way out of each."""

    def __init__(self, desk: Desk, tab: Tab, page: Element) -> None:
        self._desk, self._tab, self._page = desk, tab, page
        self._shown: list[tuple[Key, tuple[object, ...]]] = []
        with ui.element("section").classes("v-panel v-exposures") as box:
            box.props('aria-label="open positions"')
            Undo(desk.positions.changes.subscribe(self._moved))
            with ui.element("a").classes("v-exposures-head").props('href="/positions"'):
                self._title = ui.label("").classes("v-title").mark("open-count")
                ui.label("all positions ▸").classes("v-faint")
            self._body = ui.element("div")
            tab.live.group(self._said).cell("empty", "v-empty").mark("nothing-open")
        self._arrange()

    def _said(self) -> Facts:
        positions = self._desk.positions
        if any(position.quantity for position in positions.positions()):
            return {"empty": ""}
        accounts = self._desk.accounts.all()
        books = [positions.books(state.account.id) for state in accounts]
        return {"empty": words.unread(books) or NOTHING_OPEN}

    def _moved(self, moved: PositionMoved) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Draw the cards anew if other positions are the largest; their numbers just follow."""
        held = [p for p in self._desk.positions.positions() if p.quantity]
        self._title.set_text(f"Open positions{_count(len(held), CARDS, 'largest')}")
        largest = sorted(held, key=self._exposure, reverse=True)[:CARDS]
        shown = [(words.key_of(p), (p.quantity > 0, p.carried)) for p in largest]
        if shown != self._shown:
            self._shown = [*shown]
            self._body.clear()
            with self._body:
                for position in largest:
                    self._draw(position)

    def _exposure(self, position: Position) -> float:
        """Return rupees at the market, or at cost while there is no price."""
        mark = self._desk.marks.of(position.instrument_key)
        if mark is None:
            return abs(position.cost or 0) / 100
        return abs(mark.price * position.quantity * position.multiplier)

    def _draw(self, position: Position) -> None:
        key = words.key_of(position)
        group = self._tab.live.group(lambda: self._tab.ledger.row(key), fast=True)
        instrument = self._desk.catalogue.get(position.instrument_key)
        with ui.element("div").classes("v-row v-exposure") as row:
            row.props('tabindex="0" aria-selected="false"')
            row.mark(marker("card", position.instrument_key))
            row._props["data-key"] = position.instrument_key
            side = words.side(position)
            ui.label(side[0]).classes(f"v-side v-{side.lower()}")
            with ui.element("div").classes("v-name e-name"):
                ui.label(order_words.title(instrument, position.instrument_key))
                self._draw_chips(position)
            group.cell("lots", "n e-lots")
            group.cell("ltp", "n price flash e-ltp")
            price_badge(group, row).classes("e-badge")
            group.cell("total", "n toned e-total").mark("card-total")
            button = ui.button("Exit", color=None).props("outline dense no-caps").mark("exit")
            button.classes("v-exit").on("click.stop", partial(self._exit, key), [])
            group.cell("note", "v-position-note e-note")

    def _draw_chips(self, position: Position) -> None:
        desk = self._desk
        instrument = desk.catalogue.get(position.instrument_key)
        accounts = [state.account for state in desk.accounts.all()]
        for chip in words.chips(position, instrument, words.today(desk.clock.now()), accounts):
            label = ui.label(chip.text).classes("v-chip" + (" v-warns" if chip.warns else ""))
            label._props["title"] = chip.title

    def _exit(self, key: Key) -> None:
        position = self._desk.positions.get(*key)
        if position is not None and position.quantity:
            open_exit(self._page, self._desk, self._tab, [position])


class WorkingOrders:
    """What can still be filled, the newest first; at most a few, the rest on its own page."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk, self._tab = desk, tab
        self._lines: dict[str, _OrderLine] = {}
        with ui.element("section").classes("v-panel v-working") as box:
            box.props('aria-label="working orders"')
            Undo(desk.orders.changes.subscribe(self._moved))
            with ui.element("a").classes("v-exposures-head").props('href="/orders"'):
                self._title = ui.label("").classes("v-title").mark("working-count")
                ui.label("all orders ▸").classes("v-faint")
            self._body = ui.element("div")
            self._empty = ui.label(NO_ORDER).classes("v-empty")
        self._arrange()

    def _moved(self, moved: OrderMoved) -> None:
        line = self._lines.get(moved.after.id)
        if line is not None and not moved.after.status.final:
            line.show(moved.after)
        else:
            self._arrange()

    def _arrange(self) -> None:
        working = self._desk.orders.working()
        self._title.set_text(f"Working orders{_count(len(working), ORDERS, 'newest')}")
        self._empty.set_visibility(not working)
        newest = working[::-1][:ORDERS]
        wanted = {order.id for order in newest}
        for gone in self._lines.keys() - wanted:
            self._lines.pop(gone).box.delete()
        for place, order in enumerate(newest):
            if order.id not in self._lines:
                with self._body:
                    self._lines[order.id] = _OrderLine(self._desk, self._tab, order)
                self._lines[order.id].box.move(target_index=place)


class _OrderLine:
    def __init__(self, desk: Desk, tab: Tab, order: Order) -> None:
        self._desk, self._tab, self._id = desk, tab, order.id
        live, request = tab.live, order.request
        instrument = desk.catalogue.get(request.instrument_key)
        with ui.element("div").classes("v-row v-working-row") as self.box:
            self.box.mark(f"working-{order.id}")
            self.box._props["data-key"] = request.instrument_key
            ui.label(request.side[0]).classes(f"v-side v-{request.side.lower()}")
            name = ui.label(order_words.title(instrument, request.instrument_key))
            name.classes("v-name e-name")
            self._lots = Cell(live, "n e-lots").mark("working-lots")
            self._price = Cell(live, "n e-ltp")
            self._status = Cell(live, "status e-badge")
            self._age = Age(live, "va e-total")
            self._button(self._cancel)
        self._age.start(desk.clock.monotonic() - (desk.clock.now() - order.created).total_seconds())
        self.show(order)

    def _button(self, act: Callable[[], object]) -> None:
        button = ui.button("Cancel", color=None).props("outline dense no-caps").mark("cancel-order")
        button.classes("v-cancel").on("click.stop", act, [])
        self._act = button

    def show(self, order: Order) -> None:
        instrument = self._desk.catalogue.get(order.request.instrument_key)
        self._lots.show(Shown(order_words.quantity(order.request.quantity, instrument)))
        self._price.show(order_words.price_cell(order.request))
        self._status.show(order_words.status(order))
        self._act.set_visibility(bool(order.children))

    async def _cancel(self) -> None:
        self._act.set_visibility(False)  # until it is known what came of it
        text = await cancel(self._desk, self._id)
        known = self._desk.orders.get(self._id)
        if known is not None and not self.box.is_deleted:
            self.show(known)
        self._tab.say(text)


def _count(count: int, most: int, which: str) -> str:
    """Return how many there are, and that only some of them are shown: ` (7, the 5 largest)`."""
    if count > most:
        return f" ({count}, the {most} {which})"
    return f" ({count})" if count else ""
