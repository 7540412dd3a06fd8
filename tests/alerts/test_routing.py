"""Which ways an alert takes, when and how loud; all judgement, no clock."""

from datetime import UTC, date, datetime, timedelta

import pytest

from alerts.routing import (
    AT_ONCE,
    RUNGS,
    Quiet,
    Routing,
    Said,
    Turn,
    Way,
    climb,
    is_muted,
    may_edit,
    posts,
    quiet_hours,
    quiet_until,
)
from tests.alerts.scripted_channel import alert
from tests.alerts.timeline import NOON
from trading.errors import CannotStart
from trading.health import Alert, Component, Occasion, Severity
from trading.health_ports import Letter, LetterState, Routes
from trading.hours import IST

NIGHTS = quiet_hours("22:00-07:00", holidays=True)
WAYS = (
    Way("telegram"),
    Way("e-mail", Severity.WARNING),
    Way("webhook", person=False),
)


def weekday(day: date) -> bool:
    return day.weekday() < 5


def routing(quiet: Quiet = NIGHTS) -> Routing:
    return Routing(WAYS, quiet, weekday)


def ist(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=IST)


def sent(told: Alert, at: datetime = NOON, *, weight: Severity | None = None) -> dict[str, object]:
    found = posts(routing(), told, now=at, weight=weight or told.severity)
    return {post.channel: (post.not_before, post.silent) for post in found}


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (ist(20, 21, 59), None),  # a Friday
        (ist(19, 22, 0), ist(20, 7, 0)),
        (ist(20, 6, 59), ist(20, 7, 0)),
        (ist(20, 7, 0), None),
        (ist(20, 22, 0), ist(23, 7, 0)),  # the weekend has no session: Monday morning
        (ist(21, 12, 0), ist(23, 7, 0)),
        (ist(22, 23, 59), ist(23, 7, 0)),
    ],
)
def test_quiet_hours_pass_midnight_and_last_over_days_without_a_session(
    at: datetime, until: datetime | None
) -> None:
    assert quiet_until(routing(), at.astimezone(UTC)) == until


def test_quiet_hours_within_a_day_and_none_at_all() -> None:
    noon = routing(quiet_hours("12:00-13:00", holidays=False))

    assert quiet_until(noon, ist(21, 12, 30)) == ist(21, 13)
    assert quiet_until(noon, ist(21, 13, 0)) is None
    assert quiet_until(routing(quiet_hours("", holidays=False)), ist(21, 3)) is None


def test_nothing_is_quiet_while_a_market_that_the_trader_is_in_is_open() -> None:
    """A fill in commodities at 22:30 waited for the morning's digest."""
    evening, after = ist(19, 23, 0), ist(19, 23, 30)
    open_late = Routing(WAYS, NIGHTS, weekday, trades=lambda at: at < after)
    told = alert(severity=Severity.INFO)

    assert quiet_until(open_late, evening) is None
    found = posts(open_late, told, now=evening.astimezone(UTC), weight=told.severity)
    assert found[0].not_before == evening
    assert quiet_until(open_late, after) == ist(20, 7, 0)


def test_a_calendar_without_sessions_does_not_silence_the_desk_for_ever() -> None:
    never = Routing(WAYS, NIGHTS, lambda day: False)

    until = quiet_until(never, NOON)

    assert until is not None
    assert until - NOON < timedelta(days=7)


@pytest.mark.parametrize("words", ["25:00-07:00", "22:00", "a-b", "22:00-07:00-08:00"])
def test_quiet_hours_that_cannot_be_read_are_named(words: str) -> None:
    with pytest.raises(CannotStart, match="two times of a day"):
        quiet_hours(words, holidays=False)


def test_each_way_takes_what_is_grave_enough_and_info_makes_no_sound() -> None:
    assert sent(alert(severity=Severity.INFO)) == {
        "telegram": (NOON, True),
        "webhook": (NOON, False),
    }
    assert sent(alert(severity=Severity.WARNING)) == {
        "telegram": (NOON, False),
        "e-mail": (NOON, False),
        "webhook": (NOON, False),
    }


def test_at_night_info_waits_for_the_morning_warnings_are_silent_and_critical_passes() -> None:
    night, morning = ist(19, 23).astimezone(UTC), ist(20, 7)

    assert sent(alert(severity=Severity.INFO), night)["telegram"] == (morning, True)
    assert sent(alert(severity=Severity.WARNING), night)["telegram"] == (night, True)
    assert sent(alert(severity=Severity.CRITICAL), night)["telegram"] == (night, False)


def test_the_all_clear_goes_wherever_the_alarm_went_and_does_not_wait_for_the_morning() -> None:
    night = ist(19, 23).astimezone(UTC)
    end = alert("BACK", Severity.INFO, Occasion.END)

    found = sent(end, night, weight=Severity.CRITICAL)

    assert found["telegram"] == (night, True)
    assert found["e-mail"] == (night, True)


def test_a_program_gets_everything_at_once() -> None:
    night = ist(19, 23).astimezone(UTC)
    held = posts(
        routing(),
        alert(severity=Severity.INFO),
        now=night,
        weight=Severity.INFO,
        turn=Turn(60, 2, True),
    )

    assert {p.channel: p.not_before for p in held}["webhook"] == night


def test_pages_can_ask_what_would_pass_now() -> None:
    routes: Routes = routing()
    night = ist(19, 23).astimezone(UTC)

    assert routes.quiet_hours == "22:00-07:00"
    assert (routes.is_quiet(night), routes.is_quiet(NOON)) == (True, False)
    assert [post.channel for post in routes.posts(Severity.INFO, NOON)] == ["telegram", "webhook"]
    assert routing(quiet_hours("", holidays=True)).quiet_hours == ""


def test_a_muted_key_is_silent_and_a_muted_component_only_below_critical() -> None:
    later = NOON + timedelta(minutes=1)
    warning, critical = alert(), alert(severity=Severity.CRITICAL)

    def muted(told: Alert, key: str, at: datetime = NOON) -> bool:
        return is_muted(told, {key: later}, at, weight=told.severity)

    assert muted(critical, "no_prices")
    assert muted(warning, str(Component.MARKET_FEED))
    assert not muted(critical, str(Component.MARKET_FEED))
    assert not muted(critical, "low_uptime")
    assert not muted(warning, "no_prices", at=later)
    over = alert(severity=Severity.INFO, occasion=Occasion.END)
    mutes = {str(Component.MARKET_FEED): later}
    assert not is_muted(over, mutes, NOON, weight=Severity.CRITICAL), "as the alarm was not"


def climbed(times: list[float], **changes: object) -> list[Turn]:
    said: Said | None = None
    turns = []
    for at in times:
        said, turn = climb(said, alert(**changes), at)  # type: ignore[arg-type]
        turns.append(turn)
    return turns


def test_within_a_minute_repeats_become_one_silent_edit() -> None:
    assert climbed([0, 10, 20, 59]) == [
        AT_ONCE,
        Turn(50, 2, True),
        Turn(40, 3, True),
        Turn(1, 4, True),
    ]


def test_a_key_that_goes_on_and_on_is_told_on_ever_longer_rungs() -> None:
    said: Said | None = None
    at_once_or_held = set()
    for second in range(0, 3 * 3600, 20):
        said, turn = climb(said, alert(), float(second))
        at_once_or_held.add(round(second + turn.hold))

    assert RUNGS == (60, 300, 900, 3600)
    assert sorted(at_once_or_held) == [0, 60, 360, 1260, 4860, 8460, 12060]


def test_after_an_hour_of_calm_it_is_new_again() -> None:
    assert climbed([0, 10, 3700])[-1] == AT_ONCE


def test_facts_about_money_and_what_is_critical_are_never_held() -> None:
    assert set(climbed([0, 1, 2], kind="order")) == {AT_ONCE}
    assert set(climbed([0, 1, 2], severity=Severity.CRITICAL)) == {AT_ONCE}


def test_an_end_waits_only_for_a_beginning_that_waits() -> None:
    said, _ = climb(None, alert(), 0.0)
    said, end = climb(said, alert(occasion=Occasion.END), 5.0)
    assert end == AT_ONCE
    said, again = climb(said, alert(), 10.0)
    assert again.hold == 50
    said, end = climb(said, alert(occasion=Occasion.END), 15.0)
    assert end.hold == 45


def letter(told: Alert, *, silent: bool) -> Letter:
    return Letter(1, "telegram", told, NOON, silent, LetterState.QUEUED, edits="m1")


@pytest.mark.parametrize(
    ("told", "silent", "edits"),
    [
        (alert(severity=Severity.CRITICAL, times=2), False, False),
        (alert(occasion=Occasion.END), False, True),
        (alert(times=4), True, True),
        (alert(times=4), False, False),  # a sound is wanted, and an edit makes none
        (alert(kind="order", severity=Severity.INFO), True, True),
        (alert(), False, False),
    ],
)
def test_only_what_needs_no_sound_changes_the_message_before(
    told: Alert, silent: bool, edits: bool
) -> None:
    assert may_edit(letter(told, silent=silent)) is edits
