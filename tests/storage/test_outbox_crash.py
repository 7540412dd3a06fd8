"""kill -9 while alerts are told and letters sent: every one told arrives, hardly one twice.

As in `test_crash`, VIGIL_LONG=1 runs a hundred kills.
"""

import asyncio
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from storage.alert_journal import DatabaseAlertJournal
from storage.database import open_database
from storage.writer import Writer
from tests.storage.outbox_crash_child import CHANNELS, drain, sent_file, take_up
from tests.storage.sql import count, is_whole, rows
from tests.storage.test_crash import KILLS, crash_child, run_and_kill
from tests.storage.watch import WORLD, alert, by
from trading.health_ports import News


@pytest.mark.timeout(300)
def test_kill_9_loses_no_alert_and_sends_at_most_one_letter_again(path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    open_database(path).close()
    told: set[int] = set()
    with crash_child("outbox_crash_child") as child:
        for _ in range(KILLS):
            lines = run_and_kill(child, path, chance.uniform(0.0, 0.12))
            told |= {int(word) for words in lines if words[0] == "told" for word in words[1:]}
            assert is_whole(path)
    before = {channel: len(_sent(path, channel)) for channel in CHANNELS}
    asyncio.run(_rest(path))

    known = {number for (number,) in rows(path, "SELECT number FROM alerts")}
    assert len(told) > KILLS
    assert told <= known
    assert count(path, "letters") == len(known) * len(CHANNELS)
    for channel in CHANNELS:
        sent = _sent(path, channel)
        copies = Counter(number for number, _ in sent)
        again, rest = len(sent) - len(copies), sent[before[channel] :]
        print(
            f"{channel}: {KILLS} kills, {len(told)} acknowledged alerts of {len(known)}, "
            f"{len(known - set(copies))} lost, {again} letters sent again, at most "
            f"{max(copies.values())} copies of one, {len(rest)} left to the last desk"
        )
        assert set(copies) == known
        assert again <= KILLS
        assert _out_of_order(sent) == []
        assert rest == sorted(rest, key=lambda letter: (not letter[1], letter[0]))
    _each_step_was_told_once(path)


async def _rest(path: Path) -> None:
    """Be the desk that is not killed: tell what is left of orders, send what is left."""
    database = open_database(path)
    writer = Writer(database, reserve=0)
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    for news in await journal.order_news(most=10_000):
        each = alert(news.order.id, kind="order", once=f"{news.order.id} {news.step.at}")
        await journal.tell([News(each, by(*CHANNELS))], handled=[news.number])
    for channel in CHANNELS:
        await take_up(journal, channel)
        await drain(journal, channel, path)
    journal.close()
    await asyncio.to_thread(writer.stop)
    database.close()


def _sent(path: Path, channel: str) -> list[tuple[int, bool]]:
    """Return the numbers of the alerts as they were delivered, and which are critical."""
    lines = (line.split() for line in sent_file(path).read_text().splitlines())
    return [(int(number), critical == "1") for to, number, critical in lines if to == channel]


def _out_of_order(sent: list[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Return pairs of alerts of which the former should have been sent before the latter."""
    first = {number: place for place, (number, _) in reversed(list(enumerate(sent)))}
    critical = {number for number, grave in sent if grave}
    wrong = []
    for numbers in (critical, set(first) - critical):
        wrong += [(a, b) for a, b in pairwise(sorted(numbers)) if first[a] > first[b]]
    last = -1  # the place of the latest of all graver ones that were known before
    for number in sorted(first):
        if number in critical:
            last = max(last, first[number])
        elif first[number] < last:
            wrong.append((last, number))
    return wrong


def _each_step_was_told_once(path: Path) -> None:
    assert count(path, "order_news") == 0
    steps = rows(
        path, "SELECT orders.id, at FROM order_steps JOIN orders ON orders.number = intent"
    )
    told = rows(path, "SELECT key, count(DISTINCT once), count(*) FROM alerts WHERE once <> '' "
                "GROUP BY key")  # fmt: skip
    expected = Counter(order for order, _ in steps)
    assert len(expected) > KILLS / 2
    assert {key: (n, n) for key, n in expected.items()} == {k: (a, b) for k, a, b in told}


def test_the_checker_sees_what_is_out_of_order() -> None:
    assert _out_of_order([(1, False), (2, True), (1, False), (3, False)]) == []
    assert _out_of_order([(2, False), (1, False)]) == [(1, 2)]
    assert _out_of_order([(2, False), (1, True)]) != []
