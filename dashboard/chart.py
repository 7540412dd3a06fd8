"""The candle chart of one instrument, and which stretch of time it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import nicegui.elements.echart  # noqa: F401  (candles.js imports the ECharts that it brings)
from nicegui.element import Element

from trading.hours import IST, Phase, Session, TradingHours
from trading.model import Candle, Gap

LONGEST: Final = timedelta(hours=6, minutes=15)  # of a market that never closes, the latest part
ENDLESS: Final = timedelta(hours=23)  # a session that only midnight ends
LOOK_BACK: Final = 10  # days to the last session, over any run of holidays


@dataclass(frozen=True, slots=True)
class Window:
    """What a chart shows; `trim` lets it begin with the first candle rather than at `start`."""

    start: datetime
    end: datetime
    trim: bool = False

    @property
    def start_ms(self) -> int:
        return int(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        return int(self.end.timestamp() * 1000)


def window(hours: TradingHours, segment: str, now: datetime) -> Window:
    """Return the session under way, or the last one; of a very long one its newest part."""
    session = _latest_session(hours, segment, now)
    if session is None:
        return Window(_minute(now - LONGEST), now, trim=True)
    end = min(session.end, now)
    if end - session.start > LONGEST or session.end - session.start > ENDLESS:
        start = max(session.start, _minute(end - LONGEST))
        return Window(start, min(session.end, now + timedelta(days=1)), trim=True)
    return Window(session.start, session.end)


def _latest_session(hours: TradingHours, segment: str, now: datetime) -> Session | None:
    today = now.astimezone(IST).date()
    for days in range(LOOK_BACK + 1):
        begun = [
            session
            for session in hours.sessions(segment, today - timedelta(days=days))
            if session.phase is Phase.OPEN and session.start <= now
        ]
        if begun:
            return begun[-1]
    return None


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


class CandleChart(Element, component="components/candles.js"):
    """Draws in the browser, in the colours of the theme; `picture` is what it was last given."""

    def __init__(self) -> None:
        super().__init__()
        self.classes("v-candles-box")
        self.picture: dict[str, object] | None = None
        self._ready = False
        self.on("ready", self._on_ready)

    def load(self, shown: Window, candles: Sequence[Candle], gaps: Sequence[Gap]) -> None:
        start, until = shown.start_ms, shown.end_ms
        if shown.trim and candles:
            start = candles[0].start
        self.picture = {
            "from": start,
            "to": until,
            "candles": [_entry(candle) for candle in candles],
            "gaps": [(_ms(gap.start), _ms(gap.end) if gap.end else until) for gap in gaps],
        }
        if self._ready:
            self.run_method("load", self.picture)

    def _on_ready(self) -> None:
        self._ready = True
        if self.picture is not None:
            self.run_method("load", self.picture)


def _entry(candle: Candle) -> tuple[float, ...]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return (candle.start, *prices, candle.volume, int(candle.complete))


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
