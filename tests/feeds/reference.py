"""A slow and plain reading of the market feed's schema, to hold the fast decoder against."""

import math

from feeds.upstox.proto import market_data_feed_pb2 as pb
from trading.model import UNKNOWN, UNKNOWN_COUNT, Level, Part, Tick

FIVE_MINUTES = 300_000


def decode(frame: bytes, *, received: float, deep: frozenset[str] = frozenset()) -> list[Tick]:
    message = pb.FeedResponse.FromString(frame)
    sent = message.currentTs if message.currentTs > 0 else UNKNOWN_COUNT
    found = [_feed(k, f, sent, received, k in deep) for k, f in message.feeds.items()]
    return [tick for tick in found if tick is not None]


def _feed(key: str, feed: pb.Feed, sent: int, received: float, deep: bool) -> Tick | None:
    kind = feed.WhichOneof("FeedUnion")
    if kind == "ltpc":
        values, parts = _trade(feed.ltpc, sent)
    elif kind == "firstLevelWithGreeks":
        first = feed.firstLevelWithGreeks
        values, parts = _trade(first.ltpc, sent)
        if first.HasField("firstDepth"):
            parts |= Part.BOOK
            values |= _book(first.firstDepth)
        parts |= _measures(first, values)
    elif kind == "fullFeed" and feed.fullFeed.WhichOneof("FullFeedUnion") == "indexFF":
        index = feed.fullFeed.indexFF
        values, parts = _trade(index.ltpc, sent)
        parts |= _day(index.marketOHLC, values)
    elif kind == "fullFeed" and feed.fullFeed.WhichOneof("FullFeedUnion") == "marketFF":
        market = feed.fullFeed.marketFF
        values, parts = _trade(market.ltpc, sent)
        levels = market.marketLevel.bidAskQuote
        if levels:
            parts |= Part.BOOK
            values |= _book(levels[0])
            if deep:
                values["depth"] = tuple(Level(**_book(level)) for level in levels)
        parts |= _measures(market, values)
        if parts & Part.VOLUME:
            values["atp"] = _positive(market.atp)
        sides = market.tbq, market.tsq
        if any(0 < side < math.inf for side in sides):
            parts |= Part.TOTALS
            values["total_buy"], values["total_sell"] = (
                side if 0 <= side < math.inf else UNKNOWN for side in sides
            )
        parts |= _day(market.marketOHLC, values)
    else:
        return None
    return _tick(key, values, parts, sent, received) if parts else None


def _trade(ltpc: pb.LTPC, sent: int) -> tuple[dict[str, object], Part]:
    values: dict[str, object] = {}
    parts = Part(0)
    if 0 < ltpc.cp < math.inf:
        parts |= Part.CLOSE
        values["close"] = ltpc.cp
    from_the_future = sent != UNKNOWN_COUNT and ltpc.ltt > sent + FIVE_MINUTES
    if 1e-4 <= ltpc.ltp <= 1e8 and not from_the_future:
        parts |= Part.PRICE
        values["ltp"] = ltpc.ltp
        values["ltt"] = ltpc.ltt if ltpc.ltt > 0 else UNKNOWN_COUNT
        values["ltq"] = ltpc.ltq if ltpc.ltq != 0 else UNKNOWN_COUNT
    return values, parts


def _book(quote: pb.Quote) -> dict[str, object]:
    bid, ask = _positive(quote.bidP), _positive(quote.askP)
    return {
        "bid": bid,
        "bid_qty": quote.bidQ if bid == bid else 0,
        "ask": ask,
        "ask_qty": quote.askQ if ask == ask else 0,
    }


def _measures(feed: pb.MarketFullFeed | pb.FirstLevelWithGreeks, values: dict[str, object]) -> Part:
    parts = Part(0)
    if feed.vtt > 0:
        parts |= Part.VOLUME
        values["volume"] = feed.vtt
    if 0 < feed.oi < math.inf:
        parts |= Part.OI
        values["oi"] = feed.oi
    if 0 < feed.iv < math.inf:
        parts |= Part.IV
        values["iv"] = feed.iv
    names = ("delta", "theta", "gamma", "vega", "rho")
    greeks = {name: getattr(feed.optionGreeks, name) for name in names}
    if any(value != 0 for value in greeks.values()):
        parts |= Part.GREEKS
        values |= {n: v if math.isfinite(v) else UNKNOWN for n, v in greeks.items()}
    return parts


def _day(market: pb.MarketOHLC, values: dict[str, object]) -> Part:
    bar = next((bar for bar in market.ohlc if bar.interval == "1d"), None)
    if bar is None or not all(0 < p < math.inf for p in (bar.open, bar.high, bar.low)):
        return Part(0)
    values |= {"day_open": bar.open, "day_high": bar.high, "day_low": bar.low}
    return Part.DAY


def _positive(value: float) -> float:
    return value if 0 < value < math.inf else UNKNOWN


def _tick(key: str, values: dict[str, object], parts: Part, sent: int, received: float) -> Tick:
    blank = dict.fromkeys(Tick._fields, UNKNOWN)
    blank |= dict.fromkeys(("ltt", "ltq", "bid_qty", "ask_qty", "volume"), UNKNOWN_COUNT)
    ages = {
        "price_received": received if parts & Part.PRICE else UNKNOWN,
        "book_received": received if parts & Part.BOOK else UNKNOWN,
        "greeks_received": received if parts & Part.GREEKS else UNKNOWN,
    }
    fixed = {
        "instrument_key": key,
        "exchange_ts": sent,
        "received": received,
        "parts": int(parts),
        "is_mock": True,
        "depth": None,
    }
    return Tick(**{**blank, **fixed, **ages, **values})  # type: ignore[arg-type]
