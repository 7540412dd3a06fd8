"""From findings to changes: what is proven, told, and over again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.states import MARKET_CLOSED, Change, States
from trading.health import Component, Condition, Finding, Occasion, Severity, Thresholds

T0 = datetime(2025, 11, 26, 5, 30, tzinfo=UTC)
WARN, CRIT = Severity.WARNING, Severity.CRITICAL
SILENT = Finding("no_prices", Component.MARKET_FEED, WARN, "silent", "old", "wait")
PROVEN = replace(SILENT, at_once=True)
GRAVE = replace(SILENT, severity=CRIT)


class Course:
    """States with a clock of their own."""

    def __init__(self, **limits: float) -> None:
        self.states = States(replace(Thresholds(), **limits))  # type: ignore[arg-type]
        self.seconds = 0.0
        self.changes: list[Change] = []
        self.closed = False
        self.held_back: set[str] = set()

    def look(self, *findings: Finding, after: float = 1.0) -> list[Change]:
        self.seconds += after
        found = self.states.step(
            findings,
            now=T0 + timedelta(seconds=self.seconds),
            monotonic=1000 + self.seconds,
            holds_back=lambda f, _: f.key in self.held_back,
            rests=lambda _: self.closed,
        )
        self.changes += found
        return found

    @property
    def told(self) -> list[Occasion]:
        return [c.occasion for c in self.changes if c.occasion is not None]

    def condition(self, key: str = "no_prices") -> Condition:
        standing = self.states.standings().get(key)
        return standing.condition if standing else Condition.OK


def test_a_finding_is_told_when_it_was_seen_three_times_in_a_row() -> None:
    course = Course()

    course.look(SILENT)
    assert course.condition() is Condition.PENDING
    course.look(SILENT)
    assert course.told == []
    (change,) = course.look(SILENT)

    assert (change.before, change.after) == (Condition.PENDING, Condition.DOWN)
    assert change.occasion is Occasion.BEGIN
    assert change.began == T0 + timedelta(seconds=1), "since it was first seen"


def test_or_after_thirty_seconds_where_looks_are_rare() -> None:
    course = Course(checks_to_down=100)

    course.look(SILENT)
    course.look(SILENT, after=29.9)
    assert course.told == []
    course.look(SILENT, after=0.2)

    assert course.told == [Occasion.BEGIN]


def test_what_is_proven_is_told_at_once() -> None:
    course = Course()

    course.look(PROVEN)

    assert course.told == [Occasion.BEGIN]
    assert course.condition() is Condition.DOWN


def test_what_became_proven_while_pending_waits_no_longer() -> None:
    course = Course()

    course.look(SILENT)
    course.look(PROVEN)

    assert course.told == [Occasion.BEGIN]


def test_it_began_when_the_rule_says_and_not_when_it_was_seen() -> None:
    course = Course()

    (change,) = course.look(replace(PROVEN, lasted=15.0))

    assert change.began == T0 + timedelta(seconds=1 - 15)


def test_what_is_not_seen_again_is_told_to_nobody() -> None:
    course = Course()

    for _ in range(20):
        course.look(SILENT)
        course.look(SILENT)
        course.look()

    assert course.told == []


def test_it_is_over_after_two_good_looks() -> None:
    course = Course()
    course.look(PROVEN)

    course.look()
    assert course.condition() is Condition.DOWN
    (change,) = course.look()

    assert (change.after, change.occasion) == (Condition.OK, Occasion.END)
    assert course.condition() is Condition.OK


def test_one_good_look_between_bad_ones_is_no_end() -> None:
    course = Course()
    course.look(PROVEN)

    for _ in range(10):
        course.look()
        course.look(SILENT)

    assert course.told == [Occasion.BEGIN]


def test_looks_in_quick_succession_count_as_one() -> None:
    course = Course()

    for _ in range(10):
        course.look(SILENT, after=0.05)
    assert course.told == []
    course.look(SILENT)
    course.look(SILENT)
    assert course.told == [Occasion.BEGIN]
    for _ in range(8):
        course.look(after=0.05)
    assert course.told == [Occasion.BEGIN]


def test_it_is_told_again_when_it_becomes_graver_and_only_once() -> None:
    course = Course()
    course.look(PROVEN)

    course.look(GRAVE)
    course.look(SILENT)
    course.look(GRAVE)

    assert course.told == [Occasion.BEGIN, Occasion.ESCALATE]


def test_a_second_fall_within_ten_minutes_is_told_as_on_and_off() -> None:
    course = Course()
    course.look(PROVEN)
    course.look()
    course.look()

    (change,) = course.look(PROVEN)

    assert (change.after, change.occasion, change.flaps) == (
        Condition.FLAPPING,
        Occasion.BEGIN,
        2,
    )


def test_forty_flaps_in_ten_minutes_are_three_messages() -> None:
    course = Course()

    for second in range(600):
        course.look(*([PROVEN] if second % 15 < 8 else []))

    assert course.told == [Occasion.BEGIN, Occasion.END, Occasion.BEGIN]
    assert course.condition() is Condition.FLAPPING
    for _ in range(285):
        course.look()
    assert course.condition() is Condition.FLAPPING
    for _ in range(15):
        course.look()
    assert course.told[3:] == [Occasion.END]
    assert course.condition() is Condition.OK


def test_what_flapped_and_stays_down_is_told_once_more() -> None:
    course = Course()
    for finding in (PROVEN, None, None, PROVEN):
        course.look(*([finding] if finding else []))

    for _ in range(301):
        course.look(PROVEN)

    assert course.told[-1] is Occasion.REMIND
    assert course.condition() is Condition.DOWN
    course.look()
    course.look()
    assert course.told[-1] is Occasion.END


def test_what_flaps_still_says_that_it_has_become_graver() -> None:
    course = Course()
    for finding in (PROVEN, None, None, PROVEN):
        course.look(*([finding] if finding else []))

    course.look(GRAVE)

    assert course.told[-1] is Occasion.ESCALATE


def test_two_falls_more_than_ten_minutes_apart_are_two() -> None:
    course = Course()
    for _ in range(3):
        course.look(PROVEN)
        course.look()
        course.look()
        for _ in range(60):
            course.look(after=11)

    assert course.told == [Occasion.BEGIN, Occasion.END] * 3


def test_when_the_market_closes_it_ends_without_a_claim() -> None:
    course = Course()
    course.look(PROVEN)
    course.closed = True

    (change,) = course.look()

    assert (change.after, change.occasion, change.why) == (
        Condition.CLOSED,
        Occasion.END,
        MARKET_CLOSED,
    )
    for _ in range(10):
        assert course.look() == []


def test_what_another_trouble_explains_is_neither_told_nor_over() -> None:
    course = Course()
    other = replace(SILENT, rule="stream_down")
    course.look(PROVEN)
    course.held_back = {"stream_down", "no_prices"}

    for _ in range(10):
        course.look(PROVEN, other)
        course.look(other)

    assert course.told == [Occasion.BEGIN]
    assert course.condition() is Condition.UNKNOWN
    assert course.condition("stream_down") is Condition.UNKNOWN
    course.held_back = set()
    for _ in range(3):
        course.look(other)
    assert course.told == [Occasion.BEGIN, Occasion.END, Occasion.BEGIN]


def test_pending_does_not_go_on_counting_while_it_is_held_back() -> None:
    course = Course()
    course.look(SILENT)
    course.look(SILENT)
    course.held_back = {"no_prices"}
    course.look(SILENT)
    course.held_back = set()

    course.look(SILENT)

    assert course.told == []


def test_keys_that_are_long_over_are_forgotten() -> None:
    course = Course()
    for n in range(50):
        course.look(replace(PROVEN, about=str(n)))
    for _ in range(650):
        course.look()

    assert course.states._matters == {}


@dataclass
class Moment:
    seconds: float
    findings: tuple[Finding, ...]
    held_back: bool
    closed: bool


KINDS = [SILENT, PROVEN, GRAVE, replace(PROVEN, about="x"), replace(SILENT, about="x")]
MOMENTS = st.builds(
    Moment,
    seconds=st.sampled_from([0.05, 0.5, 1.0, 1.0, 1.0, 5.0, 40.0, 200.0]),
    findings=st.lists(st.sampled_from(KINDS), max_size=2).map(tuple),
    held_back=st.sampled_from([False, False, False, True]),
    closed=st.sampled_from([False, False, False, False, True]),
)


@settings(deadline=None, max_examples=200, print_blob=True)
@given(st.lists(MOMENTS, max_size=80))
def test_whatever_is_found_begins_and_ends_come_in_pairs(moments: list[Moment]) -> None:
    course = Course()
    for moment in moments:
        course.closed = moment.closed
        course.held_back = {"no_prices", "no_prices x"} if moment.held_back else set()
        course.look(*moment.findings, after=moment.seconds)

    for key in ("no_prices", "no_prices x"):
        mine = [c for c in course.changes if c.key == key]
        _pairs(mine)
        _joined(mine)
        _few(mine)


def _pairs(changes: list[Change]) -> None:
    lasts = False
    for change in changes:
        if change.occasion is Occasion.BEGIN:
            assert not lasts, "two begins"
            lasts = True
        elif change.occasion is Occasion.END:
            assert lasts, "an end without a begin"
            lasts = False
        elif change.occasion is not None:
            assert lasts, f"{change.occasion} of what is not there"


def _joined(changes: list[Change]) -> None:
    """Each change begins where the one before ended; what is closed or held back begins anew."""
    for before, after in pairwise(changes):
        fresh = before.after in (Condition.CLOSED, Condition.PENDING)
        assert after.before is before.after or (fresh and after.before is Condition.OK)


def _few(changes: list[Change]) -> None:
    """In ten minutes: begin, end, on and off, steadily over or down; and graver twice at most."""
    told = [c for c in changes if c.occasion is not None]
    for first in told:
        end = first.at + timedelta(seconds=Thresholds().flap_window)
        window = [c for c in told if first.at <= c.at < end]
        closings = sum(c.why == MARKET_CLOSED for c in window)
        assert len(window) <= 8 + 2 * closings, window


@pytest.mark.parametrize("flaps", [2, 3, 4, 5, 6])
def test_flapping_never_tells_more_than_its_number_of_changes(flaps: int) -> None:
    course = Course(flaps=flaps)

    for finding in _on_and_off(600):
        course.look(*finding)

    assert len(course.told) <= flaps
    assert course.condition() is Condition.FLAPPING


def _on_and_off(seconds: int) -> Iterator[tuple[Finding, ...]]:
    for second in range(seconds):
        yield (PROVEN,) if second % 10 < 5 else ()
