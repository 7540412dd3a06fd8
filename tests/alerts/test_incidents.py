"""Incidents from begin to end, and how they reach the disk."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from alerts.incidents import UNDER_WAY, IncidentBook
from tests.alerts.scripted_feeds import MORNING
from tests.alerts.scripted_journal import ScriptedJournal
from tests.alerts.watch_rig import WatchRig, only
from tests.dashboard.fakes import NIFTY
from trading.clock import ManualClock
from trading.errors import Retryable
from trading.health import Alert, Component, Incident, Occasion, Severity
from trading.health_ports import News
from trading.ports import FeedState

KEY = "no_prices"


class Shelf:
    """A book of incidents with its disk."""

    def __init__(self, journal: ScriptedJournal | None = None) -> None:
        self.clock = ManualClock(MORNING)
        self.journal = journal or ScriptedJournal()
        self.book = IncidentBook(self.clock, self.journal, sleep=self.sleep)
        self.slept: list[float] = []
        self.changes: list[Incident] = []
        self.book.changes.subscribe(self.changes.append)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.01)

    def begin(self, key: str = KEY, *, flaps: int = 0, reopen: float = 0) -> Incident:
        return self.book.begin(
            key,
            Component.MARKET_FEED,
            Severity.WARNING,
            began=self.clock.now() - timedelta(seconds=15),
            cause="market feed silent 15 s",
            is_mock=True,
            flaps=flaps,
            reopen=timedelta(seconds=reopen),
        )

    async def store(self, incident: Incident, occasion: Occasion = Occasion.BEGIN) -> None:
        """Commit the alert of an incident, as the Teller does."""
        alert = Alert(
            incident.key, incident.component, occasion, incident.severity, self.clock.now(),
            "title", (), "/status", "SIMULATED", is_mock=True,
        )  # fmt: skip
        for stored in await self.journal.tell([News(alert, (), incident)]):
            self.book.on_stored(stored)
        await self.written()

    async def written(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def kept(self) -> Incident:
        return only(list(self.journal.kept.values()))


async def test_nothing_is_written_before_the_first_alert_is() -> None:
    shelf = Shelf()
    incident = shelf.begin()
    shelf.book.step(KEY, "reconnect", UNDER_WAY)
    await shelf.written()
    assert shelf.journal.kept == {}, "the alert and its incident are one transaction"

    heard: list[int] = []
    shelf.book.changes.subscribe(lambda change: heard.append(change.number))
    await shelf.store(incident)

    assert heard == [1], "who shows it must learn its number"
    assert shelf.kept.number == 1
    assert [s.what for s in shelf.kept.steps] == ["reconnect"], "written behind, with the number"
    assert shelf.book.of(KEY) == replace(shelf.kept, alerts=0)


async def test_a_step_under_way_becomes_its_result() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())

    shelf.book.step(KEY, "reconnect", UNDER_WAY)
    shelf.clock.advance(1.2)
    shelf.book.step(KEY, "reconnect", "a price after 1.2 s")
    shelf.book.step(KEY, "reconnect", "again")
    shelf.book.step("another", "reconnect", "nobody knows it")
    await shelf.written()

    assert [(s.what, s.result) for s in shelf.kept.steps] == [
        ("reconnect", "a price after 1.2 s"),
        ("reconnect", "again"),
    ]
    assert shelf.kept.steps[0].at == MORNING, "when it was begun"


async def test_a_disk_that_refuses_gets_the_latest_state_later() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())
    shelf.journal.refuses = Retryable("locked")
    for n in range(5):
        shelf.book.step(KEY, f"try {n}", "refused")
    shelf.book.end(KEY, shelf.clock.now(), ticks_missed=7)
    await shelf.written()
    assert shelf.kept.steps == ()

    shelf.journal.refuses = None
    await asyncio.sleep(0.1)

    assert len(shelf.kept.steps) == 5
    assert set(shelf.slept) == {2.0}
    assert (shelf.kept.ended, shelf.kept.ticks_missed) == (MORNING, 7)


async def test_an_incident_that_ended_lasts_no_more() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())

    over = shelf.book.end(KEY, shelf.clock.now())

    assert over is not None
    assert shelf.book.open() == []
    assert shelf.book.of(KEY) is None
    assert shelf.book.end(KEY, shelf.clock.now()) is None
    assert shelf.book.recent() == (over,)


async def test_a_flap_goes_on_with_the_incident_that_has_just_ended() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())
    shelf.book.end(KEY, shelf.clock.now())
    shelf.clock.advance(60)

    again = shelf.begin(flaps=2, reopen=600)
    shelf.book.flapped(KEY, 5)
    await shelf.written()

    assert again.number == 1
    assert shelf.kept.ended is None
    assert shelf.kept.flaps == 5
    assert shelf.kept.began == MORNING - timedelta(seconds=15)


async def test_an_old_one_stays_as_it_was() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())
    shelf.book.end(KEY, shelf.clock.now())
    shelf.clock.advance(601)

    again = shelf.begin(flaps=2, reopen=600)

    assert again.number == 0


async def test_severity_only_rises() -> None:
    shelf = Shelf()
    shelf.begin()

    shelf.book.worse(KEY, Severity.CRITICAL)
    shelf.book.worse(KEY, Severity.WARNING)

    assert only(shelf.book.open()).severity is Severity.CRITICAL


async def test_what_is_acknowledged_is_seen_at_once() -> None:
    shelf = Shelf()
    await shelf.store(shelf.begin())
    taken = await shelf.journal.acknowledge(MORNING, "page")

    shelf.book.acknowledged(taken, MORNING, "page")

    assert only(shelf.book.open()).acknowledged_by == "page"
    assert shelf.changes[-1].acknowledged == MORNING


async def test_a_restart_goes_on_with_what_was_open() -> None:
    before = Shelf()
    await before.store(before.begin())
    after = Shelf(before.journal)

    await after.book.load()
    assert only(after.book.open()).number == 1
    again = after.begin()
    after.book.settle()

    assert again.number == 1
    assert only(after.book.open()).key == KEY, "it was met again"


async def test_a_restart_ends_what_it_does_not_find_any_more() -> None:
    before = Shelf()
    await before.store(before.begin())
    rig = WatchRig(journal=before.journal)
    await rig.incidents.load()

    await rig.live(59)
    assert len(rig.incidents.open()) == 1
    await rig.live(3)
    await asyncio.sleep(0.01)

    kept = only(list(rig.journal.kept.values()))
    assert kept.ended is not None
    assert kept.steps[-1].what == "over when the desk had started again"
    told = only(rig.told[1:])
    assert (told.occasion, told.severity) == (Occasion.END, Severity.INFO), "nobody is woken"
    assert told.incident == kept.number
    assert told.title == "NO MORE: " + kept.cause


async def test_the_alert_of_its_end_is_counted_with_the_others() -> None:
    rig = WatchRig()
    await rig.live(5)
    rig.feed.goes(FeedState.STALLED, "no price")
    await rig.run(16)
    assert only(rig.incidents.open()).alerts == 1
    rig.feed.comes_back()
    await rig.live(5)

    over = only(rig.incidents.recent())
    assert over.alerts == len([told for told in rig.told if told.incident == over.number]) == 2


async def test_a_restart_within_an_outage_writes_one_incident() -> None:
    first = WatchRig()
    await first.live(5)
    first.feed.goes(FeedState.STALLED, "no price")
    await first.run(16)
    assert len(first.journal.kept) == 1

    second = WatchRig(journal=first.journal)
    await second.incidents.load()
    second.feed.goes(FeedState.STALLED, "no price")
    await second.run(20)
    second.feed.comes_back()
    await second.run(70, prices=[NIFTY])
    await asyncio.sleep(0.01)

    assert only(list(second.journal.kept.values())).ended is not None
