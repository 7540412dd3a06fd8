"""The broker's instruments master: packed JSON in, instruments out, bad rows counted."""

import codecs
import json
import math
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

from trading.errors import BadAnswer
from trading.hours import IST
from trading.model import Instrument, InstrumentType

PAISE: Final = 100  # tick sizes come in paise: 5.0 is Rs 0.05
PIECE: Final = 1 << 20  # bytes unpacked at a time; the complete list is some 60 MB
LARGEST_ROW: Final = 1 << 20  # characters; a row has some 500

_SPACE: Final = re.compile(r"[\s,]*")
_TYPES: Final = {type.value: type for type in InstrumentType}


class Master:
    """An instruments master being read: iterate it once, then look at the counts.

    `unknown` are rows of a type that the desk does not trade (bonds, currencies' spot ...),
    `bad` rows that could not be read. Iterating raises BadAnswer if the file is no master at all.
    """

    def __init__(self, packed: bytes) -> None:
        self.unknown = 0
        self.bad = 0
        self._packed = packed

    def __iter__(self) -> Iterator[Instrument]:
        for row in _rows(self._packed):
            try:
                instrument = _instrument(row)
            except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
                self.bad += 1
                continue
            if instrument is None:
                self.unknown += 1
            else:
                yield instrument


def _rows(packed: bytes) -> Iterator[Any]:
    """Read row by row: the whole list as Python objects would take half a gigabyte."""
    decoder = json.JSONDecoder()
    text, at, begun, ended = "", 0, False, False
    for more in _texts(packed):
        text, at = text[at:] + more, 0
        if not begun:
            at = _past(text, at, "[")
            begun = True
        while not ended:
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too
            if text.startswith("]", at):
                ended = True
                break
            try:
                row, at = decoder.raw_decode(text, at)
            except ValueError:
                break  # the rest of the row is still to come
            except RecursionError as error:
                raise BadAnswer("instruments master: a row without end") from error
            yield row
        if len(text) - at > LARGEST_ROW:
            break
    if not ended:
        raise BadAnswer("instruments master: cut off, or not a list")


def _past(text: str, at: int, opening: str) -> int:
    found = text.find(opening, at)
    if found < 0 or text[at:found].strip("\ufeff \r\n\t"):
        raise BadAnswer("instruments master: not a list")
    return found + 1


def _texts(packed: bytes) -> Iterator[str]:
    """Unpack in pieces, unless a proxy has unpacked it already."""
    text = codecs.getincrementaldecoder("utf-8")("replace")
    if packed[:2] != b"\x1f\x8b":
        yield text.decode(packed)
        return
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while packed and not stream.eof:
        try:
            piece = stream.decompress(packed, PIECE)
        except zlib.error as error:
            raise BadAnswer("instruments master: it cannot be unpacked") from error
        packed = stream.unconsumed_tail
        yield text.decode(piece)


def _instrument(row: dict[str, Any]) -> Instrument | None:
    """Return the instrument, or None for a type that we do not know."""
    kind = _TYPES.get(row["instrument_type"])
    if kind is None:
        return None
    key, segment = row["instrument_key"], row["segment"]
    if not key.startswith(f"{segment}|"):
        raise ValueError("the key is of another segment")
    derivative = kind not in (InstrumentType.INDEX, InstrumentType.EQUITY)
    option = kind in (InstrumentType.CALL, InstrumentType.PUT)
    return Instrument(
        instrument_key=key,
        segment=segment,
        type=kind,
        symbol=str(row["trading_symbol"]),
        name=str(row.get("name") or row["trading_symbol"]),
        exchange_token=str(row.get("exchange_token") or ""),
        isin=str(row.get("isin") or ""),
        lot_size=_positive(row.get("lot_size") or 1),
        tick_size=_rupees(row.get("tick_size")),
        freeze_quantity=int(row.get("freeze_quantity") or 0),
        underlying_key=str(row.get("underlying_key") or ""),
        underlying_symbol=str(row.get("underlying_symbol") or ""),
        expiry=_day(row["expiry"]) if derivative else None,
        strike=_strike(row["strike_price"]) if option else None,
        weekly=bool(row.get("weekly")),
    )


def _positive(value: float) -> int:
    if value < 1:
        raise ValueError("a lot of nothing")
    return int(value)


def _rupees(paise: float | None) -> float:
    """Return the tick size in rupees; indices have none and show two decimals."""
    if not paise:
        return 0.01
    if not 0 < paise < math.inf:
        raise ValueError("no tick size")
    return round(paise / PAISE, 6)


def _strike(value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError("no strike")
    return float(value)


def _day(milliseconds: int) -> date:
    """Return the expiry date; the file has the last second of it in IST."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(IST).date()
