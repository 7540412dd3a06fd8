"""Alerts and incidents on the disk: all of a commit or nothing, and never the same cause twice."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database, open_database
from storage.writer import Writer
from tests.storage import watch
from tests.storage.account import MORNING, SECOND
from tests.storage.sql import count, rows, value
from tests.storage.test_writer import locked
from tests.storage.watch import HOSTILE, LATER, WORLD, alert, by, incident, news
from trading.errors import BadRequest, Retryable
from trading.health import Alert, Button, Incident, Occasion, Severity
from trading.health_ports import AlertJournal, LetterState, News

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
WORLDS = numbers()


def journal_in(database: Database, writer: Writer, world: str) -> DatabaseAlertJournal:
    return DatabaseAlertJournal(database, writer, world=world, is_mock=True)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabaseAlertJournal]:
    journal = journal_in(database, writer, WORLD)
    yield journal
    journal.close()


# Telling


async def test_it_is_the_journal_that_the_watch_asks_for(journal: DatabaseAlertJournal) -> None:
    watch_asks_for: AlertJournal = journal

    assert await watch_asks_for.alerts() == []


async def test_what_is_told_has_a_number_and_is_on_the_disk(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    first = alert("a", buttons=(Button("Acknowledge", "ack"),), times=3, kind="order")

    told = await journal.tell([News(first, by("telegram", "e-mail")), News(alert("b"))])

    assert [each.name for each in told] == ["A1", "A2"]
    assert told == [replace(first, id=1), replace(alert("b"), id=2)]
    assert await journal.alerts() == told[::-1]
    assert rows(path, "SELECT alert, channel, state, is_mock FROM letters") == [
        (1, "telegram", "queued", 1),
        (1, "e-mail", "queued", 1),
    ]


async def test_an_incident_is_written_first_and_its_alerts_name_it(
    journal: DatabaseAlertJournal,
) -> None:
    begun = incident().stepped(MORNING, "reconnect", "under way")

    (told,) = await journal.tell([News(alert(), by("telegram"), begun)])

    assert told.incident == 1
    (kept,) = await journal.incidents(since=MORNING)
    assert kept == replace(begun, number=1, alerts=1)
    (letter,) = await journal.due("telegram", MORNING)
    assert letter.alert == told


async def test_two_alerts_of_one_call_share_the_incident_that_is_new_in_it(
    journal: DatabaseAlertJournal,
) -> None:
    other = incident(began=LATER)

    told = await journal.tell([News(alert(), (), i) for i in (incident(), incident(), other)])

    assert [each.incident for each in told] == [1, 1, 2]
    kept = await journal.incidents(since=MORNING)
    assert [(i.number, i.alerts) for i in kept] == [(2, 1), (1, 2)]


async def test_an_alert_of_a_known_incident_carries_it_on(journal: DatabaseAlertJournal) -> None:
    await journal.tell([News(alert(), (), incident())])
    worse = incident(number=1, severity=Severity.CRITICAL, flaps=2, ended=LATER, ticks_missed=40)
    escalation = alert(occasion=Occasion.ESCALATE, severity=Severity.CRITICAL)

    (told,) = await journal.tell([News(escalation, (), worse)])

    assert told.incident == 1
    assert await journal.incidents(since=MORNING) == [replace(worse, alerts=2)]


async def test_one_cause_makes_one_alert_however_often_it_is_met(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    once = news("filled", once="vigil-a 2")
    (first,) = await journal.tell([once])

    assert await journal.tell([once, news("other")]) == [replace(alert("other"), id=2)]
    assert await journal.tell([news("x", once="new"), news("y", once="new")]) == [
        replace(alert("x", once="new"), id=3)
    ]
    assert count(path, "letters") == 3
    assert (await journal.alerts())[-1] == first


async def test_a_known_cause_makes_no_incident_either(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    begun = News(alert(once="a"), by("telegram"), incident())
    await journal.tell([begun])

    assert await journal.tell([begun]) == []  # it was not known that the disk had it
    assert count(path, "incidents") == 1
    ended = News(alert(once="a"), (), incident(number=1, ended=LATER))
    assert await journal.tell([ended]) == []
    assert [i.ended for i in await journal.incidents(since=MORNING)] == [LATER]


@pytest.mark.parametrize(
    "bad",
    [
        news("b", "telegram", "telegram"),  # two letters of one alert through one channel
        news("b", times=1 << 63),
        News(alert("b", incident=99)),
        News(alert("b"), (), incident(number=99)),
    ],
)
async def test_a_row_that_no_database_accepts_leaves_nothing(
    journal: DatabaseAlertJournal, path: Path, bad: News
) -> None:
    with pytest.raises(BadRequest):
        await journal.tell([News(alert("a"), by("telegram"), incident()), bad, news("c")])

    assert [count(path, table) for table in ("alerts", "letters", "incidents")] == [0, 0, 0]
    assert [each.key for each in await journal.tell([news("c")])] == ["c"]


async def test_c7_hostile_words_come_back_as_they_were(journal: DatabaseAlertJournal) -> None:
    meant = [
        alert(text, title=text, lines=(text, text), buttons=(Button(text, text),), once=text)
        for text in HOSTILE
    ]
    matters = [
        incident(text, cause=text, note=text).stepped(MORNING, text, text) for text in HOSTILE
    ]

    told = await journal.tell(
        [News(a, by("telegram"), i) for a, i in zip(meant, matters, strict=True)]
    )

    assert [replace(each, id=0, incident=0) for each in told] == meant
    assert await journal.alerts() == told[::-1]
    letters = await journal.due("telegram", MORNING)
    assert [letter.alert for letter in letters] == told
    kept = await journal.incidents(since=MORNING)
    assert [replace(i, number=0, alerts=0) for i in kept] == matters[::-1]


async def test_half_a_character_does_not_keep_an_alert_back(journal: DatabaseAlertJournal) -> None:
    broken: str = json.loads('"a \\ud800 symbol"')  # as any JSON may bring it

    pressed = Button(broken, broken)
    (told,) = await journal.tell(
        [news(broken, title=broken, lines=(broken,), buttons=(pressed,), once=broken)]
    )

    (kept,) = await journal.alerts()
    assert (kept.key, kept.title, kept.lines) == ("a ? symbol", "a ? symbol", ("a ? symbol",))
    assert kept.buttons == (Button("a ? symbol", "a ? symbol"),)
    assert told == kept  # what is shown at once is what will be read later
    assert await journal.tell([news("again", once=broken)]) == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    told=st.lists(st.tuples(watch.alerts, st.none() | watch.incidents), max_size=4),
)
def test_whatever_is_told_comes_back_exactly(
    database: Database, writer: Writer, told: list[tuple[Alert, Incident | None]]
) -> None:
    journal = journal_in(database, writer, f"world {next(WORLDS)}")
    # a matter of its own for each
    begun = [
        (a, i and replace(i, key=f"{n} {i.key}"), by("telegram", silent=bool(n % 2)))
        for n, (a, i) in enumerate(told)
    ]

    async def tell_and_read() -> None:
        kept = await journal.tell([News(a, posts, i) for a, i, posts in begun])
        assert [replace(a, id=0, incident=0) for a in kept] == [a for a, _, _ in begun]
        assert await journal.alerts() == kept[::-1]
        open_first = await journal.incidents(since=LONG_AGO)
        assert {i.number: i.key for i in open_first} == {
            a.incident: i.key for a, (_, i, _) in zip(kept, begun, strict=True) if i
        }
        assert sorted(
            (replace(i, number=0, alerts=0) for i in open_first), key=lambda i: i.key
        ) == sorted((i for _, i, _ in begun if i), key=lambda i: i.key)
        letters = await journal.letters()
        assert [(m.alert, m.silent) for m in letters] == [
            (a, p.silent) for a, (_, _, (p,)) in zip(kept, begun, strict=True)
        ][::-1]

    asyncio.run(tell_and_read())
    journal.close()


async def test_a_world_hears_and_acknowledges_only_its_own(
    database: Database, writer: Writer, journal: DatabaseAlertJournal
) -> None:
    live = journal_in(database, writer, "upstox broker")
    await journal.tell([News(alert(once="a"), by("telegram"), incident())])
    (real,) = await live.tell([News(alert(once="a", is_mock=False), by("telegram"), incident())])
    await journal.mute("no_prices", LATER)

    assert [m.alert for m in await live.due("telegram", LATER)] == [real]
    assert await live.mutes(MORNING) == {}
    assert await live.acknowledge(LATER, "you", numbers=[1]) == []
    with pytest.raises(BadRequest, match="no incident 1"):
        await live.keep_incident(incident(number=1, cause="taken over"))
    assert len(await live.acknowledge(LATER, "you")) == 1
    assert len(await journal.unacknowledged()) == 1
    assert [i.number for i in await live.incidents(since=LONG_AGO)] == [2]
    live.close()


async def test_a_number_is_never_given_twice(
    database: Database, journal: DatabaseAlertJournal, writer: Writer
) -> None:
    await journal.tell([news("a")])
    for table in ("letters", "alerts"):
        writer.submit(lambda c, t=table: c.exec_driver_sql(f"DELETE FROM {t}").rowcount).result(5)

    (told,) = await journal.tell([news("b")])

    assert told.name == "A2"  # a button below the old message must not mean this one


# Reading and acknowledging


async def test_alerts_are_paged_newest_first(journal: DatabaseAlertJournal) -> None:
    told = await journal.tell([news(str(n)) for n in range(25)])

    first = await journal.alerts(most=10)
    second = await journal.alerts(most=10, before=first[-1].id)
    third = await journal.alerts(most=10, before=second[-1].id)

    assert [*first, *second, *third] == told[::-1]
    assert await journal.alerts(before=third[-1].id) == []


async def test_unacknowledged_are_those_that_want_a_word_oldest_first(
    journal: DatabaseAlertJournal,
) -> None:
    await journal.tell([news(s.name, severity=s) for s in (Severity.CRITICAL, Severity.INFO)])
    await journal.tell([news("later")])

    assert [a.key for a in await journal.unacknowledged()] == ["CRITICAL", "later"]


async def test_an_acknowledgement_is_for_the_incident_too_and_counts_once(
    journal: DatabaseAlertJournal,
) -> None:
    await journal.tell([News(alert("a"), (), incident("a")), News(alert("b"), (), incident("b"))])

    (said,) = await journal.acknowledge(LATER, "Asha on Telegram", numbers=[1, 1, 77])

    assert (said.id, said.acknowledged, said.acknowledged_by) == (1, LATER, "Asha on Telegram")
    assert await journal.acknowledge(LATER + SECOND, "the page", numbers=[1]) == []
    by_key = {i.key: i for i in await journal.incidents(since=MORNING)}
    assert (by_key["a"].acknowledged, by_key["a"].acknowledged_by) == (LATER, "Asha on Telegram")
    assert by_key["b"].acknowledged is None
    assert [a.id for a in await journal.acknowledge(LATER, "the page")] == [2]
    assert await journal.unacknowledged() == []


async def test_a_book_that_has_not_heard_of_it_does_not_take_a_word_back(
    journal: DatabaseAlertJournal,
) -> None:
    begun = await journal.keep_incident(incident())
    await journal.tell([News(alert(), (), begun)])
    await journal.acknowledge(LATER, "Asha")
    await journal.note(begun.number, "the router was restarted")

    await journal.keep_incident(replace(begun, ended=LATER))

    (kept,) = await journal.incidents(since=MORNING)
    assert (kept.acknowledged, kept.acknowledged_by) == (LATER, "Asha")
    assert (kept.note, kept.ended) == ("the router was restarted", LATER)


async def test_a_note_that_has_no_incident_is_told_to_be_lost(
    database: Database, writer: Writer, journal: DatabaseAlertJournal
) -> None:
    elsewhere = journal_in(database, writer, "upstox broker")
    begun = await elsewhere.keep_incident(incident())
    elsewhere.close()

    for number in (begun.number, begun.number + 1):
        with pytest.raises(BadRequest, match=f"no incident {number} in the world"):
            await journal.note(number, "the router was restarted")


async def test_steps_are_added_and_their_results_written_again(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    begun = await journal.keep_incident(incident().stepped(MORNING, "reconnect", "under way"))
    done = replace(begun, steps=()).stepped(MORNING, "reconnect", "refused")
    done = done.stepped(LATER, "authorise again", "a price after 1.2 s")

    assert await journal.keep_incident(done) == done

    (kept,) = await journal.incidents(since=MORNING)
    assert kept == done
    await journal.keep_incident(replace(done, steps=done.steps[:1]))
    assert count(path, "incident_steps") == 1


async def test_open_incidents_come_first_however_old_they_are(
    journal: DatabaseAlertJournal,
) -> None:
    for n in range(6):
        began = MORNING + n * SECOND
        await journal.keep_incident(
            incident(str(n), began=began, ended=None if n in (0, 3) else LATER)
        )

    found = await journal.incidents(since=MORNING + 2 * SECOND)
    assert [i.key for i in found] == ["3", "0", "5", "4", "2"]
    assert [i.key for i in await journal.incidents(since=LONG_AGO, most=3)] == ["3", "0", "5"]
    assert [i.key for i in await journal.incidents(since=LONG_AGO, most=1)] == ["3"]


async def test_a_mute_holds_until_its_end_and_over_a_restart(
    database: Database, writer: Writer, journal: DatabaseAlertJournal
) -> None:
    await journal.mute("no_prices", MORNING + SECOND)
    await journal.mute("no_prices", LATER)
    await journal.mute("disk", LATER)
    await journal.mute("disk", None)
    await journal.mute("disk", None)

    again = journal_in(database, writer, WORLD)
    assert await again.mutes(MORNING) == {"no_prices": LATER}
    assert await again.mutes(LATER) == {}
    again.close()


# Trouble


async def test_d01_while_the_database_is_locked_telling_fails_soon_and_whole(
    journal: DatabaseAlertJournal, path: Path
) -> None:
    begun = asyncio.get_running_loop().time()
    with locked(path):
        with pytest.raises(Retryable, match="locked"):
            await journal.tell([News(alert(), by("telegram"), incident())])
        assert asyncio.get_running_loop().time() - begun < 2.5
        assert await journal.alerts() == []  # reading goes on

    assert len(await journal.tell([news("b")])) == 1
    assert (count(path, "alerts"), count(path, "incidents")) == (1, 0)


async def test_d02_on_a_full_disk_it_fails_in_words_and_goes_on_when_there_is_room(
    database: Database, journal: DatabaseAlertJournal, path: Path
) -> None:
    await journal.tell([news("a")])
    room = int(value(path, "PRAGMA page_count"))
    event.listen(
        database.writing,
        "begin",
        lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={room}"),
    )
    big = News(alert("b", lines=("x" * 200_000,)), by("telegram"), incident())

    with pytest.raises(Retryable, match="disk is full"):
        await journal.tell([big])
    assert [a.key for a in await journal.alerts()] == ["a"]
    assert [m.state for m in await journal.due("telegram", MORNING)] == [LetterState.QUEUED]

    room = 1_000_000
    await asyncio.sleep(0.01)
    assert [a.key for a in await journal.tell([big])] == ["b"]


# A year of rows


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a lively year leaves it: 20,000 alerts in two worlds, 5,000 incidents."""
    path = tmp_path_factory.mktemp("year") / "vigil.db"
    database = open_database(path)
    with closing(database), database.writing.connect() as connection, connection.begin():
        for statement in _YEAR:
            connection.exec_driver_sql(statement)
    return path


_NUMBERS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 20000) "
_YEAR = (
    "INSERT INTO incidents SELECT n, iif(n % 2, 'simulated broker', 'other'), 'key ' || n % 30, "
    "'market feed', 2, n * 1000000, 'cause', iif(n % 999, n * 1000000 + 5, NULL), 0, NULL, NULL, "
    f"'', '', 1 FROM ({_NUMBERS} SELECT n FROM n LIMIT 5000)",
    "INSERT INTO alerts SELECT n, iif(n % 2, 'simulated broker', 'other'), 'key ' || n % 30, "
    "'market feed', 'begin', 1 + n % 3, n * 250000, 'title', '[]', '/status', 'simulated', "
    "'health', '[]', 'once ' || n, 1 + n % 5000, 1, iif(n % 499, 1, NULL), '', 1 "
    f"FROM ({_NUMBERS} SELECT n FROM n)",
    "INSERT INTO letters SELECT n, iif(n % 2, 'simulated broker', 'other'), 'telegram', n, 1, "
    "'key ' || n % 30, n * 250000, 0, iif(n % 401, 'sent', 'queued'), 1, '', 1, 1.0, 'm' || n, 1 "
    f"FROM ({_NUMBERS} SELECT n FROM n)",
)


async def test_with_a_year_of_rows_no_read_looks_at_more_than_it_returns(year: Path) -> None:
    """By SQLite's own count of steps: no machine is too slow for it."""
    database = open_database(year)
    writer = Writer(database, reserve=0)
    journal = journal_in(database, writer, WORLD)
    spent: dict[str, int] = {}
    steps = 0

    def count_steps() -> int:
        nonlocal steps
        steps += 1
        return 0

    @event.listens_for(database.reading, "checkout")
    def begin(driver: object, *_: object) -> None:
        driver.set_progress_handler(count_steps, 100)  # type: ignore[attr-defined]

    late = datetime(2100, 1, 1, tzinfo=UTC)
    reads = {
        "alerts": lambda: journal.alerts(),
        "page": lambda: journal.alerts(before=10_000),
        "unacknowledged": lambda: journal.unacknowledged(),
        "due": lambda: journal.due("telegram", late),
        "none due": lambda: journal.due("e-mail", late),
        "waiting": lambda: journal.waiting("telegram"),
        "unsettled": lambda: journal.unsettled("telegram"),
        "letters": lambda: journal.letters(),
        "incidents": lambda: journal.incidents(since=LONG_AGO),
        "order news": lambda: journal.order_news(),
    }
    for name, read in reads.items():
        steps = 0
        await read()
        spent[name] = steps * 100
    journal.close()
    await asyncio.to_thread(writer.stop)
    database.close()

    assert max(spent.values()) < 20_000, spent  # a scan of either table is 150,000 and more
