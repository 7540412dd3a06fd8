"""The last tick of every instrument: the cache is written first, then subscribers are told."""

import math
import operator
import struct
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from trading.clock import Clock
from trading.model import UNKNOWN, Batch, Level, Part, Tick
from trading.signal import Signal

# A tick without its key and its depth: 22 values, then when and what of it arrived.
_ROW: Final = struct.Struct("<dqqddqdqq13d" + "q4dH?")
_VALUES: Final = 22 * 8  # bytes; equal values say nothing new
_ORDER: Final = struct.Struct("<8xq160xq32xH")  # of a row: ltt, exchange_ts, parts
_RECEIVED: Final = struct.Struct("<184xd")  # of a row
CLOCK_SET_BACK: Final = 60_000  # ms; an exchange's clock this much older is a new epoch, not late
TRADE_AHEAD: Final = 60_000  # ms; a trade this much later than its own frame orders nothing
LATE_FOR: Final = 5.0  # seconds that a late tick can be late; longer, and what is held was wrong

# Where each part lies in a tick, its age too, so that a part left out keeps what was known.
_PLACES: Final = {
    Part.PRICE: (slice(1, 4), slice(25, 26)),
    Part.CLOSE: (slice(4, 5),),
    Part.BOOK: (slice(5, 9), slice(26, 27)),
    Part.VOLUME: (slice(9, 11),),
    Part.OI: (slice(11, 12),),
    Part.IV: (slice(12, 13),),
    Part.GREEKS: (slice(13, 18), slice(27, 28)),
    Part.TOTALS: (slice(18, 20),),
    Part.DAY: (slice(20, 23),),
}
_TIMES: Final = slice(24, 28)  # where a tick says when it and its parts were received
# Plain integers, because each `&` of an IntFlag costs a microsecond.
_PRICE, _BOOK = int(Part.PRICE), int(Part.BOOK)
_BARE: Final = int(Part.PRICE | Part.CLOSE)  # all that the mode ltpc tells


class Board:
    """One packed row for each instrument: a quarter of the memory that tuples of floats take.

    A bare price is kept as it came: nearly all of its fields are the one unknown, so packing it
    would save little memory and take a sixth of its whole way from the wire.
    """

    def __init__(self) -> None:
        self._rows: dict[str, bytes | Tick] = {}
        self._depth: dict[str, tuple[Level, ...]] = {}
        self._connected = -math.inf  # when this connection's first tick arrived

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, instrument_key: str) -> Tick | None:
        row = self._rows.get(instrument_key)
        if row is None or isinstance(row, Tick):
            return row
        return _unpacked(instrument_key, row, self._depth.get(instrument_key))

    def apply(self, ticks: list[Tick], *, new_connection: bool) -> "Applied":
        """Write each tick that is news; sort out the late ones and those that say nothing new."""
        if new_connection and ticks:
            self._connected = ticks[0].received
        rows, pack, order = self._rows, _ROW.pack, _ORDER.unpack_from
        news: list[Tick] = []
        late: list[Tick] = []
        repeated = 0
        for tick in ticks:
            key = tick[0]
            held = rows.get(key)
            if held is None:
                rows[key] = tick if tick[28] == _BARE else pack(*tick[1:-1])
                news.append(tick)
            else:
                if isinstance(held, Tick):
                    ltt, exchange_ts, parts = held[2], held[23], held[28]
                else:
                    ltt, exchange_ts, parts = order(held)
                older = 0 < tick[23] < exchange_ts or 0 < tick[2] < ltt
                if older and not _wrong(held, ltt, exchange_ts, tick, self._connected):
                    late.append(tick)
                    continue
                if parts & ~tick[28]:
                    tick = _merged(tick, self.get(key))
                row = tick if tick[28] == _BARE else pack(*tick[1:-1])
                if tick[2] == ltt and _same(row, held):
                    repeated += 1
                else:
                    news.append(tick)
                rows[key] = row
            if tick[30] is not None:
                self._depth[key] = tick[30]
            elif self._depth and tick[28] & _BOOK:
                self._depth.pop(key, None)  # nobody reads it in depth: the old levels are not now's
        return Applied(news, late, repeated)


@dataclass(frozen=True, slots=True)
class Applied:
    news: list[Tick]
    late: list[Tick]
    repeated: int

    def believed(self, ticks: list[Tick]) -> list[Tick]:
        """Return those of the ticks that are not late."""
        if not self.late:
            return ticks
        late = set(map(id, self.late))
        return [tick for tick in ticks if id(tick) not in late]


def _unpacked(instrument_key: str, row: bytes, depth: tuple[Level, ...] | None) -> Tick:
    return Tick._make((instrument_key, *_ROW.unpack(row), depth))


def _wrong(held: bytes | Tick, ltt: int, exchange_ts: int, tick: Tick, connected: float) -> bool:
    """Return whether the times held are wrong, so that a tick with older ones is not late.

    What is held may be of an earlier connection, to an exchange that has begun anew; one frame may
    have had a clock far ahead, or a trade of the future: its price would stay on screen until then.
    """
    if 0 < exchange_ts < ltt - TRADE_AHEAD and tick.exchange_ts >= exchange_ts:
        return True
    if not 0 < tick.exchange_ts < exchange_ts - CLOCK_SET_BACK:
        return False
    received = held.received if isinstance(held, Tick) else _RECEIVED.unpack_from(held)[0]
    return bool(received <= connected or tick.received - received > LATE_FOR)


def _same(row: bytes | Tick, held: bytes | Tick) -> bool:
    """Return whether they tell the same values; what was bare and no longer is says more."""
    if isinstance(row, Tick):
        return isinstance(held, Tick) and row[1:5] == held[1:5]
    return not isinstance(held, Tick) and row[:_VALUES] == held[:_VALUES]


def _merged(tick: Tick, known: Any) -> Tick:
    """Fill the parts that did not come with what was known, each keeping its age."""
    values: list[Any] = list(tick)
    missing = known[28] & ~tick.parts
    for place in _places(missing):
        values[place] = known[place]
    values[28] = tick.parts | known[28]
    if tick.depth is None and missing & _BOOK:
        values[30] = known[30]
    return Tick._make(values)


@cache
def _places(parts: int) -> tuple[slice, ...]:
    return tuple(place for part, places in _PLACES.items() if parts & part for place in places)


@dataclass(frozen=True, slots=True)
class _Sleep:
    """Until when (monotonic seconds) what was received is of before it, and how long it was.

    What the connection of this generation tells may have waited in its socket all the while.
    """

    until: float
    seconds: float
    generation: int


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
        self._newest: Tick | None = None  # with a price, and not late
        self._sleeps: list[_Sleep] = []  # of this run, oldest first

    def publish(self, batch: Batch) -> None:
        applied = self._board.apply(
            batch.ticks, new_connection=batch.generation != self._generation
        )
        self._generation = batch.generation
        self._newest = _newest_price(applied.believed(batch.ticks), self._newest)
        if self._sleeps and batch.ticks:
            self._doubt(batch)
        self.published += len(applied.news)
        self.repeated += applied.repeated
        if applied.late:
            self.late_count += len(applied.late)
            self.late.emit(applied.late)
        if applied.news:  # as old as `last` says, or what waited in the socket would be live
            self.ticks.emit([self._aged(t) for t in applied.news] if self._sleeps else applied.news)

    def slept(self, seconds: float) -> None:
        """Count the time in which the machine slept, and its monotonic clock with it.

        Whatever was received until now is so much older than that clock says, and so is what still
        comes over the connection of before: only the next one is believed. Each sleep adds to what
        earlier ones made older.
        """
        self._sleeps.append(_Sleep(self._clock.monotonic(), seconds, self._generation))

    def did_not_sleep(self) -> None:
        """Take back what `slept` said last: the wall clock was set, and no time had passed."""
        self._sleeps.pop()

    @property
    def is_doubted(self) -> bool:
        """Whether the machine slept and no price came since, over another connection."""
        if not self._sleeps:
            return False
        return self._newest is None or self._slept_since(self._newest.received) > 0

    def newest(self) -> Tick | None:
        """Return the last tick with a price, of any instrument, with its times as they came."""
        return self._newest

    def last(self, instrument_key: str) -> Tick | None:
        tick = self._board.get(instrument_key)
        return tick if tick is None or not self._sleeps else self._aged(tick)

    def price_age(self, instrument_key: str) -> float | None:
        """Return seconds since a price of this instrument arrived, None if none ever did."""
        tick = self.last(instrument_key)
        if tick is None or math.isnan(tick.price_received):
            return None
        return self._clock.monotonic() - tick.price_received

    def heard_age(self) -> float | None:
        """Return seconds since a price of any instrument arrived that was not late.

        A feed that tells only old prices is as silent as one that tells none.
        """
        if self._newest is None:
            return None
        heard = self._newest.received
        return self._clock.monotonic() - heard + self._slept_since(heard)

    def fresh_price(self, instrument_key: str, *, within: float) -> float:
        """Return the ltp if it arrived within so many seconds, else NaN: unknown, never old."""
        tick = self.last(instrument_key)
        if tick is None or not self._clock.monotonic() - tick.price_received <= within:
            return UNKNOWN
        return tick.ltp

    def __len__(self) -> int:
        return len(self._board)

    # inside

    def _doubt(self, batch: Batch) -> None:
        """Count as of before a sleep what comes over a connection that it interrupted."""
        until = batch.ticks[-1].received
        self._sleeps = [
            replace(s, until=until) if s.generation == batch.generation else s for s in self._sleeps
        ]

    def _slept_since(self, received: float) -> float:
        """Return the seconds slept since something was received; 0 if that is not known (NaN)."""
        return sum(s.seconds for s in self._sleeps if received <= s.until)

    def _aged(self, tick: Tick) -> Tick:
        """Return it with each part as much older as was slept since it was received; NaN stays."""
        times = (tick.received, tick.price_received, tick.book_received, tick.greeks_received)
        slept = [self._slept_since(received) for received in times]
        if not any(slept):
            return tick
        moved = map(operator.sub, times, slept)
        return Tick._make((*tick[: _TIMES.start], *moved, *tick[_TIMES.stop :]))


def _newest_price(ticks: list[Tick], before: Tick | None) -> Tick | None:
    """Return the last of these that told a price; a book alone is not a price."""
    return next((t for t in reversed(ticks) if t.parts & _PRICE), before)
