"""What the scheduler tells of its jobs: a real one, with real jobs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alerts.jobs import JobBook
from trading.clock import SystemClock
from trading.health import JobHealth


class Work:
    """A job that a test can make fail or hang."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.runs = 0

    async def __call__(self) -> None:
        self.runs += 1
        await self.hold.wait()
        if self.fails:
            raise self.fails


@pytest.fixture
async def scheduler() -> AsyncIterator[AsyncIOScheduler]:
    made = AsyncIOScheduler(
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    yield made
    if made.running:
        made.shutdown(wait=False)
    await asyncio.sleep(0.01)


def _begun(scheduler: AsyncIOScheduler, work: Work, *, every: float) -> JobBook:
    book = JobBook(SystemClock())
    book.attach(scheduler)
    scheduler.add_job(
        work.__call__, "interval", seconds=every, id="quotes", next_run_time=datetime.now(UTC)
    )
    scheduler.start()
    return book


async def _until(book: JobBook, work: Work, done: object) -> JobHealth:
    for _ in range(400):
        await asyncio.sleep(0.02)
        (health,) = book.health()
        if done(health):  # type: ignore[operator]
            return health
    raise AssertionError(book.health())


async def test_runs_are_counted_and_timed(scheduler: AsyncIOScheduler) -> None:
    work = Work()
    book = _begun(scheduler, work, every=0.05)

    health = await _until(book, work, lambda h: h.runs >= 3)

    assert (health.name, health.failures, health.missed) == ("quotes", 0, 0)
    assert health.last_ms is not None
    assert health.last_run is not None
    assert health.next_run is not None
    assert health.running_for is None


async def test_a_job_that_fails_says_so_until_it_succeeds(
    scheduler: AsyncIOScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    work.fails = ValueError("no such price")
    book = _begun(scheduler, work, every=0.05)

    health = await _until(book, work, lambda h: h.failing >= 2)
    assert health.error == "ValueError: no such price"
    work.fails = None
    health = await _until(book, work, lambda h: h.failing == 0 and h.runs > 3)

    assert health.failures >= 2
    assert health.error == "ValueError: no such price", "of the last failure, for the page"


async def test_a_job_that_hangs_is_seen_to_run_and_its_runs_are_left_out(
    scheduler: AsyncIOScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    work.hold.clear()
    book = _begun(scheduler, work, every=0.05)

    health = await _until(book, work, lambda h: h.missed >= 2)

    assert health.running_for is not None
    assert health.running_for > 0
    assert health.runs == 0
    assert work.runs == 1
    work.hold.set()
    await _until(book, work, lambda h: h.runs >= 1)


async def test_what_never_ran_is_unknown(scheduler: AsyncIOScheduler) -> None:
    book = JobBook(SystemClock())
    assert book.health() == ()
    book.attach(scheduler)
    scheduler.add_job(Work().__call__, "interval", hours=6, id="instruments")
    scheduler.start()

    (health,) = book.health()

    assert (health.last_run, health.last_ms, health.runs) == (None, None, 0)


async def test_a_job_that_is_gone_is_forgotten(scheduler: AsyncIOScheduler) -> None:
    work = Work()
    book = _begun(scheduler, work, every=0.05)
    await _until(book, work, lambda h: h.runs >= 1)

    scheduler.remove_job("quotes")
    await asyncio.sleep(0.05)

    assert book.health() == []
