"""The hot statements, compiled from the tables, and the rows that go into them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, text
from sqlalchemy.dialects import sqlite

from storage.instrument_ids import Named
from storage.tables import METADATA
from trading.model import UNKNOWN_COUNT, Candle, Tick

Values = tuple[Any, ...]

# Columns of quote_ticks that are fields of a Tick under the same name.
_FIELDS: Final = (
    "exchange_ts", "ltp", "ltt", "ltq", "close", "bid", "bid_qty", "ask", "ask_qty", "volume",
    "oi", "iv", "delta", "theta", "gamma", "vega", "is_mock", "parts",
)  # fmt: skip
_COUNTS: Final = frozenset({"ltq", "bid_qty", "ask_qty", "volume"})
_MOMENTS: Final = frozenset({"exchange_ts", "ltt"})  # 0 where a frame did not say
_fields_of = itemgetter(*map(Tick._fields.index, _FIELDS))

# Rows in one statement. The driver gives the interpreter up once for each statement: beside a
# busy thread row by row falls from 190,000 rows/s to 300, this to 120,000 (2 cores, 3.11).
SIZES: Final = (500, 100, 20, 4, 1)


def tick_rows(ticks: Iterable[Tick], received_ms: int, ids: Mapping[Named, int]) -> list[Values]:
    return [
        (ids[tick.instrument_key, tick.is_mock], received_ms, *_fields_of(tick)) for tick in ticks
    ]


def insert_ticks(connection: Connection, rows: list[Values]) -> None:
    """Insert the rows, grouped by instrument: neighbours in the index are written together.

    The order of one instrument's ticks stays. Sorting makes it half as fast again.
    """
    rows.sort(key=itemgetter(0))
    _execute(connection, _INSERT_TICKS, rows)


def upsert_candles(
    connection: Connection, candles: Sequence[Candle], ids: Mapping[Named, int]
) -> None:
    """Write minutes; one that is there already is widened, and its open stays.

    A minute may be told twice, again after a late trade or in two parts around a restart: its
    volume is then the larger of both, never less than what was seen.
    """
    rows = [
        (
            ids[candle.instrument_key, candle.is_mock],
            candle.start,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.ticks,
            candle.complete,
            candle.is_mock,
        )
        for candle in candles
    ]
    _execute(connection, _UPSERT_CANDLES, rows)


def upsert_instruments(connection: Connection, rows: Sequence[Values]) -> None:
    """Write instruments (all columns but the id, in the table's order); a known key's id stays."""
    _execute(connection, _UPSERT_INSTRUMENTS, rows)


def _execute(connection: Connection, statements: Mapping[int, str], rows: Sequence[Values]) -> None:
    first = 0
    for size in SIZES:
        while len(rows) - first >= size:
            values = tuple(chain.from_iterable(rows[first : first + size]))
            connection.exec_driver_sql(statements[size], values)
            first += size


def _by_size(table: str, values: Mapping[str, Any], tail: str = "") -> dict[int, str]:
    """Compile the table's own insert of one row, then repeat its values for many."""
    columns = METADATA.tables[table].c
    assert list(values) == [c.name for c in columns if c.name in values], "bound by position"
    statement = str(insert(METADATA.tables[table]).values(values).compile(dialect=_DIALECT))
    head, _, row = statement.partition(" VALUES ")
    return {size: f"{head} VALUES {', '.join([row] * size)}{tail}" for size in SIZES}


def _value(name: str) -> Any:
    """Return a parameter that makes what is unknown NULL; NaN becomes NULL without our help."""
    value: Any = bindparam(name)
    if name in _COUNTS | _MOMENTS:
        value = func.nullif(value, text(str(UNKNOWN_COUNT)))
    return func.nullif(value, text("0")) if name in _MOMENTS else value


_DIALECT: Final = sqlite.dialect()
_INSERT_TICKS: Final = _by_size(
    "quote_ticks", {name: _value(name) for name in ("instrument_id", "received", *_FIELDS)}
)
_CANDLE: Final = ("instrument_id", "start", "open", "high", "low", "close", "volume", "ticks")
_UPSERT_CANDLES: Final = _by_size(
    "candles",
    {name: _value(name) for name in (*_CANDLE, "complete", "is_mock")},
    """ ON CONFLICT (instrument_id, start) DO UPDATE SET
        high = max(high, excluded.high), low = min(low, excluded.low), close = excluded.close,
        volume = max(coalesce(volume, excluded.volume), coalesce(excluded.volume, volume)),
        ticks = max(ticks, excluded.ticks), complete = min(complete, excluded.complete)""",
)
_INSTRUMENT: Final = tuple(c.name for c in METADATA.tables["instruments"].c if c.name != "id")
_UPSERT_INSTRUMENTS: Final = _by_size(
    "instruments",
    {name: bindparam(name) for name in _INSTRUMENT},
    " ON CONFLICT (instrument_key, is_mock) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _INSTRUMENT[2:]),
)
