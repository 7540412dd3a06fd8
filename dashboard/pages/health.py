"""Health: one sentence, a row for each component, incidents, drills, and a card for each part."""

from collections.abc import Callable, Sequence
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import health, health_sentence
from dashboard.checklist_view import Checklist
from dashboard.drills_view import DrillPanel
from dashboard.frame import Tab
from dashboard.health_rows import ComponentRows
from dashboard.incidents_view import Incidents
from dashboard.jobs_view import channels_card, jobs_card
from dashboard.live import Group
from trading.desk import Desk
from trading.health_ports import Watchroom

PATH = "/status"  # /health answers machines
TITLE = "Health"
ICON = "monitor_heart"
ORDER = 9

EVERY: Final = 0.5  # seconds between two looks at the watch, in memory
STORAGE: Final = (
    ("Waiting for the disk", "queued"),
    ("Lag", "lag"),
    ("Rows written", "rows"),
    ("Rows dropped", "dropped"),
    ("Orders, fills, baskets left out", "left_out"),
    ("Errors", "errors"),
    ("Last commit", "commit"),
    ("Database", "database"),
    ("Write-ahead log", "wal"),
)
PROCESS: Final = (
    ("Loop lag p50 / p95 / p99", "lag"),
    ("Worst loop lag, last minute", "lag_max"),
    ("Memory", "memory"),
    ("CPU of one core", "cpu"),
    ("Threads", "threads"),
    ("Running since", "started"),
    ("Versions", "versions"),
)
LINKS: Final = (
    ("/report", "Seven-day report", "report-link"),
    ("/metrics", "Metrics", "metrics-link"),
    ("/health", "For machines", "health-link"),
)


def build(desk: Desk, tab: Tab) -> None:
    overall = tab.live.group(lambda: {"sentence": health_sentence.sentence(desk)})
    with ui.element("div").classes("v-health"):
        with ui.element("div").classes("h-top"):
            with ui.element("div").classes("v-sentence").props('role="status"'):
                overall.cell("sentence").mark("sentence")
            with ui.element("nav").classes("h-links").props('aria-label="reports"'):
                for path, words, marker in LINKS:
                    with ui.element("a").props(f'href="{path}" target="_blank"').mark(marker):
                        ui.label(words)
        rows = ComponentRows(desk, tab)
        ui.timer(EVERY, rows.refresh)
        if desk.watch is not None:
            _watched(desk, tab, desk.watch)
        with ui.element("div").classes("v-cards"):
            _parts(desk, tab)


def _watched(desk: Desk, tab: Tab, room: Watchroom) -> None:
    """Draw what the watch keeps: incidents, ways and jobs beside the checklist and the drills."""
    with ui.element("div").classes("h-middle"):
        with ui.element("div").classes("h-side"):
            Incidents(desk, tab, room)
            tables = channels_card(desk, tab, room), jobs_card(desk, tab, room)
        with ui.element("div").classes("h-side"):
            checklist = Checklist(desk, tab, room)
            if room.drills is not None:
                DrillPanel(desk, tab, room.drills)
    ui.timer(EVERY, checklist.refresh)
    for lines in tables:
        ui.timer(EVERY, lines.refresh)


def _parts(desk: Desk, tab: Tab) -> None:
    live = tab.live
    _card("Storage", live.group(lambda: health.storage_facts(desk.journal.stats())), STORAGE)
    _card("Process", live.group(lambda: health.process_facts(desk)), PROCESS)
    _subscriptions(live.group(lambda: health.subscription_facts(desk)))
    _segments(desk, live.group(lambda: health.segment_facts(desk)))


def _card(title: str, group: Group, facts: Sequence[tuple[str, str]]) -> None:
    with _plain_card(title, lambda: group.cell("state", "v-pill").mark(f"{title}-state")):
        with ui.element("div").classes("v-note"):
            group.cell("reason").mark(f"{title}-reason")
        with ui.element("div").classes("v-facts-list"):
            for words, name in facts:
                ui.label(words)
                group.cell(name, "n").mark(f"{title}-{name}")


def _subscriptions(group: Group) -> None:
    with _plain_card("Subscriptions"):
        with ui.element("div").classes("v-facts-list"):
            for mode in health.MODES:
                ui.label(f"Mode {mode}")
                group.cell(f"mode {mode}", "n").mark(f"mode-{mode}")
        with ui.element("div").classes("v-note"):
            ui.label("Who holds what")
        with ui.element("div").classes("v-holders"):
            group.cell("holders", "v-lines").mark("holders")


def _segments(desk: Desk, group: Group) -> None:
    with _plain_card("Markets"), ui.element("div").classes("v-facts-list"):
        for segment in health.segments(desk):
            ui.label(segment)
            group.cell(segment, "n").mark(f"segment-{segment}")


def _plain_card(title: str, beside: Callable[[], object] = lambda: None) -> Element:
    card = ui.element("section").classes("v-panel v-card").props(f'aria-label="{title}"')
    with card, ui.element("div").classes("v-card-head"):
        ui.label(title).classes("v-title")
        beside()
    return card
