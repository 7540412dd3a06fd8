"""Quotes as the bytes of the market data feed: whole snapshots, and frames of what changed."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.limits import Mode
from simulator.model import Bar, Instrument, Part, Quote

# Plain ints: or-ing IntFlag members costs a microsecond each, thousands of times a second.
PRICE, BOOK, GREEKS = int(Part.PRICE), int(Part.BOOK), int(Part.GREEKS)
BARS, ACTIVITY, ALL = int(Part.BARS), int(Part.ACTIVITY), int(Part.ALL)

CARRIES = {
    Mode.LTPC: PRICE,
    Mode.OPTION_GREEKS: PRICE | BOOK | GREEKS | ACTIVITY,
    Mode.FULL: ALL,
    Mode.FULL_D30: ALL,
}
INDEX_CARRIES = {
    Mode.LTPC: PRICE,
    Mode.OPTION_GREEKS: PRICE,
    Mode.FULL: PRICE | BARS,
    Mode.FULL_D30: PRICE | BARS,
}
REQUEST_MODE = {
    Mode.LTPC: pb.RequestMode.ltpc,
    Mode.OPTION_GREEKS: pb.RequestMode.option_greeks,
    Mode.FULL: pb.RequestMode.full_d5,
    Mode.FULL_D30: pb.RequestMode.full_d30,
}


class Update(NamedTuple):
    """One instrument's entry in a frame, encoded, with the facts that the ledger keeps."""

    instrument_key: str
    feed: bytes
    ltt: int
    vtt: int
    ltq: int
    ltp: float
    parts: int


def carried(instrument: Instrument, mode: Mode) -> int:
    """Return the parts that this mode has for this instrument."""
    table = INDEX_CARRIES if instrument.instrument_type == "INDEX" else CARRIES
    return table[mode]


def update(instrument: Instrument, quote: Quote, mode: Mode, parts: int) -> Update | None:
    """Encode these parts of a quote; None if the mode carries none of them."""
    parts &= carried(instrument, mode)
    if not parts:
        return None
    return Update(
        instrument.instrument_key,
        encode(instrument, quote, mode, parts),
        quote.ltt,
        quote.volume,
        quote.ltq,
        quote.ltp,
        parts,
    )


def encode(instrument: Instrument, quote: Quote, mode: Mode, parts: int) -> bytes:
    feed = pb.Feed(requestMode=REQUEST_MODE[mode])
    if mode is Mode.LTPC:
        _price(feed.ltpc, quote)
    elif mode is Mode.OPTION_GREEKS:
        feed.firstLevelWithGreeks.SetInParent()
        _first_level(feed.firstLevelWithGreeks, quote, parts)
    elif instrument.instrument_type == "INDEX":
        feed.fullFeed.indexFF.SetInParent()
        _index(feed.fullFeed.indexFF, quote, parts)
    else:
        feed.fullFeed.marketFF.SetInParent()
        levels = 30 if mode is Mode.FULL_D30 else 5
        _market(feed.fullFeed.marketFF, instrument, quote, parts, levels)
    return feed.SerializeToString()


def _price(ltpc: pb.LTPC, quote: Quote) -> None:
    ltpc.ltp = quote.ltp
    ltpc.ltt = quote.ltt
    ltpc.ltq = quote.ltq
    ltpc.cp = quote.close


def _first_level(first: pb.FirstLevelWithGreeks, quote: Quote, parts: int) -> None:
    if parts & PRICE:
        _price(first.ltpc, quote)
    if parts & BOOK:
        first.firstDepth.SetInParent()
        for bid, qty in quote.bids[:1]:
            first.firstDepth.bidP, first.firstDepth.bidQ = bid, qty
        for ask, qty in quote.asks[:1]:
            first.firstDepth.askP, first.firstDepth.askQ = ask, qty
    if parts & GREEKS:
        _greeks(first.optionGreeks, quote)
    if parts & ACTIVITY:
        first.vtt, first.oi, first.iv = quote.volume, quote.oi, quote.iv


def _index(index: pb.IndexFullFeed, quote: Quote, parts: int) -> None:
    if parts & PRICE:
        _price(index.ltpc, quote)
    if parts & BARS:
        _bars(index.marketOHLC, quote)


def _market(
    full: pb.MarketFullFeed, instrument: Instrument, quote: Quote, parts: int, levels: int
) -> None:
    if parts & PRICE:
        _price(full.ltpc, quote)
    if parts & BOOK:
        _book(full.marketLevel, instrument, quote, levels)
    if parts & GREEKS:
        _greeks(full.optionGreeks, quote)
    if parts & BARS:
        _bars(full.marketOHLC, quote)
    if parts & ACTIVITY:
        full.atp, full.vtt, full.oi, full.iv = quote.atp, quote.volume, quote.oi, quote.iv
        full.tbq, full.tsq = quote.total_buy, quote.total_sell


def _book(book: pb.MarketLevel, instrument: Instrument, quote: Quote, levels: int) -> None:
    book.SetInParent()
    bids, asks = quote.bids, quote.asks
    if levels > len(bids) or levels > len(asks):
        bids = deepened(bids, levels, -instrument.tick_size)
        asks = deepened(asks, levels, instrument.tick_size)
    add = book.bidAskQuote.add
    for (bid, bid_qty), (ask, ask_qty) in zip_longest(
        bids[:levels], asks[:levels], fillvalue=(0.0, 0)
    ):
        add(bidP=bid, bidQ=bid_qty, askP=ask, askQ=ask_qty)


def deepened(side: list[tuple[float, int]], levels: int, step: float) -> list[tuple[float, int]]:
    """Continue a side of the book beyond its last level, one tick a level, never below a tick."""
    if not side or not step:
        return side
    price, quantity = side[-1]
    more = [
        (round(price + step * n, 2), quantity * (n % 5 + 1))
        for n in range(1, levels - len(side) + 1)
    ]
    return side + [(price, quantity) for price, quantity in more if price >= abs(step)]


def _greeks(greeks: pb.OptionGreeks, quote: Quote) -> None:
    greeks.SetInParent()  # an equity's snapshot carries an empty one, as recorded from the wire
    greeks.delta = quote.delta
    greeks.theta = quote.theta
    greeks.gamma = quote.gamma
    greeks.vega = quote.vega
    greeks.rho = quote.rho


def _bars(bars: pb.MarketOHLC, quote: Quote) -> None:
    _bar(bars, "1d", quote.day)
    _bar(bars, "I1", quote.minute)


def _bar(bars: pb.MarketOHLC, interval: str, bar: Bar) -> None:
    bars.ohlc.add(
        interval=interval,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        vol=bar.volume,
        ts=bar.start,
    )


def response(kind: pb.Type, updates: Iterable[Update], now_ms: int) -> bytes:
    """Put updates of distinct instruments into one FeedResponse, sorted by key.

    Concatenates what is encoded already: the same bytes as a deterministic serialisation of the
    message, for a fraction of its cost, and shared by all connections.
    """
    pieces = [b"\x08" + _varint(kind)] if kind else []
    for item in sorted(updates):
        entry = _map_key(item.instrument_key) + b"\x12" + _varint(len(item.feed)) + item.feed
        pieces += (b"\x12", _varint(len(entry)), entry)
    if now_ms:
        pieces += (b"\x18", _varint(now_ms))
    return b"".join(pieces)


def market_info(statuses: Mapping[str, str], now_ms: int) -> bytes:
    message = pb.FeedResponse(type=pb.Type.market_info, currentTs=now_ms)
    for segment, status in statuses.items():
        message.marketInfo.segmentStatus[segment] = pb.MarketStatus.Value(status)  # type: ignore[assignment]
    return message.SerializeToString(deterministic=True)


@lru_cache(maxsize=8192)
def _map_key(key: str) -> bytes:
    encoded = key.encode()
    return b"\x0a" + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_back(message: pb.FeedResponse) -> tuple[Update, ...]:
    """Return what a message that a fault has changed really tells, for the ledger."""
    return tuple(_read(key, feed) for key, feed in sorted(message.feeds.items()))


def _read(key: str, feed: pb.Feed) -> Update:
    raw = feed.SerializeToString()
    match feed.WhichOneof("FeedUnion"):
        case "ltpc":
            return _told(key, raw, feed.ltpc, volume=0, parts=PRICE)
        case "firstLevelWithGreeks":
            first = feed.firstLevelWithGreeks
            parts = PRICE * first.HasField("ltpc") | BOOK * first.HasField("firstDepth")
            parts |= GREEKS * first.HasField("optionGreeks") | ACTIVITY * bool(first.vtt)
            return _told(key, raw, first.ltpc, volume=first.vtt, parts=parts)
        case "fullFeed" if feed.fullFeed.HasField("indexFF"):
            index = feed.fullFeed.indexFF
            parts = PRICE * index.HasField("ltpc") | BARS * index.HasField("marketOHLC")
            return _told(key, raw, index.ltpc, volume=0, parts=parts)
        case "fullFeed":
            full = feed.fullFeed.marketFF
            parts = PRICE * full.HasField("ltpc") | BOOK * full.HasField("marketLevel")
            parts |= GREEKS * full.HasField("optionGreeks") | BARS * full.HasField("marketOHLC")
            parts |= ACTIVITY * bool(full.vtt)
            return _told(key, raw, full.ltpc, volume=full.vtt, parts=parts)
    return Update(key, raw, 0, 0, 0, 0.0, 0)


def _told(key: str, raw: bytes, ltpc: pb.LTPC, *, volume: int, parts: int) -> Update:
    return Update(key, raw, ltpc.ltt, volume, ltpc.ltq, ltpc.ltp, parts)
