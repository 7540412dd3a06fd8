"""H01, H02: a machine that slept, and a clock that was set; by hand-moved clocks."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alerts.sleep import LEAP, Look, SleepWatch, follow_clock, leapt
from tests.alerts.scripted_feeds import MORNING, Bench
from tests.dashboard.fakes import NIFTY, RELIANCE
from tests.trading.scripted import request
from trading.model import Mode
from trading.ports import FeedState


class Bed:
    """A desk and the watch over its sleep; the machine's wall clock is the manual one."""

    def __init__(self) -> None:
        self.bench = Bench(wanted={NIFTY: Mode.FULL, RELIANCE: Mode.LTPC})
        self.clock, self.desk = self.bench.clock, self.bench.desk
        self.feed, self.stream = self.bench.feed, self.bench.stream
        self.watch = SleepWatch(self.desk, wall=self.clock.now)

    async def awake(self) -> None:
        """Prices come, the books are read, and the watch has looked."""
        self.bench.price()
        self.bench.price(RELIANCE)
        await self.bench.read_books()
        await self.watch.look()

    async def looks(self, times: int = 3) -> None:
        for _ in range(times):
            self.clock.advance(0.5)
            await self.watch.look()

    async def sleeps(self, seconds: float) -> None:
        """Both clocks as after a sleep; one second of the monotonic one has passed, too."""
        self.clock.step_wall(seconds)
        self.clock.advance(1.0)
        await self.watch.look()


@pytest.fixture
def bed() -> Bed:
    return Bed()


@pytest.mark.parametrize(
    ("wall", "monotonic", "expected"), [(600, 1, 599), (4, 4, 0), (1, 1, 0), (-3600, 1, -3601)]
)
def test_a_leap_is_what_the_wall_clock_went_further(
    wall: float, monotonic: float, expected: float
) -> None:
    now = Look(MORNING + timedelta(seconds=wall), 1000.0 + monotonic)

    assert leapt(Look(MORNING, 1000.0), now) == pytest.approx(expected)


async def test_h01_after_a_sleep_no_price_is_fresh_and_every_feed_connects_anew(bed: Bed) -> None:
    await bed.awake()
    assert bed.desk.marks.of(NIFTY) is not None

    await bed.sleeps(600)

    assert bed.desk.marks.of(NIFTY) is None
    age, heard = bed.desk.market_data.price_age(NIFTY), bed.desk.market_data.heard_age()
    assert age == heard == pytest.approx(601)
    assert "slept for 10 min" in bed.watch.reason(request())
    await bed.looks(1)
    assert [len(bed.feed.reconnects), len(bed.stream.reconnects)] == [1, 1]
    [finding] = bed.watch.findings()
    assert finding.at_once
    assert "slept for 10 min" in finding.what


async def test_h01_trust_returns_with_a_price_of_a_new_connection_and_books_read_since(
    bed: Bed,
) -> None:
    await bed.awake()
    await bed.sleeps(600)
    await bed.looks()
    bed.bench.price(connection=1)  # what had waited in the old socket
    await bed.bench.read_books()
    await bed.looks(1)
    assert bed.desk.marks.of(NIFTY) is None
    assert bed.watch.findings()

    bed.bench.price(connection=2)
    await bed.looks(1)

    assert bed.desk.marks.of(NIFTY) is not None
    assert bed.desk.market_data.price_age(RELIANCE) == pytest.approx(603.5)  # none came of it
    assert bed.watch.findings() == []
    assert bed.watch.reason(request()) == ""
    await bed.looks(20)
    assert len(bed.feed.reconnects) == 1
    assert bed.watch.sleeps == 1


async def test_h01_books_of_before_the_sleep_prove_nothing(bed: Bed) -> None:
    await bed.awake()
    await bed.sleeps(600)
    await bed.looks()
    bed.bench.price(connection=2)
    await bed.looks()
    assert bed.watch.findings()

    await bed.bench.read_books()
    await bed.looks(1)

    assert bed.watch.findings() == []


async def test_h01_a_refused_feed_is_not_asked_to_dial(bed: Bed) -> None:
    await bed.awake()
    bed.feed.now(state=FeedState.REFUSED)
    await bed.sleeps(600)
    await bed.looks()

    assert bed.feed.reconnects == []
    assert len(bed.stream.reconnects) == 1


async def test_h01_in_a_closed_market_the_books_are_proof_enough() -> None:
    bed = Bed()
    bed.clock.advance(8 * 3600)
    await bed.awake()
    await bed.sleeps(600)
    await bed.looks()
    await bed.bench.read_books()
    await bed.looks(1)

    assert bed.watch.findings() == []


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_h02_a_clock_that_was_set_reconnects_nothing(bed: Bed, step: float) -> None:
    exchange = bed.clock.now()  # whose clock goes on as before
    await bed.awake()
    bed.clock.step_wall(step)
    for beat in range(1, 8):
        bed.clock.advance(0.5)
        bed.bench.price(at=exchange + timedelta(seconds=beat / 2))
        await bed.watch.look()

    assert bed.feed.reconnects == bed.stream.reconnects == []
    assert bed.watch.findings() == []
    assert bed.desk.market_data.price_age(NIFTY) == 0.0
    assert bed.desk.market_data.price_age(RELIANCE) == pytest.approx(3.5)
    assert bed.watch.sleeps == 0


async def test_h02_a_clock_that_was_set_after_a_sleep_makes_no_price_of_before_it_young(
    bed: Bed,
) -> None:
    await bed.awake()
    await bed.sleeps(600)
    await bed.looks()
    exchange = bed.clock.now()
    bed.bench.price(connection=2)
    await bed.bench.read_books()
    await bed.looks(1)
    assert bed.watch.findings() == []

    bed.clock.step_wall(20)  # the machine's clock is set right
    for beat in range(1, 5):
        bed.clock.advance(0.5)
        bed.bench.price(connection=2, at=exchange + timedelta(seconds=0.5 + beat / 2))
        await bed.watch.look()

    assert bed.watch.sleeps == 1
    assert bed.desk.market_data.price_age(RELIANCE) == pytest.approx(605.0)  # none came of it
    assert bed.desk.market_data.price_age(NIFTY) == 0.0


async def test_h01_two_sleeps_make_a_price_of_before_both_older_by_both(bed: Bed) -> None:
    await bed.awake()
    await bed.sleeps(600)
    await bed.looks()
    bed.bench.price(connection=2)
    await bed.bench.read_books()
    await bed.looks(1)
    await bed.sleeps(60)

    data = bed.desk.market_data
    assert data.price_age(RELIANCE) == pytest.approx(664.0)
    assert data.price_age(NIFTY) == data.heard_age() == pytest.approx(61.5)

    await bed.sleeps(30)  # again, before it is known what the last was: told as one of both

    assert data.price_age(RELIANCE) == pytest.approx(695.0)
    assert data.price_age(NIFTY) == pytest.approx(92.5)


async def test_h01_prices_that_waited_in_the_socket_do_not_deny_the_sleep(bed: Bed) -> None:
    exchange = bed.clock.now()
    await bed.awake()
    bed.clock.step_wall(600)
    bed.clock.advance(0.5)
    bed.bench.price(at=exchange + timedelta(seconds=0.5))  # sent before it, read after it
    await bed.watch.look()
    await bed.looks()

    assert len(bed.feed.reconnects) == 1


async def test_h01_a_feed_that_survived_the_sleep_tells_of_it_by_its_times(bed: Bed) -> None:
    await bed.awake()
    bed.clock.step_wall(20)
    for _ in range(4):
        bed.clock.advance(0.5)
        bed.bench.price()  # the exchange's clock has gone on for 20 s more than ours
        await bed.watch.look()

    assert len(bed.feed.reconnects) == 1
    assert bed.desk.marks.of(NIFTY) is None  # nothing over this connection is believed


async def test_small_corrections_and_a_loop_that_hung_are_no_sleep(bed: Bed) -> None:
    await bed.awake()
    bed.clock.step_wall(LEAP - 1)
    await bed.looks()
    bed.clock.advance(60.0)  # SIGSTOP moves both clocks
    await bed.watch.look()
    await bed.looks()

    assert bed.feed.reconnects == []
    assert bed.watch.reason(request()) == ""


async def test_an_exchange_at_another_speed_is_no_sleep(bed: Bed) -> None:
    """The desk's clock is the exchange's; the machine's own goes on second by second."""
    machine = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    began = bed.clock.monotonic()
    watch = SleepWatch(
        bed.desk, wall=lambda: machine + timedelta(seconds=bed.clock.monotonic() - began)
    )
    for _ in range(10):
        bed.clock.advance(0.5)
        bed.clock.step_wall(29.5)  # sixty times as fast
        await watch.look()

    assert bed.feed.reconnects == []


async def test_h02_jobs_run_on_when_the_clock_was_set_back_and_none_runs_twice(bed: Bed) -> None:
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1

    await bed.awake()
    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_job(job, "interval", seconds=0.05, id="job", max_instances=1, coalesce=True)
    scheduler.start()
    bed.watch.leaps.subscribe(lambda leap: follow_clock(scheduler, leap))
    try:
        [planned] = scheduler.get_jobs()
        planned.modify(next_run_time=planned.next_run_time + timedelta(hours=1))
        bed.clock.step_wall(-3600)  # so it looks to the scheduler, whose clock nobody can move here
        await asyncio.sleep(0.2)
        rested, began = runs, time.monotonic()
        await bed.looks(1)
        await asyncio.sleep(0.3)
        took = time.monotonic() - began
    finally:
        scheduler.shutdown(wait=False)

    assert rested == 0
    assert 1 <= runs <= took / 0.05 + 2


async def test_it_goes_on_looking_whatever_a_look_meets(bed: Bed) -> None:
    broken = SleepWatch(bed.desk, wall=lambda: [][0])
    task = asyncio.create_task(broken.run())
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
