"""Trades on paper over a real database until it is killed, and says what it was told.

For each line on stdin, a path, it forks a trader: importing once is what makes many quick. Lines
on stdout: `pid N`; then `placed ORDER`, `filled ORDER UNITS`, `cancelled ORDER` as they are
announced; then `dead`.
"""

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

from storage.database import open_database
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.trading.paper_rig import Rig
from trading.errors import BadRequest
from trading.order import BrokerOrder, OrderStatus, Side

CASH = 10**13  # paise; margin is not what is tried here


def main() -> None:
    for number, line in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            asyncio.run(_trade_for_ever(Path(line.strip()), number))
        _say(f"pid {pid}")
        os.waitpid(pid, 0)
        _say("dead")


async def _trade_for_ever(path: Path, run: int) -> None:
    database = open_database(path)
    ledger = DatabasePaperLedger(database, Writer(database, reserve=0), world="test")
    rig = Rig(ledger=ledger, cash=CASH)
    rig.clock.advance(run * 60)
    await rig.broker.start()
    rig.broker.order_updates.subscribe(_tell)
    rng = random.Random(run)
    while True:
        ltp = rng.randrange(2600, 2900) / 20
        rig.tick(ltp=ltp, bid=ltp - 0.1, ask=ltp + 0.1, ask_qty=75 * rng.randrange(4), after=1e-3)
        price = rng.choice((0.0, ltp - 0.5, ltp + 0.5))
        placed = rig.place(rng.choice(list(Side)), 75 * rng.randrange(1, 4), price=round(price, 2))
        tasks = [asyncio.create_task(placed)]
        if rng.random() < 0.3:
            tasks.append(asyncio.create_task(_cancel_one(rig, rng)))
        await asyncio.gather(*tasks)


async def _cancel_one(rig: Rig, rng: random.Random) -> None:
    found = [o for o in await rig.broker.orders() if o.status is OrderStatus.WORKING]
    with suppress(BadRequest):
        if found:
            await rig.broker.cancel(rng.choice(found).order_id)


def _tell(order: BrokerOrder) -> None:
    if order.status is OrderStatus.CANCELLED:
        _say(f"cancelled {order.order_id}")
    elif order.filled:
        _say(f"filled {order.order_id} {order.filled}")
    else:
        _say(f"placed {order.order_id}")


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write, so that no line is cut by the kill


if __name__ == "__main__":
    main()
