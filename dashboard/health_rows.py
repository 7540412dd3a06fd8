"""The components of the desk, a row each: state, words, the last hour, uptime, what can be done."""

from collections.abc import Callable
from functools import partial
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard.acts import BY, MUTE, slug, told
from dashboard.frame import Tab
from dashboard.health_details import Details
from dashboard.health_sentence import blindness, rows
from dashboard.live import Cell
from dashboard.sheet import Shown
from dashboard.strips import Strip
from trading.desk import Desk
from trading.health import Component, ComponentHealth

HEADINGS: Final = (
    ("Component", ""),
    ("State", ""),
    ("Now", ""),
    ("Last hour", "a bar a minute"),
    ("24 h", "share of market time in which it was up"),
    ("7 d", "share of market time in which it was up"),
    ("30 d", "share of market time in which it was up"),
    ("p50 / p95 / p99", "what they measure is told by each row"),
    ("Reconn.", "reconnects today"),
    ("", ""),
)


class ComponentRows:
    """Shows what the watch knows, read anew by `refresh`; rows stay what they are."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk, self._tab = desk, tab
        self._rows: dict[str, ComponentRow] = {}
        with ui.element("section").classes("v-panel h-components").props('aria-label="components"'):
            self._blind = Cell(tab.live, "h-blind", Shown(""))
            self._blind.mark("blind")
            with ui.element("div").classes("h-row h-head").props('aria-hidden="true"'):
                for heading, title in HEADINGS:
                    label = ui.label(heading)
                    if title:
                        label._props["title"] = title
            self._body = ui.element("div").classes("h-rows")
        self.refresh()

    def refresh(self) -> None:
        self._blind.show(Shown(_blind_words(self._desk)))
        for health in rows(self._desk):
            row = self._rows.get(health.name)
            if row is None:
                with self._body:
                    row = self._rows[health.name] = ComponentRow(self._desk, self._tab, health)
            row.show(health)


class ComponentRow:
    """One component; what is held of it is told again only when it has changed."""

    def __init__(self, desk: Desk, tab: Tab, health: ComponentHealth) -> None:
        self._desk, self._tab, self._health = desk, tab, health
        self._details: Details | None = None
        mark = partial(_marked, slug(health.name))
        with ui.element("div").classes("h-item").mark(f"row-{slug(health.name)}"):
            with ui.element("div").classes("h-row"):
                with ui.element("div").classes("h-name"):
                    ui.label(fmt.capital(health.name))
                    self._muted = mark(self._cell("v-chip v-warns h-muted"), "muted")
                self._pill = mark(self._cell("v-pill h-pill"), "state")
                self._words = mark(self._cell("h-words"), "now")
                self._strip = Strip()
                self._strip.mark(f"strip-{slug(health.name)}")
                self._shares = [
                    mark(self._cell(f"n h-share h-{span}"), span)
                    for span in ("day", "week", "month")
                ]
                self._latency = mark(self._cell("n h-latency"), "latency")
                self._reconnects = mark(self._cell("n h-reconnects"), "reconnects")
                with ui.element("div").classes("h-acts"):
                    self._acts()
            self._box = ui.element("div").classes("h-details-box")

    def _cell(self, classes: str) -> Cell:
        return Cell(self._tab.live, classes, Shown(""))

    def _acts(self) -> None:
        name = self._health.name
        with ui.element("div").classes("h-rare"):
            self.draw_acts(icons=True)
        self._more = ui.button(icon="expand_more", on_click=self._toggle, color=None)
        self._more.props(f'flat dense aria-expanded="false" aria-label="Details of {name}"')
        self._more.mark(f"details-{slug(name)}")

    def draw_acts(self, *, icons: bool) -> None:
        """Draw what can be done: as icons in the row, in words where there is room or a thumb."""
        name = self._health.name
        if self._health.component in (Component.MARKET_FEED, Component.PORTFOLIO):
            _button("refresh", f"Reconnect the {name}", "Reconnect", self._reconnect, icons).mark(
                f"reconnect-{slug(name)}"
            )
        if self._desk.watch is not None:
            hint = f"Mute {self._muted_name} for an hour"
            button = _button("notifications_off", hint, "Mute 1 h", self._mute, icons)
            button.mark(f"mute-{slug(name)}")

    def show(self, health: ComponentHealth) -> None:
        now = self._desk.clock.now()
        self._health = health
        self._pill.show(words.pill(health, now))
        self._words.show(Shown(health.words, title=health.words))
        self._muted.show(words.muted(health, now))
        self._strip.show(health.strip, now)
        for cell, shown in zip(self._shares, words.uptimes(health.uptimes), strict=True):
            cell.show(shown)
        self._latency.show(words.latency(health))
        self._reconnects.show(words.reconnects(health))
        if self._details is not None:
            self._details.show(health)

    def _toggle(self) -> None:
        if self._details is not None:
            self._box.clear()
            self._details = None
        else:
            with self._box:
                acts = partial(self.draw_acts, icons=False)
                self._details = Details(self._desk, self._tab, self._health, acts)
        is_open = self._details is not None
        self._more.props(f'aria-expanded="{str(is_open).lower()}"')
        self._more.set_icon("expand_less" if is_open else "expand_more")

    async def _reconnect(self) -> None:
        desk, account = self._desk, self._health.about
        feed = desk.portfolio_feeds.get(account, desk.feed)
        done = f"Reconnecting the {self._health.name}: it takes a second or two."
        if desk.watch is None:
            feed.reconnect("asked for on the Health page")
            self._tab.say(done)
            return
        name = f"portfolio-{account}" if account else "market"
        await told(self._tab.say, desk.watch.watch.reconnect(name, BY), done)

    @property
    def _muted_name(self) -> str:
        """Return what a mute is of: the component, and with it the streams of all accounts."""
        component = str(self._health.component)
        return f"{component} of all accounts" if self._health.about else component

    async def _mute(self) -> None:
        """Keep it silent for an hour; if it is silent already, end that."""
        room, name = self._desk.watch, self._muted_name
        assert room is not None  # the button is not there without
        is_muted = bool(words.muted(self._health, self._desk.clock.now()).text)
        done = f"Alerts of {name} are sent again."
        if not is_muted:
            done = f"For an hour only critical alerts of {name} are sent. It is still watched."
        key = str(self._health.component)
        await told(self._tab.say, room.watch.mute(key, 0 if is_muted else MUTE), done)


def _blind_words(desk: Desk) -> str:
    blind = blindness(desk)
    if not blind:
        return ""
    return f"✖ {fmt.capital(blind)}. Look at the positions yourself, and restart the desk."


def _button(icon: str, title: str, short: str, act: Callable[[], object], as_icon: bool) -> Element:
    if as_icon:
        button = ui.button(icon=icon, on_click=act, color=None).props("flat dense")
        button.tooltip(title)
    else:
        button = ui.button(short, on_click=act, color=None).props("outline no-caps")
    return button.props(f'aria-label="{title}"')


def _marked(name: str, cell: Cell, what: str) -> Cell:
    cell.mark(f"{what}-{name}")
    return cell
