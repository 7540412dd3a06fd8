import pytest

from trading.trust import Trust, judge


@pytest.mark.parametrize(
    ("price_age", "heard_age", "is_open", "trust"),
    [
        (None, 0.1, True, Trust.UNKNOWN),
        (0.1, 0.1, True, Trust.LIVE),
        (2.0, 2.0, True, Trust.LIVE),
        (43.0, 0.2, True, Trust.QUIET),
        (2.1, 2.1, True, Trust.LATE),
        (43.0, 4.9, True, Trust.LATE),
        (5.1, 5.1, True, Trust.STALE),
        (0.1, None, True, Trust.STALE),
        (7_200.0, 7_200.0, False, Trust.CLOSED),
    ],
)
def test_a_price_is_believed_as_far_as_its_feed_lives(
    price_age: float | None, heard_age: float | None, is_open: bool, trust: Trust
) -> None:
    assert judge(price_age=price_age, heard_age=heard_age, is_open=is_open) is trust
