"""The rhythm of reading: at start, on reconnect, while something can change, on a hint."""

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.trading.scripted import T0, Paper, ScriptedBroker, request
from trading.checks import Band
from trading.clock import ManualClock
from trading.cycle import MonitoringCycle
from trading.errors import Retryable, TokenRefused
from trading.orders import Gate, OrderManager
from trading.ports import FeedChange, FeedState, FeedStats
from trading.signal import Signal


@dataclass
class Stream:
    """A portfolio stream that a test connects by hand."""

    name: str = "portfolio-main"
    account: str = "main"
    changes: Signal[FeedChange] = field(default_factory=lambda: Signal("stream"))
    state: FeedState = FeedState.STOPPED

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def reconnect(self, reason: str) -> None: ...

    def caught_up(self) -> None:
        self.state = FeedState.LIVE

    def become(self, state: FeedState) -> None:
        before, self.state = self.state, state
        self.changes.emit(FeedChange(self.name, before, state, "", T0))

    def stats(self) -> FeedStats:
        return FeedStats(self.name, self.state, T0, "", True)


@dataclass
class Holdings:
    open: bool = False
    different: bool = False

    def is_open(self, account: str) -> bool:
        return self.open

    def differs(self, account: str) -> bool:
        return self.different


class House:
    def __init__(self) -> None:
        self.clock = ManualClock(T0)
        self.broker = ScriptedBroker()
        self.stream = Stream()
        self.holdings = Holdings()
        self.gate = Gate()
        self.orders = OrderManager(
            clock=self.clock, brokers={"main": self.broker}, journal=Paper(), mock={"main": True},
            instrument=lambda _: None, ltp=lambda _: None, band=self._band, gate=self.gate,
        )  # fmt: skip
        self.cycle = MonitoringCycle(
            clock=self.clock, orders=self.orders, exposure=self.holdings, accounts=["main"],
            feeds={"main": self.stream},
        )  # fmt: skip
        self.gate.add(self.cycle.reason)
        self.whole = 0
        self.orders.reconciled.subscribe(lambda _: self._count())

    def _count(self) -> None:
        self.whole += 1

    async def _band(self, key: str) -> Band | None:
        return None

    async def after(self, seconds: float) -> int:
        """Let this time pass, looking once a second; return how often the books were read."""
        before = self.whole
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await self.look()
        return self.whole - before

    async def look(self) -> None:
        await self.cycle.look()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def house() -> House:
    return House()


async def connected(house: House) -> House:
    house.stream.become(FeedState.OPEN)
    await house.look()
    assert house.stream.state is FeedState.LIVE
    return house


async def test_entries_wait_until_the_books_were_read(house: House) -> None:
    assert "not been read" in house.gate.reason(request())
    await house.look()
    assert house.gate.reason(request()) == ""


async def test_o04_a_stream_is_live_only_after_everything_was_read(house: House) -> None:
    await house.look()
    assert house.whole == 1
    house.broker.read_error = Retryable("500")
    house.stream.become(FeedState.OPEN)
    await house.look()
    assert house.stream.state is FeedState.OPEN

    house.broker.read_error = None
    await house.after(3)
    assert house.stream.state is FeedState.LIVE


async def test_the_books_are_read_as_often_as_something_can_change(house: House) -> None:
    await connected(house)
    assert await house.after(120) == 2
    house.holdings.open = True
    assert await house.after(120) == 4
    house.stream.become(FeedState.BACKING_OFF)
    assert await house.after(120) == 12
    house.holdings.different = True
    assert await house.after(20) == 10


async def test_a_hint_reads_at_once_and_a_flood_of_hints_is_one(house: House) -> None:
    await connected(house)
    for _ in range(100):
        house.cycle.hint("main")
    assert await house.after(10) == 1


async def test_a_refused_token_is_not_asked_for_again_at_once(house: House) -> None:
    house.broker.read_error = TokenRefused("signed out")
    await house.look()
    before = house.broker.reads
    await house.after(29)
    assert house.broker.reads == before


async def test_failures_are_repeated_soon_and_then_less_often(house: House) -> None:
    house.broker.read_error = Retryable("500")
    await house.look()
    reads = house.broker.reads
    await house.after(60)
    assert 5 <= house.broker.reads - reads <= 10
