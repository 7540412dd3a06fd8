"""Who listens to which instruments, so that a market can leave the others alone."""

from collections import Counter
from typing import Protocol, runtime_checkable

from simulator.model import Market, Quote


class Interest:
    """How many listen to an instrument: connections of the feed, and orders that work."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def add(self, key: str) -> None:
        self._held[key] += 1

    def remove(self, key: str) -> None:
        self._held[key] -= 1
        if self._held[key] <= 0:
            del self._held[key]

    def wants(self, key: str) -> bool:
        return key in self._held


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
