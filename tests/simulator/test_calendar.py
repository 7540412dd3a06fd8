"""The exchange's hours and holidays, as its status, timing and holiday calls answer."""

from datetime import date, datetime, time

import pytest

from simulator.calendar import (
    EXCHANGES,
    LISTED,
    ExchangeCalendar,
    Listed,
    MarketStatus,
    Span,
    previous_close,
    trades_on,
)

CALENDAR = ExchangeCalendar(always_open=False)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+05:30").timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2024-06-27T08:59:59", MarketStatus.NORMAL_CLOSE),
        ("2024-06-27T09:00:00", MarketStatus.PRE_OPEN_START),
        ("2024-06-27T09:08:00", MarketStatus.PRE_OPEN_END),
        ("2024-06-27T09:15:00", MarketStatus.NORMAL_OPEN),
        ("2024-06-27T15:29:59.999", MarketStatus.NORMAL_OPEN),
        ("2024-06-27T15:30:00", MarketStatus.NORMAL_CLOSE),
        ("2024-06-27T15:40:00", MarketStatus.CLOSING_START),
        ("2024-06-27T16:00:00", MarketStatus.CLOSING_END),
        ("2024-06-29T10:00:00", MarketStatus.NORMAL_CLOSE),  # a Saturday
    ],
)
def test_shares_pass_through_their_day(at: str, status: MarketStatus) -> None:
    assert CALENDAR.status("NSE", ms(at)) is status
    assert CALENDAR.status("NSE_EQ", ms(at)) is status
    assert CALENDAR.status("NSE_INDEX", ms(at)) is status


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-07-31T15:29:59", True),
        ("2026-07-31T15:30:00", False),
        ("2026-08-03T15:39:59", True),
        ("2026-08-03T15:40:00", False),
    ],
)
def test_derivatives_close_later_from_august_2026(at: str, is_open: bool) -> None:
    assert CALENDAR.is_open("NSE_FO", ms(at)) is is_open
    assert CALENDAR.is_open("NFO", ms(at)) is is_open


def test_commodities_trade_into_the_night() -> None:
    assert CALENDAR.is_open("MCX_FO", ms("2024-06-27T23:29:59"))
    assert not CALENDAR.is_open("MCX_FO", ms("2024-06-27T23:30:00"))


def test_on_a_holiday_commodities_open_in_the_evening() -> None:
    assert not CALENDAR.is_open("NSE", ms("2026-01-15T11:00:00"))
    assert not CALENDAR.is_open("MCX", ms("2026-01-15T11:00:00"))
    assert CALENDAR.is_open("MCX", ms("2026-01-15T18:00:00"))
    assert CALENDAR.timings(date(2026, 1, 15))[0] == {
        "exchange": "MCX",
        "start_time": ms("2026-01-15T17:00"),
        "end_time": ms("2026-01-15T23:30"),
    }


def test_a_holiday_row_is_the_brokers() -> None:
    row = CALENDAR.holidays_on(date(2026, 1, 15))[0]

    assert row == {
        "date": "2026-01-15",
        "description": "Municipal Corporation Elections",
        "holiday_type": "TRADING_HOLIDAY",
        "closed_exchanges": ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD"],
        "open_exchanges": [
            {
                "exchange": exchange,
                "start_time": ms("2026-01-15T17:00"),
                "end_time": ms("2026-01-15T23:30"),
            }
            for exchange in ("MCX", "NSCOM")
        ],
    }


def test_a_saturday_session_is_listed_as_a_trading_holiday_and_trades() -> None:
    row = CALENDAR.holidays_on(date(2025, 2, 1))[0]

    assert row["holiday_type"] == "TRADING_HOLIDAY"
    assert row["closed_exchanges"] == ["CDS", "BCD", "MCX", "NSCOM"]
    assert CALENDAR.is_open("NSE_FO", ms("2025-02-01T12:00:00"))
    assert not CALENDAR.is_open("NSE_FO", ms("2025-02-01T15:30:00"))
    assert not CALENDAR.is_open("NCD_FO", ms("2025-02-01T12:00:00"))


def test_new_year_is_listed_though_nothing_is_closed() -> None:
    row = CALENDAR.holidays_on(date(2026, 1, 1))[0]

    assert (row["holiday_type"], row["closed_exchanges"]) == ("TRADING_HOLIDAY", [])
    assert CALENDAR.is_open("NSE", ms("2026-01-01T15:00:00"))
    assert CALENDAR.is_open("MCX", ms("2026-01-01T16:59:59"))
    assert not CALENDAR.is_open("MCX", ms("2026-01-01T17:00:00"))


def test_muhurat_is_an_hour_on_a_day_that_is_otherwise_closed() -> None:
    assert not CALENDAR.is_open("NSE", ms("2025-10-21T10:00:00"))
    assert CALENDAR.is_open("NSE", ms("2025-10-21T13:45:00"))
    assert not CALENDAR.is_open("NSE", ms("2025-10-21T14:45:00"))
    assert not trades_on(date(2025, 10, 21))


def test_two_sessions_of_one_saturday_are_two_rows() -> None:
    rows = [row for row in CALENDAR.timings(date(2024, 3, 2)) if row["exchange"] == "NSE"]

    assert [(row["start_time"], row["end_time"]) for row in rows] == [
        (ms("2024-03-02T09:15"), ms("2024-03-02T10:00")),
        (ms("2024-03-02T11:30"), ms("2024-03-02T12:30")),
    ]
    assert not CALENDAR.is_open("NSE", ms("2024-03-02T10:30:00"))


def test_the_holidays_of_2026_are_the_known_weekdays() -> None:
    closed = {
        row["date"]
        for row in CALENDAR.holidays(2026)
        if "NSE" in (row["closed_exchanges"] or ())  # type: ignore[operator]
    }

    assert closed == {
        *("2026-01-15", "2026-01-26", "2026-03-03", "2026-03-26", "2026-03-31", "2026-04-03"),
        *("2026-04-14", "2026-05-01", "2026-05-28", "2026-06-26", "2026-09-14", "2026-10-02"),
        *("2026-10-20", "2026-11-10", "2026-11-24", "2026-12-25"),
    }


def test_no_date_is_listed_twice_and_each_exchange_is_known() -> None:
    assert len({listed.day for listed in LISTED}) == len(LISTED)
    named = {e for x in LISTED for e in (*x.closed, *(span.exchange for span in x.opened))}
    assert named <= set(EXCHANGES)
    assert not any(set(x.closed) & {span.exchange for span in x.opened} for x in LISTED)


def test_the_timings_of_an_ordinary_day_name_every_exchange() -> None:
    rows = CALENDAR.timings(date(2024, 6, 27))

    assert [row["exchange"] for row in rows] == list(EXCHANGES)
    assert rows[0] == {
        "exchange": "NSE",
        "start_time": ms("2024-06-27T09:15"),
        "end_time": ms("2024-06-27T15:30"),
    }
    assert CALENDAR.timings(date(2024, 6, 30)) == []


def test_the_status_says_since_when_and_what_the_closing_auction_does() -> None:
    before = CALENDAR.status_row("NSE", ms("2024-06-27T10:00:00"))
    after = CALENDAR.status_row("NSE", ms("2026-08-04T15:16:00"))

    assert before == {
        "exchange": "NSE",
        "status": "NORMAL_OPEN",
        "last_updated": ms("2024-06-27T09:15"),
    }
    assert after["status"] == "NORMAL_OPEN"
    assert after["cas_eligible_status"] == {
        "status": "CTS_CLOSE",
        "last_updated": ms("2026-08-04T15:15"),
    }


def test_a_day_that_was_declared_late_has_no_closing_auction_either() -> None:
    calendar = ExchangeCalendar(always_open=False)
    day = date(2026, 8, 4)
    calendar.declare(Listed(day, "Extended", (), (Span("NSE", time(9, 15), time(17, 0)),)))

    for at, status, since in (
        ("2026-08-04T15:16:00", "NORMAL_OPEN", "09:15"),
        ("2026-08-04T17:00:00", "NORMAL_CLOSE", "17:00"),
    ):
        row = calendar.status_row("NSE", ms(at))
        told = {"status": status, "last_updated": ms(f"2026-08-04T{since}")}
        assert row == {"exchange": "NSE", **told, "cas_eligible_status": told}


def test_an_exchange_that_never_closes_says_so_in_every_answer() -> None:
    calendar = ExchangeCalendar(always_open=True)
    christmas_night = ms("2026-12-25T03:00:00")

    assert calendar.status("NSE_EQ", christmas_night) is MarketStatus.NORMAL_OPEN
    assert calendar.holidays(2026) == []
    assert calendar.timings(date(2026, 12, 25)) == [
        {
            "exchange": exchange,
            "start_time": ms("2026-12-25T00:00"),
            "end_time": ms("2026-12-26T00:00"),
        }
        for exchange in EXCHANGES
    ]


@pytest.mark.parametrize("always_open", [True, False])
def test_an_unknown_exchange_is_an_error(always_open: bool) -> None:
    with pytest.raises(KeyError):
        ExchangeCalendar(always_open).status("NYSE", ms("2024-06-27T10:00:00"))


def test_the_close_before_a_monday_is_fridays() -> None:
    assert previous_close(ms("2024-06-24T09:15:00")) == ms("2024-06-21T15:30")
