"""Every instrument the broker knows, kept on disk: asked by key, found by words."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from storage import search
from storage.database import Database
from storage.gaps import Fact, fact, keep_fact
from storage.reader import Reader
from storage.statements import upsert_instruments
from storage.tables import METADATA
from storage.writer import Writer
from trading.model import Instrument, InstrumentType

_instruments = METADATA.tables["instruments"]

OPTIONS: Final = (InstrumentType.CALL, InstrumentType.PUT)
CHUNK: Final = 500  # instruments in one transaction: the write lock is held some 10 ms


class InstrumentCatalogue:
    """The instruments of one world. Only those that were asked for are held in memory."""

    def __init__(self, database: Database, writer: Writer, *, is_mock: bool) -> None:
        self._reader = Reader(database)
        self._writer = writer
        self._is_mock = is_mock
        self._asked: dict[str, Instrument] = {}

    def close(self) -> None:
        self._reader.close()

    def get(self, instrument_key: str) -> Instrument | None:
        """Return it from memory, or by one indexed read the first time it is asked for.

        One that has left the broker's list, such as an expired option, is still known.
        """
        found = self._asked.get(instrument_key)
        if found is None:
            found = self._reader.now(lambda connection: self._stored(connection, instrument_key))
            if found:
                self._asked[instrument_key] = found
        return found

    async def search(self, text: str, *, limit: int = 20) -> list[Instrument]:
        """Return those on the broker's list that have each word as the beginning of one of theirs.

        An exact symbol comes first, then indices, equities, futures and options, each by nearest
        expiry and then by nearest strike.
        """
        return await self._reader.run(lambda connection: self._found(connection, text, limit))

    async def options(self, underlying_key: str) -> list[Instrument]:
        """Return the calls and puts on the broker's list, by expiry, strike and type."""
        return await self._reader.run(lambda connection: self._series(connection, underlying_key))

    def replace(self, instruments: Iterable[Instrument]) -> int:
        """Take over the broker's whole list and return its length; blocks, so not on the loop.

        Ids stay. What is not on the list is no longer found by `search`, once all of it is
        written; a list that breaks off, or an empty one, changes nothing of that.
        """
        master = self._submit(self._current) + 1
        count = 0
        rest = iter(instruments)
        while chunk := list(_rows(islice(rest, CHUNK), master, is_mock=self._is_mock)):
            self._submit(lambda connection, rows=chunk: upsert_instruments(connection, rows))
            count += len(chunk)
        if count:
            self._submit(
                lambda connection: keep_fact(connection, Fact.MASTER, master, is_mock=self._is_mock)
            )
        self._asked = {}
        return count

    def _submit(self, work: Any) -> Any:
        return self._writer.submit(work).result()

    def _current(self, connection: Connection) -> int:
        return fact(connection, Fact.MASTER, is_mock=self._is_mock) or 0

    def _stored(self, connection: Connection, instrument_key: str) -> Instrument | None:
        row = _instruments.c
        query = select(_instruments).where(
            row.instrument_key == instrument_key, row.is_mock == self._is_mock, row.master > 0
        )
        found = connection.execute(query).first()
        return _instrument(found) if found else None

    def _found(self, connection: Connection, text: str, limit: int) -> list[Instrument]:
        current = max(1, self._current(connection))  # 0: keys that only ticks told us about
        ids = search.find(connection, text, is_mock=self._is_mock, current=current, limit=limit)
        rows = connection.execute(select(_instruments).where(_instruments.c.id.in_(ids)))
        by_id = {row.id: _instrument(row) for row in rows}
        return [by_id[id_] for id_ in ids]

    def _series(self, connection: Connection, underlying_key: str) -> list[Instrument]:
        row = _instruments.c
        query = select(_instruments).where(
            row.underlying_key == underlying_key,
            row.type.in_([kind.value for kind in OPTIONS]),
            row.is_mock == self._is_mock,
            row.master >= max(1, self._current(connection)),
        )
        rows = connection.execute(query.order_by(row.expiry, row.strike, row.type))
        return [_instrument(each) for each in rows]


def _rows(
    instruments: Iterable[Instrument], master: int, *, is_mock: bool
) -> Iterator[tuple[Any, ...]]:
    for instrument in instruments:
        yield (
            instrument.instrument_key,
            is_mock,
            master,
            instrument.segment,
            instrument.type.value,
            instrument.symbol,
            instrument.name,
            instrument.exchange_token,
            instrument.isin,
            instrument.lot_size,
            instrument.tick_size,
            instrument.freeze_quantity,
            instrument.underlying_key,
            instrument.underlying_symbol,
            instrument.expiry.isoformat() if instrument.expiry else None,
            instrument.strike,
            instrument.weekly,
            search.words_of(instrument),
        )


def _instrument(row: Row[Any]) -> Instrument:
    return Instrument(
        instrument_key=row.instrument_key,
        segment=row.segment,
        type=InstrumentType(row.type),
        symbol=row.symbol,
        name=row.name,
        exchange_token=row.exchange_token,
        isin=row.isin,
        lot_size=row.lot_size,
        tick_size=row.tick_size,
        freeze_quantity=row.freeze_quantity,
        underlying_key=row.underlying_key,
        underlying_symbol=row.underlying_symbol,
        expiry=row.expiry,
        strike=row.strike,
        weekly=row.weekly,
    )
