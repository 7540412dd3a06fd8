"""The paper account on the disk: orders, fills and cash in one transaction, nothing twice."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.paper_ledger import DatabasePaperLedger
from storage.writer import Writer
from tests.storage import account
from tests.storage.account import MORNING, child, fill, intent, position
from tests.storage.sql import count, rows
from tests.storage.test_writer import locked
from trading.broker import PaperLedger, PaperState
from trading.errors import BadRequest
from trading.hours import IST
from trading.order import BrokerOrder, BrokerPosition, Fill, OrderStatus

DAY = MORNING.astimezone(IST).date()
WORLDS = numbers()


@pytest.fixture
def ledger(database: Database, writer: Writer) -> Iterator[DatabasePaperLedger]:
    ledger = DatabasePaperLedger(database, writer, world="upstox paper")
    yield ledger
    ledger.close()


def order(number: str = "P20261120-1", **fields: object) -> BrokerOrder:
    return child(intent("a"), number, **fields)


def filled(number: str = "P20261120-1") -> BrokerOrder:
    return order(number, status=OrderStatus.FILLED, filled=150, average_price=142.6)


async def test_it_is_the_ledger_that_the_paper_broker_asks_for(ledger: DatabasePaperLedger) -> None:
    paper_asks_for: PaperLedger = ledger

    assert await paper_asks_for.load("main", day=DAY) is None


async def test_an_account_is_what_was_kept(ledger: DatabasePaperLedger) -> None:
    await ledger.keep("main", cash=100)
    assert await ledger.load("main", day=DAY) == PaperState(100, (), (), ())

    await ledger.keep("main", orders=[order(), order("P20261120-2")], cash=100)
    executed = fill("P20261120-1", "t1", quantity=150)
    await ledger.keep("main", orders=[filled()], fills=[executed], cash=90)

    kept = PaperState(90, (filled(), order("P20261120-2")), (executed,), ())
    assert await ledger.load("main", day=DAY) == kept
    assert await ledger.load("other", day=DAY) is None


async def test_an_opening_begins_anew_on_top_of_its_positions(
    ledger: DatabasePaperLedger, path: Path
) -> None:
    waits, told = order("P20261120-2"), order("P20261120-3")
    await ledger.keep("main", orders=[filled(), waits, told], fills=[fill("1", "t1")], cash=90)

    carried = (position(), position("NSE_FO|2", quantity=-30, overnight_quantity=-30))
    await ledger.keep("main", cash=90, opening=carried)
    assert await ledger.load("main", day=DAY) == PaperState(90, (waits, told), (), carried)

    ended = replace(told, status=OrderStatus.CANCELLED)
    await ledger.keep("main", orders=[ended], fills=[fill("2", "t2")], cash=80)
    await ledger.keep("other", cash=5, opening=[])
    state = PaperState(80, (waits, ended), (fill("2", "t2"),), carried)
    assert await ledger.load("main", day=DAY) == state

    await ledger.keep("main", cash=80, opening=[])
    assert await ledger.load("main", day=DAY) == PaperState(80, (waits,), (), ())
    assert count(path, "paper_fills") == 2  # nothing is deleted


async def test_s01_a_fill_that_is_known_changes_nothing(ledger: DatabasePaperLedger) -> None:
    await ledger.keep("main", orders=[order()], fills=[fill("1", "t1")], cash=90)

    with pytest.raises(BadRequest, match="fill t1 of 1 is known"):
        await ledger.keep(
            "main",
            orders=[order("P20261120-2")],
            fills=[fill("1", "t2"), fill("1", "t1")],
            cash=80,
            opening=[position()],
        )

    assert await ledger.load("main", day=DAY) == PaperState(90, (order(),), (fill("1", "t1"),), ())


@pytest.mark.parametrize("status", [s for s in OrderStatus if s.final])
async def test_s01_a_final_order_never_changes(
    ledger: DatabasePaperLedger, status: OrderStatus
) -> None:
    final = order(status=status)
    await ledger.keep("main", orders=[final], cash=90)

    for told in (order(), filled(), final):
        with pytest.raises(BadRequest, match="is final already"):
            await ledger.keep("main", orders=[told], fills=[fill("1", "t1")], cash=80)

    assert await ledger.load("main", day=DAY) == PaperState(90, (final,), (), ())


async def test_s02_a_cancel_and_a_fill_that_race_leave_one_winner(
    ledger: DatabasePaperLedger,
) -> None:
    await ledger.keep("main", orders=[order(str(n)) for n in range(50)], cash=0)

    async def attempt(told: BrokerOrder, fills: list[Fill], cash: int) -> bool:
        try:
            await ledger.keep("main", orders=[told], fills=fills, cash=cash)
        except BadRequest:
            return False
        return True

    for n in range(50):
        outcomes = await asyncio.gather(
            attempt(order(str(n), status=OrderStatus.CANCELLED), [], -1),
            attempt(filled(str(n)), [fill(str(n), "t")], 1),
        )
        assert sorted(outcomes) == [False, True]

    state = await ledger.load("main", day=DAY)
    assert state is not None
    assert len(state.fills) == sum(o.status is OrderStatus.FILLED for o in state.orders)


async def test_worlds_do_not_share_an_account(
    database: Database, writer: Writer, ledger: DatabasePaperLedger
) -> None:
    elsewhere = DatabasePaperLedger(database, writer, world="simulated paper")
    await ledger.keep("main", orders=[filled()], fills=[fill("1", "t1")], cash=90)
    await elsewhere.keep("main", orders=[order()], fills=[fill("1", "t1")], cash=70)

    assert await elsewhere.load("main", day=DAY) == PaperState(
        70, (order(),), (fill("1", "t1"),), ()
    )
    elsewhere.close()


async def test_what_a_caller_gave_up_before_it_was_written_is_not_written(
    ledger: DatabasePaperLedger, path: Path
) -> None:
    with locked(path):
        await asyncio.sleep(0.01)
        first = asyncio.create_task(ledger.keep("main", cash=1))
        second = asyncio.create_task(ledger.keep("main", cash=2))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)

    await first
    assert rows(path, "SELECT cash, is_mock FROM paper_accounts") == [(1, 1)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    told=st.lists(account.children, max_size=4),
    executions=st.lists(account.executions, max_size=4),
    carried=st.lists(account.positions, max_size=3),
    cash=account.whole,
)
def test_whatever_is_kept_comes_back_exactly(
    database: Database,
    writer: Writer,
    told: list[BrokerOrder],
    executions: list[Fill],
    carried: list[BrokerPosition],
    cash: int,
) -> None:
    ledger = DatabasePaperLedger(database, writer, world=f"world {next(WORLDS)}")
    orders = [replace(o, order_id=str(n), account="a") for n, o in enumerate(told)]
    fills = [replace(f, order_id=str(n), account="a") for n, f in enumerate(executions)]
    opening = [replace(p, account="a") for p in carried]

    async def keep_and_load() -> PaperState | None:
        await ledger.keep("a", orders=orders, fills=fills, cash=cash, opening=opening)
        return await ledger.load("a", day=DAY)

    found = asyncio.run(keep_and_load())
    ledger.close()
    assert found == PaperState(cash, tuple(orders), tuple(fills), tuple(opening))
