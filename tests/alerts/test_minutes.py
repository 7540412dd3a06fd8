"""Uptime in market time, minute by minute."""

import random
from datetime import datetime, timedelta

import pytest

from alerts.minutes import MinuteBook, Past, Reading
from tests.alerts.scripted_feeds import MORNING
from tests.alerts.scripted_journal import ScriptedUptime
from tests.alerts.watch_rig import WatchRig, only
from tests.dashboard.fakes import NIFTY
from trading.errors import Retryable
from trading.health import Component, Minute, Uptimes
from trading.ports import FeedState

FEED = Component.MARKET_FEED
NAME = "market feed"


class Ledger:
    """A book of minutes with a clock that ticks second by second."""

    def __init__(self) -> None:
        self.journal = ScriptedUptime()
        self.book = MinuteBook(self.journal)
        self.now = MORNING
        self.messages = self.errors = 0
        self.book.note(self.now, [self.reading()])

    def reading(self, *, judged: bool = True, up: bool = True, size: int = 10) -> Reading:
        return Reading(FEED, judged, up, self.messages, self.errors, size=size)

    def run(
        self,
        seconds: float,
        *,
        every: float = 1.0,
        judged: bool = True,
        up: bool = True,
        rate: int = 0,
        errors: int = 0,
        size: int = 10,
    ) -> None:
        for _ in range(round(seconds / every)):
            self.now += timedelta(seconds=every)
            self.messages += rate
            self.errors += errors
            self.book.note(self.now, [self.reading(judged=judged, up=up, size=size)])

    @property
    def past(self) -> Past:
        return only(self.book.past())

    def kept(self, at: datetime) -> Minute:
        return self.journal.kept[NAME][at]


def test_a_minute_is_written_when_it_is_over() -> None:
    ledger = Ledger()
    ledger.run(59)
    assert ledger.journal.kept == {}

    ledger.run(1, rate=3)

    assert ledger.kept(MORNING) == Minute(MORNING, judged=60.0, up=60.0)


def test_seconds_are_told_apart_from_seconds_that_were_up() -> None:
    ledger = Ledger()
    ledger.run(15, up=False, rate=2, errors=1)
    ledger.run(60, rate=4)

    minute = ledger.kept(MORNING)

    assert (minute.judged, minute.up) == (60.0, 45.0)
    assert (minute.messages, minute.errors) == (30 + 44 * 4, 15)


def test_a_closed_market_is_neither_up_nor_down() -> None:
    ledger = Ledger()
    ledger.run(120, judged=False, up=False)

    assert ledger.kept(MORNING) == Minute(MORNING)
    assert ledger.past.judged == 0.0


def test_looks_that_straddle_minutes_are_shared_out() -> None:
    ledger = Ledger()
    ledger.run(100, every=50)
    ledger.run(80, every=40)

    assert ledger.kept(MORNING).judged == 60.0
    assert ledger.kept(MORNING + timedelta(minutes=1)).judged == 60.0


def test_time_that_nobody_saw_is_not_judged() -> None:
    ledger = Ledger()
    ledger.run(30)
    ledger.now += timedelta(minutes=10)
    ledger.book.note(ledger.now, [ledger.reading()])
    ledger.run(60)

    strip = ledger.book.strip(NAME, ledger.now)
    assert sum(minute.judged for minute in strip) == 90.0


def test_a_clock_that_is_set_back_counts_nothing_twice() -> None:
    ledger = Ledger()
    ledger.run(90)
    ledger.now -= timedelta(seconds=45)
    ledger.run(30)

    strip = ledger.book.strip(NAME, ledger.now)
    assert all(minute.judged <= 60.0 for minute in strip)


def test_counters_that_begin_anew_are_not_negative() -> None:
    ledger = Ledger()
    ledger.run(10, rate=5)
    ledger.messages = 0
    ledger.run(50, rate=2)

    assert ledger.kept(MORNING).messages == 50 + 49 * 2, "the last look belongs to the next one"


def test_the_strip_has_sixty_minutes_whatever_is_known() -> None:
    ledger = Ledger()
    assert len(ledger.book.strip("nobody", MORNING)) == 60
    ledger.run(3 * 60)

    strip = ledger.book.strip(NAME, ledger.now)

    assert len(strip) == 60
    assert [minute.start for minute in strip] == [
        MORNING + timedelta(minutes=3 - 59 + n) for n in range(60)
    ]
    assert [minute.judged for minute in strip[-4:]] == [60.0, 60.0, 60.0, 0.0]


def test_the_last_hour_counts_minutes_of_market_time_only() -> None:
    ledger = Ledger()
    ledger.run(30 * 60, up=False)
    ledger.run(600 * 60, every=30, judged=False)  # the night
    ledger.run(30 * 60)

    past = ledger.past

    assert past.judged == pytest.approx(3600, abs=60)
    assert past.up / past.judged == pytest.approx(0.5, abs=0.02)


def test_rates_are_compared_where_as_much_is_wanted() -> None:
    ledger = Ledger()
    ledger.run(20 * 60, rate=400, size=300)  # an option chain is open
    ledger.run(15 * 60, rate=40, size=14)
    assert (ledger.past.rate, ledger.past.usual) == (pytest.approx(40), pytest.approx(40, abs=7))

    ledger.run(60, rate=5, size=14)

    assert (ledger.past.rate, ledger.past.usual) == (
        pytest.approx(5, abs=1),
        pytest.approx(40, abs=7),
    )


def test_a_feed_that_was_away_is_not_slow() -> None:
    ledger = Ledger()
    ledger.run(20 * 60, rate=40)
    ledger.run(60, up=False)
    ledger.run(10, rate=40)
    assert ledger.past.rate is None  # of the last whole minute: it was away in it

    ledger.run(110, rate=4)
    assert (ledger.past.rate, ledger.past.usual) == (
        pytest.approx(4, abs=1),
        pytest.approx(40, abs=2),
    )


def test_before_ten_minutes_nothing_is_usual() -> None:
    ledger = Ledger()
    ledger.run(10 * 60, rate=40)

    assert ledger.past.usual is None


def test_errors_are_those_of_five_minutes() -> None:
    ledger = Ledger()
    ledger.run(20 * 60, rate=10, errors=1)
    ledger.run(5 * 60, rate=10)

    assert ledger.past.errors <= 1
    assert ledger.past.messages == pytest.approx(3000, abs=20)


async def test_a_restart_goes_on_with_the_strip() -> None:
    first = Ledger()
    first.run(70 * 60, rate=4, every=1)
    first.run(30)
    first.book.close()
    first.journal.shares = {NAME: Uptimes(0.99, 0.98, None)}

    again = MinuteBook(first.journal)
    await again.load(first.now)

    assert again.strip(NAME, first.now)[-2:] == first.book.strip(NAME, first.now)[-2:]
    assert again.uptimes(NAME) == Uptimes(0.99, 0.98, None)
    assert only(again.past()).judged == pytest.approx(3600, abs=60)
    assert again.uptimes("nobody") == Uptimes()


async def test_a_disk_that_does_not_answer_costs_history_and_nothing_else() -> None:
    ledger = Ledger()
    ledger.journal.refuses = Retryable("locked")

    await ledger.book.load(MORNING)

    assert ledger.book.uptimes(NAME) == Uptimes()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_rhythm_no_second_is_lost_or_counted_twice(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = Ledger()
    total = 0.0
    for _ in range(300):
        step = round(chance.uniform(0.01, 100), 3)
        total += step
        ledger.run(step, every=step)
    ledger.book.close()

    kept = ledger.journal.kept[NAME].values()
    assert sum(minute.judged for minute in kept) == pytest.approx(total, abs=0.01)
    assert all(minute.judged <= 60.001 for minute in kept)


async def test_the_monitor_keeps_minutes_of_every_component() -> None:
    rig = WatchRig()
    await rig.live(61)
    rig.feed.goes(FeedState.STALLED, "no price")
    await rig.run(60)
    rig.feed.comes_back()
    await rig.live(60)

    kept = {name: list(minutes.values()) for name, minutes in rig.uptime.kept.items()}
    assert {"market feed", "portfolio stream of main", "REST", "storage", "process"} <= set(kept)
    assert kept["market feed"][0].up == kept["market feed"][0].judged
    assert kept["market feed"][1].up < 10.0
    assert kept["market feed"][1].judged == 60.0
    assert kept["storage"][1].up == 60.0


async def test_at_night_only_this_machine_is_judged() -> None:
    rig = WatchRig(at=MORNING.replace(hour=20))
    await rig.run(120, prices=[NIFTY])

    judged = {name: minutes[MORNING.replace(hour=20)].judged
              for name, minutes in rig.uptime.kept.items()}  # fmt: skip

    assert judged["market feed"] == judged["portfolio stream of main"] == judged["REST"] == 0.0
    assert judged["storage"] == judged["process"] == 59.0, "the first look was a second late"
