"""The pay-off before sending: what legs are taken to cost, and when there is nothing to draw."""

import math
from dataclasses import replace
from datetime import date

from dashboard import payoff_chart as charts
from tests.dashboard.fakes import CALL, PUT, RELIANCE, MemoryCatalogue, instruments
from trading.marks import Mark
from trading.model import UNKNOWN, Instrument
from trading.order import OrderRequest, OrderType, Product, Side

LISTED = MemoryCatalogue(instruments())


def listed(key: str) -> Instrument:
    found = LISTED.get(key)
    assert found is not None
    return found


def leg(key: str, side: Side = Side.BUY, price: float = 100.0) -> charts.Leg:
    kind = OrderType.MARKET
    request = OrderRequest("main", key, side, 75, Product.INTRADAY, kind, "")
    return charts.Leg(request, listed(key), price)


def test_a_leg_at_the_market_is_had_at_the_other_side_of_the_book() -> None:
    mark = Mark(142.6, 0.1, "W", 142.5, 75, 142.7, 75, 0)
    request = leg(CALL).request

    assert charts.had_at(request, mark) == 142.7
    assert charts.had_at(replace(request, side=Side.SELL), mark) == 142.5
    assert charts.had_at(request, replace(mark, ask=UNKNOWN)) == 142.6
    assert charts.had_at(replace(request, order_type=OrderType.LIMIT, price=140.0), mark) == 140.0
    assert math.isnan(charts.had_at(request, None))


def test_a_straddle_is_a_v_with_its_points() -> None:
    legs = [leg(CALL), leg(PUT, price=90.0)]
    seen = charts.outlook(legs)

    assert seen.payoff is not None
    assert charts.facts(seen) == {
        "premium": "₹14,250.00 paid",
        "gain": "unlimited",
        "loss": "-₹14,250.00",
        "evens": "23,810.00 · 24,190.00",
    }
    drawn = charts.picture(legs, seen.payoff, 24_012.0)
    points = drawn["points"]
    assert isinstance(points, list)
    assert (24_000.0, -14_250.0) in points
    assert points[0][0] < 23_810.0
    assert points[-1][0] > 24_190.0
    assert drawn["evens"] == [23_810.0, 24_190.0]


def test_what_cannot_be_drawn_says_why() -> None:
    later = replace(listed(PUT), expiry=date(2026, 1, 1))
    other = charts.Leg(leg(PUT).request, later, 10.0)

    assert charts.outlook([]).why_not == "no leg yet"
    assert charts.outlook([leg(CALL), leg(RELIANCE)]).why_not == (
        "the legs are of different underlyings"
    )
    assert charts.outlook([leg(CALL), other]).why_not == "the legs end on different days"
    unpriced = charts.outlook([leg(CALL, price=UNKNOWN)])
    assert unpriced.why_not == "NIFTY 27 NOV 24000 CE has no price now"
    assert set(charts.facts(unpriced).values()) == {"—"}


def test_without_a_price_of_the_underlying_the_line_is_still_drawn() -> None:
    seen = charts.outlook([leg(CALL)])
    assert seen.payoff is not None

    drawn = charts.picture([leg(CALL)], seen.payoff, math.nan)

    assert drawn["spot"] is None
    points = drawn["points"]
    assert isinstance(points, list)
    assert all(math.isfinite(x) and math.isfinite(y) for x, y in points)
