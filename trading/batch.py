"""Baskets: sent in one call, followed until the outcome is true, undone if a leg fails.

What a basket does next follows from its state and from what its orders say, never from where some
code happens to be: that is why a crash at any point is resumed by the same code, and why nothing is
sent twice (each leg and each attempt of a reversal has one nonce).
"""

import asyncio
import base64
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from trading.basket import (
    Basket,
    BasketRequest,
    BasketState,
    BasketStep,
    BatchJournal,
    LegReceipt,
    OnFilled,
    buys_first,
    entry_nonce,
    failure,
    left_words,
    moved,
    settled,
    standing,
)
from trading.basket_book import BasketBook, BasketMoved, Dealing
from trading.basket_review import BasketReview, Preview, Quote
from trading.broker import Broker
from trading.clock import Clock
from trading.errors import Denied, Problem
from trading.hours import IST
from trading.model import Instrument
from trading.order import OrderRequest
from trading.signal import Signal
from trading.unwinding import Pace, Unwinding

log = logging.getLogger(__name__)


class Baskets:
    """Sends baskets, and follows each with one task until its outcome."""

    def __init__(
        self,
        *,
        clock: Clock,
        orders: Dealing,
        brokers: Mapping[str, Broker],
        journal: BatchJournal,
        instrument: Callable[[str], Instrument | None],
        quote: Callable[[str], Quote | None],
        mock: Mapping[str, bool],
        on_filled: OnFilled,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_filled` is the default: ASK where orders are real, REVERSE where they are not.

        `mock` says for each account whether its orders are made up.
        """
        self._clock = clock
        self._orders = orders
        self._mock = mock
        self._default = on_filled
        self._pace = pace or Pace()
        self._book = BasketBook(clock=clock, orders=orders, journal=journal, sleep=sleep)
        self._journal = journal
        self._review = BasketReview(
            clock=clock,
            orders=orders,
            brokers=brokers,
            instrument=instrument,
            quote=quote,
            on_filled=on_filled,
        )
        self._unwinding = Unwinding(
            clock=clock,
            book=self._book,
            orders=orders,
            brokers=brokers,
            pace=self._pace,
            sleep=sleep,
        )
        self.changes: Signal[BasketMoved] = self._book.changes
        self.unresolved: Signal[Basket] = self._book.unresolved  # each is critical
        self._presses: dict[str, asyncio.Task[Basket]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # what others ask

    def get(self, batch_id: str) -> Basket | None:
        return self._book.get(batch_id)

    def all(self, account: str | None = None) -> list[Basket]:
        """Return the baskets, newest last."""
        return self._book.all(account)

    async def preview(self, legs: Sequence[OrderRequest]) -> Preview:
        """Say what sending these would need, cost at worst, and be refused for; never raises."""
        return await self._review.preview(legs)

    async def finished(self, batch_id: str) -> Basket:
        """Wait for a basket's outcome, or until it waits for the trader's choice."""
        while not (basket := self._book.known(batch_id)).state.final and not basket.asking:
            await self._book.changed(batch_id)
        return basket

    # life

    async def resume(self) -> None:
        """Take up what a crash or a stop left; the orders must be loaded before.

        Legs without an intent were never sent and never will be: the market has moved.
        """
        today = self._clock.now().astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
        for basket in await self._journal.baskets(since=today):
            if self._book.get(basket.id) is None:
                self._book.load(basket)
                self._follow(basket.id, resumed=True)
                if basket.alarming:
                    self.unresolved.emit(self._book.known(basket.id))

    async def stop(self) -> None:
        """Stop following. Every basket stays as the disk and the orders have it."""
        self._book.close()
        tasks = [*self._presses.values(), *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # what the trader does

    async def send(self, request: BasketRequest) -> Basket:
        """Send a basket; return it REFUSED, or as far as known once the broker has answered.

        One nonce makes one basket, however often it arrives. What follows is on `changes`, and
        `finished` waits for it. Raises if the disk did not take it: then nothing was sent.
        """
        task = self._presses.get(request.nonce)
        if task is None:
            task = asyncio.create_task(self._begin(request))
            self._presses[request.nonce] = task
            task.add_done_callback(lambda _: self._presses.pop(request.nonce, None))
        # Whoever pressed may go away; what was sent must still be followed.
        return await asyncio.shield(task)

    def decide(self, batch_id: str, choice: OnFilled) -> Basket:
        """Choose for a basket that asks: REVERSE or KEEP; raise Denied if it does not ask."""
        basket = self._book.known(batch_id)
        if not basket.asking or choice is OnFilled.ASK:
            raise Denied("this basket does not wait for a choice")
        return self._book.put(replace(basket, decision=choice, asking=False))

    def acknowledge(self, batch_id: str) -> Basket:
        """Take note of an unresolved basket; raise Denied if it is not (or not yet) unresolved."""
        basket = self._book.known(batch_id)
        if basket.state is not BasketState.UNRESOLVED:
            raise Denied(f"this basket is {basket.state}: there is nothing to take note of")
        if basket.acknowledged is None:
            basket = self._book.put(replace(basket, acknowledged=self._clock.now()))
        return basket

    # placing

    async def _begin(self, request: BasketRequest) -> Basket:
        pressed = self._book.pressed(request.nonce) if request.nonce else None
        if pressed is not None:
            return pressed
        basket = self._new(request)
        problems = await self._review.problems(request)
        if problems:  # it may hold anything, so it is answered and not kept
            return self._refused(basket, problems)
        problems = await self._review.short_of_margin(request.legs)
        if problems:
            return await self._book.open(self._refused(basket, problems))
        opened = await self._book.open(moved(basket, BasketState.PLACING, self._clock.now(), ""))
        if opened.id != basket.id:
            return opened
        await self._place(opened)
        self._follow(opened.id)
        return self._book.known(opened.id)

    def _new(self, request: BasketRequest) -> Basket:
        now = self._clock.now()
        batch_id = new_id(now)
        account = request.legs[0].account if request.legs else ""
        return Basket(
            id=batch_id,
            account=account,
            nonce=request.nonce,
            name=request.name,
            source=request.source,
            rollback_on_failure=request.rollback_on_failure,
            on_filled=request.on_filled or self._default,
            state=BasketState.VALIDATING,
            created=now,
            updated=now,
            is_mock=self._mock.get(account, False),
            legs=tuple(_leg(batch_id, n, leg, request) for n, leg in enumerate(request.legs, 1)),
            steps=(BasketStep(BasketState.VALIDATING, now),),
        )

    def _refused(self, basket: Basket, problems: Sequence[Problem]) -> Basket:
        words = "; ".join(problem.words for problem in problems) + ". Nothing was sent."
        refused = moved(basket, BasketState.REFUSED, self._clock.now(), words)
        return replace(refused, problems=tuple(problems))

    async def _place(self, basket: Basket) -> None:
        """Send all legs; whatever comes of the call, the orders say what is true."""
        try:
            await self._orders.place_many(buys_first([leg.request for leg in basket.legs]))
        except Exception as error:
            if not isinstance(error, Denied):
                log.exception("basket %s could not be sent", basket.id)
            if not self._orders.batch(basket.id):
                problems = error.problems if isinstance(error, Denied) else ()
                words = f"{error} Nothing was sent."
                self._book.conclude(basket.id, BasketState.REFUSED, words, problems)

    # following

    def _follow(self, batch_id: str, *, resumed: bool = False) -> None:
        if not self._book.known(batch_id).state.final:
            task = asyncio.create_task(self._run(batch_id, resumed=resumed))
            self._tasks[batch_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(batch_id, None))

    async def _run(self, batch_id: str, *, resumed: bool) -> None:
        try:
            if resumed:  # a cancel that was sent before the stop need not be sent again
                await self._unwinding.read(batch_id)
            if self._book.known(batch_id).state is BasketState.PLACING:
                await self._settle(batch_id)
            if self._book.known(batch_id).state is BasketState.COMPENSATING:
                await self._unwinding.compensate(batch_id)
        except Exception as error:
            log.exception("basket %s was left by a fault of ours", batch_id)
            words = f"the desk failed to follow it ({error!r}): compare with the broker's book"
            if not self._book.known(batch_id).state.final:
                self._book.conclude(batch_id, BasketState.UNRESOLVED, words)

    async def _settle(self, batch_id: str) -> None:
        """Follow a sent basket until it has failed, or the window in which it could is over."""
        if not self._orders.batch(batch_id):
            words = "the desk stopped before anything was sent"
            self._book.conclude(batch_id, BasketState.NOTHING_DONE, words)
            return
        await self._unwinding.look(batch_id)  # an answer that was lost may be on the book already
        end = self._clock.monotonic() + self._window_left(batch_id)
        while True:
            basket = self._book.known(batch_id)
            why = failure(basket.legs)
            if why and basket.rollback_on_failure:
                self._book.move(batch_id, BasketState.COMPENSATING, why)
                return
            if settled(basket.legs):
                self._stand(batch_id)
                return
            now = self._clock.monotonic()
            if now >= end and await self._confirmed(basket, unsure=now < end + self._pace.give_up):
                self._stand(batch_id)
                return
            if self._book.known(batch_id) == basket:
                left = end - self._clock.monotonic()
                await self._book.changed(batch_id, within=left if left > 0 else self._pace.round)

    async def _confirmed(self, basket: Basket, *, unsure: bool) -> bool:
        """Return whether the broker's books, read now, say nothing that we did not know.

        Without such a read the stream may just be down. Legs in doubt are waited for a while.
        """
        if unsure and any(leg.status.unknown for leg in basket.legs):
            return False
        return await self._unwinding.read(basket.id) and self._book.known(basket.id) == basket

    def _stand(self, batch_id: str) -> None:
        legs = self._book.known(batch_id).legs
        state = standing(legs)
        words = left_words(legs) if state is BasketState.UNRESOLVED else failure(legs)
        self._book.conclude(batch_id, state, words)

    def _window_left(self, batch_id: str) -> float:
        """Return the seconds of the settle window that are left, of a resumed basket too."""
        steps = self._book.known(batch_id).steps
        sent = next(step.at for step in steps if step.state is BasketState.PLACING)
        gone = (self._clock.now() - sent).total_seconds()
        return min(max(self._pace.settle - gone, 0.0), self._pace.settle)


def _leg(batch_id: str, number: int, leg: OrderRequest, basket: BasketRequest) -> LegReceipt:
    request = replace(
        leg,
        nonce=entry_nonce(batch_id, number),
        batch_id=batch_id,
        leg=number,
        source=basket.source,
    )
    return LegReceipt(number, request)


def new_id(now: datetime) -> str:
    number = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    return f"basket-{now.astimezone(IST):%Y%m%d}-{number}"
