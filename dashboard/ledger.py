"""What positions are worth, looked up once a refresh for all open tabs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from dashboard import format as fmt
from dashboard import position_words as words
from dashboard.live import Backing, Facts
from dashboard.position_words import Key, Part
from dashboard.sheet import REMEMBERED, Shown, Tone
from trading.desk import Desk
from trading.marks import Mark
from trading.model import segment_of
from trading.positions import Position, PositionMoved, Value, summed

GONE: Final = "nothing is known of this position any more"
NOT_READ: Final = "books not read yet"
NO_PRICE: Final = "no price"


@dataclass(slots=True)
class _Row:
    """One position as it was looked at last, and its cells."""

    beat: int = -1
    position: Position | None = None
    value: Value | None = None
    price: float | None = None
    move: Tone = Tone.NONE  # of the last price against the one before it
    said: tuple[Any, ...] = ()
    facts: Facts = field(default_factory=dict)


class Ledger:
    """Asks the position book at most once a refresh, however many tabs and cells show it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rows: dict[Key, _Row] = {}
        self._beat = 0
        self._total: Facts | None = None
        self._sum: Value | None = None
        self._letter = "W" if not desk.world.is_mock else _mock_letter(desk)
        desk.positions.changes.subscribe(self._moved)

    def beat(self) -> Mapping[str, Any]:
        """Let everything be looked up anew; return the title of the tabs."""
        self._beat += 1
        self._total = self._sum = None
        return {"title": self._title()}

    def value(self, key: Key) -> Value | None:
        return self._look(key).value

    def row(self, key: Key) -> Facts:
        """Return what is shown of one position; the same object while nothing has changed."""
        return self._look(key).facts

    def total(self) -> Facts:
        """Return the day's P&L over all accounts."""
        if self._total is None:
            parts = self._parts(words.key_of(p) for p in self._desk.positions.positions())
            self._total = self._facts(parts, self._summed())
        return self._total

    def sum(self, keys: Iterable[Key]) -> Facts:
        """Return the subtotal of some positions."""
        parts = self._parts(keys)
        return self._facts(parts, summed(parts))

    # inside

    def _moved(self, moved: PositionMoved) -> None:
        self._rows.pop(words.key_of(moved.after), None)
        self._total = self._sum = None

    def _summed(self) -> Value:
        if self._sum is None:
            self._sum = self._desk.positions.total()
        return self._sum

    def _parts(self, keys: Iterable[Key]) -> list[Part]:
        rows = (self._look(key) for key in keys)
        return [(r.position, r.value) for r in rows if r.position and r.value]

    def _look(self, key: Key) -> _Row:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        if row.beat != self._beat:
            row.beat = self._beat
            self._read(key, row)
        return row

    def _read(self, key: Key, row: _Row) -> None:
        desk = self._desk
        position = row.position = desk.positions.get(*key)
        if position is None:
            row.value, row.facts = None, _gone()
            return
        value = row.value = desk.positions.value(position)
        mark = desk.marks.of(position.instrument_key) if position.quantity else None
        backing, price = self._backing(position, mark)
        said = (position, value.realised, value.unrealised, value.reason, price, backing)
        if said == row.said:
            return
        row.said = said
        if row.price is not None and price is not None and price != row.price:
            row.move = Tone.UP if price > row.price else Tone.DOWN
        row.price = price
        row.facts = self._written(row, position, value, backing)

    def _written(self, row: _Row, position: Position, value: Value, backing: Backing) -> Facts:
        why = value.reason
        price = Shown(fmt.DASH, Tone.NONE, why) if position.quantity else Shown("")
        if row.price is not None:
            price = Shown(fmt.price(row.price), row.move, why)
        instrument = self._desk.catalogue.get(position.instrument_key)
        return {
            "lots": words.lots(position, instrument),
            "average": words.average(position),
            "ltp": price,
            "trust": backing,
            "realised": _gained(value.realised, why),
            "unrealised": _gained(value.unrealised, why) if position.quantity else Shown(""),
            "total": _gained(value.total, why),
            "percent": words.percent(position, value),
            "note": Shown(words.note(position), Tone.WARN),
        }

    def _backing(self, position: Position, mark: Mark | None) -> tuple[Backing, float | None]:
        """Return what the row's value rests on, and the price to show: the mark or the last tick.

        The last tick is shown without a mark, too: the browser draws it as stale by its age.
        """
        key = position.instrument_key
        segment = segment_of(key)
        if not position.quantity:
            return Backing(None, "", segment), None
        now = self._desk.clock.monotonic()
        if mark is not None:
            letter = "R" if mark.source == "R" else self._letter
            return Backing(round(now - mark.age, 3), letter, segment, mark.ltt), mark.price
        tick = self._desk.market_data.last(key)
        if tick is None or not tick.ltp > 0:
            return Backing(None, "", segment, said=NO_PRICE), None
        moment = round(tick.price_received, 3)
        return Backing(moment, self._letter, segment, tick.ltt), tick.ltp

    def _facts(self, parts: list[Part], value: Value) -> Facts:
        return {
            "total": words.summed_gain(value.total, value),
            "realised": words.summed_gain(value.realised, value),
            "unrealised": words.summed_gain(value.unrealised, value),
            "trust": self._sum_backing(parts, value),
        }

    def _sum_backing(self, parts: list[Part], value: Value) -> Backing:
        open_keys = [p.instrument_key for p, _ in parts if p.quantity]
        said = words.shortfall(parts)
        if not said and not value.complete:
            said = NOT_READ
        now = self._desk.clock.monotonic()
        moment = None if value.as_of is None else round(now - value.as_of, 3)
        letters = value.sources.replace("W", self._letter)
        return Backing(moment, letters, self._segment(open_keys), said=said)

    def _segment(self, keys: list[str]) -> str:
        """Return a segment by which the sum is judged: one that trades, if there is one."""
        segments = sorted({segment_of(key) for key in keys}) or [""]
        now = self._desk.clock.now()
        is_open = self._desk.hours.is_open
        return next((s for s in segments if is_open(s, now)), segments[0])

    def _title(self) -> str:
        """Return `▲ +₹6,720 · NIFTY 24,012 · SIMULATED`, as the browser's tab shows it."""
        desk = self._desk
        value = self._summed()
        parts = []
        if value.total is not None and (value.total or desk.positions.positions()):
            parts.append(fmt.short_gain(value.total) if value.complete else _in_part(value))
        if desk.canaries:
            tick = desk.market_data.last(desk.canaries[0])
            instrument = desk.catalogue.get(desk.canaries[0])
            if tick is not None and instrument is not None and tick.ltp > 0:
                parts.append(f"{instrument.symbol} {fmt.number(tick.ltp, 0)}")
        return " · ".join([*parts, desk.world.word])


@lru_cache(REMEMBERED)
def _gained(paise: int | None, why: str) -> Shown:
    return words.gained(paise, why)


def _gone() -> Facts:
    names = ("lots", "average", "ltp", "realised", "unrealised", "total", "percent", "note")
    return {name: Shown(fmt.DASH, Tone.NONE, GONE) for name in names} | {
        "trust": Backing(None, "", "", said=GONE)
    }


def _in_part(value: Value) -> str:
    known = fmt.short_gain(value.total) if value.total is not None else fmt.DASH
    return f"✖ {known} in part"


def _mock_letter(desk: Desk) -> str:
    return "P" if desk.world.exchange == "replay" else "S"
