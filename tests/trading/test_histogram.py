"""Counted durations: what a quantile of them says, and what two looks differ by."""

import random

import pytest

from trading.histogram import Histogram, grown, quantile


@pytest.mark.parametrize("scale", [0.02, 1.0, 180.0, 60_000.0])
def test_a_quantile_is_within_three_percent_of_the_exact_one(scale: float) -> None:
    made = random.Random(11)
    values = [made.lognormvariate(0, 1) * scale for _ in range(5_000)]
    histogram = Histogram()
    for value in values:
        histogram.note(value)

    values.sort()
    for share in (0.5, 0.99):
        exact = values[int(share * len(values))]
        assert quantile(histogram.counts(), share) == pytest.approx(exact, rel=0.03)


def test_a_clock_that_is_behind_gives_negative_figures_in_their_order() -> None:
    histogram = Histogram()
    for value in [-1800.0] * 98 + [12.0] * 2:
        histogram.note(value)

    assert quantile(histogram.counts(), 0.50) == pytest.approx(-1800, rel=0.03)
    assert quantile(histogram.counts(), 0.99) == pytest.approx(12, rel=0.03)


def test_of_nothing_nothing_is_claimed() -> None:
    assert quantile(Histogram().counts(), 0.5) is None


def test_two_looks_differ_by_what_came_between_them() -> None:
    histogram = Histogram()
    histogram.note(5.0)
    before = histogram.counts()
    histogram.note(5.0)
    histogram.note(80.0)

    between = grown(before, histogram.counts())

    assert sum(between.values()) == 2
    assert quantile(between, 0.99) == pytest.approx(80, rel=0.03)
    assert grown(histogram.counts(), histogram.counts()) == {}
