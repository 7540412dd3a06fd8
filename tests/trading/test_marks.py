import math

import pytest

from tests.ticks import CALL, batch, tick
from tests.trading.holdings import PUT, House, quote
from trading.errors import BadAnswer, RateLimited
from trading.marks import ASK_EVERY, PRICE_FRESH, Mark
from trading.model import UNKNOWN, Part
from trading.ports import PolledQuote


@pytest.fixture
def house() -> House:
    return House()


async def seconds(house: House, count: int) -> list[Mark | None]:
    """Let the job of each second run, and return what the mark was after each."""
    seen = []
    for _ in range(count):
        house.clock.advance(1.0)
        await house.marks.poll()
        seen.append(house.marks.of(CALL))
    return seen


def test_a_fresh_tick_is_the_mark_with_its_book(house: House) -> None:
    house.price(145.0)
    house.clock.advance(PRICE_FRESH)

    mark = house.marks.of(CALL)

    assert mark == Mark(145.0, 5.0, "W", 142.5, 300, 142.7, 225, house.now_ms - 5_000)
    assert house.marks.why_not(CALL) == ""


def test_an_old_tick_is_no_mark_and_it_is_said_why(house: House) -> None:
    house.price(145.0)
    house.clock.advance(PRICE_FRESH + 0.1)

    assert house.marks.of(CALL) is None
    assert "5 s old" in house.marks.why_not(CALL)
    assert "nobody has it asked for" in house.marks.why_not(CALL)
    assert house.marks.why_not(PUT).startswith("no price came")


def test_f25_a_fresh_book_does_not_make_an_old_price_new(house: House) -> None:
    house.price(145.0)
    for _ in range(20):
        house.clock.advance(1.0)
        house.price(UNKNOWN, parts=Part.BOOK)

    assert house.marks.of(CALL) is None


async def test_an_old_book_is_not_shown_beside_a_fresh_price(house: House) -> None:
    house.price(145.0)
    house.clock.advance(6.0)
    house.price(146.0, parts=Part.PRICE)

    mark = house.marks.of(CALL)

    assert mark is not None
    assert mark.price == 146.0
    assert math.isnan(mark.bid)
    assert math.isnan(mark.ask)


async def test_a_silent_instrument_is_asked_for_without_a_hole_until_ticks_return(
    house: House,
) -> None:
    house.marks.want("positions", [CALL])
    house.price(145.0)
    house.quotes.answers[CALL] = quote(ltp=144.0, ltt=house.now_ms)

    seen = await seconds(house, 30)
    assert [mark.source for mark in seen if mark] == ["W"] * 5 + ["R"] * 25
    assert all(mark.age <= PRICE_FRESH for mark in seen if mark)
    asked = len(house.quotes.asked)
    assert asked <= 30 / ASK_EVERY + 1

    house.clock.advance(1.0)
    house.price(147.0)
    mark = house.marks.of(CALL)
    assert mark is not None
    assert (mark.price, mark.source) == (147.0, "W")
    await house.marks.poll()
    assert len(house.quotes.asked) == asked


async def test_what_ticks_serve_or_nobody_wants_is_not_asked_for(house: House) -> None:
    undo = house.marks.want("positions", [CALL])
    for _ in range(10):
        house.price(145.0)
        await seconds(house, 1)
    assert house.quotes.asked == []

    undo()
    undo()
    await seconds(house, 10)
    assert house.quotes.asked == []


async def test_nothing_is_asked_for_while_the_segment_is_closed(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.is_open = False

    await seconds(house, 10)

    assert house.quotes.asked == []
    assert house.marks.why_not(CALL) == "the market is closed and no price came over the feed"


async def test_instruments_are_asked_for_together_and_at_most_500_at_once(house: House) -> None:
    house.marks.want("positions", [f"NSE_FO|{n}" for n in range(1_200)])

    await seconds(house, 1)

    assert [len(keys) for keys in house.quotes.asked] == [500, 500, 200]


@pytest.mark.parametrize(
    ("ltp", "low", "high", "words"),
    [
        (120.0, 121.4, 149.9, "outside the day's 121.40 to 149.90"),
        (150.0, 121.4, 149.9, "outside the day's 121.40 to 149.90"),
        (0.0, 0.0, 149.9, "no price"),
        (-1.0, -2.0, 149.9, "no price"),
        (math.nan, 121.4, 149.9, "no price"),
        (math.inf, 121.4, math.inf, "no price"),
        (1e308, 121.4, 1e308, "no price"),
        (5e-324, 5e-324, 149.9, "no price"),
        (140.0, math.nan, math.nan, "range is not known"),
    ],
)
async def test_f26_f29_a_quote_that_cannot_be_is_not_used_and_it_is_said_why(
    house: House, ltp: float, low: float, high: float, words: str
) -> None:
    used: list[PolledQuote] = []
    house.marks.polled.subscribe(used.extend)
    house.marks.want("positions", [CALL])
    house.quotes.answers[CALL] = quote(ltp=ltp, ltt=house.now_ms, low=low, high=high)

    seen = await seconds(house, 3)

    assert seen == [None, None, None]
    assert used == []
    assert words in house.marks.why_not(CALL)


async def test_f29_a_quote_with_an_older_trade_than_the_feed_told_is_not_used(
    house: House,
) -> None:
    house.marks.want("positions", [CALL])
    house.price(145.0)
    house.quotes.answers[CALL] = quote(ltp=144.0, ltt=house.now_ms - 1)
    await seconds(house, 6)
    assert house.marks.of(CALL) is None
    assert "older than what the feed told" in house.marks.why_not(CALL)

    house.quotes.answers[CALL] = quote(ltp=144.0, ltt=house.now_ms)
    await seconds(house, 4)
    assert house.marks.of(CALL) is not None


async def test_a_trade_of_the_future_that_the_feed_told_does_not_refuse_quotes(
    house: House,
) -> None:
    house.marks.want("positions", [CALL])
    now = house.now_ms
    ahead = tick(CALL, ltt=now + 3_600_000, at=now, received=house.clock.monotonic())
    house.market_data.publish(batch(ahead))
    house.quotes.answers[CALL] = quote(ltt=now)

    seen = await seconds(house, 8)

    assert seen[-1] is not None


async def test_without_a_days_range_a_quote_may_confirm_what_the_feed_told(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.price(145.0)
    house.quotes.answers[CALL] = quote(ltp=145.0, ltt=house.now_ms, low=0.0, high=0.0)

    seen = await seconds(house, 10)

    assert seen[-1] is not None


async def test_a_failed_read_keeps_its_reason_and_a_limit_is_kept_to(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.quotes.fails = BadAnswer("an HTML page")
    await seconds(house, 1)
    assert house.marks.why_not(CALL).endswith("its quote could not be read: an HTML page")

    house.quotes.fails = RateLimited("slow down", retry_after=20.0)
    await seconds(house, 4)
    before = len(house.quotes.asked)
    await seconds(house, 19)
    assert len(house.quotes.asked) == before

    house.quotes.fails = None
    await seconds(house, 1)
    assert house.marks.why_not(CALL).endswith("the broker tells no quote of it")


async def test_a_slow_answer_counts_from_when_it_was_asked_for(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.quotes.answers[CALL] = quote(ltt=house.now_ms)
    house.quotes.while_asked = lambda: house.clock.advance(4.0)
    await house.marks.poll()
    mark = house.marks.of(CALL)
    assert mark is not None
    assert mark.age == 4.0

    house.clock.advance(1.1)
    assert house.marks.of(CALL) is None


async def test_after_the_close_the_last_price_counts_and_is_shown_as_closed(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.price(145.0)
    house.quotes.answers[CALL] = quote(ltp=144.0, ltt=house.now_ms + 2_000)
    await seconds(house, 4)
    house.is_open = False
    house.clock.advance(3_600.0)

    mark = house.marks.of(CALL)

    assert mark is not None
    assert (mark.price, mark.source, mark.closed) == (144.0, "R", True)
    assert mark.age == 3_600
    house.price(146.0)  # the exchange's last word, of a later trade
    later = house.marks.of(CALL)
    assert later is not None
    assert (later.price, later.source, later.closed) == (146.0, "W", True)


async def test_instruments_that_are_seldom_traded_are_asked_for_together(house: House) -> None:
    """Twenty of them took a call each second, nearly all that the broker allows in half an hour."""
    keys = [f"NSE_FO|{n}" for n in range(20)]
    house.marks.want("positions", keys)
    house.quotes.answers = {key: quote(key, ltt=house.now_ms + 10**9) for key in keys}
    for second in range(300):
        house.clock.advance(1.0)
        house.price(145.0, keys[second % len(keys)])  # each of them every twenty seconds
        await house.marks.poll()
        known = [house.marks.of(key) for key in keys]
        assert second < len(keys) or all(known), "none of them is without a price for a moment"

    assert len(house.quotes.asked) <= 300 / 3


async def test_h01_quotes_asked_for_before_a_sleep_are_forgotten_and_asked_for_again(
    house: House,
) -> None:
    house.marks.want("positions", [CALL])
    house.quotes.answers[CALL] = quote(ltt=house.now_ms)
    await house.marks.poll()
    assert house.marks.of(CALL) is not None

    house.marks.forget()
    assert house.marks.of(CALL) is None
    house.clock.advance(1.0)
    await house.marks.poll()

    assert house.marks.of(CALL) is not None


async def test_h01_an_answer_that_was_asked_for_before_a_sleep_is_not_used(house: House) -> None:
    house.marks.want("positions", [CALL])
    house.quotes.answers[CALL] = quote(ltt=house.now_ms)
    house.quotes.while_asked = house.marks.forget  # the machine sleeps until the answer comes
    await house.marks.poll()

    assert house.marks.of(CALL) is None
