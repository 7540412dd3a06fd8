"""The bell, its drawer and the toasts: in every open tab the same, and never in the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from nicegui.testing import User

from tests.dashboard.conftest import serving
from tests.dashboard.fakes import make_desk
from tests.dashboard.hands import drawn, eventually, fire, found, press, text, texts
from tests.dashboard.scripted_watch import feed_incident
from tests.dashboard.watched import Watched, alert, watched
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import Denied, Retryable
from trading.health import Component, Occasion, Severity

HOSTILE = "<img src=x onerror=alert(1)><b>bold</b> & *stars*"
WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.fixture
def ends(clock: ManualClock) -> tuple[Desk, Watched]:
    return watched(make_desk(clock))


@pytest.fixture
def watch(ends: tuple[Desk, Watched]) -> Watched:
    return ends[1]


@pytest.fixture
async def user(ends: tuple[Desk, Watched], no_errors: None) -> AsyncIterator[User]:
    async with serving(ends[0]) as user:
        yield user


async def test_the_bell_counts_what_nobody_has_acknowledged(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock, severity=WARNING))
    await user.open("/")
    assert text(user, "bell-count") == "1"

    watch.watch.raises(alert(clock, key="storage"))
    watch.watch.raises(alert(clock, key="fill", severity=INFO, kind="order"))
    await eventually(lambda: text(user, "bell-count") == "2")
    assert int(found(user, "bell-count")[-1].shown.tone) == 5  # type: ignore[attr-defined]

    await watch.watch.acknowledge("phone")
    await eventually(lambda: text(user, "bell-count") == "")


async def test_the_drawer_shows_what_waits_first_and_what_it_says_is_text(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock, "first", key="a", severity=INFO))
    watch.watch.raises(alert(clock, HOSTILE, HOSTILE, key="b", times=3))
    watch.watch.raises(alert(clock, "third", key="c", severity=INFO))
    await user.open("/")
    assert found(user, "alert-row") == []

    press(user, "bell")
    await eventually(lambda: len(found(user, "alert-row")) == 3)

    assert texts(user, "alert-title") == [HOSTILE, "third", "first"]
    assert texts(user, "alert-body") == [HOSTILE]
    assert texts(user, "alert-times") == ["×3"]  # noqa: RUF001
    assert texts(user, "ack") == ["Ack"]


async def test_two_tabs_agree_at_once(
    user: User, another_user: Callable[[], User], watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock, key="a"))
    watch.watch.raises(alert(clock, key="b", severity=WARNING))
    other = another_user()
    for tab in (user, other):
        await tab.open("/")
        press(tab, "bell")
        await eventually(lambda tab=tab: len(found(tab, "ack")) == 2)

    fire(user, "ack", "click")  # the newest element is that of the row below: the critical one
    await eventually(lambda: watch.watch.acknowledge_asked != [])
    await eventually(lambda: len(found(user, "ack")) == len(found(other, "ack")) == 1)

    assert watch.watch.acknowledge_asked == [("page", [1])]
    press(other, "ack-all")
    await eventually(lambda: watch.watch.unacknowledged() == [])
    await eventually(lambda: found(user, "ack") == [])
    assert watch.watch.acknowledge_asked[-1] == ("page", [2])


async def test_a_matter_is_muted_for_an_hour_and_heard_again(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock, severity=WARNING))
    await user.open("/")
    press(user, "bell")
    await drawn(user, "mute")

    press(user, "mute")
    await eventually(lambda: texts(user, "unmute") == ["Muted until 12:00: unmute"])
    assert watch.watch.mute_asked == [("no_prices", 60.0)]

    press(user, "unmute")
    await drawn(user, "mute")
    assert watch.watch.mutes() == {}


async def test_an_acknowledgement_that_was_refused_says_so(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock))
    await user.open("/")
    press(user, "bell")
    await drawn(user, "ack")
    watch.watch.error = Denied("the database is locked")

    press(user, "ack")

    await user.should_see("Not acknowledged: the database is locked")
    assert texts(user, "ack") == ["Ack"]


async def test_what_cannot_be_read_is_said(user: User, watch: Watched, clock: ManualClock) -> None:
    watch.watch.raises(alert(clock))
    watch.watch.journal.error = Retryable("the disk is busy")
    await user.open("/")
    press(user, "bell")

    await user.should_see("Earlier ones cannot be read now: the disk is busy", retries=20)
    assert len(found(user, "alert-row")) == 1


async def test_a_shut_drawer_reads_nothing(user: User, watch: Watched, clock: ManualClock) -> None:
    await user.open("/")
    watch.watch.raises(alert(clock, key="a"))
    await eventually(lambda: text(user, "bell-count") == "1")
    assert watch.watch.journal.reads == 0

    press(user, "bell")
    await eventually(lambda: watch.watch.journal.reads == 1)
    press(user, "drawer-close")
    watch.watch.raises(alert(clock, key="b"))
    await eventually(lambda: text(user, "bell-count") == "2")

    assert watch.watch.journal.reads == 1
    assert found(user, "alert-row") == []


# toasts


async def test_a_toast_passes_and_a_critical_one_stays_until_it_is_pressed(
    user: User, another_user: Callable[[], User], watch: Watched, clock: ManualClock
) -> None:
    other = another_user()
    for tab in (user, other):
        await tab.open("/")
    watch.watch.raises(alert(clock, "filled", key="order", severity=INFO, kind="order"))
    watch.watch.raises(alert(clock, HOSTILE))
    for tab in (user, other):
        await eventually(lambda tab=tab: texts(tab, "toast-title") == ["filled", HOSTILE])

    clock.advance(30)
    await eventually(lambda: texts(user, "toast-title") == [HOSTILE])
    clock.advance(3_600)
    await eventually(lambda: texts(other, "toast-title") == [HOSTILE])

    press(user, "toast-ack")
    await eventually(lambda: found(user, "toast") == found(other, "toast") == [])
    assert watch.watch.unacknowledged() == []


async def test_the_end_takes_the_place_of_the_beginning(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    watch.watch.raises(alert(clock))
    await eventually(lambda: texts(user, "toast-title") == ["Market feed silent for 17 s"])
    over = alert(clock, "Market feed is back", severity=INFO, occasion=Occasion.END)
    watch.watch.raises(over)

    await eventually(lambda: texts(user, "toast-title") == ["Market feed is back"])
    clock.advance(6)
    await eventually(lambda: found(user, "toast") == [])


async def test_a_storm_leaves_room_and_hides_no_critical_alert_unsaid(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    for n in range(12):
        watch.watch.raises(alert(clock, f"info {n}", key=f"i{n}", severity=INFO))
    for n in range(5):
        watch.watch.raises(alert(clock, f"critical {n}", key=f"c{n}"))

    def shown() -> int:
        return sum(toast.visible for toast in found(user, "toast"))

    await eventually(lambda: shown() == 6)

    assert texts(user, "toasts-more") == ["✖ 2 more critical behind the bell"]
    press(user, "toast-close")
    await eventually(lambda: texts(user, "toasts-more") == ["✖ 1 more critical behind the bell"])
    assert shown() == 6


async def test_what_is_muted_does_not_come_up(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    watch.watch.happens(feed_incident(clock))
    await watch.watch.mute("no_prices", 60)
    await watch.watch.mute(str(Component.MARKET_FEED), 60)
    watch.watch.raises(alert(clock))
    watch.watch.raises(alert(clock, "a warning of the same component", key="x", severity=WARNING))
    watch.watch.raises(alert(clock, "critical of the same component", key="y"))

    await eventually(lambda: text(user, "bell-count") == "3")
    await eventually(lambda: texts(user, "toast-title") == ["critical of the same component"])


async def test_a_tab_that_is_opened_later_is_not_told_the_past(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock))
    clock.advance(60)
    await user.open("/")
    watch.watch.raises(alert(clock, "new", key="new", severity=WARNING))

    await eventually(lambda: texts(user, "toast-title") == ["new"])


async def test_what_is_new_here_is_told_however_old_it_is_for_the_exchange(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    """On an exchange at sixty times the speed an alert of half a second ago is 30 s old."""
    await user.open("/")
    watch.watch.raises(alert(clock, "filled", key="o", severity=INFO, ago=30.0))

    await eventually(lambda: texts(user, "toast-title") == ["filled"])


async def test_a_tab_that_is_opened_a_moment_later_is_told(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock))
    clock.advance(5)
    await user.open("/")

    await eventually(lambda: texts(user, "toast-title") == ["Market feed silent for 17 s"])


async def test_an_alert_that_the_disk_has_not_taken_cannot_be_acknowledged_and_says_why(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    unstored = alert(clock)
    watch.watch.journal.told.append(unstored)  # as the teller shows it: without a number
    watch.watch.alerts.emit(unstored)
    await drawn(user, "toast-ack")

    press(user, "toast-ack")

    await user.should_see("the disk has not taken this alert yet", retries=20)
    assert watch.watch.acknowledge_asked == []


async def test_the_drawer_reads_once_at_a_time_and_again_for_what_came_meanwhile(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    journal = watch.watch.journal
    await user.open("/")
    journal.gate = asyncio.Event()
    press(user, "bell")
    await eventually(lambda: journal.reads == 1)
    for n in range(3):
        watch.watch.raises(alert(clock, f"filled {n}", key=f"o{n}", severity=INFO))
        await eventually(lambda n=n: f"filled {n}" in texts(user, "toast-title"))
    assert journal.reads == 1

    journal.gate.set()

    await eventually(lambda: texts(user, "alert-title") == ["filled 2", "filled 1", "filled 0"])
    assert journal.reads == 2


@pytest.mark.parametrize(("quiet", "rung"), [(False, ["fill", "risk"]), (True, ["risk"])])
async def test_a_sound_goes_with_it_and_in_quiet_hours_with_critical_ones_only(
    user: User, watch: Watched, clock: ManualClock, quiet: bool, rung: list[str]
) -> None:
    watch.routes.always = quiet
    await user.open("/")
    asked: list[Any] = []
    sounds = next(e for e in user.client.elements.values() if type(e).__name__ == "Sounds")  # type: ignore[union-attr]
    sounds.ring = lambda sound, once: asked.append(sound)  # type: ignore[attr-defined]  # the browser
    watch.watch.raises(alert(clock, "FILLED", key="o", severity=INFO, kind="order",
                             component=Component.BOOKS))  # fmt: skip
    await eventually(lambda: texts(user, "toast-title") == ["FILLED"])
    watch.watch.raises(alert(clock, "disk full", key="d", component=Component.STORAGE))
    await eventually(lambda: len(texts(user, "toast-title")) == 2)

    assert asked == rung
