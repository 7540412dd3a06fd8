"""One instrument on the simulated exchange: its quote, its order book and its trades."""

import math
from random import Random
from typing import Final

from simulator.greeks import Valuation
from simulator.model import Instrument, Part, Quote
from simulator.tape import ladder, print_trade, roll_day

BAND: Final = 0.10  # circuit limits of shares and futures

TRADE: Final = Part.PRICE | Part.BARS | Part.ACTIVITY
TRADE_AND_BOOK: Final = TRADE | Part.BOOK
TRADE_AND_GREEKS: Final = TRADE_AND_BOOK | Part.GREEKS
BOOK_ONLY: Final = Part.BOOK | Part.ACTIVITY
INDEX_TICK: Final = Part.PRICE | Part.BARS
NEW_DAY: Final = Part.PRICE | Part.BARS | Part.ACTIVITY


def _quantity_mask(mask: int) -> int:
    """Return the bits that `ladder` may see of 60, so that quantities stay within the mask."""
    level = 1 << 10 | mask
    return sum(level << 12 * i for i in range(5))


QUANTITIES: Final = {mask: _quantity_mask(mask) for mask in (63, 1023)}


class Line:
    """One instrument on the exchange: its quote, its book and its own random stream."""

    mask = 63  # quantities are 1 to 64 lots

    def __init__(self, instrument: Instrument, random: Random) -> None:
        self.instrument = instrument
        self.key = instrument.instrument_key
        self.random = random
        self.tick = max(1, round(instrument.tick_size * 100))  # paise
        self.unit = max(1, instrument.lot_size)
        self.bid = self.ask = 0  # ticks
        self.quote: Quote

    def trade(self, at: int, bits: int) -> None:
        """Print a trade at the best bid or ask."""
        ticks = self.ask if bits & 1 else self.bid
        lots = 1 + (bits >> 1 & self.mask & bits >> 12)  # small ones are the most frequent
        print_trade(self.quote, ticks * self.tick / 100, self.unit * lots, at)

    def move_book(self, fair: float) -> None:
        """Put the book around a fair price."""
        ticks = fair * 100 / self.tick
        bits = self.random.getrandbits(160)
        width = self.width(ticks) + (bits & 1)
        bid = max(self.lowest, min(int(ticks - width / 2 + 0.5), self.highest - width))
        self.bid, self.ask = bid, bid + width
        quote = self.quote
        quote.bids = ladder(bid, -1, self.tick, self.unit, bits >> 8 & QUANTITIES[self.mask])
        quote.asks = ladder(
            bid + width, 1, self.tick, self.unit, bits >> 68 & QUANTITIES[self.mask]
        )
        drift = self.unit * ((bits >> 130 & 31) - 15)
        quote.total_buy = max(float(self.unit), quote.total_buy + drift)
        quote.total_sell = max(float(self.unit), quote.total_sell - drift)

    def width(self, ticks: float) -> int:
        """Return the spread in ticks."""
        return 1 + int(ticks * self.tick * 2e-6)

    def limit(self) -> None:
        """Set the day's circuit limits from the previous close."""
        self.set_limits(self.quote.close * (1 - BAND), self.quote.close * (1 + BAND))

    def set_limits(self, lower: float, upper: float) -> None:
        self.lowest = max(1, math.ceil(lower * 100 / self.tick))
        self.highest = int(upper * 100 / self.tick)
        self.quote.lower_circuit = self.rupees(self.lowest)
        self.quote.upper_circuit = self.rupees(self.highest)

    def show(self, sigma: float, valued: Valuation) -> None:
        """Publish an option's volatility and Greeks."""
        quote = self.quote
        quote.iv = sigma
        _, quote.delta, quote.gamma, quote.theta, quote.vega, quote.rho = valued

    def new_day(self, day: int) -> None:
        roll_day(self.quote, day)
        self.limit()

    def rupees(self, ticks: int) -> float:
        return ticks * self.tick / 100
