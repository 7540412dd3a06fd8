"""The ticket: an order put together by hand, with what it costs, and the way to its review."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from nicegui import background_tasks, ui

from dashboard import format as fmt
from dashboard import order_form as forms
from dashboard import order_words as words
from dashboard.fields import Choice, Complaint, Stepper, quick
from dashboard.frame import Tab
from dashboard.hold import Hold, Undo
from dashboard.live import Cell
from dashboard.receipt import OrderResult
from dashboard.review import Act, ReviewSheet, price_line, send_words
from dashboard.search import InstrumentSearch
from dashboard.sheet import DEPTH, Shown, Tone
from trading.checks import doubtful
from trading.desk import Desk
from trading.errors import Problem, VigilError
from trading.model import Instrument, InstrumentType
from trading.order import Order, OrderRequest, OrderType, Product, Side, Validity
from trading.order_book import OrderMoved

T = TypeVar("T")

ASK_AFTER: Final = 0.35  # seconds without a change before the broker is asked what it would cost
SHORTEST_REASON: Final = 5  # characters
PLACES: Final = {"quantity": "lots", "price": "price", "trigger": "trigger"}
LEG: Final = ("side", "product", "account")  # what says, with the instrument, which leg it is


def open_ticket(
    desk: Desk,
    tab: Tab,
    instrument_key: str,
    side: Side,
    *,
    units: int | None = None,
    product: Product | None = None,
    reduces: bool = False,
) -> None:
    """Open a ticket, filled as far as given: in the panel of the page, else as a sheet.

    `units` is rounded down to whole lots; `reduces` marks an exit.
    """
    if tab.panel is not None:
        tab.panel(instrument_key, side, units=units, product=product, reduces=reduces)
        return
    with ui.dialog() as dialog:
        dialog.on("hide", dialog.delete)
        with ui.card().classes("v-sheet v-ticket-sheet"):
            ticket = Ticket(desk, tab, sent=dialog.close)
            close = ui.button(icon="close", on_click=dialog.close, color=None)
            close.props('flat dense aria-label="Close the ticket"').classes("v-close")
    ticket.fill(instrument_key, side, units=units, product=product, reduces=reduces)
    dialog.open()


ONLY_INDEX: Final = (
    "That is an index: it cannot be traded itself. Search an option or a future of it, for "
    "example by its strike."
)


class Costs:
    """Margin, charges and free funds, each asked in the background; a dash says why it is one."""

    FACTS: Final = (("margin", "Margin"), ("charges", "Charges"), ("funds", "Free funds"))

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk = desk
        self._asked = 0
        self._cells: dict[str, Cell] = {}
        with ui.element("div").classes("v-costs") as self._box:
            for name, heading in self.FACTS:
                with ui.element("div"):
                    ui.label(heading).classes("v-faint")
                    self._cells[name] = Cell(tab.live, "n")
                    self._cells[name].mark(f"cost-{name}")
        self.forget("the ticket is not filled in yet")

    def forget(self, reason: str) -> None:
        self._asked += 1
        for name, _ in self.FACTS:
            self._show(name, _unknown(reason))

    def ask(self, request: OrderRequest, price: float) -> None:
        """Ask for what this would cost, once nothing has been changed for a moment."""
        self._asked += 1
        work = self._ask(self._asked, request, price)
        background_tasks.create(work, name="costs of a ticket", context=self._box)

    async def _ask(self, asked: int, request: OrderRequest, price: float) -> None:
        await asyncio.sleep(ASK_AFTER)
        if asked != self._asked:
            return
        broker = self._desk.accounts.brokers[request.account]
        margin, charges, funds = await asyncio.gather(
            _told(broker.margin([request]), lambda m: m.required),
            self._charges(request, price),
            _told(broker.funds(), lambda f: f.available),
        )
        if asked == self._asked:
            for name, shown in zip(("margin", "charges", "funds"), (margin, charges, funds),
                                   strict=True):  # fmt: skip
                self._show(name, shown)

    async def _charges(self, request: OrderRequest, price: float) -> Shown:
        if not math.isfinite(price):
            return _unknown("there is no price to reckon the charges with")
        broker = self._desk.accounts.brokers[request.account]
        return await _told(broker.charges(request, price), lambda paise: paise)

    def _show(self, name: str, shown: Shown) -> None:
        if not self._cells[name].is_deleted:
            self._cells[name].show(shown)


async def _told(answer: Awaitable[T], paise: Callable[[T], int]) -> Shown:
    try:
        return Shown(fmt.rupees(paise(await answer)))
    except VigilError as error:
        return _unknown(str(error))


def _unknown(reason: str) -> Shown:
    return Shown(fmt.DASH, Tone.NONE, reason)


class Ticket:
    """One order being put together. It sends nothing: the review sheet does."""

    def __init__(self, desk: Desk, tab: Tab, *, sent: Callable[[], object] = lambda: None) -> None:
        """`sent` is called when an order was sent and its review closed."""
        self._desk, self._tab, self._sent = desk, tab, sent
        self._form = forms.Form(desk.accounts.primary.account.id)
        self._instrument: Instrument | None = None
        self._again: Order | None = None  # an order in doubt for the same leg
        self._sheet: ReviewSheet | None = None
        with ui.element("div").classes("v-ticket").props('role="form" aria-label="ticket"'):
            self._hold = Hold(desk, "ticket")
            Undo(desk.orders.changes.subscribe(self._moved))
            InstrumentSearch(
                desk.catalogue,
                self._found,
                placeholder="What to trade: name, symbol or strike   ( / )",
                name="ticket-search",
                fits=lambda i: i.type is not InstrumentType.INDEX,
                unfit=ONLY_INDEX,
            )
            self._head = ui.element("div").classes("v-ticket-head")
            with ui.element("div").classes("v-ticket-body") as self._body:
                self._draw_fields()
            self._empty = ui.label(
                "Search what to trade, or choose a row and press B to buy or S to sell."
            ).classes("v-empty")
        self._body.set_visibility(False)

    # from outside

    @property
    def request(self) -> OrderRequest | None:
        """What the fields mean now, without a nonce; None while something is wrong with them."""
        return forms.read(self._form, self._instrument)[0] if self._instrument else None

    def fill(
        self,
        instrument_key: str,
        side: Side,
        *,
        units: int | None = None,
        product: Product | None = None,
        reduces: bool = False,
    ) -> None:
        """Begin anew with this instrument and side."""
        instrument = self._desk.catalogue.get(instrument_key)
        if instrument is None or instrument.type is InstrumentType.INDEX:
            self._say_untradable(instrument, instrument_key)
            return
        other = instrument_key != self._form.instrument_key
        form = self._form
        form.instrument_key, form.side, form.reduces = instrument_key, side, reduces
        form.product = product or form.product
        self._instrument = instrument
        if other:
            form.price = form.trigger = ""
            self._draw_head(instrument)
            self._draw_depth(instrument)
            self._hold.want([instrument_key], deep=True)
        if other or units is not None:
            form.lots = forms.typed_lots(units or 0, instrument)
        self._show_form()

    # drawing

    def _draw_fields(self) -> None:
        form = self._form
        self._side = Choice(
            "side", {Side.BUY: "Buy", Side.SELL: "Sell"}, form.side, partial(self._set, "side"),
            name="side", classes="v-sides",
        )  # fmt: skip
        with ui.element("div").classes("v-ticket-grid"):
            self._lots = self._stepper("Lots", "lots", forms.stepped_lots)
            with self._lots.beside:
                self._units = ui.label("").classes("v-faint").mark("units")
            with ui.element("div").classes("v-field"):
                ui.label("Product").classes("v-faint")
                products = {p: words.product(p, None) for p in (Product.INTRADAY, Product.DELIVERY)}
                self._product = Choice(
                    "product", products, form.product, partial(self._set, "product"), name="product"
                )
            with ui.element("div").classes("v-field"):
                ui.label("Type").classes("v-faint")
                self._type = Choice(
                    "type", words.TYPES, form.order_type, self._set_type, name="type"
                )
            with ui.element("div").classes("v-field"):
                ui.label("Valid for").classes("v-faint")
                valid = {Validity.DAY: "Day", Validity.IOC: "At once (IOC)"}
                self._validity = Choice(
                    "validity",
                    valid,
                    form.validity,
                    partial(self._set, "validity"),
                    name="validity",
                )
            self._price = self._stepper("Price", "price", self._step_price)
            with self._price.beside:
                for heading, name in (("LTP", "ltp"), ("Bid", "bid"), ("Ask", "ask")):
                    quick(heading, partial(self._take, name), f"take-{name}")
            self._trigger = self._stepper("Trigger", "trigger", self._step_price)
            with self._trigger.beside:
                self._passed = ui.label("").classes("v-caution").mark("passed")
        self._draw_accounts()
        self._draw_doubt()
        self._depth = ui.element("div").classes("v-book").props('role="table" aria-label="depth"')
        self._costs = Costs(self._desk, self._tab)
        self._other = Complaint("ticket")
        button = ui.button("Review", on_click=self._review, color=None).mark("review")
        button.props("unelevated no-caps").classes("v-review-button")
        self._button = button

    def _stepper(self, label: str, name: str, step: Callable[[str, int], str]) -> Stepper:
        return Stepper(
            label,
            getattr(self._form, name),
            step=step,
            changed=partial(self._set, name),
            entered=self._review,
            name=name,
        )

    def _draw_accounts(self) -> None:
        states = self._desk.accounts.all()
        if len(states) > 1:
            with ui.element("div").classes("v-field"):
                ui.label("Account").classes("v-faint")
                names = {s.account.id: s.account.name for s in states}
                Choice(
                    "account", names, self._form.account, partial(self._set, "account"),
                    name="account",
                )  # fmt: skip

    def _draw_doubt(self) -> None:
        with ui.element("div").classes("v-doubt").mark("doubt") as self._doubt:
            self._doubt_words = ui.label("")
            self._reason = ui.input("Why send it again all the same?")
            self._reason.props("dense outlined").mark("reason")
            self._doubt_complaint = Complaint("reason")
        self._doubt.set_visibility(False)

    def _draw_head(self, instrument: Instrument) -> None:
        key = instrument.instrument_key
        self._head.clear()
        with self._head:
            title = ui.label(instrument.title).classes("v-title").mark("ticket-title")
            title._props["title"] = key
            price_line(self._desk, self._tab.live, key)
            Undo(self._desk.marks.want("ticket", [key]))

    def _draw_depth(self, instrument: Instrument) -> None:
        self._depth.clear()
        live, key = self._tab.live, instrument.instrument_key
        with self._depth:
            for heading in ("Qty", "Bid", "Ask", "Qty"):
                ui.label(heading).classes("v-faint")
            for level in range(DEPTH):
                for name in ("bid_qty", "bid", "ask", "ask_qty"):
                    live.cell(key, f"{name}_{level}", "price" if name in ("bid", "ask") else "")
        live.watch(key, self._depth)

    def _say_untradable(self, instrument: Instrument | None, key: str) -> None:
        why = "is an index: it cannot be traded itself, its options and futures can"
        if instrument is None:
            why = "is not listed any more"
        self._tab.say(f"{words.title(instrument, key)} {why}")

    # what is typed

    async def _found(self, instrument: Instrument) -> None:
        self.fill(instrument.instrument_key, self._form.side)

    def _set(self, name: str, value: object) -> None:
        setattr(self._form, name, value)
        if name in LEG:
            self._form.reduces = False  # it is not the position any more that was to be closed
        self._judge()

    def _set_type(self, kind: OrderType) -> None:
        self._form.order_type = kind
        if kind.has_price and not self._form.price:
            self._take("ltp")
        self._judge()

    def _step_price(self, text: str, steps: int) -> str:
        if self._instrument is None:
            return text
        start = self._market("ltp")
        return forms.stepped(text, steps, size=self._instrument.tick_size, start=start)

    def _take(self, name: str) -> None:
        """Take a price of the market into the price field, if there is one."""
        price = self._market(name)
        if math.isfinite(price) and price > 0:
            self._form.price = forms.written(price)
            self._price.set(self._form.price)

    def _market(self, name: str) -> float:
        tick = self._desk.market_data.last(self._form.instrument_key)
        return math.nan if tick is None else float(getattr(tick, name))

    def _show_form(self) -> None:
        form, instrument = self._form, self._instrument
        derivative = instrument is not None and instrument.type in words.DERIVATIVES
        carried = words.product(Product.DELIVERY, instrument)
        self._product.rename({Product.DELIVERY: carried})
        self._lots.rename("Lots" if derivative else "Shares")
        self._side.set(form.side)
        self._product.set(form.product)
        self._lots.set(form.lots)
        self._price.set(form.price)
        self._trigger.set(form.trigger)
        self._body.set_visibility(True)
        self._empty.set_visibility(False)
        self._judge()

    def _judge(self) -> list[Problem]:
        """Say beside each field what is wrong with it; ask what it costs if nothing is."""
        form, instrument = self._form, self._instrument
        if instrument is None:
            return []
        request, found = forms.read(form, instrument)
        self._price.box.set_visibility(form.order_type.has_price)
        self._trigger.box.set_visibility(form.order_type.has_trigger)
        self._complain(found)
        self._show_units(request, instrument)
        self._passed.set_text(words.passed(request, self._market("ltp")) if request else "")
        self._show_doubt()
        self._button.set_text(f"Review {self._desk.world.word} {words.verb(form.side).lower()}")
        self._button.props(f'data-side="{form.side}"')
        if request is None:
            self._costs.forget("something on the ticket has to be mended first")
        else:
            self._costs.ask(request, self._reckoned(request))
        return found

    def _reckoned(self, request: OrderRequest) -> float:
        """Return the price to reckon charges with: the limit, else what the market asks."""
        if request.order_type.has_price:
            return request.price
        best = self._market("ask" if request.side is Side.BUY else "bid")
        return best if math.isfinite(best) and best > 0 else self._market("ltp")

    def _show_units(self, request: OrderRequest | None, instrument: Instrument) -> None:
        if request is None:
            self._units.set_text("")
            return
        parts = [f"{fmt.grouped(str(request.quantity))} units"] if instrument.lot_size > 1 else []
        parts += [words.sliced(request.quantity, instrument)]
        self._units.set_text(" · ".join(part for part in parts if part))

    def _complain(self, found: Sequence[Problem]) -> None:
        said = {problem.field: problem.words for problem in found}
        for field, box in (("quantity", self._lots), ("price", self._price),
                           ("trigger", self._trigger)):  # fmt: skip
            box.complaint.say(said.pop(field, ""))
        self._other.say("; ".join(said.values()))

    def _show_doubt(self) -> None:
        request = self.request
        again = doubtful(self._desk.orders.working(), request) if request else None
        if again != self._again:
            self._again = again
            self._doubt.set_visibility(again is not None)
        if again is not None:
            asked = words.sentence(again.request, self._instrument)
            self._doubt_words.set_text(
                f"IN DOUBT since {fmt.clock(again.created)}: {asked}. It may exist. Sent again, "
                "you may hold it twice."
            )

    def _moved(self, moved: OrderMoved) -> None:
        if moved.after.request.instrument_key == self._form.instrument_key:
            self._show_doubt()

    # review

    async def _review(self) -> None:
        if self._instrument is None:
            return
        if found := self._judge():
            self._point_at(found)
            return
        request = self.request
        if request is None or not self._reasoned():
            return
        found = await self._desk.orders.check(replace(request, nonce="review"))
        fields = [problem for problem in found if problem.field in PLACES]
        if self._body.is_deleted:
            return
        if fields:
            self._complain(fields)
            self._point_at(fields)
            return
        self._open_sheet(request)

    def _point_at(self, found: Sequence[Problem]) -> None:
        """Say at the button which fields hold it up: on a phone they may be out of sight."""
        named = {"quantity": self._lots, "price": self._price, "trigger": self._trigger}
        places = dict.fromkeys(named[p.field].label for p in found if p.field in named)
        if places:
            self._other.say(f"First mend above: {', '.join(places)}.")

    def _open_sheet(self, request: OrderRequest) -> None:
        """Open the review, unless it is open: a second press of the button asks for no second."""
        if self._sheet is not None and not self._sheet.dialog.is_deleted:
            return
        with self._body:
            self._sheet = ReviewSheet(self._desk, self._tab, self._act(request), sent=self._sent)

    def _reasoned(self) -> bool:
        """Return whether a second order for a leg in doubt has its typed reason."""
        self._show_doubt()
        enough = self._again is None or len((self._reason.value or "").strip()) >= SHORTEST_REASON
        self._doubt_complaint.say("" if enough else "type why it has to be sent again")
        return enough

    def _act(self, request: OrderRequest) -> Act:
        side, known = words.verb(request.side).lower(), ""
        if self._again is not None:
            known, why = self._again.id, (self._reason.value or "").strip()
            request = replace(request, source=f"ticket, although {known} is in doubt: {why}")
        return order_act(self._desk, self._tab, request, f"Review: {side}", known=known)


def order_act(desk: Desk, tab: Tab, request: OrderRequest, title: str, *, known: str = "") -> Act:
    """Return the review of one order; `known` is one in doubt that it is sent in spite of."""

    def refuse() -> str:
        lost = doubtful(desk.orders.working(), request)
        if lost is None or lost.id == known:
            return ""
        return f"{lost.id}, the same leg, is in doubt: close this and type a reason on the ticket."

    async def send(nonce: str) -> Callable[[], None]:
        order = await desk.orders.place(replace(request, nonce=nonce))
        return lambda: _shown_result(desk, tab, order)

    return Act(
        title=title,
        button=send_words(desk, words.verb(request.side).lower()),
        content=request,
        account=request.account,
        keys=(request.instrument_key,),
        strict=not request.reduces,
        draw=lambda: _draw_request(desk, tab, request),
        check=lambda: desk.orders.check(replace(request, nonce="review")),
        send=send,
        refuse=refuse,
    )


def _shown_result(desk: Desk, tab: Tab, order: Order) -> None:
    OrderResult(desk, tab.live, order)


def _draw_request(desk: Desk, tab: Tab, request: OrderRequest) -> None:
    instrument = desk.catalogue.get(request.instrument_key)
    side = ui.label(words.sentence(request, instrument)).classes("v-sentence-line")
    side.props(f'data-side="{request.side}"').mark("sentence")
    price_line(desk, tab.live, request.instrument_key)
    with ui.element("div").classes("v-facts-list"):
        for heading, value in _facts(desk, request, instrument):
            ui.label(heading)
            ui.label(value).classes("n")
    costs = Costs(desk, tab)
    costs.ask(request, price_of(desk, request))


def price_of(desk: Desk, request: OrderRequest) -> float:
    """Return the price to reckon a request's costs with: its limit, else the market's, or NaN."""
    mark = desk.marks.of(request.instrument_key)
    if request.order_type.has_price:
        return request.price
    return math.nan if mark is None else mark.price


def _facts(
    desk: Desk, request: OrderRequest, instrument: Instrument | None
) -> list[tuple[str, str]]:
    state = desk.accounts.get(request.account)
    facts = [
        ("Quantity", words.quantity(request.quantity, instrument)),
        ("Product", words.product(request.product, instrument)),
        ("Valid for", "the day" if request.validity is Validity.DAY else "at once or not at all"),
        ("Account", state.account.name if state else request.account),
    ]
    parts = words.sliced(request.quantity, instrument) if instrument else ""
    if parts:
        facts.append(("Above freeze", f"the broker splits it into {parts}"))
    mark = desk.marks.of(request.instrument_key)
    if mark is not None and (caution := words.passed(request, mark.price)):
        facts.append(("Careful", caution))
    if request.reduces:
        facts.append(("Kind", "an exit"))
    if request.source != "ticket":
        facts.append(("Why", request.source))
    return facts
