"""Minutes of the past over REST, for what the desk did not watch itself."""

from datetime import date
from typing import Final

from feeds.upstox.rest import UpstoxRest
from trading.clock import Clock
from trading.hours import IST
from trading.model import Candle

LONGEST: Final = 28  # days of minutes in one answer; the broker gives a month


class UpstoxHistory:
    """Implements `ports.CandleSource`. The broker answers for today and for the past apart."""

    def __init__(self, rest: UpstoxRest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock

    async def minutes(self, instrument_key: str, first: date, last: date) -> list[Candle]:
        """Return the minutes of these Indian days, oldest first, of 28 days before today at most.

        One call, two where the days end today, none where they are all further back.
        """
        today = self._clock.now().astimezone(IST).date()
        found: list[Candle] = []
        if first < today:
            since = max(first, date.fromordinal(today.toordinal() - LONGEST))
            until = min(last, date.fromordinal(today.toordinal() - 1))
            if since <= until:
                found += await self._rest.candles(instrument_key, since, until)
        if last >= today:
            found += await self._rest.intraday_candles(instrument_key)
        return found
