"""A made-up market from a seed: indices walk, and everything else is priced consistently."""

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from simulator.calendar import midnight_ms, previous_close
from simulator.greeks import Valuation, value
from simulator.instruments import BANK, LEVELS, NIFTY, SHARES, VIX
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
from simulator.tape import new_quote, print_trade, roll_day

STEP: Final = 250  # ms between the hidden indices' steps
STEP_SECONDS: Final = STEP / 1000
SESSION: Final = 22_500  # seconds from 09:15 to 15:30, over which volatilities are given
PULL: Final = 1 / 200_000  # a second, back to the base, so that weeks stay inside listed strikes
LONGEST_GAP: Final = 600_000  # ms of silence (a sleeping machine) that are played back
IDLE: Final = 3_600.0  # seconds of movement that any longer silence is worth
YEAR_MS: Final = 365 * 86_400_000
SHORTEST: Final = 60_000 / YEAR_MS  # an expiring option is valued as if a minute were left
BASES: Final = {f"NSE_EQ|{share.isin}": share.price for share in SHARES}
RATE, CARRY = 0.065, 0.055  # interest; interest less dividends


class Walk:
    """A hidden value that wanders around 0: its own stream, steps of a fixed length."""

    __slots__ = ("_keep", "_random", "_sigma", "x")

    def __init__(self, random: Random, *, day_sigma: float, pull: float) -> None:
        """Take the standard deviation over one session and the pull back to 0 a second."""
        self._random = random
        self._sigma = day_sigma / math.sqrt(SESSION)
        self._keep = pull
        self.x = 0.0

    def move(self, seconds: float) -> float:
        """Move on by so many seconds and return the shock, in standard deviations."""
        shock = self._random.gauss(0.0, 1.0)
        seconds = min(seconds, IDLE)
        self.x += self._sigma * math.sqrt(seconds) * shock - self._keep * self.x * seconds
        return shock


class Weather:
    """What drives all prices: the market, the banks beside it, and the level of volatility.

    It steps on a fixed grid of time, so that no price depends on how often somebody looks.
    """

    def __init__(self, seed: int, levels: Mapping[str, float], start: int) -> None:
        self._market = Walk(Random(f"{seed}/market"), day_sigma=0.0075, pull=PULL)
        self._banks = Walk(Random(f"{seed}/banks"), day_sigma=0.0040, pull=PULL)
        self._fear = Walk(Random(f"{seed}/fear"), day_sigma=0.030, pull=10 * PULL)
        self._levels = levels
        self._time = start - start % STEP
        self._market.x = Random(f"{seed}/gap").gauss(0.0, 0.003)
        self._publish()

    def at(self, time: float) -> None:
        """Step up to a moment; a moment of the past changes nothing."""
        steps = int(time - self._time) // STEP
        if steps <= 0:
            return
        if steps > LONGEST_GAP // STEP:
            self._move(steps * STEP_SECONDS)
        else:
            for _ in range(steps):
                self._move(STEP_SECONDS)
        self._time += steps * STEP
        self._publish()

    def restart(self, time: int) -> None:
        """Carry on from another time: the exchange's clock was set."""
        self._time = time - time % STEP

    def _move(self, seconds: float) -> None:
        before = self._market.x
        self._market.move(seconds)
        self._banks.move(seconds)
        self._fear.move(seconds)
        self._fear.x -= 3.0 * (self._market.x - before)  # fear rises when prices fall

    def _publish(self) -> None:
        self.market = self._market.x
        self.volatility = self._levels[VIX] / 100 * math.exp(self._fear.x)
        self.spots = {
            NIFTY: self._levels[NIFTY] * math.exp(self.market),
            BANK: self._levels[BANK] * math.exp(1.1 * self.market + self._banks.x),
            VIX: 100 * self.volatility,
        }


def smile(forward: float, strike: float, years: float, volatility: float) -> float:
    """Return the volatility of a strike: dearer far out, and dearer below than above."""
    away = math.log(strike / forward) / (volatility * math.sqrt(max(years, 1 / 365)))
    return volatility * min(max(1.0 - 0.04 * away + 0.025 * away * away, 0.9), 5.0)


class MarketLine(Line, ABC):
    """A line whose fair price comes from the weather, and that has a tempo of its own."""

    def __init__(self, instrument: Instrument, random: Random, weather: Weather) -> None:
        super().__init__(instrument, random)
        self.weather = weather
        self.time = 0.0  # of the last change
        self.gap = 0.0  # ms between changes, on average
        self.ends = instrument.expiry or math.inf  # epoch ms

    @abstractmethod
    def tempo(self) -> float:
        """Return how busy it is beside others."""

    @abstractmethod
    def fair(self, time: float) -> float:
        """Return what it is worth, in rupees."""

    def open(self, time: int, close: float) -> None:
        """Begin trading with one trade at the fair price."""
        self.time = time
        fair = self.fair(time)
        self.quote = new_quote(
            self.rupees(max(1, round(fair * 100 / self.tick))),
            at=0,  # so that the trade below opens its day and its minute
            day=midnight_ms(time),
            close=self.rupees(max(1, round(close * 100 / self.tick))),
        )
        self.limit()
        self.move_book(fair)
        self.quote.total_buy = float(self.unit * (2_000 + self.random.getrandbits(12)))
        self.quote.total_sell = float(self.unit * (2_000 + self.random.getrandbits(12)))
        self.trade(time, self.random.getrandbits(32))

    def change(self, time: float) -> Part:
        """Let one thing happen: mostly a trade, sometimes only orders that come and go."""
        bits = self.random.getrandbits(32)
        traded = bits & 7 < 5
        if traded and bits >> 3 & 3 == 0:  # on the standing book
            self.trade(int(time), bits >> 8)
            return TRADE
        self.move_book(self.fair(time))
        self.time = time
        if not traded:
            return BOOK_ONLY
        self.trade(int(time), bits >> 8)
        return TRADE_AND_BOOK

    def catch_up(self, time: float) -> None:
        """Trade at a book of now, as all that was left out would have ended.

        With the last trade of long ago beside it, a market order's protection would hold it back.
        """
        self.move_book(self.fair(time))
        self.time = time
        self.trade(int(time), self.random.getrandbits(24))


class IndexLine(MarketLine):
    """An index: a number that is published, without orders or trades."""

    def __init__(self, instrument: Instrument, random: Random, weather: Weather) -> None:
        super().__init__(instrument, random, weather)
        self.tick = 1 if self.key == VIX else 5

    def tempo(self) -> float:
        return 0.0

    def fair(self, time: float) -> float:
        return self.weather.spots[self.key]

    def open(self, time: int, close: float) -> None:
        price = self.rupees(round(self.fair(time) * 100 / self.tick))
        self.quote = new_quote(price, at=time, day=midnight_ms(time), close=close)

    def change(self, time: float) -> Part:
        price = self.rupees(round(self.fair(time) * 100 / self.tick))
        print_trade(self.quote, price, 0, int(time))
        return INDEX_TICK

    def catch_up(self, time: float) -> None:
        self.change(time)

    def new_day(self, day: int) -> None:
        roll_day(self.quote, day)


class ShareLine(MarketLine):
    """A share: follows the market by its beta, and walks by itself."""

    mask = 1023

    def __init__(
        self, instrument: Instrument, random: Random, weather: Weather, base: float
    ) -> None:
        super().__init__(instrument, random, weather)
        self._base = base
        self._beta = 0.6 + 0.8 * random.random()
        self._own = Walk(random, day_sigma=0.010, pull=PULL)

    def tempo(self) -> float:
        return 1.5

    def fair(self, time: float) -> float:
        if time > self.time:
            self._own.move((time - self.time) / 1000)
            self.time = time
        return self._base * math.exp(self._beta * self.weather.market + self._own.x)


class FutureLine(MarketLine):
    """A future on an index: the index with its carry to expiry, and open interest."""

    def tempo(self) -> float:
        return 4.0

    def open(self, time: int, close: float) -> None:
        super().open(time, close)
        self.quote.oi = float(self.unit * (50_000 + self.random.getrandbits(16)))
        self.quote.previous_oi = float(self.unit * (50_000 + self.random.getrandbits(16)))

    def years(self, time: float) -> float:
        return max((self.instrument.expiry - time) / YEAR_MS, SHORTEST)

    def fair(self, time: float) -> float:
        spot = self.weather.spots[self.instrument.underlying_key]
        return spot * math.exp(CARRY * self.years(time))

    def trade(self, at: int, bits: int) -> None:
        super().trade(at, bits)
        if bits >> 4 & 3 == 0:
            opened = self.unit * ((bits >> 6 & 15) - 7)
            self.quote.oi = max(0.0, self.quote.oi + opened)


class OptionLine(FutureLine):
    """An option on an index: its value with the smile, and the Greeks of that value."""

    def __init__(self, instrument: Instrument, random: Random, weather: Weather) -> None:
        super().__init__(instrument, random, weather)
        self._call = instrument.instrument_type == "CE"
        self._valued: Valuation
        self._sigma = 0.0

    def tempo(self) -> float:
        days = self.years(self.time) * 365
        spot = self.weather.spots[self.instrument.underlying_key]
        away = abs(self.instrument.strike / spot - 1) / 0.008
        return (0.12 + 5.0 * math.exp(-away)) / (1 + days / 10)

    def open(self, time: int, close: float) -> None:
        super().open(time, close)
        busy = 200 + 60_000 * self.tempo() * (0.3 + self.random.random())
        self.quote.oi = float(self.unit * int(busy))
        self.quote.previous_oi = float(self.unit * int(busy * (0.8 + 0.4 * self.random.random())))
        self.show(self._sigma, self._valued)

    def fair(self, time: float) -> float:
        strike = self.instrument.strike
        years = self.years(time)
        spot = self.weather.spots[self.instrument.underlying_key]
        forward = spot * math.exp(CARRY * years)
        self._sigma = smile(forward, strike, years, self.weather.volatility)
        self._valued = value(
            spot, strike, years, self._sigma, rate=RATE, carry=CARRY, call=self._call
        )
        return self._valued.price

    def change(self, time: float) -> Part:
        part = super().change(time)
        if part is TRADE_AND_BOOK:
            self.show(self._sigma, self._valued)
            return TRADE_AND_GREEKS
        return part

    def catch_up(self, time: float) -> None:
        super().catch_up(time)
        self.show(self._sigma, self._valued)

    def width(self, ticks: float) -> int:
        """Return the spread: a tick for what is cheap, wide for what is deep in the money."""
        deep = 0.003 if abs(self._valued.delta) > 0.9 else 0.001
        return 1 + int(ticks * deep)

    def limit(self) -> None:
        spot = self.weather.spots[self.instrument.underlying_key]
        self.set_limits(0.0, self.quote.close * 2 + BAND * spot)


class RandomMarket:
    """A market from a seed; the same seed, start and instruments give the same prices.

    `rate` is the number of changes in a second of the exchange's time over all instruments.
    Changes happen at moments that each instrument draws from its own stream, so that neither the
    steps in which `advance` is called nor who is interested in what moves any other price.

    `interest(key)` says whether anybody wants an instrument: one that nobody wants is not
    computed until it is wanted or refreshed. `is_open(segment, at)` says whether a segment
    trades; without it, it always does.
    """

    def __init__(
        self,
        seed: int,
        instruments: Mapping[str, Instrument],
        start_ms: int,
        rate: float = 400.0,
        *,
        levels: Mapping[str, float] = LEVELS,
        interest: Callable[[str], bool] | None = None,
        is_open: Callable[[str, int], bool] | None = None,
    ) -> None:
        self.instruments = dict(instruments)
        self._weather = Weather(seed, levels, start_ms)
        self._now = start_ms
        self._interest = interest
        self._is_open = is_open
        self._asked: dict[str, tuple[int, bool]] = {}  # by segment: minute, whether it is open
        begun = start_ms  # a market that is closed stands as it was at its last close
        if is_open is not None and not is_open("NSE_EQ", start_ms):
            begun = previous_close(start_ms) - 1
        self._midnight = midnight_ms(begun)
        self._lines = [
            _line(instrument, seed, self._weather, levels)
            for instrument in self.instruments.values()
        ]
        self._by_key = {line.key: line for line in self._lines}
        self._open(seed, levels, begun)
        self.quotes: dict[str, Quote] = {line.key: line.quote for line in self._lines}
        _set_tempo(self._lines, rate)
        self._agenda: list[tuple[float, int, MarketLine]] = []
        self._schedule(start_ms)

    def _open(self, seed: int, levels: Mapping[str, float], at: int) -> None:
        yesterday = Random(f"{seed}/close")
        for line in self._lines:
            fair = line.fair(at)
            if isinstance(line, IndexLine):
                close = levels[line.key]
            else:
                close = fair * (1 + yesterday.gauss(0.0, 0.004))
            line.open(at, close)

    def _schedule(self, now: int) -> None:
        self._agenda = [(now + _wait(line), i, line) for i, line in enumerate(self._lines)]
        heapq.heapify(self._agenda)

    def advance(self, now: int) -> Iterator[tuple[str, Part]]:
        """Move to `now`, yielding each change in order.

        After more than ten minutes of silence, or when time runs back, the market carries on
        from there instead of playing back what nobody could have seen.
        """
        if not -1_000 <= now - self._now <= LONGEST_GAP:
            yield from self._resume(now)
        agenda = self._agenda
        while agenda and agenda[0][0] <= now:
            time, i, line = agenda[0]
            if time > line.ends:
                heapq.heappop(agenda)
                continue
            heapq.heapreplace(agenda, (time + _wait(line), i, line))
            if time >= self._midnight + 86_400_000:
                yield from self._new_day(int(time))
            if self._is_open is not None and not self._trades(line, int(time)):
                continue
            self._weather.at(time)  # wanted or not, or the interest of others would move prices
            if self._interest is not None and not self._interest(line.key):
                continue
            yield line.key, line.change(time)
        self._now = max(now, self._now)

    def refresh(self, key: str) -> None:
        """Bring an instrument that was not wanted up to date, as of the last advance.

        Only its own stream moves on. Raises KeyError for an unknown instrument.
        """
        line = self._by_key[key]
        if self._is_open is None or self._trades(line, self._now):
            self._weather.at(self._now)
            line.catch_up(self._now)

    def _trades(self, line: MarketLine, at: int) -> bool:
        segment, minute = line.instrument.segment, at // 60_000
        asked, answer = self._asked.get(segment, (-1, False))
        if asked != minute and self._is_open is not None:
            answer = self._is_open(segment, at)
            self._asked[segment] = (minute, answer)
        return answer

    def _resume(self, now: int) -> Iterator[tuple[str, Part]]:
        if now < self._now:
            self._weather.restart(now)
        for line in self._lines:
            line.time = float(now)
        if midnight_ms(now) != self._midnight:
            yield from self._new_day(now)
        self._now = now
        self._schedule(now)

    def _new_day(self, now: int) -> Iterator[tuple[str, Part]]:
        self._midnight = midnight_ms(now)
        for line in self._lines:
            line.new_day(self._midnight)
            yield line.key, NEW_DAY


def _line(
    instrument: Instrument, seed: int, weather: Weather, levels: Mapping[str, float]
) -> MarketLine:
    key = instrument.instrument_key
    random = Random(f"{seed}/{key}")
    match instrument.instrument_type:
        case "INDEX":
            return IndexLine(instrument, random, weather)
        case "FUT":
            return FutureLine(instrument, random, weather)
        case "CE" | "PE":
            return OptionLine(instrument, random, weather)
        case _:
            base = levels.get(key) or BASES.get(key, 1_000.0)
            return ShareLine(instrument, random, weather, base)


def _set_tempo(lines: list[MarketLine], rate: float) -> None:
    """Share the rate out: an index prints once a second, the others by how busy they are."""
    weights = [line.tempo() for line in lines]
    total = sum(weights)
    still = weights.count(0.0)
    each = min(1.0, rate / 2 / still) if still and total else rate / max(1, still)
    left = rate - each * still
    for line, weight in zip(lines, weights, strict=True):
        line.gap = 1_000 / (left * weight / total if weight else each)


def _wait(line: MarketLine) -> float:
    """Return the ms until an instrument's next change."""
    return line.random.expovariate(1.0) * line.gap
