"""How a component was in the last hour: sixty bars, each told by colour, pattern and height."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from nicegui.element import Element

from trading.health import Minute
from trading.hours import IST

BARS: Final = 60
MINUTE: Final = timedelta(minutes=1)
WHOLE: Final = 0.995  # of the judged time; a look that came late is no outage

Bar = tuple[str, str, int, int]  # HH:MM, a `Kind`, messages, errors


class Kind(StrEnum):
    """What a bar says; the browser has a style and words for each."""

    GOOD = "good"
    PART = "part"  # not all of the minute, or with errors
    DOWN = "down"
    CLOSED = "closed"
    UNKNOWN = "unknown"


def kind(minute: Minute | None) -> Kind:
    if minute is None:
        return Kind.UNKNOWN
    if minute.judged <= 0:
        return Kind.CLOSED
    if minute.up <= 0:
        return Kind.DOWN
    whole = minute.up >= minute.judged * WHOLE and not minute.errors
    return Kind.GOOD if whole else Kind.PART


def bars(strip: Sequence[Minute], now: datetime) -> list[Bar]:
    """Return sixty bars, oldest first; a minute that nobody kept is one too."""
    last = now.replace(second=0, microsecond=0) - MINUTE
    if strip:
        last = max(last, strip[-1].start)
    known = {minute.start: minute for minute in strip}
    return [_bar(last - MINUTE * back, known) for back in range(BARS - 1, -1, -1)]


def _bar(start: datetime, known: dict[datetime, Minute]) -> Bar:
    minute = known.get(start)
    told = (minute.messages, minute.errors) if minute else (0, 0)
    return (f"{start.astimezone(IST):%H:%M}", str(kind(minute)), *told)


def spoken(found: Sequence[Bar]) -> str:
    """Return the strip for those who cannot see it: `last hour: 57 minutes good, 3 down`."""
    counts = {each: sum(bar[1] == each for bar in found) for each in Kind}
    told = [f"{count} {each}" for each, count in counts.items() if count]
    return f"minutes of the last hour: {', '.join(told)}"


class Strip(Element, component="components/strip.js"):
    """Draws the bars; the browser is told again only when one has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[Bar] = []
        self._seen: tuple[tuple[Minute, ...], datetime] | None = None

    def show(self, strip: tuple[Minute, ...], now: datetime) -> None:
        seen = (strip, now.replace(second=0, microsecond=0))
        if seen == self._seen:
            return
        self._seen = seen
        found = bars(strip, now)
        if found != self.bars:
            self.bars = found
            self._props["bars"] = [list(bar) for bar in found]
            self._props["words"] = spoken(found)
            self.update()
