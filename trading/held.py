"""One instrument in one account: what was carried over, what was filled, what the broker corrected.

The three are kept apart and the position is worked out anew from them, so that a fill that comes
late, twice or better told than before needs no special case.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from trading.model import UNKNOWN
from trading.order import BrokerPosition, Fill, Product, Side
from trading.pnl import FLAT, Running, amount, default_multiplier, replayed, started

CORRECTION: Final = (
    "adjusted by the broker"  # the order number of a made-up fill that makes books agree
)


@dataclass(frozen=True, slots=True)
class Carried:
    """What an earlier day left: signed units and what was paid for them in paise, None unknown.

    `told` is whether the broker said so today; else it is what we counted the day before.
    """

    quantity: int = 0
    cost: int | None = 0
    told: bool = False


@dataclass(frozen=True, slots=True)
class Doubt:
    """The broker's quantity is not ours: how many reads in a row said so, since when (monotonic).

    `contradicts` says in words why the broker's own books do not fit together, if they do not.
    """

    broker: int
    reads: int
    since: float
    contradicts: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the stream said last, and when (monotonic)."""

    quantity: int
    at: float


@dataclass(slots=True)
class Held:
    account: str
    instrument_key: str
    product: Product
    is_mock: bool
    multiplier: float = UNKNOWN
    carried: Carried = field(default_factory=Carried)
    orders: dict[str, tuple[Fill, ...]] = field(default_factory=dict)
    correction: tuple[Fill, ...] = ()
    running: Running = FLAT
    row: BrokerPosition | None = None  # as the last read told it
    broker: int | None = None  # its quantity, 0 if the read did not have it; None before any read
    doubt: Doubt | None = None
    heard: Heard | None = None
    filled_at: float = -math.inf  # monotonic, when a fill last changed the quantity

    def __post_init__(self) -> None:
        self.multiplier = default_multiplier(self.instrument_key)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to show: never held today, and nobody says so."""
        return not (self.orders or self.correction or self.carried.quantity or self.doubt)

    @property
    def counted(self) -> int:
        """Return the signed units of what was carried and filled, without any correction."""
        return self.carried.quantity + _net(self.fills())

    @property
    def adjusted(self) -> int:
        return _net(self.correction)

    def fills(self) -> list[Fill]:
        """Return today's executions, order by order as they were first told of."""
        return [fill for fills in self.orders.values() for fill in fills]

    def rebuild(self) -> None:
        """Work the position out in the order of time; what is of one moment as it came."""
        everything = sorted([*self.fills(), *self.correction], key=lambda fill: fill.at)
        start = started(self.carried.quantity, self.carried.cost)
        self.running = replayed(start, everything, self.multiplier)

    def end_day(self) -> None:
        """Carry over what is open; the broker has yet to say the same."""
        self.carried = Carried(self.running.quantity, self.running.cost)
        self.orders, self.correction = {}, ()
        self.row = self.broker = self.doubt = self.heard = None
        self.rebuild()

    def take_terms(self, row: BrokerPosition) -> None:
        """Believe the broker about the multiplier and about what was carried over.

        About the latter only if its quantity stays as it is, or if nothing was known to be carried
        and the books agree with it.
        """
        if row.multiplier > 0:
            self.multiplier = row.multiplier
        overnight = carried_by(row)
        if overnight.quantity == self.carried.quantity:
            if overnight.cost is not None or self.carried.cost is None:
                self.carried = overnight
        elif not self.carried.quantity and overnight.quantity + self.counted == row.quantity:
            self.carried = overnight

    def adopt(self, at: datetime) -> None:
        """Make the quantity the broker's, by made-up fills where its row does not tell of any."""
        overnight = carried_by(self.row) if self.row else Carried(told=True)
        if overnight.quantity or not self.carried.told:
            self.carried = overnight
        self.correction = self._corrections((self.broker or 0) - self.counted, at)
        self.doubt = None

    def _corrections(self, units: int, at: datetime) -> tuple[Fill, ...]:
        """Return what the row's totals of the day have more than our fills, priced by them.

        If they do not explain the difference, its price is unknown.
        """
        if not units:
            return ()
        bought, sold = self._unseen(Side.BUY), self._unseen(Side.SELL)
        if bought and sold and bought[0] - sold[0] == units:
            made = [self._made_up(Side.BUY, *bought, at), self._made_up(Side.SELL, *sold, at)]
            return tuple(fill for fill in made if fill.quantity)
        side = Side.BUY if units > 0 else Side.SELL
        return (self._made_up(side, abs(units), UNKNOWN, at),)

    def _unseen(self, side: Side) -> tuple[int, float] | None:
        """Return units and price of what the row has more than we; None if that makes no sense."""
        row = self.row
        if row is None:
            return None
        buys = side is Side.BUY
        quantity = row.day_buy_quantity if buys else row.day_sell_quantity
        value = row.day_buy_value if buys else row.day_sell_value
        ours = [fill for fill in self.fills() if fill.side is side]
        units = quantity - sum(fill.quantity for fill in ours)
        rupees = value - sum(fill.price * fill.quantity for fill in ours)
        if units == 0:
            return 0, UNKNOWN
        return (units, rupees / units) if units > 0 and rupees > 0 else None

    def _made_up(self, side: Side, quantity: int, price: float, at: datetime) -> Fill:
        return Fill(
            account=self.account,
            order_id=CORRECTION,
            trade_id="",
            instrument_key=self.instrument_key,
            product=self.product,
            side=side,
            quantity=quantity,
            price=price,
            at=at,
            is_mock=self.is_mock,
        )


def carried_by(row: BrokerPosition) -> Carried:
    """Return what a row says was carried: at the average of the side that it was opened on."""
    quantity = row.overnight_quantity
    if quantity == 0:
        return Carried(told=True)
    long = quantity > 0
    units = row.overnight_buy_quantity if long else row.overnight_sell_quantity
    rupees = row.overnight_buy_amount if long else row.overnight_sell_amount
    if units <= 0 or not rupees > 0:
        return Carried(quantity, None, told=True)
    return Carried(quantity, amount(rupees / units, quantity, row.multiplier), told=True)


def contradiction(row: BrokerPosition | None, trades: Iterable[Fill]) -> str:
    """Return in words how a row (None: not listed) does not fit the trades of the same read."""
    today = row.quantity - row.overnight_quantity if row else 0
    traded = _net(trades)
    if today == traded:
        return ""
    return f"its own trades of today add up to {traded:+d}, its position says {today:+d}"


def _net(fills: Iterable[Fill]) -> int:
    return sum(fill.side.sign * fill.quantity for fill in fills)
