"""Who listens to which instruments, so that a market can leave the others alone."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from simulator.model import Market, Quote

LINGERS: Final = 300.0  # seconds


class Interest:
    """How many listen to an instrument: connections of the feed, and orders that work.

    An exchange trades on while a listener has lost its connection, and its candles show that
    afterwards: what was listened to until then stays `alive` for some minutes.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._held: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # when its last listener was lost

    def add(self, key: str) -> None:
        self._held[key] += 1
        self._left.pop(key, None)

    def remove(self, key: str, *, lost: bool = False) -> None:
        """One listens no more, or was `lost` and may come back."""
        self._held[key] -= 1
        if self._held[key] <= 0:
            del self._held[key]
            if lost:
                self._left[key] = self._monotonic()

    def wants(self, key: str) -> bool:
        return key in self._held

    def alive(self, key: str) -> bool:
        """Say whether somebody listens, or was lost a short time ago."""
        if key in self._held:
            return True
        left = self._left.get(key)
        if left is None:
            return False
        if self._monotonic() - left > LINGERS:
            del self._left[key]
            return False
        return True


@runtime_checkable
class Lazy(Protocol):
    """A market that leaves alone what nobody listens to, until it is asked for."""

    def refresh(self, key: str) -> None: ...


def look(market: Market, interest: Interest, key: str) -> Quote:
    """Return an instrument's quote as of now, also if nobody listens to it."""
    # one that is listened to changes in `advance` only, else the listeners would miss it
    if not interest.wants(key):
        stir(market, key)
    return market.quotes[key]


def stir(market: Market, key: str) -> None:
    """Have an instrument change now, if this market can do that."""
    if isinstance(market, Lazy):
        market.refresh(key)
