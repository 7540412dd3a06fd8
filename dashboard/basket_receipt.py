"""The receipt of a basket: a ladder of its legs that follows what is told of them."""

from nicegui import ui

from dashboard import basket_words as words
from dashboard import format as fmt
from dashboard.hold import Undo
from dashboard.live import Cell, Live
from dashboard.sheet import Shown
from trading.basket import Basket, OnFilled
from trading.basket_book import BasketMoved
from trading.desk import Desk
from trading.errors import VigilError


class BasketReceipt:
    """One basket: its outcome in words, a line for each leg, and the choice if it asks."""

    def __init__(self, desk: Desk, live: Live, basket: Basket) -> None:
        self._desk = desk
        self._id = basket.id
        basket = desk.baskets.get(basket.id) or basket
        self.box = ui.element("article").classes("v-receipt").mark(f"receipt-{basket.id}")
        with self.box:
            Undo(desk.baskets.changes.subscribe(self._moved))
            with ui.element("div").classes("v-receipt-head"):
                ui.label(fmt.moment(basket.created, desk.clock.now())).classes("n v-faint")
                ui.label(words.name(basket)).classes("v-title")
                self._state = Cell(live, "status").mark("basket-state")
                ui.element("div").classes("v-space")
                self._summary = Cell(live, "n v-faint").mark("basket-summary")
            self._meaning = Cell(live, "v-note").mark("basket-meaning")
            self._reason = Cell(live, "v-note").mark("basket-reason")
            self._legs = [self._draw_leg(live, basket, n) for n in range(len(basket.legs))]
            self._choice = ui.element("div").classes("v-choice-row")
            with self._choice:
                self._button("Reverse the filled legs", OnFilled.REVERSE)
                self._button("Keep the filled legs", OnFilled.KEEP)
        self._show(basket)

    def _draw_leg(self, live: Live, basket: Basket, index: int) -> tuple[Cell, Cell]:
        leg = basket.legs[index]
        instrument = self._desk.catalogue.get(leg.request.instrument_key)
        with ui.element("div").classes("v-rung"):
            ui.label(words.leg_asked(leg, instrument)).classes("v-rung-asked")
            result = Cell(live, "status").mark(f"leg-{leg.number}")
            undone = Cell(live, "status").mark(f"undone-{leg.number}")
        return result, undone

    def _button(self, text: str, choice: OnFilled) -> None:
        button = ui.button(text, on_click=lambda: self._decide(choice), color=None)
        button.props("outline no-caps").mark(f"decide-{choice}")

    def _decide(self, choice: OnFilled) -> None:
        try:
            self._desk.baskets.decide(self._id, choice)
        except VigilError as error:
            ui.notify(str(error), position="bottom-right")

    def _moved(self, moved: BasketMoved) -> None:
        if moved.after.id == self._id:
            self._show(moved.after)

    def _show(self, basket: Basket) -> None:
        self._state.show(words.state(basket))
        self._summary.show(Shown(words.summary(basket)))
        premium = words.premium(basket, self._desk.catalogue.get)
        self._meaning.show(Shown(f"{words.meaning(basket)} {premium}".strip()))
        self._reason.show(Shown(basket.reason))
        final = basket.state.final
        for leg, (result, undone) in zip(basket.legs, self._legs, strict=True):
            result.show(words.leg_result(leg))
            undone.show(words.leg_undone(leg, final=final))
        self._choice.set_visibility(basket.asking)
