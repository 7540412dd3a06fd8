"""The only way to send an order: checked, committed, sent once, and followed until it is final."""

import asyncio
import base64
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from trading.hours import IST, Phase, TradingHours
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


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. An order without an answer is looked for by its tag, at most so often."""

    first_look: float = 2.0
    between_looks: float = 5.0
    looks: int = 5  # successful reads that do not show it, before it counts as never placed
    confirm: float = 2.0  # after a cancel or modify, before the order is read again
    answer: float = 15.0  # of one write, whatever the transport thinks


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

    Rules are asked in turn; the first reason denies. An exit passes rules of entries.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[Callable[[OrderRequest], str], bool]] = []

    def add(self, rule: Callable[[OrderRequest], str], *, exits_too: bool = False) -> None:
        """Ask `rule` for a reason (empty: none) before every entry, or before every order."""
        self._rules.append((rule, exits_too))

    def reason(self, request: OrderRequest) -> str:
        asked = (r(request) for r, exits_too in self._rules if exits_too or not request.reduces)
        return next((reason for reason in asked if reason), "")


def in_session(hours: TradingHours, clock: Clock) -> Callable[[OrderRequest], str]:
    """Make the rule that an order is sent only while its segment trades."""

    def rule(request: OrderRequest) -> str:
        segment = segment_of(request.instrument_key)
        state = hours.state(segment, clock.now())
        if state.phase is Phase.OPEN:
            return ""
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
        self.book.load(
            await self._journal.orders(since=today), await self._journal.fills(since=today)
        )
        for order in self.book.working():
            if not order.children:
                self._doubt(order, "the desk stopped before the broker answered")

    async def stop(self) -> None:
        """Stop looking for orders; nothing that was sent is forgotten, the disk has it."""
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

        If this press was seen before, its orders are returned and nothing is sent.
        """
        account = requests[0].account
        if any(request.account != account for request in requests):
            raise Denied("the lines are of different accounts")
        for request in requests:
            if found := await self.check(request):
                raise denial(found)
        orders = [self._intent(request) for request in requests]
        committed = await self._journal.open_intents(orders)
        if committed[0].id != orders[0].id:
            return [self.book.get(order.id) or order for order in committed]
        self._count(len(orders))
        for order in orders:
            self.book.add(order)
        # Whoever pressed may go away; what was sent must still be accounted for.
        await asyncio.shield(self._spawn(self._send(account, orders)))
        return [self._known(order.id) for order in orders]

    async def modify(self, order_id: str, change: OrderChange) -> Order:
        """Ask the broker for a change; return the order as it is known afterwards."""
        order = self._changeable(order_id)
        if len(order.children) > 1:
            raise Denied("a sliced order cannot be modified: cancel it and place it anew")
        if found := await self.check(_changed(order.request, change)):
            raise denial(found)
        child = order.children[0]
        broker = self._brokers[order.request.account]
        await self._write(order, broker.modify(child, change))
        return self._known(order_id)

    async def cancel(self, order_id: str) -> Order:
        """Ask the broker to cancel what is still open; a refusal is read up, never believed."""
        order = self._changeable(order_id)
        broker = self._brokers[order.request.account]
        for child in order.children:
            if not child.status.final:
                await self._write(order, broker.cancel(child.order_id))
        return self._known(order_id)

    async def cancel_all(self, account: str) -> list[Order]:
        found = [order for order in self.working(account) if order.children]
        return list(await asyncio.gather(*(self.cancel(order.id) for order in found)))

    # finding out

    async def resolve(self, order_id: str) -> Order:
        """Look for an order by its tag now; raise VigilError if the broker cannot be asked."""
        order = self._known(order_id)
        if not order.external:
            found = await self._brokers[order.request.account].orders_tagged(order_id)
            for told in found:
                self.book.told(told, seen_by="read")
            if found:
                self.book.complete(order_id)
        return self._known(order_id)

    async def reconcile(self, account: str, *, why: str) -> None:
        """Read the broker's three books and take in what they say; raise VigilError if one fails.

        Positions first: a fill in between then shows as a difference, not as an agreement.
        """
        broker = self._brokers[account]
        try:
            positions = await broker.positions()
            trades, orders = await asyncio.gather(broker.trades(), broker.orders())
        except VigilError as error:
            log.warning("the books of %s could not be read (%s): %s", account, why, error)
            self.read_failed.emit(ReadFailed(account, str(error), self._clock.now()))
            raise
        for told in orders:
            self.book.told(told, seen_by="read")
        self.book.settle(account, trades)
        self._end_yesterday(account, {told.order_id for told in orders})
        self.reconciled.emit(
            BookRead(account, tuple(orders), tuple(trades), tuple(positions), self._clock.now())
        )

    # inside

    def _intent(self, request: OrderRequest) -> Order:
        now = self._clock.now()
        mock = self._mock[request.account]
        return Order(new_tag(now), request, OrderStatus.SENT, now, now, is_mock=mock)

    def _count(self, orders: int) -> None:
        self._sent.extend([self._clock.monotonic()] * orders)

    def too_fast(self, request: OrderRequest) -> str:
        """A rule for the gate: more orders in a second than the house allows are a mistake."""
        full = len(self._sent) == self._most_a_second
        if full and self._clock.monotonic() - self._sent[0] < 1.0:
            return f"more than {self._most_a_second} orders in a second: wait a moment"
        return ""

    async def _send(self, account: str, orders: Sequence[Order]) -> None:
        broker = self._brokers[account]
        lines = [Line(order.id, order.request) for order in orders]
        try:
            async with asyncio.timeout(self._patience.answer):
                answers = await _sent(broker, lines)
        except TimeoutError:
            error: VigilError = Unanswered("the broker did not answer in time")
            answers = [Placed(line.tag, error=error) for line in lines]
        except VigilError as error:
            answers = [Placed(line.tag, error=error) for line in lines]
        for answer in answers:
            self._answered(answer)

    def _answered(self, answer: Placed) -> None:
        if answer.order_ids:
            self.book.answered(answer.tag, answer.order_ids)
        if answer.error is None:
            return
        if answer.order_ids:  # some slices went and others did not: the broker knows which
            self._spawn(self._reread(answer.tag))
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
        await self._sleep(self._patience.first_look)
        misses = 0
        while True:
            try:
                if (await self.resolve(order_id)).children:
                    return
                misses += 1
            except VigilError as error:
                log.warning("order %s is still in doubt: %s", order_id, error)
            if misses >= self._patience.looks:
                words = f"the broker was asked {misses} times and has no such order: not placed"
                self.book.judged(order_id, OrderStatus.NOT_PLACED, words, seen_by="read")
                return
            await self._sleep(self._patience.between_looks)

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
        self._spawn(self._confirm(order.id, self._known(order.id)))

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
        for told in await self._brokers[order.request.account].orders():
            self.book.told(told, seen_by="read")
        return self._known(order.id)

    def _end_yesterday(self, account: str, listed: set[str]) -> None:
        """End orders of an earlier day that the book of today does not list any more."""
        today = self._clock.now().astimezone(IST).date()
        for order in self.working(account):
            if order.created.astimezone(IST).date() < today:
                for child in order.children:
                    if not child.status.final and child.order_id not in listed:
                        words = "its day ended while the desk was not looking"
                        ended = replace(
                            child,
                            status=OrderStatus.CANCELLED,
                            raw_status="day over",
                            message=words,
                        )
                        self.book.told(ended, seen_by="us")

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
        task.add_done_callback(self._tasks.discard)
        return task


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
