"""What SQLite's error codes mean to the desk: wait, make room, or call somebody."""

import sqlite3
from enum import StrEnum
from typing import Final

from sqlalchemy.exc import DBAPIError

from trading.errors import Retryable, VigilError


class StorageState(StrEnum):
    OK = "ok"
    LOCKED = "locked"  # another program holds the write lock: it passes
    DISK_FULL = "disk full"  # somebody has to make room; then it goes on by itself
    FAILED = "failed"  # the disk or the file itself is broken


_STATES: Final = {
    sqlite3.SQLITE_BUSY: StorageState.LOCKED,
    sqlite3.SQLITE_LOCKED: StorageState.LOCKED,
    sqlite3.SQLITE_FULL: StorageState.DISK_FULL,
    sqlite3.SQLITE_IOERR: StorageState.FAILED,
    sqlite3.SQLITE_CORRUPT: StorageState.FAILED,
    sqlite3.SQLITE_NOTADB: StorageState.FAILED,
    sqlite3.SQLITE_READONLY: StorageState.FAILED,
    sqlite3.SQLITE_CANTOPEN: StorageState.FAILED,
}

_WORDS: Final = {
    StorageState.LOCKED: "another program holds the database locked",
    StorageState.DISK_FULL: "the disk is full",
}


def state_of(error: BaseException) -> StorageState | None:
    """Return what an error says of the disk, None if only the statement itself was wrong."""
    code = _code(error)
    return None if code is None else _STATES.get(code & 0xFF)  # the rest are details


def words_of(error: BaseException) -> str:
    """Return the reason without SQL and values, which SQLAlchemy puts into its messages."""
    state = state_of(error)
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return _WORDS.get(state, str(original)) if state else str(original)


def in_words(error: DBAPIError | sqlite3.Error) -> VigilError:
    if state_of(error) in (StorageState.LOCKED, StorageState.DISK_FULL):
        return Retryable(words_of(error))
    return VigilError(f"database: {words_of(error)}")


def _code(error: BaseException) -> int | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlite_errorcode", None)
