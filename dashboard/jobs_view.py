"""The scheduled jobs and the ways to a person, a row each; rows stay, their figures change."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard.acts import draw_test, slug
from dashboard.frame import Tab
from dashboard.live import Cell
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.health_ports import Watchroom

JOBS: Final = ("Job", "Next run", "Last took", "Runs", "Missed", "Failed")
CHANNELS: Final = ("Way", "State", "Waiting", "Sent", "Again", "Given up", "")

Line = tuple[Shown, ...]


class Lines:
    """A table whose rows are known by their names; a new name is a new row, none is rebuilt."""

    def __init__(
        self, tab: Tab, title: str, headings: Sequence[str], read: Callable[[], Mapping[str, Line]]
    ) -> None:
        self._tab, self._headings, self._read = tab, headings, read
        self._cells: dict[str, list[Cell]] = {}
        with ui.element("section").classes("v-panel v-card").props(f'aria-label="{title}"'):
            self.head = ui.element("div").classes("v-card-head")
            with self.head:
                ui.label(title).classes("v-title")
                ui.element("div").classes("v-space")
            with ui.element("table").classes("h-table"):
                with ui.element("thead"), ui.element("tr"):
                    for heading in headings:
                        with ui.element("th").props('scope="col"'):
                            ui.label(heading)
                self._body = ui.element("tbody")
        self.refresh()

    def refresh(self) -> None:
        for name, line in self._read().items():
            cells = self._cells.get(name)
            if cells is None:
                with self._body:
                    cells = self._cells[name] = self._row(name, len(line))
            for cell, shown in zip(cells, line, strict=True):
                cell.show(shown)

    def _row(self, name: str, width: int) -> list[Cell]:
        cells = []
        with ui.element("tr"):
            for place in range(width):
                with ui.element("td") as box:
                    box._props["data-h"] = self._headings[place]
                    cell = Cell(self._tab.live, "status n", Shown(""))
                    cells.append(cell)
                    heading = self._headings[place] or "words"
                    cell.mark(f"{slug(heading.lower())}-of-{slug(name)}")
        return cells


def job_lines(desk: Desk, room: Watchroom) -> dict[str, Line]:
    now = desk.clock.now()
    return {
        job.name: (
            Shown(job.name),
            words.due(job.next_run, now),
            words.ran(job),
            Shown(fmt.whole(job.runs)),
            words.wrong(job.missed, "runs that came too late and were left out"),
            words.wrong(job.failures, job.error),
        )
        for job in room.watch.jobs()
    }


def channel_lines(desk: Desk, room: Watchroom) -> dict[str, Line]:
    now = desk.clock.now()
    return {
        channel.name: (
            Shown(channel.name),
            words.channel_state(channel),
            words.wrong(channel.queued),
            Shown(fmt.whole(channel.sent)),
            words.wrong(channel.retried, "sendings that failed and were tried again"),
            words.wrong(channel.parked, "messages that cannot be delivered"),
            Shown(words.channel_words(channel, now), Tone.MUTED),
        )
        for channel in room.watch.channels()
    }


def jobs_card(desk: Desk, tab: Tab, room: Watchroom) -> Lines:
    return Lines(tab, "Jobs", JOBS, lambda: job_lines(desk, room))


def channels_card(desk: Desk, tab: Tab, room: Watchroom) -> Lines:
    lines = Lines(tab, "Ways to you", CHANNELS, lambda: channel_lines(desk, room))
    with lines.head:
        draw_test(room, tab.say)
    return lines
