"""A generator of delays: full jitter, so that a thousand clients do not come back together."""

import random
from collections.abc import Callable, Iterator


def delays(base: float, *, cap: Callable[[], float], jitter: random.Random) -> Iterator[float]:
    """Yield seconds to wait, for ever: uniform between 0 and base, 2 base, 4 base ... up to `cap`.

    `cap` is asked each time, because it is short while the market is open and long while not.
    """
    bound = base
    while True:
        limit = cap()
        yield jitter.uniform(0, min(bound, limit))
        bound = min(bound * 2, max(limit, base))
