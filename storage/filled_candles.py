"""Minutes that others watched, put where ours are missing."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Final

from sqlalchemy import Connection

from storage.instrument_ids import InstrumentIds
from storage.writer import Writer
from trading.model import UNKNOWN_COUNT, Candle

CHUNK: Final = 400  # in one transaction: it holds the write lock for less than 10 ms
ROWS: Final = 100  # in one statement: the driver gives the interpreter up once for each
_HEAD: Final = """
    INSERT INTO candles (instrument_id, start, open, high, low, close, volume, ticks, complete,
        is_mock) VALUES """
_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, 1, ?)"
_TAIL: Final = """
    ON CONFLICT (instrument_id, start) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, ticks = max(ticks, excluded.ticks), complete = 1
    WHERE NOT complete"""


class FilledCandles:
    """Implements ports.CandleStore."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def fill(self, candles: Sequence[Candle]) -> int:
        """Write them; return how many were news.

        A whole minute of our own stays as it is, one that we saw a part of is replaced.
        """
        news = 0
        for first in range(0, len(candles), CHUNK):
            work = partial(_fill, candles=candles[first : first + CHUNK])
            news += await asyncio.wrap_future(self._writer.submit(work, durable=False))
        return news


def _fill(connection: Connection, candles: Sequence[Candle]) -> int:
    named = {(candle.instrument_key, candle.is_mock) for candle in candles}
    ids = InstrumentIds().look_up(connection, named)
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    rows = [
        (
            ids[candle.instrument_key, candle.is_mock],
            candle.start,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            None if candle.volume == UNKNOWN_COUNT else candle.volume,
            candle.ticks,
            candle.is_mock,
        )
        for candle in candles
    ]
    for first in range(0, len(rows), ROWS):
        part = rows[first : first + ROWS]
        statement = f"{_HEAD}{', '.join([_ROW] * len(part))}{_TAIL}"
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one() - before)
