"""Which step is next: patient, one at a time, bounded, and never against the feed's own work."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.ladders import (
    AGAIN,
    HANDS_OFF,
    LADDERS,
    MINUTE,
    MOST_A_MINUTE,
    ON_THE_WIRE,
    UNHELD,
    Matter,
    Remedy,
    Step,
    Taken,
    Trouble,
    next_step,
)
from trading.ports import FeedState

SILENT = Trouble("market", Matter.SILENT, 0.0, state=FeedState.LIVE, held=("A",))
MISSING = Trouble(
    "market",
    Matter.MISSING,
    0.0,
    state=FeedState.LIVE,
    missing=("A",),
    unserved=("A",),
    held=("A",),
)
STREAM = Trouble("portfolio-main", Matter.STREAM, 0.0, state=FeedState.OPEN)
BOOKS = Trouble("books of main", Matter.BOOKS, 0.0)


def run(trouble: Trouble, seconds: float, *, helps: bool = False) -> list[Taken]:
    """Let the ladder be asked four times a second; a step that helps is proven a second later."""
    taken: list[Taken] = []
    now = trouble.since
    while now < trouble.since + seconds:
        proof = taken[-1].at + 1.0 if helps and taken and now >= taken[-1].at + 1.0 else None
        step = next_step(trouble, taken, now, proof)
        if step is not None:
            taken.append(Taken(step.remedy, now))
        now += 0.25
    return taken


@pytest.mark.parametrize("trouble", [SILENT, MISSING, STREAM, BOOKS])
def test_the_steps_of_a_ladder_come_in_its_order_and_end_with_telling(trouble: Trouble) -> None:
    """All but polling, which bridges and waits for nothing that has to wait itself."""
    taken = run(trouble, 200)
    ladder = [rung.remedy for rung in LADDERS[trouble.matter]]

    in_turn = [step.remedy for step in taken if step.remedy is not Remedy.POLL]
    assert in_turn == [remedy for remedy in ladder if remedy is not Remedy.POLL]
    assert {step.remedy for step in taken} == set(ladder)
    assert taken[-1].at <= 76  # and by then a person knows


def test_each_step_has_its_time_before_the_next() -> None:
    taken = run(MISSING, 200)
    patience = {rung.remedy: rung.patience for rung in LADDERS[Matter.MISSING]}

    for before, after in pairwise(taken):
        assert after.at - before.at >= patience[before.remedy]


def test_a_step_says_where_on_the_ladder_it_stands() -> None:
    assert next_step(MISSING, [], 0.0, None) == Step(Remedy.ASK_AGAIN, 1, 5, 12.0)


def test_a_step_that_was_proven_is_followed_by_none_as_long_as_it_may_last() -> None:
    taken = [Taken(Remedy.ASK_AGAIN, 0.0)]

    assert next_step(MISSING, taken, 12.5, 1.0) is None
    step = next_step(MISSING, taken, 13.0, 1.0)
    assert step is not None
    assert step.remedy is Remedy.RECONNECT


def test_a_silent_feed_first_has_time_to_help_itself() -> None:
    nothing_held = replace(SILENT, held=())
    assert next_step(nothing_held, [], HANDS_OFF - 0.1, None) is None
    step = next_step(nothing_held, [], HANDS_OFF, None)
    assert step is not None
    assert step.remedy is Remedy.RECONNECT


@pytest.mark.parametrize(
    "state", [s for s in FeedState if s not in (FeedState.OPEN, FeedState.LIVE)]
)
@pytest.mark.parametrize("trouble", [SILENT, MISSING, STREAM])
def test_while_the_feed_dials_or_is_refused_nothing_is_asked_of_it(
    trouble: Trouble, state: FeedState
) -> None:
    taken = run(replace(trouble, state=state), 3600)

    assert not any(step.remedy in ON_THE_WIRE for step in taken)
    assert not any(step.remedy is Remedy.TELL for step in taken)  # it has not given up either


def test_what_is_held_is_polled_while_the_feed_dials() -> None:
    taken = run(replace(SILENT, state=FeedState.BACKING_OFF), 60)

    assert [(step.remedy, step.at) for step in taken] == [(Remedy.POLL, 0.0)]


@pytest.mark.parametrize("trouble", [SILENT, MISSING, STREAM, BOOKS])
def test_f03_in_a_closed_market_nothing_is_tried(trouble: Trouble) -> None:
    assert run(replace(trouble, due=False), 3600) == []


def test_f03_a_market_in_which_nothing_trades_is_left_alone() -> None:
    assert run(replace(SILENT, quiet=True), 3600) == []


def test_f13_an_instrument_that_nobody_holds_is_asked_for_once_and_late() -> None:
    taken = run(replace(MISSING, held=()), 200)

    assert [(step.remedy, step.at) for step in taken] == [(Remedy.ASK_AGAIN, UNHELD)]


def test_an_instrument_that_merely_does_not_trade_never_costs_the_others_their_connection() -> None:
    taken = run(replace(MISSING, unserved=()), 200)

    assert [step.remedy for step in taken] == [Remedy.ASK_AGAIN, Remedy.POLL, Remedy.TELL]


def test_quotes_are_enough_for_a_few_instruments_but_not_for_a_silent_feed() -> None:
    few = [Taken(Remedy.ASK_AGAIN, 0.0), Taken(Remedy.POLL, 12.0)]
    silent = [Taken(Remedy.RECONNECT, 12.0), Taken(Remedy.AUTHORISE, 27.0), Taken(Remedy.POLL, 42)]

    assert next_step(replace(MISSING, unserved=()), few, 3600.0, 13.0) is None
    step = next_step(SILENT, silent, 43.0, 43.0)
    assert step is not None
    assert step.remedy is Remedy.TELL


def test_after_giving_up_it_is_all_tried_once_more_five_minutes_later() -> None:
    taken = run(MISSING, 2 * AGAIN + 100)
    first = [step.remedy for step in taken[:5]]

    assert [step.remedy for step in taken[5:10]] == first
    assert taken[5].at - taken[4].at >= AGAIN


@given(st.integers(0, 2**32 - 1))
def test_no_course_of_events_makes_a_storm(seed: int) -> None:
    """Troubles that come and go, states that change, proofs or none: two steps a minute at most."""
    rng = random.Random(seed)
    taken: list[Taken] = []
    trouble, now, proof = SILENT, 0.0, None
    for _ in range(400):
        now += rng.choice([0.25, 1.0, 5.0])
        if rng.random() < 0.1:
            trouble = replace(rng.choice([SILENT, MISSING]), since=now)
        trouble = replace(trouble, state=rng.choice([*FeedState, FeedState.LIVE, FeedState.OPEN]))
        proof = now if rng.random() < 0.2 else proof
        step = next_step(trouble, taken, now, proof)
        if step is not None:
            taken.append(Taken(step.remedy, now))

    wire = [step.at for step in taken if step.remedy in ON_THE_WIRE]
    for at in wire:
        assert sum(at <= other < at + MINUTE for other in wire) <= MOST_A_MINUTE, seed
