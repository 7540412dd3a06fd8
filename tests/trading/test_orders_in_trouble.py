"""The order core under a hostile hand: presses that repeat, disks that wait, answers that break."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.trading.scripted import CALL, T0, After, Paper, request
from tests.trading.test_orders import House
from trading.broker import Line, Placed
from trading.errors import (
    BadRequest,
    Denied,
    RateLimited,
    Retryable,
    TokenRefused,
    Unanswered,
    VigilError,
)
from trading.model import UNKNOWN
from trading.order import (
    BrokerOrder,
    BrokerPosition,
    Fill,
    Order,
    OrderChange,
    OrderStatus,
    Product,
    Side,
)
from trading.order_book import MOST_STEPS
from trading.orders import Gate, Patience


class SlowPaper(Paper):
    """A disk that takes an intent when a test lets it, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.error: VigilError | None = None

    async def open_intents(self, orders: Sequence[Order]) -> list[Order]:
        await self.let.wait()
        if self.error:
            raise self.error
        return await super().open_intents(orders)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def slow() -> House:
    return House(paper=SlowPaper())


def disk(house: House) -> SlowPaper:
    assert isinstance(house.paper, SlowPaper)
    return house.paper


def known(house: House, order: Order) -> Order:
    found = house.orders.get(order.id)
    assert found is not None
    return found


def begun(work: Coroutine[Any, Any, Order]) -> "asyncio.Task[Order]":
    return asyncio.get_running_loop().create_task(work)


def fill(number: str, quantity: int = 75, price: float = 100.0, **changes: object) -> Fill:
    base = Fill(
        "main", number, f"t{quantity}", CALL.instrument_key, Product.INTRADAY, Side.BUY, quantity,
        price, T0, is_mock=True,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


# one press, one order


async def test_a_burst_is_counted_before_it_waits_for_the_disk(slow: House) -> None:
    """Thirty calls at once all passed a limit of eight, because they were counted too late."""
    slow.gate.add(slow.orders.too_fast, exits_too=True)
    burst = [begun(slow.orders.place(request(f"n{n}"))) for n in range(30)]
    await slow.settle()
    disk(slow).let.set()
    told = await asyncio.gather(*burst, return_exceptions=True)

    assert len(slow.broker.sent) == 8
    assert sum(isinstance(answer, Denied) for answer in told) == 22


async def test_a_burst_of_modifications_is_a_mistake_too(house: House) -> None:
    house.gate.add(house.orders.too_fast, exits_too=True)
    order = await house.orders.place(request())
    changes = (OrderChange(price=100.0 + n) for n in range(1, 20))
    told = await asyncio.gather(
        *(house.orders.modify(order.id, change) for change in changes), return_exceptions=True
    )

    assert sum(isinstance(answer, Denied) for answer in told) == 12


async def test_u03_a_press_that_was_sent_is_not_denied_when_it_is_repeated(house: House) -> None:
    """A program that heard "Nothing was sent" of an order that was, would send another one."""
    order = await house.orders.place(request())
    house.gate.add(lambda _: "the market is closed", exits_too=True)

    assert (await house.orders.place(request())).id == order.id
    assert len(house.broker.sent) == 1


@pytest.mark.parametrize(
    "changes", [{"side": Side.SELL}, {"quantity": 150}, {"price": 101.0}, {"reduces": True}]
)
async def test_a_nonce_that_is_used_for_something_else_is_denied(
    house: House, changes: dict[str, object]
) -> None:
    await house.orders.place(request())

    with pytest.raises(Denied) as told:
        await house.orders.place(request(**changes))

    assert [problem.field for problem in told.value.problems] == ["nonce"]
    assert len(house.broker.sent) == 1


async def test_a_nonce_of_an_earlier_run_is_denied_for_something_else(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.move(order.children[0].order_id, price=101.0, quantity=150)
    again = House(paper=house.paper)
    await again.orders.start()

    assert (await again.orders.place(request())).id == order.id, "it was modified since"
    with pytest.raises(Denied, match="something else"):
        await again.orders.place(request(side=Side.SELL))
    assert again.broker.sent == []


async def test_whoever_goes_away_while_the_disk_writes_leaves_no_order_behind_unsent(
    slow: House,
) -> None:
    """The intent was written, never sent, and shown as "sent" to whoever pressed again."""
    placing = begun(slow.orders.place(request()))
    await slow.settle()
    placing.cancel()
    await slow.settle()
    disk(slow).let.set()
    await slow.settle()

    (order,) = slow.orders.orders()
    assert (order.status, len(slow.broker.sent)) == (OrderStatus.WORKING, 1)


async def test_whoever_goes_away_while_it_is_checked_has_sent_nothing(house: House) -> None:
    house.quotes_come.clear()
    placing = begun(house.orders.place(request()))
    await house.settle()
    placing.cancel()
    await house.settle()

    assert (house.broker.sent, house.paper.kept) == ([], {})


async def test_a_gate_that_closes_while_the_disk_writes_stops_the_order(slow: House) -> None:
    closed: list[str] = []
    slow.gate.add(lambda _: "".join(closed))
    placing = begun(slow.orders.place(request()))
    await slow.settle()
    closed.append("no entries any more")
    disk(slow).let.set()

    with pytest.raises(Denied, match=r"no entries any more.*Nothing was sent"):
        await placing
    (order,) = slow.orders.orders()
    assert (order.status, slow.broker.sent) == (OrderStatus.DENIED, [])
    closed.clear()
    with pytest.raises(Denied, match="no entries any more"):
        await slow.orders.place(request())


async def test_a_disk_that_fails_means_that_nothing_was_sent_and_it_may_be_tried_again(
    slow: House,
) -> None:
    disk(slow).let.set()
    disk(slow).error = Retryable("the database is locked")

    with pytest.raises(Denied, match=r"locked.*Nothing was sent"):
        await slow.orders.place(request())
    disk(slow).error = None
    order = await slow.orders.place(request())

    assert (order.status, len(slow.broker.sent)) == (OrderStatus.WORKING, 1)


async def test_a_press_that_fails_is_told_to_all_who_made_it(slow: House) -> None:
    disk(slow).error = Retryable("the database is locked")
    presses = [begun(slow.orders.place(request())) for _ in range(3)]
    await slow.settle()
    disk(slow).let.set()

    told = await asyncio.gather(*presses, return_exceptions=True)
    assert [type(answer) for answer in told] == [Denied] * 3


async def test_nothing_is_sent_once_the_desk_stops(house: House) -> None:
    await house.orders.stop()

    with pytest.raises(Denied, match="stopping"):
        await house.orders.place(request())
    assert house.broker.sent == []


async def test_a_stop_waits_for_the_answer_to_what_is_being_sent() -> None:
    """It was cut off, and the order was in doubt until the next start, or the next morning."""
    house = House(patience=Patience(farewell=5.0))
    house.broker.delay.clear()
    placing = begun(house.orders.place(request()))
    await house.settle()
    stopping = asyncio.ensure_future(house.orders.stop())
    await house.settle()
    house.broker.delay.set()
    await stopping

    assert (await placing).status is OrderStatus.WORKING


async def test_a_stop_does_not_wait_for_ever() -> None:
    house = House(patience=Patience(farewell=0.01))
    house.broker.delay.clear()
    placing = begun(house.orders.place(request()))
    await house.settle()
    await house.orders.stop()

    assert [order.status for order in house.paper.kept.values()] == [OrderStatus.SENT]
    with pytest.raises(asyncio.CancelledError):
        await placing


async def test_no_order_at_all_is_denied(house: House) -> None:
    with pytest.raises(Denied, match="Nothing was sent"):
        await house.orders.place_many([])


async def test_an_entry_that_calls_itself_an_exit_is_judged_as_an_entry() -> None:
    house = House(gate=Gate(is_exit=lambda asked: asked.side is Side.SELL))
    house.gate.add(lambda _: "exits only")

    with pytest.raises(Denied, match="exits only"):
        await house.orders.place(request("entry", reduces=True))
    leave = await house.orders.place(request("exit", side=Side.SELL, reduces=True))

    assert leave.status is OrderStatus.WORKING


# answers that break


async def test_whatever_breaks_while_sending_leaves_the_order_in_doubt(house: House) -> None:
    """It stayed "sent" for ever: nobody looked for it, and updates without a tag were held back."""
    house.broker.script = [After(RuntimeError("a bug"))]  # type: ignore[arg-type]

    order = await house.orders.place(request())
    await house.settle()

    told = [move.after.status for move in house.moves]
    assert told == [OrderStatus.SENT, OrderStatus.IN_DOUBT, OrderStatus.WORKING]
    assert known(house, order).status is OrderStatus.WORKING


async def test_a_line_that_the_answer_leaves_out_is_in_doubt(house: House) -> None:
    one_of_two = house.broker.place_many

    async def half(lines: Sequence[Line]) -> list[Placed]:
        return (await one_of_two(lines))[:1]

    house.broker.place_many = half  # type: ignore[method-assign]  # the wire, not our code
    first, second = await house.orders.place_many([request("a"), request("b")])
    await house.settle()

    doubted = [m.after.id for m in house.moves if m.after.status is OrderStatus.IN_DOUBT]
    assert doubted == [second.id]
    assert known(house, first).status is OrderStatus.WORKING
    assert known(house, second).status is OrderStatus.WORKING


@pytest.mark.parametrize(
    "error", [KeyError("a bug"), TokenRefused("signed out"), RateLimited("429", retry_after=77.0)]
)
async def test_the_look_for_an_order_outlives_what_goes_wrong(
    house: House, error: Exception
) -> None:
    house.broker.script = [After(Unanswered("no answer"))]
    house.broker.read_error = error  # type: ignore[assignment]

    def heal() -> None:
        if len(house.slept) > 8:
            house.broker.read_error = None

    house.on_sleep = heal
    order = await house.orders.place(request())
    await house.settle()

    assert known(house, order).status is OrderStatus.WORKING
    pauses = house.slept[1:-1]
    assert max(pauses) >= 30.0, "it asks less and less often"
    if isinstance(error, RateLimited):
        assert min(pauses) >= 77.0


async def test_an_order_of_an_earlier_day_is_not_said_to_have_never_been_placed(
    house: House,
) -> None:
    """The broker tells of today only: that it knows nothing of yesterday proves nothing."""
    house.broker.script = [Unanswered("no answer")]
    house.broker.read_error = Retryable("500")
    moves: list[OrderStatus] = []

    def next_day() -> None:
        if len(house.slept) == 3:
            house.clock.advance(86_400)
            house.broker.read_error = None
        moves.append(house.orders.orders()[0].status)

    house.on_sleep = next_day
    order = await house.orders.place(request())
    await house.settle()

    assert OrderStatus.NOT_PLACED not in moves
    assert known(house, order).status is OrderStatus.CANCELLED
    assert "not known" in known(house, order).message
    assert 600.0 in house.slept, "it stays in doubt for a while, so that a basket can tell"


async def test_an_order_that_the_broker_has_twice_is_said(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.accept(Line(order.id, order.request))
    await house.orders.reconcile("main", why="test")

    assert "150 in 2 orders" in known(house, order).message


# whose order it is


async def test_what_was_taken_for_somebody_elses_order_is_ours_when_its_tag_is_told(
    house: House,
) -> None:
    """Ours ended as not placed, beside an external one that was it: somebody would send again."""
    house.broker.script = [After(Unanswered("no answer"))]
    house.broker.delay.clear()
    placing = begun(house.orders.place(request()))
    await house.settle()
    number = next(iter(house.broker.book))
    house.broker.order_updates.emit(replace(house.broker.book[number], tag=""))
    house.broker.delay.set()
    order = await placing
    await house.settle()

    (ours,) = [o for o in house.orders.orders() if not o.external]
    assert (ours.id, ours.status) == (order.id, OrderStatus.WORKING)
    assert [o.status for o in house.orders.orders() if o.external] == [OrderStatus.NOT_PLACED]
    house.broker.fill(number)
    assert known(house, order).status is OrderStatus.FILLED


@pytest.mark.parametrize("changes", [{"side": Side.SELL}, {"instrument_key": "NSE_FO|2"}])
async def test_a_copied_tag_does_not_make_it_our_order(
    house: House, changes: dict[str, object]
) -> None:
    order = await house.orders.place(request())
    theirs = replace(house.broker.book[order.children[0].order_id], order_id="9", **changes)  # type: ignore[arg-type]
    house.broker.order_updates.emit(theirs)

    assert len(known(house, order).children) == 1
    assert [o.id for o in house.orders.orders() if o.external] == ["ext-main-9"]


async def test_the_same_number_in_two_accounts_is_two_orders() -> None:
    house = House(accounts=("main", "wife"))
    order = await house.orders.place(request())
    number = order.children[0].order_id
    told = replace(house.broker.book[number], account="wife", tag="")
    done = replace(told, status=OrderStatus.FILLED, filled=75, average_price=1.0)
    house.brokers["wife"].order_updates.emit(done)

    assert known(house, order).status is OrderStatus.WORKING
    assert house.orders.book.fills("main") == []
    assert [f.quantity for f in house.orders.book.fills("wife")] == [75]


# days


def yesterdays(house: House, **changes: object) -> BrokerOrder:
    number = house.broker.accept(Line("", request()))
    day = timedelta(days=1)
    ended = {"status": OrderStatus.CANCELLED, "raw_status": "cancelled", "placed": T0 - day}
    return house.broker.move(number, tell=False, **(ended | changes))


async def test_what_ended_yesterday_is_not_an_order_of_today(house: House) -> None:
    yesterdays(house)
    yesterdays(house, exchange_time=T0 - timedelta(days=1))
    await house.orders.reconcile("main", why="start")

    assert house.orders.orders() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": OrderStatus.WORKING, "raw_status": "open"},
        {"exchange_time": T0, "status": OrderStatus.FILLED, "filled": 75, "average_price": 1.0},
        {"is_amo": True},
    ],
)
async def test_what_was_placed_yesterday_and_lives_today_is(
    house: House, changes: dict[str, object]
) -> None:
    yesterdays(house, **changes)
    await house.orders.reconcile("main", why="start")

    assert len(house.orders.orders()) == 1


async def test_yesterday_is_forgotten_and_the_disk_keeps_it(house: House) -> None:
    """A desk that runs for weeks kept every order and walked over all of them at each update."""
    done = await house.orders.place(request("a"))
    house.broker.fill(done.children[0].order_id)
    rests = await house.orders.place(request("b"))
    house.clock.advance(86_400)
    await house.orders.reconcile("main", why="the next day")

    assert house.orders.orders() == [known(house, rests)]
    assert house.orders.book.fills() == []
    assert house.paper.kept[done.id].status is OrderStatus.FILLED
    assert (await house.orders.place(request("a"))).id == done.id, "the disk knows the press"


async def test_an_order_of_the_last_hour_is_kept_over_midnight(house: House) -> None:
    house.clock.advance(13.4 * 3600)  # 23:54 IST
    done = await house.orders.place(request())
    house.broker.fill(done.children[0].order_id)
    house.clock.advance(600)
    await house.orders.reconcile("main", why="the next day")

    assert house.orders.get(done.id) is not None


async def test_orders_of_an_account_that_is_in_the_settings_no_more_are_left_alone(
    house: House,
) -> None:
    order = await house.orders.place(request())
    house.paper.kept["old"] = replace(
        order, id="old", request=request("old", account="old"), children=()
    )
    again = House(paper=house.paper)
    await again.orders.start()
    await again.settle()

    assert [o.id for o in again.orders.orders()] == [order.id]


# cancels and modifications


async def sliced(house: House, slices: int = 3) -> Order:
    asked = request(quantity=1800 * slices)

    async def place(line: Line) -> tuple[str, ...]:
        part = replace(line, request=replace(asked, quantity=1800))
        return tuple(house.broker.accept(part) for _ in range(slices))

    house.broker.place = place  # type: ignore[method-assign]  # the wire, not our code
    return await house.orders.place(asked)


async def test_a_slice_that_cannot_be_cancelled_does_not_save_the_others(house: House) -> None:
    """The first refusal ended the loop, and the other slices stayed on the book."""
    order = await sliced(house)
    first = order.children[0].order_id
    house.broker.fill(first, tell=False)
    cancel = house.broker.cancel

    async def refusing(number: str) -> None:
        if number == first:
            raise BadRequest("already final", code="UDAPI100040")
        await cancel(number)

    house.broker.cancel = refusing  # type: ignore[method-assign]  # the wire, not our code
    done = await house.orders.cancel(order.id)

    assert (done.status, done.filled) == (OrderStatus.CANCELLED, 1800)


async def test_many_cancels_at_once_are_tried_again_where_the_limit_was_in_the_way(
    house: House,
) -> None:
    orders = [await house.orders.place(request(f"n{n}")) for n in range(30)]
    cancel, left = house.broker.cancel, [0]

    async def ten_a_second(number: str) -> None:
        left[0] += 1
        if left[0] % 3:
            raise RateLimited("our own limit of orders is reached", retry_after=1.1)
        await cancel(number)

    house.broker.cancel = ten_a_second  # type: ignore[method-assign]  # the wire, not our code
    done = await asyncio.gather(*(house.orders.cancel_in_turn(order.id) for order in orders))

    assert [o.id for o in done] == [o.id for o in orders]
    assert {o.status for o in done} == {OrderStatus.CANCELLED}


@pytest.mark.parametrize(
    "error", [TokenRefused("signed out"), RateLimited("closed", retry_after=3600.0)]
)
async def test_a_cancel_is_not_tried_again_where_waiting_does_not_help(
    house: House, error: VigilError
) -> None:
    order = await house.orders.place(request())
    asked: list[str] = []

    async def refusing(number: str) -> None:
        asked.append(number)
        raise error

    house.broker.cancel = refusing  # type: ignore[method-assign]  # the wire, not our code
    with pytest.raises(type(error)):
        await house.orders.cancel_in_turn(order.id)

    assert len(asked) == 1
    assert known(house, order).status is OrderStatus.WORKING


async def test_an_order_cannot_be_made_smaller_than_what_is_filled(house: House) -> None:
    order = await house.orders.place(request(quantity=225))
    house.broker.fill(order.children[0].order_id, 75)

    with pytest.raises(Denied, match="75 are filled already") as told:
        await house.orders.modify(order.id, OrderChange(quantity=75))
    assert [problem.field for problem in told.value.problems] == ["quantity"]
    await house.orders.modify(order.id, OrderChange(quantity=150))


async def test_a_change_of_nothing_is_not_sent(house: House) -> None:
    """The broker would put the order behind all others at its price."""
    order = await house.orders.place(request())

    with pytest.raises(Denied, match="changes nothing"):
        await house.orders.modify(order.id, OrderChange())


# reading


async def test_a_reading_that_hangs_ends_and_is_told() -> None:
    house = House(patience=Patience(read=0.01))
    failed: list[str] = []
    house.orders.read_failed.subscribe(lambda told: failed.append(told.reason))

    async def never() -> list[BrokerPosition]:
        await asyncio.Event().wait()
        return []

    house.broker.positions = never  # type: ignore[method-assign]  # the wire, not our code
    with pytest.raises(Retryable, match="no answer within"):
        await house.orders.reconcile("main", why="test")

    assert len(failed) == 1


async def test_books_that_nobody_understands_are_told_as_not_read(house: House) -> None:
    house.broker.read_error = ValueError("a bug")  # type: ignore[assignment]
    failed: list[str] = []
    house.orders.read_failed.subscribe(lambda told: failed.append(told.reason))

    with pytest.raises(ValueError, match="a bug"):
        await house.orders.reconcile("main", why="test")
    assert failed == ["a bug"]


async def test_an_older_reading_never_comes_after_a_newer_one(house: House) -> None:
    held = [asyncio.Event(), asyncio.Event()]
    number = iter(held)
    told: list[int] = []
    house.orders.reconciled.subscribe(lambda read: told.append(len(read.positions)))

    async def positions() -> list[BrokerPosition]:
        answer = [] if len(told) == 0 else [None]
        await next(number).wait()
        return answer  # type: ignore[return-value]

    house.broker.positions = positions  # type: ignore[method-assign]  # the wire, not our code
    readings = [begun(house.orders.reconcile("main", why="test")) for _ in range(2)]  # type: ignore[arg-type]
    await house.settle()
    held[1].set()
    await house.settle()
    held[0].set()
    await asyncio.gather(*readings)

    assert told == [0, 1]


async def test_slices_that_never_came_to_be_do_not_keep_an_order_working(house: House) -> None:
    """Of three slices one was accepted and filled: the order waited for the others for ever."""
    asked = request(quantity=5400)

    async def place(line: Line) -> tuple[str, ...]:
        return (house.broker.accept(replace(line, request=replace(asked, quantity=1800))),)

    house.broker.place = place  # type: ignore[method-assign]  # the wire, not our code
    order = await house.orders.place(asked)
    house.broker.fill(order.children[0].order_id)
    assert known(house, order).status is OrderStatus.WORKING, "the others may be late"

    await house.orders.reconcile("main", why="rhythm")

    done = known(house, order)
    assert (done.status, done.filled, done.request.quantity) == (OrderStatus.CANCELLED, 1800, 5400)


async def test_trades_of_something_else_are_not_fills_of_this_order(house: House) -> None:
    order = await house.orders.place(request())
    number = order.children[0].order_id
    house.broker.fill(number, price=100.0)
    house.broker.executed = [fill(number, instrument_key="NSE_FO|2", price=1.0)]
    await house.orders.reconcile("main", why="test")
    assert [f.price for f in house.orders.book.fills()] == [100.0]

    house.broker.executed = [fill(number, product=Product.DELIVERY, price=99.9)]
    await house.orders.reconcile("main", why="test")
    (settled,) = house.orders.book.fills()
    assert (settled.product, settled.price) == (Product.INTRADAY, 99.9)


async def test_a_fill_without_a_price_is_remembered_over_a_restart(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.fill(order.children[0].order_id, price=UNKNOWN)
    again = House(paper=house.paper)
    await again.orders.start()

    assert again.orders.book.unpriced == {"main"}


async def test_a_flood_of_updates_does_not_grow_an_orders_life_without_end(house: House) -> None:
    order = await house.orders.place(request())
    number = order.children[0].order_id
    for n in range(5_000):
        house.broker.move(number, price=100.0 + n % 2)
    house.broker.fill(number)

    done = known(house, order)
    assert len(done.steps) == MOST_STEPS + 1
    assert done.steps[-1].status is OrderStatus.FILLED


async def test_updates_without_a_tag_are_held_back_no_longer_than_the_answer_takes(
    house: House,
) -> None:
    house.broker.script = [After(RuntimeError("a bug"))]  # type: ignore[arg-type]
    await house.orders.place(request())
    theirs = house.broker.accept(Line("", request("theirs")))
    house.broker.fill(theirs)

    assert [o.status for o in house.orders.orders() if o.external] == [OrderStatus.FILLED]
