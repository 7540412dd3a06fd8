"""Rows F20-F24: frames that no exchange should send."""

import base64
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from alerts.vitals import memory_bytes
from dashboard import format as fmt
from feeds.upstox.proto import market_data_feed_pb2 as pb
from tests.faults.scene import PATIENT, RECOVERED, Scene, scene
from tests.lateness import lateness
from trading.ports import FeedState

SEED = 20_240_627


@pytest.mark.parametrize(
    ("fault", "reason", "exchange_takes"),
    [
        ("giant", "8,589,934,592 bytes", 0),
        # the exchange in this process: the message, its frames, what it has not sent yet
        ("fragments", "in fragments does not end", 3 * 9 << 20),
    ],
    ids=["giant", "fragments"],
)
async def test_f20_a_message_without_end_is_cut_off_before_it_costs_memory(
    tmp_path: Path, fault: str, reason: str, exchange_takes: int
) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        before = memory_bytes()
        desk.exchange.faults.set(fault)
        await desk.told(FeedState.BACKING_OFF, within=2)
        grown = memory_bytes() - before
        await desk.healed()

        assert reason in desk.reasons
        assert grown - exchange_takes < 32 << 20
        await desk.caught_up()


async def test_f20_a_flood_of_empty_frames_is_shed_with_its_connection(tmp_path: Path) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        before = memory_bytes()
        async with lateness() as late:
            desk.exchange.faults.set("empties", count=100_000)
            await desk.told(FeedState.BACKING_OFF, within=5)
            await desk.healed()

        assert "could not be read" in desk.reasons
        assert desk.desk.feed.stats().decode_errors < 100
        assert memory_bytes() - before < 32 << 20
        assert late.worst < 0.5  # the exchange shares this process
        await desk.caught_up()


async def test_f21_frames_that_cannot_be_read_are_counted_and_nothing_good_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        for fault in ("garbage", "truncated") * 2:
            desk.exchange.faults.set(fault, next=2)
        await desk.until(lambda: desk.desk.feed.stats().decode_errors == 8, within=2)
        await desk.caught_up()

        assert desk.state is FeedState.LIVE
        assert not desk.changes
        assert desk.sent_trades() == desk.stored_trades()
        assert desk.row_count() == desk.published()
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_f21_flipped_bits_never_end_the_reader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    async with scene(tmp_path, feed=PATIENT) as desk:
        for mutant in mutants(desk, chance, count=400):
            desk.exchange.send_raw(mutant)
        desk.exchange.faults.set("drop")  # whatever came of it, a new connection is good
        await desk.until(lambda: desk.desk.feed.stats().reconnects >= 1, within=RECOVERED)
        await desk.until(lambda: desk.state is FeedState.LIVE, within=8)

        assert desk.desk.feed.stats().decode_errors > 0
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
        [(low, high)] = desk.rows("SELECT min(ltp), max(ltp) FROM quote_ticks")
        assert 0 < low < high <= 1e8


def mutants(desk: Scene, chance: random.Random, *, count: int) -> list[bytes]:
    """Return messages about a watched instrument with one bit in fifty turned round."""
    message = pb.FeedResponse(type=pb.Type.live_feed, currentTs=desk.exchange.clock.now_ms())
    trade = message.feeds[desk.watched[0]].fullFeed.marketFF
    trade.ltpc.ltp, trade.ltpc.ltt, trade.ltpc.ltq = 100.0, message.currentTs, 75
    trade.marketLevel.bidAskQuote.add(bidP=99.0, bidQ=75, askP=101.0, askQ=75)
    trade.optionGreeks.delta = 0.5
    whole = message.SerializeToString()
    found = []
    for _ in range(count):
        mutant = bytearray(whole)
        for _ in range(max(1, len(whole) * 8 // 50)):
            mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
        found.append(bytes(mutant))
    return found


@pytest.mark.parametrize("fault", ["text", "bad_utf8"])
async def test_f22_a_text_frame_is_counted_and_otherwise_ignored(
    tmp_path: Path, fault: str
) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        desk.exchange.faults.set(fault, next=3)
        await desk.until(lambda: desk.desk.feed.stats().text_frames == 3, within=2)
        await desk.caught_up()

        assert not desk.changes
        assert desk.desk.feed.stats().decode_errors == 0
        assert desk.sent_trades() == desk.stored_trades()


async def test_f22_a_frame_of_an_unassigned_kind_ends_the_connection(tmp_path: Path) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        desk.exchange.faults.set("reserved_opcode")
        await desk.told(FeedState.BACKING_OFF, within=1)
        await desk.healed()

        assert "does not keep to the WebSocket protocol" in desk.reasons
        assert len(desk.exchange.ledger.connections) == 2
        assert len(desk.gaps()) == 1
        await desk.caught_up()


async def test_f23_eleven_unreadable_frames_are_no_bad_luck_any_more(tmp_path: Path) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        desk.exchange.faults.set("garbage", next=10)
        await desk.until(lambda: desk.desk.feed.stats().decode_errors == 10, within=1)
        assert not desk.changes
        desk.exchange.faults.set("garbage", next=1)
        noticed = await desk.told(FeedState.BACKING_OFF, within=1)
        await desk.healed()

        print(f"noticed after {noticed:.2f} s")
        assert "could not be read" in desk.reasons
        assert len(desk.gaps()) == 1
        await desk.caught_up()


@pytest.mark.parametrize(
    ("fault", "parameters", "told"),
    [
        ("unknown_field", {}, True),
        ("unknown_enum", {"where": "request_mode"}, True),
        ("unknown_enum", {"where": "type"}, True),
        ("unknown_oneof", {}, False),
    ],
    ids=["field", "request-mode", "type", "oneof"],
)
async def test_f24_what_a_later_schema_says_is_ignored_and_the_rest_is_kept(
    tmp_path: Path, fault: str, parameters: dict[str, Any], told: bool
) -> None:
    async with scene(tmp_path, feed=PATIENT, rate=2000.0) as desk:
        strange = desk.watched[0]
        keys = {} if parameters.get("where") == "type" else {"keys": frozenset({strange})}
        desk.exchange.faults.set(fault, **parameters, **keys)
        first = len(desk.sent())
        await desk.until(
            lambda: sum(row.instrument_key == strange for row in desk.sent()[first:]) >= 5,
            within=5,
            what="five strange updates",
        )
        newest = max(row.current_ts for row in desk.sent() if row.instrument_key == strange)
        await desk.caught_up()
        if told:
            await desk.until(lambda: desk.last(strange).exchange_ts >= newest, within=1)

        assert not desk.changes
        assert desk.desk.feed.stats().decode_errors == 0
        assert (desk.desk.feed.stats().unknown_fields == 0) == told
        assert (desk.last(strange).exchange_ts >= newest) == told
        assert desk.shown(strange) != fmt.DASH
        assert desk.sent_trades() == desk.stored_trades()


def recorded(message: pb.FeedResponse) -> str:
    return base64.b64encode(message.SerializeToString()).decode()


async def test_f24_an_empty_map_and_an_instrument_nobody_asked_for_are_no_prices(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=PATIENT) as desk:
        now = desk.exchange.clock.now_ms()
        empty = pb.FeedResponse(type=pb.Type.live_feed, currentTs=now)
        foreign = pb.FeedResponse(type=pb.Type.live_feed, currentTs=now)
        foreign.feeds["NSE_EQ|NOBODY"].ltpc.ltp = 42.0
        foreign.feeds["NSE_EQ|NOBODY"].ltpc.ltt = now
        desk.exchange.faults.set("raw", data=recorded(empty))
        desk.exchange.faults.set("raw", data=recorded(foreign))
        await desk.until(lambda: desk.desk.feed.stats().unasked == 1, within=2)
        await desk.caught_up()

        assert desk.desk.market_data.last("NSE_EQ|NOBODY") is None
        assert not desk.changes
        assert desk.sent_trades() == desk.stored_trades()
