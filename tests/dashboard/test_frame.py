"""The light in the header opens the list of what it was judged by."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nicegui.testing import User

from tests.dashboard.conftest import serving
from tests.dashboard.fakes import NIFTY, make_desk
from tests.dashboard.hands import eventually, found, press, price, text, texts
from tests.dashboard.watched import Watched, watched
from trading.clock import ManualClock
from trading.desk import Desk
from trading.health import Check


@pytest.fixture
def ends(clock: ManualClock) -> tuple[Desk, Watched]:
    return watched(make_desk(clock))


@pytest.fixture
async def user(ends: tuple[Desk, Watched], no_errors: None) -> AsyncIterator[User]:
    async with serving(ends[0]) as user:
        yield user


@pytest.mark.parametrize(
    ("good", "grave", "said"),
    [
        (True, True, "CAN TRADE"),
        (False, False, "CARE: Clock 2.4 s ahead"),
        (False, True, "DO NOT TRADE: Clock 2.4 s ahead"),
    ],
)
async def test_the_light_is_the_and_of_its_inputs(
    user: User, ends: tuple[Desk, Watched], good: bool, grave: bool, said: str
) -> None:
    desk, watch = ends
    price(desk, NIFTY)
    watch.watch.checks[4] = Check("Clock", good, "2.4 s ahead", "sync", 1.0, grave)

    await user.open("/")

    assert text(user, "light") == said


async def test_a_press_opens_its_inputs_with_what_to_do_and_they_go_on(
    user: User, ends: tuple[Desk, Watched]
) -> None:
    _, watch = ends
    watch.watch.checks[4] = Check("Clock", False, "2.4 s ahead", "sync the clock", 1.0, grave=False)
    await user.open("/")
    assert found(user, "input-name") == []

    press(user, "light")

    assert texts(user, "input-name")[:2] == ["Clock", "Market"]
    assert texts(user, "input-words")[0] == "2.4 s ahead"
    assert texts(user, "input-fix")[0] == "sync the clock"
    assert texts(user, "input-mark")[:2] == ["!", "✓"]
    watch.watch.checks[3] = Check("Token", False, "ended at 03:30", "paste a new one")
    await eventually(lambda: texts(user, "input-name")[:2] == ["Token", "Clock"])
    assert texts(user, "input-mark")[0] == "✖"
    del watch.watch.checks[3]
    await eventually(lambda: texts(user, "input-name")[-1] == "")
    press(user, "inputs-close")
    assert found(user, "input-name") == []


async def test_the_ages_of_the_inputs_are_theirs_and_go_on_while_the_watch_does_not_look(
    user: User, ends: tuple[Desk, Watched]
) -> None:
    """They stood in the cells of the places in which they were first drawn."""
    watch = ends[1].watch
    watch.checks = [
        Check("Desk", True, "answers within 2 ms"),
        Check("Market feed", True, "live", age=0.2),
        Check("Watch", True, "looked", age=0.4),
    ]
    await user.open("/")
    press(user, "light")
    assert texts(user, "input-age") == ["", "0.6s", "0.4s"]

    watch.look_age = 40.0
    watch.checks[2] = Check("Watch", False, "looked 40 s ago", age=40.0)

    await eventually(lambda: texts(user, "input-name") == ["Watch", "Desk", "Market feed"])
    assert texts(user, "input-age") == ["40s", "", "40s"]


async def test_without_a_watch_the_light_speaks_of_the_feed_alone(
    clock: ManualClock, no_errors: None
) -> None:
    desk = replace(make_desk(clock), watch=None)
    price(desk, NIFTY)
    async with serving(desk) as user:
        await user.open("/")

        assert text(user, "light") == "FEED LIVE"
        press(user, "light")
        await user.should_see("Nothing watches this desk")
        await user.open("/alerts")
        assert text(user, "unwatched").startswith("Nothing watches this desk")
        assert text(user, "bell-count") == ""
