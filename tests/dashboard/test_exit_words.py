"""What an exit does with a position, the orders that stand, and prices or none."""

import math
from dataclasses import replace
from datetime import date

import pytest

from dashboard import exit_words as words
from tests.dashboard.fakes import CALL, OPEN_NOW, PUT, instruments
from tests.dashboard.test_position_words import position
from trading.charges import charges
from trading.exit_plan import in_order, plan, request
from trading.marks import Mark
from trading.order import (
    BrokerOrder,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Validity,
)

BY_KEY = {i.instrument_key: i for i in instruments()}
DAY = date(2025, 11, 26)


def order(
    side: Side = Side.SELL,
    *,
    kind: OrderType = OrderType.MARKET,
    status: OrderStatus = OrderStatus.WORKING,
    known: bool = True,
    key: str = CALL,
    filled: int = 0,
) -> Order:
    request = OrderRequest("main", key, side, 75, Product.INTRADAY, kind, "n", trigger=120.0)
    child = BrokerOrder(
        "main", "1", "t", key, side, 75, Product.INTRADAY, kind, 0.0, 120.0, Validity.DAY,
        OrderStatus.WORKING, "open", 0, math.nan,
    )  # fmt: skip
    return Order(
        f"vigil-{kind}", request, status, OPEN_NOW, OPEN_NOW, True, filled=filled,
        children=(child,) if known else (),
    )  # fmt: skip


def mark(price: float = 142.5, bid: float = 142.4, ask: float = 142.6) -> Mark:
    return Mark(price, 0.3, "W", bid, 75, ask, 75, 0)


def test_a_long_is_sold_and_a_short_is_bought_back_first() -> None:
    lines = [plan(position(150), []), plan(position(-75, PUT), [])]

    first, second = in_order(lines)

    assert (first.side, first.quantity, first.key[1]) == (Side.BUY, 75, PUT)
    assert (second.side, second.quantity) == (Side.SELL, 150)
    assert words.sentence(first, BY_KEY[PUT]) == (
        "Buy back 1 lot (75) NIFTY 27 NOV 24000 PE at the market, Intraday"
    )
    asked = request(second, "nonce", "exit")
    assert (asked.reduces, asked.order_type, asked.product) == (
        True,
        OrderType.MARKET,
        Product.INTRADAY,
    )


def test_what_is_being_closed_already_is_not_closed_again() -> None:
    line = plan(position(150), [order(filled=25), order(Side.BUY), order(key=PUT)])

    assert (line.quantity, line.on_its_way, line.resting) == (100, 50, ())
    assert words.obstacles(line, BY_KEY[CALL]) == [
        "An order that closes 50 is on its way already.",
        "An order to buy 1 lot (75) still works: filled later, it opens this again. "
        "Cancel it in Orders.",
    ]
    assert plan(position(75), [order()]).quantity == 0


def test_an_order_that_was_sent_and_has_no_number_yet_is_on_its_way() -> None:
    sent = order(kind=OrderType.LIMIT, status=OrderStatus.SENT, known=False)

    assert plan(position(75), [sent]).quantity == 0


def test_a_resting_order_is_cancelled_first() -> None:
    stop = order(kind=OrderType.SL_M)

    line = plan(position(75), [stop])

    assert (line.quantity, line.resting) == (75, (stop,))
    assert words.obstacles(line, BY_KEY[CALL])[0].startswith(
        "First cancels the resting order: Sell 1 lot (75) NIFTY 27 NOV 24000 CE at the market, once"
    )


def test_an_order_in_doubt_and_a_doubtful_quantity_are_said() -> None:
    line = plan(
        position(75, in_doubt="the broker says 0 (once), we count 75: asking again"),
        [order(status=OrderStatus.IN_DOUBT, known=False)],
    )

    first, second = words.obstacles(line, BY_KEY[CALL])

    assert line.quantity == 75
    assert "IN DOUBT since 11:00:00: sent again, it may close it twice" in first
    assert second.startswith("How much is held is in doubt: the broker says 0")


@pytest.mark.parametrize(("quantity", "price"), [(150, 142.4), (-150, 142.6)])
def test_the_estimate_takes_the_other_side_of_the_book(quantity: int, price: float) -> None:
    held = position(quantity, cost=21_352_50 if quantity > 0 else -21_352_50)
    line = plan(held, [])

    found = words.estimate(line, held, BY_KEY[CALL], mark(), DAY)

    assert found is not None
    worth = round(price * 150 * 100)
    cost = charges(BY_KEY[CALL], Product.INTRADAY, line.side, worth, DAY).total
    sign = 1 if quantity > 0 else -1
    assert (found.price, found.proceeds, found.charges) == (price, sign * worth, cost)
    assert found.realises == sign * (worth - 21_352_50)


def test_the_estimate_in_words() -> None:
    found = words.Estimate(142.4, 21_360_00, 45_10, 7_50)

    assert words.estimate_words(found, Side.SELL) == (
        "About ₹21,360.00 come in at 142.40, charges about ₹45.10; realises about ▲ +₹7.50"
    )
    unknown = replace(found, realises=None)
    assert words.estimate_words(unknown, Side.SELL).endswith("what it realises is not known")


def test_a_total_says_which_lines_are_not_in_it() -> None:
    sold = words.Estimate(142.4, 21_360_00, 45_10, 7_50)
    paid = words.Estimate(60.0, -9_000_00, 30_00, -20_00)

    assert words.total_words([sold, paid]) == (
        "Together about ₹12,360.00 come in, charges about ₹75.10; realises about ▼ -₹12.50."
    )
    assert words.total_words([sold, None]).endswith("1 of 2 lines have no price and are not in it.")
    assert "cannot be reckoned" in words.total_words([None])


def test_without_a_price_nothing_is_estimated() -> None:
    held = position(75)

    assert words.estimate(plan(held, []), held, BY_KEY[CALL], None, DAY) is None


def test_what_would_open_it_again_is_told() -> None:
    """A part-filled buy still works: selling what it bought leaves the rest to come."""
    buys = replace(order(Side.BUY, filled=25), filled=25)

    line = plan(position(25), [buys, order(Side.BUY, key=PUT)])

    assert (line.quantity, line.resting, line.on_its_way) == (25, (), 0)
    assert line.adding == (buys,)
    assert words.obstacles(line, BY_KEY[CALL]) == [
        "An order to buy 50 still works: filled later, it opens this again. Cancel it in Orders."
    ]


def test_one_sentence_says_what_became_of_all_exits() -> None:
    filled = order(status=OrderStatus.FILLED)
    lost = order(status=OrderStatus.IN_DOUBT)
    refused = order(status=OrderStatus.REJECTED)

    assert words.sent_words([filled, filled], 2, 0, "80 ms") == (
        "2 of 2 exits sent in 80 ms, 2 filled."
    )
    assert words.sent_words([filled, lost, refused, order()], 5, 0, "1,157 ms") == (
        "4 of 5 exits sent in 1,157 ms, 1 filled, 1 not filled yet, 1 IN DOUBT, 1 rejected. "
        "Look at each line, and at Positions for what is left."
    )
    assert words.sent_words([], 1, 0, "3 ms").startswith("0 of 1 exits sent in 3 ms. Look at each")
