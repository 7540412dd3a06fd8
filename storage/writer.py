"""The one thread that writes to the database: ticks in batches, records one by one, none in haste.

Ticks are state: they wait in a bounded queue, and when it overflows the oldest are dropped and
counted. Records (a watchlist, a gap, an order) and candles are events: they are never dropped, go
before the ticks, and either are on the disk or fail with a reason.

Durability: a tick is committed with synchronous NORMAL, which survives kill -9; a record with FULL,
which survives a power cut as well and makes everything committed before it do so, too. Not durable,
which costs a tenth, is for what is made up (a paper fill), what a later durable commit covers
before anything depends on it (a basket, by its intents), and what may be lost or done again (a
minute of uptime, a claimed letter).
"""

import contextlib
import logging
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage.database import WAL_CAP, Database
from storage.disk import Disk, DiskLook
from storage.instrument_ids import InstrumentIds
from storage.parcels import CandleParcel, Frame, Parcel, TickParcel
from storage.trouble import StorageState, in_words, state_of, words_of
from trading.errors import VigilError
from trading.model import Candle, Tick
from trading.ports import StorageStats

log = logging.getLogger(__name__)

T = TypeVar("T")

WAKE_ROWS: Final = 1_000  # so many are worth a transaction at once
INTERVAL: Final = 0.25  # seconds after which fewer are written too
BATCH: Final = 10_000  # rows in one transaction when more are waiting: holds the lock some 60 ms
PATIENCE: Final = 15.0  # seconds that a record may wait for a lock or for room before it fails
FOR_EVER: Final = math.inf  # the patience of a record that must be written and nobody waits for
TRY: Final = 0.2  # seconds of waiting for a lock in one go, so that a stop is not kept waiting
RETRY_TICKS: Final = 1.0  # seconds between two attempts while the disk is full or broken
CALM: Final = 5.0  # seconds without a refused tick after which a written record means recovered
UPKEEP: Final = 1.0  # seconds between checkpoints
CHECKPOINT: Final = 16  # batches after which one is due sooner; each may write 4 MiB
TRUNCATE: Final = 10.0  # seconds between attempts to cut a journal that a reader keeps long
RESERVE: Final = 32 << 20  # bytes that ticks leave free on the disk for records


@dataclass(slots=True)
class _Record(Generic[T]):
    """A piece of work with a transaction of its own, and the promise to say how it went."""

    work: Callable[[Connection], T]
    future: "Future[T]"
    deadline: float
    durable: bool
    begun: bool = False


class Writer:
    """Owns the one write connection. `ticks` and `candles` belong to the loop thread, `submit`
    may be called from anywhere; each counter has one thread that changes it.
    """

    def __init__(
        self, database: Database, *, capacity: int = 200_000, reserve: int = RESERVE
    ) -> None:
        self._capacity = capacity
        self._batch = min(BATCH, capacity // 2)  # the rest stays where the oldest can be dropped
        self._queue: deque[Frame] = deque()
        self._candles: deque[list[Candle]] = deque()
        self._records: deque[_Record[Any]] = deque()
        self._wake = threading.Event()
        self._stop_by: float | None = None
        self._closed = False
        # changed by the loop thread
        self._accepted = 0
        self._overflowed = 0
        # changed by the storage thread
        self._ids = InstrumentIds()
        self._held: list[Frame] = []
        self._state, self._reason = StorageState.OK, ""
        self._rows = self._discarded = self._refused = self._batches = self._errors = 0
        self._left_out, self._left_out_lock = 0, threading.Lock()
        self._checkpointed = 0
        self._commit_ms: float | None = None
        self._disk, self._seen = Disk(database.path, reserve=reserve), DiskLook()
        self._retry_ticks = self._next_upkeep = self._next_truncate = 0.0
        self._last_refusal = -CALM
        self._dropped_before = 0
        self._dropping = False
        self._synchronous = ""
        self._connection = database.writing.connect()
        self._driver = driver_of(self._connection)
        self._driver.execute(f"PRAGMA busy_timeout={int(TRY * 1000)}")
        self._driver.execute("PRAGMA wal_autocheckpoint=0")
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        self._thread.start()

    # What others call

    def ticks(self, ticks: list[Tick], received_ms: int) -> None:
        """Queue ticks that were received at this wall time; costs the same however many they are.

        The list must not be changed afterwards.
        """
        self._accepted += len(ticks)
        if self._closed:
            self._overflowed += len(ticks)
            return
        self._queue.append((time.monotonic(), received_ms, ticks))
        queued = self.queued
        if queued > self._capacity:
            self._drop_oldest()
        if queued >= WAKE_ROWS and not self._wake.is_set():
            self._wake.set()

    def candles(self, candles: list[Candle]) -> None:
        """Queue minutes; they are kept until they are written."""
        if self._closed:
            log.error("storage: %d candles came after the stop and are lost", len(candles))
            return
        self._candles.append(candles)

    def submit(
        self,
        work: Callable[[Connection], T],
        *,
        patience: float = PATIENCE,
        durable: bool = True,
    ) -> "Future[T]":
        """Run work in a transaction of its own on the storage thread; return its promise.

        It fails with Retryable if the database stays locked or full for longer than `patience`
        seconds, with VigilError if it is broken or stopped, with the work's own error if it raises.
        Not `durable`, it survives kill -9 at once but a power cut only from the next durable one.
        """
        deadline = time.monotonic() + patience - TRY - INTERVAL
        record = _Record(work, Future(), deadline, durable)
        self._records.append(record)
        self._wake.set()
        if self._closed:
            self._refuse_records()
        return record.future

    def leave_out(self, facts: int) -> None:
        """Count facts that whoever submitted them had to leave out; from any thread."""
        with self._left_out_lock:
            self._left_out += facts

    def flush(self, timeout: float = 10.0) -> None:
        """Block until nothing waits any more; raise TimeoutError if something still does."""
        deadline = time.monotonic() + timeout
        while self.queued or self._candles or self._records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.queued} ticks still wait: {self._reason}")
            self._wake.set()
            time.sleep(0.002)

    def stop(self, timeout: float = 3.0) -> None:
        """Write everything that waits and return within `timeout` seconds, come what may."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + timeout - 2 * TRY
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.error("storage: still writing after %.0f s, left behind", timeout)

    @property
    def queued(self) -> int:
        return self._accepted - self._overflowed - self._rows - self._discarded - self._refused

    @property
    def dropped(self) -> int:
        return self._overflowed + self._discarded

    def stats(self) -> StorageStats:
        return StorageStats(
            state=self._state.value,
            reason=self._reason,
            queued=self.queued,
            capacity=self._capacity,
            lag=self._lag(),
            rows=self._rows,
            dropped=self.dropped,
            batches=self._batches,
            errors=self._errors,
            last_commit_ms=self._commit_ms,
            database_bytes=self._seen.database_bytes,
            wal_bytes=self._seen.wal_bytes,
            left_out=self._left_out,
        )

    def _lag(self) -> float:
        for frames in (self._held, self._queue):
            with contextlib.suppress(IndexError):  # the storage thread has just taken it
                return time.monotonic() - frames[0][0]
        return 0.0

    def _drop_oldest(self) -> None:
        while self.queued > self._capacity:
            try:
                _, _, ticks = self._queue.popleft()
            except IndexError:
                return  # the rest is in the storage thread's hands
            self._overflowed += len(ticks)

    # The storage thread

    def _run(self) -> None:
        try:
            while not self._finished():
                self._wake.wait(INTERVAL)
                self._wake.clear()
                self._turn()
        except Exception:
            log.exception("storage: the thread died")
            self._state, self._reason = StorageState.FAILED, "the storage thread died, see the log"
        finally:
            self._close()

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        nothing_waits = not (self.queued or self._candles or self._records)
        return nothing_waits or time.monotonic() > self._stop_by

    def _turn(self) -> None:
        """Write what waits, records first, until little is left or something is in the way."""
        while True:
            self._upkeep()
            if self._seen.gone:
                self._expire(VigilError(self._seen.gone))
                return
            if not (self._write_records() and self._write_candles() and self._write_ticks()):
                return
            late = self._stop_by is not None and time.monotonic() > self._stop_by
            if late or (self.queued < WAKE_ROWS and not self._records):
                return

    def _close(self) -> None:
        self._closed = True  # first, so that a record submitted now is refused by its submitter
        self._refuse_records()
        waiting = self.queued
        candles = sum(map(len, self._candles))
        if waiting or candles:
            self._discarded += waiting
            log.error(
                "storage: stopped while %s, %d ticks and %d candles were not written",
                self._reason or self._state,
                waiting,
                candles,
            )
        with contextlib.suppress(sqlite3.Error):  # what stays in the journal is not lost
            self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()

    def _refuse_records(self) -> None:
        reason = self._reason or "it was too late"
        while self._records:
            try:
                record = self._records.popleft()
            except IndexError:
                return  # stopped and submitted at the same moment: the other thread took it
            _fail(record, VigilError(f"storage is stopped: {reason}"))

    # Records and candles: never dropped

    def _write_records(self) -> bool:
        """Return whether all were dealt with; False if something is in the way of every write."""
        while self._records:
            try:
                self._settle(self._records[0])
            except (DBAPIError, sqlite3.Error) as error:
                self._in_the_way(error)
                self._expire(in_words(error))
                return False
            self._records.popleft()
        return True

    def _settle(self, record: _Record[Any]) -> None:
        """Write a record or fail it; raise what is not its own fault."""
        if record.future.done():
            return  # its patience ended while another one was in its way, or it was cancelled
        record.begun = record.begun or record.future.set_running_or_notify_cancel()
        if not record.begun:
            return  # cancelled by who submitted it
        try:
            result = self._transaction(record.work, durable=record.durable)
        except Exception as error:
            if state_of(error) is not None:
                raise
            log.exception("storage: a record could not be written")
            self._errors += 1
            record.future.set_exception(error)
            return
        record.future.set_result(result)
        calm = time.monotonic() - self._last_refusal >= CALM
        if calm and not self._seen.little_room:
            self._enter(StorageState.OK)

    def _expire(self, reason: VigilError) -> None:
        """Fail the records that have waited too long, also those behind a more patient one."""
        now, failed = time.monotonic(), 0
        for index in range(len(self._records)):  # others only append
            record = self._records[index]
            if now >= record.deadline and not record.future.done():
                _fail(record, reason)
                failed += 1
        while self._records and self._records[0].future.done():
            self._records.popleft()
        if failed:
            log.error("storage: %d records were given up: %s", failed, reason)

    def _write_candles(self) -> bool:
        while self._candles:
            lists = list(islice(self._candles, 100))
            if self._store(CandleParcel(list(chain.from_iterable(lists))), durable=True) is None:
                return False
            for _ in lists:
                self._candles.popleft()
        return True

    # Ticks: dropped rather than in the way

    def _write_ticks(self) -> bool:
        """Return whether to go on; False if something is in the way."""
        if self._seen.little_room:
            self._enter(StorageState.DISK_FULL, self._seen.little_room)
            self._discard(self._take())
            return True
        full = self._state is StorageState.DISK_FULL
        if time.monotonic() < self._retry_ticks:
            if full:
                self._discard(self._take())
            return False
        rows = self._take()
        if not rows:
            return True
        left_out = self._store(TickParcel(self._held), durable=False)
        if left_out is None:
            if self._state is StorageState.DISK_FULL:
                self._discard(rows)
            return False
        self._refused += left_out
        self._rows += rows - left_out
        self._held = []
        self._enter(StorageState.OK)
        return True

    def _take(self) -> int:
        """Take up to a batch of rows out of the queue, beside what could not be written before."""
        rows = sum(len(ticks) for _, _, ticks in self._held)
        while rows < self._batch:
            try:
                frame = self._queue.popleft()
            except IndexError:
                break
            self._held.append(frame)
            rows += len(frame[2])
        return rows

    def _discard(self, rows: int) -> None:
        self._discarded += rows
        self._held = []

    # How something is written

    def _store(self, parcel: Parcel, *, durable: bool) -> int | None:
        """Write a parcel in one transaction; return how much of it was left out as unacceptable.

        Return None, with the state set, if the disk is in the way and it has to be tried again.
        """
        try:
            left_out = self._put(parcel, durable=durable)
        except DBAPIError as error:
            if state_of(error) is None:
                raise
            self._in_the_way(error)
            return None
        self._batches += 1
        self._errors += left_out
        return left_out

    def _put(self, parcel: Parcel, *, durable: bool) -> int:
        try:
            self._learn(parcel)
            self._transaction(lambda c: parcel.put(c, self._ids.of), durable=durable)
        except Exception as error:
            if state_of(error) is not None:
                raise
            log.exception("storage: a batch holds something that cannot be written")
            return self._transaction(lambda c: self._put_singly(c, parcel), durable=durable)
        return 0

    def _put_singly(self, connection: Connection, parcel: Parcel) -> int:
        """Write all that can be written; return how many could not."""
        left_out = 0
        for single in parcel.singly():
            try:
                with connection.begin_nested():
                    found = self._ids.look_up(connection, self._ids.unknown(single.named()))
                    single.put(connection, self._ids.of | found if found else self._ids.of)
            except Exception as error:
                if state_of(error) is not None:
                    raise
                left_out += 1
                if left_out == 1:
                    log.exception("storage: left out %.300r", single)
        return left_out

    def _learn(self, parcel: Parcel) -> None:
        """Make sure that each instrument has an id that is committed before it is used."""
        unknown = self._ids.unknown(parcel.named())
        if unknown:
            found = self._transaction(lambda c: self._ids.look_up(c, unknown), durable=False)
            self._ids.learn(found)

    def _transaction(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        level = "FULL" if durable else "NORMAL"
        if level != self._synchronous:
            self._driver.execute(f"PRAGMA synchronous={level}")
            self._synchronous = level
        begun = time.perf_counter()
        with self._connection.begin():
            result = work(self._connection)
        self._commit_ms = (time.perf_counter() - begun) * 1000
        return result

    # State and upkeep

    def _in_the_way(self, error: Exception) -> None:
        state = state_of(error)
        assert state is not None
        if state is not StorageState.LOCKED:
            self._last_refusal = time.monotonic()
            self._retry_ticks = self._last_refusal + RETRY_TICKS
        self._errors += state is StorageState.FAILED
        self._enter(state, words_of(error))

    def _enter(self, state: StorageState, reason: str = "") -> None:
        if state is not self._state:
            level = logging.INFO if state is StorageState.OK else logging.ERROR
            log.log(level, "storage: %s -> %s %s", self._state, state, reason)
        self._state, self._reason = state, reason

    def _upkeep(self) -> None:
        now = time.monotonic()
        if now < self._next_upkeep and self._batches < self._checkpointed + CHECKPOINT:
            return
        self._next_upkeep = now + UPKEEP
        self._checkpointed = self._batches
        self._seen = self._disk.look()
        self._tell_drops()
        if self._seen.gone:
            self._enter(StorageState.FAILED, self._seen.gone)
            return
        try:
            self._checkpoint(now)
        except sqlite3.Error as error:
            log.warning("storage: no checkpoint: %s", words_of(error))

    def _checkpoint(self, now: float) -> None:
        """Move the journal into the database; SQLite's own way does it within somebody's commit."""
        if self._seen.wal_bytes:
            self._driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if self._seen.wal_bytes > WAL_CAP and now > self._next_truncate:
            self._next_truncate = now + TRUNCATE
            busy, _, _ = self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                size = self._seen.wal_bytes >> 20
                log.warning("storage: somebody reads without end, the journal grows: %d MiB", size)

    def _tell_drops(self) -> None:
        """Log when dropping begins and when it is over, not each drop."""
        dropped = self.dropped
        if dropped > self._dropped_before and not self._dropping:
            log.error("storage: ticks are being dropped, %d so far", dropped)
        elif self._dropping and dropped == self._dropped_before:
            log.info("storage: no more ticks are dropped, %d were in all", dropped)
        self._dropping = dropped > self._dropped_before
        self._dropped_before = dropped


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return what is below: without SQLAlchemy a short transaction takes two thirds of the time."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _fail(record: _Record[Any], reason: Exception) -> None:
    if record.future.done():
        return  # given up before, behind another one that is more patient
    if record.begun or record.future.set_running_or_notify_cancel():
        record.future.set_exception(reason)
