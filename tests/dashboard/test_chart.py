"""Which stretch of time a chart shows."""

from datetime import UTC, datetime, time, timedelta

from dashboard.chart import LONGEST, window
from tests.dashboard.fakes import ALWAYS, WEEKDAYS
from trading.hours import IST, Holiday, HoursRules, Phase, SpecialSession, TradingHours

OPEN = datetime(2025, 11, 26, 3, 45, tzinfo=UTC)  # Wednesday 09:15 IST
CLOSE = datetime(2025, 11, 26, 10, 0, tzinfo=UTC)


def test_the_session_under_way_is_shown_whole() -> None:
    shown = window(TradingHours(WEEKDAYS), "NSE_EQ", OPEN + timedelta(hours=1))

    assert (shown.start, shown.end, shown.trim) == (OPEN, CLOSE, False)


def test_after_the_close_and_before_the_next_opening_the_last_session_is_shown() -> None:
    hours = TradingHours(WEEKDAYS)
    for now in (CLOSE + timedelta(hours=3), OPEN + timedelta(hours=23)):
        shown = window(hours, "NSE_EQ", now)
        assert (shown.start, shown.end) == (OPEN, CLOSE)


def test_over_holidays_and_a_weekend_the_last_real_session_is_shown() -> None:
    days = [datetime(2025, 11, d, tzinfo=UTC).date() for d in (27, 28)]
    holidays = tuple(Holiday(day, "NSE_EQ", "made up") for day in days)
    hours = TradingHours(HoursRules(WEEKDAYS.templates, holidays))

    shown = window(hours, "NSE_EQ", datetime(2025, 11, 30, 6, 0, tzinfo=UTC))

    assert (shown.start, shown.end) == (OPEN, CLOSE)


def test_a_special_session_is_shown_for_what_it_is() -> None:
    evening = SpecialSession(OPEN.date(), "NSE_EQ", Phase.OPEN, time(18), time(19), "Muhurat")
    hours = TradingHours(HoursRules(WEEKDAYS.templates, (), (evening,)))

    shown = window(hours, "NSE_EQ", datetime(2025, 11, 26, 13, 0, tzinfo=UTC))

    assert shown.end - shown.start == timedelta(hours=1)


def test_of_a_market_that_never_closes_the_newest_part_is_shown() -> None:
    now = datetime(2025, 11, 26, 17, 20, 31, tzinfo=UTC)

    shown = window(TradingHours(ALWAYS), "NSE_EQ", now)

    assert shown.trim
    assert shown.start == (now - LONGEST).replace(second=0, microsecond=0)
    assert shown.end > now


def test_a_market_that_never_closes_begins_with_its_first_candle_at_every_hour() -> None:
    """Between midnight and 06:15 the chart was drawn from midnight on, nearly all of it empty."""
    for hour in (0, 3, 6, 12, 23):
        now = datetime(2025, 11, 26, hour, 20, tzinfo=IST)
        assert window(TradingHours(ALWAYS), "NSE_EQ", now).trim, hour


def test_an_unknown_segment_still_gets_a_window() -> None:
    shown = window(TradingHours(WEEKDAYS), "MCX_FO", OPEN)

    assert shown.start < shown.end
