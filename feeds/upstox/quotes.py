"""Quotes over REST for what the market feed does not serve."""

from collections.abc import Sequence

from feeds.upstox.answers import RestQuote
from feeds.upstox.rest import UpstoxRest
from trading.ports import PolledQuote


class UpstoxQuotes:
    """Implements `ports.QuoteSource` with the broker's full quotes."""

    def __init__(self, rest: UpstoxRest) -> None:
        self._rest = rest

    async def quotes(self, instrument_keys: Sequence[str]) -> list[PolledQuote]:
        """Return what the broker tells, 500 a call; of an instrument unknown to it nothing."""
        wanted = set(instrument_keys)
        found = await self._rest.quotes(list(instrument_keys))
        return [_polled(quote) for quote in found if quote.instrument_key in wanted]


def _polled(quote: RestQuote) -> PolledQuote:
    return PolledQuote(
        quote.instrument_key,
        quote.ltp,
        max(0, quote.last_trade_time),
        quote.bid,
        quote.bid_qty,
        quote.ask,
        quote.ask_qty,
        quote.day_low,
        quote.day_high,
        quote.lower_circuit,
        quote.upper_circuit,
    )
