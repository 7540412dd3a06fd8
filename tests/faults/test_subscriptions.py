"""Rows F12-F14: who wants what, while the connection comes, goes, and does not listen."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from dashboard import format as fmt
from tests.faults.scene import BANK, NIFTY, PATIENT, RECOVERED, scene
from tests.lateness import lateness
from tests.rig import FAST
from trading.model import Mode
from trading.trust import Trust


async def test_f12_fifty_wishes_during_a_backoff_are_two_frames_and_fifty_prices(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=0, feed=PATIENT) as desk:
        desk.exchange.faults.set("authorize", status=503, next=2)
        desk.exchange.faults.set("drop")
        keys = desk.tradable(50)
        for key in keys:
            desk.desk.subscriptions.hold(f"page of {key}", [key], Mode.FULL)
            await asyncio.sleep(0.005)
        assert all(desk.age(key) is None for key in keys)
        assert {desk.trust(key) for key in keys} == {Trust.UNKNOWN}
        took = await desk.until(
            lambda: all(desk.age(key) is not None for key in keys), within=2 * RECOVERED
        )

        print(f"all prices {took:.1f} s after the last wish")
        assert took < 5
        record = desk.exchange.ledger.connections[-1]
        assert 1 <= len(record.requests) <= 2
        assert desk.desk.feed.stats().subscribed[Mode.FULL] == 52
        await desk.caught_up()
        assert {trade.instrument_key for trade in desk.stored_trades()} == {NIFTY, BANK, *keys}


async def test_f13_instruments_that_the_server_ignores_are_asked_for_once_more_then_shown_so(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=0, feed=PATIENT) as desk:
        keys = desk.tradable(50)
        ignored, good = keys[:3], keys[3:]
        desk.exchange.faults.set("ignore_keys", keys=frozenset(ignored))
        desk.desk.subscriptions.hold("page", keys, Mode.FULL)
        patience = FAST.snapshot_seconds
        async with lateness() as late:
            took = await desk.until(
                lambda: set(desk.desk.feed.stats().missing) == set(ignored),
                within=2 * patience + 1.5,
            )
        await asyncio.sleep(2 * patience)  # and not asked for a third time

        assert patience < took < 2 * patience + 0.5 + 2 * late.worst
        record = desk.exchange.ledger.connections[-1]
        assert record.ignored_keys == 2 * len(ignored)
        assert [desk.shown(key) for key in ignored] == [fmt.DASH] * 3
        assert {desk.trust(key) for key in ignored} == {Trust.UNKNOWN}
        assert all(desk.shown(key) != fmt.DASH for key in good)
        assert desk.health["troubles"] == ["no data for 3 instruments"]
        assert {t.instrument_key for t in desk.stored_trades()} == {NIFTY, BANK, *good}
        desk.exchange.faults.clear()
        desk.desk.feed.reconnect("the trader tries again")
        await desk.until(
            lambda: all(desk.age(key) is not None for key in ignored), within=2 * RECOVERED
        )
        assert desk.health["troubles"] == []


async def test_f14_when_the_page_leaves_the_risk_rule_goes_on_hearing_every_price(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=0, rate=4000.0) as desk:
        [key] = desk.tradable(1)
        desk.desk.subscriptions.hold("risk", [key], Mode.LTPC)
        leave = desk.desk.subscriptions.hold("page", [key], Mode.FULL)
        await desk.until(lambda: desk.last_is_full(key), within=2)
        heard: list[float] = []
        desk.desk.market_data.ticks.subscribe(
            lambda ticks: heard.extend(t.price_received for t in ticks if t.instrument_key == key)
        )
        await asyncio.sleep(0.5)
        leave()
        left = time.monotonic()
        async with lateness() as late:
            await asyncio.sleep(1.0)

        record = desk.exchange.ledger.connections[-1]
        assert record.requests[-1] == "change_mode"
        assert record.requests.count("change_mode") <= 2  # up for the page, down without it
        assert "unsub" not in record.requests
        assert heard[-1] > left + 0.8 - 2 * late.worst
        assert max(b - a for a, b in pairwise(heard)) < 0.5 + 2 * late.worst
        assert desk.desk.feed.stats().subscribed[Mode.LTPC] == 1
        await desk.caught_up()
        assert desk.sent_trades() == desk.stored_trades()
