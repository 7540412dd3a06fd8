"""Alerts: the inbox, the ways to a person and their rules, the phone and what was delivered."""

from enum import StrEnum
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard.alert_acts import AlertActs
from dashboard.alert_inbox import Inbox
from dashboard.alert_log import DeliveryLog
from dashboard.alert_ways import Listeners, draw_routes, draw_ways, section
from dashboard.drawer import UNWATCHED
from dashboard.frame import Tab
from dashboard.phone_panel import PhonePanel
from trading.desk import Desk
from trading.health_ports import Watchroom

PATH = "/alerts"
TITLE = "Alerts"
ICON = "notifications"
ORDER = 8

NO_PHONE: Final = (
    "The chat is on your own phone: this desk talks to Telegram itself. With no token configured "
    "a simulated phone stands here."
)


class Part(StrEnum):
    """What a narrow screen shows one at a time; a wide one shows them side by side."""

    INBOX = "inbox"
    CHAT = "chat"
    RULES = "rules"


WORDS: Final = {Part.INBOX: "Inbox", Part.CHAT: "Phone and log", Part.RULES: "Ways and rules"}


def build(desk: Desk, tab: Tab) -> None:
    room = desk.watch
    if room is None:
        with ui.element("div").classes("v-panel"):
            ui.label(UNWATCHED).classes("v-empty").mark("unwatched")
        return
    with ui.element("div").classes("v-alerts") as page:
        page._props["data-part"] = str(Part.INBOX)
        _tabs(page)
        Inbox(tab.board, AlertActs(tab.board, tab.say))
        with ui.element("div").classes("v-alerts-rules"):
            draw_ways(tab, room)
            Listeners(tab, room.people, room.pairing)
            draw_routes(tab, room.routes)
        with ui.element("div").classes("v-alerts-chat"):
            _phone(desk, tab, room)
            DeliveryLog(tab.board)


def _phone(desk: Desk, tab: Tab, room: Watchroom) -> None:
    if room.phone is not None:
        PhonePanel(room.phone, desk.clock, tab.say)
        return
    with section("Phone"):
        ui.label(NO_PHONE).classes("v-note").mark("no-phone")


def _tabs(page: Element) -> None:
    buttons: dict[Part, Element] = {}

    def choose(part: Part) -> None:
        page._props["data-part"] = str(part)
        page.update()
        for other, button in buttons.items():
            button.props(f'aria-selected="{str(other == part).lower()}"')

    with ui.element("div").classes("v-tabs v-alert-tabs").props('role="tablist"'):
        for part, words in WORDS.items():
            with ui.element("button").classes("v-tab").mark(f"part-{part}") as button:
                ui.label(words)
            button.props(
                f'type="button" role="tab" aria-selected="{str(part is Part.INBOX).lower()}"'
            )
            button.on("click", lambda p=part: choose(p), [])
            buttons[part] = button
