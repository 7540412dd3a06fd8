"""Presses, fills paper orders and moves a basket until it is killed; says what it was promised.

For each line on stdin, a path, it forks a desk, as `crash_child` does. Lines on stdout: `pid N`;
then, as they are acknowledged, `basket NONCE`, `intent NONCE ID`, `fill ORDER_ID CASH`; at last
`dead`.
"""

import asyncio
import os
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from storage.batch_journal import DatabaseBatchJournal
from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.storage.account import MORNING, child, fill, intent, moved
from tests.storage.test_batch_journal import basket
from trading.hours import IST
from trading.order import OrderStatus

WORLD: Final = "simulated paper"
BEGIN: Final = 100_000_000_000  # paise
PRICE: Final = 142.6


def main() -> None:
    for run, line in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            asyncio.run(_trade_for_ever(open_database(Path(line.strip())), run))
        _say(f"pid {pid}")
        os.waitpid(pid, 0)
        _say("dead")


async def _trade_for_ever(database: Database, run: int) -> None:
    writer = Writer(database, reserve=0)
    journal = DatabaseOrderJournal(database, writer, world=WORLD)
    baskets = DatabaseBatchJournal(database, writer, world=WORLD)
    ledger = DatabasePaperLedger(database, writer, world=WORLD)
    state = await ledger.load("main", day=MORNING.astimezone(IST).date())
    cash = BEGIN if state is None else state.cash
    for turn in count():
        nonce = f"{run}-{turn}"
        sent = replace(basket(nonce), id=f"basket-{nonce}")
        await baskets.open_basket(sent)
        _say(f"basket {nonce}")
        order = intent(nonce)
        (made,) = await journal.open_intents([order])
        _say(f"intent {nonce} {made.id}")
        rests = child(order, f"P{nonce}")
        await ledger.keep("main", orders=[rests], cash=cash)
        journal.keep(moved(order, OrderStatus.WORKING, rests))
        executed = fill(rests.order_id, f"{rests.order_id}-1", quantity=150, price=PRICE)
        cash -= executed.value or 0
        done = replace(rests, status=OrderStatus.FILLED, filled=150, average_price=PRICE)
        await ledger.keep("main", orders=[done], fills=[executed], cash=cash)
        _say(f"fill {rests.order_id} {cash}")
        journal.keep(moved(order, OrderStatus.FILLED, done, filled=150))
        baskets.keep_basket(replace(sent, reason="moved"))


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write, so that no line is cut by the kill


if __name__ == "__main__":
    main()
