"""A desk with a made-up market, served like the real one, for tests in a real browser."""

import argparse
import asyncio
import random
import time
from datetime import timedelta

from nicegui import app, ui

from dashboard.app import register
from dashboard.guard import Security
from tests.dashboard.fakes import (
    ALWAYS,
    BANK,
    CALL,
    FUTURE,
    NIFTY,
    PUT,
    RELIANCE,
    TCS,
    DeskBroker,
    Market,
    MemoryFeed,
    MemoryJournal,
    instruments,
    make_desk,
)
from trading.clock import SystemClock
from trading.desk import Desk
from trading.model import Batch, Gap, Tick

SILENT = "NSE_FO|45462"  # an option that nobody trades


def _stamped(tick: Tick, key: str) -> Tick:
    """Let the price of one instrument tell its time: hundredths are milliseconds."""
    if tick.instrument_key != key:
        return tick
    return tick._replace(ltp=(int(time.time() * 1000) % 10_000_000) / 100)


def serve(desk: Desk, port: int) -> None:
    """Serve it as `main.py` does, until somebody ends this process."""
    register(desk, Security(port=port))
    ui.run(
        host="127.0.0.1",
        port=port,
        reload=False,
        show=False,
        title="Vigil",
        dark=True,
        tailwind=False,
        message_history_length=200,
        show_welcome_message=False,
        timeout_graceful_shutdown=2,
        binding_refresh_interval=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rows", type=int, default=0, help="watch so many options")
    parser.add_argument("--stamp", action="store_true", help="first price says when it was made")
    arguments = parser.parse_args()
    clock = SystemClock()
    known = instruments(max(20, arguments.rows), clock.now().date() + timedelta(days=5))
    desk = make_desk(clock, rules=ALWAYS, known=known)
    market = Market(clock)
    journal, feed = desk.journal, desk.feed
    assert isinstance(journal, MemoryJournal)
    assert isinstance(feed, MemoryFeed)
    broker = desk.accounts.brokers["main"]
    assert isinstance(broker, DeskBroker)
    if arguments.rows:
        journal.kept = [i.instrument_key for i in known[-arguments.rows :]]
    else:
        journal.kept = [
            NIFTY,
            BANK,
            RELIANCE,
            TCS,
            FUTURE,
            CALL,
            PUT,
            *[f"NSE_FO|{45456 + n}" for n in range(8)],
        ]
    now = int(clock.now().timestamp() * 1000)
    until = now - now % 60_000
    for key in journal.kept[:8]:
        minutes = market.minutes(key, until - 180 * 60_000, until)
        journal.minutes[key] = minutes[:100] + minutes[112:]
    begun = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=80)
    journal.holes = [Gap("market", begun, begun + timedelta(minutes=12), "stalled", True)]

    traded = [k for k in journal.kept if k != SILENT] if arguments.stamp else []

    async def trade() -> None:
        while True:
            await asyncio.sleep(random.uniform(0.15, 0.25))  # not in step with the refresh
            keys = traded or [k for k in feed.wanted if k != SILENT]
            batch = market.batch([*{*keys, NIFTY, BANK}])
            broker.fills |= {tick.instrument_key: tick.ltp for tick in batch.ticks}
            if arguments.stamp:
                batch = Batch([_stamped(t, journal.kept[0]) for t in batch.ticks], 1)
            desk.market_data.publish(batch)
            desk.candles.add(batch.ticks)

    desk.market_data.publish(market.batch([NIFTY, BANK, SILENT]))
    app.on_startup(trade)
    serve(desk, arguments.port)


if __name__ == "__main__":
    main()
