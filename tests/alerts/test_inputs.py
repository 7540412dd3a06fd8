"""What the CAN TRADE light is made of, and the rows of the Health page."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from alerts.inputs import inputs
from alerts.rows import rows
from alerts.sight import Sight, Waiting
from alerts.watching import WatchDesk
from tests.alerts.scripted_feeds import MORNING
from tests.alerts.test_rules import _order
from tests.alerts.watch_rig import WatchRig, changed, only
from tests.dashboard.fakes import CALL
from trading.books import BookRow
from trading.errors import Denied, Retryable
from trading.health import (
    ChannelHealth,
    Check,
    Checked,
    Component,
    Condition,
    JobHealth,
    Severity,
)
from trading.order import OrderStatus, Product
from trading.ports import FeedState, Percentiles

WELL = {Condition.OK, Condition.OFF, Condition.UNKNOWN}


async def _sight(at: Any = MORNING) -> Sight:
    rig = WatchRig(at=at)
    await rig.desk.accounts.check()
    return rig.look()


def judged(sight: Sight | None, alive_age: float | None = 0.5) -> list[tuple[str, bool]]:
    """Return what is not good, with its gravity."""
    return [(c.name, c.grave) for c in inputs(sight, alive_age=alive_age) if not c.good]


async def test_a_healthy_desk_can_trade() -> None:
    checks = inputs(await _sight(), alive_age=0.5)

    assert all(check.good for check in checks), checks
    assert {c.name for c in checks} == {
        "Watch", "Market", "Market feed", "Portfolio stream main", "Token main", "Books main",
        "Clock", "Storage", "Desk",
    }  # fmt: skip
    assert all(check.words for check in checks)


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"market": {"silence": 2.1}}, ("Market feed", False)),
        ({"market": {"silence": 5.1}}, ("Market feed", True)),
        ({"market": {"stats": {"state": FeedState.BACKING_OFF}}}, ("Market feed", True)),
        ({"market": {"refusal": FeedState.REFUSED, "reason": "no"}}, ("Market feed", True)),
        ({"market": {"stats": {"clock_skew": None}}}, ("Clock", False)),
        ({"market": {"stats": {"clock_skew": 2.5}}}, ("Clock", False)),
        ({"market": {"stats": {"clock_skew": -31.0}}}, ("Clock", True)),
        ({"waiting": (Waiting(_order(OrderStatus.SENT), 1.0),)}, ("Orders", True)),
    ],
)
async def test_what_makes_it_amber_or_red(changes: dict[str, Any], bad: tuple[str, bool]) -> None:
    assert judged(changed(await _sight(), **changes)) == [bad]


async def test_an_order_that_is_just_being_sent_is_no_reason_to_stop_trading() -> None:
    waiting = (Waiting(_order(OrderStatus.SENT), 0.9),)
    assert judged(changed(await _sight(), waiting=waiting)) == []


async def test_unknown_is_not_good() -> None:
    sight = await _sight()
    (state,), (books,), (stream,) = sight.accounts, sight.books, sight.streams

    def with_(**changes: Any) -> list[tuple[str, bool]]:
        return judged(replace(sight, **changes))

    assert with_(accounts=(replace(state, signed_in=None),)) == [("Token main", True)]
    assert with_(accounts=(replace(state, signed_in=False),)) == [("Token main", True)]
    assert with_(books=(replace(books, checked=None),)) == [("Books main", True)]
    assert with_(books=(replace(books, failed="no answer"),)) == [("Books main", True)]
    row = BookRow(CALL, Product.INTRADAY, 75, 0, None, False)
    assert with_(books=(replace(books, rows=(row,)),)) == [("Books main", True)]
    opened = replace(stream, stats=replace(stream.stats, state=FeedState.OPEN))
    assert with_(streams=(opened,)) == [("Portfolio stream main", True)]
    storage = sight.storage
    locked = replace(storage, state="locked")
    assert with_(storage=locked) == [("Storage", False)]
    assert with_(storage=replace(locked, lag=60.0), working=1) == [("Storage", True)]
    assert with_(storage=replace(storage, state="disk full")) == [("Storage", True)]
    assert with_(storage=replace(storage, lag=5.1)) == [("Storage", False)]
    vitals = sight.vitals
    assert with_(vitals=replace(vitals, loop_lag=Percentiles())) == [("Desk", False)]
    assert with_(vitals=replace(vitals, loop_lag_max=3_001.0)) == [("Desk", False)]


async def test_alerts_that_wait_for_the_disk_are_told_with_the_reason() -> None:
    rig = WatchRig()
    await rig.desk.accounts.check()
    watch = Bell(rig).watch
    await rig.live(2)
    assert [check for check in watch.inputs() if not check.good] == []

    rig.journal.refuses = Retryable("the disk is full")
    rig.feed.goes(FeedState.STALLED, "no price")
    await rig.run(3)
    rig.feed.comes_back()
    await rig.live(3)

    told = only([check for check in watch.inputs() if not check.good])
    assert told.words == "2 alerts wait to be written down: the disk is full"
    assert not told.grave
    rig.journal.refuses = None
    await rig.teller.look()
    await asyncio.sleep(0.01)
    assert [check for check in watch.inputs() if not check.good] == []


async def test_a_watch_that_does_not_look_is_grave_and_first() -> None:
    sight = await _sight()

    assert judged(sight, None) == [("Watch", True)]
    assert judged(sight, 10.0) == [("Watch", True)]
    assert judged(sight, 9.9) == []
    assert judged(None, None) == [("Watch", True)]


async def test_the_gravest_comes_first() -> None:
    sight = changed(await _sight(), market={"silence": 9.0, "stats": {"clock_skew": 3.0}})

    assert judged(sight) == [("Market feed", True), ("Clock", False)]
    assert inputs(sight, alive_age=0.5)[0].name == "Market feed"


async def test_at_night_only_the_market_is_not_good() -> None:
    assert judged(await _sight(MORNING.replace(hour=20))) == [("Market", False)]


# rows and the Watch itself


class Bell:
    """The sides of a WatchDesk that are not the monitor's."""

    def __init__(self, rig: WatchRig) -> None:
        self.tested: list[str] = []
        self.last: Checked | None = None
        self.jobs: Sequence[JobHealth] = (JobHealth("quotes", None, None, 3.0, 9, 0, 0),)
        self.watch = WatchDesk(
            rig.desk,
            rig.monitor,
            rig.incidents,
            rig.minutes,
            rig.teller,
            jobs=lambda: self.jobs,
            channels=lambda: [ChannelHealth("telegram", "ok")],
            checklist=self.checklist,
            test_message=self.test_message,
            recovery=lambda: "idle",
            checked=lambda: self.last,
        )

    async def checklist(self) -> list[Check]:
        return [Check("token", True, "valid")]

    async def test_message(self, by: str) -> None:
        self.tested.append(by)


async def test_every_component_has_a_row_with_words() -> None:
    rig = WatchRig()
    await rig.live(3)
    sight = rig.look()

    found = list(rows(sight, recovery="idle"))

    assert [row.component for row in found] == [c for c in Component if c is not Component.RISK]
    assert all(row.words for row in found)
    assert all(row.condition in WELL for row in found)


async def test_a_row_says_what_is_wrong_and_since_when() -> None:
    rig = WatchRig()
    watch = Bell(rig).watch
    assert watch.components() == ()
    await rig.live(5)
    assert {h.condition for h in watch.components()} <= WELL

    rig.feed.goes(FeedState.STALLED, "no price")
    await rig.run(20)

    row = next(h for h in watch.components() if h.component is Component.MARKET_FEED)
    assert row.condition is Condition.DOWN
    assert (row.words, row.matter) == ("market feed silent 20 s", "no_prices")
    assert row.since is not None
    assert len(row.strip) == 60
    others = [h for h in watch.components() if h.component is not Component.MARKET_FEED]
    assert all(h.condition in WELL and not h.matter for h in others)
    assert only(watch.open_incidents()).key == "no_prices"
    assert only(watch.unacknowledged()).key == "no_prices"
    assert watch.counts()[Severity.WARNING] == 1
    assert watch.counts()[Severity.CRITICAL] == 0


async def test_at_night_feeds_are_closed_and_not_down() -> None:
    rig = WatchRig(at=MORNING.replace(hour=20))
    watch = Bell(rig).watch
    rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    await rig.run(60)

    states = {h.component: h.condition for h in watch.components()}

    assert states[Component.MARKET_FEED] is Condition.CLOSED
    assert states[Component.PORTFOLIO] is Condition.CLOSED
    assert states[Component.STORAGE] is Condition.OK


async def test_acknowledging_reaches_alert_and_incident() -> None:
    rig = WatchRig()
    watch = Bell(rig).watch
    rig.feed.goes(FeedState.STALLED, "no price")
    await rig.run(5)

    assert await watch.acknowledge("page") == 1
    assert await watch.acknowledge("page") == 0
    assert only(watch.open_incidents()).acknowledged_by == "page"
    assert watch.unacknowledged() == []


async def test_what_is_muted_must_have_a_name() -> None:
    rig = WatchRig()
    watch = Bell(rig).watch
    await rig.live(2)

    await watch.mute("market feed", 60)
    assert set(watch.mutes()) == {"market feed"}
    row = next(h for h in watch.components() if h.component is Component.MARKET_FEED)
    assert row.muted_until is not None
    await watch.mute("market feed", 0)
    assert watch.mutes() == {}
    with pytest.raises(Denied, match="nothing that could be muted"):
        await watch.mute("everything", 60)


async def test_a_feed_is_dialled_again_by_its_name() -> None:
    rig = WatchRig()
    watch = Bell(rig).watch

    await watch.reconnect("market", "owner")
    await watch.reconnect("portfolio-main", "owner")
    with pytest.raises(Denied, match="portfolio-main"):
        await watch.reconnect("portfolio-second", "owner")

    assert rig.feed.reconnects == rig.stream.reconnects == ["asked for by owner"]


async def test_the_rest_is_passed_on() -> None:
    rig = WatchRig()
    bell = Bell(rig)
    watch = bell.watch

    await watch.test_message("page")

    assert bell.tested == ["page"]
    assert only(await watch.checklist()).name == "token"
    assert watch.checked() is None
    bell.last = Checked(MORNING, ())
    assert watch.checked() == bell.last
    assert watch.jobs() == bell.jobs
    assert only(watch.channels()).name == "telegram"
    assert watch.alive_age() is None
    assert only(watch.inputs()).name == "Watch"


async def test_reconnects_are_those_of_today() -> None:
    rig = WatchRig(at=MORNING.replace(hour=23, minute=59))
    watch = Bell(rig).watch
    rig.feed.now(reconnects=5)
    await rig.run(10)

    def today() -> int | None:
        found = watch.components()
        return next(h.reconnects for h in found if h.component is Component.MARKET_FEED)

    await rig.run(60)
    assert today() == 0, "though nobody had a page open yesterday"
    rig.feed.now(reconnects=6)
    await rig.run(1)
    assert today() == 1


async def test_a_feed_that_the_header_calls_stale_is_not_called_good() -> None:
    """For ten seconds the row said good beside DO NOT TRADE."""
    rig = WatchRig()
    watch = Bell(rig).watch
    await rig.live(3)
    await rig.run(7)

    row = next(h for h in watch.components() if h.component is Component.MARKET_FEED)
    assert row.condition is Condition.PENDING
    assert watch.open_incidents() == []
