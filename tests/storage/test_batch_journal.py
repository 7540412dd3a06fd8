"""Baskets on the disk: whole before anything is sent, one a press, found again unfinished."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.batch_journal import DatabaseBatchJournal
from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.writer import Writer
from tests.storage import account
from tests.storage.account import MORNING, SECOND, intent, request
from tests.storage.sql import count, rows
from trading.basket import (
    Basket,
    BasketState,
    BasketStep,
    BatchJournal,
    LegReceipt,
    LegStatus,
    OnFilled,
)
from trading.errors import Denied, Problem

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
WORLDS = numbers()

legs = st.builds(
    LegReceipt,
    number=st.integers(1, 10),
    request=account.requests,
    status=st.sampled_from(LegStatus),
    order_id=account.words,
    filled=account.whole,
    average=account.prices,
    reason=account.words,
    reversal_ids=st.lists(account.words, max_size=3).map(tuple),
    reversed=account.whole,
    reversed_average=account.prices,
    reversal_reason=account.words,
    residual=st.none() | account.whole,
    answer_ms=st.none() | st.floats(0, 1e6),
    final_ms=st.none() | st.floats(0, 1e6),
    price_cost=st.none() | account.whole,
    charges=st.none() | account.whole,
)
steps = st.builds(
    BasketStep, state=st.sampled_from(BasketState), at=account.moments, words=account.words
)
baskets = st.builds(
    Basket,
    id=account.words,
    account=account.words,
    nonce=account.words,
    name=account.words,
    source=account.words,
    rollback_on_failure=st.booleans(),
    on_filled=st.sampled_from(OnFilled),
    state=st.sampled_from(BasketState),
    created=account.moments,
    updated=account.moments,
    is_mock=st.booleans(),
    legs=st.lists(legs, max_size=10, unique_by=lambda leg: leg.number).map(
        lambda some: tuple(sorted(some, key=lambda leg: leg.number))
    ),
    problems=st.lists(st.builds(Problem, account.words, account.words), max_size=3).map(tuple),
    reason=account.words,
    decision=st.none() | st.sampled_from(OnFilled),
    asking=st.booleans(),
    acknowledged=st.none() | account.moments,
    steps=st.lists(steps, max_size=5).map(tuple),
)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseBatchJournal]:
    journal = DatabaseBatchJournal(database, writer, world="simulated broker")
    yield journal
    journal.close()


def basket(
    nonce: str, state: BasketState = BasketState.PLACING, *, at: datetime = MORNING
) -> Basket:
    return Basket(
        id=f"basket-{nonce}",
        account="main",
        nonce=nonce,
        name="Iron condor",
        source="basket",
        rollback_on_failure=True,
        on_filled=OnFilled.REVERSE,
        state=state,
        created=at,
        updated=at,
        is_mock=True,
        legs=tuple(LegReceipt(n, request(f"basket-{nonce}/{n}", leg=n)) for n in range(1, 5)),
        steps=(BasketStep(state, at, "begun"),),
    )


def moved(was: Basket, state: BasketState) -> Basket:
    at = was.updated + SECOND
    return replace(was, state=state, updated=at, steps=(*was.steps, BasketStep(state, at, "")))


async def test_a_basket_is_whole_on_the_disk_when_it_may_be_sent(
    journal: DatabaseBatchJournal, path: Path
) -> None:
    desk_asks_for: BatchJournal = journal

    assert await desk_asks_for.open_basket(basket("a")) == basket("a")

    assert rows(path, "SELECT id, state, is_mock FROM baskets") == [("basket-a", "placing", 1)]
    assert rows(path, "SELECT number, nonce, status FROM basket_legs ORDER BY number") == [
        (n, f"basket-a/{n}", "planned") for n in range(1, 5)
    ]
    assert await journal.baskets(since=MORNING) == [basket("a")]


async def test_u03_one_press_is_one_basket_also_if_it_races_and_after_a_restart(
    journal: DatabaseBatchJournal, writer: Writer, path: Path
) -> None:
    presses = [replace(basket("a"), id=f"basket-{n}") for n in range(20)]

    answers = await asyncio.gather(*(journal.open_basket(pressed) for pressed in presses))

    assert count(path, "baskets") == 1
    assert count(path, "basket_legs") == 4
    (made,) = {answer.id for answer in answers}
    journal.keep_basket(done := moved(replace(basket("a"), id=made), BasketState.PLACED))
    await asyncio.to_thread(writer.stop)

    opened_again = open_database(path)
    again = Writer(opened_again, reserve=0)
    restarted = DatabaseBatchJournal(opened_again, again, world="simulated broker")
    assert await restarted.open_basket(basket("a")) == done
    restarted.close()
    await asyncio.to_thread(again.stop)
    opened_again.close()


async def test_u03_a_press_on_paper_is_no_answer_to_one_with_real_money(
    database: Database, writer: Writer, journal: DatabaseBatchJournal, path: Path
) -> None:
    await journal.open_basket(basket("a", BasketState.PLACED))

    elsewhere = DatabaseBatchJournal(database, writer, world="upstox broker")
    with pytest.raises(Denied, match="Nothing was sent") as denied:
        await elsewhere.open_basket(replace(basket("a"), id="other"))
    other = basket("b")
    assert await elsewhere.open_basket(other) == other
    elsewhere.close()

    assert [problem.field for problem in denied.value.problems] == ["nonce"]
    assert rows(path, "SELECT id, world FROM baskets") == [
        ("basket-a", "simulated broker"),
        ("basket-b", "upstox broker"),
    ]


async def test_refused_ones_without_a_nonce_are_baskets_of_their_own(
    journal: DatabaseBatchJournal,
) -> None:
    refused = [replace(basket("", BasketState.REFUSED), id=str(n), legs=()) for n in range(3)]

    for each in refused:
        assert await journal.open_basket(each) == each

    assert await journal.baskets(since=MORNING) == refused


async def test_unfinished_ones_are_found_however_old_they_are(
    journal: DatabaseBatchJournal,
) -> None:
    week_ago = MORNING - timedelta(days=7)
    for state in BasketState:
        await journal.open_basket(basket(state.name, state, at=week_ago))
    seen = replace(basket("seen", BasketState.UNRESOLVED, at=week_ago), acknowledged=week_ago)
    await journal.open_basket(seen)
    await journal.open_basket(basket("today", BasketState.PLACED))

    found = [found.nonce for found in await journal.baskets(since=MORNING)]

    assert found == ["VALIDATING", "PLACING", "COMPENSATING", "UNRESOLVED", "today"]
    assert len(await journal.baskets(since=week_ago)) == len(BasketState) + 2


async def test_a_state_is_written_before_any_later_intent(
    database: Database, writer: Writer, journal: DatabaseBatchJournal, path: Path
) -> None:
    orders = DatabaseOrderJournal(database, writer, world="simulated broker")
    state = basket("a")
    await journal.open_basket(state)
    for n in range(50):
        state = moved(state, BasketState.COMPENSATING)
        journal.keep_basket(state)
        await orders.open_intents([intent(str(n))])
        assert rows(path, "SELECT updated FROM baskets") == [
            (int(state.updated.timestamp() * 1000),)
        ]
    assert count(path, "basket_steps") == 51
    orders.close()


async def test_half_a_character_does_not_keep_a_state_back(journal: DatabaseBatchJournal) -> None:
    broken: str = json.loads('"RMS: \\ud800 short of margin"')  # as any JSON may bring it
    await journal.open_basket(state := basket("a"))
    legs = [replace(leg, reason=broken, reversal_reason=broken) for leg in state.legs]
    steps = (*state.steps, BasketStep(BasketState.UNRESOLVED, MORNING, broken))
    problems = (Problem("margin", broken),)

    journal.keep_basket(
        replace(
            state,
            state=BasketState.UNRESOLVED,
            reason=broken,
            problems=problems,
            legs=tuple(legs),
            steps=steps,
        )
    )

    (kept,) = await journal.baskets(since=MORNING)
    words = "RMS: ? short of margin"
    assert (kept.state, kept.reason) == (BasketState.UNRESOLVED, words)
    assert {kept.steps[-1].words, kept.problems[0].words, kept.legs[0].reason} == {words}
    assert kept.legs[0].reversal_reason == words


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(some=st.lists(baskets, max_size=3))
def test_whatever_is_kept_comes_back_exactly(
    database: Database, writer: Writer, some: list[Basket]
) -> None:
    world = f"world {next(WORLDS)}"
    journal = DatabaseBatchJournal(database, writer, world=world)
    kept = [replace(b, id=f"{world}/{n}", nonce=f"{world}/{n}") for n, b in enumerate(some)]

    async def keep_and_read() -> list[Basket]:
        for each in kept:
            await journal.open_basket(replace(each, legs=each.legs[:1], steps=()))
            journal.keep_basket(replace(each, steps=each.steps[:2]))
            journal.keep_basket(each)
        return await journal.baskets(since=LONG_AGO)

    assert asyncio.run(keep_and_read()) == kept
    journal.close()
