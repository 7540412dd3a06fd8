"""Trading hours from the tables: the defaults, and who prevails over whom."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest

from storage import defaults, hours
from storage.database import Database
from storage.journal import DatabaseJournal
from storage.writer import Writer
from trading.hours import IST, Holiday, Phase, SpecialSession, TemplateSession, TradingHours


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseJournal]:
    journal = DatabaseJournal(database, writer, is_mock=True)
    yield journal
    journal.close()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST).astimezone(UTC)


@pytest.mark.parametrize(
    ("segment", "moment", "phase"),
    [
        ("NSE_EQ", "2026-11-20T08:59:59", Phase.CLOSED),
        ("NSE_EQ", "2026-11-20T09:00", Phase.PRE_OPEN),
        ("NSE_EQ", "2026-11-20T09:15", Phase.OPEN),
        ("NSE_EQ", "2026-11-20T15:30", Phase.CLOSING),
        ("NSE_EQ", "2026-11-20T15:35", Phase.CLOSED),
        ("NSE_EQ", "2026-07-31T15:30", Phase.CLOSED),  # before there was a closing auction
        ("NSE_FO", "2026-07-31T15:30", Phase.CLOSED),
        ("NSE_FO", "2026-08-03T15:39:59", Phase.OPEN),
        ("NSE_FO", "2026-08-03T15:40", Phase.CLOSED),
        ("BSE_INDEX", "2024-06-27T15:29:59", Phase.OPEN),
        ("NCD_FO", "2026-11-20T16:59:59", Phase.OPEN),
        ("MCX_FO", "2026-09-18T23:29:59", Phase.OPEN),
        ("MCX_FO", "2026-09-18T23:30", Phase.CLOSED),
        ("MCX_FO", "2026-11-20T23:54:59", Phase.OPEN),  # winter in New York
        ("NSE_EQ", "2026-11-21T11:00", Phase.CLOSED),  # a Saturday
        ("NSE_EQ", "2026-11-24T11:00", Phase.CLOSED),  # Gurunanak Jayanti
        ("NSE_FO", "2024-11-01T18:30", Phase.OPEN),  # Muhurat, on a holiday
        ("NSE_FO", "2024-11-01T11:00", Phase.CLOSED),
        ("NSE_EQ", "2025-02-01T11:00", Phase.OPEN),  # Budget, on a Saturday
        ("NSE_EQ", "2024-03-02T10:30", Phase.CLOSED),  # between the two halves of a drill
        ("NSE_EQ", "2024-03-02T11:30", Phase.OPEN),
        ("XYZ", "2026-11-20T11:00", Phase.UNKNOWN),
    ],
)
def test_a_new_database_knows_the_hours(
    journal: DatabaseJournal, segment: str, moment: str, phase: Phase
) -> None:
    assert TradingHours(journal.hours_now()).state(segment, at(moment)).phase is phase


def test_the_defaults_are_days_on_which_there_would_have_been_trading() -> None:
    assert all(day.weekday() < 5 for day in defaults.HOLIDAYS)
    assert len({day for day in defaults.HOLIDAYS if day.year == 2026}) == 16
    assert all(day.weekday() > 4 or day in defaults.HOLIDAYS for day, *_ in defaults.SPECIALS)


async def test_the_rules_come_back_as_they_were_kept(journal: DatabaseJournal) -> None:
    rules = await journal.hours()

    assert sorted(map(repr, rules.templates)) == sorted(map(repr, defaults.templates()))
    assert sorted(map(repr, rules.holidays)) == sorted(map(repr, defaults.holidays()))
    assert sorted(map(repr, rules.specials)) == sorted(map(repr, defaults.specials()))


async def test_the_brokers_year_prevails_over_our_guess_and_is_replaced_as_a_whole(
    journal: DatabaseJournal,
) -> None:
    first, second = date(2026, 3, 4), date(2026, 3, 5)
    await journal.keep_broker_hours([Holiday(first, "NSE_EQ", "Holi, moved")], [])
    await journal.keep_broker_hours([Holiday(second, "NSE_EQ", "Holi, moved again")] * 2, [])

    rules = await journal.hours()

    days_of_2026 = [h.day for h in rules.holidays if h.segment == "NSE_EQ" and h.day.year == 2026]
    assert days_of_2026 == [second]
    assert any(h.day.year == 2025 and h.segment == "NSE_EQ" for h in rules.holidays)
    assert any(h.day == date(2026, 3, 3) and h.segment == "NSE_FO" for h in rules.holidays)


async def test_the_brokers_session_takes_the_place_of_ours_on_that_day(
    journal: DatabaseJournal,
) -> None:
    day = date(2025, 10, 21)
    broker = SpecialSession(day, "NSE_EQ", Phase.OPEN, time(14, 0), time(15, 0), "Muhurat")
    await journal.keep_broker_hours([], [broker])

    rules = await journal.hours()

    assert [s for s in rules.specials if (s.day, s.segment) == (day, "NSE_EQ")] == [broker]
    others = [s for s in rules.specials if (s.day, s.segment) == (day, "NSE_FO")]
    assert [s.start for s in others] == [time(13, 45)]


async def test_what_the_trader_says_prevails_over_both_and_survives_the_broker(
    journal: DatabaseJournal, writer: Writer
) -> None:
    day = date(2026, 12, 1)
    mine = SpecialSession(day, "NSE_EQ", Phase.OPEN, time(12, 0), time(13, 0), "mine")
    theirs = SpecialSession(day, "NSE_EQ", Phase.OPEN, time(9, 15), time(15, 30), "theirs")
    shorter = TemplateSession("MCX_FO", Phase.OPEN, time(10, 0), time(11, 0), frozenset({2}))
    away = Holiday(date(2026, 12, 2), "NSE_EQ", "I am away")
    writer.submit(lambda c: hours.keep(c, "trader", holidays=[away], specials=[mine])).result(5)
    writer.submit(lambda c: hours.keep_templates(c, "trader", [shorter])).result(5)
    await journal.keep_broker_hours([Holiday(day, "NSE_EQ", "closed")], [theirs])

    rules = await journal.hours()

    assert [s for s in rules.specials if s.day == day] == [mine]
    assert [t for t in rules.templates if t.segment == "MCX_FO"] == [shorter]
    assert away in rules.holidays
    assert TradingHours(rules).is_open("NSE_EQ", at("2026-12-01T12:30"))
    assert TradingHours(rules).state("NSE_EQ", at("2026-12-02T12:30")).name == "I am away"


def test_no_two_open_sessions_of_a_segment_overlap(journal: DatabaseJournal) -> None:
    trading_hours = TradingHours(journal.hours_now())
    segments = {template.segment for template in trading_hours.rules.templates}
    for offset in range(3 * 366):
        day = date(2024, 1, 1) + timedelta(days=offset)
        for segment in segments:
            opened = [s for s in trading_hours.sessions(segment, day) if s.phase is Phase.OPEN]
            assert all(a.end <= b.start for a, b in pairwise(opened))
