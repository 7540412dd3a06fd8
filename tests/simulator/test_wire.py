"""Quotes become exactly the messages that the schema and the recorded frames show."""

from dataclasses import replace

import pytest

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.limits import Mode
from simulator.model import Part
from simulator.wire import ALL, deepened, market_info, read_back, response, update
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS, NIFTY, T0, quote

BY_KEY = {i.instrument_key: i for i in INSTRUMENTS}


def feed(key: str, mode: Mode, parts: int = ALL) -> pb.Feed:
    item = update(BY_KEY[key], quote(BY_KEY[key]), mode, parts)
    assert item is not None
    return pb.Feed.FromString(item.feed)


@pytest.mark.parametrize(
    ("mode", "union", "request_mode"),
    [
        (Mode.LTPC, "ltpc", pb.RequestMode.ltpc),
        (Mode.OPTION_GREEKS, "firstLevelWithGreeks", pb.RequestMode.option_greeks),
        (Mode.FULL, "fullFeed", pb.RequestMode.full_d5),
        (Mode.FULL_D30, "fullFeed", pb.RequestMode.full_d30),
    ],
)
def test_each_mode_has_its_own_message_and_says_which(
    mode: Mode, union: str, request_mode: pb.RequestMode
) -> None:
    made = feed(CALL, mode)

    assert made.WhichOneof("FeedUnion") == union
    assert made.requestMode == request_mode


def test_a_whole_full_entry_carries_everything_an_option_has() -> None:
    full = feed(CALL, Mode.FULL).fullFeed.marketFF

    assert (full.ltpc.ltp, full.ltpc.ltt, full.ltpc.ltq, full.ltpc.cp) == (142.6, T0, 75, 131.2)
    assert len(full.marketLevel.bidAskQuote) == 5
    assert (full.marketLevel.bidAskQuote[0].bidP, full.marketLevel.bidAskQuote[0].askQ) == (
        142.5,
        225,
    )
    assert (full.optionGreeks.delta, full.optionGreeks.rho) == (0.48, 2.7)
    assert [(bar.interval, bar.vol, bar.ts) for bar in full.marketOHLC.ohlc] == [
        ("1d", 1000, T0),
        ("I1", 75, T0),
    ]
    assert (full.atp, full.vtt, full.oi, full.iv) == (137.4, 1000, 3_127_500.0, 0.1174)
    assert (full.tbq, full.tsq) == (4000.0, 3000.0)


def test_an_index_is_sent_as_index_without_book_or_greeks() -> None:
    made = feed(NIFTY, Mode.FULL).fullFeed

    assert made.WhichOneof("FullFeedUnion") == "indexFF"
    assert made.indexFF.ltpc.ltp == 142.6
    assert len(made.indexFF.marketOHLC.ohlc) == 2


def test_option_greeks_mode_has_the_first_level_only() -> None:
    first = feed(CALL, Mode.OPTION_GREEKS).firstLevelWithGreeks

    assert (first.firstDepth.bidP, first.firstDepth.bidQ) == (142.5, 300)
    assert (first.firstDepth.askP, first.firstDepth.askQ) == (142.7, 225)
    assert (first.vtt, first.oi, first.iv, first.optionGreeks.vega) == (
        1000,
        3_127_500.0,
        0.1174,
        14.02,
    )


def test_parts_that_did_not_change_stay_out() -> None:
    full = feed(CALL, Mode.FULL, int(Part.BOOK | Part.ACTIVITY)).fullFeed.marketFF

    assert full.HasField("marketLevel")
    assert full.vtt == 1000
    assert not full.HasField("ltpc")
    assert not full.HasField("optionGreeks")
    assert not full.HasField("marketOHLC")


@pytest.mark.parametrize(
    ("key", "mode", "part"),
    [
        (CALL, Mode.LTPC, Part.BOOK),
        (CALL, Mode.OPTION_GREEKS, Part.BARS),
        (NIFTY, Mode.FULL, Part.BOOK),
    ],
)
def test_a_change_that_the_mode_does_not_carry_is_nothing(key: str, mode: Mode, part: Part) -> None:
    assert update(BY_KEY[key], quote(BY_KEY[key]), mode, int(part)) is None


def test_full_d30_has_thirty_levels_that_go_on_outwards() -> None:
    levels = feed(CALL, Mode.FULL_D30).fullFeed.marketFF.marketLevel.bidAskQuote
    bids, asks = [level.bidP for level in levels], [level.askP for level in levels]

    assert len(levels) == 30
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert all(level.bidQ > 0 and level.askQ > 0 for level in levels)


def test_a_book_does_not_go_on_below_a_tick() -> None:
    assert deepened([(0.1, 10)], 30, -0.05) == [(0.1, 10), (0.05, 20)]


def test_one_empty_side_of_a_book_is_sent_as_zeros() -> None:
    full = replace(quote(BY_KEY[CALL]), asks=[])
    item = update(BY_KEY[CALL], full, Mode.FULL, ALL)
    assert item is not None
    levels = pb.Feed.FromString(item.feed).fullFeed.marketFF.marketLevel.bidAskQuote

    assert [level.bidP > 0 for level in levels] == [True] * 5
    assert [level.askP for level in levels] == [0.0] * 5


def test_a_frame_is_byte_for_byte_the_deterministic_serialisation() -> None:
    items = [update(BY_KEY[k], quote(BY_KEY[k]), Mode.FULL, ALL) for k in (NIFTY, CALL, INFY)]
    payload = response(pb.Type.live_feed, [item for item in items if item], T0)
    message = pb.FeedResponse.FromString(payload)

    assert set(message.feeds) == {NIFTY, CALL, INFY}
    assert message.currentTs == T0
    assert message.SerializeToString(deterministic=True) == payload


def test_the_type_of_a_snapshot_is_the_zero_that_is_not_sent() -> None:
    item = update(BY_KEY[INFY], quote(BY_KEY[INFY]), Mode.LTPC, ALL)
    assert item is not None

    assert response(pb.Type.initial_feed, [item], T0)[0] == 0x12
    assert response(pb.Type.live_feed, [item], T0)[:2] == b"\x08\x01"


def test_market_info_names_the_status_of_each_segment() -> None:
    statuses = {"NSE_EQ": "NORMAL_OPEN", "NSE_FO": "PRE_OPEN_START"}
    message = pb.FeedResponse.FromString(market_info(statuses, T0))

    assert message.type == pb.Type.market_info
    assert dict(message.marketInfo.segmentStatus) == {
        "NSE_EQ": pb.MarketStatus.NORMAL_OPEN,
        "NSE_FO": pb.MarketStatus.PRE_OPEN_START,
    }


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("key", [NIFTY, CALL])
def test_what_the_ledger_reads_back_is_what_was_encoded(key: str, mode: Mode) -> None:
    item = update(BY_KEY[key], quote(BY_KEY[key]), mode, ALL)
    assert item is not None
    message = pb.FeedResponse.FromString(response(pb.Type.live_feed, [item], T0))
    (read,) = read_back(message)

    assert (read.instrument_key, read.ltt, read.ltq, read.ltp) == item[:1] + item[2:3] + item[4:6]
    assert read.parts == item.parts
