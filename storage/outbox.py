"""Letters in the database: what is due, who has taken it, what became of it.

Statements within somebody else's transaction. A letter goes from queued by a claim to sending, and
by what its sender settles to sent, folded, parked, or back to queued.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from storage.alert_rows import alert_of, letter_of, letter_values, outcome_values
from storage.alert_tables import CAN_BE_EDITED, IS_CLAIMED, IS_QUEUED
from storage.moments import to_ms
from storage.order_rows import insert_into
from trading.health import Alert
from trading.health_ports import Letter, Post

_INSERT: Final = insert_into("letters")
_CLAIM: Final = f"UPDATE letters SET state = 'sending' WHERE number = ? AND {IS_QUEUED}"
_SETTLE: Final = (
    "UPDATE letters SET not_before = ?, silent = ?, state = ?, attempts = ?, error = ?, sent = ?, "
    "took_ms = ?, reference = ? WHERE number = ?"
)
_LETTERS: Final = (
    "SELECT *, (SELECT reference FROM letters AS before WHERE before.world = letters.world "
    "AND before.channel = letters.channel AND before.key = letters.key "
    f"AND before.alert < letters.alert AND {CAN_BE_EDITED} "
    "ORDER BY before.alert DESC LIMIT 1) AS edits FROM letters WHERE world = ?"
)
_DUE: Final = (
    f"{_LETTERS} AND channel = ? AND {IS_QUEUED} AND not_before <= ? ORDER BY rank, alert LIMIT ?"
)
_CLAIMED: Final = f"{_LETTERS} AND channel = ? AND {IS_CLAIMED} ORDER BY rank, alert"
_LATEST: Final = f"{_LETTERS} ORDER BY number DESC LIMIT ?"
_WAITING: Final = f"SELECT count(*) FROM letters WHERE world = ? AND channel = ? AND {IS_QUEUED}"
_ALERTS: Final = "SELECT * FROM alerts WHERE number IN (SELECT value FROM json_each(?))"


def put(driver: sqlite3.Connection, alert: Alert, posts: Iterable[Post], *, world: str) -> None:
    driver.executemany(_INSERT, [letter_values(post, alert, world=world) for post in posts])


def claim(driver: sqlite3.Connection, number: int) -> bool:
    return driver.execute(_CLAIM, (number,)).rowcount == 1


def settle(driver: sqlite3.Connection, letters: Iterable[Letter]) -> None:
    driver.executemany(_SETTLE, [outcome_values(letter) for letter in letters])


def due(
    connection: Connection, world: str, channel: str, now: datetime, *, most: int
) -> list[Letter]:
    return _read(connection, _DUE, (world, channel, to_ms(now), most))


def claimed(connection: Connection, world: str, channel: str) -> list[Letter]:
    return _read(connection, _CLAIMED, (world, channel))


def latest(connection: Connection, world: str, *, most: int) -> list[Letter]:
    return _read(connection, _LATEST, (world, most))


def waiting(connection: Connection, world: str, channel: str) -> int:
    return int(connection.exec_driver_sql(_WAITING, (world, channel)).scalar_one())


def _read(connection: Connection, query: str, asked: Sequence[Any]) -> list[Letter]:
    rows = connection.exec_driver_sql(query, tuple(asked)).all()
    numbers = json.dumps([row.alert for row in rows])
    alerts = {row.number: row for row in connection.exec_driver_sql(_ALERTS, (numbers,))}
    return [letter_of(row, alert_of(alerts[row.alert])) for row in rows]
