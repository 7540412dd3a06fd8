"""The only way to send an order: checked, committed, sent once, and followed until it is final."""

import asyncio
import base64
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from trading.broker import Broker, Line, OrderJournal, Placed
from trading.checks import NO_LIMITS, Band, Limits, problems
from trading.clock import Clock
from trading.errors import (
    BadRequest,
    Denied,
    Problem,
    RateLimited,
    Refused,
    Retryable,
    Unanswered,
    VigilError,
)
from trading.hours import IST, TradingHours
from trading.merge import DAY_OVER
from trading.model import Instrument, segment_of
from trading.order import (
    BrokerOrder,
    BrokerPosition,
    Fill,
    Order,
    OrderChange,
    OrderFills,
    OrderRequest,
    OrderStatus,
)
from trading.order_book import OrderBook, OrderMoved
from trading.ports import StorageStats
from trading.signal import Signal

log = logging.getLogger(__name__)
T = TypeVar("T")

APP: Final = "vigil"
LINGER: Final = timedelta(hours=1)  # that an order of yesterday stays after its last change


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. An order without an answer is looked for by its tag, at most so often."""

    first_look: float = 2.0
    between_looks: float = 5.0  # doubled with each look that fails, up to `longest`
    longest: float = 30.0
    looks: int = 5  # successful reads that do not show it, before it counts as never placed
    confirm: float = 2.0  # after a cancel or modify, before the order is read again
    answer: float = 15.0  # of one write, whatever the transport thinks
    read: float = 30.0  # of the books, with all waiting for a turn
    farewell: float = 1.5  # at a stop, for the answers to what is being sent
    lost: float = 600.0  # that an order of an earlier day stays in doubt, for others to see it


@dataclass(frozen=True, slots=True)
class BookRead:
    """What the broker's books said in one reconciliation, all three read within a moment."""

    account: str
    orders: tuple[BrokerOrder, ...]
    trades: tuple[Fill, ...]
    positions: tuple[BrokerPosition, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """A book could not be read; what was known stays as it is, and is marked as not confirmed."""

    account: str
    reason: str
    at: datetime


class Gate:
    """Why an order may not be sent now, apart from what is wrong with the order itself.

    Rules are asked in turn; the first reason denies. An exit passes rules of entries, if it is one:
    to say so is not enough.
    """

    def __init__(self, *, is_exit: Callable[[OrderRequest], bool] = lambda request: True) -> None:
        """`is_exit` judges requests that say that they reduce."""
        self._is_exit = is_exit
        self._rules: list[tuple[Callable[[OrderRequest], str], bool]] = []

    def add(self, rule: Callable[[OrderRequest], str], *, exits_too: bool = False) -> None:
        """Ask `rule` for a reason (empty: none) before every entry, or before every order."""
        self._rules.append((rule, exits_too))

    def reason(self, request: OrderRequest) -> str:
        leaves = request.reduces and self._is_exit(request)
        asked = (rule(request) for rule, exits_too in self._rules if exits_too or not leaves)
        return next((reason for reason in asked if reason), "")


def in_session(hours: TradingHours, clock: Clock) -> Callable[[OrderRequest], str]:
    """Make the rule that an order is sent only while its segment trades."""

    def rule(request: OrderRequest) -> str:
        segment, now = segment_of(request.instrument_key), clock.now()
        if hours.is_open(segment, now):
            return ""
        state = hours.state(segment, now)  # looks days ahead, which takes a millisecond
        opens = state.next_open
        when = f", opens {opens.astimezone(IST):%a %d %b %H:%M}" if opens else ""
        return f"{segment} is {state.phase}{f' ({state.name})' if state.name else ''}{when}"

    return rule


def on_a_sound_disk(stats: Callable[[], StorageStats]) -> Callable[[OrderRequest], str]:
    """Make the rule that nothing is entered which could not be remembered."""

    def rule(request: OrderRequest) -> str:
        storage = stats()
        if storage.state in ("ok", "locked"):
            return ""
        return f"storage is {storage.state} ({storage.reason}): exits only until it is mended"

    return rule


@dataclass(frozen=True, slots=True)
class _Press:
    """What was asked for together, and the work of writing it down and sending it."""

    requests: tuple[OrderRequest, ...]
    work: asyncio.Task[list[Order]]


class OrderManager:
    """Sends requests through one broker for each account, and owns nothing but the sending.

    States live in the `OrderBook`. A request is denied before anything is written; an intent is
    committed before anything is sent; what is sent is never sent again.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        brokers: Mapping[str, Broker],
        journal: OrderJournal,
        mock: Mapping[str, bool],
        instrument: Callable[[str], Instrument | None],
        ltp: Callable[[str], float | None],
        band: Callable[[str], Awaitable[Band | None]],
        gate: Gate,
        limits: Limits = NO_LIMITS,
        most_a_second: int = 8,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.book = OrderBook(clock=clock, journal=journal, mock=mock)
        self.changes: Signal[OrderMoved] = self.book.changes
        self.filled: Signal[OrderFills] = self.book.filled
        self.reconciled: Signal[BookRead] = Signal("reconciled")
        self.read_failed: Signal[ReadFailed] = Signal("read failed")
        self.gate = gate
        self._clock = clock
        self._brokers = dict(brokers)
        self._journal = journal
        self._mock = mock
        self._instrument, self._ltp, self._band = instrument, ltp, band
        self._limits = limits
        self._most_a_second = most_a_second
        self._patience = patience or Patience()
        self._sleep = sleep
        self._sent: deque[float] = deque(maxlen=most_a_second)
        self._doubts: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._presses: dict[str, _Press] = {}  # by nonce, of this run
        self._counted: set[str] = set()  # nonces on their way to the disk
        self._reading = {account: asyncio.Lock() for account in brokers}
        self._stopped = False
        for broker in self._brokers.values():
            broker.order_updates.subscribe(self._on_update)

    # what others ask

    def get(self, order_id: str) -> Order | None:
        return self.book.get(order_id)

    def orders(self, account: str | None = None) -> list[Order]:
        return self.book.orders(account)

    def working(self, account: str | None = None) -> list[Order]:
        return self.book.working(account)

    def batch(self, batch_id: str) -> list[Order]:
        return self.book.batch(batch_id)

    # life

    async def start(self) -> None:
        """Load today's orders. Those that were never answered are in doubt, and looked for."""
        today = self._clock.now().astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
        orders = await self._journal.orders(since=today)
        fills = await self._journal.fills(since=today)
        self.book.load(  # an account that is in the settings no more has nobody to ask
            [order for order in orders if order.request.account in self._brokers],
            [fill for fill in fills if fill.account in self._brokers],
        )
        for order in self.book.working():
            if not order.children:
                self._doubt(order, "the desk stopped before the broker answered")

    async def stop(self) -> None:
        """Send nothing any more; nothing that was sent is forgotten, the disk has it."""
        self._stopped = True
        if sending := [press.work for press in self._presses.values() if not press.work.done()]:
            await asyncio.wait(sending, timeout=self._patience.farewell)
        for task in (*self._doubts.values(), *self._tasks):
            task.cancel()
        await asyncio.gather(*self._doubts.values(), *self._tasks, return_exceptions=True)

    # sending

    async def check(self, request: OrderRequest) -> list[Problem]:
        """Return what would deny this request now; what a review shows before the press."""
        if request.account not in self._brokers:
            return [Problem("account", f"no account {request.account!r} in the settings")]
        instrument = self._instrument(request.instrument_key)
        found = problems(request, instrument)
        if found:
            return found
        reason = self.gate.reason(request)
        if reason:
            return [Problem("desk", reason)]
        band = await self._band(request.instrument_key)
        ltp = self._ltp(request.instrument_key)
        return problems(request, instrument, ltp=ltp, band=band, limits=self._limits)

    async def place(self, request: OrderRequest) -> Order:
        """Send one order and return it as far as it is known; raise Denied if it was not sent."""
        return (await self.place_many([request]))[0]

    async def place_many(self, requests: Sequence[OrderRequest]) -> list[Order]:
        """Send orders of one account in one call; return them in the order of the requests.

        If this press was seen before, its orders are returned and nothing is sent. Raises Denied
        if nothing was sent, whatever the reason.
        """
        asked = tuple(requests)
        if len({request.account for request in asked}) != 1:
            raise Denied("orders that are sent together are of one account. Nothing was sent.")
        press = self._pressed(asked)
        if press is None:
            for request in asked:
                if found := await self.check(request):
                    raise denial(found)
            press = self._pressed(asked) or self._press(asked)
        # Whoever pressed may go away; what was sent must still be accounted for.
        made = await asyncio.shield(press.work)
        return [self.book.get(order.id) or order for order in made]

    async def modify(self, order_id: str, change: OrderChange) -> Order:
        """Ask the broker for a change; return the order as it is known afterwards."""
        if change == OrderChange():
            raise denial([Problem("change", "it changes nothing")])
        order = self._changeable(order_id)
        if len(order.children) > 1:
            raise Denied("a sliced order cannot be modified: cancel it and place it anew")
        changed = _changed(order.request, change)
        if found := await self.check(changed):
            raise denial(found)
        order = self._changeable(order_id)  # it may have been filled meanwhile
        if changed.quantity <= order.filled:
            words = f"{order.filled} are filled already: more than that, or cancel the rest"
            raise denial([Problem("quantity", words)])
        self._count([changed])
        broker = self._brokers[order.request.account]
        await self._write(order, broker.modify(order.children[0], change))
        return self._known(order_id)

    async def cancel(self, order_id: str) -> Order:
        """Ask the broker to cancel what is still open; a refusal is read up, never believed.

        Of a sliced order every slice is tried, whatever becomes of the others.
        """
        order = self._changeable(order_id)
        broker = self._brokers[order.request.account]
        refused: VigilError | None = None
        for number in [child.order_id for child in order.children]:
            if any(c.order_id == number and c.status.final for c in self._known(order_id).children):
                continue
            try:
                await self._write(order, broker.cancel(number))
            except VigilError as error:
                refused = error
        if refused is not None and not self._known(order_id).status.final:
            raise refused
        return self._known(order_id)

    async def cancel_in_turn(self, order_id: str) -> Order:
        """Cancel, and again where the limit of calls was in the way, as it is with many at once.

        Raises what `cancel` raises; RateLimited only for a limit that does not pass soon.
        """
        for _ in range(2 * self._patience.looks):
            try:
                return await self.cancel(order_id)
            except RateLimited as error:
                if error.retry_after > self._patience.longest:
                    raise
                await self._sleep(error.retry_after)
        return await self.cancel(order_id)

    # finding out

    async def resolve(self, order_id: str) -> Order:
        """Look for an order by its tag now; raise VigilError if the broker cannot be asked."""
        order = self._known(order_id)
        if not order.external:
            broker = self._brokers[order.request.account]
            found = await self._in_time(broker.orders_tagged(order_id))
            for told in found:
                self.book.told(told, seen_by="read")
            if found:
                self.book.complete(order_id)
        return self._known(order_id)

    async def reconcile(self, account: str, *, why: str) -> None:
        """Read the broker's three books and take in what they say; raise VigilError if one fails.

        Positions first: a fill in between then shows as a difference, not as an agreement. One
        reading at a time, so that no older one comes after a newer one.
        """
        async with self._reading[account]:
            ended = [o for o in self.working(account) if _has_ended(o)]
            try:
                orders, trades, positions = await self._in_time(self._books(account))
            except Exception as error:
                log.warning("the books of %s could not be read (%s): %s", account, why, error)
                self.read_failed.emit(ReadFailed(account, str(error), self._clock.now()))
                raise
            for told in orders:
                self.book.told(told, seen_by="read")
            for order in ended:
                if self.book.get(order.id) is order:  # no other slice has shown up
                    self.book.complete(order.id)
            self.book.settle(account, trades)
            self._end_yesterday(account, {told.order_id for told in orders})
            self.reconciled.emit(
                BookRead(account, tuple(orders), tuple(trades), tuple(positions), self._clock.now())
            )

    async def _books(
        self, account: str
    ) -> tuple[list[BrokerOrder], list[Fill], list[BrokerPosition]]:
        broker = self._brokers[account]
        positions = await broker.positions()
        trades, orders = await asyncio.gather(broker.trades(), broker.orders())
        return orders, trades, positions

    async def _in_time(self, read: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._patience.read):
                return await read
        except TimeoutError:
            raise Retryable(f"no answer within {self._patience.read:g} s") from None

    # inside

    def _intent(self, request: OrderRequest) -> Order:
        now = self._clock.now()
        mock = self._mock[request.account]
        return Order(new_tag(now), request, OrderStatus.SENT, now, now, is_mock=mock)

    def _pressed(self, asked: tuple[OrderRequest, ...]) -> _Press | None:
        """Return what this press has begun already; raise Denied if it began something else."""
        if self._stopped:
            raise denial([Problem("desk", "it is stopping")])
        press = self._presses.get(asked[0].nonce)
        if press is not None and press.requests != asked:
            raise _not_the_same()
        return press

    def _press(self, asked: tuple[OrderRequest, ...]) -> _Press:
        """Begin to send, unless something came in between: from here on nothing waits."""
        self._count(asked)
        press = _Press(asked, self._spawn(self._commit_and_send(asked)))
        nonces = {request.nonce for request in asked}
        self._presses |= dict.fromkeys(nonces, press)
        self._counted |= nonces

        def forget_failed(work: "asyncio.Task[list[Order]]") -> None:
            if work.cancelled() or work.exception() is not None:
                self._forget_presses(lambda each: each is press)

        press.work.add_done_callback(forget_failed)
        return press

    def _forget_presses(self, which: Callable[[_Press], bool]) -> None:
        self._presses = {n: press for n, press in self._presses.items() if not which(press)}

    def _count(self, asked: Sequence[OrderRequest]) -> None:
        """Let these pass, and count them; raise Denied if the gate has closed meanwhile."""
        self._refuse_late(asked)
        self._sent.extend([self._clock.monotonic()] * len(asked))

    def _refuse_late(self, asked: Sequence[OrderRequest]) -> None:
        reason = next(filter(None, map(self.gate.reason, asked)), "")
        if reason:
            raise denial([Problem("desk", reason)])

    def too_fast(self, request: OrderRequest) -> str:
        """A rule for the gate: more orders in a second than the house allows are a mistake."""
        full = len(self._sent) == self._most_a_second
        counted = request.nonce in self._counted
        if full and not counted and self._clock.monotonic() - self._sent[0] < 1.0:
            return f"more than {self._most_a_second} orders in a second: wait a moment"
        return ""

    async def _commit_and_send(self, asked: tuple[OrderRequest, ...]) -> list[Order]:
        orders = [self._intent(request) for request in asked]
        try:
            committed = await self._committed(orders)
            if committed[0].id != orders[0].id:
                return _the_same(committed, asked)
            for order in orders:
                self.book.add(order)
            self._refuse_late(asked)  # the disk may have taken seconds
        except Denied as error:
            for order in orders:
                if self.book.get(order.id):
                    self.book.judged(order.id, OrderStatus.DENIED, str(error), seen_by="us")
            raise
        finally:
            self._counted -= {request.nonce for request in asked}
        await self._send(asked[0].account, orders)
        return orders

    async def _committed(self, orders: Sequence[Order]) -> list[Order]:
        try:
            return await self._journal.open_intents(orders)
        except Denied:
            raise
        except VigilError as error:
            words = f"it could not be written down before it is sent: {error}"
            raise denial([Problem("desk", words)]) from error

    async def _send(self, account: str, orders: Sequence[Order]) -> None:
        broker = self._brokers[account]
        lines = [Line(order.id, order.request) for order in orders]
        lost: VigilError = Unanswered("the broker's answer leaves this order out")
        answers: list[Placed] = []
        try:
            async with asyncio.timeout(self._patience.answer):
                answers = await _sent(broker, lines)
        except TimeoutError:
            lost = Unanswered("the broker did not answer in time")
        except VigilError as error:
            lost = error
        except Exception as error:  # it may be there all the same, and somebody must look
            log.exception("an order was sent, and then something broke")
            lost = Unanswered(f"the desk failed while it was sent ({error!r})")
        told = {answer.tag: answer for answer in answers}
        for order in orders:
            self._answered(told.get(order.id) or Placed(order.id, error=lost))

    def _answered(self, answer: Placed) -> None:
        if answer.order_ids:
            self.book.answered(answer.tag, answer.order_ids)
        if answer.error is None:
            return
        if answer.order_ids:  # some slices went and others did not: the broker knows which
            self._behind(self._reread(answer.tag))
            return
        words = str(answer.error)
        match answer.error:
            case BadRequest():
                self.book.judged(answer.tag, OrderStatus.REJECTED, words, seen_by="answer")
            case Refused() | RateLimited() | Retryable():
                self.book.judged(answer.tag, OrderStatus.NOT_PLACED, words, seen_by="answer")
            case _:
                self._doubt(self._known(answer.tag), words)

    def _doubt(self, order: Order, why: str) -> None:
        if order.id in self._doubts:
            return
        words = f"{why}: looking for it at the broker, it will not be sent again"
        self.book.judged(order.id, OrderStatus.IN_DOUBT, words, seen_by="us")
        task = asyncio.create_task(self._look_for(order.id))
        self._doubts[order.id] = task
        task.add_done_callback(lambda _: self._doubts.pop(order.id, None))

    async def _look_for(self, order_id: str) -> None:
        """Ask for the tag until it is found, or was successfully not found often enough."""
        patience = self._patience
        await self._sleep(patience.first_look)
        misses = failures = 0
        while True:
            pause = patience.between_looks
            try:
                if (await self.resolve(order_id)).children:
                    return
                misses, failures = misses + 1, 0
            except Exception as error:
                if not isinstance(error, VigilError):
                    log.exception("the look for an order failed")
                log.warning("order %s is still in doubt: %s", order_id, error)
                failures += 1
                pause = min(patience.longest, pause * 2.0 ** min(failures - 1, 10))
                pause = max(pause, error.retry_after if isinstance(error, RateLimited) else 0.0)
            if misses >= patience.looks:
                await self._give_up(order_id, misses)
                return
            await self._sleep(pause)

    async def _give_up(self, order_id: str, misses: int) -> None:
        """End an order that the broker does not know, by what that proves."""
        order, today = self._known(order_id), self._clock.now().astimezone(IST).date()
        if order.created.astimezone(IST).date() == today:
            words = f"the broker was asked {misses} times and has no such order: not placed"
            self.book.judged(order_id, OrderStatus.NOT_PLACED, words, seen_by="read")
            return
        words = (
            "its day is over and the broker tells nothing of it: whether it was placed is not "
            "known, compare the positions with the broker's book"
        )
        self.book.judged(order_id, OrderStatus.IN_DOUBT, words, seen_by="read")
        await self._sleep(self._patience.lost)
        self.book.judged(order_id, OrderStatus.CANCELLED, words, seen_by="us")

    async def _write(self, order: Order, write: Coroutine[Any, Any, None]) -> None:
        """Do a cancel or modify; what it led to is read from the broker unless it says so itself.

        Raises VigilError only if the change certainly did not happen and the order still works.
        """
        try:
            async with asyncio.timeout(self._patience.answer):
                await asyncio.shield(self._spawn(write))
        except (BadRequest, Unanswered, TimeoutError) as error:
            known = await self._reread(order.id)
            if isinstance(error, BadRequest) and not known.status.final:
                raise
            return
        self._behind(self._confirm(order.id, self._known(order.id)))

    async def _confirm(self, order_id: str, before: Order) -> None:
        await self._sleep(self._patience.confirm)
        now = self._known(order_id)
        if now == before and not now.status.final:
            await self._reread(order_id)

    async def _reread(self, order_id: str) -> Order:
        """Return the order as the broker has it now; raise Unanswered if it will not say."""
        for _ in range(self._patience.looks):
            try:
                return await self._read(self._known(order_id))
            except Retryable as error:
                log.warning("order %s cannot be read: %s", order_id, error)
                await self._sleep(self._patience.first_look)
        raise Unanswered(
            "the broker does not say what became of it: the order stands as shown last"
        )

    async def _read(self, order: Order) -> Order:
        if not order.external:
            return await self.resolve(order.id)
        for told in await self._in_time(self._brokers[order.request.account].orders()):
            self.book.told(told, seen_by="read")
        return self._known(order.id)

    def _end_yesterday(self, account: str, listed: set[str]) -> None:
        """End orders of an earlier day that the book of today does not list; forget the others."""
        today = self._clock.now().astimezone(IST).date()
        for order in self.working(account):
            if order.created.astimezone(IST).date() < today:
                for child in order.children:
                    if not child.status.final and child.order_id not in listed:
                        words = "its day ended while the desk was not looking"
                        ended = replace(
                            child,
                            status=OrderStatus.CANCELLED,
                            raw_status=DAY_OVER,
                            message=words,
                        )
                        self.book.told(ended, seen_by="us")
        now = self._clock.now()
        midnight = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
        self.book.forget(min(midnight, now - LINGER))
        known = self.book.get
        self._forget_presses(lambda p: p.work.done() and not any(map(known, _made(p))))

    def _changeable(self, order_id: str) -> Order:
        order = self._known(order_id)
        if order.status.final:
            raise Denied(f"this order is {order.status}: there is nothing left to change")
        if not order.children:
            raise Denied("this order is in doubt: wait until it is known whether it exists")
        return order

    def _known(self, order_id: str) -> Order:
        order = self.book.get(order_id)
        if order is None:
            raise Denied(f"no order {order_id!r} is known")
        return order

    def _on_update(self, told: BrokerOrder) -> None:
        self.book.told(told, seen_by="stream")

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; it may be that nobody did

    def _behind(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what nobody waits for; if it fails, the log says so."""

        def tell(task: "asyncio.Task[object]") -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("what became of an order is not confirmed: %s", error)

        self._spawn(work).add_done_callback(tell)


def _has_ended(order: Order) -> bool:
    """Return whether all that is known of it is final: of a sliced order there may be more."""
    return bool(order.children) and all(child.status.final for child in order.children)


def _made(press: _Press) -> list[str]:
    return [order.id for order in press.work.result()]


def _the_same(known: Sequence[Order], asked: Sequence[OrderRequest]) -> list[Order]:
    """Return the orders of this press that the disk knows; raise Denied if it asks for others.

    What a modification may have changed since is not compared.
    """
    if len(known) < len(asked):
        raise _not_the_same()
    if any(_what(o.request) != _what(r) for o, r in zip(known, asked, strict=False)):
        raise _not_the_same()
    if known[0].status is OrderStatus.DENIED:
        raise Denied(known[0].message)
    return list(known)


def _what(request: OrderRequest) -> tuple[str, ...]:
    return (request.account, request.instrument_key, request.side, request.product)


def _not_the_same() -> Denied:
    words = "it was used for something else: every press needs one of its own"
    return denial([Problem("nonce", words)])


async def _sent(broker: Broker, lines: Sequence[Line]) -> list[Placed]:
    if len(lines) > 1:
        return await broker.place_many(lines)
    return [Placed(lines[0].tag, await broker.place(lines[0]))]


def _changed(request: OrderRequest, change: OrderChange) -> OrderRequest:
    """Return the request as it would stand after the change."""
    kind = change.order_type or request.order_type
    price = request.price if change.price is None else change.price
    trigger = request.trigger if change.trigger is None else change.trigger
    return replace(
        request,
        quantity=request.quantity if change.quantity is None else change.quantity,
        order_type=kind,
        price=price if kind.has_price else 0.0,
        trigger=trigger if kind.has_trigger else 0.0,
        validity=change.validity or request.validity,
    )


def denial(found: Sequence[Problem]) -> Denied:
    words = "; ".join(f"{problem.field}: {problem.words}" for problem in found)
    return Denied(f"{words}. Nothing was sent.", problems=found)


def new_tag(now: datetime) -> str:
    """Return a tag of 34 characters that no other order has, also not of another run or machine."""
    number = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return f"{APP}-{now.astimezone(IST):%Y%m%d}-{number}"
