"""A broker that executes nothing and makes fills up from live prices, told as a broker tells them.

Every decision is taken on the loop, at once, and marks its order so that nothing else decides
about it; then the disk gets it in one transaction; then it is announced. What the disk refuses
did not happen: the order works on and says why.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from trading.broker import Line, PaperLedger, PaperState, Placed
from trading.charges import charges
from trading.checks import MOST_SLICES, Band, freeze_lots
from trading.clock import Clock
from trading.errors import BadRequest, Retryable, VigilError
from trading.hours import TradingHours
from trading.market_data import MarketDataService
from trading.marks import PRICE_FRESH, Marks
from trading.model import UNKNOWN, Instrument, InstrumentType, Tick, segment_of
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    Funds,
    Margin,
    OrderChange,
    OrderRequest,
    OrderStatus,
    Product,
    Side,
    Validity,
)
from trading.paper_bench import Benches, Resting
from trading.paper_book import (
    SETTLEMENT,
    PaperBook,
    Place,
    Posting,
    Row,
    ist_day,
    opened_with,
    paise,
    told,
)
from trading.paper_day import (
    Sessions,
    Settlement,
    ist_date,
    settlement,
)
from trading.paper_margin import needed
from trading.paper_match import (
    NOT_LIVE,
    Execution,
    NoOffer,
    Offer,
    Shown,
    band_of,
    execution,
    of_mark,
    of_tick,
    offer,
    triggers,
    waits,
)
from trading.paper_orders import (
    SQUARE_OFF,
    changed,
    ended,
    first_status,
    market_order,
    moved_on,
    place_of,
    request_of,
    triggered,
    with_fill,
)
from trading.paper_rms import (
    malformed,
    outside_circuit,
    outside_hours,
    short_of,
    sliced,
    uncovered,
)
from trading.paper_trial import Trial, pending_stake, stake_of
from trading.paper_writer import DecisionWriter, Move, Unit
from trading.ports import PolledQuote
from trading.signal import Priority, Signal

log = logging.getLogger(__name__)

NOT_CANCELLABLE: Final = "UDAPI100040"  # the broker's code for an order that is over
PAUSE: Final = 1.0  # seconds that an order waits after the disk refused a decision about it
SAY_EVERY: Final = 5.0  # seconds between two reasons why an order is not filled


@dataclass(frozen=True, slots=True)
class PaperRules:
    """`cash` is paise that a new account begins with; without `ticks` only polled quotes fill."""

    cash: int = 100_000_000
    ticks: bool = True
    square_off: timedelta = timedelta(minutes=15)  # before the close


class PaperBroker:
    """One paper account. Its states, numbers and words are those of the real broker.

    `marks` polls what the feed does not serve; None switches that fallback off. Shares bought for
    delivery stay positions, so there are no holdings; futures are not settled daily; contracts on
    shares are settled in cash at expiry.
    """

    def __init__(
        self,
        account: str,
        *,
        clock: Clock,
        hours: TradingHours,
        ledger: PaperLedger,
        market_data: MarketDataService,
        marks: Marks | None,
        instrument: Callable[[str], Instrument | None],
        rules: PaperRules | None = None,
    ) -> None:
        self.account = account
        self.order_updates: Signal[BrokerOrder] = Signal("paper orders")
        self.position_updates: Signal[BrokerPosition] = Signal("paper positions")
        self.unsettled: dict[str, str] = {}  # expired and still open, with the reason
        self._clock, self._hours, self._ledger = clock, hours, ledger
        self._sessions = Sessions(hours)
        self._market_data, self._marks, self._instrument = market_data, marks, instrument
        self._rules = rules or PaperRules()
        self._book = PaperBook(self._rules.cash)
        self._benches = Benches()
        self._writer = DecisionWriter(
            account,
            ledger,
            self._book,
            instrument=self._known,
            kept=self._kept,
            refused=self._refused,
        )
        self._orders: dict[str, BrokerOrder] = {}
        self._fills: list[Fill] = []
        self._arriving: set[Resting] = set()  # placed, the disk has not answered yet
        self._bands: dict[str, Band] = {}
        self._instruments: dict[str, Instrument] = {}
        self._serial = 0
        self._day: date | None = None  # None before the start
        self._dawn = asyncio.Lock()
        self._undo: list[Callable[[], None]] = []
        self._wanted: frozenset[str] = frozenset()
        self._unwant: Callable[[], None] = lambda: None

    # life

    async def start(self) -> None:
        """Load the account and listen to prices; raise VigilError if the disk does not answer."""
        today = ist_date(self._clock.now())
        state = await self._ledger.load(self.account, day=today)
        if state is None:
            await self._ledger.keep(self.account, cash=self._book.cash)
        else:
            self._restore(state)
        seen = [ist_day(f) for f in self._fills] + [
            ist_date(order.placed) for order in self._orders.values() if order.placed
        ]
        self._day = max(seen, default=today)
        await self._on_today()
        await self._settled(self._interrupted())
        if self._rules.ticks:
            ticks = self._market_data.ticks
            self._undo.append(ticks.subscribe(self._on_ticks, priority=Priority.CRITICAL))
        if self._marks is not None:
            self._undo.append(self._marks.polled.subscribe(self._on_polled))
        self._want()

    async def stop(self) -> None:
        """Hear no more prices, and return once everything decided is on the disk."""
        while self._undo:
            self._undo.pop()()
        self._unwant()
        await self._writer.drained()

    async def look(self) -> None:
        """A job of each second: the day's ends, and orders that no tick reminds us of."""
        await self._on_today()
        self._want()
        await self._settled(self._cancel_ended())
        await self._settled(self._settle_expired())
        await self._square_off()
        for key, bench in list(self._benches.by_key.items()):
            self._serve(bench.resting, self._shown(key))

    # the port: writes

    async def place(self, line: Line) -> tuple[str, ...]:
        return (await self._place([line]))[0].order_ids

    async def place_many(self, lines: Sequence[Line]) -> list[Placed]:
        return await self._place(lines)

    async def modify(self, order: BrokerOrder, change: OrderChange) -> None:
        resting = await self._changeable(order.order_id)
        before, request = resting.order, request_of(changed(resting.order, change))
        if words := malformed(request, resting.instrument):
            raise BadRequest(words)
        if request.quantity <= before.filled:
            raise BadRequest(f"{before.filled} are filled already: nothing would be left of it")
        value = self._value(request, resting.instrument)
        pending = request.quantity - before.filled
        if words := outside_circuit(
            request, resting.instrument, self._bands.get(before.instrument_key)
        ) or self._unaffordable(request, resting.instrument, value, pending, self._trial(resting)):
            raise BadRequest(words)
        after = replace(
            changed(before, change),
            raw_status=first_status(
                request.order_type, triggered=before.order_type.has_trigger and not waits(before)
            ),
            message="modified",
            exchange_time=self._clock.now(),
        )
        since = self._clock.monotonic()
        await self._answer(self._writer.submit([Move(resting, (after,), None, since, value or 0)]))

    async def cancel(self, order_id: str) -> None:
        resting = await self._changeable(order_id)
        await self._answer(self._writer.submit([self._cancelled(resting, "cancelled on request")]))

    # the port: reads

    async def orders(self) -> list[BrokerOrder]:
        await self._on_today()
        return list(self._orders.values())

    async def orders_tagged(self, tag: str) -> list[BrokerOrder]:
        await self._on_today()
        return [order for order in self._orders.values() if order.tag == tag]

    async def trades(self) -> list[Fill]:
        await self._on_today()
        return list(self._fills)

    async def positions(self) -> list[BrokerPosition]:
        await self._on_today()
        return [told(self.account, place, row) for place, row in self._book.rows.items()]

    async def holdings(self) -> list[BrokerHolding]:
        """Return nothing: what is bought for delivery stays a position of this account."""
        await self._on_today()
        return []

    async def funds(self) -> Funds:
        await self._on_today()
        used = self._trial().used
        return Funds(self._book.cash - used, used)

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        await self._on_today()
        await self._ask_prices(requests)
        more = []
        for request in requests:
            instrument = self._known(request.instrument_key)
            value = self._value(request, instrument)
            if value is None:
                name = instrument.title
                raise Retryable(f"no price of {name} is known: what it blocks cannot be told")
            more.append(stake_of(instrument, request, value, request.quantity))
        trial = self._trial()
        return needed(trial.positions, trial.orders, more)

    async def charges(self, request: OrderRequest, price: float) -> int:
        instrument = self._known(request.instrument_key)
        day = ist_date(self._clock.now())
        return sum(
            charges(instrument, request.product, request.side, paise(price * quantity), day).total
            for quantity in sliced(request.quantity, freeze_lots(instrument))
        )

    # placing

    async def _place(self, lines: Sequence[Line]) -> list[Placed]:
        """Accept or reject all lines in one transaction, with what the held book fills at once."""
        await self._on_today()
        self._refuse_malformed(lines)
        await self._ask_prices([line.request for line in lines])
        trial = self._trial()
        moves: dict[int, list[Move]] = {}
        for i in sorted(range(len(lines)), key=lambda i: lines[i].request.side is Side.SELL):
            moves[i] = self._arrive(lines[i], trial)
        await self._answer(self._writer.submit([move for made in moves.values() for move in made]))
        self._want()
        return [
            Placed(line.tag, tuple(move.told[-1].order_id for move in moves[i]))
            for i, line in enumerate(lines)
        ]

    async def _ask_prices(self, requests: Sequence[OrderRequest]) -> None:
        """Have instruments quoted that nobody watches: without a price no margin can be told."""
        unknown = {
            request.instrument_key
            for request in requests
            if self._value(request, self._known(request.instrument_key)) is None
        }
        if unknown and self._marks is not None:
            release = self._marks.want(f"paper {self.account}, asking", unknown)
            await self._marks.poll()
            release()

    def _refuse_malformed(self, lines: Sequence[Line]) -> None:
        orders = 0
        for line in lines:
            instrument = self._instrument(line.request.instrument_key)
            if words := malformed(line.request, instrument):
                raise BadRequest(f"{words}. Nothing was placed.")
            if instrument is not None:
                orders += len(sliced(line.request.quantity, freeze_lots(instrument)))
        if orders > MOST_SLICES:
            raise BadRequest(f"{orders} orders at once, slices counted: {MOST_SLICES} are the most")

    def _arrive(self, line: Line, trial: Trial) -> list[Move]:
        """Decide about one line after those before it; what is accepted blocks margin from here."""
        request, instrument = line.request, self._known(line.request.instrument_key)
        value = self._value(request, instrument)
        if words := self._objection(request, instrument, value, trial):
            order = self._new_order(line, request.quantity)
            rejected = ended(order, OrderStatus.REJECTED, "rejected", words)
            return [Move(Resting(order, instrument, self._clock.monotonic(), 0), (rejected,))]
        moves = []
        for quantity in sliced(request.quantity, freeze_lots(instrument)):
            share = round((value or 0) * quantity / request.quantity)
            order = self._new_order(line, quantity)
            resting = Resting(order, instrument, self._clock.monotonic(), share)
            move = self._first_move(resting)
            self._arriving.add(resting)
            trial.take(move)
            moves.append(move)
        return moves

    def _first_move(self, resting: Resting) -> Move:
        """Take the order in, filled by the held book if that is live and reaches it."""
        order = resting.order
        if waits(order):
            return Move(resting, (order,))
        states, fill, _ = self._played(resting, order, self._shown(order.instrument_key))
        return Move(resting, (order, *states), fill)

    def _objection(
        self, request: OrderRequest, instrument: Instrument, value: int | None, trial: Trial
    ) -> str:
        """Return why the order is rejected, empty if it is not."""
        key, product = request.instrument_key, request.product
        position, now = trial.book.quantity(key, product), self._clock.now()
        ends = self._sessions.squares_off(segment_of(key), now, self._rules.square_off)
        return (
            outside_hours(request, self._hours, now, ends=ends, position=position)
            or outside_circuit(request, instrument, self._bands.get(key))
            or uncovered(
                request, instrument, position=position, selling=trial.selling(key, product)
            )
            or self._unaffordable(request, instrument, value, request.quantity, trial)
        )

    def _unaffordable(
        self,
        request: OrderRequest,
        instrument: Instrument,
        value: int | None,
        quantity: int,
        trial: Trial,
    ) -> str:
        """Return what margin is missing for so many units; `value` is that of all of them."""
        need = trial.need(stake_of(instrument, request, value or 0, quantity))
        if value is None and need != trial.need(stake_of(instrument, request, 10**6, quantity)):
            return f"no price of {instrument.title} is known: what it needs cannot be told"
        return short_of(need, trial.free)

    def _trial(self, but: Resting | None = None) -> Trial:
        """Return the account as it stands with every order that works or is arriving, but one."""
        resting = [r for r in (*self._benches, *self._arriving) if r is not but]
        book = PaperBook(self._book.cash, dict(self._book.rows))
        return Trial(book, [pending_stake(r) for r in resting], self._known)

    def _new_order(self, line: Line, quantity: int) -> BrokerOrder:
        request, now = line.request, self._clock.now()
        self._serial += 1
        return BrokerOrder(
            account=self.account,
            order_id=f"P{ist_date(now):%Y%m%d}-{self._serial}",
            tag=line.tag,
            instrument_key=request.instrument_key,
            side=request.side,
            quantity=quantity,
            product=request.product,
            order_type=request.order_type,
            price=request.price,
            trigger=request.trigger,
            validity=request.validity,
            status=OrderStatus.WORKING,
            raw_status=first_status(request.order_type),
            filled=0,
            average_price=UNKNOWN,
            placed=now,
            exchange_time=now,
        )

    # prices

    def _on_ticks(self, ticks: list[Tick]) -> None:
        by_key = self._benches.by_key
        if not by_key:
            return
        for tick in ticks:
            bench = by_key.get(tick[0])
            if bench is not None and bench.reach.met(tick):
                self._serve(bench.resting, of_tick(tick))

    def _on_polled(self, quotes: list[PolledQuote]) -> None:
        """Try the new quotes of instruments that ticks do not serve, once."""
        for quote in quotes:
            key = quote.instrument_key
            if band := band_of(quote):
                self._bands[key] = band
            if bench := self._benches.by_key.get(key):
                self._serve(bench.resting, self._shown(key))

    def _shown(self, instrument_key: str) -> Shown | None:
        """Return the held tick while anything of it is live, else a live quote, else nothing."""
        tick = self._market_data.last(instrument_key) if self._rules.ticks else None
        if tick is not None and self._is_live(tick):
            return of_tick(tick)
        mark = self._marks.of(instrument_key) if self._marks is not None else None
        if mark is None or mark.source != "R" or mark.closed:
            return None
        now, now_ms = self._clock.monotonic(), self._clock.now().timestamp() * 1000
        return of_mark(mark, now=now, now_ms=now_ms)

    def _is_live(self, tick: Tick) -> bool:
        now = self._clock.monotonic()
        return now - tick.price_received <= PRICE_FRESH or now - tick.book_received <= PRICE_FRESH

    def _serve(self, orders: Iterable[Resting], shown: Shown | None) -> None:
        now = self._clock.monotonic()
        for resting in tuple(orders):
            if resting.deciding or now < resting.not_before:
                continue
            if (move := self._judge(resting, shown)) is not None:
                self._writer.submit([move])

    def _judge(self, resting: Resting, shown: Shown | None) -> Move | None:
        """Decide what these prices do to an order; None if nothing."""
        order = resting.order
        if waits(order):
            if shown is None or not self._triggered(resting, shown):
                return None
            order = triggered(order, shown, at=self._clock.now())
            states, fill, _ = self._played(resting, order, shown)
            return Move(resting, (order, *states), fill)
        states, fill, why = self._played(resting, order, shown)
        if not states:
            self._say(resting, why)
            return None
        return Move(resting, tuple(states), fill)

    def _triggered(self, resting: Resting, shown: Shown) -> bool:
        now = self._clock.monotonic()
        reached = triggers(resting.order, shown, now=now, since=resting.since)
        return reached and self._may_trade(resting.order)

    def _played(
        self, resting: Resting, order: BrokerOrder, shown: Shown | None
    ) -> tuple[list[BrokerOrder], Fill | None, str]:
        """Return what prices make of an active order: states, a fill, or why there is none."""
        states, fill = [], None
        offered = self._offer(resting, order, shown)
        why = offered.kind if isinstance(offered, NoOffer) else ""
        executed = self._executed(resting, order, offered)
        if executed is not None:
            order, fill = self._filled(resting, order, executed)
            states.append(order)
        if order.validity is Validity.IOC and not order.status.final:
            done = f"{order.filled} of {order.quantity} filled"
            words = f"immediate or cancel: {done}, {why or 'no more at this price'}"
            states.append(ended(order, OrderStatus.CANCELLED, "cancelled", words))
        return states, fill, why

    def _offer(self, resting: Resting, order: BrokerOrder, shown: Shown | None) -> Offer | NoOffer:
        if shown is None:
            return NOT_LIVE
        return offer(shown, order.side, now=self._clock.monotonic(), since=resting.since)

    def _executed(
        self, resting: Resting, order: BrokerOrder, offered: Offer | NoOffer
    ) -> Execution | None:
        if isinstance(offered, NoOffer):
            return None
        taken = self._benches.taken(order.instrument_key, order.side, offered)
        executed = execution(order, offered, taken=taken, lot=resting.instrument.lot_size)
        return executed if executed is not None and self._may_trade(order) else None

    def _may_trade(self, order: BrokerOrder) -> bool:
        now = self._clock.now()
        return self._sessions.may_trade(order.instrument_key, order.placed or now, now)

    def _filled(
        self, resting: Resting, order: BrokerOrder, executed: Execution
    ) -> tuple[BrokerOrder, Fill]:
        """Return the order after an execution, and the fill; its units of the book are taken."""
        self._benches.take(order.instrument_key, order.side, executed)
        now = self._clock.now()
        fill = Fill(
            account=self.account,
            order_id=order.order_id,
            trade_id=f"{order.order_id}-{resting.fills + 1}",
            instrument_key=order.instrument_key,
            product=order.product,
            side=order.side,
            quantity=executed.quantity,
            price=executed.price,
            at=now,
            is_mock=True,
        )
        return with_fill(order, fill, executed.words), fill

    def _say(self, resting: Resting, why: str) -> None:
        """Tell why an order that could be filled is not; not more often than a person can read."""
        now = self._clock.monotonic()
        if why == resting.said or now < resting.said_at + SAY_EVERY:
            return
        if why and not self._may_trade(resting.order):
            return
        log.info("paper order %s of %s: %s", resting.order.order_id, self.account, why or "live")
        resting.said, resting.said_at = why, now
        words = f"{why}: nothing is filled, the order rests" if why else ""
        resting.order = replace(resting.order, message=words)
        self._orders[resting.order.order_id] = resting.order
        self.order_updates.emit(resting.order)

    # what the disk says

    def _kept(self, units: Sequence[Unit], posting: Posting) -> None:
        """Take over what is on the disk now, all of it before anybody hears of it."""
        moves = [move for unit in units for move in unit.moves]
        self._book.take(posting)
        for move in moves:
            self._take_over(move)
        for move in moves:
            for state in move.told:
                self.order_updates.emit(state)
        for place, row in posting.rows.items():
            self.position_updates.emit(told(self.account, place, row))
        for move in moves:  # prices went on while the disk was writing
            if not move.resting.order.status.final:
                self._serve([move.resting], self._shown(move.resting.order.instrument_key))

    def _take_over(self, move: Move) -> None:
        resting = move.resting
        resting.order, resting.deciding = move.told[-1], False
        resting.since = resting.since if move.since is None else move.since
        resting.value = resting.value if move.value is None else move.value
        if move.fill is not None:
            resting.fills += 1
            self._fills.append(move.fill)
        self._arriving.discard(resting)
        self._orders[resting.order.order_id] = resting.order
        self._benches.put(resting)

    def _refused(self, unit: Unit, error: VigilError) -> None:
        """Let go of a decision that the disk did not take: it did not happen."""
        for move in unit.moves:
            resting = move.resting
            resting.deciding = False
            resting.not_before = self._clock.monotonic() + PAUSE
            if resting in self._arriving:
                self._arriving.discard(resting)  # never told to anybody
            elif resting.order.order_id in self._orders:
                self._say(resting, f"the paper ledger refused ({error})")

    async def _answer(self, done: "asyncio.Future[VigilError | None]") -> None:
        """Wait for the disk; who asked may go away meanwhile, the decision stands all the same."""
        error = await asyncio.shield(done)
        if error is not None:
            raise Retryable(f"nothing was changed: {error}") from error

    async def _settled(self, moves: Iterable[Move]) -> None:
        """Wait until each of these decisions stands or is refused."""
        submitted = [self._writer.submit([move]) for move in moves]
        if submitted:
            await asyncio.wait(submitted)

    # changing

    async def _changeable(self, order_id: str) -> Resting:
        """Return a working order that nobody decides about now; raise BadRequest if it is over."""
        await self._on_today()
        while True:
            resting = self._benches.get(order_id)
            if resting is None:
                known = self._orders.get(order_id)
                words = f"is {known.raw_status} already" if known else "is not known"
                raise BadRequest(f"order {order_id} {words}", code=NOT_CANCELLABLE)
            if not resting.deciding:
                return resting
            await self._writer.drained()

    def _cancelled(self, resting: Resting, words: str) -> Move:
        now = self._clock.now()
        order = replace(resting.order, exchange_time=now)
        return Move(resting, (ended(order, OrderStatus.CANCELLED, "cancelled", words),))

    # the day

    async def _on_today(self) -> None:
        """Begin a new IST day before its first use: what is open becomes overnight."""
        if self._day is None:
            raise Retryable(f"the paper account {self.account} is not open yet")
        if ist_date(self._clock.now()) == self._day:
            return
        async with self._dawn:
            today = ist_date(self._clock.now())
            if today != self._day:
                await self._settled(self._cancel_ended())
                await self._begin_day(today)

    async def _begin_day(self, today: date) -> None:
        async with self._writer.lock:
            rows = self._book.next_day()
            opening = [told(self.account, place, row) for place, row in rows.items()]
            await self._ledger.keep(self.account, cash=self._book.cash, opening=opening)
            self._book.begin_day()
            self._day = today
            self._fills.clear()
            self._bands.clear()
            over = [o for o in self._orders.values() if o.status.final and not moved_on(o, today)]
            for order in over:
                del self._orders[order.order_id]

    def _cancel_ended(self) -> Iterable[Move]:
        now = self._clock.now()
        for resting in self._benches:
            order = resting.order
            placed = order.placed or now
            if not resting.deciding and self._sessions.is_over(order.instrument_key, placed, now):
                day = f"{ist_date(placed):%d %b}"
                yield self._cancelled(resting, f"cancelled at the close of {day}: a day order")

    def _interrupted(self) -> Iterable[Move]:
        for resting in self._benches:
            if resting.order.validity is Validity.IOC:
                words = "immediate or cancel: the desk stopped before it was decided"
                yield self._cancelled(resting, words)

    def _settle_expired(self) -> Iterable[Move]:
        now = self._clock.now()
        for (key, product), row in list(self._book.rows.items()):
            instrument = self._known(key)
            closed = self._sessions.expired_at(instrument, now) if row.quantity else None
            if closed is None:
                continue
            level, traded = self._level(instrument.underlying_key)
            found = settlement(instrument, row, level, traded, closed)
            if isinstance(found, Settlement):
                self.unsettled.pop(key, None)
                yield self._settlement(instrument, product, found)
            elif self.unsettled.get(key) != found:
                self.unsettled[key] = found
                log.warning("paper position %s of %s: %s", instrument.title, self.account, found)

    def _settlement(self, instrument: Instrument, product: Product, found: Settlement) -> Move:
        request = market_order(self.account, instrument, found.side, found.quantity, product)
        order = self._new_order(Line("", request), found.quantity)
        now = self._clock.now()
        trade_id = f"{order.order_id}{SETTLEMENT}"
        fill = Fill(
            account=self.account,
            order_id=order.order_id,
            trade_id=trade_id,
            instrument_key=instrument.instrument_key,
            product=product,
            side=found.side,
            quantity=found.quantity,
            price=found.price,
            at=now,
            is_mock=True,
        )
        resting = Resting(order, instrument, self._clock.monotonic(), 0)
        return Move(resting, (with_fill(order, fill, found.words),), fill)

    def _level(self, instrument_key: str) -> tuple[float, datetime]:
        """Return the last price of an underlying and when it was traded; NaN if there is none."""
        tick = self._market_data.last(instrument_key)
        price, ltt = (tick.ltp, tick.ltt) if tick is not None else (UNKNOWN, 0)
        mark = self._marks.of(instrument_key) if self._marks is not None else None
        if mark is not None and mark.ltt > ltt:
            price, ltt = mark.price, mark.ltt
        return price, datetime.fromtimestamp(ltt / 1000, UTC)

    async def _square_off(self) -> None:
        """Close intraday positions when their time has come; first what could still change them."""
        due = [
            place
            for place, row in self._book.rows.items()
            if place[1] is Product.INTRADAY and self._is_due(place[0], row)
        ]
        await self._settled(
            self._cancelled(resting, f"cancelled for the {SQUARE_OFF}")
            for resting in self._others(due)
            if not resting.deciding
        )
        open_yet = {place_of(resting.order) for resting in self._others(due)}
        await self._settled(
            move for place in due if place not in open_yet for move in self._closing(place)
        )

    def _is_due(self, instrument_key: str, row: Row) -> bool:
        now, before = self._clock.now(), self._rules.square_off
        return self._sessions.must_square_off(row, instrument_key, now, before)

    def _others(self, places: Sequence[Place]) -> list[Resting]:
        """Return the orders that could change these positions, but for the square-off itself."""
        found = (*self._benches, *self._arriving)
        return [r for r in found if place_of(r.order) in places and r.order.tag != SQUARE_OFF]

    def _closing(self, place: Place) -> Iterable[Move]:
        """Yield market orders for what no square-off order is closing yet."""
        key, product = place
        closing = sum(
            resting.order.side.sign * resting.pending
            for resting in (*self._benches, *self._arriving)
            if place_of(resting.order) == place
        )
        quantity = self._book.quantity(key, product) + closing
        if not quantity:
            return
        instrument = self._known(key)
        side = Side.SELL if quantity > 0 else Side.BUY
        for part in sliced(abs(quantity), freeze_lots(instrument)):
            request = market_order(self.account, instrument, side, part, product)
            order = replace(self._new_order(Line(SQUARE_OFF, request), part), message=SQUARE_OFF)
            resting = Resting(order, instrument, self._clock.monotonic(), 0)
            self._arriving.add(resting)
            yield self._first_move(resting)

    # small things

    def _restore(self, state: PaperState) -> None:
        """Take over what the disk has: cash as it is, positions from the opening and the fills."""
        self._book.cash = state.cash
        self._book.rows = opened_with(state.carried)
        self._fills = list(state.fills)
        posting = self._book.post(self._fills, self._known)
        self._book.rows.update(posting.rows)
        self._book.turnovers.update(posting.turnovers)
        for order in state.orders:
            self._orders[order.order_id] = order
            self._serial = max(self._serial, int(order.order_id.rpartition("-")[2]))
            if not order.status.final:
                self._benches.put(self._restored(order))

    def _restored(self, order: BrokerOrder) -> Resting:
        instrument = self._known(order.instrument_key)
        fills = sum(fill.order_id == order.order_id for fill in self._fills)
        value = self._value(request_of(order), instrument) or 0
        return Resting(order, instrument, self._clock.monotonic(), value, fills)

    def _known(self, instrument_key: str) -> Instrument:
        """Return an instrument; one that left the list counts as a share of that key."""
        found = self._instruments.get(instrument_key) or self._instrument(instrument_key)
        if found is None:
            segment = segment_of(instrument_key)
            return Instrument(
                instrument_key, segment, InstrumentType.EQUITY, instrument_key, instrument_key
            )
        self._instruments[instrument_key] = found
        return found

    def _value(self, request: OrderRequest, instrument: Instrument) -> int | None:
        """Return the paise that margin is reckoned with; None if no price was ever told."""
        if request.order_type.has_price:
            return paise(request.price * request.quantity)
        price = request.trigger or self._last_price(request.instrument_key, request.side)
        return paise(price * request.quantity) if price > 0 else None

    def _last_price(self, instrument_key: str, side: Side) -> float:
        """Return the last price of the opposite side, else of a trade, whatever its age, or NaN."""
        tick = self._market_data.last(instrument_key)
        shown = of_tick(tick) if tick is not None else self._shown(instrument_key)
        if shown is None:
            return UNKNOWN
        best = shown.ask if side is Side.BUY else shown.bid
        return best if best > 0 else shown.ltp

    def _want(self) -> None:
        """Have the quotes of these polled when ticks fail: working orders, expiring underlyings."""
        if self._marks is None:
            return
        today = ist_date(self._clock.now())
        held = [self._known(key) for (key, _), row in self._book.rows.items() if row.quantity]
        expiring = {i.underlying_key for i in held if i.expiry == today and i.underlying_key}
        wanted = frozenset(self._benches.by_key) | expiring
        if wanted != self._wanted:
            self._wanted = wanted
            release, self._unwant = self._unwant, self._marks.want(f"paper {self.account}", wanted)
            release()
