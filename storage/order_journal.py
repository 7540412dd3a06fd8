"""Orders with their lives and fills on the disk: an intent before it is sent, the rest behind."""

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, text

from storage.backlog import Backlog
from storage.database import Database
from storage.moments import to_ms
from storage.order_rows import (
    broker_order_of,
    broker_order_values,
    fill_of,
    fill_values,
    insert_into,
    order_of,
    order_values,
    step_of,
    step_values,
    take_over,
)
from storage.order_tables import ORDER_IS_OPEN
from storage.reader import Reader
from storage.writer import Writer, driver_of
from trading.errors import Denied, Problem
from trading.order import BrokerOrder, Fill, Order, OrderFills, OrderStatus, Step

log = logging.getLogger(__name__)

T = TypeVar("T")
Kept = Order | OrderFills

INTENT_PATIENCE: Final = 5.0  # seconds; an order that leaves later is not what the trader wanted
READ_PATIENCE: Final = 2.0  # seconds that a reader waits for what was kept just before

_INSERT_ORDER: Final = f"{insert_into('orders')} RETURNING number"
_UPSERT_ORDER: Final = (
    f"{insert_into('orders')} ON CONFLICT (world, id) DO UPDATE SET "
    f"{take_over('orders', but=('world', 'id', 'nonce', 'press'))} RETURNING number"
)
_INSERT_STEP: Final = insert_into("order_steps")
_STEPS_KNOWN: Final = "SELECT count(*) FROM order_steps WHERE intent = ?"
_INSERT_NEWS: Final = insert_into("order_news")
_INSERT_CHILD: Final = (
    # what we took for somebody else's order may turn out to be ours; never the other way
    f"{insert_into('broker_orders')} ON CONFLICT (world, account, order_id) DO UPDATE SET "
    f"{take_over('broker_orders', but=('world', 'account', 'order_id'))} "
    "WHERE (SELECT external FROM orders WHERE orders.number = broker_orders.intent)"
)
_UPSERT_FILL: Final = (
    f"{insert_into('fills')} ON CONFLICT (world, account, order_id, trade_id) DO UPDATE SET "
    f"{take_over('fills', but=('world', 'account', 'order_id', 'trade_id'))}"
)
_SINCE: Final = (
    "SELECT number FROM orders WHERE world = :world AND created >= :since "
    f"UNION SELECT number FROM orders WHERE world = :world AND {ORDER_IS_OPEN}"
)
_PRESSED: Final = (
    "SELECT number FROM orders WHERE press = "
    "(SELECT press FROM orders WHERE nonce = :nonce AND NOT external AND world = :world)"
)
_ORDERS_OF: Final = "SELECT * FROM orders WHERE number IN"
_STEPS_OF: Final = "SELECT * FROM order_steps WHERE intent IN"
_CHILDREN_OF: Final = "SELECT * FROM broker_orders WHERE intent IN"
_FILLS: Final = text(
    "SELECT * FROM fills WHERE number IN ("
    "SELECT number FROM fills WHERE world = :world AND at >= :since UNION "
    "SELECT fills.number FROM orders JOIN broker_orders ON broker_orders.intent = orders.number "
    "JOIN fills USING (world, account, order_id) "
    f"WHERE orders.world = :world AND orders.{ORDER_IS_OPEN}) ORDER BY number"
)


class DatabaseOrderJournal:
    """Implements broker.OrderJournal for one world.

    With each step that says something new it is noted that nobody was told of it yet, in the same
    transaction; see `order_news`.

    `durable` is for real money: orders and fills then survive a power cut as well, not only the
    process. Intents always do.
    """

    def __init__(
        self, database: Database, writer: Writer, *, world: str, durable: bool = True
    ) -> None:
        self._reader = Reader(database)
        self._writer = writer
        self._world = world
        self._backlog: Backlog[Kept] = Backlog(
            writer, self._put, what="orders and fills", durable=durable
        )

    def close(self) -> None:
        self._reader.close()

    @property
    def unwritten(self) -> int:
        """Facts that are in memory only; above zero for longer than a moment means trouble."""
        return self._backlog.waiting

    # Before anything is sent

    async def open_intents(self, orders: Sequence[Order]) -> list[Order]:
        """Commit new intents, all or none, before anything is sent.

        Return them, or, if the nonce of the first is known, the orders that this press has made
        already: then nothing was written and nothing may be sent.

        Raises Denied if a nonce other than the first was used before, or the first one in another
        world; Retryable or VigilError if the disk does not take them: then nothing was written.
        """
        if not orders or not all(order.request.nonce for order in orders):
            raise ValueError("an intent needs a nonce")
        intents = tuple(orders)
        opened = await asyncio.wrap_future(
            self._writer.submit(lambda c: self._open(c, intents), patience=INTENT_PATIENCE)
        )
        if isinstance(opened, Denied):
            raise opened
        return opened

    def _open(self, connection: Connection, orders: Sequence[Order]) -> list[Order] | Denied:
        """Ask and write in one transaction; nothing comes in between, one thread writes."""
        nonces = [order.request.nonce for order in orders]
        pressed = {"nonce": nonces[0], "world": self._world}
        if made := load_orders(connection, _PRESSED, pressed):
            place = {nonce: number for number, nonce in enumerate(nonces)}
            return sorted(made, key=lambda order: place.get(order.request.nonce, len(place)))
        if len(set(nonces)) < len(nonces) or any(_is_used(connection, n) for n in nonces):
            words = "one of these was sent before with this nonce"
            return Denied(f"{words}. Nothing was sent.", problems=[Problem("nonce", words)])
        driver = driver_of(connection)
        for order in orders:
            values = order_values(order, world=self._world, press=nonces[0])
            number = driver.execute(_INSERT_ORDER, values).fetchone()[0]
            self._put_life(driver, order, number)
        return list(orders)

    # Behind what happens

    def keep(self, order: Order) -> None:
        """Write an order as it is now with its new steps; see `Backlog` for what is promised."""
        self._backlog.add(order)

    def keep_fills(self, fills: OrderFills) -> None:
        """Write the executions of one of the broker's orders in place of those written before."""
        self._backlog.add(fills)

    def _put(self, driver: sqlite3.Connection, items: Sequence[Kept]) -> None:
        latest = {_name(item): item for item in items}  # an order holds all that was before it
        for item in latest.values():
            if isinstance(item, OrderFills):
                self._put_fills(driver, item)
            else:
                self._put_order(driver, item)

    def _put_order(self, driver: sqlite3.Connection, order: Order) -> None:
        press = "" if order.external else order.request.nonce
        values = order_values(order, world=self._world, press=press)
        number = driver.execute(_UPSERT_ORDER, values).fetchone()[0]
        self._put_life(driver, order, number)

    def _put_life(self, driver: sqlite3.Connection, order: Order, number: int) -> None:
        """Add the steps that are new, and let the children be those that the order has now."""
        (known,) = driver.execute(_STEPS_KNOWN, (number,)).fetchone()
        for position, step in enumerate(order.steps[known:], known):
            values = step_values(step, intent=number, position=position, is_mock=order.is_mock)
            driver.execute(_INSERT_STEP, values)
            if is_news(order, position):
                driver.execute(_INSERT_NEWS, (number, position, order.is_mock))
        driver.execute("DELETE FROM broker_orders WHERE intent = ?", (number,))
        for position, child in enumerate(order.children):
            told = broker_order_values(child, world=self._world, is_mock=order.is_mock)
            written = driver.execute(_INSERT_CHILD, (*told, number, position))
            if not written.rowcount:
                log.error(
                    "storage: %s claims %s, which belongs to another order",
                    order.id,
                    child.order_id,
                )

    def _put_fills(self, driver: sqlite3.Connection, fills: OrderFills) -> None:
        number = (self._world, fills.account, fills.order_id)
        driver.execute("DELETE FROM fills WHERE world = ? AND account = ? AND order_id = ?", number)
        for fill in fills.fills:
            driver.execute(_UPSERT_FILL, fill_values(fill, world=self._world))

    # Reading

    async def orders(self, *, since: datetime) -> list[Order]:
        """Return the orders created since then, and all older ones that are not final.

        They come in the order in which they became known.
        """
        asked = {"world": self._world, "since": to_ms(since)}
        return await self._read(lambda c: load_orders(c, _SINCE, asked))

    async def fills(self, *, since: datetime) -> list[Fill]:
        """Return the fills since then, and all of orders that are not final, as they were kept."""
        asked = {"world": self._world, "since": to_ms(since)}
        rows = await self._read(lambda c: c.execute(_FILLS, asked).all())
        return [fill_of(row) for row in rows]

    async def _read(self, work: Callable[[Connection], T]) -> T:
        await self._backlog.written(READ_PATIENCE)
        return await self._reader.run(work)


def _name(kept: Kept) -> tuple[str, ...]:
    if isinstance(kept, OrderFills):
        return kept.account, kept.order_id
    return (kept.id,)


def is_news(order: Order, position: int) -> bool:
    """Return whether this step says what people are told of: another status, or more filled.

    Of an intent of ours its first step is none if it is only sent; that an order was placed
    elsewhere is one.
    """
    step = order.steps[position]
    if position:
        before = order.steps[position - 1]
        return (step.status, step.filled) != (before.status, before.filled)
    return order.external or (step.status, step.filled) != (OrderStatus.SENT, 0)


def _is_used(connection: Connection, nonce: str) -> bool:
    query = "SELECT 1 FROM orders WHERE nonce = ? AND NOT external"
    return connection.exec_driver_sql(query, (nonce,)).first() is not None


def load_orders(connection: Connection, numbers: str, asked: Mapping[str, object]) -> list[Order]:
    """Return whole orders by their number in the database; `numbers` is the query for those."""
    steps: dict[int, list[Step]] = defaultdict(list)
    children: dict[int, list[BrokerOrder]] = defaultdict(list)
    rows = _all(connection, f"{_ORDERS_OF} ({numbers}) ORDER BY number", asked)
    if not rows:
        return []
    for row in _all(connection, f"{_STEPS_OF} ({numbers}) ORDER BY position", asked):
        steps[row.intent].append(step_of(row))
    for row in _all(connection, f"{_CHILDREN_OF} ({numbers}) ORDER BY position", asked):
        children[row.intent].append(broker_order_of(row))
    return [order_of(row, children[row.number], steps[row.number]) for row in rows]


def _all(connection: Connection, query: str, asked: Mapping[str, object]) -> Sequence[Row[Any]]:
    return connection.execute(text(query), asked).all()
