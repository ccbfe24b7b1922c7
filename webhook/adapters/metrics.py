"""
What Prometheus may know. Label sets are bounded: no user, namespace or object name is ever a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_BUCKETS: Final = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
"""Seconds. The API server's own histogram cannot tell anything below 5 ms apart; this one starts at 50 us."""

Gauges = Callable[[], dict[str, float]]


class Metrics:
    """Counters and latencies of one process, and gauges read when they are asked for."""

    def __init__(self, gauges: Gauges) -> None:
        """Read *gauges* at each scrape: name without prefix to value."""
        self._registry = CollectorRegistry()
        self._registry.register(_GaugeReader(gauges))
        self._reviews = Counter(
            "userquota_reviews",
            "Admission reviews answered, by path and verdict.",
            ["path", "verdict"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "userquota_review_seconds",
            "Time from body read to answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._troubles = Counter(
            "userquota_troubles", "Our own trouble, by reason.", ["reason"], registry=self._registry
        )
        self._expired = Counter(
            "userquota_expired_reservations", "Allowed, never stored, and let go.", registry=self._registry
        )
        self._series: dict[tuple[str, str], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count an answer."""
        counter = self._series.get((path, verdict))
        if counter is None:  # looking a child up by its labels costs more than the whole decision's sums
            counter = self._series[path, verdict] = self._reviews.labels(path, verdict)
            self._timers.setdefault(path, self._seconds.labels(path))
        counter.inc()
        self._timers[path].observe(seconds)

    def trouble(self, reason: str) -> None:
        """Count trouble of our own; *reason* is one of a few words, never a text from outside."""
        self._troubles.labels(reason).inc()

    def expired(self, count: int) -> None:
        """Count reservations that nothing came of."""
        self._expired.inc(count)

    def render(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _GaugeReader(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"userquota_{name}", name.replace("_", " "), value=value)
