"""Wire frame to cache and three subscribers, beside the official SDK's way of decoding it."""

import random
import time
from collections.abc import Callable

from google.protobuf.json_format import MessageToDict

from feeds.upstox.market_protocol import MarketDecoder
from feeds.upstox.proto import market_data_feed_pb2 as pb
from tests.benchmarks.figures import Figure, at_least, median_seconds
from trading.clock import SystemClock
from trading.market_data import MarketDataService
from trading.model import Batch, Tick
from trading.signal import Priority

INSTRUMENTS = 100
FRAMES = 40  # different ones, so that no cache of the decoder or the interpreter flatters
NOW = 1_764_129_602_000


def run(*, short: bool = False) -> list[Figure]:
    return [*_mode("full", goal=200_000), *_mode("ltpc", goal=600_000)]


def _mode(mode: str, *, goal: float) -> list[Figure]:
    rng = random.Random(7)
    frames = [_frame(rng, mode, step) for step in range(FRAMES)]
    ours = INSTRUMENTS / median_seconds(lambda: _pass(frames), calls=3) * FRAMES
    sdk = INSTRUMENTS / median_seconds(lambda: [_sdk(f) for f in frames], calls=1) * FRAMES
    parse = (
        INSTRUMENTS
        / median_seconds(lambda: [pb.FeedResponse.FromString(f) for f in frames], calls=3)
        * FRAMES
    )
    reference = f"MessageToDict {sdk:,.0f}, bare parse {parse:,.0f} ticks/s"
    return [
        at_least(
            f"{mode}: frame to cache and 3 subscribers", ours, "ticks/s", goal, reference=reference
        ),
        at_least(f"{mode}: times the SDK's decode", ours / sdk, "x", 10 if mode == "full" else 1),
    ]


class _Path:
    """Decoder, cache and three subscribers that each look at every tick; new for each pass.

    The frames' times begin again with each pass, and a cache that had seen them would call
    every tick late and tell nobody.
    """

    def __init__(self) -> None:
        self._decoder = MarketDecoder(is_mock=True)
        self._service = MarketDataService(SystemClock())
        self.heard = 0
        for priority in (Priority.CRITICAL, Priority.HIGH, Priority.NORMAL):
            self._service.ticks.subscribe(self._subscriber(), priority=priority)

    def _subscriber(self) -> Callable[[list[Tick]], None]:
        last: dict[str, float] = {}

        def hear(ticks: list[Tick]) -> None:
            for tick in ticks:
                last[tick.instrument_key] = tick.ltp
            self.heard += len(ticks)

        return hear

    def feed(self, frames: list[bytes]) -> None:
        for frame in frames:
            decoded = self._decoder.decode(frame, received=time.monotonic(), generation=1)
            self._service.publish(Batch(decoded.ticks, 1))


def _pass(frames: list[bytes]) -> None:
    path = _Path()
    path.feed(frames)
    assert path.heard == 3 * INSTRUMENTS * len(frames), "every tick reaches every subscriber"


def _sdk(frame: bytes) -> dict[str, object]:
    return MessageToDict(pb.FeedResponse.FromString(frame))


def _frame(rng: random.Random, mode: str, step: int) -> bytes:
    at = NOW + step * 100
    message = pb.FeedResponse(type=pb.live_feed, currentTs=at)
    for index in range(INSTRUMENTS):
        feed = message.feeds[f"NSE_FO|{45_000 + index}"]
        ltp = round(rng.randrange(200, 10_000) * 0.05, 2)
        if mode == "ltpc":
            _ltpc(feed.ltpc, ltp, at, rng)
        else:
            feed.requestMode = pb.full_d5
            _full(feed.fullFeed.marketFF, ltp, at, rng)
    return message.SerializeToString()


def _ltpc(ltpc: pb.LTPC, ltp: float, at: int, rng: random.Random) -> None:
    ltpc.ltp, ltpc.ltt, ltpc.ltq, ltpc.cp = ltp, at - rng.randrange(90), 75, 140.0


def _full(full: pb.MarketFullFeed, ltp: float, at: int, rng: random.Random) -> None:
    _ltpc(full.ltpc, ltp, at, rng)
    for level in range(1, 6):
        full.marketLevel.bidAskQuote.add(
            bidQ=rng.randrange(75, 5_000),
            bidP=ltp - 0.05 * level,
            askQ=rng.randrange(75, 5_000),
            askP=ltp + 0.05 * level,
        )
    greeks = full.optionGreeks
    greeks.delta, greeks.theta, greeks.gamma = rng.random(), -9.12, 0.0008
    greeks.vega, greeks.rho = 14.02, 2.7
    day = {"open": 128.0, "high": ltp + 9, "low": ltp - 9, "close": ltp}
    full.marketOHLC.ohlc.add(interval="1d", vol=1_843_275, ts=1_764_095_400_000, **day)
    full.marketOHLC.ohlc.add(interval="I1", vol=9_825, ts=at - at % 60_000, **day)
    full.atp, full.vtt, full.oi = 137.44, 1_843_275 + at % 10**6, 3_127_500.0
    full.iv, full.tbq, full.tsq = 0.1174, 412_575.0, 389_100.0
