"""What the routes and the feeder of one simulated exchange share."""

from dataclasses import dataclass, field

from simulator.broker import Broker
from simulator.calendar import ExchangeCalendar
from simulator.clock import ExchangeClock
from simulator.faults import Faults
from simulator.interest import Interest, look, stir
from simulator.ledger import Ledger
from simulator.model import Market, Quote
from simulator.telegram_chat import Chats
from simulator.tokens import Invitations, TokenTable
from simulator.webhook import Webhook


@dataclass(frozen=True, slots=True)
class Venue:
    market: Market
    clock: ExchangeClock
    calendar: ExchangeCalendar
    tokens: TokenTable
    broker: Broker = field(kw_only=True)
    webhook: Webhook = field(kw_only=True)
    faults: Faults = field(default_factory=Faults)
    ledger: Ledger = field(default_factory=Ledger)
    interest: Interest = field(default_factory=Interest)
    invitations: Invitations = field(default_factory=Invitations)
    update_invitations: Invitations = field(default_factory=Invitations)  # to portfolio streams
    telegram: Chats = field(default_factory=Chats)

    def look(self, key: str) -> Quote:
        """Return an instrument's quote as of now, also if nobody listens to it."""
        return look(self.market, self.interest, key)

    def stir(self, key: str) -> None:
        """Have an instrument change now, if this market can do that."""
        stir(self.market, key)
