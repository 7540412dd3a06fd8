"""Which prices and quantities an order gets from what the market shows."""

from dataclasses import replace

import pytest

from simulator.build import Options, create_exchange
from simulator.instruments import NIFTY
from simulator.matching import band, protected, reached, walk, within
from simulator.model import Quote
from simulator.order_forms import OrderForm, read_order
from simulator.orders import Phase
from simulator.server import SimulatedExchange
from tests.simulator.floor import LOT, Floor, body, fills, statuses
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS, quote, wait_until

CALL_ROW = INSTRUMENTS[2]
INFY_ROW = INSTRUMENTS[1]
ASKS = [(142.7, 225), (142.75, 226), (142.8, 227)]


@pytest.fixture
def floor() -> Floor:
    return Floor()


# --- what the book gives


def test_a_walk_takes_each_level_up_to_what_is_wanted() -> None:
    assert walk(ASKS, {}, 300, None, buying=True) == [(142.7, 225), (142.75, 75)]
    assert walk(ASKS, {}, 100, None, buying=True) == [(142.7, 100)]
    assert walk(ASKS, {}, 9_999, None, buying=True) == ASKS


def test_a_walk_stops_at_the_limit_and_skips_what_nobody_offers() -> None:
    levels = [(0.0, 0), *ASKS]

    assert walk(levels, {}, 1_000, 142.75, buying=True) == ASKS[:2]
    assert walk([(142.5, 10), (142.0, 10)], {}, 50, 142.5, buying=False) == [(142.5, 10)]


def test_what_was_taken_is_not_there_a_second_time() -> None:
    gone: dict[float, int] = {}
    walk(ASKS, gone, 225, None, buying=True)

    assert walk(ASKS, gone, 10, None, buying=True) == [(142.75, 10)]


def test_a_limit_that_floats_cannot_write_is_still_reached() -> None:
    assert within(142.7 + 3 * 0.05, 142.85, buying=True)
    assert not within(142.9, 142.85, buying=True)


@pytest.mark.parametrize(
    ("ltp", "buying", "is_reached"),
    [(150.0, True, True), (149.95, True, False), (150.0, False, True), (150.05, False, False)],
)
def test_a_trigger_is_reached_from_its_side(ltp: float, buying: bool, is_reached: bool) -> None:
    assert reached(150.0, ltp, buying=buying) is is_reached


# --- the protection of market orders


@pytest.mark.parametrize(
    ("key", "price", "percent"),
    [(CALL, 4.95, 15.0), (CALL, 5.0, 10.0), (CALL, 10.0, 5.0),
     (INFY, 49.0, 3.0), (INFY, 50.0, 2.0), (INFY, 500.0, 1.0), (INFY, 10_000.0, 0.5)],
)  # fmt: skip
def test_the_automatic_band_depends_on_the_price(key: str, price: float, percent: float) -> None:
    instrument = next(i for i in INSTRUMENTS if i.instrument_key == key)

    assert band(instrument, price, -1) == percent
    assert band(instrument, price, 7.5) == 7.5


def test_a_protected_price_is_on_a_tick_and_inside_the_circuit_limits() -> None:
    here = quote(CALL_ROW)

    assert protected(CALL_ROW, here, 142.6, 3.0, "BUY") == 146.85
    assert protected(CALL_ROW, here, 142.6, 3.0, "SELL") == 138.35
    assert protected(CALL_ROW, here, 190.0, 20.0, "BUY") == 200.0
    assert protected(CALL_ROW, here, 110.0, 20.0, "SELL") == 100.0


# --- orders


def test_a_market_order_walks_the_levels(floor: Floor) -> None:
    order = floor.place(order_type="MARKET", quantity=450)

    assert fills(order) == [(142.7, 225), (142.75, 225)]
    assert order.average_price == 142.725
    assert order.status == "complete"


def test_a_sell_market_order_takes_the_bids(floor: Floor) -> None:
    order = floor.place(order_type="MARKET", transaction_type="SELL", quantity=LOT)

    assert fills(order) == [(142.5, 75)]


def test_a_market_order_larger_than_the_book_goes_on_with_the_next_one(floor: Floor) -> None:
    order = floor.place(order_type="MARKET", quantity=1200)
    first = order.filled_quantity
    floor.trade(142.6)  # the book stands
    still = order.filled_quantity
    floor.book(143.0, 143.2)

    assert first == still == 225 + 226 + 227 + 228 + 229
    assert fills(order)[-1] == (143.2, 65)
    assert order.status == "complete"


def test_protection_lets_a_remainder_rest_at_the_band(floor: Floor) -> None:
    order = floor.place(order_type="MARKET", quantity=450, market_protection=0.1)

    assert order.limit == 142.7  # 142.6 + 0.1 % is 142.74
    assert fills(order) == [(142.7, 225)]
    assert (order.status, order.unfilled) == ("open", 225)


def test_without_an_offer_a_market_order_waits(floor: Floor) -> None:
    floor.change(asks=[])
    order = floor.place(order_type="MARKET")
    waiting = order.status, order.filled_quantity
    floor.book(142.5, 142.9)

    assert waiting == ("open", 0)
    assert fills(order) == [(142.9, 75)]


def test_the_marketable_part_of_a_limit_fills_and_the_rest_works(floor: Floor) -> None:
    order = floor.place(price=142.7, quantity=300)

    assert fills(order) == [(142.7, 225)]
    assert (order.status, order.unfilled) == ("open", 75)
    assert floor.interest.wants(CALL)


def test_a_limit_rests_until_the_market_comes(floor: Floor) -> None:
    order = floor.place(price=142.6)
    floor.book(142.5, 142.65)
    before = order.filled_quantity
    floor.book(142.4, 142.6)

    assert before == 0
    assert fills(order) == [(142.6, 75)]
    assert not floor.interest.wants(CALL)


def test_a_gap_through_the_limit_fills_at_the_better_price(floor: Floor) -> None:
    order = floor.place(price=142.6)
    floor.book(130.0, 130.2)

    assert fills(order) == [(130.2, 75)]


def test_a_trade_beyond_the_limit_fills_it_at_its_own_price_by_what_was_traded(
    floor: Floor,
) -> None:
    order = floor.place(price=142.6, quantity=150)
    floor.trade(142.6)
    at_the_limit = order.filled_quantity
    floor.trade(142.55, quantity=75)
    floor.change(total_buy=1.0)  # the same print seen again
    once = order.filled_quantity
    floor.trade(142.55, quantity=500)

    assert at_the_limit == 0
    assert once == 75
    assert fills(order) == [(142.6, 75), (142.6, 75)]


def test_a_print_from_before_the_order_fills_nothing(floor: Floor) -> None:
    floor.trade(120.0)
    order = floor.place(price=142.6)
    floor.change(total_buy=1.0)

    assert order.filled_quantity == 0


def test_a_level_fills_no_more_than_it_shows_until_it_changes(floor: Floor) -> None:
    floor.change(asks=[(142.7, 100)])
    first = floor.place(price=142.7)
    second = floor.place(price=142.7)
    floor.trade(142.7)
    before = second.filled_quantity
    floor.change(asks=[(142.7, 100)])

    assert first.status == "complete"
    assert before == 25
    assert second.status == "complete"


def test_of_two_orders_the_better_priced_goes_first(floor: Floor) -> None:
    low = floor.place(price=142.0)
    high = floor.place(price=142.4)
    floor.change(bids=[(141.0, 75)], asks=[(141.9, 75)])

    assert (low.filled_quantity, high.filled_quantity) == (0, 75)


def test_immediate_or_cancel_keeps_what_it_got(floor: Floor) -> None:
    order = floor.place(price=142.7, quantity=300, validity="IOC")

    assert statuses(order)[-3:] == ["open", "open", "cancelled"]
    assert (order.filled_quantity, order.pending_quantity) == (225, 75)
    assert order.average_price == 142.7


def test_immediate_or_cancel_without_a_match_is_cancelled(floor: Floor) -> None:
    order = floor.place(price=142.0, validity="IOC")

    assert order.status == "cancelled"
    assert not floor.interest.wants(CALL)


# --- stops


def test_a_stop_limit_waits_for_its_trigger_and_then_for_its_price(floor: Floor) -> None:
    order = floor.place(order_type="SL", price=150.0, trigger_price=149.0)
    floor.book(150.1, 150.3)
    waiting = statuses(order)
    floor.trade(149.0)
    triggered = statuses(order)[-1], order.filled_quantity
    floor.book(149.7, 149.9)

    assert waiting[-1] == "trigger pending"
    assert triggered == ("open", 0)
    assert fills(order) == [(149.9, 75)]


def test_a_stop_market_takes_what_is_there(floor: Floor) -> None:
    order = floor.place(
        order_type="SL-M", price=0, trigger_price=140.0, transaction_type="SELL", quantity=LOT
    )
    floor.book(138.0, 138.5)
    floor.trade(139.0)

    assert statuses(order)[-4:] == ["trigger pending", "open", "open", "complete"]
    assert fills(order) == [(138.0, 75)]


def test_a_stop_market_with_protection_rests_at_its_band(floor: Floor) -> None:
    order = floor.place(
        order_type="SL-M", price=0, trigger_price=140.0, transaction_type="SELL",
        market_protection=1,
    )  # fmt: skip
    floor.book(130.0, 130.5)
    floor.trade(131.0)

    assert order.limit == 138.6
    assert (order.status, order.filled_quantity) == ("open", 0)


def test_a_trigger_already_passed_goes_off_at_once(floor: Floor) -> None:
    order = floor.place(order_type="SL", price=143.0, trigger_price=142.6)

    assert statuses(order)[3:5] == ["trigger pending", "open"]
    assert order.status == "complete"


# --- the market goes on for an order that nobody else watches


def test_a_lazy_market_moves_while_an_order_works() -> None:
    with create_exchange(Options(instruments=200, rate=3_000.0)) as exchange:
        key = _active_option(exchange)
        last = exchange.market.quotes[key].ltp
        far = max(0.05, round(last * 0.5 // 0.05 * 0.05, 2))
        lot = exchange.market.instruments[key].lot_size
        orders = exchange.do(
            lambda broker: broker.place_elsewhere(
                "U", _form(key, lot, far), fill="market", price=None
            )
        )
        assert wait_until(lambda: orders[0].phase is Phase.WORKING)
        volume = exchange.market.quotes[key].volume
        moved = wait_until(lambda: exchange.market.quotes[key].volume > volume)
        exchange.do(lambda broker: broker.cancel("U", orders[0].order_id))
        assert wait_until(lambda: orders[0].is_final)
        exchange.do(lambda broker: None)  # a change that had begun is through
        volume = exchange.market.quotes[key].volume
        stands = not wait_until(lambda: exchange.market.quotes[key].volume > volume, seconds=0.3)

    assert moved
    assert stands


def _active_option(exchange: SimulatedExchange) -> str:
    spot = exchange.market.quotes[NIFTY].ltp
    calls = [
        i for i in exchange.market.instruments.values()
        if i.instrument_type == "CE" and i.underlying_key == NIFTY
    ]  # fmt: skip
    return min(calls, key=lambda i: (i.expiry, abs(i.strike - spot))).instrument_key


def _form(key: str, quantity: int, price: float) -> OrderForm:
    return read_order(body(instrument_token=key, quantity=quantity, price=price))


def test_an_unknown_circuit_limit_limits_nothing() -> None:
    here: Quote = replace(quote(INFY_ROW), lower_circuit=0.0, upper_circuit=0.0)

    assert protected(INFY_ROW, here, 100.0, 10.0, "BUY") == 110.0
