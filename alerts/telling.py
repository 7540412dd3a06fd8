"""The one way to say something: stored first with its letters, then shown, then sent.

While the disk refuses, what is said waits in memory in its order; the page shows it at once, and
nothing is stored twice when the disk is back.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from alerts import words
from alerts.routing import Routing, Said, climb, is_muted, posts
from alerts.states import Change
from trading.clock import Clock
from trading.errors import BadRequest, VigilError
from trading.health import Alert, Condition, Incident, Occasion, Severity
from trading.health_ports import AlertJournal, News
from trading.signal import Signal

log = logging.getLogger(__name__)

PATIENCE: Final = 2.0  # seconds of waiting for the disk, before the page shows what is not stored
REMIND_AFTER: Final = (60.0, 300.0, 900.0)  # seconds; the last one again and again
REMIND_AFTER_START: Final = 90.0  # seconds: what is over by then is known, and said
MOST_OPEN: Final = 500  # alerts that wait for somebody to acknowledge them, in memory
LOOK_BACK: Final = 500  # alerts that a start reads to know what is over and what is known
MOST_KEYS: Final = 1_000  # whose last message is remembered
MOST_TRIES: Final = 3  # of what makes the journal itself fail


@dataclass(frozen=True, slots=True)
class Draft:
    """An alert to be told, with the incident that it belongs to as it is now."""

    alert: Alert
    incident: Incident | None = None


@dataclass(slots=True)
class _Batch:
    """What was said in one call; `shown` are its alerts with number 0 if the page had them."""

    news: tuple[News, ...]
    handled: tuple[int, ...]
    told: asyncio.Future[list[Alert]]
    shown: tuple[Alert, ...] = ()
    tries: int = 0


@dataclass(frozen=True, slots=True)
class _Noted:
    """That somebody took note of a matter: when, and who."""

    at: datetime
    by: str


@dataclass(slots=True)
class _Reminder:
    alert: Alert
    next_at: float  # monotonic
    count: int = 0


class Teller:
    """Owns what was said and not acknowledged, what is muted, and what waits for the disk."""

    def __init__(self, clock: Clock, journal: AlertJournal, routes: Routing) -> None:
        self.alerts: Signal[Alert] = Signal("alerts")  # each once, number 0 if not stored yet
        self.stored: Signal[Alert] = Signal("stored alerts")  # each once, with its number
        self.refused: Signal[News] = Signal("critical news that the disk does not take")
        self.routes = routes
        self._clock = clock
        self._journal = journal
        self._waiting: deque[_Batch] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._trouble = ""
        self._incidents: dict[tuple[str, datetime], int] = {}
        self._said: dict[str, Said] = {}
        self._open: list[Alert] = []
        self._acknowledged: dict[str, _Noted] = {}  # keys of which no reminder is wanted
        self._reminders: dict[str, _Reminder] = {}
        self._away: set[str] = set()  # keys that are on and off, and off at this moment
        self._mutes: dict[str, datetime] = {}
        self._owed: deque[Callable[[], Awaitable[object]]] = deque()
        self._counts: Counter[Severity] = Counter()

    # what others ask

    def unacknowledged(self) -> Sequence[Alert]:
        """Return warnings and graver that nobody took note of, oldest first, no reminders."""
        return [alert for alert in self._open if alert.occasion is not Occasion.REMIND]

    def mutes(self) -> Mapping[str, datetime]:
        now = self._clock.now()
        return {key: until for key, until in self._mutes.items() if until > now}

    def counts(self) -> Mapping[Severity, int]:
        """Return how many alerts were raised since the start."""
        return dict(self._counts)

    def unstored(self) -> tuple[int, str]:
        """Return how many alerts are shown and not stored yet, and why the disk refuses them."""
        return sum(len(batch.shown) for batch in self._waiting), self._trouble

    # life

    async def load(self) -> None:
        """Take over what the disk knows: acknowledgements and mutes outlive a restart."""
        self._mutes = await self._journal.mutes(self._clock.now())
        self._open = (await self._journal.unacknowledged())[-MOST_OPEN:]
        over: set[str] = set()
        now = self._clock.monotonic()
        for alert in await self._journal.alerts(most=LOOK_BACK):
            if alert.key in over:
                continue
            if alert.occasion is Occasion.END:
                over.add(alert.key)
            elif alert.acknowledged is not None:
                if alert.key not in self._reminders:  # else it has become worse since then
                    noted = _Noted(alert.acknowledged, alert.acknowledged_by)
                    self._acknowledged[alert.key] = noted
                over.add(alert.key)
            elif alert.severity is Severity.CRITICAL:
                # of the first, not of a reminder, and only once this run has found it or not
                self._reminders[alert.key] = _Reminder(alert, now + REMIND_AFTER_START)

    async def look(self) -> None:
        """Try the disk again, and remind of what nobody took note of; a job of every second."""
        await self._pay()
        self._commit()
        now = self._clock.monotonic()
        silent = {*self.mutes(), *self._away}
        due = [r for key, r in self._reminders.items() if now >= r.next_at and key not in silent]
        drafts = [Draft(self._reminded(reminder)) for reminder in due]
        if drafts:
            await self.tell(drafts)

    def on_change(self, change: Change) -> None:
        """Remind of nothing that is not there: what is on and off may be well for minutes."""
        if change.after is Condition.FLAPPING and not change.present:
            self._away.add(change.key)
        else:
            self._away.discard(change.key)

    async def stop(self) -> None:
        """Give the disk a last chance to take what waits."""
        self._commit()
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=PATIENCE)
            self._committing.cancel()
        lost = sum(len(batch.news) for batch in self._waiting)
        if lost:
            log.error("%d alerts were shown, and never stored: %s", lost, self._trouble)

    # what is said

    async def tell(self, drafts: Sequence[Draft], *, handled: Sequence[int] = ()) -> list[Alert]:
        """Store alerts with the letters of their ways, then show them; never raises.

        `handled` are the numbers of order news that they tell of. Returns the alerts as stored,
        without those whose `once` is known; with number 0 if the disk has not taken them yet.
        """
        wanted = [d for d in drafts if not self._is_unwanted(d.alert)]
        if not wanted and not handled:
            return []
        told: asyncio.Future[list[Alert]] = asyncio.get_running_loop().create_future()
        batch = _Batch(tuple(map(self._news, wanted)), tuple(handled), told)
        self._waiting.append(batch)
        self._commit()
        await asyncio.wait([told], timeout=PATIENCE)
        if not told.done():
            self._show(batch)
        return told.result()

    async def acknowledge(self, by: str, *, numbers: Sequence[int] | None = None) -> list[Alert]:
        """Stop the reminders of these alerts and of all others of their matters, or of all.

        Returns those that were not acknowledged before.
        """
        at = self._clock.now()
        keys = {a.key for a in self._open if numbers is None or a.id in numbers}
        found = [alert for alert in self._open if alert.key in keys]
        self._open = [alert for alert in self._open if alert.key not in keys]
        self._acknowledged |= dict.fromkeys(keys, _Noted(at, by))
        for key in keys:
            self._reminders.pop(key, None)
        named = None if numbers is None else sorted({*numbers, *(a.id for a in found)} - {0})
        try:
            return await self._journal.acknowledge(at, by, numbers=named)
        except VigilError as error:
            self._owe(error, lambda: self._journal.acknowledge(at, by, numbers=named))
            return [replace(a, acknowledged=at, acknowledged_by=by) for a in found]

    async def mute(self, key: str, until: datetime | None) -> None:
        """Send nothing of a key, or nothing but critical of a component, until then."""
        self._mutes.pop(key, None)
        if until is not None:
            self._mutes[key] = until
        try:
            await self._journal.mute(key, until)
        except VigilError as error:
            self._owe(error, lambda: self._journal.mute(key, until))

    # routing

    def _is_unwanted(self, alert: Alert) -> bool:
        return alert.occasion is Occasion.REMIND and alert.key in self._acknowledged

    def _news(self, draft: Draft) -> News:
        alert, now, monotonic = draft.alert, self._clock.now(), self._clock.monotonic()
        said, turn = climb(self._said.get(alert.key), alert, monotonic)
        if said is not None:
            self._climbed(alert.key, said)
        if alert.occasion is not Occasion.REMIND:
            self._acknowledged.pop(alert.key, None)  # it is over, or it is there again
        weight = alert.severity
        if alert.occasion is Occasion.END:
            self._reminders.pop(alert.key, None)  # none may come after it
        if alert.occasion is Occasion.END and draft.incident is not None:
            weight = max(weight, draft.incident.severity)
        alert = replace(alert, times=max(alert.times, turn.times))
        if is_muted(alert, self._mutes, now, weight=weight):
            return News(alert, (), draft.incident)
        ways = posts(self.routes, alert, now=now, weight=weight, turn=turn)
        return News(alert, ways, draft.incident)

    def _climbed(self, key: str, said: Said) -> None:
        if len(self._said) >= MOST_KEYS:  # strangers choose keys, too
            oldest = sorted(self._said, key=lambda known: self._said[known].last)
            for known in oldest[: MOST_KEYS // 2]:
                del self._said[known]
        self._said[key] = said

    # storing

    def _commit(self) -> None:
        idle = self._committing is None or self._committing.done()
        if self._waiting and idle:
            self._committing = asyncio.create_task(self._empty(), name="alerts to the disk")

    async def _empty(self) -> None:
        """Store what waits, one call after the other, until the disk refuses."""
        while self._waiting:
            batch = self._waiting[0]
            try:
                stored = await self._journal.tell(self._numbered(batch), handled=batch.handled)
            except BadRequest as error:
                self._stumble(batch, str(error))
                return
            except VigilError as error:
                self._refused(str(error))
                return
            except Exception:
                log.exception("%d alerts could not be stored", len(batch.news))
                self._stumble(batch, "the journal failed, see the log")
                return
            self._waiting.popleft()
            self._trouble = ""
            self._take(batch, stored)

    def _stumble(self, batch: _Batch, reason: str) -> None:
        """Give up what the journal does not accept: it would hold up all others for ever."""
        self._refused(reason)
        batch.tries += 1
        if batch.tries < MOST_TRIES:
            return
        self._waiting.popleft()
        if len(batch.news) > 1 or (batch.news and batch.handled):  # the rest of it may be good
            parts = [_Batch((news,), (), batch.told, (news.alert,)) for news in batch.news]
            parts.append(_Batch((), batch.handled, batch.told))
            self._waiting.extendleft(reversed(parts))
        else:
            log.error("given up: %s", [news.alert.title for news in batch.news])

    def _numbered(self, batch: _Batch) -> list[News]:
        """Return the news with the numbers that incidents got while these waited."""
        return [
            replace(news, incident=replace(news.incident, number=self._number_of(news.incident)))
            if news.incident is not None
            else news
            for news in batch.news
        ]

    def _number_of(self, incident: Incident) -> int:
        return incident.number or self._incidents.get((incident.key, incident.began), 0)

    def _refused(self, reason: str) -> None:
        if reason != self._trouble:
            log.error("alerts are not stored: %s", reason)
        self._trouble = reason
        for batch in self._waiting:
            self._show(batch)

    def _show(self, batch: _Batch) -> None:
        """Show what is not stored yet, once."""
        if batch.told.done():
            return
        batch.shown = tuple(news.alert for news in batch.news)
        batch.told.set_result(list(batch.shown))
        self._announce(batch.shown)
        for news in batch.news:
            if news.alert.severity is Severity.CRITICAL and news.posts:
                self.refused.emit(news)

    def _take(self, batch: _Batch, stored: list[Alert]) -> None:
        self._remember_incidents(batch, stored)
        if batch.told.done():
            self._open = [a for a in self._open if not any(a is shown for shown in batch.shown)]
            self._keep_open(stored)
            self._acknowledge_late(stored)
        else:
            batch.told.set_result(stored)
            self._announce(stored)
        for alert in stored:
            self.stored.emit(alert)

    def _acknowledge_late(self, stored: Sequence[Alert]) -> None:
        """Write that somebody took note of these before they had a number."""
        late: dict[_Noted, list[int]] = {}
        for alert in stored:
            if (noted := self._acknowledged.get(alert.key)) is not None:
                late.setdefault(noted, []).append(alert.id)
        for noted, numbers in late.items():
            write = partial(self._journal.acknowledge, noted.at, noted.by, numbers=numbers)
            self._owed.append(write)

    def _remember_incidents(self, batch: _Batch, stored: Sequence[Alert]) -> None:
        """Keep the numbers of open ones: their end may have been said without it."""
        numbers = {alert.key: alert.incident for alert in stored if alert.incident}
        for news in batch.news:
            incident = news.incident
            if incident is None or incident.key not in numbers:
                continue
            if incident.ended is None:
                self._incidents[incident.key, incident.began] = numbers[incident.key]
            elif not self._waiting:
                self._incidents.pop((incident.key, incident.began), None)

    def _announce(self, alerts: Iterable[Alert]) -> None:
        alerts = list(alerts)
        self._keep_open(alerts)
        for alert in alerts:
            self._counts[alert.severity] += 1
            if alert.occasion is Occasion.END:
                self._reminders.pop(alert.key, None)
            elif alert.severity is Severity.CRITICAL and alert.occasion is not Occasion.REMIND:
                self._remind_of(alert)
            self.alerts.emit(alert)

    def _keep_open(self, alerts: Iterable[Alert]) -> None:
        self._open += [
            alert
            for alert in alerts
            if alert.severity >= Severity.WARNING and alert.key not in self._acknowledged
        ]
        del self._open[:-MOST_OPEN]

    # reminders

    def _remind_of(self, alert: Alert) -> None:
        if alert.key not in self._reminders:
            at = self._clock.monotonic() + REMIND_AFTER[0]
            self._reminders[alert.key] = _Reminder(alert, at)

    def _reminded(self, reminder: _Reminder) -> Alert:
        now, alert = self._clock.now(), reminder.alert
        reminder.count += 1
        wait = REMIND_AFTER[min(reminder.count, len(REMIND_AFTER) - 1)]
        reminder.next_at = self._clock.monotonic() + wait
        told = f"told at {words.moment(alert.at, now)} IST, and nobody has acknowledged it"
        return replace(
            alert,
            occasion=Occasion.REMIND,
            at=now,
            title=f"{alert.title} (reminder {reminder.count})",
            lines=(*alert.lines, told),
            once="",
            id=0,
            times=1,
        )

    # what the disk did not take

    def _owe(self, error: VigilError, write: Callable[[], Awaitable[object]]) -> None:
        log.warning("kept in memory until the disk takes it: %s", error)
        self._owed.append(write)

    async def _pay(self) -> None:
        while self._owed:
            try:
                await self._owed[0]()
            except VigilError:
                return
            self._owed.popleft()
