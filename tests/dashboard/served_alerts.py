"""A desk with a scripted watch, served like the real one.

SIGUSR1 raises a critical alert whose words are hostile, SIGUSR2 stops the prices.
"""

import argparse
import asyncio
import random
import signal
from dataclasses import replace
from datetime import timedelta

from nicegui import app

from tests.dashboard.fakes import ALWAYS, BANK, NIFTY, Market, instruments, make_desk
from tests.dashboard.served import serve
from tests.dashboard.watched import alert, morning, watched
from trading.clock import SystemClock
from trading.health import Component

HOSTILE = "<img src=x onerror='window.hacked=1'> {{ 7 * 7 }} orders are not written down"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--morning", action="store_true", help="alerts, a chat, people")
    parser.add_argument("--care", action="store_true", help="two inputs of the light are not good")
    arguments = parser.parse_args()
    clock = SystemClock()
    known = instruments(20, clock.now().date() + timedelta(days=5))
    desk, ends = watched(make_desk(clock, rules=ALWAYS, known=known))
    market = Market(clock)
    if arguments.morning:
        morning(clock, ends)
    if arguments.care:
        clock_off, books = ends.watch.checks[4], ends.watch.checks[6]
        ends.watch.checks[4] = replace(
            clock_off, good=False, words="2.4 s ahead of the exchange's",
            fix="Sync it: sudo chronyc makestep",
        )  # fmt: skip
        ends.watch.checks[6] = replace(
            books, good=False, grave=False, words="not read for 41 s",
            fix="Wait for the next reading, or press Check now on Positions",
        )  # fmt: skip

    def trouble() -> None:
        ends.watch.raises(
            alert(clock, "Storage refuses: the disk is full", HOSTILE,
                  key=f"storage {random.random()}", component=Component.STORAGE, link="/status")
        )  # fmt: skip

    silent = asyncio.Event()

    async def trade() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, trouble)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, silent.set)
        while True:
            await asyncio.sleep(random.uniform(0.15, 0.25))
            if silent.is_set():
                continue
            desk.market_data.publish(market.batch([NIFTY, BANK]))

    app.on_startup(trade)
    serve(desk, arguments.port)


if __name__ == "__main__":
    main()
