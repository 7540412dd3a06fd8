"""Baskets with their legs on the disk: whole before anything is sent, every later state behind."""

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from storage.backlog import Backlog
from storage.characters import plain
from storage.database import Database
from storage.moments import from_ms, to_ms
from storage.order_journal import INTENT_PATIENCE, READ_PATIENCE
from storage.order_rows import (
    Values,
    insert_into,
    measure,
    moment,
    ms,
    request_of,
    request_values,
    take_over,
)
from storage.order_tables import BASKET_IS_OPEN
from storage.reader import Reader
from storage.writer import Writer, driver_of
from trading.basket import Basket, BasketState, BasketStep, LegReceipt, LegStatus, OnFilled
from trading.errors import Denied, Problem

_UPSERT: Final = (
    f"{insert_into('baskets')} ON CONFLICT (world, id) DO UPDATE SET "
    f"{take_over('baskets', but=('world', 'id', 'nonce'))} RETURNING number"
)
_INSERT_LEG: Final = insert_into("basket_legs")
_INSERT_STEP: Final = insert_into("basket_steps")
_SINCE: Final = (
    "SELECT number FROM baskets WHERE world = :world AND created >= :since "
    f"UNION SELECT number FROM baskets WHERE world = :world AND {BASKET_IS_OPEN}"
)
_STEPS_KNOWN: Final = "SELECT count(*) FROM basket_steps WHERE basket = ?"
_BASKETS_OF: Final = "SELECT * FROM baskets WHERE number IN"
_LEGS_OF: Final = "SELECT * FROM basket_legs WHERE basket IN"
_STEPS_OF: Final = "SELECT * FROM basket_steps WHERE basket IN"
_PRESSED: Final = (
    "SELECT number FROM baskets WHERE nonce = :nonce AND nonce <> '' AND world = :world"
)
_IS_USED: Final = "SELECT 1 FROM baskets WHERE nonce = ? AND nonce <> ''"


class DatabaseBatchJournal:
    """Implements basket.BatchJournal for one world; `durable` as in the order journal."""

    def __init__(
        self, database: Database, writer: Writer, *, world: str, durable: bool = True
    ) -> None:
        self._reader = Reader(database, threads=1)
        self._writer = writer
        self._world = world
        self._backlog: Backlog[Basket] = Backlog(
            writer, self._put_all, what="baskets", durable=durable
        )

    def close(self) -> None:
        self._reader.close()

    @property
    def unwritten(self) -> int:
        """States that are in memory only; above zero for longer than a moment means trouble."""
        return self._backlog.waiting

    async def open_basket(self, basket: Basket) -> Basket:
        """Commit a new basket with all its legs in one transaction, before anything is sent.

        Return it, or, if its nonce is known, the basket that this press has made already: then
        nothing was written and nothing may be sent.

        Raises Denied if the nonce was used in another world; Retryable or VigilError if the disk
        does not take it: then nothing was written.
        """
        # Not durable by itself: the intents, which are, come after it and before anything is sent.
        opened = await asyncio.wrap_future(
            self._writer.submit(
                lambda c: self._open(c, basket), patience=INTENT_PATIENCE, durable=False
            )
        )
        if isinstance(opened, Denied):
            raise opened
        return opened

    def _open(self, connection: Connection, basket: Basket) -> Basket | Denied:
        made = _load(connection, _PRESSED, {"nonce": basket.nonce, "world": self._world})
        if made:
            return made[0]
        if connection.exec_driver_sql(_IS_USED, (basket.nonce,)).first():
            words = "another basket was sent with this nonce"
            return Denied(f"{words}. Nothing was sent.", problems=[Problem("nonce", words)])
        self._put(driver_of(connection), basket)
        return basket

    def keep_basket(self, basket: Basket) -> None:
        """Write a basket as it is now, in the order of the calls; see `Backlog`."""
        self._backlog.add(basket)

    def _put_all(self, driver: sqlite3.Connection, baskets: Sequence[Basket]) -> None:
        latest = {basket.id: basket for basket in baskets}  # a basket holds all that was before it
        for basket in latest.values():
            self._put(driver, basket)

    def _put(self, driver: sqlite3.Connection, basket: Basket) -> None:
        (number,) = driver.execute(_UPSERT, _values(basket, self._world)).fetchone()
        driver.execute("DELETE FROM basket_legs WHERE basket = ?", (number,))
        for leg in basket.legs:
            values = _leg_values(leg, basket=number, is_mock=basket.is_mock)
            driver.execute(_INSERT_LEG, values)
        (known,) = driver.execute(_STEPS_KNOWN, (number,)).fetchone()
        for position, step in enumerate(basket.steps[known:], known):
            at = to_ms(step.at)
            values = (number, position, step.state.value, at, plain(step.words), basket.is_mock)
            driver.execute(_INSERT_STEP, values)

    async def baskets(self, *, since: datetime) -> list[Basket]:
        """Return the baskets created since then, oldest first, and all older ones that are not
        final, or UNRESOLVED and not acknowledged.
        """
        asked = {"world": self._world, "since": to_ms(since)}
        await self._backlog.written(READ_PATIENCE)
        return await self._reader.run(lambda c: _load(c, _SINCE, asked))


def _load(connection: Connection, numbers: str, asked: Mapping[str, object]) -> list[Basket]:
    """Return whole baskets; `numbers` is the query for theirs."""
    rows = _all(connection, f"{_BASKETS_OF} ({numbers}) ORDER BY number", asked)
    if not rows:
        return []
    legs: dict[int, list[LegReceipt]] = defaultdict(list)
    steps: dict[int, list[BasketStep]] = defaultdict(list)
    for row in _all(connection, f"{_LEGS_OF} ({numbers}) ORDER BY number", asked):
        legs[row.basket].append(_leg_of(row))
    for row in _all(connection, f"{_STEPS_OF} ({numbers}) ORDER BY position", asked):
        steps[row.basket].append(BasketStep(BasketState(row.state), from_ms(row.at), row.words))
    return [_basket_of(row, legs[row.number], steps[row.number]) for row in rows]


def _all(connection: Connection, query: str, asked: Mapping[str, object]) -> Sequence[Row[Any]]:
    return connection.execute(text(query), asked).all()


def _values(basket: Basket, world: str) -> Values:
    return (
        basket.id,
        world,
        basket.account,
        basket.nonce,
        basket.name,
        basket.source,
        basket.rollback_on_failure,
        basket.on_filled.value,
        basket.state.value,
        to_ms(basket.created),
        to_ms(basket.updated),
        json.dumps([[problem.field, plain(problem.words)] for problem in basket.problems]),
        plain(basket.reason),
        None if basket.decision is None else basket.decision.value,
        basket.asking,
        ms(basket.acknowledged),
        basket.is_mock,
    )


def _basket_of(row: Row[Any], legs: Sequence[LegReceipt], steps: Sequence[BasketStep]) -> Basket:
    return Basket(
        id=row.id,
        account=row.account,
        nonce=row.nonce,
        name=row.name,
        source=row.source,
        rollback_on_failure=bool(row.rollback_on_failure),
        on_filled=OnFilled(row.on_filled),
        state=BasketState(row.state),
        created=from_ms(row.created),
        updated=from_ms(row.updated),
        is_mock=bool(row.is_mock),
        legs=tuple(legs),
        problems=tuple(Problem(field, words) for field, words in json.loads(row.problems)),
        reason=row.reason,
        decision=None if row.decision is None else OnFilled(row.decision),
        asking=bool(row.asking),
        acknowledged=moment(row.acknowledged),
        steps=tuple(steps),
    )


def _leg_values(leg: LegReceipt, *, basket: int, is_mock: bool) -> Values:
    return (
        *request_values(leg.request),
        basket,
        leg.number,
        leg.status.value,
        leg.order_id,
        leg.filled,
        leg.average,
        plain(leg.reason),
        json.dumps(leg.reversal_ids),
        leg.reversed,
        leg.reversed_average,
        plain(leg.reversal_reason),
        leg.residual,
        leg.answer_ms,
        leg.final_ms,
        leg.price_cost,
        leg.charges,
        is_mock,
    )


def _leg_of(row: Row[Any]) -> LegReceipt:
    return LegReceipt(
        number=row.number,
        request=request_of(row),
        status=LegStatus(row.status),
        order_id=row.order_id,
        filled=row.filled,
        average=measure(row.average),
        reason=row.reason,
        reversal_ids=tuple(json.loads(row.reversal_ids)),
        reversed=row.reversed,
        reversed_average=measure(row.reversed_average),
        reversal_reason=row.reversal_reason,
        residual=row.residual,
        answer_ms=row.answer_ms,
        final_ms=row.final_ms,
        price_cost=row.price_cost,
        charges=row.charges,
    )
