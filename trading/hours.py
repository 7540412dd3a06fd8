"""When each segment trades: special sessions before holidays before weekdays, all from tables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

IST: Final = ZoneInfo("Asia/Kolkata")
Row = TypeVar("Row")
Key = TypeVar("Key")

LOOKAHEAD: Final = 20  # days; longer than any run of holidays and weekends


class Phase(StrEnum):
    PRE_OPEN = "pre-open"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    UNKNOWN = "unknown"  # no row says when this segment trades


@dataclass(frozen=True, slots=True)
class TemplateSession:
    """A session of ordinary days. `end` not after `start` means that it ends on the next day.

    `weekdays` are 0 for Monday to 6; the row counts from `valid_from` up to and with `valid_to`.
    """

    segment: str
    phase: Phase
    start: time
    end: time
    weekdays: frozenset[int] = frozenset(range(5))
    valid_from: date = date.min
    valid_to: date = date.max


@dataclass(frozen=True, slots=True)
class Holiday:
    day: date
    segment: str
    name: str


@dataclass(frozen=True, slots=True)
class SpecialSession:
    """A session that is declared for one date: Muhurat, a Saturday, an extended or short day."""

    day: date
    segment: str
    phase: Phase
    start: time
    end: time
    name: str


@dataclass(frozen=True, slots=True)
class HoursRules:
    """The tables as they stand; a changed row makes a new value."""

    templates: tuple[TemplateSession, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    specials: tuple[SpecialSession, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of time, start inclusive, end exclusive, aware UTC."""

    phase: Phase
    start: datetime
    end: datetime
    name: str = ""


@dataclass(frozen=True, slots=True)
class MarketState:
    """What a segment does at one moment, in the words of the header."""

    phase: Phase
    name: str  # of the holiday or special session, else empty
    until: datetime | None  # when the phase ends, None if not within the look-ahead
    next_open: datetime | None  # while not open
    next_name: str = ""  # of the session that opens then, if it is a special one
    since: datetime | None = None  # when it opened today; None if it was open already, or is not


@dataclass(frozen=True, slots=True)
class _Known:
    """A state that was worked out, and from when to when nothing of it changes."""

    state: MarketState
    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        return self.start <= at < self.end


class TradingHours:
    """Answers from the rules; `replace` swaps them.

    Pages ask some fifty times a second, and an answer takes a millisecond to work out: the one
    for now is kept until it changes.
    """

    def __init__(self, rules: HoursRules) -> None:
        self.replace(rules)

    def replace(self, rules: HoursRules) -> None:
        self._rules = rules
        self._specials = _grouped(rules.specials, lambda s: (s.day, s.segment))
        self._templates = _grouped(rules.templates, lambda t: t.segment)
        self._holidays = {(h.day, h.segment): h.name for h in reversed(rules.holidays)}
        self._segments = {t.segment for t in rules.templates} | {s.segment for s in rules.specials}
        self._known: dict[str, _Known] = {}

    @property
    def rules(self) -> HoursRules:
        return self._rules

    def is_open(self, segment: str, at: datetime) -> bool:
        return segment in self._segments and self._phase(segment, at) is Phase.OPEN

    def state(self, segment: str, at: datetime) -> MarketState:
        if segment not in self._segments:
            return MarketState(Phase.UNKNOWN, "", None, None)
        known = self._known.get(segment)
        if known is None or not known.holds(at):
            edges = (edge for edge in self._edges(segment, at) if edge > at)
            end = min(edges, default=_midnight_after(at))
            known = _Known(self._state(segment, at), at, min(end, _midnight_after(at)))
            self._known[segment] = known
        return known.state

    def _state(self, segment: str, at: datetime) -> MarketState:
        now = self._session_at(segment, at)
        phase = now.phase if now else Phase.CLOSED
        name = now.name if now else self._holidays.get((at.astimezone(IST).date(), segment), "")
        until = self.next_change(segment, at)
        if phase is Phase.OPEN:
            return MarketState(phase, name, until, None, since=self._opened(segment, at))
        following = self._next_session(segment, at, Phase.OPEN)
        opens, named = (following.start, following.name) if following else (None, "")
        return MarketState(phase, name, until, opens, named)

    def next_change(self, segment: str, at: datetime) -> datetime | None:
        """Return when `state` will next say something else, or None within the look-ahead."""
        phase = self._phase(segment, at)
        for edge in sorted(self._edges(segment, at)):
            if edge > at and self._phase(segment, edge) is not phase:
                return edge
        return None

    def sessions(self, segment: str, day: date) -> list[Session]:
        """Return the sessions that begin on this IST date, as declared, oldest first."""
        special = self._specials.get((day, segment))
        if special:
            found = [_session(day, s.phase, s.start, s.end, s.name) for s in special]
        elif (day, segment) in self._holidays:
            found = []
        else:
            found = [
                _session(day, t.phase, t.start, t.end)
                for t in self._templates.get(segment, ())
                if t.valid_from <= day <= t.valid_to and day.weekday() in t.weekdays
            ]
        return sorted(found, key=lambda s: (s.start, s.end))

    def _phase(self, segment: str, at: datetime) -> Phase:
        session = self._session_at(segment, at)
        return session.phase if session else Phase.CLOSED

    def _session_at(self, segment: str, at: datetime) -> Session | None:
        """Return the session at this moment; of overlapping ones the most open one counts."""
        day = at.astimezone(IST).date()
        candidates = [
            session
            for begun in (day - timedelta(days=1), day)  # one may reach past midnight
            for session in self.sessions(segment, begun)
            if session.start <= at < session.end
        ]
        return min(candidates, key=lambda s: _PRECEDENCE[s.phase], default=None)

    def _edges(self, segment: str, at: datetime) -> Iterable[datetime]:
        first = at.astimezone(IST).date() - timedelta(days=1)
        for offset in range(LOOKAHEAD + 1):
            for session in self.sessions(segment, first + timedelta(days=offset)):
                yield session.start
                yield session.end

    def _next_session(self, segment: str, at: datetime, phase: Phase) -> Session | None:
        first = at.astimezone(IST).date()
        following = (
            session
            for offset in range(LOOKAHEAD)
            for session in self.sessions(segment, first + timedelta(days=offset))
            if session.phase is phase and session.start > at
        )
        return min(following, key=lambda session: session.start, default=None)

    def _opened(self, segment: str, at: datetime) -> datetime | None:
        today = self.sessions(segment, at.astimezone(IST).date())
        starts = (s.start for s in today if s.phase is Phase.OPEN and s.start <= at)
        opened = max(starts, default=None)
        if opened is None or self.is_open(segment, opened - timedelta.resolution):
            return None
        return opened


def _midnight_after(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(IST).date() + timedelta(days=1), time(), IST)


def _grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


_PRECEDENCE: Final = {Phase.OPEN: 0, Phase.CLOSING: 1, Phase.PRE_OPEN: 2}


def _session(day: date, phase: Phase, start: time, end: time, name: str = "") -> Session:
    begins = datetime.combine(day, start, IST)
    ends = datetime.combine(day if end > start else day + timedelta(days=1), end, IST)
    return Session(phase, begins.astimezone(UTC), ends.astimezone(UTC), name)
