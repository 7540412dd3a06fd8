"""The other side of the feeds' ports: a test says what state they are in and what they tell."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.dashboard.fakes import MAIN, NIFTY, MemoryFeed, MemoryQuotes, make_desk
from tests.ticks import tick
from trading.clock import ManualClock
from trading.cycle import MonitoringCycle
from trading.desk import Desk
from trading.marks import Marks
from trading.model import Batch, Mode
from trading.ports import FeedChange, FeedState, FeedStats
from trading.signal import Signal

MORNING = datetime.fromisoformat("2025-11-26T11:00:00+05:30")  # a Wednesday


class ScriptedFeed(MemoryFeed):
    """A market feed: LIVE until the test says otherwise; remembers what it was asked to do."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock.now())
        self._clock = clock
        self.asked_again: list[tuple[str, ...]] = []

    def ask_again(self, instrument_keys: Collection[str]) -> None:
        self.asked_again.append(tuple(sorted(instrument_keys)))

    def goes(self, state: FeedState, reason: str = "", **figures: Any) -> None:
        """Change the state and tell it, as a feed does."""
        before = self.figures.state
        self.now(state=state, reason=reason, **figures)
        self.changes.emit(FeedChange(self.name, before, state, reason, self._clock.now()))

    def comes_back(self) -> None:
        """Dial, connect and have a price, each told."""
        number = self.figures.connections + 1
        self.goes(FeedState.CONNECTING, "attempt 1")
        self.goes(FeedState.OPEN, "connected, no price yet", connections=number, tick_age=None)
        self.goes(FeedState.LIVE, "prices arrive", tick_age=0.0)


class ScriptedStream:
    """A portfolio stream; `caught_up` makes it LIVE, as the real one does."""

    def __init__(self, clock: ManualClock, account: str = "main") -> None:
        self.account = account
        self.name = f"portfolio-{account}"
        self.changes: Signal[FeedChange] = Signal(self.name)
        self.reconnects: list[str] = []
        self._clock = clock
        self.figures = FeedStats(self.name, FeedState.LIVE, clock.now(), "", is_mock=True)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def reconnect(self, reason: str) -> None:
        self.reconnects.append(reason)

    def caught_up(self) -> None:
        self.goes(FeedState.LIVE, "caught up, updates arrive")

    def stats(self) -> FeedStats:
        return self.figures

    def goes(self, state: FeedState, reason: str = "", **figures: Any) -> None:
        before = self.figures.state
        self.figures = replace(self.figures, state=state, reason=reason, **figures)
        self.changes.emit(FeedChange(self.name, before, state, reason, self._clock.now()))


class Bench:
    """A desk with the real core, scripted feeds, and a clock that moves when it is told to."""

    def __init__(self, *, at: datetime = MORNING, wanted: Mapping[str, Mode] | None = None) -> None:
        self.clock = ManualClock(at)
        self.feed, self.stream = ScriptedFeed(self.clock), ScriptedStream(self.clock)
        made, self.quotes = make_desk(self.clock), MemoryQuotes()
        marks = Marks(
            clock=self.clock,
            market_data=made.market_data,
            source=self.quotes,
            is_open=made.hours.is_open,
        )
        self.desk: Desk = replace(
            made,
            marks=marks,
            feed=self.feed,
            portfolio_feeds={"main": self.stream},
            cycle=MonitoringCycle(
                clock=self.clock,
                orders=made.orders,
                exposure=made.positions,
                accounts=[MAIN.id],
                feeds={"main": self.stream},
            ),
        )
        for key, mode in (wanted or {NIFTY: Mode.FULL}).items():
            self.desk.subscriptions.hold("test", [key], mode)

    def price(self, key: str = NIFTY, *, connection: int = 1, at: datetime | None = None) -> None:
        """Let a price arrive now; `at` is the exchange's time, else the desk's."""
        ms = int((at or self.clock.now()).timestamp() * 1000)
        made = tick(key, ltp=100.0, ltt=ms, received=self.clock.monotonic())
        self.desk.market_data.publish(Batch([made], connection))

    async def read_books(self) -> None:
        """Let the job of each second run, and what it began come to its end."""
        await self.desk.cycle.look()
        for _ in range(20):
            await asyncio.sleep(0)
