from datetime import datetime, time
from typing import cast

import pytest

from tests.ticks import CALL, NIFTY, T0, tick
from trading.candles import CandleBuilder
from trading.clock import ManualClock
from trading.hours import IST, HoursRules, Phase, TemplateSession, TradingHours
from trading.model import Candle, Mode
from trading.ports import FeedChange, FeedState, MarketFeed
from trading.session import SessionWatch
from trading.subscriptions import SubscriptionBook

HOURS = HoursRules(
    (
        TemplateSession("NSE_INDEX", Phase.OPEN, time(9, 15), time(15, 30)),
        TemplateSession("NSE_FO", Phase.OPEN, time(9, 15), time(15, 40)),
    )
)


class ToldFeed:
    """The far side of the feed's port: remembers what it was told last."""

    expected: bool | None = None

    def expect_prices(self, expected: bool) -> None:
        self.expected = expected


@pytest.fixture
def feed() -> ToldFeed:
    return ToldFeed()


def watch(
    at: str, book: SubscriptionBook, feed: ToldFeed, candles: CandleBuilder | None = None
) -> SessionWatch:
    return SessionWatch(
        clock=ManualClock(datetime.fromisoformat(at).replace(tzinfo=IST)),
        hours=TradingHours(HOURS),
        subscriptions=book,
        feed=cast(MarketFeed, feed),
        candles=candles or CandleBuilder(),
    )


@pytest.mark.parametrize(
    ("at", "keys", "expected"),
    [
        ("2026-11-20 10:00", [], False),
        ("2026-11-20 10:00", [NIFTY], True),
        ("2026-11-20 15:35", [NIFTY], False),
        ("2026-11-20 15:35", [NIFTY, CALL], True),
        ("2026-11-21 10:00", [NIFTY, CALL], False),
    ],
)
async def test_f03_silence_is_trouble_only_while_something_wanted_trades(
    feed: ToldFeed, at: str, keys: list[str], expected: bool
) -> None:
    book = SubscriptionBook()
    book.hold("page", keys, Mode.FULL)
    await watch(at, book, feed).look()

    assert feed.expected is expected


async def test_a_candle_does_not_wait_for_the_next_trade(feed: ToldFeed) -> None:
    candles = CandleBuilder()
    finished: list[Candle] = []
    candles.finished.subscribe(finished.extend)
    candles.add([tick(NIFTY, ltt=T0 + 1_000)])
    book = SubscriptionBook()
    await watch("2025-11-26 09:31:01", book, feed, candles).look()
    assert finished == []

    await watch("2025-11-26 09:31:02", book, feed, candles).look()
    assert [c.start for c in finished] == [T0]


def test_losing_the_feed_marks_the_minute_under_way(feed: ToldFeed) -> None:
    candles = CandleBuilder()
    candles.add([tick(NIFTY, ltt=T0 + 1_000)])
    at = datetime.fromisoformat("2025-11-26 09:30:20").replace(tzinfo=IST)
    lost = FeedChange("market", FeedState.LIVE, FeedState.STALLED, "silent", at)
    watch("2025-11-26 09:30:20", SubscriptionBook(), feed, candles).on_change(lost)

    current = candles.current(NIFTY)
    assert current is not None
    assert not current.complete


def test_what_nobody_wants_any_more_has_its_minute_marked(feed: ToldFeed) -> None:
    candles = CandleBuilder()
    finished: list[Candle] = []
    candles.finished.subscribe(finished.extend)
    book = SubscriptionBook()
    release = book.hold("page", [NIFTY, CALL], Mode.FULL)
    book.hold("position", [CALL], Mode.FULL)
    watch("2025-11-26 09:30:20", book, feed, candles)
    candles.add([tick(NIFTY, ltt=T0 + 1_000), tick(CALL, ltt=T0 + 1_000)])

    release()

    assert [(c.instrument_key, c.complete) for c in finished] == [(NIFTY, False)]
    assert candles.current(CALL) is not None
