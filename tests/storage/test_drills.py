"""Runs of fire drills: written as they go, and the last of each is the scorecard."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from storage.database import Database
from storage.drills import DatabaseDrillJournal
from storage.writer import Writer
from tests.storage.account import MORNING, SECOND
from tests.storage.watch import HOSTILE, LATER, WORLD
from trading.health import DrillResult
from trading.health_ports import DrillJournal

BEGUN = DrillResult("silent feed", MORNING, words="the exchange falls silent")
DONE = replace(
    BEGUN,
    detected_after=15.2,
    recovered_after=1.75,
    ticks_lost=480,
    alerts_sent=2,
    told_after=15.9,
    ended=LATER,
    good=True,
    words="",
)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseDrillJournal]:
    journal = DatabaseDrillJournal(database, writer, world=WORLD, is_mock=True)
    yield journal
    journal.close()


async def test_a_run_is_one_run_from_its_begin_to_its_end(journal: DatabaseDrillJournal) -> None:
    watch_asks_for: DrillJournal = journal
    await watch_asks_for.keep_drill(BEGUN)
    assert await watch_asks_for.drills() == {"silent feed": BEGUN}

    await watch_asks_for.keep_drill(DONE)

    assert await watch_asks_for.drills() == {"silent feed": DONE}


async def test_the_scorecard_has_the_last_run_of_each(journal: DatabaseDrillJournal) -> None:
    other = replace(DONE, drill="refused token")
    for run in (DONE, other, replace(BEGUN, began=LATER)):
        await journal.keep_drill(run)
    assert await journal.drills() == {
        "silent feed": replace(BEGUN, began=LATER),
        "refused token": other,
    }

    again = replace(BEGUN, began=MORNING - SECOND)  # the simulated day began anew
    await journal.keep_drill(again)

    assert (await journal.drills())["silent feed"] == again


async def test_c7_hostile_words_stay_words_and_worlds_do_not_meet(
    database: Database, writer: Writer, journal: DatabaseDrillJournal
) -> None:
    for text in HOSTILE:
        await journal.keep_drill(replace(DONE, drill=text, words=text))

    found = await journal.drills()
    assert {name: run.words for name, run in found.items()} == {text: text for text in HOSTILE}
    other = DatabaseDrillJournal(database, writer, world="replay broker", is_mock=True)
    assert await other.drills() == {}
    other.close()
