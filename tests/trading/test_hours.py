"""C01: the state table of sessions, with every boundary (start inclusive, end exclusive)."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from trading.hours import (
    IST,
    Holiday,
    HoursRules,
    Phase,
    SpecialSession,
    TemplateSession,
    TradingHours,
)

EQ, FO, MCX = "NSE_EQ", "NSE_FO", "MCX_FO"
CAS = date(2026, 8, 3)
RULES = HoursRules(
    templates=(
        TemplateSession(EQ, Phase.PRE_OPEN, time(9, 0), time(9, 15)),
        TemplateSession(EQ, Phase.OPEN, time(9, 15), time(15, 30)),
        TemplateSession(EQ, Phase.CLOSING, time(15, 15), time(15, 35), valid_from=CAS),
        TemplateSession(FO, Phase.OPEN, time(9, 15), time(15, 30), valid_to=date(2026, 8, 2)),
        TemplateSession(FO, Phase.OPEN, time(9, 15), time(15, 40), valid_from=CAS),
        TemplateSession(MCX, Phase.OPEN, time(17, 0), time(1, 0)),
    ),
    holidays=(
        Holiday(date(2026, 12, 25), EQ, "Christmas"),
        Holiday(date(2026, 11, 8), EQ, "Diwali Laxmi Pujan"),
    ),
    specials=(
        SpecialSession(date(2026, 11, 8), EQ, Phase.OPEN, time(18, 0), time(19, 0), "Muhurat"),
        SpecialSession(date(2026, 10, 31), EQ, Phase.OPEN, time(9, 15), time(12, 30), "Saturday"),
    ),
)


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("segment", "at", "phase"),
    [
        (EQ, "2026-11-20 08:59:59.999", Phase.CLOSED),
        (EQ, "2026-11-20 09:00:00", Phase.PRE_OPEN),
        (EQ, "2026-11-20 09:14:59.999", Phase.PRE_OPEN),
        (EQ, "2026-11-20 09:15:00", Phase.OPEN),
        (EQ, "2026-11-20 15:29:59.999", Phase.OPEN),  # overlapping rows: the open one counts
        (EQ, "2026-11-20 15:30:00", Phase.CLOSING),
        (EQ, "2026-11-20 15:35:00", Phase.CLOSED),
        (EQ, "2026-07-31 15:30:00", Phase.CLOSED),  # before the closing auction existed
        (FO, "2026-07-31 15:30:00", Phase.CLOSED),
        (FO, "2026-08-03 15:39:59", Phase.OPEN),
        (FO, "2026-08-03 15:40:00", Phase.CLOSED),
        (EQ, "2026-11-21 11:00:00", Phase.CLOSED),  # a Saturday
        (EQ, "2026-10-31 11:00:00", Phase.OPEN),  # a Saturday with a session
        (EQ, "2026-10-31 12:30:00", Phase.CLOSED),
        (EQ, "2026-12-25 11:00:00", Phase.CLOSED),
        (FO, "2026-12-25 11:00:00", Phase.OPEN),  # no row closes this segment
        (EQ, "2026-11-08 17:59:59", Phase.CLOSED),
        (EQ, "2026-11-08 18:00:00", Phase.OPEN),  # special beats holiday, on a Sunday
        (EQ, "2026-11-08 19:00:00", Phase.CLOSED),
        (MCX, "2026-11-20 23:59:59", Phase.OPEN),
        (MCX, "2026-11-21 00:59:59", Phase.OPEN),  # Friday's session reaches into Saturday
        (MCX, "2026-11-21 01:00:00", Phase.CLOSED),
        (MCX, "2026-11-23 00:30:00", Phase.CLOSED),  # Sunday had none
        ("BSE_EQ", "2026-11-20 11:00:00", Phase.UNKNOWN),
    ],
)
def test_c01_phase(segment: str, at: str, phase: Phase) -> None:
    assert TradingHours(RULES).state(segment, ist(at)).phase is phase


@pytest.mark.parametrize(
    ("at", "name", "until", "next_open"),
    [
        ("2026-11-20 10:00", "", "2026-11-20 15:30", None),
        ("2026-11-20 16:00", "", "2026-11-23 09:00", "2026-11-23 09:15"),
        ("2026-12-25 11:00", "Christmas", "2026-12-28 09:00", "2026-12-28 09:15"),
        ("2026-11-08 18:30", "Muhurat", "2026-11-08 19:00", None),
        ("2026-11-08 12:00", "Diwali Laxmi Pujan", "2026-11-08 18:00", "2026-11-08 18:00"),
        ("2026-11-20 15:31", "", "2026-11-20 15:35", "2026-11-23 09:15"),
    ],
)
def test_c01_the_header_can_say_what_comes_next(
    at: str, name: str, until: str, next_open: str | None
) -> None:
    state = TradingHours(RULES).state(EQ, ist(at))

    assert state.name == name
    assert state.until == ist(until)
    assert state.next_open == (ist(next_open) if next_open else None)


def test_c01_the_header_can_say_since_when_it_is_open() -> None:
    hours = TradingHours(RULES)

    def since(segment: str, at: str) -> datetime | None:
        return hours.state(segment, ist(at)).since

    assert since(EQ, "2026-11-20 09:15:00") == ist("2026-11-20 09:15:00")
    assert since(EQ, "2026-11-20 15:29:59") == ist("2026-11-20 09:15:00")
    assert since(EQ, "2026-11-20 15:31:00") is None
    assert since(MCX, "2026-11-20 17:30:00") == ist("2026-11-20 17:00:00")
    assert since(MCX, "2026-11-21 00:30:00") is None  # it has not opened on this day
    assert hours.state(EQ, ist("2026-11-08 17:00:00")).next_name == "Muhurat"


def test_c01_a_session_that_follows_another_one_has_not_opened() -> None:
    """Each midnight of an exchange that never closes would be an opening without a price."""
    days = [date(2026, 11, 20), date(2026, 11, 21)]
    always = [SpecialSession(day, EQ, Phase.OPEN, time(0, 0), time(0, 0), "") for day in days]
    hours = TradingHours(HoursRules(specials=tuple(always)))

    assert hours.state(EQ, ist("2026-11-21 00:00:00")).since is None
    assert hours.state(EQ, ist("2026-11-21 12:00:00")).since is None


def test_c01_an_extended_day_is_a_row_added_during_the_day() -> None:
    hours = TradingHours(RULES)
    day = date(2026, 11, 20)
    extended = tuple(
        SpecialSession(day, EQ, Phase.OPEN, begin, end, "Extended")
        for begin, end in [(time(9, 15), time(15, 30)), (time(15, 45), time(17, 0))]
    )
    assert not hours.is_open(EQ, ist("2026-11-20 16:00"))

    hours.replace(HoursRules(RULES.templates, RULES.holidays, RULES.specials + extended))

    assert hours.is_open(EQ, ist("2026-11-20 16:00"))
    assert not hours.is_open(EQ, ist("2026-11-20 15:40"))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_h03_the_machines_zone_changes_nothing(zone: str) -> None:
    program = (
        "from tests.trading.test_hours import *\n"
        "h = TradingHours(RULES)\n"
        "t = [datetime(2026, 11, 1, hour, 45, tzinfo=UTC) for hour in range(24)]\n"
        "t += [datetime(2026, 11, 2, hour, 0, tzinfo=UTC) for hour in range(24)]\n"
        "print([str(h.state(EQ, at)) for at in t])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    hours = TradingHours(RULES)
    times = [datetime(2026, 11, 1, hour, 45, tzinfo=UTC) for hour in range(24)]
    times += [datetime(2026, 11, 2, hour, 0, tzinfo=UTC) for hour in range(24)]

    assert result.stdout.strip() == str([str(hours.state(EQ, at)) for at in times])


@pytest.mark.parametrize("segment", [EQ, FO, MCX])
def test_c01_an_answer_that_was_kept_is_the_one_that_would_be_worked_out(segment: str) -> None:
    """Time goes on in small and large steps, across edges and midnights, and sometimes back."""
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance, kept = random.Random(seed), TradingHours(RULES)
    at = ist("2026-11-07 08:00")
    for _ in range(600):
        assert kept.state(segment, at) == TradingHours(RULES).state(segment, at), at
        at += timedelta(minutes=chance.choice((0, 1, 1, 7, 30, 240, -20)), seconds=1)
    for edge in ("2026-11-08 18:00", "2026-11-08 19:00", "2026-11-09 00:00", "2026-11-09 01:00"):
        for before in (timedelta(microseconds=1), timedelta(0)):
            at = ist(edge) - before
            assert kept.state(segment, at) == TradingHours(RULES).state(segment, at), at


def test_c01_new_rules_are_heard_at_once() -> None:
    hours, at = TradingHours(RULES), ist("2026-11-20 16:00")
    assert hours.state(EQ, at).phase is Phase.CLOSED
    extended = SpecialSession(at.date(), EQ, Phase.OPEN, time(9, 15), time(17, 0), "Extended")

    hours.replace(replace(RULES, specials=(*RULES.specials, extended)))

    assert hours.state(EQ, at).phase is Phase.OPEN
