"""The words of the market: what an instrument, a tick and a candle are."""

import math
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntFlag, StrEnum
from typing import Final, NamedTuple

UNKNOWN: Final = math.nan  # a price or measure that nobody has told us; shown as a dash
UNKNOWN_COUNT: Final = -1  # the same for a quantity


class Mode(StrEnum):
    """How much data an instrument is subscribed with; a later member includes the earlier ones."""

    LTPC = "ltpc"
    OPTION_GREEKS = "option_greeks"
    FULL = "full"
    FULL_D30 = "full_d30"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS: Final = {mode: rank for rank, mode in enumerate(Mode)}


class InstrumentType(StrEnum):
    INDEX = "INDEX"
    EQUITY = "EQ"
    FUTURE = "FUT"
    CALL = "CE"
    PUT = "PE"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What can be watched and traded; tick size and strike in rupees, freeze quantity in units."""

    instrument_key: str
    segment: str
    type: InstrumentType
    symbol: str
    name: str
    exchange_token: str = ""
    isin: str = ""
    lot_size: int = 1
    tick_size: float = 0.05
    freeze_quantity: int = 0
    underlying_key: str = ""
    underlying_symbol: str = ""
    expiry: date | None = None
    strike: float | None = None
    weekly: bool = False

    @property
    def title(self) -> str:
        """The one name used on every screen, for example `NIFTY 28 NOV 24000 CE`."""
        if self.expiry is None:
            return self.symbol
        day = f"{self.expiry.day:02d} {self.expiry:%b}".upper()
        if self.strike is None:
            return f"{self.underlying_symbol or self.name} {day} FUT"
        return f"{self.underlying_symbol or self.name} {day} {self.strike:g} {self.type}"


def segment_of(instrument_key: str) -> str:
    """Return `NSE_FO` of `NSE_FO|45450`."""
    return instrument_key.partition("|")[0]


class Level(NamedTuple):
    """One level of the book, both sides; rupees and units, zero quantity where a side is empty."""

    bid: float
    bid_qty: int
    ask: float
    ask_qty: int


class Part(IntFlag):
    """The parts of a tick that a frame may bring or leave out; left out means unchanged."""

    PRICE = 1
    CLOSE = 2
    BOOK = 4
    VOLUME = 8
    OI = 16
    IV = 32
    GREEKS = 64
    TOTALS = 128
    DAY = 256


class Tick(NamedTuple):
    """One update of one instrument. Unknown floats are NaN, unknown counts are -1.

    Prices in rupees as on the wire, iv a fraction, theta rupees a day. `ltt` and `exchange_ts`
    are epoch milliseconds of the exchange; `received` and its siblings are monotonic seconds of
    this machine, because ages must not follow a wall clock. A decoder leaves the fields of
    a part that is not in `parts` unknown; the cache fills them with what was known before, and
    their `..._received` says how old that is.

    The order of fields is the layout of the cache's rows (see `market_data.Board`).
    """

    instrument_key: str
    ltp: float
    ltt: int
    ltq: int
    close: float
    bid: float
    bid_qty: int
    ask: float
    ask_qty: int
    volume: int
    atp: float
    oi: float
    iv: float
    delta: float
    theta: float
    gamma: float
    vega: float
    rho: float
    total_buy: float
    total_sell: float
    day_open: float
    day_high: float
    day_low: float
    exchange_ts: int
    received: float
    price_received: float
    book_received: float
    greeks_received: float
    parts: int
    is_mock: bool
    depth: tuple[Level, ...] | None


class Batch(NamedTuple):
    """The ticks of one frame, as they cross from the feed's thread to the loop."""

    ticks: list[Tick]
    generation: int  # which connection of the feed it came from


@dataclass(frozen=True, slots=True)
class Candle:
    """One minute of one instrument: prices in rupees, `start` in epoch ms of the exchange.

    `complete` means that we watched the whole minute; a candle we saw only a part of says so.
    """

    instrument_key: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    ticks: int
    complete: bool
    is_mock: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a feed: nothing was heard between `start` and `end` (None while still open).

    `number` is the ledger's, 0 before. `ticks_missed` is an estimate from the rate before, None:
    not estimated. `filled` is how many minute candles were fetched for it, None: not tried yet.
    """

    feed: str
    start: datetime
    end: datetime | None
    reason: str
    is_mock: bool
    number: int = 0
    instruments: int | None = None
    ticks_missed: int | None = None
    filled: int | None = None
    fill_words: str = ""  # from where, or why not
    rate: float | None = None  # ticks per second in the minute before; None: not known
