"""Alerts as rows, in the drawer and on the Alerts page: mark, time, words, what can be done."""

from collections.abc import Sequence
from datetime import datetime

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard.alert_acts import AlertActs
from trading.health import Alert, Occasion, Severity


class Text(TextElement):
    """Words inside a line; always text, whatever they contain."""

    def __init__(self, text: str, classes: str = "") -> None:
        super().__init__(tag="span", text=text)
        self.classes(classes)


class AlertRow:
    """One alert; drawn anew when it changes, e.g. in another tab or on the phone."""

    def __init__(self, acts: AlertActs) -> None:
        self._acts = acts
        self._said: tuple[Alert, datetime | None] | None = None
        self.box = ui.element("div").classes("v-alert-row").mark("alert-row")
        self.box.props('tabindex="0" role="listitem"')

    def show(self, alert: Alert) -> None:
        muted = self._acts.board.mutes.get(alert.key)
        if self._said == (alert, muted):
            return
        self._said = (alert, muted)
        self.box._props["data-level"] = words.NAMES[alert.severity]
        self.box._props["data-done"] = str(_done(alert)).lower()
        self.box.update()
        self.box.clear()
        with self.box:
            self._draw(alert, muted)

    def _draw(self, alert: Alert, muted: datetime | None) -> None:
        now = self._acts.board.clock.now()
        glyph = ui.label(words.GLYPHS[alert.severity]).classes("v-glyph").mark("alert-level")
        glyph._props["title"] = words.NAMES[alert.severity]
        with ui.element("div").classes("v-alert-text"):
            with ui.element("div").classes("v-alert-head"):
                ui.label(alert.title).classes("v-alert-title").mark("alert-title")
                if alert.times > 1:
                    ui.label(f"\N{MULTIPLICATION SIGN}{alert.times}").classes("v-chip").mark(
                        "alert-times"
                    )
                ui.label(fmt.moment(alert.at, now)).classes("n v-faint")
            if alert.lines:
                ui.label(words.body(alert)).classes("v-lines v-alert-body").mark("alert-body")
            with ui.element("div").classes("v-alert-foot"):
                ui.label(words.told_of(alert, now)).classes("v-faint").mark("alert-told")
                link(alert)
                ui.element("div").classes("v-space")
                self._buttons(alert, muted)

    def _buttons(self, alert: Alert, muted: datetime | None) -> None:
        acts = self._acts
        if not _done(alert) and alert.id:
            small("Ack", "ack").on_click(lambda: acts.acknowledge([alert]))
        if muted is not None:
            at = fmt.clock(muted)[:5]
            button = small(f"Muted until {at}: unmute", "unmute")
            button.on_click(lambda: acts.mute(alert.key, 0))
        elif alert.kind == "health" and alert.occasion is not Occasion.END:
            button = small("Mute 1 h", "mute").classes("v-mute")
            button.on_click(lambda: acts.mute(alert.key))


class AlertList:
    """Rows in a given order; what stays is not drawn again, so that the focus stays on it."""

    def __init__(self, acts: AlertActs, empty: str) -> None:
        self._acts = acts
        self._rows: dict[tuple[int, str, datetime], AlertRow] = {}
        self._box = ui.element("div").classes("v-alert-list").props('role="list"')
        self._empty = ui.label(empty).classes("v-empty").mark("alerts-empty")

    def show(self, alerts: Sequence[Alert], empty: str = "") -> None:
        keys = {_identity(alert): alert for alert in alerts}
        for gone in self._rows.keys() - keys.keys():
            self._rows.pop(gone).box.delete()
        for place, (key, alert) in enumerate(keys.items()):
            if key not in self._rows:
                with self._box:
                    self._rows[key] = AlertRow(self._acts)
            row = self._rows[key]
            if self._box.default_slot.children.index(row.box) != place:
                row.box.move(target_index=place)
            row.show(alert)
        if empty:
            self._empty.set_text(empty)
        self._empty.set_visibility(not keys)


def link(alert: Alert) -> None:
    """Draw the way to the page that shows more, if it is one of ours."""
    where = words.place(alert.link)
    if where:
        with ui.element("a").classes("v-alert-link") as element:
            element._props["href"] = alert.link
            ui.label(where)


def small(text: str, marker: str) -> ui.button:
    button = ui.button(text, color=None).props("outline no-caps dense").classes("v-small")
    return button.mark(marker)


def _done(alert: Alert) -> bool:
    """Return whether nobody has to acknowledge it (any more)."""
    return alert.acknowledged is not None or alert.severity is Severity.INFO


def _identity(alert: Alert) -> tuple[int, str, datetime]:
    return (0, alert.key, alert.at) if not alert.id else (alert.id, "", alert.at)
