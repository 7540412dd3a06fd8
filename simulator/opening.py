"""What a new account begins with, so that a new desk has something to show: all of it made up.

A bear call spread in the index options, carried from the day before; shares in the depository; and
margin-funded shares that were bought the day before. Whatever the market does not list is left out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from simulator.calendar import day_of
from simulator.instruments import NIFTY
from simulator.model import Instrument, Market
from simulator.portfolio import Account, Holding, Position, overnight

LOTS: Final = 2
ABOVE: Final = 2  # strikes above the money, of the call that is sold
APART: Final = 4  # strikes to the call that is bought
HOLDINGS: Final = (("INFY", 40, 1_492.35), ("HDFCBANK", 60, 968.20), ("ITC", 250, 411.75))
FUNDED: Final = ("RELIANCE", 20)


def opening(market: Market, now_ms: int) -> tuple[list[Position], list[Holding]]:
    """Return positions and holdings at the prices of the day before."""
    return [*_spread(market, now_ms), *_funded(market)], list(_holdings(market))


def begin_with_some(market: Market, user: str, now_ms: int, account: Account) -> None:
    """Give them to this user's account; every other one begins with money only."""
    if account.user == user:
        positions, holdings = opening(market, now_ms)
        account.carry(positions)
        account.holdings = {h.instrument.instrument_key: h for h in holdings}


def _spread(market: Market, now_ms: int) -> Iterator[Position]:
    calls = _calls(market, now_ms)
    if len(calls) <= ABOVE + APART:
        return
    sold, bought = calls[ABOVE], calls[ABOVE + APART]
    for instrument, lots in ((sold, -LOTS), (bought, LOTS)):
        price = _yesterday(market, instrument)
        yield overnight(instrument, "D", lots * instrument.lot_size, price)


def _calls(market: Market, now_ms: int) -> Sequence[Instrument]:
    """Return the calls above the money of the next expiry, if there is one after today's."""
    today = day_of(now_ms)
    calls = [
        i
        for i in market.instruments.values()
        if i.instrument_type == "CE" and i.underlying_key == NIFTY
    ]
    calls = [i for i in calls if day_of(i.expiry) > today] or calls
    if not calls or NIFTY not in market.quotes:
        return []
    expiry, spot = min(i.expiry for i in calls), market.quotes[NIFTY].ltp
    return sorted(
        (i for i in calls if i.expiry == expiry and i.strike > spot), key=lambda i: i.strike
    )


def _funded(market: Market) -> Iterator[Position]:
    symbol, quantity = FUNDED
    for share in _shares(market, symbol):
        yield overnight(share, "MTF", quantity, _yesterday(market, share))


def _holdings(market: Market) -> Iterator[Holding]:
    for symbol, quantity, average_price in HOLDINGS:
        for share in _shares(market, symbol):
            yield Holding(share, quantity, average_price)


def _shares(market: Market, symbol: str) -> Iterator[Instrument]:
    return (
        i
        for i in market.instruments.values()
        if i.instrument_type == "EQ" and i.trading_symbol == symbol
    )


def _yesterday(market: Market, instrument: Instrument) -> float:
    """Return the previous close on a tick, in rupees; the last price where it is not known."""
    quote, tick = market.quotes[instrument.instrument_key], instrument.tick_size
    return round(max(1, round((quote.close or quote.ltp) / tick)) * tick, 2)
