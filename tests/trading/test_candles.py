import random

from tests.ticks import NIFTY, T0, tick
from trading.candles import MINUTE, CandleBuilder
from trading.model import Candle, Part, Tick


def trade(ltp: float, offset: int, volume: int = -1) -> Tick:
    parts = Part.PRICE | Part.CLOSE | (Part.VOLUME if volume >= 0 else Part(0))
    return tick(NIFTY, ltp=ltp, ltt=T0 + offset, volume=volume, parts=parts)


def builder() -> tuple[CandleBuilder, list[Candle]]:
    candles = CandleBuilder()
    finished: list[Candle] = []
    candles.finished.subscribe(finished.extend)
    return candles, finished


def test_a_minute_is_finished_by_the_first_trade_of_the_next() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0, 100), trade(12, 1_000, 150), trade(9, 30_000, 160)])
    assert finished == []

    candles.add([trade(11, 59_999, 170), trade(20, 60_000, 175)])

    assert finished == [Candle(NIFTY, T0, 10, 12, 9, 11, 70, 4, True, True)]
    assert candles.current(NIFTY) == Candle(NIFTY, T0 + MINUTE, 20, 20, 20, 20, 5, 1, True, True)


def test_candles_equal_a_plain_reckoning_over_random_trades() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    offsets = sorted(rng.sample(range(10 * MINUTE), 500))
    trades = [trade(rng.randrange(1000, 2000) / 20, offset) for offset in offsets]
    candles, finished = builder()
    candles.add(trades)
    candles.flush()

    for candle in finished:
        prices = [t.ltp for t in trades if candle.start <= t.ltt < candle.start + MINUTE]
        ours = (candle.open, candle.high, candle.low, candle.close, candle.ticks)
        assert ours == (prices[0], max(prices), min(prices), prices[-1], len(prices))
    assert len(finished) == len({t.ltt // MINUTE for t in trades})


def test_the_same_trade_told_twice_counts_once() -> None:
    candles, _ = builder()
    candles.add([trade(10, 0, 100), trade(10, 0, 100), trade(10, 0, 100)])

    current = candles.current(NIFTY)
    assert current is not None
    assert current.ticks == 1


def test_the_last_trade_before_we_came_draws_no_candle() -> None:
    candles, finished = builder()
    candles.add([tick(NIFTY, ltp=10, ltt=T0 - 5 * MINUTE, at=T0)])
    candles.flush()
    assert finished == []

    candles.add([trade(11, 5_000)])
    current = candles.current(NIFTY)
    assert current is not None
    assert current.open == 11


def test_f27_a_late_trade_still_shapes_its_minute() -> None:
    candles, finished = builder()
    candles.add([trade(10, 1_000), trade(11, 40_000), trade(12, 61_000), trade(15, 20_000)])
    candles.add([trade(8, 500)])
    candles.flush()

    last_word = {c.start: c for c in finished}[T0]
    assert (last_word.open, last_word.high, last_word.low, last_word.close) == (8, 15, 8, 11)


def test_a_minute_that_was_watched_only_in_part_says_so() -> None:
    candles, finished = builder()
    candles.broken(T0 + 10_000)
    candles.add([trade(10, 20_000), trade(11, 70_000), trade(12, 130_000)])
    candles.broken(T0 + 150_000)
    candles.add([trade(12, 160_000), trade(13, 190_000)])

    assert [(c.start - T0, c.complete) for c in finished] == [
        (0, False),
        (MINUTE, True),
        (2 * MINUTE, False),
    ]


def test_flush_before_a_time_keeps_the_minute_under_way() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0)])
    candles.flush(before=T0 + MINUTE - 1)
    assert finished == []

    candles.flush(before=T0 + MINUTE)
    candles.flush(before=T0 + MINUTE)
    assert [c.start for c in finished] == [T0]


def test_volume_is_not_counted_across_a_day_roll_or_when_unknown() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0, 5_000), trade(10, 10_000, 100), trade(11, 20_000)])
    candles.flush()

    assert finished[0].volume == 0


def test_a_minute_that_begins_after_the_break_is_whole() -> None:
    """A replay shows its opening price, stamped with the opening, before the session begins."""
    candles, _ = builder()
    candles.add([tick(NIFTY, ltp=10, ltt=T0, at=T0 - 5_000)])
    candles.broken(T0 - 4_000)
    candles.add([trade(11, 1_000)])

    current = candles.current(NIFTY)
    assert current is not None
    assert current.complete


def test_an_instrument_that_is_watched_from_mid_minute_on_says_so() -> None:
    candles, finished = builder()
    candles.broken(T0 - 10 * MINUTE)  # the feed itself has long been up
    candles.add([tick(NIFTY, ltp=10, ltt=T0 + 20_000, at=T0 + 30_000)])
    candles.add([trade(11, 70_000), trade(12, 130_000)])

    assert [(c.start - T0, c.complete) for c in finished] == [(0, False), (MINUTE, True)]


def test_a_day_that_runs_fast_loses_no_trade_to_the_time_between_two_frames() -> None:
    """At 1,500 times the speed a frame is stamped a minute after the trades that it tells of."""
    candles, finished = builder()
    candles.add([tick(NIFTY, at=T0 - 90 * MINUTE, parts=Part.CLOSE)])
    candles.add([tick(NIFTY, ltp=10, ltt=T0, at=T0 + 75_000)])
    candles.add([tick(NIFTY, ltp=11, ltt=T0 + 61_000, at=T0 + 140_000)])

    assert [(c.start - T0, c.open, c.complete) for c in finished] == [(0, 10, True)]


def test_the_volumes_of_a_second_day_are_counted() -> None:
    """They were 0 until the day's volume passed that of the day before."""
    candles, finished = builder()
    day = 24 * 60 * MINUTE
    candles.add([trade(10, 0, 1_000_000)])
    candles.add([trade(10, day, 500), trade(10, day + MINUTE, 900), trade(10, day + 61_000, 950)])
    candles.flush()

    assert finished[-1].volume == 450


def test_what_was_traded_in_a_gap_is_not_the_volume_of_the_minute_after_it() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0, 100)])
    candles.broken(T0 + 30_000)
    candles.broken(T0 + 5 * MINUTE + 10_000)
    candles.add([trade(11, 5 * MINUTE + 20_000, 50_000), trade(11, 5 * MINUTE + 21_000, 50_010)])
    candles.flush()

    assert (finished[-1].volume, finished[-1].complete) == (10, False)


def test_a_minute_that_ended_before_the_silence_was_noticed_is_told_again_as_partial() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0), trade(11, 50_000)])
    candles.flush(before=T0 + MINUTE)
    candles.broken(T0 + 65_000)
    candles.flush(before=T0 + MINUTE)

    assert [(c.start, c.complete) for c in finished] == [(T0, True), (T0, False)]


def test_a_minute_that_was_over_when_something_was_last_heard_stays_whole() -> None:
    """An option that rarely trades lost the truth of its last minute with each reconnect."""
    candles, finished = builder()
    candles.add([trade(10, 0), tick("NSE_EQ|other", ltt=T0 + 10 * MINUTE)])
    candles.broken(T0 + 11 * MINUTE)
    candles.add([trade(11, 12 * MINUTE)])
    candles.flush()

    whole = {c.start: c.complete for c in finished if c.instrument_key == NIFTY}
    assert whole[T0]


def test_a_minute_that_is_left_or_come_back_to_is_not_whole() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0), trade(12, MINUTE), trade(13, 2 * MINUTE)])
    candles.left([NIFTY, "NSE_EQ|never heard of"])
    candles.add([trade(14, 4 * MINUTE + 30_000), trade(15, 5 * MINUTE), trade(16, 6 * MINUTE)])

    told = [((c.start - T0) // MINUTE, c.complete) for c in finished]
    assert told == [(0, True), (1, True), (2, False), (4, False), (5, True)]


def test_a_minute_that_was_over_before_it_was_left_is_whole() -> None:
    candles, finished = builder()
    candles.add([trade(10, 0)])
    candles.add([tick("NSE_EQ|other", ltp=1, ltt=T0 + 2 * MINUTE)])
    candles.left([NIFTY])

    assert [c.complete for c in finished] == [True]
