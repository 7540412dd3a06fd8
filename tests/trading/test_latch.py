"""Real orders are locked every morning."""

from datetime import date

import pytest

from tests.trading.scripted import T0, request
from trading.clock import ManualClock
from trading.errors import Denied
from trading.latch import LiveLatch


class Slip:
    def __init__(self) -> None:
        self.day: date | None = None

    def read(self) -> date | None:
        return self.day

    async def write(self, day: date) -> None:
        self.day = day


def latch(clock: ManualClock, slip: Slip, *, real: bool = True) -> LiveLatch:
    return LiveLatch(clock, slip, is_real=lambda _: real)


async def test_a_real_order_needs_the_word_every_day_and_a_restart_keeps_it() -> None:
    clock, slip = ManualClock(T0), Slip()
    lock = latch(clock, slip)
    assert "LIVE" in lock.reason(request())
    for wrong in ("", "live", "LIVE ", "yes"):
        with pytest.raises(Denied):
            await lock.arm(wrong)
    await lock.arm("LIVE")

    assert lock.reason(request()) == latch(clock, slip).reason(request()) == ""
    clock.advance(24 * 3600)
    assert "LIVE" in lock.reason(request(reduces=True))


async def test_a_made_up_order_needs_no_word() -> None:
    assert latch(ManualClock(T0), Slip(), real=False).reason(request()) == ""


async def test_a_word_that_the_disk_takes_over_midnight_is_not_one_for_the_next_day() -> None:
    clock = ManualClock(T0)

    class Slow(Slip):
        async def write(self, day: date) -> None:
            clock.advance(24 * 3600)
            await super().write(day)

    lock = latch(clock, Slow())
    await lock.arm("LIVE")

    assert not lock.armed()
