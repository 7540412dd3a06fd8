"""Rows F25-F28: prices that are missing, impossible, repeated or out of order."""

import asyncio
import math
from collections import Counter
from pathlib import Path

import pytest

from dashboard import format as fmt
from dashboard.light import Level
from tests.faults.rivals import Rival
from tests.faults.scene import BANK, NIFTY, PATIENT, Scene, is_good, scene, trade_of
from tests.lateness import lateness
from trading.trust import LIVE_WITHIN, STALE_AFTER, Trust


async def test_f25_an_instrument_that_only_moves_its_book_keeps_an_ageing_price(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=PATIENT, rate=1000.0) as desk:
        silent = desk.watched[0]
        price = desk.last(silent).ltp
        desk.exchange.faults.set("omit_ltpc", keys=frozenset({silent}))
        await desk.until(lambda: (desk.age(silent) or 0) > LIVE_WITHIN, within=LIVE_WITHIN + 1)

        tick, now = desk.last(silent), desk.desk.clock.monotonic()
        assert now - tick.book_received < 1.0 < now - tick.price_received
        assert desk.trust(silent) is Trust.QUIET
        assert price > 0
        assert desk.shown(silent) == fmt.price(tick.ltp)
        assert desk.shown(silent, "bid") == fmt.price(desk.last(silent).bid)
        await desk.until(lambda: desk.trust(NIFTY) is Trust.LIVE, within=5)  # it may be quiet


async def test_f25_books_without_any_price_make_every_price_stale_in_time(tmp_path: Path) -> None:
    async with scene(tmp_path, feed=PATIENT, rate=1000.0) as desk:
        desk.exchange.faults.set("omit_ltpc")
        began = desk.desk.clock.monotonic()
        await desk.until(lambda: desk.light is Level.STALE, within=STALE_AFTER + 0.5)

        key = desk.watched[0]
        assert desk.desk.clock.monotonic() - began > STALE_AFTER - 1.5
        assert desk.trust(key) is Trust.STALE
        assert desk.desk.clock.monotonic() - desk.last(key).book_received < 1.0
        assert "market feed silent" in desk.health["troubles"][0]
        desk.exchange.faults.clear()
        await desk.until(lambda: desk.light is Level.LIVE, within=1)


IMPOSSIBLE = (0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324)


async def test_f26_a_price_that_cannot_be_is_refused_and_the_last_good_one_ages(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=PATIENT, rate=4000.0) as desk:
        bad, good = desk.watched[0], desk.watched[1]
        for value in IMPOSSIBLE:
            refused = desk.desk.feed.stats().bad_prices
            desk.exchange.faults.set("price", value=value, keys=frozenset({bad}))
            heard = desk.last(bad).price_received
            async with lateness() as late:
                await desk.until(
                    lambda: desk.desk.feed.stats().bad_prices >= refused + 3,  # noqa: B023
                    within=3,
                    what=f"the refusal of {value}",
                )
            tick = desk.last(bad)

            assert desk.shown(bad) == fmt.price(tick.ltp) != fmt.DASH
            assert tick.price_received - heard < 0.2 + 2 * late.worst  # one that was under way
            assert desk.health["status"] == "ok"
            desk.exchange.faults.clear()
            await desk.until(lambda: desk.last(bad).price_received > heard + 0.2, within=2)  # noqa: B023
        desk.vigil.candles.flush()
        for table, column in (("quote_ticks", "ltp"), ("candles", "low"), ("candles", "high")):
            [(low, high)] = desk.rows(
                f"SELECT min({column}), max({column}) FROM {table} JOIN instruments"
                " ON instruments.id = instrument_id WHERE instrument_key = ?",
                bad,
            )
            assert 0.9 * tick.ltp < low <= high < 1.1 * tick.ltp
        await desk.caught_up()
        assert trades_of(desk, good, sent=True) == trades_of(desk, good, sent=False)


def trades_of(desk: Scene, key: str, *, sent: bool) -> set[object]:
    trades = desk.sent_trades() if sent else desk.stored_trades()
    return {trade for trade in trades if trade.instrument_key == key}


@pytest.mark.parametrize(
    "faults",
    [{"twice": {}}, {"shuffle": {"window": 5}}, {"twice": {}, "shuffle": {"window": 5}}],
    ids=["twice", "shuffled", "both"],
)
async def test_f27_repeated_and_shuffled_frames_are_stored_once_and_whole(
    tmp_path: Path, faults: dict[str, dict[str, int]]
) -> None:
    async with scene(tmp_path, feed=PATIENT, rate=2000.0) as desk:
        desk.exchange.faults.set("stall")
        before = len(desk.sent())
        for name, parameters in faults.items():
            desk.exchange.faults.set(name, **parameters)
        desk.exchange.faults.clear("stall")
        frames = desk.exchange.ledger.connections[0].frames
        await desk.until(lambda: desk.exchange.ledger.connections[0].frames > frames + 60, within=8)
        desk.exchange.faults.set("stall")
        for name in faults:
            desk.exchange.faults.clear(name)  # releases what was held back to be shuffled
        await desk.caught_up()

        copies = 2 if "twice" in faults else 1
        distinct = before + (len(desk.sent()) - before) // copies
        market_data = desk.desk.market_data
        await desk.until(
            lambda: desk.published() + market_data.repeated == distinct,
            within=1,
            what=f"{distinct} ticks",
        )
        assert desk.sent_trades() == desk.stored_trades()
        assert desk.row_count() == desk.published()
        assert (desk.desk.feed.stats().duplicate_frames > 20) == ("twice" in faults)
        assert (market_data.late_count > 0) == ("shuffle" in faults)
        newest: dict[str, int] = {}
        for row in desk.sent():
            newest[row.instrument_key] = max(row.current_ts, newest.get(row.instrument_key, 0))
        assert all(desk.last(key).exchange_ts == newest[key] for key in desk.watched)
        desk.vigil.candles.flush()
        assert candles_stored(desk) == candles_sent(desk)


def candles_sent(desk: Scene) -> dict[tuple[str, int], tuple[float, float]]:
    """Return the high and low of each minute as the exchange traded it."""
    prices: dict[tuple[str, int], list[float]] = {}
    for trade in desk.sent_trades():
        prices.setdefault((trade.instrument_key, trade.ltt // 60_000 * 60_000), []).append(
            trade.ltp
        )
    return {minute: (max(traded), min(traded)) for minute, traded in prices.items()}


def candles_stored(desk: Scene) -> dict[tuple[str, int], tuple[float, float]]:
    rows = desk.rows(
        "SELECT instrument_key, start, high, low FROM candles"
        " JOIN instruments ON instruments.id = instrument_id"
    )
    return {(key, start): (high, low) for key, start, high, low in rows}


async def test_f28_the_snapshot_after_a_reconnect_adds_no_row_and_is_no_news(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=20, feed=PATIENT, rate=0.001) as desk:
        wanted = (*desk.watched, NIFTY, BANK)
        news: list[object] = []
        # while another client listens too, the exchange's quotes stand still between the two
        with Rival(desk.exchange, wanted):
            await desk.caught_up()
            desk.exchange.faults.clear()
            rows = desk.row_count()
            desk.desk.market_data.ticks.subscribe(news.append)
            for number in range(1, 4):
                desk.desk.feed.reconnect("a page asks")
                await desk.until(
                    lambda: desk.desk.market_data.repeated >= len(wanted) * number,  # noqa: B023
                    within=3,
                    what=f"the snapshot of connection {number}",
                )

        assert not news
        assert desk.row_count() == rows == desk.published()
        assert desk.sent_trades() == desk.stored_trades()
        snapshots = Counter(row.instrument_key for row in desk.sent() if row.initial)
        assert {snapshots[key] for key in desk.watched} == {5}  # four of ours, one of the other's


async def test_f28_a_snapshot_that_is_older_than_what_is_known_moves_nobody(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        key = desk.watched[0]
        heard: list[float] = []
        desk.desk.market_data.ticks.subscribe(
            lambda ticks: heard.extend(t.ltt for t in ticks if t.instrument_key == key)
        )
        desk.exchange.faults.set("skew", seconds=-20.0)  # a server that lags
        desk.desk.feed.reconnect("a page asks")
        await desk.until(lambda: desk.desk.market_data.late_count > 0, within=3)
        desk.exchange.faults.clear()
        await asyncio.sleep(0.5)

        assert heard == sorted(heard)
        await desk.caught_up()
        stored, last = desk.stored_trades(), max(row.connection for row in desk.sent())
        # what went into the socket that we had closed is a gap, not a lost row
        heard_of = {trade_of(row) for row in desk.sent() if row.connection == last and is_good(row)}
        assert heard_of <= stored <= desk.sent_trades()
