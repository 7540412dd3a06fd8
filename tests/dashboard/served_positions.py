"""A desk that holds positions, served like the real one; SIGUSR1 stops the prices of one."""

import argparse
import asyncio
import random
import signal
from datetime import timedelta

from nicegui import app

from tests.dashboard.dealing import LOT, deal, read
from tests.dashboard.fakes import ALWAYS, BANK, CALL, NIFTY, Market, instruments, make_desk
from tests.dashboard.served import serve
from trading.clock import SystemClock
from trading.equity import PnlCurve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--positions", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.0, help="ticks a second, 0: five rounds")
    arguments = parser.parse_args()
    clock = SystemClock()
    known = instruments(max(20, arguments.positions), clock.now().date() + timedelta(days=5))
    desk = make_desk(clock, rules=ALWAYS, known=known)
    market = Market(clock)
    keys = [CALL, *(f"NSE_FO|{45450 + n}" for n in range(1, arguments.positions))]
    traded = {*keys, NIFTY, BANK}
    curve = PnlCurve(
        [state.account for state in desk.accounts.all()],
        clock=clock,
        positions=desk.positions,
        journal=desk.pnl,
        is_open=desk.hours.is_open,
    )

    async def trade() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, traded.discard, CALL)
        desk.market_data.publish(market.batch(sorted(traded)))
        for place, key in enumerate(keys):
            tick = desk.market_data.last(key)
            assert tick is not None
            await deal(desk, LOT if place % 3 else -LOT, tick.ltp, key=key)
        await read(desk)
        while True:
            await asyncio.sleep(random.uniform(0.15, 0.25))
            await curve.sample()
            rounds = max(1, round(arguments.rate * 0.2 / len(traded)))
            for _ in range(rounds):
                desk.market_data.publish(market.batch(sorted(traded)))

    app.on_startup(trade)
    serve(desk, arguments.port)


if __name__ == "__main__":
    main()
