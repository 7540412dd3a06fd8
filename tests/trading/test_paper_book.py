import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ticks import CALL
from tests.trading.paper_rig import INSTRUMENTS, PUT
from trading.charges import charges
from trading.hours import IST
from trading.order import Fill, Product, Side
from trading.paper_book import PaperBook, opened_with, told

AT = datetime(2025, 11, 26, 4, tzinfo=UTC)
TRADES = st.lists(
    st.tuples(
        st.sampled_from((CALL, PUT)),
        st.sampled_from((Product.INTRADAY, Product.DELIVERY)),
        st.sampled_from(tuple(Side)),
        st.integers(1, 999),
        st.integers(0, 10**6),  # paise a unit
        st.booleans(),  # another day begins first
    ),
    max_size=40,
)


def fill(n: int, key: str, product: Product, side: Side, quantity: int, price: float) -> Fill:
    return Fill("main", f"P{n}", f"P{n}-1", key, product, side, quantity, price, AT, True)


def instrument(key: str):
    return INSTRUMENTS[key]


@given(TRADES)
def test_cash_is_what_came_and_went_and_what_is_open_at_its_cost(trades: list) -> None:
    book = PaperBook(10**9)
    flow = costs = 0
    net: dict[tuple, int] = {}
    for n, (key, product, side, quantity, paise, dawn) in enumerate(trades):
        if dawn:
            opening = [told("main", place, row) for place, row in book.next_day().items()]
            assert opened_with(opening) == book.next_day()
            book.begin_day()
        made = fill(n, key, product, side, quantity, paise / 100)
        book.take(book.post([made], instrument))
        flow -= side.sign * (made.value or 0)
        day = AT.astimezone(IST).date()
        costs += charges(INSTRUMENTS[key], product, side, made.value or 0, day).total
        net[key, product] = net.get((key, product), 0) + side.sign * quantity
        assert book.cash == 10**9 + flow + sum(r.cost for r in book.rows.values()) - costs
        assert {p: r.quantity for p, r in book.rows.items() if r.quantity} == {
            p: q for p, q in net.items() if q
        }
        assert all(r.quantity or not r.cost for r in book.rows.values())


@given(TRADES)
def test_one_posting_of_many_fills_is_many_postings(trades: list) -> None:
    fills = [fill(n, *trade[:4], trade[4] / 100) for n, trade in enumerate(trades)]
    together, singly = PaperBook(0), PaperBook(0)
    together.take(together.post(fills, instrument))
    for made in fills:
        singly.take(singly.post([made], instrument))

    assert together == singly


def test_a_posting_that_is_not_taken_changes_nothing() -> None:
    book = PaperBook(5)
    book.post([fill(1, CALL, Product.DELIVERY, Side.BUY, 75, 142.7)], instrument)

    assert book == PaperBook(5)


@pytest.mark.parametrize(
    ("trades", "realised", "quantity", "cost"),
    [
        ([(1, 75, 100.0), (1, 75, 110.0)], 0, 150, 1_575_000),
        ([(1, 150, 105.0), (-1, 75, 107.0)], 15_000, 75, 787_500),
        ([(-1, 75, 107.0), (1, 75, 105.0)], 15_000, 0, 0),
        ([(1, 75, 100.0), (-1, 150, 104.0)], 30_000, -75, -780_000),  # flips
        ([(1, 3, 0.05), (-1, 1, 0.05)], 0, 2, 10),
        ([(1, 3, 0.1), (1, 1, 0.11), (-1, 3, 0.1)], -1, 1, 10),  # 41 paise: 31 and 10
    ],
)
def test_what_is_gained_by_closing_is_against_the_average(
    trades: list, realised: int, quantity: int, cost: int
) -> None:
    book, costs = PaperBook(0), 0
    for n, (sign, units, price) in enumerate(trades):
        side = Side.BUY if sign > 0 else Side.SELL
        made = fill(n, CALL, Product.DELIVERY, side, units, price)
        book.take(book.post([made], instrument))
        day = AT.astimezone(IST).date()
        value = made.value or 0
        costs += charges(INSTRUMENTS[CALL], Product.DELIVERY, side, value, day).total
    row = book.rows[CALL, Product.DELIVERY]

    assert book.cash + costs == realised
    assert (row.quantity, row.cost) == (quantity, cost)


def test_the_brokers_fields_give_the_p_and_l_of_what_was_carried() -> None:
    book = PaperBook(0)
    rng = random.Random(3)
    flow = 0
    for n in range(50):
        side = rng.choice((Side.BUY, Side.SELL))
        made = fill(n, CALL, Product.DELIVERY, side, 75, rng.randrange(2000, 3000) / 20)
        book.take(book.post([made], instrument))
        flow -= side.sign * (made.value or 0)
        if n == 20:
            carried = flow + book.rows[CALL, Product.DELIVERY].cost
            book.begin_day()
    row = told("main", (CALL, Product.DELIVERY), book.rows[CALL, Product.DELIVERY])
    today = flow - carried
    value = row.day_sell_value + row.overnight_sell_amount
    value -= row.day_buy_value + row.overnight_buy_amount

    assert round(value * 100) == today
