"""Orders and positions together, against a broker whose books are scripted."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.trading.holdings import Quotes, row
from tests.trading.scripted import CALL, T0, Paper, ScriptedBroker, request
from trading.checks import Band
from trading.clock import ManualClock
from trading.errors import BadAnswer
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import UNKNOWN
from trading.order import Account, BrokerPosition, Fill, OrderStatus, Product, Side
from trading.orders import Gate, OrderManager
from trading.positions import Position, PositionBook
from trading.signal import Priority

KEY = CALL.instrument_key


class House:
    def __init__(self, paper: Paper | None = None) -> None:
        self.clock = ManualClock(T0)
        self.broker = ScriptedBroker()
        self.paper = paper or Paper()
        self.orders = OrderManager(
            clock=self.clock,
            brokers={"main": self.broker},
            journal=self.paper,
            mock={"main": True},
            instrument=lambda _: CALL,
            ltp=lambda _: 100.0,
            band=self._band,
            gate=Gate(),
            sleep=self._sleep,
        )
        marks = Marks(
            clock=self.clock,
            market_data=MarketDataService(self.clock),
            source=Quotes(),
            is_open=lambda _segment, _at: True,
        )
        self.book = PositionBook(
            [Account("main", "Main", primary=True, is_mock=True)], clock=self.clock, marks=marks
        )
        self.orders.filled.subscribe(self.book.on_fills, priority=Priority.HIGH)
        self.orders.reconciled.subscribe(self.book.on_read)
        self.orders.read_failed.subscribe(self.book.on_read_failed)
        self.broker.position_updates.subscribe(self.book.on_told)

    async def _band(self, _: str) -> Band | None:
        return None

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def execute(self, number: str, quantity: int, price: float, *, tell: bool) -> None:
        """Fill at the broker: order, trade and position; on the stream only if told."""
        order = self.broker.fill(number, quantity, price, tell=tell)
        trade = f"t{len(self.broker.executed)}"
        self.broker.executed.append(
            Fill(
                "main", number, trade, order.instrument_key, order.product,
                order.side, quantity, price, self.clock.now(), True,
            )
        )  # fmt: skip
        self.broker.held = [held(self.broker.executed)]

    def position(self) -> Position:
        found = self.book.get("main", KEY, Product.INTRADAY)
        assert found is not None
        return found


def held(fills: list[Fill]) -> BrokerPosition:
    def side(side: Side) -> tuple[int, float]:
        found = [f for f in fills if f.side is side]
        return sum(f.quantity for f in found), sum(f.quantity * f.price for f in found)

    bought, sold = side(Side.BUY), side(Side.SELL)
    return row(bought[0] - sold[0], key=KEY, bought=bought, sold=sold)


@pytest.fixture
def house() -> House:
    return House()


async def placed(house: House, nonce: str = "n1", **changes: object) -> str:
    order = await house.orders.place(request(nonce, **changes))
    return order.children[0].order_id


async def test_a_fill_on_the_stream_is_a_position_before_the_orders_change_is_heard(
    house: House,
) -> None:
    number = await placed(house)
    seen: list[int] = []
    house.orders.changes.subscribe(lambda _: seen.append(house.position().quantity))

    house.execute(number, 25, 99.0, tell=True)
    house.execute(number, 50, 99.6, tell=True)

    assert seen == [25, 75]
    await house.orders.reconcile("main", why="test")
    assert house.position().average == pytest.approx(99.4)
    assert house.position().cost == 25 * 99_00 + 50 * 99_60
    assert house.book.books("main").agree


async def test_o04_a_fill_while_the_stream_was_down_is_found_by_the_read(house: House) -> None:
    await house.orders.reconcile("main", why="start")
    number = await placed(house)
    house.execute(number, 75, 99.0, tell=False)
    assert house.book.positions() == []

    await house.orders.reconcile("main", why="reconnected")

    assert (house.position().quantity, house.position().in_doubt) == (75, "")
    assert house.book.books("main").agree


async def test_o08_what_was_filled_before_a_cancel_stays(house: House) -> None:
    number = await placed(house)
    house.execute(number, 25, 99.0, tell=True)
    order = await house.orders.cancel(house.orders.orders()[0].id)

    assert order.status is OrderStatus.CANCELLED
    assert house.position().quantity == 25
    await house.orders.reconcile("main", why="test")
    assert house.book.books("main").agree


async def test_o10_a_read_that_fails_keeps_what_we_hold_and_says_so(house: House) -> None:
    house.execute(await placed(house), 75, 99.0, tell=True)
    await house.orders.reconcile("main", why="start")
    before = house.position()

    house.broker.read_error = BadAnswer("data is null")
    with pytest.raises(BadAnswer):
        await house.orders.reconcile("main", why="rhythm")

    assert house.position() is before
    assert house.book.books("main").failed == "data is null"


async def test_o11_an_empty_list_of_positions_is_not_flat(house: House) -> None:
    house.execute(await placed(house), 75, 99.0, tell=True)
    await house.orders.reconcile("main", why="start")
    house.broker.held = []
    for _ in range(5):
        house.clock.advance(5.0)
        await house.orders.reconcile("main", why="the books differ")

    assert house.position().quantity == 75
    assert house.book.differs("main")


async def test_o14_an_order_from_the_phone_app_is_counted(house: House) -> None:
    await house.orders.reconcile("main", why="start")
    line = request("phone", side=Side.SELL)
    ours = await placed(house, "n2")
    phone = replace(house.broker.book[ours], order_id="999", tag="", side=line.side)
    house.broker.book["999"] = phone
    house.execute("999", 75, 101.0, tell=False)
    house.broker.position_updates.emit(house.broker.held[0])
    house.clock.advance(4.0)
    assert house.book.differs("main"), "the stream told of the position only"

    await house.orders.reconcile("main", why="the books differ")

    assert house.position().quantity == -75
    assert house.book.books("main").agree


async def test_a_restart_finds_the_same_position_in_the_journal(house: House) -> None:
    house.execute(await placed(house), 75, 99.0, tell=True)
    house.clock.advance(2.0)
    house.execute(await placed(house, "n2", side=Side.SELL), 50, 101.0, tell=True)
    await house.orders.reconcile("main", why="start")
    before = house.position()

    again = House(house.paper)
    again.clock.advance((house.clock.now() - T0) / timedelta(seconds=1))
    await again.orders.start()
    assert again.position().in_doubt == "not compared with the broker's book yet"
    again.broker.book, again.broker.held = house.broker.book, house.broker.held
    again.broker.executed = house.broker.executed
    await again.orders.reconcile("main", why="start")

    assert again.position() == before
    await again.orders.stop()


async def test_a_fill_without_a_price_is_unknown_until_its_trade_is_read(house: House) -> None:
    number = await placed(house)
    house.execute(number, 75, 99.0, tell=False)
    house.broker.move(number, average_price=UNKNOWN)
    assert house.position().quantity == 75
    assert house.position().cost is None

    await house.orders.reconcile("main", why="a fill has no price yet")

    assert house.position().cost == 75 * 99_00
