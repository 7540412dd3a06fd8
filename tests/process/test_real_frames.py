"""Seven frames that the real feed sent, over the socket into the cache of the whole desk."""

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.json_format import ParseDict

from feeds.upstox.proto import market_data_feed_pb2 as pb
from settings import Feed
from tests import rig
from trading.model import Level, Mode, Tick

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
FILE: Final = DATA / "upstox_v3_frames_icicibank_2025-03-19.jsonl"
KEY: Final = "NSE_EQ|INE090A01021"
JUST_BEFORE: Final = "2025-03-19T14:16"  # IST; the first frame was sent at 14:16:37
NO_DEPTH: Final = 2  # of the seven, from 0: the live frame without its book and Greeks

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"no recorded frames in {DATA}")


def recorded() -> list[dict[str, Any]]:
    with FILE.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass
class Expected:
    """What a frame says of the instrument, read from the JSON by nobody's decoder."""

    frame: dict[str, Any]

    @property
    def full(self) -> dict[str, Any]:
        content: dict[str, Any] = self.frame["feeds"][KEY]["fullFeed"]["marketFF"]
        return content

    @property
    def day(self) -> dict[str, Any]:
        day: dict[str, Any] = next(
            o for o in self.full["marketOHLC"]["ohlc"] if o["interval"] == "1d"
        )
        return day

    @property
    def depth(self) -> tuple[Level, ...]:
        return tuple(
            Level(q["bidP"], int(q["bidQ"]), q["askP"], int(q["askQ"]))
            for q in self.full["marketLevel"]["bidAskQuote"]
        )

    def matches(self, tick: Tick) -> None:
        trade, full = self.full["ltpc"], self.full
        assert tick.ltp == trade["ltp"]
        assert tick.ltt == int(trade["ltt"])
        assert tick.ltq == int(trade["ltq"])
        assert tick.close == trade["cp"]
        assert tick.volume == int(full["vtt"])
        assert tick.atp == full["atp"]
        assert (tick.total_buy, tick.total_sell) == (full["tbq"], full["tsq"])
        day = self.day
        assert (tick.day_open, tick.day_high, tick.day_low) == (
            day["open"],
            day["high"],
            day["low"],
        )
        assert tick.exchange_ts == int(self.frame["currentTs"])


async def test_the_real_frames_leave_the_depth_that_was_last_sent(tmp_path: Path) -> None:
    frames = recorded()
    assert len(frames) == 7
    assert "marketLevel" not in Expected(frames[NO_DEPTH]).full

    # the exchange's clock stands just before the recording, and its own market does not move
    async with rig.running(tmp_path, feed=Feed(), start=JUST_BEFORE, rate=0.001) as running:
        desk = running.desk
        desk.subscriptions.hold("test", [KEY], Mode.FULL, deep=True)
        await running.until(lambda: desk.market_data.last(KEY) is not None, within=5)
        held: list[Tick] = []
        for frame in frames:
            message = ParseDict(frame, pb.FeedResponse())
            running.exchange.send_raw(message.SerializeToString())
            await running.until(partial(arrived, running, frame), within=5, what="the frame")
            tick = desk.market_data.last(KEY)
            assert tick is not None
            held.append(tick)
        stats = desk.feed.stats()
        stored = running.rows(
            "SELECT t.exchange_ts FROM quote_ticks t JOIN instruments i "
            "ON i.id = t.instrument_id WHERE i.instrument_key = ? ORDER BY t.id",
            KEY,
        )

    for number, (frame, tick) in enumerate(zip(frames[1:], held[1:], strict=True), start=1):
        expected = Expected(frame)
        expected.matches(tick)
        if number == NO_DEPTH:
            before = held[number - 1]
            assert tick.depth == before.depth == Expected(frames[number - 1]).depth
            assert tick.book_received == before.book_received
            assert tick.price_received > before.price_received
        else:
            assert tick.depth == expected.depth
            best = expected.depth[0]
            assert (tick.bid, tick.bid_qty, tick.ask, tick.ask_qty) == best
    assert all(math.isnan(value) for value in untold(held[-1]))
    assert stats.decode_errors == stats.bad_prices == 0
    assert stats.segments["NSE_EQ"] == "NORMAL_OPEN"
    assert stored[-6:] == [(int(f["currentTs"]),) for f in frames[1:]]


def untold(tick: Tick) -> tuple[float, ...]:
    """Return what the frames of a share never say, an empty `optionGreeks` included."""
    return tick.oi, tick.iv, tick.delta, tick.theta, tick.gamma, tick.vega, tick.greeks_received


def arrived(running: rig.Rig, frame: dict[str, Any]) -> bool:
    if "feeds" not in frame:
        return "NSE_EQ" in running.desk.feed.stats().segments
    tick = running.desk.market_data.last(KEY)
    return tick is not None and tick.exchange_ts == int(frame["currentTs"])
