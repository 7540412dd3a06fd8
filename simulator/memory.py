"""What outlives the exchange: its broker's accounts, in a file that a restart begins with.

Each change is written before anybody is told of it, so that a kill -9 takes nothing that was
told. Nothing is synced to the disk on the way: a power cut may take the last seconds. The file is
written anew, as short as it can be, when the exchange starts and when it has grown.

A disk that takes no more does not stop the exchange: it says so, and writes everything as soon as
there is room again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from simulator.calendar import IST
from simulator.line_file import LineFile
from simulator.model import Instrument
from simulator.orders import FIRST, Counts, Order, Trade
from simulator.portfolio import Account
from simulator.recall import (
    Books,
    Line,
    account_line,
    change_line,
    instrument_line,
    lines,
    order_line,
    recall,
)

MOST: Final = 16 << 20  # bytes added before the file is written anew
AGAIN: Final = 1.0  # seconds between two attempts on a disk that takes nothing

logger = logging.getLogger(__name__)


class Memory:
    """Owner of the file. What is changed before `open` is kept by it, or by the first change after.

    There is no file before there is an account.
    """

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self._file = LineFile(path)
        self._most = most
        self._books: Callable[[], Books] | None = None
        self._instruments: set[str] = set()  # that the file has
        self._behind = False  # the file lacks changes
        self._tried = 0.0

    @property
    def path(self) -> Path:
        return self._file.path

    def recall(self, listed: Mapping[str, Instrument]) -> Books | None:
        """Return what the file says, None if there is none yet.

        What cannot be understood is put aside, with a warning. Raises OSError if the file is in
        use or cannot be read.
        """
        kept = self._file.read()
        if kept is None:
            return None
        try:
            return recall(map(orjson.loads, kept), listed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = self._file.put_aside(f"{datetime.now(IST):%Y%m%d-%H%M%S}")
            logger.warning(
                "%s is no memory of simulated accounts (%s: %s): it is %s now, and they begin anew",
                *(self.path.name, type(error).__name__, error, aside.name),
            )
            return None

    def open(self, books: Callable[[], Books]) -> None:
        """Keep each change from now on, and claim the file that there is."""
        self._books = books
        if self.path.exists():
            self._write_anew(books())

    def close(self) -> None:
        if self._books is not None and self._behind:
            self._write_anew(self._books())
        self._file.close()
        self._books, self._behind = None, False

    # --- what has changed

    def account(self, account: Account) -> None:
        """Keep an account but its orders."""
        held = [position.instrument for position in account.positions.values()]
        held += [holding.instrument for holding in account.holdings.values()]
        self._keep(account_line(account), *held)

    def order(self, order: Order, counts: Counts, *, said: bool, trade: Trade | None) -> None:
        """Keep what an order is now, and a trade of it that is new."""
        if said and len(order.history) == 1:
            self._keep(order_line(order, counts), order.instrument)
        else:
            self._keep(change_line(order, counts, said=said, trade=trade))

    def everything(self) -> None:
        """Keep all that there is: a new day has begun."""
        if self._books is not None and self._file.is_open:
            self._write_anew(self._books())

    # --- inside

    def _keep(self, line: Line, *instruments: Instrument) -> None:
        if self._books is None:
            return
        if self._behind or not self._file.is_open:
            if not self._behind or time.monotonic() - self._tried >= AGAIN:
                self._write_anew(self._books())
            return
        new = {
            i.instrument_key: i for i in instruments if i.instrument_key not in self._instruments
        }
        kept = (*(instrument_line(instrument) for instrument in new.values()), line)
        try:
            self._file.append(b"".join(map(_text, kept)))
        except OSError as error:
            self._fall_behind(error)
            return
        self._instruments.update(new)
        if self._file.appended > self._most:
            self._write_anew(self._books())

    def _write_anew(self, books: Books) -> None:
        """Write the books from the beginning, which has every change in it."""
        kept = list(lines(books))
        self._tried = time.monotonic()
        try:
            self._file.replace(map(_text, kept))
        except OSError as error:
            self._fall_behind(error)
            return
        self._instruments = {
            line["instrument_key"] for line in kept if line["kind"] == "instrument"
        }
        if self._behind:
            logger.warning("the simulated accounts are kept in %s again", self.path.name)
            self._behind = False

    def _fall_behind(self, error: OSError) -> None:
        if not self._behind:
            logger.warning(
                "the simulated accounts cannot be kept in %s (%s): a restart would not know of "
                "what happens from now on",
                *(self.path.name, error.strerror or error),
            )
        self._behind = True


def fresh_counts() -> Counts:
    """Return numbers that no exchange of earlier today has given, whose memory may be lost.

    By the wall clock, because the time of a replay comes again. A number for each millisecond.
    """
    now = datetime.now(IST)
    since = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Counts(*(count + int(since.total_seconds() * 1000) for count in FIRST))


def _text(line: Line) -> bytes:
    return orjson.dumps(line) + b"\n"
