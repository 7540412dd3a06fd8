"""The day's circuit limits of an instrument, asked for once in a while."""

import asyncio
import logging
from typing import Final

from trading.checks import Band
from trading.clock import Clock
from trading.errors import VigilError
from trading.ports import QuoteSource

log = logging.getLogger(__name__)

VALID: Final = 60.0  # seconds; the exchange widens a band when prices run, and exits must follow
PATIENCE: Final = 1.0  # seconds that an order waits for the answer; the broker checks as well


class Bands:
    def __init__(self, clock: Clock, source: QuoteSource) -> None:
        self._clock = clock
        self._source = source
        self._known: dict[str, tuple[float, Band | None]] = {}

    async def of(self, instrument_key: str) -> Band | None:
        """Return the limits; None if the broker tells none or does not answer in time."""
        asked, band = self._known.get(instrument_key, (-VALID, None))
        now = self._clock.monotonic()
        if now - asked < VALID:
            return band
        try:
            async with asyncio.timeout(PATIENCE):
                quotes = await self._source.quotes([instrument_key])
        except (VigilError, TimeoutError) as error:
            log.info("no circuit limits of %s: %s", instrument_key, error)
            return band
        band = next((_band(q.lower_circuit, q.upper_circuit) for q in quotes), None)
        self._known[instrument_key] = (now, band)
        return band


def _band(lower: float, upper: float) -> Band | None:
    return Band(lower, upper) if 0 < lower < upper else None
