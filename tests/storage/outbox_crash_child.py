"""Tells, moves orders, claims, delivers and settles until it is killed.

For each line on stdin, a path, it forks a desk, as `crash_child` does. Delivered is a line that is
on the disk in the file beside the database. Lines on stdout: `pid N`; then `told NAME ...` as they
are acknowledged; at last `dead`.
"""

import asyncio
import os
import random
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from storage.alert_journal import DatabaseAlertJournal
from storage.database import Database, open_database
from storage.order_journal import DatabaseOrderJournal
from storage.writer import Writer
from tests.storage.account import intent, moved
from tests.storage.watch import LATER, WORLD, alert, by, incident
from trading.health import Severity
from trading.health_ports import Letter, LetterState, News
from trading.order import OrderStatus

CHANNELS: Final = ("telegram", "e-mail")
WAY: Final = 0.001  # seconds to the other end, and back
LIFE: Final = (OrderStatus.WORKING, OrderStatus.IN_DOUBT, OrderStatus.WORKING, OrderStatus.FILLED)


def main() -> None:
    for run, line in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            asyncio.run(_watch_for_ever(Path(line.strip()), run))
        _say(f"pid {pid}")
        os.waitpid(pid, 0)
        _say("dead")


async def _watch_for_ever(path: Path, run: int) -> None:
    database = open_database(path)
    writer = Writer(database, reserve=0)
    journal = DatabaseAlertJournal(database, writer, world=WORLD, is_mock=True)
    news = asyncio.Event()
    await asyncio.gather(
        _tell(journal, run, news),
        _tell_of_orders(database, writer, journal, run),
        *(_deliver(journal, channel, path, news) for channel in CHANNELS),
    )


async def _tell(journal: DatabaseAlertJournal, run: int, news: asyncio.Event) -> None:
    chance = random.Random(run)
    for turn in count():
        matter = incident(f"{run}-{turn}")
        batch = [
            News(alert(f"{run}-{turn}-{n}", severity=_severity(chance)), by(*CHANNELS), matter)
            for n in range(chance.randrange(1, 4))
        ]
        told = await journal.tell(batch)
        _say(f"told {' '.join(str(each.id) for each in told)}")
        news.set()
        await asyncio.sleep(0.001)


def _severity(chance: random.Random) -> Severity:
    return Severity.CRITICAL if chance.random() < 0.2 else Severity.WARNING


async def _tell_of_orders(
    database: Database, writer: Writer, journal: DatabaseAlertJournal, run: int
) -> None:
    """Tell of each step once; what the run before left untold comes first."""
    orders = DatabaseOrderJournal(database, writer, world=WORLD)
    for turn in count():
        order = intent(f"{run}-{turn}")
        for status in LIFE:
            order = moved(order, status)
            orders.keep(order)
            found = await journal.order_news()
            told = [
                alert(n.order.id, kind="order", once=f"{n.order.id} {n.step.at}") for n in found
            ]
            await journal.tell(
                [News(each, by(*CHANNELS)) for each in told], handled=[n.number for n in found]
            )


async def _deliver(
    journal: DatabaseAlertJournal, channel: str, path: Path, news: asyncio.Event
) -> None:
    await take_up(journal, channel)
    while True:
        await drain(journal, channel, path)
        news.clear()
        await news.wait()


async def take_up(journal: DatabaseAlertJournal, channel: str) -> None:
    """Have that sent again which may not have arrived before the crash."""
    lost = await journal.unsettled(channel)
    await journal.settle(
        [replace(m, state=LetterState.QUEUED, attempts=m.attempts + 1) for m in lost]
    )


async def drain(journal: DatabaseAlertJournal, channel: str, path: Path) -> None:
    while letters := await journal.due(channel, LATER, most=1):
        (letter,) = letters
        assert await journal.claim(letter.number)
        await asyncio.sleep(WAY)
        _send(letter, path)
        await asyncio.sleep(WAY)
        await journal.settle(
            [replace(letter, state=LetterState.SENT, attempts=letter.attempts + 1, reference="m")]
        )


def _send(letter: Letter, path: Path) -> None:
    target = os.open(sent_file(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    critical = letter.alert.severity is Severity.CRITICAL
    os.write(target, f"{letter.channel} {letter.alert.id} {int(critical)}\n".encode())
    os.fsync(target)
    os.close(target)


def sent_file(path: Path) -> Path:
    return path.with_suffix(".sent")


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write, so that no line is cut by the kill


if __name__ == "__main__":
    main()
