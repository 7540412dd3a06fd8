"""What the routes and the feeder of one simulated exchange share."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from simulator.calendar import ExchangeCalendar
from simulator.clock import ExchangeClock
from simulator.faults import Faults
from simulator.ledger import Ledger
from simulator.model import Market, Quote
from simulator.tokens import Invitations, TokenTable


class Interest:
    """Which instruments somebody listens to, so that a market can leave the others alone."""

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


@dataclass(frozen=True, slots=True)
class Venue:
    market: Market
    clock: ExchangeClock
    calendar: ExchangeCalendar
    tokens: TokenTable
    faults: Faults = field(default_factory=Faults)
    ledger: Ledger = field(default_factory=Ledger)
    interest: Interest = field(default_factory=Interest)
    invitations: Invitations = field(default_factory=Invitations)

    def look(self, key: str) -> Quote:
        """Return an instrument's quote as of now, also if nobody listens to it."""
        # one that is listened to changes in `advance` only, else the listeners would miss it
        if not self.interest.wants(key):
            self.stir(key)
        return self.market.quotes[key]

    def stir(self, key: str) -> None:
        """Have an instrument change now, if this market can do that."""
        if isinstance(self.market, Lazy):
            self.market.refresh(key)
