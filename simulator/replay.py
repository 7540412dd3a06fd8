"""A market of the past: real minute candles, with a real option chain moved along the index."""

import json
import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from simulator.calendar import day_of, midnight_ms, previous_close, sessions
from simulator.candles import Candle, Point, by_minute, points
from simulator.greeks import Valuation, implied_volatility, value
from simulator.instruments import (
    SERIES,
    Contract,
    contract_instrument,
    indices,
    monthly_expiries,
    shares,
)
from simulator.line import (
    BAND,
    BOOK_ONLY,
    INDEX_TICK,
    NEW_DAY,
    TRADE,
    TRADE_AND_BOOK,
    TRADE_AND_GREEKS,
    Line,
)
from simulator.model import Instrument, Part, Quote
from simulator.tape import EMPTY, MINUTE, new_quote, print_trade, roll_day

RATE: Final = 0.065  # with this and calendar days the chain's own volatilities come out
YEAR_MS: Final = 365 * 86_400_000
SHORTEST: Final = 60_000 / YEAR_MS
FAR: Final = 0.0004  # of the index; after such a move even a quiet contract is repriced
NEAR: Final = 7  # strikes around the spot whose parity gives the forward
SIDES: Final = (("call_options", "CE"), ("put_options", "PE"))
Answer = Mapping[str, Any]  # a part of the broker's JSON


class PathLine(Line):
    """An index or share that follows its file; a share has a made-up book around each price."""

    mask = 1023

    def __init__(self, instrument: Instrument, random: Random, first: Candle) -> None:
        super().__init__(instrument, random)
        if instrument.instrument_type == "INDEX":
            self.tick = 5
        self.quote = new_quote(
            first.open,
            at=first.start,
            day=midnight_ms(first.start),
            close=0.0,  # not known, and a zero does not go on the wire
        )
        self._traded = instrument.instrument_type != "INDEX"
        if self._traded:
            self.limit_by(first.open)
            self.quote.total_buy = self.quote.total_sell = 100_000.0
            self.move_book(first.open)

    def limit_by(self, price: float) -> None:
        self.set_limits(price * (1 - BAND), price * (1 + BAND))

    def new_day(self, day: int) -> None:
        roll_day(self.quote, day)
        if self._traded:
            self.limit_by(self.quote.close)

    def follow(self, point: Point) -> Part:
        """Print the next price of the path."""
        if self._traded and self.random.random() < 0.7:
            self.move_book(point.price + self.random.choice((-0.5, 0.5)) * self.tick / 100)
            part = TRADE_AND_BOOK
        else:
            part = TRADE if self._traded else INDEX_TICK
        print_trade(self.quote, point.price, point.volume, point.at)
        return part


@dataclass(frozen=True, slots=True)
class Underlying:
    """What moves a chain at one moment; shared by all its contracts."""

    spot: float
    carry: float  # a year, so that spot * exp(carry * years) is the forward
    years: float  # of the calendar, to expiry
    left: float  # of the trading time from the chain's moment to expiry, 1 to 0


class ChainClock:
    """How much of a chain's life is left; volatility passes only while the market trades.

    A night would otherwise take half the value of an option that expires the next day.
    """

    def __init__(self, moment: int, expiry: date) -> None:
        """Take the chain's moment, epoch ms. Raises ValueError if it is not before expiry."""
        first = day_of(moment)
        days = [first + timedelta(n) for n in range((expiry - first).days + 1)]
        self._sessions = [span for day in days for span in sessions("NFO", day)]
        self._expiry = self._sessions[-1][1] if self._sessions else 0
        self._total = self._trading(moment)
        if self._total <= 0:
            raise ValueError(f"it expires on {expiry}, before the replay begins")

    def _trading(self, now: int) -> int:
        return sum(max(0, end - max(now, start)) for start, end in self._sessions)

    def years(self, now: int) -> float:
        return max((self._expiry - now) / YEAR_MS, SHORTEST)

    def left(self, now: int) -> float:
        return self._trading(now) / self._total


class ChainLine(Line):
    """A contract of the chain: stands as the broker sent it until the index moves it."""

    def __init__(
        self, instrument: Instrument, random: Random, side: Answer, *, at: int, spot: float
    ) -> None:
        super().__init__(instrument, random)
        self._call = instrument.instrument_type == "CE"
        self.quote = _chain_quote(side, at)
        self.set_limits(0.0, self.quote.close * 2 + BAND * spot)
        self._spread = 0
        self.anchor = self.quote.ltp  # the middle of its book, or the last price without one
        self._stand(side["market_data"])
        self._variance = 0.0  # of the logarithm, from the chain's moment to expiry
        self._rest = 0.0  # rupees that the book stood above the model
        self._moved = 0.0  # the fair price of the last change
        self._spot = spot  # the index then

    def _stand(self, sent: Answer) -> None:
        """Take the book as sent, and make up what lies behind its best prices."""
        bid, ask = float(sent["bid_price"]), float(sent["ask_price"])
        ticks = round(bid * 100 / self.tick), round(ask * 100 / self.tick)
        self._spread = ticks[1] - ticks[0] if bid > 0 else max(1, ticks[1] // 500)
        if 0 < bid < ask:
            self.anchor = (bid + ask) / 2
        self.move_book(max(self.anchor, self.tick / 100))
        quote = self.quote
        quote.bids[0] = (bid, int(sent["bid_qty"])) if bid > 0 else EMPTY
        quote.asks[0] = (ask, int(sent["ask_qty"])) if ask > 0 else EMPTY
        quote.total_buy = float(sum(quantity for _, quantity in quote.bids))
        quote.total_sell = float(sum(quantity for _, quantity in quote.asks))
        self.bid, self.ask = ticks

    def width(self, ticks: float) -> int:
        return max(1, min(self._spread, int(ticks * 0.2) + 1))

    def settle(self, sigma: float, under: Underlying) -> None:
        """Keep this volatility, and what the real price is above or below it."""
        self._variance = sigma * sigma * under.years
        self._rest = self.anchor - self._value(under)[1].price
        self._moved = self.anchor

    def _value(self, under: Underlying) -> tuple[float, Valuation]:
        variance = max(self._variance * under.left, 1e-10)
        sigma = math.sqrt(variance / under.years)
        return sigma, value(
            under.spot,
            self.instrument.strike,
            under.years,
            sigma,
            rate=RATE,
            carry=under.carry,
            call=self._call,
        )

    def follows(self, spot: float) -> bool:
        """Return whether a move of the index moves it now: the sooner, the nearer its strike."""
        if abs(spot - self._spot) > FAR * spot:
            return True
        near = math.exp(-abs(self.instrument.strike / spot - 1) / 0.006)
        return self.random.random() < 0.03 + near

    def move(self, under: Underlying, at: int) -> Part | None:
        """Reprice after a move of the index; None if that is less than a quarter of a tick."""
        self._spot = under.spot
        sigma, valued = self._value(under)
        fair = max(valued.price + self._rest * under.left, self.tick / 100)
        if abs(fair - self._moved) * 400 < self.tick:
            return None
        self._moved = fair
        self.move_book(fair)
        bits = self.random.getrandbits(32)
        if bits & 7 >= 5:
            return BOOK_ONLY
        self.trade(at, bits >> 8)
        if bits >> 3 & 3 == 0:
            opened = self.unit * ((bits >> 16 & 31) - 15)
            self.quote.oi = max(0.0, self.quote.oi + opened)
        self.show(sigma, valued)
        return TRADE_AND_GREEKS

    def new_day(self, day: int) -> None:
        roll_day(self.quote, day)


def _chain_quote(side: Answer, at: int) -> Quote:
    sent, greeks = side["market_data"], side["option_greeks"]
    quote = new_quote(
        float(sent["ltp"]), at=at, day=midnight_ms(at), close=float(sent["close_price"])
    )
    return replace(
        quote,
        volume=int(sent["volume"]),
        oi=float(sent["oi"]),
        previous_oi=float(sent["prev_oi"]),
        iv=float(greeks["iv"]) / 100,
        delta=float(greeks["delta"]),
        theta=float(greeks["theta"]),
        gamma=float(greeks["gamma"]),
        vega=float(greeks["vega"]),
    )


class Chain:
    """The option chain of one underlying and expiry, from a real answer of the broker."""

    def __init__(self, path: Path, *, seed: int, moment: int) -> None:
        """Read the chain as it stood at a moment, epoch ms. Raises ValueError with the file."""
        try:
            rows = _chain_rows(path)
            self._build(rows, seed, moment)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path}: not an option chain: {what}") from error

    def _build(self, rows: Sequence[Answer], seed: int, moment: int) -> None:
        self.underlying_key = str(rows[0]["underlying_key"])
        self.spot = float(rows[0]["underlying_spot_price"])
        expiry = date.fromisoformat(rows[0]["expiry"])
        self._clock = ChainClock(moment, expiry)
        self.lines = [
            ChainLine(instrument, _stream(seed, instrument), side, at=moment, spot=self.spot)
            for instrument, side in _contracts(rows, expiry, self.spot)
        ]
        self._basis = _forward(self.lines, self.spot) - self.spot
        under = self._under(self.spot, moment)
        volatilities = _volatilities(self.lines, self.spot + self._basis, under.years)
        for line in self.lines:
            line.settle(volatilities[line.instrument.strike], under)

    def _under(self, spot: float, at: int) -> Underlying:
        years, left = self._clock.years(at), self._clock.left(at)
        carry = math.log1p(self._basis * left / spot) / years
        return Underlying(spot, carry, years, left)

    def move(self, spot: float, at: int) -> Iterator[tuple[str, Part]]:
        """Move the contracts that follow a new price of the index at once."""
        under = self._under(spot, at)
        if under.left <= 0:
            return
        for line in self.lines:
            if line.follows(spot):
                part = line.move(under, at)
                if part is not None:
                    yield line.key, part


def _chain_rows(path: Path) -> Sequence[Answer]:
    try:
        answer = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    rows: Sequence[Answer] = answer["data"] if isinstance(answer, dict) else answer
    if not rows:
        raise ValueError("it has no rows")
    return rows


def _contracts(
    rows: Sequence[Answer], expiry: date, spot: float
) -> Iterator[tuple[Instrument, Answer]]:
    """Return an instrument for each side of each strike that is there, under its real key."""
    key = rows[0]["underlying_key"]
    series = next((series for series in SERIES if series.underlying_key == key), None)
    if series is None:
        raise ValueError(f"no options are known on {key}")
    weekly = monthly_expiries(series, expiry)[0] != expiry
    for row in rows:
        for name, kind in SIDES:
            if side := row.get(name):
                contract = Contract(0.0, series, expiry, weekly, kind, float(row["strike_price"]))
                token = str(side["instrument_key"]).partition("|")[2]
                yield (
                    contract_instrument(contract, today=expiry, level=spot, token=token),
                    side,
                )


def _stream(seed: int, instrument: Instrument) -> Random:
    return Random(f"{seed}/{instrument.instrument_key}")


def _pairs(lines: Sequence[ChainLine]) -> dict[float, dict[str, ChainLine]]:
    pairs: dict[float, dict[str, ChainLine]] = {}
    for line in lines:
        pairs.setdefault(line.instrument.strike, {})[line.instrument.instrument_type] = line
    return pairs


def _forward(lines: Sequence[ChainLine], spot: float) -> float:
    """Return the forward that put-call parity shows around the spot."""
    both = [(strike, pair) for strike, pair in _pairs(lines).items() if len(pair) == 2]
    near = sorted(both, key=lambda item: abs(item[0] - spot))[:NEAR]
    if not near:
        return spot
    return statistics.median(
        strike + pair["CE"].anchor - pair["PE"].anchor for strike, pair in near
    )


def _volatilities(lines: Sequence[ChainLine], forward: float, years: float) -> dict[float, float]:
    """Return one volatility a strike, solved from the side that is out of the money.

    The broker's own agree with these there, and are absurd or zero on the other side. A strike
    without an answer takes its nearest neighbour's.
    """
    solved: dict[float, float] = {}
    for strike, pair in _pairs(lines).items():
        line = pair.get("CE" if strike >= forward else "PE")
        if line is None:
            continue
        call = line.instrument.instrument_type == "CE"
        sigma = implied_volatility(line.anchor, forward, strike, years, rate=RATE, call=call)
        if sigma is not None:
            solved[strike] = sigma
    if not solved:
        raise ValueError("no price in it gives a volatility")
    return {
        strike: solved[min(solved, key=lambda known: abs(known - strike))]
        for strike in _pairs(lines)
    }


class ReplayMarket:
    """Plays minute candles as prices, so that candles built from them by minute are the file's.

    `count` is the number of prices in each candle's path. Before the first minute each instrument
    stands at the price it will open with. Its previous close is known on a later day of the same
    files, from `closes`, or from a chain; else it is 0, which the wire leaves out. A chain is
    taken as of `chain_at`, without it as of the close of the session before the first minute.
    """

    def __init__(
        self,
        files: Sequence[Path],
        chain: Path | None = None,
        *,
        seed: int = 7,
        count: int = 30,
        closes: Mapping[str, float] | None = None,
        chain_at: datetime | None = None,
    ) -> None:
        """Raise ValueError, with the file and the line, for a file that is missing or garbled."""
        if not files:
            raise ValueError("replay: no files were given")
        self._candles = by_minute([Path(file) for file in files])
        self._minutes = list(self._candles)
        self.start_ms = self._minutes[0]
        self.end_ms = self._minutes[-1] + MINUTE
        self._seed = seed
        self._count = count
        self._next = 0
        self._coming: deque[Point] = deque()
        self._midnight = midnight_ms(self.start_ms)
        self._paths = self._follow_files()
        self._chain = self._read_chain(chain, chain_at)
        self._set_closes(closes or {})
        lines = [*self._paths.values(), *(self._chain.lines if self._chain else ())]
        self._lines: list[PathLine | ChainLine] = lines
        self.instruments: dict[str, Instrument] = {line.key: line.instrument for line in lines}
        self.quotes: dict[str, Quote] = {line.key: line.quote for line in lines}

    def _follow_files(self) -> dict[str, PathLine]:
        known = indices() | shares(day_of(self.start_ms), self._opens())
        paths: dict[str, PathLine] = {}
        for candles in self._candles.values():
            for candle in candles:
                key = candle.instrument_key
                if key not in paths:
                    instrument = known.get(key) or _unlisted(candle)
                    paths[key] = PathLine(instrument, _stream(self._seed, instrument), candle)
        return paths

    def _opens(self) -> dict[str, float]:
        opens: dict[str, float] = {}
        for candles in self._candles.values():
            for candle in candles:
                opens.setdefault(candle.instrument_key, candle.open)
        return opens

    def _read_chain(self, path: Path | None, chain_at: datetime | None) -> Chain | None:
        if path is None:
            return None
        before = previous_close(self.start_ms)
        moment = before if chain_at is None else int(chain_at.timestamp() * 1000)
        chain = Chain(Path(path), seed=self._seed, moment=moment)
        if chain.underlying_key not in self._paths:
            raise ValueError(f"{path}: no file replays its underlying {chain.underlying_key}")
        if moment == before:
            self._paths[chain.underlying_key].quote.close = chain.spot
        return chain

    def _set_closes(self, closes: Mapping[str, float]) -> None:
        for key in self._paths.keys() & closes.keys():
            self._paths[key].quote.close = closes[key]

    def advance(self, now: int) -> Iterator[tuple[str, Part]]:
        """Move to `now`, yielding each change in order; a step back changes nothing."""
        while True:
            while self._coming and self._coming[0].at <= now:
                yield from self._apply(self._coming.popleft())
            if self._coming or not self._load(now):
                return
            yield from self._new_day()

    def _load(self, now: int) -> bool:
        """Lay out the next minute if it has begun."""
        if self._next == len(self._minutes) or self._minutes[self._next] > now:
            return False
        start = self._minutes[self._next]
        self._next += 1
        found = [
            point
            for candle in self._candles[start]
            for point in points(
                candle,
                count=self._count,
                tick=self._paths[candle.instrument_key].tick,
                random=Random(f"{self._seed}/{candle.instrument_key}/{start}"),
            )
        ]
        self._coming.extend(sorted(found))
        return True

    def _new_day(self) -> Iterator[tuple[str, Part]]:
        midnight = midnight_ms(self._coming[0].at)
        if midnight == self._midnight:
            return
        self._midnight = midnight
        for line in self._lines:
            line.new_day(midnight)
            yield line.key, NEW_DAY

    def _apply(self, point: Point) -> Iterator[tuple[str, Part]]:
        yield point.instrument_key, self._paths[point.instrument_key].follow(point)
        chain = self._chain
        if chain is not None and chain.underlying_key == point.instrument_key:
            yield from chain.move(point.price, point.at)


def _unlisted(candle: Candle) -> Instrument:
    """Return an instrument for a key that the exchange does not list itself."""
    segment, _, name = candle.instrument_key.partition("|")
    if not name:
        raise ValueError(f"replay: {candle.instrument_key!r} is not an instrument key")
    kind = "INDEX" if segment.endswith("_INDEX") else "EQ" if segment.endswith("_EQ") else "FUT"
    return Instrument(
        instrument_key=candle.instrument_key,
        segment=segment,
        instrument_type=kind,
        trading_symbol=name,
        name=name,
        exchange_token=name,
        tick_size=0.0 if kind == "INDEX" else 0.05,
        lot_size=0 if kind == "INDEX" else 1,
    )
