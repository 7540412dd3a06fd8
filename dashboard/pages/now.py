"""Now: is all well and what are we in; below it the watchlist and the chosen instrument."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import background_tasks, ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard.chart import CandleChart, window
from dashboard.frame import Tab
from dashboard.hold import Hold, Undo
from dashboard.now_cards import DayCard, Exposures, WorkingOrders, state_strip
from dashboard.search import InstrumentSearch, marker
from dashboard.sheet import DEPTH
from trading.desk import Desk
from trading.errors import VigilError
from trading.model import Instrument, InstrumentType

PATH = "/"
TITLE = "Now"
ICON = "visibility"
ORDER = 1

WRITTEN: Final = 0.6  # seconds after which a gap that has just begun or ended is on the disk
# name of the field, heading, classes
COLUMNS: Final = (
    ("ltp", "LTP", "price flash"),
    ("change", "Change", "toned"),
    ("bid", "Bid", "price"),
    ("ask", "Ask", "price"),
    ("volume", "Vol", ""),
    ("oi", "OI", ""),
    ("low", "Low", ""),
    ("high", "High", ""),
)
OPTIONS: Final = (InstrumentType.CALL, InstrumentType.PUT)
FIGURES: Final = (
    ("Open", "open"),
    ("High", "high"),
    ("Low", "low"),
    ("Close", "close"),
    ("Volume", "volume"),
    ("OI", "oi"),
    ("Average", "average"),
    ("Last qty", "last_quantity"),
    ("Last trade", "last_time"),
    ("Buy qty", "total_buy"),
    ("Sell qty", "total_sell"),
)
GREEKS: Final = (
    ("IV", "iv"),
    ("Δ Delta", "delta"),
    ("Γ Gamma", "gamma"),
    ("Θ Theta", "theta"),
    ("Vega", "vega"),
    ("Rho", "rho"),
)


def build(desk: Desk, tab: Tab) -> None:
    with ui.element("div").classes("v-now") as page:
        state_strip(desk, tab)
        with ui.element("div").classes("v-account"):
            DayCard(desk, tab)
            with ui.element("div").classes("v-dealings"):
                Exposures(desk, tab, page)
                WorkingOrders(desk, tab)
        with ui.element("section").classes("v-panel v-list").props('aria-label="watchlist"'):
            InstrumentSearch(
                desk.catalogue,
                lambda instrument: _kept(tab.watchlist.add(instrument.instrument_key)),
                placeholder="Add an instrument: name, symbol or strike   ( / )",
            )
            rows = _Rows(desk, tab)
        detail = _Detail(desk, tab)
    rows.on_choice(detail.show)
    background_tasks.create(rows.fill(), name="watchlist", context=page)


class _Rows:
    """The watchlist as rows; a change made in any tab is a change here, nothing is rebuilt."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk = desk
        self._tab = tab
        self._rows: dict[str, Element] = {}
        self._chosen: str | None = None
        self._choice: Callable[[str | None], None] = lambda _: None
        self._hold = Hold(desk, "watchlist")
        Undo(tab.watchlist.changes.subscribe(self._changed))
        with ui.element("div").classes("v-table").props('role="grid"'):
            with ui.element("div").classes("v-head").props('role="row"'):
                for heading in ("Instrument", "", *(c[1] for c in COLUMNS)):
                    ui.label(heading).props('role="columnheader"')
            self._body = ui.element("div").classes("v-rows").props('role="rowgroup"')
            with self._body:
                self._skeleton = [ui.element("div").classes("v-row v-skeleton") for _ in range(4)]
        self._empty = ui.label(
            "Nothing is watched yet. Press / and type a name, a symbol or a strike to add it."
        ).classes("v-empty")
        self._empty.set_visibility(False)

    def on_choice(self, choice: Callable[[str | None], None]) -> None:
        self._choice = choice

    async def fill(self) -> None:
        keys = await self._tab.watchlist.load()
        if not self._body.is_deleted:  # the page may have been left meanwhile
            self._changed(keys)

    def _changed(self, keys: list[str]) -> None:
        for bone in self._skeleton:
            bone.delete()
        self._skeleton = []
        for key in self._rows.keys() - set(keys):
            self._rows.pop(key).delete()
        for place, key in enumerate(keys):
            if key not in self._rows:
                with self._body:
                    self._rows[key] = self._row(key)
            if self._body.default_slot.children.index(self._rows[key]) != place:
                self._rows[key].move(target_index=place)
        self._hold.want(keys)
        self._empty.set_visibility(not keys)
        if self._chosen not in keys:
            self.choose(keys[0] if keys else None)

    def _row(self, key: str) -> Element:
        live = self._tab.live
        instrument = self._desk.catalogue.get(key)
        with ui.element("div").classes("v-row") as row:
            row.props('role="row" tabindex="0" aria-selected="false"').mark(marker("row", key))
            row._props["data-key"] = key
            name = ui.label(instrument.title if instrument else key).classes("v-name")
            name.props('role="gridcell"').tooltip(
                key if instrument else f"{key}: not listed any more"
            )
            live.badge(key)
            for field, heading, classes in COLUMNS:
                cell = live.cell(key, field, f"{classes} f-{field}".strip())
                cell.props(f'role="gridcell" data-h="{heading}"').mark(marker(field, key))
        live.watch(key, row)
        row.on("click", lambda: self.choose(key), [])
        row.on("keydown.enter", lambda: self.choose(key), [])
        return row

    def choose(self, key: str | None) -> None:
        for other in (self._chosen, key):
            if other in self._rows:
                chosen = "true" if other == key else "false"
                self._rows[other].props(f'aria-selected="{chosen}"')
        self._chosen = key
        self._choice(key)


class _Detail:
    """The chosen instrument: candles, five levels of the book, what is known of it."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk = desk
        self._tab = tab
        self._key: str | None = None
        self._hold = Hold(desk, "chosen instrument")
        with ui.element("section").classes("v-panel v-detail").props('aria-label="chosen"'):
            self._head = ui.element("div").classes("v-detail-head")
            self._chart = CandleChart()
            self._facts = ui.element("div").classes("v-facts")

    def show(self, key: str | None) -> None:
        self._key = key
        self._hold.want([key] if key else [], deep=True)
        self._head.clear()
        self._facts.clear()
        self._chart.set_visibility(key is not None)
        if key is None:
            return
        instrument = self._desk.catalogue.get(key)
        with self._head:
            self._draw_head(key, instrument)
        with self._facts:
            self._draw_book(key, instrument)
            self._draw_figures(key, instrument)
        self._begin_load(key, after=0.0)

    def _begin_load(self, key: str, *, after: float) -> None:
        if key == self._key and not self._chart.is_deleted:
            work = self._load(key, after=after)
            background_tasks.create(work, name="candles", context=self._chart)

    def _draw_head(self, key: str, instrument: Instrument | None) -> None:
        live, watchlist = self._tab.live, self._tab.watchlist
        ui.label(instrument.title if instrument else key).classes("v-title").mark("chosen")
        with ui.element("div").classes("v-tools"):
            _button("arrow_upward", "Move up", "up", lambda: _kept(watchlist.move(key, -1)))
            _button("arrow_downward", "Move down", "down", lambda: _kept(watchlist.move(key, 1)))
            _button("close", "Remove from the list", "remove", lambda: _kept(watchlist.remove(key)))
        with ui.element("div").classes("v-big") as big:
            live.cell(key, "ltp", "price flash")
            live.cell(key, "points", "toned")
            live.cell(key, "change", "toned")
            live.badge(key, full=True)
        live.watch(key, big)

    def _draw_book(self, key: str, instrument: Instrument | None) -> None:
        if instrument and instrument.type is InstrumentType.INDEX:
            return  # nobody trades an index itself
        live = self._tab.live
        with ui.element("div").classes("v-book").props('role="table"') as book:
            for heading in ("Qty", "Bid", "Ask", "Qty"):
                ui.label(heading).classes("v-faint")
            for level in range(DEPTH):
                for name in ("bid_qty", "bid", "ask", "ask_qty"):
                    classes = "price" if name in ("bid", "ask") else ""
                    live.cell(key, f"{name}_{level}", classes)
        live.watch(key, book)

    def _draw_figures(self, key: str, instrument: Instrument | None) -> None:
        is_option = instrument is not None and instrument.type in OPTIONS
        figures = (*FIGURES, *GREEKS) if is_option else FIGURES
        with ui.element("div").classes("v-figures"):
            for heading, field in figures:
                with ui.element("div"):
                    ui.label(heading).classes("v-faint")
                    self._tab.live.cell(key, field)
            for heading, value in _contract(instrument):
                with ui.element("div"):
                    ui.label(heading).classes("v-faint")
                    ui.label(value).classes("n")

    async def _load(self, key: str, *, after: float) -> None:
        desk, chart = self._desk, self._chart
        await asyncio.sleep(after)
        segment = key.partition("|")[0]
        shown = window(desk.hours, segment, desk.clock.now())
        candles = await desk.journal.candles(key, since=shown.start_ms, until=shown.end_ms)
        gaps = await desk.journal.gaps(desk.feed.name, since=shown.start, until=shown.end)
        if key != self._key or chart.is_deleted:
            return  # another one was chosen while this was read
        current = desk.candles.current(key)
        if current:
            candles = [c for c in candles if c.start != current.start] + [current]
        chart.load(shown, candles, gaps)
        self._tab.live.bar(chart, key, lambda: self._begin_load(key, after=WRITTEN))


async def _kept(change: Awaitable[None]) -> None:
    """Tell the trader when the disk did not take a change of the list: it stays as it was."""
    try:
        await change
    except VigilError as error:
        words = f"The list stays as it was: {error}. Try again"
        ui.notify(words, type="negative", position="bottom-right")


def _contract(instrument: Instrument | None) -> list[tuple[str, str]]:
    if instrument is None:
        return []
    if instrument.type is InstrumentType.INDEX:
        return []  # it is not traded: no tick, no lot
    facts = [("Tick size", fmt.price(instrument.tick_size))]
    if instrument.lot_size > 0:
        facts.append(("Lot size", fmt.whole(instrument.lot_size)))
    if instrument.freeze_quantity > 0:
        facts.append(("Freeze qty", fmt.whole(instrument.freeze_quantity)))
    return facts


def _button(icon: str, words: str, marker: str, act: Callable[[], object]) -> None:
    button = ui.button(icon=icon, on_click=act, color=None).mark(marker)
    button.props(f'flat dense aria-label="{words}"').tooltip(words)
