"""An exit is what closes something that is held: its own word is not enough."""

import pytest

from tests.ticks import CALL
from tests.trading.holdings import House, row
from tests.trading.scripted import T0, request
from trading.exiting import covered_by
from trading.order import BrokerPosition, Order, OrderRequest, OrderStatus, OrderType, Product, Side


class Desk(House):
    def __init__(self) -> None:
        super().__init__()
        self.working: list[Order] = []
        self.covers = covered_by(self.book, lambda _: self.working)

    def rests(self, asked: OrderRequest, status: OrderStatus = OrderStatus.WORKING) -> None:
        self.working.append(Order(asked.nonce, asked, status, T0, T0, is_mock=True))


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.read()
    return desk


def leaving(quantity: int = 75, nonce: str = "n1", **changes: object) -> OrderRequest:
    changes = {"side": Side.SELL, "reduces": True, "instrument_key": CALL, **changes}
    return request(nonce, quantity=quantity, **changes)


def test_no_more_than_what_is_held_and_only_the_other_way(desk: Desk) -> None:
    assert not desk.covers(leaving())
    desk.fill(150, 100.0, order="1")

    assert desk.covers(leaving(150))
    assert not desk.covers(leaving(225))
    assert not desk.covers(leaving(side=Side.BUY))
    assert not desk.covers(leaving(product=Product.DELIVERY))
    assert not desk.covers(leaving(instrument_key="NSE_FO|2"))


def test_a_short_position_is_bought_back(desk: Desk) -> None:
    desk.fill(-75, 100.0, order="1")

    assert desk.covers(leaving(side=Side.BUY))
    assert not desk.covers(leaving(side=Side.SELL))


def test_what_other_exits_close_already_is_not_closed_twice(desk: Desk) -> None:
    desk.fill(150, 100.0, order="1")
    desk.rests(leaving(75, "target", order_type=OrderType.LIMIT))
    desk.rests(leaving(75, "an entry of somebody else", reduces=False))

    assert desk.covers(leaving(75))
    assert not desk.covers(leaving(150))
    assert desk.covers(leaving(150, "target")), "its own modification"


def test_an_exit_in_doubt_keeps_nobody_in(desk: Desk) -> None:
    desk.fill(75, 100.0, order="1")
    desk.rests(leaving(75, "lost"), OrderStatus.IN_DOUBT)

    assert desk.covers(leaving(75))


@pytest.mark.parametrize(("ours", "theirs"), [(75, 0), (0, 75), (75, 150)])
def test_where_the_books_differ_the_one_that_holds_more_counts(
    desk: Desk, ours: int, theirs: int
) -> None:
    if ours:
        desk.fill(ours, 100.0, order="1")
    desk.read_later(row(theirs, bought=(theirs, theirs * 100.0)))

    assert desk.covers(leaving(max(ours, theirs)))
    assert not desk.covers(leaving(max(ours, theirs) + 75))


def test_what_the_stream_says_counts_until_the_books_are_read(desk: Desk) -> None:
    told: BrokerPosition = row(75, bought=(75, 7_500.0))
    desk.clock.advance(1.0)
    desk.book.on_told(told)
    assert desk.covers(leaving())
    desk.read_later()

    assert not desk.covers(leaving())
