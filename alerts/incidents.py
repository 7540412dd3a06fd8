"""What is wrong for longer than a look: from begin to end, with what was done about it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from trading.clock import Clock
from trading.errors import VigilError
from trading.health import Alert, Component, Incident, Severity
from trading.health_ports import AlertJournal
from trading.signal import Signal

log = logging.getLogger(__name__)

UNDER_WAY: Final = "under way"  # a step without a result yet
KEPT: Final = 50  # that are over, in memory: one that flaps goes on with its own
RETRY: Final = 2.0  # seconds, while the disk refuses
LOOK_BACK: Final = timedelta(days=1)
OVER_AT_START: Final = "over when the desk had started again"
WITHOUT_IT: Final = "it is over without it"  # of what was still under way then


class IncidentBook:
    """Owns the incidents. A new one is written with its first alert, in one transaction (whoever
    tells of it does so); everything later is written behind, the latest state last.
    """

    def __init__(
        self,
        clock: Clock,
        journal: AlertJournal,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.changes: Signal[Incident] = Signal("incidents")
        self._clock = clock
        self._journal = journal
        self._sleep = sleep
        self._open: dict[str, Incident] = {}
        self._over: list[Incident] = []
        self._inherited: set[str] = set()  # keys left open by an earlier run, not met yet
        self._dirty: dict[tuple[str, datetime], None] = {}
        self._writing: asyncio.Task[None] | None = None

    # what others ask

    def open(self) -> Sequence[Incident]:
        """Return those that last, oldest first."""
        return sorted(self._open.values(), key=lambda incident: incident.began)

    def of(self, key: str) -> Incident | None:
        """Return the incident of a key while it lasts."""
        return self._open.get(key)

    def recent(self) -> Sequence[Incident]:
        """Return those of this run that are over, newest last."""
        return tuple(self._over)

    # life

    async def load(self) -> None:
        """Take over what an earlier run left open: it goes on, or is found to be over."""
        now = self._clock.now()
        for incident in await self._journal.incidents(since=now - LOOK_BACK):
            if incident.ended is None and incident.key not in self._open:
                self._open[incident.key] = incident
                self._inherited.add(incident.key)

    @property
    def inherited(self) -> bool:
        """Return whether an earlier run left something open that this one has not met."""
        return bool(self._inherited)

    def settle(self, *, but: Container[str] = ()) -> list[Incident]:
        """End what an earlier run left open and this one has not met; called when all is known.

        Nothing can be said yet of the keys in `but`. Return what is over.
        """
        over = []
        for key in sorted(key for key in self._inherited if key not in but):
            self._inherited.discard(key)
            self.step(key, OVER_AT_START, "it was not found any more")
            self.alerted(key)
            if (incident := self.end(key, self._clock.now())) is not None:
                over.append(incident)
        return over

    async def stop(self) -> None:
        """Write what is not written yet, if the disk takes it."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=RETRY)
            self._writing.cancel()

    # what happens

    def begin(
        self,
        key: str,
        component: Component,
        severity: Severity,
        *,
        began: datetime,
        cause: str,
        is_mock: bool,
        flaps: int = 0,
        reopen: timedelta = timedelta(0),
    ) -> Incident:
        """Open an incident, or go on with the one that lasts, or that ended so short a time ago."""
        self._inherited.discard(key)
        known = self._open.get(key) or self._last(key, reopen)
        if known is None:
            known = Incident(key, component, severity, began, cause, is_mock)
        elif known.ended is not None:
            self._over = [i for i in self._over if i is not known]
            known = replace(known, ended=None)
        graver = max(known.severity, severity)
        return self._put(replace(known, severity=graver, flaps=max(flaps, known.flaps)))

    def worse(self, key: str, severity: Severity) -> Incident | None:
        incident = self._open.get(key)
        if incident is None:
            return None
        return self._put(replace(incident, severity=max(incident.severity, severity)))

    def flapped(self, key: str, flaps: int, *, ticks_missed: int | None = None) -> Incident | None:
        """Note how often it went down lately, and what was missed each time it came back."""
        incident = self._open.get(key)
        if incident is None:
            return None
        often = max(incident.flaps, flaps)
        return self._put(replace(_missed(incident, ticks_missed), flaps=often))

    def step(self, key: str, what: str, result: str) -> None:
        """Note what was done; a result replaces that of the same doing that is under way.

        Nothing happens if no incident of this key lasts.
        """
        incident = self._open.get(key)
        if incident is None:
            return
        # several things may be under way: the feed dials while quotes are polled
        open_ = [s for s in incident.steps if s.what == what and s.result == UNDER_WAY]
        if open_:
            done = replace(open_[-1], result=result)
            steps = tuple(done if step is open_[-1] else step for step in incident.steps)
            self._put(replace(incident, steps=steps))
        else:
            self._put(incident.stepped(self._clock.now(), what, result))

    def end(self, key: str, at: datetime, *, ticks_missed: int | None = None) -> Incident | None:
        """Close the incident of a key and return it; None if none lasts."""
        incident = self._open.get(key)
        if incident is None:
            return None
        steps = tuple(
            replace(step, result=WITHOUT_IT) if step.result == UNDER_WAY else step
            for step in incident.steps
        )
        over = self._put(replace(_missed(incident, ticks_missed), steps=steps, ended=at))
        del self._open[key]
        self._over = [*self._over[-KEPT + 1 :], over]
        return over

    def alerted(self, key: str) -> None:
        """Count an alert that is told of it."""
        incident = self._open.get(key)
        if incident is not None:
            self._open[key] = replace(incident, alerts=incident.alerts + 1)

    def acknowledged(self, alerts: Iterable[Alert], at: datetime, by: str) -> None:
        """Take note of what the disk knows already with the alerts."""
        for key in {alert.key for alert in alerts}:
            incident = self._open.get(key)
            if incident is not None and incident.acknowledged is None:
                self._open[key] = replace(incident, acknowledged=at, acknowledged_by=by)
                self.changes.emit(self._open[key])

    # the disk

    def on_stored(self, alert: Alert) -> None:
        """Take the number that an incident got with its first alert."""
        if not alert.incident:
            return
        for incident in (*self._over, *self._open.values()):
            if not incident.number and _is_of(alert, incident):
                numbered = replace(incident, number=alert.incident)
                self._replace(incident, numbered)
                self.changes.emit(numbered)
                break
        self._write()

    def _last(self, key: str, within: timedelta) -> Incident | None:
        now = self._clock.now()
        found = (i for i in reversed(self._over) if i.key == key and i.ended is not None)
        last = next(found, None)
        if last is None or last.ended is None or now - last.ended > within:
            return None
        return last

    def _put(self, incident: Incident) -> Incident:
        self._open[incident.key] = incident
        self._dirty[incident.key, incident.began] = None
        self._write()
        self.changes.emit(incident)
        return incident

    def _replace(self, before: Incident, after: Incident) -> None:
        if self._open.get(before.key) is before:
            self._open[before.key] = after
        self._over = [after if each is before else each for each in self._over]

    def _write(self) -> None:
        """Begin to write what has a number, unless that is under way."""
        idle = self._writing is None or self._writing.done()
        if idle and self._next() is not None:
            self._writing = asyncio.get_running_loop().create_task(self._empty())

    async def _empty(self) -> None:
        while (incident := self._next()) is not None:
            name = incident.key, incident.began
            del self._dirty[name]
            try:
                await self._journal.keep_incident(incident)
            except VigilError as error:
                log.warning("incident %d is written later: %s", incident.number, error)
                self._dirty.setdefault(name)
                await self._sleep(RETRY)
            except Exception:
                log.exception("incident %d could not be written", incident.number)

    def _next(self) -> Incident | None:
        """Return the latest state of an incident that has a number and is not written."""
        known = {(i.key, i.began): i for i in (*self._over, *self._open.values())}
        for name in list(self._dirty):
            incident = known.get(name)
            if incident is None:
                del self._dirty[name]  # so old that it is forgotten
            elif incident.number:
                return incident
        return None


def _is_of(alert: Alert, incident: Incident) -> bool:
    lasted = incident.ended is None or alert.at <= incident.ended
    return alert.key == incident.key and incident.began <= alert.at and lasted


def _missed(incident: Incident, ticks: int | None) -> Incident:
    if ticks is None:
        return incident
    return replace(incident, ticks_missed=ticks + (incident.ticks_missed or 0))
