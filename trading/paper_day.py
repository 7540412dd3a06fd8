"""What the day does to a paper account: closes, square-off, expiry. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from trading.hours import IST, Phase, TradingHours
from trading.model import Instrument, InstrumentType, segment_of
from trading.order import Side
from trading.paper_book import Row
from trading.paper_margin import intrinsic

AROUND_THE_CLOSE: Final = timedelta(minutes=15)  # how old the price may be that settles an expiry


def ist_date(at: datetime) -> date:
    return at.astimezone(IST).date()


def close_of(hours: TradingHours, segment: str, day: date) -> datetime | None:
    """Return when the last session that begins on this IST date ends, None if there is none."""
    ends = [s.end for s in hours.sessions(segment, day) if s.phase is Phase.OPEN]
    return max(ends, default=None)


def is_over(hours: TradingHours, instrument_key: str, placed: datetime, now: datetime) -> bool:
    """Return whether a day order of that moment has come to the end of its day."""
    closes = close_of(hours, segment_of(instrument_key), ist_date(placed))
    return closes is None or now >= closes


def squares_off(
    hours: TradingHours, segment: str, now: datetime, before: timedelta
) -> datetime | None:
    """Return when intraday positions of this segment are closed today, None without a session."""
    closes = close_of(hours, segment, ist_date(now))
    return None if closes is None else closes - before


def must_square_off(
    row: Row, hours: TradingHours, instrument_key: str, now: datetime, before: timedelta
) -> bool:
    """Return whether an intraday row has to be closed now.

    One that was carried over was missed: the desk was not running when its time came.
    """
    segment = segment_of(instrument_key)
    if not row.quantity or not hours.is_open(segment, now):
        return False
    due = squares_off(hours, segment, now, before)
    return row.overnight_quantity != 0 or (due is not None and now >= due)


def expired_at(hours: TradingHours, instrument: Instrument, now: datetime) -> datetime | None:
    """Return when a contract stopped trading for good, None while it has not."""
    if instrument.expiry is None or ist_date(now) < instrument.expiry:
        return None
    midnight = datetime.combine(instrument.expiry + timedelta(days=1), time(), IST)
    closes = close_of(hours, instrument.segment, instrument.expiry) or midnight.astimezone(UTC)
    return closes if now >= closes else None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an expired position ends: rupees a unit, on this side, and why."""

    side: Side
    quantity: int
    price: float
    words: str


def settlement(
    instrument: Instrument, row: Row, level: float, traded: datetime, closed: datetime
) -> Settlement | str:
    """Return how a position ends with its underlying at `level` (NaN unknown), or why not yet."""
    name = instrument.underlying_symbol or instrument.underlying_key or instrument.name
    if not level > 0:
        return f"expired, and no price of {name} is known: it stays open"
    if traded < closed - AROUND_THE_CLOSE:
        return f"expired, and the last price of {name} is older than its close: it stays open"
    side = Side.SELL if row.quantity > 0 else Side.BUY
    price = round(intrinsic(instrument, level), 2)
    worth = "the level" if instrument.type is InstrumentType.FUTURE else "intrinsic value"
    words = f"settled at expiry: {worth} {price:.2f}, {name} at {level:.2f}"
    return Settlement(side, abs(row.quantity), price, words)
