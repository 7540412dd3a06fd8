"""A watch that says what a test told it to, and remembers what it was asked to do."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.alerts.scripted_journal import ScriptedJournal, ScriptedUptime
from trading.clock import Clock
from trading.errors import Denied, VigilError
from trading.health import (
    Alert,
    ChannelHealth,
    Check,
    Checked,
    Component,
    ComponentHealth,
    Condition,
    DrillResult,
    Hop,
    HopMinute,
    Incident,
    IncidentStep,
    JobHealth,
    LogLine,
    Minute,
    Occasion,
    Severity,
    Uptimes,
)
from trading.health_ports import ChatMessage, News, Person, Watchroom
from trading.histogram import Histogram
from trading.model import Gap
from trading.ports import Percentiles
from trading.signal import Signal

MINUTE = timedelta(minutes=1)
ROWS: tuple[tuple[Component, str, str, int], ...] = (
    (Component.MARKET_FEED, "", "38 msg/s, 0.2 s ago", 2_290),
    (Component.PORTFOLIO, "main", "quiet, alive 0.6 s ago", 4),
    (Component.REST, "", "22 calls in 5 min, none failed", 5),
    (Component.BOOKS, "", "agree, read 4 s ago", 20),
    (Component.RECOVERY, "", "idle", 0),
    (Component.STORAGE, "", "0.04 s behind, 120 rows wait", 24_000),
    (Component.JOBS, "", "9 jobs, none late", 70),
    (Component.CLOCK, "", "0.02 s from the exchange's", 0),
    (Component.PROCESS, "", "loop 0.4 ms late, 148 MB", 0),
    (Component.PHONE, "", "last message 13:40:02", 1),
    (Component.CHANNELS, "", "off: nothing is configured", 0),
)
LATENCIES = {
    Component.MARKET_FEED: (Percentiles(0.8, 2.4, 7.9), "exchange's time to our receipt"),
    Component.REST: (Percentiles(41.0, 120.0, 310.0), "call to answer"),
    Component.STORAGE: (Percentiles(2.1, 4.0, 9.5), "commit"),
    Component.PROCESS: (Percentiles(0.4, 1.9, 4.1), "lateness of the loop"),
}


def strip(
    now: datetime, messages: int, *, up: float = 60.0, minutes: int = 60
) -> tuple[Minute, ...]:
    """Return whole minutes of market time that end before this one."""
    last = now.replace(second=0, microsecond=0)
    starts = [last - MINUTE * back for back in range(minutes, 0, -1)]
    return tuple(Minute(at, 60.0, up, messages) for at in starts)


def row(
    now: datetime, component: Component, about: str, words: str, messages: int
) -> ComponentHealth:
    latency, latency_of = LATENCIES.get(component, (Percentiles(), ""))
    streams = (Component.MARKET_FEED, Component.PORTFOLIO)
    return ComponentHealth(
        component,
        about,
        Condition.OK,
        now - timedelta(hours=1),
        words,
        strip(now, messages),
        Uptimes(1.0, 0.9994, 0.9987),
        latency,
        latency_of,
        1 if component in streams else None,
    )


class ScriptedWatch:
    """Implements `health_ports.Watch`; all is well until a test says otherwise."""

    def __init__(self, clock: Clock, journal: ScriptedJournal) -> None:
        now = clock.now()
        self.clock, self.journal = clock, journal
        self.alerts: Signal[Alert] = Signal("alerts")
        self.changes: Signal[Incident] = Signal("incidents")
        self.rows = [row(now, *each) for each in ROWS]
        self.checks = [
            Check("Market", True, "open until 15:30", age=0.5),
            Check("Market feed", True, "38 msg/s", age=0.2),
            Check("Portfolio stream", True, "alive", age=0.6),
            Check("Token", True, "valid until 03:30", age=12.0),
            Check("Clock", True, "0.02 s from the exchange's", age=1.0, grave=False),
            Check("Storage", True, "0.04 s behind", age=0.3),
            Check("Books", True, "agree", age=4.0),
        ]
        self.job_rows = [
            JobHealth("monitor", now + timedelta(seconds=1), now, 3.1, 3_600, 0, 0),
            JobHealth("recovery", now + timedelta(seconds=12), now, 0.4, 120, 0, 0),
            JobHealth("retention", now + timedelta(hours=9), None, None, 0, 0, 0),
        ]
        self.ways = [
            ChannelHealth("telegram", "ok", sent=4, last_sent=now, last_ms=212.0),
            ChannelHealth("e-mail", "off", "no server is configured"),
            ChannelHealth("webhook", "off", "no address is configured"),
        ]
        self.muted: dict[str, datetime] = {}
        self.well: set[str] = set()  # keys that are well at this moment, though not over
        self.look_age: float | None = 0.4
        self.told: dict[Severity, int] = dict.fromkeys(Severity, 0)
        self.before_open = [
            Check("Token", True, "valid until 03:30"),
            Check("Calendar", True, "an ordinary day, NIFTY weekly expiry"),
            Check("Database", True, "written 0.2 s ago"),
            Check("Telegram", True, "a message went through in 0.3 s"),
        ]
        self.error: VigilError | None = None  # of the next act
        self.reconnected: list[tuple[str, str]] = []
        self.mute_asked: list[tuple[str, float]] = []
        self.acknowledge_asked: list[tuple[str, Sequence[int] | None]] = []
        self.tests: list[str] = []
        self.checklists = 0
        self.last_check: Checked | None = None

    # what a test says

    def becomes(self, component: Component, about: str = "", **changes: Any) -> ComponentHealth:
        """Change the row of a component."""
        for place, health in enumerate(self.rows):
            if (health.component, health.about) == (component, about):
                self.rows[place] = replace(health, **changes)
                return self.rows[place]
        raise AssertionError(f"no row of {component} {about}")

    def raises(self, alert: Alert) -> Alert:
        """Let an alert be stored and told."""
        stored = self.journal.add_alert(News(alert))
        self.told[alert.severity] += 1
        self.alerts.emit(stored)
        return stored

    def happens(self, incident: Incident) -> Incident:
        """Let an incident begin or change."""
        stored = self.journal.add_incident(incident)
        self.changes.emit(stored)
        return stored

    # what pages read

    def components(self) -> Sequence[ComponentHealth]:
        now = self.clock.now()
        return [
            replace(r, muted_until=until)
            if (until := self.muted.get(str(r.component))) and until > now
            else r
            for r in self.rows
        ]

    def inputs(self) -> Sequence[Check]:
        return sorted(self.checks, key=lambda check: (check.good, not check.grave))

    def open_incidents(self) -> Sequence[Incident]:
        return [i for i in self.journal.kept.values() if i.ended is None]

    def pressing(self) -> frozenset[str]:
        over = {number for number, i in self.journal.kept.items() if i.ended is not None}
        told = (a for a in self.unacknowledged() if a.severity is Severity.CRITICAL)
        return frozenset(a.key for a in told if a.incident not in over) - self.well

    def unacknowledged(self) -> Sequence[Alert]:
        return self.journal.nobody_acknowledged()

    def jobs(self) -> Sequence[JobHealth]:
        return list(self.job_rows)

    def channels(self) -> Sequence[ChannelHealth]:
        return list(self.ways)

    def mutes(self) -> Mapping[str, datetime]:
        return dict(self.muted)

    def alive_age(self) -> float | None:
        return self.look_age

    def counts(self) -> Mapping[Severity, int]:
        return dict(self.told)

    # what pages ask for

    async def acknowledge(self, by: str, *, numbers: Sequence[int] | None = None) -> int:
        self._may()
        self.acknowledge_asked.append((by, numbers))
        touched = await self.journal.acknowledge(self.clock.now(), by, numbers=numbers)
        for alert in touched:
            incident = self.journal.kept.get(alert.incident)
            if incident is not None:
                self.changes.emit(incident)
        return len(touched)

    async def mute(self, key: str, minutes: float) -> None:
        self._may()
        known = {str(component) for component in Component} | set(self.muted)
        known |= {alert.key for alert in self.unacknowledged()}
        known |= {incident.key for incident in self.journal.kept.values()}
        if key not in known:
            raise Denied(f"nothing that could be muted is called {key!r}")
        self.mute_asked.append((key, minutes))
        if minutes:
            self.muted[key] = self.clock.now() + timedelta(minutes=minutes)
        else:
            self.muted.pop(key, None)

    async def reconnect(self, feed: str, by: str) -> None:
        self._may()
        self.reconnected.append((feed, by))

    async def checklist(self) -> Sequence[Check]:
        self._may()
        self.checklists += 1
        self.last_check = Checked(self.clock.now(), tuple(self.before_open))
        return list(self.before_open)

    def checked(self) -> Checked | None:
        return self.last_check

    async def test_message(self, by: str) -> None:
        self._may()
        self.tests.append(by)

    def _may(self) -> None:
        if self.error is not None:
            raise self.error


class ScriptedGaps:
    """Implements `health_ports.GapLedger`."""

    def __init__(self) -> None:
        self.kept: list[Gap] = []
        self.error: VigilError | None = None

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]:
        if self.error is not None:
            raise self.error
        return [
            g
            for g in self.kept
            if g.feed == feed and g.start < until and (g.end is None or g.end > since)
        ]

    async def unfilled(self, feed: str) -> list[Gap]:
        return [g for g in self.kept if g.feed == feed and g.end and g.filled is None]

    async def filled(self, gap: Gap) -> None:
        self.kept = [gap if g.number == gap.number else g for g in self.kept]


class ScriptedPeople:
    """Implements `health_ports.People`."""

    def __init__(self, people: Sequence[Person] = ()) -> None:
        self.known = list(people)

    def all(self) -> Sequence[Person]:
        return list(self.known)

    async def add(self, person: Person) -> None:
        self.known.append(person)

    async def remove(self, chat: int, user: int) -> None:
        self.known = [p for p in self.known if (p.chat, p.user) != (chat, user)]


class ScriptedDrills:
    """Implements `health_ports.Drills`; a test lets a drill go on by `goes`."""

    def __init__(self, clock: Clock) -> None:
        self.changes: Signal[DrillResult] = Signal("drills")
        self.clock = clock
        self.last: dict[str, DrillResult] = {}
        self.now: DrillResult | None = None
        self.error: VigilError | None = None
        self.started: list[str] = []
        self.stops = 0
        self.known = [
            ("pull the plug", "the exchange closes the socket of the market feed"),
            ("freeze", "the socket stays open, but no price comes any more"),
            ("expired token", "the broker refuses the token"),
        ]

    def names(self) -> Sequence[tuple[str, str]]:
        return list(self.known)

    def results(self) -> Mapping[str, DrillResult]:
        return dict(self.last)

    def running(self) -> DrillResult | None:
        return self.now

    async def start(self, name: str) -> None:
        if self.error is not None:
            raise self.error
        if self.now is not None:
            raise Denied(f"{self.now.drill} is under way: stop it first")
        self.started.append(name)
        self.goes(DrillResult(name, self.clock.now(), words="waiting until the desk notices"))

    async def stop(self) -> None:
        self.stops += 1
        if self.now is not None:
            self.goes(replace(self.now, ended=self.clock.now(), words="stopped by hand"))

    def goes(self, result: DrillResult) -> None:
        """Let a drill be where the result says; one that has ended is on the scorecard."""
        self.last[result.drill] = result
        self.now = None if result.ended else result
        self.changes.emit(result)


class ScriptedPhone:
    """Implements `health_ports.Phone`."""

    def __init__(self, clock: Clock) -> None:
        self.changes: Signal[None] = Signal("chat")
        self.clock = clock
        self.chat: list[ChatMessage] = []
        self.pressed: list[tuple[int, str]] = []

    def messages(self) -> Sequence[ChatMessage]:
        return list(self.chat)

    async def say(self, text: str) -> None:
        self.hears(text, from_bot=False)

    async def press(self, number: int, data: str) -> None:
        self.pressed.append((number, data))

    def hears(
        self,
        text: str,
        *,
        from_bot: bool = True,
        buttons: tuple[tuple[tuple[str, str], ...], ...] = (),
    ) -> ChatMessage:
        """Let a message arrive in the chat."""
        message = ChatMessage(len(self.chat) + 1, from_bot, text, self.clock.now(), buttons)
        self.chat.append(message)
        self.changes.emit(None)
        return message


class ScriptedLatencies:
    """Implements `health_ports.Latencies`; nothing was measured until a test says so."""

    def __init__(self) -> None:
        self.screen = Histogram()
        self.known: dict[Hop, list[HopMinute]] = {hop: [] for hop in Hop}

    def minutes(self, hop: Hop) -> Sequence[HopMinute]:
        return tuple(self.known[hop])


class ScriptedLog:
    """Implements `health_ports.LogLines`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.kept: list[LogLine] = []

    def lines(self) -> Sequence[LogLine]:
        return tuple(self.kept)

    def says(self, logger: str, text: str, level: int = logging.INFO) -> None:
        self.kept.append(LogLine(self.clock.now(), level, logger, text))


def watchroom(clock: Clock) -> Watchroom:
    """Return a watch to which nothing has happened yet."""
    journal = ScriptedJournal()
    return Watchroom(
        watch=ScriptedWatch(clock, journal),
        journal=journal,
        uptime=ScriptedUptime(),
        gaps=ScriptedGaps(),
        people=ScriptedPeople(),
        drills=ScriptedDrills(clock),
        phone=ScriptedPhone(clock),
        latencies=ScriptedLatencies(),
        log=ScriptedLog(clock),
    )


def health_alert(
    clock: Clock,
    *,
    severity: Severity = Severity.CRITICAL,
    title: str = "market feed silent for 17 s",
    occasion: Occasion = Occasion.BEGIN,
    incident: int = 0,
) -> Alert:
    return Alert(
        "no_prices",
        Component.MARKET_FEED,
        occasion,
        severity,
        clock.now(),
        title,
        ("prices of 3 open positions are old", "Nothing to do: it is being reconnected"),
        "/status",
        "SIMULATED",
        True,
        incident=incident,
    )


def feed_incident(clock: Clock, *, ended: bool = False, ago: float = 90.0) -> Incident:
    """Return an incident of the market feed that began so many seconds ago."""
    began = clock.now() - timedelta(seconds=ago)
    steps = (
        IncidentStep(began + timedelta(seconds=1), "subscribe again", "no price within 5 s"),
        IncidentStep(began + timedelta(seconds=6), "reconnect", "under way"),
    )
    if ended:
        done = replace(steps[1], result="a price after 1.2 s")
        steps = (steps[0], done)
    return Incident(
        "no_prices",
        Component.MARKET_FEED,
        Severity.CRITICAL,
        began,
        "market feed silent for 17 s",
        True,
        ended=began + timedelta(seconds=7.2) if ended else None,
        steps=steps,
        ticks_missed=1_780,
        alerts=2,
    )


def script(desk_watch: Watchroom | None) -> ScriptedWatch:
    """Return the scripted watch of a desk that was made by `make_desk`."""
    assert desk_watch is not None
    assert isinstance(desk_watch.watch, ScriptedWatch)
    return desk_watch.watch


def latencies(desk_watch: Watchroom | None) -> ScriptedLatencies:
    assert desk_watch is not None
    assert isinstance(desk_watch.latencies, ScriptedLatencies)
    return desk_watch.latencies


def log(desk_watch: Watchroom | None) -> ScriptedLog:
    assert desk_watch is not None
    assert isinstance(desk_watch.log, ScriptedLog)
    return desk_watch.log


def drills(desk_watch: Watchroom | None) -> ScriptedDrills:
    assert desk_watch is not None
    assert isinstance(desk_watch.drills, ScriptedDrills)
    return desk_watch.drills


def ledger(desk_watch: Watchroom | None) -> ScriptedGaps:
    assert desk_watch is not None
    assert isinstance(desk_watch.gaps, ScriptedGaps)
    return desk_watch.gaps


def uptime(desk_watch: Watchroom | None) -> ScriptedUptime:
    assert desk_watch is not None
    assert isinstance(desk_watch.uptime, ScriptedUptime)
    return desk_watch.uptime


def phone(desk_watch: Watchroom | None) -> ScriptedPhone:
    assert desk_watch is not None
    assert isinstance(desk_watch.phone, ScriptedPhone)
    return desk_watch.phone
