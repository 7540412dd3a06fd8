"""Exits of one position that are pressed at the same time, from wherever."""

import asyncio

import pytest
import pytest_asyncio

from tests.dashboard.dealing import LOT, deal, read
from tests.dashboard.fakes import CALL, OPEN_NOW, make_desk
from tests.dashboard.hands import broker
from tests.trading.scripted import After
from trading.clock import ManualClock
from trading.closing import CLOSED, DOUBTED
from trading.desk import Desk
from trading.errors import Unanswered
from trading.exit_plan import ExitLine, plan
from trading.order import OrderStatus, Product
from trading.orders import Patience


@pytest_asyncio.fixture
async def desk() -> Desk:
    made = make_desk(ManualClock(OPEN_NOW), patience=Patience(first_look=30.0, confirm=30.0))
    await deal(made, 2 * LOT, 140.0)
    await read(made)
    return made


def reviewed(desk: Desk) -> ExitLine:
    """What the sheet of a page and the question of the phone show before the press."""
    position = desk.positions.get("main", CALL, Product.INTRADAY)
    assert position is not None
    return plan(position, desk.orders.working("main"))


@pytest.mark.parametrize("filled_at", [None, 141.0], ids=["it works", "it is filled at once"])
async def test_a_page_and_the_phone_that_press_at_once_close_it_once(
    desk: Desk, filled_at: float | None
) -> None:
    broker(desk).fills = {CALL: filled_at} if filled_at else {}
    before = len(broker(desk).sent)
    line = reviewed(desk)

    page, phone = await asyncio.gather(
        desk.closing.send(line, "page", "page"), desk.closing.send(line, "phone", "phone")
    )

    assert page.order is not None
    assert (page.order.request.quantity, page.order.request.source) == (2 * LOT, "page")
    assert (phone.order, phone.words) == (None, CLOSED)
    assert len(broker(desk).sent) == before + 1


async def test_an_exit_whose_answer_is_lost_is_not_followed_by_another_one_unseen(
    desk: Desk,
) -> None:
    line = reviewed(desk)
    broker(desk).script.append(After(Unanswered("the connection broke")))
    before = len(broker(desk).sent)

    page, phone = await asyncio.gather(
        desk.closing.send(line, "page", "page"), desk.closing.send(line, "phone", "phone")
    )

    assert page.order is not None
    assert page.order.status is OrderStatus.IN_DOUBT
    assert (phone.order, phone.words) == (None, DOUBTED)
    assert len(broker(desk).sent) == before + 1
    knowing = await desk.closing.send(reviewed(desk), "again", "page")
    assert knowing.order is not None, "who has read of the doubt may send all the same"
