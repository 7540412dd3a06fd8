"""Charges by hand: what the published rates of October 2025 make of a few orders."""

from dataclasses import astuple, replace

import pytest

from simulator.charges import Charges, charge
from simulator.model import Instrument
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS

LISTED = {instrument.instrument_key: instrument for instrument in INSTRUMENTS}
SHARE, OPTION = LISTED[INFY], LISTED[CALL]
FUTURE = replace(OPTION, instrument_type="FUT", strike=0.0)


@pytest.mark.parametrize(
    ("instrument", "quantity", "price", "product", "selling", "due", "total"),
    [
        # one lot of an option for 10,687.50: nothing but stamp duty is taxed on buying
        (OPTION, 75, 142.5, "I", False, (20, 4.28, 0, 0.32, 3.74, 0, 0.05, 0.01), 28.40),
        (OPTION, 75, 142.5, "D", True, (20, 4.28, 10.69, 0, 3.74, 0, 0.05, 0.01), 38.77),
        # one lot of the future for 1,957,500
        (FUTURE, 75, 26_100, "D", False, (20, 10.4, 0, 39.15, 33.86, 0, 1.96, 1.96), 107.33),
        (FUTURE, 75, 26_100, "I", True, (20, 10.4, 391.5, 0, 33.86, 0, 1.96, 1.96), 459.68),
        # a hundred shares for 150,000
        (SHARE, 100, 1500, "I", False, (20, 4.46, 0, 4.5, 4.46, 0, 0.15, 0.15), 33.72),
        (SHARE, 100, 1500, "I", True, (20, 4.46, 37.5, 0, 4.46, 0, 0.15, 0.15), 66.72),
        (SHARE, 100, 1500, "D", False, (20, 4.46, 150, 22.5, 4.46, 0, 0.15, 0.15), 201.72),
        (SHARE, 100, 1500, "D", True, (20, 4.46, 150, 0, 4.46, 0, 0.15, 0.15), 179.22),
    ],
)
def test_an_order_is_charged_by_its_segment_product_and_side(
    instrument: Instrument,
    quantity: int,
    price: float,
    product: str,
    selling: bool,
    due: tuple[float, ...],
    total: float,
) -> None:
    charges = charge(instrument, quantity, price, product=product, selling=selling)

    assert astuple(charges) == pytest.approx(due)
    assert charges.total == total


def test_margin_funded_shares_are_delivered() -> None:
    funded = charge(SHARE, 100, 1500, product="MTF", selling=False)

    assert funded == charge(SHARE, 100, 1500, product="D", selling=False)


def test_the_total_is_the_sum_of_the_parts() -> None:
    charges = Charges(20, 4.28, 10.69, 0.32, 3.74, 1.5, 0.05, 0.01)

    assert charges.other == pytest.approx(5.3)
    assert charges.total == pytest.approx(20 + 4.28 + 10.69 + 0.32 + 5.3)
