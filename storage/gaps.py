"""The ledger of gaps: when a feed was silent, and when the desk itself was not running."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from storage.moments import from_ms, to_ms
from storage.tables import METADATA
from trading.model import Gap

_gaps = METADATA.tables["feed_gaps"]
_state = METADATA.tables["desk_state"]


class Fact(StrEnum):
    """The names in desk_state."""

    ALIVE = "alive"  # ms of the desk's clock
    WATCHLIST = "watchlist"  # 1 once the trader has kept a list, be it an empty one
    MASTER = "master"  # number of the last instrument master that was taken over whole


def fact(connection: Connection, name: Fact, *, is_mock: bool) -> int | None:
    row = _state.c
    query = select(row.value).where(row.name == name, row.is_mock == is_mock)
    found: int | None = connection.execute(query).scalar()
    return found


def keep_fact(connection: Connection, name: Fact, value: int, *, is_mock: bool) -> None:
    connection.execute(
        upsert(_state)
        .values(name=name.value, is_mock=is_mock, value=value)
        .on_conflict_do_update(index_elements=["name", "is_mock"], set_={"value": value})
    )


def open_gap(
    connection: Connection, feed: str, start: datetime, reason: str, *, is_mock: bool
) -> bool:
    """Begin a gap unless one is open already: it began when the first trouble did."""
    row = _gaps.c
    is_open = select(row.id).where(row.feed == feed, row.ended.is_(None), row.is_mock == is_mock)
    if connection.execute(is_open).first():
        return False
    record_gap(connection, Gap(feed, start, None, reason, is_mock))
    return True


def close_gaps(connection: Connection, feed: str, end: datetime, *, is_mock: bool) -> int:
    """End the open gap of a feed; return how many there were.

    A gap that would end before it began is forgotten: a simulated exchange started its day again.
    """
    row = _gaps.c
    is_open = (row.feed == feed) & row.ended.is_(None) & (row.is_mock == is_mock)
    backwards = connection.execute(delete(_gaps).where(is_open, row.started >= to_ms(end)))
    closed = connection.execute(update(_gaps).where(is_open).values(ended=to_ms(end)))
    return backwards.rowcount + closed.rowcount


def record_gap(connection: Connection, gap: Gap) -> None:
    connection.execute(
        insert(_gaps).values(
            feed=gap.feed,
            started=to_ms(gap.start),
            ended=to_ms(gap.end) if gap.end else None,
            reason=gap.reason,
            is_mock=gap.is_mock,
        )
    )


def between(
    connection: Connection, feed: str, since: datetime, until: datetime, *, is_mock: bool
) -> list[Gap]:
    """Return the gaps that touch this stretch of time, oldest first."""
    row = _gaps.c
    query = (
        select(_gaps)
        .where(
            row.feed == feed,
            row.is_mock == is_mock,
            row.started < to_ms(until),
            or_(row.ended.is_(None), row.ended > to_ms(since)),
        )
        .order_by(row.started, row.id)
    )
    return [
        Gap(
            found.feed,
            from_ms(found.started),
            None if found.ended is None else from_ms(found.ended),
            found.reason,
            found.is_mock,
        )
        for found in connection.execute(query)
    ]
