"""The minutes of the hops: whole ones, of market time, and never a figure for nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.latency import KEPT, LatencyBook
from tests.alerts.watch_rig import WatchRig
from trading.health import Hop
from trading.histogram import Histogram

TEN = datetime(2025, 11, 26, 4, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return TEN + timedelta(seconds=seconds)


class Ways:
    """What two feeds' threads and the pages write, and the book that reads it."""

    def __init__(self) -> None:
        self.arrival, self.decoding = Histogram(), Histogram()
        self.book = LatencyBook(arrival=self.arrival, decoding=self.decoding)


def test_a_minute_is_told_when_it_is_over_with_what_came_in_it() -> None:
    ways = Ways()
    ways.book.note(at(0), judged=True)
    for _ in range(99):
        ways.arrival.note(40.0)
    ways.book.note(at(30), judged=True)
    ways.arrival.note(900.0)
    ways.book.note(at(59), judged=True)
    assert ways.book.minutes(Hop.ARRIVAL) == ()

    ways.book.note(at(60), judged=True)

    [minute] = ways.book.minutes(Hop.ARRIVAL)
    assert (minute.start, minute.count) == (at(0), 100)
    assert minute.p50 == pytest.approx(40, rel=0.03)
    assert minute.p99 == pytest.approx(900, rel=0.03)


def test_each_minute_has_its_own_and_a_minute_without_is_a_gap() -> None:
    ways = Ways()
    for second in range(240):
        if second < 60 or second >= 120:
            ways.decoding.note(0.1 if second < 60 else 0.4)
        ways.book.note(at(second + 0.5), judged=True)
    ways.book.note(at(240), judged=True)

    minutes = ways.book.minutes(Hop.DECODE)

    assert [m.start for m in minutes] == [at(0), at(120), at(180)]
    assert [round(m.p50, 1) for m in minutes] == [0.1, 0.4, 0.4]
    assert ways.book.minutes(Hop.SCREEN) == ()


def test_a_closed_market_leaves_gaps_whatever_was_measured() -> None:
    ways = Ways()
    for second in range(180):
        ways.arrival.note(50.0)
        ways.book.note(at(second), judged=second < 90)
    ways.book.note(at(180), judged=False)

    counts = {m.start: m.count for m in ways.book.minutes(Hop.ARRIVAL)}

    assert counts == {at(0): 60, at(60): 30}


def test_the_screen_is_measured_by_whoever_sends_patches() -> None:
    ways = Ways()
    ways.book.note(at(0), judged=True)
    ways.book.screen.note(130.0)
    ways.book.note(at(59), judged=True)
    ways.book.note(at(61), judged=True)

    assert [m.count for m in ways.book.minutes(Hop.SCREEN)] == [1]


def test_only_the_last_hour_is_kept() -> None:
    ways = Ways()
    for minute in range(100):
        ways.arrival.note(50.0)
        ways.book.note(at(60 * minute), judged=True)

    starts = [m.start for m in ways.book.minutes(Hop.ARRIVAL)]
    assert starts == [at(60 * minute) for minute in range(99 - KEPT, 99)]

    ways.book.note(at(60 * 130), judged=True)
    assert ways.book.minutes(Hop.ARRIVAL)[0].start == at(60 * 70)


async def test_the_monitor_feeds_it_at_each_look() -> None:
    ways = Ways()
    rig = WatchRig(latencies=ways.book)
    for _ in range(3):
        for _ in range(60):
            ways.arrival.note(25.0)
            await rig.live(1)

    counts = [m.count for m in ways.book.minutes(Hop.ARRIVAL)]
    assert len(counts) >= 2
    assert counts[-1] == 60
