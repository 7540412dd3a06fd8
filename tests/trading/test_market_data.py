import math
import tracemalloc
from datetime import UTC, datetime

import pytest

from tests.ticks import ALL, CALL, NIFTY, T0, batch, tick
from trading.clock import ManualClock
from trading.market_data import Board, MarketDataService
from trading.model import Level, Part, Tick
from trading.signal import Priority


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2025, 11, 26, 4, 0, tzinfo=UTC))


@pytest.fixture
def service(clock: ManualClock) -> MarketDataService:
    return MarketDataService(clock)


def heard(service: MarketDataService) -> list[Tick]:
    ticks: list[Tick] = []
    service.ticks.subscribe(ticks.extend)
    return ticks


def test_the_cache_gives_back_exactly_what_was_published(service: MarketDataService) -> None:
    levels = (Level(142.5, 300, 142.7, 225), Level(142.45, 75, 142.75, 150))
    published = tick(depth=levels)
    service.publish(batch(published))

    assert service.last(CALL) == published
    assert service.last("NSE_FO|1") is None


def test_the_cache_is_written_before_subscribers_hear(service: MarketDataService) -> None:
    seen: list[float] = []

    def read_back(ticks: list[Tick]) -> None:
        last = service.last(CALL)
        assert last is not None
        seen.append(last.ltp)

    service.ticks.subscribe(read_back, priority=Priority.CRITICAL)
    service.publish(batch(tick(ltp=150.0)))

    assert seen == [150.0]


def test_subscribers_hear_by_priority_and_a_failing_one_stops_nobody(
    service: MarketDataService,
) -> None:
    order: list[str] = []

    def fails(_: list[Tick]) -> None:
        order.append("critical")
        raise ValueError

    service.ticks.subscribe(lambda _: order.append("low"), priority=Priority.LOW)
    service.ticks.subscribe(lambda _: order.append("normal"))
    service.ticks.subscribe(lambda _: order.append("high"), priority=Priority.HIGH)
    service.ticks.subscribe(fails, priority=Priority.CRITICAL)
    service.publish(batch(tick()))

    assert order == ["critical", "high", "normal", "low"]
    assert service.ticks.failures == 1


@pytest.mark.parametrize("missing", list(Part))
def test_f25_a_part_that_did_not_come_keeps_its_value(
    service: MarketDataService, missing: Part
) -> None:
    first = tick(received=1000.0)
    later = tick(ltp=143.0, ltt=T0 + 500, volume=1075, bid=142.9, received=1010.0)
    service.publish(batch(first))
    partial = tick(
        ltp=143.0,
        ltt=T0 + 500,
        at=T0 + 500,
        volume=1075,
        bid=142.9,
        received=1010.0,
        parts=ALL & ~missing,
    )
    service.publish(batch(partial))

    last = service.last(CALL)
    assert last is not None
    assert not any(math.isnan(value) for value in last[1:-1])
    expected_bid = first.bid if missing is Part.BOOK else later.bid
    expected_ltp = first.ltp if missing is Part.PRICE else later.ltp
    expected_volume = first.volume if missing is Part.VOLUME else later.volume
    assert (last.bid, last.ltp, last.volume) == (expected_bid, expected_ltp, expected_volume)
    assert last.price_received == (1000.0 if missing is Part.PRICE else 1010.0)
    assert last.book_received == (1000.0 if missing is Part.BOOK else 1010.0)
    assert last.greeks_received == (1000.0 if missing is Part.GREEKS else 1010.0)


def test_f25_depth_alone_ages_the_price_and_not_the_book(
    service: MarketDataService, clock: ManualClock
) -> None:
    service.publish(batch(tick(received=clock.monotonic())))
    clock.advance(20)
    service.publish(
        batch(tick(at=T0 + 20_000, received=clock.monotonic(), bid=142.0, parts=Part.BOOK))
    )

    assert service.price_age(CALL) == 20.0
    last = service.last(CALL)
    assert last is not None
    assert (last.bid, last.book_received) == (142.0, clock.monotonic())
    assert service.heard_age() == 20.0
    assert math.isnan(service.fresh_price(CALL, within=5.0))


def test_a_price_is_fresh_only_within_its_time_by_the_monotonic_clock(
    service: MarketDataService, clock: ManualClock
) -> None:
    service.publish(batch(tick(ltp=142.6, received=clock.monotonic())))
    clock.step_wall(3600)
    clock.advance(5.0)
    assert service.fresh_price(CALL, within=5.0) == 142.6

    clock.advance(0.1)
    assert math.isnan(service.fresh_price(CALL, within=5.0))
    assert math.isnan(service.fresh_price("NSE_FO|1", within=5.0))


def test_f27_a_late_tick_is_recorded_but_not_believed(service: MarketDataService) -> None:
    news = heard(service)
    late: list[Tick] = []
    service.late.subscribe(late.extend)
    service.publish(batch(tick(ltp=143.0, ltt=T0 + 200)))
    service.publish(batch(tick(ltp=142.0, ltt=T0 + 100)))
    service.publish(batch(tick(ltp=141.0, ltt=T0 + 200, at=T0 + 150)))

    assert [t.ltp for t in news] == [143.0]
    assert [t.ltp for t in late] == [142.0, 141.0]
    assert service.last(CALL).ltp == 143.0  # type: ignore[union-attr]


def test_f28_a_snapshot_that_says_nothing_new_is_not_news_but_refreshes_the_age(
    service: MarketDataService, clock: ManualClock
) -> None:
    news = heard(service)
    service.publish(batch(tick(received=clock.monotonic())))
    clock.advance(30)
    again = tick(at=T0 + 30_000, received=clock.monotonic())
    service.publish(batch(again, generation=2))

    assert len(news) == 1
    assert service.repeated == 1
    assert service.price_age(CALL) == 0.0


def test_f28_a_lagging_snapshot_after_a_reconnect_is_late(service: MarketDataService) -> None:
    news = heard(service)
    service.publish(batch(tick(ltp=143.0, ltt=T0 + 5_000)))
    service.publish(batch(tick(ltp=140.0, ltt=T0 + 1_000, at=T0 + 6_000), generation=2))

    assert [t.ltp for t in news] == [143.0]


def test_an_exchange_whose_clock_was_set_back_is_believed_on_a_new_connection(
    service: MarketDataService,
) -> None:
    """Otherwise a restarted simulation would be late for ever and the old price stay on screen."""
    news = heard(service)
    service.publish(batch(tick(ltp=143.0, ltt=T0)))
    service.publish(batch(tick(ltp=99.0, ltt=T0 - 3_600_000), generation=2))

    assert [t.ltp for t in news] == [143.0, 99.0]


def test_each_frame_of_a_new_connection_may_tell_that_the_clock_was_set_back(
    service: MarketDataService,
) -> None:
    """The first frame after a reconnect rarely has all instruments: the others froze for ever."""
    service.publish(batch(tick(CALL, ltt=T0), tick(NIFTY, ltt=T0)))
    hour_ago = T0 - 3_600_000
    service.publish(batch(tick(CALL, ltp=99.0, ltt=hour_ago, received=1001.0), generation=2))
    service.publish(batch(tick(NIFTY, ltp=98.0, ltt=hour_ago, received=1001.2), generation=2))

    assert service.last(NIFTY).ltp == 98.0  # type: ignore[union-attr]


def test_h04_one_frame_with_a_clock_of_tomorrow_does_not_freeze_the_price(
    service: MarketDataService, clock: ManualClock
) -> None:
    service.publish(batch(tick(ltp=100.0, ltt=T0, received=clock.monotonic())))
    clock.advance(1)
    wrong = tick(ltp=101.0, ltt=T0 + 1_000, at=T0 + 86_400_000, received=clock.monotonic())
    service.publish(batch(wrong))
    for second in range(2, 9):
        clock.advance(1)
        right = tick(ltp=100.0 + second, ltt=T0 + 1_000 * second, received=clock.monotonic())
        service.publish(batch(right))

    assert service.last(CALL).ltp == 108.0  # type: ignore[union-attr]
    assert service.price_age(CALL) == 0.0


def test_a_trade_of_the_future_does_not_freeze_the_price_until_then(
    service: MarketDataService,
) -> None:
    service.publish(batch(tick(ltp=100.0, ltt=T0 + 240_000, at=T0)))
    service.publish(batch(tick(ltp=101.0, ltt=T0 + 500, at=T0 + 1_000)))
    service.publish(batch(tick(ltp=99.0, ltt=T0 + 400, at=T0 + 1_500)))

    assert service.last(CALL).ltp == 101.0  # type: ignore[union-attr]


def test_late_prices_alone_leave_the_feed_silent(
    service: MarketDataService, clock: ManualClock
) -> None:
    """Everything was late once, and the header said FEED LIVE above prices that stood still."""
    service.publish(batch(tick(ltt=T0 + 40_000, received=clock.monotonic())))
    clock.advance(6)
    service.publish(batch(tick(ltt=T0 + 10_000, received=clock.monotonic())))

    assert service.heard_age() == 6.0


def test_a_frame_that_does_not_tell_its_time_is_not_late(service: MarketDataService) -> None:
    service.publish(batch(tick(ltp=100.0, ltt=T0)))
    service.publish(batch(tick(ltp=101.0, ltt=T0 + 100, at=-1)))

    assert service.last(CALL).ltp == 101.0  # type: ignore[union-attr]


def test_the_board_keeps_a_hundred_full_instruments_in_less_than_fifty_kilobytes() -> None:
    keys = [f"NSE_FO|{45_000 + i}" for i in range(100)]
    board = Board()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for step in range(5):
        ticks = [
            tick(key, ltp=100 + i + step / 7, ltt=T0 + step, volume=10**6 + i * step)
            for i, key in enumerate(keys)
        ]
        board.apply(ticks, new_connection=False)
    del ticks
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert len(board) == 100
    assert used < 50_000, used


def test_indices_know_no_book(service: MarketDataService) -> None:
    service.publish(batch(tick(NIFTY, parts=Part.PRICE | Part.CLOSE | Part.DAY)))

    last = service.last(NIFTY)
    assert last is not None
    assert math.isnan(last.bid)
    assert math.isnan(last.oi)
    assert last.volume == -1


def test_levels_that_are_no_longer_read_are_forgotten_with_the_next_book(
    service: MarketDataService,
) -> None:
    """Chosen again later, the instrument would show an old book beside a fresh best price."""
    levels = (Level(142.5, 300, 142.7, 225),)
    service.publish(batch(tick(depth=levels)))
    service.publish(batch(tick(ltp=143.0, ltt=T0 + 100, parts=Part.PRICE)))
    last = service.last(CALL)
    assert last is not None
    assert last.depth == levels

    service.publish(batch(tick(bid=142.6, ltt=T0 + 200)))
    last = service.last(CALL)
    assert last is not None
    assert last.depth is None
