"""Numbers as an Indian trader reads them, and nothing that is unknown told as zero."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import format as fmt

NOW = datetime(2025, 11, 26, 5, 30, tzinfo=UTC)
finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (-0.001, "0.00"),
        (142.35, "142.35"),
        (999.999, "1,000.00"),
        (24012.35, "24,012.35"),
        (1234567.5, "12,34,567.50"),
        (-123456789, "-12,34,56,789.00"),
        (math.nan, "—"),
        (math.inf, "—"),
    ],
)
def test_a_price_has_two_decimals_and_indian_groups(value: float, text: str) -> None:
    assert fmt.price(value) == text


@given(finite)
def test_grouping_changes_no_digit(value: float) -> None:
    text = fmt.number(value)

    assert float(text.replace(",", "")) == float(f"{value:.2f}")


@given(st.integers(0, 10**15))
def test_groups_are_three_digits_and_then_pairs(value: int) -> None:
    *pairs, last = fmt.grouped(str(value)).split(",")

    assert len(last) == 3 or not pairs
    assert all(len(p) == 2 for p in pairs[1:])
    assert not pairs or 1 <= len(pairs[0]) <= 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.5, "+₹12,34,567.50"),
        (-6720, "-₹6,720.00"),
        (0, "₹0.00"),
        (0.001, "₹0.00"),
        (math.nan, "—"),
    ],
)
def test_money_carries_its_sign_before_the_rupee(value: float, text: str) -> None:
    assert fmt.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "—"),
        (math.nan, "—"),
        (0, "0"),
        (999, "999"),
        (98_400, "98.4K"),
        (99_960, "1.00L"),
        (12_35_000, "12.35L"),
        (99_99_999, "1.00Cr"),
        (1_20_00_000, "1.20Cr"),
        (1_234_00_00_000, "1,234.00Cr"),
    ],
)
def test_counts_are_told_in_k_lakh_and_crore(value: float, text: str) -> None:
    assert fmt.count(value) == text


@given(st.integers(0, 10**12))
def test_a_shortened_count_is_within_half_a_unit_of_its_last_digit(value: int) -> None:
    text = fmt.count(value)
    units = {"K": (1e3, 0.05), "L": (1e5, 0.005), "Cr": (1e7, 0.005)}
    unit = text.lstrip("0123456789.,")
    size, half = units.get(unit, (1.0, 0.0))

    shown = float(text.removesuffix(unit).replace(",", "")) * size

    assert abs(shown - value) <= half * size * 1.000001


@pytest.mark.parametrize(
    ("value", "text"), [(0.45, "+0.45%"), (-1.2, "-1.20%"), (0, "0.00%"), (math.nan, "—")]
)
def test_a_percentage_carries_its_sign(value: float, text: str) -> None:
    assert fmt.percent(value) == text


def test_a_volatility_is_a_percentage_with_one_decimal() -> None:
    assert fmt.volatility(0.1344) == "13.4%"
    assert fmt.volatility(math.nan) == "—"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (-3, "0.0s"),
        (0.31, "0.3s"),
        (9.96, "10s"),
        (43.2, "43s"),
        (59.7, "1m 00s"),
        (130, "2m 10s"),
        (11100, "3h 05m"),
    ],
)
def test_ages_grow_coarser(seconds: float | None, text: str) -> None:
    assert fmt.age(seconds) == text


def test_times_are_told_in_ist_with_the_day_when_it_is_not_today() -> None:
    assert fmt.clock(NOW) == "11:00:00"
    assert fmt.moment(NOW - timedelta(hours=1), NOW) == "10:00:00"
    assert fmt.moment(NOW - timedelta(days=5), NOW) == "21 Nov 11:00:00"
    assert fmt.moment(NOW - timedelta(days=365), NOW) == "26 Nov 2024 11:00:00"


def test_an_opening_names_the_day_only_when_it_is_another() -> None:
    assert fmt.opening(NOW + timedelta(hours=1), NOW) == "12:00"
    assert fmt.opening(NOW + timedelta(days=5), NOW) == "Mon 11:00"
    assert fmt.opening(NOW + timedelta(days=9), NOW) == "5 Dec 11:00"


@given(st.one_of(finite, st.just(math.nan), st.just(math.inf)))
def test_nothing_is_ever_written_as_nan_or_infinity(value: float) -> None:
    writers = (fmt.price, fmt.money, fmt.percent, fmt.volatility, fmt.count, fmt.whole, fmt.signed)

    texts = [write(value) for write in writers]

    assert not any(word in text.lower() for text in texts for word in ("nan", "inf", "none"))
