"""The checklist before the market opens: as the desk ran it by itself, or run by hand."""

from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard.frame import Tab
from dashboard.live import Cell
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Check, Checked
from trading.health_ports import Watchroom

NOT_RUN: Final = (
    "Not run yet. It looks at the token, the calendar, the clock, the disk and the ways."
)


class Checklist:
    """What was found stays on the page until it is run again."""

    def __init__(self, desk: Desk, tab: Tab, room: Watchroom) -> None:
        self._desk, self._room = desk, room
        self._shown: Checked | None = None
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
        self.refresh()

    def refresh(self) -> None:
        """Show the last run, whoever asked for it; called a few times a second."""
        last = self._room.watch.checked()
        if last is not None and last != self._shown:
            self._shown = last
            self._show(last)

    async def _run(self) -> None:
        if self._running:
            return
        self._running = True
        self._button.disable()
        try:
            await self._room.watch.checklist()
        except VigilError as error:
            self._said.show(Shown(f"The checklist could not be run: {error}."))
            return
        finally:
            self._running = False
            if not self._button.is_deleted:
                self._button.enable()
        if not self._lines.is_deleted:
            self.refresh()

    def _show(self, last: Checked) -> None:
        self._verdict.show(words.check_summary(last.checks))
        at = fmt.moment(last.at, self._desk.clock.now())
        self._said.show(Shown(f"Run at {at}."))
        self._lines.clear()
        with self._lines:
            for check in sorted(last.checks, key=lambda each: (each.good, not each.grave)):
                _line(check)


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
