"""Baskets against a scripted exchange, in time that passes only when nothing else is to be done.

The exchange and the disk outlive a life of the desk; a life can end at any boundary between the
desk and either of them, as with kill -9: what was not committed or sent by then never is.
"""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from tests.trading.scripted import T0, Paper
from trading.basket import Basket, BasketRequest, OnFilled
from trading.batch import Baskets
from trading.broker import Line, Placed
from trading.checks import Band
from trading.errors import BadRequest, Retryable, Unanswered, VigilError
from trading.model import UNKNOWN, Instrument, InstrumentType
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    Funds,
    Margin,
    Order,
    OrderChange,
    OrderFills,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
)
from trading.orders import Gate, OrderManager
from trading.signal import Signal

T = TypeVar("T")
LOT = 75


class Timeline:
    """Seconds since the beginning of the test, through all lives of the desk."""

    def __init__(self) -> None:
        self.now = 0.0


class _Jump(selectors.SelectSelector):
    """Never waits: the time until the next timer has passed at once."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self._timeline.now += max(timeout, 1e-7)  # to do something takes time too
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        super().__init__(_Jump(timeline))

    def time(self) -> float:
        return self._timeline.now


class TimelineClock:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._started = timeline.now

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self._timeline.now)

    def monotonic(self) -> float:
        return self._timeline.now - self._started  # as after a boot: no life knows another's


class Outcome(StrEnum):
    """What becomes of one order at the exchange."""

    FILL = "fill"
    FILL_FIRST = "filled before the answer"
    OPEN = "rests"
    PARTIAL = "half filled, rests"
    SLOW = "fills after 4 s"
    REJECT = "rejected at once"
    LATE_REJECT = "rejected after 2 s"
    PARTIAL_CANCEL = "half filled, then cancelled by the exchange"
    LOST_FILLED = "answer lost, filled"
    LOST_OPEN = "answer lost, rests"
    LOST = "answer lost, never arrived"
    TURNS_UP = "answer lost, on the book 40 s later"
    CANCEL_LOSES = "rests, and is filled when it is cancelled"
    DEAF = "rests, cannot be cancelled"
    MUTE_FILL = "filled, the stream says nothing"


LOST = {Outcome.LOST_FILLED, Outcome.LOST_OPEN, Outcome.LOST, Outcome.TURNS_UP}


class Exchange:
    """The truth. Outcomes are taken from `script[instrument_key]`, one for each order there."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.script: dict[str, list[Outcome]] = {}
        self.book: dict[str, BrokerOrder] = {}
        self.placed: list[Line] = []  # everything that arrived
        self.executed: list[Fill] = []
        self.told: Callable[[BrokerOrder], None] | None = None  # the stream of the present life
        self.reads_fail_until = -1.0
        self.lose_answer_of_calls = 0
        self.available = 10**12
        self.late: set[str] = set()  # instruments of orders that turned up long after being lost
        self.nonsense = False  # the positions are answered in a way that nobody has thought of
        self.hidden_net = 0  # units by which every net position is shown too small
        self._outcomes: dict[str, Outcome] = {}
        self._agenda: list[tuple[float, Callable[[], None]]] = []

    # time

    def act(self) -> float | None:
        """Do what is due; return when there is something to do next."""
        while due := [entry for entry in self._agenda if entry[0] <= self.timeline.now + 1e-9]:
            entry = min(due, key=lambda e: e[0])
            self._agenda.remove(entry)
            entry[1]()
        return min((at for at, _ in self._agenda), default=None)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._agenda.append((self.timeline.now + seconds, act))

    # orders

    def accept(self, line: Line) -> str:
        """Take an order; return its number, or raise what the desk gets to hear."""
        self.placed.append(line)
        key = line.request.instrument_key
        script = self.script.get(key, [])
        outcome = script.pop(0) if script else Outcome.FILL
        if outcome is Outcome.REJECT:
            raise BadRequest(f"RMS: margin short for {key}")
        if outcome is Outcome.LOST:
            raise Unanswered("no answer")
        if outcome is Outcome.TURNS_UP:
            self.late.add(key)
            self.later(40.0, lambda: self._tell(self._enter(line, Outcome.FILL)))
            raise Unanswered("no answer")
        number = self._enter(line, outcome)
        if outcome in LOST:
            raise Unanswered("no answer")
        return number

    def _enter(self, line: Line, outcome: Outcome) -> str:
        number = f"26112000000{len(self.book) + 1:05d}"
        asked = line.request
        self.book[number] = BrokerOrder(
            asked.account, number, line.tag, asked.instrument_key, asked.side, asked.quantity,
            asked.product, asked.order_type, asked.price, asked.trigger, asked.validity,
            OrderStatus.WORKING, "open", 0, UNKNOWN,
        )  # fmt: skip
        self._outcomes[number] = outcome
        half = asked.quantity // 2 // LOT * LOT
        match outcome:
            case Outcome.FILL | Outcome.LOST_FILLED:
                self.later(0.005, lambda: self.fill(number))
            case Outcome.FILL_FIRST:
                self.fill(number)
            case Outcome.MUTE_FILL:
                self.later(0.005, lambda: self.fill(number, tell=False))
            case Outcome.SLOW:
                self.later(4.0, lambda: self.fill(number))
            case Outcome.PARTIAL:
                self.later(0.005, lambda: self.fill(number, half))
            case Outcome.PARTIAL_CANCEL:
                self.later(0.005, lambda: self.fill(number, half))
                self.later(1.0, lambda: self._end(number, OrderStatus.CANCELLED))
            case Outcome.LATE_REJECT:
                self.later(2.0, lambda: self._end(number, OrderStatus.REJECTED))
        return number

    def fill(self, number: str, quantity: int | None = None, *, tell: bool = True) -> None:
        order = self.book[number]
        more = order.quantity - order.filled if quantity is None else quantity
        if order.status.final or more <= 0:
            return
        filled = order.filled + more
        price = 101.0 if order.side is Side.BUY else 99.0
        trade = Fill(
            order.account, number, f"t{len(self.executed) + 1}", order.instrument_key,
            order.product, order.side, more, price, T0, True,
        )  # fmt: skip
        self.executed.append(trade)
        done = filled == order.quantity
        self.book[number] = replace(
            order,
            filled=filled,
            average_price=price,
            status=OrderStatus.FILLED if done else OrderStatus.WORKING,
            raw_status="complete" if done else "open",
        )
        if tell:
            self._tell(number)

    def cancel(self, number: str) -> None:
        outcome = self._outcomes[number]
        if outcome is Outcome.CANCEL_LOSES:
            self.fill(number)
        if self.book[number].status.final or outcome is Outcome.DEAF:
            raise BadRequest("this order cannot be cancelled", code="UDAPI100040")
        self.later(0.005, lambda: self._end(number, OrderStatus.CANCELLED))

    def _end(self, number: str, status: OrderStatus) -> None:
        if not self.book[number].status.final:
            words = "RMS: margin exceeds" if status is OrderStatus.REJECTED else ""
            ended = replace(self.book[number], status=status, raw_status=str(status))
            self.book[number] = replace(ended, message=words)
            self._tell(number)

    def _tell(self, number: str) -> None:
        if self.told is not None:
            self.told(self.book[number])

    def trade_elsewhere(self, key: str, side: Side, quantity: int) -> None:
        """A trade from the phone, which is on the positions but not on the desk's stream."""
        fill = Fill("main", "phone", f"t{len(self.executed) + 1}", key, Product.INTRADAY, side,
                    quantity, 100.0, T0, True)  # fmt: skip
        self.executed.append(fill)

    # what a test asks

    def net(self, key: str) -> int:
        return sum(f.quantity * f.side.sign for f in self.executed if f.instrument_key == key)

    def filled(self, tag: str) -> int:
        return sum(order.filled for order in self.book.values() if order.tag == tag)


class Cut:
    """Counts the boundaries that a life passes; at the chosen one it ends."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.passed = 0
        self.names: list[str] = []
        self.dead: asyncio.Future[None] | None = None

    @property
    def is_dead(self) -> bool:
        return self.dead is not None and self.dead.done()

    async def pass_(self, name: str) -> None:
        self.count(name)
        if self.is_dead:
            await asyncio.get_running_loop().create_future()

    def count(self, name: str) -> None:
        if self.is_dead:
            return
        self.passed += 1
        self.names.append(name)
        if self.passed == self.at and self.dead is not None:
            self.dead.set_result(None)


class Disk(Paper):
    """What both journals committed, through all lives."""

    def __init__(self) -> None:
        super().__init__()
        self.baskets_kept: dict[str, Basket] = {}


class Journals:
    """Both journals of one life, on one writer: kept rows wait a moment, opened ones do not."""

    def __init__(self, disk: Disk, cut: Cut) -> None:
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._cut = cut
        self._queue: list[Callable[[], None]] = []

    async def open_intents(self, orders: Sequence[Order]) -> list[Order]:
        await self._cut.pass_("before intents")
        self._flush()
        opened = await self._disk.open_intents(orders)
        await self._cut.pass_("after intents")
        return opened

    async def open_basket(self, basket: Basket) -> Basket:
        await self._cut.pass_("before basket")
        self._flush()
        kept = self._disk.baskets_kept
        known = next((b for b in kept.values() if b.nonce == basket.nonce), None)
        if known is None:
            kept[basket.id] = basket
        await self._cut.pass_("after basket")
        return known or basket

    def keep(self, order: Order) -> None:
        self._later("order", lambda: self._disk.keep(order))

    def keep_fills(self, fills: OrderFills) -> None:
        self._later("fills", lambda: self._disk.keep_fills(fills))

    def keep_basket(self, basket: Basket) -> None:
        kept = self._disk.baskets_kept
        self._later(f"basket {basket.state}", lambda: kept.__setitem__(basket.id, basket))

    async def orders(self, *, since: datetime) -> list[Order]:
        return await self._disk.orders(since=since)

    async def fills(self, *, since: datetime) -> list[Fill]:
        return await self._disk.fills(since=since)

    async def baskets(self, *, since: datetime) -> list[Basket]:
        return sorted(self._disk.baskets_kept.values(), key=lambda b: b.created)

    def _later(self, name: str, write: Callable[[], None]) -> None:
        self._cut.count(f"keep {name}")
        if not self._queue:
            self._loop.call_later(0.02, self._flush)
        self._queue.append(write)

    def _flush(self) -> None:
        writes, self._queue = self._queue, []
        for write in writes if not self._cut.is_dead else ():
            write()


class Wire:
    """One life's connection: implements `trading.broker.Broker`."""

    def __init__(self, exchange: Exchange, cut: Cut) -> None:
        self.account = "main"
        self.order_updates: Signal[BrokerOrder] = Signal("orders")
        self.position_updates: Signal[BrokerPosition] = Signal("positions")
        self._exchange = exchange
        self._cut = cut
        self._timer: asyncio.TimerHandle | None = None
        exchange.told = self._told

    async def place(self, line: Line) -> tuple[str, ...]:
        answer = (await self.place_many([line]))[0]
        if answer.error is not None:
            raise answer.error
        return answer.order_ids

    async def place_many(self, lines: Sequence[Line]) -> list[Placed]:
        await self._cut.pass_("before placing")
        answers: list[Placed] = []
        for line in lines:
            try:
                answers.append(Placed(line.tag, (self._exchange.accept(line),)))
            except VigilError as error:
                answers.append(Placed(line.tag, error=error))
        self._act()
        await asyncio.sleep(0.003)
        await self._cut.pass_("after placing")
        if self._exchange.lose_answer_of_calls:
            self._exchange.lose_answer_of_calls -= 1
            raise Unanswered("no answer")
        return answers

    async def modify(self, order: BrokerOrder, change: OrderChange) -> None:
        raise BadRequest("not in this rig")

    async def cancel(self, order_id: str) -> None:
        await self._cut.pass_("before cancel")
        try:
            self._exchange.cancel(order_id)
        finally:
            self._act()
        await asyncio.sleep(0.003)
        await self._cut.pass_("after cancel")

    async def orders(self) -> list[BrokerOrder]:
        await self._read()
        return list(self._exchange.book.values())

    async def orders_tagged(self, tag: str) -> list[BrokerOrder]:
        await self._read()
        return [order for order in self._exchange.book.values() if order.tag == tag]

    async def trades(self) -> list[Fill]:
        await self._read()
        return [fill for fill in self._exchange.executed if fill.order_id != "phone"]

    async def positions(self) -> list[BrokerPosition]:
        await self._read()
        if self._exchange.nonsense:
            raise KeyError("quantity")
        keys = {fill.instrument_key for fill in self._exchange.executed}
        return [_position(key, self._shown(key)) for key in sorted(keys)]

    async def holdings(self) -> list[BrokerHolding]:
        return []

    async def funds(self) -> Funds:
        await self._read()
        return Funds(self._exchange.available, 0)

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        await self._read()
        each = 100 * sum(request.quantity for request in requests)
        return Margin(required=each * 150, final=each * 100)

    async def charges(self, request: OrderRequest, price: float) -> int:
        await self._read()
        return 2_000 + request.quantity

    def _shown(self, key: str) -> int:
        net = self._exchange.net(key)
        less = min(abs(net), self._exchange.hidden_net)
        return net - less if net > 0 else net + less

    async def _read(self) -> None:
        await asyncio.sleep(0.002)
        await self._cut.pass_("read")
        if self._exchange.timeline.now < self._exchange.reads_fail_until:
            raise Retryable("502 Bad Gateway")

    def _told(self, order: BrokerOrder) -> None:
        if not self._cut.is_dead:
            self.order_updates.emit(order)

    def _act(self) -> None:
        """Let the exchange do what is due, and call again when more is."""
        if self._timer is not None:
            self._timer.cancel()
        if self._cut.is_dead:
            return
        moment = self._exchange.act()
        loop = asyncio.get_running_loop()
        self._timer = None if moment is None else loop.call_at(moment, self._act)

    def begin(self) -> None:
        self._act()


def _position(key: str, net: int) -> BrokerPosition:
    return BrokerPosition("main", key, Product.INTRADAY, net, 1.0, 0, 0.0, 0, 0.0, 0, 0, 0.0, 0, 0)


@dataclass
class Life:
    """One process: everything in it is new, and dies with it."""

    cut: Cut
    orders: OrderManager
    baskets: Baskets
    alarms: list[Basket] = field(default_factory=list)


@dataclass(frozen=True)
class Quoted:
    bid: float
    ask: float


class Rig:
    """Runs coroutines in a life; starts the next one after a crash."""

    def __init__(self, *, on_filled: OnFilled = OnFilled.REVERSE) -> None:
        self.timeline = Timeline()
        self.exchange = Exchange(self.timeline)
        self.disk = Disk()
        self.on_filled = on_filled
        self.alarms: list[Basket] = []  # of all lives
        self.crashes = 0
        self._keys = itertools.count(1)
        self._loop = VirtualLoop(self.timeline)
        self.life = self._begin()

    # a test's hand

    def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run to its end and return what it returns; None if the life ended before."""
        return self._loop.run_until_complete(self._race(work))

    def pass_time(self, seconds: float) -> None:
        """Let time pass; if the life ends on the way, the next one begins 3 s later."""
        until = self.timeline.now + seconds
        while True:
            self.run(asyncio.sleep(max(0.0, until - self.timeline.now)))
            if not self.life.cut.is_dead:
                return
            self.restart(after=3.0)

    def crash_at(self, boundary: int) -> None:
        """End the present life at its n-th next boundary."""
        self.life.cut.at = self.life.cut.passed + boundary

    def restart(self, *, after: float = 0.0) -> None:
        """Begin a new life, whatever the old one is doing."""
        self.crashes += 1
        self._bury()
        self.timeline.now += after
        self._loop = VirtualLoop(self.timeline)
        self.life = self._begin()

    def close(self) -> None:
        self._bury()

    # baskets

    def leg(self, side: Side, *outcomes: Outcome, key: str = "", **how: Any) -> OrderRequest:
        """Return a leg of an instrument of its own; its orders there will have these outcomes."""
        key = key or f"NSE_FO|{next(self._keys)}"
        self.exchange.script.setdefault(key, []).extend(outcomes)
        base = OrderRequest(
            account="main",
            instrument_key=key,
            side=side,
            quantity=2 * LOT,
            product=Product.INTRADAY,
            order_type=OrderType.LIMIT,
            nonce="",
            price=100.0,
        )
        return replace(base, **how)

    def send(self, *legs: OrderRequest, nonce: str = "press", **how: Any) -> Basket:
        """Send and follow to the outcome, through crashes, or until it asks."""
        request = BasketRequest(legs, nonce=nonce, **how)
        self.run(self.life.baskets.send(request))
        return self.finish(nonce)

    def finish(self, nonce: str = "press") -> Basket:
        for _ in range(100):
            if self.life.cut.is_dead:
                self.restart(after=3.0)
            basket = self.pressed(nonce)
            assert basket is not None, "it never was"
            ended = self.run(self.life.baskets.finished(basket.id))
            if ended is not None:
                return ended
        raise AssertionError("it never ends")

    def pressed(self, nonce: str) -> Basket | None:
        return next((b for b in self.life.baskets.all() if b.nonce == nonce), None)

    def fresh(self, batch_id: str) -> Basket:
        basket = self.life.baskets.get(batch_id)
        assert basket is not None
        return basket

    # inside

    async def _race(self, work: Coroutine[Any, Any, T]) -> T | None:
        dead = self.life.cut.dead
        assert dead is not None
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, dead}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not dead.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None

    def _begin(self) -> Life:
        async def begin() -> Life:
            cut = Cut()
            cut.dead = self._loop.create_future()
            wire = Wire(self.exchange, cut)
            journals = Journals(self.disk, cut)
            clock = TimelineClock(self.timeline)
            gate = Gate()
            orders = OrderManager(
                clock=clock,
                brokers={"main": wire},
                journal=journals,
                mock={"main": True},
                instrument=self._instrument,
                ltp=lambda _: 100.0,
                band=_band,
                gate=gate,
            )
            gate.add(orders.too_fast, exits_too=True)
            baskets = Baskets(
                clock=clock,
                orders=orders,
                brokers={"main": wire},
                journal=journals,
                instrument=self._instrument,
                quote=lambda _: Quoted(99.0, 101.0),
                mock={"main": True},
                on_filled=self.on_filled,
            )
            life = Life(cut, orders, baskets)
            baskets.unresolved.subscribe(life.alarms.append)
            baskets.unresolved.subscribe(self.alarms.append)
            await orders.start()
            wire.begin()  # the stream comes after the journal, as in main
            await baskets.resume()
            return life

        return self._loop.run_until_complete(begin())

    def _bury(self) -> None:
        cut = self.life.cut
        if cut.dead is not None and not cut.dead.done():
            cut.dead.set_result(None)
        self.exchange.told = None
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(_ended(tasks))
        self._loop.close()

    def _instrument(self, key: str) -> Instrument | None:
        if not key.startswith("NSE_FO|"):
            return None
        return Instrument(key, "NSE_FO", InstrumentType.CALL, key, "NIFTY", lot_size=LOT,
                          freeze_quantity=1_800)  # fmt: skip


async def _band(_: str) -> Band | None:
    return Band(50.0, 200.0)


async def _ended(tasks: set["asyncio.Task[Any]"]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def books_agree(rig: Rig, basket: Basket) -> None:
    """Assert P1 to P4 of faults.md C4 for one basket that has its outcome."""
    exchange = rig.exchange
    sent = [line.tag for line in exchange.placed]
    assert len(sent) == len(set(sent)), "a tag was sent twice"
    for leg in basket.legs:
        lines = [x for x in exchange.placed if x.request.batch_id == basket.id]
        lines = [x for x in lines if x.request.leg == leg.number]
        entries = [x for x in lines if x.request.nonce == leg.request.nonce]
        assert len(entries) <= 1, "a leg was sent twice"
        assert [x.tag for x in entries] in ([], [leg.order_id])
        undoing = [x.tag for x in lines if x not in entries]
        assert len(undoing) <= 3
        assert set(undoing) <= set(leg.reversal_ids)
        if leg.residual is not None:
            assert leg.filled == exchange.filled(leg.order_id), "P2: filled"
            assert leg.reversed == sum(exchange.filled(tag) for tag in leg.reversal_ids), "P2"
            assert leg.residual == leg.filled - leg.reversed, "P2: residual"
    _outcome_is_true(rig, basket)


def _outcome_is_true(rig: Rig, basket: Basket) -> None:
    exchange, state = rig.exchange, basket.state
    nets = {leg.number: exchange.net(leg.request.instrument_key) for leg in basket.legs}
    match state.value:
        case "refused":
            assert not [x for x in exchange.placed if x.request.batch_id == basket.id], "P1"
        case "nothing done":
            assert all(leg.residual == 0 and leg.reversed == 0 for leg in basket.legs), "P3"
        case "reversed":
            assert all(leg.residual == 0 for leg in basket.legs), "P3"
            assert basket.cost is not None
        case "placed":
            assert not any(leg.reversal_ids for leg in basket.legs)
        case "unresolved":
            assert any(alarm.id == basket.id for alarm in rig.alarms), "P4"
        case "partly kept":
            assert any(nets.values()) or any(leg.status.live for leg in basket.legs)
        case other:
            raise AssertionError(f"{other} is no outcome")
