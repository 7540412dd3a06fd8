"""Upstox's market data feed: wishes go in, batches of ticks and news of the feed come out."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from feeds.connection import Heard, Timing
from feeds.inbox import CAPACITY, Inbox
from feeds.meter import LatencyMeter, RateMeter, Sample
from feeds.stream import Stream
from feeds.upstox.demand import Allowed, Demand, allowed
from feeds.upstox.market_protocol import Decoded, MarketDecoder
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.token import TokenStore, mark
from trading.clock import Clock
from trading.errors import BadAnswer
from trading.histogram import Histogram
from trading.model import Batch, Mode, Part, Tick, segment_of
from trading.ports import FeedStats

log = logging.getLogger(__name__)

PROBED: Final = 20  # instruments asked over REST when the feed is silent
FRAMES_KEPT: Final = 16  # the last ones with prices, which tell what trades
ASKED_ANEW: Final = 64  # requests that may wait for the feed's thread
_PRICE: Final = int(Part.PRICE)
# What the exchange says of a segment that does not trade. A word we do not know is none of these.
_NOT_TRADING: Final = frozenset(
    {"PRE_OPEN_START", "PRE_OPEN_END", "NORMAL_CLOSE", "CLOSING_START", "CLOSING_END"}
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the loop wants, as one value that the feed's thread picks up."""

    allowed: Allowed
    deep: frozenset[str]  # keys whose whole book is decoded
    segments: frozenset[str]


NOTHING: Final = Wish(allowed({}), frozenset(), frozenset())


@dataclass(slots=True)
class _Seen:
    """Totals of what frames said; written by the feed's thread."""

    ticks: int = 0
    bad_prices: int = 0
    unknown_fields: int = 0
    decode_errors: int = 0
    duplicates: int = 0
    unasked: int = 0
    traded_at: int = 0  # exchange ms of the last frame with a price


class UpstoxMarketFeed:
    """Implements `ports.MarketFeed`. It belongs to the loop; only `_Listener` runs elsewhere.

    `deliver` is called on the loop with each batch, in order; `changes` is told there too.
    """

    def __init__(
        self,
        rest: UpstoxRest,
        token: TokenStore,
        clock: Clock,
        *,
        deliver: Callable[[Batch], None],
        is_mock: bool,
        timing: Timing | None = None,
        jitter: random.Random | None = None,
        name: str = "market",
        capacity: int = CAPACITY,
    ) -> None:
        timing = timing or Timing()
        listener = _Listener(clock, is_mock=is_mock, timing=timing)
        self._listener = listener
        self.arrival = listener.arrival  # ms from the exchange's stamp to our receipt
        self.decoding = listener.decoding  # ms from a frame's bytes to its ticks
        self._stream = Stream(
            name,
            listener,
            clock,
            authorise=rest.authorize_market_feed,
            token_mark=lambda: mark(token),
            probe=lambda: listener.missed_trades(rest),
            deliver=deliver,
            is_mock=is_mock,
            timing=timing,
            jitter=jitter or random.Random(),
            capacity=capacity,
        )
        self.name = name
        self.changes = self._stream.changes

    def start(self) -> None:
        """Begin to connect; must be called on the loop that is to hear the ticks."""
        self._stream.start()

    def stop(self) -> None:
        """End the connection and deliver what it had received: every tick heard is recorded."""
        self._stream.stop()

    def want(self, wanted: Mapping[str, Mode], deep: Collection[str] = ()) -> None:
        may = allowed(wanted)
        if may.refused and may.refused != self._listener.wish.allowed.refused:
            log.warning(
                "%s: %d instruments are over the broker's limit and get no prices, e.g. %s",
                self.name, len(may.refused), may.refused[0],
            )  # fmt: skip
        whole = frozenset(key for key, mode in may.modes.items() if mode is Mode.FULL_D30)
        segments = frozenset(segment_of(key) for key in may.modes)
        self._listener.wish = Wish(may, whole | frozenset(deep), segments)
        self._stream.wake()

    def expect_prices(self, expected: bool) -> None:
        self._stream.expect(expected)

    def ask_again(self, instrument_keys: Collection[str]) -> None:
        self._listener.anew.append(frozenset(instrument_keys))
        self._stream.wake()

    def reconnect(self, reason: str) -> None:
        self._stream.reconnect(reason)

    def stats(self) -> FeedStats:
        """Read the plain counters; while they move, they may be a frame apart from each other."""
        listener, seen, now = self._listener, self._listener.seen, time.monotonic()
        rates = listener.rates.rates(listener.sample(now))
        wish, quiet_at = listener.wish, listener.quiet_at
        return replace(
            self._stream.stats(),
            ticks=seen.ticks,
            frame_rate=rates.frames,
            tick_rate=rates.ticks,
            byte_rate=rates.bytes,
            latency=listener.latency.percentiles(),
            decode_errors=seen.decode_errors,
            unknown_fields=seen.unknown_fields,
            bad_prices=seen.bad_prices,
            unasked=seen.unasked,
            duplicate_frames=seen.duplicates,
            clock_skew=listener.latency.skew(),
            subscribed=listener.subscribed(),
            limits=wish.allowed.limits,
            missing=tuple(sorted({*listener.demand.missing, *wish.allowed.refused})),
            segments=listener.segments,
            quiet_age=None if quiet_at is None else now - quiet_at,
        )


class _Listener:
    """The part that lives on the connection's thread; implements `connection.Reader`.

    The loop writes `wish`, appends to `anew`, and reads the counters.
    """

    inbox: Inbox

    def __init__(self, clock: Clock, *, is_mock: bool, timing: Timing) -> None:
        self.wish = NOTHING
        self.anew: deque[frozenset[str]] = deque(maxlen=ASKED_ANEW)
        self.quiet_at: float | None = None  # monotonic, of the last quotes that told no more
        self.generation = 0
        self.seen = _Seen()
        self.segments: Mapping[str, str] = {}
        self.demand = Demand(patience=timing.snapshot)
        self.rates = RateMeter()
        self.latency = LatencyMeter()
        self.arrival, self.decoding = Histogram(), Histogram()
        self._clock = clock
        self._decoder = MarketDecoder(is_mock=is_mock)
        self._priced: deque[list[Tick]] = deque(maxlen=FRAMES_KEPT)
        self._frames = self._bytes = 0

    def opened(self, generation: int) -> None:
        self.generation = generation
        self.segments = {}
        self.quiet_at = None
        self.anew.clear()  # a new socket is asked for everything anyway
        self.demand.reset()

    def to_send(self, at: float) -> list[bytes]:
        wish = self.wish
        self._decoder.deep = wish.deep
        while self.anew:
            self.demand.ask_anew(self.anew.popleft())
        self.rates.note(self.sample(at))
        return self.demand.next_frames(wish.allowed.modes, at)

    def sample(self, at: float) -> Sample:
        return Sample(at, self._frames, self.seen.ticks, self._bytes)

    def may_be_silent(self) -> bool:
        """It may when the exchange says of every segment that is wanted that it does not trade."""
        return all(self.segments.get(s) in _NOT_TRADING for s in self.wish.segments)

    def received(self, frame: bytes, *, text: bool, at: float, generation: int) -> Heard:
        if text:  # prices come as protobuf; the connection counts these
            return Heard.OTHER
        self._frames += 1
        self._bytes += len(frame)
        begun = time.perf_counter()
        decoded = self._decoder.decode(frame, received=at, generation=generation)
        self.decoding.note((time.perf_counter() - begun) * 1000)
        self._count(decoded, at)
        ticks = self._asked_for(decoded.ticks)
        if ticks:
            self.seen.ticks += len(ticks)
            self.demand.answered(ticks)
            self.inbox.put(Batch(ticks, generation))
        if any(tick[28] & _PRICE for tick in ticks):
            self._priced.append(ticks)
            self.seen.traded_at = decoded.exchange_ts
            return Heard.PRICES
        return Heard.GARBAGE if decoded.undecodable else Heard.OTHER

    def _count(self, decoded: Decoded, at: float) -> None:
        seen = self.seen
        seen.bad_prices += decoded.bad_prices
        seen.unknown_fields += decoded.unknown_fields
        seen.decode_errors += decoded.undecodable
        seen.duplicates += decoded.duplicate
        if decoded.segments is not None:
            self.segments = {**self.segments, **decoded.segments}
        if decoded.exchange_ts > 0:
            now = self._clock.now().timestamp() * 1000
            since = (time.monotonic() - at) * 1000  # decoding is a hop of its own
            took = (now - decoded.exchange_ts) / self._clock.rate - since
            self.latency.note(took)
            self.arrival.note(took)

    def _asked_for(self, ticks: list[Tick]) -> list[Tick]:
        asked = self.demand.asked
        kept = [tick for tick in ticks if tick[0] in asked]
        if len(kept) < len(ticks):
            left = self.demand.left
            self.seen.unasked += sum(t[0] not in asked and t[0] not in left for t in ticks)
        return kept

    def missed_trades(self, rest: UpstoxRest) -> bool:
        """Ask the broker whether there was a trade after the last price that we were sent.

        Raises BadAnswer if the quotes tell of no trade at all: that proves no quiet market.
        """
        keys = self._telling()
        quotes = [quote for quote in rest.quotes_now(keys) if quote.instrument_key in keys]
        trades = [quote.last_trade_time for quote in quotes if quote.last_trade_time > 0]
        if not trades:
            raise BadAnswer("quotes: the broker's answer tells of no trade")
        missed = max(trades) > self.seen.traded_at
        self.quiet_at = None if missed else time.monotonic()
        return missed

    def _telling(self) -> list[str]:
        """Return whom to ask about: half of them what traded last, then what was wanted first."""
        wish = self.wish.allowed.modes
        traded: dict[str, int] = {}
        for ticks in self._priced:
            traded |= {t[0]: t[2] for t in ticks if t[28] & _PRICE and t[0] in wish}
        latest = sorted(traded, key=traded.__getitem__, reverse=True)
        return list(dict.fromkeys([*latest[: PROBED // 2], *wish]))[:PROBED]

    def subscribed(self) -> Mapping[Mode, int]:
        counts = dict.fromkeys(Mode, 0)
        for mode in tuple(self.demand.asked.values()):
            counts[mode] += 1
        return counts
