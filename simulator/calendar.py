"""When the simulated exchange trades, and the answers of its holiday, timing and status calls."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

IST: Final = ZoneInfo("Asia/Kolkata")
CAS_BEGIN: Final = date(2026, 8, 3)  # closing auction in shares, derivatives until 15:40


class MarketStatus(StrEnum):
    """The wire's names of a segment's status."""

    PRE_OPEN_START = "PRE_OPEN_START"
    PRE_OPEN_END = "PRE_OPEN_END"
    NORMAL_OPEN = "NORMAL_OPEN"
    NORMAL_CLOSE = "NORMAL_CLOSE"
    CLOSING_START = "CLOSING_START"
    CLOSING_END = "CLOSING_END"
    CTS_CLOSE = "CTS_CLOSE"  # this one and the next three only in a closing auction
    CAS_LM_START = "CAS_LM_START"
    CAS_M_STOP = "CAS_M_STOP"
    CAS_STOP = "CAS_STOP"


class HolidayType(StrEnum):
    TRADING = "TRADING_HOLIDAY"
    SETTLEMENT = "SETTLEMENT_HOLIDAY"
    SPECIAL = "SPECIAL_TIMING"


@dataclass(frozen=True, slots=True)
class Timetable:
    """An exchange's ordinary day from a date on: the status that begins at each time, IST."""

    exchange: str
    rows: tuple[tuple[time, MarketStatus], ...]
    valid_from: date = date.min


@dataclass(frozen=True, slots=True)
class Span:
    """A declared session of one exchange; with `end` at midnight it lasts until the day's end."""

    exchange: str
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Listed:
    """A date of the holiday list: which exchanges are closed, and which trade at other hours."""

    day: date
    description: str
    closed: tuple[str, ...]
    opened: tuple[Span, ...] = ()
    holiday_type: HolidayType = HolidayType.TRADING


SEGMENTS: Final = {
    "NSE_EQ": "NSE",
    "NSE_INDEX": "NSE",
    "NSE_FO": "NFO",
    "NCD_FO": "CDS",
    "BSE_EQ": "BSE",
    "BSE_INDEX": "BSE",
    "BSE_FO": "BFO",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "MCX_INDEX": "MCX",
    "NSE_COM": "NSCOM",
}
EXCHANGES: Final = ("NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NSCOM")


def _shares(exchange: str) -> Timetable:
    return Timetable(
        exchange,
        (
            (time(9, 0), MarketStatus.PRE_OPEN_START),
            (time(9, 8), MarketStatus.PRE_OPEN_END),
            (time(9, 15), MarketStatus.NORMAL_OPEN),
            (time(15, 30), MarketStatus.NORMAL_CLOSE),
            (time(15, 40), MarketStatus.CLOSING_START),
            (time(16, 0), MarketStatus.CLOSING_END),
        ),
    )


def _plain(exchange: str, opens: time, closes: time, valid_from: date = date.min) -> Timetable:
    rows = ((opens, MarketStatus.NORMAL_OPEN), (closes, MarketStatus.NORMAL_CLOSE))
    return Timetable(exchange, rows, valid_from)


TIMETABLES: Final = (
    _shares("NSE"),
    _shares("BSE"),
    _plain("NFO", time(9, 15), time(15, 30)),
    _plain("NFO", time(9, 15), time(15, 40), CAS_BEGIN),
    _plain("BFO", time(9, 15), time(15, 30)),
    _plain("BFO", time(9, 15), time(15, 40), CAS_BEGIN),
    _plain("CDS", time(9, 0), time(17, 0)),
    _plain("BCD", time(9, 0), time(17, 0)),
    _plain("MCX", time(9, 0), time(23, 30)),
    _plain("NSCOM", time(9, 0), time(23, 30)),
)

# What shares that have derivatives do; 15:15 and 15:35 are announced, the times between assumed.
CAS_TIMETABLE: Final = Timetable(
    "NSE",
    (
        (time(9, 0), MarketStatus.PRE_OPEN_START),
        (time(9, 8), MarketStatus.PRE_OPEN_END),
        (time(9, 15), MarketStatus.NORMAL_OPEN),
        (time(15, 15), MarketStatus.CTS_CLOSE),
        (time(15, 20), MarketStatus.CAS_LM_START),
        (time(15, 30), MarketStatus.CAS_M_STOP),
        (time(15, 35), MarketStatus.CAS_STOP),
    ),
    CAS_BEGIN,
)

SECURITIES: Final = ("NSE", "NFO", "CDS", "BSE", "BFO", "BCD")
SHARES: Final = ("NSE", "NFO", "BSE", "BFO")
COMMODITIES: Final = ("MCX", "NSCOM")


def _spans(exchanges: Iterable[str], start: time, end: time) -> tuple[Span, ...]:
    return tuple(Span(exchange, start, end) for exchange in exchanges)


def _evening(day: date, description: str) -> Listed:
    """A holiday of shares and currencies on which commodities trade in the evening."""
    return Listed(day, description, SECURITIES, _spans(COMMODITIES, time(17, 0), time(23, 30)))


def _shut(day: date, description: str) -> Listed:
    return Listed(day, description, SECURITIES + COMMODITIES)


def _muhurat(day: date, start: time, end: time) -> Listed:
    opened = _spans((*SHARES, "CDS", "BCD", *COMMODITIES), start, end)
    return Listed(day, "Diwali Laxmi Pujan (Muhurat trading)", (), opened, HolidayType.SPECIAL)


def _weekend(day: date, description: str, *spans: tuple[time, time]) -> Listed:
    """A Saturday or Sunday on which shares trade; the broker lists it as a trading holiday too."""
    opened = tuple(span for start, end in spans for span in _spans(SHARES, start, end))
    return Listed(day, description, ("CDS", "BCD", *COMMODITIES), opened)


def _new_year(year: int) -> Listed:
    """Nothing is closed, only commodities stop in the afternoon, and yet it is listed so."""
    return Listed(
        date(year, 1, 1), "New Year Day", (), _spans(COMMODITIES, time(9, 0), time(17, 0))
    )


_FULL = (time(9, 15), time(15, 30))
_SWITCH = ((time(9, 15), time(10, 0)), (time(11, 30), time(12, 30)))  # to the recovery site

LISTED: Final = (
    _new_year(2024),
    _weekend(date(2024, 1, 20), "Special session in place of 22 January", _FULL),
    _evening(date(2024, 1, 22), "Special holiday"),
    _shut(date(2024, 1, 26), "Republic Day"),
    _weekend(date(2024, 3, 2), "Disaster recovery session", *_SWITCH),
    _evening(date(2024, 3, 8), "Mahashivratri"),
    _evening(date(2024, 3, 25), "Holi"),
    _shut(date(2024, 3, 29), "Good Friday"),
    _evening(date(2024, 4, 11), "Id-Ul-Fitr"),
    _evening(date(2024, 4, 17), "Shri Ram Navami"),
    _evening(date(2024, 5, 1), "Maharashtra Day"),
    _weekend(date(2024, 5, 18), "Disaster recovery session", *_SWITCH),
    _evening(date(2024, 5, 20), "General Parliamentary Elections"),
    _evening(date(2024, 6, 17), "Bakri Id"),
    _evening(date(2024, 7, 17), "Moharram"),
    _shut(date(2024, 8, 15), "Independence Day"),
    _shut(date(2024, 10, 2), "Mahatma Gandhi Jayanti"),
    _muhurat(date(2024, 11, 1), time(18, 0), time(19, 0)),
    _evening(date(2024, 11, 15), "Gurunanak Jayanti"),
    _evening(date(2024, 11, 20), "Maharashtra Assembly Elections"),
    _shut(date(2024, 12, 25), "Christmas"),
    _new_year(2025),
    _weekend(date(2025, 2, 1), "Union Budget", _FULL),
    Listed(
        date(2025, 2, 19),
        "Chhatrapati Shivaji Maharaj Jayanti",
        ("CDS", "BCD"),
        holiday_type=HolidayType.SETTLEMENT,
    ),
    _evening(date(2025, 2, 26), "Mahashivratri"),
    _evening(date(2025, 3, 14), "Holi"),
    _evening(date(2025, 3, 31), "Id-Ul-Fitr"),
    _evening(date(2025, 4, 10), "Shri Mahavir Jayanti"),
    _evening(date(2025, 4, 14), "Dr. Baba Saheb Ambedkar Jayanti"),
    _shut(date(2025, 4, 18), "Good Friday"),
    _evening(date(2025, 5, 1), "Maharashtra Day"),
    _shut(date(2025, 8, 15), "Independence Day"),
    _evening(date(2025, 8, 27), "Ganesh Chaturthi"),
    _shut(date(2025, 10, 2), "Mahatma Gandhi Jayanti, Dussehra"),
    _muhurat(date(2025, 10, 21), time(13, 45), time(14, 45)),
    _evening(date(2025, 10, 22), "Diwali Balipratipada"),
    _evening(date(2025, 11, 5), "Gurunanak Jayanti"),
    _shut(date(2025, 12, 25), "Christmas"),
    _new_year(2026),
    _evening(date(2026, 1, 15), "Municipal Corporation Elections"),
    _shut(date(2026, 1, 26), "Republic Day"),
    _weekend(date(2026, 2, 1), "Union Budget", _FULL),
    _evening(date(2026, 3, 3), "Holi"),
    _evening(date(2026, 3, 26), "Shri Ram Navami"),
    _evening(date(2026, 3, 31), "Shri Mahavir Jayanti"),
    _shut(date(2026, 4, 3), "Good Friday"),
    _evening(date(2026, 4, 14), "Dr. Baba Saheb Ambedkar Jayanti"),
    _evening(date(2026, 5, 1), "Maharashtra Day"),
    _evening(date(2026, 5, 28), "Bakri Id"),
    _evening(date(2026, 6, 26), "Muharram"),
    _evening(date(2026, 9, 14), "Ganesh Chaturthi"),
    _shut(date(2026, 10, 2), "Mahatma Gandhi Jayanti"),
    _evening(date(2026, 10, 20), "Dussehra"),
    _muhurat(date(2026, 11, 8), time(13, 45), time(14, 45)),  # hours not announced, as in 2025
    _evening(date(2026, 11, 10), "Diwali Balipratipada"),
    _evening(date(2026, 11, 24), "Prakash Gurpurb Sri Guru Nanak Dev"),
    _shut(date(2026, 12, 25), "Christmas"),
)
_BY_DAY: Final = {listed.day: listed for listed in LISTED}


def epoch_ms(day: date, at: time, *, days: int = 0) -> int:
    """Return the epoch milliseconds of an Indian date and time."""
    return int(datetime.combine(day + timedelta(days), at, IST).timestamp() * 1000)


def day_of(now_ms: int) -> date:
    """Return the Indian date of a moment."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(IST).date()


def midnight_ms(now_ms: int) -> int:
    """Return the start of the Indian day of a moment, as the wire's day bar is stamped."""
    return epoch_ms(day_of(now_ms), time(0, 0))


def _span_ms(day: date, span: Span) -> tuple[int, int]:
    over = 1 if span.end <= span.start else 0
    return epoch_ms(day, span.start), epoch_ms(day, span.end, days=over)


def _statuses(day: date, timetable: Timetable) -> list[tuple[int, MarketStatus]]:
    return [(epoch_ms(day, at), status) for at, status in timetable.rows]


def _timetable(exchange: str, day: date) -> Timetable:
    valid = [t for t in TIMETABLES if t.exchange == exchange and t.valid_from <= day]
    return max(valid, key=lambda timetable: timetable.valid_from)


def _changes(
    exchange: str, day: date, listed: Listed | None = None
) -> list[tuple[int, MarketStatus]]:
    """Return the statuses that begin on a day, in order; none if the exchange does not trade.

    `listed` is what was declared of the day since the list was made.
    """
    listed = listed or _BY_DAY.get(day)
    if listed is not None:
        spans = [_span_ms(day, span) for span in listed.opened if span.exchange == exchange]
        if spans or exchange in listed.closed:
            return [
                change
                for start, end in spans
                for change in (
                    (start, MarketStatus.NORMAL_OPEN),
                    (end, MarketStatus.NORMAL_CLOSE),
                )
            ]
    return _statuses(day, _timetable(exchange, day)) if day.weekday() < 5 else []


def sessions(exchange: str, day: date, listed: Listed | None = None) -> list[tuple[int, int]]:
    """Return when an exchange trades on a day: start and end in epoch ms; `listed` as above."""
    changes = _changes(exchange, day, listed)
    opens = [i for i, (_, status) in enumerate(changes) if status is MarketStatus.NORMAL_OPEN]
    return [(changes[i][0], changes[i + 1][0]) for i in opens]


def trades_on(day: date, exchange: str = "NSE") -> bool:
    """Return whether an exchange has a session of ordinary length on a day."""
    return any(end - start >= 5 * 3_600_000 for start, end in sessions(exchange, day))


def previous_close(before_ms: int, exchange: str = "NSE") -> int:
    """Return when the last session ended that ended at or before a moment, epoch ms."""
    day = day_of(before_ms)
    for back in range(20):
        ended = [end for _, end in sessions(exchange, day - timedelta(back)) if end <= before_ms]
        if ended:
            return ended[-1]
    raise ValueError(f"{exchange}: no session in the 20 days before {day}")


def _since(changes: list[tuple[int, MarketStatus]], now_ms: int) -> tuple[int, MarketStatus]:
    """Return the status in force; before the day's first one it is closed since midnight."""
    begun = [change for change in changes if change[0] <= now_ms]
    return begun[-1] if begun else (midnight_ms(now_ms), MarketStatus.NORMAL_CLOSE)


class ExchangeCalendar:
    """Answers the calendar calls, either from the tables or as an exchange that never closes."""

    def __init__(self, always_open: bool) -> None:
        self.always_open = always_open
        self._declared: dict[date, Listed] = {}

    def declare(self, listed: Listed) -> None:
        """List a day, or list it otherwise, from now on: an extended session, for example."""
        self._declared[listed.day] = listed

    def status(self, exchange: str, now_ms: int) -> MarketStatus:
        """Return the status of an exchange or segment. Raises KeyError for an unknown one."""
        return self._status_since(exchange, now_ms)[1]

    def is_open(self, exchange: str, now_ms: int) -> bool:
        """Return whether an exchange or segment trades continuously."""
        return self.status(exchange, now_ms) is MarketStatus.NORMAL_OPEN

    def status_row(self, exchange: str, now_ms: int) -> dict[str, object]:
        """Return the data of `/v2/market/status/{exchange}`. Raises KeyError for an unknown one."""
        since, status = self._status_since(exchange, now_ms)
        row: dict[str, object] = {
            "exchange": exchange,
            "status": str(status),
            "last_updated": since,
        }
        if exchange == "NSE" and not self.always_open and day_of(now_ms) >= CAS_BEGIN:
            since, status = self._auction_since(now_ms)
            row["cas_eligible_status"] = {"status": str(status), "last_updated": since}
        return row

    def timings(self, day: date) -> list[dict[str, str | int]]:
        """Return the data of `/v2/market/timings/{date}`; an exchange that is closed has no row."""
        return [
            {"exchange": exchange, "start_time": start, "end_time": end}
            for exchange in EXCHANGES
            for start, end in self._sessions(exchange, day)
        ]

    def holidays(self, year: int) -> list[dict[str, object]]:
        """Return the data of `/v2/market/holidays` for a year."""
        if self.always_open:
            return []
        listed = _BY_DAY | self._declared
        return [_holiday_row(listed[day]) for day in sorted(listed) if day.year == year]

    def holidays_on(self, day: date) -> list[dict[str, object]]:
        """Return the data of `/v2/market/holidays/{date}`."""
        return [row for row in self.holidays(day.year) if row["date"] == day.isoformat()]

    def _sessions(self, exchange: str, day: date) -> list[tuple[int, int]]:
        if self.always_open:
            return [(epoch_ms(day, time(0, 0)), epoch_ms(day, time(0, 0), days=1))]
        return sessions(exchange, day, self._declared.get(day))

    def _status_since(self, exchange: str, now_ms: int) -> tuple[int, MarketStatus]:
        name = SEGMENTS.get(exchange, exchange)
        if name not in EXCHANGES:
            raise KeyError(exchange)
        if self.always_open:
            return midnight_ms(now_ms), MarketStatus.NORMAL_OPEN
        day = day_of(now_ms)
        return _since(_changes(name, day, self._declared.get(day)), now_ms)

    def _auction_since(self, now_ms: int) -> tuple[int, MarketStatus]:
        """Return what shares with a closing auction do; a special session has no auction."""
        day = day_of(now_ms)
        listed = self._declared.get(day)
        ordinary = day.weekday() < 5 and day not in _BY_DAY and listed is None
        changes = _statuses(day, CAS_TIMETABLE) if ordinary else _changes("NSE", day, listed)
        return _since(changes, now_ms)


def _holiday_row(listed: Listed) -> dict[str, object]:
    opened: list[dict[str, str | int]] = []
    for span in listed.opened:
        start, end = _span_ms(listed.day, span)
        opened.append({"exchange": span.exchange, "start_time": start, "end_time": end})
    return {
        "date": listed.day.isoformat(),
        "description": listed.description,
        "holiday_type": str(listed.holiday_type),
        "closed_exchanges": list(listed.closed),
        "open_exchanges": opened,
    }
