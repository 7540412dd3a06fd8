"""Letters on their way: the gravest first, taken once, and settled as their sender says."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database
from storage.writer import Writer
from tests.storage.account import MORNING, SECOND
from tests.storage.sql import value
from tests.storage.test_writer import locked
from tests.storage.watch import LATER, WORLD, alert, by, news
from trading.errors import Retryable
from trading.health import Severity
from trading.health_ports import Letter, LetterState, News


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseAlertJournal]:
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    yield journal
    journal.close()


async def due(journal: DatabaseAlertJournal, channel: str = "telegram") -> list[Letter]:
    return await journal.due(channel, LATER)


async def sent(journal: DatabaseAlertJournal, letter: Letter, reference: str) -> Letter:
    """Send a letter as a dispatcher does; return what was settled."""
    assert await journal.claim(letter.number)
    settled = replace(
        letter,
        state=LetterState.SENT,
        attempts=letter.attempts + 1,
        sent=LATER,
        took_ms=12.5,
        reference=reference,
    )
    await journal.settle([settled])
    return settled


async def test_critical_letters_come_first_else_the_order_of_the_alerts(
    journal: DatabaseAlertJournal,
) -> None:
    kinds = [Severity.INFO, Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL]
    await journal.tell([news(f"{n}", severity=s) for n, s in enumerate(kinds)])
    await journal.tell([news("later", severity=Severity.CRITICAL), news("last")])

    found = [letter.alert.key for letter in await due(journal)]

    assert found == ["1", "3", "later", "0", "2", "last"]
    assert [m.alert.key for m in await journal.due("telegram", LATER, most=2)] == ["1", "3"]


async def test_a_letter_is_not_due_before_its_moment(journal: DatabaseAlertJournal) -> None:
    held = by("telegram", not_before=LATER, silent=True)
    await journal.tell([News(alert("held"), held), news("now")])

    early = await journal.due("telegram", LATER - SECOND)
    assert [letter.alert.key for letter in early] == ["now"]
    assert [(m.alert.key, m.silent) for m in await due(journal)] == [("held", True), ("now", False)]
    assert await journal.waiting("telegram") == 2


async def test_each_channel_has_letters_of_its_own(journal: DatabaseAlertJournal) -> None:
    await journal.tell([news("a", "telegram", "e-mail"), news("b", "e-mail")])
    (letter,) = await due(journal)
    await sent(journal, letter, "m1")

    assert await due(journal) == []
    assert [m.alert.key for m in await due(journal, "e-mail")] == ["a", "b"]
    assert [await journal.waiting(c) for c in ("telegram", "e-mail", "webhook")] == [0, 2, 0]


async def test_a_letter_is_claimed_once_also_if_many_race(journal: DatabaseAlertJournal) -> None:
    await journal.tell([news()])
    (letter,) = await due(journal)

    won = await asyncio.gather(*(journal.claim(letter.number) for _ in range(20)))

    assert won.count(True) == 1
    assert await due(journal) == []
    assert await journal.claim(letter.number + 1) is False


async def test_what_was_claimed_when_the_desk_died_is_told_at_the_next_start(
    database: Database, writer: Writer, journal: DatabaseAlertJournal
) -> None:
    await journal.tell([news("a"), news("b", severity=Severity.CRITICAL), news("c")])
    letters = await due(journal)
    for letter in letters[:2]:
        await journal.claim(letter.number)

    again = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    found = await again.unsettled("telegram")

    assert found == [replace(letter, state=LetterState.SENDING) for letter in letters[:2]]
    assert await again.unsettled("e-mail") == []
    await again.settle([replace(m, state=LetterState.QUEUED, attempts=1) for m in found])
    assert [(m.alert.key, m.attempts) for m in await due(again)] == [("b", 1), ("a", 1), ("c", 0)]
    again.close()


async def test_what_became_of_letters_is_in_the_log_newest_first(
    journal: DatabaseAlertJournal,
) -> None:
    await journal.tell([news(key) for key in "abcd"])
    a, b, c, d = await due(journal)
    retry = LATER + 30 * SECOND
    settled = [
        await sent(journal, a, "chat 7 message 1"),
        replace(b, state=LetterState.FOLDED, error="told in a digest"),
        replace(c, state=LetterState.PARKED, attempts=3, error="400: <b> is not closed"),
        replace(d, attempts=1, error="no answer", not_before=retry, silent=True),
    ]
    await journal.settle(settled[1:])

    assert await journal.letters() == settled[::-1]
    assert await journal.letters(most=1) == settled[3:]
    assert await due(journal) == []
    assert [m.alert.key for m in await journal.due("telegram", retry)] == ["d"]


async def test_many_letters_are_settled_in_one_transaction_or_none(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    await journal.tell([news(key) for key in "ab"])
    a, b = await due(journal)

    with pytest.raises(Exception, match="does not accept"):
        await journal.settle([replace(a, state=LetterState.FOLDED), replace(b, attempts=1 << 63)])

    assert value(path, "SELECT count(*) FROM letters WHERE state = 'queued'") == 2


async def test_a_letter_knows_the_last_message_that_told_of_its_key(
    journal: DatabaseAlertJournal,
) -> None:
    await journal.tell([news("feed", "telegram", "e-mail"), news("disk")])
    feed, disk = await due(journal)
    await journal.tell([news("feed", "telegram", "e-mail")])
    await sent(journal, feed, "m1")
    await sent(journal, disk, "m2")
    (second,) = await due(journal)
    assert second.edits == "m1"
    await sent(journal, second, "m3")
    await journal.tell([news("feed", "telegram", "e-mail"), news("disk")])

    assert [letter.edits for letter in await due(journal)] == ["m3", "m2"]
    assert [letter.edits for letter in await due(journal, "e-mail")] == ["", "", ""]
    assert (await journal.letters(most=1))[0].edits == "m2"


async def test_a_message_that_goes_behind_a_graver_one_does_not_overwrite_it(
    journal: DatabaseAlertJournal,
) -> None:
    await journal.tell([news("feed"), news("feed", severity=Severity.CRITICAL)])
    critical, _ = await due(journal)
    await sent(journal, critical, "m1")

    (warning,) = await due(journal)

    assert (warning.alert.severity, warning.edits) == (Severity.WARNING, "")


async def test_a_letter_shows_its_alert_as_it_is_now(journal: DatabaseAlertJournal) -> None:
    await journal.tell([news()])
    await journal.acknowledge(MORNING, "you")

    (letter,) = await due(journal)

    assert letter.alert.acknowledged == MORNING


async def test_d01_a_claim_waits_for_a_lock_and_is_none_if_that_takes_too_long(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    await journal.tell([news("a"), news("b")])
    first, second = await due(journal)
    with locked(path):
        claiming = asyncio.create_task(journal.claim(first.number))
        await asyncio.sleep(0.3)
        assert await due(journal) == [first, second]  # reading goes on
        assert not claiming.done()
    assert await claiming

    with locked(path), pytest.raises(Retryable, match="locked"):
        await asyncio.wait_for(journal.claim(second.number), 4)
    assert await due(journal) == [second]


async def test_a_backlog_of_two_hours_is_read_in_portions(journal: DatabaseAlertJournal) -> None:
    for _ in range(4):
        await journal.tell([news(str(n), at=MORNING + timedelta(seconds=n)) for n in range(500)])

    found = [m.alert.id for m in await journal.due("telegram", LATER, most=2_000)]

    assert found == list(range(1, 2_001))
    assert len(await due(journal)) == 50
    assert await journal.waiting("telegram") == 2_000


def test_a_claim_is_refused_in_words_when_the_storage_has_stopped(database: Database) -> None:
    writer = Writer(database, reserve=0)
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    writer.stop()

    with pytest.raises(Exception, match="storage is stopped") as caught:
        asyncio.run(journal.claim(1))

    assert not isinstance(caught.value, Retryable)
    journal.close()
