"""The banner above every page: only for what a person must look at, until he says that he has."""

from nicegui import ui

from dashboard import basket_words as words
from dashboard import format as fmt
from dashboard.hold import Undo
from trading.basket import Basket
from trading.basket_book import BasketMoved
from trading.desk import Desk
from trading.errors import VigilError


class Banner:
    """One line for each basket that is unresolved and not acknowledged."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines: dict[str, ui.element] = {}
        self._box = ui.element("div").classes("v-banner").props('role="alert"').mark("banner")
        with self._box:
            Undo(desk.baskets.changes.subscribe(self._moved))
        for basket in desk.baskets.all():
            self._show(basket)

    def _moved(self, moved: BasketMoved) -> None:
        self._show(moved.after)

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
        try:
            self._desk.baskets.acknowledge(basket_id)
        except VigilError as error:
            ui.notify(str(error), position="bottom-right")
