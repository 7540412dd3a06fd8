"""The real client against the real simulated exchange, faults and all."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from feeds.connection import Timing
from feeds.upstox.hours import calendar
from feeds.upstox.instruments import Master
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.token import FixedToken
from simulator.clock import ExchangeClock
from simulator.market import RandomMarket
from simulator.model import Instrument
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.feeds.desk import Desk, desk
from tests.feeds.exchange import TOKEN
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS, NIFTY, PUT
from trading.hours import IST
from trading.model import Mode, Part
from trading.ports import FeedState

KEYS = (NIFTY, INFY, CALL, PUT)
TWENTIETH = Timing().scaled(0.05)


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    clock = ExchangeClock()
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    year = 365 * 86_400_000
    listed = {
        i.instrument_key: i if not i.expiry else _until(i, clock.now_ms() + year)
        for i in INSTRUMENTS
    }
    market = RandomMarket(7, listed, clock.now_ms(), rate=400.0)
    with SimulatedExchange(market, clock=clock, tokens=tokens, flush=0.01) as running:
        yield running


def _until(instrument: Instrument, expiry: int) -> Instrument:
    return replace(instrument, expiry=expiry)


async def heard(d: Desk, count: int) -> None:
    """Wait until every instrument has told its price so often since now."""
    start = len(d.batches)

    def enough() -> bool:
        told = [
            t.instrument_key for b in d.batches[start:] for t in b.ticks if t.parts & Part.PRICE
        ]
        return all(told.count(key) >= count for key in KEYS)

    await d.until(enough, within=5)


async def test_prices_flow_in_every_mode_without_a_single_complaint(
    exchange: SimulatedExchange,
) -> None:
    async with desk(exchange.base_url) as d:
        for mode in Mode:
            d.feed.want(dict.fromkeys(KEYS, mode))
            await heard(d, 1)

        stats = d.feed.stats()
        assert stats.subscribed[Mode.FULL_D30] == 4
        assert (stats.decode_errors, stats.bad_prices, stats.unasked, stats.text_frames) == (0,) * 4
        assert (stats.dropped, stats.reconnects, stats.missing) == (0, 0, ())
        assert any(t.depth and len(t.depth) > 5 for t in d.ticks)
        assert stats.segments["NSE_FO"] == "NORMAL_OPEN"


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("stall", {}),
        ("heartbeats", {"every": 0.1}),
        ("half_open", {}),
        ("mid_frame", {}),
        ("trickle", {"every": 0.02}),
        ("drop", {"how": "fin"}),
        ("drop", {"how": "rst"}),
        ("drop", {"how": "1012"}),
        ("garbage", {"next": 11}),
        ("giant", {}),
        ("fragments", {}),
    ],
    ids=str,
)
async def test_the_feed_heals_after(
    exchange: SimulatedExchange, fault: str, parameters: dict[str, object]
) -> None:
    async with desk(exchange.base_url, *KEYS, timing=TWENTIETH, mode=Mode.FULL) as d:
        await heard(d, 1)
        await d.live()  # the thread says so a moment after the prices were heard
        exchange.faults.set(fault, **parameters)
        await d.until(lambda: d.feed.stats().state is not FeedState.LIVE, within=3)
        exchange.faults.clear()
        began = time.monotonic()
        await heard(d, 1)

    assert time.monotonic() - began < 2
    assert {b.generation for b in d.batches} >= {1, 2}


async def test_the_brokers_reads_are_understood(exchange: SimulatedExchange) -> None:
    async with UpstoxRest(
        exchange.base_url, FixedToken(TOKEN), assets_url=exchange.base_url, is_mock=True
    ) as rest:
        quotes = await rest.quotes(list(KEYS))
        master = Master(await rest.instruments_master())
        instruments = {i.instrument_key: i for i in master}
        holidays = calendar(await rest.holidays())
        profile = await rest.profile()
        ltps = await rest.ltps([NIFTY])
        candles = await rest.intraday_candles(NIFTY)
        today = datetime.now(IST).date()
        history = await rest.candles(NIFTY, today, today)
        timings = await rest.timings(datetime.now(UTC).date())
        status = await rest.market_status("NSE")

    assert {q.instrument_key for q in quotes} == set(KEYS)
    assert set(instruments) >= set(KEYS)
    assert (master.bad, master.unknown, holidays.skipped) == (0, 0, 0)
    assert instruments[CALL].tick_size == 0.05
    assert profile.is_active
    assert ltps[0].ltp > 0
    assert all(a.start < b.start for a, b in pairwise(candles))
    assert [candle.start for candle in history][: len(candles)] == [c.start for c in candles]
    assert "NSE" in {opening.exchange for opening in timings}
    assert status.status == "NORMAL_OPEN"


async def test_a_quiet_feed_is_compared_with_the_brokers_quotes(
    exchange: SimulatedExchange,
) -> None:
    async with desk(exchange.base_url, NIFTY, timing=TWENTIETH) as d:
        await d.live()
        exchange.faults.set("stall")
        await d.until(
            lambda: any("though the exchange trades" in change.reason for change in d.changes)
        )

    assert FeedState.STALLED in d.states
