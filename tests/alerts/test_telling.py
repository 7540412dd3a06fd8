"""Stored first, then shown; in order while the disk refuses; reminded of until somebody says so."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.routing import Routing, Way, quiet_hours
from alerts.telling import REMIND_AFTER_START, Draft, Teller
from tests.alerts.scripted_channel import alert
from tests.alerts.scripted_journal import ScriptedJournal
from tests.alerts.timeline import NOON
from trading.clock import ManualClock
from trading.errors import BadRequest, Retryable, VigilError
from trading.health import Alert, Component, Incident, Occasion, Severity

FULL = Retryable("the disk is full")
ROUTES = Routing(
    (Way("telegram"), Way("e-mail", Severity.WARNING)), quiet_hours("", holidays=False)
)


class SlowJournal(ScriptedJournal):
    """A disk whose writes wait while it is not quick."""

    def __init__(self) -> None:
        super().__init__()
        self.is_quick = asyncio.Event()
        self.is_quick.set()

    async def _write(self) -> None:
        await self.is_quick.wait()
        await super()._write()


class Room:
    def __init__(self, journal: ScriptedJournal | None = None) -> None:
        self.clock = ManualClock(NOON)
        self.journal = journal or ScriptedJournal()
        self.teller = Teller(self.clock, self.journal, ROUTES)
        self.shown: list[Alert] = []
        self.stored: list[Alert] = []
        self.teller.alerts.subscribe(self.shown.append)
        self.teller.stored.subscribe(self.stored.append)

    async def tell(self, *alerts: Alert) -> list[Alert]:
        return await self.teller.tell([Draft(replace(a, at=self.clock.now())) for a in alerts])

    async def later(self, seconds: float) -> None:
        """Let time pass with the job of every second."""
        for _ in range(round(seconds)):
            self.clock.advance(1)
            await self.teller.look()


def incident(key: str = "no_prices") -> Incident:
    return Incident(
        key=key,
        component=Component.MARKET_FEED,
        severity=Severity.CRITICAL,
        began=NOON,
        cause="stall",
        is_mock=True,
    )


async def test_an_alert_is_on_the_disk_with_its_letters_before_it_is_shown() -> None:
    room = Room()
    on_disk: list[int] = []
    room.teller.alerts.subscribe(lambda told: on_disk.append(len(room.journal.mail)))

    [told] = await room.tell(alert())

    assert told.name == "A1"
    assert room.shown == room.stored == [told]
    assert on_disk == [2]
    assert [letter.channel for letter in room.journal.mail.values()] == ["telegram", "e-mail"]


async def test_what_may_exist_once_only_is_neither_stored_nor_shown_twice() -> None:
    room = Room()
    await room.tell(alert(once="vig-1 filled 75"))

    assert await room.tell(alert(once="vig-1 filled 75"), alert("OTHER", key="other")) != []
    assert [told.title for told in room.shown] == ["MARKET FEED SILENT", "OTHER"]


async def test_while_the_disk_refuses_it_is_shown_at_once_and_stored_later_in_order_once() -> None:
    room = Room()
    room.journal.refuses = FULL

    first = await room.tell(alert("ONE", key="1"))
    await room.tell(alert("TWO", Severity.CRITICAL, key="2"))
    await room.later(2)

    assert [told.id for told in first] == [0]
    assert [told.title for told in room.shown] == ["ONE", "TWO"]
    assert (room.journal.told, room.stored) == ([], [])
    assert room.teller.unstored() == (2, "the disk is full")
    assert [told.title for told in room.teller.unacknowledged()] == ["ONE", "TWO"]

    room.journal.refuses = None
    await room.later(1)
    await asyncio.sleep(0.01)
    await room.tell(alert("THREE", key="3"))

    assert [told.title for told in room.journal.told] == ["ONE", "TWO", "THREE"]
    assert [told.title for told in room.shown] == ["ONE", "TWO", "THREE"]
    assert [told.id for told in room.stored] == [1, 2, 3]
    assert [told.id for told in room.teller.unacknowledged()] == [1, 2, 3]
    assert room.teller.unstored() == (0, "")


async def test_an_incident_that_ends_before_the_disk_is_back_is_one_incident() -> None:
    room = Room()
    room.journal.refuses = FULL
    began = incident()
    ended = replace(began, ended=NOON + timedelta(seconds=47))

    await room.teller.tell([Draft(alert(severity=Severity.CRITICAL), began)])
    await room.teller.tell([Draft(alert("BACK", Severity.INFO, Occasion.END), ended)])
    room.journal.refuses = None
    await room.later(1)
    await asyncio.sleep(0.01)

    assert [kept.ended for kept in room.journal.kept.values()] == [ended.ended]
    assert [told.incident for told in room.journal.told] == [1, 1]


async def test_the_all_clear_of_a_critical_incident_goes_to_the_mail_too() -> None:
    room = Room()

    await room.teller.tell([Draft(alert("BACK", Severity.INFO, Occasion.END), incident())])

    assert {letter.channel for letter in room.journal.mail.values()} == {"telegram", "e-mail"}


@pytest.mark.parametrize("error", [ValueError("no such column"), BadRequest("half a character")])
async def test_what_makes_the_journal_fail_does_not_hold_up_the_rest_for_ever(
    error: Exception,
) -> None:
    class Picky(ScriptedJournal):
        async def tell(self, news, *, handled=()):  # type: ignore[no-untyped-def]
            if any(item.alert.title == "POISON" for item in news):
                raise error
            return await super().tell(news, handled=handled)

    room = Room(Picky())
    await room.tell(alert("FIRST", key="f"), alert("POISON", key="p"))
    await room.tell(alert("GOOD", key="g"))
    for _ in range(10):
        await room.later(1)
        await asyncio.sleep(0.01)

    assert [told.title for told in room.journal.told] == ["FIRST", "GOOD"]
    assert [told.title for told in room.shown] == ["FIRST", "POISON", "GOOD"]
    assert room.teller.unstored() == (0, "")


async def test_critical_is_repeated_until_it_is_acknowledged() -> None:
    room = Room()
    await room.tell(alert("NAKED LEG", Severity.CRITICAL, Occasion.EVENT, key="basket 1"))

    await room.later(60 + 300 + 900)

    reminders = [told for told in room.shown if told.occasion is Occasion.REMIND]
    assert [(told.at - NOON).total_seconds() for told in reminders] == [60, 360, 1260]
    assert reminders[0].title == "NAKED LEG (reminder 1)"
    assert "told at 12:00:00 IST, and nobody has acknowledged it" in reminders[0].lines
    assert len(room.journal.post("telegram")) == 4
    assert len(room.teller.unacknowledged()) == 1

    told = await room.teller.acknowledge("owner", numbers=[1])
    await room.later(1000)

    assert [a.id for a in told] == [1, 2, 3, 4]
    assert len(room.shown) == 4
    assert room.teller.unacknowledged() == []
    assert await room.teller.acknowledge("owner", numbers=[1]) == []


async def test_the_end_of_a_matter_ends_its_reminders_and_a_new_beginning_is_new() -> None:
    room = Room()
    await room.tell(alert(severity=Severity.CRITICAL))
    await room.teller.acknowledge("owner")
    await room.tell(alert("BACK", Severity.INFO, Occasion.END))
    await room.later(400)
    assert len(room.shown) == 2

    await room.tell(alert(severity=Severity.CRITICAL))
    await room.later(61)

    assert [told.occasion for told in room.shown[2:]] == [Occasion.BEGIN, Occasion.REMIND]


async def test_the_end_of_a_matter_that_nobody_acknowledged_ends_its_reminders_too() -> None:
    room = Room()
    await room.tell(alert(severity=Severity.CRITICAL))
    await room.tell(alert("BACK", Severity.INFO, Occasion.END))
    await room.later(1000)

    assert len(room.shown) == 2
    assert [told.title for told in room.teller.unacknowledged()] == ["MARKET FEED SILENT"]


async def test_acknowledged_reminders_of_others_are_not_told() -> None:
    room = Room()
    await room.tell(alert(severity=Severity.CRITICAL))
    await room.teller.acknowledge("owner")

    assert await room.tell(alert("STILL", Severity.CRITICAL, Occasion.REMIND)) == []


async def test_acknowledgements_mutes_and_reminders_outlive_a_restart() -> None:
    before = Room()
    await before.tell(alert("KNOWN", Severity.CRITICAL, key="known"))
    await before.tell(alert("OPEN", Severity.CRITICAL, key="open"))
    await before.tell(alert("OVER", Severity.CRITICAL, key="over"))
    await before.tell(alert("BACK", Severity.INFO, Occasion.END, key="over"))
    await before.teller.acknowledge("owner", numbers=[1])
    await before.teller.mute("low_uptime", NOON + timedelta(hours=1))

    after = Room(before.journal)
    await after.teller.load()
    await after.later(REMIND_AFTER_START - 1)
    assert after.shown == [], "first it has to be found again, or not"
    await after.later(2)

    assert [told.title for told in after.shown] == ["OPEN (reminder 1)"]
    assert [told.title for told in after.teller.unacknowledged()] == ["OPEN", "OVER"]
    assert list(after.teller.mutes()) == ["low_uptime"]


async def test_the_all_clear_of_what_passed_the_mute_of_its_component_passes_it_too() -> None:
    room = Room()
    await room.teller.mute(str(alert().component), NOON + timedelta(hours=1))
    for told in (
        alert("SILENT", Severity.CRITICAL),
        alert("BACK", Severity.INFO, Occasion.END),
    ):
        await room.teller.tell([Draft(told, incident(told.key))])

    for channel in ("telegram", "e-mail"):
        assert [m.alert.title for m in room.journal.post(channel)] == ["SILENT", "BACK"]


async def test_no_reminder_comes_after_the_end_that_the_disk_has_not_taken_yet() -> None:
    disk = SlowJournal()
    room = Room(disk)
    await room.tell(alert("SILENT", Severity.CRITICAL))
    await room.later(59)
    disk.is_quick.clear()
    ending = asyncio.create_task(room.tell(alert("BACK", Severity.INFO, Occasion.END)))
    await asyncio.sleep(0)
    reminding = asyncio.create_task(room.later(5))
    await asyncio.sleep(0.01)
    disk.is_quick.set()
    await asyncio.gather(ending, reminding)

    assert [told.title for told in room.shown] == ["SILENT", "BACK"]


async def test_after_a_restart_it_is_reminded_of_the_alarm_and_not_of_its_reminder() -> None:
    before = Room()
    await before.tell(alert("SILENT", Severity.CRITICAL))
    await before.later(61)
    assert before.shown[-1].title == "SILENT (reminder 1)"

    after = Room(before.journal)
    await after.teller.load()
    await after.later(REMIND_AFTER_START + 1)

    (told,) = after.shown
    assert told.title == "SILENT (reminder 1)"
    assert sum("nobody has acknowledged it" in line for line in told.lines) == 1


async def test_what_became_worse_after_it_was_acknowledged_is_reminded_of_after_a_restart() -> None:
    before = Room()
    await before.tell(alert("SILENT", Severity.WARNING))
    await before.teller.acknowledge("owner")
    await before.tell(alert("BLIND", Severity.CRITICAL, Occasion.ESCALATE))

    after = Room(before.journal)
    await after.teller.load()
    await after.later(REMIND_AFTER_START + 1)

    assert [told.title for told in after.shown] == ["BLIND (reminder 1)"]


async def test_a_mute_stops_the_letters_and_not_the_storing_and_ends_by_itself() -> None:
    room = Room()
    await room.teller.mute("no_prices", NOON + timedelta(minutes=2))

    await room.tell(alert(severity=Severity.CRITICAL))
    await room.later(119)
    assert (len(room.journal.told), len(room.journal.mail)) == (1, 0)

    await room.later(2)
    assert room.teller.mutes() == {}
    assert [m.alert.occasion for m in room.journal.post("telegram")] == [Occasion.REMIND]

    await room.teller.mute("no_prices", NOON + timedelta(hours=1))
    await room.teller.mute("no_prices", None)
    assert room.journal.muted == {}


async def test_an_acknowledgement_that_the_disk_refuses_counts_and_is_written_later() -> None:
    room = Room()
    await room.tell(alert(severity=Severity.CRITICAL))
    room.journal.refuses = VigilError("database: broken")

    told = await room.teller.acknowledge("owner")
    await room.teller.mute("no_prices", NOON + timedelta(hours=1))

    assert len(told) == 1
    assert room.teller.unacknowledged() == []
    assert await room.journal.unacknowledged() != []
    room.journal.refuses = None
    await room.later(1)
    assert await room.journal.unacknowledged() == []
    assert list(room.journal.muted) == ["no_prices"]


async def test_what_was_acknowledged_before_it_was_stored_stays_acknowledged() -> None:
    room = Room()
    room.journal.refuses = FULL
    await room.tell(alert(severity=Severity.CRITICAL))
    await room.teller.acknowledge("Asha")
    noted = room.clock.now()
    await room.later(2)
    await asyncio.sleep(0.01)  # what was tried is refused by now
    room.journal.refuses = None
    await room.later(1)
    await asyncio.sleep(0.01)
    await room.later(1)

    assert [told.id for told in room.stored] == [1]
    told = room.journal.told[0]
    assert (told.acknowledged, told.acknowledged_by) == (noted, "Asha"), "not the page, nor now"
    assert room.teller.unacknowledged() == []
    assert await room.journal.unacknowledged() == []


async def test_alerts_are_counted_by_their_severity() -> None:
    room = Room()
    await room.tell(alert(key="a"), alert(key="b"), alert(key="c", severity=Severity.INFO))

    assert room.teller.counts() == {Severity.WARNING: 2, Severity.INFO: 1}
