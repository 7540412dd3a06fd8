"""What is known of one component besides its row: figures, latency, gaps of today, its log."""

from collections.abc import Callable, Sequence
from datetime import datetime, time
from typing import Final

from nicegui import background_tasks, ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard import health, health_words
from dashboard.acts import slug
from dashboard.frame import Tab
from dashboard.latency_chart import LatencyCharts
from dashboard.live import Cell, Group
from dashboard.log_lines import LogTail
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Component, ComponentHealth
from trading.hours import IST
from trading.model import Gap

FEED: Final = (
    ("State", "state"),
    ("Because", "reason"),
    ("Since", "since"),
    ("Backoff", "backoff"),
    ("Last sign of life", "frame_age"),
    ("Last price", "tick_age"),
    ("Messages", "frame_rate"),
    ("Ticks", "tick_rate"),
    ("Received", "byte_rate"),
    ("Latency p50 / p95 / p99", "latency"),
    ("Clock, exchange minus ours", "clock_skew"),
    ("Connections / reconnects", "connections"),
    ("Decode errors", "decode_errors"),
    ("Bad prices", "bad_prices"),
    ("Dropped in our inbox", "dropped"),
    ("Duplicate frames", "duplicate_frames"),
    ("Not asked for", "unasked"),
    ("No data", "missing"),
)
STREAM: Final = (
    ("State", "state"),
    ("Because", "reason"),
    ("Since", "since"),
    ("Backoff", "backoff"),
    ("Last sign of life", "frame_age"),
    ("Last update", "tick_age"),
    ("Books last read", "read"),
    ("Connections / reconnects", "connections"),
    ("Decode errors", "decode_errors"),
    ("Dropped in our inbox", "dropped"),
)
GENERAL: Final = (
    ("Since", "since"),
    ("Messages, last minute", "minute"),
    ("Messages, last hour", "hour"),
    ("Errors, last hour", "errors"),
    ("What p50 / p95 / p99 measure", "measures"),
)
GAPS: Final = ("From", "To", "For", "Instruments", "Ticks missed", "Filled with", "Because")
NO_GAP: Final = "No gap today."


class Details:
    """Belongs to an open row; the gaps are read from the disk once, when it is opened."""

    def __init__(self, desk: Desk, tab: Tab, of: ComponentHealth, acts: Callable[[], None]) -> None:
        self._desk, self._tab = desk, tab
        self._cells: dict[str, Cell] = {}
        self._moving: list[LatencyCharts | LogTail] = []
        with ui.element("div").classes("h-details").mark(f"details-of-{slug(of.name)}") as box:
            with ui.element("div").classes("h-detail-acts"):
                acts()
            with ui.element("div").classes("v-facts-list"):
                for title, name in GENERAL:
                    ui.label(title)
                    self._cells[name] = Cell(tab.live, "n", Shown(""))
                    self._cells[name].mark(f"{slug(of.name)}-{name}")
            feed = self._figures(of)
            self._latencies(of)
            if feed:
                self._gaps = ui.element("div").classes("h-gaps")
            self._log(of)
        if feed:
            background_tasks.create(self._load(feed), name="gaps of today", context=box)
        self.show(of)

    def show(self, of: ComponentHealth) -> None:
        now = self._desk.clock.now()
        measures = of.latency_of or fmt.DASH
        shown = {
            "since": Shown(fmt.moment(of.since, now) if of.since else fmt.DASH),
            "minute": Shown(fmt.whole(of.strip[-1].messages) if of.strip else fmt.DASH),
            "hour": Shown(fmt.whole(sum(m.messages for m in of.strip)) if of.strip else fmt.DASH),
            "errors": Shown(fmt.whole(sum(m.errors for m in of.strip)) if of.strip else fmt.DASH),
            "measures": Shown(measures),
        }
        for name, cell in self._cells.items():
            cell.show(shown[name])
        for part in self._moving:
            part.show(now)

    def _figures(self, of: ComponentHealth) -> str:
        """Draw the figures of a feed; return its name, empty for what is none."""
        desk, live = self._desk, self._tab.live
        if of.component is Component.MARKET_FEED:
            group = live.group(lambda: health.told_facts(desk.feed.stats(), desk.clock))
            _list("feed", group, FEED)
            return desk.feed.name
        if of.component is Component.PORTFOLIO and of.about in desk.portfolio_feeds:
            group = live.group(lambda: health.stream_facts(desk, of.about))
            _list(f"stream-{of.about}", group, STREAM)
            return desk.portfolio_feeds[of.about].name
        return ""

    def _latencies(self, of: ComponentHealth) -> None:
        room = self._desk.watch
        if of.component is Component.MARKET_FEED and room is not None and room.latencies:
            self._moving.append(LatencyCharts(room.latencies, self._desk.started))

    def _log(self, of: ComponentHealth) -> None:
        room = self._desk.watch
        if room is not None and room.log is not None:
            self._moving.append(LogTail(room.log, of.component, of.about, slug(of.name)))

    async def _load(self, feed: str) -> None:
        now = self._desk.clock.now()
        since = datetime.combine(now.astimezone(IST).date(), time(), IST)
        ledger = self._desk.watch.gaps if self._desk.watch else self._desk.journal
        try:
            found = await ledger.gaps(feed, since=since, until=now)
        except VigilError as error:
            self._tell(f"The gaps of today could not be read: {error}.")
            return
        if not found:
            self._tell(NO_GAP)
        elif not self._gaps.is_deleted:
            with self._gaps:
                gap_table(found, now)

    def _tell(self, text: str) -> None:
        if not self._gaps.is_deleted:
            with self._gaps:
                ui.label(text).classes("v-note").mark("gaps-note")


def gap_table(gaps: Sequence[Gap], now: datetime) -> Element:
    """Draw the holes of a feed, newest first."""
    with ui.element("table").classes("h-table").props('aria-label="gaps"').mark("gaps") as table:
        with ui.element("thead"), ui.element("tr"):
            for heading in GAPS:
                with ui.element("th").props('scope="col"'):
                    ui.label(heading)
        with ui.element("tbody"):
            for gap in reversed(gaps):
                with ui.element("tr"):
                    for heading, shown in zip(GAPS, gap_cells(gap, now), strict=True):
                        table_cell(heading, shown)
    return table


def gap_cells(gap: Gap, now: datetime) -> tuple[Shown, ...]:
    unknown = "not counted" if gap.end else "counted when it has ended"
    return (
        Shown(fmt.moment(gap.start, now)),
        Shown(fmt.moment(gap.end, now) if gap.end else "still open"),
        Shown(health_words.gap_length(gap, now)),
        health_words.counted(gap.instruments, unknown),
        health_words.ticks_missed(gap.ticks_missed),
        health_words.gap_filled(gap),
        Shown(gap.reason),
    )


def table_cell(heading: str, shown: Shown) -> None:
    """Draw one cell of a table that does not move; on a phone it says its heading itself."""
    with ui.element("td") as cell:
        cell._props["data-h"] = heading
        label = ui.label(shown.text).classes("status n")
        label._props["data-tone"] = int(shown.tone)
        if shown.title:
            label._props["title"] = shown.title


def _list(name: str, group: Group, facts: Sequence[tuple[str, str]]) -> None:
    with ui.element("div").classes("v-facts-list h-figures"):
        for title, fact in facts:
            ui.label(title)
            group.cell(fact, "n").mark(f"{name}-{fact}")
