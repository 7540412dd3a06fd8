"""Incidents with their steps in the database: statements within somebody else's transaction."""

import sqlite3
from collections import defaultdict
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from storage.alert_rows import (
    incident_of,
    incident_step_of,
    incident_step_values,
    incident_values,
)
from storage.alert_tables import IS_LASTING
from storage.characters import plain
from storage.moments import to_ms
from storage.order_rows import insert_into
from trading.errors import BadRequest
from trading.health import Incident, IncidentStep

_INSERT: Final = f"{insert_into('incidents')} RETURNING number"
# A word of a person is never taken back by a book that has not heard of it.
_UPDATE: Final = (
    "UPDATE incidents SET severity = ?, cause = ?, ended = ?, flaps = ?, ticks_missed = ?, "
    "acknowledged = coalesce(acknowledged, ?), "
    "acknowledged_by = iif(acknowledged IS NULL, ?, acknowledged_by) "
    "WHERE number = ? AND world = ?"
)
_PUT_STEP: Final = (
    f"{insert_into('incident_steps')} ON CONFLICT (incident, position) DO UPDATE SET "
    "at = excluded.at, what = excluded.what, result = excluded.result "
    "WHERE (at, what, result) IS NOT (excluded.at, excluded.what, excluded.result)"
)
_FORGET_STEPS: Final = "DELETE FROM incident_steps WHERE incident = ? AND position >= ?"
_WITH_COUNT: Final = (
    "SELECT *, (SELECT count(*) FROM alerts WHERE incident = incidents.number) AS alerts "
    "FROM incidents"
)
_LATEST_FIRST: Final = "ORDER BY began DESC, number DESC LIMIT ?"
# Named, because SQLite would rather go through all incidents of the world.
_LASTING: Final = (
    f"{_WITH_COUNT} INDEXED BY ix_incidents_lasting "
    f"WHERE world = ? AND {IS_LASTING} {_LATEST_FIRST}"
)
_OVER: Final = f"{_WITH_COUNT} WHERE world = ? AND began >= ? AND ended IS NOT NULL {_LATEST_FIRST}"
_STEPS: Final = (
    "SELECT * FROM incident_steps WHERE incident IN (SELECT value FROM json_each(?)) "
    "ORDER BY incident, position"
)
_NOTE: Final = "UPDATE incidents SET note = ? WHERE number = ? AND world = ?"


def put(driver: sqlite3.Connection, incident: Incident, *, world: str) -> int:
    """Write an incident as it is now, a new one with its note; return its number."""
    values = incident_values(incident, world=world)
    number = incident.number
    if not number:
        number = int(driver.execute(_INSERT, values).fetchone()[0])
    else:
        _, _, _, severity, _, cause, ended, flaps, missed, acknowledged, by, _, _ = values
        changed = (severity, cause, ended, flaps, missed, acknowledged, by)
        if not driver.execute(_UPDATE, (*changed, number, world)).rowcount:
            raise _no_such(number, world)
    steps = [
        incident_step_values(step, incident=number, position=position, is_mock=incident.is_mock)
        for position, step in enumerate(incident.steps)
    ]
    driver.executemany(_PUT_STEP, steps)
    driver.execute(_FORGET_STEPS, (number, len(steps)))
    return number


def note(driver: sqlite3.Connection, number: int, words: str, *, world: str) -> None:
    """Write what a person says of an incident; raise BadRequest if there is none of the number."""
    if not driver.execute(_NOTE, (plain(words), number, world)).rowcount:
        raise _no_such(number, world)


def _no_such(number: int, world: str) -> BadRequest:
    return BadRequest(f"there is no incident {number} in the world {world}")


def latest(connection: Connection, world: str, *, since: datetime, most: int) -> list[Incident]:
    """Return open ones first, then the latest that began since then."""
    rows = list(connection.exec_driver_sql(_LASTING, (world, most)))
    rows += connection.exec_driver_sql(_OVER, (world, to_ms(since), most - len(rows)))
    steps: dict[int, list[IncidentStep]] = defaultdict(list)
    numbers = str([row.number for row in rows])
    for step in connection.exec_driver_sql(_STEPS, (numbers,)):
        steps[step.incident].append(incident_step_of(step))
    return [incident_of(row, steps[row.number]) for row in rows]
