"""Fault S03 with the real ledger: killed at random, every order is filled once and cash is right.

With VIGIL_LONG=1 in the environment a hundred kills are done instead of ten.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from storage.database import open_database
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.trading.paper_child import CASH
from tests.trading.paper_rig import INSTRUMENTS, NINE_THIRTY, Rig
from trading.broker import PaperState
from trading.hours import IST
from trading.order import OrderStatus, Side
from trading.paper_book import PaperBook

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = 100 if os.environ.get("VIGIL_LONG") else 10


@pytest.mark.timeout(300)
def test_s03_kill_9_at_random_fills_no_order_twice_and_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, path = random.Random(seed), tmp_path / "vigil.db"
    open_database(path).close()
    told: list[list[str]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.trading.paper_child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as child:
        for _ in range(KILLS):
            told += _run_and_kill(child, path, chance.uniform(0.0, 0.1))
            asyncio.run(_check(path, told))
        assert child.stdin
        child.stdin.close()

    assert len([words for words in told if words[0] == "filled"]) > KILLS


def _run_and_kill(child: "subprocess.Popen[str]", path: Path, delay: float) -> list[list[str]]:
    """Let it trade for so long after its first order; return all that was announced."""
    assert child.stdin
    assert child.stdout
    child.stdin.write(f"{path}\n")
    lines = iter(child.stdout)
    seen = [next(lines).split(), next(lines).split()]
    (pid,) = [int(words[1]) for words in seen if words[0] == "pid"]
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    for line in lines:
        if line == "dead\n":
            break
        seen.append(line.split())
    return seen


async def _check(path: Path, told: list[list[str]]) -> None:
    database = open_database(path)
    writer = Writer(database, reserve=0)
    ledger = DatabasePaperLedger(database, writer, world="test")
    try:
        state = await ledger.load("main", day=NINE_THIRTY.astimezone(IST).date())
        assert state is not None
        _books_agree(state, told)
        await _goes_on(Rig(ledger=ledger, cash=CASH), state)
    finally:
        ledger.close()
        writer.stop()
        database.close()


def _books_agree(state: PaperState, told: list[list[str]]) -> None:
    filled: Counter[str] = Counter()
    for fill in state.fills:
        filled[fill.order_id] += fill.quantity
    orders = {order.order_id: order for order in state.orders}
    assert {number: o.filled for number, o in orders.items() if o.filled} == dict(filled)
    for kind, number, *units in told:
        match kind:
            case "placed":
                assert number in orders
            case "filled":
                assert filled[number] >= int(units[0])
            case "cancelled":
                assert orders[number].status is OrderStatus.CANCELLED
    book = PaperBook(CASH)
    book.take(book.post(state.fills, lambda key: INSTRUMENTS[key]))
    assert book.cash == state.cash


async def _goes_on(rig: Rig, state: PaperState) -> None:
    """Open the account again: it has what the disk has, and new orders get new numbers."""
    rig.clock.advance(3_600)
    await rig.broker.start()
    assert {f.trade_id for f in await rig.broker.trades()} == {f.trade_id for f in state.fills}
    net: Counter[str] = Counter()
    for fill in state.fills:
        net[fill.instrument_key] += fill.side.sign * fill.quantity
    assert {p.instrument_key: p.quantity for p in await rig.broker.positions()} == dict(net)
    number = await rig.place(Side.BUY, price=1.0)
    assert number not in {order.order_id for order in state.orders}
    await rig.broker.cancel(number)
    await rig.broker.stop()
