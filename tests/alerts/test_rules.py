"""Every rule: what it finds, both sides of its threshold, and that the unknown is not nonsense."""

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from math import nan
from pathlib import Path
from typing import Any

import pytest

from alerts import rules
from alerts.minutes import MinuteBook, Past
from alerts.rulebook import found_rules, holds_back, rests
from alerts.rules.stale_position import BEHIND
from alerts.sight import (
    SETTLES,
    ChannelSight,
    Ending,
    HeldSight,
    Lookout,
    Sight,
    Waiting,
    rest_sum,
)
from tests.alerts.scripted_feeds import MORNING, Bench
from tests.alerts.scripted_journal import ScriptedUptime
from tests.alerts.watch_rig import WatchRig, changed, only
from tests.dashboard.fakes import CALL, MAIN, NIFTY, PUT
from trading.accounts import Accounts
from trading.basket import Basket, BasketState, OnFilled
from trading.books import BookRow
from trading.errors import TokenRefused
from trading.health import (
    ChannelHealth,
    Component,
    Finding,
    JobHealth,
    Severity,
    Thresholds,
)
from trading.order import Order, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.ports import FeedState, Percentiles, RestStats

NIGHT = MORNING + timedelta(hours=12)
WARN, CRIT, INFO = Severity.WARNING, Severity.CRITICAL, Severity.INFO
RULES = {rule.name: rule for rule in found_rules()}
FILES = [info.name for info in pkgutil.iter_modules(rules.__path__)]
HELD = HeldSight(CALL, is_open=True)


def find(name: str, sight: Sight) -> list[Finding]:
    return list(RULES[name].check(sight))


async def _healthy(at: datetime) -> Sight:
    rig = WatchRig(at=at)
    rig.desk.cycle.hint("main")
    await rig.desk.accounts.check()
    return rig.look()


@cache
def _seen(at: datetime) -> Sight:
    return asyncio.run(_healthy(at))


@pytest.fixture
def sight() -> Sight:
    """A healthy desk on an open market with nothing held."""
    return _seen(MORNING)


@pytest.fixture
def night() -> Sight:
    return _seen(NIGHT)


# the folder


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_its_check(name: str) -> None:
    module = importlib.import_module(f"alerts.rules.{name}")

    assert callable(module.check)
    assert module.__doc__
    assert RULES[name].check is module.check


def test_all_rules_of_the_issue_are_there() -> None:
    wanted = {
        "no_prices", "stale_position", "low_uptime", "low_message_rate", "high_error_rate",
        "feed_refused", "stream_down", "token_ending", "decode_errors", "inbox_overflow",
        "storage_behind", "record_incomplete", "disk", "order_unanswered", "books_differ",
        "books_unread", "clock_skew", "loop_lag", "missed_jobs", "undeliverable",
        "unresolved_basket",
    }  # fmt: skip

    assert wanted <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_healthy_desk_raises_nothing(name: str, sight: Sight, night: Sight) -> None:
    assert find(name, sight) == []
    assert find(name, night) == []
    assert sight.market_open
    assert not night.market_open


@pytest.mark.parametrize("name", FILES)
def test_a_desk_that_holds_something_and_is_well_raises_nothing(name: str, sight: Sight) -> None:
    assert find(name, replace(sight, held=(HELD,), working=2)) == []


@pytest.mark.parametrize("state", [s for s in FeedState if s.name not in ("REFUSED", "CONTESTED")])
@pytest.mark.parametrize("name", FILES)
def test_a_closed_market_says_nothing_of_feeds_and_prices(
    name: str, state: FeedState, night: Sight
) -> None:
    """Whatever the feeds do at night, and however old prices are."""
    stats = {
        "state": state, "tick_age": 40_000.0, "frame_age": 900.0, "missing": (CALL,), "attempt": 9,
        "reason": "the connection was lost", "decode_errors": 900,
    }  # fmt: skip
    feed = replace(night.market, stats=replace(night.market.stats, **stats))
    at_night = replace(
        night,
        market=replace(feed, decode_errors=50, dropped=50),
        streams=tuple(replace(s, stats=feed.stats, decode_errors=50) for s in night.streams),
        held=(HeldSight(CALL, is_open=False), HeldSight(PUT, is_open=False)),
        working=1,
        books=tuple(replace(b, failed="no answer in time") for b in night.books),
        rest={"main": RestStats(50, 50, "no answer in time", 1.0, 900.0)},
        past=(Past(Component.MARKET_FEED, "", 3600, 10, 1000, 900, 0.0, 500.0),),
    )

    assert find(name, at_night) == []


# no prices


@pytest.mark.parametrize(
    ("silence", "state", "held", "severity"),
    [
        (14.9, FeedState.LIVE, (), None),
        (15.0, FeedState.LIVE, (), WARN),
        (15.0, FeedState.OPEN, (), WARN),
        (2.0, FeedState.OPEN, (), None),
        (0.5, FeedState.BACKING_OFF, (), WARN),
        (0.5, FeedState.CONNECTING, (), WARN),
        (0.5, FeedState.STOPPED, (), WARN),
        (15.1, FeedState.STALLED, (HELD,), WARN),
        (29.9, FeedState.STALLED, (HELD,), WARN),
        (30.0, FeedState.STALLED, (HELD,), CRIT),
        (300.0, FeedState.STALLED, (), WARN),
    ],
)
def test_no_prices(
    sight: Sight, silence: float, state: FeedState, held: Any, severity: Severity | None
) -> None:
    found = find(
        "no_prices",
        changed(
            sight,
            market={
                "silence": silence,
                "stalled": state is FeedState.STALLED,
                "stats": {"state": state},
            },
            held=held,
        ),
    )

    assert [f.severity for f in found] == ([severity] if severity else [])
    assert all(f.at_once is (state is FeedState.STALLED) for f in found)


def test_where_nobody_knows_what_is_held_a_silent_feed_is_as_grave_as_if_something_were(
    sight: Sight,
) -> None:
    """It stayed a warning, and said that no position was open."""
    unread = tuple(replace(books, checked=None) for books in sight.books)
    stalled = {"silence": 31.0, "stats": {"state": FeedState.STALLED, "missing": (NIFTY,)}}
    at_start = changed(sight, market=stalled, books=unread)
    later = replace(at_start, blindfold=True)

    assert only(find("no_prices", at_start)).severity is WARN
    found = only(find("no_prices", later))
    assert found.severity is CRIT
    assert found.meaning == (
        "No new price comes in; what is held is not known: the books of main have not been read yet"
    )
    assert only(find("no_prices", at_start)).meaning == found.meaning
    known = changed(sight, market=stalled)
    assert only(find("no_prices", known)).meaning.endswith("no position is open in that market")


def test_no_prices_says_what_it_means_for_the_money(sight: Sight) -> None:
    silent = changed(
        sight,
        market={"silence": 30.0, "stats": {"state": FeedState.STALLED, "attempt": 2}},
        held=(HELD, HeldSight(PUT, is_open=True, blind=12.0)),
    )

    found = only(find("no_prices", silent))

    assert found.what == "market feed silent 30 s"
    assert found.meaning == "1 of 2 open positions without a price that may be believed"
    assert "attempt 2" in found.act
    assert found.lasted == 30.0


def test_a_refused_feed_is_the_matter_of_another_rule(sight: Sight) -> None:
    refused = changed(
        sight,
        market={
            "silence": 60.0, "refusal": FeedState.REFUSED, "stats": {"state": FeedState.CONNECTING}
        },
    )  # fmt: skip

    assert find("no_prices", refused) == []
    assert only(find("feed_refused", refused)).about == "main"


# stale positions


@pytest.mark.parametrize(
    ("held", "silence", "found"),
    [
        (HeldSight(CALL, is_open=True), 60.0, []),  # asked for one by one
        (HeldSight(CALL, is_open=True, blind=4.9), 5.0, []),
        (HeldSight(CALL, is_open=True, blind=5.0), 5.0, [(WARN, "")]),
        (HeldSight(CALL, is_open=True, blind=29.9), 60.0, [(WARN, "")]),
        (HeldSight(CALL, is_open=True, blind=30.0), 60.0, [(CRIT, "")]),
        # its feed lives: it just does not trade
        (HeldSight(CALL, is_open=True, blind=900.0), 0.5, []),
        # it never had a price, though others have
        (HeldSight(CALL, is_open=True, blind=5.0, heard=False), 0.5, [(WARN, CALL)]),
        (HeldSight(CALL, is_open=True, blind=30.0, heard=False), 0.5, [(CRIT, CALL)]),
        # the broker's quote shows trades that the feed does not tell
        (HeldSight(CALL, is_open=True, overtaken=True), 0.5, [(WARN, BEHIND)]),
        (HeldSight(CALL, is_open=False, blind=900.0), 60.0, []),
    ],
)
def test_stale_position(
    sight: Sight, held: HeldSight, silence: float, found: list[tuple[Severity, str]]
) -> None:
    seen = changed(sight, market={"silence": silence}, held=(held,))

    assert [(f.severity, f.about) for f in find("stale_position", seen)] == found


def test_many_positions_of_a_silent_feed_are_one_finding(sight: Sight) -> None:
    held = tuple(HeldSight(f"NSE_FO|{n}", is_open=True, blind=6.0 + n) for n in range(50))

    found = only(find("stale_position", changed(sight, market={"silence": 20.0}, held=held)))

    assert found.what == "no price of 50 open positions for 55 s"
    assert len(found.instruments) == 50


def test_many_positions_whose_trades_are_not_told_are_one_finding(sight: Sight) -> None:
    held = tuple(HeldSight(f"NSE_FO|{n}", is_open=True, overtaken=True) for n in range(22))

    found = only(find("stale_position", replace(sight, held=held)))

    assert found.what == "trades are not told of 22 open positions"
    assert len(found.instruments) == 22


def test_instruments_have_names_and_not_keys(sight: Sight) -> None:
    blind = HeldSight(CALL, is_open=True, blind=8.0, heard=False)

    found = only(find("stale_position", replace(sight, held=(blind,))))

    assert "NIFTY 27 NOV 24000 CE" in found.what


def test_instruments_without_data(sight: Sight) -> None:
    missing = {"stats": {"missing": (NIFTY, "MCX_FO|1")}}

    found = only(find("no_data", changed(sight, market=missing)))
    assert (found.severity, found.instruments) == (INFO, (NIFTY,))
    held = replace(changed(sight, market=missing), held=(HeldSight(NIFTY, is_open=True),))
    assert only(find("no_data", held)).severity is WARN
    assert only(find("no_data", held)).meaning == "You hold 1 of them"


def test_of_instruments_without_data_nobody_says_that_none_is_held_without_knowing(
    sight: Sight,
) -> None:
    missing = changed(sight, market={"stats": {"missing": (NIFTY,)}})
    unread = replace(missing, books=tuple(replace(b, checked=None) for b in missing.books))

    assert only(find("no_data", missing)).meaning == "You hold none of them"
    at_start, later = (only(find("no_data", replace(unread, blindfold=b))) for b in (False, True))
    why = "You may hold some of them: the books of main have not been read yet"
    assert [(f.severity, f.meaning) for f in (at_start, later)] == [(INFO, why), (WARN, why)]
    held = replace(unread, held=(HeldSight(NIFTY, is_open=True),))
    assert only(find("no_data", held)).meaning.startswith("You hold 1 of them, perhaps more: ")


async def test_books_that_a_start_did_not_read_in_its_time_count_as_something_open() -> None:
    async def out() -> str:
        raise TokenRefused("the broker refused the token")

    bench = Bench()
    desk = bench.desk
    accounts = Accounts(
        [MAIN],
        clock=bench.clock,
        brokers=desk.accounts.brokers,
        sign_in={"main": out},
        latch=desk.accounts.latch,
    )
    lookout = Lookout(replace(desk, accounts=accounts), Thresholds(), MinuteBook(ScriptedUptime()))
    desk.progress.stage = "starting"
    assert not lookout.look().exposed
    bench.clock.advance(SETTLES + 1)
    desk.progress.stage = "ready"
    assert not lookout.look().exposed, "the start has only just come so far"
    bench.clock.advance(SETTLES - 0.1)
    assert not lookout.look().exposed
    bench.clock.advance(0.1)
    assert lookout.look().exposed
    assert lookout.look().stake.startswith("what is held is not known: ")

    await accounts.check()
    assert not lookout.look().exposed, "signed out, which is told, and may be so on purpose"


async def test_books_that_were_read_say_that_nothing_is_open() -> None:
    rig = WatchRig()
    assert not rig.look().exposed
    rig.clock.advance(3600)
    assert not rig.look().exposed


# accounts


@pytest.mark.parametrize(
    ("signed_in", "refusal", "found"),
    [
        (True, None, 0),
        (None, None, 0),  # nobody has answered: that is not a refusal
        (False, None, 1),
        (True, FeedState.REFUSED, 1),
        (True, FeedState.CONTESTED, 1),
        (False, FeedState.REFUSED, 1),
    ],
)
def test_feed_refused(
    sight: Sight, signed_in: bool | None, refusal: FeedState | None, found: int
) -> None:
    state = replace(sight.accounts[0], signed_in=signed_in, reason="the token has expired")
    market = {"refusal": refusal, "reason": "the feed refused the token"}
    seen = changed(sight, market=market if refusal else {}, accounts=(state,))

    findings = find("feed_refused", seen)

    assert len(findings) == found
    assert all(f.at_once and f.about == "main" and f.severity is WARN for f in findings)
    if findings:
        exposed = replace(seen, held=(HELD,))
        assert only(find("feed_refused", exposed)).severity is CRIT
    if refusal is FeedState.CONTESTED:
        assert "other program" in findings[0].act


def test_a_token_refused_at_night_is_a_warning_whatever_is_held(night: Sight) -> None:
    refused = changed(
        night,
        market={"refusal": FeedState.REFUSED},
        held=(HeldSight(CALL, is_open=False),),
    )

    assert only(find("feed_refused", refused)).severity is WARN


@pytest.mark.parametrize("state", list(FeedState))
def test_stream_down(sight: Sight, state: FeedState) -> None:
    (stream,) = sight.streams
    seen = replace(sight, streams=(replace(stream, stats=replace(stream.stats, state=state)),))

    assert len(find("stream_down", seen)) == (state is not FeedState.LIVE)
    if state is not FeedState.LIVE:
        assert only(find("stream_down", seen)).severity is WARN
        assert only(find("stream_down", replace(seen, working=1))).severity is CRIT
        assert only(find("stream_down", replace(seen, held=(HELD,)))).severity is CRIT


@pytest.mark.parametrize(
    ("minutes", "market_open", "found"),
    [(30.0, True, 1), (30.1, True, 0), (0.1, True, 1), (0.0, True, 0), (5.0, False, 0)],
)
def test_token_ending(sight: Sight, minutes: float, market_open: bool, found: int) -> None:
    ending = Ending("main", sight.now + timedelta(minutes=minutes), market_open)

    assert len(find("token_ending", replace(sight, endings=(ending,)))) == found


@pytest.mark.parametrize(
    ("feeds", "rest", "found"),
    [
        (FeedState.BACKING_OFF, RestStats(9, 3, "no answer in time", 1.0, 8.0), 1),
        (FeedState.CONNECTING, RestStats(9, 3, "no answer in time", 1.0, None), 1),
        (FeedState.CONNECTING, RestStats(9, 3, "no answer in time", 5.0, 1.0), 0),
        (FeedState.CONNECTING, RestStats(), 0),
        (FeedState.LIVE, RestStats(9, 3, "no answer in time", 1.0, 8.0), 0),
        (FeedState.STALLED, RestStats(9, 3, "no answer in time", 1.0, 8.0), 0),
    ],
)
def test_unreachable(sight: Sight, feeds: FeedState, rest: RestStats, found: int) -> None:
    seen = changed(sight, market={"stats": {"state": feeds}}, rest={"main": rest})
    (stream,) = seen.streams
    down = replace(stream, stats=replace(stream.stats, state=FeedState.BACKING_OFF))

    assert len(find("unreachable", replace(seen, streams=(down,)))) == found
    assert find("unreachable", seen) == [], "the portfolio stream lives"


# orders and books


def _order(status: OrderStatus) -> Order:
    request = OrderRequest("main", CALL, Side.BUY, 75, Product.INTRADAY, OrderType.MARKET, "n")
    return Order("tag-1", request, status, MORNING, MORNING, is_mock=True)


@pytest.mark.parametrize(
    ("status", "seconds", "severity"),
    [
        (OrderStatus.SENT, 5.0, None),
        (OrderStatus.SENT, 5.1, WARN),
        (OrderStatus.IN_DOUBT, 0.0, CRIT),
    ],
)
def test_order_unanswered_also_at_night(
    sight: Sight, night: Sight, status: OrderStatus, seconds: float, severity: Severity | None
) -> None:
    waiting = (Waiting(_order(status), seconds),)

    for seen in (sight, night):
        found = find("order_unanswered", replace(seen, waiting=waiting))
        assert [f.severity for f in found] == ([severity] if severity else [])
        if found:
            assert found[0].about == "tag-1"
            assert "BUY 75 NIFTY 27 NOV 24000 CE" in found[0].what
            assert "Do not send it again" in found[0].act


@pytest.mark.parametrize(("agree", "found"), [(True, 0), (None, 0), (False, 1)])
def test_books_differ(sight: Sight, agree: bool | None, found: int) -> None:
    row = BookRow(CALL, Product.INTRADAY, 75, 0, None, agree, "the broker says 0, we count 75")
    (books,) = sight.books
    seen = replace(sight, books=(replace(books, rows=(row,)),))

    findings = find("books_differ", seen)

    assert len(findings) == found
    assert all("the broker says 0" in f.what and f.about == "main" for f in findings)


def test_books_unread(sight: Sight) -> None:
    (books,) = sight.books
    failed = replace(books, failed="no answer in time", age=None)

    found = only(find("books_unread", replace(sight, books=(failed,))))

    assert "they were never read" in found.meaning


def _basket(state: BasketState) -> Basket:
    return Basket(
        "basket-1", "main", "n", "Iron condor", "basket", True, OnFilled.REVERSE, state,
        MORNING, MORNING, True, (), reason="leg 3 was rejected",
    )  # fmt: skip


def test_an_unresolved_basket_is_critical_until_somebody_takes_note(sight: Sight) -> None:
    rig = WatchRig()
    seen = replace(sight, baskets=(_basket(BasketState.UNRESOLVED),))

    found = only(find("unresolved_basket", seen))

    assert (found.severity, found.about, found.at_once) == (CRIT, "basket-1", True)
    assert "Iron condor" in found.what
    assert rig.look().baskets == (), "the desk tells only those nobody has taken note of"


# this machine


@pytest.mark.parametrize(("lag", "found"), [(5.0, 0), (5.1, 1), (nan, 0)])
def test_storage_behind(sight: Sight, lag: float, found: int) -> None:
    seen = replace(sight, storage=replace(sight.storage, lag=lag))

    assert len(find("storage_behind", seen)) == found


def test_ticks_that_found_no_room(sight: Sight) -> None:
    found = only(find("storage_behind", replace(sight, storage_dropped=1_200)))

    assert found.what == "1,200 prices not recorded within a minute"
    assert (
        found.key
        != find("storage_behind", replace(sight, storage=replace(sight.storage, lag=9.0)))[0].key
    )


def test_facts_that_no_database_takes(sight: Sight, night: Sight) -> None:
    assert find("record_incomplete", sight) == []
    for seen in (sight, night):
        storage = replace(seen.storage, left_out=1)
        found = only(find("record_incomplete", replace(seen, storage=storage)))
        assert found.what == "1 fact of orders or baskets not on disk"
        assert found.at_once


@pytest.mark.parametrize(
    ("state", "free", "severity"),
    [
        ("ok", None, None),
        ("ok", 500 << 20, None),
        ("ok", (500 << 20) - 1, WARN),
        ("locked", 900 << 20, WARN),
        ("disk full", 0, CRIT),
        ("failed", None, CRIT),
    ],
)
def test_disk_also_at_night(
    sight: Sight, night: Sight, state: str, free: int | None, severity: Severity | None
) -> None:
    for seen in (sight, night):
        storage = replace(seen.storage, state=state, reason="something")
        found = find("disk", replace(seen, storage=storage, disk_free=free))
        assert [f.severity for f in found] == ([severity] if severity else [])


def test_before_the_books_are_read_nobody_says_that_nothing_is_open(sight: Sight) -> None:
    unread = tuple(replace(books, checked=None) for books in sight.books)

    assert replace(sight, books=tuple(replace(b, checked=MORNING) for b in unread)).stake == (
        "no position open"
    )
    blind = replace(sight, books=unread).stake
    assert blind == "what is held is not known: the books of main have not been read yet"
    some = replace(sight, books=unread, held=(HELD,)).stake
    assert some.startswith("1 position open, perhaps more: ")


def test_a_lock_that_does_not_pass_over_an_open_position_is_critical(sight: Sight) -> None:
    def found(lag: float, *held: HeldSight) -> Finding:
        storage = replace(sight.storage, state="locked", lag=lag)
        return only(find("disk", replace(sight, storage=storage, held=held)))

    twice = 2 * sight.limits.storage_lag
    assert found(twice - 0.1, HELD).severity is WARN
    assert found(twice).severity is WARN, "nothing is open"
    assert found(twice, HELD).severity is CRIT
    assert "exits neither" in found(twice, HELD).meaning


@pytest.mark.parametrize(
    ("skew", "severity", "word"),
    [
        (None, None, ""),
        (nan, None, ""),
        (2.0, None, ""),
        (2.1, WARN, "behind"),
        (-2.1, WARN, "ahead"),
        (30.0, WARN, "behind"),
        (-90.0, CRIT, "ahead"),
    ],
)
def test_clock_skew_also_at_night(
    sight: Sight, night: Sight, skew: float | None, severity: Severity | None, word: str
) -> None:
    for seen in (sight, night):
        found = find("clock_skew", changed(seen, market={"stats": {"clock_skew": skew}}))
        assert [f.severity for f in found] == ([severity] if severity else [])
        assert all(word in f.what for f in found)


@pytest.mark.parametrize(
    ("often", "once", "found"),
    [
        (None, None, 0),
        (nan, nan, 0),
        (1000.0, 3000.0, 0),
        (5.0, 3000.1, 1),
        (1000.1, 1200.0, 1),
    ],
)
def test_loop_lag(sight: Sight, often: float | None, once: float | None, found: int) -> None:
    lags = Percentiles(1.0, 2.0, often)
    seen = replace(sight, vitals=replace(sight.vitals, loop_lag=lags, loop_lag_max=once))

    assert len(find("loop_lag", seen)) == found


@pytest.mark.parametrize("often", [1_800.0, 20.0])
def test_a_late_desk_tells_its_longest_pause(sight: Sight, often: float) -> None:
    """One that stood still for 4 s was told as late by 1.8 s: that of one in a hundred answers."""
    lags = replace(sight.vitals, loop_lag=Percentiles(1.0, 2.0, often), loop_lag_max=4_000.0)

    found = only(find("loop_lag", replace(sight, vitals=lags)))

    assert found.what == "desk late by 4.0 s within the last minute"


def test_the_latency_of_several_accounts_is_that_of_the_slowest() -> None:
    fast = RestStats(calls=9, last_success_age=1.0, latency=Percentiles(20.0, 90.0, 300.0))
    slow = RestStats(calls=9, last_success_age=1.0, latency=Percentiles(700.0, 80.0, None))

    assert rest_sum([fast, slow]).latency == Percentiles(700.0, 90.0, 300.0)
    assert rest_sum([fast, RestStats()]).latency == fast.latency
    assert rest_sum([]).latency == Percentiles()


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (JobHealth("quotes", None, None, None, 0, 0, 0), 0),
        (JobHealth("quotes", None, None, 3.0, 9, 4, 7, "ValueError: 1"), 0),  # long over
        (JobHealth("quotes", None, None, 3.0, 9, 4, 0, "ValueError: 1", failing=1), 1),
        (JobHealth("quotes", None, None, 3.0, 9, 0, 0, running_for=120.0), 0),
        (JobHealth("quotes", None, None, 3.0, 9, 0, 9, running_for=120.1), 1),
    ],
)
def test_missed_jobs(sight: Sight, job: JobHealth, found: int) -> None:
    assert len(find("missed_jobs", replace(sight, jobs=(job,)))) == found


@pytest.mark.parametrize(
    ("state", "held_up", "found"),
    [
        ("ok", 0.0, 0),
        ("off", 0.0, 0),
        ("waiting", 119.0, 0),
        ("waiting", 120.0, 1),
        ("down", 0.0, 1),
        ("contested", 0.0, 1),
    ],
)
def test_undeliverable(sight: Sight, state: str, held_up: float, found: int) -> None:
    channel = ChannelSight(ChannelHealth("telegram", state, "no network", queued=3), held_up)

    findings = find("undeliverable", replace(sight, channels=(channel,)))

    assert len(findings) == found
    assert all(f.component is Component.PHONE and "3 messages" in f.meaning for f in findings)


def test_commands_that_are_not_heard_are_not_called_undelivered(sight: Sight) -> None:
    commands = ChannelSight(ChannelHealth("telegram commands", "down", "no network"), 0.0)

    finding = only(find("undeliverable", replace(sight, channels=(commands,))))

    assert finding.what == "telegram commands are not heard: no network"
    assert finding.meaning == "What you type on the phone does nothing"


@pytest.mark.parametrize(("errors", "found"), [(0, 0), (9, 0), (10, 1)])
def test_decode_errors(sight: Sight, errors: int, found: int) -> None:
    assert len(find("decode_errors", changed(sight, market={"decode_errors": errors}))) == found


@pytest.mark.parametrize(("dropped", "found"), [(0, 0), (1, 1)])
def test_inbox_overflow(sight: Sight, dropped: int, found: int) -> None:
    assert len(find("inbox_overflow", changed(sight, market={"dropped": dropped}))) == found


def test_a_failed_start_is_critical(sight: Sight) -> None:
    failed = replace(sight, stage="failed", stage_reason="see the log")

    assert only(find("start_failed", failed)).severity is CRIT


# what minutes say


def _past(**changes: Any) -> Past:
    return replace(Past(Component.MARKET_FEED, "", 3600, 3600, 9000, 0, 40.0, 40.0), **changes)


@pytest.mark.parametrize(
    ("past", "found"),
    [
        (_past(up=3420.0), 0),  # 95 %
        (_past(up=3419.0), 1),
        (_past(judged=3000.0, up=0.0), 0),  # not an hour of market time yet
        (_past(judged=0.0, up=0.0), 0),
        (_past(component=Component.STORAGE, up=10.0), 0),
        (_past(component=Component.PORTFOLIO, about="main", up=10.0), 1),
    ],
)
def test_low_uptime(sight: Sight, past: Past, found: int) -> None:
    assert len(find("low_uptime", replace(sight, past=(past,)))) == found


@pytest.mark.parametrize(
    ("rate", "usual", "found"),
    [
        (8.0, 40.0, 0),
        (7.9, 40.0, 1),
        (0.0, 40.0, 1),
        (None, 40.0, 0),
        (0.1, None, 0),
        (0.0, 0.9, 0),
    ],
)
def test_low_message_rate(
    sight: Sight, rate: float | None, usual: float | None, found: int
) -> None:
    past = (_past(rate=rate, usual=usual),)

    assert len(find("low_message_rate", replace(sight, past=past))) == found


@pytest.mark.parametrize(
    ("messages", "errors", "found"), [(100, 5, 0), (100, 6, 1), (19, 19, 0), (20, 2, 1), (0, 0, 0)]
)
@pytest.mark.parametrize("component", [Component.REST, Component.MARKET_FEED])
def test_high_error_rate(
    sight: Sight, component: Component, messages: int, errors: int, found: int
) -> None:
    past = (_past(component=component, messages=messages, errors=errors),)

    assert len(find("high_error_rate", replace(sight, past=past))) == found


# which say the same


def _finding(rule: str, about: str = "", component: Component = Component.MARKET_FEED) -> Finding:
    return Finding(rule, component, WARN, "what", "meaning", "act", about)


PORTFOLIO, BOOKS = Component.PORTFOLIO, Component.BOOKS


@pytest.mark.parametrize(
    ("root", "other", "same"),
    [
        (_finding("no_prices"), _finding("stale_position"), True),
        (_finding("no_prices"), _finding("stale_position", CALL), False),
        (_finding("no_prices"), _finding("stream_down", "main", PORTFOLIO), False),
        (_finding("no_prices"), _finding("disk"), False),
        (_finding("no_prices"), _finding("no_prices"), False),
        (_finding("unreachable"), _finding("no_prices"), True),
        (_finding("unreachable"), _finding("stream_down", "main", PORTFOLIO), True),
        (_finding("unreachable"), _finding("order_unanswered", "tag", BOOKS), False),
        (_finding("feed_refused", "main"), _finding("stream_down", "main", PORTFOLIO), True),
        (_finding("feed_refused", "main"), _finding("stream_down", "second", PORTFOLIO), False),
        (_finding("feed_refused", "main"), _finding("books_unread", "main", BOOKS), True),
        (_finding("feed_refused", "main"), _finding("books_unread", "second", BOOKS), False),
        (_finding("sleep"), _finding("disk"), True),
        (_finding("start_failed"), _finding("no_prices"), True),
    ],
)
def test_one_trouble_is_told_once(root: Finding, other: Finding, same: bool) -> None:
    assert holds_back([root, other], other, found=True) is same
    assert not holds_back([root, other], root, found=True)


def test_not_finding_it_proves_nothing_while_its_market_is_closed(
    sight: Sight, night: Sight
) -> None:
    silent, held = _finding("no_prices"), replace(_finding("stale_position", CALL),
                                                  instruments=(CALL,))  # fmt: skip
    rule = RULES["no_prices"]

    assert rests(night, rule, silent)
    assert not rests(sight, rule, silent)
    assert rests(sight, RULES["stale_position"], held), "only the index is wanted, and is open"
    assert not rests(night, RULES["disk"], _finding("disk"))
    assert not rests(night, RULES["feed_refused"], _finding("feed_refused"))


def _limits() -> Iterator[str]:
    yield from Thresholds.__dataclass_fields__


def test_each_threshold_is_used_by_somebody() -> None:
    """A setting that changes nothing would be a lie."""
    texts = [
        path.read_text()
        for module in ("alerts.sight", "alerts.states", "alerts.monitor", "alerts.rules.disk")
        for path in [_path(module)]
    ]
    texts += [_path(f"alerts.rules.{name}").read_text() for name in FILES]

    assert [name for name in _limits() if not any(f"limits.{name}" in t for t in texts)] == []


def _path(module: str) -> Path:
    return Path(str(importlib.import_module(module).__file__))
