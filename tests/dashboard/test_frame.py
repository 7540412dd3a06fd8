"""The light in the header opens the list of what it was judged by."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nicegui.testing import User

from tests.dashboard.conftest import serving
from tests.dashboard.fakes import NIFTY, make_desk
from tests.dashboard.hands import eventually, found, press, price, text
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


def texts(user: User, marker: str) -> list[str]:
    return [str(getattr(e, "text", e._text)) for e in found(user, marker)]


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
