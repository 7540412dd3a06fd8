"""Quotes as the rows of the broker's REST answers, and candles made of a session's minutes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import groupby, zip_longest
from math import erf, log, sqrt

from simulator.calendar import IST, day_of
from simulator.envelope import Json
from simulator.model import Bar, Instrument, Quote
from simulator.tokens import iso

Row = dict[str, Json]

OPENING = (9 * 60 + 15) * 60_000  # ms after midnight; candles of any length count from 09:15
MONTHS = "123456789OND"  # one letter a month in the symbols of weekly contracts
YEAR_MS = 365 * 86_400_000


def outer_key(instrument: Instrument) -> str:
    """Return the key of an answer: not what was asked for, but SEGMENT:SYMBOL."""
    return f"{instrument.segment}:{symbol(instrument)}"


def symbol(instrument: Instrument) -> str:
    """Return the trading symbol in the broker's compact form, such as NIFTY25D0226100CE."""
    if instrument.instrument_type == "INDEX":
        return instrument.name
    if not instrument.expiry:
        return instrument.trading_symbol
    day = day_of(instrument.expiry)
    month = f"{MONTHS[day.month - 1]}{day:%d}" if instrument.weekly else f"{day:%b}".upper()
    strike = "" if instrument.instrument_type == "FUT" else f"{instrument.strike:g}"
    return f"{instrument.underlying_symbol}{day:%y}{month}{strike}{instrument.instrument_type}"


def full_row(instrument: Instrument, quote: Quote, now_ms: int) -> Row:
    day = quote.day
    return {
        "ohlc": {"open": day.open, "high": day.high, "low": day.low, "close": quote.ltp},
        "depth": {"buy": _side(quote.bids), "sell": _side(quote.asks)},
        "timestamp": iso(now_ms),
        "instrument_token": instrument.instrument_key,
        "symbol": symbol(instrument),
        "last_price": quote.ltp,
        "volume": quote.volume,
        "average_price": quote.atp,
        "oi": quote.oi,
        "net_change": round(quote.ltp - quote.close, 2) if quote.close else None,
        "total_buy_quantity": quote.total_buy,
        "total_sell_quantity": quote.total_sell,
        "lower_circuit_limit": quote.lower_circuit,
        "upper_circuit_limit": quote.upper_circuit,
        "last_trade_time": str(quote.ltt),
        "oi_day_high": quote.oi,
        "oi_day_low": quote.oi,
    }


def full_row_v3(instrument: Instrument, quote: Quote, now_ms: int) -> Row:
    row = full_row(instrument, quote, now_ms)
    return row | {
        "ohlc": bar_row(quote.day),
        "prev_close_price": quote.close or None,
        "year_high": quote.day.high,  # this exchange remembers a day
        "year_low": quote.day.low,
        "previous_oi": quote.previous_oi,
        "indicative_equilibrium_price": 0.0,
        "reference_price": 0.0,
        "indicative_equilibrium_quantity": 0,
        "indicative_imbalance_quantity_total": 0,
        "indicative_imbalance_quantity_market": 0,
        "cas_eligible": False,
    }


def ltp_row(instrument: Instrument, quote: Quote) -> Row:
    return {
        "last_price": quote.ltp,
        "instrument_token": instrument.instrument_key,
        "ltq": quote.ltq,
        "volume": quote.volume,
        "cp": quote.close or None,  # a replay may not know it
    }


def ohlc_row(instrument: Instrument, quote: Quote, interval: str) -> Row:
    bars = session(quote)
    if interval == "I30":
        bars = combine(bars, 30, quote.day.start)
    live, previous = (
        (quote.day, None) if interval == "1d" else (bars[-1], bars[-2] if bars[1:] else None)
    )
    return {
        "last_price": quote.ltp,
        "instrument_token": instrument.instrument_key,
        "prev_ohlc": None if previous is None else bar_row(previous),
        "live_ohlc": bar_row(live),
    }


def greek_row(instrument: Instrument, quote: Quote) -> Row:
    """Return an option's Greeks; iv is a fraction here, and there is no rho."""
    return ltp_row(instrument, quote) | {
        "iv": quote.iv,
        "vega": quote.vega,
        "gamma": quote.gamma,
        "theta": quote.theta,
        "delta": quote.delta,
        "oi": quote.oi,
    }


def bar_row(bar: Bar) -> Row:
    return {
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "ts": bar.start,
    }


def _side(levels: Sequence[tuple[float, int]]) -> Json:
    """Five levels always, padded with zeros."""
    return [
        {"quantity": quantity, "price": price, "orders": min(quantity, 1 + quantity // 100)}
        for _, (price, quantity) in zip_longest(range(5), levels[:5], fillvalue=(0.0, 0))
    ]


# --- candles ---------------------------------------------------------------------------------


def session(quote: Quote) -> list[Bar]:
    """Return the minutes of this session, oldest first, the running one last."""
    return [*quote.minutes, quote.minute]


def combine(bars: Iterable[Bar], minutes: int, midnight: int) -> list[Bar]:
    """Put minutes together into candles of so many, counted from 09:15 of the day."""
    span, opening = minutes * 60_000, midnight + OPENING

    def candle(bar: Bar) -> int:
        return (bar.start - opening) // span

    groups = (list(group) for _, group in groupby(bars, key=candle))
    return [
        Bar(
            group[0].start,
            group[0].open,
            max(bar.high for bar in group),
            min(bar.low for bar in group),
            group[-1].close,
            sum(bar.volume for bar in group),
        )
        for group in groups
    ]


def candle_rows(bars: Iterable[Bar], oi: float) -> list[Json]:
    """Return rows newest first: time, open, high, low, close, volume, open interest."""
    rows: list[Json] = [
        [_iso_second(bar.start), bar.open, bar.high, bar.low, bar.close, bar.volume, oi]
        for bar in bars
    ]
    return rows[::-1]


def _iso_second(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(IST).isoformat(timespec="seconds")


def within(bars: Iterable[Bar], first: date, last: date) -> list[Bar]:
    """Return the bars whose Indian day lies between two, both included."""
    return [bar for bar in bars if first <= day_of(bar.start) <= last]


# --- the option chain ------------------------------------------------------------------------


def chain_row(
    strike: float,
    sides: dict[str, tuple[Instrument, Quote]],
    underlying: str,
    spot: float,
    now_ms: int,
) -> Row:
    """Return one strike of the chain, from its "CE" and "PE"; a side may be missing."""
    oi = {kind: quote.oi for kind, (_, quote) in sides.items()}
    expiry = next(iter(sides.values()))[0].expiry
    row: Row = {
        "expiry": day_of(expiry).isoformat(),
        "pcr": round(oi["PE"] / oi["CE"], 4) if oi.get("CE") and "PE" in oi else None,
        "strike_price": strike,
        "underlying_key": underlying,
        "underlying_spot_price": spot,
    }
    for kind, name in (("CE", "call_options"), ("PE", "put_options")):
        if kind in sides:
            row[name] = _chain_side(*sides[kind], spot, now_ms)
    return row


def _chain_side(instrument: Instrument, quote: Quote, spot: float, now_ms: int) -> Row:
    bid, bid_qty = quote.bids[0] if quote.bids else (0.0, 0)
    ask, ask_qty = quote.asks[0] if quote.asks else (0.0, 0)
    return {
        "instrument_key": instrument.instrument_key,
        "market_data": {
            "ltp": quote.ltp,
            "volume": quote.volume,
            "oi": quote.oi,
            "close_price": quote.close,
            "bid_price": bid,
            "bid_qty": bid_qty,
            "ask_price": ask,
            "ask_qty": ask_qty,
            "prev_oi": quote.previous_oi,
        },
        "option_greeks": {
            "vega": quote.vega,
            "theta": quote.theta,
            "gamma": quote.gamma,
            "delta": quote.delta,
            "iv": round(quote.iv * 100, 2),  # in percent here and nowhere else
            "pop": round(100 * profit_chance(instrument, quote, spot, now_ms), 2),
        },
    }


def profit_chance(instrument: Instrument, quote: Quote, spot: float, now_ms: int) -> float:
    """Return how likely a buyer at the last price is to gain by expiry, 0 to 1."""
    call = instrument.instrument_type == "CE"
    even = instrument.strike + (quote.ltp if call else -quote.ltp)
    deviation = quote.iv * sqrt(max(0, instrument.expiry - now_ms) / YEAR_MS)
    if spot <= 0 or even <= 0 or deviation <= 0:
        return float((spot > even) is call)
    distance = log(spot / even) / deviation - deviation / 2
    above = 0.5 * (1 + erf(distance / sqrt(2)))
    return above if call else 1 - above
