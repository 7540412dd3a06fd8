"""The patches: only what changed, nothing for a tab that sleeps, all of it when it comes back."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from nicegui.testing import User

from dashboard.live import UNACKNOWLEDGED, Live, Patch, Pulse, Since
from dashboard.sheet import Sheet
from tests.dashboard.dealing import deal
from tests.dashboard.fakes import CALL, NIFTY
from tests.dashboard.scripted_watch import latencies
from tests.ticks import T0, batch, tick
from trading.clock import ManualClock
from trading.desk import Desk
from trading.histogram import quantile
from trading.ports import FeedChange, FeedState


@dataclass
class Browser:
    """The other end: keeps the patches, answers like live.js."""

    live: Live
    pulse: Pulse
    received: list[Patch]

    def says(self, event: str, *args: Any) -> None:
        listener = next(e for e in self.live._event_listeners.values() if e.type == event)
        message = {
            "id": self.live.id,
            "listener_id": listener.id,
            "args": [json.dumps(a) for a in args],
        }
        self.live.client.handle_event(message)

    async def beat(self) -> Patch | None:
        before = len(self.received)
        await self.pulse.beat()
        return self.received[-1] if len(self.received) > before else None


@pytest.fixture
async def browser(desk: Desk, user: User) -> Browser:
    client = await user.open("/status")
    received: list[Patch] = []

    async def emit(client_id: str, patch: Patch) -> None:
        assert client_id == client.id
        received.append(json.loads(json.dumps(patch)))

    with client:
        pulse = Pulse(desk, Sheet(desk.market_data, desk.world), emit)
        live = pulse.open_tab()
    return Browser(live, pulse, received)


def price(desk: Desk, clock: ManualClock, ltp: float, key: str = CALL) -> None:
    at = int(clock.now().timestamp() * 1000)
    desk.market_data.publish(batch(tick(key, ltp=ltp, ltt=at, received=clock.monotonic())))


async def test_nothing_is_sent_before_the_browser_is_ready(browser: Browser) -> None:
    assert await browser.beat() is None

    browser.says("ready")

    assert await browser.beat() is not None


async def test_a_patch_holds_only_what_changed(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    price(desk, clock, 142.6)
    with browser.live.client:
        ltp = browser.live.cell(CALL, "ltp")
        browser.live.cell(CALL, "volume")
    browser.says("ready")
    first = await browser.beat()
    clock.advance(1)
    price(desk, clock, 143.1)
    second = await browser.beat()
    third = await browser.beat()

    assert first is not None
    assert len(first["c"]) == 2
    assert second is not None
    assert second["c"] == [[ltp.id, "143.10", 1]]
    assert third is not None
    assert set(third) == {"n", "m", "w", "h"}
    assert [p["n"] for p in browser.received] == [1, 2, 3]


async def test_moments_are_sent_and_never_ages(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    price(desk, clock, 142.6)
    received = round(clock.monotonic() * 1000)
    with browser.live.client:
        browser.live.badge(CALL)
    browser.says("ready")
    clock.advance(7)

    patch = await browser.beat()

    assert patch is not None
    assert patch["q"] == [[1, received, "S", "NSE_FO", int(clock.now().timestamp() * 1000) - 7000]]
    assert patch["m"] - patch["h"] == 7000
    assert patch["s"]["open"] == {"NSE_FO": True}
    assert patch["s"]["light"][0] == "stale"


async def test_a_sleeping_tab_gets_no_more_and_is_current_when_it_wakes(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        cell = browser.live.cell(CALL, "ltp")
    browser.says("ready")
    for n in range(50):
        clock.advance(0.25)
        price(desk, clock, 100.0 + n)
        await browser.beat()

    assert len(browser.received) == UNACKNOWLEDGED
    assert browser.live.changed_cells == {cell.id}

    browser.says("ack", UNACKNOWLEDGED)
    patch = await browser.beat()
    assert patch is not None
    assert patch["c"] == [[cell.id, "149.00", 1]]


async def test_a_reconnected_tab_gets_the_whole_picture(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    price(desk, clock, 142.6)
    with browser.live.client:
        cell = browser.live.cell(CALL, "ltp")
    browser.says("ready")
    first = await browser.beat()
    await browser.beat()

    browser.says("ready")
    again = await browser.beat()

    assert first is not None
    assert again is not None
    assert again["c"] == [[cell.id, "142.60"]]
    assert again["q"] == first["q"]
    assert again["s"] == first["s"]


@pytest.mark.parametrize("lie", [10**9, "8", None, -5, 1.5])
async def test_an_acknowledgement_that_cannot_be_true_opens_nothing(
    browser: Browser, lie: object
) -> None:
    browser.says("ready")
    for _ in range(3):
        await browser.beat()

    browser.says("ack", lie)
    for _ in range(UNACKNOWLEDGED + 5):
        await browser.beat()

    assert len(browser.received) <= 3 + UNACKNOWLEDGED


async def test_what_no_element_shows_any_more_is_forgotten(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        cell = browser.live.cell(CALL, "ltp")
        badge = browser.live.badge(NIFTY)
    browser.says("ready")
    await browser.beat()
    assert browser.live.instruments() == {CALL, NIFTY}

    cell.delete()
    badge.delete()
    for _ in range(40):
        await browser.beat()

    assert browser.live.instruments() == set()
    assert browser.live.changed_cells == set()


async def test_a_tab_that_closes_leaves_the_pulse(browser: Browser) -> None:
    assert browser.pulse.tabs == 1

    browser.live.client.delete()

    assert browser.pulse.tabs == 0


async def test_an_age_that_was_computed_again_is_not_sent_again(
    browser: Browser, clock: ManualClock
) -> None:
    moments = iter([90.0, 90.01, 90.02, 95.0])
    now = {"moment": 90.0}
    with browser.live.client:
        browser.live.group(lambda: {"age": Since(now["moment"])}).cell("age")
    browser.says("ready")
    sent = []
    for moment in moments:
        now["moment"] = moment
        for _ in range(2):  # groups are read at every second refresh
            patch = await browser.beat()
            assert patch is not None
            sent += [entry[1] for entry in patch.get("a", [])]

    assert sent == [90_000, 95_000]


async def test_a_facts_reader_that_fails_stops_no_other_tab(
    browser: Browser, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Exception):
        pass

    healthy = {"value": True}

    def read() -> dict[str, str]:
        if not healthy["value"]:
            raise Broken
        return {"x": "1"}

    with browser.live.client:
        browser.live.group(read).cell("x")
        other = browser.pulse.open_tab()
    healthy["value"] = False
    browser.says("ready")
    Browser(other, browser.pulse, browser.received).says("ready")

    await browser.beat()
    await browser.beat()

    assert other.sent == 2
    assert "refreshing a page failed" in caplog.text
    caplog.clear()


def bars_of(patches: list[Patch | None]) -> list[list[Any]]:
    return [bar for patch in patches if patch for bar in patch.get("b", [])]


async def test_the_candle_under_way_is_sent_when_it_changed(browser: Browser, desk: Desk) -> None:
    with browser.live.client:
        chart = browser.live.badge(CALL)
        browser.live.bar(chart, CALL, lambda: None)
    browser.says("ready")
    desk.candles.add([tick(CALL, ltp=142.6, volume=1_000)])
    patches = [await browser.beat() for _ in range(4)]

    assert bars_of(patches) == [[chart.id, T0, 142.6, 142.6, 142.6, 142.6, 0, 1]]


async def test_a_finished_minute_is_sent_with_the_price_that_ended_it(
    browser: Browser, desk: Desk
) -> None:
    """The last look at a minute under way is up to half a second before its end."""
    with browser.live.client:
        chart = browser.live.badge(CALL)
        browser.live.bar(chart, CALL, lambda: None)
    browser.says("ready")
    desk.candles.add([tick(CALL, ltp=142.6, volume=1_000)])
    await browser.beat()
    await browser.beat()
    desk.candles.add([tick(CALL, ltp=150.0, ltt=T0 + 59_900, volume=1_100)])
    desk.candles.add([tick(CALL, ltp=151.0, ltt=T0 + 60_100, volume=1_200)])
    desk.candles.add([tick(CALL, ltp=152.0, ltt=T0 + 120_100, volume=1_300)])
    patches = [await browser.beat() for _ in range(2)]

    assert [(bar[1] - T0, bar[5]) for bar in bars_of(patches)] == [
        (0, 150.0),
        (60_000, 151.0),
        (120_000, 152.0),
    ]
    assert chart.id


async def test_charts_are_drawn_anew_after_a_reconnect_and_when_a_gap_begins_or_ends(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    reloads: list[str] = []
    with browser.live.client:
        browser.live.bar(browser.live.badge(CALL), CALL, lambda: reloads.append("again"))
    browser.says("ready")
    assert reloads == []
    browser.says("ready")
    assert len(reloads) == 1

    at = clock.now()
    desk.feed.changes.emit(FeedChange("market", FeedState.LIVE, FeedState.STALLED, "silent", at))
    desk.feed.changes.emit(FeedChange("market", FeedState.STALLED, FeedState.CONNECTING, "", at))
    desk.feed.changes.emit(FeedChange("market", FeedState.OPEN, FeedState.LIVE, "prices", at))

    assert len(reloads) == 3


# how long a price takes to a tab


def measured(desk: Desk) -> dict[float, int]:
    """Return how often each whole number of tens of milliseconds was measured."""
    counts = latencies(desk.watch).screen.counts()
    found: dict[float, int] = {}
    for step, count in counts.items():
        rounded = round(quantile({step: 1}, 0.5) or 0.0, -1)
        found[rounded] = found.get(rounded, 0) + count
    return found


async def test_a_price_is_measured_from_its_receipt_to_the_connection(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        browser.live.cell(CALL, "ltp")
        browser.live.cell(NIFTY, "ltp")
    price(desk, clock, 100.0)
    browser.says("ready")
    await browser.beat()
    assert measured(desk) == {}  # the first picture: the price was there before the page

    price(desk, clock, 101.0)
    price(desk, clock, 24_000.0, NIFTY)
    clock.advance(0.15)
    price(desk, clock, 102.0)
    clock.advance(0.1)
    await browser.beat()
    await browser.beat()

    assert measured(desk) == {100.0: 1}  # of NIFTY it was the first, and 101 was overtaken


async def test_a_whole_picture_of_a_tab_that_was_away_is_not_measured(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        browser.live.cell(CALL, "ltp")
    price(desk, clock, 100.0)
    await browser.beat()
    clock.advance(1)
    price(desk, clock, 101.0)
    await browser.beat()  # it is not ready: the patch waits
    clock.advance(3_600)
    browser.says("ready")
    await browser.beat()

    assert measured(desk) == {}


async def test_what_waits_for_a_tab_that_is_behind_is_measured_when_it_is_sent(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        browser.live.cell(CALL, "ltp")
    price(desk, clock, 100.0)
    browser.says("ready")
    for _ in range(UNACKNOWLEDGED):
        await browser.beat()
    clock.advance(1)
    price(desk, clock, 101.0)
    await browser.beat()
    clock.advance(2)
    assert measured(desk) == {}

    browser.says("ack", UNACKNOWLEDGED)
    await browser.beat()

    [(took, times)] = measured(desk).items()
    assert took == pytest.approx(2_000, rel=0.03)
    assert times == 1


async def test_news_of_an_order_does_not_wait_for_the_next_refresh(user: User, desk: Desk) -> None:
    client = await user.open("/status")
    sent: asyncio.Queue[Patch] = asyncio.Queue()

    async def emit(client_id: str, patch: Patch) -> None:
        if client_id == client.id:
            sent.put_nowait(patch)

    with client:
        pulse = Pulse(desk, Sheet(desk.market_data, desk.world), emit, every=3600)
        live = pulse.open_tab()
        orders = live.group(lambda: {"orders": str(len(desk.orders.orders()))}, fast=True)
        shown = orders.cell("orders")
    Browser(live, pulse, []).says("ready")
    running = asyncio.create_task(pulse.run())
    async with asyncio.timeout(20):
        await sent.get()
        await deal(desk, 75, 100.0)
        patch = await sent.get()
    running.cancel()

    assert patch["c"] == [(shown.id, "1")]


async def test_a_sleep_that_makes_a_price_older_is_no_new_price(
    browser: Browser, desk: Desk, clock: ManualClock
) -> None:
    with browser.live.client:
        browser.live.cell(CALL, "ltp")
    price(desk, clock, 100.0)
    browser.says("ready")
    await browser.beat()

    clock.advance(1)
    desk.market_data.slept(600)
    await browser.beat()

    assert measured(desk) == {}
