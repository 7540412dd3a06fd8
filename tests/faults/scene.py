"""A desk at work beside the ledger of its exchange, and the questions that fault tests ask."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dashboard.endpoints import report
from dashboard.light import Level, desk_light
from dashboard.sheet import Sheet
from main import Vigil
from settings import Feed
from simulator.ledger import Sent
from simulator.server import SimulatedExchange
from simulator.wire import PRICE
from tests.rig import FAST, Rig, running
from trading.model import Mode, Part, Tick, segment_of
from trading.ports import FeedChange, FeedState
from trading.trust import Trust, judge

STALL = FAST.stall_seconds
DETECTED = STALL + 0.5  # faults.md C0: DET(x) = x + 0.5 s
RECOVERED = 3.0  # a first backoff of at most 1 s, a connect of at most 2 s
AUTHORIZE = "/v3/feed/market-data-feed/authorize"
NIFTY, BANK = "NSE_INDEX|Nifty 50", "NSE_INDEX|Nifty Bank"
PATIENT = FAST.model_copy(update={"stall_seconds": 60.0})  # where silence is not the subject
QUICK = FAST.model_copy(update={"backoff_open": 0.2})  # where many attempts are


class Trade(NamedTuple):
    """What identifies a trade on both sides of the wire."""

    instrument_key: str
    ltt: int
    ltp: float
    ltq: int | None


class Scene(Rig):
    """A rig that watches some instruments and keeps books of what was sent."""

    def __init__(self, vigil: Vigil, exchange: SimulatedExchange | None = None) -> None:
        super().__init__(vigil, exchange)
        self.sheet = Sheet(self.desk.market_data, self.desk.world)
        self.watched: tuple[str, ...] = ()
        self.changes: list[FeedChange] = []  # told since the desk was at work
        self.desk.feed.changes.subscribe(self.changes.append)

    # to do

    async def watch(self, keys: Iterable[str], mode: Mode = Mode.FULL) -> Callable[[], None]:
        """Hold these as a page would, and wait until each has a price."""
        self.watched = tuple(keys)
        release = self.desk.subscriptions.hold("test", self.watched, mode)
        await self.until(
            lambda: all(self.age(key) is not None for key in self.watched),
            within=5,
            what="a price of each",
        )
        return release

    async def at_work(self) -> None:
        """Wait until prices come, the calendar is there, and silence counts as trouble."""
        await self.live()
        await self.told(FeedState.LIVE, within=5)  # the news of it may come later than the state
        await self.until(lambda: self.trust(NIFTY) is not Trust.CLOSED, within=5, what="opening")
        await self.vigil.watch.look()
        self.changes.clear()

    async def told(self, state: FeedState, *, within: float) -> float:
        """Wait until the feed is told to be in this state."""
        return await self.until(
            lambda: state in self.states, within=within, what=f"the news of {state}"
        )

    async def healed(self, *, within: float = RECOVERED) -> float:
        """Wait until the feed, which was live and is no more, is live again; and told so once."""
        took = await self.until(
            lambda: self.states[-1:] == [FeedState.LIVE], within=within, what="recovery"
        )
        assert (self.losses(), self.recoveries()) == (1, 1), self.changes
        return took

    async def caught_up(self, *, within: float = 2.0) -> None:
        """Let the exchange fall silent until all that it sent on its last connection is stored."""
        self.exchange.faults.set("stall")
        number = len(self.exchange.ledger.connections)
        sent = {trade_of(row) for row in self.sent() if row.connection == number and is_good(row)}
        await self.until(
            lambda: sent <= self.stored_trades(), within=within, what="every trade stored"
        )

    # what the desk shows

    @property
    def state(self) -> FeedState:
        return self.desk.feed.stats().state

    @property
    def states(self) -> list[FeedState]:
        return [change.after for change in self.changes]

    @property
    def reasons(self) -> str:
        return "; ".join(change.reason for change in self.changes)

    @property
    def light(self) -> Level:
        return desk_light(self.desk).level

    @property
    def health(self) -> dict[str, Any]:
        return report(self.desk)

    def losses(self) -> int:
        """Return how often a feed that was live was told to be so no more."""
        return sum(change.before is FeedState.LIVE for change in self.changes)

    def recoveries(self) -> int:
        return self.states.count(FeedState.LIVE)

    def age(self, key: str) -> float | None:
        return self.desk.market_data.price_age(key)

    def trust(self, key: str) -> Trust:
        desk = self.desk
        return judge(
            price_age=self.age(key),
            heard_age=desk.market_data.heard_age(),
            is_open=desk.hours.is_open(segment_of(key), desk.clock.now()),
        )

    def shown(self, key: str, field: str = "ltp") -> str:
        self.sheet.sample({*self.watched, key})
        return self.sheet.row(key).cell(field).text

    def last(self, key: str) -> Tick:
        tick = self.desk.market_data.last(key)
        assert tick is not None
        return tick

    def last_is_full(self, key: str) -> bool:
        tick = self.desk.market_data.last(key)
        return tick is not None and bool(tick.parts & Part.BOOK)

    # what the exchange knows

    def authorised(self) -> int:
        return len(self.exchange.ledger.calls_to(AUTHORIZE))

    def shaken(self) -> int:
        return len(self.exchange.ledger.handshakes)

    def sent(self) -> list[Sent]:
        return self.exchange.ledger.rows()

    def sent_trades(self) -> set[Trade]:
        return {trade_of(row) for row in self.sent() if is_good(row)}

    # what is on disk

    def stored_trades(self) -> set[Trade]:
        rows = self.rows(
            "SELECT instrument_key, ltt, ltp, ltq FROM quote_ticks JOIN instruments"
            " ON instruments.id = instrument_id WHERE ltp IS NOT NULL"
        )
        return {Trade(*row) for row in rows}

    def row_count(self) -> int:
        return int(self.rows("SELECT count(*) FROM quote_ticks")[0][0])

    def published(self) -> int:
        """Return how many ticks were worth a row: news, and late ones for the record."""
        market_data = self.desk.market_data
        return market_data.published + market_data.late_count

    def gaps(self) -> list[tuple[int, int | None, str]]:
        return [
            (start, end, reason)
            for start, end, reason in self.rows(
                "SELECT started, ended, reason FROM feed_gaps ORDER BY id"
            )
        ]

    def tradable(self, count: int) -> list[str]:
        """Return instruments other than indices: futures first, they trade most."""
        instruments = self.exchange.market.instruments.values()
        keys = [i.instrument_key for i in instruments if i.instrument_type == "FUT"]
        keys += [i.instrument_key for i in instruments if i.instrument_type in ("EQ", "CE", "PE")]
        return keys[:count]


def is_good(row: Sent) -> bool:
    """Say whether it told a price that can be one."""
    return bool(row.parts & PRICE) and 1e-4 <= row.ltp <= 1e8


def trade_of(row: Sent) -> Trade:
    return Trade(row.instrument_key, row.ltt, row.ltp, row.ltq or None)


@asynccontextmanager
async def scene(
    folder: Path,
    *,
    watching: int = 8,
    feed: Feed = FAST,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
    **simulator: Any,
) -> AsyncIterator[Scene]:
    """Start a desk that is at work: live, in an open market, with every tick in the ledger."""

    def keeping_books(exchange: SimulatedExchange) -> None:
        exchange.ledger.keep_rows()
        prepare(exchange)

    async with running(folder, feed=feed, prepare=keeping_books, **simulator) as rig:
        desk = Scene(rig.vigil)
        if watching:
            await desk.watch(desk.tradable(watching))
        await desk.at_work()
        yield desk


async def quiet_for(seconds: float, allowed: Callable[[], bool]) -> None:
    """Look at a condition all the time for so many seconds, because nothing is to happen."""
    async with asyncio.timeout(seconds + 5):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            assert allowed()
            await asyncio.sleep(0.02)
