"""The bell and its drawer: what nobody has acknowledged yet, then what was told before."""

from collections.abc import Sequence
from typing import Final

from nicegui import ui

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard.alert_acts import AlertActs
from dashboard.alert_board import AlertBoard
from dashboard.alert_rows import AlertList, small
from dashboard.hold import Undo
from dashboard.live import Facts, Live
from dashboard.reading import Reading
from dashboard.sheet import Shown
from dashboard.sounds import Sounds
from trading.errors import VigilError
from trading.health import Alert

SHOWN: Final = 50  # that wait for somebody; the Alerts page has them all
EARLIER: Final = 20
NONE_WAITING: Final = "Nothing waits for you."
UNWATCHED: Final = "Nothing watches this desk, so there are no alerts."


class Bell:
    """Shows how many alerts wait for somebody, and how grave the gravest is."""

    def __init__(self, live: Live, board: AlertBoard, drawer: "Drawer") -> None:
        self._board = board
        button = ui.button(icon="notifications", on_click=drawer.toggle, color=None)
        button.props('flat dense aria-label="Alerts"').classes("v-bell").mark("bell")
        with button:
            live.group(self._facts).cell("count", "v-bell-count n").mark("bell-count")

    def _facts(self) -> Facts:
        waiting = self._board.unacknowledged
        if not waiting:
            return {"count": Shown("")}
        gravest = max(alert.severity for alert in waiting)
        count = fmt.whole(len(waiting)) if len(waiting) < 100 else "99+"
        title = f"{len(waiting)} alerts wait for you, the gravest is {words.NAMES[gravest]}"
        return {"count": Shown(count, words.TONES[gravest], title)}


class Drawer:
    """A panel at the right edge. Nothing is drawn or read for it while it is shut."""

    def __init__(self, board: AlertBoard, acts: AlertActs) -> None:
        self._board, self._acts = board, acts
        self._open = False
        self._waiting: AlertList | None = None
        self._earlier: AlertList | None = None
        self._box = ui.element("aside").classes("v-drawer").mark("drawer")
        self._box.props('aria-label="alerts"')
        with self._box:
            Undo(board.changes.subscribe(lambda _: self._changed()))
            with ui.element("div").classes("v-drawer-head"):
                ui.label("Alerts").classes("v-title")
                ui.element("div").classes("v-space")
                self._all = small("Ack all", "ack-all")
                self._all.on_click(lambda: acts.acknowledge(self._board.unacknowledged))
                shut = ui.button(icon="close", on_click=self.close, color=None)
                shut.props('flat dense aria-label="Close the alerts"').classes("v-shut")
                shut.mark("drawer-close")
            self._body = ui.element("div").classes("v-drawer-body")
            self._reading = Reading("earlier alerts", self._read, self._body)
            with ui.element("div").classes("v-drawer-foot"):
                self.sounds = Sounds()

    def toggle(self) -> None:
        if self._open:
            self.close()
        else:
            self.open()

    def open(self) -> None:
        self._open = True
        self._box.classes("v-open")
        self._body.clear()
        with self._body:
            self._waiting = AlertList(self._acts, NONE_WAITING if self._board.room else UNWATCHED)
            self._more = ui.label("").classes("v-note").mark("drawer-more")
            with ui.element("a").classes("v-alert-link").props('href="/alerts"'):
                ui.label("All alerts, rules and the phone")
            ui.label("Earlier").classes("v-drawer-title")
            self._earlier = AlertList(self._acts, "Nothing was told before.")
        self._changed()

    def close(self) -> None:
        self._open = False
        self._box.classes(remove="v-open")
        self._body.clear()
        self._waiting = self._earlier = None

    def _changed(self) -> None:
        if not self._open or self._waiting is None:
            return
        waiting = self._board.unacknowledged
        self._all.set_visibility(bool(waiting))
        self._all.set_text(f"Ack all {len(waiting)}")
        self._waiting.show(waiting[:SHOWN])
        more = len(waiting) - SHOWN
        self._more.set_text(f"and {more} more on the Alerts page" if more > 0 else "")
        self._reading.ask()

    async def _read(self) -> None:
        room, waiting = self._board.room, {a.id for a in self._board.unacknowledged}
        if room is None or not self._open:
            return
        try:
            found: Sequence[Alert] = await room.journal.alerts(most=SHOWN)
        except VigilError as error:
            self._show_earlier([], f"Earlier ones cannot be read now: {error}")
            return
        self._show_earlier([alert for alert in found if alert.id not in waiting][:EARLIER], "")

    def _show_earlier(self, alerts: Sequence[Alert], trouble: str) -> None:
        if self._earlier is not None and not self._body.is_deleted:
            self._earlier.show(alerts, trouble)
