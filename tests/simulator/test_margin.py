"""What is blocked: alone, as spreads, against what is held, and never less than can be lost."""

import random
from dataclasses import replace

import pytest

from simulator.margin import Line, Row, blocked, required, worst_loss
from simulator.model import Instrument
from tests.simulator.tiny import CALL, EXPIRY, INFY, INSTRUMENTS

LISTED = {instrument.instrument_key: instrument for instrument in INSTRUMENTS}
FUTURE = replace(LISTED[CALL], instrument_key="NSE_FO|1", instrument_type="FUT", strike=0.0)


def option(kind: str, strike: float, *, expiry: int = EXPIRY) -> Instrument:
    return replace(
        LISTED[CALL],
        instrument_key=f"NSE_FO|{kind}{strike:g}/{expiry}",
        instrument_type=kind,
        strike=strike,
        expiry=expiry,
    )


def call(strike: float, quantity: int, price: float = 100.0) -> Line:
    return Line(option("CE", strike), quantity, price, "I")


def put(strike: float, quantity: int, price: float = 100.0) -> Line:
    return Line(option("PE", strike), quantity, price, "I")


def share(quantity: int, product: str, price: float = 1500.0) -> Line:
    return Line(LISTED[INFY], quantity, price, product)


SHORT = 0.11 * 26_000 * 75  # scan and exposure of one naked lot


# --- one by one


def test_an_option_bought_costs_its_premium() -> None:
    need = required([call(26_000, 75, 142.5)])

    assert need.rows == (Row(premium=10_687.5),)
    assert need.required == need.final == 10_687.5


def test_an_option_sold_blocks_scan_and_exposure_of_its_notional() -> None:
    need = required([call(26_000, -75)])

    assert need.rows == (Row(span=0.09 * 26_000 * 75, exposure=0.02 * 26_000 * 75),)
    assert need.final == pytest.approx(SHORT)


@pytest.mark.parametrize("quantity", [75, -75])
def test_a_future_blocks_shares_of_its_value_either_way(quantity: int) -> None:
    assert required([Line(FUTURE, quantity, 26_100.0, "D")]).final == pytest.approx(
        0.11 * 26_100 * 75
    )


@pytest.mark.parametrize(("product", "part"), [("I", 0.2), ("MTF", 0.25), ("D", 1.0)])
def test_shares_block_by_product(product: str, part: float) -> None:
    assert required([share(10, product)]).final == pytest.approx(part * 15_000)


def test_an_option_of_a_share_blocks_more_than_one_of_an_index() -> None:
    other = replace(option("PE", 1500.0), underlying_key=INFY)

    assert required([Line(other, -400, 30.0, "D")]).final == pytest.approx(0.185 * 1500 * 400)


def test_nothing_needs_nothing() -> None:
    assert required([]).final == required([]).required == 0.0


# --- together


def test_a_wing_lowers_a_short_to_the_width_of_the_spread() -> None:
    spread = [call(26_000, -75, 120.0), call(26_200, 75, 60.0)]
    need = required(spread)

    assert need.required == pytest.approx(SHORT + 60 * 75)
    assert need.final == pytest.approx(200 * 75 + 60 * 75)


def test_a_debit_spread_costs_its_premium_and_blocks_nothing() -> None:
    assert required([call(26_000, 75, 120.0), call(26_200, -75, 60.0)]).final == 120 * 75


def test_an_iron_condor_can_lose_on_one_side_only() -> None:
    condor = [put(25_700, 75, 20.0), put(25_900, -75), call(26_100, -75), call(26_200, 75, 20.0)]

    assert required(condor).final == pytest.approx(200 * 75 + 40 * 75)


def test_a_strangle_scans_its_larger_side_and_is_exposed_on_both() -> None:
    need = required([put(25_000, -75), call(27_000, -75)])

    assert need.final == pytest.approx(0.09 * 27_000 * 75 + 0.02 * (25_000 + 27_000) * 75)
    assert need.final < need.required


def test_shorts_beyond_the_cover_stay_naked() -> None:
    assert required([call(26_000, -150), call(26_100, 75, 0.05)]).final == pytest.approx(
        SHORT + 100 * 75 + 0.05 * 75
    )


def test_a_wing_too_far_away_does_not_make_it_dearer() -> None:
    assert required([put(26_000, -75), put(15_000, 75, 0.05)]).final == pytest.approx(
        SHORT + 0.05 * 75
    )


def test_another_expiry_or_kind_covers_nothing() -> None:
    later = Line(option("CE", 26_200, expiry=EXPIRY + 7 * 86_400_000), 75, 1.0, "I")

    assert required([call(26_000, -75), later]).final == pytest.approx(SHORT + 75)
    assert required([call(26_000, -75), put(26_200, 75, 1.0)]).final == pytest.approx(SHORT + 75)


# --- against what is held


def test_closing_needs_nothing() -> None:
    assert required([call(26_000, 75)], held=[call(26_000, -75)]).final == 0.0
    assert required([call(26_000, -75)], held=[call(26_000, 75)]).final == 0.0
    assert required([share(-10, "I")], held=[share(10, "I")]).final == 0.0


def test_going_through_zero_pays_for_what_is_beyond_it() -> None:
    assert required([call(26_000, 150, 80.0)], held=[call(26_000, -75)]).final == 75 * 80
    assert required([call(26_000, -150)], held=[call(26_000, 75)]).final == pytest.approx(SHORT)


def test_a_wing_that_is_held_lowers_the_short() -> None:
    assert required([call(26_000, -75)], held=[call(26_200, 75)]).final == pytest.approx(200 * 75)


def test_selling_the_wing_of_a_spread_needs_what_it_had_saved() -> None:
    spread = [call(26_000, -75), call(26_200, 75)]

    assert required([call(26_200, -75)], held=spread).final == pytest.approx(SHORT - 200 * 75)


def test_the_products_of_a_share_do_not_net() -> None:
    assert required([share(-10, "I")], held=[share(10, "D")]).final == pytest.approx(3_000)


def test_positions_block_without_the_premium_that_was_paid() -> None:
    assert blocked([call(26_000, 75, 142.5)]) == Row()
    assert blocked([share(10, "D"), Line(FUTURE, -75, 100.0, "I")]) == Row(
        span=675.0, exposure=150.0, equity=15_000.0
    )


# --- any lines


def random_lines(chance: random.Random) -> list[Line]:
    made = {}
    for _ in range(chance.randint(1, 6)):
        strike = chance.choice([25_800, 25_900, 26_000, 26_100, 26_200])
        line = chance.choice([call, put])(strike, 75 * chance.choice([-2, -1, 1, 2]))
        made[line.instrument.instrument_key] = line
    return list(made.values())


def test_no_lines_together_need_more_than_one_by_one_nor_less_than_a_covered_loss() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(500):
        lines = random_lines(chance)
        need, together = required(lines), blocked(lines).total
        assert 0 <= need.final <= need.required + 1e-6
        calls = [x.signed_quantity for x in lines if x.instrument.instrument_type == "CE"]
        puts = [x.signed_quantity for x in lines if x.instrument.instrument_type == "PE"]
        if sum(calls) >= 0 and sum(puts) >= 0:  # nothing naked: at most the worst loss
            assert together <= worst_loss(lines) + 1e-6


def test_taking_positions_on_in_steps_blocks_as_much_as_at_once() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        lines = random_lines(chance)
        chance.shuffle(lines)
        cut = chance.randint(0, len(lines))
        before, after = blocked(lines[:cut]).total, blocked(lines).total
        premium = sum(x.signed_quantity * x.price for x in lines[cut:] if x.signed_quantity > 0)
        step = required(lines[cut:], held=lines[:cut])
        assert step.final == pytest.approx(max(0.0, after - before) + premium)
