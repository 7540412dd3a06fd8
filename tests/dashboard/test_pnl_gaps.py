"""The P&L curve is given the gaps of the feed, to draw a band where nobody saw a price."""

from datetime import timedelta

from nicegui.testing import User

from tests.dashboard.fakes import MemoryJournal
from tests.dashboard.hands import eventually, found
from trading.clock import ManualClock
from trading.desk import Desk
from trading.model import Gap
from trading.ports import FeedChange, FeedState


async def test_gaps_of_the_feed_are_bands_on_the_curve(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    assert isinstance(desk.journal, MemoryJournal)
    begun = clock.now() - timedelta(minutes=10)
    over = Gap("market", begun, begun + timedelta(seconds=20), "stalled", True)
    desk.journal.holes = [over]
    await user.open("/positions")
    curve = found(user, "pnl-curve")[-1]
    start = int(begun.timestamp() * 1000)
    await eventually(lambda: curve.picture and curve.picture["gaps"] == [(start, start + 20_000)])  # type: ignore[attr-defined]

    # one that has just begun is on the disk a moment later, and has no end
    desk.feed.changes.emit(
        FeedChange("market", FeedState.LIVE, FeedState.STALLED, "silent", clock.now())
    )
    desk.journal.holes = [over, Gap("market", clock.now(), None, "silent", True)]

    now = int(clock.now().timestamp() * 1000)
    await eventually(lambda: (now, None) in curve.picture["gaps"])  # type: ignore[attr-defined]
