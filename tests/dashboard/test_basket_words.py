"""What is said of baskets, where it is money."""

import pytest

from dashboard.basket_words import premium
from tests.dashboard.fakes import OPEN_NOW
from trading.basket import Basket, BasketState, LegReceipt, LegStatus, OnFilled
from trading.model import Instrument, InstrumentType
from trading.order import OrderRequest, OrderType, Product, Side


def leg(key: str, side: Side, filled: int, average: float) -> LegReceipt:
    request = OrderRequest("main", key, side, filled, Product.DELIVERY, OrderType.MARKET, "n")
    return LegReceipt(1, request, LegStatus.FILLED, filled=filled, average=average)


def placed(*legs: LegReceipt) -> Basket:
    return Basket(
        "b1", "main", "n", "", "builder", True, OnFilled.ASK, BasketState.PLACED,
        OPEN_NOW, OPEN_NOW, True, legs,
    )  # fmt: skip


def option(key: str) -> Instrument:
    return Instrument(key, key.partition("|")[0], InstrumentType.CALL, "X", "X")


@pytest.mark.parametrize(
    ("legs", "words"),
    [
        ((("NSE_FO|1", Side.SELL, 75, 142.3467),), "₹10,676.00 received"),
        ((("NSE_FO|1", Side.BUY, 75, 142.3467),), "₹10,676.00 paid"),
        (
            (("NSE_FO|1", Side.SELL, 75, 20.0), ("BSE_FO|2", Side.BUY, 20, 10.0033)),
            "₹1,299.93 received",
        ),
    ],
)
def test_the_net_premium_is_rounded_once_for_each_leg(
    legs: tuple[tuple[str, Side, int, float], ...], words: str
) -> None:
    """An average over several fills has more decimals than a price."""
    said = premium(placed(*(leg(*each) for each in legs)), option)

    assert said == f"Net premium {words}, before charges."


def test_a_premium_of_lots_is_not_made_up() -> None:
    """On MCX a quantity counts lots, and only the broker tells what one is worth."""
    assert premium(placed(leg("MCX_FO|1", Side.SELL, 2, 95.0)), option) == ""
