"""The day's P&L as a curve: what is known, holes where it was not, and the fills upon it."""

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
from trading.errors import VigilError
from trading.order import Fill, Side
from trading.ports import PnlPoint
from trading.positions import PositionMoved

EVERY: Final = 2.0  # seconds between two points that are added while the page is open
HOLE: Final = 30_000  # ms without a point: the desk was not running, or nothing was held
DONE: Final = {Side.BUY: "bought", Side.SELL: "sold"}

Point = tuple[int, float | None]  # epoch ms, rupees; None where it was not known
Mark = tuple[int, str, str]  # epoch ms, the side, what was filled


def totals(points: Iterable[PnlPoint]) -> list[Point]:
    """Add the accounts up, moment by moment; a moment that lacks a price is a hole."""
    at: dict[int, int | None] = {}
    for point in points:
        moment = int(point.at.timestamp() * 1000)
        known = None
        if point.complete and point.realised is not None and point.unrealised is not None:
            known = point.realised + point.unrealised
        before = at.get(moment, 0)
        at[moment] = None if known is None or before is None else before + known
    found = sorted(at.items())
    return [(moment, None if paise is None else paise / 100) for moment, paise in found]


def with_holes(points: Sequence[Point]) -> list[Point]:
    """Break the line where no point was kept for so long that nobody knows what was between."""
    made: list[Point] = []
    for point in points:
        if made and point[0] - made[-1][0] > HOLE:
            made.append((made[-1][0] + 1, None))
        made.append(point)
    return made


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
        tab.live.chart(self, self._reload)
        self._reload()

    def _reload(self) -> None:
        if not self.is_deleted:
            background_tasks.create(self._load(), name="P&L curve", context=self)

    async def _load(self) -> None:
        desk = self._desk
        shown = window(desk.hours, lights.header_segment(desk), desk.clock.now())
        points: list[PnlPoint] = []
        failed = ""
        try:
            for state in desk.accounts.all():
                account = state.account.id
                points += await desk.pnl.pnl(account, since=shown.start, until=desk.clock.now())
        except VigilError as error:
            failed = f"the points of the day could not be read: {error}"
        if not self.is_deleted:
            self._show(shown, with_holes(totals(points)), failed)

    def _show(self, shown: Window, points: list[Point], failed: str) -> None:
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
