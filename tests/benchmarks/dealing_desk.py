"""The real desk with a hand on it, which presses at set times and notes when what was known.

A press is made as a page makes it, by a call on the desk's own loop. It counts from the moment at
which it was due, so that a loop which is busy with something else counts as well.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from nicegui import app, background_tasks

import main
from settings import load_settings
from trading.basket import BasketRequest, BasketState
from trading.basket_book import BasketMoved
from trading.errors import Denied
from trading.model import Instrument, InstrumentType, Mode
from trading.order import Order, OrderRequest, OrderType, Product, Side
from trading.order_book import OrderMoved
from trading.ports import FeedState

ACCOUNT: Final = "main"
OPTIONS: Final = 20  # that are traded in turn; the first order of each asks for its circuit limits
READY: Final = 30.0  # seconds that the desk may take
SETTLE: Final = 2.0  # seconds after everything is live
GAP: Final = 0.4  # seconds between a press of one order and one of a basket
EVERY: Final = 1.55  # seconds between two baskets: the broker takes 40 such calls a minute

Act = Callable[[], Awaitable[tuple[list[Order], datetime]]]  # and when the rules had agreed


@dataclass(frozen=True, slots=True)
class Plan:
    orders: int  # single ones, paced
    per_second: float
    pairs: int  # one order and then a basket of four
    holding: list[str]  # instruments that tick all the time


@dataclass(slots=True)
class Press:
    """One press, in monotonic seconds."""

    due: float
    begun: float
    checked: float  # the rules have nothing against it, of a basket neither has the margin
    opened: float  # the basket is on the disk; for an order nothing happens here
    committed: float  # so are the orders, nothing sent yet
    returned: float  # every order has its number
    orders: int
    unanswered: list[str]  # why one has none after all
    cold: bool = False  # its circuit limits had to be asked for first


class Hand:
    """Presses by a plan; what is pressed are market orders, each lot bought and sold in turn."""

    def __init__(self, vigil: main.Vigil, plan: Plan) -> None:
        self._vigil = vigil
        self._plan = plan
        self._presses = self._denied = 0
        self._committed: dict[str, float] = {}  # by the order
        self._asked: set[str] = set()
        self._opened: dict[str, float] = {}  # by the basket
        vigil.orders.changes.subscribe(self._note)
        vigil.baskets.changes.subscribe(self._note_basket)

    async def run(self, result: Path) -> None:
        """Write what came of it into this file; an error as well, for whoever waits."""
        try:
            told = await self._deal()
        except Exception as error:
            told = {"error": repr(error)}
            raise
        finally:
            written = result.with_suffix(".part")
            written.write_text(json.dumps(told))
            written.rename(result)

    async def _deal(self) -> dict[str, object]:
        await self._ready()
        options = self._options()
        singles = await self._singles(options)
        ones, fours = await self._pairs(options)
        told = {"singles": singles, "ones": ones, "fours": fours}
        rows = {name: [asdict(press) for press in presses] for name, presses in told.items()}
        return rows | {"denied": self._denied}

    async def _ready(self) -> None:
        began = time.monotonic()
        while not self._is_ready():
            assert time.monotonic() - began < READY, "both feeds are live, instruments are known"
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLE)

    def _is_ready(self) -> bool:
        vigil = self._vigil
        feeds = (vigil.feed, vigil.portfolio_feeds[ACCOUNT])
        live = all(feed.stats().state is FeedState.LIVE for feed in feeds)
        return live and all(vigil.catalogue.get(key) for key in self._plan.holding)

    def _options(self) -> list[Instrument]:
        """Return the options of one expiry that tick, with the calls of each strike before its put.

        They are those in the middle of the strikes, which are near the money.
        """
        known = (self._vigil.catalogue.get(key) for key in self._plan.holding)
        found = [i for i in known if i and i.type in (InstrumentType.CALL, InstrumentType.PUT)]
        first = min(((i.underlying_key, i.expiry) for i in found), key=str)
        near = sorted(
            (i for i in found if (i.underlying_key, i.expiry) == first),
            key=lambda i: (i.strike or 0, i.type is InstrumentType.PUT),
        )
        assert len(near) >= OPTIONS, "enough options tick"
        middle = len(near) // 2 - OPTIONS // 2
        return near[middle : middle + OPTIONS]

    async def _singles(self, options: Sequence[Instrument]) -> list[Press]:
        """Press at equal distances, whether or not the press before has been answered."""
        start = time.monotonic() + 0.5
        pressing: list[asyncio.Task[Press | None]] = []
        for number in range(self._plan.orders):
            option = options[number % len(options)]
            side = Side.BUY if number // len(options) % 2 == 0 else Side.SELL
            request = self._request(option, side)
            due = start + number / self._plan.per_second
            await _until(due)
            pressing.append(asyncio.create_task(self._unless_too_fast(request, due)))
        return [press for pressed in pressing if (press := await pressed) is not None]

    async def _unless_too_fast(self, request: OrderRequest, due: float) -> Press | None:
        """Press, and count what the desk denies: after a long pause of ours many come at once."""
        try:
            return await self._one(request, due)
        except Denied:
            self._denied += 1
            return None

    async def _pairs(self, options: Sequence[Instrument]) -> tuple[list[Press], list[Press]]:
        """Press one order and a four-legged basket in turn, each when the other is done."""
        ones, fours = [], []
        for number in range(self._plan.pairs):
            turned = number % 2 == 1
            await asyncio.sleep(EVERY - GAP)
            single = self._request(options[4], Side.SELL if turned else Side.BUY)
            ones.append(await self._one(single, time.monotonic()))
            await asyncio.sleep(GAP)
            fours.append(await self._four(options, time.monotonic(), turned=turned))
        return ones, fours

    async def _one(self, request: OrderRequest, due: float) -> Press:
        async def act() -> tuple[list[Order], datetime]:
            order = await self._vigil.orders.place(request)
            return [order], order.created

        press = await self._press(due, act)
        key = request.instrument_key
        press.cold = key not in self._asked
        self._asked.add(key)
        return press

    async def _four(self, options: Sequence[Instrument], due: float, *, turned: bool) -> Press:
        """Send an iron condor, or the same the other way round, which leaves nothing behind."""
        put, sold_put, sold_call, call = options[1], options[3], options[-4], options[-2]
        sides = {put: Side.BUY, sold_put: Side.SELL, sold_call: Side.SELL, call: Side.BUY}
        legs = tuple(
            self._request(option, side.opposite if turned else side)
            for option, side in sides.items()
        )
        self._presses += 1
        request = BasketRequest(legs, f"basket-{self._presses}", name="Iron condor")

        async def act() -> tuple[list[Order], datetime]:
            basket = await self._vigil.baskets.send(request)
            assert basket.state is not BasketState.REFUSED, basket.reason
            placing = next(step for step in basket.steps if step.state is BasketState.PLACING)
            return self._vigil.orders.batch(basket.id), placing.at

        press = await self._press(due, act)
        assert press.orders == len(legs), "all were sent"
        return press

    async def _press(self, due: float, act: Act) -> Press:
        begun, wall = time.monotonic(), self._vigil.clock.now()
        orders, checked = await act()
        returned = time.monotonic()
        checked_at = begun + (checked - wall).total_seconds()
        return Press(
            due,
            begun,
            checked=checked_at,
            opened=self._opened.pop(orders[0].request.batch_id, 0.0) or checked_at,
            committed=max(self._committed.pop(order.id) for order in orders),
            returned=returned,
            orders=len(orders),
            unanswered=[f"{o.status}: {o.message}" for o in orders if not o.children],
        )

    def _note(self, moved: OrderMoved) -> None:
        """Note when an intent of ours became known: right after its commit, before it is sent."""
        if moved.before is None and not moved.after.external:
            self._committed[moved.after.id] = time.monotonic()

    def _note_basket(self, moved: BasketMoved) -> None:
        if moved.before is None:
            self._opened[moved.after.id] = time.monotonic()

    def _request(self, option: Instrument, side: Side) -> OrderRequest:
        self._presses += 1
        return OrderRequest(
            ACCOUNT,
            option.instrument_key,
            side,
            option.lot_size,
            Product.INTRADAY,
            OrderType.MARKET,
            f"press-{self._presses}",
        )


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def run(plan_file: Path, result: Path) -> None:
    settings = load_settings(main.HERE / "settings.toml")
    main.prepare_process(settings)
    vigil = main.Vigil(settings)
    try:
        plan = Plan(**json.loads(plan_file.read_text()))
        vigil.subscriptions.hold("benchmark", plan.holding, Mode.FULL)
        hand = Hand(vigil, plan)
        app.on_startup(lambda: background_tasks.create(hand.run(result), name="benchmark"))
        main.serve(vigil, settings)
    finally:
        vigil.stop()


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
