"""Ten things to know before the market opens, each with what to do if it is not so."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from alerts.inputs import CLOCK, clock_check
from alerts.sight import SETTLES
from alerts.words import count, duration
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Alert, Check, Checked, Component, Occasion, Severity, Thresholds
from trading.hours import IST, Phase, Session, TradingHours
from trading.model import Instrument, InstrumentType
from trading.ports import FeedState

SHOWN: Final = timedelta(minutes=15)  # before the opening: at 09:00 of an ordinary day
SENT: Final = timedelta(minutes=10)  # 09:05
EARLY: Final = timedelta(hours=1)  # both, for a special session: nobody expects it
SEGMENTS: Final = ("NSE_EQ", "NSE_FO")
TEST_TICK: Final = 5.0  # seconds that the feed may take to answer
WRITE: Final = 5.0  # seconds that the disk may take
BEAT: Final = 0.1  # seconds between two looks for the test tick

TOKEN: Final = "Token"
CALENDAR: Final = "Calendar"
DATABASE: Final = "Database"
DISK: Final = "Disk"
FEED: Final = "Market feed"
STREAM: Final = "Portfolio stream"
PHONE: Final = "Phone"
POSITIONS: Final = "Positions"
INSTRUMENTS: Final = "Instruments"
NAMES: Final = (
    TOKEN, CALENDAR, CLOCK, DATABASE, DISK, FEED, STREAM, PHONE, POSITIONS, INSTRUMENTS,
)  # fmt: skip

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """When the list is shown and sent on a day, UTC, and the opening it is for."""

    show: datetime
    send: datetime
    opening: datetime


def plan(hours: TradingHours, segments: Iterable[str], day: date) -> Plan | None:
    """Return when a day's list is due; None on a day without a session."""
    opened = [s for segment in segments for s in _opened(hours, segment, day)]
    if not opened:
        return None
    first = min(opened, key=lambda session: session.start)
    if first.name:
        return Plan(first.start - EARLY, first.start - EARLY, first.start)
    return Plan(first.start - SHOWN, first.start - SENT, first.start)


def render(checks: Sequence[Check], desk: Desk, at: datetime) -> Alert:
    """Return the message: `09:05 READY  9 of 10`, what is well in short, the rest with its fix."""
    bad = [check for check in checks if not check.good]
    ready = "NOT READY" if any(check.grave for check in bad) else "READY"
    local = at.astimezone(IST)
    good = [f"✅ {check.name.lower()}: {check.words}" for check in checks if check.good]
    return Alert(
        key="checklist",
        component=Component.PROCESS,
        occasion=Occasion.EVENT,
        severity=Severity.WARNING if bad else Severity.INFO,
        at=at,
        title=f"☀️ {local:%H:%M} {ready}  {len(checks) - len(bad)} of {len(checks)}",
        lines=(*(f"❌ {c.name.lower()}: {c.words} → {c.fix}" for c in bad), *good),
        link="/status",
        mode=desk.world.word,
        is_mock=desk.world.is_mock,
        kind="check",
        once=f"checklist {local:%Y-%m-%d}",
    )


class Checklist:
    """Runs the ten checks when asked to, and by itself before a day's first session."""

    def __init__(
        self,
        desk: Desk,
        limits: Thresholds,
        *,
        write: Callable[[], Awaitable[object]],
        disk_free: Callable[[], int | None],
        token_ends: Callable[[], Mapping[str, datetime]],
        phone: Callable[[], Awaitable[str]] | None,
        tell: Callable[[Alert], Awaitable[object]],
        segments: Sequence[str] = SEGMENTS,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`write` writes something to the database; `phone` goes to Telegram and back and returns
        its name, None where no phone is set up. Both raise VigilError.
        """
        self.latest: Checked | None = None
        self._desk = desk
        self._limits = limits
        self._write = write
        self._disk_free = disk_free
        self._token_ends = token_ends
        self._phone = phone
        self._tell = tell
        self._segments = segments
        self._pause = pause
        self._began = desk.clock.monotonic()
        self._shown: datetime | None = None  # the opening for which it was run
        self._sent: datetime | None = None

    async def run(self) -> list[Check]:
        """Check everything now; takes as long as the slowest answer, five seconds at most."""
        options, stream = await self._options(), self._streams()
        found = [
            self._token(),
            self._calendar(options),
            clock_check(self._desk.feed.stats().clock_skew, self._limits),
            *await asyncio.gather(self._database(), self._feed(), self._telegram()),
            self._disk(),
            stream,
            self._positions(),
            self._instruments(options),
        ]
        order = {name: number for number, name in enumerate(NAMES)}
        found.sort(key=lambda check: order[check.name])
        self.latest = Checked(self._desk.clock.now(), tuple(found))
        return found

    async def morning(self) -> None:
        """Run the list when it is to be shown, and again when it is to be sent; a job."""
        now = self._desk.clock.now()
        due = plan(self._desk.hours, self._segments, now.astimezone(IST).date())
        if due is None or now >= due.opening or not self._is_settled():
            return
        if now >= due.send and self._sent != due.opening:
            await self._tell(render(await self.run(), self._desk, now))
            self._shown = self._sent = due.opening  # now only: what fails is tried again
        elif now >= due.show and self._shown != due.opening:
            await self.run()
            self._shown = due.opening

    def _is_settled(self) -> bool:
        """Return whether a desk that was just started has heard of everything once."""
        desk = self._desk
        stats = [desk.feed.stats(), *(feed.stats() for feed in desk.portfolio_feeds.values())]
        if desk.clock.monotonic() - self._began >= SETTLES:
            return True  # what is not known by now is worth telling
        return (
            all(state.signed_in is not None for state in desk.accounts.all())
            and all(desk.cycle.confirmed_age(s.account.id) is not None for s in desk.accounts.all())
            and all(feed.state is FeedState.LIVE for feed in stats)
            and all(desk.catalogue.get(key) is not None for key in desk.canaries)
        )

    # the ten

    def _token(self) -> Check:
        states, now = self._desk.accounts.all(), self._desk.clock.now()
        fix = "Sign in to the broker and put the new token in its place"
        refused = [state.account.id for state in states if state.signed_in is False]
        unknown = [state.account.id for state in states if state.signed_in is None]
        words = [f"refused: {', '.join(refused)}"] if refused else []
        words += [f"not known yet: {', '.join(unknown)}"] if unknown else []
        if words:
            return Check(TOKEN, False, "; ".join(words), fix)
        ends = [at for at in self._token_ends().values() if at > now]
        if not ends:
            return Check(TOKEN, True, "signed in", fix)
        return Check(TOKEN, True, f"valid till {min(ends).astimezone(IST):%H:%M}", fix)

    def _calendar(self, options: Sequence[Instrument]) -> Check:
        hours, today = self._desk.hours, self._desk.clock.now().astimezone(IST).date()
        segment = self._segments[0]
        if hours.state(segment, self._desk.clock.now()).phase is Phase.UNKNOWN:
            fix = "Look at the log: the calendar could not be loaded"
            return Check(CALENDAR, False, "no trading hours are known", fix)
        words = [_day_in_words(hours, segment, today)]
        expiring = {o.underlying_symbol for o in options if o.expiry == today}
        words += [f"{name} expiry" for name in sorted(expiring)]
        return Check(CALENDAR, True, ", ".join(words))

    async def _database(self) -> Check:
        fix = "Look at the disk; nothing can be sent that cannot be written down"
        began = time.perf_counter()
        try:
            async with asyncio.timeout(WRITE):
                await self._write()
        except TimeoutError:
            return Check(DATABASE, False, f"no answer within {WRITE:.0f} s", fix)
        except VigilError as error:
            return Check(DATABASE, False, f"cannot be written: {error}", fix)
        return Check(DATABASE, True, f"written in {(time.perf_counter() - began) * 1000:.0f} ms")

    def _disk(self) -> Check:
        fix, free = "Make room on the disk of the database", self._disk_free()
        if free is None:
            return Check(DISK, False, "its room is not known", fix, grave=False)
        mib = free >> 20
        words = f"{mib / 1024:.1f} GiB free" if mib >= 1024 else f"{mib} MiB free"
        return Check(DISK, mib >= self._limits.disk_free_mb, words, fix, grave=False)

    async def _feed(self) -> Check:
        """Ask anew for what is always watched: the broker answers with its last price."""
        desk = self._desk
        stats, since = desk.feed.stats(), desk.clock.monotonic()
        fix = "Wait for it to connect, or reconnect it on the Health page"
        if stats.state not in (FeedState.OPEN, FeedState.LIVE):
            because = f": {stats.reason}" if stats.reason else ""
            return Check(FEED, False, f"{stats.state}{because}", fix)
        desk.feed.ask_again(desk.canaries)
        while (waited := desk.clock.monotonic() - since) < TEST_TICK:
            await self._pause(BEAT)
            ages = [desk.market_data.price_age(key) for key in desk.canaries]
            now = desk.clock.monotonic() - since
            if any(age is not None and age < now for age in ages):
                return Check(FEED, True, f"a test price after {now:.1f} s", fix)
        return Check(FEED, False, f"no test price within {waited:.0f} s", fix)

    def _streams(self) -> Check:
        feeds = self._desk.portfolio_feeds
        if not feeds:
            return Check(STREAM, True, "not needed: fills are made up here")
        down = {name: f.stats() for name, f in feeds.items()}
        down = {name: s for name, s in down.items() if s.state is not FeedState.LIVE}
        if not down:
            return Check(STREAM, True, "live")
        words = ", ".join(f"{name} {stats.state}" for name, stats in down.items())
        return Check(STREAM, False, words, "Wait for it, or reconnect it on the Health page")

    async def _telegram(self) -> Check:
        if self._phone is None:
            return Check(PHONE, True, "none is set up: alerts are on the page only")
        fix = "Look at the Alerts page; until then alerts are on the page only"
        try:
            async with asyncio.timeout(WRITE):
                name = await self._phone()
        except TimeoutError:
            return Check(PHONE, False, f"no answer within {WRITE:.0f} s", fix, grave=False)
        except VigilError as error:
            return Check(PHONE, False, str(error), fix, grave=False)
        return Check(PHONE, True, f"answers as {name}")

    def _positions(self) -> Check:
        """Compare with what the broker carried over the night."""
        books = [self._desk.positions.books(s.account.id) for s in self._desk.accounts.all()]
        for each in books:
            if each.failed or each.checked is None:
                because = f": {each.failed}" if each.failed else ""
                words = f"not compared yet: {each.account}{because}"
                return Check(POSITIONS, False, words, "Wait: the broker's books are read again")
            wrong = sum(row.agree is False for row in each.rows)
            if wrong:
                words = f"{each.account} differs from the broker in {count(wrong, 'instrument')}"
                fix = "Look at Positions: adopt the broker's book, or find out why"
                return Check(POSITIONS, False, words, fix)
        rows = [row for each in books for row in each.rows]
        held = sum(bool(row.ours) and row.agree is True for row in rows)
        unsure = sum(row.agree is None for row in rows)
        filled = f"; {unsure} not compared since the last fill" if unsure else ""
        ages = [each.age for each in books if each.age is not None]
        known = f", compared {duration(max(ages))} ago" if ages else ""
        words = f"{count(held, 'position')} as the broker has them{known}{filled}"
        return Check(POSITIONS, True, words)

    def _instruments(self, options: Sequence[Instrument]) -> Check:
        desk, fix = self._desk, "Wait for the list of instruments, or look at the log"
        held = {key for s in desk.accounts.all() for key in desk.positions.open_keys(s.account.id)}
        needed = [*desk.canaries, *sorted(held)]
        unknown = [key for key in needed if desk.catalogue.get(key) is None]
        if unknown:
            words = f"{count(len(unknown), 'instrument')} not known, e.g. {unknown[0]}"
            return Check(INSTRUMENTS, False, words, fix)
        known = [i for key in needed if (i := desk.catalogue.get(key)) is not None]
        wrong = [i for i in (*known, *options) if not _can_be_ordered(i)]
        if wrong:
            words = f"no lot, tick or freeze size: {wrong[0].title}"
            return Check(INSTRUMENTS, False, words, fix)
        return Check(
            INSTRUMENTS, True, f"lots, ticks and freeze of {count(len(options), 'option')}"
        )

    async def _options(self) -> Sequence[Instrument]:
        canaries = self._desk.canaries
        return await self._desk.catalogue.options(canaries[0]) if canaries else ()


def _opened(hours: TradingHours, segment: str, day: date) -> list[Session]:
    return [s for s in hours.sessions(segment, day) if s.phase is Phase.OPEN]


def _day_in_words(hours: TradingHours, segment: str, day: date) -> str:
    """Return `normal`, `special session Muhurat 18:00-19:00`, `holiday: Diwali`, `weekend`."""
    opened = _opened(hours, segment, day)
    if opened and opened[0].name:
        start, end = (at.astimezone(IST) for at in (opened[0].start, opened[0].end))
        return f"special session {opened[0].name} {start:%H:%M}-{end:%H:%M}"
    if opened:
        return "normal"
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=IST)
    name = hours.state(segment, noon).name
    return f"holiday: {name}" if name else "no session"


def _can_be_ordered(instrument: Instrument) -> bool:
    if instrument.type is InstrumentType.INDEX:
        return True
    derivative = instrument.type in (
        InstrumentType.FUTURE, InstrumentType.CALL, InstrumentType.PUT,
    )  # fmt: skip
    return (
        instrument.lot_size > 0
        and instrument.tick_size > 0
        and (instrument.freeze_quantity > 0 or not derivative)
    )
