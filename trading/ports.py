"""What the desk needs from outside: feeds, and what is kept on disk."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from trading.hours import HoursRules
from trading.model import Candle, Gap, Instrument, Mode
from trading.signal import Signal


class FeedState(StrEnum):
    STOPPED = "stopped"
    CONNECTING = "connecting"
    OPEN = "open"  # the socket is up, no price has arrived on it yet
    LIVE = "live"  # a price arrived on this connection
    STALLED = "stalled"  # it was live and fell silent; being replaced
    BACKING_OFF = "backing off"
    REFUSED = "refused"  # only a new token or a permission helps
    CONTESTED = "contested"  # another client of the same account keeps taking the connection


@dataclass(frozen=True, slots=True)
class FeedChange:
    """A feed went from one state to another at `at`; the reason is for the trader."""

    feed: str
    before: FeedState
    after: FeedState
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; None where nothing was measured yet."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class FeedStats:
    """One feed, read at one moment. Ages in seconds, None = never; rates per second.

    `frame_age` counts any sign of life, pings too; `tick_age` counts only prices.
    """

    feed: str
    state: FeedState
    since: datetime
    reason: str
    is_mock: bool
    frames: int = 0
    ticks: int = 0
    bytes: int = 0
    frame_rate: float = 0.0
    tick_rate: float = 0.0
    byte_rate: float = 0.0
    frame_age: float | None = None
    tick_age: float | None = None
    latency: Percentiles = field(default_factory=Percentiles)  # exchange's time to our receipt
    connections: int = 0
    reconnects: int = 0
    attempt: int = 0  # of the present outage, 0 while live
    next_attempt_in: float | None = None
    authorisations: int = 0
    decode_errors: int = 0
    text_frames: int = 0
    unknown_fields: int = 0  # kinds of feed we do not know, each counted
    bad_prices: int = 0  # zero, negative, not finite, absurd
    unasked: int = 0  # ticks of instruments that were not asked for
    duplicate_frames: int = 0
    dropped: int = 0  # ticks lost in our own inbox
    clock_skew: float | None = None  # seconds, exchange minus ours, median
    subscribed: Mapping[Mode, int] = field(default_factory=dict)
    limits: Mapping[Mode, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # asked for twice, never answered: "no data"
    segments: Mapping[str, str] = field(default_factory=dict)  # market_info, by segment
    # since a silent feed was last compared with the broker's quotes and had missed no trade
    quiet_age: float | None = None


class MarketFeed(Protocol):
    name: str
    changes: Signal[FeedChange]

    def start(self) -> None: ...

    def stop(self) -> None:
        """Return within two seconds, whatever the socket does."""
        ...

    def want(self, wanted: Mapping[str, Mode], deep: Collection[str] = ()) -> None:
        """Make the socket equal to this; `deep` names those whose five levels are decoded too."""
        ...

    def expect_prices(self, expected: bool) -> None:
        """Say whether silence is trouble: something is wanted and its segment is open."""
        ...

    def ask_again(self, instrument_keys: Collection[str]) -> None:
        """Subscribe these anew on the present socket; one that is not wanted is left out."""
        ...

    def reconnect(self, reason: str) -> None: ...

    def stats(self) -> FeedStats: ...


@dataclass(frozen=True, slots=True)
class RestStats:
    """The broker's REST interface as one account met it, counted since the start.

    A failure is a call without an answer worth the name, or one that was refused; a request that
    the broker understood and did not accept (a wrong price, say) is none, nor is a service that is
    closed for the night. `latency` is that of the last hundred answers. Ages in seconds.
    """

    calls: int = 0
    failures: int = 0
    last_error: str = ""
    last_failure_age: float | None = None
    last_success_age: float | None = None
    latency: Percentiles = field(default_factory=Percentiles)


class CandleSource(Protocol):
    async def minutes(self, instrument_key: str, first: date, last: date) -> list[Candle]:
        """Return the one-minute candles of these Indian days, oldest first.

        The last of today may be still under way. Raises Retryable, Refused or BadRequest.
        """
        ...


class CandleStore(Protocol):
    async def fill(self, candles: Sequence[Candle]) -> int:
        """Write minutes that others watched; return how many were news.

        A whole minute of our own stays as it is; one that we saw a part of is replaced.
        """
        ...


@dataclass(frozen=True, slots=True)
class StorageStats:
    """The writer, read at one moment; lag in seconds from the oldest row still queued."""

    state: str  # "ok", "locked", "disk full", "failed"
    reason: str
    queued: int
    capacity: int
    lag: float
    rows: int
    dropped: int
    batches: int
    errors: int
    last_commit_ms: float | None
    database_bytes: int
    wal_bytes: int
    left_out: int = 0  # orders, fills and baskets that no database would take


@dataclass(frozen=True, slots=True)
class VitalStats:
    """The process itself: loop lag in ms over the last minute, memory in bytes."""

    loop_lag: Percentiles
    loop_lag_max: float | None
    memory_bytes: int
    threads: int
    cpu_percent: float | None


class Vitals(Protocol):
    def stats(self) -> VitalStats: ...


@dataclass(frozen=True, slots=True)
class PolledQuote:
    """One instrument as the broker's REST quote told it; NaN and -1 where it told nothing.

    Rupees and units; `ltt`, the moment of the last trade, is epoch ms of the exchange, 0 if untold.
    """

    instrument_key: str
    ltp: float
    ltt: int
    bid: float
    bid_qty: int
    ask: float
    ask_qty: int
    day_low: float
    day_high: float
    lower_circuit: float
    upper_circuit: float


class QuoteSource(Protocol):
    async def quotes(self, instrument_keys: Sequence[str]) -> list[PolledQuote]:
        """Return what the broker tells of these, at most 500; of unknown instruments nothing.

        Raises Retryable, Refused or BadRequest.
        """
        ...


@dataclass(frozen=True, slots=True)
class PnlPoint:
    """One account's P&L of the day at one moment, in paise; None where it was not known.

    Not `complete` means that something open had no price: `unrealised` lacks it.
    """

    account: str
    at: datetime
    realised: int | None
    unrealised: int | None
    complete: bool
    is_mock: bool


class PnlJournal(Protocol):
    """The points of the day's P&L curve on the disk."""

    def keep_pnl(self, points: Sequence[PnlPoint]) -> None: ...

    async def pnl(self, account: str, *, since: datetime, until: datetime) -> list[PnlPoint]:
        """Return the points from `since` to before `until`, oldest first."""
        ...


class Catalogue(Protocol):
    """Every instrument the broker knows; kept on disk, asked by key or by words."""

    def get(self, instrument_key: str) -> Instrument | None: ...

    async def search(self, text: str, *, limit: int = 20) -> list[Instrument]: ...

    async def options(self, underlying_key: str) -> list[Instrument]:
        """Return the calls and puts on the list, by expiry, strike and type."""
        ...


class Journal(Protocol):
    """What was recorded, and the few things a page lets the trader keep."""

    async def candles(self, instrument_key: str, *, since: int, until: int) -> list[Candle]:
        """Return the minutes from `since` (epoch ms) to before `until`, oldest first."""
        ...

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]: ...

    async def watchlist(self) -> list[str] | None:
        """Return the list as the trader left it; None if there never was one."""
        ...

    async def set_watchlist(self, instrument_keys: Sequence[str]) -> None: ...

    async def hours(self) -> HoursRules: ...

    def stats(self) -> StorageStats: ...
