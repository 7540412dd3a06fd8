"""A paper account on the disk: what a broker would remember, where there is no broker."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Final

from sqlalchemy import Connection

from storage.database import Database
from storage.order_rows import (
    broker_order_of,
    broker_order_values,
    fill_of,
    fill_values,
    insert_into,
    position_of,
    position_values,
    take_over,
)
from storage.order_tables import ORDER_IS_OPEN
from storage.reader import Reader
from storage.writer import Writer, driver_of
from trading.broker import PaperState
from trading.errors import BadRequest
from trading.order import BrokerOrder, BrokerPosition, Fill

_KEEP_CASH: Final = (
    f"{insert_into('paper_accounts')} ON CONFLICT (world, account) DO UPDATE SET "
    "cash = excluded.cash, opening = opening + excluded.opening RETURNING opening"
)
_INSERT_FILL: Final = insert_into("paper_fills")
_UPSERT_ORDER: Final = (
    f"{insert_into('paper_orders')} ON CONFLICT (world, account, order_id) DO UPDATE SET "
    f"{take_over('paper_orders', but=('world', 'account', 'order_id'))} "
    f"WHERE {ORDER_IS_OPEN}"
)
_INSERT_POSITION: Final = insert_into("paper_positions")
_ORDERS: Final = (
    "SELECT * FROM paper_orders WHERE world = ? AND account = ? "
    f"AND (opening = ? OR {ORDER_IS_OPEN}) ORDER BY number"
)
_FILLS: Final = (
    "SELECT * FROM paper_fills WHERE world = ? AND account = ? AND opening = ? ORDER BY number"
)
_POSITIONS: Final = (
    "SELECT * FROM paper_positions WHERE world = ? AND account = ? ORDER BY position"
)
_MADE_UP: Final = True


class DatabasePaperLedger:
    """Implements broker.PaperLedger for one world.

    An account is its last opening and what came since: the positions it was opened with, then
    orders and fills. Not `durable`, a commit survives kill -9, but the last ones not a power cut.
    """

    def __init__(
        self, database: Database, writer: Writer, *, world: str, durable: bool = False
    ) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._world = world
        self._durable = durable

    def close(self) -> None:
        self._reader.close()

    async def load(self, account: str, *, day: date) -> PaperState | None:
        """Return the account since its last opening, None if there never was one.

        `day` is not asked for: what an earlier day left behind has to be carried over by whoever
        reads it, and is recognised by its dates.
        """
        asked = (self._world, account)
        return await self._reader.run(lambda connection: _load(connection, asked))

    async def keep(
        self,
        account: str,
        *,
        orders: Sequence[BrokerOrder] = (),
        fills: Sequence[Fill] = (),
        cash: int,
        opening: Sequence[BrokerPosition] | None = None,
    ) -> None:
        """Commit all of it in one transaction, or nothing; `cash` is what the account has now.

        With an `opening` (of no positions, perhaps) the account begins anew: orders and fills that
        come in the same call, or later, are on top of it.

        Raises BadRequest for a fill that is known or an order that is final already, Retryable or
        VigilError if the disk does not take it. In each case nothing was written.
        """

        def write(connection: Connection) -> None:
            driver = driver_of(connection)
            since = self._put_account(driver, account, cash, opening)
            for fill in fills:
                self._put_fill(driver, fill, since)
            for order in orders:
                self._put_order(driver, order, since)

        await asyncio.wrap_future(self._writer.submit(write, durable=self._durable))

    def _put_account(
        self,
        driver: sqlite3.Connection,
        account: str,
        cash: int,
        opening: Sequence[BrokerPosition] | None,
    ) -> int:
        """Write cash and opening; return the number of the opening that holds."""
        begins = opening is not None
        values = (self._world, account, cash, begins, _MADE_UP)
        since: int = driver.execute(_KEEP_CASH, values).fetchone()[0]
        if opening is not None:
            driver.execute(
                "DELETE FROM paper_positions WHERE world = ? AND account = ?",
                (self._world, account),
            )
            for place, position in enumerate(opening):
                row = position_values(position, world=self._world, at=place, is_mock=_MADE_UP)
                driver.execute(_INSERT_POSITION, row)
        return since

    def _put_fill(self, driver: sqlite3.Connection, fill: Fill, since: int) -> None:
        try:
            driver.execute(_INSERT_FILL, (*fill_values(fill, world=self._world), since))
        except sqlite3.IntegrityError as error:
            raise BadRequest(f"paper fill {fill.trade_id} of {fill.order_id} is known") from error

    def _put_order(self, driver: sqlite3.Connection, order: BrokerOrder, since: int) -> None:
        values = broker_order_values(order, world=self._world, is_mock=_MADE_UP)
        written = driver.execute(_UPSERT_ORDER, (*values, since))
        if written.rowcount != 1:
            raise BadRequest(f"paper order {order.order_id} is final already")


def _load(connection: Connection, asked: tuple[str, str]) -> PaperState | None:
    found = connection.exec_driver_sql(
        "SELECT cash, opening FROM paper_accounts WHERE world = ? AND account = ?", asked
    ).first()
    if found is None:
        return None
    cash, opening = found
    orders = connection.exec_driver_sql(_ORDERS, (*asked, opening))
    fills = connection.exec_driver_sql(_FILLS, (*asked, opening))
    carried = connection.exec_driver_sql(_POSITIONS, asked)
    return PaperState(
        cash=cash,
        orders=tuple(broker_order_of(row) for row in orders),
        fills=tuple(fill_of(row) for row in fills),
        carried=tuple(position_of(row) for row in carried),
    )
