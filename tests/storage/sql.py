"""Looks into a database file from outside, as any other program would."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def rows(path: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def value(path: Path, query: str, *values: Any) -> Any:
    return rows(path, query, *values)[0][0]


def count(path: Path, table: str = "quote_ticks") -> int:
    return int(value(path, f"SELECT count(*) FROM {table}"))


def is_whole(path: Path) -> bool:
    return rows(path, "PRAGMA integrity_check") == [("ok",)]
