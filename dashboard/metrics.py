"""The figures of the desk as Prometheus reads them: feeds, storage, process, accounts, gaps."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dashboard import health
from dashboard.families import Labels, counter, counters, gauge, gauges, maybe, quantiles
from dashboard.health_sentence import troubles
from dashboard.light import Level, desk_light
from dashboard.metrics_watch import hop_metrics, watch_metrics
from trading.desk import Desk
from trading.order import OrderStatus
from trading.ports import FeedChange, FeedState, FeedStats

FEED_COUNTERS: Final = (
    ("frames", "Frames received."),
    ("ticks", "Ticks decoded."),
    ("bytes", "Bytes received."),
    ("connections", "Connections opened."),
    ("reconnects", "Connections after the first."),
    ("authorisations", "Authorise calls."),
    ("decode_errors", "Frames that could not be decoded."),
    ("bad_prices", "Prices refused: zero, negative, not finite, absurd."),
    ("unasked", "Ticks of instruments not asked for."),
    ("duplicate_frames", "Frames told twice."),
    ("dropped", "Ticks lost in our own inbox."),
)
MAY_TRADE: Final = (Level.LIVE, Level.LATE, Level.CARE)
NAMES: Final = {
    "unasked": "unasked_ticks",
    "dropped": "dropped_ticks",
}  # as they were from the first


class GapClock:
    """Counts the seconds in which the market feed told no prices since it first did in this run."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._counted = 0.0
        self._since: float | None = None
        desk.feed.changes.subscribe(self._changed)

    def seconds(self) -> float:
        if self._since is None:
            return self._counted
        return self._counted + self._desk.clock.monotonic() - self._since

    def _changed(self, change: FeedChange) -> None:
        if change.after is FeedState.LIVE:
            self._counted, self._since = self.seconds(), None
        elif change.before is FeedState.LIVE and self._since is None:
            # from the last price, not from the moment at which somebody noticed the silence
            age = self._desk.market_data.heard_age() or 0.0
            self._since = self._desk.clock.monotonic() - age


class DeskCollector(Collector):
    """Reads the figures when they are asked for; an unknown one is left out, never zero."""

    def __init__(self, desk: Desk, tabs: Callable[[], int]) -> None:
        self._desk = desk
        self._tabs = tabs
        self._gaps = GapClock(desk)

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._families() if family.samples)

    def _families(self) -> Iterator[Metric]:
        desk = self._desk
        yield from self._state()
        yield gauge("vigil_page_tabs", "Open tabs of the dashboard.", self._tabs())
        yield from self._market()
        feeds = [desk.feed.stats(), *(feed.stats() for feed in desk.portfolio_feeds.values())]
        yield from _feed_metrics(feeds)
        gaps = [({"feed": desk.feed.name}, self._gaps.seconds())]
        yield counters("vigil_gap_seconds", "Seconds without prices since the first one.", gaps)
        yield from _storage(desk)
        yield from _process(desk)
        yield from _accounts(desk)
        if desk.watch is not None:
            yield from watch_metrics(desk.watch.watch, desk.clock.now())
            level = desk_light(desk, desk.watch.watch.inputs()).level
            words = "1 while the light does not forbid it: CAN TRADE, or CARE."
            yield gauge("vigil_can_trade", words, float(level in MAY_TRADE))
            if desk.watch.latencies is not None:
                yield from hop_metrics(desk.watch.latencies, desk.clock.now())

    def _state(self) -> Iterator[Metric]:
        desk = self._desk
        mode = {"exchange": desk.world.exchange, "execution": desk.world.execution}
        yield gauge("vigil_desk_info", "What is real and what is made up.", 1.0, mode)
        versions = {re.sub(r"\W", "_", name): text for name, text in desk.versions.items()}
        yield gauge("vigil_versions_info", "Versions of the parts.", 1.0, versions)
        ready = desk.progress.stage == "ready"
        yield gauge("vigil_up", "1 while the desk is ready, even if degraded.", float(ready))
        degraded = ready and bool(troubles(desk))
        yield gauge("vigil_degraded", "1 while something is not as it should be.", float(degraded))

    def _market(self) -> Iterator[Metric]:
        desk = self._desk
        wanted = len(desk.subscriptions.wanted().modes)
        yield gauge("vigil_subscriptions_wanted", "Instruments that somebody holds.", wanted)
        published, late = desk.market_data.published, desk.market_data.late_count
        yield counter("vigil_market_ticks_published", "Ticks that were news.", published)
        yield counter("vigil_market_ticks_late", "Ticks older than what was held.", late)
        heard = desk.market_data.heard_age()
        words = "Since the newest price of any instrument."
        yield from maybe("vigil_market_heard_age_seconds", words, heard)


def _storage(desk: Desk) -> Iterator[Metric]:
    stats = desk.journal.stats()
    good = float(stats.state == health.GOOD_STORAGE)
    yield gauge("vigil_storage_ok", "1 while rows are written.", good)
    yield gauge("vigil_storage_queue_rows", "Rows that wait for the disk.", stats.queued)
    yield gauge("vigil_storage_queue_capacity_rows", "Rows that may wait.", stats.capacity)
    yield gauge("vigil_storage_lag_seconds", "Age of the oldest row that waits.", stats.lag)
    yield counter("vigil_storage_rows", "Rows written.", stats.rows)
    yield counter("vigil_storage_rows_dropped", "Rows lost to a full queue.", stats.dropped)
    left_out = "Orders, fills and baskets that no database would take."
    yield counter("vigil_storage_facts_left_out", left_out, stats.left_out)
    yield counter("vigil_storage_batches", "Commits.", stats.batches)
    yield counter("vigil_storage_errors", "Failed writes.", stats.errors)
    yield gauge("vigil_storage_database_bytes", "Size of the file.", stats.database_bytes)
    yield gauge("vigil_storage_wal_bytes", "Size of its log.", stats.wal_bytes)


def _process(desk: Desk) -> Iterator[Metric]:
    vitals = desk.vitals.stats()
    nothing: Labels = {}
    lag = [(nothing, vitals.loop_lag)]
    yield quantiles("vigil_loop_lag_seconds", "Lateness of the event loop.", lag)
    yield gauge("vigil_memory_bytes", "Resident memory.", vitals.memory_bytes)
    yield gauge("vigil_threads", "Threads of the process.", vitals.threads)
    cpu = None if vitals.cpu_percent is None else vitals.cpu_percent / 100
    yield from maybe("vigil_cpu_ratio", "Share of one core.", cpu)


def _feed_metrics(feeds: Sequence[FeedStats]) -> Iterator[Metric]:
    named = [({"feed": stats.feed}, stats) for stats in feeds]
    states: list[tuple[Labels, float]] = [
        ({**labels, "state": state.value.replace(" ", "_")}, float(state is stats.state))
        for labels, stats in named
        for state in FeedState
    ]
    yield gauges("vigil_feed_state", "1 for the present state.", states)
    for field, words in FEED_COUNTERS:
        samples = [(labels, getattr(stats, field)) for labels, stats in named]
        yield counters(f"vigil_feed_{NAMES.get(field, field)}", words, samples)
    for field, name, words in (
        ("frame_age", "frame_age_seconds", "Since any sign of life."),
        ("tick_age", "tick_age_seconds", "Since a price."),
        ("clock_skew", "clock_skew_seconds", "Exchange minus ours."),
        ("attempt", "attempt", "Of the present outage, 0 while live."),
    ):
        samples = [(labels, getattr(stats, field)) for labels, stats in named]
        yield gauges(f"vigil_feed_{name}", words, samples)
    missing = [(labels, len(stats.missing)) for labels, stats in named]
    yield gauges("vigil_feed_missing", "Instruments asked for, never answered.", missing)
    latency = [(labels, stats.latency) for labels, stats in named]
    yield quantiles("vigil_feed_latency_seconds", "Exchange's time to our receipt.", latency)
    subscribed: list[tuple[Labels, float]] = [
        ({**labels, "mode": str(mode)}, count)
        for labels, stats in named
        for mode, count in stats.subscribed.items()
    ]
    yield gauges("vigil_feed_subscribed", "Instruments on the socket.", subscribed)


def _accounts(desk: Desk) -> Iterator[Metric]:
    """Yield sessions, orders, positions and money, by account; paise become rupees."""
    states = [({"account": s.account.id}, s) for s in desk.accounts.all()]
    signed = [(of, None if s.signed_in is None else float(s.signed_in)) for of, s in states]
    yield gauges("vigil_account_signed_in", "1 while the broker knows who we are.", signed)
    free = [(of, s.funds.available / 100 if s.funds else None) for of, s in states]
    yield gauges("vigil_account_funds_rupees", "Free funds.", free)
    orders: list[tuple[Labels, float]] = []
    for labels, state in states:
        found = Counter(order.status for order in desk.orders.orders(state.account.id))
        orders += [
            ({**labels, "status": status.value.replace(" ", "_")}, found[status])
            for status in OrderStatus
        ]
    yield gauges("vigil_orders", "Orders that the desk knows, by status.", orders)
    held = [(of, len(desk.positions.open_keys(s.account.id))) for of, s in states]
    yield gauges("vigil_positions_open", "Instruments with an open position.", held)
    pnl: list[tuple[Labels, float | None]] = []
    books: list[tuple[Labels, float | None]] = []
    for labels, state in states:
        value = desk.positions.total(state.account.id)
        for kind in ("realised", "unrealised"):
            paise = getattr(value, kind)
            known = paise is not None and (kind == "realised" or value.complete)
            pnl.append(({**labels, "kind": kind}, paise / 100 if known else None))
        read = desk.positions.books(state.account.id)
        books.append((labels, None if read.checked is None else float(not read.differs)))
    yield gauges("vigil_pnl_rupees", "P&L of the day; left out while a price lacks.", pnl)
    yield gauges("vigil_books_agree", "1 while the broker's book is ours.", books)
    alarming = sum(basket.alarming for basket in desk.baskets.all())
    yield gauge("vigil_baskets_unresolved", "Baskets that nobody has taken note of.", alarming)
