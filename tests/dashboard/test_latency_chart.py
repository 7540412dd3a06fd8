"""The latency charts: sixty places, gaps where nothing was measured, figures in words."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.latency_chart import hours, milliseconds, panel
from trading.health import Hop, HopMinute

NOW = datetime(2025, 11, 26, 5, 30, 20, tzinfo=UTC)  # 11:00:20 IST
MINUTE = timedelta(minutes=1)


def minute(back: int, p50: float = 41.0, p99: float = 88.0, count: int = 3_012) -> HopMinute:
    """Return the minute that began so many minutes before the present one."""
    return HopMinute(NOW.replace(second=0) - MINUTE * back, count, p50, p99)


def test_a_minute_stands_at_its_place_with_what_it_says() -> None:
    shown = panel(Hop.ARRIVAL, [minute(60), minute(2), minute(1)], NOW)

    assert len(shown.points) == 60
    assert [i for i, point in enumerate(shown.points) if point] == [0, 58, 59]
    expected = "10:59 IST · p50 41 ms, p99 88 ms · 3,012 frames"
    assert shown.points[59] == ("10:59", 41.0, 88.0, expected)
    assert shown.newest == "p50 41 ms · p99 88 ms at 10:59"


def test_what_is_older_than_the_hour_or_not_over_is_not_drawn() -> None:
    shown = panel(Hop.DECODE, [minute(61), minute(0)], NOW)

    assert shown.points == (None,) * 60
    assert "No price came" in shown.newest


def test_an_unknown_minute_is_a_gap_and_never_zero() -> None:
    shown = panel(Hop.SCREEN, [], NOW)

    assert set(shown.points) == {None}
    assert shown.newest.startswith("No page with prices was open")


def test_the_words_say_that_the_browser_is_not_measured() -> None:
    assert "browser and its drawing are not in it" in panel(Hop.SCREEN, [], NOW).measures


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0841, "0.084 ms"),
        (0.42, "0.42 ms"),
        (4.14, "4.1 ms"),
        (212.4, "212 ms"),
        (1234.0, "1,234 ms"),
        (-1800.0, "-1,800 ms"),
        (-0.5, "-0.50 ms"),
    ],
)
def test_milliseconds_of_any_size(value: float, expected: str) -> None:
    assert milliseconds(value) == expected


def test_the_hours_below_are_those_of_the_places() -> None:
    assert hours(NOW) == ("10:00", "10:30", "10:59")
