"""What the day does to a paper account: closes, square-off, expiry. Pure judgement."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from trading.hours import IST, Phase, Session, TradingHours
from trading.model import Instrument, InstrumentType, segment_of
from trading.order import Side
from trading.paper_book import Row
from trading.paper_margin import intrinsic

DAY: Final = timedelta(days=1)
SETTLED: Final = "settled at expiry"  # how the message of an order begins that ends an expired one
AROUND_THE_CLOSE: Final = timedelta(minutes=15)  # how old the price may be that settles an expiry


def ist_date(at: datetime) -> date:
    return at.astimezone(IST).date()


class Sessions:
    """When segments trade, remembered by day: a fill must not wait for the calendar's tables."""

    def __init__(self, hours: TradingHours) -> None:
        self._hours = hours
        self._rules = hours.rules
        self._known: dict[tuple[str, date], tuple[Session, ...]] = {}

    def is_open(self, segment: str, at: datetime) -> bool:
        today = ist_date(at)
        return any(
            session.start <= at < session.end
            for day in (today, today - DAY)  # one may reach past midnight
            for session in self._on(segment, day)
        )

    def close_of(self, segment: str, day: date) -> datetime | None:
        """Return when the last session that begins on this IST date ends, None without one."""
        return max((session.end for session in self._on(segment, day)), default=None)

    def is_over(self, instrument_key: str, placed: datetime, now: datetime) -> bool:
        """Return whether a day order of that moment has come to the end of its day."""
        closes = self.close_of(segment_of(instrument_key), ist_date(placed))
        return closes is None or now >= closes

    def may_trade(self, instrument_key: str, placed: datetime, now: datetime) -> bool:
        """Return whether an order can be filled now."""
        if not self.is_open(segment_of(instrument_key), now):
            return False
        return not self.is_over(instrument_key, placed, now)

    def squares_off(self, segment: str, now: datetime, before: timedelta) -> datetime | None:
        """Return when intraday positions are closed today, None without a session."""
        closes = self.close_of(segment, ist_date(now))
        return None if closes is None else closes - before

    def must_square_off(
        self, row: Row, instrument_key: str, now: datetime, before: timedelta
    ) -> bool:
        """Return whether an intraday row has to be closed now.

        One that was carried over was missed: the desk was not running when its time came.
        """
        segment = segment_of(instrument_key)
        if not row.quantity or not self.is_open(segment, now):
            return False
        due = self.squares_off(segment, now, before)
        return row.overnight_quantity != 0 or (due is not None and now >= due)

    def expired_at(self, instrument: Instrument, now: datetime) -> datetime | None:
        """Return when a contract stopped trading for good, None while it has not."""
        expiry = instrument.expiry
        if expiry is None or ist_date(now) < expiry:
            return None
        midnight = datetime.combine(expiry + DAY, time(), IST).astimezone(UTC)
        closes = self.close_of(instrument.segment, expiry) or midnight
        return closes if now >= closes else None

    def _on(self, segment: str, day: date) -> tuple[Session, ...]:
        if self._hours.rules is not self._rules:
            self._rules = self._hours.rules
            self._known.clear()
        known = self._known.get((segment, day))
        if known is None:
            found = self._hours.sessions(segment, day)
            known = tuple(session for session in found if session.phase is Phase.OPEN)
            self._known[segment, day] = known
        return known


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
    words = f"{SETTLED}: {worth} {price:.2f}, {name} at {level:.2f}"
    return Settlement(side, abs(row.quantity), price, words)
