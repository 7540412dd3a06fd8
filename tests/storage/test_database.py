"""A database is opened, created, upgraded, or refused in one line; never replaced."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, event

from storage import migrations
from storage.alert_journal import DatabaseAlertJournal
from storage.alert_tables import METADATA
from storage.database import open_database
from storage.gaps import DatabaseGapLedger
from storage.order_journal import DatabaseOrderJournal
from storage.writer import Writer
from tests.storage.account import MORNING, moved
from tests.storage.sql import count, is_whole, rows, value
from tests.ticks import tick
from trading.errors import CannotStart
from trading.order import OrderStatus

ROOT = Path(__file__).parents[2]


def migrated(path: Path, to: str) -> None:
    """Make a file as a Vigil of that revision left it."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"isolation_level": None}
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with engine.begin() as connection:
        migrations.upgrade(connection, to=to)


def refused(path: Path, *, patience: float = 0.1) -> str:
    """Return the one line, having seen that nothing of the file changed."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CannotStart) as caught:
        open_database(path, patience=patience)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def filled(path: Path) -> Path:
    database = open_database(path)
    writer = Writer(database)
    for number in range(40):
        writer.ticks([tick(f"NSE_FO|{n}", ltp=float(number)) for n in range(50)], number)
    writer.flush()
    writer.stop()
    database.close()
    return path


def test_d05_a_missing_database_is_created_and_said_so(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        open_database(path).close()

    assert "was not there, created" in caplog.text
    assert is_whole(path)
    assert path.stat().st_mode & 0o077 == 0
    assert value(path, "SELECT version_num FROM alembic_version") == migrations.HEAD
    assert [file.name for file in path.parent.iterdir()] == ["vigil.db"]


def test_d05_a_creation_that_was_killed_leaves_nothing_in_the_way(path: Path) -> None:
    path.with_name("vigil.db.new").write_bytes(b"half a database")

    open_database(path).close()

    assert is_whole(path)
    assert not path.with_name("vigil.db.new").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\0" * 8192, "is not a database"),
        (b"<html>not found</html>", "is not a database"),
        (random.Random(5).randbytes(100_000), "is not a database"),
        (b"SQLite format 3\0" + random.Random(5).randbytes(100_000), "Restore"),
    ],
)
def test_d05_garbage_is_refused_and_left_alone(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)

    assert words in refused(path)


def _truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _scribbled(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(4096 * 20, size, 4096):
            file.seek(page)
            file.write(b"\xff" * 64)


@pytest.mark.parametrize("damage", [_truncated, _scribbled])
def test_d05_a_damaged_database_is_refused_with_the_way_out(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(filled(path))
    (path.parent / "vigil.backup-0001-20260101T000000000000.db").write_bytes(b"")

    line = refused(path)

    assert "Restore the backup vigil.backup-0001-20260101T000000000000.db" in line


def test_d05_a_read_only_file_or_folder_is_refused(path: Path) -> None:
    open_database(path).close()
    path.chmod(0o400)
    assert "chmod u+w" in refused(path)

    path.chmod(0o600)
    path.parent.chmod(0o500)
    assert "is read-only" in refused(path)
    path.parent.chmod(0o700)


def test_d05_a_missing_folder_or_a_folder_of_that_name_is_refused(path: Path) -> None:
    assert "does not exist" in refused(path / "deeper.db")
    path.mkdir()
    assert "is not a file" in refused(path)


def test_d05_a_database_that_is_locked_is_refused_after_a_little_patience(path: Path) -> None:
    open_database(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert "another program holds it locked" in refused(path)


def test_d05_a_journal_without_its_database_is_not_played_into_a_new_one(path: Path) -> None:
    path.with_name("vigil.db-wal").write_bytes(b"what was committed last")

    assert "is missing but its journal" in refused(path)


def test_d05_the_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE orders (id INTEGER)")

    assert "was not made by Vigil" in refused(path)


def test_d05_a_table_that_is_gone_is_damage(path: Path) -> None:
    open_database(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE watchlist")

    assert "lacks watchlist" in refused(path)


def test_d06_a_newer_schema_is_refused(path: Path) -> None:
    open_database(path).close()
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '0999'")

    assert "newer Vigil (schema 0999" in refused(path)


def test_d06_an_older_schema_is_backed_up_and_upgraded_with_its_rows(path: Path) -> None:
    migrated(path, "0001")
    with closing(sqlite3.connect(path)) as older, older:
        older.execute(
            "INSERT INTO quote_ticks (instrument_id, received, ltp, is_mock) VALUES (1, 2, 3.5, 0)"
        )

    open_database(path).close()

    assert rows(path, "SELECT ltp, parts FROM quote_ticks") == [(3.5, None)]
    assert value(path, "SELECT version_num FROM alembic_version") == migrations.HEAD
    (copy,) = path.parent.glob("vigil.backup-0001-*.db")
    assert value(copy, "SELECT version_num FROM alembic_version") == "0001"
    assert value(copy, "SELECT ltp FROM quote_ticks") == 3.5
    assert copy.stat().st_mode & 0o077 == 0


def test_d06_the_watch_comes_to_a_desk_that_has_traded(path: Path) -> None:
    migrated(path, "0003")
    with closing(sqlite3.connect(path)) as older, older:
        older.execute(
            "INSERT INTO feed_gaps (feed, started, ended, reason, is_mock) VALUES "
            "('market', 1, 2, 'over', 1), ('market', 3, NULL, 'lasts', 1)"
        )
        older.execute(
            "INSERT INTO orders (number, id, world, press, status, created, updated, external, "
            "filled, message, is_mock, account, instrument_key, side, quantity, product, "
            "order_type, nonce, validity, source, reduces, batch_id, leg) VALUES (1, 'vigil-a', "
            "'simulated broker', 'a', 'working', 1, 1, 0, 0, '', 1, 'main', 'NSE_FO|1', 'BUY', "
            "75, 'I', 'LIMIT', 'a', 'DAY', 'ticket', 0, '', 0)"
        )
        older.execute("INSERT INTO order_steps VALUES (1, 0, 'working', 'open', 0, 1, 'us', '', 1)")

    database = open_database(path)
    writer = Writer(database, reserve=0)
    orders = DatabaseOrderJournal(database, writer, world="simulated broker")
    alerts = DatabaseAlertJournal(database, writer, world="simulated broker", is_mock=True)
    ledger = DatabaseGapLedger(database, writer, is_mock=True)
    asyncio.run(_goes_on(orders, alerts, ledger))
    for reader in (orders, alerts, ledger):
        reader.close()
    writer.stop()
    database.close()

    assert rows(path, "SELECT id, ended, filled, fill_words IS NULL FROM feed_gaps") == [
        (1, 2, 0, 0),  # nobody asks the broker for what was before
        (2, None, None, 1),
    ]


async def _goes_on(
    orders: DatabaseOrderJournal, alerts: DatabaseAlertJournal, ledger: DatabaseGapLedger
) -> None:
    assert await alerts.order_news() == []  # what was known before is no news
    assert await ledger.unfilled("market") == []
    (order,) = await orders.orders(since=MORNING)
    orders.keep(moved(order, OrderStatus.FILLED, filled=75))
    assert [n.step.status for n in await alerts.order_news()] == [OrderStatus.FILLED]


def test_d06_only_the_last_three_backups_are_kept(path: Path) -> None:
    for day in range(1, 6):
        path.with_name(f"vigil.backup-0001-2026010{day}T000000000000.db").touch()
    migrated(path, "0001")

    open_database(path).close()

    names = sorted(copy.name for copy in path.parent.glob("vigil.backup-*"))
    assert names[:2] == [f"vigil.backup-0001-2026010{day}T000000000000.db" for day in (4, 5)]
    assert len(names) == 3


def test_d06_an_upgrade_that_fails_half_way_changes_nothing(path: Path) -> None:
    migrated(path, "0001")
    with closing(sqlite3.connect(path)) as older, older:
        older.execute("ALTER TABLE quote_ticks ADD COLUMN parts INTEGER")  # as 0002 will want to

    with pytest.raises(CannotStart, match="duplicate column"):
        open_database(path)

    assert value(path, "SELECT version_num FROM alembic_version") == "0001"


def test_both_ways_to_the_newest_schema_lead_to_the_same(path: Path) -> None:
    grown = path.with_name("grown.db")
    migrated(grown, migrations.HEAD)
    open_database(path).close()

    assert described(grown) == described(path)
    for file in (grown, path):
        engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
        with engine.connect() as connection:
            assert difference(connection) == []


def described(path: Path) -> dict[str, Any]:
    """Return everything SQLite knows of each table of ours."""
    what = (
        "SELECT * FROM pragma_table_xinfo(?)",
        # not its number: indices are a set, made in any order
        'SELECT name, "unique", origin, partial FROM pragma_index_list(?)',
        "SELECT * FROM pragma_foreign_key_list(?)",
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> '' AND tbl_name = ?",
    )
    without_rowid = "SELECT sql LIKE '%WITHOUT ROWID' FROM sqlite_master WHERE name = ?"
    return {
        name: (
            [sorted(rows(path, about, name)) for about in what],
            value(path, without_rowid, name),
        )
        for name in METADATA.tables
    }


def difference(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection,
        opts={"include_name": lambda n, t, _: not (t == "table" and n.startswith("instrument_w"))},
    )
    return list(compare_metadata(context, METADATA))


def test_the_newest_revision_is_the_one_we_compare_with() -> None:
    script = ScriptDirectory(str(ROOT / "storage" / "migrations"))

    assert script.get_heads() == [migrations.HEAD]
    assert (
        tuple(r.revision for r in reversed(list(script.walk_revisions()))) == migrations.REVISIONS
    )


def test_an_ordinary_start_does_not_import_alembic(path: Path) -> None:
    code = (
        "import sys, pathlib; from storage.database import open_database; "
        f"open_database(pathlib.Path({str(path)!r})).close(); "
        f"open_database(pathlib.Path({str(path)!r})).close(); sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_connection_is_set_up_and_readers_cannot_write(path: Path) -> None:
    database = open_database(path)
    for engine, only in ((database.writing, 0), (database.reading, 1)):
        with engine.connect() as connection:
            asked = ("journal_mode", "foreign_keys", "busy_timeout", "query_only", "synchronous")
            answers = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
            assert answers == ["wal", 1, 15_000, only, 1]
    database.close()


def test_ticks_written_before_are_there_after_opening_again(path: Path) -> None:
    filled(path)
    open_database(path).close()

    assert count(path) == 2000
    assert is_whole(path)
