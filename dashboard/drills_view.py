"""Fire drills: trouble made on purpose at the simulated exchange, and how the desk took it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard.acts import slug, told
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Age, Cell
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.health import DrillResult
from trading.health_ports import Drills

HEADINGS: Final = ("Detected", "Recovered", "Ticks lost", "Alerts", "Told")
TITLES: Final = (
    "seconds until the desk noticed",
    "seconds until a price arrived again",
    "prices that never came",
    "alerts that were sent",
    "seconds until the phone had it",
)

Start = Callable[[str], Awaitable[None] | None]


class DrillPanel:
    """One drill runs at a time; what became of the last run of each is its scorecard."""

    def __init__(self, desk: Desk, tab: Tab, drills: Drills) -> None:
        self._desk, self._tab, self._drills = desk, tab, drills
        self._rows: dict[str, DrillRow] = {}
        with ui.element("section").classes("v-panel h-panel").props('aria-label="fire drills"'):
            with ui.element("div").classes("v-card-head"):
                ui.label("Fire drills").classes("v-title")
                ui.label("SIMULATED").classes("v-chip h-simulated")
                ui.element("div").classes("v-space")
                self._stop = ui.button("Stop the drill", on_click=self._end, color=None)
                self._stop.props("outline no-caps").mark("drill-stop")
            ui.label(
                "Each makes a trouble at the simulated exchange and takes the time. "
                "No real order and no real account is touched."
            ).classes("v-note")
            with ui.element("div").classes("h-drills"):
                for name, does in drills.names():
                    self._rows[name] = DrillRow(desk, tab, name, does, self._ask)
            Undo(drills.changes.subscribe(lambda _: self.refresh()))
        self.refresh()

    def refresh(self) -> None:
        running, results = self._drills.running(), self._drills.results()
        for name, row in self._rows.items():
            under_way = running if running is not None and running.drill == name else None
            row.show(under_way or results.get(name), is_free=running is None)
        self._stop.set_visibility(running is not None)

    def _ask(self, name: str) -> Awaitable[None] | None:
        """Begin at once; only where positions are open their prices will be missed."""
        held = [p for p in self._desk.positions.positions() if p.quantity]
        if not held:
            return self._start(name)
        self._confirm(name, len(held))
        return None

    async def _start(self, name: str) -> None:
        await told(self._tab.say, self._drills.start(name), "")
        self.refresh()

    async def _end(self) -> None:
        await told(self._tab.say, self._drills.stop(), "The drill is stopped: all is set back.")
        self.refresh()

    def _confirm(self, name: str, held: int) -> None:
        with ui.dialog() as dialog, ui.card().classes("v-sheet v-review"):
            dialog.mark("drill-dialog").on("hide", dialog.delete)
            ui.label(f"SIMULATED drill: {name}").classes("v-title")
            open_ones = "1 position is open" if held == 1 else f"{held} positions are open"
            ui.label(
                f"{open_ones}, in the simulated account. While the drill lasts their prices may "
                "be old, and an order may go unanswered. No real money is in it."
            ).mark("drill-words")
            with ui.element("div").classes("v-review-foot"):
                leave = ui.button("Leave it", on_click=dialog.close, color=None)
                leave.props("flat no-caps autofocus")

                async def go() -> None:
                    dialog.close()
                    await self._start(name)

                start = ui.button("Start the drill", on_click=go, color=None)
                start.props("unelevated no-caps").classes("v-send").mark("drill-confirm")
        dialog.open()


class DrillRow:
    """The button of one drill, its stopwatch while it runs, and its scorecard."""

    def __init__(self, desk: Desk, tab: Tab, name: str, does: str, start: Start) -> None:
        self._desk = desk
        mark = slug(name)
        with ui.element("div").classes("h-drill").mark(f"drill-{mark}"):
            self._button = ui.button(fmt.capital(name), on_click=lambda: start(name), color=None)
            self._button.props("outline no-caps").classes("h-drill-start").mark(f"start-{mark}")
            self._button.tooltip(does)
            ui.label(does).classes("v-faint h-does")
            with ui.element("div").classes("h-verdict"):
                self._watch = Age(tab.live, "va h-stopwatch")
                self._watch.mark(f"stopwatch-{mark}")
                self._verdict = Cell(tab.live, "h-pill", Shown(""))
                self._verdict.mark(f"verdict-{mark}")
                self._when = Cell(tab.live, "v-faint n", Shown(""))
            self._scores = []
            with ui.element("div").classes("h-scores"):
                for heading, title in zip(HEADINGS, TITLES, strict=True):
                    with ui.element("div") as box:
                        box._props["title"] = title
                        ui.label(heading).classes("v-faint")
                        cell = Cell(tab.live, "n", Shown(fmt.DASH))
                        cell.mark(f"{slug(heading.lower())}-of-{mark}")
                        self._scores.append(cell)

    def show(self, result: DrillResult | None, *, is_free: bool) -> None:
        now = self._desk.clock.now()
        runs = result is not None and result.ended is None
        self._button.set_enabled(is_free)
        self._verdict.show(words.drill_verdict(result))
        self._watch.set_visibility(runs)
        if result is not None and runs:
            elapsed = (now - result.began).total_seconds()  # of the exchange's time
            self._watch.start(self._desk.clock.monotonic() - elapsed / self._desk.clock.rate)
        when = fmt.moment(result.ended, now) if result and result.ended else ""
        self._when.show(Shown(when))
        for cell, shown in zip(self._scores, scores(result), strict=True):
            cell.show(shown)


def scores(result: DrillResult | None) -> Sequence[Shown]:
    if result is None:
        return [Shown(fmt.DASH, Tone.MUTED, "not tried yet")] * len(HEADINGS)
    ended = result.ended is not None
    return (
        words.after(result.detected_after, ended=ended),
        words.after(result.recovered_after, ended=ended),
        words.counted(result.ticks_lost, "not counted" if ended else "not yet"),
        Shown(fmt.whole(result.alerts_sent)),
        words.after(result.told_after, ended=ended),
    )
