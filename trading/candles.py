"""One-minute candles out of ticks, by the exchange's time of the trade."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from trading.model import UNKNOWN_COUNT, Candle, Part, Tick
from trading.signal import Signal

MINUTE: Final = 60_000  # ms

_PRICE: Final = int(Part.PRICE)  # each `&` of an IntFlag costs a microsecond


@dataclass(slots=True)
class _Bar:
    """A minute in the making; `first_at` and `last_at` are trade times, for late ticks."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    ticks: int
    complete: bool
    first_at: int
    last_at: int
    is_mock: bool
    dirty: bool = True

    def add(self, ltp: float, ltt: int, traded: int) -> None:
        self.high = max(self.high, ltp)
        self.low = min(self.low, ltp)
        if ltt >= self.last_at:
            self.close, self.last_at = ltp, ltt
        if ltt < self.first_at:
            self.open, self.first_at = ltp, ltt
        self.volume += traded
        self.ticks += 1
        self.dirty = True


@dataclass(slots=True)
class _Series:
    """What is remembered of one instrument: its last trade and the bar being built.

    `came` is when we first heard of it (exchange ms): an earlier trade is not ours to draw.
    """

    came: int
    ltt: int
    volume: int
    ltp: float
    bar: _Bar | None
    previous: _Bar | None = None  # still open to a late tick


class CandleBuilder:
    """Follows ticks; `finished` carries what has to be kept, whole minutes and parts of them.

    Two prices with the same trade time and volume are one trade told twice. The first minute after
    a start or a gap was not watched from its beginning, and its candle says so.
    """

    def __init__(self) -> None:
        self.finished: Signal[list[Candle]] = Signal("candles")
        self._series: dict[str, _Series] = {}
        self._unbroken_since = 0  # exchange ms; before it we may have missed trades
        self._heard = 0  # exchange ms of the last frame

    def broken(self, at: int) -> None:
        """Say that ticks may be missing up to `at` (exchange ms): minutes begun by then lack some.

        Not those that were over when something was last heard. One that ended while the silence was
        not noticed yet may have been told as whole, and is told again. Before a session the
        exchange may show the opening price with the opening's time; that minute has not begun and
        is watched whole.
        """
        self._unbroken_since = at
        for series in self._series.values():
            bar = series.bar
            if bar and bar.complete and bar.start <= at and bar.start + MINUTE > self._heard:
                bar.complete, bar.dirty = False, True

    def left(self, instrument_keys: Iterable[str]) -> None:
        """Say that nobody wants these any more: a minute under way is not watched to its end.

        They are forgotten, so that the first minute after they are wanted again says so, too.
        """
        candles: list[Candle] = []
        for key in instrument_keys:
            series = self._series.pop(key, None)
            if series is None or series.bar is None:
                continue
            if series.bar.complete and series.bar.start + MINUTE > self._heard:
                series.bar.complete, series.bar.dirty = False, True
            candles += [
                _candle(key, bar) for bar in (series.previous, series.bar) if bar and bar.dirty
            ]
        if candles:
            self.finished.emit(candles)

    def add(self, ticks: Iterable[Tick]) -> None:
        closed: list[Candle] = []
        for tick in ticks:
            series = self._series.get(tick.instrument_key)
            if series is None:
                series = self._series[tick.instrument_key] = _Series(
                    tick.exchange_ts, 0, 0, 0, None
                )
            if tick.parts & _PRICE and tick.ltt > 0:
                self._add(series, tick, closed)
            self._heard = tick.exchange_ts
        if closed:
            self.finished.emit(closed)

    def _add(self, series: _Series, tick: Tick, closed: list[Candle]) -> None:
        if (tick.ltt, tick.volume, tick.ltp) == (series.ltt, series.volume, series.ltp):
            return
        if series.ltt == 0:
            series.volume = tick.volume  # what was traded before we came
            if tick.ltt // MINUTE < series.came // MINUTE:
                series.ltt, series.ltp = tick.ltt, tick.ltp
                return
        self._trade(series, tick, closed)

    def _trade(self, series: _Series, tick: Tick, closed: list[Candle]) -> None:
        start = tick.ltt - tick.ltt % MINUTE
        traded = _traded(series.volume, tick.volume)
        bar = series.bar
        if bar and start < bar.start:
            self._late(series, tick, start)
            return
        if bar is None or start > bar.start:
            if bar:
                closed.append(_candle(tick.instrument_key, bar))
                bar.dirty = False
            complete = start >= series.came and start > self._unbroken_since
            series.previous = bar
            # into a minute begun in a gap may fall what was traded in all of the gap
            series.bar = _bar(tick, start, traded if complete else 0, complete)
            if tick.volume != UNKNOWN_COUNT:
                series.volume = tick.volume  # less than before on a new day
        else:
            bar.add(tick.ltp, tick.ltt, traded)
        series.ltt, series.ltp = max(series.ltt, tick.ltt), tick.ltp
        series.volume = max(series.volume, tick.volume)

    def _late(self, series: _Series, tick: Tick, start: int) -> None:
        previous = series.previous
        if previous and previous.start == start:
            previous.add(tick.ltp, tick.ltt, 0)

    def current(self, instrument_key: str) -> Candle | None:
        """Return the minute under way, for the live last bar of a chart."""
        series = self._series.get(instrument_key)
        return _candle(instrument_key, series.bar) if series and series.bar else None

    def flush(self, *, before: int | None = None) -> None:
        """Emit every bar that changed since it was last emitted.

        With `before` (exchange ms) only those whose minute ended by then, so that a candle does
        not wait for the next trade of an instrument that rarely trades.
        """
        candles: list[Candle] = []
        for key, series in self._series.items():
            for bar in (series.previous, series.bar):
                if bar and bar.dirty and (before is None or bar.start + MINUTE <= before):
                    candles.append(_candle(key, bar))
                    bar.dirty = False
        if candles:
            self.finished.emit(candles)


def _traded(before: int, after: int) -> int:
    """Return the units traded between two day volumes; 0 where unknown or after a day's roll."""
    if UNKNOWN_COUNT in (before, after):
        return 0
    return max(0, after - before)


def _bar(tick: Tick, start: int, traded: int, complete: bool) -> _Bar:
    price = tick.ltp
    assert math.isfinite(price), "the decoder refuses such prices"
    return _Bar(
        start, price, price, price, price, traded, 1, complete, tick.ltt, tick.ltt, tick.is_mock
    )


def _candle(instrument_key: str, bar: _Bar) -> Candle:
    return Candle(
        instrument_key,
        bar.start,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.ticks,
        bar.complete,
        bar.is_mock,
    )
