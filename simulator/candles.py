"""Minute candles from files, and a path of prices through each of them."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from simulator.tape import MINUTE

COLUMNS: Final = ("instrument_key", "timestamp", "open", "high", "low", "close")
CORNERS: Final = 4  # a path's open, first extreme, second extreme and close


@dataclass(frozen=True, slots=True)
class Candle:
    """One minute of one instrument; `start` in epoch ms, volume 0 for an index."""

    instrument_key: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: int


class Point(NamedTuple):
    """A price on the way through a candle; sorts by time."""

    at: int
    instrument_key: str
    price: float
    volume: int


def read_candles(path: Path) -> list[Candle]:
    """Read a CSV of minute candles.

    Raises ValueError, with the file and the line, for what cannot be read or cannot be true.
    """
    return [candle for _, candle in _numbered(path)]


def _numbered(path: Path) -> list[tuple[int, Candle]]:
    rows = csv.DictReader(_text_of(path).splitlines(keepends=True), strict=True)
    candles: list[tuple[int, Candle]] = []
    try:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"the header has no column {', '.join(missing)}")
        for row in rows:
            candles.append((rows.line_num, _candle(row)))  # noqa: PERF401 - kept for the error
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num + 1}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}, line {max(1, rows.line_num)}: {error}") from error
    if not candles:
        raise ValueError(f"{path}, line 1: no candles after the header")
    return candles


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: it is not text: {error.reason}") from error


def _candle(row: Mapping[str, str | None]) -> Candle:
    candle = Candle(
        instrument_key=_text(row, "instrument_key"),
        start=_minute(_text(row, "timestamp")),
        open=_price(row, "open"),
        high=_price(row, "high"),
        low=_price(row, "low"),
        close=_price(row, "close"),
        volume=_volume(row.get("volume")),
    )
    if not candle.low <= min(candle.open, candle.close):
        raise ValueError(f"the low {candle.low} is above the open or the close")
    if not candle.high >= max(candle.open, candle.close):
        raise ValueError(f"the high {candle.high} is below the open or the close")
    return candle


def _text(row: Mapping[str, str | None], name: str) -> str:
    text = row.get(name)
    if not text:
        raise ValueError(f"{name} is missing")
    return text


def _price(row: Mapping[str, str | None], name: str) -> float:
    text = _text(row, name)
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        raise ValueError(f"{name} is not a price: {text!r}")
    return price


def _volume(text: str | None) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise ValueError(f"volume is not a quantity: {text!r}")
    return int(text)


def _minute(text: str) -> int:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"timestamp is not a time: {text!r}") from None
    if stamp.tzinfo is None:
        raise ValueError(f"timestamp has no time zone: {text!r}")
    start = round(stamp.timestamp() * 1000)
    if start % MINUTE:
        raise ValueError(f"timestamp is not the start of a minute: {text!r}")
    return start


def by_minute(files: Iterable[Path]) -> dict[int, list[Candle]]:
    """Read several files and return their candles by minute, in order of time.

    Raises ValueError as `read_candles`, and for an instrument that has a minute twice.
    """
    minutes: dict[int, dict[str, Candle]] = {}
    for path in files:
        for line, candle in _numbered(path):
            minute = minutes.setdefault(candle.start, {})
            if candle.instrument_key in minute:
                raise ValueError(
                    f"{path}, line {line}: {candle.instrument_key} has this minute already"
                )
            minute[candle.instrument_key] = candle
    return {start: list(minutes[start].values()) for start in sorted(minutes)}


def points(candle: Candle, *, count: int, tick: int, random: Random) -> list[Point]:
    """Return a path that makes exactly this candle again, in `count` points or 4 if that is more.

    It opens on the minute, goes to the low first if the candle rose and to the high first if it
    fell, and closes within the minute. `tick` is the grid in paise of the points between.
    """
    prices = _prices(candle, max(count, CORNERS), tick, random)
    later = sorted(random.sample(range(1, MINUTE), len(prices) - 1))
    volumes = _shares(candle.volume, len(prices), random)
    return [
        Point(candle.start + at, candle.instrument_key, price, volume)
        for at, price, volume in zip([0, *later], prices, volumes, strict=True)
    ]


def _prices(candle: Candle, count: int, tick: int, random: Random) -> list[float]:
    rose = candle.close >= candle.open
    turns = (candle.low, candle.high) if rose else (candle.high, candle.low)
    corners = (candle.open, *turns, candle.close)
    between = count - CORNERS
    legs = [between // 3 + (leg < between % 3) for leg in range(3)]
    path = [candle.open]
    for leg, (begin, end) in enumerate(pairwise(corners)):
        path += _leg(candle, begin, end, legs[leg], tick, random)
        path.append(end)
    return path


def _leg(
    candle: Candle, begin: float, end: float, count: int, tick: int, random: Random
) -> list[float]:
    """Return noisy points on the way between two corners, none outside the candle."""
    noise = 0.08 * (candle.high - candle.low)
    found = []
    for nth in range(1, count + 1):
        price = begin + (end - begin) * nth / (count + 1) + random.uniform(-noise, noise)
        on_grid = round(price * 100 / tick) * tick / 100
        found.append(min(max(on_grid, candle.low), candle.high))
    return found


def _shares(total: int, count: int, random: Random) -> list[int]:
    """Split a volume over the points: each gets some as long as it lasts, and the sum is exact."""
    sure = 1 if total >= count else 0
    left = total - sure * count
    cuts = sorted(random.randint(0, left) for _ in range(count - 1))
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, left], strict=True)]
    return [sure + part for part in parts]
