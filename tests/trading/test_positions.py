import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ticks import CALL
from tests.trading.holdings import MORNING, OTHER, PUT, House, quote, row
from trading.model import UNKNOWN
from trading.order import OrderFills, Product
from trading.orders import ReadFailed
from trading.positions import PositionMoved


@pytest.fixture
def house() -> House:
    house = House()
    house.read()
    return house


# counting


def test_fills_make_a_position_and_prices_never_change_it(house: House) -> None:
    house.price(150.0)
    house.fill(75, 142.5, order="1")
    house.fill(75, 140.0, order="1")
    house.fill(-50, 150.0, order="2")
    told = len(house.moves)
    position = house.only()
    assert (position.quantity, position.average, position.realised) == (100, 141.25, 437_50)
    assert position.cost == 14_125_00

    for ltp in (100.0, 149.9, 0.05):
        house.clock.advance(1.0)
        house.price(ltp)
        value = house.book.value(house.only())
        assert value.realised == 437_50
        assert value.unrealised == round(ltp * 100) * 100 - 14_125_00
        assert value.total == 437_50 + value.unrealised
    assert house.only() is position
    assert len(house.moves) == told


def test_each_change_is_told_once_with_what_was_before(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.tell("1")
    house.fill(-75, 150.0, order="2")

    assert [(m.before and m.before.quantity, m.after.quantity) for m in house.moves] == [
        (None, 75),
        (75, 0),
    ]


def test_an_order_told_again_replaces_what_it_told_before(house: House) -> None:
    house.fill(75, UNKNOWN, order="1")
    unknown = house.only()
    assert math.isnan(unknown.average)
    assert (unknown.quantity, unknown.cost, unknown.realised) == (75, None, 0)
    house.price(150.0)
    value = house.book.value(unknown)
    assert (value.unrealised, value.total, value.complete) == (None, None, False)
    assert value.missing == (CALL,)
    assert value.reason == "the price of a fill, or of what was carried over, is not known"

    house.settle("1", 142.5)
    assert house.only().average == 142.5
    assert house.book.value(house.only()).total == 562_50


def test_a_fill_that_is_told_late_is_counted_where_it_belongs_in_time(house: House) -> None:
    house.fill(75, 100.0, order="1")
    house.clock.advance(10.0)
    late = house.fill(75, 110.0, order="2")
    house.clock.advance(10.0)
    house.fill(-75, 120.0, order="3")
    in_order = house.only()

    other = House()
    other.read()
    for order in ("3", "1", "2"):
        fills = tuple(house.orders[order])
        other.book.on_fills(OrderFills("main", order, fills))

    assert late.at > MORNING
    assert other.only() == in_order
    assert in_order.realised == (120_00 - 105_00) * 75


def test_positions_of_accounts_and_products_are_kept_apart() -> None:
    house = House(OTHER, House().accounts[0])
    house.fill(75, 100.0, order="1")
    house.fill(150, 100.0, order="2", product=Product.DELIVERY)
    house.fill(225, 100.0, order="3", account="other")

    assert [(p.account, p.quantity) for p in house.book.positions()] == [
        ("main", 75),
        ("main", 150),
        ("other", 225),
    ]
    assert [p.quantity for p in house.book.positions("other")] == [225]
    assert house.book.is_open("other")


def test_what_was_closed_today_stays_listed_after_what_is_open(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.fill(-75, 150.0, order="2")
    house.fill(75, 90.0, order="3", key=PUT)

    first, second = house.book.positions()

    assert (first.instrument_key, first.quantity) == (PUT, 75)
    assert (second.quantity, second.realised, second.opened_at) == (0, 562_50, None)
    assert second.last_fill == house.clock.now()
    assert house.book.value(second).total == 562_50
    assert not House().book.is_open("main")


def test_o08_a_partial_fill_that_is_cancelled_leaves_what_was_filled(house: House) -> None:
    house.fill(25, 100.0, order="1")
    house.tell("1")  # cancelled: the fills are told once more, and nothing changes

    assert house.only().quantity == 25
    assert len(house.moves) == 1


# carried over


def test_what_was_carried_over_comes_from_the_brokers_own_amounts(house: House) -> None:
    house.read(
        row(150, carried=150, carried_at=142.5, product=Product.DELIVERY),
        row(-75, key=PUT, carried=-75, carried_at=90.0, product=Product.DELIVERY),
    )
    house.price(150.0)
    house.price(100.0, PUT)

    long, short = house.book.positions()
    assert (long.quantity, long.average, long.carried, long.in_doubt) == (150, 142.5, True, "")
    assert (short.quantity, short.average, short.generation) == (-75, 90.0, 1)
    assert house.book.value(long).unrealised == 150 * 750
    assert house.book.value(short).unrealised == -75 * 1000
    assert house.book.total().total == 150 * 750 - 75 * 1000


def test_fills_of_today_go_on_from_what_was_carried_over() -> None:
    house = House()
    house.fill(-100, 150.0, order="1")
    assert house.only().in_doubt == "not compared with the broker's book yet"

    house.read(row(50, carried=150, carried_at=140.0, sold=(100, 15_000.0)))

    position = house.only()
    assert (position.quantity, position.realised, position.cost) == (50, 1_000_00, 7_000_00)
    assert (position.in_doubt, position.carried, position.generation) == ("", True, 1)


def test_part_of_what_was_bought_before_counts_at_its_average(house: House) -> None:
    told = row(75, carried=75, carried_at=0.0)
    bought = {"overnight_buy_quantity": 150, "overnight_buy_amount": 15_000.0}
    house.read(type(told)(**({f: getattr(told, f) for f in told.__slots__} | bought)))

    assert house.only().average == 100.0
    assert house.only().realised == 0


def test_a_carried_position_without_a_cost_is_not_valued(house: House) -> None:
    house.read(row(75, carried=75, carried_at=0.0))
    house.price(150.0)

    value = house.book.value(house.only())

    assert (value.unrealised, value.total, value.complete) == (None, None, False)


def test_a_row_without_amounts_does_not_make_a_known_cost_unknown(house: House) -> None:
    house.read(row(75, carried=75, carried_at=100.0))
    house.read(row(75, carried=75, carried_at=0.0))

    assert house.only().average == 100.0


def test_the_multiplier_of_the_broker_counts(house: House) -> None:
    key = "MCX_FO|1"
    house.fill(2, 6_000.0, order="1", key=key)
    house.price(6_100.0, key)
    assert house.only().cost is None
    assert house.book.value(house.only()).reason == "the broker has not told the size of a lot yet"

    house.read(row(2, key=key, bought=(2, 12_000.0), multiplier=100.0))

    assert (house.only().average, house.only().multiplier) == (6_000.0, 100.0)
    assert house.book.value(house.only()).unrealised == 2 * 100 * 100_00


def test_a_new_day_carries_over_what_is_open_and_forgets_what_is_not(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.fill(75, 90.0, order="2", key=PUT)
    house.fill(-75, 95.0, order="3", key=PUT)
    house.fill(-25, 150.0, order="4")
    told: list[PositionMoved] = []
    house.book.changes.subscribe(told.append)
    house.clock.advance(86_400.0)

    house.orders.clear()
    house.read(row(50, carried=50, carried_at=142.5))

    position = house.only()
    assert (position.quantity, position.realised, position.cost) == (50, 0, 7_125_00)
    assert (position.carried, position.generation, position.opened_at) == (True, 1, None)
    assert [m.after.quantity for m in told] == [50, 0]
    assert house.book.fills() == []


def test_what_was_traded_on_an_earlier_day_does_not_count_twice(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.clock.advance(86_400.0)
    house.tell("1")  # read from a journal, or from a broker whose own day has not turned yet
    assert house.only().quantity == 75

    house.read_later(row(75, carried=75, carried_at=142.5))
    house.read_later()
    house.read_later()

    assert house.only().quantity == 0, "no trade of today speaks against an empty list"


async def test_the_day_turns_at_midnight_in_india(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.clock.step_wall((datetime(2025, 11, 26, 18, 29, tzinfo=UTC) - MORNING).total_seconds())
    await house.book.look()
    assert not house.only().carried

    house.clock.advance(60.0)
    await house.book.look()
    assert house.only().carried


# value


def test_without_a_price_a_value_is_unknown_and_says_so(house: House) -> None:
    house.fill(75, 142.5, order="1")

    value = house.book.value(house.only())

    assert (value.realised, value.unrealised, value.total) == (0, None, None)
    assert not value.complete
    assert value.reason == "no price came over the feed, and nobody has it asked for"


def test_a_total_is_what_is_known_and_names_what_is_not(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.fill(-25, 152.5, order="2")
    house.fill(75, 90.0, order="3", key=PUT)
    house.price(145.0)

    total = house.book.total()
    assert (total.realised, total.unrealised, total.total) == (250_00, 125_00, 375_00)
    assert (total.complete, total.missing) == (False, (PUT,))
    assert total.reason.startswith("no price came")

    house.clock.advance(3.0)
    house.price(91.0, PUT)
    total = house.book.total()
    assert (total.complete, total.missing, total.total) == (True, (), 450_00)
    assert (total.as_of, total.sources, total.closed) == (3.0, "W", False)


def test_what_is_flat_does_not_make_an_unknown_value_zero(house: House) -> None:
    house.fill(75, 90.0, order="1", key=PUT)
    house.fill(-75, 92.0, order="2", key=PUT)
    house.fill(75, 142.5, order="3")

    total = house.book.total()

    assert (total.realised, total.unrealised, total.total) == (150_00, None, None)


def test_an_old_price_is_no_price_and_what_is_realised_stays(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.price(145.0)
    house.clock.advance(5.1)

    total = house.book.total()

    assert (total.realised, total.unrealised, total.total) == (0, None, None)
    assert total.missing == (CALL,)


async def test_a_total_tells_where_its_prices_came_from(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.fill(75, 90.0, order="2", key=PUT)
    house.marks.want("positions", [CALL, PUT])
    house.quotes.answers[PUT] = quote(PUT, 91.0, ltt=house.now_ms, low=80.0, high=95.0)
    house.price(145.0)
    await house.marks.poll()
    house.clock.advance(2.0)
    house.price(145.0)

    total = house.book.total()

    assert (total.sources, total.as_of, total.complete) == ("RW", 2.0, True)


def test_after_the_close_a_total_is_of_last_prices(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.price(145.0)
    house.is_open = False
    house.clock.advance(3_600.0)

    total = house.book.total()

    assert (total.total, total.complete, total.closed) == (187_50, True, True)
    assert total.as_of == 3_600.0


def test_nothing_is_worth_nothing_only_once_the_broker_has_said_so() -> None:
    house = House()
    unread = house.book.total()
    assert (unread.total, unread.complete) == (None, False)
    assert unread.reason == "the books of main have not been read yet"

    house.fill(75, 142.5, order="1")
    house.price(145.0)
    assert (house.book.total().total, house.book.total().complete) == (187_50, False)

    other = House()
    other.read()
    assert (other.book.total().total, other.book.total().complete) == (0, True)


def test_prices_that_moved_are_told_at_most_every_fifty_milliseconds(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.market_data.ticks.subscribe(house.book.on_ticks)
    told: list[frozenset[str]] = []
    undo = house.book.marked.subscribe(told.append)
    for step in range(100):
        house.clock.advance(0.01)
        house.price(140.0 + step / 20)
        house.price(90.0 + step / 20, PUT)

    assert 15 <= len(told) <= 20
    assert set(told) == {frozenset({CALL})}
    house.clock.advance(1.0)
    house.price(149.0)
    house.fill(-75, 142.5, order="2")
    told.clear()
    house.clock.advance(1.0)
    house.price(150.0)
    assert told == [], "it is flat"
    house.fill(75, 142.5, order="3")
    undo()
    house.clock.advance(1.0)
    house.price(151.0)
    assert told == []


async def test_the_last_price_that_moved_is_told_also_if_no_other_follows(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.market_data.ticks.subscribe(house.book.on_ticks)
    told: list[frozenset[str]] = []
    house.book.marked.subscribe(told.append)
    house.price(140.0)
    house.clock.advance(0.02)
    house.price(141.0)
    assert len(told) == 1

    house.clock.advance(1.0)
    await house.book.look()
    assert len(told) == 2
    await house.book.look()
    assert len(told) == 2


units = st.integers(-20, 20).filter(bool).map(lambda lots: lots * 75)
prices = st.integers(1, 10_000).map(lambda steps: steps / 20)


@given(
    st.lists(st.tuples(units, prices, st.integers(0, 4)), max_size=30),
    st.integers(-10, 10),
    prices,
    st.lists(prices, min_size=1, max_size=5),
)
def test_the_identity_holds_through_the_book_and_refreshing_never_changes_realised(
    fills: list[tuple[int, float, int]], carried: int, carried_at: float, ltps: list[float]
) -> None:
    house = House()
    house.read(row(carried * 75, carried=carried * 75, carried_at=carried_at))
    for number, price, order in fills:
        house.clock.advance(1.0)
        house.fill(number, price, order=f"{order} {'buy' if number > 0 else 'sell'}")
    for position in house.book.positions():
        cash = -round(carried * 75 * carried_at * 100)
        cash -= sum(round(number * price * 100) for number, price, _ in fills)
        for ltp in ltps:
            house.clock.advance(1.0)
            house.price(ltp)
            value = house.book.value(position)
            mark = round(ltp * 100) * position.quantity
            assert value.total == cash + mark
            assert value.realised == position.realised
        assert position.quantity == carried * 75 + sum(number for number, _, _ in fills)
        assert house.book.get(position.account, CALL, position.product) is position


# the broker's book


def test_books_that_agree_say_when_they_were_compared(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.read(row(75, bought=(75, 10_687.5)))
    house.clock.advance(4.0)

    books = house.book.books("main")

    assert (books.agree, books.differs, books.age, books.failed) == (True, False, 4.0, "")
    assert [(r.ours, r.broker, r.stream, r.agree) for r in books.rows] == [(75, 75, None, True)]

    house.fill(75, 142.5, order="2")
    books = house.book.books("main")
    assert (books.rows[0].ours, books.rows[0].broker, books.rows[0].agree) == (150, 75, None)
    assert (books.agree, books.differs) == (False, False)


def test_o10_a_failed_read_changes_nothing_but_says_that_it_failed(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.read(row(75, bought=(75, 10_687.5)))
    before, told = house.only(), len(house.moves)

    house.book.on_read_failed(ReadFailed("main", "status 500", house.clock.now()))

    books = house.book.books("main")
    assert house.only() is before
    assert len(house.moves) == told
    assert (books.failed, books.agree, books.rows[0].agree) == ("status 500", False, True)
    house.read(row(75, bought=(75, 10_687.5)))
    assert house.book.books("main").agree


def test_o11_an_empty_list_is_not_believed_while_today_trades_say_otherwise(
    house: House,
) -> None:
    for n, key in enumerate((CALL, PUT, "NSE_FO|3")):
        house.fill(75, 142.5, order=f"{n}", key=key)
    for _ in range(10):
        house.read_later()

    positions = house.book.positions()
    assert [p.quantity for p in positions] == [75, 75, 75]
    assert all("its own trades of today add up to +75" in p.in_doubt for p in positions)
    assert house.book.differs("main")
    assert house.book.is_open("main")
    house.price(150.0)
    assert house.book.total().missing == (CALL, PUT, "NSE_FO|3")
    assert house.book.total().reason == f"{positions[0].in_doubt} (and 2 more)"


def test_o11_an_empty_list_needs_two_reads_before_what_was_carried_is_flat(house: House) -> None:
    house.read(*(row(75, key=key, carried=75, carried_at=100.0) for key in (CALL, PUT, "NSE_FO|3")))
    house.price(110.0)

    house.read_later()
    assert [p.quantity for p in house.book.positions()] == [75, 75, 75]
    assert "the broker says 0 (once), we count 75" in house.book.positions()[0].in_doubt
    assert house.book.differs("main")

    house.read_later()
    flat = house.book.positions()[0]
    assert [p.quantity for p in house.book.positions()] == [0, 0, 0]
    assert (flat.in_doubt, flat.adjusted, flat.realised) == ("", -75, None)
    assert not house.book.differs("main")
    assert house.book.books("main").rows[0].reason.startswith("-75 taken over from the broker")
    assert house.book.total().total is None


def test_o11_one_empty_list_between_good_ones_leaves_no_trace(house: House) -> None:
    good = row(75, carried=75, carried_at=100.0)
    house.read(good)
    before = house.only()
    for _ in range(5):
        house.read_later()
        assert house.only().quantity == 75
        house.read_later(good)
        assert house.only() == before


def test_o11_two_reads_of_one_moment_are_one(house: House) -> None:
    house.read(row(75, carried=75, carried_at=100.0))
    house.read_later()
    house.read_later(seconds=0.1)

    assert house.only().quantity == 75


def test_two_reads_that_say_different_things_are_not_two(house: House) -> None:
    house.read(row(75, carried=75, carried_at=100.0))
    for quantity in (0, 50, 0, 50):
        house.read_later(row(quantity, carried=quantity, carried_at=100.0))

    assert house.only().quantity == 75


def test_a_book_that_lags_behind_a_fill_is_no_doubt(house: House) -> None:
    house.read(row(0))
    house.fill(75, 142.5, order="1")
    house.read_later(row(0), seconds=1.0)

    assert house.only().in_doubt == ""
    assert house.book.differs("main"), "but it is looked at again"
    house.read_later(row(75, bought=(75, 10_687.5)), seconds=2.0)
    assert not house.book.differs("main")


def test_what_no_trade_explains_is_adopted_with_the_prices_of_the_brokers_totals(
    house: House,
) -> None:
    """A quantity that came by a conversion: the row has it, no trade of ours does."""
    house.fill(75, 100.0, order="1")
    house.orders.clear()  # the broker's own list of trades does not know it
    told = row(225, bought=(225, 75 * 100.0 + 150 * 102.0))
    house.read_later(told)
    assert house.only().quantity == 75
    house.read_later(told)

    assert house.only().quantity == 75, "its trades do not add up: only the trader can say so"
    house.book.adopt("main", CALL, Product.INTRADAY)
    position = house.only()
    assert (position.quantity, position.adjusted, position.in_doubt) == (225, 150, "")
    assert position.cost == 75 * 100_00 + 150 * 102_00


def test_o14_a_fill_from_elsewhere_explains_what_was_adopted(house: House) -> None:
    house.read(row(75, bought=(75, 10_000.0)))
    house.book.adopt("main", CALL, Product.INTRADAY)
    assert (house.only().quantity, house.only().adjusted) == (75, 75)

    house.fill(75, 133.0, order="ext")

    position = house.only()
    assert (position.quantity, position.adjusted, position.average) == (75, 0, 133.0)


def test_a_fill_after_an_adoption_goes_on_from_it(house: House) -> None:
    house.read(row(75, bought=(75, 10_000.0)))
    house.book.adopt("main", CALL, Product.INTRADAY)
    house.clock.advance(10.0)
    house.fill(-75, 150.0, order="1")

    position = house.only()
    assert (position.quantity, position.adjusted, position.realised) == (0, 75, 1_250_00)


def test_what_only_the_broker_holds_is_shown_in_doubt_and_watched(house: House) -> None:
    house.read(row(75, bought=(75, 10_000.0)))

    position = house.only()

    assert (position.quantity, house.book.open_keys("main")) == (0, {CALL})
    assert "the broker says 75 (once), we count 0" in position.in_doubt
    house.read_later()
    assert house.book.positions() == [], "it was taken back"
    assert house.moves[-1].after.in_doubt == ""


# the stream's book


def test_the_streams_word_is_the_third_book(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.book.on_told(row(75))
    house.read(row(75, bought=(75, 10_687.5)))

    assert [(r.ours, r.broker, r.stream) for r in house.book.books("main").rows] == [(75, 75, 75)]
    assert house.book.books("main").agree


def test_o14_a_word_of_the_stream_that_no_fill_explains_asks_for_a_read(house: House) -> None:
    house.book.on_told(row(75))
    assert not house.book.differs("main"), "the order's own message may come a little later"
    house.clock.advance(3.0)
    assert house.book.differs("main")
    assert house.book.books("main").rows[0].reason == "the stream says 75"

    house.fill(75, 142.5, order="ext")
    house.read(row(75, bought=(75, 10_687.5)))
    assert house.book.books("main").agree


def test_an_older_word_of_the_stream_gives_way_to_a_read(house: House) -> None:
    house.fill(75, 142.5, order="1")
    house.book.on_told(row(50))
    house.clock.advance(4.0)
    assert house.book.differs("main")

    house.read(row(75, bought=(75, 10_687.5)))

    assert house.book.books("main").agree
    assert house.book.books("main").rows[0].stream == 50
