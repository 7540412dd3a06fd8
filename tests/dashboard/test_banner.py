"""The banner tells of critical alerts that are not over, and of how many others there are."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nicegui.testing import User

from alerts.rules import unresolved_basket
from tests.alerts.watch_rig import WatchRig
from tests.dashboard.conftest import serving
from tests.dashboard.fakes import make_desk
from tests.dashboard.hands import broker, drawn, eventually, found, press, text
from tests.dashboard.scripted_watch import feed_incident
from tests.dashboard.test_baskets_page import condor, open_sheet
from tests.dashboard.watched import Watched, alert, watched
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import BadRequest
from trading.health import Component, Severity


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


async def test_a_critical_alert_is_told_with_what_can_be_done(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    assert found(user, "critical") == []
    watch.watch.raises(alert(clock, severity=Severity.WARNING, key="a warning"))
    watch.watch.raises(alert(clock, "Market feed silent", "prices are old"))
    await drawn(user, "critical")

    assert text(user, "critical") == "✖ Market feed silent · prices are old · told 11:00:00"
    assert found(user, "more-critical") == []
    press(user, "banner-reconnect")
    await eventually(lambda: watch.watch.reconnected == [("market", "page")])
    press(user, "banner-ack")
    await eventually(lambda: found(user, "critical") == [])
    assert [a.key for a in watch.watch.unacknowledged()] == ["a warning"]


async def test_no_critical_alert_hides_behind_another(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/")
    for n in range(3):
        told = alert(clock, f"trouble {n}", key=f"t{n}", component=Component.STORAGE)
        watch.watch.raises(told)
    await eventually(lambda: found(user, "critical") and "trouble 2" in text(user, "critical"))

    assert text(user, "more-critical") == "+2 critical"
    assert found(user, "banner-reconnect") == []
    press(user, "more-critical")
    await eventually(lambda: len(found(user, "alert-row")) == 3)
    press(user, "banner-ack")
    await eventually(lambda: "trouble 1" in text(user, "critical"))
    assert text(user, "more-critical") == "+1 critical"


async def test_what_is_over_needs_nobody_any_more_and_stays_behind_the_bell(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    incident = watch.watch.happens(feed_incident(clock))
    watch.watch.raises(alert(clock, incident=incident.number))
    await user.open("/")
    await drawn(user, "critical")

    watch.watch.journal.kept[incident.number] = feed_incident(clock, ended=True)
    await eventually(lambda: found(user, "critical") == [])

    assert text(user, "bell-count") == "1"


async def test_what_is_well_for_the_moment_is_no_banner_though_nobody_acknowledged_it(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    """On and off, or found by an earlier run: it said what it was then, beside CAN TRADE."""
    incident = watch.watch.happens(feed_incident(clock))
    told = watch.watch.raises(alert(clock, incident=incident.number))
    await user.open("/")
    await drawn(user, "critical")

    watch.watch.well.add(told.key)
    await eventually(lambda: found(user, "critical") == [])
    watch.watch.well.clear()
    await eventually(lambda: found(user, "critical"))


async def test_a_basket_and_what_was_told_of_it_are_one_line_and_one_press(
    user: User, ends: tuple[Desk, Watched], clock: ManualClock
) -> None:
    desk, watch = ends
    refusals = [BadRequest("circuit limit reached") for _ in range(40)]
    broker(desk).script = [None, None, BadRequest("no"), None, *refusals]
    await condor(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "alarm"), within=30)
    (basket,) = desk.baskets.all()

    (told,) = unresolved_basket.check(replace(WatchRig().look(), baskets=(basket,)))
    watch.watch.raises(alert(clock, "NAKED LEG", key=told.key, kind="order"))
    watch.watch.raises(alert(clock, "disk full", key="disk"))
    await drawn(user, "critical")

    assert text(user, "critical").startswith("✖ disk full")
    assert found(user, "more-critical") == []
    press(user, "acknowledge")
    await eventually(lambda: [a.key for a in watch.watch.unacknowledged()] == ["disk"])
    assert found(user, "alarm") == []
    assert text(user, "critical").startswith("✖ disk full")
