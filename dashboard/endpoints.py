"""/health for machines that watch the desk, and /metrics for Prometheus; no secrets in either."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dashboard import health
from trading.desk import Desk
from trading.ports import FeedState, FeedStats, Percentiles

NO_STORE: Final = {"Cache-Control": "no-store"}
QUANTILES: Final = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


def install(app: FastAPI, desk: Desk, *, tabs: Callable[[], int]) -> None:
    registry = CollectorRegistry()  # of this desk alone: a second one in a process is no clash
    registry.register(DeskCollector(desk, tabs))

    @app.get("/health", include_in_schema=False)
    def health_endpoint() -> Response:
        body = report(desk)
        code = 200 if body["status"] in ("ok", "degraded") else 503
        return JSONResponse(body, status_code=code, headers=NO_STORE)

    @app.get("/metrics", include_in_schema=False)
    def metrics_endpoint() -> Response:
        text = generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)


def status(desk: Desk) -> str:
    """Return ok, degraded, starting, failed or stopping."""
    if desk.progress.stage != "ready":
        return desk.progress.stage
    return "degraded" if health.troubles(desk) else "ok"


def report(desk: Desk) -> dict[str, Any]:
    storage = desk.journal.stats()
    return {
        "status": status(desk),
        "troubles": health.troubles(desk),
        "mode": desk.world.word,
        "is_mock": desk.world.is_mock,
        "feeds": [
            _feed(desk.feed.stats()),
            *(_feed(feed.stats()) for feed in desk.portfolio_feeds.values()),
        ],
        "storage": {
            "state": storage.state,
            "reason": storage.reason,
            "queued": storage.queued,
            "lag_seconds": storage.lag,
            "rows": storage.rows,
            "dropped": storage.dropped,
        },
        "versions": dict(desk.versions),
        "started": desk.started.isoformat(),
        "time": desk.clock.now().isoformat(),
    }


def _feed(stats: FeedStats) -> dict[str, Any]:
    return {
        "name": stats.feed,
        "state": str(stats.state),
        "since": stats.since.isoformat(),
        "reason": stats.reason,
        "is_mock": stats.is_mock,
        "frame_age_seconds": stats.frame_age,
        "tick_age_seconds": stats.tick_age,
        "ticks": stats.ticks,
        "reconnects": stats.reconnects,
        "dropped": stats.dropped,
    }


class DeskCollector(Collector):
    """Reads the figures when they are asked for; an unknown one is left out, never zero."""

    def __init__(self, desk: Desk, tabs: Callable[[], int]) -> None:
        self._desk = desk
        self._tabs = tabs

    def collect(self) -> Iterator[Metric]:
        desk = self._desk
        mode = {"exchange": desk.world.exchange, "execution": desk.world.execution}
        yield _info("vigil_desk_info", "What is real and what is made up.", mode)
        versions = {re.sub(r"\W", "_", name): text for name, text in desk.versions.items()}
        yield _info("vigil_versions_info", "Versions of the parts.", versions)
        ready = float(status(desk) in ("ok", "degraded"))
        yield _gauge("vigil_up", "1 while the desk is ready, even if degraded.", ready)
        yield _gauge(
            "vigil_degraded",
            "1 while something is not as it should be.",
            float(status(desk) == "degraded"),
        )
        yield _gauge("vigil_page_tabs", "Open tabs of the dashboard.", self._tabs())
        yield _gauge(
            "vigil_subscriptions_wanted",
            "Instruments that somebody holds.",
            len(desk.subscriptions.wanted().modes),
        )
        yield _counter(
            "vigil_market_ticks_published", "Ticks that were news.", desk.market_data.published
        )
        yield _counter(
            "vigil_market_ticks_late",
            "Ticks older than what was held.",
            desk.market_data.late_count,
        )
        yield from _age(
            "vigil_market_heard_age_seconds",
            "Since the newest price of any instrument.",
            desk.market_data.heard_age(),
        )
        yield from _feed_metrics(desk.feed.stats())
        yield from self._storage()
        yield from self._process()

    def _storage(self) -> Iterator[Metric]:
        stats = self._desk.journal.stats()
        yield _gauge(
            "vigil_storage_ok",
            "1 while rows are written.",
            float(stats.state == health.GOOD_STORAGE),
        )
        yield _gauge("vigil_storage_queue_rows", "Rows that wait for the disk.", stats.queued)
        yield _gauge("vigil_storage_queue_capacity_rows", "Rows that may wait.", stats.capacity)
        yield _gauge("vigil_storage_lag_seconds", "Age of the oldest row that waits.", stats.lag)
        yield _counter("vigil_storage_rows", "Rows written.", stats.rows)
        yield _counter("vigil_storage_rows_dropped", "Rows lost to a full queue.", stats.dropped)
        yield _counter("vigil_storage_batches", "Commits.", stats.batches)
        yield _counter("vigil_storage_errors", "Failed writes.", stats.errors)
        yield _gauge("vigil_storage_database_bytes", "Size of the file.", stats.database_bytes)
        yield _gauge("vigil_storage_wal_bytes", "Size of its log.", stats.wal_bytes)

    def _process(self) -> Iterator[Metric]:
        vitals = self._desk.vitals.stats()
        yield _quantiles("vigil_loop_lag_seconds", "Lateness of the event loop.", vitals.loop_lag)
        yield _gauge("vigil_memory_bytes", "Resident memory.", vitals.memory_bytes)
        yield _gauge("vigil_threads", "Threads of the process.", vitals.threads)


def _feed_metrics(stats: FeedStats) -> Iterator[Metric]:
    labels = {"feed": stats.feed}
    state = GaugeMetricFamily(
        "vigil_feed_state", "1 for the present state.", labels=["feed", "state"]
    )
    for each in FeedState:
        state.add_metric([stats.feed, each.value.replace(" ", "_")], float(each is stats.state))
    yield state
    for name, words, value in (
        ("frames", "Frames received.", stats.frames),
        ("ticks", "Ticks decoded.", stats.ticks),
        ("bytes", "Bytes received.", stats.bytes),
        ("connections", "Connections opened.", stats.connections),
        ("reconnects", "Connections after the first.", stats.reconnects),
        ("authorisations", "Authorise calls.", stats.authorisations),
        ("decode_errors", "Frames that could not be decoded.", stats.decode_errors),
        ("bad_prices", "Prices refused: zero, negative, not finite, absurd.", stats.bad_prices),
        ("unasked_ticks", "Ticks of instruments not asked for.", stats.unasked),
        ("duplicate_frames", "Frames told twice.", stats.duplicate_frames),
        ("dropped_ticks", "Ticks lost in our own inbox.", stats.dropped),
    ):
        yield _counter(f"vigil_feed_{name}", words, value, labels)
    yield from _age(
        "vigil_feed_frame_age_seconds", "Since any sign of life.", stats.frame_age, labels
    )
    yield from _age("vigil_feed_tick_age_seconds", "Since a price.", stats.tick_age, labels)
    yield from _age(
        "vigil_feed_clock_skew_seconds", "Exchange minus ours.", stats.clock_skew, labels
    )
    yield _gauge(
        "vigil_feed_attempt", "Of the present outage, 0 while live.", stats.attempt, labels
    )
    yield _gauge(
        "vigil_feed_missing", "Instruments asked for, never answered.", len(stats.missing), labels
    )
    yield _quantiles(
        "vigil_feed_latency_seconds", "Exchange's time to our receipt.", stats.latency, labels
    )
    subscribed = GaugeMetricFamily(
        "vigil_feed_subscribed", "Instruments on the socket.", labels=["feed", "mode"]
    )
    for mode, count in stats.subscribed.items():
        subscribed.add_metric([stats.feed, str(mode)], count)
    yield subscribed


def _gauge(
    name: str, words: str, value: float, labels: Mapping[str, str] | None = None
) -> GaugeMetricFamily:
    labels = labels or {}
    metric = GaugeMetricFamily(name, words, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric


def _counter(
    name: str, words: str, value: float, labels: Mapping[str, str] | None = None
) -> CounterMetricFamily:
    labels = labels or {}
    metric = CounterMetricFamily(name, words, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric


def _info(name: str, words: str, labels: Mapping[str, str]) -> GaugeMetricFamily:
    return _gauge(name, words, 1.0, labels)


def _age(
    name: str, words: str, value: float | None, labels: Mapping[str, str] | None = None
) -> Iterator[Metric]:
    if value is not None:
        yield _gauge(name, words, value, labels)


def _quantiles(
    name: str, words: str, values: Percentiles, labels: Mapping[str, str] | None = None
) -> GaugeMetricFamily:
    labels = labels or {}
    metric = GaugeMetricFamily(name, words, labels=[*labels, "quantile"])
    for quantile, attribute in QUANTILES:
        milliseconds = getattr(values, attribute)
        if milliseconds is not None:
            metric.add_metric([*labels.values(), quantile], milliseconds / 1000)
    return metric
