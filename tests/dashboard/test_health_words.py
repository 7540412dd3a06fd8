"""What the watch says, as it is written: shares, bars, severities, verdicts, times of jobs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard import health_words as words
from dashboard.sheet import Tone
from dashboard.strips import Kind, bars, kind, spoken
from tests.dashboard.fakes import OPEN_NOW
from tests.dashboard.scripted_watch import feed_incident, strip
from trading.clock import ManualClock
from trading.health import ChannelHealth, Check, DrillResult, JobHealth, Minute
from trading.model import Gap

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, "100%"), (0.99999, "99.99%"), (0.9994, "99.94%"), (0.0, "0.00%"), (0.29, "29.00%")],
)
def test_a_share_is_never_rounded_up(share: float, expected: str) -> None:
    assert words.share(share).text == expected


def test_a_share_of_nothing_is_a_dash_with_its_reason() -> None:
    shown = words.share(None)

    assert (shown.text, shown.title) == ("—", words.NOT_JUDGED)


@pytest.mark.parametrize(
    ("minute", "expected"),
    [
        (None, Kind.UNKNOWN),
        (Minute(OPEN_NOW), Kind.CLOSED),
        (Minute(OPEN_NOW, 60.0, 60.0, 12), Kind.GOOD),
        (Minute(OPEN_NOW, 20.0, 20.0), Kind.GOOD),  # the market opened in it
        (Minute(OPEN_NOW, 60.0, 59.9), Kind.GOOD),  # a look that came late
        (Minute(OPEN_NOW, 60.0, 41.0), Kind.PART),
        (Minute(OPEN_NOW, 60.0, 60.0, 12, 1), Kind.PART),
        (Minute(OPEN_NOW, 60.0, 0.0), Kind.DOWN),
    ],
)
def test_a_minute_is_one_kind_of_bar(minute: Minute | None, expected: Kind) -> None:
    assert kind(minute) is expected


def test_minutes_that_nobody_kept_are_bars_too() -> None:
    kept = strip(OPEN_NOW, 100)
    holed = (*kept[:10], *kept[15:])

    found = bars(holed, OPEN_NOW)

    assert len(found) == 60
    assert [bar[1] for bar in found] == ["good"] * 10 + ["unknown"] * 5 + ["good"] * 45
    assert found[0] == ("10:00", "good", 100, 0)
    assert found[-1][0] == "10:59"
    assert spoken(found) == "minutes of the last hour: 55 good, 5 unknown"


def test_a_strip_that_is_told_no_more_moves_into_the_unknown() -> None:
    found = bars(strip(OPEN_NOW, 100), OPEN_NOW + 10 * MINUTE)

    assert [bar[1] for bar in found[-11:]] == ["good", *["unknown"] * 10]


def test_an_empty_strip_is_sixty_unknown_minutes() -> None:
    assert {bar[1] for bar in bars((), OPEN_NOW)} == {"unknown"}


def test_the_minute_under_way_is_shown_if_it_is_told() -> None:
    now = OPEN_NOW + timedelta(seconds=30)

    found = bars((*strip(OPEN_NOW, 1), Minute(OPEN_NOW, 30.0, 30.0)), now)

    assert found[-1][0] == "11:00"


def test_incidents_are_put_open_ones_first() -> None:
    clock = ManualClock(OPEN_NOW)
    old = replace(feed_incident(clock, ago=9_000), number=1)
    over = replace(feed_incident(clock, ended=True, ago=60), number=2)
    new = replace(feed_incident(clock, ago=30), number=3)

    assert [i.number for i in words.in_order([over, old, new])] == [3, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(7.2, "7.2s"), (130, "2m 10s"), (11_100, "3h 05m"), (183_600, "2d 3h")],
)
def test_a_duration_may_last_days(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"), [(0.4, "now"), (12.0, "in 12s"), (130.0, "in 2m 10s")]
)
def test_the_next_run_of_a_job_is_near(ahead: float, expected: str) -> None:
    assert words.due(OPEN_NOW + timedelta(seconds=ahead), OPEN_NOW).text == expected


def test_a_run_later_than_an_hour_is_told_by_the_clock() -> None:
    assert words.due(OPEN_NOW + timedelta(hours=9), OPEN_NOW).text == "20:00:00"
    assert words.due(None, OPEN_NOW).text == "—"
    assert words.ran(JobHealth("x", None, None, None, 0, 0, 0)).title == "it has not run yet"


def test_a_way_that_waits_says_until_when() -> None:
    channel = ChannelHealth(
        "telegram",
        "waiting",
        "429",
        last_sent=OPEN_NOW,
        last_ms=212.0,
        next_attempt=OPEN_NOW + timedelta(seconds=8),
    )

    said = words.channel_words(channel, OPEN_NOW)

    assert said == "429; last message 11:00:00 in 212 ms; tried again at 11:00:08"
    assert words.channel_state(replace(channel, state="odd")).text == "— odd"


def test_a_gap_says_what_filled_it() -> None:
    gap = Gap("market", OPEN_NOW, OPEN_NOW + MINUTE, "stalled", True)

    assert words.gap_filled(gap).text == "not filled yet"
    assert words.gap_filled(replace(gap, end=None)).text == "still open"
    refused = replace(gap, filled=0, fill_words="the broker has no candles")
    assert words.gap_filled(refused).text == "the broker has no candles"
    assert words.gap_filled(replace(gap, filled=0)).text == "nothing to fill it with"
    filled = replace(gap, filled=88, fill_words="from the broker")
    assert words.gap_filled(filled).text == "88 minutes from the broker"


def test_the_checklist_is_as_good_as_its_worst_line() -> None:
    good, care = Check("a", True, "x"), Check("b", False, "y", grave=False)
    bad = Check("c", False, "z")

    assert words.check_summary([good]).tone is Tone.GOOD
    assert words.check_summary([good, care]).text == "◐ CARE  1 of 2 good"
    assert words.check_summary([good, care, bad]).text == "✖ NOT READY  1 of 3 good"


def test_a_drill_is_judged_when_it_has_ended() -> None:
    run = DrillResult("freeze", datetime(2025, 11, 26, tzinfo=UTC), words="waiting for a price")

    assert words.drill_verdict(None).text == "not tried yet"
    assert words.drill_verdict(run).text == "◔ waiting for a price"
    assert words.drill_verdict(replace(run, ended=OPEN_NOW, good=True, words="")).text == "● passed"
    assert words.after(None, ended=False).title == "not yet"
    assert words.after(0.1).text == "0.1s"
    assert words.after(75.0).text == "1m 15s"
