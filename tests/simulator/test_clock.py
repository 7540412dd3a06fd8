"""The exchange's time: real by default, else a day of the past that only its speed moves."""

from datetime import UTC, datetime, timedelta

import pytest

from simulator.clock import ExchangeClock, ManualExchangeClock

NINE_FIFTEEN = datetime.fromisoformat("2024-06-27T09:15:00+05:30")


def test_by_default_it_is_the_wall_time() -> None:
    wall = [datetime(2025, 11, 21, 4, 0, tzinfo=UTC)]
    clock = ExchangeClock(wall=lambda: wall[0])
    wall[0] += timedelta(hours=1)

    assert clock.now() == datetime(2025, 11, 21, 5, 0, tzinfo=UTC)
    assert clock.start is None


def test_a_started_clock_runs_at_its_speed_from_its_start() -> None:
    seconds = [500.0]
    clock = ExchangeClock(NINE_FIFTEEN, 60.0, monotonic=lambda: seconds[0])
    seconds[0] += 2.5

    assert clock.now() == NINE_FIFTEEN + timedelta(seconds=150)
    assert clock.now().tzinfo is UTC
    assert clock.now_ms() == int(NINE_FIFTEEN.timestamp() * 1000) + 150_000


def test_a_step_of_the_wall_clock_does_not_move_a_started_clock() -> None:
    wall = [datetime(2025, 11, 21, tzinfo=UTC)]
    clock = ExchangeClock(NINE_FIFTEEN, monotonic=lambda: 1.0, wall=lambda: wall[0])
    wall[0] += timedelta(days=1)

    assert clock.now() == NINE_FIFTEEN


def test_a_speed_without_a_start_begins_at_the_wall_time() -> None:
    seconds, begin = [0.0], datetime(2025, 11, 21, tzinfo=UTC)
    clock = ExchangeClock(speed=10.0, monotonic=lambda: seconds[0], wall=lambda: begin)
    seconds[0] = 3.0

    assert clock.now() == begin + timedelta(seconds=30)


def test_it_jumps_past_the_token_expiry_and_runs_on() -> None:
    clock = ManualExchangeClock(NINE_FIFTEEN)
    clock.advance(10)
    clock.set(datetime.fromisoformat("2024-06-28T03:30:00+05:30"))
    clock.advance(0.25)

    assert clock.now() == datetime(2024, 6, 27, 22, 0, 0, 250_000, tzinfo=UTC)


def test_a_manual_clock_counts_seconds_of_the_exchange_at_any_speed() -> None:
    clock = ManualExchangeClock(NINE_FIFTEEN, speed=60.0)
    clock.advance(30)

    assert clock.now() == NINE_FIFTEEN + timedelta(seconds=30)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_goes_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        ExchangeClock(NINE_FIFTEEN, speed)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ExchangeClock(datetime(2024, 6, 27, 9, 15))  # noqa: DTZ001 - the subject of the test
