"""The outbox on its way: one courier for each channel, so that a slow one delays nobody.

A letter is claimed on the disk before it is sent and settled after it: at least once, in order,
and after a crash once more at most. What is critical goes out although the disk refuses it.
"""

import asyncio
import contextlib
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from alerts.digest import Parcel, Plan, plan
from alerts.resting import Sleep, rest
from alerts.routing import may_edit
from alerts.telling import Teller
from trading.clock import Clock
from trading.errors import BadRequest, RateLimited, Refused, Retryable, Unanswered, VigilError
from trading.health import Alert, ChannelHealth, Severity
from trading.health_ports import AlertJournal, Channel, Letter, LetterState, News

log = logging.getLogger(__name__)

IDLE: Final = 5.0  # seconds; what was held becomes due without anybody saying so
MOST: Final = 50  # letters of one look; all of them if some are to be folded
ALL: Final = 5_000
ANSWER: Final = 60.0  # seconds that a channel may take, whatever it promises
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds after failures, doubled
HURRIED: Final = 5.0  # seconds; what is critical does not wait longer for a network
REFUSED_WAIT: Final = 600.0
STORM_WINDOW: Final = 600.0
OWN_FAILURES: Final = 3  # of a letter, before it is parked
OWN_WAIT: Final = timedelta(seconds=10)  # for a letter that failed by itself; others overtake it
FAREWELL: Final = 2.0  # seconds at a stop, for what is being sent

TWICE: Final = "sent twice without an answer: it may have arrived"


@dataclass(slots=True)
class _Counts:
    queued: int = 0
    sent: int = 0
    retried: int = 0
    parked: int = 0
    last_sent: datetime | None = None
    last_ms: float | None = None


class Courier:
    """Empties the queue of one channel, one letter after the other."""

    def __init__(
        self,
        channel: Channel,
        *,
        clock: Clock,
        journal: AlertJournal,
        is_person: bool,
        storm: int,
        sleep: Sleep,
        chance: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._journal = journal
        self._is_person = is_person
        self._storm = storm
        self._sleep = sleep
        self._chance = chance
        self._woken = asyncio.Event()
        self._stopping = False
        self._counts = _Counts()
        self._counted_at = -1.0
        self._state, self._reason = "ok", ""
        self._blocked_until = 0.0  # monotonic
        self._may_hurry = False
        self._next_send = 0.0
        self._tries = 0
        self._failures: dict[int, int] = {}
        self._unanswered: set[int] = set()
        self._loose: deque[Letter] = deque(maxlen=MOST)  # critical, and on no disk yet
        self._called_out = 0
        self._told: OrderedDict[str, str] = OrderedDict()  # of those, where they stand
        self._owed: list[Letter] = []  # what became of letters, while the disk refuses it
        self._recent: deque[tuple[float, Severity]] = deque()  # when a person got a message
        self._storm_told = -STORM_WINDOW

    @property
    def name(self) -> str:
        return self._channel.name

    def health(self) -> ChannelHealth:
        now, counts = self._clock.monotonic(), self._counts
        waits = self._blocked_until - now
        return ChannelHealth(
            self.name,
            self._state,
            self._reason,
            queued=counts.queued,
            sent=counts.sent,
            retried=counts.retried,
            parked=counts.parked,
            last_sent=counts.last_sent,
            last_ms=counts.last_ms,
            next_attempt=self._clock.now() + timedelta(seconds=waits) if waits > 0 else None,
        )

    def wake(self, *, critical: bool) -> None:
        if critical and self._may_hurry:
            soon = self._clock.monotonic() + HURRIED
            self._blocked_until = min(self._blocked_until, soon)
        self._woken.set()

    def retry(self) -> None:
        """Try now, whatever was refused before: somebody has mended it."""
        self._blocked_until = 0.0
        self._woken.set()

    def call_out(self, alert: Alert) -> None:
        """Send what is critical although no disk has it; told again only if that fails."""
        self._called_out += 1
        now = self._clock.now()
        self._loose.append(
            Letter(-self._called_out, self.name, alert, now, False, LetterState.QUEUED)
        )
        self.wake(critical=True)

    def end(self) -> None:
        """Stop after what is being sent."""
        self._stopping = True
        self._woken.set()

    async def close(self) -> None:
        await self._channel.close()

    async def run(self) -> None:
        resumed = False
        while not self._stopping:
            try:
                resumed = resumed or await self._resume()
                pause = await self._step()
            except VigilError as error:  # the disk; a channel's errors do not come up to here
                log.warning("%s: the queue cannot be read or written: %s", self.name, error)
                pause = IDLE
            except Exception:
                log.exception("%s: the courier stumbled", self.name)
                pause = IDLE
            if pause > 0 and not self._stopping:
                await rest(pause, self._woken, self._sleep)

    async def _resume(self) -> bool:
        """Queue again what was being sent when the desk died: it may come twice."""
        found = await self._journal.unsettled(self.name)
        words = "the desk stopped while it was sent: it may come twice"
        if found:
            await self._journal.settle(
                [replace(m, state=LetterState.QUEUED, error=words) for m in found]
            )
        return True

    async def _step(self) -> float:
        """Do the next thing; return for how many seconds there is nothing to do."""
        if self._loose:
            return await self._call_out()
        await self._pay()
        await self._count()
        now = self._clock.monotonic()
        wait = max(self._next_send, self._blocked_until) - now
        if wait > 0:
            return wait
        chosen = await self._choose()
        if chosen.parcel is None:
            return IDLE
        if chosen.is_storm:
            self._storm_told = now
        await self._deliver(chosen.parcel, chosen.superseded)
        return 0.0

    async def _call_out(self) -> float:
        """Send the oldest of what the disk does not take: it might never, and nobody would know."""
        wait = max(self._next_send, self._blocked_until) - self._clock.monotonic()
        if wait > 0:
            return wait
        letter = self._loose[0]
        outcome = await self._attempt(letter)
        self._next_send = self._clock.monotonic() + self._channel.every
        if isinstance(outcome, str):
            self._told[_identity(letter.alert)] = outcome
            while len(self._told) > MOST:
                self._told.popitem(last=False)
        elif isinstance(outcome, RateLimited | Retryable):
            seconds = outcome.retry_after if isinstance(outcome, RateLimited) else self._backoff()
            self._block("waiting", outcome, seconds, may_hurry=True)
            return 0.0  # it is tried again
        else:
            if isinstance(outcome, Refused):
                self._block("down", outcome, REFUSED_WAIT)
            log.warning("%s: %s waits for the disk: %s", self.name, letter.alert.title, outcome)
        if self._loose and self._loose[0] is letter:
            self._loose.popleft()
        return 0.0

    async def _count(self) -> None:
        now = self._clock.monotonic()
        if now - self._counted_at >= 1.0:
            self._counted_at = now
            self._counts.queued = await self._journal.waiting(self.name)

    async def _choose(self) -> Plan:
        now = self._clock.now()
        due = await self._journal.due(self.name, now, most=MOST)
        if not due:
            return Plan()
        if not self._is_person:
            return Plan(Parcel(due[0], (due[0],)))
        chosen = self._planned(due, now)
        if len(due) == MOST and chosen.parcel is not None and chosen.parcel.is_digest:
            chosen = self._planned(await self._journal.due(self.name, now, most=ALL), now)
        return chosen

    def _planned(self, due: Sequence[Letter], now: datetime) -> Plan:
        monotonic = self._clock.monotonic()
        while self._recent and monotonic - self._recent[0][0] >= STORM_WINDOW:
            self._recent.popleft()
        return plan(
            due,
            now,
            room=[s for s in Severity if sum(told is s for _, told in self._recent) < self._storm],
            storm_line=monotonic - self._storm_told >= STORM_WINDOW,
        )

    # sending

    async def _deliver(self, parcel: Parcel, superseded: Sequence[Letter]) -> None:
        if not await self._journal.claim(parcel.covers[-1].number):
            return
        letter = parcel.letter
        if not (self._channel.edits and may_edit(letter)):
            letter = replace(letter, edits="")
        began = self._clock.monotonic()
        told = self._told.pop(_identity(letter.alert), None)  # before the disk had it
        outcome = await self._attempt(letter) if told is None else told
        now = self._clock.monotonic()
        self._next_send = now + self._channel.every
        if isinstance(outcome, str):
            self._delivered(parcel, letter, outcome, 1000 * (now - began))
            # only now: a digest of a long absence tells of both ends
            words = "a later message tells of it"
            self._owed += [replace(m, state=LetterState.FOLDED, error=words) for m in superseded]
        else:
            self._missed(parcel, outcome)
        await self._pay()

    async def _attempt(self, letter: Letter) -> str | Exception:
        """Return the reference of what was delivered, or why it was not."""
        try:
            async with asyncio.timeout(ANSWER):
                return await self._channel.send(letter)
        except TimeoutError:
            return Unanswered(f"no answer within {ANSWER:.0f} s")
        except VigilError as error:
            return error
        except Exception as error:  # its own fault: counted against this letter alone
            log.exception("%s: letter %d failed", self.name, letter.number)
            return error

    def _delivered(self, parcel: Parcel, letter: Letter, reference: str, took: float) -> None:
        if self._state != "ok":
            log.info("%s: %s -> ok", self.name, self._state)
        self._state, self._reason, self._tries, self._may_hurry = "ok", "", 0, False
        self._blocked_until = 0.0
        now = self._clock.now()
        state = LetterState.FOLDED if parcel.is_digest else LetterState.SENT
        own = "" if parcel.is_digest else reference  # nobody may edit a digest
        self._owed += [
            replace(
                m,
                state=state,
                attempts=m.attempts + 1,
                error="",
                sent=now,
                took_ms=took,
                reference=own,
            )
            for m in parcel.covers
        ]
        self._forget(parcel.covers)
        self._counts.sent += len(parcel.covers)
        self._counts.last_sent, self._counts.last_ms = now, took
        if not letter.edits and letter.alert.severity < Severity.CRITICAL:
            self._recent.append((self._clock.monotonic(), letter.alert.severity))

    def _missed(self, parcel: Parcel, error: Exception) -> None:
        covers = parcel.covers
        match error:
            case RateLimited():
                self._block("waiting", error, error.retry_after)
                self._again(covers, error)
            case Unanswered():
                self._block("waiting", error, self._backoff(), may_hurry=True)
                once = [m for m in covers if m.number not in self._unanswered]
                self._park([m for m in covers if m.number in self._unanswered], TWICE)
                self._again(once, error)
                self._unanswered |= {m.number for m in once}
            case Retryable():
                self._block("waiting", error, self._backoff(), may_hurry=True)
                self._again(covers, error)
            case Refused():
                self._block("down", error, REFUSED_WAIT)
                self._again(covers, error)
            case BadRequest():
                self._park(covers, str(error))
            case _:
                self._failed(covers, error)

    def _failed(self, covers: Sequence[Letter], error: Exception) -> None:
        """Count an error that no channel should raise against these letters alone."""
        for letter in covers:
            self._failures[letter.number] = self._failures.get(letter.number, 0) + 1
        later = self._clock.now() + OWN_WAIT
        rest = [m for m in covers if self._failures[m.number] < OWN_FAILURES]
        given_up = [m for m in covers if self._failures[m.number] >= OWN_FAILURES]
        self._again([replace(m, not_before=later) for m in rest], error)
        self._park(given_up, f"failed {OWN_FAILURES} times: {error}")

    def _block(
        self, state: str, error: Exception, seconds: float, *, may_hurry: bool = False
    ) -> None:
        words = str(error) or type(error).__name__
        if (state, words) != (self._state, self._reason):
            log.warning("%s: %s -> %s, %s", self.name, self._state, state, words)
        self._state, self._reason = state, words
        self._may_hurry = may_hurry
        self._blocked_until = self._clock.monotonic() + seconds

    def _backoff(self) -> float:
        """Return seconds: twice the last, a random part of them taken off."""
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return longest * (1 - self._chance() / 2) if self._tries > 1 else longest

    def _again(self, letters: Sequence[Letter], error: Exception) -> None:
        self._counts.retried += len(letters)
        self._owed += [
            replace(m, state=LetterState.QUEUED, attempts=m.attempts + 1, error=str(error))
            for m in letters
        ]

    def _park(self, letters: Sequence[Letter], words: str) -> None:
        for letter in letters:
            log.warning("%s: %s is parked: %s", self.name, letter.alert.name, words)
        self._counts.parked += len(letters)
        self._forget(letters)
        self._owed += [
            replace(m, state=LetterState.PARKED, attempts=m.attempts + 1, error=words)
            for m in letters
        ]

    def _forget(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._failures.pop(letter.number, None)
            self._unanswered.discard(letter.number)

    async def _pay(self) -> None:
        """Write what became of letters; what the disk does not take is kept and written later."""
        if self._owed:
            owed = list(self._owed)
            await self._journal.settle(owed)
            del self._owed[: len(owed)]


def _identity(alert: Alert) -> str:
    """Return what an alert is known by before and after it has a number."""
    return alert.once or f"{alert.key} {alert.occasion} {alert.title}"


class Dispatcher:
    """Owns the couriers; woken by every alert that the disk has taken."""

    def __init__(
        self,
        clock: Clock,
        journal: AlertJournal,
        channels: Sequence[Channel],
        teller: Teller,
        *,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        routes = teller.routes
        self._teller = teller
        self._couriers = [
            Courier(
                channel,
                clock=clock,
                journal=journal,
                is_person=routes.way(channel.name).person,
                storm=routes.storm,
                sleep=sleep,
                chance=chance,
            )
            for channel in channels
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        self._undo = [
            self._teller.stored.subscribe(self._on_stored),
            self._teller.refused.subscribe(self._on_refused),
        ]
        self._tasks = [
            asyncio.create_task(courier.run(), name=f"courier {courier.name}")
            for courier in self._couriers
        ]

    async def stop(self) -> None:
        """Let what is being sent end, within two seconds; what waits is on the disk."""
        for undo in self._undo:
            undo()
        for courier in self._couriers:
            courier.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FAREWELL)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await asyncio.gather(*(c.close() for c in self._couriers), return_exceptions=True)

    def wake(self, *, critical: bool = False) -> None:
        """Have all couriers look at their queues now."""
        for courier in self._couriers:
            courier.wake(critical=critical)

    def retry(self, channel: str) -> None:
        """Have a channel that was refused try at once: a phone was paired, a token was given."""
        for courier in self._couriers:
            if courier.name == channel:
                courier.retry()

    def health(self) -> Sequence[ChannelHealth]:
        return [courier.health() for courier in self._couriers]

    def _on_refused(self, news: News) -> None:
        ways = {post.channel for post in news.posts}
        for courier in self._couriers:
            if courier.name in ways:
                courier.call_out(news.alert)

    def _on_stored(self, alert: Alert) -> None:
        self.wake(critical=alert.severity is Severity.CRITICAL)
