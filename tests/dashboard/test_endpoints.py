"""/health and /metrics: what a machine that watches the desk is told."""

from dataclasses import replace
from datetime import timedelta

import pytest
from nicegui.testing import User
from prometheus_client.parser import text_string_to_metric_families

from tests.dashboard.fakes import NIFTY, MemoryFeed, MemoryJournal
from tests.ticks import batch, tick
from trading.clock import ManualClock
from trading.desk import Desk, Stage
from trading.ports import FeedState


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


async def test_metrics_can_be_read_by_prometheus(user: User, heard: None) -> None:
    response = await user.http_client.get("/metrics")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }

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
