"""Templates: the right strikes, sides and quantities; refused in words where there are none."""

from datetime import date

import pytest

from trading.errors import Denied
from trading.model import Instrument, InstrumentType
from trading.order import OrderType, Product, Side
from trading.strategies import LEGS, Template, build

EXPIRY = date(2026, 11, 24)


def chain(first: int = 23_500, last: int = 24_500, step: int = 50) -> list[Instrument]:
    return [
        Instrument(
            instrument_key=f"NSE_FO|{strike}{kind}",
            segment="NSE_FO",
            type=kind,
            symbol=f"NIFTY {strike} {kind}",
            name="NIFTY",
            lot_size=65,
            underlying_key="NSE_INDEX|Nifty 50",
            expiry=EXPIRY,
            strike=float(strike),
        )
        for strike in range(first, last + 1, step)
        for kind in (InstrumentType.PUT, InstrumentType.CALL)
    ]


def shape(template: Template, **how: int) -> list[tuple[str, str, float | None]]:
    legs = build(template, chain(), spot=24_012.35, **how)
    return [(leg.side[0], leg.instrument.type.value, leg.instrument.strike) for leg in legs]


def test_verticals_are_at_the_money_and_one_width_away() -> None:
    assert shape(Template.BULL_CALL, width=2) == [("B", "CE", 24_000), ("S", "CE", 24_100)]
    assert shape(Template.BEAR_CALL, width=2) == [("S", "CE", 24_000), ("B", "CE", 24_100)]
    assert shape(Template.BULL_PUT, width=3) == [("B", "PE", 23_850), ("S", "PE", 24_000)]
    assert shape(Template.BEAR_PUT, width=1) == [("S", "PE", 23_950), ("B", "PE", 24_000)]


def test_straddles_and_strangles() -> None:
    assert shape(Template.LONG_STRADDLE) == [("B", "PE", 24_000), ("B", "CE", 24_000)]
    assert shape(Template.SHORT_STRADDLE) == [("S", "PE", 24_000), ("S", "CE", 24_000)]
    assert shape(Template.LONG_STRANGLE, width=4) == [("B", "PE", 23_800), ("B", "CE", 24_200)]
    assert shape(Template.SHORT_STRANGLE, width=4) == [("S", "PE", 23_800), ("S", "CE", 24_200)]


def test_an_iron_condor_has_its_wings_outside_and_an_iron_fly_its_body_at_the_money() -> None:
    assert shape(Template.IRON_CONDOR, width=2, wing=4) == [
        ("B", "PE", 23_700),
        ("S", "PE", 23_900),
        ("S", "CE", 24_100),
        ("B", "CE", 24_300),
    ]
    assert shape(Template.IRON_FLY, wing=4) == [
        ("B", "PE", 23_800),
        ("S", "PE", 24_000),
        ("S", "CE", 24_000),
        ("B", "CE", 24_200),
    ]


@pytest.mark.parametrize("template", Template)
def test_every_template_can_be_built_and_sold_legs_of_iron_ones_are_covered(
    template: Template,
) -> None:
    legs = build(template, chain(), spot=24_012.35, lots=3)
    assert len(legs) == len(LEGS[template])
    assert {leg.quantity for leg in legs} == {195}
    if template.name.startswith("IRON"):
        assert sum(leg.side.sign for leg in legs) == 0


def test_a_leg_becomes_a_request_at_the_market_or_with_a_limit() -> None:
    leg = build(Template.BULL_CALL, chain(), spot=24_012.35)[0]
    market = leg.request(account="main", product=Product.INTRADAY)
    limit = leg.request(account="main", product=Product.INTRADAY, price=142.35)
    assert (market.order_type, market.price, market.quantity) == (OrderType.MARKET, 0.0, 65)
    assert (limit.order_type, limit.price, limit.side) == (OrderType.LIMIT, 142.35, Side.BUY)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"lots": 0}, "lots"),
        ({"width": 0}, "width"),
        ({"wing": -1}, "wing"),
        ({"width": 40}, "width"),
        ({"width": 9, "wing": 9}, "wing"),
    ],
)
def test_what_cannot_be_built_is_refused_by_the_field(how: dict[str, int], field: str) -> None:
    with pytest.raises(Denied) as denied:
        build(Template.IRON_CONDOR, chain(), spot=24_012.35, **how)
    assert [problem.field for problem in denied.value.problems] == [field]


def test_options_of_two_expiries_or_none_are_refused() -> None:
    for options in ([], [*chain(), *chain_of(date(2026, 12, 1))]):
        with pytest.raises(Denied, match="one underlying and one expiry"):
            build(Template.IRON_FLY, options, spot=24_012.35)


def chain_of(expiry: date) -> list[Instrument]:
    return [
        Instrument("X", "NSE_FO", InstrumentType.CALL, "X", "X", expiry=expiry, strike=24_000.0)
    ]
