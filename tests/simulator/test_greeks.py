"""Option values against textbooks, parity and finite differences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.greeks import Valuation, black76, implied_volatility, value

NIFTY = (26_000.0, 26_200.0, 9 / 365, 0.13)  # spot, strike, years, volatility


def nifty(
    spot: float = NIFTY[0],
    strike: float = NIFTY[1],
    years: float = NIFTY[2],
    sigma: float = NIFTY[3],
    *,
    rate: float = 0.065,
    carry: float = 0.055,
    call: bool,
) -> Valuation:
    return value(spot, strike, years, sigma, rate=rate, carry=carry, call=call)


def test_it_agrees_with_hull_on_a_share_option() -> None:
    """Hull, Options, Futures and Other Derivatives: S 42, K 40, r 10 %, sigma 20 %, half a year."""
    call = value(42, 40, 0.5, 0.2, rate=0.1, carry=0.1, call=True)
    put = value(42, 40, 0.5, 0.2, rate=0.1, carry=0.1, call=False)

    assert (call.price, put.price) == pytest.approx((4.7594, 0.8086), abs=5e-5)


def test_it_agrees_with_hull_on_the_greeks_of_a_share_option() -> None:
    """Hull, chapter on Greek letters: S 49, K 50, r 5 %, sigma 20 %, 20 weeks."""
    call = value(49, 50, 0.3846, 0.2, rate=0.05, carry=0.05, call=True)

    assert call.delta == pytest.approx(0.522, abs=5e-4)
    assert call.gamma == pytest.approx(0.066, abs=5e-4)
    assert call.theta * 365 == pytest.approx(-4.31, abs=5e-3)
    assert call.vega * 100 == pytest.approx(12.1, abs=5e-2)
    assert call.rho * 100 == pytest.approx(8.91, abs=5e-3)


def test_it_agrees_with_hull_on_an_option_on_a_future() -> None:
    """Hull, chapter on futures options: F 20, K 20, r 9 %, sigma 25 %, four months."""
    put = black76(20, 20, 4 / 12, 0.25, rate=0.09, call=False)

    assert put.price == pytest.approx(1.1166, abs=5e-5)


@pytest.mark.parametrize("call", [True, False])
def test_the_greeks_are_the_slopes_of_the_price(call: bool) -> None:
    at = nifty(call=call)
    spot, years, sigma = NIFTY[0], NIFTY[2], NIFTY[3]
    up, down = nifty(spot + 1, call=call), nifty(spot - 1, call=call)
    hour = 1 / 365 / 24
    sooner, later = nifty(years=years - hour, call=call), nifty(years=years + hour, call=call)
    wild, calm = nifty(sigma=sigma + 1e-4, call=call), nifty(sigma=sigma - 1e-4, call=call)
    dear = nifty(rate=0.065 + 1e-5, carry=0.055 + 1e-5, call=call)
    cheap = nifty(rate=0.065 - 1e-5, carry=0.055 - 1e-5, call=call)

    assert at.delta == pytest.approx((up.price - down.price) / 2, rel=1e-5)
    assert at.gamma == pytest.approx(up.price - 2 * at.price + down.price, rel=1e-4)
    assert at.theta == pytest.approx((sooner.price - later.price) * 12, rel=1e-4)
    assert at.vega == pytest.approx((wild.price - calm.price) / 0.02, rel=1e-5)
    assert at.rho == pytest.approx((dear.price - cheap.price) / 2e-5 / 100, rel=1e-5)


def test_the_rho_of_an_option_on_a_forward_is_only_the_discount() -> None:
    at, dear = (black76(100, 95, 0.5, 0.3, rate=r, call=True) for r in (0.06, 0.06001))

    assert at.rho == pytest.approx((dear.price - at.price) / 0.00001 / 100, rel=1e-4)


levels = st.floats(min_value=0.5, max_value=2.0)


@given(levels, st.floats(0.002, 2.0), st.floats(0.05, 1.5), st.floats(0.0, 0.12))
def test_a_call_less_its_put_is_the_discounted_forward(
    away: float, years: float, sigma: float, carry: float
) -> None:
    call = value(100, 100 * away, years, sigma, rate=0.065, carry=carry, call=True)
    put = value(100, 100 * away, years, sigma, rate=0.065, carry=carry, call=False)
    bond = black76(1e-9, 100 * away, years, sigma, rate=0.065, call=False).price
    held = black76(100, 1e-9, years, sigma, rate=0.065 - carry, call=True).price

    assert call.price - put.price == pytest.approx(held - bond, abs=1e-6)


@given(levels, st.floats(0.002, 1.0), st.floats(0.05, 4.0), st.booleans())
def test_the_volatility_of_a_price_prices_it_again(
    away: float, years: float, sigma: float, call: bool
) -> None:
    price = black76(100, 100 * away, years, sigma, rate=0.065, call=call).price
    solved = implied_volatility(price, 100, 100 * away, years, rate=0.065, call=call)

    if solved is not None:
        again = black76(100, 100 * away, years, solved, rate=0.065, call=call).price
        assert again == pytest.approx(price, abs=1e-8)


def test_the_solver_finds_the_volatility_of_an_ordinary_option() -> None:
    price = black76(26_010, 26_200, 9 / 365, 0.1174, rate=0.065, call=True).price

    found = implied_volatility(price, 26_010, 26_200, 9 / 365, rate=0.065, call=True)
    assert found == pytest.approx(0.1174, abs=1e-9)


@pytest.mark.parametrize("price", [0.0, 900.0, 990.0, 26_000.0])
def test_a_price_outside_the_bounds_has_no_volatility(price: float) -> None:
    assert implied_volatility(price, 26_000, 25_000, 1e-9, rate=0.065, call=True) is None
