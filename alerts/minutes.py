"""How components were, minute by minute of the desk's clock, in market time only."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from trading.errors import VigilError
from trading.health import Component, Minute, Uptimes
from trading.health_ports import UptimeJournal

log = logging.getLogger(__name__)

MINUTE: Final = timedelta(minutes=1)
STRIP: Final = 60  # minutes
WHOLE: Final = 30.0  # seconds of being up from which on a minute's rate says something
LATELY: Final = 5  # minutes of market time over which errors are counted
ALIKE: Final = 0.2  # the number of instruments may differ so much for rates to be compared
ENOUGH: Final = 10  # minutes before a rate is usual
MEMORY: Final = timedelta(hours=26)  # read again at the start
LONGEST: Final = timedelta(minutes=2)  # of the desk's clock between two looks; longer: unknown


@dataclass(frozen=True, slots=True)
class Reading:
    """One component at one look; `messages` and `errors` count since whenever.

    `size` is what its messages depend on, such as the number of instruments.
    """

    component: Component
    judged: bool  # its market is open, and somebody knows how it is
    up: bool
    messages: int = 0
    errors: int = 0
    about: str = ""
    size: int = 0

    @property
    def name(self) -> str:
        return name_of(self.component, self.about)


@dataclass(frozen=True, slots=True)
class Past:
    """What the minutes say of a component; only those count in which it was judged.

    `judged` and `up` are seconds of the last 60 of them, `messages` and `errors` of the last five;
    `rate` is messages a second in the last one, `usual` in those before it; None if not known.
    """

    component: Component
    about: str
    judged: float = 0.0
    up: float = 0.0
    messages: int = 0
    errors: int = 0
    rate: float | None = None
    usual: float | None = None


@dataclass(slots=True)
class _Row:
    component: Component
    about: str
    current: Minute | None = None
    size: int = 0
    messages: int | None = None  # the counters at the last look
    errors: int | None = None
    strip: deque[Minute] = field(default_factory=lambda: deque(maxlen=STRIP))  # finished ones
    market: deque[tuple[Minute, int]] = field(  # those that were judged, with their size
        default_factory=lambda: deque(maxlen=STRIP)
    )


def name_of(component: Component, about: str) -> str:
    """Return the name by which the disk knows it, `ComponentHealth.name`."""
    return f"{component} of {about}" if about else str(component)


class MinuteBook:
    """Owns the minutes: fed at each look, written when a minute is over, read by rules and pages.

    A restart within a minute leaves of it what came after.
    """

    def __init__(self, journal: UptimeJournal) -> None:
        self._journal = journal
        self._rows: dict[str, _Row] = {}
        self._last: datetime | None = None
        self._uptimes: Mapping[str, Uptimes] = {}
        self._past: tuple[Past, ...] | None = None

    async def load(self, now: datetime) -> None:
        """Read the last day, so that strips and rates go on where they stopped."""
        await self.refresh(now)
        for name in self._uptimes:
            row = _named(name)
            if row is None or name in self._rows:
                continue
            try:
                kept = await self._journal.minutes(name, since=now - MEMORY, until=now)
            except VigilError as error:
                log.warning("the minutes of %s could not be read: %s", name, error)
                continue
            row = self._rows.setdefault(name, row)
            for minute in kept:
                self._finish(row, minute, size=0)
        self._past = None

    async def refresh(self, now: datetime) -> None:
        """Read the uptimes of 24 h, 7 d and 30 d again; a job of every few minutes."""
        try:
            self._uptimes = await self._journal.uptimes(now)
        except VigilError as error:
            log.warning("uptimes could not be read: %s", error)

    def note(self, now: datetime, readings: Iterable[Reading]) -> None:
        """Count what went by since the last look as it is now.

        A clock that was set, or a desk that stood still, leaves time that nobody judged.
        """
        since = self._last if self._last is not None and self._last <= now else now
        if now - since > LONGEST:
            since = now
        self._last = now
        parts = _split(since, now)
        done: dict[datetime, dict[str, Minute]] = {}
        for reading in readings:
            row = self._rows.setdefault(reading.name, _Row(reading.component, reading.about))
            for start, seconds in parts:
                over = self._turn(row, start)
                if over is not None:
                    done.setdefault(over.start, {})[reading.name] = over
                _count(row, reading, seconds)
            _count_messages(row, reading)
        for minutes in done.values():
            self._past = None
            self._journal.keep_minutes(minutes)

    def close(self) -> None:
        """Write the minutes that are not over yet."""
        rows = {name_of(r.component, r.about): r.current for r in self._rows.values()}
        last = {name: minute for name, minute in rows.items() if minute is not None}
        if last:
            self._journal.keep_minutes(last)

    # what others ask

    def past(self) -> tuple[Past, ...]:
        """Return what whole minutes say; worked out anew once a minute."""
        if self._past is None:
            self._past = tuple(_past(row) for row in self._rows.values())
        return self._past

    def strip(self, name: str, now: datetime) -> tuple[Minute, ...]:
        """Return the last 60 minutes, oldest first, the present one last; hollow where unknown."""
        row = self._rows.get(name)
        known: dict[datetime, Minute] = {}
        if row is not None:
            known = {minute.start: minute for minute in row.strip}
            if row.current is not None:
                known[row.current.start] = row.current
        present = _start(now)
        starts = [present - MINUTE * (STRIP - 1 - n) for n in range(STRIP)]
        return tuple(known.get(start) or Minute(start) for start in starts)

    def uptimes(self, name: str) -> Uptimes:
        return self._uptimes.get(name, Uptimes())

    # inside

    def _turn(self, row: _Row, start: datetime) -> Minute | None:
        """Begin this minute; return the one before if that is over now."""
        over = row.current
        if over is not None and over.start == start:
            return None
        row.current = Minute(start)
        if over is not None:
            self._finish(row, over, row.size)
        return over

    def _finish(self, row: _Row, minute: Minute, size: int) -> None:
        row.strip.append(minute)
        if minute.judged > 0:
            row.market.append((minute, size))


def _start(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _split(since: datetime, now: datetime) -> list[tuple[datetime, float]]:
    """Return the minutes between two moments with the seconds of each that lie between them."""
    parts, start = [], _start(since)
    while start <= now:
        begin, end = max(start, since), min(start + MINUTE, now)
        parts.append((start, (end - begin).total_seconds()))
        start += MINUTE
    return parts


def _count(row: _Row, reading: Reading, seconds: float) -> None:
    assert row.current is not None
    if reading.judged and seconds > 0:
        row.current = replace(
            row.current,
            judged=row.current.judged + seconds,
            up=row.current.up + (seconds if reading.up else 0.0),
        )


def _count_messages(row: _Row, reading: Reading) -> None:
    """Add what the counters grew by; one that is smaller than before has begun anew."""
    messages = _grown(row.messages, reading.messages)
    errors = _grown(row.errors, reading.errors)
    row.messages, row.errors, row.size = reading.messages, reading.errors, reading.size
    if row.current is not None and (messages or errors):
        row.current = replace(
            row.current,
            messages=row.current.messages + messages,
            errors=row.current.errors + errors,
        )


def _grown(before: int | None, now: int) -> int:
    if before is None:
        return 0
    return now - before if now >= before else now


def _past(row: _Row) -> Past:
    market = list(row.market)
    lately = [minute for minute, _ in market[-LATELY:]]
    rate, usual = _rates(market)
    return Past(
        row.component,
        row.about,
        judged=sum(minute.judged for minute, _ in market),
        up=sum(minute.up for minute, _ in market),
        messages=sum(minute.messages for minute in lately),
        errors=sum(minute.errors for minute in lately),
        rate=rate,
        usual=usual,
    )


def _rates(market: Sequence[tuple[Minute, int]]) -> tuple[float | None, float | None]:
    """Return the rate of the last minute, and that of those before it of about the same size.

    Only time in which it was up counts: a feed that is back is not slow for having been away.
    """
    if not market or market[-1][0].up < WHOLE:
        return None, None
    last, size = market[-1]
    alike = [
        minute
        for minute, other in market
        if minute is not last and minute.up >= WHOLE and abs(other - size) <= ALIKE * size
    ]
    rate = last.messages / last.up
    if len(alike) < ENOUGH:
        return rate, None
    return rate, sum(m.messages for m in alike) / sum(m.up for m in alike)


def _named(name: str) -> _Row | None:
    """Return an empty row of a name from the disk; None if no component is called so now."""
    component, _, about = name.partition(" of ")
    return _Row(Component(component), about) if component in set(Component) else None
