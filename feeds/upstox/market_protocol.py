"""The market data feed's language without a socket: bytes to ticks, wishes to bytes."""

import json
import math
import uuid
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from struct import Struct
from struct import error as StructError  # noqa: N812 (it is a class)
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from feeds.upstox.proto import market_data_feed_pb2 as official
from feeds.upstox.proto import market_data_lean_pb2 as lean
from trading.model import UNKNOWN, UNKNOWN_COUNT, Level, Mode, Part, Tick

LOWEST, HIGHEST = 1e-4, 1e8  # rupees; a last price outside is an error, whatever it is a price of
INFINITE: Final = math.inf  # `0 < x < INFINITE` refuses NaN too
AHEAD: Final = 5 * 60_000  # ms; a trade later than the frame that tells of it by this is an error
REMEMBERED: Final = 16  # frames; a repeated one follows closely
KEYS_PER_FRAME: Final = 500

_FAR: Final = 1 << 62  # ms; later than any trade, for a frame that does not say when it was sent
_NO_BOOK: Final = (UNKNOWN, UNKNOWN_COUNT, UNKNOWN, UNKNOWN_COUNT)
_NO_GREEKS: Final = (UNKNOWN,) * 5
_NO_TOTALS: Final = (UNKNOWN,) * 2
_NO_DAY: Final = (UNKNOWN,) * 3

# Plain integers, because each `|` of an IntFlag costs a microsecond.
_PRICE, _CLOSE, _BOOK = int(Part.PRICE), int(Part.CLOSE), int(Part.BOOK)
_VOLUME, _OI, _IV = int(Part.VOLUME), int(Part.OI), int(Part.IV)
_GREEKS, _TOTALS, _DAY = int(Part.GREEKS), int(Part.TOTALS), int(Part.DAY)
_ALL: Final = _PRICE + _CLOSE + _BOOK + _VOLUME + _OI + _IV + _GREEKS + _TOTALS + _DAY

_parse = lean.FeedResponse.FromString
_new = tuple.__new__  # `Tick(...)` goes through Python code and takes 0.16 us longer

# Fields are written in the order of their numbers. So 45 bytes whose last double has tag 5 are all
# five Greeks; and a first bar "1d" whose tag of `low` is where three doubles put it has all three.
_five_doubles = Struct("<xdxdxdxdxd").unpack
_RHO_TAG: Final = 0x29
_three_doubles = Struct("<dxdxd").unpack_from
# A quote by the bytes of its bid quantity and by its length: the prices between the quantities.
_QUOTES: Final = [
    {20 + bid + ask: Struct(f"<{4 + bid}xd{2 + ask}xd").unpack_from for ask in (1, 2, 3)}
    if bid
    else {}
    for bid in (0, 1, 2, 3)
]
_BID_QTY_TAG, _ASK_TAG = 0x08, 0x21
_DAY_BAR: Final = b"\n\x021d\x11"  # interval, then the tag of `open`
_LOW_TAG: Final = 0x21


class Decoded(NamedTuple):
    """What one frame said; the counts are of this frame alone."""

    ticks: list[Tick]
    exchange_ts: int = UNKNOWN_COUNT  # epoch ms
    segments: Mapping[str, str] | None = None  # market_info: "NSE_EQ" -> "NORMAL_OPEN"
    bad_prices: int = 0
    unknown_fields: int = 0  # kinds of feed that the schema does not have
    undecodable: int = 0  # this frame, or parts of it
    duplicate: bool = False


_UNDECODABLE: Final = Decoded([], undecodable=1)
_DUPLICATE: Final = Decoded([], duplicate=True)


class MarketDecoder:
    """Turns frames into ticks. It remembers no values, only which frames it saw last.

    A tick carries what its frame brought, named in `parts`; all else is unknown. proto3 does not
    send zeros, so a zero is read as "not told", except where the rest of the part was told.
    """

    def __init__(self, *, is_mock: bool) -> None:
        self.deep: Collection[str] = ()  # keys whose whole book is decoded, not only its best
        self._is_mock = is_mock
        self._recent: deque[bytes] = deque(maxlen=REMEMBERED)
        self._generation = -1
        self._bad_prices = 0
        self._unknown = 0
        self._broken = False

    def decode(self, frame: bytes, *, received: float, generation: int) -> Decoded:
        """Return what the frame says; `received` in monotonic seconds. Never raises."""
        if generation != self._generation:
            self._recent.clear()  # a new connection may repeat the snapshot of the last one
            self._generation = generation
        elif frame in self._recent:
            return _DUPLICATE
        if not frame:
            return _UNDECODABLE  # it parses, as a message that says nothing
        try:
            message = _parse(frame)
            segments = _segments(message.marketInfo) if message.marketInfo else None
        except DecodeError:
            return _UNDECODABLE  # and not remembered: the same garbage again is more of it
        self._recent.append(frame)
        self._bad_prices = self._unknown = 0
        self._broken = False
        ticks = self._ticks(message, received)
        sent = message.currentTs if message.currentTs > 0 else UNKNOWN_COUNT
        return Decoded(ticks, sent, segments, self._bad_prices, self._unknown, int(self._broken))

    def _ticks(self, message: lean.FeedResponse, received: float) -> list[Tick]:
        """Return a tick for each feed that says something.

        The two usual shapes are decoded in place, because a call costs 0.1 us: a sane `ltpc`, and
        a sane `full` of an option (every part is there) or of a share (no OI, no IV, no Greeks).
        Whatever is not sane, or not usual, goes through `_any`, which is the whole and readable
        account of what a tick is; a test holds the two against each other.
        """
        ticks: list[Tick] = []
        add, new, nan, mock, deep = ticks.append, _new, UNKNOWN, self._is_mock, self.deep
        sent = message.currentTs
        latest = sent + AHEAD
        if sent <= 0:
            sent, latest = UNKNOWN_COUNT, _FAR
        rest_of_ltpc = (
            *_NO_BOOK, UNKNOWN_COUNT, *(nan,) * 13, sent, received, received, nan, nan,
            _PRICE + _CLOSE, mock, None,
        )  # fmt: skip
        full = False  # the kind of the last feed; a good price where it has one proves the guess
        feeds = message.feeds
        for key in feeds:  # `items()` costs 0.05 us more
            feed = feeds[key]
            if full:
                market = feed.fullFeed.marketFF
                ltpc = market.ltpc
                ltp = ltpc.ltp
                ltt = ltpc.ltt
                if LOWEST <= ltp <= HIGHEST and 0 < ltt <= latest and key not in deep:
                    levels = market.marketLevel
                    if levels:
                        parts = _ALL
                        book_heard = received
                        try:
                            # quantities are varints of up to three bytes, seven bits each
                            size, bid_qty, second = levels[1], levels[3], levels[4]
                            taken = 1
                            if bid_qty > 127:
                                taken = 2
                                bid_qty += (second << 7) - 128
                                if second > 127:
                                    taken = 3 if levels[5] < 128 else 0
                                    bid_qty += (levels[5] << 14) - 16384
                            bid, ask = _QUOTES[taken][size](levels)
                            ask_qty = levels[13 + taken]
                            if ask_qty > 127:
                                second = levels[14 + taken]
                                ask_qty += (second << 7) - 128
                                if second > 127:
                                    ask_qty += (levels[15 + taken] << 14) - 16384
                        except (LookupError, StructError):
                            check = nan
                        else:
                            whole = levels[2] == _BID_QTY_TAG and levels[size - 7] == _ASK_TAG
                            check = bid + ask if whole and bid > 0.0 and ask > 0.0 else nan
                    else:
                        parts = _ALL - _BOOK
                        bid, bid_qty, ask, ask_qty = _NO_BOOK
                        book_heard = nan
                        check = 0.0
                    close = ltpc.cp
                    greeks = market.optionGreeks
                    bars = market.marketOHLC
                    atp = market.atp
                    volume = market.vtt
                    oi = market.oi
                    iv = market.iv
                    buy = market.tbq
                    sell = market.tsq
                    if (
                        close > 0.0
                        and volume > 0
                        and atp > 0.0
                        and buy > 0.0
                        and sell > 0.0
                        and len(bars) > 32
                        and bars[2:7] == _DAY_BAR
                        and bars[24] == _LOW_TAG
                    ):
                        opened, high, low = _three_doubles(bars, 7)
                        check += close + atp + buy + sell + opened + high + low
                        if greeks and len(greeks) == 45 and greeks[36] == _RHO_TAG:
                            delta, theta, gamma, vega, rho = _five_doubles(greeks)
                            check += oi + iv + delta + theta + gamma + vega + rho
                            greeks_heard = received
                            sane = oi > 0.0 and iv > 0.0 and vega > 0.0
                        else:
                            parts -= _OI + _IV + _GREEKS
                            sane = not (greeks or oi or iv)
                            oi = iv = delta = theta = gamma = vega = rho = greeks_heard = nan
                        # infinite or unknown in any number makes the sum so, and its difference
                        if sane and opened > 0.0 < high and low > 0.0 == check - check:
                            add(new(Tick, (
                                key, ltp, ltt, ltpc.ltq or -1, close, bid, bid_qty,
                                ask, ask_qty, volume, atp, oi, iv, delta, theta, gamma, vega, rho,
                                buy, sell, opened, high, low, sent, received, received,
                                book_heard, greeks_heard, parts, mock, None,
                            )))  # fmt: skip
                            continue
            else:
                ltpc = feed.ltpc
                ltp = ltpc.ltp
                ltt = ltpc.ltt
                close = ltpc.cp
                if LOWEST <= ltp <= HIGHEST and 0 < ltt <= latest and 0.0 < close < INFINITE:
                    row = (key, ltp, ltt, ltpc.ltq or -1, close) + rest_of_ltpc  # noqa: RUF005 (30 % faster)
                    add(new(Tick, row))
                    continue
            full = feed.requestMode == official.full_d5
            tick = self._any(key, feed, sent, latest, received)
            if tick:
                add(tick)
        return ticks

    def _any(
        self, key: str, feed: lean.Feed, sent: int, latest: int, received: float
    ) -> Tick | None:
        """Decode a feed of any kind; None if it is of a kind we do not know or says nothing."""
        kind = feed.WhichOneof("FeedUnion")
        if kind == "fullFeed":
            full = feed.fullFeed
            kind = full.WhichOneof("FullFeedUnion")
            if kind == "marketFF":
                return self._market(key, full.marketFF, sent, latest, received)
            if kind == "indexFF":
                return self._index(key, full.indexFF, sent, latest, received)
        elif kind == "firstLevelWithGreeks":
            return self._first_level(key, feed.firstLevelWithGreeks, sent, latest, received)
        elif kind == "ltpc":
            return self._ltpc(key, feed.ltpc, sent, latest, received)
        self._unknown += 1
        return None

    def _ltpc(
        self, key: str, ltpc: lean.LTPC, sent: int, latest: int, received: float
    ) -> Tick | None:
        parts, *trade = self._trade(ltpc, latest)
        rest = (UNKNOWN_COUNT, UNKNOWN, UNKNOWN, UNKNOWN, *_NO_GREEKS, *_NO_TOTALS, *_NO_DAY)
        return self._tick(parts, (key, *trade, *_NO_BOOK, *rest), sent, received)

    def _index(
        self, key: str, index: lean.IndexFullFeed, sent: int, latest: int, received: float
    ) -> Tick | None:
        parts, *trade = self._trade(index.ltpc, latest)
        day = self._day(index.marketOHLC)
        if day is not _NO_DAY:
            parts |= _DAY
        rest = (UNKNOWN_COUNT, UNKNOWN, UNKNOWN, UNKNOWN, *_NO_GREEKS, *_NO_TOTALS, *day)
        return self._tick(parts, (key, *trade, *_NO_BOOK, *rest), sent, received)

    def _first_level(
        self, key: str, first: lean.FirstLevelWithGreeks, sent: int, latest: int, received: float
    ) -> Tick | None:
        parts, *trade = self._trade(first.ltpc, latest)
        book = _NO_BOOK
        if first.HasField("firstDepth"):
            parts |= _BOOK
            book = _level(first.firstDepth)
        more, measures = self._measures(first)
        rest = (measures[0], UNKNOWN, *measures[1:], *_NO_TOTALS, *_NO_DAY)
        return self._tick(parts | more, (key, *trade, *book, *rest), sent, received)

    def _market(
        self, key: str, market: lean.MarketFullFeed, sent: int, latest: int, received: float
    ) -> Tick | None:
        parts, *trade = self._trade(market.ltpc, latest)
        book, depth = _NO_BOOK, None
        levels = self._levels(market.marketLevel)
        if levels:
            parts |= _BOOK
            book = _level(levels[0])
            if key in self.deep:
                depth = tuple([_new(Level, _level(quote)) for quote in levels])
        more, measures = self._measures(market)
        totals = _totals(market.tbq, market.tsq)
        if totals is not _NO_TOTALS:
            more |= _TOTALS
        day = self._day(market.marketOHLC)
        if day is not _NO_DAY:
            more |= _DAY
        atp = market.atp if more & _VOLUME and 0.0 < market.atp < INFINITE else UNKNOWN
        rest = (measures[0], atp, *measures[1:], *totals, *day)
        return self._tick(parts | more, (key, *trade, *book, *rest), sent, received, depth)

    def _tick(
        self,
        parts: int,
        values: tuple[object, ...],
        sent: int,
        received: float,
        depth: tuple[Level, ...] | None = None,
    ) -> Tick | None:
        """Add when and what of it came to the values up to `day_low`; None if nothing did."""
        if not parts:
            return None
        ages = [received if parts & part else UNKNOWN for part in (_PRICE, _BOOK, _GREEKS)]
        return _new(Tick, (*values, sent, received, *ages, parts, self._is_mock, depth))

    def _trade(self, ltpc: lean.LTPC, latest: int) -> tuple[int, float, int, int, float]:
        """Return parts, ltp, ltt, ltq and close; a price we cannot believe is no price."""
        parts, close = _CLOSE, ltpc.cp
        if not 0.0 < close < INFINITE:
            parts, close = 0, UNKNOWN
        if LOWEST <= ltpc.ltp <= HIGHEST and ltpc.ltt <= latest:
            ltt = ltpc.ltt if ltpc.ltt > 0 else UNKNOWN_COUNT
            return parts | _PRICE, ltpc.ltp, ltt, ltpc.ltq or UNKNOWN_COUNT, close
        if ltpc.ByteSize():  # an ltpc that is left out is no bad price, one without ltp is
            self._bad_prices += 1
        return parts, UNKNOWN, UNKNOWN_COUNT, UNKNOWN_COUNT, close

    def _measures(
        self, feed: lean.MarketFullFeed | lean.FirstLevelWithGreeks
    ) -> tuple[int, tuple[float, ...]]:
        """Return parts, and volume, oi, iv and the Greeks."""
        parts = 0
        volume, oi, iv, greeks = UNKNOWN_COUNT, UNKNOWN, UNKNOWN, self._greeks(feed.optionGreeks)
        if feed.vtt > 0:
            parts |= _VOLUME
            volume = feed.vtt
        if 0.0 < feed.oi < INFINITE:
            parts |= _OI
            oi = feed.oi
        if 0.0 < feed.iv < INFINITE:
            parts |= _IV
            iv = feed.iv
        if greeks is not _NO_GREEKS:
            parts |= _GREEKS
        return parts, (volume, oi, iv, *greeks)

    def _levels(self, raw: bytes) -> Sequence[official.Quote]:
        try:
            return official.MarketLevel.FromString(raw).bidAskQuote
        except DecodeError:
            self._broken = True
            return ()

    def _greeks(self, raw: bytes) -> tuple[float, ...]:
        """Return delta, theta, gamma, vega, rho; unknown as a whole where all are zero."""
        if not raw:
            return _NO_GREEKS
        try:
            told = official.OptionGreeks.FromString(raw)
        except DecodeError:
            self._broken = True
            return _NO_GREEKS
        greeks = (told.delta, told.theta, told.gamma, told.vega, told.rho)
        if not any(greeks):
            return _NO_GREEKS
        return tuple(g if -INFINITE < g < INFINITE else UNKNOWN for g in greeks)

    def _day(self, raw: bytes) -> tuple[float, ...]:
        """Return open, high and low of the bar named "1d", wherever it stands."""
        try:
            bars = official.MarketOHLC.FromString(raw).ohlc
        except DecodeError:
            self._broken = True
            return _NO_DAY
        day = next(((b.open, b.high, b.low) for b in bars if b.interval == "1d"), _NO_DAY)
        sane = all(0.0 < price < INFINITE for price in day)
        return day if sane else _NO_DAY


def _level(quote: lean.Quote | official.Quote) -> tuple[float, int, float, int]:
    """Return bid, quantity, ask, quantity; a side without a price is empty."""
    bid, bid_qty, ask, ask_qty = quote.bidP, quote.bidQ, quote.askP, quote.askQ
    if not 0.0 < bid < INFINITE:
        bid, bid_qty = UNKNOWN, 0
    if not 0.0 < ask < INFINITE:
        ask, ask_qty = UNKNOWN, 0
    return bid, bid_qty, ask, ask_qty


def _totals(buy: float, sell: float) -> tuple[float, float]:
    """Return both sides; a zero beside a total that was told is a true zero."""
    if not (0.0 < buy < INFINITE or 0.0 < sell < INFINITE):
        return _NO_TOTALS
    return (
        buy if 0.0 <= buy < INFINITE else UNKNOWN,
        sell if 0.0 <= sell < INFINITE else UNKNOWN,
    )


def _segments(raw: bytes) -> dict[str, str]:
    status = official.MarketInfo.FromString(raw).segmentStatus
    names = official.MarketStatus.DESCRIPTOR.values_by_number
    return {
        segment: names[value].name if value in names else str(value)
        for segment, value in status.items()
    }


def subscribe(keys: Iterable[str], mode: Mode) -> Iterator[bytes]:
    """Yield binary frames that ask for these keys; the server answers with a snapshot of each."""
    return _frames("sub", keys, mode)


def change_mode(keys: Iterable[str], mode: Mode) -> Iterator[bytes]:
    return _frames("change_mode", keys, mode)


def unsubscribe(keys: Iterable[str]) -> Iterator[bytes]:
    return _frames("unsub", keys, None)


def _frames(method: str, keys: Iterable[str], mode: Mode | None) -> Iterator[bytes]:
    """Split by number of keys: masking a big message in Python holds up the feed's thread."""
    remaining = iter(keys)
    while chunk := list(islice(remaining, KEYS_PER_FRAME)):
        yield _frame(method, chunk, mode)


def _frame(method: str, keys: Sequence[str], mode: Mode | None) -> bytes:
    data: dict[str, object] = {"mode": mode.value} if mode else {}
    data["instrumentKeys"] = keys
    return json.dumps({"guid": uuid.uuid4().hex, "method": method, "data": data}).encode()
