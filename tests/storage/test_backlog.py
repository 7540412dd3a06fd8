"""What nobody waits for: written in its order, in few transactions, told when it is late."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from storage.backlog import Backlog
from storage.writer import Writer
from tests.storage.sql import rows, value
from tests.storage.test_writer import eventually, locked

put_sizes: list[int] = []


def put(driver: sqlite3.Connection, items: Sequence[int | None]) -> None:
    put_sizes.append(len(items))
    for item in items:
        driver.execute(
            "INSERT INTO feed_gaps (feed, started, reason, is_mock) VALUES ('x', ?, '', 1)",
            (item,),
        )


def backlog(writer: Writer, *, durable: bool = False) -> Backlog[int | None]:
    put_sizes.clear()
    return Backlog(writer, put, what="numbers", durable=durable, late=0.3)


def written(path: Path) -> list[int]:
    return [number for (number,) in rows(path, "SELECT started FROM feed_gaps ORDER BY id")]


def test_everything_is_written_once_and_in_its_order(writer: Writer, path: Path) -> None:
    numbers = backlog(writer)
    for number in range(20_000):
        numbers.add(number)
    writer.flush()

    assert written(path) == list(range(20_000))
    assert numbers.waiting == writer.stats().left_out == 0
    assert len(put_sizes) < 10_000  # those that come together share a transaction


def test_what_is_submitted_later_finds_it_written(writer: Writer) -> None:
    numbers = backlog(writer)
    count = "SELECT count(*) FROM feed_gaps"
    for number in range(200):
        numbers.add(number)
        seen = writer.submit(lambda c: c.exec_driver_sql(count).scalar_one())
        assert seen.result(5) == number + 1


def test_it_tells_once_that_it_is_late_and_when_that_is_over(
    writer: Writer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = backlog(writer)
    with locked(path):
        numbers.add(1)
        time.sleep(0.4)
        for number in range(2, 10):
            numbers.add(number)
        assert numbers.waiting == 9
    eventually(lambda: numbers.waiting == 0, within=2.0)

    told = [record.message for record in caplog.records if "numbers" in record.message]
    assert len(told) == 2
    assert "2 numbers wait for the disk" in told[0]
    assert "another program holds the database locked" in told[0]
    assert "are on the disk now" in told[1]
    assert written(path) == list(range(1, 10))


def test_one_that_cannot_be_written_is_left_out_alone(
    writer: Writer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = backlog(writer)
    with locked(path):
        for number in (1, None, 3, None, 5):
            numbers.add(number)
    writer.flush()

    assert written(path) == [1, 3, 5]
    assert (numbers.waiting, writer.stats().left_out) == (0, 2)
    assert "one of the numbers cannot be written: None" in caplog.text
    assert value(path, "PRAGMA integrity_check") == "ok"
