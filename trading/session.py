"""Once a second: is silence trouble, and which minutes are over?"""

from typing import Final

from trading.candles import CandleBuilder
from trading.clock import Clock
from trading.hours import TradingHours
from trading.model import segment_of
from trading.ports import FeedChange, FeedState, MarketFeed
from trading.subscriptions import SubscriptionBook, Wanted

GRACE: Final = 2_000  # ms of exchange time that a trade may take to reach us


class SessionWatch:
    """Keeps the feed told whether prices are due, and candles from waiting for a next trade."""

    def __init__(
        self,
        *,
        clock: Clock,
        hours: TradingHours,
        subscriptions: SubscriptionBook,
        feed: MarketFeed,
        candles: CandleBuilder,
    ) -> None:
        self._clock = clock
        self._hours = hours
        self._subscriptions = subscriptions
        self._feed = feed
        self._candles = candles
        self._wanted = frozenset(subscriptions.wanted().modes)
        subscriptions.changes.subscribe(self._on_wanted)

    async def look(self) -> None:
        now = self._clock.now()
        segments = {segment_of(key) for key in self._subscriptions.wanted().modes}
        self._feed.expect_prices(any(self._hours.is_open(segment, now) for segment in segments))
        self._candles.flush(before=int(now.timestamp() * 1000) - GRACE)

    def _on_wanted(self, wanted: Wanted) -> None:
        keys = frozenset(wanted.modes)
        self._candles.left(self._wanted - keys)
        self._wanted = keys

    def on_change(self, change: FeedChange) -> None:
        """Trades are missed from the moment a feed stops being live until it is connected again."""
        if change.before is FeedState.LIVE or change.after is FeedState.OPEN:
            self._candles.broken(int(change.at.timestamp() * 1000))
