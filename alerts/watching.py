"""What the watch knows, for pages, the bot, /health and /metrics: implements health_ports.Watch."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from alerts.incidents import IncidentBook
from alerts.inputs import inputs
from alerts.minutes import MinuteBook, name_of
from alerts.monitor import Monitor
from alerts.rows import Row, rows
from alerts.sight import Sight
from alerts.states import LASTING, Standing, gravest
from trading.desk import Desk
from trading.errors import Denied
from trading.health import (
    Alert,
    ChannelHealth,
    Check,
    Checked,
    Component,
    ComponentHealth,
    Condition,
    Incident,
    JobHealth,
    Severity,
)
from trading.hours import IST
from trading.signal import Signal

MARKET: Final = "market"


class Telling(Protocol):
    """What the watch needs of the Teller."""

    alerts: Signal[Alert]

    def unacknowledged(self) -> Sequence[Alert]: ...

    def mutes(self) -> Mapping[str, datetime]: ...

    def counts(self) -> Mapping[Severity, int]: ...

    def unstored(self) -> tuple[int, str]: ...

    async def acknowledge(
        self, by: str, *, numbers: Sequence[int] | None = None
    ) -> list[Alert]: ...

    async def mute(self, key: str, until: datetime | None) -> None: ...


class WatchDesk:
    """Joins monitor, incidents, minutes, jobs and telling; owns nothing of them."""

    def __init__(
        self,
        desk: Desk,
        monitor: Monitor,
        incidents: IncidentBook,
        minutes: MinuteBook,
        teller: Telling,
        *,
        jobs: Callable[[], Sequence[JobHealth]],
        channels: Callable[[], Sequence[ChannelHealth]],
        checklist: Callable[[], Awaitable[Sequence[Check]]],
        test_message: Callable[[str], Awaitable[None]],
        recovery: Callable[[], str] = lambda: "not watched",
        checked: Callable[[], Checked | None] = lambda: None,
    ) -> None:
        """`checklist` and `test_message` are done on behalf of whoever asks; `recovery` says in
        words what is being tried, `checked` is the last run of the checklist.
        """
        self.alerts = teller.alerts
        self.changes = incidents.changes
        self._desk = desk
        self._monitor = monitor
        self._incidents = incidents
        self._minutes = minutes
        self._teller = teller
        self._jobs = jobs
        self._channels = channels
        self._checklist = checklist
        self._test_message = test_message
        self._recovery = recovery
        self._checked = checked
        self._reconnects = _Daily()
        monitor.looked.subscribe(self._count)

    # reading

    def components(self) -> Sequence[ComponentHealth]:
        sight, now = self._monitor.sight(), self._desk.clock.now()
        if sight is None:
            return ()
        standings, mutes = self._monitor.standings(), self.mutes()
        found = rows(sight, recovery=self._recovery())
        return [self._health(row, standings, mutes, now) for row in found]

    def inputs(self) -> Sequence[Check]:
        unstored = self._teller.unstored()
        return inputs(self._monitor.sight(), alive_age=self.alive_age(), unstored=unstored)

    def open_incidents(self) -> Sequence[Incident]:
        return self._incidents.open()

    def unacknowledged(self) -> Sequence[Alert]:
        return self._teller.unacknowledged()

    def jobs(self) -> Sequence[JobHealth]:
        return self._jobs()

    def channels(self) -> Sequence[ChannelHealth]:
        return self._channels()

    def mutes(self) -> Mapping[str, datetime]:
        return self._teller.mutes()

    def pressing(self) -> frozenset[str]:
        standings = (s for s in self._monitor.standings() if s.condition in LASTING and s.present)
        return frozenset(
            s.finding.key for s in standings if s.finding.severity is Severity.CRITICAL
        )

    def alive_age(self) -> float | None:
        return self._monitor.alive_age()

    def counts(self) -> Mapping[Severity, int]:
        return Counter(self._teller.counts())

    # doing

    async def acknowledge(self, by: str, *, numbers: Sequence[int] | None = None) -> int:
        found = await self._teller.acknowledge(by, numbers=numbers)
        self._incidents.acknowledged(found, self._desk.clock.now(), by)
        return len(found)

    async def mute(self, key: str, minutes: float) -> None:
        if key not in self._known_keys():
            raise Denied(f"nothing that could be muted is called {key!r}")
        until = self._desk.clock.now() + timedelta(minutes=minutes) if minutes > 0 else None
        await self._teller.mute(key, until)

    async def reconnect(self, feed: str, by: str) -> None:
        reason = f"asked for by {by}"
        if feed in (MARKET, self._desk.feed.name):
            self._desk.feed.reconnect(reason)
            return
        for stream in self._desk.portfolio_feeds.values():
            if stream.name == feed:
                stream.reconnect(reason)
                return
        names = [self._desk.feed.name, *(s.name for s in self._desk.portfolio_feeds.values())]
        raise Denied(f"no feed is called {feed!r}; there are: {', '.join(names)}")

    def checked(self) -> Checked | None:
        return self._checked()

    async def checklist(self) -> Sequence[Check]:
        return await self._checklist()

    async def test_message(self, by: str) -> None:
        await self._test_message(by)

    # inside

    def _count(self, sight: Sight) -> None:
        """Count at every look: whoever opens a page in the morning must not get yesterday's."""
        day = f"{sight.now.astimezone(IST):%Y-%m-%d}"
        feeds = [(name_of(Component.MARKET_FEED, ""), sight.market)]
        feeds += [(name_of(Component.PORTFOLIO, each.account), each) for each in sight.streams]
        for name, feed in feeds:
            self._reconnects.note(name, feed.stats.reconnects, day)

    def _known_keys(self) -> set[str]:
        keys = {finding.key for finding in self._monitor.findings()}
        keys |= {incident.key for incident in self._incidents.open()}
        keys |= {incident.key for incident in self._incidents.recent()}
        keys |= {alert.key for alert in self._teller.unacknowledged()}
        return keys | set(self.mutes()) | {str(component) for component in Component}

    def _health(
        self,
        row: Row,
        standings: Sequence[Standing],
        mutes: Mapping[str, datetime],
        now: datetime,
    ) -> ComponentHealth:
        name = name_of(row.component, row.about)
        worst = gravest(_of(row, standings))
        condition = worst.condition if worst else row.condition
        lasting = worst is not None and condition is not Condition.CLOSED
        return ComponentHealth(
            component=row.component,
            about=row.about,
            condition=condition,
            since=worst.since if worst else row.since,
            words=_words(worst) if worst and lasting else row.words,
            strip=self._minutes.strip(name, now),
            uptimes=self._minutes.uptimes(name),
            latency=row.latency,
            latency_of=row.latency_of,
            reconnects=self._reconnects.today(name),
            muted_until=mutes.get(str(row.component)),
            matter=worst.finding.key if worst else "",
        )


def _words(standing: Standing) -> str:
    what = standing.finding.what
    return what if standing.present else f"well at the moment, not steady yet: {what}"


class _Daily:
    """How much counters grew since the day began, of a desk that sees them all the while."""

    def __init__(self) -> None:
        self._day = ""
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def note(self, name: str, value: int, day: str) -> None:
        if day != self._day:
            self._first, self._day = dict(self._last), day
        if value < self._first.setdefault(name, 0):  # it has begun anew
            self._first[name] = 0
        self._last[name] = value

    def today(self, name: str) -> int | None:
        """Return the growth of a counter, None of what is none."""
        last = self._last.get(name)
        return None if last is None else last - self._first[name]


def _of(row: Row, standings: Iterable[Standing]) -> list[Standing]:
    """Return what is found of a row: of a stream only what is about its account."""
    return [
        s
        for s in standings
        if s.finding.component is row.component
        and (not row.about or s.finding.about in ("", row.about))
    ]
