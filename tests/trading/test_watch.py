from datetime import datetime

import pytest

from tests.ticks import CALL, NIFTY
from tests.trading.holdings import MAIN, OTHER, PUT, House, row
from trading.model import Mode
from trading.order import Order, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.order_book import OrderMoved
from trading.subscriptions import SubscriptionBook, Wanted
from trading.watch import PositionWatch


class Watched(House):
    """A house whose orders are a list that the test changes."""

    def __init__(self) -> None:
        super().__init__(MAIN, OTHER)
        self.subscriptions = SubscriptionBook()
        self.sums: list[Wanted] = []
        self.subscriptions.changes.subscribe(self.sums.append)
        self.working: list[Order] = []
        self.watch = PositionWatch(
            subscriptions=self.subscriptions,
            marks=self.marks,
            positions=self.book,
            working=lambda account: [o for o in self.working if o.request.account == account],
        )
        self.book.changes.subscribe(self.watch.on_position)

    def place(self, key: str) -> Order:
        made = order(key, at=self.clock.now())
        self.working.append(made)
        self.watch.on_order(OrderMoved(None, made))
        return made

    def finish(self, done: Order) -> None:
        self.working.remove(done)
        self.watch.on_order(OrderMoved(done, done))

    def held(self) -> dict[str, set[str]]:
        return {hold.holder: set(hold.instrument_keys) for hold in self.subscriptions.holds()}


def order(key: str, *, at: datetime) -> Order:
    request = OrderRequest(
        "main", key, Side.BUY, 75, Product.INTRADAY, OrderType.LIMIT, "n", price=1.0
    )
    return Order("vigil-1", request, OrderStatus.WORKING, at, at, is_mock=True)


@pytest.fixture
def house() -> Watched:
    return Watched()


def test_open_positions_are_held_in_full_until_they_are_flat(house: Watched) -> None:
    house.fill(75, 142.5, order="1")
    house.fill(75, 90.0, order="2", key=PUT)
    assert house.held() == {"positions of main": {CALL, PUT}}
    assert house.subscriptions.wanted().modes == {CALL: Mode.FULL, PUT: Mode.FULL}
    assert house.marks.wanted() == {CALL, PUT}

    house.fill(-75, 150.0, order="3")
    assert house.held() == {"positions of main": {PUT}}
    house.fill(-75, 95.0, order="4", key=PUT)
    assert house.held() == {}
    assert house.marks.wanted() == frozenset()


def test_working_orders_are_held_until_they_are_final(house: Watched) -> None:
    first, second = house.place(CALL), house.place(PUT)
    assert house.held() == {"orders of main": {CALL, PUT}}

    house.finish(first)
    assert house.held() == {"orders of main": {PUT}}
    house.finish(second)
    assert house.held() == {}


def test_one_subscription_for_an_instrument_however_many_hold_it(house: Watched) -> None:
    page = house.subscriptions.hold("page", [CALL, NIFTY], Mode.LTPC)
    placed = house.place(CALL)
    house.fill(75, 142.5, order="1")
    house.fill(75, 142.5, order="2", account="other")
    house.finish(placed)
    assert house.subscriptions.wanted().modes == {CALL: Mode.FULL, NIFTY: Mode.LTPC}
    assert len(house.held()) == 3

    house.fill(-75, 142.5, order="1 out")
    house.fill(-75, 142.5, order="2 out", account="other")
    assert house.subscriptions.wanted().modes == {CALL: Mode.LTPC, NIFTY: Mode.LTPC}
    page()
    assert house.subscriptions.wanted().modes == {}


def test_no_price_is_left_for_a_moment_while_holds_change(house: Watched) -> None:
    house.fill(75, 142.5, order="1")
    house.sums.clear()
    for n in range(5):
        house.fill(75, 90.0, order=f"in {n}", key=PUT)
        house.fill(-75, 90.0, order=f"out {n}", key=PUT)

    assert house.sums
    assert all(CALL in wanted.modes for wanted in house.sums)


def test_a_fill_that_opens_or_closes_nothing_changes_no_hold(house: Watched) -> None:
    house.fill(75, 142.5, order="1")
    house.sums.clear()
    house.fill(75, 143.5, order="2")
    house.fill(-25, 143.5, order="3")

    assert house.sums == []


def test_what_only_the_broker_says_is_open_is_held_too(house: Watched) -> None:
    house.read(row(75, bought=(75, 10_000.0)))
    assert house.held() == {"positions of main": {CALL}}

    house.read_later()
    assert house.held() == {}


def test_a_book_that_lags_behind_an_exit_leaves_no_hold_behind(house: Watched) -> None:
    house.fill(75, 142.5, order="1")
    house.read(row(75, bought=(75, 10_687.5)))
    house.fill(-75, 143.0, order="2")
    house.read_later(row(75, bought=(75, 10_687.5)), seconds=1.0)
    assert house.book.differs("main")
    house.read_later(row(0), seconds=1.0)

    assert not house.book.differs("main")
    assert house.held() == {}
