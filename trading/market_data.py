"""The last tick of every instrument: the cache is written first, then subscribers are told."""

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

from trading.clock import Clock
from trading.model import UNKNOWN, Batch, Level, Part, Tick
from trading.signal import Signal

# A tick without its key and its depth: 22 values, then when and what of it arrived.
_ROW: Final = struct.Struct("<dqqddqdqq13d" + "q4dH?")
_VALUES: Final = 22 * 8  # bytes; equal values say nothing new
_ORDER: Final = struct.Struct("<8xq160xq32xH")  # of a row: ltt, exchange_ts, parts
CLOCK_SET_BACK: Final = 60_000  # ms; an exchange's clock this much older is a new epoch, not late

# Where each part lies in a tick, so that a part left out keeps what was known.
_FIELDS: Final = {
    Part.PRICE: slice(1, 4),
    Part.CLOSE: slice(4, 5),
    Part.BOOK: slice(5, 9),
    Part.VOLUME: slice(9, 11),
    Part.OI: slice(11, 12),
    Part.IV: slice(12, 13),
    Part.GREEKS: slice(13, 18),
    Part.TOTALS: slice(18, 20),
    Part.DAY: slice(20, 23),
}
_AGES: Final = {Part.PRICE: 25, Part.BOOK: 26, Part.GREEKS: 27}


class Board:
    """One packed row for each instrument: a quarter of the memory that tuples of floats take."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._depth: dict[str, tuple[Level, ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, instrument_key: str) -> Tick | None:
        row = self._rows.get(instrument_key)
        if row is None:
            return None
        return _unpacked(instrument_key, row, self._depth.get(instrument_key))

    def apply(self, ticks: list[Tick], *, new_connection: bool) -> "Applied":
        """Write each tick that is news; sort out the late ones and those that say nothing new."""
        rows, pack, order = self._rows, _ROW.pack, _ORDER.unpack_from
        news: list[Tick] = []
        late: list[Tick] = []
        repeated = 0
        for tick in ticks:
            key = tick[0]
            held = rows.get(key)
            if held is None:
                rows[key] = pack(*tick[1:-1])
                news.append(tick)
            else:
                ltt, exchange_ts, parts = order(held)
                older = tick[23] < exchange_ts or 0 < tick[2] < ltt
                if older and not (new_connection and tick[23] < exchange_ts - CLOCK_SET_BACK):
                    late.append(tick)
                    continue
                if parts & ~tick[28]:
                    tick = _merged(tick, held, self._depth.get(key))
                row = pack(*tick[1:-1])
                if tick[2] == ltt and row[:_VALUES] == held[:_VALUES]:
                    repeated += 1
                else:
                    news.append(tick)
                rows[key] = row
            if tick[30] is not None:
                self._depth[key] = tick[30]
        return Applied(news, late, repeated)

    def forget_depth(self, instrument_key: str) -> None:
        """Drop the levels of an instrument that nobody reads in depth any more."""
        self._depth.pop(instrument_key, None)


@dataclass(frozen=True, slots=True)
class Applied:
    news: list[Tick]
    late: list[Tick]
    repeated: int


def _unpacked(instrument_key: str, row: bytes, depth: tuple[Level, ...] | None) -> Tick:
    return Tick._make((instrument_key, *_ROW.unpack(row), depth))


def _merged(tick: Tick, held: bytes, depth: tuple[Level, ...] | None) -> Tick:
    """Fill the parts that did not come with what was known, each keeping its age."""
    known: tuple[Any, ...] = _unpacked(tick.instrument_key, held, depth)
    values: list[Any] = list(tick)
    missing = known[28] & ~tick.parts
    for part, fields in _FIELDS.items():
        if missing & part:
            values[fields] = known[fields]
    for part, age in _AGES.items():
        if missing & part:
            values[age] = known[age]
    values[28] = tick.parts | known[28]
    if tick.depth is None and missing & Part.BOOK:
        values[30] = known[30]
    return Tick._make(values)


class MarketDataService:
    """Owns the board. `ticks` carries every tick that is news, `late` what is only for the record.

    Late means older than what is held: an out-of-order frame, or the snapshot of a server that
    lags. It is stored, because it happened, but no decision hears it (faults F27, F28).
    """

    def __init__(self, clock: Clock) -> None:
        self.ticks: Signal[list[Tick]] = Signal("ticks")
        self.late: Signal[list[Tick]] = Signal("late ticks")
        self.published = 0
        self.late_count = 0
        self.repeated = 0
        self._clock = clock
        self._board = Board()
        self._generation = -1
        self._heard: float | None = None

    def publish(self, batch: Batch) -> None:
        applied = self._board.apply(
            batch.ticks, new_connection=batch.generation != self._generation
        )
        self._generation = batch.generation
        self._heard = _price_time(batch.ticks, self._heard)
        self.published += len(applied.news)
        self.repeated += applied.repeated
        if applied.late:
            self.late_count += len(applied.late)
            self.late.emit(applied.late)
        if applied.news:
            self.ticks.emit(applied.news)

    def last(self, instrument_key: str) -> Tick | None:
        return self._board.get(instrument_key)

    def price_age(self, instrument_key: str) -> float | None:
        """Return seconds since a price of this instrument arrived, None if none ever did."""
        tick = self._board.get(instrument_key)
        if tick is None or math.isnan(tick.price_received):
            return None
        return self._clock.monotonic() - tick.price_received

    def heard_age(self) -> float | None:
        """Return seconds since a price of any instrument arrived: is anything coming in?"""
        return None if self._heard is None else self._clock.monotonic() - self._heard

    def fresh_price(self, instrument_key: str, *, within: float) -> float:
        """Return the ltp if it arrived within so many seconds, else NaN: unknown, never old."""
        tick = self._board.get(instrument_key)
        if tick is None or not self._clock.monotonic() - tick.price_received <= within:
            return UNKNOWN
        return tick.ltp

    def forget_depth(self, instrument_key: str) -> None:
        self._board.forget_depth(instrument_key)

    def __len__(self) -> int:
        return len(self._board)


def _price_time(ticks: list[Tick], before: float | None) -> float | None:
    """Return when the newest of these prices arrived; a book alone is not a price."""
    return next((t.received for t in reversed(ticks) if t.parts & Part.PRICE), before)
