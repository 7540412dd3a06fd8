"""When and at what price a paper order fills, given what the market shows: pure judgement.

An order never fills better than the market: a buy gets the ask and a sell the bid, up to the
quantity that is shown there. If a trade came after the book, the worse of the two counts. Without
a live book only a trade after the order's placement fills it, at the trade's price, and the fill
says "ltp-only". A price that is old or suspect fills nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from trading.checks import Band
from trading.marks import HIGHEST, LOWEST, PRICE_FRESH, Mark, Source
from trading.model import UNKNOWN, Tick
from trading.order import BrokerOrder, OrderType, Side
from trading.ports import PolledQuote

TRIGGER_PENDING: Final = "trigger pending"  # the broker's word for a stop that waits


class Shown(NamedTuple):
    """What the market shows of one instrument. Rupees and units; moments are monotonic seconds.

    `told_at` is when the last price arrived and `traded_at` when it was traded: a new connection
    tells old trades. W came over the feed, R was asked for.
    """

    ltp: float
    told_at: float
    traded_at: float
    bid: float
    bid_qty: int
    ask: float
    ask_qty: int
    book_at: float
    day_low: float
    day_high: float
    source: Source


def of_tick(tick: Tick) -> Shown:
    traded_at = tick.price_received
    if tick.ltt > 0 and tick.exchange_ts > 0:  # both by the exchange's clock
        traded_at = min(traded_at, tick.received - (tick.exchange_ts - tick.ltt) / 1000)
    return Shown(
        tick.ltp,
        tick.price_received,
        traded_at,
        tick.bid,
        tick.bid_qty,
        tick.ask,
        tick.ask_qty,
        tick.book_received,
        tick.day_low,
        tick.day_high,
        "W",
    )


def of_mark(mark: Mark, *, now: float, now_ms: float) -> Shown:
    """Take a polled quote for what was shown when it was asked for; its range has been checked.

    `now` is monotonic seconds, `now_ms` the exchange's epoch ms.
    """
    asked = now - mark.age
    traded_at = min(asked, now - (now_ms - mark.ltt) / 1000) if mark.ltt > 0 else -math.inf
    has_book = mark.bid_qty > 0 or mark.ask_qty > 0
    return Shown(
        mark.price,
        asked,
        traded_at,
        mark.bid,
        mark.bid_qty,
        mark.ask,
        mark.ask_qty,
        asked if has_book else UNKNOWN,
        UNKNOWN,
        UNKNOWN,
        mark.source,
    )


def band_of(quote: PolledQuote) -> Band | None:
    """Return the circuit limits if the quote tells them."""
    lower, upper = quote.lower_circuit, quote.upper_circuit
    return Band(lower, upper) if 0 < lower < upper < math.inf else None


class Offer(NamedTuple):
    """What a market order of one side would get now; quantity None if no depth limits it.

    `basis` says in words what the price is. Two offers of one `stamp` are the same units.
    """

    price: float
    quantity: int | None
    basis: str
    stamp: tuple[float, float, int]


class NoOffer(NamedTuple):
    """Why the market gives nothing now: in a word that holds for a while, and in full."""

    kind: str
    words: str


NOT_LIVE: Final = NoOffer("no live price", "neither a live book nor a trade since it was placed")


def offer(shown: Shown, side: Side, *, now: float, since: float) -> Offer | NoOffer:
    """Return what the market gives an order placed at `since` (monotonic seconds)."""
    if words := suspicion(shown, now):
        return NoOffer("suspect price", words)
    traded = _fresh(shown.traded_at, now) and _sane(shown.ltp)
    if _fresh(shown.book_at, now):
        return _from_book(shown, side, traded=traded)
    if traded and shown.traded_at > since:
        basis = f"last trade {shown.ltp:.2f} {shown.source}, ltp-only"
        return Offer(shown.ltp, None, basis, (shown.told_at, shown.ltp, 0))
    return NOT_LIVE


def suspicion(shown: Shown, now: float) -> str:
    """Return why what is shown must not be believed, empty if nothing speaks against it."""
    if _fresh(shown.told_at, now):
        if not _sane(shown.ltp):
            return f"a last price of {shown.ltp:g} is no price"
        low, high = shown.day_low, shown.day_high
        if _sane(low) and _sane(high) and not low <= shown.ltp <= high:
            return f"the last price {shown.ltp:.2f} is outside the day's {low:.2f} to {high:.2f}"
    if _fresh(shown.book_at, now) and 0 < shown.ask < shown.bid:
        return f"the book is crossed, bid {shown.bid:.2f} above ask {shown.ask:.2f}"
    return ""


def _from_book(shown: Shown, side: Side, *, traded: bool) -> Offer | NoOffer:
    buys = side is Side.BUY
    price, quantity = (shown.ask, shown.ask_qty) if buys else (shown.bid, shown.bid_qty)
    name = "ask" if buys else "bid"
    if quantity <= 0 or not _sane(price):
        kind = f"no {'seller' if buys else 'buyer'} is shown"
        return NoOffer(kind, f"{kind}; the last price is {shown.ltp:.2f}")
    stamp = (shown.book_at, price, quantity)
    worse = shown.ltp > price if buys else shown.ltp < price
    if traded and shown.traded_at > shown.book_at and worse:  # the book has moved since
        basis = f"a trade at {shown.ltp:.2f} after the {name} {price:.2f} {shown.source}"
        return Offer(shown.ltp, quantity, basis, stamp)
    return Offer(price, quantity, f"{name} {price:.2f} {shown.source}", stamp)


def triggers(order: BrokerOrder, shown: Shown, *, now: float, since: float) -> bool:
    """Return whether a trade after the placement has reached the trigger of a waiting stop."""
    if not _fresh(shown.traded_at, now) or shown.traded_at <= since:
        return False
    if not _sane(shown.ltp) or suspicion(shown, now):
        return False
    rises = order.side is Side.BUY
    return shown.ltp >= order.trigger if rises else shown.ltp <= order.trigger


class Execution(NamedTuple):
    """So many units of an offer for an order; the words say why, for the order's page."""

    offered: Offer
    quantity: int
    words: str

    @property
    def price(self) -> float:
        return self.offered.price


def execution(order: BrokerOrder, offered: Offer, *, taken: int, lot: int) -> Execution | None:
    """Return what of an active order this offer fills; `taken` units of it are gone already."""
    if order.order_type.has_price and (order.price - offered.price) * order.side.sign < 0:
        return None
    pending = order.quantity - order.filled
    quantity = pending
    if offered.quantity is not None:
        quantity = min(pending, (offered.quantity - taken) // lot * lot)
    if quantity <= 0:
        return None
    return Execution(offered, quantity, _words(order, offered, quantity))


def _words(order: BrokerOrder, offered: Offer, quantity: int) -> str:
    why = offered.basis
    if order.order_type.has_price:
        why += f" {'<=' if order.side is Side.BUY else '>='} limit {order.price:.2f}"
    if offered.quantity is not None and quantity < order.quantity - order.filled:
        why += f", only {quantity} shown"
    return f"{quantity} filled at {offered.price:.2f}: {why}"


@dataclass(frozen=True, slots=True)
class Reach:
    """The prices at which something happens to any of an instrument's orders; rupees.

    A filter that costs a few comparisons a tick: it may say yes in vain, never no in vain.
    """

    buys_to: float  # the highest limit of the buys
    sells_from: float  # the lowest limit of the sells
    rises_to: float  # the lowest trigger of the waiting buys
    falls_to: float  # the highest trigger of the waiting sells

    def met(self, tick: Tick) -> bool:
        ltp = tick.ltp
        return (
            tick.ask <= self.buys_to
            or tick.bid >= self.sells_from
            or ltp <= self.buys_to
            or ltp >= self.sells_from
            or ltp >= self.rises_to
            or ltp <= self.falls_to
        )


def reach(orders: Iterable[BrokerOrder]) -> Reach:
    buys_to, sells_from, rises_to, falls_to = -math.inf, math.inf, math.inf, -math.inf
    for order in orders:
        buys = order.side is Side.BUY
        if waits(order):
            if buys:
                rises_to = min(rises_to, order.trigger)
            else:
                falls_to = max(falls_to, order.trigger)
        elif buys:
            buys_to = max(buys_to, order.price if order.order_type.has_price else math.inf)
        else:
            sells_from = min(sells_from, order.price if order.order_type.has_price else -math.inf)
    return Reach(buys_to, sells_from, rises_to, falls_to)


def waits(order: BrokerOrder) -> bool:
    """Return whether it is a stop whose trigger has not been reached."""
    return order.raw_status == TRIGGER_PENDING


def precedence(order: BrokerOrder) -> float:
    """Return a number by which orders of one side are served: market orders, then the best limit.

    Equal ones are served in the order of their placement.
    """
    if order.order_type in (OrderType.MARKET, OrderType.SL_M):
        return -math.inf
    return -order.side.sign * order.price


def _fresh(at: float, now: float) -> bool:
    return now - at <= PRICE_FRESH  # of NaN it is not


def _sane(price: float) -> bool:
    return LOWEST <= price <= HIGHEST  # of NaN neither holds
