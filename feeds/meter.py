"""Rates over the last seconds and percentiles of the last measurements; one writer, any reader."""

import statistics
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from trading.ports import Percentiles

WINDOW: Final = 5.0  # seconds that a rate looks back
EVERY: Final = 0.5  # seconds between two samples
MEASUREMENTS: Final = 1024  # frames; some twenty seconds of a busy feed


class Sample(NamedTuple):
    """Totals at one monotonic moment."""

    at: float
    frames: int
    ticks: int
    bytes: int


class Rates(NamedTuple):
    """Per second."""

    frames: float = 0.0
    ticks: float = 0.0
    bytes: float = 0.0


class RateMeter:
    """Remembers totals now and then; a reader copies them in one step of the interpreter."""

    def __init__(self, *, window: float = WINDOW, every: float = EVERY) -> None:
        self._window = window
        self._every = every
        self._samples: deque[Sample] = deque(maxlen=round(window / every) + 2)

    def note(self, sample: Sample) -> None:
        if not self._samples or sample.at - self._samples[-1].at >= self._every:
            self._samples.append(sample)

    def rates(self, now: Sample) -> Rates:
        """Return what grew since the oldest sample within the window."""
        recent = [s for s in tuple(self._samples) if now.at - s.at <= self._window]
        if not recent or now.at <= recent[0].at:
            return Rates()
        first = recent[0]
        seconds = now.at - first.at
        return Rates(
            (now.frames - first.frames) / seconds,
            (now.ticks - first.ticks) / seconds,
            (now.bytes - first.bytes) / seconds,
        )


class LatencyMeter:
    """How many milliseconds after the exchange's stamp the last frames came."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MEASUREMENTS)

    def note(self, milliseconds: float) -> None:
        self._recent.append(milliseconds)

    def percentiles(self) -> Percentiles:
        ordered = sorted(self._recent)
        if not ordered:
            return Percentiles()
        return Percentiles(*(nearest(ordered, share) for share in (0.50, 0.95, 0.99)))

    def skew(self) -> float | None:
        """Return seconds that the exchange's clock is ahead of ours, as far as can be told."""
        recent = tuple(self._recent)
        return -statistics.median(recent) / 1000 if recent else None


def nearest(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of the ordered ones lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
