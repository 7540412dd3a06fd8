"""The writer: what is queued is written, dropped with a count, or refused with a reason."""

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from storage.database import Database
from storage.statements import insert_ticks, tick_rows
from storage.writer import FOR_EVER, Writer
from tests.storage.sql import count, is_whole, rows, value
from tests.ticks import CALL, NIFTY, T0, tick
from trading.errors import Retryable, VigilError
from trading.model import Candle, Part, Tick


def frame(number: int, size: int = 100) -> list[Tick]:
    """Return ticks that say which frame they are of."""
    return [tick(f"NSE_FO|{n}", ltp=100.0 + number, at=T0 + number) for n in range(size)]


def candle(
    *,
    open: float = 10.0,
    high: float = 12.0,
    low: float = 9.0,
    close: float = 11.0,
    volume: int = 100,
    ticks: int = 5,
    complete: bool = True,
    is_mock: bool = True,
) -> Candle:
    return Candle(NIFTY, T0, open, high, low, close, volume, ticks, complete, is_mock)


def add_gap(connection: Connection) -> int:
    """Write a record, any record."""
    return connection.exec_driver_sql(
        "INSERT INTO feed_gaps (feed, started, reason, is_mock) VALUES ('market', 1, 'test', 1)"
    ).lastrowid


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def eventually(condition: Callable[[], bool], *, within: float) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within
        time.sleep(0.005)
    return time.monotonic() - begun


def test_every_tick_is_written_once_and_as_it_was(writer: Writer, path: Path) -> None:
    writer.ticks([tick(CALL, ltp=142.6, bid=142.5, at=T0 + 7)], T0 + 9)
    writer.flush()

    stored = rows(
        path,
        "SELECT instrument_key, received, exchange_ts, ltp, ltt, ltq, close, bid, bid_qty, ask, "
        "ask_qty, volume, oi, iv, delta, theta, gamma, vega, parts, quote_ticks.is_mock "
        "FROM quote_ticks JOIN instruments ON instruments.id = instrument_id",
    )
    # fmt: off
    assert stored == [
        (CALL, T0 + 9, T0 + 7, 142.6, T0, 75, 131.2, 142.5, 300, 142.7, 225, 1000, 3_127_500.0,
         0.1174, 0.4821, -9.12, 0.0008, 14.02, 511, 1)
    ]
    # fmt: on
    assert writer.stats().rows == 1


def test_what_a_frame_left_out_is_null_and_never_zero(writer: Writer, path: Path) -> None:
    writer.ticks([tick(CALL, parts=Part.BOOK)], T0)
    writer.flush()

    (stored,) = rows(
        path, "SELECT ltp, ltt, ltq, close, volume, oi, iv, delta, bid, parts FROM quote_ticks"
    )
    assert stored == (None,) * 8 + (142.5, Part.BOOK)


def test_the_ticks_of_an_instrument_stay_in_their_order(writer: Writer, path: Path) -> None:
    for number in range(30):
        writer.ticks(frame(number, 40), number)
    writer.flush()

    prices = rows(
        path, "SELECT instrument_id, ltp FROM quote_ticks ORDER BY instrument_id, quote_ticks.id"
    )
    assert [price for _, price in prices] == [100.0 + n for n in range(30)] * 40


def test_few_ticks_are_written_within_the_interval_without_being_asked(writer: Writer) -> None:
    writer.ticks(frame(1, 3), T0)

    assert eventually(lambda: writer.stats().rows == 3, within=1.0) < 0.6


def test_queueing_costs_the_loop_next_to_nothing(writer: Writer) -> None:
    ticks = frame(1)
    begun = time.thread_time()
    for _ in range(300):
        writer.ticks(ticks, T0)
    cost = (time.thread_time() - begun) / 300 / len(ticks)

    assert cost < 0.3e-6


def test_an_instrument_has_one_id_for_ever_and_another_in_the_other_world(
    database: Database, path: Path
) -> None:
    for _ in range(2):
        writer = Writer(database)
        writer.ticks([tick(CALL), tick(CALL)._replace(is_mock=False)], T0)
        writer.stop()

    ids = rows(path, "SELECT is_mock, count(DISTINCT instrument_id) FROM quote_ticks GROUP BY 1")
    assert ids == [(0, 1), (1, 1)]
    assert value(path, "SELECT count(DISTINCT instrument_id) FROM quote_ticks") == 2
    assert count(path, "instruments") == 2


def test_a_minute_told_twice_is_widened_and_keeps_its_open(writer: Writer, path: Path) -> None:
    writer.candles([candle()])
    writer.candles(
        [candle(open=10.5, high=11.5, low=8.0, close=9.5, volume=130, ticks=7, complete=False)]
    )
    writer.flush()

    (stored,) = rows(path, "SELECT open, high, low, close, volume, ticks, complete FROM candles")
    assert stored == (10.0, 12.0, 8.0, 9.5, 130, 7, 0)


def test_a_simulated_minute_never_meets_the_real_one(writer: Writer, path: Path) -> None:
    writer.candles([candle(high=99.0, is_mock=True), candle(high=12.0, is_mock=False)])
    writer.flush()

    assert rows(path, "SELECT is_mock, high FROM candles ORDER BY 1") == [(0, 12.0), (1, 99.0)]


def test_a_record_goes_before_the_ticks_that_wait(writer: Writer) -> None:
    ticks = frame(1)
    for _ in range(1000):
        writer.ticks(ticks, T0)

    written_before = writer.submit(
        lambda c: c.exec_driver_sql("SELECT count(*) FROM quote_ticks").scalar_one()
    ).result(5)

    assert written_before < 50_000
    writer.flush()


def test_a_record_that_raises_changes_nothing_and_stops_nobody(writer: Writer, path: Path) -> None:
    def add_and_raise(connection: Connection) -> None:
        add_gap(connection)
        connection.exec_driver_sql("INSERT INTO holidays (day) VALUES (NULL)")

    failed = writer.submit(add_and_raise)
    fine = writer.submit(add_gap)

    assert fine.result(5) == 1
    assert isinstance(failed.exception(5), IntegrityError)
    assert count(path, "feed_gaps") == 1
    assert writer.stats().state == "ok"


def test_a_cancelled_record_is_not_written(writer: Writer, path: Path) -> None:
    with locked(path):
        first = writer.submit(add_gap)
        second = writer.submit(add_gap)
        assert second.cancel()
    first.result(5)
    writer.flush()

    assert count(path, "feed_gaps") == 1
    with pytest.raises(CancelledError):
        second.result(0)


def test_one_unacceptable_tick_does_not_cost_the_others(writer: Writer, path: Path) -> None:
    bad = tick("NSE_FO|bad")._replace(ltq=2**63)  # no integer of SQLite's
    writer.ticks([tick("NSE_FO|1"), bad, tick("NSE_FO|2")], T0)
    writer.ticks([tick("NSE_FO|3")], T0)
    writer.flush()

    stats = writer.stats()
    assert (stats.rows, stats.errors, stats.dropped, stats.queued) == (3, 1, 0, 0)
    assert count(path) == 3
    writer.ticks([tick("NSE_FO|1")], T0)
    writer.flush()
    assert count(path) == 4


def test_one_unacceptable_candle_does_not_cost_the_others(writer: Writer, path: Path) -> None:
    writer.candles([_without_high(), candle()])
    writer.flush()

    assert count(path, "candles") == 1
    assert writer.stats().errors == 1


def _without_high() -> Candle:
    return Candle("NSE_FO|x", T0, 1.0, math.nan, 1.0, 1.0, 1, 1, True, True)


def test_a_full_queue_drops_the_oldest_and_counts_them(database: Database, path: Path) -> None:
    writer = Writer(database, capacity=1_000, reserve=0)
    with locked(path):
        for number in range(30):
            writer.ticks(frame(number), T0)
        stats = writer.stats()
        assert stats.queued <= 1_000
        assert stats.dropped >= 2_000
        assert stats.queued + stats.dropped == 3_000
    writer.flush()

    last = rows(path, "SELECT DISTINCT ltp FROM quote_ticks ORDER BY ltp DESC LIMIT 5")
    assert [price for (price,) in last] == [129.0, 128.0, 127.0, 126.0, 125.0]
    assert writer.stats().rows + writer.stats().dropped == 3_000
    assert count(path) == writer.stats().rows
    writer.stop()


def test_d01_while_another_program_holds_the_lock_everything_waits_and_nothing_is_lost(
    writer: Writer, path: Path
) -> None:
    with locked(path):
        record = writer.submit(add_gap)
        writer.candles([candle()])
        for number in range(50):
            writer.ticks(frame(number), T0)
        eventually(lambda: writer.stats().state == "locked", within=1.0)
        time.sleep(0.7)
        assert not record.done()
        assert writer.stats().queued == 5_000
        assert writer.stats().lag > 0.5
        assert "locked" in writer.stats().reason

    assert record.result(2) == 1
    writer.flush()
    assert (count(path), count(path, "candles"), count(path, "feed_gaps")) == (5_000, 1, 1)
    assert writer.stats().state == "ok"
    assert writer.stats().dropped == writer.stats().errors == 0


def test_d01_a_record_fails_in_words_when_its_patience_ends(writer: Writer, path: Path) -> None:
    with locked(path):
        begun = time.monotonic()
        records = [writer.submit(add_gap, patience=0.8) for _ in range(5)]
        for record in records:
            with pytest.raises(Retryable, match="another program holds the database locked"):
                record.result(2)
        assert time.monotonic() - begun <= 0.85
        patient = writer.submit(add_gap)

    assert patient.result(2) == 1
    assert count(path, "feed_gaps") == 1


def test_d01_patience_ends_also_behind_a_record_that_waits_for_ever(
    writer: Writer, path: Path
) -> None:
    with locked(path):
        first = writer.submit(add_gap, patience=FOR_EVER)
        begun = time.monotonic()
        second = writer.submit(add_gap, patience=0.8)
        with pytest.raises(Retryable, match="locked"):
            second.result(2)
        assert time.monotonic() - begun <= 0.85
        third = writer.submit(add_gap, patience=FOR_EVER)

    assert (first.result(2), third.result(2)) == (1, 2)
    assert count(path, "feed_gaps") == 2


def test_only_what_is_made_up_is_committed_less_durably(writer: Writer) -> None:
    def level(connection: Connection) -> int:
        return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    levels = [writer.submit(level, durable=durable) for durable in (True, False, False, True)]

    assert [promise.result(5) for promise in levels] == [2, 1, 1, 2]  # 2 is FULL


def test_d02_a_full_disk_stops_ticks_and_is_over_by_itself(writer: Writer, path: Path) -> None:
    def limit(pages: int) -> Callable[[Connection], object]:
        return lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()

    writer.ticks(frame(0), T0)
    writer.flush()
    used = writer.submit(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one()).result(5)
    writer.submit(limit(used + 30)).result(5)

    sent = 100
    while writer.stats().state != "disk full":
        writer.ticks(frame(sent), T0)
        sent += 100
        time.sleep(0.002)
    stored = count(path)  # reading goes on
    assert writer.stats().reason == "the disk is full"
    eventually(lambda: writer.stats().dropped > 0, within=1.0)

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql(
            "INSERT INTO feed_gaps (feed, started, reason, is_mock) VALUES ('x', 1, ?, 1)",
            ("x" * 1_000_000,),
        )

    with pytest.raises(Retryable, match="disk is full"):
        writer.submit(fill, patience=0.6).result(2)

    writer.submit(limit(1_000_000)).result(5)

    def resumed() -> bool:
        nonlocal sent
        writer.ticks(frame(sent), T0)
        sent += 100
        return writer.stats().state == "ok"

    eventually(resumed, within=5.0)
    writer.flush()
    stats = writer.stats()
    assert count(path) == stats.rows > stored
    assert stats.rows + stats.dropped == sent
    assert is_whole(path)


def test_a_stop_in_trouble_does_not_stumble_over_what_was_given_up_behind_something_patient(
    database: Database, path: Path
) -> None:
    """The thread ended with an error: nobody after it was answered, and nothing was closed."""
    writer = Writer(database)
    with locked(path):
        patient = writer.submit(add_gap, patience=FOR_EVER)
        hasty = writer.submit(add_gap, patience=0.6)
        last = writer.submit(add_gap, patience=FOR_EVER)
        with pytest.raises(Retryable, match="locked"):
            hasty.result(5)
        writer.stop(timeout=0.5)

        for promise in (patient, last):
            with pytest.raises(VigilError, match="storage is stopped"):
                promise.result(1)


def test_d02_ticks_leave_the_last_room_on_the_disk_to_records(
    database: Database, path: Path
) -> None:
    writer = Writer(database, reserve=1 << 60)
    writer.ticks(frame(1), T0)
    eventually(lambda: writer.stats().dropped == 100, within=2.0)

    assert writer.submit(add_gap).result(5) == 1
    assert writer.stats().state == "disk full"
    assert "MiB left on the disk" in writer.stats().reason
    assert count(path) == 0
    writer.stop()


def test_d05_a_file_that_is_deleted_under_us_is_said_and_not_written_into(
    writer: Writer, path: Path
) -> None:
    path.unlink()
    eventually(lambda: writer.stats().state == "failed", within=2.0)

    assert "Put it back" in writer.stats().reason
    with pytest.raises(VigilError, match="No such file"):
        writer.submit(add_gap, patience=0.5).result(2)


def test_a_stop_writes_everything_that_waits(database: Database, path: Path) -> None:
    writer = Writer(database, reserve=0)
    for number in range(300):
        writer.ticks(frame(number), T0)
    writer.candles([candle()])
    record = writer.submit(add_gap)

    begun = time.monotonic()
    writer.stop()

    assert time.monotonic() - begun < 3.0
    assert not path.with_name("vigil.db-wal").exists()
    assert record.result(0) == 1
    assert (count(path), count(path, "candles")) == (30_000, 1)


def test_a_stop_while_locked_returns_in_time_and_says_what_was_lost(
    database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(database, reserve=0)
    with locked(path):
        writer.ticks(frame(1), T0)
        record = writer.submit(add_gap)
        begun = time.monotonic()
        writer.stop(timeout=1.0)
        assert time.monotonic() - begun < 1.2

    with pytest.raises(VigilError, match="stopped"):
        record.result(0)
    assert "100 ticks and 0 candles were not written" in caplog.text
    assert writer.stats().dropped == 100


def test_after_a_stop_nothing_is_accepted_in_silence(database: Database) -> None:
    writer = Writer(database)
    writer.stop()
    writer.stop()

    writer.ticks(frame(1), T0)

    assert writer.stats().dropped == 100
    with pytest.raises(VigilError, match="stopped"):
        writer.submit(add_gap).result(0)


def test_a_batch_gives_the_interpreter_up_a_few_times_and_not_once_a_row(
    database: Database,
) -> None:
    """Beside a busy thread each statement waits for the interpreter; row by row starves."""
    ids = {(f"NSE_FO|{n}", True): n for n in range(100)}
    batch = [row for number in range(50) for row in tick_rows(frame(number), T0, ids)]
    executed: list[str] = []
    with database.writing.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(executed.append)
        insert_ticks(connection, batch[:4_999])
        connection.commit()

    inserts = [statement for statement in executed if "INSERT" in statement]
    assert len(inserts) <= 9 + 4 + 4 + 4 + 3
    assert count(database.path) == 4_999


def test_the_journal_does_not_grow_while_much_is_written(writer: Writer, path: Path) -> None:
    for number in range(60):
        writer.ticks(frame(number, 500), T0)
        writer.flush()

    journal = path.with_name("vigil.db-wal").stat().st_size
    assert writer.stats().batches == 60
    assert journal < 20 << 20  # some 36 MiB if it were left alone


def test_records_are_told_from_any_thread(writer: Writer, path: Path) -> None:
    threads = [
        threading.Thread(target=lambda: [writer.submit(add_gap).result(5) for _ in range(10)])
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count(path, "feed_gaps") == 50
