"""Does something about what the monitor found, one step at a time, and says so in the incident."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from alerts import ladders
from alerts.feed_story import Book, FeedStory
from alerts.incidents import UNDER_WAY, WITHOUT_IT
from alerts.ladders import Matter, Remedy, Step, Taken, Trouble
from alerts.words import count
from trading.broker import PortfolioFeed
from trading.clock import Clock
from trading.desk import Desk
from trading.health import Component, Finding, Incident, Severity
from trading.model import segment_of
from trading.ports import FeedChange, FeedState, MarketFeed
from trading.signal import Signal
from trading.trust import STALE_AFTER

log = logging.getLogger(__name__)

PROOF_EVERY: Final = 0.25  # seconds between two looks for a proof
REMEMBERED: Final = 50  # steps against one target, so that they cannot become a storm
# where nothing can be tried that is not being tried already
BY_ITSELF: Final = {
    Component.STORAGE: "it is tried again every second, nothing is lost meanwhile but ticks",
    Component.PHONE: "messages are kept and sent as soon as it answers",
    Component.CHANNELS: "messages are kept and sent as soon as it answers",
    Component.REST: "each call is tried again in its own rhythm",
    Component.JOBS: "a late job runs as soon as it can",
}


class Incidents(Protocol):
    """What is needed of `incidents.IncidentBook`."""

    def open(self) -> Sequence[Incident]: ...

    def of(self, key: str) -> Incident | None: ...

    def step(self, key: str, what: str, result: str) -> None: ...


class Findings(Protocol):
    """What is needed of `monitor.Monitor`."""

    found: Signal[Any]

    def findings(self) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A step whose proof is awaited; `connections` is the feed's count when it was taken."""

    step: Step
    what: str
    at: float
    incident: str
    connections: int = 0


@dataclass(slots=True)
class _Case:
    """One target's trouble from its beginning to its end, and what was tried."""

    trouble: Trouble
    proof: float | None = None
    awaited: _Awaited | None = None
    given_up: bool = False


class Recovery:
    """Owns what was tried. The feeds own their connections: it asks, and only where they rest.

    A trouble is tried against once it is an incident. `look` is a job of every half minute; a
    finding wakes it at once, and while a proof is awaited it looks four times a second.
    """

    def __init__(self, desk: Desk, monitor: Findings, incidents: Incidents, clock: Clock) -> None:
        self._desk = desk
        self._monitor = monitor
        self._incidents = incidents
        self._clock = clock
        self._cases: dict[str, _Case] = {}
        self._history: dict[str, deque[Taken]] = {}
        self._told: set[str] = set()  # incidents of which it was said that nothing can be tried
        self._task: asyncio.Task[None] | None = None
        self._stories: dict[str, FeedStory] = {}
        self._undo = [monitor.found.subscribe(lambda _: self._wake())]
        feeds: list[MarketFeed | PortfolioFeed] = [desk.feed, *desk.portfolio_feeds.values()]
        for feed in feeds:
            self._stories[feed.name] = FeedStory(clock, proof=_proof_of(feed is desk.feed))
            self._undo.append(feed.changes.subscribe(self._follower(feed.name)))

    def stop(self) -> None:
        for undo in self._undo:
            undo()
        if self._task is not None:
            self._task.cancel()

    # what pages show

    def status(self) -> str:
        """Say in words what is being tried: `step 2 of 4: reconnect, waiting for a price`."""
        for target, case in self._cases.items():
            if case.awaited is not None:
                step = case.awaited.step
                proof = _proof_word(step.remedy, is_market=self._is_market(target))
                return f"step {step.number} of {step.of}: {step.remedy}, waiting for a {proof}"
        given_up = [case.trouble.matter for case in self._cases.values() if case.given_up]
        if given_up:
            if all(matter is Matter.BOOKS for matter in given_up):
                return "given up, a person is needed; the books are read again all the while"
            return "given up, a person is needed; tried again every 5 minutes"
        return "watching" if self._cases else "idle"

    def findings(self) -> list[Finding]:
        """Return what could not be mended, for the monitor to tell."""
        return [_beyond_us(case.trouble) for case in self._cases.values() if case.given_up]

    # the work

    async def look(self) -> None:
        """Settle what was awaited and take what is due; costs nothing while all is well."""
        now = self._clock.monotonic()
        found = [f for f in self._monitor.findings() if self._incidents.of(f.key) is not None]
        self._say_what_is_not_ours(found)
        troubles = {trouble.target: trouble for trouble in self._troubles(found, now)}
        for target in [target for target in self._cases if target not in troubles]:
            self._settle(self._cases.pop(target), now, over=True)
        for target, trouble in troubles.items():
            case = self._cases.setdefault(target, _Case(trouble))
            same = case.trouble.matter is trouble.matter
            case.given_up &= same and ladders.applies(Remedy.TELL, trouble)
            case.trouble = replace(trouble, since=case.trouble.since)
            self._settle(case, now, over=False)
            taken = self._history.setdefault(target, deque(maxlen=REMEMBERED))
            step = ladders.next_step(case.trouble, tuple(taken), now, case.proof)
            if step is not None and (incident := self._incident_of(target)):
                taken.append(Taken(step.remedy, now))
                self._take(case, step, now, incident)

    def _wake(self) -> None:
        for name, story in self._stories.items():
            if incident := self._incident_of(name):
                story.catch_up(self._writer(incident))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._hurry())

    async def _hurry(self) -> None:
        """Look now, and again and again while a proof is awaited."""
        try:
            await self.look()
            while any(case.awaited for case in self._cases.values()):
                await asyncio.sleep(PROOF_EVERY)
                await self.look()
        except Exception:  # the job of every half minute goes on
            log.exception("recovery: a step was not understood")

    # what is wrong, by the facts

    def _troubles(self, found: Sequence[Finding], now: float) -> Iterable[Trouble]:
        if any(finding.component is Component.MARKET_FEED for finding in found):
            trouble = self._prices(found, now)
            if trouble is not None:
                yield trouble
        for finding in found:
            if finding.component is Component.PORTFOLIO:
                yield from self._stream(finding.about, now)
            elif finding.component is Component.BOOKS and finding.about in self._every_account():
                yield Trouble(f"books of {finding.about}", Matter.BOOKS, now)

    def _prices(self, found: Sequence[Finding], now: float) -> Trouble | None:
        desk, stats = self._desk, self._desk.feed.stats()
        wanted = [key for key in desk.subscriptions.wanted().modes if self._trades(key)]
        heard = desk.market_data.heard_age()
        if not wanted:
            return None
        held = tuple(key for key in wanted if key in desk.marks.wanted())
        if heard is None or heard > STALE_AFTER:
            quiet = stats.quiet_age is not None and (heard is None or stats.quiet_age < heard)
            return Trouble(
                desk.feed.name, Matter.SILENT, now, state=stats.state, held=held, quiet=quiet
            )
        feed = [f for f in found if f.component is Component.MARKET_FEED]
        named = {key for finding in feed for key in finding.instruments}
        missing = tuple(k for k in wanted if k in named | {*stats.missing} and self._is_old(k, now))
        if not missing:
            return None
        return Trouble(
            desk.feed.name,
            Matter.MISSING,
            now,
            state=stats.state,
            missing=missing,
            unserved=tuple(k for k in missing if k in stats.missing or self._is_overtaken(k)),
            held=tuple(key for key in missing if key in held),
        )

    def _stream(self, account: str, now: float) -> Iterable[Trouble]:
        feed = self._desk.portfolio_feeds.get(account)
        if feed is not None and (state := feed.stats().state) is not FeedState.LIVE:
            yield Trouble(feed.name, Matter.STREAM, now, state=state)

    def _trades(self, instrument_key: str) -> bool:
        return self._desk.hours.is_open(segment_of(instrument_key), self._clock.now())

    def _is_overtaken(self, instrument_key: str) -> bool:
        """Say whether the broker's quote shows a later trade than the feed has told."""
        mark = self._desk.marks.of(instrument_key)
        tick = self._desk.market_data.last(instrument_key)
        if mark is None or mark.source != "R" or tick is None:
            return False
        return mark.ltt - tick.ltt > STALE_AFTER * 1000

    def _is_old(self, instrument_key: str, now: float) -> bool:
        return not self._priced_since(instrument_key, now - STALE_AFTER, now)

    def _priced_since(self, instrument_key: str, moment: float, now: float) -> bool:
        age = self._desk.market_data.price_age(instrument_key)
        return age is not None and now - age > moment

    # steps and their proofs

    def _take(self, case: _Case, step: Step, now: float, incident: Incident) -> None:
        trouble, desk = case.trouble, self._desk
        what = _what(step.remedy, trouble)
        connections = 0
        if step.remedy is Remedy.TELL:
            case.given_up = True  # until it is over, whatever is tried once more meanwhile
            log.warning("recovery: given up: %s: %s", trouble.target, trouble.matter)
            self._incidents.step(incident.key, what, "a person is needed")
            return
        self._incidents.step(incident.key, what, UNDER_WAY)
        log.info("recovery: %s: %s", trouble.target, what)
        match step.remedy:
            case Remedy.ASK_AGAIN:
                desk.feed.ask_again(trouble.missing)
            case Remedy.RECONNECT | Remedy.AUTHORISE:
                feed = self._feed(trouble.target)
                connections = feed.stats().connections
                feed.reconnect(f"the recovery wants it: {trouble.matter}")
            case Remedy.READ_BOOKS:
                desk.cycle.hint(self._account(trouble.target))
        case.awaited = _Awaited(step, what, now, incident.key, connections)

    def _settle(self, case: _Case, now: float, *, over: bool) -> None:
        """Write what became of the step under way, once that is known or its time is up."""
        awaited = case.awaited
        if awaited is None:
            return
        took = now - awaited.at
        if proof := self._proof(case.trouble, awaited, now):
            self._incidents.step(awaited.incident, awaited.what, f"{proof} after {took:.1f} s")
            case.awaited, case.proof = None, now
            if ladders.bridges(awaited.step.remedy, case.trouble.matter):
                case.given_up = False  # what other remedies mend is over, and its case with it
        elif over or took >= awaited.step.patience:
            is_market = self._is_market(case.trouble.target)
            proof = _proof_word(awaited.step.remedy, is_market=is_market)
            result = WITHOUT_IT if over else f"no {proof} within {took:.0f} s"
            self._incidents.step(awaited.incident, awaited.what, result)
            case.awaited = None

    def _proof(self, trouble: Trouble, awaited: _Awaited, now: float) -> str:
        """Return in words what has proven that the step helped, empty if nothing has yet."""
        desk, since = self._desk, awaited.at
        match awaited.step.remedy:
            case Remedy.ASK_AGAIN:
                came = all(self._priced_since(key, since, now) for key in trouble.missing)
                return f"a price of {'each' if trouble.missing[1:] else 'it'}" if came else ""
            case Remedy.POLL:
                marks = [desk.marks.of(key) for key in trouble.held]
                ages = [mark.age for mark in marks if mark is not None]
                every = len(ages) == len(marks)
                return f"quotes, the oldest {max(ages):.1f} s old," if every and ages else ""
            case Remedy.READ_BOOKS:
                account = self._account(trouble.target)
                age = desk.cycle.confirmed_age(account)
                read = age is not None and age < now - since
                agrees = trouble.matter is not Matter.BOOKS or not desk.positions.differs(account)
                return "the books were read" if read and agrees else ""
            case _:
                stats = self._feed(trouble.target).stats()
                anew = stats.connections > awaited.connections
                live = stats.state is FeedState.LIVE
                return _proof_of(self._is_market(trouble.target)) if anew and live else ""

    def _is_market(self, target: str) -> bool:
        return target == self._desk.feed.name

    def _feed(self, name: str) -> MarketFeed | PortfolioFeed:
        streams = {feed.name: feed for feed in self._desk.portfolio_feeds.values()}
        return streams.get(name, self._desk.feed)

    def _every_account(self) -> list[str]:
        return [state.account.id for state in self._desk.accounts.all()]

    def _account(self, target: str) -> str:
        """Return the account that a stream or books belong to."""
        streams = {feed.name: name for name, feed in self._desk.portfolio_feeds.items()}
        return streams.get(target, target.removeprefix("books of "))

    # incidents

    def _incident_of(self, target: str) -> Incident | None:
        """Return the open incident in which steps against this target are told."""
        market, account = self._is_market(target), self._account(target)
        component = Component.PORTFOLIO if target in self._stories else Component.BOOKS

        def concerns(incident: Incident) -> bool:
            if market:
                return incident.component is Component.MARKET_FEED
            about = incident.key.partition(" ")[2]
            return incident.component is component and about == account

        def order(incident: Incident) -> tuple[int, Any]:
            return (-incident.severity, incident.began)

        return min(filter(concerns, self._incidents.open()), key=order, default=None)

    def _writer(self, incident: Incident) -> Book:
        return lambda what, result: self._incidents.step(incident.key, what, result)

    def _say_what_is_not_ours(self, found: Sequence[Finding]) -> None:
        self._told &= {finding.key for finding in found}
        for finding in found:
            words = BY_ITSELF.get(finding.component)
            if words and finding.key not in self._told:
                self._told.add(finding.key)
                self._incidents.step(finding.key, "nothing to be tried by the desk", words)

    def _follower(self, name: str) -> Callable[[FeedChange], None]:
        def follow(change: FeedChange) -> None:
            incident = self._incident_of(name)
            self._stories[name].on_change(change, self._writer(incident) if incident else None)

        return follow


def _what(remedy: Remedy, trouble: Trouble) -> str:
    match remedy:
        case Remedy.ASK_AGAIN:
            return f"ask again for {count(len(trouble.missing), 'instrument')}"
        case Remedy.POLL:
            return f"poll quotes of {count(len(trouble.held), 'held instrument')}"
        case _:
            return str(remedy)


def _proof_word(remedy: Remedy, *, is_market: bool) -> str:
    match remedy:
        case Remedy.READ_BOOKS:
            return "reading of the books"
        case Remedy.POLL:
            return "quote of each"
        case _:
            return "price" if is_market else "connection that is up to date"


def _proof_of(is_market: bool) -> str:
    return "a price" if is_market else "connected and read"


def _beyond_us(trouble: Trouble) -> Finding:
    severity = Severity.CRITICAL if trouble.held else Severity.WARNING
    meaning = "what is shown of it stays old until it comes back"
    if trouble.matter is Matter.BOOKS:
        meaning = "you may hold something else than is shown; they are read again all the while"
    return Finding(
        rule="recovery",
        component=Component.RECOVERY,
        severity=severity,
        what=f"{trouble.target}: {trouble.matter}, and all that can be tried was tried",
        meaning=meaning,
        act="Look at the broker's status page, and use the broker's own app for open positions",
        about=trouble.target,
        at_once=True,
    )
