"""What is shown of each instrument, written out once for all open tabs."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from dashboard import format as fmt
from trading.desk import World
from trading.market_data import MarketDataService
from trading.model import Tick

NOT_HEARD: Final = "no price of this instrument has arrived yet"
NOT_SENT: Final = "the exchange has not sent this for the instrument"
REMEMBERED: Final = 16_384  # texts of each kind, some 3 MB: most values of a tick are not new


class Tone(IntEnum):
    """Which way a number points, or how a state is judged; shown as a colour, and as text."""

    NONE = 0
    UP = 1
    DOWN = 2
    GOOD = 3
    WARN = 4
    BAD = 5
    MUTED = 6


class Shown(NamedTuple):
    """One cell as the browser gets it; `title` is what a pointer resting on it shows."""

    text: str
    tone: Tone = Tone.NONE
    title: str = ""


BLANK: Final = Shown(fmt.DASH, Tone.NONE, NOT_HEARD)


def _price(value: float) -> Shown:
    return _written_price(value) if math.isfinite(value) and value > 0 else _UNSENT


@lru_cache(REMEMBERED)
def _written_price(value: float) -> Shown:
    return Shown(fmt.price(value))


def _number(decimals: int) -> Callable[[float], Shown]:
    def show(value: float) -> Shown:
        return Shown(fmt.number(value, decimals)) if math.isfinite(value) else _UNSENT

    return show


def _count(value: float) -> Shown:
    return _written_count(value) if value >= 0 else _UNSENT  # NaN is neither


@lru_cache(REMEMBERED)
def _written_count(value: float) -> Shown:
    text = fmt.count(value)
    return _UNSENT if text == fmt.DASH else Shown(text, Tone.NONE, fmt.whole(value))


def _quantity(value: float) -> Shown:
    text = fmt.whole(value)
    return _UNSENT if text == fmt.DASH else Shown(text)


def _volatility(value: float) -> Shown:
    text = fmt.volatility(value)
    return _UNSENT if text == fmt.DASH else Shown(text)


_UNSENT: Final = Shown(fmt.DASH, Tone.NONE, NOT_SENT)
_MARKS: Final = {Tone.UP: "▲ ", Tone.DOWN: "▼ ", Tone.NONE: ""}


def change(tick: Tick) -> Shown:
    """Return the move since the previous close in percent; unknown while either price is."""
    move = _move(tick)
    return _UNSENT if move is None else _written_change(move, tick.close)


@lru_cache(REMEMBERED)
def _written_change(move: float, close: float) -> Shown:
    text = fmt.percent(100 * move / close)
    tone = _tone(move) if text.strip("+-0.%") else Tone.NONE  # 0.00% has no direction
    return Shown(_MARKS[tone] + text, tone, f"{fmt.signed(move)} since the close of yesterday")


def points(tick: Tick) -> Shown:
    move = _move(tick)
    return _UNSENT if move is None else Shown(fmt.signed(move), _tone(move))


def _move(tick: Tick) -> float | None:
    if not (math.isfinite(tick.ltp) and math.isfinite(tick.close) and tick.close > 0):
        return None
    return round(tick.ltp - tick.close, 4)


def _tone(move: float) -> Tone:
    return Tone.UP if move > 0 else Tone.DOWN if move < 0 else Tone.NONE


def _level(index: int, name: str) -> Callable[[Tick], Shown]:
    """Return how one value of one level of the book is shown; an empty side is a dash."""

    def show(tick: Tick) -> Shown:
        if tick.depth is None or index >= len(tick.depth):
            return _UNSENT
        level = tick.depth[index]
        quantity = level.bid_qty if name.startswith("bid") else level.ask_qty
        if quantity <= 0:
            return Shown(fmt.DASH, Tone.NONE, "nobody on this side")
        return _quantity(quantity) if name.endswith("qty") else _price(getattr(level, name))

    return show


DEPTH: Final = 5
FIELDS: Final[dict[str, Callable[[Tick], Shown]]] = {
    "ltp": lambda t: _price(t.ltp),
    "change": change,
    "points": points,
    "bid": lambda t: _price(t.bid),
    "ask": lambda t: _price(t.ask),
    "volume": lambda t: _count(t.volume),
    "oi": lambda t: _count(t.oi),
    "open": lambda t: _price(t.day_open),
    "high": lambda t: _price(t.day_high),
    "low": lambda t: _price(t.day_low),
    "close": lambda t: _price(t.close),
    "average": lambda t: _price(t.atp),
    "last_quantity": lambda t: _quantity(t.ltq),
    "last_time": lambda t: Shown(fmt.clock(fmt.from_ms(t.ltt))) if t.ltt > 0 else _UNSENT,
    "total_buy": lambda t: _count(t.total_buy),
    "total_sell": lambda t: _count(t.total_sell),
    "iv": lambda t: _volatility(t.iv),
    "delta": lambda t: _number(2)(t.delta),
    "gamma": lambda t: _number(4)(t.gamma),
    "theta": lambda t: _number(2)(t.theta),
    "vega": lambda t: _number(2)(t.vega),
    "rho": lambda t: _number(2)(t.rho),
} | {
    f"{name}_{index}": _level(index, name)
    for index in range(DEPTH)
    for name in ("bid", "bid_qty", "ask", "ask_qty")
}


@dataclass(slots=True)
class Row:
    """What is known of one instrument, and its cells as far as somebody asked for them."""

    version: int = 0
    tick: Tick | None = None
    source: str = ""
    move: Tone = Tone.NONE  # of the last price against the one before it
    shown: dict[str, Shown] = field(default_factory=dict)
    before: dict[str, Shown] = field(default_factory=dict)

    def cell(self, name: str) -> Shown:
        shown = self.shown.get(name)
        if shown is None:
            shown, before = self._write(name), self.before.get(name)
            shown = self.shown[name] = before if shown == before and before else shown
        return shown

    def _write(self, name: str) -> Shown:
        if self.tick is None:
            return BLANK
        shown = FIELDS[name](self.tick)
        return Shown(shown.text, self.move, shown.title) if name == "ltp" else shown


class Sheet:
    """Reads the cache for all tabs together, so that three tabs cost little more than one."""

    def __init__(self, market_data: MarketDataService, world: World) -> None:
        self._market_data = market_data
        self._world = world
        self._rows: dict[str, Row] = {}

    def row(self, instrument_key: str) -> Row:
        row = self._rows.get(instrument_key)
        if row is None:
            row = self._rows[instrument_key] = Row()
            self._read(instrument_key, row)
        return row

    def sample(self, instrument_keys: Iterable[str]) -> None:
        """Look at each of these once; forget the rows that no tab shows any more."""
        wanted = set(instrument_keys)
        for key in self._rows.keys() - wanted:
            del self._rows[key]
        for key in wanted:
            self._read(key, self.row(key))

    def _read(self, instrument_key: str, row: Row) -> None:
        tick = self._market_data.last(instrument_key)
        if tick is None or (row.tick is not None and tick.received == row.tick.received):
            return
        if row.tick is not None and tick.ltp != row.tick.ltp:
            row.move = Tone.UP if tick.ltp > row.tick.ltp else Tone.DOWN
        row.tick = tick
        row.version += 1
        row.source = source(tick, self._world)
        row.before, row.shown = row.shown, {}


def source(tick: Tick, world: World) -> str:
    """Return the letter of the badge: simulated, replayed or from the broker's socket."""
    if not tick.is_mock:
        return "W"
    return "P" if world.exchange == "replay" else "S"
