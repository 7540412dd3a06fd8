"""How the scheduled jobs go: what the scheduler tells of them, kept for rules and pages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    JobEvent,
)
from apscheduler.schedulers.base import BaseScheduler

from trading.clock import Clock
from trading.health import JobHealth

EVENTS: Final = (
    EVENT_JOB_SUBMITTED
    | EVENT_JOB_EXECUTED
    | EVENT_JOB_ERROR
    | EVENT_JOB_MISSED
    | EVENT_JOB_MAX_INSTANCES
    | EVENT_JOB_REMOVED
)
LEFT_OUT: Final = (EVENT_JOB_MISSED, EVENT_JOB_MAX_INSTANCES)


@dataclass(slots=True)
class _Job:
    """What is known of one job; moments are monotonic, `last_run` is the desk's time."""

    last_run: datetime | None = None
    last_ms: float | None = None
    runs: int = 0
    failures: int = 0
    failing: int = 0
    missed: int = 0
    error: str = ""
    began: float | None = None


class JobBook:
    """Listens to one scheduler. A run that is left out because the one before lasts is missed."""

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._jobs: dict[str, _Job] = {}
        self._scheduler: BaseScheduler | None = None

    def attach(self, scheduler: BaseScheduler) -> None:
        """Listen from now on; on an AsyncIOScheduler the loop's thread is told."""
        self._scheduler = scheduler
        scheduler.add_listener(self._on_event, EVENTS)

    def health(self) -> Sequence[JobHealth]:
        """Return every planned job, by name."""
        if self._scheduler is None:
            return ()
        now = self._monotonic()
        found = [self._health(job.id, job.next_run_time, now) for job in self._scheduler.get_jobs()]
        return sorted(found, key=lambda job: job.name)

    def _health(self, name: str, next_run: datetime | None, now: float) -> JobHealth:
        job = self._jobs.get(name) or _Job()
        return JobHealth(
            name,
            next_run,
            job.last_run,
            job.last_ms,
            job.runs,
            job.failures,
            job.missed,
            job.error,
            job.failing,
            None if job.began is None else now - job.began,
        )

    def _on_event(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_REMOVED:
            self._jobs.pop(event.job_id, None)
            return
        job = self._jobs.setdefault(event.job_id, _Job())
        if event.code == EVENT_JOB_SUBMITTED:
            job.began, job.last_run = self._monotonic(), self._clock.now()
        elif event.code in LEFT_OUT:
            job.missed += 1
        else:
            self._ended(job, getattr(event, "exception", None))

    def _ended(self, job: _Job, error: BaseException | None) -> None:
        if job.began is not None:
            job.last_ms = 1000 * (self._monotonic() - job.began)
            job.began = None
        job.runs += 1
        if error is None:
            job.failing = 0
            return
        job.failures += 1
        job.failing += 1
        job.error = f"{type(error).__name__}: {error}"
