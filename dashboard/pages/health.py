"""Health: one sentence on top, then a card for each part of the desk with its figures."""

from collections.abc import Callable, Sequence
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import health
from dashboard.frame import Tab
from dashboard.live import Group
from trading.desk import Desk

PATH = "/status"  # /health answers machines
TITLE = "Health"
ICON = "monitor_heart"
ORDER = 9

FEED: Final = (
    ("Since", "since"),
    ("Last sign of life", "frame_age"),
    ("Last price", "tick_age"),
    ("Messages", "frame_rate"),
    ("Ticks", "tick_rate"),
    ("Received", "byte_rate"),
    ("Latency p50 / p95 / p99", "latency"),
    ("Clock, exchange minus ours", "clock_skew"),
    ("Connections / reconnects", "connections"),
    ("Backoff", "backoff"),
    ("Decode errors", "decode_errors"),
    ("Bad prices", "bad_prices"),
    ("Dropped in our inbox", "dropped"),
    ("Duplicate frames", "duplicate_frames"),
    ("Not asked for", "unasked"),
    ("No data", "missing"),
)
STREAM: Final = (
    ("Since", "since"),
    ("Last sign of life", "frame_age"),
    ("Last update", "tick_age"),
    ("Books last read", "read"),
    ("Connections / reconnects", "connections"),
    ("Backoff", "backoff"),
    ("Decode errors", "decode_errors"),
    ("Dropped in our inbox", "dropped"),
)
STORAGE: Final = (
    ("Waiting for the disk", "queued"),
    ("Lag", "lag"),
    ("Rows written", "rows"),
    ("Rows dropped", "dropped"),
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


def build(desk: Desk, tab: Tab) -> None:
    live = tab.live
    overall = live.group(lambda: {"sentence": health.sentence(desk)})
    with ui.element("div").classes("v-health"):
        with ui.element("div").classes("v-sentence").props('role="status"'):
            overall.cell("sentence").mark("sentence")
        with ui.element("div").classes("v-cards"):
            _feed_card(desk, live.group(lambda: health.feed_facts(desk.feed.stats(), desk.clock)))
            for account in desk.portfolio_feeds:
                _stream_card(desk, tab, account)
            _card(
                "Storage", live.group(lambda: health.storage_facts(desk.journal.stats())), STORAGE
            )
            _card("Process", live.group(lambda: health.process_facts(desk)), PROCESS)
            _subscriptions(desk, live.group(lambda: health.subscription_facts(desk)))
            _segments(desk, live.group(lambda: health.segment_facts(desk)))


def _card(title: str, group: Group, facts: Sequence[tuple[str, str]]) -> Element:
    with ui.element("section").classes("v-panel v-card").props(f'aria-label="{title}"') as card:
        with ui.element("div").classes("v-card-head"):
            ui.label(title).classes("v-title")
            group.cell("state", "v-pill").mark(f"{title}-state")
            ui.element("div").classes("v-space")
        with ui.element("div").classes("v-note"):
            group.cell("reason").mark(f"{title}-reason")
        with ui.element("div").classes("v-facts-list"):
            for words, name in facts:
                ui.label(words)
                group.cell(name, "n").mark(f"{title}-{name}")
    return card


def _feed_card(desk: Desk, group: Group) -> None:
    card = _card("Market feed", group, FEED)
    head = card.default_slot.children[0]
    with head:
        _act("Reconnect", "reconnect", lambda: _reconnect(desk))


def _reconnect(desk: Desk) -> None:
    desk.feed.reconnect("asked for on the Health page")
    ui.notify("Reconnecting the market feed", position="bottom-right")


def _stream_card(desk: Desk, tab: Tab, account: str) -> None:
    state = desk.accounts.get(account)
    name = state.account.name if state and len(desk.portfolio_feeds) > 1 else ""
    group = tab.live.group(lambda: health.stream_facts(desk, account))
    title = f"Portfolio stream {name}".strip()
    card = _card(title, group, STREAM)
    with card.default_slot.children[0]:
        _act("Reconnect", f"reconnect-{account}", lambda: _reconnect_stream(desk, account))


def _reconnect_stream(desk: Desk, account: str) -> None:
    desk.portfolio_feeds[account].reconnect("asked for on the Health page")
    ui.notify("Reconnecting the portfolio stream", position="bottom-right")


def _act(words: str, marker: str, act: Callable[[], None]) -> None:
    ui.button(words, on_click=act, color=None).props("outline no-caps").mark(marker)


def _subscriptions(desk: Desk, group: Group) -> None:
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


def _plain_card(title: str) -> Element:
    card = ui.element("section").classes("v-panel v-card").props(f'aria-label="{title}"')
    with card, ui.element("div").classes("v-card-head"):
        ui.label(title).classes("v-title")
    return card
