"""/health and /metrics: what a machine that watches the desk is told."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nicegui.testing import User
from prometheus_client.parser import text_string_to_metric_families

from dashboard.login import COOKIE
from tests.dashboard.conftest import SECURITY, serving
from tests.dashboard.dealing import LOT, deal, read
from tests.dashboard.fakes import NIFTY, MemoryFeed, MemoryJournal, make_desk
from tests.dashboard.scripted_watch import feed_incident, health_alert, latencies, script
from tests.ticks import T0, batch, tick
from trading.clock import ManualClock
from trading.desk import Desk, Stage
from trading.health import Check, Component, Condition, Hop, HopMinute, Uptimes
from trading.ports import FeedChange, FeedState

GRAFANA = Path(__file__).parents[2] / "dashboard" / "grafana" / "vigil.json"
Samples = dict[tuple[Any, ...], float]


@pytest.fixture
def heard(desk: Desk, clock: ManualClock) -> None:
    desk.market_data.publish(batch(tick(NIFTY, received=clock.monotonic())))


def feed(desk: Desk) -> MemoryFeed:
    assert isinstance(desk.feed, MemoryFeed)
    return desk.feed


async def test_a_desk_that_is_well_says_ok(user: User, heard: None) -> None:
    response = await user.http_client.get("/health")
    body = response.json()

    assert response.status_code == 200
    assert (body["status"], body["mode"], body["is_mock"]) == ("ok", "SIMULATED", True)
    assert body["feeds"][0]["state"] == "live"
    assert body["storage"]["state"] == "ok"
    assert body["versions"]["nicegui"]
    assert body["started"] == "2025-11-26T05:30:00+00:00"


@pytest.mark.parametrize(
    ("stage", "code"), [("starting", 503), ("failed", 503), ("stopping", 503), ("ready", 200)]
)
async def test_only_a_running_desk_answers_200(
    user: User, desk: Desk, heard: None, stage: Stage, code: int
) -> None:
    desk.progress.stage = stage

    response = await user.http_client.get("/health")

    assert response.status_code == code
    assert response.json()["status"] == ("ok" if stage == "ready" else stage)


async def test_a_silent_feed_is_degraded_while_the_market_is_open_only(
    user: User, desk: Desk, clock: ManualClock, heard: None
) -> None:
    clock.advance(6)
    body = (await user.http_client.get("/health")).json()
    assert (body["status"], body["troubles"]) == ("degraded", ["market feed silent for 6.0s"])

    clock.advance(timedelta(hours=8).total_seconds())
    assert (await user.http_client.get("/health")).json()["status"] == "ok"


async def test_a_feed_that_backs_off_and_a_full_disk_are_named(
    user: User, desk: Desk, heard: None
) -> None:
    feed(desk).now(state=FeedState.BACKING_OFF, reason="status 503")
    assert isinstance(desk.journal, MemoryJournal)
    desk.journal.storage = replace(desk.journal.storage, state="disk full", reason="0 bytes left")

    response = await user.http_client.get("/health")

    assert response.status_code == 200
    assert response.json()["troubles"] == [
        "market feed backing off since 11:00:00, status 503",
        "storage disk full, 0 bytes left",
    ]


async def test_whoever_has_not_logged_in_learns_no_details_of_the_trading(
    desk: Desk, clock: ManualClock, heard: None, no_errors: None
) -> None:
    watch = script(desk.watch)
    watch.becomes(Component.PORTFOLIO, "main", condition=Condition.DOWN, words="silent, order 7")
    watch.happens(replace(feed_incident(clock), cause="basket Iron condor, order 7"))
    async with serving(desk, replace(SECURITY, password="hunter2")) as user:
        ask = user.http_client
        stranger = await ask.get("/health")
        forged = await ask.get("/health", headers={"cookie": f"{COOKIE}=9999999999.{'0' * 64}"})
        form = {"password": "hunter2", "next": "/"}
        await ask.post("/login", data=form, headers={"origin": "http://test"})
        friend = (await ask.get("/health")).json()

    told = stranger.json()
    assert (stranger.status_code, told["status"], told["trouble_count"]) == (200, "degraded", 1)
    assert {"component": "portfolio stream", "condition": "down"} in told["components"]
    for secret in ("order", "condor", "main"):
        assert secret not in stranger.text
    assert forged.json() == told
    assert friend["troubles"] == ["portfolio stream of main down since 10:00:00, silent, order 7"]
    assert friend["watch"]["incidents"][0]["cause"] == "basket Iron condor, order 7"


async def scraped(user: User) -> Samples:
    """Return all samples by their name and labels."""
    text = (await user.http_client.get("/metrics")).text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_can_be_read_by_prometheus(user: User, heard: None) -> None:
    response = await user.http_client.get("/metrics")
    samples = await scraped(user)

    assert response.headers["content-type"].startswith("text/plain")
    assert samples["vigil_up",] == 1
    assert samples["vigil_feed_ticks_total", ("feed", "market")] == 1_204_331
    assert samples["vigil_feed_state", ("feed", "market"), ("state", "live")] == 1
    assert samples["vigil_feed_state", ("feed", "market"), ("state", "backing_off")] == 0
    latency = samples["vigil_feed_latency_seconds", ("feed", "market"), ("quantile", "0.99")]
    assert latency == pytest.approx(0.0079)
    assert samples["vigil_feed_subscribed", ("feed", "market"), ("mode", "full")] == 44
    assert samples["vigil_storage_rows_total",] == 1_234_567
    assert samples["vigil_market_ticks_published_total",] == 1
    assert all(str(name[0]).startswith("vigil_") for name in samples)


async def test_what_was_never_measured_is_left_out(user: User, desk: Desk) -> None:
    feed(desk).now(tick_age=None, frame_age=None, clock_skew=None)

    text = (await user.http_client.get("/metrics")).text

    for name in ("heard_age", "feed_tick_age", "feed_frame_age", "clock_skew"):
        assert name not in text


# what the watch knows


async def test_health_says_degraded_and_why_in_the_words_of_the_watch(
    user: User, desk: Desk, clock: ManualClock, heard: None
) -> None:
    watch = script(desk.watch)
    silent = "market feed silent for 17 s"
    watch.becomes(Component.MARKET_FEED, condition=Condition.DOWN, since=clock.now(), words=silent)
    watch.happens(feed_incident(clock))
    watch.checks.append(Check("Market feed", False, "silent for 17 s"))

    response = await user.http_client.get("/health")
    body = response.json()

    assert response.status_code == 200
    assert (body["status"], body["watch"]["running"]) == ("degraded", True)
    assert body["troubles"] == ["market feed down since 11:00:00, silent for 17 s"]
    assert body["watch"]["incidents"][0]["cause"] == "market feed silent for 17 s"
    assert body["watch"]["against_trading"] == ["Market feed: silent for 17 s"]
    assert body["watch"]["components"][0] == {
        "name": "market feed",
        "condition": "down",
        "since": "2025-11-26T05:30:00+00:00",
        "words": "market feed silent for 17 s",
        "uptime_24h": 1.0,
    }


async def test_a_watch_that_does_not_look_is_degraded(user: User, desk: Desk, heard: None) -> None:
    script(desk.watch).look_age = None

    body = (await user.http_client.get("/health")).json()

    assert (body["status"], body["troubles"]) == ("degraded", ["the watch has not looked yet"])
    assert body["watch"]["running"] is False


async def test_a_desk_without_a_watch_says_so_to_machines(
    clock: ManualClock, no_errors: None
) -> None:
    async with serving(replace(make_desk(clock), watch=None)) as user:
        watch = (await user.http_client.get("/health")).json()["watch"]

        assert watch["running"] is False
        assert watch["reason"].startswith("the watch is not running")
        assert ("vigil_monitor_age_seconds",) not in await scraped(user)


async def test_metrics_tell_what_the_watch_knows(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    watch = script(desk.watch)
    watch.becomes(Component.MARKET_FEED, condition=Condition.DOWN, uptimes=Uptimes(0.5, None, 1.0))
    watch.becomes(Component.REST, condition=Condition.CLOSED)
    watch.happens(feed_incident(clock))
    watch.raises(health_alert(clock))
    watch.ways[0] = replace(watch.ways[0], state="down", queued=3, retried=2)

    samples = await scraped(user)

    feed = (("account", ""), ("component", "market feed"))
    assert samples["vigil_component_up", *feed] == 0
    assert ("vigil_component_up", ("account", ""), ("component", "REST")) not in samples
    main = (("account", "main"), ("component", "portfolio stream"))
    assert samples["vigil_component_up", *main] == 1
    down = (*feed, ("condition", "down"))
    assert samples["vigil_component_condition", *down] == 1
    assert samples["vigil_component_uptime_ratio", *feed, ("window", "24h")] == 0.5
    assert ("vigil_component_uptime_ratio", *feed, ("window", "7d")) not in samples
    latency = samples["vigil_component_latency_seconds", *feed, ("quantile", "0.95")]
    assert latency == pytest.approx(0.0024)
    assert samples["vigil_incidents_open",] == 1
    assert samples["vigil_alerts_total", ("severity", "critical")] == 1
    assert samples["vigil_alerts_total", ("severity", "info")] == 0
    assert samples["vigil_alerts_unacknowledged", ("severity", "critical")] == 1
    telegram = ("channel", "telegram")
    assert samples["vigil_outbox_queued", telegram] == 3
    assert samples["vigil_outbox_delivered_total", telegram] == 4
    assert samples["vigil_outbox_retried_total", telegram] == 2
    assert samples["vigil_channel_up", telegram] == 0
    watch.ways[0] = replace(watch.ways[0], state="waiting")
    assert (await scraped(user))["vigil_channel_up", telegram] == 0, "it has failed, and waits"
    assert ("vigil_channel_up", ("channel", "e-mail")) not in samples
    assert samples["vigil_job_runs_total", ("job", "monitor")] == 3_600
    assert samples["vigil_job_last_seconds", ("job", "monitor")] == pytest.approx(0.0031)
    assert ("vigil_job_last_seconds", ("job", "retention")) not in samples
    assert samples["vigil_monitor_age_seconds",] == 0.4


async def test_metrics_tell_the_hops_of_the_last_minute(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    known = latencies(desk.watch).known
    last = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
    known[Hop.ARRIVAL] = [HopMinute(last, 900, 41.0, 88.0)]
    known[Hop.DECODE] = [HopMinute(last - timedelta(minutes=2), 900, 0.1, 0.3)]

    samples = await scraped(user)

    arrival = ("hop", "exchange_to_us")
    half = samples["vigil_hop_latency_seconds", arrival, ("quantile", "0.5")]
    assert half == pytest.approx(0.041)
    assert samples["vigil_hop_latency_seconds", arrival, ("quantile", "0.99")] == pytest.approx(
        0.088
    )
    hops = {key[1] for key in samples if key[0] == "vigil_hop_latency_seconds"}
    assert hops == {arrival}


async def test_whether_one_can_trade_is_what_the_light_says(
    user: User, desk: Desk, clock: ManualClock, heard: None
) -> None:
    """A feed that is silent since the last look, or a closed market, were once a 1."""
    watch = script(desk.watch)

    async def can_trade() -> float:
        return (await scraped(user))["vigil_can_trade",]

    assert await can_trade() == 1
    watch.checks.append(Check("Clock", False, "2.4 s ahead", grave=False))
    assert await can_trade() == 1, "with care"
    watch.checks.append(Check("Token", False, "ended at 03:30"))
    assert await can_trade() == 0
    del watch.checks[-2:]
    clock.advance(6)
    assert await can_trade() == 0, "no price for 6 s"
    desk.market_data.publish(batch(tick(NIFTY, at=T0 + 1, received=clock.monotonic())))
    assert await can_trade() == 1
    clock.advance(timedelta(hours=8).total_seconds())
    assert await can_trade() == 0, "the market has closed"


async def test_metrics_tell_orders_positions_and_money(user: User, desk: Desk) -> None:
    await deal(desk, LOT, 142.35)
    await read(desk)

    samples = await scraped(user)

    main = ("account", "main")
    assert samples["vigil_positions_open", main] == 1
    assert samples["vigil_books_agree", main] == 1
    assert samples["vigil_pnl_rupees", main, ("kind", "realised")] == 0
    assert ("vigil_pnl_rupees", main, ("kind", "unrealised")) not in samples  # it has no price
    assert ("vigil_account_signed_in", main) not in samples  # nobody has asked yet
    assert samples["vigil_orders", main, ("status", "in_doubt")] == 0


async def test_seconds_without_prices_are_counted_from_the_last_price(
    user: User, desk: Desk, clock: ManualClock, heard: None
) -> None:
    def changed(before: FeedState, after: FeedState) -> None:
        feed(desk).changes.emit(FeedChange("market", before, after, "", clock.now()))

    series = ("vigil_gap_seconds_total", ("feed", "market"))
    changed(FeedState.CONNECTING, FeedState.LIVE)
    assert (await scraped(user))[series] == 0
    clock.advance(15)  # silent for so long before it is noticed
    changed(FeedState.LIVE, FeedState.STALLED)
    changed(FeedState.STALLED, FeedState.CONNECTING)
    clock.advance(5)
    assert (await scraped(user))[series] == 20
    changed(FeedState.CONNECTING, FeedState.LIVE)
    clock.advance(100)

    assert (await scraped(user))[series] == 20


def expressions(node: Any) -> Iterator[str]:
    """Yield every expression of a Grafana dashboard."""
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        for child in node.values():
            yield from expressions(child)
    elif isinstance(node, list):
        for child in node:
            yield from expressions(child)


async def test_every_series_of_the_grafana_dashboard_is_there(
    user: User, desk: Desk, heard: None
) -> None:
    await desk.accounts.check()
    await deal(desk, LOT, 142.35)
    await read(desk)
    wanted = {
        name
        for expression in expressions(json.loads(GRAFANA.read_text()))
        for name in re.findall(r"vigil_\w+", expression)
    }

    names = {sample[0] for sample in await scraped(user)}

    assert len(wanted) > 25
    assert wanted - names == set()
