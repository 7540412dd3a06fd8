"""Which ways an alert takes, when, and how loud. Pure: values in, posts out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from trading.errors import CannotStart
from trading.health import Alert, Occasion, Severity
from trading.health_ports import Letter, Post
from trading.hours import IST

RUNGS: Final = (60.0, 300.0, 900.0, 3600.0)  # seconds between two messages of one key
LONGEST_QUIET: Final = timedelta(days=5)  # a calendar without rows must not silence the desk
# Facts about money are news however often they come; what follows repeats itself.
_REPEATS: Final = frozenset({"health", "stranger"})


@dataclass(frozen=True, slots=True)
class Way:
    """One channel as the settings have it.

    `person` is False where a program reads it: it gets everything at once and one by one, without
    quiet hours, folding and caps.
    """

    name: str
    least: Severity = Severity.INFO
    person: bool = True


@dataclass(frozen=True, slots=True)
class Quiet:
    """The hours (IST) in which only what is critical makes a sound; equal ends mean none.

    They count while nothing trades: a fill of the evening is news, whatever the clock says.
    """

    begin: time = time.min
    end: time = time.min
    holidays: bool = False  # also on days without a session


@dataclass(frozen=True, slots=True)
class Routing:
    """`has_session` says of a date in India whether anything trades, `trades` of a moment whether
    a market that the trader is in does; `storm` is how many warnings a person gets in ten minutes,
    and how many messages that are only to be known.
    """

    ways: tuple[Way, ...] = ()
    quiet: Quiet = Quiet()
    has_session: Callable[[date], bool] = lambda day: True
    trades: Callable[[datetime], bool] = lambda at: False
    storm: int = 20

    def way(self, name: str) -> Way:
        return next((way for way in self.ways if way.name == name), Way(name))

    # what pages show: `health_ports.Routes`

    @property
    def quiet_hours(self) -> str:
        begin, end = self.quiet.begin, self.quiet.end
        return "" if begin == end else f"{begin:%H:%M}-{end:%H:%M}"

    def is_quiet(self, at: datetime) -> bool:
        return quiet_until(self, at) is not None

    def posts(self, severity: Severity, at: datetime) -> tuple[Post, ...]:
        """Return how an alert of this severity would go out at this moment."""
        return _posts(self, severity, at, weight=severity, turn=AT_ONCE, ends=False)


@dataclass(frozen=True, slots=True)
class Said:
    """How often a key was told: `next_at` (monotonic) is when it may be told again.

    `times` counts what one message stands for, and `waits` that one is held until `next_at`.
    """

    next_at: float
    rung: int
    last: float
    times: int
    waits: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """When an alert may go: after `hold` seconds, standing for `times`, `quietly` if it only adds
    to a message that is on the phone already.
    """

    hold: float = 0.0
    times: int = 1
    quietly: bool = False


AT_ONCE: Final = Turn()


def quiet_hours(words: str, *, holidays: bool) -> Quiet:
    """Return the hours of `22:00-07:00`, or none of an empty text; raise CannotStart if unclear."""
    if not words:
        return Quiet(holidays=holidays)
    try:
        begin, end = (time.fromisoformat(part) for part in words.split("-"))
    except ValueError:
        raise CannotStart(
            f"[quiet] hours: {words!r} is not two times of a day, for example 22:00-07:00"
        ) from None
    return Quiet(begin, end, holidays)


def quiet_until(routing: Routing, at: datetime) -> datetime | None:
    """Return when the quiet time of this moment ends (UTC); None if it is not quiet."""
    if routing.trades(at):
        return None
    end = at
    while end - at < LONGEST_QUIET and (later := _quiet_end(routing, end)) is not None:
        end = later
    return end.astimezone(UTC) if end > at else None


def _quiet_end(routing: Routing, at: datetime) -> datetime | None:
    quiet, local = routing.quiet, at.astimezone(IST)
    midnight = datetime.combine(local.date(), time.min, IST)
    begin, end = quiet.begin, quiet.end
    now = local.time()
    passes = begin > end
    if (begin <= now < end) or (passes and (now >= begin or now < end)):
        day = local.date() + timedelta(days=passes and now >= begin)
        return datetime.combine(day, end, IST)
    if quiet.holidays and not routing.has_session(local.date()):
        return midnight + timedelta(days=1)
    return None


def is_muted(
    alert: Alert, mutes: Mapping[str, datetime], now: datetime, *, weight: Severity
) -> bool:
    """Return whether somebody wants to hear nothing of it; `weight` is that of the matter.

    A mute of a component never holds back what is critical: that key was not named. Nor does it
    hold back the end of what was.
    """
    if mutes.get(alert.key, now) > now:
        return True
    return mutes.get(str(alert.component), now) > now and weight < Severity.CRITICAL


def climb(said: Said | None, alert: Alert, now: float) -> tuple[Said | None, Turn]:
    """Return the ladder of a key after one more alert, and when that may go.

    Critical ones, changes and facts about money go at once; what is said again goes on the next
    rung, and an end waits only for a beginning that waits.
    """
    if alert.severity is Severity.CRITICAL or alert.kind not in _REPEATS:
        return said, AT_ONCE
    if alert.occasion in (Occasion.END, Occasion.ESCALATE):
        if said is None or not said.waits or now >= said.next_at:
            return said, AT_ONCE
        return said, Turn(said.next_at - now, said.times, said.rung == 0)
    if said is None or now - said.last > RUNGS[-1]:
        return Said(now + RUNGS[0], 0, now, 1, waits=False), AT_ONCE
    return _once_more(_caught_up(said, now), now)


def _once_more(said: Said, now: float) -> tuple[Said, Turn]:
    if now >= said.next_at:
        rung = min(said.rung + 1, len(RUNGS) - 1)
        return Said(now + RUNGS[rung], rung, now, 1, waits=False), AT_ONCE
    said = replace(said, last=now, times=said.times + 1, waits=True)
    return said, Turn(said.next_at - now, said.times, said.rung == 0)


def _caught_up(said: Said, now: float) -> Said:
    """Return the ladder after the one that waited has gone."""
    if not said.waits or now < said.next_at:
        return said
    rung = min(said.rung + 1, len(RUNGS) - 1)
    return Said(said.next_at + RUNGS[rung], rung, said.last, 0, waits=False)


def posts(
    routing: Routing,
    alert: Alert,
    *,
    now: datetime,
    weight: Severity,
    turn: Turn = AT_ONCE,
) -> tuple[Post, ...]:
    """Return how an alert that is not muted goes to each channel.

    `weight` is the severity of the matter: the all-clear goes wherever the alarm went.
    """
    ends = alert.occasion is Occasion.END
    return _posts(routing, alert.severity, now, weight=weight, turn=turn, ends=ends)


def _posts(
    routing: Routing, severity: Severity, now: datetime, *, weight: Severity, turn: Turn, ends: bool
) -> tuple[Post, ...]:
    quiet = quiet_until(routing, now)
    at = now + timedelta(seconds=turn.hold)
    silent = severity is Severity.INFO or turn.quietly or quiet is not None
    if quiet is not None and severity is Severity.INFO and not ends:
        at = max(at, quiet)
    at_once = severity is Severity.CRITICAL
    return tuple(
        Post(way.name, at, silent) if way.person and not at_once else Post(way.name, now)
        for way in routing.ways
        if weight >= way.least
    )


def may_edit(letter: Letter) -> bool:
    """Return whether it may change the message before instead of adding one: without a sound."""
    alert = letter.alert
    if alert.severity is Severity.CRITICAL:
        return False
    if alert.occasion is Occasion.END:
        return True
    return letter.silent and (alert.times > 1 or alert.kind == "order")
