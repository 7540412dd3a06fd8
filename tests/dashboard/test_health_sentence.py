"""What /health and the sentence on the page name as trouble, and what they do not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.rulebook import found_rules
from dashboard.health_sentence import Rule, rows, sentence, troubles
from tests.dashboard.fakes import NIFTY, MemoryFeed, MemoryJournal, make_desk
from tests.dashboard.scripted_watch import ScriptedWatch, feed_incident, script
from tests.ticks import batch, tick
from trading.clock import ManualClock
from trading.desk import Desk
from trading.health import Component, Condition
from trading.ports import FeedState


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    desk = make_desk(clock)
    desk.market_data.publish(batch(tick(NIFTY, received=clock.monotonic())))
    return desk


@pytest.fixture
def watch(desk: Desk) -> ScriptedWatch:
    return script(desk.watch)


def goes_silent(watch: ScriptedWatch, clock: ManualClock) -> None:
    watch.becomes(
        Component.MARKET_FEED,
        condition=Condition.DOWN,
        since=clock.now(),
        words="market feed silent for 17 s",
        matter="no_prices",
    )


def test_a_desk_that_is_well_has_no_trouble(desk: Desk) -> None:
    assert troubles(desk) == []
    assert sentence(desk) == "● All systems good"


@pytest.mark.parametrize("condition", [Condition.PENDING, Condition.CLOSED, Condition.UNKNOWN])
def test_what_is_not_proven_is_no_trouble(
    desk: Desk, watch: ScriptedWatch, condition: Condition
) -> None:
    watch.becomes(Component.REST, condition=condition)

    assert troubles(desk) == []


def test_one_trouble_is_told_once_in_the_words_of_the_watch(
    desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    clock.advance(20)  # the feed itself is silent too
    goes_silent(watch, clock)

    assert troubles(desk) == ["market feed down since 11:00:20, silent for 17 s"]


def test_what_the_parts_say_is_told_before_the_watch_has_proven_it(
    desk: Desk, clock: ManualClock
) -> None:
    clock.advance(6)

    assert troubles(desk) == ["market feed silent for 6.0s"]


def test_the_cause_is_the_present_one_and_not_that_of_an_older_incident(
    desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    """An hour ago some instruments were without data, and they still are."""
    watch.happens(replace(feed_incident(clock, ago=3_600), key="no_data", cause="no data for 3"))
    goes_silent(watch, clock)

    assert troubles(desk) == ["market feed down since 11:00:00, silent for 17 s"]


def test_a_silent_feed_is_told_while_the_watch_speaks_of_another_matter_of_it(
    desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    watch.becomes(
        Component.MARKET_FEED,
        condition=Condition.DOWN,
        since=None,
        words="no data for 3 instruments",
        matter="no_data",
    )
    assert isinstance(desk.feed, MemoryFeed)
    desk.feed.now(missing=("A", "B", "C"))
    clock.advance(6)

    assert troubles(desk) == [
        "market feed down, no data for 3 instruments",
        "market feed silent for 6.0s",
    ]


def test_the_keys_by_which_a_matter_is_known_are_those_of_the_rules() -> None:
    """What the watch has proven is not told a second time by the parts."""
    names = {rule.name for rule in found_rules()}

    assert names.issuperset(Rule)


def test_a_session_without_a_price_is_a_trouble(desk: Desk, clock: ManualClock) -> None:
    night = clock.now() - timedelta(hours=18)
    desk.market_data.publish(
        batch(tick(NIFTY, at=int(night.timestamp() * 1000), received=clock.monotonic()))
    )
    clock.advance(6)

    assert troubles(desk) == ["market feed has told no price since the opening"]


def test_a_desk_that_has_heard_nothing_says_so(clock: ManualClock) -> None:
    assert troubles(make_desk(clock)) == ["market feed has told no price yet"]


def test_a_component_without_an_incident_is_told_in_its_own_words(
    desk: Desk, watch: ScriptedWatch
) -> None:
    watch.becomes(
        Component.STORAGE,
        condition=Condition.FLAPPING,
        since=None,
        words="5 s behind",
        matter="disk",
    )
    assert isinstance(desk.journal, MemoryJournal)
    desk.journal.storage = replace(desk.journal.storage, state="locked")

    assert troubles(desk) == ["storage on and off, 5 s behind"]


def test_an_incident_of_another_account_is_not_its_cause(
    desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    other = replace(
        feed_incident(clock), component=Component.PORTFOLIO, key="stream second", cause="refused"
    )
    watch.happens(other)
    watch.becomes(Component.PORTFOLIO, "main", condition=Condition.DOWN, since=None, words="silent")

    assert troubles(desk) == ["portfolio stream of main down, silent"]


def test_a_blind_watch_is_not_believed_and_the_parts_still_speak(
    desk: Desk, watch: ScriptedWatch
) -> None:
    watch.look_age = 30.0
    watch.becomes(Component.REST, condition=Condition.DOWN)
    assert isinstance(desk.feed, MemoryFeed)
    desk.feed.now(state=FeedState.BACKING_OFF, reason="status 503")

    said = troubles(desk)

    assert said[0].startswith("the watch has not looked for 30s")
    assert said[1:] == ["market feed backing off since 11:00:00, status 503"]
    assert {row.condition for row in rows(desk)} == {Condition.UNKNOWN}


def test_a_desk_without_a_watch_knows_nothing_of_its_components(desk: Desk) -> None:
    alone = replace(desk, watch=None)

    assert {row.condition for row in rows(alone)} == {Condition.UNKNOWN}
    assert sentence(alone).startswith("◐ Degraded: the watch is not running: nobody looks")
