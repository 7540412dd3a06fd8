"""Delays between attempts, mostly with full jitter: a thousand clients do not come back at once."""

import random
from collections.abc import Callable, Iterator
from typing import Final

DOUBLINGS: Final = 64  # beyond any cap, and still a number


def delays(base: float, *, cap: Callable[[], float], jitter: random.Random) -> Iterator[float]:
    """Yield seconds to wait, for ever: uniform between 0 and base, 2 base, 4 base ... up to `cap`.

    `cap` is asked each time, because it is short while the market is open and long while not.
    """
    bound = base
    while True:
        limit = cap()
        yield jitter.uniform(0, min(bound, limit))
        bound = min(bound * 2, max(limit, base))


def doubled(base: float, times: int, *, cap: float) -> float:
    """Return `base` doubled so many times, `cap` at most, also after days of refusals."""
    return min(base * 2.0 ** min(times, DOUBLINGS), cap)
