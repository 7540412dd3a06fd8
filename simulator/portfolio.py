"""A user's account at the broker: money, orders, trades, positions and holdings.

Money is in whole paise inside, so that sums are exact; rows and margins have rupees.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from simulator.envelope import Json
from simulator.margin import Line, blocked, is_option, required
from simulator.model import Instrument, Quote
from simulator.orders import Order, Row, Trade, exchange_of
from simulator.quotes import symbol

CASH: Final = 1_000_000.0  # rupees that an account begins with


@dataclass(slots=True)
class Position:
    """One instrument in one product, as the wire tells it: today and before today apart."""

    instrument: Instrument
    product: str
    day_buy_quantity: int = 0
    day_buy_value: int = 0
    day_sell_quantity: int = 0
    day_sell_value: int = 0
    overnight_buy_quantity: int = 0
    overnight_buy_amount: int = 0
    overnight_sell_quantity: int = 0
    overnight_sell_amount: int = 0

    @property
    def key(self) -> str:
        return self.instrument.instrument_key

    @property
    def overnight_quantity(self) -> int:
        return self.overnight_buy_quantity - self.overnight_sell_quantity

    @property
    def bought(self) -> int:
        return self.day_buy_quantity + self.overnight_buy_quantity

    @property
    def sold(self) -> int:
        return self.day_sell_quantity + self.overnight_sell_quantity

    @property
    def quantity(self) -> int:
        return self.bought - self.sold

    @property
    def buy_value(self) -> int:
        return self.day_buy_value + self.overnight_buy_amount

    @property
    def sell_value(self) -> int:
        return self.day_sell_value + self.overnight_sell_amount

    @property
    def open_price(self) -> float:
        """Return the mean price of what is open, in rupees: that of its side."""
        if self.quantity > 0:
            return each(self.buy_value, self.bought)
        return each(self.sell_value, self.sold) if self.quantity < 0 else 0.0

    @property
    def realised(self) -> float:
        """Return what was gained by closing, in paise, at the mean prices of both sides."""
        closed = min(self.bought, self.sold)
        if not closed:
            return 0.0
        return closed * (self.sell_value / self.sold - self.buy_value / self.bought)

    @property
    def line(self) -> Line:
        return Line(self.instrument, self.quantity, self.open_price, self.product)

    def add(self, quantity: int, value: int) -> None:
        """Enter an execution of today; a quantity below 0 is sold, the value is above 0."""
        if quantity > 0:
            self.day_buy_quantity += quantity
            self.day_buy_value += value
        else:
            self.day_sell_quantity -= quantity
            self.day_sell_value += value

    def take(self, quantity: int) -> int | None:
        """Take so many of today's buys (below 0: of its sells) out; return their value."""
        if quantity > 0 and quantity <= self.day_buy_quantity:
            value = self.day_buy_value * quantity // self.day_buy_quantity
            self.day_buy_quantity -= quantity
            self.day_buy_value -= value
            return value
        if quantity < 0 and -quantity <= self.day_sell_quantity:
            value = self.day_sell_value * -quantity // self.day_sell_quantity
            self.day_sell_quantity += quantity
            self.day_sell_value -= value
            return value
        return None

    def carried(self) -> "Position":
        """Return what the next day begins with."""
        return overnight(self.instrument, self.product, self.quantity, self.open_price)


def overnight(instrument: Instrument, product: str, quantity: int, price: float) -> Position:
    """Return a position from before today; price in rupees a unit."""
    amount = round(abs(quantity) * price * 100)
    if quantity < 0:
        return Position(
            instrument, product, overnight_sell_quantity=-quantity, overnight_sell_amount=amount
        )
    return Position(
        instrument, product, overnight_buy_quantity=quantity, overnight_buy_amount=amount
    )


@dataclass(slots=True)
class Holding:
    """Shares in the depository; `average_price` in rupees may be unknown."""

    instrument: Instrument
    quantity: int
    average_price: float | None = None
    t1_quantity: int = 0
    used: int = 0  # sold today for delivery


@dataclass(slots=True)
class Account:
    """Everything the broker knows of one user; the broker alone changes it."""

    user: str
    opening: int = round(CASH * 100)  # paise at the day's beginning
    flow: int = 0  # paise that today's trades brought in
    orders: dict[str, Order] = field(default_factory=dict)
    live: dict[str, Order] = field(default_factory=dict)  # those of them that are not final
    trades: list[Trade] = field(default_factory=list)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    disabled: dict[str, int] = field(default_factory=dict)  # by a kill switch: segment, epoch ms

    @property
    def cash(self) -> int:
        """Return the opening balance and all that trades have paid and brought, in paise."""
        return self.opening + self.flow

    def carry(self, positions: Iterable[Position]) -> None:
        """Begin with these positions instead of those there are."""
        self.positions = {(p.key, p.product): p for p in positions}

    def position(self, instrument: Instrument, product: str) -> Position:
        """Return the row of an instrument and product; made on first use."""
        key = instrument.instrument_key, product
        return self.positions.setdefault(key, Position(instrument, product))

    def enter(self, trade: Trade) -> Position:
        """Enter a trade into cash, positions and holdings; return the position it changed."""
        order = trade.order
        self.trades.append(trade)
        self.flow += -trade.value if order.buying else trade.value
        position = self.position(order.instrument, order.product)
        position.add(trade.quantity if order.buying else -trade.quantity, trade.value)
        holding = self.holding_used(trade)
        if holding is not None:
            holding.used = min(holding.used + trade.quantity, holding.quantity)
        return position

    def holding_used(self, trade: Trade) -> Holding | None:
        """Return the holding that a trade takes shares out of."""
        order = trade.order
        return None if order.buying or order.product != "D" else self.holdings.get(order.key)

    def lines(self) -> list[Line]:
        """Return what is held, for the margin."""
        return [p.line for p in self.positions.values() if p.quantity and not gives_away(p.line)]

    def working(self) -> Iterator[Order]:
        """Yield the orders whose money is reserved: passed by the risk management, not final."""
        return (order for order in self.live.values() if order.passed)

    def gained(self) -> float:
        """Return today's premiums of options and other closed gains, in rupees."""
        paise = sum(
            p.day_sell_value - p.day_buy_value if is_option(p.line) else p.realised
            for p in self.positions.values()
        )
        return paise / 100

    def balance(self) -> float:
        """Return the rupees that are there before margins: the opening and what was gained.

        A future's unrealised loss is not collected; what a position blocks stays that of its
        opening price.
        """
        return self.opening / 100 + self.gained()

    def waiting(self, price: "PriceOf", *, without: Order | None = None) -> list[Line]:
        """Return what working orders have not filled yet, for the margin."""
        lines = (_waiting(order, price) for order in self.working() if order is not without)
        return [line for line in lines if not gives_away(line)]

    def used(self, price: "PriceOf", *, without: Order | None = None) -> float:
        """Return the rupees that positions block and working orders reserve."""
        held = self.lines()
        reserved = required(self.waiting(price, without=without), held=held)
        return blocked(held).total + reserved.final

    def needs(self, order: Order, price: "PriceOf") -> float:
        """Return the rupees that one more order needs beside what is held and works."""
        held = [*self.lines(), *self.waiting(price, without=order)]
        return required([_waiting(order, price)], held=held).final

    def sellable(self, order: Order) -> int:
        """Return how many shares of the order's instrument may be sold for delivery."""
        holding = self.holdings.get(order.key)
        held = holding.quantity + holding.t1_quantity if holding is not None else 0
        position = self.positions.get((order.key, "D"))
        moved = position.quantity if position is not None else 0
        selling = sum(
            o.unfilled
            for o in self.working()
            if o is not order and o.key == order.key and o.product == "D" and not o.buying
        )
        return max(0, held + moved - selling)

    def sell_out(self, holding: Holding) -> None:
        """Turn shares into money at what they have cost."""
        self.opening += round(holding.quantity * (holding.average_price or 0.0) * 100)
        del self.holdings[holding.instrument.instrument_key]

    def begin_day(self) -> None:
        """Forget yesterday's orders and trades, settle its money, and carry its positions."""
        self.opening += round(self.gained() * 100)
        self.flow = 0
        self.orders = dict(self.live)
        self.trades.clear()
        open_ones = [p for p in self.positions.values() if p.quantity]
        for position in open_ones:
            if is_delivery(position.line):
                self._settle(position)
        self.carry(p.carried() for p in open_ones if not is_delivery(p.line))

    def _settle(self, position: Position) -> None:
        """Pay for shares and put them into the holdings, or take them out for money."""
        quantity, price = position.quantity, position.open_price
        self.opening -= round(quantity * price * 100)
        holding = self.holdings.setdefault(position.key, Holding(position.instrument, 0))
        if quantity > 0:
            cost = holding.quantity * (holding.average_price or price) + quantity * price
            holding.average_price = round(cost / (holding.quantity + quantity), 4)
        holding.quantity += quantity
        holding.used = 0
        if not holding.quantity:
            del self.holdings[position.key]


class PriceOf:
    """At which price an order that has not filled is margined: its own, else the last one."""

    def __init__(self, quotes: dict[str, Quote]) -> None:
        self._quotes = quotes

    def __call__(self, order: Order) -> float:
        return order.terms.price or order.limit or self._quotes[order.key].ltp


def _waiting(order: Order, price: PriceOf) -> Line:
    quantity = order.unfilled if order.buying else -order.unfilled
    return Line(order.instrument, quantity, price(order), order.product)


def is_delivery(line: Line) -> bool:
    return line.product == "D" and line.instrument.instrument_type == "EQ"


def gives_away(line: Line) -> bool:
    """Return whether shares are sold for delivery, which needs the shares and no money."""
    return is_delivery(line) and line.signed_quantity < 0


def position_row(position: Position, quote: Quote) -> Row:
    """Return the row of the REST answer, with the broker's own odd profit of carried positions."""
    last, quantity = quote.ltp, position.quantity
    pnl = rupees(position.day_sell_value - position.day_buy_value) + quantity * last
    day = min(position.day_buy_quantity, position.day_sell_quantity)
    prices = _prices(position)
    realised = day * (prices["day_sell_price"] - prices["day_buy_price"]) if day else 0.0
    carried = position.overnight_quantity
    return {
        "exchange": exchange_of(position.instrument),
        "instrument_token": position.key,
        "trading_symbol": symbol(position.instrument),
        "tradingsymbol": symbol(position.instrument),
        "product": position.product,
        "multiplier": 1.0,
        "quantity": quantity,
        "average_price": round(_carried_price(position), 4) if carried else None,
        "last_price": last,
        "close_price": quote.close,
        "value": rupees(position.buy_value - position.sell_value),
        "pnl": round(pnl, 2),
        "unrealised": round(pnl - realised, 2),
        "realised": round(realised, 2),
        **_sums(position),
    }


def _carried_price(position: Position) -> float:
    amount = position.overnight_buy_amount or position.overnight_sell_amount
    return each(amount, position.overnight_buy_quantity or position.overnight_sell_quantity)


def _prices(position: Position) -> dict[str, float]:
    return {
        "buy_price": each(position.buy_value, position.bought),
        "sell_price": each(position.sell_value, position.sold),
        "day_buy_price": each(position.day_buy_value, position.day_buy_quantity),
        "day_sell_price": each(position.day_sell_value, position.day_sell_quantity),
    }


def _sums(position: Position) -> dict[str, Json]:
    prices = {name: round(price, 4) for name, price in _prices(position).items()}
    return {
        **prices,
        "buy_value": rupees(position.buy_value),
        "sell_value": rupees(position.sell_value),
        "day_buy_quantity": position.day_buy_quantity,
        "day_buy_value": rupees(position.day_buy_value),
        "day_sell_quantity": position.day_sell_quantity,
        "day_sell_value": rupees(position.day_sell_value),
        "overnight_quantity": position.overnight_quantity,
        "overnight_buy_quantity": position.overnight_buy_quantity,
        "overnight_buy_amount": rupees(position.overnight_buy_amount),
        "overnight_sell_quantity": position.overnight_sell_quantity,
        "overnight_sell_amount": rupees(position.overnight_sell_amount),
    }


def position_message(position: Position) -> Row:
    """Return the portfolio stream's message: no price, no profit, and a segment as exchange."""
    return {
        "update_type": "position",
        "instrument_token": position.key,
        "instrument_key": position.key,
        "exchange": position.instrument.segment,
        "product": position.product,
        "multiplier": 1,
        "quantity": position.quantity,
        "average_price": round(_carried_price(position), 4),
        **_sums(position),
    }


def holding_row(holding: Holding, quote: Quote) -> Row:
    average = holding.average_price
    gained = 0.0 if average is None else holding.quantity * (quote.ltp - average)
    return {
        "isin": holding.instrument.isin,
        "company_name": holding.instrument.name,
        "trading_symbol": symbol(holding.instrument),
        "tradingsymbol": symbol(holding.instrument),
        "exchange": exchange_of(holding.instrument),
        "last_price": quote.ltp,
        "close_price": quote.close,
        "pnl": round(gained, 2),
        "day_change": 0,
        "day_change_percentage": 0,
        **_holding(holding),
    }


def holding_message(holding: Holding) -> Row:
    instrument = holding.instrument
    return {
        "update_type": "holding",
        "instrument_key": instrument.instrument_key,
        "isin": instrument.isin,
        "company_name": instrument.name,
        "exchange": exchange_of(instrument),
        **_holding(holding),
    }


def _holding(holding: Holding) -> dict[str, Json]:
    return {
        "instrument_token": holding.instrument.instrument_key,
        "product": "D",
        "quantity": holding.quantity,
        "t1_quantity": holding.t1_quantity,
        "average_price": holding.average_price,
        "cnc_used_quantity": holding.used,
        "collateral_type": "WC",
        "collateral_quantity": 0,
        "collateral_update_quantity": 0,
        "haircut": 0.16,
    }


def rupees(paise: float) -> float:
    return round(paise / 100, 2)


def each(paise: float, quantity: int) -> float:
    """Return rupees a unit; 0 of nothing, as the wire has it."""
    return paise / quantity / 100 if quantity else 0.0
