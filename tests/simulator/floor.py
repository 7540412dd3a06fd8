"""A broker without its server: a tiny market, times that tests move, and all that was told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.agenda import Agenda
from simulator.broker import Broker
from simulator.calendar import ExchangeCalendar
from simulator.clock import ManualExchangeClock
from simulator.faults import Faults
from simulator.interest import Interest
from simulator.memory import Memory
from simulator.model import Instrument, Part
from simulator.order_forms import read_modify, read_order
from simulator.orders import Order
from simulator.portfolio import Account
from simulator.tokens import USER
from tests.simulator.tiny import CALL, T0, TinyMarket

LOT = 75


def body(**fields: Any) -> dict[str, Any]:
    """Return a place request: a lot of the call, to buy at 142.60 in a book of 142.50/142.70."""
    price = 142.6 if fields.get("order_type", "LIMIT") in ("LIMIT", "SL") else 0
    return {
        "instrument_token": CALL,
        "quantity": LOT,
        "product": "I",
        "validity": "DAY",
        "order_type": "LIMIT",
        "transaction_type": "BUY",
        "price": price,
        "trigger_price": 0,
        "disclosed_quantity": 0,
        "is_amo": False,
    } | fields


class Floor:
    """The market's two best prices are 142.50 (300 units) and 142.70 (225); limits 100 to 200."""

    def __init__(
        self,
        *more: Instrument,
        always_open: bool = True,
        memory: Memory | None = None,
        now_ms: int = T0,
    ) -> None:
        self.market = TinyMarket(*more)
        self.clock = ManualExchangeClock(datetime.fromtimestamp(now_ms / 1000, UTC))
        self.faults = Faults()
        self.interest = Interest()
        self._seconds = 0.0
        self.agenda = Agenda(lambda: self._seconds)
        self.broker = Broker(
            self.market,
            clock=self.clock,
            calendar=ExchangeCalendar(always_open=always_open),
            faults=self.faults,
            interest=self.interest,
            agenda=self.agenda,
            memory=memory,
        )
        self.broker.open_memory()
        self.told: list[Mapping[str, Any]] = []
        self.broker.listen(lambda _, message: self.told.append(message))

    @property
    def account(self) -> Account:
        return self.broker.account(USER)

    def place(self, **fields: Any) -> Order:
        """Send an order in, and let it reach the exchange."""
        order = self.send(**fields)
        self.settle()
        return order

    def send(self, **fields: Any) -> Order:
        (order,) = self.broker.place(USER, read_order(body(**fields)))
        return order

    def modify(self, order: Order, **fields: Any) -> None:
        terms = order.terms
        asked = {
            "order_id": order.order_id,
            "order_type": terms.order_type,
            "validity": terms.validity,
            "price": terms.price,
            "trigger_price": terms.trigger_price,
        }
        self.broker.modify(order.user, read_modify(asked | fields))
        self.settle()

    def cancel(self, order: Order) -> None:
        self.broker.cancel(order.user, order.order_id)
        self.settle()

    def settle(self, seconds: float = 0.1) -> None:
        """Let so much real time pass, a step at a time."""
        until = self._seconds + seconds
        while self.agenda.next_at <= until:
            self._seconds = max(self._seconds, self.agenda.next_at)
            self.agenda.run()
        self._seconds = until

    def change(self, key: str = CALL, **fields: Any) -> None:
        """Have the market show something else."""
        self.market.change(key, Part.ALL, **fields)
        for changed, _ in self.market.advance(0):
            self.broker.market_changed(changed)

    def book(self, bid: float, ask: float, *, shown: int = 10_000, key: str = CALL) -> None:
        """Have the market show one level on each side."""
        self.change(key, bids=[(bid, shown)], asks=[(ask, shown)])

    def trade(self, ltp: float, *, quantity: int = LOT, key: str = CALL) -> None:
        quote = self.market.quotes[key]
        volume = quote.volume + quantity
        self.change(key, ltp=ltp, ltq=quantity, volume=volume, ltt=quote.ltt + 1)


def statuses(order: Order) -> list[str]:
    return [str(stage.status) for stage in order.history]


def fills(order: Order) -> list[tuple[float, int]]:
    return [(trade.paise / 100, trade.quantity) for trade in order.trades]
