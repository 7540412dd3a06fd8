"""The broker's book: every account's orders from the request to the last fill, and who is told.

A request is answered as soon as the broker has noted it. What follows happens on the exchange's
loop in small steps, `pace` seconds apart, each of which the portfolio stream shows:

    put order req received, validation pending, open pending, open, open (filled), complete

A stop goes through trigger pending; a cancellation through cancel pending; a modification through
modify validation pending, modify pending and modified back to open. The steps of one order never
overtake each other: a request waits until those of the request before it are through.

Out of hours an order waits as an after-market order for its segment to open. Orders of the day
are cancelled when it closes (never on an exchange that is always open).

A new Indian day, also that of an exchange that is always open, begins with an empty book and
yesterday's positions as overnight ones. What the day before ends with, as its last trades: orders
that still work are cancelled, intraday positions are squared off at the last price, and so are
contracts that have expired or are not listed any more.

With a memory all of this survives a restart of the exchange: orders work on, and the steps of
those that were on their way are taken from where they stood. Faults do not survive it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from datetime import date, time
from functools import partial
from typing import Any, Final, TypeVar

from simulator.agenda import Agenda
from simulator.calendar import IST, ExchangeCalendar, day_of, epoch_ms
from simulator.clock import ExchangeClock
from simulator.envelope import BrokerError, Json
from simulator.faults import (
    CancelLoses,
    Faults,
    OrderFault,
    PartialFill,
    RejectOrder,
    RestOrder,
    UnknownStatus,
)
from simulator.interest import Interest, look
from simulator.matching import Engine, Fill, limit_of
from simulator.memory import Memory, fresh_counts
from simulator.model import Instrument, Market
from simulator.order_forms import ModifyForm, OrderForm, check_prices
from simulator.orders import (
    FOREVER,
    Numbers,
    Order,
    Phase,
    Status,
    Step,
    Terms,
    Trade,
    WriteRequest,
    order_message,
    paise,
)
from simulator.portfolio import (
    Account,
    Position,
    PriceOf,
    holding_message,
    position_message,
)
from simulator.recall import Books
from simulator.rms import (
    Objection,
    holdings_exceed,
    margin_exceeds,
    objection,
    segment_disabled,
)

PACE: Final = 0.002  # seconds
SERVICE_BEGINS: Final = time(5, 30)  # IST; placing is closed from midnight until then
MOST_SLICES: Final = 25
WRITES_KEPT: Final = 100_000
IOC_ENDED: Final = "The unfilled quantity of an IOC order was cancelled."
CLOSED: Final = "Cancelled by the exchange: the market has closed."
DAY_OVER: Final = "Cancelled by the exchange: the day is over."

logger = logging.getLogger(__name__)

Listener = Callable[[str, dict[str, Json]], None]  # the user, and what the stream says
OF = TypeVar("OF", bound=OrderFault)


class Broker:
    """Owner of all accounts. Everything here runs on the exchange's own loop."""

    def __init__(
        self,
        market: Market,
        *,
        clock: ExchangeClock,
        calendar: ExchangeCalendar,
        faults: Faults,
        interest: Interest,
        agenda: Agenda | None = None,
        pace: float = PACE,
        memory: Memory | None = None,
        newcomer: Callable[[Account], None] = lambda _: None,
    ) -> None:
        """`newcomer` gives an account that has never existed what it begins with.

        Raises OSError if the memory cannot be read.
        """
        self.agenda = agenda or Agenda()
        self.pace = pace
        self._market = market
        self._clock = clock
        self._calendar = calendar
        self._faults = faults
        self._interest = interest
        self._engine = Engine(
            market, interest, fill=self._fill, trigger=self._triggered, allowed=self._allowed
        )
        self._numbers = Numbers()
        self._price = PriceOf(market.quotes)
        self._listeners: list[Listener] = []
        self._day = day_of(clock.now_ms())
        self.accounts: dict[str, Account] = {}
        self.writes: deque[WriteRequest] = deque(maxlen=WRITES_KEPT)  # oldest first, of this run
        self.wake: Callable[[], None] = lambda: None  # have the market's beat come soon
        self._newcomer = newcomer
        self._memory = memory
        self._acts: Mapping[str, Callable[..., None]] = {
            "tell": self._tell,
            "judge": self._judge,
            "enter": self._at_exchange,
            "reject": self._reject,
            "change": self._change,
            "reopen": self._reopen,
            "resume": self._resume,
            "cancel": self._cancelled,
            "fill": self.fill,
            "fill if open": self._fill_if_open,
            "meet": self._meet,
        }
        if memory is not None:
            self._recall(memory)

    # --- what others use

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have the listener told of each change, in order; return the undo."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def account(self, user: str) -> Account:
        """Return a user's account; made on first use."""
        account = self.accounts.get(user)
        if account is None:
            account = self.accounts[user] = Account(user)
            self._newcomer(account)
            self.remember(account)
        return account

    def remember(self, account: Account) -> None:
        """Take note that something other than an order has changed in an account."""
        if self._memory is not None:
            self._memory.account(account)

    def open_memory(self) -> None:
        """Have the memory hold all that there is, and from now on each change."""
        if self._memory is not None:
            self._memory.open(lambda: Books(self._day, self._numbers.counts, self.accounts))

    def close_memory(self) -> None:
        if self._memory is not None:
            self._memory.close()

    @property
    def busy(self) -> bool:
        """Whether any order is on its way or works, so that the market must keep moving."""
        return any(order.phase is not Phase.AFTER_MARKET for order in self._live())

    def live(self, user: str) -> Iterator[Order]:
        """Yield a user's orders that can still change, oldest first."""
        return iter(tuple(self.account(user).live.values()))

    def snapshot(self, user: str) -> Iterator[dict[str, Json]]:
        """Yield what the stream would say of all that an account has."""
        account = self.account(user)
        yield from (order_message(order) for order in account.orders.values())
        yield from (position_message(position) for position in account.positions.values())
        yield from (holding_message(holding) for holding in account.holdings.values())

    def used(self, user: str) -> float:
        """Return the rupees that positions block and working orders reserve."""
        return self.account(user).used(self._price)

    def available(self, user: str) -> float:
        """Return the rupees that further orders may need."""
        return self._available(self.account(user))

    def _available(self, account: Account, without: Order | None = None) -> float:
        return account.balance() - account.used(self._price, without=without)

    def market_changed(self, key: str) -> None:
        """Let orders meet an instrument's new quote."""
        self._engine.changed(key)

    def instrument(self, key: str) -> Instrument:
        """Return what can be traded under a key; raise BrokerError UDAPI100011."""
        instrument = self._market.instruments.get(key)
        if instrument is None or not instrument.lot_size:
            raise BrokerError(
                400, "UDAPI100011", "Invalid Instrument key", path="instrument_token", value=key
            )
        return instrument

    def is_open(self, instrument: Instrument) -> bool:
        return self._calendar.is_open(instrument.segment, self._clock.now_ms())

    # --- placing

    def check_service(self) -> None:
        """Raise BrokerError 423 while no orders are taken."""
        now = self._clock.now().astimezone(IST).time()
        if now < SERVICE_BEGINS and not self._calendar.always_open:
            message = "The Place Order API is accessible from 5:30 AM to 12:00 AM IST"
            raise BrokerError(423, "UDAPI100074", message)

    def parts(self, form: OrderForm) -> list[Terms]:
        """Return what an order is sliced into; raise BrokerError UDAPI1118 for too many."""
        terms, instrument = form.terms, self.instrument(form.instrument_key)
        lots = instrument.freeze_quantity // instrument.lot_size
        if not form.slice or not lots or terms.quantity <= instrument.freeze_quantity:
            return [terms]
        size = lots * instrument.lot_size
        if terms.quantity > size * MOST_SLICES:
            message = "The number of orders after slicing is above 25"
            raise BrokerError(400, "UDAPI1118", message, path="quantity", value=terms.quantity)
        starts = range(0, terms.quantity, size)
        return [terms._replace(quantity=min(size, terms.quantity - start)) for start in starts]

    def place(
        self, user: str, form: OrderForm, *, line: int = 1, source: str = "api"
    ) -> list[Order]:
        """Take an order on and return it, or its slices; raise BrokerError if it is refused."""
        parts = self.parts(form)
        fault = self._faults.take(
            RejectOrder,
            lambda fault: (
                fault.how == "answer"
                and fault.concerns(form.instrument_key, form.transaction_type, line)
            ),
        )
        if fault is not None:
            raise BrokerError(fault.status, fault.code, fault.message)
        return [self._receive(user, form, terms, line, source) for terms in parts]

    def _receive(self, user: str, form: OrderForm, terms: Terms, line: int, source: str) -> Order:
        now_ms = self._clock.now_ms()
        order = Order(
            user,
            self._numbers.order_id(now_ms),
            self._numbers.ref_id(),
            self.instrument(form.instrument_key),
            form.product,
            form.transaction_type,
            terms,
            now_ms,
            tag=form.tag,
            correlation_id=form.correlation_id,
            source=source,
            line=line,
        )
        account = self.account(user)
        account.orders[order.order_id] = account.live[order.order_id] = order
        self.wake()
        if self.is_open(order.instrument):
            self._send_in(order)
            self._tell(order, Status.RECEIVED)
        else:
            order.is_amo = True
            order.phase = Phase.AFTER_MARKET
            self._tell(order, Status.AMO_RECEIVED)
        return order

    def _send_in(self, order: Order) -> None:
        """Put an order on its way to the exchange."""
        order.phase = Phase.ENTERING
        self._soon(order, "tell", Status.VALIDATING)
        rejected = self._strikes(RejectOrder, order, lambda fault: fault.how == "status")
        if rejected is not None:
            order.ready_at += rejected.after
            self._soon(order, "reject", rejected.message, rejected.raw)
            return
        self._soon(order, "judge")
        unknown = self._strikes(UnknownStatus, order)
        if unknown is not None:
            self._soon(order, "tell", unknown.text)
            order.ready_at += unknown.seconds
        self._soon(order, "enter")

    def _judge(self, order: Order) -> None:
        """Let the risk management look at it."""
        wrong = self._objection(order)
        if wrong is not None:
            self._reject(order, *wrong)
        else:
            order.passed = True
            self._tell(order, Status.OPEN_PENDING)

    def _objection(self, order: Order) -> Objection | None:
        account = self.account(order.user)
        if order.instrument.segment in account.disabled:
            return segment_disabled(order)
        quote = look(self._market, self._interest, order.key)
        wrong = objection(order, order.terms, quote, self._clock.now_ms())
        if wrong is not None:
            return wrong
        if order.instrument.instrument_type == "EQ" and order.product == "D" and not order.buying:
            sellable = account.sellable(order)
            return holdings_exceed(order, sellable) if order.quantity > sellable else None
        needs = account.needs(order, self._price)
        available = self._available(account, without=order)
        return margin_exceeds(order, needs, available) if needs > max(0.0, available) else None

    def _at_exchange(self, order: Order) -> None:
        order.exchange_order_id = self._numbers.exchange_order_id()
        order.exchange_ms = self._clock.now_ms()
        self._hold_back(order)
        self._into_book(order)

    def _into_book(self, order: Order) -> None:
        self._engine.add(order)
        if order.is_stop and order.phase is not Phase.WORKING:
            order.phase = Phase.STOP
            self._tell(order, Status.TRIGGER_PENDING)
            if self._engine.reached(order):
                self._triggered(order)
        else:
            self._work(order)

    def _triggered(self, order: Order) -> None:
        self._work(order)

    def _work(self, order: Order) -> None:
        """Open an order in the book, and let it take what is there."""
        order.phase = Phase.WORKING
        quote = self._market.quotes[order.key]
        order.limit = limit_of(order.terms, order.instrument, quote, order.transaction_type)
        self._tell(order, Status.OPEN)
        self._take(order)

    def _take(self, order: Order) -> None:
        """Let an order of the book take what is there."""
        self._engine.match(order)
        if order.terms.validity == "IOC" and not order.is_final:
            self._cancelled(order, IOC_ENDED)

    def _hold_back(self, order: Order) -> None:
        """Let a fault limit how much of it fills."""
        if order.most != FOREVER:
            return
        rest = self._strikes(RestOrder, order)
        partial_fill = self._strikes(PartialFill, order) if rest is None else None
        fault = rest or partial_fill
        if fault is not None:
            order.most = 0 if partial_fill is None else partial_fill.units
            order.held_while = fault.name, self._faults.cleared(fault.name)

    def _allowed(self, order: Order) -> int:
        name, cleared = order.held_while
        if name and self._faults.cleared(name) != cleared:
            order.most, order.held_while = FOREVER, ("", 0)
        return min(order.unfilled, order.most - order.filled_quantity)

    # --- fills and ends

    def _fill(self, order: Order, fill: Fill, *, at: int | None = None) -> None:
        """Enter an execution; `at` is when it was, epoch ms, if not now."""
        at = self._clock.now_ms() if at is None else at
        trade = Trade(self._numbers.trade_id(), order, fill.quantity, paise(fill.price), at)
        account = self.account(order.user)
        order.take(trade)
        order.exchange_ms = at
        position = account.enter(trade)
        self._tell(order, Status.OPEN, trade=trade)
        if not order.unfilled:
            self._complete(order)
        self._announce(order.user, position_message(position))
        holding = account.holding_used(trade)
        if holding is not None:
            self._announce(order.user, holding_message(holding))

    def _complete(self, order: Order) -> None:
        self._finish(order, Status.COMPLETE)

    def _reject(self, order: Order, message: str, raw: str) -> None:
        order.status_message, order.status_message_raw = message, raw
        self._finish(order, Status.REJECTED)

    def _cancelled(self, order: Order, message: str = "") -> None:
        order.exchange_ms = self._clock.now_ms()
        order.status_message = message
        self._finish(order, Status.CANCELLED)

    def _finish(self, order: Order, status: Status) -> None:
        self._engine.remove(order)
        order.phase = Phase.DONE
        order.steps.clear()
        self.account(order.user).live.pop(order.order_id, None)
        self._tell(order, status)

    # --- modifying and cancelling

    def find(self, user: str, order_id: str) -> Order:
        """Return a user's order of today; raise BrokerError UDAPI100010."""
        order = self.account(user).orders.get(order_id)
        if order is None:
            raise BrokerError(
                400, "UDAPI100010", "Order not found", path="order_id", value=order_id
            )
        return order

    def modify(self, user: str, form: ModifyForm) -> Order:
        """Take a modification on; raise BrokerError if it is refused at once."""
        order = self.find(user, form.order_id)
        if order.is_final:
            message = "The order is already complete, rejected or cancelled; it cannot be modified"
            raise BrokerError(400, "UDAPI100041", message, path="order_id", value=order.order_id)
        terms = form.terms(order.terms)
        check_prices(terms, order.transaction_type)
        order.requests += 1
        if order.phase is Phase.AFTER_MARKET:
            order.terms = terms
            self._tell(order, Status.AMO_MODIFIED)
            return order
        self._soon(order, "tell", Status.MODIFY_VALIDATING)
        self._soon(order, "tell", Status.MODIFY_PENDING)
        self._soon(order, "change", *astuple(form))
        self._keep(order)
        return order

    def _change(self, order: Order, *form_fields: Any) -> None:
        """Have the exchange apply a modification to what the order is by now."""
        form = ModifyForm(*form_fields)
        terms, before = form.terms(order.terms), order.terms
        order.exchange_ms = self._clock.now_ms()
        wrong = self._unchangeable(order, terms)
        if wrong is None:
            order.terms = terms
            wrong = self._objection(order)
        if wrong is not None:
            order.terms = before
            order.status_message, order.status_message_raw = wrong
            self._soon(order, "resume")
            self._tell(order, Status.NOT_MODIFIED)
            return
        self._engine.remove(order)
        if order.phase is Phase.STOP and not order.is_stop:
            order.phase = Phase.WORKING
        elif order.is_stop and before.order_type not in ("SL", "SL-M"):
            order.phase = Phase.STOP
        self._soon(order, "reopen")
        self._tell(order, Status.MODIFIED)

    def _unchangeable(self, order: Order, terms: Terms) -> Objection | None:
        if terms.quantity > order.filled_quantity:
            return None
        text = f"{order.filled_quantity} are filled already; the quantity must be above."
        return Objection(text, "EXCH:Order quantity cannot be at or below the filled quantity")

    def _resume(self, order: Order) -> None:
        """Say again where the order stands, after a request that changed nothing."""
        self._tell(order, Status.TRIGGER_PENDING if order.phase is Phase.STOP else Status.OPEN)

    def _reopen(self, order: Order) -> None:
        order.status_message, order.status_message_raw = "", None
        self._into_book(order)

    def cancel(self, user: str, order_id: str) -> Order:
        """Take a cancellation on; raise BrokerError if it is refused at once."""
        order = self.find(user, order_id)
        fault = None
        if order.phase in (Phase.WORKING, Phase.STOP):
            fault = self._strikes(CancelLoses, order)
        if fault is not None and fault.how == "filled":
            self.fill(order)
        if order.is_final:
            message = "The order is already complete, rejected or cancelled; it cannot be cancelled"
            raise BrokerError(400, "UDAPI100040", message, path="order_id", value=order_id)
        order.requests += 1
        if order.phase is Phase.AFTER_MARKET:
            self._finish(order, Status.AMO_CANCELLED)
            return order
        self._soon(order, "tell", Status.CANCEL_PENDING)
        if fault is None:
            self._soon(order, "cancel")
        else:
            self._soon(order, "tell", Status.NOT_CANCELLED)
            self._soon(order, "fill" if fault.how == "late" else "resume")
        self._keep(order)
        return order

    # --- what a test, a telephone or the evening does

    def fill(
        self, order: Order, *, quantity: int | None = None, price: float | None = None
    ) -> None:
        """Fill a live order outside of the book: all of it, at its limit or the last price.

        Raises BrokerError 400 if it is not at the exchange, or has less to fill.
        """
        if order.phase not in (Phase.STOP, Phase.WORKING):
            raise BrokerError(400, message=f"order {order.order_id} is not at the exchange")
        quantity = order.unfilled if quantity is None else quantity
        if not 0 < quantity <= order.unfilled:
            raise BrokerError(400, message=f"order {order.order_id} has {order.unfilled} to fill")
        order.phase = Phase.WORKING
        last = self._market.quotes[order.key].ltp
        self._fill(order, Fill(price or order.limit or order.terms.price or last, quantity))

    def place_elsewhere(
        self, user: str, form: OrderForm, *, fill: str, price: float | None = None
    ) -> list[Order]:
        """Take an order on that the user placed with another program.

        `fill` is "market" (meets the market), "once" (fills as a whole as soon as it is open, at
        the price given) or "rest" (stays open until it is filled from outside, or cancelled).
        """
        orders = self.place(user, form, source="phone")
        for order in orders:
            if fill != "market":
                order.most = 0
            if fill == "once":
                self._soon(order, "fill if open", price)
            self._keep(order)
        return orders

    def _fill_if_open(self, order: Order, price: float | None) -> None:
        if order.phase in (Phase.STOP, Phase.WORKING):
            self.fill(order, price=price)

    def look_around(self) -> None:
        """Act on the time of day: what opens, what closes, and the beginning of a day."""
        today = day_of(self._clock.now_ms())
        if today > self._day:
            self._begin(today)
        if self._calendar.always_open:
            return
        for order in tuple(self._live()):
            is_open = self.is_open(order.instrument)
            if is_open and order.phase is Phase.AFTER_MARKET:
                self._send_in(order)
            elif not is_open and order.phase in (Phase.STOP, Phase.WORKING):
                self._cancelled(order, CLOSED)

    def _begin(self, today: date) -> None:
        self._clear(epoch_ms(self._day, time(23, 59, 59)), day_is_over=True)
        self._day = today
        for account in self.accounts.values():
            account.begin_day()
        if self._memory is not None:
            self._memory.everything()

    def _clear(self, at: int, *, day_is_over: bool) -> None:
        """End what cannot go on: with the day, or because it is not listed any more."""
        for order in tuple(self._live()):
            waits = order.phase is Phase.AFTER_MARKET
            if self._is_gone(order.instrument) or (day_is_over and not waits):
                self._cancelled(order, DAY_OVER if day_is_over else "It is not listed any more.")
        for account in self.accounts.values():
            for position in tuple(account.positions.values()):
                ends = day_is_over and position.product == "I"
                if position.quantity and (ends or self._is_gone(position.instrument)):
                    self._square_off(account, position, at)
            for holding in tuple(account.holdings.values()):
                if self._is_gone(holding.instrument):
                    logger.warning(
                        "simulated account %s: %d %s are sold at what they cost: not listed",
                        *(account.user, holding.quantity, holding.instrument.trading_symbol),
                    )
                    account.sell_out(holding)

    def _is_gone(self, instrument: Instrument) -> bool:
        listed = instrument.instrument_key in self._market.instruments
        return not listed or 0 < instrument.expiry < self._clock.now_ms()

    def _square_off(self, account: Account, position: Position, at: int) -> None:
        """Close a position by an order of the broker's own."""
        quantity, price = position.quantity, self._last_price(account, position)
        order = Order(
            account.user,
            self._numbers.order_id(at),
            self._numbers.ref_id(),
            position.instrument,
            position.product,
            "SELL" if quantity > 0 else "BUY",
            Terms("MARKET", "DAY", abs(quantity), 0.0, 0.0),
            at,
            source="broker",
            phase=Phase.WORKING,
        )
        account.orders[order.order_id] = order
        logger.info(
            "simulated account %s: %+d %s (%s) are squared off at %.2f",
            *(account.user, quantity, order.instrument.trading_symbol, order.product, price),
        )
        self._tell(order, Status.RECEIVED)
        self._fill(order, Fill(price, abs(quantity)), at=at)

    def _last_price(self, account: Account, position: Position) -> float:
        """Return the market's last price; of what it does not list, that of our last trade."""
        quote = self._market.quotes.get(position.key)
        if quote is not None:
            return quote.ltp
        ours = (t.paise / 100 for t in reversed(account.trades) if t.order.key == position.key)
        return next(ours, position.open_price)

    # --- after a restart

    def _recall(self, memory: Memory) -> None:
        """Take the accounts over as they stood, and let their orders go on."""
        books = memory.recall(self._market.instruments)
        if books is None:
            self._numbers = Numbers(fresh_counts())
            return
        today, now_ms = self._day, self._clock.now_ms()
        self._day, self.accounts = books.day, books.accounts
        self._numbers = Numbers(books.counts)
        if self._day != today:
            self._begin(today)
        self._clear(now_ms, day_is_over=False)
        for order in tuple(self._live()):
            self._go_on(order)

    def _go_on(self, order: Order) -> None:
        """Put an order back to where it stood; what was under way comes when the loop runs."""
        if order.phase is Phase.AFTER_MARKET:
            return
        if not self.is_open(order.instrument):
            self._cancelled(order, CLOSED)
            return
        if not order.unfilled:
            order.steps.clear()  # they came too late
        at_exchange = order.phase in (Phase.STOP, Phase.WORKING)
        if at_exchange and not self._reopens(order):
            self._engine.add(order)
        for _ in order.steps:
            self._later(order)
        if at_exchange:
            self._soon(order, "meet")

    def _reopens(self, order: Order) -> bool:
        """Return whether it is out of the book between a modification and its return."""
        return any(step.act == "reopen" for step in order.steps)

    def _meet(self, order: Order) -> None:
        """Let an order of before the restart meet the market, as it would have without."""
        if not order.unfilled:
            self._complete(order)
        elif self._reopens(order):
            return  # and meets the market then
        elif order.phase is Phase.STOP:
            if self._engine.reached(order):
                self._triggered(order)
        else:
            self._take(order)

    def convert(
        self, user: str, instrument: Instrument, products: tuple[str, str], quantity: int
    ) -> None:
        """Move so much (below 0: sold) of today's position to another product.

        Raises BrokerError 400 if today's position has less.
        """
        account = self.account(user)
        old = account.positions.get((instrument.instrument_key, products[0]))
        value = old.take(quantity) if old is not None else None
        if old is None or value is None:
            raise BrokerError(400, message="Invalid Input: the position has less to convert")
        new = account.position(instrument, products[1])
        new.add(quantity, value)
        self.remember(account)
        for position in (old, new):
            self._announce(user, position_message(position))

    def faults_changed(self) -> None:
        """Let orders go on that a fault held back which is cleared."""
        for order in tuple(self._live()):
            if order.held_while[0] and order.phase is Phase.WORKING:
                self._engine.match(order)

    # --- small parts

    def _live(self) -> Iterator[Order]:
        return (order for account in self.accounts.values() for order in account.live.values())

    def _soon(self, order: Order, act: str, *about: Json) -> None:
        """Do this after the order's other steps, unless it is final by then."""
        order.steps.append(Step(act, about))
        self._later(order)

    def _later(self, order: Order) -> None:
        order.ready_at = max(order.ready_at, self.agenda.now()) + self.pace
        self.agenda.at(order.ready_at, partial(self._step, order))

    def _step(self, order: Order) -> None:
        if order.steps:  # none is left when it is final
            act, about = order.steps.pop(0)
            self._acts[act](order, *about)

    def _strikes(
        self, kind: type[OF], order: Order, concerns: Callable[[OF], bool] = lambda _: True
    ) -> OF | None:
        """Return a fault of this kind that strikes an order, counting it."""
        key, side, line = order.key, order.transaction_type, order.line
        return self._faults.take(kind, lambda f: f.concerns(key, side, line) and concerns(f))

    def _tell(self, order: Order, status: str, *, trade: Trade | None = None) -> None:
        """Say what has become of an order; a trade that it is about is kept with it."""
        order.note(status, self._clock.now_ms())
        self._keep(order, said=True, trade=trade)
        self._announce(order.user, order_message(order))

    def _keep(self, order: Order, *, said: bool = False, trade: Trade | None = None) -> None:
        if self._memory is not None:
            self._memory.order(order, self._numbers.counts, said=said, trade=trade)

    def _announce(self, user: str, message: dict[str, Json]) -> None:
        for listener in tuple(self._listeners):
            listener(user, message)
