"""The whole desk without its pages, against the simulated exchange in the same process."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Literal

from main import Vigil
from settings import AccountSettings, Feed, Orders, Paper, Run, Settings, Simulator, Storage
from simulator.server import SimulatedExchange
from trading.ports import FeedState

# Every time of the feed at a tenth, as faults.md C0 asks of tests.
FAST = Feed(
    stall_seconds=1.5,
    ping_seconds=1.5,
    ping_timeout=1.0,
    handshake_seconds=1.0,
    snapshot_seconds=0.5,
    backoff_open=3.0,
    backoff_closed=30.0,
    contested_seconds=6.0,
)

FAST_ORDERS = Orders(
    per_second=10,
    read_working_seconds=1.0,
    read_open_seconds=3.0,
    doubt_first_seconds=0.2,
    doubt_every_seconds=0.5,
    settle_seconds=1.0,
)


class Rig:
    """A running desk, its exchange, and what a test wants to ask of them."""

    def __init__(self, vigil: Vigil, exchange: SimulatedExchange | None = None) -> None:
        self.vigil = vigil
        self.desk = vigil.desk
        exchange = exchange or vigil.exchange
        assert exchange is not None
        self.exchange = exchange

    async def until(self, condition: Callable[[], bool], *, within: float, what: str = "") -> float:
        """Return the seconds it took; fail with what the feed says of itself."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise AssertionError(f"{what or 'it'} did not happen: {self.desk.feed.stats()}")
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def live(self, *, within: float = 5.0) -> float:
        """Wait until a price arrived on the present connection."""
        return await self.until(
            lambda: self.desk.feed.stats().state is FeedState.LIVE, within=within, what="LIVE"
        )

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database as a stranger would, with everything written that was received."""
        self.vigil.writer.flush()
        return self.stored(sql, *values)

    def stored(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read what is on the disk, also when the desk has stopped."""
        with closing(sqlite3.connect(self.vigil.database.path)) as connection:
            return connection.execute(sql, values).fetchall()


def settings(
    folder: Path,
    *,
    feed: Feed = FAST,
    accounts: Sequence[AccountSettings] = (AccountSettings(primary=True),),
    execution: Literal["broker", "paper"] = "broker",
    paper: Paper | None = None,
    **simulator: Any,
) -> Settings:
    return Settings(
        run=Run(exchange="simulated", execution=execution),
        accounts=tuple(accounts),
        paper=paper or Paper(),
        storage=Storage(directory=folder),
        feed=feed,
        orders=FAST_ORDERS,
        simulator=Simulator(**{"instruments": 80, "rate": 200.0, "opening": False, **simulator}),
    )


@asynccontextmanager
async def running(
    folder: Path,
    *,
    feed: Feed = FAST,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
    **rest: Any,
) -> AsyncIterator[Rig]:
    """Start a desk on an empty or an old folder; stop it at the end, whatever happened.

    `prepare` gets the exchange before the desk has asked it for anything; the rest is for
    `settings`.
    """
    vigil = Vigil(settings(folder, feed=feed, **rest))
    try:
        rig = Rig(vigil)
        prepare(rig.exchange)
        await vigil.start()
        yield rig
    finally:
        await vigil.shutdown()
