"""Orders against the market's own quotes: what fills at which price, and when a stop is reached.

The market does not see these orders: they take from what it shows, and what they took is gone
until that side of the book changes. They never meet one another. An order of the user's that the
market trades through (it prints a trade beyond its limit) was the best there was, and fills at its
own price; one that the whole book has moved past fills at the better prices of that book.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from simulator.interest import Interest, look
from simulator.model import Instrument, Market, Quote
from simulator.orders import Order, Phase, Terms
from simulator.tape import Level

AUTOMATIC: Final = -1
EXACT: Final = 1e-9  # rupees; prices are decimals that floats only come close to

# Percent around the price, by the price it is below. Of options only the first two rows are known.
FUTURE_BANDS: Final = ((50.0, 3.0), (500.0, 2.0), (10_000.0, 1.0), (math.inf, 0.5))
OPTION_BANDS: Final = ((5.0, 15.0), (10.0, 10.0), (math.inf, 5.0))


class Fill(NamedTuple):
    price: float
    quantity: int


def walk(
    levels: Iterable[Level], gone: dict[float, int], want: int, limit: float | None, *, buying: bool
) -> list[Fill]:
    """Take up to `want` from the levels that are within the limit, and note it in `gone`."""
    fills = []
    for price, shown in levels:
        if price <= 0 or not within(price, limit, buying=buying):
            continue
        quantity = min(want, shown - gone.get(price, 0))
        if quantity > 0:
            gone[price] = gone.get(price, 0) + quantity
            want -= quantity
            fills.append(Fill(price, quantity))
    return fills


def within(price: float, limit: float | None, *, buying: bool) -> bool:
    """Return whether a price is the limit or better for its owner; no limit takes any."""
    if limit is None:
        return True
    return price <= limit + EXACT if buying else price >= limit - EXACT


def reached(trigger: float, ltp: float, *, buying: bool) -> bool:
    return ltp >= trigger if buying else ltp <= trigger


def band(instrument: Instrument, price: float, protection: float) -> float:
    """Return the percentage around a price that a market order with protection may go."""
    if protection != AUTOMATIC:
        return protection
    bands = OPTION_BANDS if instrument.instrument_type in ("CE", "PE") else FUTURE_BANDS
    return next(percent for below, percent in bands if price < below)


def protected(
    instrument: Instrument, quote: Quote, around: float, percent: float, side: str
) -> float:
    """Return the limit that a market order becomes: on a tick, and inside the circuit limits."""
    tick = instrument.tick_size
    if side == "BUY":
        limit = math.floor(round(around * (1 + percent / 100) / tick, 6)) * tick
        limit = min(limit, quote.upper_circuit or limit)
    else:
        limit = math.ceil(round(around * (1 - percent / 100) / tick, 6)) * tick
        limit = max(limit, quote.lower_circuit, tick)
    return round(limit, 2)


def limit_of(terms: Terms, instrument: Instrument, quote: Quote, side: str) -> float | None:
    """Return the limit an order has in the book; None for a market order without protection."""
    if terms.order_type in ("LIMIT", "SL"):
        return terms.price
    if not terms.market_protection:
        return None
    around = terms.trigger_price or quote.ltp
    percent = band(instrument, around, terms.market_protection)
    return protected(instrument, quote, around, percent, side)


def urgency(order: Order) -> float:
    """Return what sorts orders of one side: those that pay most go first."""
    if order.limit is None:
        return -math.inf
    return -order.limit if order.buying else order.limit


@dataclass(slots=True)
class Slot:
    """One instrument's orders, and what they have taken of the book that stands."""

    orders: list[Order] = field(default_factory=list)
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    bids_gone: dict[float, int] = field(default_factory=dict)
    asks_gone: dict[float, int] = field(default_factory=dict)
    seen: tuple[int, int, float] = (0, 0, 0.0)  # the last print: time, volume, price

    def look_at(self, quote: Quote) -> int:
        """Follow the quote; return the quantity of a print that is new, else 0."""
        if quote.bids is not self.bids:
            self.bids, self.bids_gone = quote.bids, {}
        if quote.asks is not self.asks:
            self.asks, self.asks_gone = quote.asks, {}
        printed = (quote.ltt, quote.volume, quote.ltp)
        fresh, self.seen = printed != self.seen, printed
        return quote.ltq if fresh else 0


class Engine:
    """Holds the orders that work, by instrument. `fill` and `trigger` are told what happens."""

    def __init__(
        self,
        market: Market,
        interest: Interest,
        *,
        fill: Callable[[Order, Fill], None],
        trigger: Callable[[Order], None],
        allowed: Callable[[Order], int],
    ) -> None:
        """`allowed` says how many more units an order may fill, which faults limit."""
        self._market = market
        self._interest = interest
        self._fill = fill
        self._trigger = trigger
        self._allowed = allowed
        self._slots: dict[str, Slot] = {}

    def add(self, order: Order) -> None:
        """Begin to watch the order's instrument; it is not matched yet."""
        slot = self._slots.setdefault(order.key, Slot())
        slot.look_at(look(self._market, self._interest, order.key))
        slot.orders.append(order)
        self._interest.add(order.key)

    def remove(self, order: Order) -> None:
        slot = self._slots.get(order.key)
        if slot is not None and order in slot.orders:
            slot.orders.remove(order)
            self._interest.remove(order.key)

    def match(self, order: Order) -> None:
        """Let an order of the book take what is there for it now."""
        quote, slot = self._market.quotes[order.key], self._slots[order.key]
        slot.look_at(quote)
        self._take(order, slot, quote)

    def reached(self, order: Order) -> bool:
        """Return whether the last price has reached a stop's trigger."""
        ltp = self._market.quotes[order.key].ltp
        return reached(order.terms.trigger_price, ltp, buying=order.buying)

    def changed(self, key: str) -> None:
        """Act on a change of an instrument's quote."""
        slot = self._slots.get(key)
        if slot is None or not slot.orders:
            return
        quote = self._market.quotes[key]
        printed = slot.look_at(quote)
        for order in sorted(slot.orders, key=urgency):
            if order.phase is Phase.STOP and self.reached(order):
                self._trigger(order)
            elif order.phase is Phase.WORKING:
                self._take(order, slot, quote)
                printed -= self._traded_through(order, quote.ltp, printed)

    def _take(self, order: Order, slot: Slot, quote: Quote) -> None:
        want = self._allowed(order)
        if want <= 0:
            return
        levels, gone = (
            (quote.asks, slot.asks_gone) if order.buying else (quote.bids, slot.bids_gone)
        )
        for fill in walk(levels, gone, want, order.limit, buying=order.buying):
            self._fill(order, fill)

    def _traded_through(self, order: Order, ltp: float, printed: int) -> int:
        """Fill at its limit what a new print beyond that leaves; return how much."""
        if order.limit is None or printed <= 0 or ltp == order.limit:
            return 0
        quantity = min(printed, self._allowed(order))
        if quantity <= 0 or not within(ltp, order.limit, buying=order.buying):
            return 0
        self._fill(order, Fill(order.limit, quantity))
        return quantity
