"""The Health page as a trader uses it: what it says, what moves on it, what can be done there."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.incidents_view import MOST
from dashboard.latency_chart import HopChart
from dashboard.live import Cell
from dashboard.sheet import Tone
from dashboard.strips import Strip
from tests.dashboard.conftest import serving
from tests.dashboard.dealing import LOT, deal
from tests.dashboard.fakes import NIFTY, MemoryFeed, make_desk
from tests.dashboard.hands import drawn, enter, eventually, found, press, text, title
from tests.dashboard.scripted_watch import (
    ScriptedDrills,
    ScriptedGaps,
    ScriptedWatch,
    drills,
    feed_incident,
    health_alert,
    latencies,
    ledger,
    log,
    script,
)
from tests.ticks import batch, tick
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import Denied, Retryable
from trading.health import (
    ChannelHealth,
    Check,
    Checked,
    Component,
    Condition,
    DrillResult,
    Hop,
    HopMinute,
    Minute,
    Uptimes,
)
from trading.model import Gap
from trading.ports import FeedState


@pytest.fixture
def watch(desk: Desk) -> ScriptedWatch:
    return script(desk.watch)


@pytest.fixture
def drill(desk: Desk) -> ScriptedDrills:
    return drills(desk.watch)


@pytest.fixture
def gaps(desk: Desk) -> ScriptedGaps:
    return ledger(desk.watch)


@pytest.fixture
def heard(desk: Desk, clock: ManualClock) -> None:
    desk.market_data.publish(batch(tick(NIFTY, received=clock.monotonic())))


@pytest.fixture
async def unwatched(clock: ManualClock, no_errors: None) -> AsyncIterator[User]:
    async with serving(replace(make_desk(clock), watch=None)) as user:
        yield user


def feed(desk: Desk) -> MemoryFeed:
    assert isinstance(desk.feed, MemoryFeed)
    return desk.feed


def kinds(user: User, component: str) -> list[str]:
    """Return what the bars of a component say, oldest first."""
    strip = found(user, f"strip-{component}")[-1]
    assert isinstance(strip, Strip)
    return [bar[1] for bar in strip.bars]


# components


async def test_each_component_has_a_row_with_all_that_is_known(user: User, heard: None) -> None:
    await user.open("/status")

    assert text(user, "sentence") == "● All systems good"
    assert text(user, "state-market-feed") == "● good"
    assert text(user, "now-market-feed") == "38 msg/s, 0.2 s ago"
    assert text(user, "day-market-feed") == "100%"
    assert text(user, "week-market-feed") == "99.94%"
    assert text(user, "latency-market-feed") == "0.8 / 2.4 / 7.9 ms"
    assert text(user, "reconnects-market-feed") == "1"
    assert kinds(user, "market-feed") == ["good"] * 60
    assert text(user, "state-portfolio-stream-of-main") == "● good"


async def test_a_row_follows_the_watch_without_being_drawn_again(
    user: User, watch: ScriptedWatch
) -> None:
    await user.open("/status")
    cell = found(user, "state-market-feed")[-1]
    strip = watch.components()[0].strip

    down = replace(strip[-1], up=0.0)
    watch.becomes(
        Component.MARKET_FEED,
        condition=Condition.DOWN,
        words="silent for 17 s",
        strip=(*strip[:-1], down),
    )

    await eventually(lambda: text(user, "state-market-feed") == "✖ down")
    assert found(user, "state-market-feed") == [cell]
    assert kinds(user, "market-feed")[-1] == "down"
    assert text(user, "now-market-feed") == "silent for 17 s"


async def test_a_component_that_was_not_judged_has_a_dash_with_its_reason(
    user: User, watch: ScriptedWatch
) -> None:
    watch.becomes(
        Component.MARKET_FEED,
        condition=Condition.CLOSED,
        uptimes=Uptimes(None, 0.5, None),
        strip=tuple(Minute(m.start) for m in watch.rows[0].strip),
    )
    await user.open("/status")

    assert text(user, "state-market-feed") == "■ closed"
    assert text(user, "day-market-feed") == text(user, "month-market-feed") == "—"
    assert "nothing was judged" in title(user, "day-market-feed")
    assert text(user, "week-market-feed") == "50.00%"
    assert kinds(user, "market-feed") == ["closed"] * 60


async def test_reconnect_is_one_click(user: User, watch: ScriptedWatch) -> None:
    await user.open("/status")

    press(user, "reconnect-market-feed")
    press(user, "reconnect-portfolio-stream-of-main")

    await eventually(lambda: len(watch.reconnected) == 2)
    assert watch.reconnected == [("market", "page"), ("portfolio-main", "page")]
    await user.should_see("Reconnecting the market feed")


async def test_an_act_that_is_refused_says_why(user: User, watch: ScriptedWatch) -> None:
    watch.error = Denied("the feed is being reconnected already")
    await user.open("/status")

    press(user, "reconnect-market-feed")

    await user.should_see("Not done: the feed is being reconnected already.", retries=20)


async def test_a_component_is_muted_for_an_hour_and_heard_again(
    user: User, watch: ScriptedWatch
) -> None:
    await user.open("/status")

    press(user, "mute-telegram")
    await eventually(lambda: text(user, "muted-telegram") == "muted until 12:00")
    press(user, "mute-telegram")
    await eventually(lambda: text(user, "muted-telegram") == "")

    assert watch.mute_asked == [("telegram", 60.0), ("telegram", 0)]


async def test_a_stream_is_muted_with_those_of_all_accounts_and_critical_alerts_still_come(
    user: User, watch: ScriptedWatch
) -> None:
    """The watch knows no mute of one account; asked for one it refused, whoever pressed."""
    await user.open("/status")

    press(user, "mute-portfolio-stream-of-main")

    said = "For an hour only critical alerts of portfolio stream of all accounts are sent."
    await user.should_see(said, retries=20)
    assert watch.mute_asked == [("portfolio stream", 60.0)]
    muted = "muted-portfolio-stream-of-main"
    await eventually(lambda: text(user, muted) == "muted until 12:00")


async def test_details_tell_the_ladder_as_it_runs(user: User, desk: Desk) -> None:
    await user.open("/status")
    press(user, "details-market-feed")
    await drawn(user, "feed-backoff")
    assert text(user, "feed-backoff") == "not needed"
    assert text(user, "feed-latency") == "0.8 ms / 2.4 ms / 7.9 ms"

    feed(desk).now(state=FeedState.BACKING_OFF, attempt=3, next_attempt_in=4.2)

    expected = "attempt 3 of unlimited, next in 4.2s"
    await eventually(lambda: text(user, "feed-backoff") == expected)
    press(user, "details-market-feed")
    await eventually(lambda: not found(user, "feed-backoff"))


async def test_details_list_the_gaps_of_today(
    user: User, gaps: ScriptedGaps, clock: ManualClock
) -> None:
    begun = clock.now() - timedelta(minutes=10)
    ended = Gap("market", begun, begun + timedelta(seconds=20), "stalled", True, 1, 44, 1_780, 2)
    yesterday = replace(ended, start=begun - timedelta(days=1), end=begun - timedelta(hours=20))
    still = Gap("market", clock.now(), None, "closed (1006)", True)
    gaps.kept = [yesterday, replace(ended, fill_words="of 44"), replace(still, start=begun)]
    await user.open("/status")

    press(user, "details-market-feed")
    await drawn(user, "gaps")

    rows = [
        [label.text for label in row.descendants() if isinstance(label, ui.label)]
        for row in found(user, "gaps")[-1].descendants()
        if row.tag == "tr"
    ]
    assert rows[1:] == [
        ["10:50:00", "still open", "10m 00s", "—", "—", "still open", "closed (1006)"],
        ["10:50:00", "10:50:20", "20s", "44", "~1,780", "2 minutes of 44", "stalled"],
    ]


async def test_a_ledger_that_cannot_be_read_says_so(user: User, gaps: ScriptedGaps) -> None:
    gaps.error = Retryable("another program holds the database locked")
    await user.open("/status")

    press(user, "details-market-feed")
    await drawn(user, "gaps-note")

    said = "The gaps of today could not be read: another program holds the database locked."
    assert text(user, "gaps-note") == said


def log_rows(user: User) -> list[list[str]]:
    return [
        [label.text for label in row.descendants() if isinstance(label, ui.label)]
        for row in found(user, "log-line")
    ]


async def test_details_of_the_feed_draw_the_hops_of_a_price(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    known = latencies(desk.watch).known
    last = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
    known[Hop.ARRIVAL] = [HopMinute(last, 900, 41.0, 88.0)]
    await user.open("/status")
    press(user, "details-market-feed")
    await drawn(user, "hops")

    assert text(user, "hop-arrival") == "p50 41 ms · p99 88 ms at 10:59"
    assert text(user, "hop-screen").startswith("No page with prices was open")
    chart = found(user, "hop-chart-arrival")[-1]
    assert isinstance(chart, HopChart)
    assert chart.props["points"][:59] == [None] * 59
    assert chart.props["points"][59][1:3] == [41.0, 88.0]

    clock.advance(60)
    known[Hop.ARRIVAL].append(HopMinute(last + timedelta(minutes=1), 880, 39.0, 70.0))

    await eventually(lambda: text(user, "hop-arrival") == "p50 39 ms · p99 70 ms at 11:00")
    assert found(user, "hop-chart-arrival") == [chart]
    assert [p[1] for p in chart.props["points"] if p] == [41.0, 39.0]


async def test_only_the_market_feed_has_hops(user: User) -> None:
    await user.open("/status")
    press(user, "details-storage")
    await drawn(user, "log-storage")

    assert not found(user, "hops")


async def test_details_show_the_log_of_their_component_as_text(user: User, desk: Desk) -> None:
    said = log(desk.watch).says
    said("storage.writer", "<b>disk</b> I/O error", logging.ERROR)
    said("feeds.connection.market", "market: live -> backing off, closed (1006)")
    await user.open("/status")
    press(user, "details-storage")
    await drawn(user, "log-line")
    assert log_rows(user) == [["11:00:00", "✖ error", "storage.writer", "<b>disk</b> I/O error"]]

    said("storage.writer", "ok again")

    await eventually(lambda: [row[3] for row in log_rows(user)][1:] == ["ok again"])


async def test_a_component_without_a_line_says_so(user: User, desk: Desk) -> None:
    log(desk.watch).says("vigil", "instruments: 0 unknown types")
    await user.open("/status")
    press(user, "details-telegram")
    await drawn(user, "log-telegram")

    assert log_rows(user) == []
    assert text(user, "log-empty-telegram") == "Nothing was logged since the start."
    assert found(user, "log-empty-telegram")[-1].visible


# the sentence, and a watch that is not there


async def test_the_sentence_names_the_cause(
    user: User, watch: ScriptedWatch, heard: None, clock: ManualClock
) -> None:
    await user.open("/status")
    assert text(user, "sentence") == "● All systems good"

    silent = "market feed silent for 17 s"
    watch.becomes(Component.MARKET_FEED, condition=Condition.DOWN, since=clock.now(), words=silent)
    watch.happens(feed_incident(clock))

    said = "◐ Degraded: market feed down since 11:00:00, silent for 17 s"
    await eventually(lambda: text(user, "sentence") == said)


async def test_without_a_watch_nothing_is_good(unwatched: User) -> None:
    await unwatched.open("/status")

    assert text(unwatched, "sentence").startswith("◐ Degraded: the watch is not running")
    assert "The watch is not running" in text(unwatched, "blind")
    assert text(unwatched, "state-market-feed") == "— not known"
    assert text(unwatched, "now-storage") == "the watch is not running"
    assert kinds(unwatched, "market-feed") == ["unknown"] * 60
    assert unwatched.client is not None
    cells = [e for e in unwatched.client.elements.values() if isinstance(e, Cell)]
    assert [c for c in cells if c.shown.tone is Tone.GOOD] == []


async def test_a_monitor_that_stopped_looking_is_believed_no_more(
    user: User, watch: ScriptedWatch, heard: None
) -> None:
    await user.open("/status")
    assert text(user, "blind") == ""

    watch.look_age = 12.0

    await eventually(lambda: text(user, "state-market-feed") == "— not known")
    said = "◐ Degraded: the watch has not looked for 12s"
    await eventually(lambda: text(user, "sentence").startswith(said))
    assert text(user, "blind").startswith("✖ The watch has not looked for 12s")
    assert text(user, "now-market-feed") == "last known: 38 msg/s, 0.2 s ago"


# incidents


async def test_incidents_stand_open_ones_first(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    over = watch.happens(feed_incident(clock, ended=True, ago=600))
    lasting = watch.happens(feed_incident(clock, ago=3_600))
    await user.open("/status")
    await drawn(user, f"incident-{over.number}")

    body = found(user, f"incident-{over.number}")[-1].parent_slot
    assert body is not None
    order = [m for e in body.children for m in e._markers if m.startswith("incident-")]

    assert order == [f"incident-{lasting.number}", f"incident-{over.number}"]
    assert text(user, "incidents-open") == "1 open"
    assert text(user, f"state-{over.number}") == "● over"
    assert text(user, f"duration-{over.number}") == "7.2s"
    assert text(user, f"ticks-{over.number}") == "~1,780 ticks missed"
    assert text(user, f"cause-{over.number}") == "market feed: silent for 17 s · SIM"
    assert found(user, f"running-{lasting.number}")[-1].visible
    assert found(user, f"running-{lasting.number}")[-1].since == clock.monotonic() - 3_600  # type: ignore[attr-defined]


async def test_a_stopwatch_counts_real_seconds_on_a_fast_exchange(
    user: User, watch: ScriptedWatch, drill: ScriptedDrills, clock: ManualClock
) -> None:
    """At sixty times the speed it began with an hour on it, and went on by the second."""
    clock.rate = 60.0
    lasting = watch.happens(feed_incident(clock, ago=3_600))
    drill.goes(DrillResult("freeze", clock.now() - timedelta(seconds=120)))
    await user.open("/status")

    for mark, seconds in ((f"running-{lasting.number}", 60), ("stopwatch-freeze", 2)):
        assert found(user, mark)[-1].since == clock.monotonic() - seconds  # type: ignore[attr-defined]


async def test_incidents_that_are_too_many_for_the_page_are_not_left_out_unsaid(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    for n in range(MOST):
        watch.happens(replace(feed_incident(clock, ended=True, ago=600 + n), key=f"k{n}"))
    await user.open("/status")
    await drawn(user, f"incident-{MOST}")
    assert text(user, "incidents-empty") == ""

    watch.happens(replace(feed_incident(clock, ended=True, ago=599), key="one more"))
    await user.open("/status")

    said = "Only the latest 30 are shown here; the seven-day report has more."
    await eventually(lambda: text(user, "incidents-empty") == said)
    assert not found(user, f"incident-{MOST}"), "the oldest"


async def test_an_incident_comes_and_goes_while_the_page_is_open(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    await user.open("/status")
    await eventually(lambda: text(user, "incidents-empty").startswith("No incident"))

    begun = watch.happens(feed_incident(clock))
    assert text(user, f"state-{begun.number}") == "✖ open"
    press(user, f"open-{begun.number}")
    await drawn(user, f"steps-{begun.number}")
    row = found(user, f"incident-{begun.number}")
    steps = (*begun.steps[:1], replace(begun.steps[1], result="a price after 1.2 s"))
    watch.happens(replace(begun, ended=clock.now(), steps=steps))

    assert found(user, f"incident-{begun.number}") == row
    assert text(user, f"state-{begun.number}") == "● over"
    assert text(user, f"duration-{begun.number}") == "1m 30s"
    assert text(user, "incidents-open") == ""
    await user.should_see("a price after 1.2 s")


async def test_an_incident_that_gets_its_number_later_stays_one_row(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    """It was a row #0 that stayed open for ever, beside its own number."""
    await user.open("/status")
    told = feed_incident(clock)
    watch.changes.emit(replace(told, number=0))
    watch.changes.emit(replace(told, number=7))

    assert len(found(user, "incident-7")) == 1
    assert not found(user, "incident-0")
    assert text(user, "incidents-open") == "1 open"


async def test_an_incident_is_acknowledged_by_its_alerts(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    begun = watch.happens(feed_incident(clock))
    mine = watch.raises(health_alert(clock, incident=begun.number))
    watch.raises(health_alert(clock))
    await user.open("/status")
    await drawn(user, f"ack-{begun.number}")

    press(user, f"ack-{begun.number}")

    await eventually(lambda: watch.acknowledge_asked == [("page", [mine.id])])
    await eventually(lambda: not found(user, f"ack-{begun.number}")[-1].visible)


async def test_an_incident_that_is_not_on_the_disk_acknowledges_nothing_and_says_why(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    """Its number is 0, and so is that of every alert without an incident."""
    watch.raises(health_alert(clock))
    await user.open("/status")
    watch.changes.emit(replace(feed_incident(clock), number=0))

    press(user, "ack-0")
    await user.should_see("the disk has not taken this incident yet", retries=20)
    press(user, "open-0")
    await drawn(user, "note-0")
    enter(user, "note-0", "the router")
    press(user, "save-note-0")

    assert watch.acknowledge_asked == []
    assert len(watch.unacknowledged()) == 1
    assert watch.journal.kept == {}


async def test_a_note_is_kept(user: User, watch: ScriptedWatch, clock: ManualClock) -> None:
    begun = watch.happens(feed_incident(clock))
    await user.open("/status")
    press(user, f"open-{begun.number}")
    await drawn(user, f"note-{begun.number}")

    enter(user, f"note-{begun.number}", "  <b>the router</b>, again ")
    watch.happens(begun.stepped(clock.now(), "reconnect", "under way"))  # while it is typed
    press(user, f"save-note-{begun.number}")

    await eventually(lambda: watch.journal.kept[begun.number].note == "<b>the router</b>, again")


async def test_incidents_that_cannot_be_read_are_told(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    begun = watch.happens(feed_incident(clock))
    watch.journal.error = Retryable("the disk is full")
    await user.open("/status")

    await eventually(lambda: "could not be read: the disk is full" in text(user, "incidents-empty"))
    assert text(user, f"state-{begun.number}") == "✖ open"  # what is known stays


# jobs, ways, parts


async def test_jobs_and_ways_are_told_with_their_troubles(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    await user.open("/status")
    assert text(user, "next-run-of-recovery") == "in 12s"
    assert text(user, "last-took-of-retention") == "—"
    assert text(user, "state-of-telegram") == "● good"

    watch.job_rows[0] = replace(watch.job_rows[0], failures=2, error="no disk", last_ms=812.0)
    again = clock.now() + timedelta(seconds=8)
    watch.ways[0] = ChannelHealth("telegram", "down", "no network", 3, next_attempt=again)

    await eventually(lambda: text(user, "failed-of-monitor") == "2")
    assert title(user, "failed-of-monitor") == "no disk"
    assert text(user, "last-took-of-monitor") == "812 ms"
    assert text(user, "state-of-telegram") == "✖ down"
    assert text(user, "waiting-of-telegram") == "3"
    assert text(user, "words-of-telegram") == "no network; tried again at 11:00:08"


async def test_a_test_message_is_one_click(user: User, watch: ScriptedWatch) -> None:
    await user.open("/status")

    press(user, "test-message")

    await eventually(lambda: watch.tests == ["page"])


async def test_the_parts_of_the_desk_stay_on_the_page(user: User) -> None:
    await user.open("/status")

    assert text(user, "Storage-rows") == "12,34,567"
    assert text(user, "Process-memory") == "148.0 MB"
    assert text(user, "mode-full") == "44 of 1,500"
    assert text(user, "segment-NSE_EQ") == "open until 15:30 · exchange says NORMAL_OPEN"


# drills


async def test_a_drill_runs_with_a_stopwatch_and_ends_on_its_scorecard(
    user: User, drill: ScriptedDrills, clock: ManualClock
) -> None:
    await user.open("/status")
    assert text(user, "verdict-pull-the-plug") == "not tried yet"
    assert text(user, "detected-of-pull-the-plug") == "—"

    press(user, "start-pull-the-plug")
    await eventually(lambda: drill.started == ["pull the plug"])
    assert found(user, "stopwatch-pull-the-plug")[-1].visible
    assert found(user, "stopwatch-pull-the-plug")[-1].since == clock.monotonic()  # type: ignore[attr-defined]
    assert not found(user, "start-freeze")[-1].enabled  # type: ignore[attr-defined]
    assert found(user, "drill-stop")[-1].visible
    drill.goes(DrillResult("pull the plug", clock.now(), 0.1, 1.9, 410, 2, 0.8, clock.now(), True))

    assert text(user, "verdict-pull-the-plug") == "● passed"
    assert text(user, "detected-of-pull-the-plug") == "0.1s"
    assert text(user, "recovered-of-pull-the-plug") == "1.9s"
    assert text(user, "ticks-lost-of-pull-the-plug") == "410"
    assert text(user, "told-of-pull-the-plug") == "0.8s"
    assert not found(user, "stopwatch-pull-the-plug")[-1].visible
    assert found(user, "start-freeze")[-1].enabled  # type: ignore[attr-defined]


async def test_a_drill_that_failed_says_why_and_what_was_never_seen(
    user: User, drill: ScriptedDrills, clock: ManualClock
) -> None:
    now = clock.now()
    drill.last["freeze"] = DrillResult("freeze", now, 15.4, ended=now, words="no price within 60 s")
    await user.open("/status")

    assert text(user, "verdict-freeze") == "✖ not passed: no price within 60 s"
    assert text(user, "recovered-of-freeze") == "—"
    assert title(user, "recovered-of-freeze") == "not seen"


async def test_a_drill_is_asked_for_twice_only_if_positions_are_open(
    user: User, desk: Desk, drill: ScriptedDrills
) -> None:
    await deal(desk, LOT, 142.35)
    await user.open("/status")

    press(user, "start-freeze")
    await drawn(user, "drill-words")
    assert drill.started == []
    assert text(user, "drill-words").startswith("1 position is open, in the simulated account")
    press(user, "drill-confirm")

    await eventually(lambda: drill.started == ["freeze"])


async def test_a_drill_can_be_stopped_and_a_refusal_is_told(
    user: User, drill: ScriptedDrills
) -> None:
    await user.open("/status")
    drill.error = Denied("positions are open that are not simulated")
    press(user, "start-freeze")
    await user.should_see("Not done: positions are open that are not simulated.", retries=20)

    drill.error = None
    press(user, "start-freeze")
    await eventually(lambda: drill.running() is not None)
    press(user, "drill-stop")

    await eventually(lambda: drill.stops == 1)
    await eventually(lambda: text(user, "verdict-freeze") == "✖ not passed: stopped by hand")


async def test_a_desk_without_drills_has_no_panel(clock: ManualClock, no_errors: None) -> None:
    desk = make_desk(clock)
    assert desk.watch is not None
    async with serving(replace(desk, watch=replace(desk.watch, drills=None))) as user:
        await user.open("/status")

        assert not found(user, "drill-stop")
        assert found(user, "checklist-run")


# the checklist


async def test_the_checklist_is_run_by_hand(user: User, watch: ScriptedWatch) -> None:
    watch.before_open.append(Check("Clock", False, "1.8 s ahead", "sync it", grave=False))
    await user.open("/status")
    assert watch.checklists == 0

    press(user, "checklist-run")

    await eventually(lambda: text(user, "checklist-verdict") == "◐ CARE  4 of 5 good")
    await user.should_see("→ sync it")
    lines = [e.text for e in found(user, "checks")[-1].descendants() if isinstance(e, ui.label)]
    assert lines[:4] == ["◐", "Clock", "1.8 s ahead", "→ sync it"]


async def test_the_checklist_that_the_desk_ran_is_on_the_page_with_its_time(
    user: User, watch: ScriptedWatch, clock: ManualClock
) -> None:
    """Each open tab once ran it by itself, and later ones said that it had not been run."""
    at_nine = clock.now() - timedelta(hours=2)
    watch.last_check = Checked(at_nine, tuple(watch.before_open))
    await user.open("/status")

    assert text(user, "checklist-verdict") == "● READY  4 of 4 good"
    assert text(user, "checklist-said") == "Run at 09:00:00."
    bad = Check("Clock", False, "1.8 s ahead", grave=False)
    watch.last_check = Checked(clock.now(), (bad, *watch.before_open))
    await eventually(lambda: text(user, "checklist-verdict") == "◐ CARE  4 of 5 good")
    assert text(user, "checklist-said") == "Run at 11:00:00."
    assert watch.checklists == 0


async def test_a_checklist_that_fails_says_so_and_can_be_run_again(
    user: User, watch: ScriptedWatch
) -> None:
    watch.error = Retryable("the broker does not answer")
    await user.open("/status")
    press(user, "checklist-run")
    said = "The checklist could not be run: the broker does not answer."
    await eventually(lambda: text(user, "checklist-said") == said)

    watch.error = None
    press(user, "checklist-run")

    await eventually(lambda: text(user, "checklist-verdict") == "● READY  4 of 4 good")


# cost


async def test_leaving_the_page_takes_its_ears_and_cells_along(
    user: User, watch: ScriptedWatch, drill: ScriptedDrills
) -> None:
    client = await user.open("/status")
    await drawn(user, "incidents-empty")
    ears, cells = (len(watch.changes), len(drill.changes)), len(client.elements)

    with client:
        for path in ("/", "/status") * 3:
            await client.sub_pages_router._handle_navigate(path)
            await user.should_see(marker="mode")
    await drawn(user, "incidents-empty")

    assert (len(watch.changes), len(drill.changes)) == ears
    assert abs(len(client.elements) - cells) <= 2


async def test_the_disk_is_read_when_the_page_opens_and_not_again(
    user: User, watch: ScriptedWatch
) -> None:
    await user.open("/status")
    await eventually(lambda: text(user, "incidents-empty"))
    before = watch.journal.reads

    for runs in (3_601, 3_602, 3_603):
        watch.job_rows[0] = replace(watch.job_rows[0], runs=runs)
        await eventually(lambda runs=runs: text(user, "runs-of-monitor") == f"{runs:,}")

    assert watch.journal.reads == before
