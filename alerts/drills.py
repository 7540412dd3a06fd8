"""Fire drills: trouble made on purpose at the simulated exchange, with a stopwatch beside it.

No drill sends an order. A fault is taken back when its time is over, when the drill is stopped,
and, if the desk itself is gone, by the exchange after a while.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from alerts.drill_eyes import Around, Feed
from alerts.drill_kinds import DRILLS, Drill, Need
from trading import chat
from trading.clock import Clock
from trading.errors import Denied, VigilError
from trading.health import Alert, ChannelHealth, DrillResult, Finding, Severity
from trading.health_ports import DrillJournal, Phone
from trading.model import Mode
from trading.ports import FeedState
from trading.signal import Signal

log = logging.getLogger(__name__)

FRESH: Final = 5.0  # seconds: an older last price says that no drill can be judged now
TRIES: Final = 3  # to take a fault back


class Faults(Protocol):
    """The simulated exchange's control routes."""

    async def set(self, name: str, **parameters: object) -> None: ...

    async def clear(self, name: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Times of a drill in seconds; `scale` multiplies those that each drill brings itself."""

    look: float = 0.05  # between two looks at the desk
    calm: float = 2.5  # without a finding, until it is over: as long as the all-clear takes
    settle: float = 15.0  # at most, for the all-clear and the phone
    # Two connections in a row that end within 10 s look like another client of the account.
    steady: float = 11.0
    scale: float = 1.0


def _nobody() -> Sequence[ChannelHealth]:
    return ()


@dataclass(frozen=True, slots=True)
class Scene:
    """The parts of the desk that drills look at.

    `stored` are alerts once they have their number. `phone` is the stand-in's, None where none is
    used; `renew` gets a new access token, None where nobody but a person can. `test_message` sends
    one through every channel. `replay`: the market is a recorded one.
    """

    simulated: bool
    feed: Feed
    wanted: Callable[[], Mapping[str, Mode]]
    findings: Callable[[], Sequence[Finding]]
    stored: Signal[Alert]
    streams: Sequence[Feed] = ()
    channels: Callable[[], Sequence[ChannelHealth]] = _nobody
    phone: Phone | None = None
    test_message: Callable[[str], Awaitable[None]] | None = None
    renew: Callable[[], Awaitable[None]] | None = None
    replay: bool = False


class FireDrills:
    """Implements `health_ports.Drills`; one drill at a time."""

    def __init__(
        self,
        clock: Clock,
        faults: Faults,
        scene: Scene,
        journal: DrillJournal,
        patience: Patience | None = None,
    ) -> None:
        self.changes: Signal[DrillResult] = Signal("drills")
        self._clock = clock
        self._faults = faults
        self._scene = scene
        self._journal = journal
        self._patience = patience or Patience()
        self._results: dict[str, DrillResult] = {}
        self._running: DrillResult | None = None
        self._course: _Course | None = None
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read the last run of each drill from the disk."""
        known = {name: _ended(result) for name, result in (await self._journal.drills()).items()}
        self._results = {**known, **self._results}

    def names(self) -> Sequence[tuple[str, str]]:
        return tuple((drill.name, drill.does) for drill in self._offered())

    def results(self) -> Mapping[str, DrillResult]:
        return dict(self._results)

    def running(self) -> DrillResult | None:
        return self._running

    async def start(self, name: str) -> None:
        """Begin a drill; raises Denied if one is under way, or if it could not be judged now."""
        drill = next((drill for drill in self._offered() if drill.name == name), None)
        self._admit(drill, name)
        assert drill is not None, "an unknown one is not admitted"
        course = _Course(
            drill, self._clock, self._faults, self._scene, self._patience, self._tell, self._keep
        )
        self._course = course
        self._tell(course.result)
        self._task = asyncio.get_running_loop().create_task(self._run(course), name="fire drill")

    async def stop(self) -> None:
        """End the drill that runs, if any; return when its fault is taken back."""
        if self._course is not None and self._task is not None:
            self._course.stopped = True
            await asyncio.wait((self._task,))

    def _admit(self, drill: Drill | None, name: str) -> None:
        if not self._scene.simulated:
            raise Denied("Fire drills are for the simulated exchange only. Nothing was done.")
        if drill is None:
            raise Denied(f"There is no drill called {name!r} here. Nothing was done.")
        if self._running is not None:
            raise Denied(
                f"The drill {self._running.drill!r} is still under way. Wait for its end, or stop "
                "it: two troubles at once could not be told apart."
            )
        stats = self._scene.feed.stats()
        if stats.state is not FeedState.LIVE or stats.tick_age is None or stats.tick_age > FRESH:
            raise Denied(
                f"No prices come at the moment (the feed is {stats.state}), so a drill would tell "
                "nothing. Wait until they do, or until the market opens."
            )

    def _offered(self) -> list[Drill]:
        return [drill for drill in DRILLS if self._has(drill.need)]

    def _has(self, need: Need | None) -> bool:
        scene = self._scene
        match need:
            case Need.LOGIN:
                return scene.renew is not None
            case Need.PHONE:
                return scene.phone is not None and scene.test_message is not None
            case Need.STREAMS:
                return bool(scene.streams)
            case Need.LIVE_MARKET:
                return not scene.replay
            case None:
                return True

    async def _run(self, course: "_Course") -> None:
        try:
            await course.run()
        except (_Stopped, asyncio.CancelledError):
            course.failed("stopped before its end")
        except VigilError as error:
            course.failed(str(error))
        except Exception:
            log.exception("the drill %s failed", course.result.drill)
            course.failed("it failed on its own account; the log says why")
        finally:
            await course.take_back()
            course.close()
            await self._end(course.result)

    async def _end(self, result: DrillResult) -> None:
        result = replace(result, ended=self._clock.now())
        self._results[result.drill] = result
        self._running = self._course = self._task = None
        log.info("drill %s: %s", result.drill, result.words or "passed")
        self.changes.emit(result)
        await self._keep(result)

    async def _keep(self, result: DrillResult) -> None:
        try:
            await self._journal.keep_drill(result)
        except VigilError as error:
            log.warning("the result of the drill %s is not stored: %s", result.drill, error)

    def _tell(self, result: DrillResult) -> None:
        self._running = result
        self.changes.emit(result)


class _Stopped(Exception):
    """Somebody wants the drill to end."""


@dataclass(slots=True)
class _Heard:
    """The alerts of one drill, and when the phone had the first of them."""

    names: set[str] = field(default_factory=set)
    count: int = 0
    first_at: float | None = None
    critical: bool = False
    told_at: float | None = None


class _Course:
    """One run: the fault, its detection, its end, the recovery, and what was told of it."""

    def __init__(
        self,
        drill: Drill,
        clock: Clock,
        faults: Faults,
        scene: Scene,
        patience: Patience,
        tell: Callable[[DrillResult], None],
        keep: Callable[[DrillResult], Awaitable[None]],
    ) -> None:
        self._drill, self._clock, self._faults = drill, clock, faults
        self._scene, self._patience, self._tell, self._keep = scene, patience, tell, keep
        around = Around(
            scene.feed, clock, scene.wanted, scene.streams, scene.channels, patience.scale
        )
        self._actions = list(drill.faults(around))
        self._eye = drill.eye(around)
        self._known = {finding.key for finding in scene.findings()}
        self._chat = {(m.number, m.text) for m in scene.phone.messages()} if scene.phone else set()
        self._heard = _Heard()
        self._found_at: float | None = None
        self._began = clock.monotonic()
        self._on = False
        self._says = drill.need is Need.PHONE
        self.stopped = False
        self.result = DrillResult(drill.name, clock.now(), words="waiting for steady connections")
        self._undo = scene.stored.subscribe(self._alerted)

    def close(self) -> None:
        self._eye.close()
        self._undo()

    async def run(self) -> None:
        """Go through the whole drill; what became of it is the result."""
        scale = self._patience.scale
        await self._until(self._is_steady, self._patience.steady)
        await self._make_trouble()
        if not await self._until(self._noticed, self._drill.within * scale):
            self.failed(f"nothing noticed it within {self._drill.within * scale:g} s")
            return
        self._say("noticed; the fault stays for a moment", detected_after=self._detected())
        await self._until(lambda: False, self._drill.holds * scale)
        await self._take_back()
        self._eye.expect()
        back = self._clock.monotonic()
        self._say("the exchange is well again; waiting for the desk")
        if self._drill.need is Need.LOGIN and self._scene.renew is not None:
            await self._scene.renew()
        if not await self._until(self._eye.well, self._drill.within * scale):
            self.failed(
                f"not recovered within {self._drill.within * scale:g} s: {self._eye.words()}"
            )
            return
        recovered = self._clock.monotonic()
        self._say(
            "recovered; waiting for the all-clear",
            recovered_after=recovered - self._began,
            ticks_lost=self._eye.lost(),
        )
        await self._settle()
        self._judge(recovered - back)

    def failed(self, words: str) -> None:
        self._say(words, good=False)

    async def take_back(self) -> None:
        """End the fault if it is still on; never raises."""
        for _ in range(TRIES):
            try:
                await self._take_back()
            except VigilError as error:
                trouble = str(error)
                await asyncio.sleep(self._patience.look)
            else:
                return
        self.failed(f"{self.result.words}; the fault ends by itself after a while ({trouble})")

    def _is_steady(self) -> bool:
        """Return whether every connection has stood long enough for one more to be broken."""
        now = self._clock.now()
        stats = [feed.stats() for feed in (self._scene.feed, *self._scene.streams)]
        return all((now - each.since).total_seconds() >= self._patience.steady for each in stats)

    async def _make_trouble(self) -> None:
        self._on = True
        scale = self._patience.scale
        lasts = (self._drill.within + self._drill.holds) * scale + self._patience.settle
        self._say("the fault is being made", began=self._clock.now())
        await self._keep(self.result)  # a desk that dies in a drill must know of it afterwards
        self._began = self._clock.monotonic()
        for name, parameters in self._actions:
            await self._faults.set(name, lasts=lasts, **parameters)
        self._say("the fault is on")
        if self._says and self._scene.test_message is not None:
            await self._scene.test_message("a fire drill")

    async def _take_back(self) -> None:
        if self._on:
            for name, _ in self._actions:
                await self._faults.clear(name)
            self._on = False

    async def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Look until it is true, or for so many seconds; return whether it is."""
        deadline = self._clock.monotonic() + seconds
        while not (reached := true()) and self._clock.monotonic() < deadline:
            if self.stopped:
                raise _Stopped
            await asyncio.sleep(self._patience.look)
            self._look()
        return reached

    def _look(self) -> None:
        self._eye.look()
        now = self._clock.monotonic()
        if self._found_at is None and self._findings():
            self._found_at = now
        if self._heard.told_at is None and self._on_the_phone():
            self._heard.told_at = now
            self._say(self.result.words, told_after=now - self._began)

    def _noticed(self) -> bool:
        self._look()
        return self._detected() is not None

    def _detected(self) -> float | None:
        """Return the seconds until the first sign: a state, a finding, or an alert."""
        others = () if self._drill.own_sign else (self._found_at, self._heard.first_at)
        signs = (self._eye.noticed_at, *others)
        seen = [at for at in signs if at is not None]
        return max(0.0, min(seen) - self._began) if seen else None

    def _findings(self) -> list[Finding]:
        """Return what is wrong now, belongs to this drill, and was not wrong before."""
        return [
            finding
            for finding in self._scene.findings()
            if finding.component in self._drill.components and finding.key not in self._known
        ]

    def _alerted(self, alert: Alert) -> None:
        if alert.component not in self._drill.components and not self._says:
            return
        heard = self._heard
        heard.count += 1
        heard.names.add(alert.name)
        heard.critical |= alert.severity is Severity.CRITICAL
        if heard.first_at is None and not self._says:
            heard.first_at = self._clock.monotonic()
        self._say(self.result.words, alerts_sent=heard.count)

    def _on_the_phone(self) -> bool:
        phone = self._scene.phone
        if phone is None or not self._heard.names:
            return False
        new = [m for m in phone.messages() if m.from_bot and (m.number, m.text) not in self._chat]
        names = "|".join(sorted(self._heard.names))
        return any(re.search(rf"\b(?:{names})\b", chat.words(message.text)) for message in new)

    async def _settle(self) -> None:
        """Wait for the all-clear and the phone, but not for ever: some findings take minutes."""
        calm_since = self._clock.monotonic()

        def settled() -> bool:
            nonlocal calm_since
            now = self._clock.monotonic()
            if self._findings():
                calm_since = now
            return now - calm_since >= self._patience.calm and not self._untold()

        await self._until(settled, self._patience.settle)

    def _untold(self) -> bool:
        waits = self._scene.phone is not None and bool(self._heard.names)
        return waits and self._heard.told_at is None

    def _judge(self, after: float) -> None:
        if self._untold() and (self._heard.critical or self._says):
            self.failed(f"the phone had nothing within {self._patience.settle:g} s")
            return
        words = f"recovered {after:.1f} s after the exchange was well again"
        if self._untold():
            words += "; the phone was not told: quiet hours, a mute, a storm, or too short to tell"
        if rest := self._findings():
            words += f"; still to pass: {rest[0].what}"
        self._say(words, good=True)

    def _say(self, words: str, **changes: object) -> None:
        self.result = replace(self.result, words=words, **changes)  # type: ignore[arg-type]
        self._tell(self.result)


def _ended(result: DrillResult) -> DrillResult:
    """Return a run as it is known after a start: none of them goes on."""
    if result.ended is not None:
        return result
    words = "interrupted: the desk stopped while it ran"
    return replace(result, ended=result.began, good=False, words=words)


async def no_login() -> None:
    """Be the `renew` of a desk that logs in by itself, as it does at its own exchange."""
