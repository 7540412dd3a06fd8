"""The figures of the watch as Prometheus reads them: components, incidents, alerts, ways, jobs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client.core import Metric

from dashboard.families import Labels, counters, gauge, gauges, maybe, quantiles
from trading.health import ChannelHealth, ComponentHealth, Condition, Hop, JobHealth, Severity
from trading.health_ports import Latencies, Watch
from trading.ports import Percentiles

UP: Final = {
    Condition.OK: 1.0,
    Condition.PENDING: 1.0,
    Condition.DOWN: 0.0,
    Condition.FLAPPING: 0.0,
}  # a closed market and an unknown state are neither: left out
DELIVERS: Final = ("ok",)  # "waiting" is a failure that may pass
HOPS: Final = {Hop.ARRIVAL: "exchange_to_us", Hop.DECODE: "decode", Hop.SCREEN: "us_to_screen"}
OF_NOW: Final = timedelta(seconds=125)  # since the last whole minute began, until it is counted
WINDOWS: Final = (("24h", "day"), ("7d", "week"), ("30d", "month"))


def watch_metrics(watch: Watch, now: datetime) -> Iterator[Metric]:
    words = "Seconds since the monitor last looked."
    yield from maybe("vigil_monitor_age_seconds", words, watch.alive_age())
    yield from _components(watch.components(), now)
    yield from _alerts(watch)
    yield from _channels(watch.channels(), now)
    yield from _jobs(watch.jobs())


def hop_metrics(latencies: Latencies, now: datetime) -> Iterator[Metric]:
    """Yield the last whole minute of each hop; one that was not measured in it is left out."""
    measured: list[tuple[Labels, Percentiles]] = []
    for hop in Hop:
        last = latencies.minutes(hop)[-1:]
        if last and now - last[0].start <= OF_NOW:
            measured.append(({"hop": HOPS[hop]}, Percentiles(last[0].p50, None, last[0].p99)))
    words = "Hops of a price, last whole minute; the screen's ends at the tab's connection."
    yield quantiles("vigil_hop_latency_seconds", words, measured)


def _components(components: Sequence[ComponentHealth], now: datetime) -> Iterator[Metric]:
    named: list[tuple[Labels, ComponentHealth]] = [
        ({"component": str(each.component), "account": each.about}, each) for each in components
    ]
    up = [(labels, UP.get(each.condition)) for labels, each in named]
    yield gauges("vigil_component_up", "1 up, 0 down; left out while it is not judged.", up)
    states: list[tuple[Labels, float]] = [
        ({**labels, "condition": str(condition)}, float(condition is each.condition))
        for labels, each in named
        for condition in Condition
    ]
    yield gauges("vigil_component_condition", "1 for the present condition.", states)
    ratios: list[tuple[Labels, float | None]] = [
        ({**labels, "window": window}, getattr(each.uptimes, field))
        for labels, each in named
        for window, field in WINDOWS
    ]
    yield gauges("vigil_component_uptime_ratio", "Share of market time in which it was up.", ratios)
    again = [(labels, each.reconnects) for labels, each in named]
    yield gauges("vigil_component_reconnects_today", "Reconnects of the day.", again)
    latency = [(labels, each.latency) for labels, each in named]
    yield quantiles("vigil_component_latency_seconds", "What each component measures.", latency)
    muted = [(labels, float(_later(each.muted_until, now))) for labels, each in named]
    yield gauges("vigil_component_muted", "1 while only critical alerts are sent of it.", muted)


def _later(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now


def _alerts(watch: Watch) -> Iterator[Metric]:
    yield gauge("vigil_incidents_open", "Incidents that last.", len(watch.open_incidents()))
    told = watch.counts()
    raised = [({"severity": each.name.lower()}, told.get(each, 0)) for each in Severity]
    yield counters("vigil_alerts", "Alerts raised since the start.", raised)
    waiting = Counter(alert.severity for alert in watch.unacknowledged())
    heard = [({"severity": each.name.lower()}, waiting[each]) for each in Severity]
    yield gauges("vigil_alerts_unacknowledged", "Alerts that nobody has acknowledged.", heard)


def _channels(channels: Sequence[ChannelHealth], now: datetime) -> Iterator[Metric]:
    named = [({"channel": each.name}, each) for each in channels]
    up = [(of, None if c.state == "off" else float(c.state in DELIVERS)) for of, c in named]
    yield gauges("vigil_channel_up", "1 while it delivers; left out if it is off.", up)
    queued = [(labels, each.queued) for labels, each in named]
    yield gauges("vigil_outbox_queued", "Messages that wait.", queued)
    for field, name, words in (
        ("sent", "delivered", "Messages that were delivered."),
        ("retried", "retried", "Sendings that failed and were tried again."),
        ("parked", "parked", "Messages that cannot be delivered."),
    ):
        samples = [(labels, getattr(each, field)) for labels, each in named]
        yield counters(f"vigil_outbox_{name}", words, samples)
    took = [(of, c.last_ms / 1000 if c.last_ms is not None else None) for of, c in named]
    yield gauges("vigil_outbox_last_seconds", "What the last delivery took.", took)
    ages = [
        (of, (now - c.last_sent).total_seconds() if c.last_sent is not None else None)
        for of, c in named
    ]
    yield gauges("vigil_outbox_last_age_seconds", "Since the last delivery.", ages)


def _jobs(jobs: Sequence[JobHealth]) -> Iterator[Metric]:
    named = [({"job": each.name}, each) for each in jobs]
    for field, words in (
        ("runs", "Runs."),
        ("failures", "Runs that failed."),
        ("missed", "Runs that were left out because they came too late."),
    ):
        samples = [(labels, getattr(each, field)) for labels, each in named]
        yield counters(f"vigil_job_{field}", words, samples)
    took = [(of, j.last_ms / 1000 if j.last_ms is not None else None) for of, j in named]
    yield gauges("vigil_job_last_seconds", "What the last run took.", took)
    due = [(of, j.next_run.timestamp() if j.next_run is not None else None) for of, j in named]
    yield gauges("vigil_job_next_run_timestamp_seconds", "When it runs next.", due)
