"""All baskets of the day: one owner of their state, which always says what their orders say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from trading.basket import (
    Basket,
    BasketState,
    BatchJournal,
    LegReceipt,
    closed,
    left_words,
    moved,
    told,
)
from trading.clock import Clock
from trading.errors import Denied, Problem, VigilError
from trading.order import Order, OrderRequest
from trading.order_book import OrderMoved
from trading.signal import Signal

log = logging.getLogger(__name__)


class Dealing(Protocol):
    """What a basket needs of the OrderManager."""

    changes: Signal[OrderMoved]

    async def check(self, request: OrderRequest) -> list[Problem]: ...

    async def place(self, request: OrderRequest) -> Order: ...

    async def place_many(self, requests: Sequence[OrderRequest]) -> list[Order]: ...

    async def cancel(self, order_id: str) -> Order: ...

    async def resolve(self, order_id: str) -> Order: ...

    async def reconcile(self, account: str, *, why: str) -> None: ...

    def batch(self, batch_id: str) -> list[Order]: ...

    def working(self, account: str) -> list[Order]: ...


@dataclass(frozen=True, slots=True)
class BasketMoved:
    """A confirmed change; `before` is None for a basket that was not known."""

    before: Basket | None
    after: Basket


class BasketBook:
    """Facts in, changes out; and where those wait who need to know of the next one."""

    def __init__(
        self,
        *,
        clock: Clock,
        orders: Dealing,
        journal: BatchJournal,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.changes: Signal[BasketMoved] = Signal("baskets")
        self.unresolved: Signal[Basket] = Signal("unresolved baskets")
        self._clock = clock
        self._orders = orders
        self._journal = journal
        self._sleep = sleep
        self._baskets: dict[str, Basket] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.close = orders.changes.subscribe(self._on_order)

    def get(self, batch_id: str) -> Basket | None:
        return self._baskets.get(batch_id)

    def all(self, account: str | None = None) -> list[Basket]:
        return [b for b in self._baskets.values() if account in (None, b.account)]

    def known(self, batch_id: str) -> Basket:
        """Return the basket; raise Denied if there is none."""
        basket = self._baskets.get(batch_id)
        if basket is None:
            raise Denied(f"no basket {batch_id!r} is known")
        return basket

    def leg(self, batch_id: str, number: int) -> LegReceipt:
        return self.known(batch_id).legs[number - 1]

    def pressed(self, nonce: str) -> Basket | None:
        return next((b for b in self._baskets.values() if b.nonce == nonce), None)

    # changing

    async def open(self, basket: Basket) -> Basket:
        """Commit a new basket and know it; or return the one that this press has made already."""
        opened = await self._journal.open_basket(basket)
        if opened.id == basket.id:
            self.load(opened)
        return opened

    def load(self, basket: Basket) -> None:
        """Take over what the disk has, and what its orders say since."""
        self._baskets[basket.id] = basket
        self.changes.emit(BasketMoved(None, basket))
        self.refresh(basket.id)

    def put(self, basket: Basket) -> Basket:
        before = self._baskets[basket.id]
        after = replace(basket, updated=self._clock.now())
        self._baskets[basket.id] = after
        self._journal.keep_basket(after)
        self._wake(basket.id)
        self.changes.emit(BasketMoved(before, after))
        return after

    def note(self, batch_id: str, number: int, **fields: Any) -> None:
        """Set fields of one leg's receipt."""
        basket = self.known(batch_id)
        legs = list(basket.legs)
        legs[number - 1] = replace(legs[number - 1], **fields)
        self.put(replace(basket, legs=tuple(legs)))

    def move(self, batch_id: str, state: BasketState, words: str) -> None:
        self.put(moved(self.known(batch_id), state, self._clock.now(), words))

    def conclude(
        self, batch_id: str, state: BasketState, words: str, problems: Iterable[Problem] = ()
    ) -> None:
        """Set the outcome; an unresolved one calls for a person."""
        basket = moved(self.known(batch_id), state, self._clock.now(), words)
        basket = self.put(replace(basket, problems=tuple(problems)))
        log.info("basket %s is %s: %s", batch_id, state, words)
        if state is BasketState.UNRESOLVED:
            self.unresolved.emit(basket)

    def refresh(self, batch_id: str) -> None:
        """Make the receipts say what the orders say, also long after the outcome."""
        basket = self.known(batch_id)
        orders = self._orders.batch(batch_id)
        legs = tuple(told(leg, orders) for leg in basket.legs)
        if legs == basket.legs:
            self._wake(batch_id)
            return
        self.put(replace(basket, legs=legs))
        if any(_worse(*pair) for pair in zip(basket.legs, legs, strict=True)):
            self._got_worse(batch_id)

    def _got_worse(self, batch_id: str) -> None:
        """Call for a person (again) if an outcome that was told has turned out to be worse."""
        basket = self.known(batch_id)
        words = f"the broker told later. Left: {left_words(basket.legs)}"
        if basket.state in (BasketState.NOTHING_DONE, BasketState.REVERSED):
            self.conclude(batch_id, BasketState.UNRESOLVED, words)
        elif basket.state is BasketState.UNRESOLVED:
            self.unresolved.emit(self.put(replace(basket, acknowledged=None, reason=words)))

    def _on_order(self, move: OrderMoved) -> None:
        if move.after.request.batch_id in self._baskets:
            self.refresh(move.after.request.batch_id)

    # waiting

    async def until(self, batch_id: str, moment: float, done: Callable[[], bool]) -> None:
        """Wait for it, woken by changes, not beyond this monotonic moment."""
        while not done() and (left := moment - self._clock.monotonic()) > 0:
            await self.changed(batch_id, within=left)

    async def changed(self, batch_id: str, *, within: float | None = None) -> None:
        """Wait until something of this basket or its orders changes, or so many seconds."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(batch_id, set())
        waiting.add(woken)
        try:
            if within is None:
                await woken
            else:
                await _first(woken, self._sleep(within))
        finally:
            waiting.discard(woken)

    def _wake(self, batch_id: str) -> None:
        for woken in self._waiting.pop(batch_id, ()):
            if not woken.done():
                woken.set_result(None)


def _worse(before: LegReceipt, after: LegReceipt) -> bool:
    """Return whether more may be left of a leg than was known."""
    if closed(after):
        return False
    return closed(before) or (after.residual or 0) > (before.residual or 0)


async def _first(woken: asyncio.Future[None], sleeping: Awaitable[None]) -> None:
    timer = asyncio.ensure_future(sleeping)
    try:
        await asyncio.wait({woken, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()


async def tried(act: Callable[..., Awaitable[Any]], *what: Any, **how: Any) -> bool:
    """Do what may fail; what came of it is read from the orders, never from the error."""
    try:
        await act(*what, **how)
    except VigilError as error:
        log.warning("a basket's step failed: %s", error)
        return False
    return True
