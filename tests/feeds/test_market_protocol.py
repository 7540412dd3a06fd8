"""Bytes to ticks and wishes to bytes, held against the schema read slowly."""

import json
import math
import random

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.upstox import market_protocol as protocol
from feeds.upstox.market_protocol import Decoded, MarketDecoder
from feeds.upstox.proto import market_data_feed_pb2 as pb
from feeds.upstox.proto import market_data_lean_pb2 as lean
from tests.feeds import reference
from trading.model import Level, Mode, Part, Tick

T0 = 1_764_129_600_000
CALL = "NSE_FO|45450"
INDEX = "NSE_INDEX|Nifty 50"


def decode(frame: bytes, deep: frozenset[str] = frozenset()) -> Decoded:
    decoder = MarketDecoder(is_mock=True)
    decoder.deep = deep
    return decoder.decode(frame, received=5.0, generation=1)


def comparable(ticks: list[Tick]) -> list[str]:
    """Ticks as text, because NaN differs from itself and 0.0 equals -0.0."""
    return sorted(repr(tick) for tick in ticks)


def full(*, ltp: float = 142.6, ltt: int = T0, kind: int = 1, **changes: float) -> pb.FeedResponse:
    """One option in mode full with every part."""
    message = pb.FeedResponse(type=1, currentTs=T0 + 50)
    feed = message.feeds[CALL]
    feed.requestMode = kind
    market = feed.fullFeed.marketFF
    market.ltpc.ltp, market.ltpc.ltt, market.ltpc.ltq, market.ltpc.cp = ltp, ltt, 75, 131.2
    for step in range(5):
        market.marketLevel.bidAskQuote.add(
            bidP=142.5 - step, bidQ=300 + step, askP=142.7 + step, askQ=225 + step
        )
    greeks = market.optionGreeks
    greeks.delta, greeks.theta, greeks.gamma, greeks.vega, greeks.rho = 0.48, -9.1, 8e-4, 14, 2.7
    market.marketOHLC.ohlc.add(interval="1d", open=128, high=149.9, low=121.4, close=142.6, ts=T0)
    market.marketOHLC.ohlc.add(interval="I1", open=141, high=143, low=140, close=142.6, ts=T0)
    market.atp, market.vtt, market.oi, market.iv = 137.44, 1843275, 3127500, 0.1174
    market.tbq, market.tsq = 412575, 389100
    for name, value in changes.items():
        setattr(market, name, value)
    return message


def only(message: pb.FeedResponse) -> Tick:
    (tick,) = decode(message.SerializeToString()).ticks
    return tick


# numbers as they are, and as they should not be
doubles = st.one_of(
    st.floats(0.05, 1e5),
    st.sampled_from([0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e8, 1e-4]),
)
counts = st.one_of(st.integers(0, 10**6), st.sampled_from([-1, 2**63 - 1, -(2**63)]))
times = st.one_of(st.integers(T0 - 10**6, T0 + 10**6), st.sampled_from([0, -1, 2**62]))
maybe = st.booleans()
usually = st.sampled_from([True, True, True, True, False])


@st.composite
def trades(draw: st.DrawFn) -> pb.LTPC:
    return pb.LTPC(ltp=draw(doubles), ltt=draw(times), ltq=draw(counts), cp=draw(doubles))


@st.composite
def quotes(draw: st.DrawFn) -> pb.Quote:
    return pb.Quote(bidP=draw(doubles), bidQ=draw(counts), askP=draw(doubles), askQ=draw(counts))


@st.composite
def option_greeks(draw: st.DrawFn) -> pb.OptionGreeks:
    names = ("delta", "theta", "gamma", "vega", "rho")
    return pb.OptionGreeks(**{name: draw(doubles) for name in names})


@st.composite
def bars(draw: st.DrawFn) -> pb.MarketOHLC:
    message = pb.MarketOHLC()
    for _ in range(draw(st.integers(0, 3))):
        bar = message.ohlc.add(interval=draw(st.sampled_from(["1d", "1d", "I1", "I30", ""])))
        for name in ("open", "high", "low", "close"):
            if draw(usually):
                setattr(bar, name, draw(doubles))
        bar.vol, bar.ts = draw(counts), draw(times)
    return message


@st.composite
def markets(draw: st.DrawFn) -> pb.MarketFullFeed:
    market = pb.MarketFullFeed()
    if draw(usually):
        market.ltpc.CopyFrom(draw(trades()))
    if draw(usually):
        market.marketLevel.bidAskQuote.extend(draw(st.lists(quotes(), max_size=6)))
    if draw(usually):
        market.optionGreeks.CopyFrom(draw(option_greeks()))
    if draw(usually):
        market.marketOHLC.CopyFrom(draw(bars()))
    for name in ("atp", "oi", "iv", "tbq", "tsq", "iep"):
        if draw(usually):
            setattr(market, name, draw(doubles))
    market.vtt = draw(counts)
    market.casEligible = draw(maybe)
    return market


@st.composite
def feeds(draw: st.DrawFn) -> pb.Feed:
    feed = pb.Feed(requestMode=draw(st.sampled_from([0, 1, 1, 1, 2, 3])))
    kind = draw(st.sampled_from(["ltpc", "market", "market", "index", "first", "none"]))
    if kind == "ltpc":
        feed.ltpc.CopyFrom(draw(trades()))
    elif kind == "market":
        feed.fullFeed.marketFF.CopyFrom(draw(markets()))
    elif kind == "index":
        index = feed.fullFeed.indexFF
        index.SetInParent()
        if draw(usually):
            index.ltpc.CopyFrom(draw(trades()))
        index.marketOHLC.CopyFrom(draw(bars()))
    elif kind == "first":
        first = feed.firstLevelWithGreeks
        first.SetInParent()
        if draw(usually):
            first.ltpc.CopyFrom(draw(trades()))
        if draw(usually):
            first.firstDepth.CopyFrom(draw(quotes()))
        if draw(usually):
            first.optionGreeks.CopyFrom(draw(option_greeks()))
        first.vtt, first.oi, first.iv = draw(counts), draw(doubles), draw(doubles)
    return feed


@st.composite
def responses(draw: st.DrawFn) -> pb.FeedResponse:
    message = pb.FeedResponse(type=draw(st.sampled_from([0, 1, 2])), currentTs=draw(times))
    for number in range(draw(st.integers(0, 4))):
        message.feeds[f"NSE_FO|{number}"].CopyFrom(draw(feeds()))
    return message


@settings(max_examples=400, deadline=None)
@given(responses(), st.booleans())
def test_the_fast_decoder_reads_what_the_schema_says(message: pb.FeedResponse, deep: bool) -> None:
    frame = message.SerializeToString()
    wanted = frozenset({"NSE_FO|0", "NSE_FO|2"}) if deep else frozenset()

    decoded = decode(frame, wanted)

    assert comparable(decoded.ticks) == comparable(
        reference.decode(frame, received=5.0, deep=wanted)
    )
    assert decoded.undecodable == (frame == b"")


def test_the_usual_frames_take_the_fast_way_and_say_the_same() -> None:
    rng = random.Random(11)
    message = full()
    for number in range(60):
        feed = message.feeds[f"NSE_FO|{number}"]
        feed.CopyFrom(message.feeds[CALL])
        market = feed.fullFeed.marketFF
        market.ltpc.ltp = round(rng.uniform(1, 500), 2)
        if number % 3 == 0:  # a share
            market.ClearField("optionGreeks")
            market.oi = market.iv = 0
        if number % 5 == 0:
            market.ClearField("marketLevel")
    frame = message.SerializeToString()

    assert comparable(decode(frame).ticks) == comparable(reference.decode(frame, received=5.0))
    assert len(decode(frame).ticks) == 61


def test_every_part_of_a_whole_option_arrives() -> None:
    tick = only(full())

    assert tick[:28] == (
        CALL, 142.6, T0, 75, 131.2, 142.5, 300, 142.7, 225, 1843275, 137.44, 3127500.0, 0.1174,
        0.48, -9.1, 8e-4, 14.0, 2.7, 412575.0, 389100.0, 128.0, 149.9, 121.4,
        T0 + 50, 5.0, 5.0, 5.0, 5.0,
    )  # fmt: skip
    assert tick.parts == sum(Part)
    assert tick.depth is None


def test_all_levels_come_only_for_those_who_asked() -> None:
    (tick,) = decode(full().SerializeToString(), frozenset({CALL})).ticks

    assert tick.depth is not None
    assert tick.depth[0] == Level(142.5, 300, 142.7, 225)
    assert len(tick.depth) == 5


@pytest.mark.parametrize("ltp", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1.1e8])
def test_f26_a_price_beyond_belief_is_no_price_but_the_book_counts(ltp: float) -> None:
    decoded = decode(full(ltp=ltp).SerializeToString())

    (tick,) = decoded.ticks
    assert not tick.parts & Part.PRICE
    assert math.isnan(tick.ltp)
    assert math.isnan(tick.price_received)
    assert (tick.bid, tick.book_received) == (142.5, 5.0)
    assert decoded.bad_prices == 1


def test_f25_a_frame_without_a_trade_refreshes_the_book_and_is_no_bad_price() -> None:
    message = full()
    message.feeds[CALL].fullFeed.marketFF.ClearField("ltpc")

    decoded = decode(message.SerializeToString())

    assert decoded.ticks[0].parts == sum(Part) - Part.PRICE - Part.CLOSE
    assert decoded.bad_prices == 0


def test_a_trade_from_the_future_is_refused() -> None:
    late, later = only(full(ltt=T0 + 50 + 300_000)), only(full(ltt=T0 + 50 + 300_001))

    assert late.parts & Part.PRICE
    assert not later.parts & Part.PRICE


def test_zero_is_unknown_where_proto3_would_not_send_it() -> None:
    message = full(oi=0, iv=0, vtt=0, tbq=0)
    market = message.feeds[CALL].fullFeed.marketFF
    market.ltpc.cp = 0
    market.optionGreeks.Clear()
    market.marketLevel.bidAskQuote[0].bidP = 0

    tick = only(message)

    assert tick.parts == Part.PRICE | Part.BOOK | Part.TOTALS | Part.DAY
    assert (tick.bid_qty, tick.ask, tick.volume) == (0, 142.7, -1)
    assert all(math.isnan(v) for v in (tick.close, tick.bid, tick.oi, tick.iv, tick.delta))
    assert (tick.total_buy, tick.total_sell) == (0.0, 389100.0)


def test_a_greek_of_zero_beside_others_is_a_true_zero() -> None:
    message = full()
    message.feeds[CALL].fullFeed.marketFF.optionGreeks.gamma = 0

    tick = only(message)

    assert tick.parts & Part.GREEKS
    assert tick.gamma == 0.0


def test_the_day_is_found_by_its_name_wherever_it_stands() -> None:
    message = full()
    ohlc = message.feeds[CALL].fullFeed.marketFF.marketOHLC.ohlc
    ohlc.reverse()

    assert only(message).day_high == 149.9
    del ohlc[1]
    assert not only(message).parts & Part.DAY


def test_an_index_and_a_first_level_have_what_their_mode_carries() -> None:
    message = pb.FeedResponse(type=1, currentTs=T0)
    index = message.feeds[INDEX].fullFeed.indexFF
    index.ltpc.ltp, index.ltpc.ltt, index.ltpc.cp = 26104.35, T0, 26068.15
    index.marketOHLC.ohlc.add(interval="1d", open=26010, high=26120, low=25990, close=26104.35)
    first = message.feeds[CALL].firstLevelWithGreeks
    first.firstDepth.bidP, first.firstDepth.bidQ = 142.5, 300
    first.optionGreeks.delta = 0.48

    parts = {tick.instrument_key: tick.parts for tick in decode(message.SerializeToString()).ticks}

    assert parts == {
        INDEX: Part.PRICE | Part.CLOSE | Part.DAY,
        CALL: Part.BOOK | Part.GREEKS,
    }


def test_f27_a_frame_that_comes_twice_counts_once_until_the_connection_is_new() -> None:
    decoder, frame = MarketDecoder(is_mock=True), full().SerializeToString()

    first = decoder.decode(frame, received=1.0, generation=1)
    second = decoder.decode(frame, received=1.1, generation=1)
    third = decoder.decode(frame, received=1.2, generation=2)

    assert [len(d.ticks) for d in (first, second, third)] == [1, 0, 1]
    assert [d.duplicate for d in (first, second, third)] == [False, True, False]


def test_f24_what_the_schema_does_not_know_is_counted_and_harms_nobody() -> None:
    message = full()
    unknown = b"\x5a\x03abc"  # field 11 of Feed, outside every oneof
    entry = b"\x0a\x07NSE_X|1" + b"\x12" + bytes([len(unknown)]) + unknown
    frame = message.SerializeToString() + b"\x12" + bytes([len(entry)]) + entry

    decoded = decode(frame)

    assert [tick.instrument_key for tick in decoded.ticks] == [CALL]
    assert decoded.unknown_fields == 1
    assert decoded.undecodable == 0


def test_f24_an_unknown_status_is_shown_as_it_came() -> None:
    message = pb.FeedResponse(type=2, currentTs=T0)
    message.marketInfo.segmentStatus["NSE_EQ"] = pb.NORMAL_OPEN
    message.marketInfo.segmentStatus["NSE_FO"] = 7  # type: ignore[assignment]

    assert decode(message.SerializeToString()).segments == {"NSE_EQ": "NORMAL_OPEN", "NSE_FO": "7"}


def test_f21_no_garbage_raises_and_what_was_good_stays_good() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    good = full().SerializeToString()
    decoder = MarketDecoder(is_mock=True)
    broken = 0
    for _ in range(20_000):
        frame = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        if rng.random() < 0.3:
            frame = frame[: rng.randrange(len(frame))]
        decoded = decoder.decode(bytes(frame), received=1.0, generation=1)
        broken += decoded.undecodable
        for tick in decoded.ticks:
            assert len(tick) == len(Tick._fields), f"seed {seed}"
            assert not tick.parts & Part.PRICE or 1e-4 <= tick.ltp <= 1e8, f"seed {seed}"

    assert broken > 10_000, f"seed {seed}"
    assert len(decoder.decode(good, received=1.0, generation=1).ticks) == 1


@pytest.mark.parametrize("part", ["marketLevel", "optionGreeks", "marketOHLC"])
def test_a_broken_part_is_counted_and_the_rest_of_the_tick_counts(part: str) -> None:
    message = full()
    whole = getattr(message.feeds[CALL].fullFeed.marketFF, part).SerializeToString()
    frame = message.SerializeToString().replace(whole, b"\xff" * len(whole))

    decoded = decode(frame)

    assert decoded.undecodable == 1
    assert decoded.ticks[0].ltp == 142.6


def test_a_short_day_bar_is_not_read_beyond_its_end() -> None:
    message = pb.FeedResponse(type=1, currentTs=T0)
    for number in range(2):
        message.feeds[f"NSE_FO|{number}"].CopyFrom(full().feeds[CALL])
        ohlc = message.feeds[f"NSE_FO|{number}"].fullFeed.marketFF.marketOHLC
        ohlc.Clear()
        ohlc.ohlc.add(interval="1d", open=1.5)

    decoded = decode(message.SerializeToString())

    assert [tick.parts & Part.DAY for tick in decoded.ticks] == [0, 0]


@pytest.mark.parametrize("cut", range(1, 26))
def test_levels_that_end_too_soon_are_counted_and_the_rest_counts(cut: int) -> None:
    market = full().feeds[CALL].fullFeed.marketFF
    levels = market.marketLevel.SerializeToString()[:cut]
    message = lean.FeedResponse(currentTs=T0 + 50)
    for number in range(2):  # the second takes the fast way
        feed = message.feeds[f"NSE_FO|{number}"]
        feed.ParseFromString(full().feeds[CALL].SerializeToString())
        feed.fullFeed.marketFF.marketLevel = levels

    decoded = decode(message.SerializeToString())

    assert [tick.ltp for tick in decoded.ticks] == [142.6, 142.6]
    assert [tick.parts & Part.BOOK for tick in decoded.ticks] == [0, 0]
    assert decoded.undecodable == 1


@pytest.mark.parametrize("bid_qty", [0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 2**40, -1])
@pytest.mark.parametrize("ask_qty", [0, 127, 128, 16383, 16384, 2097151, 2097152, -5])
def test_quantities_of_every_length_are_read(bid_qty: int, ask_qty: int) -> None:
    message = full()
    quote = message.feeds[CALL].fullFeed.marketFF.marketLevel.bidAskQuote[0]
    quote.bidQ, quote.askQ = bid_qty, ask_qty
    message.feeds["NSE_FO|1"].CopyFrom(message.feeds[CALL])

    ticks = decode(message.SerializeToString()).ticks

    assert [(t.bid, t.bid_qty, t.ask, t.ask_qty) for t in ticks] == [
        (142.5, bid_qty, 142.7, ask_qty)
    ] * 2


def test_an_empty_frame_says_nothing_and_is_counted() -> None:
    assert decode(b"").undecodable == 1


def test_wishes_are_binary_json_in_chunks() -> None:
    keys = [f"NSE_FO|{n}" for n in range(1201)]

    frames = [json.loads(frame) for frame in protocol.subscribe(keys, Mode.FULL)]

    assert [len(f["data"]["instrumentKeys"]) for f in frames] == [500, 500, 201]
    assert [k for f in frames for k in f["data"]["instrumentKeys"]] == keys
    assert {(f["method"], f["data"]["mode"]) for f in frames} == {("sub", "full")}
    assert len({f["guid"] for f in frames}) == 3


def test_change_and_unsubscribe_say_what_the_broker_expects() -> None:
    (change,) = protocol.change_mode([CALL], Mode.LTPC)
    (leave,) = protocol.unsubscribe([CALL])

    changed, left = json.loads(change), json.loads(leave)
    assert (changed["method"], changed["data"]["mode"]) == ("change_mode", "ltpc")
    assert (left["method"], left["data"]) == ("unsub", {"instrumentKeys": [CALL]})


def test_nothing_to_say_makes_no_frame() -> None:
    assert list(protocol.subscribe([], Mode.FULL)) == []


def test_a_real_packet_reads_as_the_broker_meant_it() -> None:
    packet = {
        "type": "live_feed",
        "feeds": {
            "NSE_EQ|INE090A01021": {
                "fullFeed": {
                    "marketFF": {
                        "ltpc": {
                            "ltp": 1313.7,
                            "ltt": "1742373998758",
                            "ltq": "234",
                            "cp": 1309.85,
                        },
                        "marketOHLC": {
                            "ohlc": [
                                {"interval": "1d", "open": 1305.6, "high": 1316.2, "low": 1302.15}
                            ]
                        },
                        "atp": 1310.68,
                        "vtt": "7791920",
                        "tbq": 358719.0,
                        "tsq": 419843.0,
                    }
                },
                "requestMode": "full_d5",
            }
        },
        "currentTs": "1742373998921",
    }

    tick = only(ParseDict(packet, pb.FeedResponse()))

    assert (tick.ltp, tick.ltt, tick.close, tick.volume) == (
        1313.7,
        1742373998758,
        1309.85,
        7791920,
    )
    assert tick.parts == Part.PRICE | Part.CLOSE | Part.VOLUME | Part.TOTALS | Part.DAY
