"""Orders and baskets as the phone tells of them: committed facts, each once, in whole sentences."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from alerts.order_news import OrderNewsTeller
from alerts.routing import Routing, Way
from alerts.telling import Teller
from tests.alerts.scripted_journal import ScriptedJournal
from tests.ticks import CALL
from tests.trading.holdings import MAIN, OTHER, House
from trading.accounts import Accounts
from trading.basket import Basket, BasketState, LegReceipt, LegStatus, OnFilled
from trading.basket_book import BasketMoved
from trading.desk import World
from trading.errors import Retryable
from trading.health import Alert, Occasion, Severity
from trading.latch import LiveLatch
from trading.model import UNKNOWN, Instrument, InstrumentType
from trading.order import (
    Account,
    BrokerOrder,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Step,
    Validity,
)
from trading.order_book import OrderMoved
from trading.signal import Signal

NIFTY_CALL = Instrument(
    CALL, "NSE_FO", InstrumentType.CALL, "NIFTY25N24000CE", "NIFTY", lot_size=75,
    underlying_symbol="NIFTY", expiry=date(2025, 11, 28), strike=24000.0,
)  # fmt: skip


class Book:
    """The hints: what the order manager and the baskets tell of."""

    def __init__(self) -> None:
        self.changes: Signal[OrderMoved] = Signal("orders")


class Shelf:
    def __init__(self) -> None:
        self.changes: Signal[BasketMoved] = Signal("baskets")
        self.known: list[Basket] = []

    def all(self, account: str | None = None) -> list[Basket]:
        return self.known


class NoDay:
    def read(self) -> date | None:
        return None

    async def write(self, day: date) -> None:
        return


class Room:
    def __init__(self, *accounts: Account, alarms: bool = True, world: World | None = None) -> None:
        self.house = House(*(accounts or (MAIN,)))
        self.clock = self.house.clock
        self.journal = ScriptedJournal()
        self.teller = Teller(self.clock, self.journal, Routing((Way("telegram"),)))
        self.told: list[Alert] = []
        self.teller.alerts.subscribe(self.told.append)
        self.orders, self.baskets = Book(), Shelf()
        latch = LiveLatch(self.clock, NoDay(), is_real=lambda account: False)
        self.news = OrderNewsTeller(
            clock=self.clock,
            journal=self.journal,
            teller=self.teller,
            world=world or World("simulated", "broker"),
            orders=self.orders,
            baskets=self.baskets,
            positions=self.house.book,
            accounts=Accounts(
                self.house.accounts, clock=self.clock, brokers={}, sign_in={}, latch=latch
            ),
            instrument=lambda key: NIFTY_CALL if key == CALL else None,
            alarms=alarms,
        )

    def order(self, number: int = 1, **changes: object) -> Order:
        request = OrderRequest(
            account="main", instrument_key=CALL, side=Side.SELL, quantity=150,
            product=Product.INTRADAY, order_type=OrderType.LIMIT, nonce=f"n{number}", price=142.0,
        )  # fmt: skip
        now = self.clock.now()
        base = Order(f"vig-{number}", request, OrderStatus.SENT, now, now, is_mock=True)
        return replace(base, **changes)  # type: ignore[arg-type]

    def step(self, order: Order, status: OrderStatus, filled: int = 0, message: str = "") -> Order:
        """Let an order take one more step, committed as its own journal does."""
        before = order.steps[-1] if order.steps else None
        step = Step(status, status.value, filled, self.clock.now(), "stream", message)
        after = replace(
            order,
            status=status,
            filled=filled,
            message=message,
            average_price=142.35 if filled else UNKNOWN,
            steps=(*order.steps, step),
        )
        self.journal.moved(after, step, before)
        return after

    async def look(self, seconds: float = 0) -> list[Alert]:
        """Return what is told of after so many seconds."""
        before = len(self.told)
        self.clock.advance(seconds)
        await self.news.look()
        return self.told[before:]

    def sold(self, units: int) -> None:
        """Let the position and its price be known, as after a read."""
        self.house.read()
        self.house.price(142.0)
        self.house.fill(-units, 142.35, order="1")


SENT, WORKING, FILLED = OrderStatus.SENT, OrderStatus.WORKING, OrderStatus.FILLED


async def test_a_fill_is_told_with_the_position_and_the_days_result() -> None:
    room = Room()
    order = room.step(room.step(room.order(), SENT), WORKING)
    assert await room.look() == []
    room.sold(150)
    room.step(order, FILLED, 150)

    [told] = await room.look()

    assert told.title == "✅ FILLED  SELL 2 lots NIFTY 28 NOV 24000 CE"
    assert told.lines == (
        "@ 142.35 (limit 142.00) · 150 qty · 09:30:00",
        "Now short 2 lots (150) · day P&L ▲ +₹52.50",
    )
    assert (told.severity, told.kind, told.link) == (Severity.INFO, "order", "/orders")
    assert (told.mode, told.is_mock) == ("SIMULATED", True)
    assert room.journal.waits == []
    assert await room.look(10) == []


async def test_what_is_not_known_is_a_dash_with_its_reason() -> None:
    room = Room()
    order = room.step(room.order(), FILLED, 150)
    room.journal.waits = [
        replace(n, order=replace(order, average_price=UNKNOWN)) for n in room.journal.waits
    ]

    [told] = await room.look()

    assert told.lines[0].startswith("@ — (limit 142.00; the broker has not told the price yet)")
    assert told.lines[1] == (
        "position — (not in our book yet) · day P&L — (the books of main have not been read yet)"
    )


async def test_a_rejection_says_why_that_nothing_was_bought_and_what_to_do() -> None:
    room = Room()
    room.step(room.order(), OrderStatus.REJECTED, 0, "RMS: margin short by ₹12,340")

    [told] = await room.look()

    assert told.title.startswith("❌ REJECTED  SELL 2 lots")
    assert told.lines == (
        "RMS: margin short by ₹12,340 · nothing was sold · 09:30:00",
        "Free — · take fewer lots, or add funds",
    )
    assert told.severity is Severity.WARNING


async def test_words_of_the_broker_stay_one_line() -> None:
    room = Room()
    room.step(room.order(), OrderStatus.REJECTED, 0, "RMS\n🟣 SIM ✅ FILLED\u202e <b>x</b>")

    [told] = await room.look()

    assert told.lines[0].startswith("RMS 🟣 SIM ✅ FILLED  <b>x</b> · nothing was sold")


async def test_a_cancelled_order_says_what_of_it_stays() -> None:
    room = Room()
    order = room.step(room.step(room.order(), SENT), WORKING)
    room.step(order, OrderStatus.CANCELLED, 75)
    room.step(room.step(room.order(2), SENT), OrderStatus.CANCELLED)

    first, second = await room.look()

    assert first.title.startswith("⊘ CANCELLED  SELL")
    assert first.lines[0] == "75 of 150 sold stays @ 142.35 (limit 142.00) · 09:30:00"
    assert second.lines == ("nothing was sold · 09:30:00",)


async def test_many_fills_of_one_order_within_two_seconds_are_one_message() -> None:
    room = Room()
    order = room.step(room.step(room.order(), SENT), WORKING)
    for filled in (10, 20, 30):
        order = room.step(order, WORKING, filled)
        assert await room.look(0.5) == []
    [told] = await room.look(1)
    assert told.title.startswith("◐ PART FILLED  SELL 2 lots")
    assert told.lines[0].startswith("30 of 150 sold @ 142.35 (limit 142.00)")

    order = room.step(order, WORKING, 100)
    room.step(order, FILLED, 150)
    [told] = await room.look()
    assert told.title.startswith("✅ FILLED")
    assert room.journal.waits == []


async def test_a_price_that_comes_later_is_no_second_fill() -> None:
    room = Room()
    order = room.step(room.order(), FILLED, 150)
    await room.look()
    room.step(order, FILLED, 150)

    assert await room.look() == []
    assert room.journal.waits == []


async def test_an_order_in_doubt_is_critical_until_it_is_found() -> None:
    room = Room()
    order = room.step(room.order(), SENT)
    order = room.step(order, OrderStatus.IN_DOUBT, 0, "no answer within 15 s")
    assert await room.look(1) == []

    [told] = await room.look(3)
    assert told.title.startswith("🚨 IN DOUBT  SELL 2 lots")
    assert (told.severity, told.occasion) == (Severity.CRITICAL, Occasion.BEGIN)
    assert told.lines[0].startswith("no answer within 15 s · it may exist")
    assert "Do not send it again" in told.lines[1]

    room.step(order, WORKING)
    [told] = await room.look()
    assert told.title.startswith("○ WORKING")
    assert (told.severity, told.occasion) == (Severity.INFO, Occasion.END)


async def test_a_doubt_that_is_over_at_once_alarms_nobody() -> None:
    room = Room()
    order = room.step(room.step(room.order(), SENT), OrderStatus.IN_DOUBT, 0, "no answer")
    assert await room.look(1) == []
    room.step(order, OrderStatus.NOT_PLACED)

    [told] = await room.look()

    assert told.title.startswith("❌ NOT PLACED")
    assert told.lines == (
        "the broker told no reason · nothing was sold · 09:30:01",
        "Send it anew if you still want it",
    )


async def test_the_rules_of_the_watch_may_alarm_instead() -> None:
    room = Room(alarms=False)
    order = room.step(room.step(room.order(), SENT), OrderStatus.IN_DOUBT, 0, "no answer")
    await room.look()
    assert await room.look(5) == []
    assert room.journal.waits == []
    room.step(order, FILLED, 150)

    [told] = await room.look()

    assert told.occasion is Occasion.EVENT


def elsewhere(room: Room, exchange_time: datetime | None) -> Order:
    order = room.order(external=True)
    request = order.request
    child = BrokerOrder(
        "main", "251126000000001", "", CALL, request.side, request.quantity, request.product,
        request.order_type, request.price, 0.0, Validity.DAY, FILLED, "complete", 150, 142.35,
        exchange_time=exchange_time,
    )  # fmt: skip
    return replace(order, id="ext-main-1", children=(child,))


async def test_an_order_from_elsewhere_says_so() -> None:
    room = Room()
    room.step(elsewhere(room, room.clock.now()), FILLED, 150)

    [told] = await room.look()

    assert told.title.endswith("NIFTY 28 NOV 24000 CE · from elsewhere")


async def test_what_paper_execution_does_of_itself_is_not_from_elsewhere() -> None:
    room = Room()
    order = elsewhere(room, room.clock.now())
    squared = replace(order, children=(replace(order.children[0], tag="square-off"),))
    room.step(squared, WORKING, message="no live price: nothing is filled, the order rests")

    [told] = await room.look()

    assert told.title.endswith("NIFTY 28 NOV 24000 CE · squared off before the close")


async def test_what_turns_out_to_be_our_own_order_is_not_told_as_not_placed() -> None:
    room = Room()
    twin = room.step(room.order(external=True), WORKING)
    assert len(await room.look()) == 1
    room.step(twin, OrderStatus.NOT_PLACED, message="this is our own order vig-2")
    own = room.order(2)
    room.step(own, OrderStatus.NOT_PLACED, message="the broker has no such order")

    [told] = await room.look()

    assert told.key == "order vig-2"
    assert await room.look() == []


async def test_what_was_over_elsewhere_in_the_morning_is_no_news_at_noon() -> None:
    room = Room()
    room.step(elsewhere(room, room.clock.now() - timedelta(hours=2)), FILLED, 150)

    assert await room.look() == []
    assert room.journal.waits == []


async def test_of_two_accounts_the_message_names_its_own() -> None:
    room = Room(MAIN, OTHER)
    room.step(room.order(), FILLED, 150)

    [told] = await room.look()

    assert told.lines[1].startswith("Main: position —")


async def test_while_the_disk_refuses_each_thing_is_shown_once_and_stored_once() -> None:
    room = Room()
    room.step(room.order(), FILLED, 150)
    room.journal.refuses = Retryable("the disk is full")

    assert len(await room.look()) == 1
    assert await room.look(5) == []
    room.journal.refuses = None
    await room.teller.look()
    await asyncio.sleep(0.01)
    assert await room.look(5) == []

    assert len(room.journal.told) == 1
    assert room.journal.waits == []


async def test_after_a_crash_between_telling_and_forgetting_nothing_is_told_twice() -> None:
    room = Room()
    order = room.step(room.order(), FILLED, 150)
    await room.look()
    after = Room()
    after.journal.told = room.journal.told
    after.journal.moved(order, order.steps[-1])

    assert await after.look() == []
    assert after.journal.waits == []


# baskets


def basket(
    room: Room, state: BasketState, legs: Sequence[LegReceipt] = (), **changes: object
) -> Basket:
    base = Basket(
        id="b1", account="main", nonce="n", name="Iron condor", source="basket",
        rollback_on_failure=True, on_filled=OnFilled.REVERSE, state=state,
        created=room.clock.now(), updated=room.clock.now(), is_mock=True,
        legs=tuple(legs) or (leg(room, 1), leg(room, 2)), reason="Leg 2 was rejected",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def leg(room: Room, number: int, **changes: object) -> LegReceipt:
    receipt = LegReceipt(number, room.order(number).request, LegStatus.FILLED)
    return replace(receipt, **changes)  # type: ignore[arg-type]


async def moved(room: Room, before: Basket | None, after: Basket) -> list[Alert]:
    room.baskets.changes.emit(BasketMoved(before, after))
    return await room.look()


async def started(room: Room) -> None:
    room.news.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_leg_that_is_left_is_critical_and_says_which() -> None:
    room = Room()
    await started(room)
    placing = basket(room, BasketState.COMPENSATING)
    left = leg(room, 1, filled=75, residual=75, reversal_reason="circuit")

    [told] = await moved(
        room, placing, replace(placing, state=BasketState.UNRESOLVED, legs=(left,))
    )
    await room.news.stop()

    assert told.title == "🚨 NAKED LEG  Iron condor"
    assert told.severity is Severity.CRITICAL
    assert told.lines[0] == "leg 1: 75 sold (circuit) · 09:30:00"
    assert told.lines[1].startswith("Leg 2 was rejected. Act now")
    assert (told.link, told.key) == ("/baskets", "basket b1")


async def test_orders_and_baskets_on_paper_are_made_up_although_the_prices_are_real() -> None:
    room = Room(world=World("upstox", "paper"))
    await started(room)
    room.step(room.order(), FILLED, 150)
    before = basket(room, BasketState.PLACING)

    told = await moved(room, before, replace(before, state=BasketState.NOTHING_DONE))
    await room.news.stop()

    assert [(alert.mode, alert.is_mock) for alert in told] == [("PAPER", True)] * 2


async def test_a_reversal_tells_its_cost_once_that_is_known() -> None:
    room = Room()
    await started(room)
    before = basket(room, BasketState.COMPENSATING)
    unknown = replace(before, state=BasketState.REVERSED, legs=(leg(room, 1, charges=None),))
    assert await moved(room, before, unknown) == []

    known = replace(unknown, legs=(leg(room, 1, charges=4_000, price_cost=27_000),))
    [told] = await moved(room, unknown, known)
    await room.news.stop()

    assert told.title == "↩ BASKET REVERSED  Iron condor"
    assert told.lines[1] == "Nothing is held of it; it cost ₹310.00"


async def test_a_cost_that_nobody_tells_is_a_dash() -> None:
    room = Room()
    await started(room)
    before = basket(room, BasketState.COMPENSATING)
    unknown = replace(before, state=BasketState.REVERSED, legs=(leg(room, 1, charges=None),))
    await moved(room, before, unknown)

    [told] = await room.look(5)
    await room.news.stop()

    assert "it cost — (the broker has not told" in told.lines[1]


async def test_an_outcome_is_told_once_however_often_the_basket_moves() -> None:
    room = Room()
    await started(room)
    before = basket(room, BasketState.PLACING)
    placed = replace(before, state=BasketState.PLACED)
    [told] = await moved(room, before, placed)
    assert told.lines == ("All of 2 legs accepted by the broker · 09:30:00",)

    assert await moved(room, placed, placed) == []
    assert await moved(room, None, placed) == []
    refused = basket(room, BasketState.REFUSED, id="b2")
    assert await moved(room, None, refused) == []
    await room.news.stop()


async def test_after_a_start_only_what_is_recent_or_alarming_is_told() -> None:
    room = Room()
    old = room.clock.now() - timedelta(hours=3)
    room.baskets.known = [
        basket(room, BasketState.PLACED, id="old", updated=old),
        basket(room, BasketState.PARTIAL_KEPT, id="recent"),
        basket(room, BasketState.UNRESOLVED, id="left", updated=old),
        basket(room, BasketState.UNRESOLVED, id="noted", updated=old, acknowledged=old),
    ]
    await started(room)
    await room.look()
    await room.news.stop()

    assert [told.key for told in room.told] == ["basket recent", "basket left"]


async def test_a_hint_wakes_it_at_once() -> None:
    room = Room()
    room.news.start()
    await asyncio.sleep(0.02)
    order = room.step(room.order(), FILLED, 150)
    room.orders.changes.emit(OrderMoved(None, order))
    for _ in range(50):
        await asyncio.sleep(0.01)
        if room.told:
            break
    await room.news.stop()

    assert len(room.told) == 1
