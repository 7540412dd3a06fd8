"""Rows H01, H02 and H04-H07 as the watch tells them: clocks, a blocked loop, a watch that hangs."""

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from alerts.sleep import SleepWatch
from alerts.watchdog import Patience, Watchdog
from main import Vigil
from settings import Watch
from tests.faults.dealing import ACCOUNT, Dealing
from tests.faults.scene import NIFTY, RECOVERED, quiet_for
from tests.faults.watching import SHORT, Watched, settled, watched
from tests.lateness import lateness
from tests.process.served import Place, launched
from trading.errors import Denied
from trading.health import Alert, Component, Condition, Finding, Occasion, Severity
from trading.order import OrderStatus
from trading.ports import FeedState
from trading.trust import Trust

BLOCKED = 4.0  # seconds
AT_MOST = 5.0  # seconds from SIGTERM to the end
BEGIN, END = Occasion.BEGIN, Occasion.END


class Wall:
    """A machine's wall clock that somebody can set, or that goes on while the machine sleeps."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def fit(self, vigil: Vigil) -> None:
        """Have this desk's watch over sleeps read this clock instead of the machine's."""
        sleep = SleepWatch(vigil.desk, wall=self)
        vigil.watchers.sleep = sleep
        vigil.watchers.monitor.also(sleep.findings)


async def test_h01_after_a_sleep_nothing_is_believed_until_prices_and_books_are_new(
    tmp_path: Path,
) -> None:
    """The wall clock and the exchange's have gone on by ten minutes, the monotonic one has not."""
    wall = Wall()
    async with watched(tmp_path, fit=wall.fit, start="2024-06-27T11:00:00") as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        await desk.until(lambda: desk.watchers.sleep.findings() == [], within=2)
        feed, stream = desk.desk.feed, desk.desk.portfolio_feeds[ACCOUNT]
        feeds = feed, stream
        connections = [each.stats().connections for each in feeds]
        read = len(desk.exchange.ledger.calls_to("/v2/order/retrieve-all"))
        await asyncio.sleep(0.6)  # a look at both clocks as they were
        desk.exchange.faults.set("stall")  # as if asleep as well: prices come after the wake
        wall.ahead = timedelta(minutes=10)
        desk.exchange.clock.set(desk.exchange.clock.now() + timedelta(minutes=10))
        async with lateness() as late:
            began = time.monotonic()
            await desk.until(lambda: desk.trust(NIFTY) is Trust.STALE, within=3, what="doubt")
            doubted = time.monotonic() - began
        with pytest.raises(Denied, match="slept for"):
            await dealing.buy()
        desk.exchange.faults.clear()
        await desk.until(
            lambda: (
                all(f.stats().connections > n for f, n in zip(feeds, connections, strict=True))
                and desk.watchers.sleep.findings() == []
                and not desk.desk.market_data.is_doubted
            ),
            within=5,
            what="new prices and books",
        )
        took = time.monotonic() - began
        told = await desk.alert("sleep", BEGIN)
        await desk.alert("sleep", END)
        print(f"doubted after {doubted:.2f} s, all known again after {took:.2f} s")

        assert doubted < 1.0 + 2 * late.worst
        assert took < 2.0 + RECOVERED
        assert "THIS COMPUTER SLEPT FOR 10 min" in told.title
        assert feed.stats().connections == connections[0] + 1
        assert stream.stats().connections == connections[1] + 1
        assert len(desk.exchange.ledger.calls_to("/v2/order/retrieve-all")) > read
        assert {alert.key for alert in desk.alerts} == {"sleep"}
        order = await dealing.buy()
        await dealing.becomes(order, OrderStatus.FILLED)


async def test_h02_a_clock_that_was_only_set_costs_no_connection_and_no_job(
    tmp_path: Path,
) -> None:
    wall = Wall()
    async with watched(tmp_path, fit=wall.fit, rate=1000.0) as desk:
        connections = desk.desk.feed.stats().connections
        for hours in (1, -1):
            await asyncio.sleep(0.6)
            runs = {job.name: job.runs for job in desk.watchers.watch.jobs()}
            wall.ahead = timedelta(hours=hours)
            await quiet_for(2.0, lambda: desk.state is FeedState.LIVE)
            more = {
                job.name: job.runs - runs[job.name]
                for job in desk.watchers.watch.jobs()
                if job.name in ("watch", "books", "positions", "alerts")
            }
            assert all(1 <= number <= 4 for number in more.values()), more

        assert desk.desk.feed.stats().connections == connections
        await desk.until(lambda: desk.trust(NIFTY) is Trust.LIVE, within=5)  # it may be quiet
        assert desk.alerts == []


async def test_h04_an_exchange_with_another_time_is_a_critical_skew_and_no_age_of_prices(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, rate=1000.0) as desk:
        desk.exchange.faults.set("skew", seconds=90)
        began = await desk.alert("clock_skew", BEGIN, within=20)
        row = next(c for c in desk.watchers.watch.components() if c.component is Component.CLOCK)
        clock = desk.input("Clock")

        assert began.severity is Severity.CRITICAL
        assert began.title == "CLOCK 90.0 s behind the exchange's"
        assert row.condition is Condition.DOWN
        assert (clock.good, clock.grave) == (False, True)
        await desk.until(lambda: desk.trust(NIFTY) is Trust.LIVE, within=5)  # it may be quiet
        assert desk.state is FeedState.LIVE
        assert {alert.key for alert in desk.alerts} == {"clock_skew"}


async def test_h05_a_blocked_loop_is_told_and_every_job_runs_once_late(tmp_path: Path) -> None:
    judged = SHORT.model_copy(update={"loop_lag_ms": Watch().loop_lag_ms})
    async with watched(tmp_path, watch=judged) as desk:
        ran: list[float] = []

        async def due_in_the_middle() -> None:
            ran.append(time.monotonic())

        middle = datetime.now(UTC) + timedelta(seconds=BLOCKED / 2)
        desk.vigil.scheduler.add_job(due_in_the_middle, "date", run_date=middle, id="once")
        before, ticks = desk.watchers.watch.jobs(), desk.desk.feed.stats().ticks
        time.sleep(BLOCKED)  # noqa: ASYNC251  this is the fault
        free = time.monotonic()
        heard = desk.desk.feed.stats().ticks - ticks
        async with lateness() as late:
            told = await desk.alert("loop_lag", BEGIN)
        after = {job.name: job for job in desk.watchers.watch.jobs()}
        await desk.until(lambda: "no_prices" not in desk.wrong, within=2)

        assert len(ran) == 1
        assert ran[0] - free < 1.0 + 2 * late.worst
        assert heard > 50  # the feed's thread went on
        for job in before:
            if job.name in after:
                assert after[job.name].missed == job.missed, job
                assert after[job.name].failures == 0, job
        for name in ("watch", "books", "alerts", "positions"):
            assert after[name].last_run is not None
        assert told.title.startswith("DESK LATE BY")
        assert desk.desk.feed.stats().connections == 1
        assert {alert.key for alert in desk.alerts} == {"loop_lag"}


async def test_h06_a_rule_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    def broken() -> Iterator[Finding]:
        raise ZeroDivisionError("a rule of the test")
        yield

    async with watched(tmp_path) as desk:
        desk.watchers.monitor.also(broken)
        failed = await desk.alert(f"failed_rule {broken.__qualname__}", BEGIN, within=6)
        desk.exchange.faults.set("stall")
        await desk.alert("no_prices", BEGIN, within=5)

        assert "ZeroDivisionError" in failed.title
        assert failed.component is Component.PROCESS


async def test_h06_a_desk_that_could_not_start_says_so_on_the_phone_and_answers_there(
    tmp_path: Path,
) -> None:
    """An order that no version of the desk has written stands in the database."""
    async with watched(tmp_path) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        await dealing.becomes(await dealing.buy(), OrderStatus.FILLED)
        database = desk.vigil.database.path
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE orders SET side = 'SIDEWAYS'")

    async with watched(tmp_path, watching=0, at_work=False) as desk:
        told = await desk.on_the_phone("DESK COULD NOT START")
        answer = await desk.asks("/status")

        assert desk.desk.progress.stage == "failed"
        assert "it sends no orders" in told.text
        first, second, *_ = answer.text.plain.splitlines()
        assert first.endswith("DO NOT TRADE: the desk could not start: see the log")
        assert second.startswith("❌ Desk: could not start: see the log → Look at the log")


async def test_h06_a_watch_that_looks_no_more_is_noticed_by_a_thread_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The watchdog notices after 1 s here, 10 s in life, and speaks after 2 s, 30 s in life."""
    async with watched(tmp_path) as desk:
        monitor, said = desk.watchers.monitor, []
        watchdog = Watchdog(
            asyncio.get_running_loop(),
            lambda: monitor.looked_at,
            monitor.look_now,
            speak=lambda words: said.append((threading.current_thread().name, words)),
            patience=Patience(every=0.1, notice=1.0, speak=2.0),
        )
        watchdog.start()
        try:
            desk.vigil.scheduler.remove_job("watch")  # as if it never came to its end
            looks = monitor.looks
            await desk.until(lambda: monitor.looks >= looks + 2, within=6, what="looks begun anew")
            assert watchdog.restarts >= 2
            assert said == []
            time.sleep(3.0)  # noqa: ASYNC251  a rule that hangs holds the loop
            assert [name for name, _ in said] == ["watchdog"]
            assert re.search(r"the event loop has not run for \d+ s", said[0][1])
        finally:
            await asyncio.to_thread(watchdog.stop)
        assert re.search(r"the monitor has not looked for \d+ s", caplog.text)


async def test_h06_a_job_that_does_not_end_is_seen_and_holds_up_no_other(tmp_path: Path) -> None:
    """It is told after two minutes: see the rule missed_jobs."""
    async with watched(tmp_path, watching=0) as desk:
        never = asyncio.Event()
        desk.vigil.scheduler.add_job(never.wait, "interval", seconds=0.5, id="hangs")

        def hangs() -> float:
            found = [j for j in desk.watchers.watch.jobs() if j.name == "hangs"]
            return found[0].running_for or 0.0

        looks = desk.watchers.monitor.looks
        await desk.until(lambda: hangs() > 2.0, within=5)
        health = next(j for j in desk.watchers.watch.jobs() if j.name == "hangs")
        never.set()

        assert health.missed >= 2
        assert health.runs == 0
        assert desk.watchers.monitor.looks >= looks + 2
        await settled(desk)


async def test_d02_while_the_disk_refuses_alerts_are_shown_and_sent_and_stored_once_it_is_back(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as desk:
        room = 1  # pages: it cannot become less than is used, so nothing may grow
        event.listen(
            desk.vigil.database.writing,
            "begin",
            lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={room}"),
        )
        await desk.until(
            lambda: desk.desk.journal.stats().state == "disk full", within=10, what="a full disk"
        )
        big = ["x" * 40_000]  # more than finds room on the pages that are there
        began = time.monotonic()
        first = asyncio.create_task(desk.tell("FIRST", Severity.CRITICAL, lines=big))
        second = asyncio.create_task(desk.tell("SECOND", Severity.CRITICAL, lines=big))
        await desk.until(lambda: {"FIRST", "SECOND"} <= shown(desk), within=5, what="the inbox")
        took = time.monotonic() - began
        disk = await until_shown(desk, "DATABASE DISK FULL")
        await desk.on_the_phone("SECOND", within=8)  # what is critical does not wait for a disk
        await desk.on_the_phone(disk.title, within=8)
        stored, bell = list(desk.alerts), desk.watchers.watch.unacknowledged()
        room = 1_000_000
        await desk.until(lambda: len(desk.alerts) >= 3, within=8, what="alerts on the disk")
        await desk.alert("disk", END, within=10)
        await desk.quiet(within=10)

        print(f"shown after {took:.1f} s, {disk.title}")
        assert stored == []
        assert (await first).id == (await second).id == 0  # shown before they had a number
        assert {"FIRST", "SECOND", disk.title} <= {alert.title for alert in bell}
        titles = [alert.title for alert in desk.alerts if alert.occasion is BEGIN]
        assert titles.index("FIRST") < titles.index("SECOND")
        assert len(titles) == len(set(titles))
        rows = desk.rows(
            "SELECT title, count(*) FROM alerts WHERE occasion = 'begin' GROUP BY title"
        )
        assert sorted(rows) == sorted((title, 1) for title in titles)
        told = [len(desk.delivered(title)) for title in ("FIRST", "SECOND", disk.title)]
        assert told == [1, 1, 1]
        assert sum(alert.title == "FIRST" for alert in desk.shown_alerts) == 1
        unacknowledged = [a.title for a in desk.watchers.watch.unacknowledged()]
        assert sorted(unacknowledged) == sorted(titles)


def shown(desk: Watched) -> set[str]:
    return {alert.title for alert in desk.shown_alerts}


async def until_shown(desk: Watched, words: str) -> Alert:
    await desk.until(lambda: any(words in title for title in shown(desk)), within=8, what=words)
    return next(alert for alert in desk.shown_alerts if words in alert.title)


def test_h07_a_stop_does_not_wait_for_a_telegram_that_hangs(tmp_path: Path) -> None:
    place = Place(
        tmp_path / "data",
        variables={"VIGIL_QUIET__HOURS": "", "VIGIL_QUIET__HOLIDAYS": "false"},
    )
    with launched(place) as served:
        served.ready()
        served.exchange.fault("telegram_hang", calls="all", delivered=False)
        served.exchange.fault("authorize", how="status", status=503)
        served.exchange.fault("drop", how="fin")
        served.until(lambda: letters(place) == ["sending"], "a letter under way", within=20)
        took = served.stop()
        print(f"stopped after {took:.2f} s")

        assert took <= AT_MOST
        assert served.process.returncode == 0
        assert "Traceback" not in served.log
        assert letters(place) in (["sending"], ["queued"])  # and told after the next start


def letters(place: Place) -> list[str]:
    with closing(sqlite3.connect(place.database, timeout=10)) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM letters")]
