"""One moment of the desk, read once for all rules: what they judge is the same for each of them."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from alerts.minutes import MinuteBook, Past
from alerts.words import count
from trading.basket import Basket
from trading.books import Books
from trading.desk import Desk, Stage
from trading.health import ChannelHealth, Component, JobHealth, Thresholds
from trading.marks import HIGHEST, LOWEST, PRICE_FRESH, Mark
from trading.model import segment_of
from trading.order import AccountState, Order, OrderStatus
from trading.ports import (
    FeedChange,
    FeedState,
    FeedStats,
    Percentiles,
    RestStats,
    StorageStats,
    VitalStats,
)

MINUTE: Final = 60.0  # seconds over which counters are judged
DISK_EVERY: Final = 10.0  # seconds between two looks at the room on the disk
STOOD: Final = 60  # samples, a second apart, of a feed's rate while it was well
# What an exchange says of a segment that does not trade, whatever the calendar says.
NOT_TRADING: Final = frozenset(
    {"PRE_OPEN_START", "PRE_OPEN_END", "NORMAL_CLOSE", "CLOSING_START", "CLOSING_END"}
)
SETTLES: Final = 15.0  # seconds that a start may take to know what there is
ONCE: Final = 3.0  # times the limit of the loop's lag: worth telling though it was one pause
REFUSALS: Final = (FeedState.REFUSED, FeedState.CONTESTED)
CONNECTED: Final = (FeedState.OPEN, FeedState.LIVE)


@dataclass(frozen=True, slots=True)
class FeedSight:
    """One feed. `due` says that its silence, or its absence, would be trouble now.

    `silence` is for how many seconds prices have been missed, None where none are due. `refusal`
    is REFUSED or CONTESTED from then until a connection stands again, whatever is tried meanwhile.
    `decode_errors` and `dropped` are those of the last minute; `usual_rate` ticks a second while
    all was well, None if that is not known.
    """

    stats: FeedStats
    account: str
    due: bool
    silence: float | None = None
    refusal: FeedState | None = None
    reason: str = ""  # of the refusal
    stalled: bool = False  # it has compared its silence with the broker's quotes, and is not back
    decode_errors: int = 0
    dropped: int = 0
    usual_rate: float | None = None

    @property
    def connected(self) -> bool:
        return self.stats.state in CONNECTED

    @property
    def attempts(self) -> str:
        """Say in words how far it is with connecting anew."""
        if not self.stats.attempt:
            return "it is being reconnected"
        soon = self.stats.next_attempt_in
        when = "under way" if soon is None else f"next in {soon:.0f} s"
        return f"it is being reconnected: attempt {self.stats.attempt}, {when}"


@dataclass(frozen=True, slots=True)
class HeldSight:
    """One instrument with an open position.

    `blind` is for how many seconds no price may be believed, None while one may. `heard` says that
    the feed has told a price of it on its own; `overtaken` that the broker's quote shows a later
    trade than the feed has told.
    """

    instrument_key: str
    is_open: bool  # its market
    blind: float | None = None
    heard: bool = True
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order that nobody has answered for, and for how many seconds."""

    order: Order
    seconds: float


@dataclass(frozen=True, slots=True)
class ChannelSight:
    """A way to a person; `held_up` is for how many seconds it could deliver nothing."""

    health: ChannelHealth
    held_up: float = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """When an account's token ends, and whether one of our markets is open then."""

    account: str
    at: datetime
    market_open: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that rules may judge, as of `now` (UTC) and `monotonic` seconds.

    Accounts are in the order of the settings; the market feed uses the token of the primary one.
    """

    now: datetime
    monotonic: float
    limits: Thresholds
    stage: Stage
    stage_reason: str
    market: FeedSight
    storage: StorageStats
    vitals: VitalStats
    streams: tuple[FeedSight, ...] = ()
    open_segments: frozenset[str] = frozenset()  # of what is wanted
    held: tuple[HeldSight, ...] = ()
    blindfold: bool = False  # it is not known what is held, though the start has had its time
    working: int = 0  # orders
    waiting: tuple[Waiting, ...] = ()
    accounts: tuple[AccountState, ...] = ()
    books: tuple[Books, ...] = ()
    baskets: tuple[Basket, ...] = ()  # those that call for a person
    storage_dropped: int = 0  # rows of the last minute
    disk_free: int | None = None  # bytes
    jobs: tuple[JobHealth, ...] = ()
    channels: tuple[ChannelSight, ...] = ()
    rest: Mapping[str, RestStats] = field(default_factory=dict)  # by account
    endings: tuple[Ending, ...] = ()
    past: tuple[Past, ...] = ()  # of components, in whole minutes
    name: Callable[[str], str] = str  # of an instrument, as screens say it

    @property
    def market_open(self) -> bool:
        return bool(self.open_segments)

    @property
    def exposed(self) -> bool:
        """Return whether there is, or may be, what somebody must watch: a position, an order."""
        return bool(self.held) or self.working > 0 or self.blindfold

    @property
    def stake(self) -> str:
        """Say in words what is at stake: `3 positions and 1 working order open`.

        Before the broker's books were read nobody knows, and "none" would be a guess.
        """
        parts = [count(len(self.held), "position")] if self.held else []
        parts += [count(self.working, "working order")] if self.working else []
        known = f"{' and '.join(parts)} open" if parts else "no position open"
        if not self.unread:
            return known
        return f"{known}, perhaps more: {self.unread}" if parts else self.not_known

    @property
    def unread(self) -> str:
        """Say in words whose books were never read, so that nobody knows what is held there."""
        unread = [books.account for books in self.books if books.checked is None]
        return f"the books of {', '.join(unread)} have not been read yet" if unread else ""

    @property
    def not_known(self) -> str:
        return f"what is held is not known: {self.unread}"

    def is_open(self, instrument_key: str) -> bool:
        return segment_of(instrument_key) in self.open_segments

    def stream(self, account: str) -> FeedSight | None:
        return next((stream for stream in self.streams if stream.account == account), None)


def rest_sum(parts: Iterable[RestStats]) -> RestStats:
    """Return the calls of all accounts as one: ages of the latest, latency of the slowest."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    failed = [p for p in found if p.last_failure_age is not None]
    latest = min(failed, key=lambda p: p.last_failure_age or 0.0, default=RestStats())
    good = [p.last_success_age for p in found if p.last_success_age is not None]
    return RestStats(
        calls=sum(p.calls for p in found),
        failures=sum(p.failures for p in found),
        last_error=latest.last_error,
        last_failure_age=latest.last_failure_age,
        last_success_age=min(good, default=None),
        latency=_slowest([p.latency for p in found]),
    )


def _slowest(parts: Sequence[Percentiles]) -> Percentiles:
    """Return for each percentile that of the account for which it is the highest."""
    return Percentiles(
        max((p.p50 for p in parts if p.p50 is not None), default=None),
        max((p.p95 for p in parts if p.p95 is not None), default=None),
        max((p.p99 for p in parts if p.p99 is not None), default=None),
    )


class Growth:
    """How much counters grew within the last minute; one that began anew counts from zero."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._last: dict[str, int] = {}

    def of(self, name: str, value: int, now: float) -> int:
        """Take note of a counter's value; the first is where counting begins."""
        last = self._last.get(name, value)
        self._last[name] = value
        grown = value - last if value >= last else value
        seen = self._seen.setdefault(name, deque())
        if grown:
            seen.append((now, grown))
        while seen and now - seen[0][0] >= MINUTE:
            seen.popleft()
        return sum(each for _, each in seen)


class Stands:
    """Since when something has been so without a break; monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def seconds(self, now: float, names: Iterable[str]) -> dict[str, float]:
        """Return for how long each has been among the names; the others are forgotten."""
        self._since = {name: self._since.get(name, now) for name in names}
        return {name: now - since for name, since in self._since.items()}


def no_jobs() -> Sequence[JobHealth]:
    return ()


def no_channels() -> Sequence[ChannelHealth]:
    return ()


def unknown_room() -> int | None:
    return None


def no_endings() -> Mapping[str, datetime]:
    return {}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the desk itself does not know; each is asked once a look and must not block."""

    jobs: Callable[[], Sequence[JobHealth]] = no_jobs
    channels: Callable[[], Sequence[ChannelHealth]] = no_channels
    disk_free: Callable[[], int | None] = unknown_room  # bytes where the database lies
    token_ends: Callable[[], Mapping[str, datetime]] = no_endings  # by account, UTC
    rest: Mapping[str, Callable[[], RestStats]] = field(default_factory=dict)  # by account


def late_by(sight: Sight) -> float | None:
    """Return the longest pause of the last minute, ms, if the desk answers too late; else None.

    It does if it often is, or was once for so long that a person noticed: one pause of a second,
    as when a page is built on a busy machine, is not worth a warning.
    """
    vitals, limit = sight.vitals, sight.limits.loop_lag_ms
    often, once = vitals.loop_lag.p99, vitals.loop_lag_max
    if once is None or not (once > ONCE * limit or (often is not None and often > limit)):
        return None
    return once


class Lookout:
    """Reads the desk, and remembers of earlier looks only since when things are as they are."""

    def __init__(
        self, desk: Desk, limits: Thresholds, minutes: MinuteBook, sources: Sources | None = None
    ) -> None:
        self._desk = desk
        self._limits = limits
        self._minutes = minutes
        self._sources = sources or Sources()
        self._growth = Growth()
        self._due, self._blind = Stands(), Stands()
        self._unanswered, self._held_up, self._unread = Stands(), Stands(), Stands()
        self._priced: set[str] = set()  # held, and with a price in this session
        self._stalled: set[str] = set()  # feeds, until they are live again
        self._refusals: dict[str, tuple[FeedState, str]] = {}
        self._rates: dict[str, deque[float]] = {}
        self._rated = 0.0
        self._room: tuple[float, int | None] | None = None

    def on_feed(self, change: FeedChange) -> None:
        """Note what passes too quickly to be seen: a feed that is STALLED dials again at once."""
        if change.after is FeedState.STALLED:
            self._stalled.add(change.feed)
        elif change.after is FeedState.LIVE:
            self._stalled.discard(change.feed)

    def look(self) -> Sight:
        """Read everything once; some 1 ms with 200 positions."""
        desk, now, monotonic = self._desk, self._desk.clock.now(), self._desk.clock.monotonic()
        market, opened = self._market(now, monotonic)
        storage = desk.journal.stats()
        accounts = tuple(desk.accounts.all())
        names = [state.account.id for state in accounts]
        keys = sorted({key for name in names for key in desk.positions.open_keys(name)})
        working = desk.orders.working()
        books = tuple(desk.positions.books(name) for name in names)
        return Sight(
            now=now,
            monotonic=monotonic,
            limits=self._limits,
            stage=desk.progress.stage,
            stage_reason=desk.progress.reason,
            market=market,
            storage=storage,
            vitals=desk.vitals.stats(),
            streams=self._streams(bool(opened), monotonic),
            open_segments=opened,
            held=self._held(keys, opened, monotonic),
            blindfold=self._blindfold(books, accounts, monotonic),
            working=len(working),
            waiting=self._waiting(working, monotonic),
            accounts=accounts,
            books=books,
            baskets=tuple(basket for basket in desk.baskets.all() if basket.alarming),
            storage_dropped=self._growth.of("storage", storage.dropped, monotonic),
            disk_free=self._disk_free(monotonic),
            jobs=tuple(self._sources.jobs()),
            channels=self._channels(monotonic),
            rest={name: stats() for name, stats in self._sources.rest.items()},
            endings=self._endings(now),
            past=self._minutes.past(),
            name=self._name,
        )

    def _name(self, instrument_key: str) -> str:
        instrument = self._desk.catalogue.get(instrument_key)
        return instrument.title if instrument else instrument_key

    # feeds

    def _market(self, now: datetime, monotonic: float) -> tuple[FeedSight, frozenset[str]]:
        desk, stats = self._desk, self._desk.feed.stats()
        wanted = {segment_of(key) for key in desk.subscriptions.wanted().modes}
        opened = frozenset(
            segment
            for segment in wanted
            if stats.segments.get(segment) not in NOT_TRADING and desk.hours.is_open(segment, now)
        )
        due = bool(opened) and desk.progress.stage == "ready"
        since = self._due.seconds(monotonic, ["market"] if due else [])
        feed = self._feed(stats, desk.accounts.primary.account.id, due=due, monotonic=monotonic)
        silence = None
        if due:
            known = (desk.market_data.heard_age(), stats.quiet_age, since["market"])
            silence = min(age for age in known if age is not None)
        lives = silence is not None and silence < self._limits.position_stale
        usual = self._usual(stats, monotonic, well=lives and stats.state is FeedState.LIVE)
        return replace(feed, silence=silence, usual_rate=usual), opened

    def _streams(self, market_open: bool, monotonic: float) -> tuple[FeedSight, ...]:
        due = market_open and self._desk.progress.stage == "ready"
        return tuple(
            self._feed(feed.stats(), account, due=due, monotonic=monotonic)
            for account, feed in self._desk.portfolio_feeds.items()
        )

    def _feed(self, stats: FeedStats, account: str, *, due: bool, monotonic: float) -> FeedSight:
        if stats.state in REFUSALS:
            self._refusals[stats.feed] = (stats.state, stats.reason)
        elif stats.state in CONNECTED or stats.state is FeedState.STOPPED:
            self._refusals.pop(stats.feed, None)
        refusal, reason = self._refusals.get(stats.feed, (None, ""))
        return FeedSight(
            stats,
            account,
            due,
            refusal=refusal,
            reason=reason,
            stalled=stats.feed in self._stalled,
            decode_errors=self._growth.of(
                f"decode errors of {stats.feed}", stats.decode_errors, monotonic
            ),
            dropped=self._growth.of(f"drops of {stats.feed}", stats.dropped, monotonic),
        )

    def _usual(self, stats: FeedStats, now: float, *, well: bool) -> float | None:
        """Return the feed's rate of the last minute in which it was well."""
        rates = self._rates.setdefault(stats.feed, deque(maxlen=STOOD))
        if well and now - self._rated >= 1.0:
            self._rated = now
            rates.append(stats.tick_rate)
        return sum(rates) / len(rates) if rates else None

    # what is at stake

    def _held(
        self, keys: Sequence[str], opened: frozenset[str], now: float
    ) -> tuple[HeldSight, ...]:
        """Judge each price that counts; most are told by the feed, and need no closer look."""
        fresh = self._desk.market_data.fresh_price
        there = [key for key in keys if segment_of(key) in opened]
        told = {key for key in there if LOWEST <= fresh(key, within=PRICE_FRESH) <= HIGHEST}
        marks = {key: self._desk.marks.of(key) for key in there if key not in told}
        blind = self._blind.seconds(now, [key for key, mark in marks.items() if mark is None])
        self._priced = {key for key in there if key not in blind or key in self._priced}
        return tuple(
            self._one_held(key, marks[key], blind)
            if key in marks
            else HeldSight(key, is_open=key in told)
            for key in keys
        )

    def _one_held(self, key: str, mark: Mark | None, blind: Mapping[str, float]) -> HeldSight:
        tick = self._desk.market_data.last(key)
        heard = tick is not None and not math.isnan(tick.price_received)
        if mark is None:  # where there was one in this session, it became too old just then
            grown = PRICE_FRESH if key in self._priced else 0.0
            return HeldSight(key, is_open=True, blind=blind[key] + grown, heard=heard)
        lead = mark.ltt - tick.ltt if tick is not None and heard else 0
        overtaken = lead > self._limits.position_stale * 1000 * self._desk.clock.rate
        return HeldSight(key, is_open=True, heard=heard, overtaken=overtaken)

    def _blindfold(
        self, books: Sequence[Books], accounts: Sequence[AccountState], now: float
    ) -> bool:
        """Say whether books were never read for longer than a start takes.

        An account that is signed out is another matter, which is told: nobody deals in it, and it
        may be so on purpose, for as long as the desk runs.
        """
        out = {state.account.id for state in accounts if state.signed_in is False}
        ready = self._desk.progress.stage == "ready"
        unread = [b.account for b in books if b.checked is None and b.account not in out and ready]
        since = self._unread.seconds(now, unread)
        return any(seconds >= SETTLES for seconds in since.values())

    def _waiting(self, working: Iterable[Order], now: float) -> tuple[Waiting, ...]:
        silent = (OrderStatus.SENT, OrderStatus.IN_DOUBT)
        orders = {order.id: order for order in working if order.status in silent}
        since = self._unanswered.seconds(now, orders)
        return tuple(Waiting(order, since[name]) for name, order in orders.items())

    # the rest

    def _channels(self, now: float) -> tuple[ChannelSight, ...]:
        found = {channel.name: channel for channel in self._sources.channels()}
        stuck = [c.name for c in found.values() if c.queued and c.state not in ("ok", "off")]
        since = self._held_up.seconds(now, stuck)
        return tuple(ChannelSight(each, since.get(name, 0.0)) for name, each in found.items())

    def _disk_free(self, now: float) -> int | None:
        if self._room is None or now - self._room[0] >= DISK_EVERY:
            self._room = (now, self._sources.disk_free())
        return self._room[1]

    def _endings(self, now: datetime) -> tuple[Ending, ...]:
        desk, ends = self._desk, self._sources.token_ends()
        if not ends:
            return ()
        soon = [name for name, at in ends.items() if (at - now).total_seconds() < 86_400]
        wanted = {segment_of(key) for key in desk.subscriptions.wanted().modes} if soon else set()
        return tuple(
            Ending(name, ends[name], any(desk.hours.is_open(s, ends[name]) for s in wanted))
            for name in soon
        )


MARKET_BOUND: Final = frozenset(
    {Component.MARKET_FEED, Component.PORTFOLIO, Component.REST, Component.BOOKS}
)
