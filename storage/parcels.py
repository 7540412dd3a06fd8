"""What the writer puts into one transaction: the ticks of some frames, or some candles."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from storage.instrument_ids import Named
from storage.statements import insert_ticks, tick_rows, upsert_candles
from trading.model import Candle, Tick

Frame = tuple[float, int, list[Tick]]  # monotonic seconds when queued, wall ms, the ticks


class Parcel(Protocol):
    def named(self) -> Iterator[Named]:
        """Yield the instruments that need an id before `put`."""
        ...

    def put(self, connection: Connection, ids: Mapping[Named, int]) -> None: ...

    def singly(self) -> "Iterator[Parcel]":
        """Yield the same in parcels of one, to find the one that is unacceptable."""
        ...


class TickParcel(NamedTuple):
    frames: list[Frame]

    def named(self) -> Iterator[Named]:
        return ((t.instrument_key, t.is_mock) for _, _, ticks in self.frames for t in ticks)

    def put(self, connection: Connection, ids: Mapping[Named, int]) -> None:
        rows = [r for _, received, ticks in self.frames for r in tick_rows(ticks, received, ids)]
        insert_ticks(connection, rows)

    def singly(self) -> Iterator[Parcel]:
        for at, received, ticks in self.frames:
            for tick in ticks:
                yield TickParcel([(at, received, [tick])])


class CandleParcel(NamedTuple):
    candles: list[Candle]

    def named(self) -> Iterator[Named]:
        return ((candle.instrument_key, candle.is_mock) for candle in self.candles)

    def put(self, connection: Connection, ids: Mapping[Named, int]) -> None:
        upsert_candles(connection, self.candles, ids)

    def singly(self) -> Iterator[Parcel]:
        return (CandleParcel([candle]) for candle in self.candles)
