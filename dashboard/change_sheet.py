"""The sheet that changes a working order: what is typed, against what stands."""

from collections.abc import Callable
from functools import partial

from nicegui import ui

from dashboard import order_form as forms
from dashboard import order_words as words
from dashboard.fields import Complaint, Stepper
from dashboard.frame import Tab, mode_class
from dashboard.hold import Hold, Undo
from dashboard.receipt import OrderResult
from dashboard.review import price_line
from dashboard.ticket import Costs, price_of
from trading.desk import Desk
from trading.errors import Denied, Problem, VigilError
from trading.model import Instrument
from trading.order import Order, OrderChange, OrderRequest
from trading.order_book import OrderMoved


class ChangeSheet:
    """Opens at once; one press asks the broker for the change, and the sheet says what came."""

    def __init__(self, desk: Desk, tab: Tab, order: Order) -> None:
        self._desk, self._tab, self._order = desk, tab, order
        request = order.request
        instrument = desk.catalogue.get(request.instrument_key)
        self._instrument = instrument
        self._form = _form(request, instrument) if instrument else forms.Form(request.account)
        self._boxes: dict[str, Stepper] = {}
        self._pressed = False
        self._known = 0  # steps of the order before the change was asked
        with ui.dialog().props('aria-label="change the order"') as self.dialog:
            self.dialog.on("hide", self.dialog.delete)
            Undo(desk.orders.changes.subscribe(self._moved))
            with ui.card().classes("v-sheet v-review"):
                with ui.element("div").classes("v-review-head"):
                    ui.label(desk.world.word).classes(f"v-mode {mode_class(desk.world)}")
                    ui.label("Change the order").classes("v-title")
                self._stands = ui.label(f"Stands: {self._standing()}.").mark("change-stands")
                price_line(desk, tab.live, request.instrument_key)
                Hold(desk, "change").want([request.instrument_key])
                self._draw_fields(request)
                self._costs = Costs(desk, tab)
                self._ask()
                self._words = Complaint("change")
                self._result = ui.element("div").classes("v-review-result")
                with ui.element("div").classes("v-review-foot"):
                    self._close = ui.button("Leave it", on_click=self.dialog.close, color=None)
                    self._close.props("flat no-caps autofocus")
                    words_ = f"Change {desk.world.word} order"
                    self._send = ui.button(words_, on_click=self._press, color=None)
                    self._send.props("unelevated no-caps").classes("v-send").mark("change")
        self.dialog.open()

    def _draw_fields(self, request: OrderRequest) -> None:
        with ui.element("div").classes("v-ticket-grid"):
            shares = self._instrument is None or self._instrument.type not in words.DERIVATIVES
            self._box("Shares" if shares else "Lots", "lots", forms.stepped_lots)
            if request.order_type.has_price:
                self._box("Price", "price", self._step_price)
            if request.order_type.has_trigger:
                self._box("Trigger", "trigger", self._step_price)

    def _box(self, label: str, name: str, step: Callable[[str, int], str]) -> None:
        self._boxes[name] = Stepper(
            label,
            getattr(self._form, name),
            step=step,
            changed=partial(self._set, name),
            entered=lambda: None,
            name=f"change-{name}",
        )

    def _step_price(self, text: str, steps: int) -> str:
        size = self._instrument.tick_size if self._instrument else 0.05
        return forms.stepped(text, steps, size=size, start=self._order.request.price)

    def _moved(self, moved: OrderMoved) -> None:
        """Follow the order until the press: it may be filled or changed elsewhere meanwhile."""
        if moved.after.id == self._order.id and not self._pressed:
            self._order = moved.after
            self._stands.set_text(f"Stands: {self._standing()}.")

    def _standing(self) -> str:
        asked = words.sentence(self._order.request, self._instrument)
        return f"{asked}; {words.filled(self._order)} filled"

    def _set(self, name: str, value: str) -> None:
        setattr(self._form, name, value)
        self._ask()

    def _ask(self) -> None:
        """Ask what the whole order costs as it is typed now, if that is an order at all."""
        if self._instrument is None:
            return
        request, _ = forms.read(self._form, self._instrument)
        if request is None:
            self._costs.forget("something has to be mended first")
        else:
            self._costs.ask(request, price_of(self._desk, request))

    async def _press(self) -> None:
        if self._pressed or self._instrument is None:
            return
        asked, found = forms.read(self._form, self._instrument)
        self._complain(found)
        if asked is None:
            return
        change = difference(self._order.request, asked)
        if change is None:
            self._words.say("Nothing is different from what stands.")
            return
        self._pressed = True
        self._send.disable()
        self._words.say("")
        self._known = len(self._order.steps)
        await self._change(change)

    async def _change(self, change: OrderChange) -> None:
        try:
            order = await self._desk.orders.modify(self._order.id, change)
        except Denied as error:
            self._refused(list(error.problems), str(error))
        except VigilError as error:
            self._refused([], f"Not changed: {error}. The order stands as it was.")
        else:
            if not self.dialog.is_deleted:
                self._done(order, change)

    def _done(self, order: Order, change: OrderChange) -> None:
        def tell(told: Order) -> words.Outcome:
            return words.change_outcome(told, change, self._instrument, known=self._known)

        self._send.set_visibility(False)
        self._close.set_text("Close")
        self._stands.set_text(f"Before: {self._standing()}.")
        with self._result:
            OrderResult(self._desk, self._tab.live, order, tell=tell)

    def _refused(self, found: list[Problem], text: str) -> None:
        """Say it beside the fields that it names; nothing was sent, so it can be pressed again."""
        if self.dialog.is_deleted:
            return
        self._pressed = False
        self._send.enable()
        self._complain(found)
        if not any(problem.field in FIELDS for problem in found):
            self._words.say(text)

    def _complain(self, found: list[Problem]) -> None:
        said = {FIELDS.get(problem.field, ""): problem.words for problem in found}
        for name, box in self._boxes.items():
            box.complaint.say(said.get(name, ""))
        self._words.say(said.get("", ""))


FIELDS = {"quantity": "lots", "price": "price", "trigger": "trigger"}


def difference(stands: OrderRequest, asked: OrderRequest) -> OrderChange | None:
    """Return what is different, or None."""
    quantity = asked.quantity if asked.quantity != stands.quantity else None
    price = asked.price if asked.price != stands.price else None
    trigger = asked.trigger if asked.trigger != stands.trigger else None
    if quantity is price is trigger is None:
        return None
    return OrderChange(quantity=quantity, price=price, trigger=trigger)


def _form(request: OrderRequest, instrument: Instrument) -> forms.Form:
    return forms.Form(
        request.account,
        request.instrument_key,
        request.side,
        forms.typed_lots(request.quantity, instrument),
        request.product,
        request.order_type,
        forms.written(request.price) if request.price else "",
        forms.written(request.trigger) if request.trigger else "",
        request.validity,
    )
