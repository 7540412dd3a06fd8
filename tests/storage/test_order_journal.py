"""Orders on the disk: an intent before it is sent and only once, the rest behind and never lost."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.writer import Writer
from tests.storage import account
from tests.storage.account import MORNING, SECOND, child, fill, fills, intent, moved
from tests.storage.sql import count, rows, value
from tests.storage.test_writer import locked
from trading.broker import OrderJournal
from trading.errors import Denied, Retryable, VigilError
from trading.model import UNKNOWN
from trading.order import Fill, Order, OrderFills, OrderStatus

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
WORLDS = numbers()


def journal_in(database: Database, writer: Writer, world: str) -> DatabaseOrderJournal:
    return DatabaseOrderJournal(database, writer, world=world)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseOrderJournal]:
    journal = journal_in(database, writer, "simulated broker")
    yield journal
    journal.close()


# Intents


async def test_it_is_the_journal_that_the_desk_asks_for(journal: DatabaseOrderJournal) -> None:
    desk_asks_for: OrderJournal = journal

    assert await desk_asks_for.orders(since=LONG_AGO) == []


async def test_an_intent_is_on_the_disk_when_it_may_be_sent(
    journal: DatabaseOrderJournal, path: Path
) -> None:
    order = intent("a")

    assert await journal.open_intents([order]) == [order]
    assert rows(path, "SELECT id, nonce, status, quantity, is_mock FROM orders") == [
        ("vigil-a", "a", "sent", 150, 1)
    ]


async def test_u03_the_same_press_twice_makes_one_order_also_if_both_race(
    journal: DatabaseOrderJournal, path: Path
) -> None:
    presses = [replace(intent("a"), id=f"vigil-{n}") for n in range(20)]

    answers = await asyncio.gather(*(journal.open_intents([order]) for order in presses))

    assert count(path, "orders") == 1
    (made,) = {answer[0].id for answer in answers}
    assert [order.id for order in presses if order.id == made] == [made]


async def test_u03_a_press_that_a_crash_cut_off_is_known_after_the_restart(
    database: Database, path: Path
) -> None:
    first = [intent(nonce) for nonce in "abc"]
    writer = Writer(database, reserve=0)
    journal = journal_in(database, writer, "simulated broker")
    await journal.open_intents(first)
    await asyncio.to_thread(writer.stop)
    journal.close()

    opened_again = open_database(path)
    writer = Writer(opened_again, reserve=0)
    journal = journal_in(opened_again, writer, "simulated broker")
    again = [replace(intent(nonce), id=f"again-{nonce}") for nonce in "abc"]
    assert await journal.open_intents(again) == first
    assert count(path, "orders") == 3
    journal.close()
    await asyncio.to_thread(writer.stop)
    opened_again.close()


async def test_u03_a_nonce_is_used_once_in_the_whole_database(
    database: Database, writer: Writer, journal: DatabaseOrderJournal
) -> None:
    order = intent("a")
    await journal.open_intents([order])

    elsewhere = journal_in(database, writer, "upstox broker")
    with pytest.raises(Denied, match="Nothing was sent"):  # a made-up fill is no answer there
        await elsewhere.open_intents([replace(order, id="other")])
    elsewhere.close()


async def test_the_first_nonce_decides_for_all_that_are_sent_together(
    journal: DatabaseOrderJournal,
) -> None:
    one, two, three = made = [intent(nonce) for nonce in "abc"]
    await journal.open_intents(made)

    assert await journal.open_intents([intent("a"), intent("other")]) == made
    assert await journal.open_intents([intent("b")]) == [two, one, three]
    assert await journal.open_intents([intent("c"), intent("a")]) == [three, one, two]


@pytest.mark.parametrize("nonces", ["xa", "xx", "xya"])
async def test_a_used_nonce_behind_the_first_denies_all(
    journal: DatabaseOrderJournal, path: Path, nonces: str
) -> None:
    await journal.open_intents([intent("a")])

    with pytest.raises(Denied, match="Nothing was sent") as denied:
        await journal.open_intents(
            [replace(intent(nonce), id=f"{n}") for n, nonce in enumerate(nonces)]
        )

    assert [problem.field for problem in denied.value.problems] == ["nonce"]
    assert count(path, "orders") == 1


async def test_an_order_without_a_nonce_is_no_intent(journal: DatabaseOrderJournal) -> None:
    with pytest.raises(ValueError, match="nonce"):
        await journal.open_intents([intent("")])


async def test_intents_are_committed_all_or_none(journal: DatabaseOrderJournal, path: Path) -> None:
    await journal.open_intents([intent("a")])
    twin = replace(intent("c"), id="vigil-a")  # a tag that is taken: no database accepts it

    with pytest.raises(Exception, match="UNIQUE"):
        await journal.open_intents([intent("b"), twin])

    assert count(path, "orders") == 1


async def test_d01_an_intent_that_the_disk_does_not_take_fails_in_words_and_is_not_there(
    journal: DatabaseOrderJournal, path: Path
) -> None:
    with locked(path), pytest.raises(Retryable, match="another program holds the database locked"):
        await asyncio.wait_for(journal.open_intents([intent("a")]), 6)

    assert await journal.open_intents([intent("b")]) == [intent("b")]
    assert rows(path, "SELECT nonce FROM orders") == [("b",)]


# What is kept


async def test_a_life_is_kept_step_by_step(journal: DatabaseOrderJournal, path: Path) -> None:
    order = intent("a")
    await journal.open_intents([order])
    working = moved(order, OrderStatus.WORKING, child(order, "1"))
    part = child(order, "1", filled=75, average_price=142.5)
    filled = child(order, "1", status=OrderStatus.FILLED, filled=150, average_price=142.55)
    half = moved(working, OrderStatus.WORKING, part, filled=75)
    done = moved(half, OrderStatus.FILLED, filled, filled=150, average_price=142.55)

    for state in (working, half, done):
        journal.keep(state)
        assert await journal.orders(since=MORNING) == [state]

    assert rows(path, "SELECT position, status, filled FROM order_steps ORDER BY position") == [
        (0, "working", 0),
        (1, "working", 75),
        (2, "filled", 150),
    ]
    assert rows(path, "SELECT order_id, status, average_price, is_mock FROM broker_orders") == [
        ("1", "filled", 142.55, 1)
    ]


async def test_a_sliced_order_has_its_children_in_their_order(
    journal: DatabaseOrderJournal,
) -> None:
    order = intent("a")
    await journal.open_intents([order])
    slices = [child(order, str(1000 + n), quantity=15) for n in range(11)]
    journal.keep(moved(order, OrderStatus.WORKING, *slices))
    changed = moved(order, OrderStatus.WORKING, *slices[3:], *slices[:3])
    journal.keep(changed)

    (kept,) = await journal.orders(since=MORNING)
    assert kept.children == (*slices[3:], *slices[:3])


async def test_o14_an_external_order_is_new_to_the_disk_when_it_is_kept(
    journal: DatabaseOrderJournal, path: Path
) -> None:
    order = replace(intent("ext-main-1"), id="ext-main-1", external=True)
    order = moved(order, OrderStatus.WORKING, child(order, "1", tag=""))
    journal.keep(order)

    assert await journal.orders(since=MORNING) == [order]
    assert rows(path, "SELECT id, external, press FROM orders") == [("ext-main-1", 1, "")]


async def test_one_of_the_brokers_orders_belongs_to_exactly_one_intent(
    journal: DatabaseOrderJournal, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = intent("a"), intent("b")
    theirs = replace(intent("ext-main-1"), id="ext-main-1", external=True)
    await journal.open_intents([ours])
    await journal.open_intents([other])

    async def owner() -> str:
        await journal.orders(since=MORNING)
        query = "SELECT orders.id FROM broker_orders JOIN orders ON orders.number = intent"
        return str(value(path, query))

    journal.keep(moved(theirs, OrderStatus.WORKING, child(theirs, "1")))
    assert await owner() == "ext-main-1"
    journal.keep(moved(ours, OrderStatus.WORKING, child(ours, "1")))  # found by its tag
    assert await owner() == "vigil-a"
    journal.keep(moved(other, OrderStatus.FILLED, child(other, "1")))
    assert await owner() == "vigil-a"

    assert "vigil-b claims 1, which belongs to another order" in caplog.text
    assert value(path, "SELECT status FROM orders WHERE id = 'vigil-b'") == "filled"


async def test_half_a_character_does_not_keep_a_rejection_back(
    database: Database, writer: Writer, journal: DatabaseOrderJournal
) -> None:
    broken: str = json.loads('"RMS: \\ud800 short of margin"')  # as any JSON may bring it
    order = intent("a")
    await journal.open_intents([order])
    refused = child(order, "1", message=broken, raw_status=broken, tag=broken)

    rejected = moved(order, OrderStatus.REJECTED, refused, message=broken)
    last = replace(rejected.steps[-1], message=broken, raw_status=broken)
    journal.keep(replace(rejected, steps=(*rejected.steps[:-1], last)))

    (kept,) = await journal.orders(since=MORNING)
    words = "RMS: ? short of margin"
    assert (kept.status, kept.message) == (OrderStatus.REJECTED, words)
    for told in (kept.steps[-1], kept.children[0]):
        assert (told.message, told.raw_status) == (words, words)
    assert writer.stats().left_out == 0
    alerts = DatabaseAlertJournal(database, writer, world="simulated broker", is_mock=True)
    (news,) = await alerts.order_news()
    alerts.close()
    assert news.order == kept


async def test_fills_take_the_place_of_those_written_before(journal: DatabaseOrderJournal) -> None:
    derived = fills(fill(trade_id="~1"), fill(trade_id="~2", price=UNKNOWN))
    journal.keep_fills(derived)
    journal.keep_fills(fills(fill("2", "t9")))
    assert await journal.fills(since=MORNING) == [*derived.fills, fill("2", "t9")]

    told = fills(fill(trade_id="t1"), fill(trade_id="t2"), fill(trade_id="t3", quantity=25))
    journal.keep_fills(told)

    assert await journal.fills(since=MORNING) == [fill("2", "t9"), *told.fills]


async def test_a_trade_that_is_told_twice_is_one_row(journal: DatabaseOrderJournal) -> None:
    journal.keep_fills(fills(fill(), fill(price=143.0)))

    assert await journal.fills(since=MORNING) == [fill(price=143.0)]


async def test_the_same_number_in_two_accounts_is_two_orders(
    journal: DatabaseOrderJournal,
) -> None:
    both = [intent("a"), intent("b", account="second")]
    kept = [moved(order, OrderStatus.WORKING, child(order, "1")) for order in both]
    for order in kept:
        await journal.open_intents([order])
        journal.keep(order)
        journal.keep_fills(fills(fill(account=order.request.account)))

    assert await journal.orders(since=MORNING) == kept
    assert await journal.fills(since=MORNING) == [fill(), fill(account="second")]


# What is read


async def test_orders_since_are_those_created_since_and_all_that_are_not_final(
    journal: DatabaseOrderJournal,
) -> None:
    yesterday = MORNING - timedelta(days=1)
    old = {status: intent(status.name, at=yesterday) for status in OrderStatus}
    for status, order in old.items():
        journal.keep(moved(order, status, child(order, f"old-{status}")))
        journal.keep_fills(fills(fill(f"old-{status}", at=yesterday)))
    new = intent("new")
    journal.keep(new)
    journal.keep_fills(fills(fill("new")))

    found = await journal.orders(since=MORNING - SECOND)
    names = [order.request.nonce for order in found]
    assert names == ["SENT", "IN_DOUBT", "WORKING", "new"]
    told = [known.order_id for known in await journal.fills(since=MORNING)]
    assert told == ["old-sent", "old-in doubt", "old-working", "new"]
    assert len(await journal.orders(since=yesterday)) == len(OrderStatus) + 1


async def test_a_world_sees_only_its_own(
    database: Database, writer: Writer, journal: DatabaseOrderJournal
) -> None:
    live = journal_in(database, writer, "upstox broker")
    kept = {}
    for world, real in ((journal, False), (live, True)):
        order = replace(
            intent("ext-main-1", is_mock=not real), id="ext-main-1", external=True, filled=int(real)
        )
        kept[world] = moved(order, OrderStatus.WORKING, child(order, "1", filled=int(real)))
        world.keep(kept[world])
        world.keep_fills(fills(fill(is_mock=not real)))

    for world, real in ((journal, False), (live, True)):
        assert await world.orders(since=MORNING) == [kept[world]]
        assert await world.fills(since=MORNING) == [fill(is_mock=not real)]
    live.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(orders=st.lists(account.orders, max_size=4), executions=st.lists(account.executions))
def test_whatever_is_kept_comes_back_exactly(
    database: Database, writer: Writer, orders: list[Order], executions: list[Fill]
) -> None:
    """Each order is kept at several moments of its life: an intent, then more and more steps."""
    world = f"world {next(WORLDS)}"
    journal = journal_in(database, writer, world)
    orders = [_unlike_any_other(order, f"{world}/{n}") for n, order in enumerate(orders)]
    executions = [replace(fill, order_id=str(n)) for n, fill in enumerate(executions)]
    told = [OrderFills(f.account, f.order_id, (f,)) for f in executions]

    async def keep_and_read() -> tuple[list[Order], list[Fill]]:
        fresh = [order for order in orders if not order.external]
        for order in fresh:
            await journal.open_intents([replace(order, children=(), steps=())])
        for length in range(6):
            for order in orders:
                journal.keep(replace(order, steps=order.steps[:length]))
        for each in told:
            journal.keep_fills(each)
        return await journal.orders(since=LONG_AGO), await journal.fills(since=LONG_AGO)

    kept, kept_fills = asyncio.run(keep_and_read())
    journal.close()

    assert sorted(kept, key=lambda o: o.id) == sorted(orders, key=lambda o: o.id)
    assert kept_fills == executions
    assert writer.stats().left_out == 0


def _unlike_any_other(order: Order, name: str) -> Order:
    told = (replace(c, order_id=f"{name}/{n}") for n, c in enumerate(order.children))
    named = replace(order.request, nonce=name)
    return replace(order, id=name, request=named, children=tuple(told))


# Trouble


async def test_d02_what_the_disk_refuses_is_written_as_soon_as_there_is_room(
    database: Database, journal: DatabaseOrderJournal, writer: Writer, path: Path
) -> None:
    order = intent("a")
    await journal.open_intents([order])
    room = int(value(path, "PRAGMA page_count"))
    event.listen(
        database.writing,
        "begin",
        lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={room}"),
    )

    lives = [order]
    for turn in range(40):
        lives.append(moved(lives[-1], OrderStatus.WORKING, child(order, "1", filled=turn)))
        journal.keep(replace(lives[-1], message="x" * 2_000 * turn))
        await asyncio.sleep(0.01)
    assert writer.stats().state == "disk full"
    assert journal.unwritten > 0
    with pytest.raises(VigilError, match="disk is full"):
        await journal.open_intents([intent("b", source="x" * 100_000)])
    assert journal.unwritten > 0

    room = 1_000_000
    final = moved(lives[-1], OrderStatus.FILLED, child(order, "1", filled=150))
    journal.keep(final)

    assert await journal.orders(since=MORNING) == [final]
    assert journal.unwritten == 0


async def test_d01_kept_orders_wait_for_a_lock_however_long_it_is_held(
    journal: DatabaseOrderJournal, path: Path
) -> None:
    chance = random.Random(3)
    states = {nonce: intent(nonce) for nonce in "abcdef"}
    with locked(path):
        for _ in range(200):
            nonce = chance.choice("abcdef")
            states[nonce] = moved(states[nonce], OrderStatus.WORKING)
            journal.keep(states[nonce])
        before = await asyncio.wait_for(journal.orders(since=MORNING), 5)  # reads are not kept
        assert before == []
        assert journal.unwritten == 200

    kept = await journal.orders(since=MORNING)
    assert {order.request.nonce: order for order in kept} == states
    assert count(path, "order_steps") == 200


async def test_one_that_no_database_accepts_does_not_keep_back_the_others(
    journal: DatabaseOrderJournal, writer: Writer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(path):  # so that all of them share a transaction
        journal.keep(intent("a"))
        journal.keep(intent("b", quantity=1 << 63))
        journal.keep_fills(fills(fill()))
        journal.keep(intent("c"))

    kept = await journal.orders(since=MORNING)

    assert [order.request.nonce for order in kept] == ["a", "c"]
    assert await journal.fills(since=MORNING) == [fill()]
    assert writer.stats().left_out == 1
    assert "cannot be written" in caplog.text


async def test_a_stop_writes_what_was_kept(
    database: Database, journal: DatabaseOrderJournal, writer: Writer, path: Path
) -> None:
    for number in range(300):
        journal.keep(intent(str(number)))
    await asyncio.to_thread(writer.stop)

    assert count(path, "orders") == 300
    assert journal.unwritten == 0


async def test_what_comes_after_the_stop_is_told_not_lost_in_silence(
    journal: DatabaseOrderJournal, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(writer.stop)

    journal.keep(intent("a"))

    assert "1 orders and fills were not written" in caplog.text
    assert journal.unwritten == 1
