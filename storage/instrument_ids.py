"""The integer that stands for an instrument of one world in every other table."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, insert, select, tuple_

from storage.tables import InstrumentRow
from trading.model import InstrumentType, segment_of

Named = tuple[str, bool]  # instrument_key, is_mock: the same key in both worlds is two instruments

_ASKED_AT_ONCE: Final = 500


def placeholder(named: Named) -> dict[str, object]:
    """Return a row for a key of which only ticks are known; the next master completes it."""
    key, is_mock = named
    return {
        "instrument_key": key,
        "is_mock": is_mock,
        "segment": segment_of(key),
        "type": InstrumentType.EQUITY.value,
        "symbol": key,
        "name": key,
    }


class InstrumentIds:
    """Remembers the ids of the instruments that are being recorded; lives on the storage thread.

    An id never changes and is never given to another instrument, so what was learnt stays true.
    """

    def __init__(self) -> None:
        self.of: dict[Named, int] = {}

    def unknown(self, named: Iterable[Named]) -> set[Named]:
        return set(named).difference(self.of)

    def look_up(self, connection: Connection, unknown: set[Named]) -> dict[Named, int]:
        """Find or allocate ids. They count only once the transaction is committed: see `learn`."""
        found = _stored(connection, unknown)
        new = sorted(unknown.difference(found))
        if new:
            connection.execute(insert(InstrumentRow), [placeholder(named) for named in new])
            found |= _stored(connection, set(new))
        return found

    def learn(self, committed: dict[Named, int]) -> None:
        self.of.update(committed)


def _stored(connection: Connection, named: set[Named]) -> dict[Named, int]:
    row = InstrumentRow.__table__.c  # type: ignore[attr-defined]
    wanted = sorted(named)
    found: dict[Named, int] = {}
    for first in range(0, len(wanted), _ASKED_AT_ONCE):
        part = wanted[first : first + _ASKED_AT_ONCE]
        query = select(row.instrument_key, row.is_mock, row.id).where(
            tuple_(row.instrument_key, row.is_mock).in_(part)
        )
        found |= {(key, bool(is_mock)): id_ for key, is_mock, id_ in connection.execute(query)}
    return found
