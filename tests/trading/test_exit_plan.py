"""How much of an exit is still to be sent, after what rested was cancelled."""

import pytest

from tests.dashboard.test_exit_words import order
from tests.dashboard.test_position_words import position
from trading.exit_plan import plan, remaining
from trading.order import OrderStatus, OrderType, Side


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (150, 150),
        (75, 75),  # what rested was filled in part while it was cancelled
        (225, 150),  # no more than what was shown
        (0, 0),
        (-75, 0),  # it turned: buying back is another decision
    ],
)
def test_never_more_than_was_shown_nor_than_is_held(held: int, left: int) -> None:
    assert remaining(plan(position(150), []), position(held), []) == left


def test_what_others_are_closing_by_now_is_not_sent_again() -> None:
    line = plan(position(150), [])
    going = [order(Side.SELL), order(Side.SELL, status=OrderStatus.IN_DOUBT)]

    assert remaining(line, position(150), going) == 75
    assert remaining(line, position(75), going) == 0
    assert remaining(line, position(150), [order(kind=OrderType.SL_M)]) == 150  # it rests


def test_a_position_that_is_not_known_any_more_is_not_closed() -> None:
    assert remaining(plan(position(150), []), None, []) == 0
