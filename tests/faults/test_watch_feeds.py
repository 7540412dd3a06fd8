"""Rows F01, F02, F04 and F07 as the watch tells them: on the page, on the phone, in the book."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from settings import Watch
from tests.faults.dealing import Dealing
from tests.faults.scene import DETECTED, QUICK, RECOVERED, STALL, quiet_for
from tests.faults.watching import ON_THE_PHONE, SHORT, Watched, settled, watched
from tests.lateness import lateness
from tests.rig import FAST
from trading.health import Component, Condition, Occasion, Severity
from trading.order import OrderStatus
from trading.ports import FeedState

# Times at a tenth (FAST, SHORT); a look each second and the second until all is clear are real.
KEY = "no_prices"
QUOTES = "/v2/market-quote/quotes"
MARKET = Component.MARKET_FEED
ALL_CLEAR = 2 * SHORT.every_seconds + 1.0  # seconds until two good looks have proven the end
SILENCES = {
    "f01": ("stall", {}),
    "f02": ("heartbeats", {"every": 0.1}),
    "f04": ("half_open", {}),
}


async def goes_silent_and_comes_back(desk: Watched, fault: str, **parameters: object) -> None:
    """Make the fault, take it back, and compare what was said of it with what was."""
    before = desk.desk.feed.stats().ticks
    await asyncio.sleep(2.0)  # for a usual rate
    rate = (desk.desk.feed.stats().ticks - before) / 2.0
    async with lateness() as late:
        desk.exchange.faults.set(fault, **parameters)
        began = time.monotonic()
        silent = await desk.alert(KEY, Occasion.BEGIN, within=DETECTED + 2)
        detected = desk.seen_at(KEY) - began
        told = await desk.on_the_phone(f"{silent.name} · ", within=5)
    row = next(c for c in desk.watchers.watch.components() if c.component is MARKET)
    await desk.until(lambda: not desk.input("Market feed").good, within=3, what="a red input")
    calls = desk.authorised()
    desk.exchange.faults.clear()
    healed = await desk.live(within=RECOVERED + 3)
    live = time.monotonic()
    back = await desk.alert(KEY, Occasion.END, within=ALL_CLEAR)
    again = await desk.on_the_phone(f"{back.name} · ", within=5)
    incident = await desk.incident(KEY)
    lasted = (incident.ended - incident.began).total_seconds() if incident.ended else 0.0
    true = live - began
    print(
        f"{fault}: detected after {detected:.2f} s, on the phone {told.at - began - detected:.2f} s"
        f" later; live {healed:.2f} s after the exchange; down {true:.2f} s, told {lasted:.2f} s"
    )

    assert STALL - 0.2 < detected <= DETECTED + 2 * late.worst
    phoned = told.at - desk.changed_at(KEY, Occasion.BEGIN)
    assert phoned <= ON_THE_PHONE + 2 * late.worst
    assert told.what == "sendMessage"
    assert again.what == "editMessageText"  # the same message says that it is over
    assert again.number == told.number
    assert "MARKET FEED SILENT" in told.text
    assert "BACK after" in again.text
    assert row.condition is Condition.DOWN
    assert healed <= RECOVERED
    assert desk.authorised() - calls <= 2
    assert desk.occasions(KEY) == [Occasion.BEGIN, Occasion.END]
    assert {alert.key for alert in desk.alerts} == {KEY}
    assert incident.steps[0].what.startswith("stalled: no price for")
    assert incident.steps[-1].result.startswith("a price after")
    assert all(step.result not in ("", "under way") for step in incident.steps)
    assert incident.alerts == 2
    assert abs(lasted - true) < 1.0  # product.md F10
    assert incident.ticks_missed is not None
    assert 0.5 < incident.ticks_missed / (rate * true) < 2  # an estimate, by another second's rate
    assert desk.input("Market feed").good


@pytest.mark.parametrize("row", SILENCES)
async def test_f01_f02_f04_silence_is_told_once_and_its_end_once(tmp_path: Path, row: str) -> None:
    fault, parameters = SILENCES[row]
    async with watched(tmp_path) as desk:
        await goes_silent_and_comes_back(desk, fault, **parameters)
        assert not desk.watchers.watch.open_incidents()


@pytest.mark.parametrize("how", ["fin", "rst", "1000", "1011", "1012"])
async def test_f07_a_closed_socket_is_found_at_once_and_too_short_to_be_told(
    tmp_path: Path, how: str
) -> None:
    async with watched(tmp_path, feed=QUICK, rate=1000.0) as desk:
        desk.exchange.faults.set("authorize", how="status", status=503, next=2)
        async with lateness() as late:
            desk.exchange.faults.set("drop", how=how)
            began = time.monotonic()
            await desk.until(lambda: KEY in desk.wrong, within=2, what="a finding")
        found = desk.seen_at(KEY) - began
        assert not desk.input("Market feed").good
        healed = await desk.healed()
        print(f"{how}: found after {found * 1000:.0f} ms, live after {healed:.2f} s")

        assert found < 0.2 + 2 * late.worst
        await settled(desk)
        assert desk.alerts == []
        assert desk.input("Market feed").good


async def test_f07_a_closed_socket_that_stays_closed_is_told_with_what_was_tried(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, feed=QUICK, rate=1000.0) as desk:
        desk.exchange.faults.set("authorize", how="status", status=503)
        async with lateness() as late:
            desk.exchange.faults.set("drop", how="fin")
            began = await desk.alert(KEY, Occasion.BEGIN)
            told = await desk.on_the_phone(f"{began.name} · ")
        desk.exchange.faults.clear()
        healed = await desk.live(within=RECOVERED)
        back = await desk.alert(KEY, Occasion.END, within=ALL_CLEAR)
        await desk.on_the_phone(f"{back.name} · ")
        incident = await desk.incident(KEY)

        print(f"live {healed:.2f} s after the exchange: {[s.what for s in incident.steps]}")
        assert told.at - desk.changed_at(KEY, Occasion.BEGIN) <= ON_THE_PHONE + 2 * late.worst
        assert began.severity is Severity.WARNING
        assert "DISCONNECTED" in began.title
        assert "503" in str(incident.steps)
        assert desk.occasions(KEY) == [Occasion.BEGIN, Occasion.END]
        assert healed <= RECOVERED


async def test_f01_silence_over_open_positions_is_critical_and_their_prices_are_asked_for(
    tmp_path: Path,
) -> None:
    """position_blind is 3 s here, 30 s in life."""
    async with watched(tmp_path, rate=1000.0) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        order = await dealing.buy()
        await dealing.becomes(order, OrderStatus.FILLED)
        await desk.on_the_phone("FILLED")
        before = len(desk.exchange.ledger.calls_to(QUOTES))

        def quoted() -> int:
            return len(desk.exchange.ledger.calls_to(QUOTES)) - before

        desk.exchange.faults.set("stall")
        silent = await desk.alert(KEY, Occasion.BEGIN)
        worse = await desk.alert(KEY, Occasion.ESCALATE)
        await desk.on_the_phone(f"{worse.name} · ")
        await desk.until(lambda: "quotes" in str(desk.watchers.incidents.of(KEY)), within=5)
        await desk.until(lambda: quoted() > 0, within=8, what="a quote")  # asked for after 5 s
        await desk.until(lambda: desk.input("Market feed").grave, within=3, what="a red input")
        red = desk.input("Market feed")
        desk.exchange.faults.clear()
        back = await desk.alert(KEY, Occasion.END, within=RECOVERED + ALL_CLEAR)
        end = await desk.on_the_phone(f"{back.name} · ")
        incident = await desk.incident(KEY)

        assert (silent.severity, worse.severity) == (Severity.WARNING, Severity.CRITICAL)
        assert "1 position open" in silent.title
        assert incident.severity is Severity.CRITICAL
        polled = [s for s in incident.steps if s.what == "poll quotes of 1 held instrument"]
        assert len(polled) == 1, incident.steps
        assert polled[0].result != "under way", incident.steps
        assert "BACK after" in end.text
        assert desk.occasions(KEY) == [Occasion.BEGIN, Occasion.ESCALATE, Occasion.END]
        assert (red.good, red.grave) == (False, True)


async def test_f01_forty_flaps_within_the_window_are_three_messages_at_most(
    tmp_path: Path,
) -> None:
    """Ten minutes are 14 s here: a flap each 0.35 s; the ladder of the phone is not scaled."""
    hasty = FAST.model_copy(update={"stall_seconds": 0.15, "backoff_open": 0.1})
    watch = Watch(
        every_seconds=0.2, feed_silent=0.15, checks_to_ok=1, flaps=4, flap_window=14.0, steady=7.0
    )
    async with watched(tmp_path, feed=hasty, watch=watch, rate=2000.0) as desk:
        began = time.monotonic()
        for number in range(40):
            desk.exchange.faults.set("stall")
            await desk.until(lambda: KEY in desk.wrong, within=2, what="silence")
            desk.exchange.faults.clear()
            await desk.until(lambda: KEY not in desk.wrong, within=2, what="prices")
            await asyncio.sleep(max(0.0, began + 0.35 * (number + 1) - time.monotonic()))
        took = time.monotonic() - began
        flapping = desk.watchers.incidents.of(KEY)
        print(f"40 flaps in {took:.1f} s: {desk.titles}")

        assert flapping is not None
        assert flapping.flaps >= 10
        assert desk.occasions(KEY) == [Occasion.BEGIN, Occasion.END, Occasion.BEGIN]
        assert "ON AND OFF" in desk.titles[-1]
        assert len(desk.sounds()) <= 3


async def test_a_quiet_instrument_of_a_live_feed_is_no_trouble(tmp_path: Path) -> None:
    """Row 2 of part B, product.md F7: ten minutes are some seconds here."""
    async with watched(tmp_path, rate=40.0) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        far = dealing.option(nth=30)
        order = await dealing.buy(instrument=far)
        await dealing.becomes(order, OrderStatus.FILLED)
        await desk.on_the_phone("FILLED")
        desk.alerts.clear()
        key, calls = far.instrument_key, desk.authorised()
        quiet = 6.0  # seconds: older than a price may be that is believed without asking

        def at_peace() -> bool:
            return not desk.wrong and desk.state is FeedState.LIVE

        await desk.until(lambda: (desk.age(key) or 0) > quiet, within=60, what="a quiet option")
        await quiet_for(2.0, at_peace)
        heard = desk.desk.market_data.heard_age()
        assert heard is not None
        assert heard < SHORT.feed_silent
        assert desk.alerts == []
        assert desk.authorised() == calls


def test_the_times_are_a_tenth_of_the_real_ones() -> None:
    assert timedelta(seconds=10 * STALL) == timedelta(seconds=Watch().feed_silent)
    assert SHORT.feed_silent == STALL
