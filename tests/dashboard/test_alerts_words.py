"""Alerts in words: which sound, which link, what passes now, what became of a letter."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dashboard import alert_words as words
from tests.dashboard.fakes import OPEN_NOW
from tests.dashboard.watched import ScriptedRoutes, alert, letter
from trading.clock import ManualClock
from trading.health import ChannelHealth, Component, Occasion, Severity
from trading.health_ports import LetterState

CLOCK = ManualClock(OPEN_NOW)
ALERT = alert(CLOCK)
FILL = alert(CLOCK, "✅ FILLED  SELL 2 lots", kind="order", severity=Severity.INFO)
FILL = replace(FILL, component=Component.BOOKS)
REJECTED = replace(FILL, title="❌ REJECTED  BUY 1 lot", severity=Severity.WARNING)
NAKED = replace(FILL, title="NAKED LEG", severity=Severity.CRITICAL, kind="position")
NIGHT = OPEN_NOW + timedelta(hours=12)  # 23:00 IST


@pytest.mark.parametrize(
    ("told", "sound"),
    [
        (ALERT, "feed"),
        (replace(ALERT, severity=Severity.INFO), ""),
        (replace(ALERT, occasion=Occasion.END), ""),
        (FILL, "fill"),
        (REJECTED, "rejection"),
        (NAKED, "risk"),
        (replace(FILL, title="⊘ CANCELLED  BUY 1 lot"), ""),
        (replace(NAKED, component=Component.STORAGE, kind="health"), "risk"),
    ],
)
def test_each_matter_has_its_own_sound(told: Any, sound: str) -> None:
    assert words.sound_of(told) == sound


def test_of_several_the_gravest_is_heard_and_in_quiet_hours_only_what_is_critical() -> None:
    assert words.loudest([FILL, NAKED, ALERT, REJECTED], quiet=False) == "risk"
    assert words.loudest([FILL, REJECTED], quiet=False) == "rejection"
    assert words.loudest([FILL, REJECTED], quiet=True) == ""
    assert words.loudest([FILL, ALERT], quiet=True) == "feed"
    assert words.loudest([], quiet=False) == ""


@pytest.mark.parametrize(
    ("link", "place"),
    [
        ("/status", "Health"),
        ("/orders", "Orders"),
        ("/charts", "More"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("https://evil.example", ""),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_only_our_own_pages_are_linked(link: str, place: str) -> None:
    assert words.place(link) == place


def test_a_feed_is_dialled_again_for_its_own_trouble_only() -> None:
    stream = replace(ALERT, component=Component.PORTFOLIO, key="stream_silent main")

    assert words.feed_of(ALERT) == "market"
    assert words.feed_of(stream) == "portfolio-main"
    assert words.feed_of(replace(stream, key="stream_silent")) == ""
    assert words.feed_of(FILL) == ""
    assert words.feed_of(replace(ALERT, occasion=Occasion.END)) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": LetterState.SENT, "took_ms": 212.0}, "sent in 212 ms"),
        (
            {"state": LetterState.SENT, "took_ms": 9.0, "attempts": 2},
            "sent in 9.0 ms after 2 tries",
        ),
        ({"state": LetterState.QUEUED, "attempts": 0}, "waiting"),
        (
            {"state": LetterState.QUEUED, "attempts": 0, "not_before": NIGHT},
            "waiting until 23:00:00",
        ),
        (
            {"state": LetterState.QUEUED, "attempts": 2, "error": "no answer"},
            "waiting, tried 2 times: no answer",
        ),
        (
            {"state": LetterState.PARKED, "attempts": 3, "error": "550 <b>"},
            "✖ given up after 3 tries: 550 <b>",
        ),
        ({"state": LetterState.FOLDED}, "told in one line with others"),
        ({"state": LetterState.SENDING}, "being sent"),
    ],
)
def test_a_letter_says_what_became_of_it(changes: dict[str, Any], text: str) -> None:
    assert words.letter_state(letter(ALERT, 1, **changes), OPEN_NOW).text == text


def test_the_quiet_hours_say_what_passes_now() -> None:
    routes = ScriptedRoutes()
    slots = words.quiet_slots(routes, OPEN_NOW)

    assert [n / 2 for n, quiet in enumerate(slots) if quiet] == [
        *(n / 2 for n in range(14)),
        *(n / 2 for n in range(44, 48)),
    ]
    assert words.passing(routes, OPEN_NOW) == "Not quiet now: everything passes."
    assert "info waits until Thu 07:00" in words.passing(routes, NIGHT)
    assert words.route_words(routes.posts(Severity.INFO, NIGHT), "telegram", NIGHT) == (
        "waits until Thu 07:00"
    )
    by_day = routes.posts(Severity.INFO, OPEN_NOW)
    assert words.route_words(by_day, "e-mail", OPEN_NOW) == "not sent"
    assert words.route_words(by_day, "telegram", OPEN_NOW) == "silent"


def test_a_channel_says_how_it_is() -> None:
    down = ChannelHealth("e-mail", "down", "no answer", queued=3, sent=2, retried=4, parked=1)

    assert words.channel_figures(down) == "3 waiting · 2 sent · 4 retried · 1 given up"
    assert words.channel_figures(ChannelHealth("webhook", "off")) == "0 sent"
