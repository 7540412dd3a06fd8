"""H06: the monitor hangs, is not called any more, or the loop itself stands still."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from alerts.watchdog import AGAIN, DO, Patience, Watchdog, verdict
from tests.alerts.watch_rig import WatchRig

QUICK = Patience(every=0.1, notice=0.5, speak=1.0)


class Watched:
    """A monitor as its watchdog sees it, and what the watchdog said."""

    def __init__(self) -> None:
        self.looked_at: float | None = None
        self.restarts = 0
        self.threads: list[threading.Thread] = []
        self.spoken: list[str] = []

    def restart(self) -> None:
        self.restarts += 1
        self.threads.append(threading.current_thread())

    def looks(self) -> None:
        self.looked_at = time.monotonic()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
async def dog(watched: Watched) -> Iterator[Watchdog]:
    made = Watchdog(
        asyncio.get_running_loop(),
        lambda: watched.looked_at,
        watched.restart,
        speak=watched.spoken.append,
        patience=QUICK,
    )
    made.start()
    yield made
    made.stop()


async def _until(done: Callable[[], bool], within: float = 15.0) -> None:
    end = time.monotonic() + within
    while not done():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("silent", "loop_silent", "expected"),
    [
        (9.9, 0.1, (False, False, "")),
        (9.9, 9.9, (False, False, "")),
        (10.0, 0.1, (True, False, "though the loop runs")),
        (29.9, 9.9, (True, False, "though the loop runs")),
        (30.0, 0.1, (True, True, "though the loop runs")),
        (10.0, 10.0, (False, False, "the event loop has not run for 10 s")),
        (31.0, 30.5, (False, True, "the event loop has not run for 30 s")),
    ],
)
def test_what_is_done_about_a_silence(
    silent: float, loop_silent: float, expected: tuple[bool, bool, str]
) -> None:
    found = verdict(silent, loop_silent, Patience())

    assert (found.restart, found.speak) == expected[:2]
    assert expected[2] in found.words
    assert bool(found.words) is bool(expected[2])


async def test_a_monitor_that_looks_no_more_is_begun_anew_on_the_loop(
    watched: Watched, dog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    watched.looks()
    with caplog.at_level(logging.ERROR):
        await _until(lambda: watched.restarts > 0)

    assert watched.threads[0] is threading.main_thread()
    assert "though the loop runs" in caplog.text


async def test_a_monitor_that_stays_dead_is_told_to_a_person_once(
    watched: Watched, dog: Watchdog
) -> None:
    await _until(lambda: bool(watched.spoken))
    await asyncio.sleep(0.3)

    assert len(watched.spoken) == 1
    assert "the monitor has not looked" in watched.spoken[0]


async def test_a_person_who_was_told_is_told_what_to_do_and_once_that_it_is_over(
    watched: Watched, dog: Watchdog
) -> None:
    await _until(lambda: bool(watched.spoken))
    assert watched.spoken[0].endswith(DO)

    def over() -> bool:
        watched.looks()
        return len(watched.spoken) > 1

    await _until(over)
    assert watched.spoken[1:] == [AGAIN]


async def test_one_that_looks_again_is_told_to_be_well(
    watched: Watched, dog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    await _until(lambda: watched.restarts > 0)

    def well() -> bool:
        watched.looks()
        return "looks again" in caplog.text

    await _until(well)


async def test_a_loop_that_stands_still_is_told_by_the_thread_alone(
    watched: Watched, dog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    watched.looks()
    end = time.monotonic() + 12.0
    with caplog.at_level(logging.ERROR):
        while not watched.spoken and time.monotonic() < end:
            time.sleep(0.05)  # noqa: ASYNC251 - the fault under test

    assert len(watched.spoken) == 1
    assert "the event loop has not run" in watched.spoken[0]
    assert dog.restarts == 0, "nobody could do it"
    assert "WATCHDOG" in caplog.text


async def test_it_ends_with_the_desk(watched: Watched) -> None:
    dog = Watchdog(asyncio.get_running_loop(), lambda: None, watched.restart, patience=QUICK)
    dog.start()
    dog.stop()

    assert not any(t.name == "watchdog" for t in threading.enumerate())
    Watchdog(asyncio.get_running_loop(), lambda: None, watched.restart).stop()


async def test_the_real_monitor_looks_again_when_nobody_calls_it() -> None:
    """The job is lost; the watchdog drives the looks until it is back."""
    rig = WatchRig()
    dog = Watchdog(
        asyncio.get_running_loop(),
        lambda: rig.monitor.looked_at,
        rig.monitor.look_now,
        patience=QUICK,
    )
    dog.start()
    await _until(lambda: rig.monitor.looks >= 2)
    dog.stop()

    assert rig.monitor.alive_age() is not None
