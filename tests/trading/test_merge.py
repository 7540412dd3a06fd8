"""How what is told about an order is joined with what is known, told late, twice and wrongly."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.trading.scripted import CALL, T0, request
from trading.merge import ACCEPTED, DAY_OVER, grown, newer, settled, summed, with_child
from trading.model import UNKNOWN
from trading.order import BrokerOrder, Fill, Order, OrderStatus, OrderType, Product, Side, Validity

OPEN, DONE, GONE = OrderStatus.WORKING, OrderStatus.FILLED, OrderStatus.CANCELLED


def told(raw: str = "open", **changes: object) -> BrokerOrder:
    status = {"complete": DONE, "cancelled": GONE, "rejected": OrderStatus.REJECTED}.get(raw, OPEN)
    order = BrokerOrder(
        "main", "1", "tag", CALL.instrument_key, Side.BUY, 150, Product.INTRADAY, OrderType.LIMIT,
        100.0, 0.0, Validity.DAY, status, raw, 0, UNKNOWN,
    )  # fmt: skip
    return replace(order, **changes)  # type: ignore[arg-type]


def intent(quantity: int = 150) -> Order:
    return Order("tag", request(quantity=quantity), OrderStatus.SENT, T0, T0, is_mock=True)


def fill(quantity: int, price: float, trade_id: str = "t1", **changes: object) -> Fill:
    base = Fill(
        "main", "1", trade_id, CALL.instrument_key, Product.INTRADAY, Side.BUY, quantity, price,
        T0, is_mock=True,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


# what holds of one of the broker's orders


def test_a_fill_that_is_told_after_the_cancel_still_counts() -> None:
    """The cancel came first with nothing filled, the partial fill before it was told last."""
    late = newer(told("cancelled"), told("open", filled=75, average_price=99.0))

    assert (late.status, late.filled, late.average_price) == (GONE, 75, 99.0)


def test_an_end_that_lags_behind_keeps_the_fills_and_their_price() -> None:
    ended = newer(told("open", filled=75, average_price=99.0), told("cancelled"))
    done = newer(told("open", filled=150, average_price=99.0), told("complete", filled=150))

    assert (ended.status, ended.filled, ended.average_price) == (GONE, 75, 99.0)
    assert (done.status, done.filled, done.average_price) == (DONE, 150, 99.0)


def test_complete_means_all_of_it_whatever_the_count_says() -> None:
    """It passed for cancelled with nothing filled."""
    order = with_child(intent(), newer(None, told("complete", filled=0)))

    assert (order.status, order.filled, math.isnan(order.average_price)) == (DONE, 150, True)


@pytest.mark.parametrize("raw", ["after market order req received", "open pending", "open"])
def test_an_end_that_we_inferred_yields_to_the_broker(raw: str) -> None:
    """An after-market order that last night's book did not list stayed cancelled all day."""
    inferred = told(DAY_OVER, status=GONE, filled=0)

    assert newer(inferred, told(raw)).status is OPEN
    assert newer(replace(inferred, filled=75, average_price=99.0), told(raw)).filled == 75


def test_a_final_state_that_was_told_stays() -> None:
    cancelled = told("cancelled", filled=75, average_price=99.0)

    assert newer(cancelled, told("open", filled=75)) is cancelled
    assert newer(cancelled, told("open")) is cancelled


# an intent and its orders


def test_the_first_slice_is_not_the_whole_order() -> None:
    """Told before the answer, it passed for a smaller quantity, and its fill for the end."""
    first = told("complete", quantity=75, filled=75, average_price=100.0)
    half = with_child(intent(150), first)
    rest = with_child(half, replace(first, order_id="2", status=OPEN, raw_status="open", filled=0))
    lost = with_child(half, told("rejected", order_id="2", quantity=75))

    assert (half.status, half.filled, half.request.quantity) == (OPEN, 75, 150)
    assert (rest.status, rest.pending) == (OPEN, 75)
    assert (lost.status, lost.filled, lost.request.quantity) == (GONE, 75, 150)


def test_a_slice_of_which_only_the_number_was_known_is_not_a_modification() -> None:
    number = told(ACCEPTED, quantity=150)
    order = with_child(with_child(intent(150), number), told("complete", quantity=75, filled=75))

    assert (order.request.quantity, order.status) == (150, OPEN)
    assert summed(order, all_known=True).status is GONE


@pytest.mark.parametrize("quantity", [75, 225])
def test_a_quantity_that_was_changed_elsewhere_is_taken_over(quantity: int) -> None:
    order = with_child(with_child(intent(150), told("open")), told("open", quantity=quantity))

    assert order.request.quantity == quantity


def test_more_under_one_tag_than_was_sent_is_said() -> None:
    order = with_child(with_child(intent(150), told("open")), told("open", order_id="2"))

    assert "150 were sent, but the broker has 300 in 2 orders" in order.message


# fills


def test_a_falling_average_makes_no_price_below_zero() -> None:
    """Averages are rounded: of 1,800 units at 0.15 and 75 more the price came out negative."""
    before = grown([], told("open", filled=1800, average_price=0.15), at=T0, is_mock=True)
    after = grown(before, told("open", filled=1875, average_price=0.14), at=T0, is_mock=True)

    assert [f.quantity for f in after] == [1800, 75]
    assert after[0].price == 0.15
    assert math.isnan(after[1].price)
    assert after[1].value is None


def test_a_price_that_is_told_later_is_not_believed_below_zero_either() -> None:
    fills = [fill(1800, 0.15), fill(75, UNKNOWN, "t2")]
    after = grown(fills, told("open", filled=1875, average_price=0.14), at=T0, is_mock=True)

    assert after[1].value is None


def test_trades_that_lag_behind_change_nothing_and_whole_ones_settle() -> None:
    derived = [fill(75, 100.0, "~1"), fill(75, 101.0, "~2")]
    rows = [fill(75, 100.1, "a"), fill(75, 100.9, "b", at=T0 + timedelta(seconds=1))]

    assert settled(derived, rows[:1]) == derived
    assert settled(derived, rows[::-1]) == rows


def test_a_trade_that_is_listed_twice_is_one() -> None:
    derived, row = [fill(150, 100.0, "~1")], fill(75, 100.0, "a")

    assert settled(derived, [row, row]) == derived
    assert settled(derived, [row, replace(row, trade_id="b"), row])[0] == row
    assert sum(f.quantity for f in settled(derived, [row, row, replace(row, trade_id="b")])) == 150


def test_trades_without_a_price_do_not_take_one_away() -> None:
    derived = [fill(75, 100.0, "~1")]

    assert settled(derived, [fill(75, UNKNOWN, "a")]) == derived
    assert len(settled(derived, [fill(75, UNKNOWN, "a"), fill(75, UNKNOWN, "b")])) == 2
