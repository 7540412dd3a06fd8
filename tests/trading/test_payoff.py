"""The line at expiry: worked examples, and the truth that every leg's own arithmetic tells."""

import math

from hypothesis import given
from hypothesis import strategies as st

from trading.model import Instrument, InstrumentType
from trading.order import Side
from trading.payoff import HeldLeg, payoff

CALL, PUT, FUTURE = InstrumentType.CALL, InstrumentType.PUT, InstrumentType.FUTURE


def held(
    side: Side, kind: InstrumentType, strike: float | None, price: float, quantity: int = 65
) -> HeldLeg:
    return HeldLeg(Instrument("K", "NSE_FO", kind, "S", "N", strike=strike), side, quantity, price)


def test_an_iron_condor() -> None:
    line = payoff(
        [
            held(Side.BUY, PUT, 23_700, 20.0),
            held(Side.SELL, PUT, 23_900, 60.0),
            held(Side.SELL, CALL, 24_100, 70.0),
            held(Side.BUY, CALL, 24_300, 25.0),
        ]
    )
    assert line is not None
    assert line.net_premium == 85 * 65 * 100  # received
    assert line.max_gain == 85 * 65 * 100
    assert line.max_loss == (200 - 85) * 65 * 100
    assert line.break_evens == (23_815.0, 24_185.0)
    assert line.at(24_000) == 85 * 65 * 100
    assert line.at(23_815) == 0
    assert line.at(30_000) == line.at(90_000) == -115 * 65 * 100
    assert line.between(23_800, 24_200) == [
        (23_800, -15 * 65 * 100),
        (23_900, 85 * 65 * 100),
        (24_100, 85 * 65 * 100),
        (24_200, -15 * 65 * 100),
    ]


def test_a_short_straddle_has_no_end_of_its_loss_and_a_long_one_none_of_its_gain() -> None:
    legs = [(PUT, 24_000, 140.0), (CALL, 24_000, 145.4)]
    short = payoff([held(Side.SELL, *leg) for leg in legs])
    long = payoff([held(Side.BUY, *leg) for leg in legs])
    assert short is not None
    assert long is not None
    assert (short.max_gain, short.max_loss) == (28_540 * 65, None)
    assert (long.max_gain, long.max_loss) == (None, 28_540 * 65)
    assert short.break_evens == long.break_evens == (23_714.6, 24_285.4)
    assert (short.net_premium, long.net_premium) == (28_540 * 65, -28_540 * 65)


def test_the_loss_of_a_short_put_ends_where_the_underlying_does() -> None:
    line = payoff([held(Side.SELL, PUT, 24_000, 140.0)])
    assert line is not None
    assert line.max_loss == (24_000 - 140) * 65 * 100
    assert line.break_evens == (23_860.0,)


def test_a_future_is_a_straight_line_and_gives_no_premium() -> None:
    line = payoff([held(Side.BUY, FUTURE, None, 24_050.0)])
    assert line is not None
    assert line.break_evens == (24_050.0,)
    assert (line.max_gain, line.max_loss) == (None, 24_050 * 65 * 100)
    assert line.net_premium == 0
    assert line.at(24_150) == 100 * 65 * 100


def test_an_unknown_price_makes_the_line_unknown() -> None:
    assert payoff([held(Side.BUY, CALL, 24_000, math.nan)]) is None
    assert payoff([]) is None


LEG = st.builds(
    held,
    st.sampled_from(Side),
    st.sampled_from([CALL, PUT]),
    st.integers(460, 500).map(lambda n: n * 50.0),
    st.integers(1, 20_000).map(lambda n: n / 20),
    st.integers(1, 20).map(lambda n: n * 65),
)


def paise(leg: HeldLeg, underlying: int) -> int:
    """The arithmetic of one leg, told in another way: what it ends at less what it cost."""
    strike = leg.instrument.strike or 0
    ends = max(0, underlying - strike if leg.instrument.type is CALL else strike - underlying)
    won = ends * 100 - leg.price * 100
    return round(won) * leg.quantity * (1 if leg.side is Side.BUY else -1)


@given(st.lists(LEG, min_size=1, max_size=10), st.integers(0, 80_000))
def test_any_legs_anywhere(legs: list[HeldLeg], underlying: int) -> None:
    line = payoff(legs)
    assert line is not None
    assert line.at(underlying) == sum(paise(leg, underlying) for leg in legs)
    if line.max_gain is not None:
        assert line.at(underlying) <= line.max_gain
    if line.max_loss is not None:
        assert line.at(underlying) >= -line.max_loss
    steepest = sum(leg.quantity for leg in legs)
    for even in line.break_evens:  # told to the paisa, so off by half of one
        assert abs(line.at(even)) <= steepest
    if line.at(0) * line.at(1_000_000) < 0:
        assert line.break_evens
