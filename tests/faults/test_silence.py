"""Rows F01-F06: an exchange that goes silent in every way a socket allows."""

import threading
import time
from pathlib import Path
from typing import Any

from dashboard.light import Level
from tests.faults.scene import (
    BANK,
    DETECTED,
    NIFTY,
    RECOVERED,
    STALL,
    Scene,
    quiet_for,
    scene,
)
from tests.lateness import lateness
from trading.ports import FeedState
from trading.trust import STALE_AFTER, Trust

QUOTES = "/v2/market-quote/quotes"


async def stalls(desk: Scene, fault: str, **parameters: Any) -> None:
    """Inject the fault and see it found out in time, told once and shown."""
    before = desk.last(NIFTY).price_received
    async with lateness() as late:
        desk.exchange.faults.set(fault, **parameters)
        took = await desk.told(FeedState.STALLED, within=DETECTED + 2)

    assert took <= DETECTED + 2 * late.worst
    assert desk.desk.clock.monotonic() - before > STALL
    assert desk.changes[0].before is FeedState.LIVE
    assert desk.health["status"] == "degraded"
    assert "market feed" in desk.health["troubles"][0]


async def heals(desk: Scene) -> None:
    """Clear all faults and see prices come back, on another connection, with the gap on record."""
    desk.exchange.faults.clear()
    await desk.healed()
    await desk.until(
        lambda: all((desk.age(key) or 9) < 1 for key in (NIFTY, BANK)), within=RECOVERED
    )

    # two good looks of the watch make an end of the trouble
    await desk.until(lambda: desk.health["status"] == "ok", within=6, what="good health")
    assert desk.health["feeds"][0]["state"] == "live"
    [(started, ended, reason)] = desk.gaps()
    assert ended is not None
    assert STALL * 1000 < ended - started < (DETECTED + RECOVERED) * 1000 + 4000
    assert reason.startswith("no price for")
    await desk.caught_up()


async def test_f01_a_feed_that_only_pongs_is_stalled_shown_as_stale_and_comes_back(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as desk:
        calls, future = desk.authorised(), desk.watched[0]
        await stalls(desk, "stall")
        async with lateness() as late:
            await desk.until(lambda: desk.light is Level.STALE, within=STALE_AFTER)

        heard = desk.desk.market_data.heard_age()
        assert heard is not None
        assert STALE_AFTER < heard < STALE_AFTER + 0.5 + 2 * late.worst
        assert {desk.trust(key) for key in (NIFTY, future)} == {Trust.STALE}
        assert desk.shown(future) != "—"  # the last price, marked as old, not a dash
        assert 1 <= desk.authorised() - calls <= 4  # no storm: each new socket had its time
        assert desk.exchange.feed_connections() <= 1
        desk.exchange.faults.clear()
        await desk.healed(within=RECOVERED + 3)
        await desk.until(lambda: desk.light is Level.LIVE, within=1)
        assert desk.trust(NIFTY) is Trust.LIVE
        await desk.caught_up()


async def test_f02_heartbeats_without_prices_are_no_prices(tmp_path: Path) -> None:
    async with scene(tmp_path) as desk:
        await stalls(desk, "heartbeats", every=0.1)

        stats = desk.desk.feed.stats()
        assert stats.tick_age is not None
        assert stats.tick_age > STALL
        assert desk.exchange.ledger.connections[0].market_infos >= 10  # and yet it was heard
        await heals(desk)


async def test_f03_a_market_that_closes_is_left_alone(tmp_path: Path) -> None:
    async with scene(tmp_path, start="2024-06-27T15:23:00", speed=60.0) as desk:
        await desk.until(lambda: desk.light is Level.CLOSED, within=12)
        desk.changes.clear()
        await quiet_for(2 * STALL, lambda: desk.state is FeedState.LIVE)

        assert not desk.changes
        assert desk.authorised() == 1
        assert desk.exchange.ledger.calls_to(QUOTES) == []  # not even asked about
        assert desk.desk.feed.stats().segments["NSE_FO"] == "NORMAL_CLOSE"
        assert desk.trust(NIFTY) is Trust.CLOSED
        assert desk.health["status"] == "ok"
        assert desk.gaps() == []


async def test_f03_a_quiet_market_is_left_alone_if_the_quotes_show_no_trade_either(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=0, rate=0.001) as desk:
        await desk.until(
            lambda: len(desk.exchange.ledger.calls_to(QUOTES)) >= 2, within=2 * DETECTED
        )

        assert desk.state is FeedState.LIVE
        assert not desk.changes
        assert desk.authorised() == 1
        assert desk.gaps() == []


async def test_f04_a_half_open_connection_is_cut_and_its_reader_gone(tmp_path: Path) -> None:
    async with scene(tmp_path) as desk:
        [reader] = feed_threads()
        await stalls(desk, "half_open")
        assert feed_threads() == [reader]  # it went on by itself, no second one
        await heals(desk)
        assert desk.exchange.ledger.connections[-1].number == desk.desk.feed.stats().connections
    assert feed_threads() == []


async def test_f05_a_frame_that_stops_in_its_middle_is_a_stall_and_hinders_no_stop(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as desk:
        await stalls(desk, "mid_frame", next=1)
        await heals(desk)
        desk.exchange.faults.clear()
        desk.exchange.faults.set("mid_frame")
        await desk.until(lambda: (desk.desk.feed.stats().tick_age or 0) > 0.3, within=1)
        began = time.monotonic()
        desk.desk.feed.stop()
        assert time.monotonic() - began < 2
        assert desk.state is FeedState.STOPPED


async def test_f06_a_frame_that_trickles_in_is_a_stall(tmp_path: Path) -> None:
    async with scene(tmp_path, watching=20) as desk:
        await stalls(desk, "trickle", every=0.03, next=1)
        await heals(desk)


def feed_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "feed-market"]
