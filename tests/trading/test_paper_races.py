"""Faults S01 to S05: whatever happens at once, each order is filled once and the money is right."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from tests.ticks import CALL
from tests.trading.paper_rig import FAR_CALL, INSTRUMENTS, PUT, Rig, line, opened
from trading.charges import charges
from trading.errors import BadRequest, Retryable
from trading.hours import IST
from trading.model import UNKNOWN, UNKNOWN_COUNT, Part
from trading.order import Fill, OrderChange, OrderStatus, Side
from trading.paper import PaperBroker, PaperRules

BUY, SELL = Side.BUY, Side.SELL
START = PaperRules().cash


async def money_is_right(rig: Rig, broker: PaperBroker) -> None:
    """Close what is open, then check that cash is what the fills alone make of it, to the paisa."""
    await each_order_is_filled_once(broker)
    rig.disk.yields = 0
    rig.clock.advance(10)
    for order in await broker.orders():
        if not order.status.final:
            await broker.cancel(order.order_id)
    for row in await broker.positions():
        rig.tick(row.instrument_key, bid_qty=10**6, ask_qty=10**6)
        if row.quantity:
            side = SELL if row.quantity > 0 else BUY
            await broker.place(line(side, abs(row.quantity), key=row.instrument_key, tag="close"))
    fills, funds = await broker.trades(), await broker.funds()
    assert not [row for row in await broker.positions() if row.quantity]
    flow = -sum(f.side.sign * (f.value or 0) for f in fills)
    assert (funds.used, funds.available) == (0, START + flow - costs(fills))
    assert rig.disk.cash == funds.available


def costs(fills: list[Fill]) -> int:
    """Return the charges of these fills, order by order."""
    total = 0
    for number in {f.order_id for f in fills}:
        own = [f for f in fills if f.order_id == number]
        value = sum(f.value or 0 for f in own)
        call, day = INSTRUMENTS[own[0].instrument_key], own[-1].at.astimezone(IST).date()
        total += charges(call, own[0].product, own[0].side, value, day).total
    return total


async def each_order_is_filled_once(broker: PaperBroker) -> None:
    fills, orders = await broker.trades(), await broker.orders()
    filled, net = Counter(), Counter()
    for fill in fills:
        filled[fill.order_id] += fill.quantity
        net[fill.instrument_key, fill.product] += fill.side.sign * fill.quantity
    assert {o.order_id: o.filled for o in orders if o.filled} == dict(filled)
    assert all(o.filled <= o.quantity for o in orders)
    assert all((o.filled == o.quantity) == (o.status is OrderStatus.FILLED) for o in orders)
    held = {(p.instrument_key, p.product): p.quantity for p in await broker.positions()}
    assert held == dict(net)


class Storm:
    """Ticks, polls, placements, cancels, changes and looks in a random order, on a slow disk."""

    def __init__(self, rig: Rig, rng: random.Random) -> None:
        self.rig, self.rng = rig, rng
        self.tasks: list[asyncio.Task[object]] = []

    async def step(self) -> None:
        rng, rig = self.rng, self.rig
        rig.disk.yields = rng.randrange(4)
        match rng.choices(range(8), (5, 3, 3, 2, 1, 2, 2, 4))[0]:
            case 0:
                self.tick()
            case 1:
                ltp = rng.randrange(2600, 2900) / 20
                rig.clock.advance(rng.choice((0.01, 5.1)))
                rig.quote(ltp=ltp, ask=ltp + 0.1, bid=ltp - 0.1, ask_qty=75 * rng.randrange(4))
                self.spawn(rig.marks.poll())
            case 2:
                self.spawn(rig.marks.poll())
            case 3:
                self.spawn(self.place())
            case 4:
                self.spawn(self.cancel_or_change())
            case 5:
                rig.clock.advance(rng.choice((0.01, 0.5, 3.0, 6.0)))
            case 6:
                self.spawn(rig.broker.look())
            case _:
                await asyncio.sleep(0)

    def tick(self) -> None:
        ltp = self.rng.randrange(2600, 2900) / 20
        shown = 75 * self.rng.randrange(5)
        parts = self.rng.choice((Part(511), Part(511) & ~Part.BOOK, Part.BOOK))
        book = {"ask_qty": shown, "bid_qty": shown} if parts & Part.BOOK else {}
        self.rig.tick(ltp=ltp, bid=ltp - 0.1, ask=ltp + 0.1, after=0.02, parts=parts, **book)

    async def place(self) -> None:
        price = self.rng.choice((0.0, self.rng.randrange(2600, 2900) / 20))
        side = self.rng.choice((BUY, SELL))
        trigger = price if price and self.rng.random() < 0.2 else 0.0
        await self.rig.place(side, 75 * self.rng.randrange(1, 5), price=price, trigger=trigger)

    async def cancel_or_change(self) -> None:
        found = [o for o in await self.rig.broker.orders() if not o.status.final]
        if found:
            order = self.rng.choice(found)
            with suppress(BadRequest):
                if self.rng.random() < 0.5:
                    await self.rig.broker.cancel(order.order_id)
                else:
                    change = OrderChange(quantity=75 * self.rng.randrange(1, 6))
                    await self.rig.broker.modify(order, change)

    def spawn(self, work) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def calm(self) -> None:
        await asyncio.gather(*self.tasks)
        await self.rig.broker.stop()


async def test_s01_ticks_and_polls_at_once_fill_each_order_once() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    fills = polled = 0
    for _ in range(40):
        rig = await opened()
        storm = Storm(rig, rng)
        for _ in range(100):
            await storm.step()
        await storm.calm()
        rows = {f.trade_id: f for f in await rig.broker.trades()}
        assert rows == rig.disk.fills, "what is told is what the disk has"
        await money_is_right(rig, rig.broker)
        fills += len(rows)
        polled += sum(" R" in o.message for o in rig.told if o.filled)

    assert fills > 100
    assert polled > 0, "polled quotes filled orders, too"


async def test_s01_of_a_tick_a_quote_and_a_look_one_fills_the_order_ten_thousand_times() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    winners: Counter[str] = Counter()
    for _ in range(10):
        rig = await opened(cash=10**15)
        rig.tick()
        for _ in range(1_000):
            winners[await _race(rig, rng)] += 1
        assert len(rig.disk.fills) == 1_000
        assert [p.quantity for p in await rig.broker.positions()] == [75_000]
    assert set(winners) == {"ask 139.20 W", "ask 139.10 R"}, "each of them wins sometimes"


async def _race(rig: Rig, rng: random.Random) -> str:
    """Let ticks, a quote and a look reach one order; return which of them filled it."""
    rig.disk.yields = rng.randrange(3)
    order = await rig.place(BUY, price=140.0)
    rig.clock.advance(5.1)
    rig.quote(ltp=139.0, bid=138.9, ask=139.1)
    racing = [
        lambda: rig.tick(ltp=139.0, bid=138.9, ask=139.2, after=0.0),
        lambda: rig.tick(ltp=139.05, bid=138.9, ask=139.2, after=0.0),
        rig.marks.poll,
        rig.broker.look,
    ]
    rng.shuffle(racing)
    tasks = []
    for runner in racing:
        if (work := runner()) is not None:
            tasks.append(asyncio.create_task(work))
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    rig.tick()
    await rig.settle()
    assert rig.words(order).count("complete") == 1
    assert rig.disk.fills[f"{order}-1"].quantity == 75
    why = rig.state(order).message.split(": ")[1]
    rig.told.clear()
    return why.partition(" <=")[0]


@pytest.mark.parametrize("first", ["tick", "cancel"])
async def test_s02_a_cancel_and_a_fill_have_one_winner(first: str) -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.disk.yields = 5
    cancel = asyncio.create_task(rig.broker.cancel(order))
    if first == "cancel":
        await asyncio.sleep(0)
    rig.tick(ltp=139.0, bid=138.9, ask=139.0)
    outcome = (await asyncio.gather(cancel, return_exceptions=True))[0]
    await rig.broker.stop()

    if first == "tick":
        assert isinstance(outcome, BadRequest)
        assert "complete already" in str(outcome)
        assert await rig.fills() == [(75, 139.0)]
    else:
        assert outcome is None
        assert await rig.fills() == []
    assert rig.words(order)[-1] == ("complete" if first == "tick" else "cancelled")
    await money_is_right(rig, rig.broker)


async def test_s02_a_cancel_during_a_partial_fill_keeps_the_fill_and_cancels_the_rest() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, 150, price=140.0)
    rig.disk.yields = 5
    rig.tick(ltp=139.0, bid=138.9, ask=139.0, ask_qty=75)
    await rig.broker.cancel(order)

    assert (rig.state(order).raw_status, rig.state(order).filled) == ("cancelled", 75)
    await money_is_right(rig, rig.broker)


async def test_s02_whoever_asked_may_go_away_and_the_decision_stands() -> None:
    rig = await opened()
    rig.tick()
    rig.disk.yields = 5
    task = asyncio.create_task(rig.place(BUY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await rig.settle()

    assert [o.raw_status for o in await rig.broker.orders_tagged("vigil-1")] == ["complete"]


@pytest.mark.parametrize("commit", range(1, 9))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_s03_a_crash_at_any_commit_loses_nothing_and_repeats_nothing(
    commit: int, when: str
) -> None:
    rig = await opened()
    setattr(rig.disk, f"dies_{when}", commit)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await _a_day(rig)
    on_disk = set(rig.disk.fills)
    told = {o.order_id: o.filled for o in rig.told}
    rig.disk.dies_before = rig.disk.dies_after = -1
    after = rig.new_broker()
    await after.start()

    known = {f.trade_id for f in await after.trades()}
    assert known == on_disk
    found = {o.order_id: o for o in await after.orders()}
    assert all(found[number].filled >= filled for number, filled in told.items())
    await each_order_is_filled_once(after)
    for step in range(6):  # the market goes on: what was decided is not decided again
        rig.tick(CALL, bid=142.5, ask=142.7, after=0.5)
        rig.tick(PUT, bid=129.0, ask=129.2, ltp=129.1, after=0.5)
        await rig.settle()
        if step == 3:
            await after.look()
    await after.stop()
    await money_is_right(rig, after)
    assert on_disk <= {f.trade_id for f in await after.trades()}
    assert not [o for o in await after.orders() if not o.status.final and o.price != 120.0]


async def _a_day(rig: Rig) -> None:
    """Eight commits: placements with and without a fill, fills by ticks, a trigger, a cancel."""
    rig.tick(CALL, ask_qty=75)
    rig.tick(PUT, bid=131.0, ask=131.2, ltp=131.1)
    await rig.place(BUY, 150)
    rig.tick(CALL, ask_qty=75)
    await rig.settle()
    limit = await rig.place(BUY, key=PUT, price=130.0, tag="vigil-2")
    resting = await rig.place(BUY, price=120.0, tag="vigil-3")
    await rig.broker.cancel(resting)
    rig.tick(PUT, bid=129.5, ask=129.7, ltp=129.6)
    await rig.settle()
    await rig.place(SELL, price=120.0, trigger=141.0, tag="vigil-4")
    rig.tick(CALL, ltp=140.9, bid=140.8, ask=141.0)
    await rig.settle()
    assert rig.words(limit)[-1] == "complete"


async def test_s03_the_day_of_the_crash_test_has_the_commits_that_it_breaks() -> None:
    rig = await opened()
    await _a_day(rig)
    assert rig.disk.commits == 9, "the account's own and eight more"


async def test_s03_an_account_that_is_opened_twice_by_mistake_fills_an_order_once() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    other = rig.new_broker()
    await other.start()
    rig.tick(ltp=139.0, bid=138.9, ask=139.0)
    await rig.settle()
    rig.tick(ltp=138.0, bid=137.9, ask=138.0, after=5.0)
    await rig.settle()

    assert [f.price for f in rig.disk.fills.values()] == [139.0]
    assert rig.disk.orders[order].filled == 75
    assert await other.trades() == []


async def test_s04_a_stale_instrument_is_polled_and_ticks_take_over_again() -> None:
    rig = await opened()
    rig.tick()
    first = await rig.place(BUY, price=140.0)
    second = await rig.place(BUY, price=139.0, tag="vigil-2")
    await rig.broker.look()
    rig.quote(ltp=139.9, bid=139.8, ask=139.95)
    await rig.marks.poll()
    assert rig.quotes.asked == [], "ticks serve it"

    for _ in range(6):
        rig.clock.advance(1.0)
        rig.quote(ltp=139.9, bid=139.8, ask=139.95)
        await rig.marks.poll()
        await rig.broker.look()
    await rig.settle()
    assert rig.quotes.asked, "nothing came for five seconds"
    assert rig.state(first).average_price == 139.95
    assert "ask 139.95 R" in rig.state(first).message
    assert rig.words(second)[-1] == "open"

    asked = len(rig.quotes.asked)
    for _ in range(4):
        rig.tick(ltp=139.5, bid=139.4, ask=139.6, after=1.0)
        await rig.marks.poll()
        await rig.broker.look()
    assert len(rig.quotes.asked) == asked, "ticks are back"
    rig.tick(ltp=138.9, bid=138.8, ask=138.95)
    await rig.settle()
    assert "ask 138.95 W" in rig.state(second).message
    await money_is_right(rig, rig.broker)


async def test_s04_a_quote_is_used_once_and_not_when_it_is_old() -> None:
    rig = await opened()
    order = await rig.place(BUY, 300, price=140.0)
    await rig.broker.look()
    rig.clock.advance(10)
    rig.quote(ltp=139.0, bid=138.9, ask=139.1, ask_qty=75)
    await rig.marks.poll()
    for _ in range(12):
        await rig.broker.look()
        await rig.settle()
        rig.clock.advance(0.5)
    assert rig.state(order).filled == 75

    rig.quote(ltp=139.0, bid=138.9, ask=139.2, ask_qty=75)
    await rig.marks.poll()
    await rig.settle()
    assert await rig.fills() == [(75, 139.1), (75, 139.2)]


async def test_s04_without_the_fallback_nothing_is_polled() -> None:
    rig = await opened(fallback=False)
    await rig.place(BUY, price=140.0)
    rig.clock.advance(10)
    rig.quote(ltp=139.0, ask=139.1, bid=138.9)
    await rig.broker.look()
    await rig.marks.poll()

    assert rig.quotes.asked == []
    assert await rig.fills() == []


async def test_s04_when_prices_are_polled_a_tick_fills_nothing() -> None:
    rig = await opened(rules=PaperRules(ticks=False))
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.tick(ltp=139.0, bid=138.9, ask=139.0)
    await rig.settle()
    assert await rig.fills() == []

    await rig.broker.look()
    rig.quote(ltp=139.5, bid=139.4, ask=139.6)
    await rig.marks.poll()
    await rig.settle()
    assert rig.state(order).average_price == 139.6


async def test_f29_a_polled_price_outside_the_days_range_fills_nothing() -> None:
    rig = await opened()
    order = await rig.place(BUY, price=140.0)
    await rig.broker.look()
    rig.clock.advance(10)
    rig.quote(ltp=104.76, bid=104.7, ask=104.8, day_low=126.2, day_high=134.5)
    await rig.marks.poll()
    await rig.broker.look()

    assert await rig.fills() == []
    assert rig.words(order)[-1] == "open"


async def test_s05_depth_that_is_known_says_what_the_last_price_may_not() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.tick(ltp=139.0, bid=139.0, ask=140.2)
    await rig.settle()
    assert rig.words(order) == ["open"], "nobody sells at the last price"

    rig.tick(ltp=140.0, bid=139.9, ask=140.0)
    await rig.settle()
    assert rig.state(order).average_price == 140.0
    assert "ltp-only" not in rig.state(order).message


async def test_s05_without_depth_a_trade_fills_and_the_fill_says_so() -> None:
    rig = await opened()
    bare = Part.PRICE | Part.CLOSE
    rig.tick(parts=bare)
    market = await rig.place(BUY)
    limit = await rig.place(BUY, price=140.0, tag="vigil-2")
    assert rig.words(market)[-1] == "open", "the held trade is older than the order"

    rig.tick(parts=bare, ltp=142.0)
    await rig.settle()
    assert rig.state(market).average_price == 142.0
    assert "ltp-only" in rig.state(market).message
    rig.tick(parts=bare, ltp=139.5)
    await rig.settle()
    assert rig.state(limit).average_price == 139.5


async def test_s05_a_snapshot_of_an_old_trade_fills_nothing() -> None:
    rig = await opened()
    rig.tick(parts=Part.PRICE | Part.CLOSE)
    rig.clock.advance(10)
    order = await rig.place(BUY)
    rig.tick(parts=Part.PRICE | Part.CLOSE, ltp=143.0, ltt=rig.wall_ms() - 600_000)
    await rig.settle()

    assert rig.words(order)[-1] == "open"
    assert await rig.fills() == []


async def test_s05_a_trade_after_the_book_makes_the_fill_worse_never_better() -> None:
    rig = await opened()
    rig.tick(bid=142.5, ask=142.7)
    for ltp, side, price in ((144.0, BUY, 144.0), (144.0, SELL, 142.5), (141.0, SELL, 141.0)):
        rig.tick(parts=Part.PRICE, ltp=ltp, after=1.0)
        order = await rig.place(side, tag=f"vigil-{ltp}-{side}")
        assert rig.state(order).average_price == price


async def test_s05_a_quote_without_depth_needs_a_trade_after_the_order() -> None:
    rig = await opened()
    order = await rig.place(BUY, price=145.0)
    empty = {
        "bid": UNKNOWN,
        "bid_qty": UNKNOWN_COUNT,
        "ask": UNKNOWN,
        "ask_qty": UNKNOWN_COUNT,
    }
    rig.clock.advance(10)
    rig.quote(ltt=rig.wall_ms() - 60_000, **empty)
    await rig.marks.poll()
    await rig.settle()
    assert await rig.fills() == []

    rig.clock.advance(5)
    rig.quote(ltp=141.0, ltt=rig.wall_ms() - 100, **empty)
    await rig.marks.poll()
    await rig.settle()
    assert rig.state(order).average_price == 141.0
    assert "R, ltp-only" in rig.state(order).message


async def test_no_fill_comes_from_a_price_older_than_five_seconds() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rig = await opened(fallback=False)
    shown: dict[float, float] = {}  # ask -> when it was told
    for _ in range(400):
        if rng.random() < 0.5:
            ask = round(rng.randrange(2000, 3000) / 20, 2)
            rig.tick(ltp=ask, ask=ask, bid=ask - 0.1, day_low=50.0, day_high=200.0)
            shown[ask] = rig.clock.monotonic()
        rig.clock.advance(rng.choice((0.1, 2.0, 6.0)))
        before = len(await rig.fills())
        await rig.place(BUY, validity=rng.choice(("DAY", "IOC")))
        for units, price in (await rig.fills())[before:]:
            assert units < 0 or rig.clock.monotonic() - shown[price] <= 5.0
        for order in await rig.broker.orders():
            if order.status is OrderStatus.WORKING:
                await rig.broker.cancel(order.order_id)
        if rng.random() < 0.5:
            with suppress(BadRequest, Retryable):
                await rig.place(SELL, price=1.0)


async def test_o05_everything_is_told_once() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY)
    await rig.broker.place_many([line(BUY, key=CALL), line(BUY, key=FAR_CALL, price=1.0)])
    await rig.broker.look()
    rig.tick(FAR_CALL, bid=60.0, ask=60.2, ltp=60.1, day_low=50.0)
    await rig.settle()

    assert Counter(rig.told).most_common(1)[0][1] == 1
    assert [p.quantity for p in rig.positions_told] == [75, 150]
