"""Against worked examples: the sums were done by hand from the published rates."""

from dataclasses import replace
from datetime import date

import pytest

from tests.ticks import CALL
from tests.trading.paper_rig import FUTURE, INSTRUMENTS, SHARE
from trading.charges import Charges, charges, exercise
from trading.order import Product, Side

OLD, NOW, LATER = date(2024, 9, 30), date(2025, 11, 26), date(2026, 4, 1)
D, I = Product.DELIVERY, Product.INTRADAY  # noqa: E741 (the broker's letters)
LAKH = 10_000_000  # paise


@pytest.mark.parametrize(
    ("key", "product", "side", "day", "expected"),
    [
        # one lakh of premium: tax 0.1 %, exchange 0.03503 % and 0.0005 %, ten paise to SEBI
        (CALL, D, Side.SELL, NOW, Charges(2000, 10_000, 3_553, 10, 1001, 0)),
        (CALL, D, Side.BUY, NOW, Charges(2000, 0, 3_553, 10, 1001, 300)),
        (CALL, I, Side.SELL, LATER, Charges(2000, 15_000, 3_553, 10, 1001, 0)),
        (CALL, I, Side.SELL, OLD, Charges(2000, 6_250, 3_553, 10, 1001, 0)),
        (FUTURE, D, Side.SELL, NOW, Charges(2000, 2_000, 183, 10, 395, 0)),
        (FUTURE, D, Side.SELL, LATER, Charges(2000, 5_000, 183, 10, 395, 0)),
        (FUTURE, D, Side.BUY, NOW, Charges(2000, 0, 183, 10, 395, 200)),
        (SHARE, D, Side.BUY, NOW, Charges(2000, 10_000, 307, 10, 417, 1_500)),
        (SHARE, D, Side.SELL, NOW, Charges(2000, 10_000, 307, 10, 417, 0)),
        (SHARE, I, Side.SELL, NOW, Charges(2000, 2_500, 307, 10, 417, 0)),
        (SHARE, I, Side.BUY, LATER, Charges(2000, 0, 307, 10, 417, 300)),
    ],
)
def test_a_turnover_of_one_lakh(
    key: str, product: Product, side: Side, day: date, expected: Charges
) -> None:
    assert charges(INSTRUMENTS[key], product, side, LAKH, day) == expected


@pytest.mark.parametrize(
    ("key", "product", "value", "brokerage"),
    [
        (SHARE, I, 1_000_000, 1_000),  # 0.1 % of ten thousand rupees
        (SHARE, D, 1_000_000, 2_000),
        (FUTURE, D, 1_000_000, 500),
        (CALL, D, 1_000_000, 2_000),
    ],
)
def test_brokerage_is_twenty_rupees_or_less_where_a_percentage_is(
    key: str, product: Product, value: int, brokerage: int
) -> None:
    assert charges(INSTRUMENTS[key], product, Side.BUY, value, NOW).brokerage == brokerage


def test_the_bombay_exchange_takes_its_own_fee() -> None:
    call = replace(INSTRUMENTS[CALL], segment="BSE_FO")
    future = replace(INSTRUMENTS[FUTURE], segment="BSE_FO")

    assert charges(call, D, Side.BUY, LAKH, NOW).exchange == 3_250
    assert charges(future, D, Side.BUY, LAKH, NOW).exchange == 0


def test_the_holder_of_an_option_pays_tax_when_it_expires_in_the_money() -> None:
    call, future = INSTRUMENTS[CALL], INSTRUMENTS[FUTURE]

    assert exercise(call, Side.SELL, LAKH, NOW).total == 12_500
    assert exercise(call, Side.SELL, LAKH, LATER).total == 15_000
    assert exercise(call, Side.BUY, LAKH, NOW).total == 0
    assert exercise(future, Side.SELL, LAKH, NOW).total == 0


def test_the_total_is_the_sum_of_its_parts() -> None:
    found = charges(INSTRUMENTS[SHARE], D, Side.BUY, LAKH, NOW)

    assert found.total == 2_000 + 10_000 + 307 + 10 + 417 + 1_500
