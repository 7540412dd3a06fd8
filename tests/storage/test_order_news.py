"""What became of orders waits on the disk until somebody was told: none is lost, none doubled."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database
from storage.order_journal import DatabaseOrderJournal, is_news
from storage.writer import Writer
from tests.storage.account import MORNING, child, intent, moved
from tests.storage.sql import count, rows
from tests.storage.test_writer import locked
from tests.storage.watch import WORLD, alert, by, news
from trading.errors import BadRequest
from trading.health_ports import News, OrderNews
from trading.order import Order, OrderStatus, Step


@pytest.fixture
def orders(database: Database, writer: Writer) -> Iterator[DatabaseOrderJournal]:
    journal = DatabaseOrderJournal(database, writer, world=WORLD)
    yield journal
    journal.close()


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseAlertJournal]:
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    yield journal
    journal.close()


def told(found: list[OrderNews]) -> list[tuple[str, str, int]]:
    return [(n.order.request.nonce, n.step.status.value, n.step.filled) for n in found]


async def test_a_new_step_that_says_something_new_is_news_at_once(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal
) -> None:
    order = intent("a")
    await orders.open_intents([order])
    assert await journal.order_news() == []
    working = moved(order, OrderStatus.WORKING, child(order, "1"))
    half = moved(working, OrderStatus.WORKING, child(order, "1", filled=75), filled=75)
    changed = moved(half, OrderStatus.WORKING, child(order, "1", filled=75, price=143.0))
    done = moved(changed, OrderStatus.FILLED, child(order, "1", filled=150), filled=150)
    for state in (working, half, changed, done):
        orders.keep(state)

    found = await journal.order_news()  # without a pause: what was kept before is there

    assert told(found) == [("a", "working", 0), ("a", "working", 75), ("a", "filled", 150)]
    assert [n.order for n in found] == [done, done, done]  # as the disk has it now
    assert [n.before for n in found] == [None, done.steps[0], done.steps[2]]
    assert [n.step for n in found] == [done.steps[0], done.steps[1], done.steps[3]]
    assert [n.number for n in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, ("sent", 0), False),
        (None, ("in doubt", 0), True),
        (None, ("working", 0), True),
        (("sent", 0), ("working", 0), True),
        (("working", 0), ("working", 0), False),
        (("working", 0), ("working", 75), True),
        (("working", 75), ("cancelled", 75), True),
        (("filled", 150), ("filled", 150), False),
    ],
)
def test_news_is_another_status_or_more_filled(
    before: tuple[str, int] | None, after: tuple[str, int], expected: bool
) -> None:
    steps = [
        Step(OrderStatus(status), "", filled, MORNING, "stream")
        for status, filled in filter(None, (before, after))
    ]

    assert is_news(replace(intent("a"), steps=tuple(steps)), len(steps) - 1) is expected


async def test_an_order_placed_elsewhere_is_news_and_read_again_it_is_none(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal, database: Database, writer: Writer
) -> None:
    theirs = replace(intent("ext-main-1"), id="ext-main-1", external=True)
    theirs = replace(theirs, status=OrderStatus.WORKING)
    theirs = moved(theirs, OrderStatus.FILLED, child(theirs, "1", tag=""), filled=150)
    orders.keep(theirs)
    (first,) = await journal.order_news()
    assert (first.step, first.before) == (theirs.steps[0], None)
    await journal.tell([news()], handled=[first.number])

    restarted = DatabaseOrderJournal(database, writer, world=WORLD)
    for order in await restarted.orders(since=MORNING):
        restarted.keep(order)
    assert await journal.order_news() == []
    restarted.close()


async def test_news_is_oldest_first_and_read_in_portions(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal
) -> None:
    made = [intent(str(n)) for n in range(9)]
    for status in (OrderStatus.WORKING, OrderStatus.CANCELLED):
        for n, order in enumerate(made):
            made[n] = moved(order, status)
            orders.keep(made[n])
        await journal.order_news()

    found = await journal.order_news(most=12)

    assert told(found) == [
        *((str(n), "working", 0) for n in range(9)),
        *((str(n), "cancelled", 0) for n in range(3)),
    ]


async def test_what_is_told_and_what_was_handled_are_one_commit(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal, path: Path
) -> None:
    order = intent("a")
    orders.keep(moved(order, OrderStatus.REJECTED))
    (found,) = await journal.order_news()

    with pytest.raises(BadRequest):
        await journal.tell([news("a", "telegram", "telegram")], handled=[found.number])
    assert await journal.order_news() == [found]

    await journal.tell([News(alert("a"), by("telegram"))], handled=[found.number])
    assert await journal.order_news() == []
    assert (count(path, "order_news"), count(path, "letters")) == (0, 1)
    assert await journal.tell([], handled=[found.number]) == []


async def test_what_nobody_shall_hear_of_is_forgotten_without_an_alert(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal
) -> None:
    orders.keep(moved(intent("a"), OrderStatus.WORKING))
    found = await journal.order_news()

    assert await journal.tell([], handled=[n.number for n in found]) == []
    assert await journal.order_news() == []


async def test_a_handled_number_never_means_later_news(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal
) -> None:
    order = moved(intent("a"), OrderStatus.WORKING)
    orders.keep(order)
    (first,) = await journal.order_news()
    await journal.tell([], handled=[first.number])
    orders.keep(moved(order, OrderStatus.FILLED, filled=150))

    await journal.tell([], handled=[first.number])  # once more, as after a timeout

    assert told(await journal.order_news()) == [("a", "filled", 150)]


async def test_news_of_another_world_waits_for_its_own_desk(
    database: Database, writer: Writer, journal: DatabaseAlertJournal
) -> None:
    live = DatabaseOrderJournal(database, writer, world="upstox broker")
    live.keep(moved(intent("a", is_mock=False), OrderStatus.FILLED, filled=150))

    assert await journal.order_news() == []
    other = DatabaseAlertJournal(database, writer, world="upstox broker", is_mock=False)
    assert told(await other.order_news()) == [("a", "filled", 150)]
    other.close()
    live.close()


async def test_many_states_in_one_transaction_are_all_told(
    orders: DatabaseOrderJournal, journal: DatabaseAlertJournal, path: Path
) -> None:
    """Each new (status, filled) of each order is told once, in its order."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    states = {nonce: intent(nonce) for nonce in "abcd"}
    expected: dict[str, list[tuple[str, str, int]]] = {nonce: [] for nonce in states}

    def move(nonce: str) -> Order:
        before = states[nonce]
        filled = before.filled + 15 * chance.randrange(2)
        status = chance.choice([OrderStatus.WORKING, OrderStatus.IN_DOUBT])
        if (status, filled) != (before.status, before.filled):
            expected[nonce].append((nonce, status.value, filled))
        return moved(before, status, filled=filled)

    with locked(path):  # so that many share a transaction
        for _ in range(100):
            nonce = chance.choice("abcd")
            states[nonce] = move(nonce)
            orders.keep(states[nonce])
        await asyncio.sleep(0.1)

    found = told(await journal.order_news(most=1_000))
    assert {nonce: [t for t in found if t[0] == nonce] for nonce in states} == expected
    assert rows(path, "SELECT count(*) FROM order_steps") == [(100,)]
