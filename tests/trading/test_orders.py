"""Sending an order: what is denied, sent once, answered, lost, found, cancelled, reconciled."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.trading.scripted import CALL, T0, After, Paper, ScriptedBroker, request
from trading.broker import Line
from trading.checks import Band, Limits
from trading.clock import ManualClock
from trading.errors import BadRequest, Denied, NotPermitted, Retryable, Unanswered
from trading.model import Instrument
from trading.order import Order, OrderChange, OrderFills, OrderStatus, Side
from trading.order_book import OrderMoved
from trading.orders import Gate, OrderManager, Patience


class House:
    """An order manager with everything around it made for a test; sleeping takes no time."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        paper: Paper | None = None,
        gate: Gate | None = None,
        patience: Patience | None = None,
        accounts: Sequence[str] = ("main",),
    ) -> None:
        self.clock = ManualClock(T0)
        self.brokers = {account: ScriptedBroker(account) for account in accounts}
        self.broker = self.brokers["main"]
        self.paper = paper or Paper()
        self.gate = gate or Gate()
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self.quotes_come = asyncio.Event()
        self.quotes_come.set()
        self.orders = OrderManager(
            clock=self.clock,
            brokers=self.brokers,
            journal=self.paper,
            mock=dict.fromkeys(accounts, True),
            instrument=self._instrument,
            ltp=lambda _: 100.0,
            band=self._band,
            gate=self.gate,
            limits=limits or Limits(),
            patience=patience,
            sleep=self._sleep,
        )
        self.moves: list[OrderMoved] = []
        self.fills: list[OrderFills] = []
        self.orders.changes.subscribe(self.moves.append)
        self.orders.filled.subscribe(self.fills.append)

    def _instrument(self, key: str) -> Instrument | None:
        return CALL if key == CALL.instrument_key else None

    async def _band(self, key: str) -> Band | None:
        await self.quotes_come.wait()
        return Band(50.0, 200.0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.on_sleep()
        await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)


@pytest.fixture
def house() -> House:
    return House()


async def test_an_order_is_committed_before_it_is_sent_and_followed_until_it_is_filled(
    house: House,
) -> None:
    committed: list[int] = []
    house.broker.order_updates.subscribe(lambda _: None)
    place = house.broker.place

    async def checking(line: Line) -> tuple[str, ...]:
        committed.append(len(house.paper.kept))
        return await place(line)

    house.broker.place = checking  # type: ignore[method-assign]  # the wire, not our code
    order = await house.orders.place(request())
    house.broker.fill(order.children[0].order_id, price=99.5)

    done = house.orders.get(order.id)
    assert committed == [1]
    assert done is not None
    assert (done.status, done.filled, done.average_price) == (OrderStatus.FILLED, 75, 99.5)
    assert [m.after.status for m in house.moves] == [
        OrderStatus.SENT, OrderStatus.WORKING, OrderStatus.FILLED,
    ]  # fmt: skip
    assert [(f.quantity, f.price) for f in house.fills[-1].fills] == [(75, 99.5)]
    assert house.paper.kept[order.id] == done


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -75}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": 80}, "quantity"),
        ({"quantity": 75 * 24 * 26}, "quantity"),
        ({"price": 100.02}, "price"),
        ({"price": 0.0}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": 1e308}, "price"),
        ({"price": 201.0}, "price"),
        ({"price": 49.95}, "price"),
        ({"trigger": 5.0}, "trigger"),
        ({"instrument_key": "NSE_FO|'; DROP TABLE orders;--"}, "instrument_key"),
        ({"account": "<b>"}, "account"),
    ],
)
async def test_a_wrong_request_is_denied_with_the_name_of_the_field(
    house: House, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(Denied) as told:
        await house.orders.place(request(**changes))

    assert [problem.field for problem in told.value.problems] == [field]
    assert "Nothing was sent" in str(told.value)
    assert (house.broker.sent, house.paper.kept) == ([], {})


async def test_u03_one_press_makes_one_order_however_often_it_arrives(house: House) -> None:
    house.broker.delay.clear()
    first = asyncio.ensure_future(house.orders.place(request("press")))
    second = asyncio.ensure_future(house.orders.place(request("press")))
    await house.settle()
    house.broker.delay.set()
    third = await house.orders.place(request("press"))

    assert (await first).id == (await second).id == third.id
    assert len(house.broker.sent) == 1


async def test_u03_a_press_that_an_earlier_run_has_sent_is_not_sent_again(house: House) -> None:
    first = await house.orders.place(request("press"))
    again = House(paper=house.paper)
    await again.orders.start()

    assert (await again.orders.place(request("press"))).id == first.id
    assert again.broker.sent == []


async def test_a_refusal_of_the_broker_is_rejected_with_its_words(house: House) -> None:
    house.broker.script = [BadRequest("the order 'quantity' cannot be zero", code="UDAPI1052")]

    order = await house.orders.place(request())

    assert order.status is OrderStatus.REJECTED
    assert "cannot be zero" in order.message


@pytest.mark.parametrize("error", [Retryable("cannot be reached"), NotPermitted("static IP")])
async def test_what_never_reached_the_broker_is_not_placed(house: House, error: Exception) -> None:
    house.broker.script = [error]  # type: ignore[list-item]

    order = await house.orders.place(request())

    assert order.status is OrderStatus.NOT_PLACED
    assert len(house.broker.sent) == 1


async def test_o01_an_order_whose_answer_was_lost_is_found_by_its_tag(house: House) -> None:
    house.broker.script = [After(Unanswered("no answer"))]

    order = await house.orders.place(request())
    await house.settle()

    assert [m.after.status for m in house.moves][:2] == [OrderStatus.SENT, OrderStatus.IN_DOUBT]
    found = house.orders.get(order.id)
    assert found is not None
    assert (found.status, len(found.children)) == (OrderStatus.WORKING, 1)
    assert len(house.broker.sent) == 1
    assert sum(house.slept) <= 12


async def test_o02_an_order_that_never_arrived_is_not_placed_and_never_sent_again(
    house: House,
) -> None:
    house.broker.script = [Unanswered("no answer")]

    order = await house.orders.place(request())
    await house.settle()

    gone = house.orders.get(order.id)
    assert gone is not None
    assert gone.status is OrderStatus.NOT_PLACED
    assert (house.broker.reads, len(house.broker.sent)) == (5, 1)
    assert 20 <= sum(house.slept) <= 40


async def test_o02_a_failed_read_is_not_a_proof_that_there_is_no_order(house: House) -> None:
    house.broker.script = [After(Unanswered("no answer"))]
    house.broker.read_error = Retryable("500")

    def heal() -> None:
        if len(house.slept) > 20:
            house.broker.read_error = None

    house.on_sleep = heal
    order = await house.orders.place(request())
    await house.settle()

    assert house.orders.get(order.id).status is OrderStatus.WORKING  # type: ignore[union-attr]


async def test_an_order_that_shows_up_after_all_is_taken_in(house: House) -> None:
    house.broker.script = [Unanswered("no answer")]
    order = await house.orders.place(request())
    await house.settle()

    number = house.broker.accept(Line(order.id, order.request))
    house.broker.fill(number)

    assert house.orders.get(order.id).status is OrderStatus.FILLED  # type: ignore[union-attr]


async def test_o03_an_update_before_the_answer_makes_no_second_order(house: House) -> None:
    house.broker.delay.clear()
    placing = asyncio.ensure_future(house.orders.place(request()))
    await house.settle()
    house.broker.fill("261120000000001")
    house.broker.delay.set()
    order = await placing

    assert order.status is OrderStatus.FILLED
    assert len(house.orders.orders()) == 1
    assert len(house.fills) == 1


async def test_o03_an_update_without_a_tag_waits_for_the_answer(house: House) -> None:
    house.broker.delay.clear()
    placing = asyncio.ensure_future(house.orders.place(request()))
    await house.settle()
    house.broker.move("261120000000001", tag="", filled=75, average_price=100.0,
                      status=OrderStatus.FILLED, raw_status="complete")  # fmt: skip
    house.broker.delay.set()
    order = await placing

    assert order.status is OrderStatus.FILLED
    assert [o.external for o in house.orders.orders()] == [False]


async def test_o05_repeated_and_shuffled_updates_change_nothing_twice(house: House) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    order = await house.orders.place(request(quantity=225))
    number = order.children[0].order_id
    broker = house.broker
    story = [
        broker.move(number, tell=False, raw_status=raw)
        for raw in ("put order req received", "validation pending", "open pending", "open")
    ]
    story += [broker.fill(number, 75, tell=False), broker.fill(number, 75, tell=False)]
    story += [broker.fill(number, 75, tell=False)]
    told = story * 3
    chance.shuffle(told)
    for update in told:
        broker.order_updates.emit(update)

    done = house.orders.get(order.id)
    assert done is not None
    assert (done.status, done.filled) == (OrderStatus.FILLED, 225)
    assert sum(f.quantity for f in house.fills[-1].fills) == 225
    finals = [m for m in house.moves if m.after.status is OrderStatus.FILLED]
    assert len(finals) == 1


@pytest.mark.parametrize("words", ["already final", "not cancelled"])
async def test_o06_a_cancel_that_lost_the_race_is_read_up(house: House, words: str) -> None:
    order = await house.orders.place(request())
    house.broker.fill(order.children[0].order_id, tell=False)
    house.broker.cancel_error = BadRequest(words, code="UDAPI100040")

    assert (await house.orders.cancel(order.id)).status is OrderStatus.FILLED


async def test_o06_a_cancel_that_the_broker_refuses_leaves_a_working_order(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.cancel_error = BadRequest("not now", code="UDAPI100500")

    with pytest.raises(BadRequest):
        await house.orders.cancel(order.id)

    assert house.orders.get(order.id).status is OrderStatus.WORKING  # type: ignore[union-attr]


async def test_o08_a_partial_fill_stays_when_the_rest_is_cancelled(house: House) -> None:
    order = await house.orders.place(request(quantity=150))
    house.broker.fill(order.children[0].order_id, 75)
    done = await house.orders.cancel(order.id)

    assert (done.status, done.filled, done.pending) == (OrderStatus.CANCELLED, 75, 0)
    assert sum(f.quantity for f in house.fills[-1].fills) == 75


async def test_o09_an_unknown_word_is_kept_and_the_order_stays_open(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.move(order.children[0].order_id, raw_status="under lunar review")

    now = house.orders.get(order.id)
    assert now is not None
    assert (now.status, now.steps[-1].raw_status) == (OrderStatus.WORKING, "under lunar review")


async def test_o14_an_order_placed_elsewhere_appears_as_external(house: House) -> None:
    number = house.broker.accept(Line("", request()))
    house.broker.fill(number)
    house.broker.fill(number)

    (order,) = house.orders.orders()
    assert (order.external, order.status, order.filled) == (True, OrderStatus.FILLED, 75)
    assert order.request.source == "placed elsewhere"


async def test_o13_a_sliced_order_is_done_when_all_slices_are(house: House) -> None:
    asked = request(quantity=3600)

    async def sliced(line: Line) -> tuple[str, ...]:
        halves = [replace(line, request=replace(asked, quantity=1800)) for _ in range(2)]
        return tuple(house.broker.accept(half) for half in halves)

    house.broker.place = sliced  # type: ignore[method-assign]  # the wire, not our code
    order = await house.orders.place(asked)
    first, second = (child.order_id for child in order.children)
    house.broker.fill(first, price=100.0)
    half = house.orders.get(order.id)
    house.broker.fill(second, price=101.0)
    done = house.orders.get(order.id)

    assert half is not None
    assert done is not None
    assert (half.status, half.filled) == (OrderStatus.WORKING, 1800)
    assert (done.status, done.filled, done.average_price) == (OrderStatus.FILLED, 3600, 100.5)


async def test_orders_that_were_never_answered_are_in_doubt_after_a_restart(house: House) -> None:
    house.broker.delay.clear()
    placing = asyncio.ensure_future(house.orders.place(request()))
    await house.settle()
    (intent,) = house.paper.kept.values()
    again = House(paper=house.paper)
    again.broker.accept(Line(intent.id, intent.request))
    await again.orders.start()
    await again.settle()

    (order,) = again.orders.orders()
    assert (order.status, len(order.children)) == (OrderStatus.WORKING, 1)
    assert again.broker.sent == []
    house.broker.delay.set()
    await placing


async def test_a_failed_reading_changes_nothing_and_says_so(house: House) -> None:
    order = await house.orders.place(request())
    failed: list[str] = []
    house.orders.read_failed.subscribe(lambda told: failed.append(told.reason))
    house.broker.read_error = Retryable("HTML instead of JSON")

    with pytest.raises(Retryable):
        await house.orders.reconcile("main", why="test")

    assert failed == ["HTML instead of JSON"]
    assert house.orders.get(order.id).status is OrderStatus.WORKING  # type: ignore[union-attr]


async def test_an_order_missing_from_todays_book_is_not_taken_for_cancelled(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.book.clear()

    await house.orders.reconcile("main", why="test")

    assert house.orders.get(order.id).status is OrderStatus.WORKING  # type: ignore[union-attr]


async def test_an_order_of_yesterday_has_ended_with_its_day(house: House) -> None:
    order = await house.orders.place(request())
    house.broker.book.clear()
    house.clock.advance(86_400)

    await house.orders.reconcile("main", why="test")

    ended = house.orders.get(order.id)
    assert ended is not None
    assert (ended.status, "its day ended" in ended.message) == (OrderStatus.CANCELLED, True)


async def test_the_gate_denies_entries_and_lets_exits_pass(house: House) -> None:
    house.gate.add(lambda _: "the books have not been read")

    with pytest.raises(Denied, match="books"):
        await house.orders.place(request("entry"))
    exit_order = await house.orders.place(request("exit", side=Side.SELL, reduces=True))

    assert exit_order.status is OrderStatus.WORKING


async def test_more_orders_in_a_second_than_the_house_allows_are_denied(house: House) -> None:
    house.gate.add(house.orders.too_fast, exits_too=True)
    for n in range(8):
        await house.orders.place(request(f"n{n}"))

    with pytest.raises(Denied, match="in a second"):
        await house.orders.place(request("n9"))
    house.clock.advance(1.0)
    await house.orders.place(request("n9"))


async def test_a_modified_order_shows_what_the_broker_has(house: House) -> None:
    order = await house.orders.place(request())
    await house.orders.modify(order.id, OrderChange(price=101.0))
    house.broker.order_updates.emit(house.broker.book[order.children[0].order_id])

    assert house.orders.get(order.id).request.price == 101.0  # type: ignore[union-attr]
    with pytest.raises(Denied, match="multiple"):
        await house.orders.modify(order.id, OrderChange(price=101.01))


async def test_an_order_in_doubt_cannot_be_changed(house: House) -> None:
    house.broker.script = [Unanswered("no answer")]
    order = await house.orders.place(request())

    with pytest.raises(Denied, match="in doubt"):
        await house.orders.cancel(order.id)


async def test_whoever_pressed_may_go_away_and_the_order_is_accounted_for(house: House) -> None:
    house.broker.delay.clear()
    placing = asyncio.ensure_future(house.orders.place(request()))
    await house.settle()
    placing.cancel()
    house.broker.delay.set()
    await house.settle()

    (order,) = house.orders.orders()
    assert order.status is OrderStatus.WORKING


def test_any_order_of_partial_updates_ends_in_the_same_state() -> None:
    """Every permutation of a short life, each told twice."""
    for permutation in itertools.permutations(range(4)):
        asyncio.run(_told_in_order(permutation))


async def _told_in_order(permutation: tuple[int, ...]) -> None:
    house = House()
    order = await house.orders.place(request(quantity=150))
    number = order.children[0].order_id
    story = [
        house.broker.move(number, tell=False, raw_status="validation pending"),
        house.broker.move(number, tell=False, raw_status="open"),
        house.broker.fill(number, 75, price=100.0, tell=False),
        house.broker.move(
            number, tell=False, status=OrderStatus.CANCELLED, raw_status="cancelled"
        ),
    ]  # fmt: skip
    for n in (*permutation, *permutation):
        house.broker.order_updates.emit(story[n])
    done: Order | None = house.orders.get(order.id)
    assert done is not None
    assert (done.status, done.filled) == (OrderStatus.CANCELLED, 75), permutation
