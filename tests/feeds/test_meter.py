"""Rates and percentiles."""

import pytest

from feeds.meter import LatencyMeter, RateMeter, Rates, Sample
from trading.ports import Percentiles


def test_a_rate_looks_back_five_seconds() -> None:
    meter = RateMeter()
    for second in range(21):  # 10 frames a second, then 100
        frames = second * 10 if second <= 10 else 100 + (second - 10) * 100
        meter.note(Sample(float(second), frames, frames * 2, frames * 50))

    rates = meter.rates(Sample(20.0, 1100, 2200, 55_000))

    assert rates == (100.0, 200.0, 5000.0)


def test_silence_brings_the_rate_down_to_nothing() -> None:
    meter = RateMeter()
    for second in range(10):
        meter.note(Sample(float(second), second * 10, 0, 0))

    assert meter.rates(Sample(12.0, 90, 0, 0)).frames == pytest.approx(4.0)
    assert meter.rates(Sample(30.0, 90, 0, 0)) == Rates()


def test_before_anything_was_measured_nothing_is_claimed() -> None:
    assert LatencyMeter().percentiles() == Percentiles()
    assert LatencyMeter().skew() is None
    assert RateMeter().rates(Sample(1.0, 5, 5, 5)) == Rates()


def test_percentiles_and_skew_are_of_the_last_frames() -> None:
    meter = LatencyMeter()
    for value in [9e9] * 50 + list(range(1, 1025)):
        meter.note(float(value))

    assert meter.percentiles() == Percentiles(513.0, 973.0, 1014.0)
    assert meter.skew() == pytest.approx(-0.5125)
