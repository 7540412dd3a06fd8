"""What happens to a basket that failed: find out, cancel, read again, reverse, and say the cost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from trading.basket import (
    MOST_ATTEMPTS,
    BasketState,
    LegReceipt,
    LegStatus,
    OnFilled,
    closed,
    compensated,
    left_words,
    reversal,
    reversals_of,
    reversible,
    settled,
)
from trading.basket_book import BasketBook, Dealing, tried
from trading.broker import Broker
from trading.clock import Clock
from trading.errors import VigilError
from trading.order import Order, OrderRequest, OrderStatus, Side

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, and how often something is tried."""

    settle: float = 10.0  # after the sending, for a leg to be rejected by the exchange
    round: float = 5.0  # between two looks at, or cancels of, what does not come to an end
    give_up: float = 60.0  # on legs that stay in doubt or open; then a person is called
    reversal: float = 10.0  # for a reversing order to be filled before it is cancelled
    again: float = 1.0  # between two attempts at the same thing
    reads: int = 5  # of one book
    denials: int = 10  # of one reversal by our own rules ("too fast"); none of them is an attempt


class Unwinding:
    """Knows nothing between two calls: what is left to do follows from the book."""

    def __init__(
        self,
        *,
        clock: Clock,
        book: BasketBook,
        orders: Dealing,
        brokers: Mapping[str, Broker],
        pace: Pace,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._book = book
        self._orders = orders
        self._brokers = brokers
        self._pace = pace
        self._sleep = sleep
        self._turns: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def look(self, batch_id: str) -> None:
        """Ask once for every leg that is in doubt."""
        unknown = [leg.order_id for leg in self._book.known(batch_id).legs if leg.status.unknown]
        await asyncio.gather(*(tried(self._orders.resolve, order_id) for order_id in unknown))

    async def read(self, batch_id: str) -> bool:
        """Read the broker's books; return whether they could be."""
        account = self._book.known(batch_id).account
        return await tried(self._orders.reconcile, account, why="a basket")

    async def compensate(self, batch_id: str) -> None:
        """Bring a failed basket to its outcome."""
        why = self._book.known(batch_id).reason
        await self._quiet(batch_id)
        if not await self._reread(batch_id):
            left = left_words(self._book.known(batch_id).legs)
            words = f"{why}. The broker's books cannot be read. Left: {left}"
            self._book.conclude(batch_id, BasketState.UNRESOLVED, words)
            return
        kept = False
        if any(leg.filled and leg.residual != 0 for leg in self._book.known(batch_id).legs):
            kept = await self._choice(batch_id) is OnFilled.KEEP
            if not kept:
                await self._reverse(batch_id)
        await self._charge(batch_id)
        legs = self._book.known(batch_id).legs
        words = f"{why}. Left: {left_words(legs)}"
        self._book.conclude(batch_id, compensated(legs, kept=kept), words)

    async def _quiet(self, batch_id: str) -> None:
        """Look for legs in doubt and cancel open ones until none can change, or give up."""

        def quiet() -> bool:
            return settled(self._book.known(batch_id).legs)

        give_up = self._clock.monotonic() + self._pace.give_up
        while not quiet() and self._clock.monotonic() < give_up:
            await asyncio.gather(self.look(batch_id), self._cancel_open(batch_id))
            moment = min(give_up, self._clock.monotonic() + self._pace.round)
            await self._book.until(batch_id, moment, quiet)

    async def _cancel_open(self, batch_id: str) -> None:
        """Ask once to cancel every open leg; a refusal means that it was filled, or may be."""
        found = [
            leg.order_id
            for leg in self._book.known(batch_id).legs
            if leg.status in (LegStatus.OPEN, LegStatus.PARTIAL)
        ]
        await asyncio.gather(*(tried(self._orders.cancel, order_id) for order_id in found))

    async def _reread(self, batch_id: str) -> bool:
        for attempt in range(self._pace.reads):
            if attempt:
                await self._sleep(self._pace.again * 2)
            if await self.read(batch_id):
                return True
        return False

    async def _choice(self, batch_id: str) -> OnFilled:
        """Return what to do with the filled legs; if nobody has chosen yet, wait for it."""
        basket = self._book.known(batch_id)
        if basket.on_filled is not OnFilled.ASK:
            return basket.on_filled
        if basket.decision is None and not basket.asking:
            self._book.put(replace(basket, asking=True))
        while (decision := self._book.known(batch_id).decision) is None:
            await self._book.changed(batch_id)
        return decision

    # reversing

    async def _reverse(self, batch_id: str) -> None:
        """Buy back what was sold, then sell what was bought.

        A bought leg covers a sold one: as long as a sold one is left, the bought ones stay.
        """
        await self._reverse_side(batch_id, Side.SELL)
        legs = self._book.known(batch_id).legs
        naked = [leg for leg in legs if leg.request.side is Side.SELL and not closed(leg)]
        if not naked:
            await self._reverse_side(batch_id, Side.BUY)
            return
        words = f"kept, because it covers leg {naked[0].number}"
        for leg in legs:
            if leg.request.side is Side.BUY and leg.residual:
                self._book.note(batch_id, leg.number, reversal_reason=words)

    async def _reverse_side(self, batch_id: str, side: Side) -> None:
        legs = self._book.known(batch_id).legs
        numbers = [leg.number for leg in legs if leg.request.side is side and leg.filled]
        work = (self._reverse_leg(batch_id, number) for number in numbers)
        # A fault in one leg must not leave the others running behind an outcome.
        for ended in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def _reverse_leg(self, batch_id: str, number: int) -> None:
        """Reverse one leg in at most three orders, one at a time.

        Baskets that reverse the same position take turns, from the read of the net to the last
        fill: two that see the same net would otherwise both close it.
        """
        request = self._book.leg(batch_id, number).request
        position = (request.account, request.instrument_key, str(request.product))
        async with self._turns.setdefault(position, asyncio.Lock()):
            denials = 0
            while await self._ended(batch_id, number):
                leg = self._book.leg(batch_id, number)
                attempt = len(leg.reversal_ids) + 1
                if not leg.residual or attempt > MOST_ATTEMPTS or denials >= self._pace.denials:
                    return
                if attempt > 1 or denials:
                    await self._sleep(self._pace.again)
                quantity = await self._reversible(batch_id, number)
                if not quantity:
                    return
                denials += not await self._place(leg, quantity, attempt)

    async def _place(self, leg: LegReceipt, quantity: int, attempt: int) -> bool:
        """Return whether there is an order now; our own rules may deny one for a moment."""
        batch_id = leg.request.batch_id
        try:
            await self._orders.place(reversal(leg, quantity, attempt=attempt))
        except VigilError as error:
            self._book.note(batch_id, leg.number, reversal_reason=str(error))
        self._book.refresh(batch_id)
        return len(self._book.leg(batch_id, leg.number).reversal_ids) >= attempt

    async def _ended(self, batch_id: str, number: int) -> bool:
        """Wait until no reversing order of the leg works; cancel one that rests. False: it stays.

        An exit rests if the exchange's circuit or the broker's price protection holds it.
        """
        give_up = self._clock.monotonic() + self._pace.give_up
        moment = self._clock.monotonic() + self._pace.reversal
        while working := self._reversing(batch_id, number):
            if self._clock.monotonic() >= give_up:
                return False
            if self._clock.monotonic() >= moment:
                if working.status is OrderStatus.WORKING:
                    await tried(self._orders.cancel, working.id)
                else:
                    await tried(self._orders.resolve, working.id)
                moment = self._clock.monotonic() + self._pace.round
            done = min(give_up, moment)
            await self._book.until(batch_id, done, lambda: not self._reversing(batch_id, number))
        return True

    def _reversing(self, batch_id: str, number: int) -> Order | None:
        orders = reversals_of(self._book.leg(batch_id, number), self._orders.batch(batch_id))
        return next((o for o in orders if not o.status.final), None)

    async def _reversible(self, batch_id: str, number: int) -> int:
        """Return how much may be reversed, by the broker's net read now; 0 with a note why not.

        A book that shows less than was filled is read again: it may lag, or lie for a moment.
        """
        leg, shown, words = self._book.leg(batch_id, number), 0, ""
        for attempt in range(self._pace.reads):
            if attempt:
                await self._sleep(self._pace.again)
            try:
                shown = reversible(leg, await self._brokers[leg.request.account].positions())
            except VigilError as error:
                shown, words = 0, f"the positions cannot be read: {error}"
                continue
            if shown == leg.residual:
                break
            words = f"the broker's net position leaves {shown} to reverse"
        if not shown:
            self._book.note(batch_id, number, reversal_reason=words)
        return shown

    # the cost

    async def _charge(self, batch_id: str) -> None:
        """Read the fills once more, then ask what the reversals took in charges."""
        if not any(leg.reversed for leg in self._book.known(batch_id).legs):
            return
        await self._reread(batch_id)
        for leg in self._book.known(batch_id).legs:
            if leg.reversed and leg.charges is None and leg.price_cost is not None:
                charges = await self._charges_of(leg)
                self._book.note(batch_id, leg.number, charges=charges)

    async def _charges_of(self, leg: LegReceipt) -> int | None:
        entry = replace(leg.request, quantity=leg.reversed)
        undone = reversal(leg, leg.reversed, attempt=1)
        broker = self._brokers[leg.request.account]
        return await charges(broker, (entry, leg.average), (undone, leg.reversed_average))


async def charges(broker: Broker, *orders: tuple[OrderRequest, float]) -> int | None:
    """Return paise for these orders filled at these prices; None if the broker does not say."""
    try:
        return sum(await asyncio.gather(*(broker.charges(r, price) for r, price in orders)))
    except VigilError as error:
        log.warning("charges of a basket are unknown: %s", error)
        return None
