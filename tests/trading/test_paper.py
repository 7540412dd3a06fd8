from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ticks import CALL, NIFTY
from tests.trading.paper_rig import (
    FAR_CALL,
    FUTURE,
    INSTRUMENTS,
    PUT,
    SHARE,
    Rig,
    line,
    opened,
    working,
)
from trading.charges import charges
from trading.errors import BadRequest, Retryable
from trading.hours import IST
from trading.model import UNKNOWN, Part
from trading.order import OrderChange, OrderStatus, OrderType, Product, Side, Validity
from trading.paper import PaperRules

BUY, SELL = Side.BUY, Side.SELL


async def test_a_market_order_fills_at_the_opposite_best_price_of_the_held_book() -> None:
    rig = await opened()
    rig.tick(bid=142.5, ask=142.7)
    rig.clock.advance(4.9)

    bought = await rig.place(BUY)
    sold = await rig.place(SELL, tag="vigil-2")

    assert rig.words(bought) == ["open", "complete"]
    assert rig.state(bought).average_price == 142.7
    assert rig.state(sold).average_price == 142.5
    assert "ask 142.70" in rig.state(bought).message
    assert all(fill.is_mock for fill in await rig.broker.trades())


async def test_a_market_order_without_a_live_price_rests_and_fills_on_the_next_tick() -> None:
    rig = await opened(fallback=False)
    rig.tick()
    rig.clock.advance(5.1)
    order = await rig.place(BUY)
    await rig.broker.look()

    assert rig.state(order).status is OrderStatus.WORKING
    assert rig.state(order).message.startswith("no live price: nothing is filled")

    rig.tick(ask=143.0)
    await rig.settle()
    assert rig.state(order).average_price == 143.0


async def test_a_limit_that_is_gapped_through_fills_at_the_better_price() -> None:
    rig = await opened()
    rig.tick()
    buy = await rig.place(BUY, price=140.0)
    sell = await rig.place(SELL, key=PUT, price=150.0, tag="vigil-2")
    rig.tick(bid=139.9, ask=140.05, ltp=140.0)
    await rig.settle()
    assert rig.words(buy) == ["open"]

    rig.tick(bid=137.0, ask=137.2, ltp=137.1)
    rig.tick(PUT, bid=149.0, ask=149.2, ltp=149.1)
    rig.tick(PUT, bid=149.9, ask=152.2, ltp=149.9, day_high=155.0)
    rig.tick(PUT, bid=152.0, ask=152.2, ltp=152.1, day_high=155.0)
    await rig.settle()

    assert rig.state(buy).average_price == 137.2
    assert rig.state(sell).average_price == 152.0
    assert "limit 140.00" in rig.state(buy).message


async def test_only_the_shown_quantity_fills_and_the_rest_on_the_next_ticks() -> None:
    rig = await opened()
    rig.tick(ask=142.7, ask_qty=160)
    order = await rig.place(BUY, 300)

    assert (rig.state(order).raw_status, rig.state(order).filled) == ("open", 150)
    await rig.broker.look()
    await rig.broker.look()
    assert rig.state(order).filled == 150, "the same units are not sold twice"

    rig.tick(ask=143.0, ask_qty=75)
    await rig.settle()
    rig.tick(ask=143.2, ask_qty=750)
    await rig.settle()

    assert await rig.fills() == [(150, 142.7), (75, 143.0), (75, 143.2)]
    assert rig.state(order).raw_status == "complete"
    expected = (150 * 142.7 + 75 * 143.0 + 75 * 143.2) / 300
    assert rig.state(order).average_price == pytest.approx(expected)


async def test_two_orders_share_what_is_shown_best_limit_first() -> None:
    rig = await opened()
    rig.tick(bid=150.0, ask=150.2, ltp=150.1, day_high=160.0)
    low = await rig.place(BUY, 75, price=141.0)
    high = await rig.place(BUY, 75, price=142.0, tag="vigil-2")
    rig.tick(ask=140.0, bid=139.9, ltp=139.95, ask_qty=75)
    await rig.settle()

    assert rig.words(high)[-1] == "complete"
    assert rig.words(low)[-1] == "open"


async def test_a_stop_waits_for_a_trade_and_then_fills_like_the_order_it_became() -> None:
    rig = await opened()
    rig.tick()
    market = await rig.place(BUY, trigger=145.0)
    limit = await rig.place(SELL, price=138.0, trigger=139.0, tag="vigil-2")
    assert rig.words(market) == ["trigger pending"]

    rig.tick(ltp=144.95, bid=144.9, ask=145.1)
    await rig.settle()
    assert rig.words(market) == ["trigger pending"], "an ask triggers nothing"

    rig.tick(ltp=145.0, bid=144.9, ask=145.2)
    await rig.settle()
    assert rig.words(market) == ["trigger pending", "open", "complete"]
    assert rig.state(market).average_price == 145.2

    rig.tick(ltp=136.0, bid=135.9, ask=136.1)
    await rig.settle()
    assert rig.words(limit) == ["trigger pending", "open"], "the market is below its limit"

    rig.tick(ltp=138.5, bid=138.4, ask=138.6)
    await rig.settle()
    assert rig.state(limit).average_price == 138.4


async def test_an_order_is_not_triggered_by_a_trade_before_it() -> None:
    rig = await opened()
    rig.tick(ltp=146.0, bid=145.9, ask=146.1)
    traded = rig.wall_ms()
    rig.clock.advance(1.0)
    order = await rig.place(BUY, trigger=145.0)
    rig.tick(ltp=146.0, ltt=traded, bid=145.8, ask=146.0)  # the book moved, the trade is old
    await rig.settle()

    assert rig.words(order) == ["trigger pending"]


@pytest.mark.parametrize(("shown", "filled"), [(300, 150), (75, 75), (0, 0)])
async def test_immediate_or_cancel_takes_what_is_there_and_no_more(shown: int, filled: int) -> None:
    rig = await opened()
    rig.tick(ask=142.7, ask_qty=shown)
    order = await rig.place(BUY, 150, price=143.0, validity=Validity.IOC)
    rig.tick(ask=142.7, ask_qty=300)
    await rig.settle()

    state = rig.state(order)
    assert state.filled == filled
    assert state.raw_status == ("complete" if filled == 150 else "cancelled")
    assert [quantity for quantity, _ in await rig.fills()] == [filled] * bool(filled)


async def test_o08_what_was_filled_before_a_cancel_stays_filled() -> None:
    rig = await opened()
    rig.tick(ask_qty=75)
    order = await rig.place(BUY, 150)
    await rig.broker.cancel(order)
    rig.tick()
    await rig.settle()

    assert (rig.state(order).status, rig.state(order).filled) == (OrderStatus.CANCELLED, 75)
    assert [p.quantity for p in await rig.broker.positions()] == [75]
    with pytest.raises(BadRequest, match="cancelled already"):
        await rig.broker.cancel(order)


async def test_a_modified_order_fills_by_its_new_price_and_keeps_its_number() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    await rig.broker.modify(rig.state(order), OrderChange(price=142.75, quantity=150))
    await rig.settle()

    state = rig.state(order)
    assert (state.filled, state.average_price, state.quantity) == (150, 142.7, 150)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (OrderChange(quantity=75), "75 are filled already"),
        (OrderChange(quantity=100), "not a multiple of the lot"),
        (OrderChange(price=143.01, order_type=OrderType.LIMIT), "not a multiple of 0.05"),
        (OrderChange(quantity=1_500_000), "25 slices"),
        (OrderChange(quantity=45_000), "margin short"),
    ],
)
async def test_a_modification_that_cannot_be_leaves_the_order_as_it_is(
    change: OrderChange, words: str
) -> None:
    rig = await opened()
    rig.tick(ask_qty=75)
    order = await rig.place(BUY, 150)
    before = rig.state(order)
    with pytest.raises(BadRequest, match=words):
        await rig.broker.modify(before, change)

    assert rig.state(order) == before


async def test_a_batch_is_sent_buys_first_and_a_wing_that_filled_covers_the_short() -> None:
    rig = await opened(cash=60_000 * 100)
    rig.tick(CALL)
    rig.tick(FAR_CALL, bid=60.0, ask=60.2, ltp=60.1, day_low=50.0)
    short, wing = line(SELL), line(BUY, key=FAR_CALL, tag="vigil-2")
    alone = await rig.place(SELL)
    assert "margin short: it needs ₹215,325.00" in rig.state(alone).message

    placed = await rig.broker.place_many([short, wing])

    assert [p.tag for p in placed] == ["vigil-1", "vigil-2"]
    assert [rig.state(p.order_ids[0]).raw_status for p in placed] == ["complete", "complete"]
    assert rig.told[-4].side is BUY
    used = 200 * 75 * 100 + round(60.2 * 75 * 100)  # the spread's worst loss, the wing's premium
    assert (await rig.broker.funds()).used == used


async def test_nothing_of_a_batch_is_placed_if_one_line_is_malformed() -> None:
    rig = await opened()
    rig.tick()
    bad = line(BUY, 80, tag="vigil-2")
    with pytest.raises(BadRequest, match="80 is not a multiple"):
        await rig.broker.place_many([line(BUY), bad])
    with pytest.raises(BadRequest, match="26 orders"):
        await rig.broker.place_many([line(BUY, 1800 * 13), line(BUY, 1800 * 13)])

    assert await rig.broker.orders() == []


async def test_o13_a_quantity_above_the_freeze_becomes_several_orders_with_one_tag() -> None:
    rig = await opened(cash=10**11)
    rig.tick(ask_qty=100_000)
    numbers = await rig.broker.place(line(BUY, 1800 * 2 + 75))

    found = await rig.broker.orders_tagged("vigil-1")
    assert [o.order_id for o in found] == list(numbers)
    assert [o.filled for o in found] == [1800, 1800, 75]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quantity": 0}, "not above zero"),
        ({"price": 142.62}, "not a multiple of 0.05"),
        ({"key": NIFTY}, "is an index"),
        ({"key": "NSE_FO|1"}, "no instrument"),
    ],
)
async def test_a_malformed_request_never_becomes_an_order(fields: dict, words: str) -> None:
    rig = await opened()
    rig.tick()
    with pytest.raises(BadRequest, match=words):
        await rig.place(**fields)

    assert await rig.broker.orders() == []
    assert rig.told == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quantity": 75 * 96}, "margin short: it needs ₹1,027,440.00, that is ₹27,440.00 more"),
        ({"side": SELL, "quantity": 375}, "margin short: it needs ₹1,076,625.00"),
        ({"key": PUT}, "no price of NIFTY 02 DEC 26100 PE is known"),
        ({"key": SHARE, "side": SELL, "quantity": 1}, "0 are held"),
    ],
)
async def test_what_the_risk_desk_refuses_is_a_rejected_order(fields: dict, words: str) -> None:
    rig = await opened()
    rig.tick()
    rig.tick(SHARE, ltp=1558.2, bid=1558.1, ask=1558.3, day_high=1600.0)
    order = await rig.place(**fields)

    assert rig.words(order) == ["rejected"]
    assert words in rig.state(order).message
    assert (await rig.broker.funds()).used == 0


async def test_a_limit_outside_the_circuit_is_rejected_once_it_is_known() -> None:
    rig = await opened()
    rig.clock.advance(10)
    rig.quote(PUT)
    first = await rig.place(BUY, key=PUT, price=300.0)
    await rig.broker.look()
    await rig.marks.poll()
    order = await rig.place(BUY, key=PUT, price=300.0, tag="vigil-2")

    assert rig.words(first)[0] == "open"
    assert "circuit, 90.00 to 200.00" in rig.state(order).message


async def test_an_instrument_that_nobody_watches_is_quoted_before_it_is_judged() -> None:
    rig = await opened(rules=PaperRules(ticks=False))
    rig.quote(PUT, bid=131.0, ask=131.2, ltp=131.1)
    margin = await rig.broker.margin([line(BUY, key=PUT).request])
    assert margin.final == round(131.2 * 75 * 100)

    rig.clock.advance(10)
    rig.quote(PUT, bid=132.0, ask=132.2, ltp=132.1)
    order = await rig.place(BUY, key=PUT)
    assert rig.state(order).average_price == 132.2


async def test_an_order_outside_the_hours_is_rejected_with_the_next_opening() -> None:
    rig = await opened()
    rig.tick()
    rig.clock.advance(7 * 3600)
    for fields in ({}, {"price": 140.0}):
        order = await rig.place(BUY, **fields)
        assert "NSE_FO is closed, it opens 27 Nov 09:15" in rig.state(order).message


async def test_margin_is_blocked_and_released_to_the_paisa() -> None:
    rig = await opened()
    rig.tick(CALL)
    rig.tick(SHARE, ltp=1558.2, bid=1558.1, ask=1558.3, day_high=1600.0)
    rig.tick(FUTURE, ltp=26110.0, bid=26109.0, ask=26110.5, day_high=26200.0, day_low=26000.0)
    start = (await rig.broker.funds()).available

    async def used() -> int:
        return (await rig.broker.funds()).used

    steps = [
        (line(BUY, 75, price=140.0), 75 * 14_000),
        (line(BUY, 10, key=SHARE, price=1500.0, product=Product.INTRADAY), 10 * 150_000 // 5),
        (line(BUY, 10, key=SHARE, price=1500.0), 10 * 150_000),
        (line(BUY, 75, key=FUTURE, price=26000.0), 75 * 2_600_000 * 11 // 100),
        (line(SELL, 75, price=148.0), 75 * 2_610_000 * 11 // 100),
    ]
    expected, orders = 0, []
    for sent, blocks in steps:
        orders += await rig.broker.place(sent)
        expected += blocks
        assert await used() == expected

    for order in orders:
        await rig.broker.cancel(order)
    assert await used() == 0
    assert (await rig.broker.funds()).available == start


async def test_what_closes_a_position_blocks_nothing_and_a_second_exit_does() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY)
    held = (await rig.broker.funds()).used
    assert held == round(142.7 * 75 * 100)

    await rig.place(SELL, price=148.0)
    assert (await rig.broker.funds()).used == held
    await rig.place(SELL, price=148.5)
    assert (await rig.broker.funds()).used == held + 75 * 2_610_000 * 11 // 100


async def test_cash_changes_by_what_was_gained_less_charges() -> None:
    rig = await opened()
    rig.tick(bid=142.5, ask=142.7)
    before = await rig.broker.funds()
    await rig.place(BUY)
    rig.tick(bid=149.0, ask=149.2, ltp=149.1)
    await rig.place(SELL)
    after = await rig.broker.funds()

    day = rig.clock.now().astimezone(IST).date()
    call = INSTRUMENTS[CALL]
    costs = sum(
        charges(call, Product.DELIVERY, side, round(price * 75 * 100), day).total
        for side, price in ((BUY, 142.7), (SELL, 149.0))
    )
    assert after.used == 0
    assert after.available == before.available + round((149.0 - 142.7) * 75 * 100) - costs


async def test_charges_of_an_order_do_not_depend_on_how_it_was_filled() -> None:
    whole, parts = await opened(), await opened()
    whole.tick(ask_qty=300)
    await whole.place(BUY, 300)
    parts.tick(ask_qty=75)
    await parts.place(BUY, 300)
    for _ in range(3):
        parts.tick(ask_qty=75)
        await parts.settle()

    assert len(await parts.fills()) == 4
    assert whole.disk.cash == parts.disk.cash


async def test_an_estimate_of_charges_counts_brokerage_for_each_slice() -> None:
    rig = await opened()
    one = await rig.broker.charges(line(BUY, 1800).request, 142.7)
    two = await rig.broker.charges(line(BUY, 3600).request, 142.7)

    assert two == 2 * one


async def test_the_margin_of_a_spread_is_less_once_both_legs_stand() -> None:
    rig = await opened()
    rig.tick(CALL)
    rig.tick(FAR_CALL, bid=60.0, ask=60.2, ltp=60.1, day_low=50.0)
    margin = await rig.broker.margin([line(SELL).request, line(BUY, key=FAR_CALL).request])

    wing = round(60.2 * 75 * 100)
    assert margin.required == 75 * 2_610_000 * 11 // 100 + wing
    assert margin.final == 200 * 75 * 100 + wing
    with pytest.raises(Retryable, match="no price"):
        await rig.broker.margin([line(BUY, key=PUT).request])


async def test_a_day_order_is_cancelled_at_the_close_and_says_so() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=130.0)
    rig.clock.advance(6 * 3600 - 1)  # 15:29:59
    await rig.broker.look()
    assert rig.words(order)[-1] == "open"

    rig.clock.advance(1)
    rig.tick(after=0, ask=129.0, bid=128.9, ltp=129.0)
    await rig.settle()
    assert rig.words(order)[-1] == "open", "the session is over: nothing fills"
    await rig.broker.look()

    assert rig.state(order).status is OrderStatus.CANCELLED
    assert "at the close of 26 Nov" in rig.state(order).message
    assert (await rig.broker.funds()).used == 0


async def test_intraday_positions_are_squared_off_before_the_close() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY, 150, product=Product.INTRADAY)
    kept = await rig.place(BUY, product=Product.DELIVERY, tag="vigil-2")
    resting = await rig.place(SELL, 75, price=149.0, product=Product.INTRADAY, tag="vigil-3")
    rig.clock.advance(5 * 3600 + 45 * 60 - 10)  # 15:14:50
    await rig.broker.look()
    assert rig.words(resting)[-1] == "open"

    rig.clock.advance(10)
    rig.tick(bid=141.0, ask=141.2, ltp=141.1, bid_qty=75)
    await rig.broker.look()
    await rig.broker.look()

    assert "square-off" in rig.state(resting).message
    squared = await rig.broker.orders_tagged("square-off")
    assert [(o.side, o.quantity, o.filled) for o in squared] == [(SELL, 150, 75)]
    rig.tick(bid=140.9, ask=141.2, ltp=141.1)
    await rig.settle()
    await rig.broker.look()

    assert rig.state(squared[0].order_id).message.startswith("square-off: 75 filled at 140.90")
    rows = {p.product: p.quantity for p in await rig.broker.positions()}
    assert rows == {Product.INTRADAY: 0, Product.DELIVERY: 75}
    assert rig.state(kept).raw_status == "complete"
    late = await rig.place(BUY, product=Product.INTRADAY, tag="vigil-4")
    assert "squared off from 15:15 on" in rig.state(late).message


async def test_positions_roll_over_night_and_p_and_l_goes_on_from_their_cost() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY)
    resting = await rig.place(BUY, price=130.0, tag="vigil-2")
    used = (await rig.broker.funds()).used - 75 * 13_000
    rig.clock.advance(24 * 3600)
    rows = await rig.broker.positions()

    assert rig.state(resting).raw_status == "cancelled"
    assert [(r.quantity, r.overnight_quantity, r.day_buy_quantity) for r in rows] == [(75, 75, 0)]
    assert rows[0].overnight_buy_amount == pytest.approx(142.7 * 75)
    assert await rig.broker.trades() == []
    assert (await rig.broker.funds()).used == used

    rig.tick(bid=145.0, ask=145.2, ltp=145.1)
    cash = rig.disk.cash
    sold = await rig.place(SELL, tag="vigil-3")
    row = (await rig.broker.positions())[0]
    assert (row.quantity, row.day_sell_quantity, row.overnight_quantity) == (0, 75, 75)
    assert rig.disk.cash > cash
    assert sold.startswith("P20251127-")


async def test_an_intraday_position_that_missed_its_square_off_is_closed_at_the_next_open() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY, product=Product.INTRADAY)
    rig.clock.advance(20 * 3600)  # 05:30, nobody looked at 15:15
    await rig.broker.look()
    assert [p.overnight_quantity for p in await rig.broker.positions()] == [75]

    rig.clock.advance(4 * 3600)
    rig.tick(bid=140.0, ask=140.2, ltp=140.1)
    await rig.broker.look()
    assert [p.quantity for p in await rig.broker.positions()] == [0]


@pytest.mark.parametrize(
    ("key", "side", "level", "price"),
    [
        (CALL, BUY, 26134.5, 34.5),
        (CALL, SELL, 26134.5, 34.5),
        (PUT, BUY, 26134.5, 0.0),
        (PUT, SELL, 26050.0, 50.0),
        (FUTURE, BUY, 26134.5, 26134.5),
    ],
)
async def test_what_expires_is_settled_at_the_close(
    key: str, side: Side, level: float, price: float
) -> None:
    rig = await opened()
    rig.clock.advance(6 * 24 * 3600)  # 2 December
    rig.tick(key, ltp=142.6, bid=142.5, ask=142.7)
    await rig.place(side, key=key)
    rig.clock.advance(6 * 3600 - 10)
    rig.tick(NIFTY, ltp=level, day_high=27000.0)
    await rig.broker.look()
    assert len(await rig.fills()) == 1

    rig.clock.advance(60)
    await rig.broker.look()
    await rig.broker.look()

    settled = (await rig.broker.trades())[1]
    assert (settled.side, settled.price, settled.value) == (side.opposite, price, price * 7500)
    assert [p.quantity for p in await rig.broker.positions()] == [0]
    assert "settled at expiry" in rig.state(settled.order_id).message
    assert (await rig.broker.funds()).used == 0


async def test_an_expired_position_stays_open_while_its_underlying_is_unknown() -> None:
    rig = await opened()
    rig.clock.advance(6 * 24 * 3600)
    rig.tick()
    await rig.place(BUY)
    rig.tick(NIFTY, ltp=26134.5, day_high=27000.0)  # at 09:30, not at the close
    rig.clock.advance(6 * 3600)
    await rig.broker.look()

    assert [p.quantity for p in await rig.broker.positions()] == [75]
    assert "older than its close" in rig.broker.unsettled[CALL]


async def test_everything_survives_a_restart() -> None:
    rig = await opened()
    rig.tick(ask_qty=225)
    filled = await rig.place(BUY, 225)
    partly = await rig.place(BUY, 150, price=142.7, tag="vigil-2")
    rig.tick(ask=142.65, ask_qty=75)
    await rig.settle()
    stop = await rig.place(SELL, price=129.0, trigger=130.0, tag="vigil-3")
    before = [
        await rig.broker.orders(),
        await rig.broker.trades(),
        await rig.broker.positions(),
        await rig.broker.funds(),
    ]
    await rig.broker.stop()

    rig.broker = rig.new_broker()
    rig.broker.order_updates.subscribe(rig.told.append)
    await rig.broker.start()

    after = [
        await rig.broker.orders(),
        await rig.broker.trades(),
        await rig.broker.positions(),
        await rig.broker.funds(),
    ]
    assert after == before
    assert {filled, partly, stop} == {o.order_id for o in after[0]}
    rig.tick(ask=142.6, ask_qty=750)
    await rig.settle()
    assert rig.state(partly).raw_status == "complete"
    assert await rig.place(BUY, price=1.0) not in {o.order_id for o in after[0]}
    cash = rig.disk.cash
    fresh = rig.new_broker()
    await fresh.start()
    assert (await fresh.funds()).available + (await fresh.funds()).used == cash


async def test_an_immediate_order_found_after_a_crash_is_cancelled() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=130.0)
    rig.disk.orders[order] = replace(rig.disk.orders[order], validity=Validity.IOC)
    rig.broker = rig.new_broker()
    await rig.broker.start()

    assert working(await rig.broker.orders()) == []


async def test_a_disk_that_refuses_a_placement_means_that_nothing_was_placed() -> None:
    rig = await opened()
    rig.tick()
    rig.disk.refusing = Retryable("the disk is full")
    with pytest.raises(Retryable, match="nothing was changed: the disk is full"):
        await rig.place(BUY)

    assert rig.told == []
    assert (await rig.broker.funds()).used == 0
    assert await rig.broker.orders() == []


async def test_a_fill_that_the_disk_refuses_did_not_happen_and_is_tried_again() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.disk.refusing = Retryable("the disk is full")
    rig.tick(ask=139.9, bid=139.8, ltp=139.85)
    await rig.settle()

    assert "the disk is full" in rig.state(order).message
    assert rig.state(order).raw_status == "open"
    assert await rig.fills() == []
    assert await rig.broker.positions() == []

    rig.disk.refusing = None
    rig.tick(ask=139.5, bid=139.4, ltp=139.45, after=1.5)
    await rig.settle()
    assert await rig.fills() == [(75, 139.5)]


async def test_reads_before_the_start_fail_rather_than_say_empty() -> None:
    rig = Rig()
    with pytest.raises(Retryable, match="not open yet"):
        await rig.broker.positions()


async def test_a_day_is_begun_again_if_the_disk_refused_it() -> None:
    rig = await opened()
    rig.tick()
    await rig.place(BUY)
    rig.clock.advance(24 * 3600)
    rig.disk.refusing = Retryable("locked")
    with pytest.raises(Retryable):
        await rig.broker.positions()

    rig.disk.refusing = None
    assert [p.overnight_quantity for p in await rig.broker.positions()] == [75]


async def test_f25_a_live_book_fills_although_the_last_trade_is_old() -> None:
    rig = await opened()
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.clock.advance(20)
    rig.tick(parts=Part.BOOK, bid=139.8, ask=139.9)
    await rig.settle()

    assert rig.state(order).average_price == 139.9


@pytest.mark.parametrize(
    "fields",
    [
        {"ltp": 99.0, "bid": 98.9, "ask": 99.1},  # below the day's low of 121.4
        {"ltp": UNKNOWN, "bid": UNKNOWN, "ask": UNKNOWN},
        {"ltp": 1e308, "bid": 1e308, "ask": 1e-300},
        {"bid": 141.0, "ask": 139.0},  # crossed
        {"ltp": 0.0, "bid": 0.0, "ask": 0.0},
        {"ltp": -1.0, "bid": -1.0, "ask": -1.0},
    ],
)
async def test_f26_a_suspect_price_fills_and_triggers_nothing(fields: dict) -> None:
    rig = await opened()
    rig.tick()
    limit = await rig.place(BUY, price=140.0)
    stop = await rig.place(SELL, trigger=125.0, tag="vigil-2")
    rig.tick(**fields)
    await rig.settle()

    assert rig.words(limit) == ["open"] or "suspect price" in rig.state(limit).message
    assert rig.words(stop) == ["trigger pending"]
    assert await rig.fills() == []


async def test_h01_what_waited_in_the_socket_while_the_machine_slept_fills_nothing() -> None:
    rig = await opened(fallback=False)
    rig.tick()
    order = await rig.place(BUY, price=140.0)
    rig.market_data.slept(600)
    rig.tick(bid=139.5, ask=139.8, ltp=139.7)  # over the connection of before
    rig.tick(parts=Part.OI, oi=1.0, connection=2)  # news of now beside the book of then
    await rig.settle()

    assert rig.state(order).status is OrderStatus.WORKING
    assert await rig.fills() == []

    rig.tick(bid=139.5, ask=139.9, ltp=139.9, connection=2)
    await rig.settle()
    assert await rig.fills() == [(75, 139.9)]


async def test_a_locked_circuit_leaves_the_order_working() -> None:
    rig = await opened()
    rig.tick(ask=0.0, ask_qty=0)
    order = await rig.place(BUY)
    await rig.broker.look()

    assert rig.state(order).raw_status == "open"
    assert "no seller is shown" in rig.state(order).message


async def test_the_square_off_time_is_a_setting() -> None:
    rig = await opened(rules=PaperRules(square_off=timedelta(minutes=60)))
    rig.clock.advance(5 * 3600 + 1)
    rig.tick()
    order = await rig.place(BUY, product=Product.INTRADAY)

    assert "squared off from 14:30 on" in rig.state(order).message
