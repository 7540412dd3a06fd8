"""The basket builder: legs by hand or from a template, what they promise, and their review."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final

from nicegui import background_tasks, ui

from dashboard import basket_words
from dashboard import format as fmt
from dashboard import order_form as forms
from dashboard import order_words as words
from dashboard import payoff_chart as charts
from dashboard.basket_receipt import BasketReceipt
from dashboard.fields import Choice, Complaint, Stepper
from dashboard.frame import Tab
from dashboard.hold import Hold, Undo
from dashboard.live import Cell
from dashboard.payoff_chart import PayoffChart
from dashboard.review import Act, ReviewSheet, price_line, send_words
from dashboard.search import InstrumentSearch, marker
from dashboard.sheet import Shown, Tone
from dashboard.ticket import ONLY_INDEX
from trading.basket import BasketRequest, OnFilled
from trading.basket_review import Preview
from trading.checks import doubtful
from trading.desk import Desk
from trading.errors import Denied, Problem, VigilError
from trading.hours import IST
from trading.model import Instrument, InstrumentType
from trading.order import OrderRequest, OrderType, Product, Side
from trading.strategies import LEGS, Template
from trading.strategies import build as build_template

MOST_LEGS: Final = 10
ASK_AFTER: Final = 0.4  # seconds without a change before the broker is asked
REDRAW: Final = 1.0  # seconds between two looks at what the legs promise now
LEG_TYPES: Final = {OrderType.MARKET: "Market", OrderType.LIMIT: "Limit"}
PROMISES: Final = (
    ("premium", "Net premium"),
    ("gain", "Most it can gain"),
    ("loss", "Most it can lose"),
    ("evens", "Break-even at"),
)
NUMBERS: Final = {"width": ("Width", "2"), "wing": ("Wing", "2"), "lots": ("Lots", "1")}
COSTS: Final = (
    ("margin", "Margin, while the legs go in"),
    ("final", "Margin, once all stand"),
    ("funds", "Free funds"),
    ("unwinding", "Worst cost of undoing it at once"),
)


@dataclass(slots=True)
class Basket:
    """What is being put together; everything as it was typed."""

    account: str
    product: Product = Product.INTRADAY
    rollback: bool = True
    on_filled: OnFilled = OnFilled.REVERSE
    name: str = ""
    legs: list["LegRow"] = field(default_factory=list)


class LegRow:
    """One leg as a row: side, lots, type and price, with what the market says of it."""

    def __init__(
        self,
        desk: Desk,
        tab: Tab,
        instrument: Instrument,
        form: forms.Form,
        *,
        changed: Callable[[], None],
        remove: Callable[["LegRow"], None],
    ) -> None:
        self._desk, self.instrument, self.form = desk, instrument, form
        self._changed = changed
        key = instrument.instrument_key
        with ui.element("div").classes("v-leg").mark(marker("leg", key)) as self.box:
            with ui.element("div").classes("v-leg-name"):
                ui.label(instrument.title).classes("v-name")
                price_line(desk, tab.live, key)
            sides = {Side.BUY: "B", Side.SELL: "S"}
            Choice("side", sides, form.side, partial(self._set, "side"), name=marker("side", key),
                   classes="v-sides")  # fmt: skip
            self._lots = self._stepper("Lots", "lots", forms.stepped_lots)
            Choice("type", LEG_TYPES, form.order_type, self._set_type, name=marker("type", key))
            self._price = self._stepper("Price", "price", self._step_price)
            self.other = Complaint(marker("leg", key))
            button = ui.button(icon="close", on_click=lambda: remove(self), color=None)
            button.props('flat dense aria-label="Remove this leg"').mark(marker("remove", key))
        self._price.box.set_visibility(form.order_type.has_price)

    def read(self, basket: Basket) -> tuple[OrderRequest | None, list[Problem]]:
        """Return the leg without its nonce, or all that is wrong with what was typed."""
        self.form.account, self.form.product = basket.account, basket.product
        request, found = forms.read(self.form, self.instrument)
        return (None if request is None else replace(request, source="basket")), found

    def complain(self, found: Sequence[Problem]) -> None:
        said = {problem.field: problem.words for problem in found}
        self._lots.complaint.say(said.pop("quantity", ""))
        self._price.complaint.say(said.pop("price", ""))
        self.other.say("; ".join(said.values()))

    def _stepper(self, label: str, name: str, step: Callable[[str, int], str]) -> Stepper:
        return Stepper(
            label,
            getattr(self.form, name),
            step=step,
            changed=partial(self._set, name),
            entered=lambda: None,
            name=marker(name, self.instrument.instrument_key),
        )

    def _set(self, name: str, value: object) -> None:
        setattr(self.form, name, value)
        self._changed()

    def _set_type(self, kind: OrderType) -> None:
        self.form.order_type = kind
        self._price.box.set_visibility(kind.has_price)
        mark = self._desk.marks.of(self.instrument.instrument_key)
        if kind.has_price and not self.form.price and mark is not None:
            self._price.set(forms.written(mark.price))
        self._changed()

    def _step_price(self, text: str, steps: int) -> str:
        mark = self._desk.marks.of(self.instrument.instrument_key)
        start = math.nan if mark is None else mark.price
        return forms.stepped(text, steps, size=self.instrument.tick_size, start=start)


class Builder:
    """The page: the template row, the legs, and what they promise."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        self._desk, self._tab = desk, tab
        self._basket = Basket(desk.accounts.primary.account.id)
        self._asked = 0
        self._sheet: ReviewSheet | None = None
        self._wanted: Callable[[], None] = lambda: None
        with ui.element("div").classes("v-basket"):
            self._hold = Hold(desk, "basket")
            Undo(lambda: self._wanted())
            with ui.element("section").classes("v-panel v-legs").props('aria-label="legs"'):
                self._templates = Templates(desk, self._use, self._want)
                self._draw_headings()
                self._legs = ui.element("div").classes("v-leg-rows")
                self._empty = ui.label(
                    "No leg yet. Take a template above, or search an instrument below."
                ).classes("v-empty")
                InstrumentSearch(
                    desk.catalogue,
                    self._found,
                    placeholder="Add a leg: name, symbol or strike   ( / )",
                    name="leg-search",
                    fits=lambda i: i.type is not InstrumentType.INDEX,
                    unfit=ONLY_INDEX,
                )
                self._complaint = Complaint("basket")
                self._draw_terms()
            with ui.element("section").classes("v-panel v-promise").props('aria-label="pay-off"'):
                self._draw_promise()
        self._changed()

    # drawing

    def _draw_headings(self) -> None:
        """Name the columns of the legs; on a phone each field has its own name instead."""
        with ui.element("div").classes("v-leg v-leg-head v-faint") as self._headings:
            for heading in ("Leg", "Buy or sell", "Lots", "Type", "Price", ""):
                ui.label(heading)

    def _draw_terms(self) -> None:
        basket = self._basket
        with ui.element("div").classes("v-terms"):
            products = {Product.INTRADAY: "Intraday", Product.DELIVERY: "Carry forward"}
            Choice("product", products, basket.product, self._set_product, name="basket-product")
            self._rollback = ui.switch(
                "Undo the rest if a leg fails", value=basket.rollback, on_change=self._set_rollback
            ).mark("rollback")
            self._on_filled = Choice(
                "filled legs", basket_words.CHOICES, basket.on_filled, self._set_on_filled,
                name="on-filled",
            )  # fmt: skip
        self._draw_accounts()
        self._promise = ui.label("").classes("v-note").mark("promise")
        self._button = ui.button(
            f"Review {self._desk.world.word} basket", on_click=self._review, color=None
        )
        self._button.props("unelevated no-caps").classes("v-review-button").mark("review-basket")
        self._say_promise()

    def _draw_accounts(self) -> None:
        states = self._desk.accounts.all()
        if len(states) > 1:
            names = {s.account.id: s.account.name for s in states}
            Choice("account", names, self._basket.account, self._set_account, name="account")

    def _draw_promise(self) -> None:
        live = self._tab.live
        ui.label("At expiry").classes("v-title")
        self._chart = PayoffChart()
        self._why_not = ui.label("").classes("v-note").mark("why-no-payoff")
        self._cells: dict[str, Cell] = {}
        with ui.element("div").classes("v-facts-list"):
            for name, heading in (*PROMISES, *COSTS):
                ui.label(heading)
                self._cells[name] = Cell(live, "n")
                self._cells[name].mark(f"basket-{name}")
        self._unknown = ui.label("").classes("v-note").mark("basket-unknown")
        ui.label(
            "Before charges. Legs at the market are reckoned at the other side of the book as it "
            "is now; the exchange promises none of these prices."
        ).classes("v-note")
        ui.timer(REDRAW, self._redraw)

    # what is changed

    def _use(self, name: str, legs: Sequence[tuple[Instrument, Side, int]]) -> None:
        """Take the legs of a template in the place of those there are."""
        for row in self._basket.legs:
            row.box.delete()
        self._basket.legs.clear()
        self._basket.name = name
        for instrument, side, units in legs:
            self._add(instrument, side, forms.typed_lots(units, instrument))
        self._changed()

    async def _found(self, instrument: Instrument) -> None:
        if len(self._basket.legs) >= MOST_LEGS:
            self._complaint.say(f"A basket has at most {MOST_LEGS} legs.")
            return
        self._basket.name = ""
        self._add(instrument, Side.BUY, "1")
        self._changed()

    def _add(self, instrument: Instrument, side: Side, lots: str) -> None:
        form = forms.Form(self._basket.account, instrument.instrument_key, side, lots)
        with self._legs:
            row = LegRow(
                self._desk, self._tab, instrument, form, changed=self._changed, remove=self._remove
            )
        self._basket.legs.append(row)

    def _remove(self, row: LegRow) -> None:
        self._basket.legs.remove(row)
        self._basket.name = ""
        row.box.delete()
        self._changed()

    def _set_product(self, product: Product) -> None:
        self._basket.product = product
        self._changed()

    def _set_account(self, account: str) -> None:
        self._basket.account = account
        self._changed()

    def _set_rollback(self) -> None:
        self._basket.rollback = bool(self._rollback.value)
        self._say_promise()

    def _set_on_filled(self, chosen: OnFilled) -> None:
        self._basket.on_filled = chosen
        self._say_promise()

    def _say_promise(self) -> None:
        basket = self._basket
        self._promise.set_text(basket_words.promise(basket.on_filled, rollback=basket.rollback))

    def _want(self) -> None:
        """Want the prices of the legs and of what the template is centred on."""
        keys = [row.instrument.instrument_key for row in self._basket.legs]
        keys += [self._templates.underlying] if self._templates.underlying else []
        self._hold.want(keys)
        before, self._wanted = self._wanted, self._desk.marks.want("basket", keys)
        before()

    def _changed(self) -> None:
        self._complaint.say("")
        self._want()
        self._headings.set_visibility(bool(self._basket.legs))
        self._empty.set_visibility(not self._basket.legs)
        self._button.set_enabled(bool(self._basket.legs))
        for row in self._basket.legs:
            row.complain(row.read(self._basket)[1])
        self._redraw()
        self._ask()

    # what it promises and costs

    def _read(self) -> list[OrderRequest] | None:
        """Return the legs, or None while something is wrong with one: each says what."""
        read = [row.read(self._basket)[0] for row in self._basket.legs]
        legs = [request for request in read if request is not None]
        return legs if len(legs) == len(read) else None

    def _redraw(self) -> None:
        requests = self._read() or []
        legs = priced(self._desk, requests)
        seen = charts.outlook(legs)
        for name, text in charts.facts(seen).items():
            self._cells[name].show(Shown(text, _tone(name, text), seen.why_not))
        reason = "" if seen.payoff or not legs else f"No pay-off: {seen.why_not}."
        if self._why_not.text != reason:
            self._why_not.set_text(reason)
        spot = self._spot(legs)
        self._chart.load(charts.picture(legs, seen.payoff, spot) if seen.payoff else None)

    def _spot(self, legs: Sequence[charts.Leg]) -> float:
        key = next((leg.instrument.underlying_key for leg in legs), "")
        mark = self._desk.marks.of(key) if key else None
        return math.nan if mark is None else mark.price

    def _ask(self) -> None:
        self._asked += 1
        legs = self._read()
        if not legs:
            self._show_costs(None, "something in the legs has to be mended first")
            return
        work = self._preview(self._asked, legs)
        background_tasks.create(work, name="preview of a basket", context=self._legs)

    async def _preview(self, asked: int, legs: Sequence[OrderRequest]) -> None:
        await asyncio.sleep(ASK_AFTER)
        if asked == self._asked:
            preview = await self._desk.baskets.preview(legs)
            if asked == self._asked and not self._legs.is_deleted:
                self._show_costs(preview, "; ".join(preview.unknown))
                self._complain(preview.problems)

    def _show_costs(self, preview: Preview | None, reason: str) -> None:
        for name, paise in costs(preview).items():
            self._cells[name].show(Shown(fmt.rupees(paise), Tone.NONE, reason))
        self._unknown.set_text(f"Not known: {reason}." if preview and reason else "")

    def _complain(self, problems: Sequence[Problem]) -> None:
        """Say each problem at its leg, and what concerns no single leg below them."""
        rest: list[str] = []
        mine: dict[int, list[Problem]] = {}
        for problem in problems:
            place = leg_of(problem)
            if place is None or place >= len(self._basket.legs):
                rest.append(problem.words)
            else:
                name = problem.field.partition(".")[2]
                mine.setdefault(place, []).append(Problem(name, problem.words))
        for place, row in enumerate(self._basket.legs):
            row.complain(mine.get(place, []))
        self._complaint.say("; ".join(rest))

    # review

    def _review(self) -> None:
        """Open the review, unless it is open; say which leg holds it up, if one does."""
        if self._sheet is not None and not self._sheet.dialog.is_deleted:
            return
        legs = self._read()
        if not legs:
            wrong = [n for n, row in enumerate(self._basket.legs, 1) if row.read(self._basket)[1]]
            named = ", ".join(map(str, wrong))
            if wrong:
                self._complaint.say(f"First mend leg{'s' if len(wrong) > 1 else ''} {named}.")
            return
        basket = self._basket
        request = BasketRequest(
            tuple(legs), "", basket.rollback, basket.on_filled, basket.name, "basket page"
        )
        with self._legs:
            act = basket_act(self._desk, self._tab, request)
            self._sheet = ReviewSheet(self._desk, self._tab, act)


class Templates:
    """The row that makes legs of a template: underlying, expiry, template, width, wing, lots."""

    def __init__(
        self,
        desk: Desk,
        use: Callable[[str, Sequence[tuple[Instrument, Side, int]]], None],
        moved: Callable[[], None],
    ) -> None:
        """`use` gets the legs of a template, `moved` is called with another underlying."""
        self._desk, self._use, self._moved = desk, use, moved
        self._options: list[Instrument] = []
        self.underlying = desk.canaries[0] if desk.canaries else ""
        with ui.element("div").classes("v-templates") as self._box:
            self._draw()
        background_tasks.create(self._load(), name="options of a template", context=self._box)

    def _draw(self) -> None:
        names = {key: self._name(key) for key in self._desk.canaries}
        if names:
            Choice("underlying", names, self.underlying, self._choose, name="underlying")
        self._expiry = ui.select({}, label="Expiry").props("dense outlined").mark("expiry")
        templates = {template: template.value for template in Template}
        self._template = ui.select(
            templates, label="Template", value=Template.IRON_CONDOR, on_change=self._show_numbers
        )
        self._template.props("dense outlined").mark("template")
        self._numbers = {
            name: ui.input(label, value=value)
            .props('dense outlined inputmode="numeric" autocomplete="off"')
            .mark(name)
            for name, (label, value) in NUMBERS.items()
        }
        self._numbers["width"].tooltip("Strikes between the money and the next leg")
        self._numbers["wing"].tooltip("Strikes between that leg and the one that limits the loss")
        button = ui.button("Use", on_click=self._take, color=None).mark("use-template")
        button.props('outline no-caps aria-label="Use the template"')
        self._complaint = Complaint("template")

    def _name(self, key: str) -> str:
        instrument = self._desk.catalogue.get(key)
        return instrument.symbol if instrument else key.partition("|")[2]

    def _used(self) -> list[str]:
        """Return which numbers the chosen template asks for."""
        shapes = LEGS[Template(self._template.value)]
        asked = {"width": any(s.widths for s in shapes), "wing": any(s.wings for s in shapes)}
        return [name for name in NUMBERS if asked.get(name, True)]

    def _show_numbers(self) -> None:
        used = self._used()
        for name, box in self._numbers.items():
            box.set_visibility(name in used)

    def _choose(self, key: str) -> None:
        self.underlying = key
        self._moved()
        background_tasks.create(self._load(), name="options of a template", context=self._box)

    async def _load(self) -> None:
        """Read the options of the underlying, and offer their expiries, the nearest first."""
        underlying = self.underlying
        try:
            found = await self._desk.catalogue.options(underlying)
        except VigilError as error:
            self._complaint.say(f"The options cannot be read: {error}")
            return
        if underlying != self.underlying or self._box.is_deleted:
            return
        self._options = found
        today = self._desk.clock.now().astimezone(IST).date()
        expiries = sorted({o.expiry for o in found if o.expiry and o.expiry >= today})
        self._expiry.set_options(
            {day.isoformat(): _expiry_words(day, today) for day in expiries},
            value=expiries[0].isoformat() if expiries else None,
        )
        self._complaint.say("" if expiries else "no options of it are listed")

    def _take(self) -> None:
        mark = self._desk.marks.of(self.underlying)
        if mark is None:
            why = self._desk.marks.why_not(self.underlying) or "no price of it has arrived yet"
            name = self._name(self.underlying)
            self._complaint.say(f"The strikes cannot be centred on {name}: {why}.")
            return
        read = {name: forms.count(self._numbers[name].value or "") for name in self._used()}
        if wrong := [
            f"{NUMBERS[name][0]}: {words_}" for name, (_, words_) in read.items() if words_
        ]:
            self._complaint.say("; ".join(wrong))
            return
        options = [o for o in self._options if o.expiry == _day(self._expiry.value)]
        numbers = {name: value for name, (value, _) in read.items()}
        template = Template(self._template.value)
        try:
            legs = build_template(template, options, spot=mark.price, **numbers)
        except Denied as error:
            self._complaint.say("; ".join(problem.words for problem in error.problems))
            return
        self._complaint.say("")
        self._use(template.value, [(leg.instrument, leg.side, leg.quantity) for leg in legs])


def basket_act(desk: Desk, tab: Tab, request: BasketRequest) -> Act:
    """Return the review of a basket."""

    async def send(nonce: str) -> Callable[[], None]:
        basket = await desk.baskets.send(replace(request, nonce=nonce))

        def show() -> None:
            BasketReceipt(desk, tab.live, basket)

        return show

    async def check() -> Sequence[Problem]:
        return (await desk.baskets.preview(request.legs)).problems

    def refuse() -> str:
        working = desk.orders.working()
        lost = [doubtful(working, leg) for leg in request.legs]
        found = next((order for order in lost if order is not None), None)
        if found is None:
            return ""
        asked = words.sentence(found.request, desk.catalogue.get(found.request.instrument_key))
        return f"An order for one of these legs is in doubt: {asked}. Wait until it is known."

    keys = tuple(leg.instrument_key for leg in request.legs)
    return Act(
        title=f"Review: {request.name or 'basket'}, {len(request.legs)} legs",
        button=send_words(desk, "basket"),
        content=request,
        account=request.legs[0].account,
        keys=keys,
        strict=True,
        draw=lambda: _draw_request(desk, tab, request),
        check=check,
        send=send,
        refuse=refuse,
    )


def _draw_request(desk: Desk, tab: Tab, request: BasketRequest) -> None:
    with ui.element("div").classes("v-ladder"):
        ui.label("Sent in one call, buys first:").classes("v-faint")
        for leg in sorted(request.legs, key=lambda leg: leg.side is Side.SELL):
            instrument = desk.catalogue.get(leg.instrument_key)
            with ui.element("div").classes("v-rung"):
                side = ui.label(words.sentence(leg, instrument)).classes("v-rung-asked")
                side.props(f'data-side="{leg.side}"')
                if instrument and (parts := words.sliced(leg.quantity, instrument)):
                    ui.label(parts).classes("v-chip")
                price_line(desk, tab.live, leg.instrument_key)
    with ui.element("div").classes("v-facts-list") as facts:
        rows = (*PROMISES, *COSTS)
        cells = {name: _fact_cell(tab, name, heading) for name, heading in rows}

    def look() -> None:
        seen = charts.outlook(priced(desk, request.legs))
        for name, text in charts.facts(seen).items():
            cells[name].show(Shown(text, _tone(name, text), seen.why_not))

    look()
    ui.timer(REDRAW, look)
    chosen = request.on_filled or OnFilled.ASK
    promise = basket_words.promise(chosen, rollback=request.rollback_on_failure)
    ui.label(promise).classes("v-note").mark("review-promise")

    async def ask() -> None:
        preview = await desk.baskets.preview(request.legs)
        reason = "; ".join(preview.unknown)
        for name, paise in costs(preview).items():
            if not cells[name].is_deleted:
                cells[name].show(Shown(fmt.rupees(paise), Tone.NONE, reason))

    background_tasks.create(ask(), name="costs of a basket", context=facts)


def priced(desk: Desk, requests: Sequence[OrderRequest]) -> list[charts.Leg]:
    """Return the legs with what each would be had for now; one that is not listed is left out."""
    found = [(request, desk.catalogue.get(request.instrument_key)) for request in requests]
    return [
        charts.Leg(request, known, charts.had_at(request, desk.marks.of(request.instrument_key)))
        for request, known in found
        if known is not None
    ]


def _fact_cell(tab: Tab, name: str, heading: str) -> Cell:
    ui.label(heading)
    return Cell(tab.live, "n").mark(f"review-{name}")


def costs(preview: Preview | None) -> dict[str, int | None]:
    """Return paise by the names of COSTS; None where nothing is known."""
    if preview is None:
        return {name: None for name, _ in COSTS}
    margin, funds = preview.margin, preview.funds
    return {
        "margin": margin.required if margin else None,
        "final": margin.final if margin else None,
        "funds": funds.available if funds else None,
        "unwinding": preview.unwinding,
    }


def leg_of(problem: Problem) -> int | None:
    """Return which leg a problem of the basket is about, from 0."""
    head, _, rest = problem.field.partition("[")
    place = rest.partition("]")[0]
    return int(place) if head == "legs" and place.isdigit() else None


def _tone(name: str, text: str) -> Tone:
    if name == "gain" and text.startswith("+"):
        return Tone.UP
    return Tone.DOWN if name == "loss" and text != fmt.DASH else Tone.NONE


def _day(value: object) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else None


def _expiry_words(day: date, today: date) -> str:
    left = (day - today).days
    return f"{day.day} {day:%b} · {left}d" if left else f"{day.day} {day:%b} · today"
