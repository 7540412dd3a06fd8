"""What must reach the disk although nobody waits for it: handed over once, written in its order."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sqlalchemy import Connection

from storage.trouble import state_of
from storage.writer import FOR_EVER, PATIENCE, Writer, driver_of
from trading.errors import VigilError

log = logging.getLogger(__name__)

T = TypeVar("T")
Put = Callable[[sqlite3.Connection, Sequence[T]], None]


class Backlog(Generic[T]):
    """Facts on their way to the Writer: many of them share a transaction when they come fast.

    While the disk is full or locked they wait in memory, and are written as soon as it is not.
    Whatever is submitted to the Writer after `add` finds them written. One that no database would
    accept is left out, logged and counted by the Writer, so that it does not keep back the others.
    """

    def __init__(
        self, writer: Writer, put: Put[T], *, what: str, durable: bool, late: float = PATIENCE
    ) -> None:
        """`put` writes items in their order; `what` is their plural in the log.

        Something that waits for longer than `late` seconds is told there, once.
        """
        self._writer = writer
        self._put = put
        self._what = what
        self._durable = durable
        self._late = late
        self._items: deque[tuple[float, T]] = deque()
        self._asked = False
        self._told = False

    def add(self, item: T) -> None:
        """Belongs to one thread, that of the loop; costs it some microseconds."""
        self._items.append((time.monotonic(), item))
        if not self._asked:
            self._asked = True
            promise = self._writer.submit(self._write, patience=FOR_EVER, durable=self._durable)
            promise.add_done_callback(self._done)
        self._tell_late()

    @property
    def waiting(self) -> int:
        return len(self._items)

    async def written(self, patience: float) -> None:
        """Wait until what was added before is on the disk; in trouble not longer than `patience`.

        Trouble is no error here: whoever reads then gets what the disk has.
        """
        if self._items:
            behind = self._writer.submit(lambda _: None, patience=patience, durable=False)
            with contextlib.suppress(VigilError):
                await asyncio.wrap_future(behind)

    def _tell_late(self) -> None:
        """Log once that what was handed over is still not on the disk."""
        with contextlib.suppress(IndexError):  # the storage thread has just written it
            if not self._told and time.monotonic() - self._items[0][0] > self._late:
                self._told = True
                log.error(
                    "storage: %d %s wait for the disk, the first for more than %.0f s: %s. They "
                    "are kept and written as soon as it takes them",
                    self.waiting,
                    self._what,
                    self._late,
                    self._writer.stats().reason,
                )

    # The storage thread

    def _write(self, connection: Connection) -> tuple[int, int]:
        """Write all that waits; return how many those were, and how many had to be left out."""
        self._asked = False  # first: what comes from now on asks again
        items = [self._items[index][1] for index in range(len(self._items))]
        driver = driver_of(connection)
        try:
            self._apart(driver, items)
        except Exception as error:
            if state_of(error) is not None:
                raise
            return len(items), self._write_singly(driver, items)
        return len(items), 0

    def _write_singly(self, driver: sqlite3.Connection, items: Sequence[T]) -> int:
        left_out = 0
        for item in items:
            try:
                self._apart(driver, [item])
            except Exception as error:
                if state_of(error) is not None:
                    raise
                log.exception("storage: one of the %s cannot be written: %.300r", self._what, item)
                left_out += 1
        return left_out

    def _apart(self, driver: sqlite3.Connection, items: Sequence[T]) -> None:
        """Write all or none of these within the transaction."""
        driver.execute("SAVEPOINT backlog")
        try:
            self._put(driver, items)
        except Exception as error:
            if state_of(error) is None:  # else SQLite may have rolled back more than this
                driver.execute("ROLLBACK TO backlog")
            raise
        driver.execute("RELEASE backlog")

    def _done(self, promise: "Future[tuple[int, int]]") -> None:
        error = promise.exception()
        if error is not None:
            log.error("storage: %d %s were not written: %s", self.waiting, self._what, error)
            return
        written, left_out = promise.result()
        for _ in range(written):
            self._items.popleft()
        if left_out:
            self._writer.leave_out(left_out)
        if self._told and not self._items:
            self._told = False
            log.warning("storage: all %s that waited are on the disk now", self._what)
