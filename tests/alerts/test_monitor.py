"""From the desk to what a person is told: F01-F03, A01, H02, H04-H06 as the watch sees them."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.rulebook import Rule, found_rules
from alerts.sight import Sight, Sources
from alerts.wording import others
from tests.alerts.scripted_feeds import MORNING
from tests.alerts.watch_rig import WatchRig, only
from tests.dashboard.fakes import BANK, CALL, NIFTY, PUT
from trading.errors import Retryable
from trading.health import (
    ChannelHealth,
    Component,
    Condition,
    Finding,
    Occasion,
    Severity,
    Thresholds,
)
from trading.orders import ReadFailed
from trading.ports import FeedState, PolledQuote, RestStats

BEGIN, END, ESCALATE = Occasion.BEGIN, Occasion.END, Occasion.ESCALATE


def quote(key: str, at_ms: int) -> PolledQuote:
    return PolledQuote(key, 100.0, at_ms, 99.9, 75, 100.1, 75, 90.0, 110.0, 50.0, 250.0)


async def stall(rig: WatchRig) -> None:
    """Let the feed judge its silence and say so, as the real one does."""
    await rig.run(15)
    rig.feed.goes(FeedState.STALLED, "no price for 15 s, though the exchange trades")
    rig.feed.goes(FeedState.BACKING_OFF, "no price for 15 s, though the exchange trades")
    await rig.run(1)


async def test_all_is_well_and_nobody_is_told_anything() -> None:
    rig = WatchRig()

    await rig.live(200)

    assert rig.told == []
    assert rig.monitor.findings() == ()
    assert rig.monitor.looks == 200


async def test_f01_a_silent_feed_is_told_once_and_once_that_it_is_back() -> None:
    rig = WatchRig()
    rig.feed.now(tick_rate=38.0)
    await rig.live(60)

    await stall(rig)
    assert rig.titles == ["MARKET FEED SILENT 16 s"]
    rig.feed.goes(FeedState.CONNECTING, "attempt 1")
    await rig.run(3)
    rig.feed.goes(FeedState.OPEN, "connected, no price yet")
    await rig.run(2)
    assert rig.occasions == [BEGIN], "a socket that opened is no price"
    rig.feed.goes(FeedState.LIVE, "prices arrive")
    await rig.live(3)

    assert rig.occasions == [BEGIN, END]
    assert rig.titles[1] == "MARKET FEED BACK after 22 s · about 798 ticks missed"
    assert rig.told[1].lines[-1] == "All other components are up"
    assert [a.key for a in rig.told] == ["no_prices"] * 2
    (incident,) = rig.journal.kept.values()
    assert incident.ticks_missed == 798
    assert incident.ended is not None
    assert incident.began == MORNING + timedelta(seconds=60), "since the last price"
    assert {a.incident for a in rig.told} == {incident.number}


async def test_f02_heartbeats_are_no_prices() -> None:
    rig = WatchRig()
    await rig.live(5)

    for _ in range(15):
        rig.feed.now(frame_age=0.1)
        await rig.run(1)
    rig.feed.goes(FeedState.STALLED, "no price for 15 s, though the exchange trades")
    await rig.run(1)

    assert rig.occasions == [BEGIN]


async def test_a_stall_is_told_at_once_though_the_feed_dials_again_within_a_moment() -> None:
    rig = WatchRig()
    await rig.live(5)
    await rig.run(15, every=7.5)
    looks = rig.monitor.looks

    for state in (FeedState.STALLED, FeedState.BACKING_OFF, FeedState.CONNECTING):
        rig.feed.goes(state, "no price for 15 s, though the exchange trades")
    await _real(0.2)
    await rig.monitor.told()

    assert rig.monitor.looks == looks + 1
    assert rig.titles == ["MARKET FEED SILENT 15 s"]


async def test_a_feed_that_hangs_without_saying_so_is_told_three_looks_later() -> None:
    """Whatever the feed thinks of itself, silence is found by the desk's own clock."""
    rig = WatchRig()
    await rig.live(5)

    await rig.run(16)
    assert rig.told == []
    await rig.run(2)

    assert rig.titles == ["MARKET FEED SILENT 17 s"]


async def test_a_feed_that_tells_only_old_prices_is_silent() -> None:
    rig = WatchRig()
    await rig.live(5)
    old = rig.clock.now() - timedelta(minutes=1)

    for _ in range(20):
        rig.clock.advance(1)
        rig.bench.price(NIFTY, at=old)
        await rig.monitor.look()
        await rig.monitor.told()

    assert rig.occasions == [BEGIN]


async def test_f03_a_market_without_trades_is_no_trouble() -> None:
    """The feed has compared with the broker's quotes and missed nothing, again and again."""
    rig = WatchRig()
    await rig.live(5)

    for second in range(600):
        rig.feed.now(quiet_age=None if second < 16 else (second - 16) % 16 * 1.0)
        await rig.run(1)

    assert rig.told == []
    assert rig.feed.reconnects == []


async def test_f03_what_the_exchange_calls_closed_is_closed_whatever_the_calendar_says() -> None:
    rig = WatchRig()
    await rig.live(5)
    rig.feed.now(segments={"NSE_INDEX": "NORMAL_CLOSE"})

    await rig.run(600, every=3)

    assert rig.told == []


async def test_a_night_with_a_closed_market_says_nothing() -> None:
    rig = WatchRig(at=MORNING.replace(hour=16))
    rig.hold(price=False)
    rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    rig.stream.goes(FeedState.BACKING_OFF, "the connection was lost")

    await rig.run(15 * 3600, every=120)

    assert rig.told == []
    assert rig.feed.reconnects == []


async def test_the_first_price_of_the_day_may_take_its_time() -> None:
    rig = WatchRig(at=MORNING.replace(hour=9, minute=10))

    await rig.run(5 * 60 + 14)
    assert rig.told == []
    await rig.live(10)

    assert rig.told == []


async def test_a_socket_that_closes_and_comes_back_within_a_moment_is_told_to_nobody() -> None:
    """It has its row in the gap ledger; a person would have nothing to do."""
    rig = WatchRig()
    await rig.live(5)

    rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    await rig.run(1)
    assert rig.keys == {"no_prices"}
    rig.feed.comes_back()
    await rig.live(5)

    assert rig.told == []


async def test_forty_flaps_in_ten_minutes_are_three_messages_and_one_incident() -> None:
    rig = WatchRig()
    await rig.live(5)

    for _ in range(40):
        rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
        await rig.run(7)
        rig.feed.comes_back()
        await rig.live(8)

    assert len(rig.told) <= 3
    assert "ON AND OFF" in rig.titles[-1]
    incident = only(rig.incidents.open())
    assert incident.flaps >= 39
    assert incident.ticks_missed == pytest.approx(40 * 7 * 402.5, rel=0.05)
    await rig.live(310)
    assert rig.occasions[-1] is END
    assert rig.incidents.open() == []
    await _real(0.01)
    assert only(list(rig.journal.kept.values())).ended is not None


async def test_what_is_on_and_off_is_neither_reminded_of_nor_told_as_wrong_while_it_is_off() -> (
    None
):
    """Its end waits until it is steady; until then nobody may hear that it is there."""
    rig = WatchRig()
    rig.hold()
    await rig.run(5, prices=[NIFTY, CALL])
    for seconds in (16, 36):  # the second fall is on and off, and grave
        rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
        await rig.run(seconds)
        rig.feed.comes_back()
        await rig.run(5, prices=[NIFTY, CALL])
    assert rig.told[-1].severity is Severity.CRITICAL
    told = len(rig.told)

    for _ in range(200):
        await rig.run(1, prices=[NIFTY, CALL])
        await rig.teller.look()

    assert [a.title for a in rig.told[told:] if a.occasion is Occasion.REMIND] == []
    assert not only(rig.monitor.standings()).present

    rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    for _ in range(5):
        await rig.run(1)
        await rig.teller.look()

    assert [a.occasion for a in rig.told[told:]] == [Occasion.REMIND]
    assert all(standing.present for standing in rig.monitor.standings())


def test_what_is_on_and_off_is_not_told_as_still_wrong_while_it_is_off() -> None:
    locked = Finding("disk", Component.STORAGE, Severity.CRITICAL, "database locked", "", "")

    assert others([], [locked, locked]) == "Well at the moment, not steady yet: storage"
    assert others([locked], [locked]) == (
        "Still wrong: database locked. Well at the moment, not steady yet: storage"
    )
    assert others([]) == "All other components are up"


async def test_what_is_open_makes_a_silence_critical_after_half_a_minute() -> None:
    rig = WatchRig()
    rig.hold()
    await rig.live(5)
    await stall(rig)
    assert rig.told[-1].severity is Severity.WARNING

    await rig.run(20)

    assert [(a.key, a.occasion) for a in rig.told] == [
        ("stale_position", BEGIN),  # nobody asks for its quote in this test
        ("no_prices", BEGIN),
        ("no_prices", ESCALATE),
    ]
    worse = rig.told[-1]
    assert worse.severity is Severity.CRITICAL
    assert worse.title == "MARKET FEED SILENT 30 s (1 position open)"
    assert worse.is_mock
    assert worse.mode == "SIMULATED"


async def test_positions_that_are_asked_for_one_by_one_are_not_blind() -> None:
    rig = WatchRig()
    rig.hold()
    rig.desk.marks.want("positions", [CALL])
    await rig.live(2)

    for _ in range(40):
        rig.bench.quotes.told[CALL] = quote(CALL, int(rig.clock.now().timestamp() * 1000))
        await rig.desk.marks.poll()
        await rig.run(1)

    assert {a.key for a in rig.told} == {"no_prices"}
    assert "asked for one by one" in rig.told[0].lines[0]


async def test_a_quiet_instrument_of_a_feed_that_lives_says_nothing() -> None:
    rig = WatchRig()
    rig.hold()

    await rig.live(300)

    assert rig.told == []


async def test_an_instrument_whose_price_never_comes_is_told_by_its_name() -> None:
    rig = WatchRig()
    await rig.live(5)
    rig.hold(PUT, price=False)

    await rig.live(10)

    assert rig.titles == ["NO PRICE OF NIFTY 27 NOV 24000 PE for 7 s (1 position open)"]
    await rig.live(30)
    assert rig.occasions[-1] is ESCALATE
    await rig.run(3, prices=[NIFTY, PUT])
    assert rig.occasions[-1] is END


async def test_the_market_closes_during_an_outage_and_nothing_is_claimed() -> None:
    rig = WatchRig(at=MORNING.replace(hour=15, minute=29))
    await stall(rig)

    await rig.run(60)

    assert rig.occasions == [BEGIN, END]
    assert rig.titles[1].startswith("MARKET CLOSED after ")
    assert not any("BACK" in title for title in rig.titles)
    (incident,) = rig.journal.kept.values()
    assert incident.ended is not None
    assert incident.steps[-1].result == "the market closed"


# one trouble, one alert


async def test_a01_a_token_that_ends_in_the_night_is_one_alert() -> None:
    rig = WatchRig(at=MORNING.replace(hour=3, minute=29))
    rig.hold(price=False)
    await rig.run(30)

    reason = "the feed refused the token"
    for feed in (rig.feed, rig.stream):
        feed.goes(FeedState.BACKING_OFF, "the feed closed the connection (code 1000)")
        feed.goes(FeedState.CONNECTING, "attempt 1")
        feed.goes(FeedState.REFUSED, reason)
    rig.desk.positions.on_read_failed(_failed(rig, "the token has expired"))
    rig.calls = RestStats(20, 9, "the token has expired", 1.0, 60.0)
    await rig.run(4 * 3600, every=30)

    only([f for f in rig.monitor.findings() if f.rule == "feed_refused"])
    assert [a.key for a in rig.told] == ["feed_refused main"]
    assert rig.told[0].severity is Severity.WARNING

    for feed in (rig.feed, rig.stream):
        feed.goes(FeedState.CONNECTING, "attempt 1")
    await rig.run(10)
    assert rig.occasions == [BEGIN], "trying is no success"
    for feed in (rig.feed, rig.stream):
        feed.goes(FeedState.OPEN, "connected")
    await rig.run(3)
    assert rig.occasions == [BEGIN, END]


def _failed(rig: WatchRig, reason: str) -> ReadFailed:
    return ReadFailed("main", reason, rig.clock.now())


async def test_when_nothing_answers_there_is_one_alert_and_the_others_are_not_known() -> None:
    rig = WatchRig()
    rig.hold()
    await rig.live(5)

    rig.calls = RestStats(20, 5, "the network failed (Network is unreachable)", 0.5, 9.0)
    for feed in (rig.feed, rig.stream):
        feed.goes(FeedState.BACKING_OFF, "the network failed (Network is unreachable)")
    rig.desk.positions.on_read_failed(_failed(rig, "the network failed"))
    await rig.run(60)

    assert {a.key for a in rig.told} == {"unreachable"}
    conditions = {s.finding.key: s.condition for s in rig.monitor.standings()}
    assert conditions["unreachable"] is Condition.DOWN
    assert conditions["no_prices"] is Condition.UNKNOWN
    assert conditions["stream_down main"] is Condition.UNKNOWN
    assert {"no_prices", "stream_down main"} <= rig.keys, "recovery still sees all of it"


async def test_a_suspected_sleep_says_it_once_and_judges_nothing_else() -> None:
    rig = WatchRig()
    await rig.live(5)
    slept = Finding(
        "sleep", Component.PROCESS, Severity.WARNING, "this computer slept for 600 s", "", "",
        at_once=True,
    )  # fmt: skip
    asleep = [slept]
    rig.monitor.also(lambda: asleep)

    await rig.run(40)
    assert [a.key for a in rig.told] == ["sleep"]
    asleep.clear()
    await rig.live(5)

    assert rig.occasions == [BEGIN, END]


async def test_a_desk_that_starts_or_stops_judges_nothing() -> None:
    rig = WatchRig()
    rig.desk.progress.stage = "starting"
    rig.feed.goes(FeedState.CONNECTING, "attempt 1")
    rig.desk.journal.storage = replace(rig.desk.journal.storage, lag=60.0)  # type: ignore[attr-defined]

    await rig.run(60)

    assert rig.told == []


async def test_a_start_that_failed_is_critical() -> None:
    rig = WatchRig()
    rig.desk.progress.stage, rig.desk.progress.reason = "failed", "see the log"

    await rig.run(2)

    assert [(a.key, a.severity) for a in rig.told] == [("start_failed", Severity.CRITICAL)]


# the rest of the machine


async def test_h04_a_clock_that_is_wrong_by_ninety_seconds_is_critical() -> None:
    rig = WatchRig()
    rig.feed.now(clock_skew=90.0)

    await rig.live(5)

    assert [(a.key, a.severity) for a in rig.told] == [("clock_skew", Severity.CRITICAL)]
    assert rig.titles == ["CLOCK 90.0 s behind the exchange's"]


@pytest.mark.parametrize("leap", [-3600.0, 3600.0])
async def test_h02_a_clock_that_is_set_changes_no_age(leap: float) -> None:
    rig = WatchRig(at=MORNING.replace(hour=12))
    await rig.live(10)

    rig.clock.step_wall(leap)
    rig.bench.price(connection=2)
    await rig.run(30, prices=[NIFTY])

    assert rig.told == []
    rows = rig.minutes.past()
    assert all(row.judged <= 60.0 for row in rows), "an hour that nobody saw is not judged"


async def test_h05_a_loop_that_was_blocked_is_told() -> None:
    rig = WatchRig()
    late = replace(rig.desk.vitals.stats(), loop_lag_max=4_000.0)
    rig.desk.vitals.stats = lambda: late  # type: ignore[method-assign]

    await rig.live(4)

    assert rig.titles == ["DESK LATE BY 4.0 s within the last minute"]


async def test_a_channel_that_waits_for_too_long_is_told_on_the_others() -> None:
    phone = ChannelHealth("telegram", "waiting", "no network", queued=2)
    rig = WatchRig(sources=Sources(channels=lambda: [phone]))

    await rig.live(119)
    assert rig.told == []
    await rig.live(6)

    assert rig.keys == {"undeliverable telegram"}
    assert rig.told[0].component is Component.PHONE


# the monitor itself


def _raises(sight: Sight) -> Iterator[Finding]:
    raise ValueError("no such thing")
    yield


async def test_h06_a_rule_that_raises_is_a_finding_and_the_others_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = WatchRig(rules=[Rule("broken", _raises), *found_rules()])
    rig.feed.now(clock_skew=90.0)

    with caplog.at_level(logging.ERROR):
        await rig.live(10)

    assert rig.keys == {"failed_rule broken", "clock_skew"}
    assert {a.key for a in rig.told} == {"failed_rule broken", "clock_skew"}
    assert rig.monitor.failures == 10
    assert caplog.text.count("the rule broken failed") == 1, "once, and not each second"


async def test_what_is_added_later_may_raise_too() -> None:
    rig = WatchRig()

    def broken() -> list[Finding]:
        raise RuntimeError("not now")

    rig.monitor.also(broken)
    await rig.live(3)

    assert only(rig.monitor.findings()).rule == "failed_rule"


async def test_a_feed_that_changes_has_it_looked_at_at_once() -> None:
    rig = WatchRig()
    await rig.live(5)
    looks = rig.monitor.looks

    rig.feed.goes(FeedState.STALLED, "no price for 15 s, though the exchange trades")
    rig.feed.goes(FeedState.BACKING_OFF, "no price for 15 s, though the exchange trades")
    await _real(0.2)

    assert rig.monitor.looks == looks + 1, "a burst of changes is one look"
    await rig.monitor.stop()
    rig.feed.goes(FeedState.CONNECTING, "attempt 1")
    await _real(0.2)
    assert rig.monitor.looks == looks + 1


async def _real(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def test_a_disk_that_refuses_holds_up_no_look_and_loses_nothing() -> None:
    rig = WatchRig()
    await rig.live(5)
    rig.journal.refuses = Retryable("the disk is full")
    await stall(rig)
    rig.feed.comes_back()
    await rig.live(5)

    assert rig.told == []
    assert rig.monitor.alive_age() == 0.0
    rig.journal.refuses = None
    await rig.teller.look()
    await _real(0.05)

    assert rig.occasions == [BEGIN, END]
    assert len(rig.journal.kept) == 1, "the end is of the incident that began"


async def test_alive_age_grows_while_nobody_looks() -> None:
    rig = WatchRig()
    assert rig.monitor.alive_age() is None
    await rig.live(1)
    assert rig.monitor.alive_age() == 0.0

    rig.clock.advance(42)

    assert rig.monitor.alive_age() == 42.0


async def test_recovery_hears_of_changes_that_nobody_is_told_of() -> None:
    rig = WatchRig()
    await rig.live(5)
    heard: list[tuple[Condition, Condition]] = []
    rig.monitor.found.subscribe(lambda change: heard.append((change.before, change.after)))

    rig.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    await rig.run(4)
    rig.feed.comes_back()
    await rig.live(3)

    assert heard == [
        (Condition.OK, Condition.PENDING),
        (Condition.PENDING, Condition.DOWN),
        (Condition.DOWN, Condition.OK),
    ]


async def test_thresholds_of_the_settings_count() -> None:
    rig = WatchRig(limits=Thresholds(feed_silent=3.0, checks_to_down=1))
    await rig.live(5)

    await rig.run(3)

    assert rig.titles == ["MARKET FEED SILENT 3 s"]


async def test_looks_see_what_is_wanted_and_not_what_was() -> None:
    rig = WatchRig()
    await rig.live(2)
    rig.desk.subscriptions.hold("page", [BANK], rig.desk.subscriptions.holds()[0].mode)

    assert rig.look().open_segments == {"NSE_INDEX"}
