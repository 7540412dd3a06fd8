"""What is around every page: the mode frame, the header, the rail, the banner and the keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from dashboard import light as lights
from dashboard.alert_acts import AlertActs
from dashboard.alert_board import AlertBoard
from dashboard.banner import Banner
from dashboard.drafts import Drafts
from dashboard.drawer import Bell, Drawer
from dashboard.ledger import Ledger
from dashboard.light_panel import LightPanel
from dashboard.live import Live
from dashboard.toasts import Toasts
from dashboard.watchlist import Watchlist
from trading.desk import Desk, World
from trading.model import Instrument
from trading.order import Product, Side

STYLE: Final = Path(__file__).parent / "components" / "vigil.css"
MONEY_STYLE: Final = Path(__file__).parent / "components" / "money.css"
ALERTS_STYLE: Final = Path(__file__).parent / "components" / "alerts.css"
HEALTH_STYLE: Final = Path(__file__).parent / "components" / "health.css"
THEME_COOKIE: Final = "vigil_theme"
HEADER_INDICES: Final = 2
KEYS: Final = (
    ("1 2 …", "open a page"),
    ("/", "search an instrument"),
    ("↑ ↓", "choose a row"),
    ("B S", "buy or sell what the chosen row is about"),
    ("C", "cancel the chosen order"),
    ("X", "exit the chosen position"),
    ("Enter", "review the ticket"),
    ("M", "alerts; mute the chosen one for an hour"),
    ("Esc", "close, send nothing"),
    ("?", "this list"),
)


class TicketPanel(Protocol):
    """Fills the ticket that a page has of its own; the words of `dashboard.ticket.open_ticket`."""

    def __call__(
        self,
        instrument_key: str,
        side: Side,
        *,
        units: int | None = None,
        product: Product | None = None,
        reduces: bool = False,
    ) -> None: ...


@dataclass(slots=True)
class Tab:
    """What a page is built with, besides the desk. `panel` is where a page has its own ticket."""

    live: Live
    watchlist: Watchlist
    drafts: Drafts
    ledger: Ledger
    board: AlertBoard = field(default_factory=AlertBoard)
    panel: TicketPanel | None = None

    def say(self, words: str) -> None:
        """Tell what came of an act, also if what it was pressed on is not on the page any more."""
        if not self.live.is_deleted:
            with self.live:
                ui.notify(words, position="bottom-right", timeout=8000)


@dataclass(frozen=True, slots=True)
class Entry:
    """One page on the rail."""

    path: str
    title: str
    icon: str


class Keys(Element, component="components/keys.js"):
    """Listens to the keyboard in the browser."""


class Rail:
    """The links to the pages; the current one carries a bar and `aria-current`."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._links: dict[str, Element] = {}
        with ui.element("nav").classes("v-rail").props('aria-label="pages"'):
            for number, entry in enumerate(entries, start=1):
                with ui.element("a").props(f'href="{entry.path}"') as link:
                    link.tooltip(f"{entry.title} ({number})")
                    ui.icon(entry.icon).props('aria-hidden="true"')
                    ui.label(entry.title)
                self._links[entry.path] = link

    def mark(self, path: str) -> None:
        for other, link in self._links.items():
            if other == path:
                link.props('aria-current="page"')
            else:
                link.props(remove="aria-current")


def mode_class(world: World) -> str:
    """Return the class of the 4 px frame: violet, striped violet, blue or red."""
    if world.exchange == "simulated":
        return "simulated"
    if world.exchange == "replay":
        return "replay"
    return "paper" if world.execution == "paper" else "live"


def draw(
    desk: Desk,
    tab: Tab,
    entries: Sequence[Entry],
    trade: Callable[[str, Side], None],
) -> Rail:
    """Draw the frame; the page goes into the `main` element that the caller opens next.

    `trade` is called with an instrument and a side when the keys ask for a ticket.
    """
    mode = mode_class(desk.world)
    live, board = tab.live, tab.board
    acts = AlertActs(board, tab.say)
    ui.element("div").classes(f"v-frame {mode}")
    theme = _theme()
    keys = Keys()
    help_sheet = _help_sheet()
    keys.on("help", help_sheet.open)
    keys.on("trade", lambda event: _trade(desk, event, trade))
    drawer = Drawer(board, acts)
    keys.on("alerts", lambda: _choose_alert(drawer, keys))
    with ui.element("header").classes("v-header"):
        ui.label(desk.world.word).classes(f"v-mode {mode}").mark("mode")
        LightPanel(desk, live, board)
        for key in desk.canaries[:HEADER_INDICES]:
            _index(desk, live, key)
        _day_pnl(live, tab.ledger)
        ui.element("div").classes("v-space")
        with ui.element("div").classes("v-times"):
            _times(desk)
        Bell(live, board, drawer)
        with ui.element("div").classes("v-tools"):
            _tool("keyboard", "Keys (?)", "keys").on("click", help_sheet.open)
            button = _tool("contrast", "Dark or light", "theme")
            button.on("click", lambda: _toggle(theme, keys))
    rail = Rail(entries)
    Banner(desk, board, acts, drawer.open)
    Toasts(board, acts, drawer.sounds)
    return rail


def _choose_alert(drawer: Drawer, keys: Keys) -> None:
    """Open the alerts and put the focus on the first, so that one more press mutes that one."""
    drawer.open()
    keys.run_method("focusAlert")


def _trade(desk: Desk, event: GenericEventArguments, trade: Callable[[str, Side], None]) -> None:
    """Open a ticket if what came from the browser names an instrument and a side."""
    asked = event.args if isinstance(event.args, dict) else {}
    key, side = asked.get("key"), asked.get("side")
    if isinstance(key, str) and side in tuple(Side) and desk.catalogue.get(key) is not None:
        trade(key, Side(side))


def _index(desk: Desk, live: Live, key: str) -> None:
    instrument = desk.catalogue.get(key)
    with ui.element("div").classes("v-index") as index:
        ui.label(short_name(instrument, key)).classes("v-index-name")
        live.cell(key, "ltp", "price flash")
        live.cell(key, "change", "toned")
        live.badge(key, full=True)
    live.watch(key, index)


def _day_pnl(live: Live, ledger: Ledger) -> None:
    """Show the day's P&L; its badge is that of the worst price in it."""
    group = live.group(ledger.total, fast=True)
    with ui.element("a").classes("v-day-pnl").props('href="/positions"') as box:
        ui.label("Day P&L").classes("v-index-name")
        group.cell("total", "n price toned").mark("day-pnl")
        badge = group.badge("trust")
        badge.mark("day-pnl-badge")
        badge.marks(box)


def short_name(instrument: Instrument | None, key: str) -> str:
    """Return the words of the header: `NIFTY` for Nifty 50, `BANKNIFTY` for Nifty Bank."""
    if instrument is None:
        return key.partition("|")[2]
    return instrument.symbol


def _times(desk: Desk) -> None:
    now = desk.clock.now()
    state = desk.hours.state(lights.header_segment(desk), now)
    ui.label("").classes("v-clock").mark("clock")
    with ui.element("div").classes("v-session-line"):
        ui.label(lights.countdown(state, now).session).classes("v-session").mark("session")
        ui.label("").classes("v-count")


def _tool(icon: str, words: str, marker: str) -> Element:
    button = ui.button(icon=icon, color=None).props(f'flat dense aria-label="{words}"').mark(marker)
    return button.tooltip(words)


def _help_sheet() -> ui.dialog:
    with ui.dialog() as dialog, ui.card().classes("v-sheet"):
        ui.label("Keys").classes("v-title")
        for key, words in KEYS:
            with ui.element("div").classes("v-key"):
                ui.label(key).classes("v-cap")
                ui.label(words)
        ui.button("Close", on_click=dialog.close, color=None).props("flat")
    return dialog


def _theme() -> ui.dark_mode:
    request = ui.context.client.request
    return ui.dark_mode(request.cookies.get(THEME_COOKIE) != "light")


def _toggle(theme: ui.dark_mode, keys: Keys) -> None:
    theme.toggle()
    keys.run_method("remember", "dark" if theme.value else "light")
