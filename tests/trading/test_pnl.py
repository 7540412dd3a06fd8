import math
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.holdings import MORNING
from trading.model import UNKNOWN
from trading.order import Fill, Product, Side
from trading.pnl import (
    Running,
    after,
    amount,
    average,
    default_multiplier,
    replayed,
    started,
)

CALL = "NSE_FO|45450"


def fill(units: int, price: float, second: int = 0) -> Fill:
    side = Side.BUY if units > 0 else Side.SELL
    at = MORNING + timedelta(seconds=second)
    return Fill("main", "1", "t", CALL, Product.INTRADAY, side, abs(units), price, at, True)


def run(
    *fills: tuple[int, float], start: Running | None = None, multiplier: float = 1.0
) -> Running:
    made = [fill(units, price, n) for n, (units, price) in enumerate(fills)]
    return replayed(start or Running(), made, multiplier)


def test_a_worked_example() -> None:
    """Buy 75 at 142.50 and 75 at 140.00, sell 100 at 150.00, be short 25 after selling 75 more."""
    long = run((75, 142.5), (75, 140.0))
    assert (long.quantity, long.cost, long.realised) == (150, 21_187_50, 0)
    assert average(long, 1.0) == 141.25

    part = run((75, 142.5), (75, 140.0), (-100, 150.0))
    assert (part.quantity, part.cost, part.realised) == (50, 7_062_50, 875_00)

    short = run((75, 142.5), (75, 140.0), (-100, 150.0), (-75, 160.0))
    assert (short.quantity, short.cost) == (-25, -4_000_00)
    assert short.realised == 875_00 + 50 * 160_00 - 7_062_50
    assert average(short, 1.0) == 160.0


def test_a_share_of_the_cost_is_rounded_once_and_the_rest_stays() -> None:
    three = run((3, 0.05), (1, 0.10))  # 25 paise for 4
    assert three.cost == 25

    sold = [three]
    for _ in range(4):
        sold.append(after(sold[-1], -1, 7, MORNING))

    assert [s.cost for s in sold] == [25, 19, 13, 6, 0]
    assert sold[-1].realised == 4 * 7 - 25


def test_what_was_carried_over_starts_the_position_and_is_its_first_generation() -> None:
    start = started(-75, -9_750_00)
    assert average(start, 1.0) == 130.0
    assert (start.generation, start.opened_at) == (1, None)

    bought_back = run((75, 120.0), start=start)
    assert (bought_back.quantity, bought_back.cost, bought_back.realised) == (0, 0, 750_00)


def test_c6_each_opening_is_a_new_generation_from_flat_or_through_zero() -> None:
    fills = [(75, 1.0), (75, 1.0), (-50, 1.0), (-100, 1.0), (75, 1.0), (-150, 1.0), (10, 1.0)]

    seen = [run(*fills[: n + 1]) for n in range(len(fills))]

    assert [s.quantity for s in seen] == [75, 150, 100, 0, 75, -75, -65]
    assert [s.generation for s in seen] == [1, 1, 1, 1, 2, 3, 3]
    assert seen[3].opened_at is None
    assert seen[4].opened_at == MORNING + timedelta(seconds=4)
    assert seen[6].opened_at == MORNING + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("fills", "quantity", "cost_known", "realised_known"),
    [
        ([(75, UNKNOWN)], 75, False, True),
        ([(75, 10.0), (75, UNKNOWN)], 150, False, True),
        ([(75, 10.0), (-25, UNKNOWN)], 50, True, False),
        ([(75, UNKNOWN), (-25, 11.0)], 50, False, False),
        ([(75, UNKNOWN), (-75, 11.0)], 0, True, False),
        ([(75, 10.0), (-100, UNKNOWN)], -25, False, False),
        ([(75, 10.0), (-75, 11.0), (75, UNKNOWN)], 75, False, True),
    ],
)
def test_an_unknown_price_makes_unknown_what_depends_on_it_and_nothing_else(
    fills: list[tuple[int, float]], quantity: int, cost_known: bool, realised_known: bool
) -> None:
    running = run(*fills)

    assert running.quantity == quantity
    assert (running.cost is not None) is cost_known
    assert (running.realised is not None) is realised_known
    assert math.isnan(average(running, 1.0)) is (not cost_known or quantity == 0)


def test_a_lot_of_unknown_size_has_no_amount() -> None:
    assert amount(100.0, 1, default_multiplier("MCX_FO|1")) is None
    assert amount(100.0, 1, default_multiplier(CALL)) == 100_00


prices = st.integers(1, 4_000_000).map(lambda steps: steps / 20)
units = st.integers(-5_000, 5_000).filter(bool)
multipliers = st.sampled_from([1.0, 10.0, 100.0, 0.5])
carried = st.tuples(st.integers(-3_000, 3_000), st.integers(1, 10**9)).map(
    lambda c: started(c[0], c[1] if c[0] > 0 else -c[1])
)


@given(st.lists(st.tuples(units, prices), max_size=40), carried, prices, multipliers)
def test_realised_and_unrealised_are_cash_and_mark_to_the_paisa(
    fills: list[tuple[int, float]], start: Running, ltp: float, multiplier: float
) -> None:
    running = run(*fills, start=start, multiplier=multiplier)

    cash = -(start.cost or 0)
    for number, price in fills:
        cash -= (amount(price, abs(number), multiplier) or 0) * (1 if number > 0 else -1)
    assert running.quantity == start.quantity + sum(number for number, _ in fills)
    mark = amount(ltp, running.quantity, multiplier)
    assert running.cost is not None
    assert running.realised is not None
    assert mark is not None
    assert running.realised + (mark - running.cost) == cash + mark
    if running.quantity == 0:
        assert running.cost == 0
        assert running.realised == cash


@given(st.lists(st.tuples(units, prices), min_size=1, max_size=40), carried)
def test_the_running_average_is_the_exact_one_within_a_paisa_for_each_closing(
    fills: list[tuple[int, float]], start: Running
) -> None:
    running = run(*fills, start=start)

    quantity, cost, closings = start.quantity, Fraction(start.cost or 0), 0
    for number, price in fills:
        value = amount(price, abs(number), 1.0)
        assert value is not None
        each = Fraction(value, abs(number)) * (1 if number > 0 else -1)
        if quantity and (quantity > 0) is not (number > 0):
            closings += 1
            closed = min(abs(quantity), abs(number))
            cost -= cost * closed / abs(quantity)
            quantity += closed if number > 0 else -closed
            rest = abs(number) - closed
            cost += each * rest
            quantity += rest if number > 0 else -rest
        else:
            cost += each * abs(number)
            quantity += number
    assert running.cost is not None
    assert running.quantity == quantity
    assert abs(running.cost - cost) <= closings


@given(st.lists(st.tuples(units, prices), min_size=1, max_size=20))
def test_realised_changes_only_when_a_fill_reduces(fills: list[tuple[int, float]]) -> None:
    running = Running()
    for number, (size, price) in enumerate(fills):
        before = running
        running = after(running, size, amount(price, abs(size), 1.0), MORNING)
        grows = before.quantity == 0 or (before.quantity > 0) is (size > 0)
        if grows:
            assert running.realised == before.realised, number
