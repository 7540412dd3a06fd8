"""The index behind the search for instruments, and the order in which the trader sees them.

The index is made of what `instruments` holds and can be rebuilt from it, so it is no part of the
schema's revisions. Where SQLite comes without FTS5 the search falls back to LIKE.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from trading.model import Instrument, InstrumentType

log = logging.getLogger(__name__)

LONGEST: Final = 100  # characters of a query that are looked at
MOST_WORDS: Final = 8

_TRIGGERS: Final = ("instrument_words_new", "instrument_words_changed", "instrument_words_gone")
_FORGET: Final = (
    "INSERT INTO instrument_words (instrument_words, rowid, words) "
    "VALUES ('delete', old.id, old.words);"
)
_LEARN: Final = "INSERT INTO instrument_words (rowid, words) VALUES (new.id, new.words);"
_INDEX: Final = (
    "CREATE VIRTUAL TABLE instrument_words USING fts5 "
    "(words, content='instruments', content_rowid='id', tokenize='unicode61', prefix='2 3')",
    f"CREATE TRIGGER instrument_words_new AFTER INSERT ON instruments BEGIN {_LEARN} END",
    "CREATE TRIGGER instrument_words_changed AFTER UPDATE OF words ON instruments "
    f"WHEN new.words IS NOT old.words BEGIN {_FORGET} {_LEARN} END",
    f"CREATE TRIGGER instrument_words_gone AFTER DELETE ON instruments BEGIN {_FORGET} END",
    "INSERT INTO instrument_words (instrument_words) VALUES ('rebuild')",
)

_KINDS: Final = {
    InstrumentType.INDEX: "INDEX",
    InstrumentType.EQUITY: "EQ EQUITY",
    InstrumentType.FUTURE: "FUT FUTURE",
    InstrumentType.CALL: "CE CALL",
    InstrumentType.PUT: "PE PUT",
}

# What the trader most likely means comes first; an underlying that is a whole word of the
# query goes before one that only begins with it (NIFTY before NIFTYNXT50).
_ORDER: Final = """
    ORDER BY i.symbol = :text COLLATE NOCASE DESC,
             CASE i.type WHEN 'INDEX' THEN 0 WHEN 'EQ' THEN 1 WHEN 'FUT' THEN 2 ELSE 3 END,
             substr(i.symbol, 1, length(:text)) = :text COLLATE NOCASE DESC,
             instr(:whole, ' ' || upper(i.underlying_symbol) || ' ') > 0 DESC,
             i.expiry IS NULL DESC, i.expiry, abs(i.strike - :strike), i.strike, i.symbol, i.id
    LIMIT :limit
"""


def words_of(instrument: Instrument) -> str:
    """Return everything by which somebody may look for it."""
    parts = [instrument.symbol, instrument.name, _KINDS[instrument.type]]
    if instrument.underlying_symbol:
        parts.append(instrument.underlying_symbol)
    if instrument.expiry:
        parts.append(f"{instrument.expiry:%d %b %d%b}")
    if instrument.strike is not None:
        parts.append(f"{instrument.strike:g}" if instrument.strike < 1e6 else "")
    return " ".join(parts)


def prepare(connection: Connection) -> None:
    """Make sure that the index is there, or that nothing waits for one that cannot be."""
    present = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    if has_index(connection):
        if {"instrument_words", *_TRIGGERS} - present:
            _drop(connection, present, with_table=True)
            for statement in _INDEX:
                connection.exec_driver_sql(statement)
    elif present.intersection(_TRIGGERS):
        _drop(connection, present, with_table=False)
        log.warning("this SQLite has no FTS5: the search is slower")


def has_index(connection: Connection) -> bool:
    """Return whether this SQLite can search by words; the file alone does not say so."""
    try:
        connection.exec_driver_sql("SELECT fts5(NULL)")
    except OperationalError as error:
        return "no such function" not in str(error.orig)
    return True


def find(
    connection: Connection,
    text: str,
    *,
    is_mock: bool,
    current: int,
    limit: int,
    indexed: bool = True,
) -> list[int]:
    """Return the ids of those of which some word begins with each word of the text."""
    words = words_in(text)
    if not words:
        return []
    given = _clean(text)
    strikes = [float(word) for word in words if re.fullmatch(r"\d{1,7}(\.\d+)?", word)]
    values: dict[str, Any] = {
        "text": given,
        "whole": f" {given.upper()} ",
        "strike": strikes[-1] if strikes else 0.0,
        "limit": limit,
        "is_mock": is_mock,
        "current": current,
    }
    indexed = indexed and has_index(connection)
    return _run(
        connection, _by_index(words, values) if indexed else _by_like(words, values), values
    )


def words_in(text: str) -> list[str]:
    """Return the words worth looking for: those with at least one letter or digit."""
    return [word for word in _clean(text).split() if any(c.isalnum() for c in word)][:MOST_WORDS]


def _clean(text: str) -> str:
    """Return what a person can see of the text: no control characters, single spaces."""
    seen = "".join(c if c.isprintable() else " " for c in text[:LONGEST])
    return " ".join(seen.split())


def _by_index(words: Sequence[str], values: dict[str, Any]) -> str:
    # in quotes every character is text to FTS5; a quote itself is doubled
    values["match"] = " ".join('"' + word.replace('"', '""') + '" *' for word in words)
    return "i.id IN (SELECT rowid FROM instrument_words WHERE instrument_words MATCH :match)"


def _by_like(words: Sequence[str], values: dict[str, Any]) -> str:
    for number, word in enumerate(words):
        safe = re.sub(r"([\\%_])", r"\\\1", word)
        values[f"word{number}"] = f"% {safe}%"
    return " AND ".join(rf"' ' || i.words LIKE :word{n} ESCAPE '\'" for n in range(len(words)))


def _run(connection: Connection, condition: str, values: dict[str, Any]) -> list[int]:
    statement = (
        "SELECT i.id FROM instruments AS i "
        f"WHERE {condition} AND i.is_mock = :is_mock AND i.master >= :current {_ORDER}"
    )
    return list(connection.exec_driver_sql(statement, values).scalars())


def _drop(connection: Connection, present: set[str], *, with_table: bool) -> None:
    for trigger in present.intersection(_TRIGGERS):
        connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
    if with_table and "instrument_words" in present:
        connection.exec_driver_sql("DROP TABLE instrument_words")
