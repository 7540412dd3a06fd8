from dataclasses import replace

import pytest

from tests.ticks import CALL
from tests.trading.paper_rig import FAR_CALL, FUTURE, INSTRUMENTS, PUT, SHARE
from trading.model import Instrument
from trading.order import Product
from trading.paper_margin import Stake, blocked, blocked_by_orders, needed

DELIVERY, INTRADAY = Product.DELIVERY, Product.INTRADAY
FAR_PUT = replace(INSTRUMENTS[PUT], instrument_key="NSE_FO|far put", strike=25_900.0)
LATER = replace(INSTRUMENTS[FAR_CALL], instrument_key="NSE_FO|later", expiry=None)
SHARE_CALL = replace(
    INSTRUMENTS[CALL], instrument_key="NSE_FO|infy", underlying_key=SHARE, strike=1_500.0
)
SHORT = 75 * 2_610_000  # paise of notional
NAKED = SHORT * 11 // 100


def stake(
    instrument: Instrument | str, quantity: int, price: float = 0.0, product: Product = DELIVERY
) -> Stake:
    found = INSTRUMENTS[instrument] if isinstance(instrument, str) else instrument
    return Stake(found, product, quantity, round(abs(quantity) * price * 100))


@pytest.mark.parametrize(
    ("stakes", "paise"),
    [
        ([], 0),
        ([stake(CALL, 75, 142.7)], 1_070_250),
        ([stake(CALL, -75, 142.7)], NAKED),
        ([stake(SHARE_CALL, -75, 40.0)], 75 * 150_000 * 185 // 1000),
        ([stake(FUTURE, 75, 26_000.0)], 75 * 2_600_000 * 11 // 100),
        ([stake(FUTURE, -75, 26_000.0)], 75 * 2_600_000 * 11 // 100),
        ([stake(SHARE, 10, 1_500.0)], 1_500_000),
        ([stake(SHARE, -10, 1_500.0, INTRADAY)], 300_000),
        ([stake(SHARE, 10, 1_500.0, Product.MTF)], 375_000),
        ([stake(SHARE, 10, 1_500.0), stake(SHARE, -10, 1_500.0, INTRADAY)], 1_800_000),
        # both products of a contract are one position
        ([stake(CALL, 75, 142.7), stake(CALL, -75, 140.0, INTRADAY)], 0),
        ([stake(CALL, 150, 100.0), stake(CALL, -75, 90.0, INTRADAY)], 750_000),
        # a wing of the same expiry: the spread's worst loss and what the wing cost
        ([stake(CALL, -75, 142.7), stake(FAR_CALL, 75, 60.0)], 75 * 20_000 + 450_000),
        ([stake(CALL, 75, 142.7), stake(FAR_CALL, -75, 60.0)], 1_070_250),
        # a wing of another expiry, or of the other kind, covers nothing
        ([stake(CALL, -75, 142.7), stake(LATER, 75, 60.0)], NAKED + 450_000),
        ([stake(CALL, -75, 142.7), stake(PUT, 75, 60.0)], NAKED + 450_000),
        # of a straddle only one side can lose: the exposure of both, the scan of one
        ([stake(CALL, -75), stake(PUT, -75)], SHORT * 13 // 100),
        # an iron condor: both spreads cannot lose at once
        (
            [
                stake(CALL, -75, 100.0),
                stake(FAR_CALL, 75, 50.0),
                stake(PUT, -75, 100.0),
                stake(FAR_PUT, 75, 50.0),
            ],
            75 * 20_000 + 2 * 375_000,
        ),
    ],
)
def test_what_positions_block(stakes: list[Stake], paise: int) -> None:
    assert blocked(stakes) == paise
    assert blocked(list(reversed(stakes))) == paise


def test_an_order_is_not_helped_by_another_order() -> None:
    spread = [stake(CALL, -75, 142.7), stake(FAR_CALL, 75, 60.0)]

    assert blocked_by_orders([], spread) == NAKED + 450_000
    assert blocked_by_orders([spread[1]], [spread[0]]) == 75 * 20_000


def test_orders_that_close_block_nothing_until_they_open_something() -> None:
    held = [stake(CALL, 150, 100.0)]
    exits = [stake(CALL, -75, 101.0), stake(CALL, -75, 102.0)]

    assert blocked_by_orders(held, exits) == 0
    assert blocked_by_orders(held, [*exits, stake(CALL, -75, 103.0)]) == NAKED
    assert blocked_by_orders([stake(CALL, -75)], [stake(CALL, 75, 100.0)]) == 0
    assert blocked_by_orders([stake(CALL, -75)], [stake(CALL, 150, 100.0)]) == 750_000
    shares = [stake(SHARE, 10, 1_500.0, INTRADAY)]
    assert blocked_by_orders(shares, [stake(SHARE, -15, 1_500.0, INTRADAY)]) == 150_000


def test_to_sell_the_cover_of_a_short_blocks_what_the_short_then_needs() -> None:
    held = [stake(CALL, -75, 142.7), stake(FAR_CALL, 75, 60.0)]

    assert blocked_by_orders(held, [stake(FAR_CALL, -75, 60.0)]) == NAKED - 75 * 20_000
    assert blocked_by_orders(held, [stake(CALL, 75, 150.0)]) == 0


def test_buys_and_sells_of_one_instrument_both_count() -> None:
    both = [stake(FUTURE, 75, 26_000.0), stake(FUTURE, -75, 26_100.0)]

    assert blocked_by_orders([], both) == 75 * (2_600_000 + 2_610_000) * 11 // 100


def test_needed_says_what_is_blocked_in_between_and_in_the_end() -> None:
    spread = [stake(CALL, -75, 142.7), stake(FAR_CALL, 75, 60.0)]
    found = needed([], [stake(PUT, 75, 10.0)], spread)

    assert (found.required, found.final) == (NAKED + 450_000, 75 * 20_000 + 450_000)
    closing = needed(spread, [], [stake(CALL, 75, 150.0)])
    assert (closing.required, closing.final) == (0, 0)
