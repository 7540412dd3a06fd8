"""What an instrument is worth now: a fresh tick, else a quote that was asked for, else unknown."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from trading.clock import Clock
from trading.errors import RateLimited, VigilError
from trading.market_data import TRADE_AHEAD, MarketDataService
from trading.model import UNKNOWN, UNKNOWN_COUNT, Tick, segment_of
from trading.ports import PolledQuote, QuoteSource
from trading.signal import Signal

log = logging.getLogger(__name__)

PRICE_FRESH: Final = 5.0  # seconds; an older price values nothing and fills nothing
# A quote is asked for before the tick or the quote before it is too old: answers take their time,
# and a value must not vanish and come back every few seconds.
ASK_FROM: Final = 3.0  # seconds, the age of a tick's price
ASK_EVERY: Final = 4.0  # seconds, of one instrument
JITTER: Final = 0.5  # seconds that a job of each second may be early
TOGETHER: Final = 2.0  # seconds that one is asked for too early, to be in the call of another one
MOST_KEYS: Final = 500  # of one request
LOWEST, HIGHEST = 1e-4, 1e8  # rupees; outside is an error, whatever it is a price of
SAME_MOMENT: Final = timedelta(seconds=0.25)  # that the answer whether a segment is open holds

Source = Literal["W", "R"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A price in rupees that may be believed, with the best bid and ask if they may be, too.

    `age` is seconds since the price arrived, `ltt` epoch ms of its trade. W came over the feed, R
    was asked for. `closed` means that it is the last price of a session that is over.
    """

    price: float
    age: float
    source: Source
    bid: float
    bid_qty: int
    ask: float
    ask_qty: int
    ltt: int
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """A quote and when it was asked for (monotonic seconds), from which its age counts."""

    quote: PolledQuote
    asked: float


class Marks:
    """The one place that says what an instrument is worth; never an entry price, never zero."""

    def __init__(
        self,
        *,
        clock: Clock,
        market_data: MarketDataService,
        source: QuoteSource,
        is_open: Callable[[str, datetime], bool],
    ) -> None:
        """`is_open` says whether a segment trades at a moment (`TradingHours.is_open`)."""
        self.polled: Signal[list[PolledQuote]] = Signal("polled quotes")  # those that may be used
        self._clock = clock
        self._market_data = market_data
        self._source = source
        self._is_open = is_open
        self._open: dict[str, tuple[datetime, bool]] = {}
        self._wants: dict[int, tuple[str, frozenset[str]]] = {}
        self._serial = 0
        self._asked: dict[str, float] = {}
        self._told: dict[str, _Told] = {}
        self._refused: dict[str, str] = {}
        self._not_before = -math.inf
        self._forgotten = -math.inf  # when: an answer to a question of before is not of now

    def of(self, instrument_key: str) -> Mark | None:
        """Return what it is worth; None if nothing says so now, and `why_not` says why."""
        now = self._clock.monotonic()
        tick = self._market_data.last(instrument_key)
        told = self._told.get(instrument_key)
        if not self._trades(instrument_key):
            return _last(tick, told, now)
        if tick is not None and now - tick.price_received <= PRICE_FRESH and _sane(tick.ltp):
            return _of_tick(tick, now)
        if told is not None and now - told.asked <= PRICE_FRESH:
            return _of_quote(told, now)
        return None

    def why_not(self, instrument_key: str) -> str:
        """Return in words why there is no mark, empty if there is one."""
        if self.of(instrument_key) is not None:
            return ""
        age = self._market_data.price_age(instrument_key)
        heard = "no price came over the feed"
        if age is not None:
            heard = f"the feed's last price is {age:.0f} s old"
        if not self._trades(instrument_key):
            return f"the market is closed and {heard}"
        return f"{heard}, {self._why_not_polled(instrument_key)}"

    def forget(self) -> None:
        """Believe no quote that was asked for until now: nobody knows how old it is."""
        self._forgotten = self._clock.monotonic()
        self._told.clear()
        self._asked.clear()

    def want(self, holder: str, instrument_keys: Iterable[str]) -> Callable[[], None]:
        """Have these asked for whenever the feed does not serve them, until the undo is called."""
        self._serial += 1
        serial = self._serial
        self._wants[serial] = (holder, frozenset(instrument_keys))

        def release() -> None:
            self._wants.pop(serial, None)

        return release

    def wanted(self) -> frozenset[str]:
        return frozenset().union(*(keys for _, keys in self._wants.values()))

    async def poll(self) -> None:
        """Ask for the quotes that are due; a job of each second."""
        now, wanted = self._clock.monotonic(), self.wanted()
        self._forget_all_but(wanted)
        if now < self._not_before:
            return
        due: list[str] = []
        if any(self._is_due(key, now) for key in wanted):
            due = sorted(key for key in wanted if self._is_due(key, now + TOGETHER))
        for start in range(0, len(due), MOST_KEYS):
            await self._ask(due[start : start + MOST_KEYS])

    def _is_due(self, instrument_key: str, now: float) -> bool:
        asked = self._asked.get(instrument_key)
        if asked is not None and now - asked < ASK_EVERY - JITTER:
            return False
        age = self._market_data.price_age(instrument_key)
        stale = age is None or age + now - self._clock.monotonic() > ASK_FROM
        return stale and self._trades(instrument_key)

    async def _ask(self, instrument_keys: Sequence[str]) -> None:
        asked = self._clock.monotonic()
        self._asked.update(dict.fromkeys(instrument_keys, asked))
        try:
            quotes = await self._source.quotes(instrument_keys)
        except VigilError as error:
            if isinstance(error, RateLimited):
                self._not_before = self._clock.monotonic() + error.retry_after
            log.warning("%d quotes could not be read: %s", len(instrument_keys), error)
            why = f"its quote could not be read: {error}"
            self._refused.update(dict.fromkeys(instrument_keys, why))
            return
        self._take(instrument_keys, {quote.instrument_key: quote for quote in quotes}, asked)

    def _take(
        self, instrument_keys: Sequence[str], quotes: dict[str, PolledQuote], asked: float
    ) -> None:
        used: list[PolledQuote] = []
        for key in instrument_keys:
            quote = quotes.get(key)
            why = "the broker tells no quote of it"
            if quote is not None:
                reason = unusable(quote, self._market_data.last(key))
                why = f"its quote was not used: {reason}" if reason else ""
            if why:
                self._refused[key] = why
            elif quote is not None and asked > self._forgotten:
                self._refused.pop(key, None)
                self._told[key] = _Told(quote, asked)
                used.append(quote)
        if used:
            self.polled.emit(used)

    def _why_not_polled(self, instrument_key: str) -> str:
        if instrument_key not in self.wanted():
            return "and nobody has it asked for"
        told = self._told.get(instrument_key)
        waits = "its quote is being asked for"
        if told is not None:
            waits = f"its quote is {self._clock.monotonic() - told.asked:.0f} s old"
        return self._refused.get(instrument_key, waits)

    def _forget_all_but(self, wanted: frozenset[str]) -> None:
        for known in (self._asked, self._told, self._refused):
            for key in [key for key in known if key not in wanted]:
                del known[key]

    def _trades(self, instrument_key: str) -> bool:
        """Return whether its segment is open; asked again a few times a second, it costs."""
        segment, now = segment_of(instrument_key), self._clock.now()
        known = self._open.get(segment)
        if known is None or not timedelta() <= now - known[0] < SAME_MOMENT:
            known = self._open[segment] = (now, self._is_open(segment, now))
        return known[1]


def unusable(quote: PolledQuote, tick: Tick | None) -> str:
    """Return why a quote must not be taken for the price now; `tick` is the feed's last.

    An exchange's machine may answer with a price of another day (fault F29).
    """
    if not _sane(quote.ltp):
        return f"{quote.ltp:g} is no price"
    if tick is not None and quote.ltt < _traded(tick):
        return "it is older than what the feed told" if quote.ltt else "it has no time"
    low, high = quote.day_low, quote.day_high
    if _sane(low) and _sane(high):
        outside = f"{quote.ltp:.2f} is outside the day's {low:.2f} to {high:.2f}"
        return "" if low <= quote.ltp <= high else outside
    confirms = tick is not None and quote.ltp == tick.ltp
    return "" if confirms else "the day's range is not known"


def _traded(tick: Tick) -> int:
    """Return when it was traded, 0 if unknown; a trade of the future orders nothing."""
    return tick.ltt if tick.ltt <= tick.exchange_ts + TRADE_AHEAD else 0


def _sane(price: float) -> bool:
    return LOWEST <= price <= HIGHEST  # of NaN neither holds


def _last(tick: Tick | None, told: _Told | None, now: float) -> Mark | None:
    """Return the last price of a session that is over, by the time of the trade."""
    heard = tick is not None and _sane(tick.ltp)
    if told is not None and (tick is None or not heard or told.quote.ltt > tick.ltt):
        return _of_quote(told, now, closed=True)
    return _of_tick(tick, now, closed=True) if tick is not None and heard else None


def _of_tick(tick: Tick, now: float, *, closed: bool = False) -> Mark:
    age = now - tick.price_received
    if now - tick.book_received <= PRICE_FRESH:
        return Mark(
            tick.ltp, age, "W", tick.bid, tick.bid_qty, tick.ask, tick.ask_qty, tick.ltt, closed
        )
    unknown = UNKNOWN_COUNT
    return Mark(tick.ltp, age, "W", UNKNOWN, unknown, UNKNOWN, unknown, tick.ltt, closed)


def _of_quote(told: _Told, now: float, *, closed: bool = False) -> Mark:
    quote = told.quote
    return Mark(
        quote.ltp,
        now - told.asked,
        "R",
        quote.bid,
        quote.bid_qty,
        quote.ask,
        quote.ask_qty,
        quote.ltt,
        closed,
    )
