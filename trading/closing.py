"""Carries out exits: what rests is cancelled, then no more is sent than is held, shorts first."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from trading.errors import Denied, VigilError
from trading.exit_plan import ExitLine, in_new_doubt, remaining, request
from trading.order import Order, Side
from trading.orders import OrderManager
from trading.positions import Key, PositionBook

log = logging.getLogger(__name__)
T = TypeVar("T")

CANCELLED: Final = 3.0  # seconds that a cancel may take to be confirmed
SPACING: Final = 0.1  # seconds between two orders: the broker takes ten a second
TOO_FAST: Final = 0.1  # seconds until it is asked again whether one more may be sent
WAITS: Final = 50  # and so often; then the desk says itself that it is too fast
ANSWERED: Final = 3.0  # seconds that hedges are kept while shorts are bought back
CLOSED: Final = "Closed meanwhile: nothing was sent."
DOUBTED: Final = (
    "Not sent: another exit of it has no answer yet, and both might fill. Review the exit again: "
    "it says what is known of the other one."
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one line: the order, or in words why there is none."""

    line: ExitLine
    order: Order | None = None
    words: str = ""


class Closing:
    """Sends exits for all pages and for the phone, those of one position in turn.

    Two who press at once would both be told that all of it is still to be closed: an order is in
    the book only after it is committed. So there is one of these in a desk.
    """

    def __init__(
        self,
        orders: OrderManager,
        positions: PositionBook,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._orders, self._positions, self._sleep = orders, positions, sleep
        self._turns: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def send(self, line: ExitLine, nonce: str, source: str) -> Sent:
        """Cancel what would close it twice, then send; every failure is told in words."""
        try:
            async with self._turns[line.key]:
                return await self._sent(line, nonce, source)
        except Denied as error:
            return Sent(line, words=f"Not sent: {error}")
        except VigilError as error:
            return Sent(line, words=f"Not sent: {error}. Nothing was sent.")
        except Exception:
            log.exception("an exit failed")
            words = "The desk itself failed: look at Orders before sending again."
            return Sent(line, words=words)

    async def in_waves(
        self, work: Sequence[tuple[ExitLine, Callable[[], Coroutine[Any, Any, T]]]]
    ) -> list[T]:
        """Do the work of lines that buy, wait for their answers, then of those that sell.

        Hedges are not kept for ever: an answer that is lost must not leave them unsold. Return
        what came of all, in the order in which they were begun.
        """
        tasks: list[asyncio.Task[T]] = []
        for side in (Side.BUY, Side.SELL):
            wave = [(line, send) for line, send in work if line.side is side]
            begun = [await self._begin(line, send) for line, send in wave]
            tasks += begun
            if begun and side is Side.BUY:
                await asyncio.wait(begun, timeout=ANSWERED)
        return await asyncio.gather(*tasks)

    async def final(self, order_id: str) -> bool:
        """Wait a moment for an order to be final; return whether it is."""
        for _ in range(round(CANCELLED / TOO_FAST)):
            order = self._orders.get(order_id)
            if order is None or order.status.final:
                return True
            await self._sleep(TOO_FAST)
        return False

    async def _begin(
        self, line: ExitLine, send: Callable[[], Coroutine[Any, Any, T]]
    ) -> "asyncio.Task[T]":
        asked = request(line, "review", "exit")
        for _ in range(WAITS):
            if not self._orders.too_fast(asked):
                break
            await self._sleep(TOO_FAST)
        task = asyncio.get_running_loop().create_task(send())
        await self._sleep(SPACING)
        return task

    async def _sent(self, line: ExitLine, nonce: str, source: str) -> Sent:
        if words := await self._cancel_resting(line):
            return Sent(line, words=words)
        now, working = self._positions.get(*line.key), self._orders.working(line.key[0])
        left = remaining(line, now, working)
        if not left:
            return Sent(line, words=CLOSED)
        if in_new_doubt(line, working):
            return Sent(line, words=DOUBTED)
        asked = request(replace(line, quantity=left), nonce, source)
        return Sent(line, await self._orders.place(asked))

    async def _cancel_resting(self, line: ExitLine) -> str:
        """Return why the line must not be sent, empty if nothing rests any more."""
        for order in line.resting:
            known = self._orders.get(order.id)
            if known is not None and known.status.final:
                continue
            try:
                await self._orders.cancel(order.id)
            except VigilError as error:
                return f"Not sent: the resting order could not be cancelled: {error}."
            if not await self.final(order.id):
                return (
                    "Not sent: the cancel of the resting order is not confirmed yet, and both "
                    "might fill. Review the exit again in a moment."
                )
        return ""
