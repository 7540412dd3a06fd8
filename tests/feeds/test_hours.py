"""The broker's calendar becomes the desk's rules, exchange by exchange."""

from datetime import UTC, date, datetime, time

from feeds.upstox.answers import HolidayRow, Opening
from feeds.upstox.hours import calendar, unusual
from trading.hours import IST, HoursRules, Phase, TemplateSession, TradingHours

DAY = date(2026, 1, 15)


def at(day: date, hour: int, minute: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=IST).timestamp() * 1000)


def test_closed_exchanges_are_closed_in_all_their_segments() -> None:
    row = HolidayRow("2026-01-15", "Election", ("NSE", "NFO"), ())

    found = calendar([row])

    assert {(h.day, h.segment, h.name) for h in found.holidays} == {
        (DAY, segment, "Election") for segment in ("NSE_EQ", "NSE_INDEX", "NSE_FO")
    }
    assert found.specials == ()


def test_an_exchange_with_hours_on_a_holiday_is_open_at_those_hours() -> None:
    opening = Opening("MCX", at(DAY, 17), at(DAY, 23, 30))
    row = HolidayRow("2026-01-15", "Holiday", ("NSE", "MCX"), (opening,))

    found = calendar([row])

    assert {h.segment for h in found.holidays} == {"NSE_EQ", "NSE_INDEX"}
    assert {(s.segment, s.phase, s.start, s.end) for s in found.specials} == {
        (segment, Phase.OPEN, time(17), time(23, 30)) for segment in ("MCX_FO", "MCX_INDEX")
    }


def test_a_listed_saturday_is_a_trading_day_for_whom_it_is_listed() -> None:
    saturday = date(2026, 1, 31)
    opening = Opening("NSE", at(saturday, 9, 15), at(saturday, 12, 30))
    found = calendar([HolidayRow("2026-01-31", "Budget", ("MCX",), (opening,))])
    hours = TradingHours(HoursRules((), found.holidays, found.specials))

    assert hours.is_open("NSE_EQ", datetime(2026, 1, 31, 5, 0, tzinfo=UTC))
    assert not hours.is_open("NSE_EQ", datetime(2026, 1, 31, 8, 0, tzinfo=UTC))


def test_a_day_on_which_nothing_is_closed_closes_nothing() -> None:
    found = calendar([HolidayRow("2026-01-01", "New Year", (), ())])

    assert (found.holidays, found.specials, found.skipped) == ((), (), 0)


def test_rows_that_cannot_be_read_are_counted_and_the_rest_stands() -> None:
    absurd = Opening("NSE", 10**30, 10**30)
    rows = [
        HolidayRow("soon", "?", ("NSE",), ()),
        HolidayRow("2026-01-15", "?", (), (absurd,)),
        HolidayRow("2026-01-15", "Holiday", ("NFO", "MOON"), ()),
    ]

    found = calendar(rows)

    assert found.skipped == 2
    assert [h.segment for h in found.holidays] == ["NSE_FO"]


def test_only_hours_that_differ_from_our_rules_are_special() -> None:
    ordinary = TemplateSession("NSE_FO", Phase.OPEN, time(9, 15), time(15, 30))
    hours = TradingHours(HoursRules((ordinary,)))
    same = Opening("NFO", at(DAY, 9, 15), at(DAY, 15, 30))
    longer = Opening("NFO", at(DAY, 9, 15), at(DAY, 15, 40))

    assert unusual(DAY, [same], hours) == []
    assert [(s.segment, s.end) for s in unusual(DAY, [longer], hours)] == [("NSE_FO", time(15, 40))]
