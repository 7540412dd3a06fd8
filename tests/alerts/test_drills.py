"""Fire drills on a running desk against the real simulated exchange, times at a tenth."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from alerts.drill_kinds import DRILLS
from alerts.drills import FireDrills, Patience, Scene, no_login
from alerts.phone import SimulatedPhone
from feeds.upstox.simulated_faults import SimulatedFaults
from simulator.telegram_chat import OWNER, TOKEN
from simulator.telegram_markup import plain
from tests.lateness import lateness
from tests.rig import Rig, running
from trading.errors import Denied, Retryable
from trading.health import (
    Alert,
    ChannelHealth,
    Component,
    DrillResult,
    Finding,
    Occasion,
    Severity,
)
from trading.model import Mode
from trading.ports import FeedChange, FeedState
from trading.signal import Signal

PATIENCE = Patience(look=0.02, calm=0.1, settle=1.0, steady=0.0, scale=0.1)
# No two in a row that end a young connection of the same feed: that looks like another client.
ORDER = [
    "pull the plug", "freeze without close", "expired token", "heartbeats only",
    "exchange refuses", "half-open connection", "missing instruments", "garbage frames",
    "late ticks", "market burst", "order stream dropped", "Telegram down",
]  # fmt: skip


class ScriptedDrillJournal:
    """The disk at the other end of the port."""

    def __init__(self) -> None:
        self.kept: dict[str, DrillResult] = {}
        self.full = False

    async def keep_drill(self, result: DrillResult) -> None:
        if self.full:
            raise Retryable("the disk is full")
        self.kept[result.drill] = result

    async def drills(self) -> dict[str, DrillResult]:
        return dict(self.kept)


@dataclass
class Stage:
    """A running desk with drills, and the neighbours of drills as far as a test scripts them."""

    rig: Rig
    faults: SimulatedFaults
    phone: SimulatedPhone
    stored: Signal[Alert] = field(default_factory=lambda: Signal("stored"))
    found: list[Finding] = field(default_factory=list)
    health: ChannelHealth = field(default_factory=lambda: ChannelHealth("telegram", "ok"))
    journal: ScriptedDrillJournal = field(default_factory=ScriptedDrillJournal)
    said: list[DrillResult] = field(default_factory=list)
    late: dict[str, float] = field(default_factory=dict)  # how late this machine was in a drill

    def drills(self, patience: Patience = PATIENCE, **changes: object) -> FireDrills:
        desk = self.rig.desk
        scene = Scene(
            simulated=True,
            feed=desk.feed,
            wanted=lambda: desk.subscriptions.wanted().modes,
            findings=lambda: self.found,
            stored=self.stored,
            streams=tuple(desk.portfolio_feeds.values()),
            channels=lambda: [self.health],
            phone=self.phone,
            test_message=self.send,
            renew=no_login,
        )
        scene = replace(scene, **changes)  # type: ignore[arg-type]
        drills = FireDrills(desk.clock, self.faults, scene, self.journal, patience)
        drills.changes.subscribe(self.said.append)
        return drills

    async def done(self, drills: FireDrills, name: str, *, within: float = 20) -> DrillResult:
        async with lateness() as late:
            await drills.start(name)
            await self.rig.until(lambda: drills.running() is None, within=within, what=name)
        self.late[name] = late.worst
        return drills.results()[name]

    def tell(self, component: Component, number: int) -> None:
        self.stored.emit(alert(component, number))

    async def send(self, text: str) -> None:
        """Be a channel: send until it is taken, and say how that goes."""
        self.tell(Component.CHANNELS, 40)
        task = asyncio.create_task(self._deliver(f"test <b>{text}</b>\nA40 · 11:07:31 IST"))
        self.sending = task

    async def _deliver(self, text: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            body = {"chat_id": OWNER, "text": text, "parse_mode": "HTML"}
            url = f"{self.rig.exchange.bot_url}{TOKEN}/sendMessage"
            while True:
                try:
                    await client.post(url, json=body)
                except httpx.HTTPError:
                    self.health = ChannelHealth("telegram", "down", "no answer", queued=1)
                    await asyncio.sleep(0.1)
                else:
                    self.health = ChannelHealth("telegram", "ok")
                    return


def alert(component: Component, number: int, severity: Severity = Severity.CRITICAL) -> Alert:
    return Alert(
        "no prices", component, Occasion.BEGIN, severity, datetime.now(UTC), "MARKET FEED SILENT",
        (), "/status", "SIMULATED", is_mock=True, id=number,
    )  # fmt: skip


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with running(folder, rate=1000.0) as rig:
        await rig.live()
        feeds = rig.desk.portfolio_feeds.values()
        await rig.until(
            lambda: all(feed.stats().state is FeedState.LIVE for feed in feeds),
            within=10,
            what="the portfolio stream",
        )
        some = [key for key in rig.exchange.market.instruments if key.startswith("NSE_FO")][:40]
        rig.desk.subscriptions.hold("test", some, Mode.LTPC)
        await asyncio.sleep(1.0)  # for a usual rate
        phone = SimulatedPhone(rig.exchange.base_url)
        phone.start()
        async with SimulatedFaults(rig.exchange.base_url) as faults:
            yield Stage(rig, faults, phone)
            assert await faults.names() == ()
        await phone.stop()


@asynccontextmanager
async def asking_again(stage: Stage) -> AsyncIterator[None]:
    """Be the ladder that asks again for what is missing, as the desk's recovery does."""

    async def ask() -> None:
        while True:
            if missing := stage.rig.desk.feed.stats().missing:
                stage.rig.desk.feed.ask_again(missing)
            await asyncio.sleep(0.2)

    task = asyncio.create_task(ask())
    yield
    task.cancel()


async def test_every_drill_ends_green_and_takes_its_fault_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, asking_again(on):
        drills = on.drills()
        for name in ORDER:
            result = await on.done(drills, name)
            assert result.good, (name, result)
            assert result.detected_after is not None, name
            assert result.recovered_after is not None, name
            assert result.recovered_after >= result.detected_after, name
            assert result.ended is not None, name
            assert await on.faults.names() == (), name
            await on.rig.live()

        assert {name for name, _ in drills.names()} == set(ORDER) == {d.name for d in DRILLS}
        assert on.journal.kept == dict(drills.results())
        plug, frozen = on.journal.kept["pull the plug"], on.journal.kept["freeze without close"]
        assert plug.detected_after is not None
        assert plug.detected_after < 0.5 + 2 * on.late["pull the plug"]
        assert plug.recovered_after is not None
        assert plug.recovered_after < 5
        assert frozen.detected_after is not None
        late = 2 * on.late["freeze without close"]
        assert 1.0 < frozen.detected_after < 3.0 + late  # the threshold is 1.5 s
        assert frozen.ticks_lost
        assert frozen.ticks_lost > 0
        assert on.journal.kept["Telegram down"].told_after is not None
        assert on.rig.exchange.book()["requests"] == []  # no drill touches an order


async def test_the_stopwatch_hears_the_finding_the_alert_and_the_phone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        told: list[float] = []

        def trouble(change: FeedChange) -> None:
            """Be monitor, teller and channel: find, store, and tell 0.2 s later."""
            if change.before is not FeedState.LIVE:
                return
            on.tell(Component.MARKET_FEED, 17)
            on.tell(Component.STORAGE, 18)  # another matter
            asyncio.get_running_loop().call_later(0.2, tell)

        def tell() -> None:
            told.append(time.monotonic())
            on.rig.exchange.phone(lambda chats: chats.send(OWNER, text, (), silent=False))

        text = plain("MARKET FEED SILENT\nA17 · 11:07:31 IST")
        on.rig.exchange.phone(lambda chats: chats.send(OWNER, plain("old A170"), (), silent=False))
        on.rig.desk.feed.changes.subscribe(trouble)
        result = await on.done(on.drills(), "pull the plug")

        assert result.good, result
        assert result.alerts_sent == 1
        assert result.told_after is not None
        assert result.detected_after is not None
        late = 2 * on.late["pull the plug"]
        assert 0.2 <= result.told_after - result.detected_after < 1.2 + late


async def test_a_finding_is_a_sign_and_one_that_was_there_before_is_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        old = finding("disk", Component.MARKET_FEED)
        on.found = [old]
        drills = on.drills()
        async with lateness() as late:
            await drills.start("freeze without close")
            await on.rig.until(lambda: on.said[-1].words == "the fault is on", within=5)
            await asyncio.sleep(0.3)
            before = drills.running()
            on.found = [old, finding("no_prices", Component.MARKET_FEED)]
            await on.rig.until(lambda: on.said[-1].detected_after is not None, within=5)
        on.found = [old]
        await on.rig.until(lambda: drills.running() is None, within=15)

        assert before is not None
        assert before.detected_after is None
        seen = drills.results()["freeze without close"].detected_after
        assert seen is not None
        assert 0.2 < seen < 1.2 + 2 * late.worst


def finding(rule: str, component: Component) -> Finding:
    return Finding(rule, component, Severity.WARNING, "it is silent", "prices are old", "Nothing")


async def test_a_critical_alert_that_the_phone_never_shows_fails_the_drill(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.rig.desk.feed.changes.subscribe(lambda _: on.tell(Component.MARKET_FEED, 17))
        result = await on.done(on.drills(), "pull the plug")

        assert not result.good
        assert "the phone had nothing within 1 s" in result.words


async def test_a_fault_that_nobody_notices_fails_the_drill_and_is_taken_back(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        hasty = replace(PATIENCE, scale=0.01)  # 0.6 s, and silence is judged after 1.5 s
        result = await on.done(on.drills(hasty), "freeze without close")

        assert not result.good
        assert result.words == "nothing noticed it within 0.6 s"
        assert result.detected_after is None
        assert await on.faults.names() == ()


async def test_a_desk_that_does_not_recover_fails_the_drill_with_its_state(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.faults.set("authorize", how="status", status=503)  # this one is not the drill's
        result = await on.done(on.drills(replace(PATIENCE, scale=0.02)), "pull the plug")
        await on.faults.clear()

        assert not result.good
        assert result.detected_after is not None
        assert result.recovered_after is None
        assert "not recovered within 1.2 s: the market feed is" in result.words


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_drill_that_is_interrupted_takes_its_fault_back(tmp_path: Path, how: str) -> None:
    async with stage(tmp_path) as on:
        drills = on.drills()
        await drills.start("freeze without close")
        await on.rig.until(lambda: bool(on.rig.exchange.faults.show()), within=2)
        if how == "stop":
            await asyncio.gather(drills.stop(), drills.stop())
        else:  # as the end of the loop does with every task
            (task,) = [t for t in asyncio.all_tasks() if t.get_name() == "fire drill"]
            task.cancel()
            await asyncio.wait((task,))
        await drills.stop()  # nothing runs: nothing happens

        assert await on.faults.names() == ()
        assert drills.running() is None
        result = drills.results()["freeze without close"]
        assert (result.good, result.words) == (False, "stopped before its end")
        assert on.journal.kept["freeze without close"] == result


async def test_a_drill_in_which_the_desk_died_is_told_as_interrupted_by_the_next(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        drills = on.drills()
        await drills.start("freeze without close")
        await on.rig.until(lambda: bool(on.rig.exchange.faults.show()), within=2)
        kept = on.journal.kept["freeze without close"]  # on the disk before the fault is on
        assert kept.ended is None
        await drills.stop()

        on.journal.kept["freeze without close"] = kept  # what a kill -9 leaves
        after = on.drills()
        await after.load()

        result = after.results()["freeze without close"]
        assert (result.good, result.ended) == (False, kept.began)
        assert result.words == "interrupted: the desk stopped while it ran"
        assert after.running() is None


async def test_a_drill_that_cannot_be_judged_is_denied(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        drills = on.drills()
        with pytest.raises(Denied, match="simulated exchange only"):
            await on.drills(simulated=False).start("pull the plug")
        with pytest.raises(Denied, match="no drill called 'flood'"):
            await drills.start("flood")
        await drills.start("pull the plug")
        with pytest.raises(Denied, match="'pull the plug' is still under way"):
            await drills.start("market burst")
        await on.rig.until(lambda: drills.running() is None, within=10)
        await on.faults.set("half_open")
        await on.rig.until(lambda: on.rig.desk.feed.stats().state is not FeedState.LIVE, within=5)
        with pytest.raises(Denied, match="No prices come at the moment"):
            await drills.start("pull the plug")
        await on.faults.clear()


async def test_only_what_this_desk_has_is_offered(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        bare = on.drills(streams=(), phone=None, renew=None, replay=True)
        left = {drill.name for drill in DRILLS} - {name for name, _ in bare.names()}

        assert left == {"expired token", "order stream dropped", "Telegram down", "market burst"}


async def test_an_exchange_that_is_gone_ends_the_drill_in_words(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        async with SimulatedFaults("http://127.0.0.1:9") as nobody:
            on_air, on.faults = on.faults, nobody
            result = await on.done(on.drills(), "freeze without close")
            on.faults = on_air

        assert not result.good
        assert "the simulated exchange does not answer" in result.words
        assert "the fault ends by itself" in result.words


async def test_results_are_known_after_a_restart_and_a_full_disk_costs_only_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(tmp_path) as on:
        first = await on.done(on.drills(), "pull the plug")
        on.journal.full = True
        again = on.drills()
        await again.load()
        loaded = again.results()
        second = await on.done(again, "freeze without close")

        assert loaded == {"pull the plug": first}
        assert again.results() == {"pull the plug": first, "freeze without close": second}
        assert "is not stored: the disk is full" in caplog.text


async def test_pages_hear_of_every_change_and_of_the_end_last(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        drills = on.drills()
        result = await on.done(drills, "pull the plug")

        assert [said.ended is None for said in on.said] == [True] * (len(on.said) - 1) + [False]
        assert on.said[-1] == result
        assert on.said[0].words == "waiting for steady connections"


async def test_a_young_connection_is_not_broken_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        drills = on.drills(replace(PATIENCE, steady=1.0))
        await on.done(drills, "pull the plug")
        since = on.rig.desk.feed.stats().since
        again = await on.done(drills, "freeze without close")

        assert again.good, again
        assert (again.began - since).total_seconds() >= 0.9
