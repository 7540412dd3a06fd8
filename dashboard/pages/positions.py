"""Positions: what is open, what it is worth and how far that is to be believed, and the way out."""

from datetime import datetime
from functools import partial
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard import position_words as words
from dashboard.books_view import BooksView, failed_words
from dashboard.exits import open_exit
from dashboard.fields import Choice
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Cell, Facts
from dashboard.pnl_curve import PnlCurve
from dashboard.position_table import PositionTable
from dashboard.position_words import Grouping
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.order import AccountState

PATH = "/positions"
TITLE = "Positions"
ICON = "account_balance_wallet"
ORDER = 3

OPEN: Final = "open"
CLOSED: Final = "closed"
BOOKS: Final = "books"
TABS: Final = {OPEN: "Open", CLOSED: "Closed today", BOOKS: "Books"}
PARTS: Final = (("Realised", "realised", "sure"), ("Unrealised", "unrealised", "price"))
NO_FUNDS: Final = "the broker has not told the funds"


def build(desk: Desk, tab: Tab) -> None:
    with ui.element("div").classes("v-positions") as page:
        _Head(desk, tab)
        with ui.element("section").classes("v-panel v-list").props('aria-label="positions"'):
            _Views(desk, tab, page)
        with ui.element("section").classes("v-panel v-pnl-panel"):
            PnlCurve(desk, tab)


class _Head:
    """The day's P&L, its two parts and the funds: pinned on top on a phone."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk = desk
        total = tab.live.group(tab.ledger.total, fast=True)
        with ui.element("section").classes("v-panel v-totals").props('aria-label="day P&L"') as box:
            with ui.element("div").classes("v-total-main"):
                ui.label("Day P&L").classes("v-faint")
                total.cell("total", "n price toned v-total").mark("total")
                total.badge("trust", full=True).marks(box)
            for heading, name, classes in PARTS:
                with ui.element("div"):
                    ui.label(heading).classes("v-faint")
                    total.cell(name, f"n toned {classes}").mark(f"total-{name}")
            funds = tab.live.group(self._funds)
            for heading, name in (("Margin used", "used"), ("Free", "available")):
                with ui.element("div").classes("v-funds"):
                    with ui.element("div").classes("v-faint"):
                        ui.label(heading).classes("v-inline")
                        if name == "used":
                            funds.cell("asked", "n").mark("funds-asked")
                    funds.cell(name, "n").mark(f"funds-{name}")

    def _funds(self) -> Facts:
        return funds_facts(self._desk.accounts.all(), self._desk.clock.now())


def funds_facts(states: list[AccountState], now: datetime) -> Facts:
    """Return the funds of all accounts, and when the oldest of them was told.

    They are unknown if one of them is, for a part is not the whole.
    """
    known = [state.funds for state in states if state.funds is not None]
    if len(known) < len(states):
        why = next((s.reason for s in states if s.funds is None and s.reason), NO_FUNDS)
        unknown = Shown(fmt.DASH, Tone.NONE, why)
        return {"used": unknown, "available": unknown, "asked": ""}
    asked = [state.checked for state in states if state.checked is not None]
    return {
        "used": fmt.rupees(sum(f.used for f in known)),
        "available": fmt.rupees(sum(f.available for f in known)),
        "asked": f" as of {fmt.moment(min(asked), now)}" if asked else "",
    }


class _Views:
    """The tabs: open, closed today, books; only the chosen one is drawn."""

    def __init__(self, desk: Desk, tab: Tab, page: Element) -> None:
        self._desk, self._tab = desk, tab
        self._exit = partial(open_exit, page, desk, tab)
        self._buttons: dict[str, Element] = {}
        self._counts: dict[str, Cell] = {}
        self._grouping = Grouping.NONE
        self._filter = ""
        self._table: PositionTable | None = None
        with ui.element("div").classes("v-tabs").props('role="tablist"'):
            Undo(desk.positions.changes.subscribe(lambda _: self._count()))
            for name, title in TABS.items():
                self._button(name, title)
            ui.element("div").classes("v-space")
            with ui.element("div").classes("v-exits") as self._exits:
                self._draw_exits()
        self._draw_tools()
        self._draw_trouble()
        self._body = ui.element("div").classes("v-tab-body")
        self._count()
        self.show(OPEN)

    def _button(self, name: str, title: str) -> None:
        with ui.element("button").classes("v-tab").props('type="button" role="tab"') as button:
            button.mark(f"tab-{name}")
            ui.label(title)
            self._counts[name] = Cell(self._tab.live, "n", Shown(""))
        button.on("click", lambda: self.show(name), [])
        self._buttons[name] = button

    def _draw_exits(self) -> None:
        self._some = ui.button("Exit selected", on_click=self._exit_selected, color=None)
        self._some.props("outline dense no-caps").mark("exit-selected")
        self._all = ui.button("Exit all", on_click=self._exit_all, color=None)
        self._all.props("outline dense no-caps").mark("exit-all")

    def _draw_tools(self) -> None:
        with ui.element("div").classes("v-tools-row") as self._tools:
            Choice("groups", words.GROUPINGS, self._grouping, self._group_by, name="group")
            box = ui.input(placeholder="Filter", on_change=lambda e: self._keep(e.value or ""))
            box.props('dense outlined debounce=200 clearable aria-label="filter"').mark("filter")

    def _draw_trouble(self) -> None:
        """Say above the table when the broker's books could not be read: nothing is hidden."""
        trouble = self._tab.live.group(self._trouble)
        with ui.element("div").classes("v-trouble").props('role="status"'):
            trouble.cell("words").mark("trouble")

    def _trouble(self) -> Facts:
        desk, said = self._desk, []
        for state in desk.accounts.all():
            books = desk.positions.books(state.account.id)
            words_ = failed_words(books, desk.clock.now())
            if words_ or books.checked is None:
                name = f"{state.account.name}: " if len(desk.accounts.all()) > 1 else ""
                said.append(name + (words_ or "the broker's books have not been read yet"))
        return {"words": Shown(f"✖ {'; '.join(said)}" if said else "", Tone.BAD)}

    # the tabs

    def show(self, name: str) -> None:
        for other, button in self._buttons.items():
            button.props(f'aria-selected="{str(other == name).lower()}"')
        self._tools.set_visibility(name != BOOKS)
        self._exits.set_visibility(name == OPEN)
        self._body.clear()
        self._table = None
        self._selected(0)
        with self._body:
            if name == BOOKS:
                BooksView(self._desk, self._tab)
                return
            self._table = PositionTable(
                self._desk,
                self._tab,
                is_open=name == OPEN,
                exit_=self._exit,
                selected=self._selected,
            )
        if self._grouping is not Grouping.NONE:
            self._table.group_by(self._grouping)
        if self._filter:
            self._table.keep(self._filter)

    def _count(self) -> None:
        positions = self._desk.positions.positions()
        held = sum(p.quantity != 0 for p in positions)
        counts = {OPEN: held, CLOSED: len(positions) - held}
        for name, count in counts.items():
            self._counts[name].show(Shown(str(count) if count else ""))
        self._all.set_enabled(held > 0)
        apart = [s for s in self._desk.accounts.all() if self._desk.positions.differs(s.account.id)]
        self._counts[BOOKS].show(Shown("✖" if apart else "", Tone.BAD))

    # the tools

    def _group_by(self, grouping: Grouping) -> None:
        self._grouping = grouping
        if self._table is not None:
            self._table.group_by(grouping)

    def _keep(self, text: str) -> None:
        self._filter = text
        if self._table is not None:
            self._table.keep(text)

    def _selected(self, count: int) -> None:
        self._some.set_text(f"Exit selected ({count})" if count else "Exit selected")
        self._some.set_enabled(count > 0)

    def _exit_selected(self) -> None:
        if self._table is not None:
            self._table.exit_selected()

    def _exit_all(self) -> None:
        if self._table is not None:
            self._table.exit_all()
