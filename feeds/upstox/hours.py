"""The broker's calendar in the desk's words: which segment is closed, or open at special hours."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from feeds.upstox.answers import HolidayRow, Opening
from trading.errors import BadAnswer
from trading.hours import IST, Holiday, Phase, SpecialSession, TradingHours

# The calendar speaks of exchanges, everything else of segments.
SEGMENTS: Final = {
    "NSE": ("NSE_EQ", "NSE_INDEX"),
    "NFO": ("NSE_FO",),
    "CDS": ("NCD_FO",),
    "NSCOM": ("NSE_COM",),
    "BSE": ("BSE_EQ", "BSE_INDEX"),
    "BFO": ("BSE_FO",),
    "BCD": ("BCD_FO",),
    "MCX": ("MCX_FO", "MCX_INDEX"),
}


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the broker declared; `skipped` counts lines that could not be read."""

    holidays: tuple[Holiday, ...]
    specials: tuple[SpecialSession, ...]
    skipped: int


def calendar(rows: Iterable[HolidayRow]) -> Calendar:
    """Decide for each exchange from the two lists alone.

    `holiday_type` is not looked at: the broker calls 1 January, on which nothing is closed, and
    a Saturday session both a trading holiday. A listed weekend date can be a trading day.
    """
    holidays: list[Holiday] = []
    specials: list[SpecialSession] = []
    skipped = 0
    for row in rows:
        try:
            day = date.fromisoformat(row.day)
            sessions = list(_sessions(day, row.open, row.description))
        except (ValueError, OverflowError, OSError):
            skipped += 1
            continue
        opened = {session.segment for session in sessions}
        closed = [s for name in row.closed for s in SEGMENTS.get(name, ()) if s not in opened]
        holidays += [Holiday(day, segment, row.description) for segment in closed]
        specials += sessions
    return Calendar(tuple(holidays), tuple(specials), skipped)


def unusual(day: date, openings: Iterable[Opening], hours: TradingHours) -> list[SpecialSession]:
    """Return those of a day's timings that our rules do not already say. Raises BadAnswer."""
    try:
        sessions = list(_sessions(day, openings, ""))  # odd hours, but no occasion to name
    except (ValueError, OverflowError, OSError) as error:
        raise BadAnswer(f"timings of {day}: a time that no calendar has") from error
    return [
        session
        for session in sessions
        if (session.start, session.end) not in _known(hours, session.segment, day)
    ]


def _known(hours: TradingHours, segment: str, day: date) -> set[tuple[time, time]]:
    return {
        (session.start.astimezone(IST).time(), session.end.astimezone(IST).time())
        for session in hours.sessions(segment, day)
        if session.phase is Phase.OPEN
    }


def _sessions(day: date, openings: Iterable[Opening], name: str) -> Iterator[SpecialSession]:
    for opening in openings:
        start, end = _ist(opening.start), _ist(opening.end)
        for segment in SEGMENTS.get(opening.exchange, ()):
            yield SpecialSession(day, segment, Phase.OPEN, start, end, name)


def _ist(milliseconds: int) -> time:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(IST).time()
