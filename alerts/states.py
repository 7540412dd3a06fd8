"""From what is found at each look to what is proven, told, and over again. Pure but for memory.

    OK -> PENDING -> DOWN -> OK
    PENDING -> OK                     it was not seen again: nobody is told
    OK, PENDING -> FLAPPING -> OK     down again too often: told once, then silence until steady
    FLAPPING -> DOWN                  steadily down
    PENDING, DOWN, FLAPPING -> CLOSED its market has closed: nothing more can be said

Every BEGIN has one END, whatever is found.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from trading.health import Condition, Finding, Occasion, Severity, Thresholds

APART: Final = 0.5  # seconds; looks that come sooner (on a feed's change) count as one
LASTING: Final = (Condition.DOWN, Condition.FLAPPING)
MARKET_CLOSED: Final = "the market closed"


@dataclass(frozen=True, slots=True)
class Change:
    """One key went from one condition to another, or became graver.

    `finding` is the latest, or the last one of what is over. `occasion` is what to tell of it,
    None: nothing. `began` is when the trouble began, which may be before it was seen, and `gone`
    since when it is not found any more, which is before that is proven. `why` says why it is over
    if it is not known to be mended. `flaps` counts how often it went down lately; of what is on
    and off, `present` says which it is right now.
    """

    key: str
    before: Condition
    after: Condition
    finding: Finding
    at: datetime
    began: datetime
    occasion: Occasion | None = None
    why: str = ""
    flaps: int = 0
    present: bool = True
    gone: datetime | None = None

    @property
    def ended(self) -> datetime:
        """Return when the trouble was over, of one that is."""
        return self.gone or self.at


@dataclass(frozen=True, slots=True)
class Standing:
    """How one key is judged to be now, and since when.

    Of what is on and off, `present` says which it is at this moment.
    """

    finding: Finding
    condition: Condition
    since: datetime
    present: bool = True


@dataclass(slots=True)
class _Matter:
    """What is remembered of one key; moments without a date are monotonic."""

    finding: Finding
    began: datetime
    since: datetime
    condition: Condition = Condition.OK
    first: float = 0.0  # it was seen, of the present row of looks
    seen: int = 0
    good: int = 0
    counted: float = -APART
    told: Severity = Severity.INFO
    there: bool = False  # while flapping: is it down at this moment, and since when
    there_since: float = 0.0
    held_back: bool = False
    gone: datetime | None = None  # since when it is not found
    changes: deque[float] = field(default_factory=deque)  # proven ones, both ways


class States:
    """Owns the conditions of all keys."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._matters: dict[str, _Matter] = {}

    def standings(self) -> Mapping[str, Standing]:
        """Return every key that is not OK; those that others hold back are UNKNOWN."""
        return {
            key: Standing(
                m.finding,
                Condition.UNKNOWN if m.held_back else m.condition,
                m.since,
                present=m.there or m.condition is not Condition.FLAPPING,
            )
            for key, m in self._matters.items()
            if m.held_back or m.condition is not Condition.OK
        }

    def step(
        self,
        findings: Iterable[Finding],
        *,
        now: datetime,
        monotonic: float,
        holds_back: Callable[[Finding, bool], bool] = lambda finding, found: False,
        rests: Callable[[Finding], bool] = lambda finding: False,
    ) -> list[Change]:
        """Take what one look has found; return what changed by it.

        `holds_back` says that nothing can be said of a finding (that was found, or was not) while
        something else is wrong; `rests` that its market is closed, so that not finding it proves
        nothing.
        """
        moment = _Moment(now, monotonic)
        found = {finding.key: finding for finding in findings}
        changes: list[Change | None] = []
        for finding in found.values():
            matter = self._matters.get(finding.key)
            if holds_back(finding, True):
                self._hold_back(finding, matter, moment)
                continue
            changes.append(self._found(matter or self._begin(finding, moment), finding, moment))
        for key, matter in list(self._matters.items()):
            if key not in found:
                if holds_back(matter.finding, False):
                    self._hold_back(matter.finding, matter, moment)
                else:
                    changes.append(self._missing(matter, moment, rests(matter.finding)))
                self._forget(key, matter, moment)
        return [change for change in changes if change is not None]

    # what was found

    def _begin(self, finding: Finding, at: "_Moment") -> _Matter:
        matter = _Matter(finding, at.now, at.now)
        self._matters[finding.key] = matter
        return matter

    def _found(self, matter: _Matter, finding: Finding, at: "_Moment") -> Change | None:
        matter.finding, matter.held_back, matter.gone = finding, False, None
        counts = at.monotonic - matter.counted >= APART
        if counts:
            matter.counted = at.monotonic
        matter.good = 0
        match matter.condition:
            case Condition.DOWN:
                return self._graver(matter, at)
            case Condition.FLAPPING:
                return self._there(matter, at) or self._graver(matter, at)
            case Condition.PENDING:
                matter.seen += counts
            case _:
                matter.seen, matter.first = 1, at.monotonic
                matter.began = at.now - timedelta(seconds=finding.lasted or 0.0)
        if self._is_proven(matter, at):
            return self._down(matter, at)
        if matter.condition is Condition.PENDING:
            return None
        return _to(matter, Condition.PENDING, at)

    def _is_proven(self, matter: _Matter, at: "_Moment") -> bool:
        limits = self._limits
        return (
            matter.finding.at_once
            or matter.seen >= limits.checks_to_down
            or at.monotonic - matter.first >= limits.seconds_to_down
        )

    def _down(self, matter: _Matter, at: "_Moment") -> Change:
        """Tell that it is down, or that it is on and off.

        Its end would be the next change, so what has to be said of flapping is said now: a begin
        and an end more would be two messages too many.
        """
        self._note_change(matter, at)
        matter.told = matter.finding.severity
        if len(matter.changes) + 1 < self._limits.flaps:
            return _to(matter, Condition.DOWN, at, Occasion.BEGIN)
        matter.there, matter.there_since = True, at.monotonic
        return _to(matter, Condition.FLAPPING, at, Occasion.BEGIN)

    def _graver(self, matter: _Matter, at: "_Moment") -> Change | None:
        if matter.finding.severity <= matter.told:
            return None
        matter.told = matter.finding.severity
        return _to(matter, matter.condition, at, Occasion.ESCALATE)

    def _there(self, matter: _Matter, at: "_Moment") -> Change | None:
        if not matter.there:
            matter.there, matter.there_since = True, at.monotonic
            self._note_change(matter, at)
            return _to(matter, Condition.FLAPPING, at)
        if at.monotonic - matter.there_since < self._limits.steady:
            return None
        matter.told = max(matter.told, matter.finding.severity)
        return _to(matter, Condition.DOWN, at, Occasion.REMIND)

    # what was not

    def _missing(self, matter: _Matter, at: "_Moment", rests: bool) -> Change | None:
        matter.held_back, matter.gone = False, matter.gone or at.now
        if matter.condition is Condition.PENDING:
            return _to(matter, Condition.CLOSED if rests else Condition.OK, at)
        if matter.condition not in LASTING:
            return None
        if rests:
            self._note_change(matter, at)
            return _to(matter, Condition.CLOSED, at, Occasion.END, MARKET_CLOSED)
        if matter.condition is Condition.FLAPPING:
            return self._gone(matter, at)
        if at.monotonic - matter.counted >= APART:
            matter.counted = at.monotonic
            matter.good += 1
        if matter.good < self._limits.checks_to_ok:
            return None
        self._note_change(matter, at)
        return _to(matter, Condition.OK, at, Occasion.END)

    def _gone(self, matter: _Matter, at: "_Moment") -> Change | None:
        if matter.there:
            matter.there, matter.there_since = False, at.monotonic
            self._note_change(matter, at)
            return _to(matter, Condition.FLAPPING, at)
        if at.monotonic - matter.there_since < self._limits.steady:
            return None
        return _to(matter, Condition.OK, at, Occasion.END)

    def _hold_back(self, finding: Finding, matter: _Matter | None, at: "_Moment") -> None:
        """Keep what was told of a key as it is, and forget what was not proven yet."""
        matter = matter or self._begin(finding, at)
        matter.held_back, matter.good, matter.gone = True, 0, None
        if matter.condition is Condition.PENDING:
            matter.condition, matter.since = Condition.OK, at.now

    def _note_change(self, matter: _Matter, at: "_Moment") -> None:
        matter.changes.append(at.monotonic)
        while at.monotonic - matter.changes[0] > self._limits.flap_window:
            matter.changes.popleft()

    def _forget(self, key: str, matter: _Matter, at: "_Moment") -> None:
        """Drop a key that is not there any more, once its changes are too old to count."""
        if matter.held_back or matter.condition in (*LASTING, Condition.PENDING):
            return
        last = matter.changes[-1] if matter.changes else -self._limits.flap_window
        if at.monotonic - last >= self._limits.flap_window:
            del self._matters[key]
        elif matter.condition is not Condition.OK:
            matter.condition = Condition.OK


@dataclass(frozen=True, slots=True)
class _Moment:
    now: datetime
    monotonic: float


def _to(
    matter: _Matter,
    after: Condition,
    at: _Moment,
    occasion: Occasion | None = None,
    why: str = "",
) -> Change:
    before, matter.condition = matter.condition, after
    if after is not before:
        matter.since = at.now
    return Change(
        matter.finding.key,
        before,
        after,
        matter.finding,
        at.now,
        matter.began,
        occasion,
        why,
        flaps=(len(matter.changes) + 1) // 2,
        present=matter.there or Condition.FLAPPING not in (before, after),
        gone=matter.gone,
    )


def gravest(standings: Iterable[Standing]) -> Standing | None:
    """Return the one that says most about a component."""
    return max(standings, key=lambda s: (_RANK[s.condition], s.finding.severity), default=None)


_RANK: Final = {
    Condition.OK: 0,
    Condition.CLOSED: 1,
    Condition.UNKNOWN: 2,
    Condition.PENDING: 3,
    Condition.FLAPPING: 4,
    Condition.DOWN: 5,
}
