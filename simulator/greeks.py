"""Option values: Black-Scholes with a cost of carry, its Greeks, and the implied volatility."""

import math
from typing import NamedTuple

ROOT2 = math.sqrt(2.0)
ROOT2PI = math.sqrt(2.0 * math.pi)
SMALLEST, LARGEST = 1e-4, 20.0  # volatilities the solver looks between; brokers show 367 %


class Valuation(NamedTuple):
    """What a contract is worth and how that moves, in rupees per unit of the underlying."""

    price: float
    delta: float  # for a rupee of the underlying
    gamma: float  # delta's change for a rupee
    theta: float  # a calendar day
    vega: float  # a volatility point (0.01)
    rho: float  # a percentage point of the interest rate


def value(
    spot: float, strike: float, years: float, sigma: float, *, rate: float, carry: float, call: bool
) -> Valuation:
    """Return the value of a European option; all times in years, all rates as fractions.

    With carry == rate this is Black-Scholes on a spot, with carry 0 Black-76 on a forward, and
    with anything else both at once: `spot * exp(carry * years)` is the forward. A rise of the
    rate raises the carry with it, except for a forward (Haug, Option Pricing Formulas, ch. 2).
    """
    root = math.sqrt(years)
    spread = sigma * root
    d1 = (math.log(spot / strike) + (carry + 0.5 * sigma * sigma) * years) / spread
    d2 = d1 - spread
    discount = math.exp(-rate * years)
    held = spot * math.exp((carry - rate) * years)  # the forward, discounted
    owed = strike * discount
    density = math.exp(-0.5 * d1 * d1) / ROOT2PI
    sign = 1.0 if call else -1.0
    n1 = 0.5 * math.erfc(-sign * d1 / ROOT2)
    n2 = 0.5 * math.erfc(-sign * d2 / ROOT2)
    price = sign * (held * n1 - owed * n2)
    decay = -0.5 * held * density * sigma / root
    theta = decay - sign * ((carry - rate) * held * n1 + rate * owed * n2)
    rho = sign * years * owed * n2 if carry else -years * price
    return Valuation(
        max(0.0, price),
        sign * n1 * held / spot,
        density * held / (spot * spot * spread),
        theta / 365.0,
        held * density * root / 100.0,
        rho / 100.0,
    )


def black76(
    forward: float, strike: float, years: float, sigma: float, *, rate: float, call: bool
) -> Valuation:
    """Return the value of an option on a forward; delta and gamma are the forward's."""
    return value(forward, strike, years, sigma, rate=rate, carry=0.0, call=call)


def implied_volatility(
    price: float, forward: float, strike: float, years: float, *, rate: float, call: bool
) -> float | None:
    """Return the Black-76 volatility that gives the price, or None if none does.

    None means that the price lies at or below the discounted intrinsic value or at or above its
    upper bound, as the last trade of a deep strike often does.
    """
    discount = math.exp(-rate * years)
    intrinsic = discount * max(0.0, forward - strike if call else strike - forward)
    bound = discount * (forward if call else strike)
    if not intrinsic < price < bound or years <= 0.0:
        return None
    return _solve(price, forward, strike, years, rate, call)


def _solve(
    price: float, forward: float, strike: float, years: float, rate: float, call: bool
) -> float | None:
    """Newton inside a bracket that only shrinks, so that a flat vega cannot throw it out."""
    low, high = SMALLEST, LARGEST
    sigma = min(max(math.sqrt(2 * abs(math.log(forward / strike)) / years), 0.05), 5.0)
    for _ in range(100):
        guess = black76(forward, strike, years, sigma, rate=rate, call=call)
        error = guess.price - price
        low, high = (low, sigma) if error > 0 else (sigma, high)
        if abs(error) < 1e-9 or high - low < 1e-12:
            break
        slope = guess.vega * 100.0
        step = sigma - error / slope if slope > 1e-12 else low
        sigma = step if low < step < high else 0.5 * (low + high)
    return sigma if SMALLEST * 1.01 < sigma < LARGEST * 0.99 else None
