"""The middle of the Alerts page: the ways to a person, what goes where, and who may listen."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard import health_words
from dashboard.acts import draw_test, told
from dashboard.alert_board import AlertBoard
from dashboard.alert_rows import small
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Facts
from trading.clock import Clock
from trading.health import ChannelHealth, Severity
from trading.health_ports import Pairing, PairingCode, People, Person, Routes, Watchroom

READ_ONLY: Final = (
    "These rules come from settings.toml ([quiet], [telegram], [email], [webhook]). They can be "
    "read here, not changed; a change holds after the next start."
)
UNKNOWN_ROUTES: Final = "Which alerts go where is not known here: look into settings.toml."
NOBODY: Final = "Nobody listens on a phone yet."
IN_APP: Final = {
    Severity.CRITICAL: "stays until pressed",
    Severity.WARNING: "bell and a toast",
    Severity.INFO: "a toast",
}
GRAVEST_FIRST: Final = sorted(Severity, reverse=True)


def draw_ways(tab: Tab, room: Watchroom) -> None:
    """Draw each channel with its state, and the button that tries them all."""
    board = tab.board
    with section("Ways to you"):
        for place, channel in enumerate(board.channels):
            _channel(tab, place, channel)
        draw_test(room, tab.say).props("dense").classes("v-small")


def _channel(tab: Tab, place: int, channel: ChannelHealth) -> None:
    group = tab.live.group(lambda: _channel_facts(tab.board, place))
    with ui.element("div").classes("v-way").mark("way"):
        ui.label(channel.name).classes("v-way-name")
        group.cell("state", "status").mark(f"way-state-{place}")
        group.cell("figures", "n v-faint").mark(f"way-figures-{place}")
        group.cell("last", "n v-faint")
        group.cell("reason", "v-way-reason").mark(f"way-reason-{place}")


def _channel_facts(board: AlertBoard, place: int) -> Facts:
    channel = board.channels[place]
    return {
        "state": health_words.channel_state(channel),
        "figures": words.channel_figures(channel),
        "last": health_words.channel_last(channel, board.clock.now()),
        "reason": channel.reason,
    }


# what goes where


def draw_routes(tab: Tab, routes: Routes | None) -> None:
    board = tab.board
    with section("What goes where"):
        if routes is None:
            ui.label(UNKNOWN_ROUTES).classes("v-note")
            return
        group = tab.live.group(lambda: {"passing": words.passing(routes, board.clock.now())})
        now = board.clock.now()
        slots = words.quiet_slots(routes, now)
        _bar(slots, now)
        with ui.element("div").classes("v-passing"):
            group.cell("passing").mark("passing")
        _matrix(routes, slots, now)
        hours = f"{routes.quiet_hours} IST" if routes.quiet_hours else "none"
        ui.label(f"Quiet hours: {hours}. {READ_ONLY}").classes("v-note").mark("routes-note")


def _bar(slots: list[bool], now: datetime) -> None:
    """Draw the 24 hours of this day; quiet ones are hatched, and a line stands at now."""
    with ui.element("div").classes("v-quiet").props('role="img"').mark("quiet-bar") as bar:
        bar._props["aria-label"] = f"{sum(slots) / 2:g} of 24 hours are quiet today"
        for quiet in slots:
            ui.element("span")._props["data-quiet"] = str(quiet).lower()
        share = (now - words.day_start(now)) / (words.SLOT * words.SLOTS)
        ui.element("i").style(f"left: {100 * share:.1f}%")
    with ui.element("div").classes("v-quiet-hours n"):
        for hour in (0, 6, 12, 18, 24):
            ui.label(f"{hour:02d}")


def _matrix(routes: Routes, slots: list[bool], now: datetime) -> None:
    """Draw which level takes which way, by day and in quiet hours."""
    first = words.day_start(now)
    moments = {quiet: first + words.SLOT * n for n, quiet in reversed(list(enumerate(slots)))}
    names = _told_by(routes, moments.values())
    with ui.element("div").classes("v-routes").props('role="table"') as table:
        table.style(f"--channels: {len(names)}")
        for heading in ("", "this app", *names):
            ui.label(heading).classes("v-faint")
        for severity in GRAVEST_FIRST:
            ui.label(f"{words.GLYPHS[severity]} {words.NAMES[severity]}")
            ui.label(IN_APP[severity])
            for name in names:
                _route(routes, severity, name, moments)


def _told_by(routes: Routes, moments: Iterable[datetime]) -> list[str]:
    """Return the channels that anything goes through, in their order."""
    found: dict[str, None] = {}
    for at in moments:
        for severity in GRAVEST_FIRST:
            found |= dict.fromkeys(post.channel for post in routes.posts(severity, at))
    return list(found)


def _route(routes: Routes, severity: Severity, channel: str, moments: dict[bool, datetime]) -> None:
    said = {
        quiet: words.route_words(routes.posts(severity, at), channel, at)
        for quiet, at in moments.items()
    }
    with ui.element("div").mark(f"route {words.NAMES[severity]} {channel}"):
        ui.label(said.get(False, said.get(True, fmt.DASH)))
        if True in said and said[True] != said.get(False, said[True]):
            ui.label(f"quiet: {said[True]}").classes("v-faint")


# who listens


class Listeners:
    """The people who may speak to the bot, and the code that lets one more in."""

    def __init__(self, tab: Tab, people: People, pairing: Pairing | None) -> None:
        self._tab, self._people, self._pairing = tab, people, pairing
        self._asked: Person | None = None  # who is about to be removed
        with section("Who listens on a phone"):
            self._code = ui.element("div").classes("v-pairing")
            self._list = ui.element("div").classes("v-people")
            if pairing is not None:
                Undo(pairing.changes.subscribe(lambda _: self._show()))
        self._show()

    def _show(self) -> None:
        self._show_code()
        self._list.clear()
        with self._list:
            people = self._people.all()
            for person in people:
                self._person(person)
            if not people:
                ui.label(NOBODY).classes("v-note").mark("nobody")

    def _show_code(self) -> None:
        pairing = self._pairing
        if pairing is None:
            return
        code = pairing.code()  # may tell of a change, when one has just ended
        self._code.clear()
        with self._code:
            if code is not None:
                _code(self._tab, pairing, code)
            ui.label(pairing.state).classes("v-note").mark("pairing-state")
            small("Another code" if code else "Let a phone in", "pair").on_click(pairing.open)

    def _person(self, person: Person) -> None:
        clock: Clock = self._tab.board.clock
        since = fmt.moment(person.since, clock.now())
        with ui.element("div").classes("v-person").mark("person"):
            ui.label(person.name).classes("v-person-name")
            ui.label(f"{person.role} · since {since} · user {person.user}").classes("v-faint")
            ui.element("div").classes("v-space")
            if self._asked != person:
                small("Remove", "remove-person").on_click(lambda: self._ask(person))
                return
            small("Keep", "keep-person").on_click(lambda: self._ask(None))
            small("Remove for good", "remove-sure").on_click(lambda: self._remove(person))

    def _ask(self, person: Person | None) -> None:
        self._asked = person
        self._show()

    async def _remove(self, person: Person) -> None:
        act, still = self._people.remove(person.chat, person.user), "can still read and is told"
        after = f"{person.name} {still}."
        if await told(self._tab.say, act, "", undone="Not removed", after=after):
            self._ask(None)


def _code(tab: Tab, pairing: Pairing, code: PairingCode) -> None:
    left = tab.live.group(partial(_left, pairing, tab.board.clock))
    with ui.element("div").classes("v-code"):
        digits = f"{code.code[:3]} {code.code[3:]}"
        ui.label(digits).classes("v-code-digits n").mark("pairing-code")
        ui.label("Send this to the bot from the new phone.")
        left.cell("left", "n v-faint").mark("pairing-left")


def _left(pairing: Pairing, clock: Clock) -> Facts:
    """Return how long the code is good for; one that has ended tells of it when it is asked for."""
    code = pairing.code()
    if code is None:
        return {"left": "ended"}
    return {"left": f"ends in {fmt.age(max(0.0, round(code.ends - clock.monotonic())))}"}


def section(title: str, classes: str = "") -> Element:
    box = ui.element("section").classes(f"v-panel v-alert-section {classes}")
    box._props["aria-label"] = title
    with box, ui.element("div").classes("v-section-head"):
        ui.label(title).classes("v-title")
    return box
