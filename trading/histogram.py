"""How long something took, counted in fine steps: small and exact in number, however much there is.

One writer, any reader: each look at the counts is one step of the interpreter.
"""

import math
from collections.abc import Mapping
from typing import Final

FINEST: Final = 0.001  # ms; below it nothing is told apart
STEPS: Final = 25  # of a growth by e: neighbours lie four percent apart

Counts = Mapping[int, int]  # how often, by step


class Histogram:
    """Counts milliseconds, also negative ones: a clock of the other side may be ahead of ours."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def note(self, milliseconds: float) -> None:
        step = round(math.asinh(milliseconds / FINEST) * STEPS)
        self._counts[step] = self._counts.get(step, 0) + 1

    def counts(self) -> dict[int, int]:
        """Return a copy of what was counted since the beginning."""
        return self._counts.copy()


def grown(before: Counts, now: Counts) -> dict[int, int]:
    """Return what was counted between two looks at the same histogram."""
    return {step: n - before.get(step, 0) for step, n in now.items() if n > before.get(step, 0)}


def quantile(counts: Counts, share: float) -> float | None:
    """Return the milliseconds below which this share lies, within two percent; None of nothing."""
    number = sum(counts.values())
    left = min(number - 1, int(share * number))
    for step in sorted(counts):
        left -= counts[step]
        if left < 0:
            return math.sinh(step / STEPS) * FINEST
    return None
