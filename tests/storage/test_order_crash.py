"""kill -9 while orders are pressed and paper fills are booked: nothing promised is lost or doubled.

As in `test_crash`, VIGIL_LONG=1 runs a hundred kills.
"""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from storage.batch_journal import DatabaseBatchJournal
from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.storage.account import MORNING, intent
from tests.storage.order_crash_child import BEGIN, WORLD
from tests.storage.sql import count, is_whole, rows, value
from tests.storage.test_batch_journal import basket
from tests.storage.test_crash import KILLS, crash_child, run_and_kill
from trading.hours import IST
from trading.order import OrderStatus


@pytest.mark.timeout(300)
def test_s03_kill_9_leaves_cash_that_follows_from_the_fills_and_no_press_lost(path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    open_database(path).close()
    acknowledged: list[list[str]] = []
    with crash_child("order_crash_child") as child:
        for _ in range(KILLS):
            acknowledged += run_and_kill(child, path, chance.uniform(0.0, 0.08))
            database = open_database(path)
            asyncio.run(_agrees(database))
            database.close()
            assert is_whole(path)

    presses = {words[1]: words[2] for words in acknowledged if words[0] == "intent"}
    baskets = {words[1] for words in acknowledged if words[0] == "basket"}
    fills = [words[1] for words in acknowledged if words[0] == "fill"]
    assert len(fills) > KILLS
    assert presses.items() <= set(rows(path, "SELECT nonce, id FROM orders"))
    assert baskets <= {nonce for (nonce,) in rows(path, "SELECT nonce FROM baskets")}
    assert set(fills) <= {number for (number,) in rows(path, "SELECT order_id FROM paper_fills")}
    assert (
        value(path, "SELECT min(n) FROM (SELECT count(*) n FROM basket_legs GROUP BY basket)") == 4
    )
    asyncio.run(_pressed_again(path, presses, baskets))


async def _agrees(database: Database) -> None:
    """Look at the account as a desk that starts would."""
    writer = Writer(database, reserve=0)
    ledger = DatabasePaperLedger(database, writer, world=WORLD)
    state = await ledger.load("main", day=MORNING.astimezone(IST).date())
    ledger.close()
    writer.stop()
    if state is None:
        return
    assert state.cash == BEGIN - sum(fill.value or 0 for fill in state.fills)
    filled = [order.order_id for order in state.orders if order.status is OrderStatus.FILLED]
    assert sorted(filled) == sorted(fill.order_id for fill in state.fills)


async def _pressed_again(path: Path, presses: dict[str, str], baskets: set[str]) -> None:
    database = open_database(path)
    writer = Writer(database, reserve=0)
    journal = DatabaseOrderJournal(database, writer, world=WORLD)
    batches = DatabaseBatchJournal(database, writer, world=WORLD)
    before = count(path, "orders"), count(path, "baskets")

    for nonce, made in presses.items():
        (known,) = await journal.open_intents([replace(intent(nonce), id=f"again-{nonce}")])
        assert known.id == made
    for nonce in baskets:
        known_basket = await batches.open_basket(replace(basket(nonce), id=f"again-{nonce}"))
        assert len(known_basket.legs) == 4

    assert (count(path, "orders"), count(path, "baskets")) == before
    journal.close()
    batches.close()
    writer.stop()
    database.close()
