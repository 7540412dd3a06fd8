"""The money and the positions of a paper account as they follow from its fills: pure arithmetic.

Cash is what the account began with, plus what closed positions gained or lost, less charges. What
an open position cost is not taken from the cash but blocked (see `paper_margin`), so that
cash = beginning + money received - money paid + cost of what is open - charges, to the paisa.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from trading.charges import charges, exercise
from trading.hours import IST
from trading.model import Instrument
from trading.order import BrokerPosition, Fill, Product, Side
from trading.paper_margin import Stake

SETTLEMENT: Final = "-expiry"  # the end of the trade id of a fill that expiry made

Place = tuple[str, Product]


@dataclass(frozen=True, slots=True)
class Row:
    """One instrument and product. Paise; `cost` is below 0 for what was sold and is still open."""

    quantity: int = 0
    cost: int = 0
    day_buy_quantity: int = 0
    day_buy_value: int = 0
    day_sell_quantity: int = 0
    day_sell_value: int = 0
    overnight_quantity: int = 0
    overnight_cost: int = 0

    def after(self, side: Side, quantity: int, value: int) -> tuple["Row", int]:
        """Return the row after a fill of this value (paise), and what was gained by closing."""
        closes = min(quantity, abs(self.quantity)) if self.quantity * side.sign < 0 else 0
        closing = _share(value, closes, quantity)
        released = _share(self.cost, closes, abs(self.quantity)) if closes else 0
        row = replace(
            self,
            quantity=self.quantity + side.sign * quantity,
            cost=self.cost - released + side.sign * (value - closing),
        )
        return row._traded(side, quantity, value), -side.sign * closing - released

    def _traded(self, side: Side, quantity: int, value: int) -> "Row":
        if side is Side.BUY:
            return replace(
                self,
                day_buy_quantity=self.day_buy_quantity + quantity,
                day_buy_value=self.day_buy_value + value,
            )
        return replace(
            self,
            day_sell_quantity=self.day_sell_quantity + quantity,
            day_sell_value=self.day_sell_value + value,
        )

    def opened(self) -> "Row":
        """Return the row as the next day begins with it."""
        return Row(
            quantity=self.quantity,
            cost=self.cost,
            overnight_quantity=self.quantity,
            overnight_cost=self.cost,
        )


@dataclass(frozen=True, slots=True)
class Turnover:
    """All that one order has filled so far, from which its charges follow."""

    value: int = 0
    charged: int = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """What fills would make of the book; taken over only once the disk has them."""

    cash: int
    rows: Mapping[Place, Row]
    turnovers: Mapping[str, Turnover]


@dataclass(slots=True)
class PaperBook:
    """Owned by the broker; changed by `take` and `begin_day` alone."""

    cash: int
    rows: dict[Place, Row] = field(default_factory=dict)
    turnovers: dict[str, Turnover] = field(default_factory=dict)

    def post(self, fills: Iterable[Fill], instrument: Callable[[str], Instrument]) -> Posting:
        cash = self.cash
        rows: dict[Place, Row] = {}
        turnovers: dict[str, Turnover] = {}
        for fill in fills:
            place = fill.instrument_key, fill.product
            row = rows.get(place) or self.rows.get(place) or Row()
            rows[place], gained = row.after(fill.side, fill.quantity, worth(fill))
            before = turnovers.get(fill.order_id) or self.turnovers.get(fill.order_id)
            after = _charged(before or Turnover(), fill, instrument(fill.instrument_key))
            turnovers[fill.order_id] = after
            cash += gained - (after.charged - (before.charged if before else 0))
        return Posting(cash, rows, turnovers)

    def take(self, posting: Posting) -> None:
        self.cash = posting.cash
        self.rows.update(posting.rows)
        self.turnovers.update(posting.turnovers)

    def begin_day(self) -> None:
        """Make what is open overnight rows; what is closed is forgotten."""
        self.rows = self.next_day()
        self.turnovers = {}

    def next_day(self) -> dict[Place, Row]:
        return {place: row.opened() for place, row in self.rows.items() if row.quantity}

    def quantity(self, instrument_key: str, product: Product) -> int:
        row = self.rows.get((instrument_key, product))
        return row.quantity if row else 0

    def stakes(self, instrument: Callable[[str], Instrument]) -> list[Stake]:
        return [
            Stake(instrument(key), product, row.quantity, abs(row.cost))
            for (key, product), row in self.rows.items()
            if row.quantity
        ]


def opened_with(positions: Iterable[BrokerPosition]) -> dict[Place, Row]:
    """Return the rows of a day that began with these positions."""
    rows = {}
    for told in positions:
        cost = paise(told.overnight_buy_amount) - paise(told.overnight_sell_amount)
        row = Row(quantity=told.overnight_quantity, cost=cost)
        rows[told.instrument_key, told.product] = row.opened()
    return rows


def told(account: str, place: Place, row: Row) -> BrokerPosition:
    """Return the row in the words of a broker."""
    long = row.overnight_quantity > 0
    overnight = abs(row.overnight_quantity)
    amount = abs(row.overnight_cost) / 100
    return BrokerPosition(
        account=account,
        instrument_key=place[0],
        product=place[1],
        quantity=row.quantity,
        multiplier=1.0,
        day_buy_quantity=row.day_buy_quantity,
        day_buy_value=row.day_buy_value / 100,
        day_sell_quantity=row.day_sell_quantity,
        day_sell_value=row.day_sell_value / 100,
        overnight_quantity=row.overnight_quantity,
        overnight_buy_quantity=overnight if long else 0,
        overnight_buy_amount=amount if long else 0.0,
        overnight_sell_quantity=0 if long else overnight,
        overnight_sell_amount=0.0 if long else amount,
    )


def worth(fill: Fill) -> int:
    """Return the paise of a paper fill: its price is always known."""
    return round(fill.price * fill.quantity * 100)


def paise(rupees: float) -> int:
    return round(rupees * 100)


def ist_day(fill: Fill) -> date:
    return fill.at.astimezone(IST).date()


def _charged(before: Turnover, fill: Fill, instrument: Instrument) -> Turnover:
    if fill.trade_id.endswith(SETTLEMENT):
        ended = exercise(instrument, fill.side, worth(fill), ist_day(fill))
        return Turnover(before.value, before.charged + ended.total)
    value = before.value + worth(fill)
    cost = charges(instrument, fill.product, fill.side, value, ist_day(fill))
    return Turnover(value, cost.total)


def _share(value: int, part: int, whole: int) -> int:
    """Return `value * part / whole` rounded half away from zero, exactly; all of it for all."""
    if part == whole:
        return value
    size = (2 * abs(value) * part + whole) // (2 * whole)
    return size if value >= 0 else -size
