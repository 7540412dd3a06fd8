"""The words of the simulated exchange: what an instrument is and what is known of it right now."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Protocol


class Part(IntFlag):
    """The parts of a quote that the wire sends, so that a frame can leave unchanged ones out."""

    PRICE = 1
    BOOK = 2
    GREEKS = 4
    BARS = 8
    ACTIVITY = 16  # atp, volume, oi, iv, tbq, tsq
    ALL = 31


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the instruments master; prices and tick size in rupees, expiry in epoch ms."""

    instrument_key: str
    segment: str  # "NSE_EQ", "NSE_FO", "NSE_INDEX"
    instrument_type: str  # "EQ", "FUT", "CE", "PE", "INDEX"
    trading_symbol: str
    name: str
    exchange_token: str
    isin: str = ""
    short_name: str = ""
    underlying_key: str = ""
    underlying_symbol: str = ""
    strike: float = 0.0
    expiry: int = 0
    weekly: bool = False
    tick_size: float = 0.0
    lot_size: int = 0
    freeze_quantity: int = 0


@dataclass(slots=True)
class Bar:
    """Open, high, low, close and volume from `start` (epoch ms) on."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: int = 0

    def add(self, price: float, volume: int) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += volume


@dataclass(slots=True)
class Quote:
    """All that the exchange knows of one instrument; `changed` collects parts since last sent."""

    ltp: float
    ltt: int  # epoch ms
    ltq: int
    close: float  # the previous day's close
    day: Bar
    minute: Bar
    bids: list[tuple[float, int]] = field(default_factory=list)  # five levels, best first
    asks: list[tuple[float, int]] = field(default_factory=list)
    atp: float = 0.0
    volume: int = 0
    oi: float = 0.0
    previous_oi: float = 0.0
    iv: float = 0.0  # a fraction
    delta: float = 0.0
    theta: float = 0.0  # rupees a day
    gamma: float = 0.0
    vega: float = 0.0  # rupees a volatility point
    rho: float = 0.0
    total_buy: float = 0.0
    total_sell: float = 0.0
    lower_circuit: float = 0.0
    upper_circuit: float = 0.0
    minutes: list[Bar] = field(default_factory=list)  # finished minutes of this session


class Market(Protocol):
    """A source of prices: the random one and the replay are interchangeable."""

    instruments: dict[str, Instrument]
    quotes: dict[str, Quote]

    def advance(self, now: int) -> Iterator[tuple[str, Part]]:
        """Move to `now` (exchange time, epoch ms), yielding each change in the order it happened.

        When a change is yielded, `quotes` holds the state right after it, so that whoever encodes
        it at once sees every price of a path even when one call spans many of them.
        """
        ...
