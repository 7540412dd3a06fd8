"""Registers the pages, the endpoints and the guards of one desk with NiceGUI."""

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, Final, Protocol, cast

from nicegui import app, background_tasks, ui

import dashboard.pages
from dashboard import endpoints, frame, guard, report, webhook
from dashboard.alert_board import AlertBoard
from dashboard.api import sockets
from dashboard.api.routes import create_api
from dashboard.drafts import Drafts
from dashboard.frame import Entry, Tab
from dashboard.guard import Security
from dashboard.ledger import Ledger
from dashboard.light import Light, desk_light
from dashboard.live import Pulse, emit
from dashboard.sheet import Sheet
from dashboard.ticket import open_ticket
from dashboard.watchlist import Watchlist
from trading.desk import Desk

NAMES: Final = 0.5  # seconds between two looks whether there are names to show
RECONNECT: Final = 10.0  # seconds that a page which lost its socket is kept for


class Page(Protocol):
    """What a file in dashboard/pages/ defines; ORDER is its place on the rail."""

    PATH: str
    TITLE: str
    ICON: str
    ORDER: int
    build: Callable[[Desk, Tab], None]


def pages() -> list[Page]:
    """Return the pages found in the folder, in the order of the rail."""
    names = [info.name for info in pkgutil.iter_modules(dashboard.pages.__path__)]
    found = [importlib.import_module(f"dashboard.pages.{name}") for name in names]
    return sorted((_page(module) for module in found), key=lambda page: page.ORDER)


def _page(module: ModuleType) -> Page:
    return cast(Page, module)


def register(desk: Desk, security: Security, *, webhook_secret: str = "") -> None:
    """Make the desk's pages and its API known; call it once, before `ui.run`.

    Without a secret the broker's postbacks are not accepted.
    """
    sheet = Sheet(desk.market_data, desk.world)
    board = AlertBoard(desk.watch, desk.clock)

    def light() -> Light:
        return desk_light(desk, board.inputs)

    pulse = Pulse(desk, sheet, emit, light)
    ledger = Ledger(desk)
    pulse.before(ledger.beat)
    pulse.before(board.beat)
    watchlist = Watchlist(desk.journal, desk.first_watchlist)
    found = pages()
    door = guard.install(app, security)
    endpoints.install(app, desk, door, tabs=lambda: pulse.tabs)
    report.install(desk)
    if webhook_secret:
        webhook.install(app, secret=webhook_secret, hint=lambda: _hint(desk))
    api = create_api(desk)
    broadcast = sockets.install(api, desk)
    app.mount("/api", api)
    _register_pages(desk, pulse, ledger, watchlist, board, found)
    _keep_running("refresh of the pages", pulse.run)
    _keep_running("news for programs", partial(sockets.run, broadcast))


def _register_pages(
    desk: Desk,
    pulse: Pulse,
    ledger: Ledger,
    watchlist: Watchlist,
    board: AlertBoard,
    found: Sequence[Page],
) -> None:
    entries = [Entry(page.PATH, page.TITLE, page.ICON) for page in found]
    drafts = Drafts()  # of all tabs: what two of them review is sent once

    def root() -> None:
        ui.add_css(frame.STYLE)
        ui.add_css(frame.MONEY_STYLE)
        ui.add_css(frame.ALERTS_STYLE)
        ui.add_css(frame.HEALTH_STYLE)
        if not pulse.tabs:
            board.look()  # it does not look while nobody sees it
        tab = Tab(pulse.open_tab(), watchlist, drafts, ledger, board)
        rail = frame.draw(desk, tab, entries, partial(open_ticket, desk, tab))

        _again_when_known(desk)

        def show(page: Page) -> None:
            ui.page_title(f"{page.TITLE} · Vigil · {desk.world.word}")
            rail.mark(page.PATH)
            page.build(desk, tab)

        with ui.element("div").classes("v-main"):
            ui.sub_pages({page.PATH: partial(show, page) for page in found})

    for page in found:  # each path of its own, so that an unknown one is a 404
        ui.page(page.PATH, reconnect_timeout=RECONNECT, title="Vigil", dark=True)(root)


def _again_when_known(desk: Desk) -> None:
    """Build a page anew that is opened before the desk has the names, as on its very first start.

    It would show the broker's keys for as long as it stays open.
    """
    if not desk.canaries or desk.catalogue.get(desk.canaries[0]):
        return

    def look() -> None:
        if desk.catalogue.get(desk.canaries[0]):
            ui.navigate.reload()
            timer.cancel()

    timer = ui.timer(NAMES, look)


def _hint(desk: Desk) -> None:
    for state in desk.accounts.all():
        desk.cycle.hint(state.account.id)


def _keep_running(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    tasks: list[asyncio.Task[None]] = []

    def start() -> None:
        tasks.append(background_tasks.create(work(), name=name))

    async def stop() -> None:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app.on_startup(start)
    app.on_shutdown(stop)
