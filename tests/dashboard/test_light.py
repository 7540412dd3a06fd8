"""The light in the header says whether prices may be acted on, and if not, why."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.light import Level, countdown, light
from trading.health import Check
from trading.hours import MarketState, Phase
from trading.ports import FeedState

STYLE = Path(__file__).parents[2] / "dashboard" / "components" / "vigil.css"
NOW = datetime(2025, 11, 21, 12, 0, tzinfo=UTC)  # a Friday evening in India
OPEN = MarketState(Phase.OPEN, "", NOW + timedelta(hours=1), None)
MONDAY = datetime(2025, 11, 24, 3, 45, tzinfo=UTC)
OPENED = MarketState(Phase.OPEN, "", NOW + timedelta(hours=6), None, since=NOW)
CLOSED = MarketState(Phase.CLOSED, "", MONDAY, MONDAY)


def shown(**changes: Any) -> tuple[Level, str]:
    facts: dict[str, Any] = {
        "stage": "ready",
        "reason": "",
        "market": OPEN,
        "feed": FeedState.LIVE,
        "feed_reason": "",
        "heard_age": 0.3,
        "now": NOW,
    }
    result = light(**(facts | changes))
    return result.level, result.text


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({}, Level.LIVE, "FEED LIVE"),
        ({"heard_age": 2.1}, Level.LATE, "PRICES LATE"),
        ({"heard_age": 5.1}, Level.STALE, "DO NOT TRADE: market feed silent"),
        ({"heard_age": None}, Level.WAITING, "DO NOT TRADE: no price yet"),
        ({"heard_age": None, "stage": "starting"}, Level.STARTING, "STARTING"),
        (
            {"market": OPENED, "told": NOW - timedelta(hours=18), "heard_age": 9.0},
            Level.OPENING,
            "DO NOT TRADE: no price since the opening",
        ),
        (
            {"market": OPENED, "told": NOW + timedelta(seconds=1), "heard_age": 9.0},
            Level.STALE,
            "DO NOT TRADE: market feed silent",
        ),
        ({"market": CLOSED}, Level.CLOSED, "MARKET CLOSED, opens Mon 09:15"),
        ({"market": CLOSED, "heard_age": None}, Level.CLOSED, "MARKET CLOSED, opens Mon 09:15"),
        (
            {"feed": FeedState.REFUSED, "feed_reason": "the token has expired", "market": CLOSED},
            Level.BROKEN,
            "DO NOT TRADE: feed refused, the token has expired",
        ),
        (
            {"stage": "failed", "reason": "disk full"},
            Level.BROKEN,
            "DO NOT TRADE: start failed, disk full",
        ),
        (
            {"market": MarketState(Phase.UNKNOWN, "", None, None)},
            Level.CLOSED,
            "MARKET HOURS NOT KNOWN",
        ),
    ],
)
def test_the_light_names_what_has_to_be_healed_first(
    changes: dict[str, Any], level: Level, text: str
) -> None:
    assert shown(**changes) == (level, text)


def test_whatever_says_do_not_trade_is_red() -> None:
    """Some of these once looked like CONNECTING: a grey ring beside the words."""
    red = re.search(r"\.v-light:is\(([^{]*)\) \{[^}]*background: #b5121f", STYLE.read_text())
    assert red is not None
    painted = set(re.findall(r'data-level="(\w+)"', red[1]))

    unheard = {"market": OPENED, "told": NOW - timedelta(hours=18), "heard_age": 9.0}
    facts = ({"heard_age": 9.0}, {"heard_age": None}, {"stage": "stopping"}, unheard)
    lights = [shown(**changes) for changes in facts]
    assert all(text.startswith("DO NOT TRADE") for _, text in lights)
    assert painted == {*(level for level, _ in lights), "gone"}


GOOD = Check("Token", True, "valid until 03:30")
SKEWED = Check("Clock", False, "2.4 s ahead", grave=False)
UNREAD = Check("Books", False, "not read for 41 s", grave=False)
SILENT = Check("Market feed", False, "live, last price 7 s ago", age=7.0)
LATE = Check("Market feed", False, "live, last price 3 s ago", age=3.0, grave=False)
DOWN = Check("Market feed", False, "connecting, last price 1 s ago", age=1.0)
SHUT = Check("Market", False, "closed", grave=False)  # of a look before the opening
FORBIDDEN = Check("Market feed", False, "refused: the token has ended")
REFUSED = Check("Token", False, "token ended at 03:30")


@pytest.mark.parametrize(
    ("inputs", "changes", "level", "text"),
    [
        ((), {}, Level.LIVE, "CAN TRADE"),
        ((GOOD,), {}, Level.LIVE, "CAN TRADE"),
        ((GOOD,), {"heard_age": 2.1}, Level.LATE, "CARE: prices late"),
        ((GOOD, SKEWED), {}, Level.CARE, "CARE: Clock 2.4 s ahead"),
        ((SKEWED, UNREAD), {}, Level.CARE, "CARE: Clock 2.4 s ahead (+1)"),
        ((SKEWED, REFUSED), {}, Level.BROKEN, "DO NOT TRADE: token ended at 03:30 (+1)"),
        ((REFUSED,), {"heard_age": 2.1}, Level.BROKEN, "DO NOT TRADE: token ended at 03:30"),
        ((SKEWED,), {"heard_age": 5.1}, Level.STALE, "DO NOT TRADE: market feed silent"),
        ((SILENT,), {"heard_age": 0.2}, Level.LIVE, "CAN TRADE"),  # a price came since
        ((SHUT,), {}, Level.LIVE, "CAN TRADE"),
        ((LATE,), {"heard_age": 3.4}, Level.LATE, "CARE: prices late"),
        (
            (DOWN,),
            {"heard_age": 1.6},
            Level.BROKEN,
            "DO NOT TRADE: Market feed connecting, last price 1 s ago",
        ),
        (
            (FORBIDDEN,),
            {},
            Level.BROKEN,
            "DO NOT TRADE: Market feed refused: the token has ended",
        ),
        ((REFUSED,), {"market": CLOSED}, Level.CLOSED, "MARKET CLOSED, opens Mon 09:15"),
        ((GOOD,), {"heard_age": None}, Level.WAITING, "DO NOT TRADE: no price yet"),
    ],
)
def test_one_input_that_is_not_good_is_enough(
    inputs: tuple[Check, ...], changes: dict[str, Any], level: Level, text: str
) -> None:
    assert shown(inputs=inputs, **changes) == (level, text)


def test_the_header_counts_down_to_the_close_or_to_the_next_opening() -> None:
    assert countdown(OPEN, NOW).verb == "closes in"
    assert countdown(OPEN, NOW).until == int((NOW + timedelta(hours=1)).timestamp() * 1000)
    assert countdown(CLOSED, NOW).verb == "opens in"
    assert countdown(CLOSED, NOW).until == int(MONDAY.timestamp() * 1000)


def test_a_named_day_is_named() -> None:
    holiday = MarketState(Phase.CLOSED, "Diwali", MONDAY, MONDAY)
    muhurat = MarketState(Phase.OPEN, "Muhurat", NOW + timedelta(hours=1), None)

    assert countdown(holiday, NOW).session == "Closed: Diwali"
    assert countdown(muhurat, NOW).session == "Open: Muhurat"


def test_a_special_session_is_named_before_it_begins() -> None:
    before = MarketState(Phase.CLOSED, "", MONDAY, MONDAY, "Muhurat")

    assert countdown(before, NOW).verb == "Muhurat opens in"


def test_a_market_that_never_closes_does_not_count_down_to_the_end_of_our_calendar() -> None:
    simulated = MarketState(Phase.OPEN, "", NOW + timedelta(days=8), None)

    assert countdown(simulated, NOW).session == "Open, does not close"
    assert countdown(simulated, NOW).until is None
