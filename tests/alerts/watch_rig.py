"""The watch over a desk with the real core: time, feeds, disk and network are the test's."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from alerts.incidents import IncidentBook
from alerts.latency import LatencyBook
from alerts.minutes import MinuteBook
from alerts.monitor import Monitor
from alerts.routing import Routing
from alerts.rulebook import Rule
from alerts.sight import Lookout, Sight, Sources
from alerts.telling import Teller
from tests.alerts.scripted_feeds import MORNING, Bench
from tests.alerts.scripted_journal import ScriptedJournal, ScriptedUptime
from tests.dashboard.fakes import CALL, NIFTY
from trading.desk import Desk
from trading.health import Alert, Occasion, Thresholds
from trading.model import Mode
from trading.order import Fill, OrderFills, Product, Side
from trading.orders import BookRead
from trading.ports import RestStats

T = TypeVar("T")


class WatchRig:
    """Everything the monitor needs; `run` lets seconds go by, each with a look."""

    def __init__(
        self,
        *,
        at: datetime = MORNING,
        limits: Thresholds | None = None,
        rules: Sequence[Rule] | None = None,
        journal: ScriptedJournal | None = None,
        sources: Sources | None = None,
        latencies: LatencyBook | None = None,
    ) -> None:
        self.bench = Bench(at=at)
        self.clock, self.feed, self.stream = self.bench.clock, self.bench.feed, self.bench.stream
        self.desk: Desk = self.bench.desk
        self.limits = limits or Thresholds()
        self.journal = journal or ScriptedJournal()
        self.uptime = ScriptedUptime()
        self.minutes = MinuteBook(self.uptime)
        self.calls = RestStats(calls=10, last_success_age=1.0)
        self.sources = sources or Sources(rest={"main": lambda: self.calls})
        self.teller = Teller(self.clock, self.journal, Routing())
        self.incidents = IncidentBook(self.clock, self.journal)
        self.lookout = Lookout(self.desk, self.limits, self.minutes, self.sources)
        self.monitor = Monitor(
            self.desk,
            self.lookout,
            self.incidents,
            self.minutes,
            self.teller,
            limits=self.limits,
            rules=rules,
            latencies=latencies,
        )
        self.monitor.found.subscribe(self.teller.on_change)
        self.desk.positions.on_read(BookRead("main", (), (), (), self.clock.now()))
        self.feed.now(segments={})
        self.bench.price()

    def hold(self, key: str = CALL, *, units: int = 75, price: bool = True) -> None:
        """Have a position, agreed with the broker's books."""
        fill = Fill(
            "main", f"o-{key}", "t1", key, Product.INTRADAY, Side.BUY, units, 100.0,
            self.clock.now(), is_mock=True,
        )  # fmt: skip
        self.desk.positions.on_fills(OrderFills("main", fill.order_id, (fill,)))
        self.desk.subscriptions.hold("positions", [key], Mode.FULL)
        if price:
            self.bench.price(key)

    async def run(self, seconds: float, *, every: float = 1.0, prices: Sequence[str] = ()) -> None:
        """Let time go by; each of `prices` is told at every look. The portfolio stays well."""
        for _ in range(round(seconds / every)):
            self.clock.advance(every)
            for key in prices:
                self.bench.price(key)
            await self.monitor.look()
            await self.monitor.told()

    async def live(self, seconds: float) -> None:
        """Let time go by while prices of the index come."""
        await self.run(seconds, prices=[NIFTY])

    def look(self) -> Sight:
        return self.lookout.look()

    @property
    def told(self) -> list[Alert]:
        return self.journal.told

    @property
    def titles(self) -> list[str]:
        return [alert.title for alert in self.told]

    @property
    def occasions(self) -> list[Occasion]:
        return [alert.occasion for alert in self.told]

    @property
    def keys(self) -> set[str]:
        return {finding.key for finding in self.monitor.findings()}


def only(found: Sequence[T]) -> T:
    assert len(found) == 1, found
    return found[0]


def changed(sight: Sight, **changes: Any) -> Sight:
    """Return a sight with fields changed; those of feeds by `market=dict(...)`."""
    if "market" in changes:
        market = dict(changes.pop("market"))
        stats = market.pop("stats", {})
        feed = replace(sight.market, stats=replace(sight.market.stats, **stats), **market)
        changes["market"] = feed
    return replace(sight, **changes)
