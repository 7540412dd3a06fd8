"""A desk in a process of its own that dies at a chosen moment of an order's or a basket's life.

It is the real `Vigil` without its pages. Only its ports are wrapped, the broker and the storage
thread, by what may send SIGKILL to this very process: nothing of it is in the product.

Lines of JSON on stdin: `{"folder", "url", "log", "patience"}` forks a desk, and everything until
its death is for it. Lines of JSON on stdout: `{"pid": N}`, `{"up": true}`, one answer for each
command, and `{"dead": N}` with the signal that ended it. Importing all this takes seconds, forking
does not.
"""

import asyncio
import inspect
import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final, NoReturn

from sqlalchemy import Connection

from feeds.upstox.quotes import UpstoxQuotes
from main import Vigil
from settings import Orders, Run, Server, Settings, Simulator, Storage, Upstox
from storage.writer import Writer, driver_of
from tests.process.served import free_port
from tests.rig import FAST
from trading.basket import BasketRequest, OnFilled
from trading.broker import Broker
from trading.errors import VigilError
from trading.model import Instrument, InstrumentType
from trading.order import Order, OrderChange, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.order_book import OrderMoved
from trading.ports import FeedState
from trading.strategies import Template, build

ACCOUNT: Final = "main"
UNDERLYING: Final = "NSE_INDEX|Nifty 50"
SETTLED_FOR: Final = 0.15  # seconds in which nothing may be left to do before the books are told
DISK_TAKES: Final = 0.15  # seconds of the commit that never ends, for who does not wait for it
GIVES_UP: Final = 30.0  # seconds after which they are told as they are

Wish = dict[str, Any]


# when to die


@dataclass
class Trap:
    """The moment at which the desk dies, once it is armed.

    "commit": the transaction in which the count of `sql` has grown by `grows` since the arming,
    right `when` "before" or "after" its commit. "call": the `nth` call of the broker's `name`,
    before it or after its answer. "told": the `nth` time that an order was told of by `seen_by`, or
    came into `status`; it is in memory then, and on its way to the disk.
    """

    at: str = ""
    when: str = "after"
    sql: str = ""
    grows: int = 1
    name: str = ""
    nth: int = 1
    status: str = ""
    seen_by: str = ""
    armed: bool = False
    begun_with: int = 0

    def arm(self, writer: Writer) -> None:
        if self.at == "commit":
            self.begun_with = writer.submit(self._count).result()
        self.armed = bool(self.at)

    def _count(self, connection: Connection) -> int:
        return int(driver_of(connection).execute(self.sql).fetchone()[0])

    def in_transaction(self, connection: Connection) -> bool:
        """Return whether the end of this transaction is the moment; die if it is before that."""
        if not self.armed or self.at != "commit":
            return False
        due = self._count(connection) - self.begun_with >= self.grows
        if due and self.when == "before":
            time.sleep(DISK_TAKES)
            die()
        return due

    def call(self, name: str, when: str) -> None:
        if self.armed and (self.at, self.name, self.when) == ("call", name, when):
            self.nth -= 1
            if self.nth == 0:
                die()

    def told(self, move: OrderMoved) -> None:
        if not self.armed or self.at != "told" or not move.after.steps:
            return
        became = move.before is None or move.before.status is not move.after.status
        right_status = not self.status or (became and move.after.status == self.status)
        right_way = not self.seen_by or move.after.steps[-1].seen_by == self.seen_by
        if right_status and right_way:
            self.nth -= 1
            if self.nth == 0:
                die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)  # a signal to oneself is taken at once; nothing may happen if it were not


class TrappedWriter:
    """The storage thread, whose commits may be the last thing that the desk does."""

    def __init__(self, writer: Writer, trap: Callable[[], Trap]) -> None:
        self._writer = writer
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def submit(self, work: Callable[[Connection], Any], **how: Any) -> "Future[Any]":
        due = False

        def trapped(connection: Connection) -> Any:
            nonlocal due
            result = work(connection)
            due = self._trap().in_transaction(connection)
            return result

        def committed(_: "Future[Any]") -> None:
            if due:
                die()

        promise = self._writer.submit(trapped, **how)
        promise.add_done_callback(committed)  # the first of all: nobody else hears of the commit
        return promise


class TrappedBroker:
    """A broker whose calls may be the last thing that the desk does."""

    def __init__(self, broker: Broker, trap: Callable[[], Trap]) -> None:
        self._broker = broker
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._broker, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def trapped(*arguments: Any) -> Any:
            self._trap().call(name, "before")
            answer = await found(*arguments)
            self._trap().call(name, "after")
            return answer

        return trapped


class CrashingVigil(Vigil):
    trap = Trap()

    def _build_storage(self, folder: Path) -> None:
        super()._build_storage(folder)
        self.writer = TrappedWriter(self.writer, lambda: self.trap)  # type: ignore[assignment]

    def _brokers(self, *given: Any) -> dict[str, Broker]:
        return {
            account: TrappedBroker(broker, lambda: self.trap)  # type: ignore[misc]
            for account, broker in super()._brokers(*given).items()
        }


# what it does


class Hand:
    """Whoever sits before the desk: each public method is a command."""

    def __init__(self, vigil: CrashingVigil, chance: random.Random) -> None:
        self._vigil = vigil
        self._chance = chance
        vigil.orders.changes.subscribe(lambda move: vigil.trap.told(move))

    async def ready(self) -> Wish:
        """Wait until the books were read, and everything is known that an order needs."""
        vigil = self._vigil
        await self._until(lambda: vigil.cycle.confirmed_age(ACCOUNT) is not None, "the books")
        await self._until(self._streams, "the stream")
        await self._until(self._lists, "the instruments")
        return {}

    async def buy(self, trap: Wish, lots: int = 2) -> Wish:
        await self._arm(trap)
        return _named(await self._place(await self._option(), lots))

    async def slices(self, trap: Wish) -> Wish:
        """Place an order of three slices."""
        await self._arm(trap)
        option = await self._option()
        lots = option.freeze_quantity // option.lot_size * 2 + 1
        return _named(await self._place(option, lots))

    async def rest(self, trap: Wish) -> Wish:
        """Place a limit order that stays."""
        await self._arm(trap)
        return _named(await self._resting())

    async def cancel(self, trap: Wish) -> Wish:
        order = await self._opened(await self._resting())
        await self._arm(trap)
        return _named(await self._vigil.orders.cancel(order.id))

    async def modify(self, trap: Wish) -> Wish:
        order = await self._opened(await self._resting())
        await self._arm(trap)
        change = OrderChange(price=round(order.request.price - 0.05, 2))
        return _named(await self._vigil.orders.modify(order.id, change))

    async def reconcile(self, trap: Wish) -> Wish:
        order = await self._place(await self._option(), 1)
        await self._until(lambda: self._now(order).status.final, "filled")
        await self._arm(trap)
        await self._vigil.orders.reconcile(ACCOUNT, why="a test")
        return {}

    async def condor(self, trap: Wish, on_filled: str = "", decide: str = "") -> Wish:
        """Send an iron condor and wait for its outcome, or until it asks; then choose."""
        vigil = self._vigil
        legs = await self._legs()
        nonce = f"press-{self._chance.randrange(1 << 60)}"
        choice = OnFilled(on_filled) if on_filled else None
        await self._arm(trap)
        basket = await vigil.baskets.send(BasketRequest(legs, nonce, on_filled=choice))
        basket = await vigil.baskets.finished(basket.id)
        if decide and basket.asking:
            vigil.baskets.decide(basket.id, OnFilled(decide))
            basket = await vigil.baskets.finished(basket.id)
        return {"basket": basket.id, "state": basket.state, "reason": basket.reason}

    async def decide(self, choice: str) -> Wish:
        """Choose for every basket that asks."""
        asking = [basket for basket in self._vigil.baskets.all() if basket.asking]
        for basket in asking:
            self._vigil.baskets.decide(basket.id, OnFilled(choice))
            await self._vigil.baskets.finished(basket.id)
        return {"decided": len(asking)}

    async def books(self) -> Wish:
        """Wait until nothing is left to find out, and tell what the books say."""
        began = time.monotonic()
        quiet_since = None
        while time.monotonic() - began < GIVES_UP:
            if self._unsettled():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= SETTLED_FOR:
                break
            await self._read_again()
            await asyncio.sleep(0.02)
        unsettled = self._unsettled()
        self._vigil.writer.flush()
        orders = [_order_row(order) for order in self._vigil.orders.orders()]
        positions = self._vigil.positions.positions(ACCOUNT)
        return {
            "unsettled": unsettled,
            "took": round(time.monotonic() - began, 2),
            "orders": orders,
            "positions": [_position_row(position) for position in positions],
            "baskets": [_basket_row(basket) for basket in self._vigil.baskets.all()],
        }

    # inside

    async def _read_again(self) -> None:
        """Compare once more what was filled since; the desk would do so within two seconds."""
        age = self._vigil.cycle.confirmed_age(ACCOUNT)
        if age is not None and self._streams() and not self._vigil.positions.books(ACCOUNT).agree:
            with suppress(VigilError):
                await self._vigil.orders.reconcile(ACCOUNT, why="a test waits")

    def _unsettled(self) -> str:
        """Return what must still be found out, empty if nothing."""
        vigil = self._vigil
        if vigil.desk.progress.stage != "ready":
            return f"the desk is {vigil.desk.progress.stage}"
        if vigil.cycle.confirmed_age(ACCOUNT) is None:
            return "the books were not read"
        if not self._streams():
            return "the stream is not live"
        for order in vigil.orders.orders():
            if order.status in (OrderStatus.SENT, OrderStatus.IN_DOUBT):
                return f"order {order.id} is {order.status}"
        for basket in vigil.baskets.all():
            if not (basket.state.final or basket.asking):
                return f"basket {basket.id} is {basket.state}"
        books = vigil.positions.books(ACCOUNT)
        return "" if books.agree else f"the books do not agree: {books.failed or books.rows}"

    def _lists(self) -> bool:
        """Return whether instruments were ever read from the broker: the last job of a start."""
        return self._vigil.catalogue.get(UNDERLYING) is not None

    def _streams(self) -> bool:
        return self._vigil.portfolio_feeds[ACCOUNT].stats().state is FeedState.LIVE

    async def _arm(self, trap: Wish) -> None:
        armed = Trap(**trap)
        armed.arm(self._vigil.writer)
        self._vigil.trap = armed

    async def _place(self, option: Instrument, lots: int, **changes: Any) -> Order:
        request = OrderRequest(
            account=ACCOUNT,
            instrument_key=option.instrument_key,
            side=Side.BUY,
            quantity=lots * option.lot_size,
            product=Product.INTRADAY,
            order_type=OrderType.MARKET,
            nonce=f"press-{self._chance.randrange(1 << 60)}",
        )
        return await self._vigil.orders.place(replace(request, **changes))

    async def _resting(self) -> Order:
        """Place a limit order well below the market, yet within the circuit."""
        option = await self._option()
        [quote] = await UpstoxQuotes(self._vigil.rest).quotes([option.instrument_key])
        floor = max(quote.lower_circuit, quote.ltp * 0.75)
        price = round(round(floor / 0.05 + 2) * 0.05, 2)
        return await self._place(option, 1, order_type=OrderType.LIMIT, price=price)

    async def _opened(self, order: Order) -> Order:
        await self._until(lambda: self._now(order).steps[-1].raw_status == "open", "open")
        return self._now(order)

    def _now(self, order: Order) -> Order:
        found = self._vigil.orders.get(order.id)
        assert found is not None
        return found

    async def _option(self) -> Instrument:
        """Return an option that no condor has a leg in."""
        options = await self._listed(-1)
        return next(o for o in options if o.type is InstrumentType.CALL)

    async def _legs(self) -> tuple[OrderRequest, ...]:
        """Return the same legs each time: what is bought once and sold once is another matter."""
        options = await self._listed(0)
        middle = median(o.strike for o in options if o.strike is not None)
        legs = build(Template.IRON_CONDOR, options, spot=middle, width=1, wing=1)
        return tuple(leg.request(account=ACCOUNT, product=Product.INTRADAY) for leg in legs)

    async def _listed(self, nth: int) -> list[Instrument]:
        """Return the options of the nth expiry, by rising strike."""
        found = await self._vigil.catalogue.options(UNDERLYING)
        expiries = sorted({o.expiry for o in found if o.expiry is not None})
        return [o for o in found if o.expiry == expiries[nth]]

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > GIVES_UP:
                raise AssertionError(f"not {what} within {GIVES_UP:g} s")
            await asyncio.sleep(0.01)


def _named(order: Order) -> Wish:
    return {"order": order.id, "status": order.status}


def _order_row(order: Order) -> Wish:
    children = {c.order_id: [c.status, c.filled, c.price] for c in order.children}
    return {
        "id": order.id,
        "external": order.external,
        "status": order.status,
        "filled": order.filled,
        "batch": order.request.batch_id,
        "leg": order.request.leg,
        "nonce": order.request.nonce,
        "message": order.message,
        "children": children,
    }


def _position_row(position: Any) -> Wish:
    return {
        "key": position.instrument_key,
        "product": position.product,
        "quantity": position.quantity,
        "adjusted": position.adjusted,
        "in_doubt": position.in_doubt,
    }


def _basket_row(basket: Any) -> Wish:
    legs = [
        {
            "number": leg.number,
            "status": leg.status,
            "order": leg.order_id,
            "requested": leg.request.quantity,
            "filled": leg.filled,
            "reversals": leg.reversal_ids,
            "reversed": leg.reversed,
            "residual": leg.residual,
        }
        for leg in basket.legs
    ]
    return {
        "id": basket.id,
        "state": basket.state,
        "asking": basket.asking,
        "reason": basket.reason,
        "legs": legs,
    }


# the process


def main() -> None:
    """Fork a desk for each line, and say how it ended."""
    while line := _line():
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(wish)
        _say({"pid": pid})
        _, status = os.waitpid(pid, 0)
        _say({"dead": -os.waitstatus_to_exitcode(status)})


def _be(wish: Wish) -> NoReturn:
    """Never return to the loop that forked."""
    try:
        asyncio.run(run(wish))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(1)


def _orders(patience: float) -> Orders:
    """Return times as short as can be; `patience` is between two looks for an order in doubt."""
    return Orders(
        per_second=10,
        value_limit=0,
        read_working_seconds=0.2,
        read_open_seconds=0.2,
        doubt_first_seconds=0.1,
        doubt_every_seconds=patience,
        settle_seconds=0.5,
    )


async def run(wish: Wish) -> None:
    """Be a desk: do what each line of stdin says, until one of them is the last."""
    logging.basicConfig(filename=wish["log"], level=logging.INFO, force=True)
    settings = Settings(
        run=Run(exchange="upstox"),
        server=Server(port=free_port()),
        storage=Storage(directory=Path(wish["folder"])),
        feed=FAST,
        orders=_orders(wish["patience"]),
        simulator=Simulator(),
        upstox=Upstox(base_url=wish["url"], assets_url=wish["url"]),
    )
    vigil = CrashingVigil(settings)
    assert vigil.world.exchange == "simulated"
    await vigil.start()
    hand = Hand(vigil, random.Random())
    _say({"up": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, _line):
        command = json.loads(line)
        _say(await _answer(getattr(hand, command.pop("do")), command))
    await vigil.shutdown()


async def _answer(method: Callable[..., Awaitable[Wish]], command: Wish) -> Wish:
    try:
        return await method(**command)
    except (VigilError, AssertionError, TypeError, ValueError, LookupError):
        return {"error": traceback.format_exc()}


def _line() -> bytes:
    """Read byte by byte: a line more would be lost to the other process at this stdin."""
    return sys.stdin.buffer.raw.readline()  # type: ignore[attr-defined, no-any-return]


def _say(words: Wish) -> None:
    os.write(1, f"{json.dumps(words)}\n".encode())  # one write, so that no kill cuts it


if __name__ == "__main__":
    main()
