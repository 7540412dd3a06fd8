"""A market feed as a test sees it: what it delivered, what it said, and how to wait for it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from feeds.connection import Timing
from feeds.upstox.market_feed import UpstoxMarketFeed
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.token import FixedToken, TokenStore
from tests.feeds.exchange import TOKEN
from trading.clock import SystemClock
from trading.model import Batch, Mode, Tick
from trading.ports import FeedChange, FeedState

FAST = Timing().scaled(0.1)
NIFTY = "NSE_INDEX|Nifty 50"
CALL = "NSE_FO|45450"


class Desk:
    """Holds the feed and everything it told."""

    def __init__(
        self,
        base_url: str,
        *,
        timing: Timing = FAST,
        token: TokenStore | None = None,
        seed: int = 7,
    ) -> None:
        self.token = token or FixedToken(TOKEN)
        self.rest = UpstoxRest(base_url, self.token, is_mock=True)
        self.batches: list[Batch] = []
        self.changes: list[FeedChange] = []
        self.feed = UpstoxMarketFeed(
            self.rest,
            self.token,
            SystemClock(),
            deliver=self.batches.append,
            is_mock=True,
            timing=timing,
            jitter=random.Random(seed),
        )
        self.feed.changes.subscribe(self.changes.append)

    @property
    def ticks(self) -> list[Tick]:
        return [tick for batch in self.batches for tick in batch.ticks]

    @property
    def states(self) -> list[FeedState]:
        return [change.after for change in self.changes]

    async def until(self, condition: Callable[[], bool], *, within: float = 3.0) -> float:
        """Return the seconds it took; fail with what the feed says of itself."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise AssertionError(f"{self.feed.stats()} {self.changes}")
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def live(self, *, within: float = 3.0) -> float:
        return await self.until(lambda: self.feed.stats().state is FeedState.LIVE, within=within)


@asynccontextmanager
async def desk(
    base_url: str,
    *wanted: str,
    timing: Timing = FAST,
    token: TokenStore | None = None,
    mode: Mode = Mode.LTPC,
) -> AsyncIterator[Desk]:
    """Start a feed that wants these instruments; stop it at the end, which must be quick."""
    made = Desk(base_url, timing=timing, token=token)
    made.feed.want(dict.fromkeys(wanted, mode))
    made.feed.expect_prices(bool(wanted))
    made.feed.start()
    try:
        yield made
    finally:
        began = time.monotonic()
        made.feed.stop()
        took = time.monotonic() - began
        await made.rest.aclose()
        assert took < 2.2, f"stop() took {took:.2f} s"
