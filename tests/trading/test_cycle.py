"""The rhythm of reading: at start, on reconnect, while something can change, on a hint."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.trading.scripted import T0, Paper, ScriptedBroker, request
from trading.checks import Band
from trading.clock import ManualClock
from trading.cycle import MonitoringCycle
from trading.errors import RateLimited, Retryable, TokenRefused
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


def differ(house: House) -> None:
    house.holdings.different = True


def lack_a_price(house: House) -> None:
    house.orders.book.unpriced.add("main")


def flap(house: House) -> None:
    house.stream.become(FeedState.BACKING_OFF)
    house.stream.become(FeedState.OPEN)


def hint(house: House) -> None:
    for _ in range(50):
        house.cycle.hint("main")


def hint_in_vain(house: House) -> None:
    house.broker.read_error = Retryable("500")
    hint(house)


@pytest.mark.parametrize("trouble", [differ, lack_a_price, flap, hint, hint_in_vain])
async def test_no_trouble_that_lasts_uses_up_the_calls_that_the_broker_allows(
    house: House, trouble: Callable[[House], None]
) -> None:
    """Books that differed for ever took 2,000 calls in 22 minutes; then nothing could be read,
    and no feed could connect, for eight minutes.
    """
    await connected(house)
    before = house.broker.reads
    for _ in range(1_800):
        trouble(house)
        await house.after(1)

    assert house.broker.reads - before <= 3 * (20 + 180)
    assert house.broker.reads - before >= 150, "it is still read"


async def test_a_broker_that_wants_fewer_calls_is_left_alone_for_so_long(house: House) -> None:
    await connected(house)
    house.broker.read_error = RateLimited("429", retry_after=25.0)
    await house.after(61)  # the rhythm
    before = house.broker.reads
    hint(house)
    await house.after(23)
    assert house.broker.reads == before
    await house.after(4)
    assert house.broker.reads > before


async def test_a_hint_during_a_reading_is_followed_by_another(house: House) -> None:
    await connected(house)
    house.cycle.hint("main")
    house.clock.advance(3.0)
    await house.cycle.look()  # it has begun, and what happens now may not be in it
    house.cycle.hint("main")
    await house.look()
    assert await house.after(4) == 1


async def test_the_books_are_read_again_after_a_weekend_without_a_token(house: House) -> None:
    """After 1,024 failures the pause was too large a number, and nothing was ever read again."""
    house.broker.read_error = TokenRefused("signed out")
    for _ in range(1_500):
        house.clock.advance(30.0)
        await house.look()
    house.broker.read_error = None

    assert await house.after(31) >= 1
