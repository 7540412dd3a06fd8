"""The banner above every page: only for what a person must look at, until he says that he has."""

from collections.abc import Callable

from nicegui import background_tasks, ui
from nicegui.element import Element

from dashboard import alert_words as alerts
from dashboard import basket_words as words
from dashboard import format as fmt
from dashboard.alert_acts import AlertActs
from dashboard.alert_board import AlertBoard
from dashboard.hold import Undo
from trading.basket import Basket
from trading.basket_book import BasketMoved
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Alert


class Banner:
    """A line for each basket that is unresolved, and one for the critical alerts of the desk.

    Of several alerts the newest is told, with the number of the others: they open with the bell.
    """

    def __init__(
        self, desk: Desk, board: AlertBoard, acts: AlertActs, details: Callable[[], None]
    ) -> None:
        self._desk, self._board, self._acts, self._details = desk, board, acts, details
        self._lines: dict[str, ui.element] = {}
        self._told: tuple[Alert, int] | None = None
        self._alert_line: Element | None = None
        self._box = ui.element("div").classes("v-banner").props('role="alert"').mark("banner")
        with self._box:
            Undo(desk.baskets.changes.subscribe(self._moved))
            Undo(board.changes.subscribe(lambda _: self._alerted()))
        for basket in desk.baskets.all():
            self._show(basket)
        self._alerted()

    # baskets

    def _moved(self, moved: BasketMoved) -> None:
        self._show(moved.after)
        self._alerted()

    def _show(self, basket: Basket) -> None:
        line = self._lines.pop(basket.id, None)
        if line is not None:
            line.delete()
        if basket.alarming:
            with self._box:
                self._lines[basket.id] = self._line(basket)

    def _line(self, basket: Basket) -> ui.element:
        at = fmt.moment(basket.created, self._desk.clock.now())
        with ui.element("div").classes("v-alarm") as line:
            ui.label(f"✖ UNRESOLVED: {words.name(basket)} of {at}, {basket.reason}").mark("alarm")
            with ui.element("a").props('href="/orders"'):
                ui.label("Look at it")
            button = ui.button(
                "I have taken note", on_click=lambda: self._note(basket.id), color=None
            )
            button.props("outline no-caps").mark("acknowledge")
        return line

    def _note(self, basket_id: str) -> None:
        """Take note of a basket, and of what was told of it: it is one matter."""
        key = _key_of(basket_id)
        told = [alert for alert in self._board.unacknowledged if alert.key == key]
        try:
            self._desk.baskets.acknowledge(basket_id)
        except VigilError as error:
            ui.notify(str(error), position="bottom-right")
            return
        if told:
            work = self._acts.acknowledge(told)
            background_tasks.create(work, name="alerts of a basket", context=self._box)

    # alerts

    def _alerted(self) -> None:
        told_above = {_key_of(basket_id) for basket_id in self._lines}
        found = [alert for alert in self._board.acting() if alert.key not in told_above]
        told = (found[0], len(found) - 1) if found else None
        if told == self._told:
            return
        self._told = told
        if self._alert_line is not None:
            self._alert_line.delete()
            self._alert_line = None
        if told is not None:
            with self._box:
                self._alert_line = self._line_of(*told)

    def _line_of(self, alert: Alert, more: int) -> Element:
        told = fmt.moment(alert.at, self._desk.clock.now())  # it may have begun before
        with ui.element("div").classes("v-alarm") as line:
            meaning = f" · {alert.lines[0]}" if alert.lines else ""
            ui.label(f"✖ {alert.title}{meaning} · told {told}").mark("critical")
            if more:
                button = ui.button(f"+{more} critical", color=None).mark("more-critical")
                button.props("outline no-caps").on_click(self._details)
            if alerts.feed_of(alert):
                button = ui.button("Reconnect now", color=None).mark("banner-reconnect")
                button.props("outline no-caps").on_click(lambda: self._acts.reconnect(alert))
            with ui.element("a") as link:
                link._props["href"] = alert.link if alerts.place(alert.link) else "/alerts"
                ui.label("Details")
            if alert.id:
                button = ui.button("Ack", color=None).mark("banner-ack")
                button.props("outline no-caps")
                button.on_click(lambda: self._acts.acknowledge([alert]))
        return line


def _key_of(basket_id: str) -> str:
    """Return the key of the alerts about a basket: the rule's name, and what it is about."""
    return f"unresolved_basket {basket_id}"
