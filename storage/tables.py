"""The tables of the desk, and nothing but the tables.

Times are integer epoch milliseconds in UTC, prices are REAL rupees as on the wire, and what nobody
told us is NULL. What a simulated exchange made up lives in rows of its own: an instrument of
the simulated market has another id than the real one of the same key, so that its ticks and
candles cannot meet, and `is_mock` is repeated wherever a person would look.

This file describes the newest schema; `migrations/` leads older files to it.
"""

from datetime import date, time
from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

# Named before the first table: SQLite can only drop a constraint that has a name.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

METADATA: Final = SQLModel.metadata
SOURCES: Final = ("default", "broker", "trader")  # the later prevails
# literally as in the query, else SQLite does not see that the small index holds all of them
GAP_IS_UNFILLED: Final = "(ended IS NOT NULL AND filled IS NULL)"


def _source_is_known() -> CheckConstraint:
    return CheckConstraint(f"source IN {SOURCES}", name="source")


class InstrumentRow(SQLModel, table=True):
    """One instrument of one world; the id is for ever, because ticks and candles point to it.

    `master` is the number of the last instrument master that named it: 0 for a key that only
    ticks told us about. `words` is what the search reads.
    """

    __tablename__ = "instruments"
    __table_args__ = (UniqueConstraint("instrument_key", "is_mock"),)

    id: int | None = Field(default=None, primary_key=True)
    instrument_key: str
    is_mock: bool
    master: int = 0
    segment: str
    type: str
    symbol: str
    name: str
    exchange_token: str = ""
    isin: str = ""
    lot_size: int = 1
    tick_size: float = 0.05
    freeze_quantity: int = 0
    underlying_key: str = ""
    underlying_symbol: str = ""
    expiry: date | None = None
    strike: float | None = None
    weekly: bool = False
    words: str = ""


class QuoteTickRow(SQLModel, table=True):
    """One tick as it was published.

    No foreign key here: it costs 9 % of the insert and the ids come from one place only. Ids
    grow with the time of arrival, which is what retention goes by; within one batch (at most
    250 ms or 10,000 rows) they are grouped by instrument, because
    that halves the work on the index.
    """

    __tablename__ = "quote_ticks"
    __table_args__ = (Index(None, "instrument_id", "exchange_ts"),)

    id: int | None = Field(default=None, primary_key=True)
    instrument_id: int
    received: int  # the desk's clock
    exchange_ts: int | None
    ltp: float | None
    ltt: int | None
    ltq: int | None
    close: float | None
    bid: float | None
    bid_qty: int | None
    ask: float | None
    ask_qty: int | None
    volume: int | None
    oi: float | None
    iv: float | None
    delta: float | None
    theta: float | None
    gamma: float | None
    vega: float | None
    is_mock: bool
    parts: int | None  # model.Part: what was known of it; NULL before revision 0002


class CandleRow(SQLModel, table=True):
    """One minute of one instrument, clustered by its key: a chart's read is one range scan."""

    __tablename__ = "candles"
    __table_args__ = {"sqlite_with_rowid": False}

    instrument_id: int = Field(
        sa_column=Column(Integer, ForeignKey("instruments.id"), primary_key=True)
    )
    start: int = Field(primary_key=True)
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    complete: bool
    is_mock: bool


class FeedGapRow(SQLModel, table=True):
    """A hole in a feed; `ended` is NULL while it is open, `filled` until somebody tried to fill it.

    `rate` is ticks per second in the last minute before it.
    """

    __tablename__ = "feed_gaps"
    __table_args__ = (
        Index(None, "feed", "started"),
        Index("ix_feed_gaps_unfilled", "feed", "started", sqlite_where=text(GAP_IS_UNFILLED)),
    )

    id: int | None = Field(default=None, primary_key=True)
    feed: str
    started: int
    ended: int | None = None
    reason: str
    is_mock: bool
    # behind, because they came with revision 0004
    rate: float | None = None
    instruments: int | None = None
    ticks_missed: int | None = None
    filled: int | None = None
    fill_words: str | None = None


class WatchlistRow(SQLModel, table=True):
    __tablename__ = "watchlist"

    is_mock: bool = Field(primary_key=True)
    position: int = Field(primary_key=True)
    instrument_key: str


class HoursTemplateRow(SQLModel, table=True):
    """A session of ordinary days; IST, weekdays as digits with 0 for Monday."""

    __tablename__ = "hours_templates"
    __table_args__ = (_source_is_known(),)

    id: int | None = Field(default=None, primary_key=True)
    segment: str
    phase: str
    start: time
    end: time
    weekdays: str
    valid_from: date
    valid_to: date
    source: str


class HolidayRow(SQLModel, table=True):
    __tablename__ = "holidays"
    __table_args__ = (UniqueConstraint("day", "segment", "source"), _source_is_known())

    id: int | None = Field(default=None, primary_key=True)
    day: date
    segment: str
    name: str
    source: str


class SpecialSessionRow(SQLModel, table=True):
    __tablename__ = "special_sessions"
    __table_args__ = (Index(None, "day", "segment"), _source_is_known())

    id: int | None = Field(default=None, primary_key=True)
    day: date
    segment: str
    phase: str
    start: time
    end: time
    name: str
    source: str


class DeskStateRow(SQLModel, table=True):
    """Small facts that outlive the process; see `journal.Fact` for their names."""

    __tablename__ = "desk_state"

    name: str = Field(primary_key=True)
    is_mock: bool = Field(primary_key=True)
    value: int
