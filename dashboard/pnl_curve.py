"""The day's P&L as a curve: what is known, holes where it was not, gaps of the feed, the fills."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import nicegui.elements.echart  # noqa: F401  (pnl.js imports the ECharts that it brings)
from nicegui import background_tasks, ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard import light as lights
from dashboard import order_words
from dashboard.chart import Window, window
from dashboard.frame import Tab
from dashboard.hold import Undo
from trading.desk import Desk
from trading.equity import Point, totals, with_holes
from trading.errors import VigilError
from trading.model import Gap
from trading.order import Fill, Side
from trading.ports import PnlPoint
from trading.positions import PositionMoved

EVERY: Final = 2.0  # seconds between two points that are added while the page is open
WRITTEN: Final = 0.6  # seconds after which a gap that has just begun or ended is on the disk
DONE: Final = {Side.BUY: "bought", Side.SELL: "sold"}

Mark = tuple[int, str, str]  # epoch ms, the side, what was filled


def bands(gaps: Iterable[Gap]) -> list[tuple[int, int | None]]:
    """Return the stretches without prices in epoch ms; None where it has not ended."""
    return [(_ms(gap.start), _ms(gap.end) if gap.end else None) for gap in gaps]


def marks(fills: Iterable[Fill], desk: Desk) -> list[Mark]:
    """Return the fills as they are marked: one of each order and second, in words."""
    found = []
    for fill in fills:
        instrument = desk.catalogue.get(fill.instrument_key)
        units = order_words.quantity(fill.quantity, instrument)
        name = order_words.title(instrument, fill.instrument_key)
        said = f"{DONE[fill.side]} {units} {name} at {fmt.price(fill.price)}"
        found.append((int(fill.at.timestamp() * 1000), str(fill.side), said))
    return found


class PnlCurve(Element, component="components/pnl.js"):
    """Draws in the browser, in the colours of the theme; `picture` is what it was last given."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        super().__init__()
        self.classes("v-pnl-box").mark("pnl-curve")
        self.picture: dict[str, object] | None = None
        self._desk, self._tab = desk, tab
        self._ready = False
        self.on("ready", self._on_ready)
        with self:
            Undo(desk.positions.changes.subscribe(self._moved))
            ui.timer(EVERY, self._grow)
        tab.live.chart(self, lambda: self._reload(WRITTEN))
        self._reload()

    def _reload(self, after: float = 0.0) -> None:
        if not self.is_deleted:
            background_tasks.create(self._load(after), name="P&L curve", context=self)

    async def _load(self, after: float) -> None:
        desk = self._desk
        await asyncio.sleep(after)
        shown = window(desk.hours, lights.header_segment(desk), desk.clock.now())
        points: list[PnlPoint] = []
        gaps: list[Gap] = []
        failed = ""
        try:
            for state in desk.accounts.all():
                account = state.account.id
                points += await desk.pnl.pnl(account, since=shown.start, until=desk.clock.now())
            gaps = await desk.journal.gaps(desk.feed.name, since=shown.start, until=shown.end)
        except VigilError as error:
            failed = f"the points of the day could not be read: {error}"
        if not self.is_deleted:
            self._show(shown, with_holes(totals(points)), gaps, failed)

    def _show(self, shown: Window, points: list[Point], gaps: Sequence[Gap], failed: str) -> None:
        start = shown.start_ms
        fills = [m for m in marks(self._desk.positions.fills(), self._desk) if m[0] >= start]
        first = [p[0] for p in points] + [m[0] for m in fills]
        if shown.trim and first:
            start = min(first)
        self.picture = {
            "from": start,
            "to": shown.end_ms,
            "points": points,
            "fills": fills,
            "gaps": bands(gaps),
            "failed": failed,
        }
        if self._ready:
            self.run_method("load", self.picture)

    def _grow(self) -> None:
        """Add what is known now; what is not is a hole here too."""
        if not self._ready or not self._desk.positions.positions():
            return
        value = self._desk.positions.total()
        whole = value.complete and value.total is not None and not value.closed
        at = self._now_ms()
        rupees = value.total / 100 if whole and value.total is not None else None
        self.run_method("point", at, rupees)

    def _moved(self, moved: PositionMoved) -> None:
        if self._ready:
            start = self.picture["from"] if self.picture else 0
            assert isinstance(start, int)
            found = marks(self._desk.positions.fills(), self._desk)
            self.run_method("mark", [m for m in found if m[0] >= start])

    def _now_ms(self) -> int:
        return _ms(self._desk.clock.now())

    def _on_ready(self) -> None:
        self._ready = True
        if self.picture is not None:
            self.run_method("load", self.picture)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
