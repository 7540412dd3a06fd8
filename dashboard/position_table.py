"""The table of positions: rows in groups with subtotals; only fills add, move or remove a row."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nicegui import background_tasks, ui
from nicegui.element import Element

from dashboard import order_words
from dashboard import position_words as words
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import BackedBadge, Facts, Group
from dashboard.position_words import Grouping, Key
from dashboard.search import marker
from trading.desk import Desk
from trading.model import Instrument
from trading.positions import Position, PositionMoved

Exit = Callable[[Sequence[Position]], None]  # opens the review of closing these
HEADINGS: Final = (
    "", "Instrument", "Lots (units)", "Avg", "LTP", "", "Realised", "Unrealised", "%", "P&L", "",
)  # fmt: skip
AT_ONCE: Final = 16  # rows
BETWEEN: Final = 0.02  # seconds that others have before the next ones are drawn
EMPTY_OPEN: Final = (
    "Nothing is open. Choose an instrument on Now and press B or S, or take a basket's template."
)
EMPTY_CLOSED: Final = "Nothing was closed today."
NO_FIT: Final = "No position fits the filter."


def price_badge(group: Group, row: Element) -> BackedBadge:
    """Draw the badge of a position's price, and let the row's style follow it."""
    badge = group.badge("trust")
    badge.marks(row)
    return badge


class PositionRow:
    """One position. Its numbers travel in the patches; nothing of it is drawn twice."""

    def __init__(self, desk: Desk, tab: Tab, position: Position, table: "PositionTable") -> None:
        self._desk, self._tab, self._table = desk, tab, table
        self.key = words.key_of(position)
        self.instrument = desk.catalogue.get(position.instrument_key)
        self._drawn = self._looks_of(position)
        self.box = ui.element("div").classes("v-position")
        self.box.mark(marker("position", position.instrument_key))
        with self.box:
            self._draw(position)

    def is_drawn_for(self, position: Position) -> bool:
        """Return whether a change shows in the cells alone."""
        return self._looks_of(position) == self._drawn

    def _looks_of(self, position: Position) -> tuple[object, ...]:
        return (words.side(position), position.quantity == 0, tuple(self._chips(position)))

    def _chips(self, position: Position) -> list[words.Chip]:
        accounts = [state.account for state in self._desk.accounts.all()]
        day = words.today(self._desk.clock.now())
        return words.chips(position, self.instrument, day, accounts)

    def _draw(self, position: Position) -> None:
        group = self._tab.live.group(lambda: self._tab.ledger.row(self.key), fast=True)
        is_open = position.quantity != 0
        with ui.element("div").classes("v-row v-position-row") as row:
            row.props('role="row" tabindex="0" aria-selected="false"')
            row._props["data-key"] = position.instrument_key
            self._row = row
            self._draw_check(is_open)
            self._draw_name(position)
            group.cell("lots", "n p-lots").mark("lots")
            group.cell("average", "n p-avg").mark("average")
            group.cell("ltp", "n price flash p-ltp").mark("ltp")
            price_badge(group, row).mark("badge")
            group.cell("realised", "n toned sure p-realised").mark("realised")
            group.cell("unrealised", "n toned p-unrealised").mark("unrealised")
            group.cell("percent", "n toned p-percent").mark("percent")
            group.cell("total", "n toned p-total").mark("row-total")
            if is_open:
                self._draw_exit()
        group.cell("note", "v-position-note").mark("note")
        row.on("click", lambda: self._table.choose(self.key), [])

    def _draw_check(self, is_open: bool) -> None:
        """Draw the box that selects; one plain element, for there may be hundreds of rows."""
        self._check = ui.element("button" if is_open else "span").classes("p-check").mark("select")
        if is_open:
            self._check.props('type="button" role="checkbox"')
            title = order_words.title(self.instrument, self.key[1])
            self._check._props["aria-label"] = f"select {title}"
            self._check.on("click.stop", self._toggle, [])
            self.tick(self.key in self._table.selected)

    def tick(self, chosen: bool) -> None:
        self._check.props(f'aria-checked="{str(chosen).lower()}"')

    def _toggle(self) -> None:
        self._table.select(self.key, self.key not in self._table.selected)

    def _draw_name(self, position: Position) -> None:
        with ui.element("div").classes("v-name p-name") as name:
            name._props["title"] = position.instrument_key
            if position.quantity:
                side = words.side(position)
                ui.label(side[0]).classes(f"v-side v-{side.lower()}")
            ui.label(order_words.title(self.instrument, position.instrument_key))
            for chip in self._chips(position):
                label = ui.label(chip.text).classes("v-chip" + (" v-warns" if chip.warns else ""))
                label._props["title"] = chip.title

    def _draw_exit(self) -> None:
        button = ui.element("button").props('type="button"').classes("v-plain v-exit").mark("exit")
        button._text = "Exit"
        button.on("click.stop", lambda: self._table.exit([self.key]), [])

    def choose(self, chosen: bool) -> None:
        self._row.props(f'aria-selected="{str(chosen).lower()}"')


class _GroupBox:
    """The rows of one group under their subtotal; without a name only the rows."""

    def __init__(self, table: "PositionTable", tab: Tab, name: str, is_open: bool) -> None:
        self.keys: list[Key] = []
        self.box = ui.element("div").classes("v-group").props('role="rowgroup"')
        with self.box:
            if name:
                self._draw_head(table, tab, name, is_open)
            self.rows = ui.element("div")

    def _draw_head(self, table: "PositionTable", tab: Tab, name: str, is_open: bool) -> None:
        group = tab.live.group(lambda: tab.ledger.sum(self.keys), fast=True)
        with ui.element("div").classes("v-group-head v-position-row") as head:
            head.mark(f"group-{name.replace(' ', '_')}")
            ui.element("div").classes("p-check")
            ui.label(name).classes("p-name")
            price_badge(group, head).classes("p-worst").mark("group-badge")
            group.cell("realised", "n toned sure p-realised").mark("group-realised")
            group.cell("unrealised", "n toned p-unrealised").mark("group-unrealised")
            group.cell("total", "n toned p-total").mark("group-total")
            with ui.element("div").classes("p-acts"):
                if is_open:
                    button = ui.button("Exit group", color=None).props("outline dense no-caps")
                    button.on("click", lambda: table.exit(list(self.keys)), [])
                    button.classes("v-exit-group").mark("exit-group")


class PositionTable:
    """The open positions, or those that were closed today."""

    def __init__(
        self, desk: Desk, tab: Tab, *, is_open: bool, exit_: Exit, selected: Callable[[int], None]
    ) -> None:
        """`selected` is told how many rows are ticked."""
        self.selected: set[Key] = set()
        self._desk, self._tab, self._is_open = desk, tab, is_open
        self._exit, self._told = exit_, selected
        self._grouping = Grouping.NONE
        self._filter = ""
        self._rows: dict[Key, PositionRow] = {}
        self._groups: dict[str, _GroupBox] = {}
        self._chosen: Key | None = None
        self._waiting = False
        with ui.element("div").classes("v-table v-positions-table").props('role="grid"'):
            Undo(desk.positions.changes.subscribe(self._moved))
            with ui.element("div").classes("v-head v-position-row").props('role="row"'):
                for heading in HEADINGS:
                    ui.label(heading).props('role="columnheader"')
            self._body = ui.element("div").classes("v-rows").mark("positions-body")
            self._tab.live.group(self._said).cell("empty", "v-empty").mark("no-positions")
        self._arrange()

    # what the page asks for

    def group_by(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._body.clear()
        self._rows, self._groups = {}, {}
        self._arrange()

    def keep(self, text: str) -> None:
        """Show only what fits a filter; what is hidden is not selected either."""
        self._filter = text
        self._arrange()

    # what its rows ask for

    def exit(self, keys: Sequence[Key]) -> None:
        """Open the review for what is still open of these."""
        found = [p for key in keys if (p := self._desk.positions.get(*key)) and p.quantity]
        if found:
            self._exit(found)

    def exit_selected(self) -> None:
        self.exit([key for key in self._rows if key in self.selected])

    def exit_all(self) -> None:
        """Review all that are open, hidden ones included: all means all."""
        self.exit([words.key_of(p) for p in self._desk.positions.positions() if p.quantity])

    def select(self, key: Key, chosen: bool) -> None:
        if chosen:
            self.selected.add(key)
        else:
            self.selected.discard(key)
        if key in self._rows:
            self._rows[key].tick(chosen)
        self._told(len(self.selected))

    def choose(self, key: Key) -> None:
        before, self._chosen = self._chosen, None if key == self._chosen else key
        for known in {before, self._chosen} - {None}:
            if known in self._rows:
                self._rows[known].choose(known == self._chosen)

    # arranging

    def _moved(self, moved: PositionMoved) -> None:
        key = words.key_of(moved.after)
        row = self._rows.get(key)
        position = self._desk.positions.get(*key)
        stays = row is not None and position is not None and self._keeps(position)
        if row is not None and position is not None and stays and row.is_drawn_for(position):
            return  # its cells follow by themselves
        self._arrange()

    def _keeps(self, position: Position) -> bool:
        if (position.quantity != 0) is not self._is_open:
            return False
        return words.fits(position, self._instrument(position), self._filter)

    def _instrument(self, position: Position) -> Instrument | None:
        return self._desk.catalogue.get(position.instrument_key)

    def _arrange(self) -> None:
        """Make the rows those of the positions; what is there already stays as it is.

        At most so many are drawn in one turn of the loop: it has prices to carry meanwhile.
        """
        kept = [p for p in self._desk.positions.positions() if self._keeps(p)]
        kept.sort(key=lambda p: words.order(p, self._instrument(p)))
        wanted = {words.key_of(p): p for p in kept}
        for key, row in list(self._rows.items()):
            if key not in wanted or not row.is_drawn_for(wanted[key]):
                row.box.delete()
                del self._rows[key]
        grouped: dict[str, list[Position]] = {}
        for position in kept:
            name = words.group(position, self._instrument(position), self._grouping)
            grouped.setdefault(name, []).append(position)
        self._drop_groups(set(grouped))
        allowed = AT_ONCE
        for place, (name, positions) in enumerate(grouped.items()):
            allowed = self._fill_group(name, positions, place, allowed)
        if len(self._rows) < len(wanted):
            self._go_on()
        for key in self.selected - set(wanted):
            self.select(key, False)

    def _drop_groups(self, wanted: set[str]) -> None:
        for name in self._groups.keys() - wanted:
            self._groups.pop(name).box.delete()

    def _fill_group(
        self, name: str, positions: Sequence[Position], place: int, allowed: int
    ) -> int:
        """Draw at most `allowed` new rows; return how many more may be drawn."""
        group = self._groups.get(name)
        if group is None:
            with self._body:
                group = self._groups[name] = _GroupBox(self, self._tab, name, self._is_open)
        _put(group.box, self._body, place)
        group.keys[:] = [words.key_of(p) for p in positions]
        number = 0
        for position in positions:
            key = words.key_of(position)
            if key not in self._rows and allowed:
                allowed -= 1
                with group.rows:
                    self._rows[key] = PositionRow(self._desk, self._tab, position, self)
            if key in self._rows:
                _put(self._rows[key].box, group.rows, number)
                number += 1
        return allowed

    def _go_on(self) -> None:
        if not self._waiting:
            self._waiting = True
            background_tasks.create(self._rest(), name="rows of positions", context=self._body)

    async def _rest(self) -> None:
        await asyncio.sleep(BETWEEN)
        self._waiting = False
        if not self._body.is_deleted:
            self._arrange()

    def _said(self) -> Facts:
        """Say why there is no row, if there is none."""
        if self._rows:
            return {"empty": ""}
        if self._filter:
            return {"empty": NO_FIT}
        if not self._is_open:
            return {"empty": EMPTY_CLOSED}
        accounts = self._desk.accounts.all()
        books = [self._desk.positions.books(state.account.id) for state in accounts]
        return {"empty": words.unread(books) or EMPTY_OPEN}


def _put(element: Element, parent: Element, place: int) -> None:
    children = parent.default_slot.children
    if place >= len(children) or children[place] is not element:
        element.move(target_index=place)
