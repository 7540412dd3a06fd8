"""Once a second, and at once when a feed changes: look, judge, remember, tell."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from alerts.incidents import IncidentBook
from alerts.latency import LatencyBook
from alerts.minutes import MinuteBook, Reading
from alerts.rulebook import Rule, found_rules, holds_back, rests
from alerts.sight import FeedSight, Lookout, Sight, rest_sum
from alerts.states import LASTING, Change, Standing, States
from alerts.telling import Draft
from alerts.wording import alert_of, others, over_at_start
from trading.desk import Desk
from trading.health import (
    Alert,
    Component,
    Condition,
    Finding,
    Incident,
    Occasion,
    Severity,
    Thresholds,
)
from trading.ports import FeedChange, FeedState
from trading.signal import Signal

log = logging.getLogger(__name__)

SOONEST: Final = 0.05  # seconds between two looks that feeds ask for
FAILED: Final = "failed_rule"
ALWAYS: Final = (  # judged whether a market is open or not
    Component.RECOVERY,
    Component.JOBS,
    Component.CLOCK,
    Component.PROCESS,
    Component.PHONE,
    Component.CHANNELS,
)


class Telling(Protocol):
    """What the monitor needs of the Teller."""

    stored: Signal[Alert]

    async def tell(
        self, drafts: Sequence[Draft], *, handled: Sequence[int] = ()
    ) -> list[Alert]: ...


class Monitor:
    """Owns the looks. What a look finds goes to conditions, incidents and minutes; changes worth
    telling go to the Teller, in their order and without holding up the next look.
    """

    def __init__(
        self,
        desk: Desk,
        lookout: Lookout,
        incidents: IncidentBook,
        minutes: MinuteBook,
        teller: Telling,
        *,
        limits: Thresholds,
        rules: Sequence[Rule] | None = None,
        latencies: LatencyBook | None = None,
    ) -> None:
        self.found: Signal[Change] = Signal("findings")
        self.looked: Signal[Sight] = Signal("looks")
        self.looks = 0
        self.failures = 0  # of rules, each time
        self.looked_at: float | None = None  # monotonic, of the last whole look
        self._desk = desk
        self._lookout = lookout
        self._incidents = incidents
        self._minutes = minutes
        self._latencies = latencies
        self._teller = teller
        self._limits = limits
        self._rules = {rule.name: rule for rule in (rules or found_rules())}
        self._more: list[Callable[[], Iterable[Finding]]] = []
        self._states = States(limits)
        self._findings: tuple[Finding, ...] = ()
        self._sight: Sight | None = None
        self._failed: dict[str, str] = {}  # rules that raise, and what they raised
        self._ready_since: float | None = None
        self._asked: asyncio.TimerHandle | None = None
        self._to_tell: deque[Draft] = deque()
        self._telling: asyncio.Task[None] | None = None
        self._undo = [desk.feed.changes.subscribe(self._on_feed)]
        self._undo += [f.changes.subscribe(self._on_feed) for f in desk.portfolio_feeds.values()]
        self._undo.append(teller.stored.subscribe(incidents.on_stored))

    # what others ask

    def findings(self) -> Sequence[Finding]:
        """Return what is wrong as of the last look, also what is not proven yet."""
        return self._findings

    def standings(self) -> Sequence[Standing]:
        return tuple(self._states.standings().values())

    def sight(self) -> Sight | None:
        """Return the last look, None before the first."""
        return self._sight

    def alive_age(self) -> float | None:
        """Return the seconds since a look was finished; None if none was."""
        if self.looked_at is None:
            return None
        return self._desk.clock.monotonic() - self.looked_at

    # life

    def also(self, findings: Callable[[], Iterable[Finding]]) -> None:
        """Judge at each look what no rule can see: a sleep, or what could not be mended."""
        self._more.append(findings)

    async def look(self) -> None:
        """Look now; the job of every second."""
        self.look_now()

    def look_now(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None
        sight = self._lookout.look()
        self._sight = sight
        self._findings = tuple(self._judge(sight))
        self._minutes.note(sight.now, readings(sight, self._states.standings().values()))
        if self._latencies is not None:
            self._latencies.note(sight.now, judged=sight.market.due)
        changes = self._states.step(
            self._findings,
            now=sight.now,
            monotonic=sight.monotonic,
            holds_back=lambda f, found: self._is_held_back(f, sight, found=found),
            rests=lambda f: rests(sight, self._rules.get(f.rule), f),
        )
        for change in changes:
            self._changed(change, sight)
        self._settle(sight)
        self.looks += 1
        self.looked_at = sight.monotonic
        self.looked.emit(sight)

    def wake(self) -> None:
        """Look very soon: something has changed."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().call_later(SOONEST, self._look_if_asked)

    async def told(self) -> None:
        """Wait until everything that was to be told is with the Teller."""
        while self._telling is not None and not self._telling.done():
            await asyncio.wait([self._telling])

    async def stop(self) -> None:
        """Hear of nothing any more, and hand over what is to be told."""
        for undo in self._undo:
            undo()
        if self._asked is not None:
            self._asked.cancel()
        await self.told()
        self._minutes.close()

    # looking

    def _look_if_asked(self) -> None:
        self._asked = None
        self.look_now()

    def _on_feed(self, change: FeedChange) -> None:
        self._lookout.on_feed(change)
        self.wake()

    def _judge(self, sight: Sight) -> list[Finding]:
        """Ask every rule; one that raises is a finding itself, and the others are still asked."""
        checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
            (name, partial(rule.check, sight)) for name, rule in self._rules.items()
        ]
        checks += [(_called(more), more) for more in self._more]
        found: list[Finding] = []
        for name, check in checks:
            found += self._asked_of(name, check)
        return found

    def _asked_of(self, name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
        try:
            found = list(check())
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if self._failed.get(name) != words:
                log.exception("the rule %s failed", name)
            self._failed[name] = words
            self.failures += 1
            return [_failure(name, words)]
        self._failed.pop(name, None)
        return found

    def _is_held_back(self, finding: Finding, sight: Sight, *, found: bool) -> bool:
        if sight.stage in ("starting", "stopping"):
            return True
        return holds_back(self._findings, finding, found=found)

    def _settle(self, sight: Sight) -> None:
        """End what an earlier run left open once this one would have found it, too, and say so:
        its last word would be the alarm, for ever.
        """
        if sight.stage != "ready":
            return
        self._ready_since = self._ready_since or sight.monotonic
        if not self._incidents.inherited:
            return
        if sight.monotonic - self._ready_since < 2 * self._limits.seconds_to_down:
            return
        world = self._desk.world
        for incident in self._incidents.settle(but=self._states.standings().keys()):
            alert = over_at_start(incident, sight, mode=world.word, is_mock=world.is_mock)
            self._hand_over(self._with_others(alert), incident)

    # telling

    def _changed(self, change: Change, sight: Sight) -> None:
        incident = self._kept(change, sight)
        if change.occasion is not None:
            self._tell(change, incident, sight)
        self.found.emit(change)

    def _kept(self, change: Change, sight: Sight) -> Incident | None:
        """Write the change into the book of incidents; return the incident as it is then."""
        book, finding = self._incidents, change.finding
        match change.occasion:
            case Occasion.BEGIN:
                again = change.after is Condition.FLAPPING
                return book.begin(
                    change.key,
                    finding.component,
                    finding.severity,
                    began=change.began,
                    cause=finding.what,
                    is_mock=self._desk.world.is_mock,
                    flaps=change.flaps if again else 0,
                    reopen=timedelta(seconds=self._limits.flap_window if again else 0),
                )
            case Occasion.ESCALATE:
                return book.worse(change.key, finding.severity)
            case Occasion.END:
                if change.why:
                    book.step(change.key, "stopped judging", change.why)
                book.alerted(change.key)  # while it lasts: afterwards nothing of it is counted
                missed = ticks_missed(change, sight.market)
                counted = change.before is Condition.FLAPPING and not change.present
                return book.end(change.key, change.ended, ticks_missed=None if counted else missed)
            case _:
                if change.after is not Condition.FLAPPING:
                    return book.of(change.key)
                gone = None if change.present else ticks_missed(change, sight.market)
                return book.flapped(change.key, change.flaps, ticks_missed=gone)

    def _tell(self, change: Change, incident: Incident | None, sight: Sight) -> None:
        world = self._desk.world
        alert = alert_of(change, incident, sight, mode=world.word, is_mock=world.is_mock)
        if change.occasion is Occasion.END:
            alert = self._with_others(alert)
        self._incidents.alerted(change.key)
        self._hand_over(alert, incident)

    def _with_others(self, alert: Alert) -> Alert:
        """Return the alert of an end with what else is wrong."""
        lasting = [s for s in self.standings() if s.condition in LASTING]
        down = [s.finding for s in lasting if s.present]
        unsteady = [s.finding for s in lasting if not s.present]
        return replace(alert, lines=(*alert.lines, others(down, unsteady)))

    def _hand_over(self, alert: Alert, incident: Incident | None) -> None:
        self._to_tell.append(Draft(alert, incident))
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._empty())

    async def _empty(self) -> None:
        while self._to_tell:
            drafts = [self._to_tell.popleft()]
            keys = {drafts[0].alert.key}
            while self._to_tell and self._to_tell[0].alert.key not in keys:
                keys.add(self._to_tell[0].alert.key)  # an end needs the number of its beginning
                drafts.append(self._to_tell.popleft())
            try:
                await self._teller.tell(drafts)
            except Exception:
                log.exception("%d alerts could not be told", len(drafts))


def _called(more: Callable[[], Iterable[Finding]]) -> str:
    return getattr(more, "__qualname__", type(more).__name__)


def _failure(name: str, words: str) -> Finding:
    return Finding(
        rule=FAILED,
        component=Component.PROCESS,
        severity=Severity.WARNING,
        what=f"a rule of the watch failed: {name}, {words}",
        meaning="What it looks for is not looked for; all other rules are",
        act="This is a fault of the desk itself: the log has the details",
        about=name,
    )


def ticks_missed(change: Change, feed: FeedSight) -> int | None:
    """Estimate the ticks that an outage of the market feed has cost; None where that says nothing.

    It is the rate while all was well, times the seconds without a price.
    """
    if change.finding.component is not Component.MARKET_FEED or feed.usual_rate is None:
        return None
    if change.finding.rule not in ("no_prices", "unreachable", "feed_refused"):
        return None
    lasted = change.finding.lasted
    return None if lasted is None else round(lasted * feed.usual_rate)


def readings(sight: Sight, standings: Iterable[Standing]) -> list[Reading]:
    """Return how each component is at this look, for its minutes."""
    down = {(s.finding.component, s.finding.about) for s in standings if s.condition in LASTING}
    components = {component for component, _ in down}
    rest = rest_sum(sight.rest.values())
    refused = (rest.last_failure_age is not None) and (
        rest.last_success_age is None or rest.last_success_age > rest.last_failure_age
    )
    found = [
        _feed_reading(Component.MARKET_FEED, sight.market, sight.limits, ""),
        *(
            _feed_reading(Component.PORTFOLIO, stream, sight.limits, stream.account)
            for stream in sight.streams
        ),
        Reading(Component.BOOKS, sight.market_open, up=Component.BOOKS not in components),
        Reading(
            Component.STORAGE,
            judged=True,
            up=sight.storage.state == "ok",
            messages=sight.storage.rows,
            errors=sight.storage.errors,
        ),
        *(Reading(each, judged=True, up=each not in components) for each in ALWAYS),
    ]
    if sight.rest:
        known = rest.calls > 0
        found.append(
            Reading(
                Component.REST,
                judged=sight.market_open and known,
                up=not refused,
                messages=rest.calls,
                errors=rest.failures,
            )
        )
    return found


def _feed_reading(component: Component, feed: FeedSight, limits: Thresholds, about: str) -> Reading:
    silent = feed.silence is not None and feed.silence >= limits.feed_silent
    stats = feed.stats
    return Reading(
        component,
        judged=feed.due,
        up=stats.state is FeedState.LIVE and not silent,
        messages=stats.ticks if component is Component.MARKET_FEED else stats.frames,
        errors=stats.decode_errors,
        about=about,
        size=sum(stats.subscribed.values()),
    )
