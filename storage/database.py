"""Opens the database file, or says in one line why not and what to do about it."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

from storage import defaults, migrations, search
from storage.alert_tables import METADATA
from storage.trouble import StorageState, state_of, words_of
from trading.errors import CannotStart

log = logging.getLogger(__name__)

BUSY_TIMEOUT: Final = 15.0  # seconds that a connection waits for another program's lock
WAL_CAP: Final = 64 << 20  # bytes; what a burst made larger is given back
BACKUPS_KEPT: Final = 3
CHECKED_WHOLE: Final = 256 << 20  # bytes; of a larger file the ticks are not read through

_MAGIC: Final = b"SQLite format 3\0"
_CACHE: Final = (
    16_384  # KiB; with SQLite's 2 MiB the index of 500 instruments spills: a third slower
)


class Database:
    """The file and the two ways into it: `writing` for the Writer alone, `reading` for the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writing = _engine(path, query_only=False)
        self.reading = _engine(path, query_only=True)

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


def open_database(path: Path, *, patience: float = 5.0) -> Database:
    """Open the file, create it if there is none, upgrade it if it is older than this program.

    Wait `patience` seconds for somebody else's lock. Raise CannotStart with what is wrong and what
    to do; a file that is there but bad is never replaced.
    """
    _refuse_bad_folder(path)
    with _told_in_words(path):
        if path.exists():
            _refuse_bad_file(path)
            _check_and_upgrade(path, patience)
        else:
            _create(path)
    return Database(path)


# Connections


def _engine(path: Path, *, query_only: bool) -> Engine:
    """Return an engine on which every transaction is begun by us, not guessed by the driver."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path, query_only=query_only),
        poolclass=QueuePool if query_only else NullPool,
    )
    begin = "BEGIN" if query_only else "BEGIN IMMEDIATE"  # a late upgrade to writing can fail
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _connect(path: Path, *, query_only: bool) -> sqlite3.Connection:
    connection = _open(path, patience=BUSY_TIMEOUT)
    settings: dict[str, Any] = {
        "journal_mode": "WAL",
        "foreign_keys": "ON",
        "journal_size_limit": WAL_CAP,
        "secure_delete": "OFF",  # Debian's default overwrites deleted ticks with zeros
        "synchronous": "NORMAL",  # the Writer raises it to FULL for what must survive a power cut
    }
    settings |= {"query_only": "ON"} if query_only else {"cache_size": -_CACHE}
    try:
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name}={value}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open(path: Path, *, patience: float) -> sqlite3.Connection:
    """Open an existing file and change nothing yet; a plain connect would create a missing one."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )


# Refusals


def _refuse_bad_folder(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise CannotStart(
            f"data folder {folder} does not exist. Create it or set [storage] directory"
        )
    if not _writable(folder):
        raise CannotStart(
            f"data folder {folder} is read-only. Mend its permissions or set [storage] directory"
        )
    wal = path.with_name(path.name + "-wal")
    if not path.exists() and wal.exists() and wal.stat().st_size:
        raise CannotStart(
            f"database {path} is missing but its journal {wal.name} is there. Put the database "
            "back, or move the journal away to start with an empty one"
        )


def _refuse_bad_file(path: Path) -> None:
    if not path.is_file():
        raise CannotStart(f"database {path} is not a file. Move it away")
    if not _writable(path):
        raise CannotStart(f"database {path} is read-only. Make it writable (chmod u+w)")
    with path.open("rb") as file:
        beginning = file.read(len(_MAGIC))
    if beginning != _MAGIC:
        what = "is empty" if not beginning else "is not a database"
        raise CannotStart(f"database {path} {what}. {_restore_or_move(path)}")


def _writable(path: Path) -> bool:
    # root may write everywhere; a file without any write bit was still meant to be left alone
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK)


def _restore_or_move(path: Path) -> str:
    backups = _backups(path)
    if backups:
        return f"Restore the backup {backups[-1].name} or move the file away"
    return "Restore a copy of your own or move the file away to start with an empty one"


@contextmanager
def _told_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DBAPIError, OSError) as error:
        raise CannotStart(f"database {path}: {_advice(error, path)}") from error


def _advice(error: Exception, path: Path) -> str:
    match state_of(error):
        case StorageState.LOCKED:
            return "another program holds it locked. Close that program (a database browser?)"
        case StorageState.DISK_FULL:
            return "the disk is full. Make room"
        case StorageState.FAILED:
            return f"{words_of(error)}. {_restore_or_move(path)}"
        case _:
            return words_of(error)


# Opening what is there


def _check_and_upgrade(path: Path, patience: float) -> None:
    with closing(_open(path, patience=patience)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # a lock that is held now would be held against us
        connection.execute("ROLLBACK")
        _refuse_damage(connection, path)
        revision = _revision(connection, path)
        if revision != migrations.HEAD:
            copy = _back_up(connection, path, revision)
            log.info("database: revision %s, backed up as %s", revision, copy.name)
    _bring_up_to_date(path, revision)


def _bring_up_to_date(path: Path, revision: str) -> None:
    engine = _engine(path, query_only=False)
    try:
        with engine.begin() as connection:
            if revision != migrations.HEAD:
                migrations.upgrade(connection)
                log.info("database: upgraded from %s to %s", revision, migrations.HEAD)
            search.prepare(connection)
    finally:
        engine.dispose()


def _revision(connection: sqlite3.Connection, path: Path) -> str:
    """Return the schema's revision; alembic is not asked, because importing it takes a second."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    rows = (
        connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if "alembic_version" in tables
        else []
    )
    if len(rows) != 1:
        raise CannotStart(
            f"database {path} was not made by Vigil. Move it away or set [storage] directory"
        )
    revision = str(rows[0][0])
    if revision not in migrations.REVISIONS:
        raise CannotStart(
            f"database {path} was written by a newer Vigil (schema {revision}, this one knows up "
            f"to {migrations.HEAD}). Update Vigil"
        )
    missing = {table.name for table in METADATA.sorted_tables} - tables
    if revision == migrations.HEAD and missing:
        raise CannotStart(
            f"database {path} lacks {', '.join(sorted(missing))}. {_restore_or_move(path)}"
        )
    return revision


def _refuse_damage(connection: sqlite3.Connection, path: Path) -> None:
    """Read the file through; of a large one everything but the ticks, which would take minutes."""
    whole = path.stat().st_size <= CHECKED_WHOLE
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'quote_ticks' "
        "AND sql NOT LIKE 'CREATE VIRTUAL %'"
    ).fetchall()
    checks = ["PRAGMA quick_check(1)"]
    if not whole:
        log.info("database: the ticks are not checked, the file is large")
        checks = [f'PRAGMA quick_check("{name}")' for (name,) in tables]
    for check in checks:
        for (answer,) in connection.execute(check):
            if answer != "ok":
                detail = str(answer).splitlines()[-1]
                raise CannotStart(
                    f"database {path} is damaged ({detail}). {_restore_or_move(path)}"
                )


def _back_up(connection: sqlite3.Connection, path: Path, revision: str) -> Path:
    """Copy the database as it is, forget the oldest copies; one cut short has another name."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    copy = path.with_name(f"{path.stem}.backup-{revision}-{moment}.db")
    unfinished = copy.with_suffix(".part")
    unfinished.touch(0o600)
    with closing(sqlite3.connect(unfinished)) as target:
        connection.backup(target)
    unfinished.rename(copy)
    for old in _backups(path)[:-BACKUPS_KEPT]:
        old.unlink()
    return copy


def _backups(path: Path) -> list[Path]:
    """Return the copies, oldest first."""
    found = path.parent.glob(f"{path.stem}.backup-*.db")
    return sorted(found, key=lambda copy: copy.name.rpartition("-")[2])


# Creating


def _create(path: Path) -> None:
    """Build the file under another name first: a start that is killed leaves no half database."""
    unfinished = path.with_name(path.name + ".new")
    for name in (unfinished.name, f"{unfinished.name}-wal", f"{unfinished.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    unfinished.touch(0o600)
    engine = _engine(unfinished, query_only=False)
    try:
        with engine.begin() as connection:
            METADATA.create_all(connection)
            connection.exec_driver_sql(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (migrations.HEAD,))
            search.prepare(connection)
            defaults.seed(connection)
    finally:
        engine.dispose()
    unfinished.rename(path)
    log.info("database: %s was not there, created", path)
