"""New alerts come up at the edge of every open tab; a critical one stays until it is pressed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import alert_words as words
from dashboard.alert_acts import AlertActs
from dashboard.alert_board import AlertBoard
from dashboard.alert_rows import link, small
from dashboard.hold import Undo
from dashboard.sounds import Sounds
from trading.health import Alert, Occasion, Severity

LASTS: Final = {Severity.INFO: 5.0, Severity.WARNING: 10.0}  # seconds
MOST: Final = 3  # that stay, and as many that pass; what is more is behind the bell
FIRST: Final = 3  # place of the newest: below two undos and what is said of those not shown


@dataclass(slots=True)
class _Toast:
    alert: Alert
    box: Element
    until: float | None  # monotonic; None stays

    @property
    def stays(self) -> bool:
        return self.until is None


class Toasts:
    """One toast for each key: what is newer of the same matter takes its place."""

    def __init__(self, board: AlertBoard, acts: AlertActs, sounds: Sounds) -> None:
        self._board, self._acts, self._sounds = board, acts, sounds
        self._toasts: dict[str, _Toast] = {}
        self._box = ui.element("div").classes("v-toasts").mark("toasts")
        self._box.props('role="log" aria-live="assertive"')
        with self._box:
            Undo(board.fresh.subscribe(self._fresh))
            Undo(board.looked.subscribe(lambda _: self._expire()))
            self._more = ui.label("").classes("v-toast v-toast-more").mark("toasts-more")
        self._more.set_visibility(False)

    def _fresh(self, alerts: Sequence[Alert]) -> None:
        heard = [alert for alert in alerts if not self._board.is_muted(alert)]
        latest = {alert.key: alert for alert in heard}
        for alert in latest.values():
            self._drop(alert.key)
            self._show(alert)
        self._limit()
        sound = words.loudest(heard, quiet=self._board.quiet())
        if sound:
            self._sounds.ring(sound, f"{heard[-1].key} {heard[-1].at.isoformat()}")

    def _show(self, alert: Alert) -> None:
        stays = alert.severity is Severity.CRITICAL and alert.occasion is not Occasion.END
        lasts = LASTS.get(alert.severity, LASTS[Severity.WARNING])
        until = None if stays else self._board.clock.monotonic() + lasts
        with self._box:
            box = ui.element("div").classes("v-toast").mark("toast")
        box._props["data-level"] = words.NAMES[alert.severity]
        box.move(target_index=FIRST)
        self._toasts[alert.key] = _Toast(alert, box, until)
        with box:
            ui.label(words.GLYPHS[alert.severity]).classes("v-glyph")
            with ui.element("div").classes("v-alert-text"):
                ui.label(alert.title).classes("v-alert-title").mark("toast-title")
                if alert.lines:
                    ui.label(words.body(alert)).classes("v-lines v-alert-body")
                with ui.element("div").classes("v-alert-foot"):
                    link(alert)
                    ui.element("div").classes("v-space")
                    if stays:
                        small("Ack", "toast-ack").on_click(lambda: self._acknowledge(alert))
            shut = ui.button(icon="close", color=None, on_click=lambda: self._close(alert.key))
            shut.props('flat dense aria-label="Close"').classes("v-shut").mark("toast-close")

    async def _acknowledge(self, alert: Alert) -> None:
        """Acknowledge all of its matter: it may be a reminder of what was told before."""
        same = [known for known in self._board.unacknowledged if known.key == alert.key]
        await self._acts.acknowledge([*same, alert])

    def _close(self, key: str) -> None:
        self._drop(key)
        self._limit()

    def _expire(self) -> None:
        """Take away what has passed, and what was acknowledged, here or elsewhere."""
        if not self._toasts:
            return
        now = self._board.clock.monotonic()
        waiting = {alert.key for alert in self._board.unacknowledged}
        for key, toast in list(self._toasts.items()):
            done = key not in waiting if toast.until is None else toast.until <= now
            if done:
                self._drop(key)
        self._limit()

    def _limit(self) -> None:
        """Show the newest; of the rest say how many there are, and never drop one that stays."""
        passing = [key for key, toast in self._toasts.items() if not toast.stays]
        for key in passing[:-MOST]:
            self._drop(key)
        staying = [toast for toast in self._toasts.values() if toast.stays]
        hidden = len(staying) - MOST
        for place, toast in enumerate(staying):
            toast.box.set_visibility(place >= hidden)
        self._more.set_text(f"✖ {hidden} more critical behind the bell" if hidden > 0 else "")
        self._more.set_visibility(hidden > 0)

    def _drop(self, key: str) -> None:
        toast = self._toasts.pop(key, None)
        if toast is not None:
            toast.box.delete()
