"""The checklist before the market opens: run by hand, and by itself a quarter of an hour before."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard import light as lights
from dashboard.frame import Tab
from dashboard.live import Cell
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Check
from trading.health_ports import Watchroom
from trading.hours import Phase

BEFORE: Final = timedelta(minutes=15)
NOT_RUN: Final = (
    "Not run yet. It looks at the token, the calendar, the clock, the disk and the ways."
)


class Checklist:
    """What was found stays on the page until it is run again."""

    def __init__(self, desk: Desk, tab: Tab, room: Watchroom) -> None:
        self._desk, self._tab, self._room = desk, tab, room
        self._ran_for: datetime | None = None  # the opening that it was run for by itself
        self._running = False
        with ui.element("section").classes("v-panel h-panel").props('aria-label="checklist"'):
            with ui.element("div").classes("v-card-head"):
                ui.label("Before the open").classes("v-title")
                self._verdict = Cell(tab.live, "v-pill h-pill", Shown(""))
                self._verdict.mark("checklist-verdict")
                ui.element("div").classes("v-space")
                self._button = ui.button("Check now", on_click=self._run, color=None)
                self._button.props("outline no-caps").mark("checklist-run")
            self._said = Cell(tab.live, "v-note", Shown(NOT_RUN))
            self._said.mark("checklist-said")
            self._lines = ui.element("ul").classes("h-checks").mark("checks")

    async def refresh(self) -> None:
        """Run it once for each opening, if that is near; called a few times a second."""
        now = self._desk.clock.now()
        opens = opens_soon(self._desk, now)
        if opens is not None and opens != self._ran_for and not self._running:
            self._ran_for = opens
            await self._run()

    async def _run(self) -> None:
        if self._running:
            return
        self._running = True
        self._button.disable()
        try:
            checks = await self._room.watch.checklist()
        except VigilError as error:
            self._said.show(Shown(f"The checklist could not be run: {error}."))
            return
        finally:
            self._running = False
            if not self._button.is_deleted:
                self._button.enable()
        if not self._lines.is_deleted:
            self._show(checks)

    def _show(self, checks: Sequence[Check]) -> None:
        now = self._desk.clock.now()
        self._verdict.show(words.check_summary(checks))
        self._said.show(Shown(f"Run at {fmt.moment(now, now)}."))
        self._lines.clear()
        with self._lines:
            for check in sorted(checks, key=lambda each: (each.good, not each.grave)):
                _line(check)


def opens_soon(desk: Desk, now: datetime) -> datetime | None:
    """Return when the market opens, if that is within a quarter of an hour."""
    state = desk.hours.state(lights.header_segment(desk), now)
    opens = state.next_open
    if state.phase is Phase.OPEN or opens is None or opens - now > BEFORE:
        return None
    return opens


def _line(check: Check) -> None:
    mark = words.check_mark(check)
    with ui.element("li").classes("h-check"):
        glyph = ui.label(mark.text).classes("h-pill").props(f'title="{mark.title}"')
        glyph._props["data-tone"] = int(mark.tone)
        ui.label(check.name).classes("h-check-name")
        with ui.element("div"):
            ui.label(check.words)
            if check.fix and not check.good:
                ui.label(f"→ {check.fix}").classes("h-fix")
