"""The kinds of sample that Prometheus knows, each with its words and labels."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from trading.ports import Percentiles

QUANTILES: Final = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))
Labels = Mapping[str, str]


def gauge(name: str, words: str, value: float, labels: Labels | None = None) -> GaugeMetricFamily:
    return gauges(name, words, [(labels or {}, value)])


def gauges(
    name: str, words: str, samples: Iterable[tuple[Labels, float | None]]
) -> GaugeMetricFamily:
    """Return one family; an unknown value is left out, never zero."""
    known = [(labels, value) for labels, value in samples if value is not None]
    metric = GaugeMetricFamily(name, words, labels=list(known[0][0]) if known else [])
    for labels, value in known:
        metric.add_metric(list(labels.values()), value)
    return metric


def counter(
    name: str, words: str, value: float, labels: Labels | None = None
) -> CounterMetricFamily:
    return counters(name, words, [(labels or {}, value)])


def counters(name: str, words: str, samples: Iterable[tuple[Labels, float]]) -> CounterMetricFamily:
    known = list(samples)
    metric = CounterMetricFamily(name, words, labels=list(known[0][0]) if known else [])
    for labels, value in known:
        metric.add_metric(list(labels.values()), value)
    return metric


def maybe(name: str, words: str, value: float | None) -> Iterator[GaugeMetricFamily]:
    if value is not None:
        yield gauge(name, words, value)


def quantiles(
    name: str, words: str, measured: Iterable[tuple[Labels, Percentiles]]
) -> GaugeMetricFamily:
    """Return milliseconds as seconds, a sample for each quantile that is known."""
    samples: list[tuple[Labels, float | None]] = []
    for labels, values in measured:
        for quantile, attribute in QUANTILES:
            milliseconds = getattr(values, attribute)
            if milliseconds is not None:
                samples.append(({**labels, "quantile": quantile}, milliseconds / 1000))
    return gauges(name, words, samples)
