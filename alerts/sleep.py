"""Has this machine slept? Then nothing that it knows is as new as it looks.

In a sleep the monotonic clock, by which all ages are counted, stands still: prices of ten minutes
ago look seconds old (fault H01). The wall clock tells, for it goes on.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from apscheduler.schedulers.base import BaseScheduler

from alerts.words import duration
from trading.broker import PortfolioFeed
from trading.desk import Desk
from trading.health import Component, Finding, Severity
from trading.marks import Marks
from trading.model import Tick, segment_of
from trading.order import OrderRequest
from trading.ports import FeedState, MarketFeed
from trading.signal import Signal

log = logging.getLogger(__name__)

LEAP: Final = 5.0  # seconds that the wall clock goes further than the monotonic one
EVERY: Final = 0.5  # seconds between two looks at the clocks
PROVE: Final = 0.4  # seconds in which the exchange may show that no time has passed
NOT_ASKED: Final = (FeedState.STOPPED, FeedState.REFUSED)  # a new connection would not help these


@dataclass(frozen=True, slots=True)
class Look:
    """Both clocks of this machine at one moment."""

    wall: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A sleep that is suspected; moments are monotonic.

    `known` is the last price of before, by which the exchange's own clock is compared. `acted` is
    when the feeds were connected anew, None while it may still turn out that the clock was set.
    """

    seconds: float
    since: float
    known: Tick | None
    acted: float | None = None


def leapt(before: Look, now: Look) -> float:
    """Return the seconds that the wall clock went further; less than 0 if it was set back."""
    return (now.wall - before.wall).total_seconds() - (now.monotonic - before.monotonic)


def in_step(before: Tick, now: Tick) -> bool:
    """Say whether the exchange's clock went as far as our monotonic one: then nobody slept."""
    if before.exchange_ts <= 0 or now.exchange_ts <= 0:
        return False
    told = (now.exchange_ts - before.exchange_ts) / 1000
    return abs(told - (now.received - before.received)) < LEAP


def follow_clock(scheduler: BaseScheduler, leap: float) -> None:
    """Have jobs run on after the wall clock was set back, by which the scheduler plans them.

    Else none of them would run for an hour if it was an hour (fault H02). Set forward, or after a
    sleep, each is due at once and runs once.
    """
    if leap >= 0:
        return
    for job in scheduler.get_jobs():
        if job.next_run_time is not None:
            job.modify(next_run_time=job.next_run_time + timedelta(seconds=leap))


class SleepWatch:
    """Owns the suspicion: prices are believed again, and entries taken, only after the proof.

    A clock that was set looks the same at first. If prices go on meanwhile, with times of the
    exchange that went no further than our own seconds, nothing is reconnected (fault H02).
    """

    def __init__(
        self, desk: Desk, *, wall: Callable[[], datetime], marks: Sequence[Marks] = ()
    ) -> None:
        """`wall` is this machine's clock, whatever the desk's is; `marks` are others to forget."""
        self.leaps: Signal[float] = Signal("leaps of the clock")  # seconds, told at once
        self.sleeps = 0  # since the start
        self._desk = desk
        self._wall = wall
        self._marks = (desk.marks, *marks)
        self._look: Look | None = None
        self._newest: Tick | None = None  # as of the look before
        self._doubt: _Doubt | None = None

    async def run(self) -> None:
        """Look every half second, for ever; no job, since jobs rest when the clock is set back."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("the clocks could not be compared")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Compare the clocks."""
        now = Look(self._wall(), self._desk.clock.monotonic())
        before, self._look = self._look, now
        known, self._newest = self._newest, self._desk.market_data.newest()
        leap = 0.0 if before is None else leapt(before, now)
        if leap > LEAP:
            self._begin(leap, now.monotonic, known)
        elif leap < -LEAP:
            log.warning("the clock of this machine was set back by %.0f s", -leap)
        if abs(leap) > LEAP:
            self.leaps.emit(leap)
        if self._doubt is not None:
            self._go_on(self._doubt, now.monotonic)

    def findings(self) -> list[Finding]:
        if self._doubt is None or self._doubt.acted is None:
            return []
        return [
            Finding(
                rule="sleep",
                component=Component.PROCESS,
                severity=Severity.WARNING,
                what=f"this computer slept for {duration(self._doubt.seconds)}",
                meaning="all prices are of before, and what happened to orders is not known yet",
                act="Nothing: feeds connect anew and the books are read; new entries wait for it",
                at_once=True,
            )
        ]

    def reason(self, _: OrderRequest) -> str:
        """A rule for the gate: nothing new on prices and books of before the sleep."""
        if self._doubt is None:
            return ""
        return (
            f"this computer slept for {duration(self._doubt.seconds)}: entries wait until new "
            "prices have come and the books have been read"
        )

    def _begin(self, seconds: float, now: float, known: Tick | None) -> None:
        if self._doubt is not None:
            seconds, known = seconds + self._doubt.seconds, self._doubt.known
            self._desk.market_data.did_not_sleep()  # it is said anew, for both
        self._doubt = _Doubt(seconds, now, known)
        self._desk.market_data.slept(seconds)
        for marks in self._marks:
            marks.forget()
        log.warning("the clock of this machine leapt by %.0f s: it may have slept", seconds)

    def _go_on(self, doubt: _Doubt, now: float) -> None:
        if doubt.acted is not None:
            if self._is_proven(doubt.acted, now):
                self._doubt = None
                log.info("prices and books are known again after a sleep")
        elif now - doubt.since >= PROVE:
            if self._was_only_set(doubt):
                self._doubt = None
                self._desk.market_data.did_not_sleep()
                log.warning("no time had passed at the exchange: only the clock was set")
            else:
                self._doubt = replace(doubt, acted=now)
                self._act(doubt)

    def _was_only_set(self, doubt: _Doubt) -> bool:
        newest = self._desk.market_data.newest()
        if doubt.known is None or newest is None:
            return False
        # what waited in the socket is read at once: only a price that came later proves anything
        return newest.received > doubt.since + PROVE / 4 and in_step(doubt.known, newest)

    def _act(self, doubt: _Doubt) -> None:
        self.sleeps += 1
        desk, why = self._desk, f"this computer slept for {duration(doubt.seconds)}"
        feeds: list[MarketFeed | PortfolioFeed] = [desk.feed, *desk.portfolio_feeds.values()]
        for feed in feeds:
            if feed.stats().state not in NOT_ASKED:
                feed.reconnect(why)
        for state in desk.accounts.all():
            desk.cycle.hint(state.account.id)

    def _is_proven(self, acted: float, now: float) -> bool:
        desk = self._desk
        if desk.market_data.is_doubted and self._prices_are_due():
            return False
        ages = [desk.cycle.confirmed_age(state.account.id) for state in desk.accounts.all()]
        return all(age is not None and age < now - acted for age in ages)

    def _prices_are_due(self) -> bool:
        desk, now = self._desk, self._desk.clock.now()
        segments = {segment_of(key) for key in desk.subscriptions.wanted().modes}
        return any(desk.hours.is_open(segment, now) for segment in segments)
