"""
The metrics of one process. Label sets are bounded: no user, namespace or object name is a label, except in the text
that `show_quotas` is given.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from webhook import __version__
from webhook.ledger.usage_audit import Kind
from webhook.quota.limits import Limit
from webhook.quota.subject import selector_of, unscoped

# A second series for each counter would say what process_start_time_seconds says.
disable_created_metrics()  # type: ignore[no-untyped-call]

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
"""Returns values by name without prefix. Read on the event loop at each scrape: it must cost the same at any size."""

Check = tuple[str, str, bool]
"""Name, type and outcome of a health check. The type is `readyz` or `warning`, as in `kubernetes_healthcheck`."""

ALERTED_REASONS: Final = (
    "bodies",
    "internal",
    "overload",
    "registration-drift",
    "unauthenticated",
)
"""Reasons that are shown from the start: a series that begins above 0 raises no alert on its increase."""

_HELP: Final = {
    "certificate_expiration_timestamp_seconds": "End of the certificate that is served, in seconds since 1970.",
    "pods_known": "Pods that are counted.",
    "policy_valid": "1 if the policy that is written is in force, 0 while it has mistakes and the last good one is.",
    "reservations": "Writes that were allowed and are not seen yet.",
    "unadmitted_objects": "Present objects that the webhook was not asked about.",
}


class Metrics:
    """
    Counters and latencies of one process, and gauges that are read at each scrape.

    Belongs to one event loop, rendering included: a gauge may read what changes between two steps of the loop.
    """

    def __init__(self, gauges: Gauges) -> None:
        """Read *gauges* at each scrape."""
        self._quotas = b""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("userquota_build", "The version that runs.", registry=self._registry).info({"version": __version__})
        self._registry.register(_GaugeReader(gauges))
        self._reviews = _Reviews()
        self._registry.register(self._reviews)
        self._errors = Counter("userquota_errors", "Errors, by reason.", ["reason"], registry=self._registry)
        for reason in ALERTED_REASONS:
            self._errors.labels(reason)
        self._exceeded = Counter(
            "userquota_exceeded_limits",
            "Limits that requests exceeded, each once for a request that was not tried only.",
            ["subject_kind", "scope", "cap", "resource", "mode"],
            registry=self._registry,
        )
        self._expired = Counter(
            "userquota_expired_reservations", "Reservations that expired without an object.", registry=self._registry
        )
        self._ledger_writes = Counter(
            "userquota_ledger_writes", "Writes of the shared ledger, by result.", ["result"], registry=self._registry
        )
        self._ledger_reads = Counter("userquota_ledger_reads", "Reads of the shared ledger.", registry=self._registry)
        self._granted = Counter(
            "userquota_granted_decisions", "Creates allowed under a grant, without a write.", registry=self._registry
        )
        self._ledgers_lost = Counter(
            "userquota_ledgers_lost", "Ledgers that were lost and begun anew.", registry=self._registry
        )
        self._unadmitted = Counter(
            "userquota_unadmitted_objects_seen", "Objects that appeared without a stamp.", registry=self._registry
        )
        self._drift = Counter(
            "userquota_drift",
            "Objects that were counted and not stored, or stored and not counted.",
            ["kind"],
            registry=self._registry,
        )
        for kind in Kind:
            self._drift.labels(kind.value)  # a series that begins above 0 raises no alert on its increase

    def add_gauges(self, gauges: Gauges) -> None:
        """Read *gauges*, too, at each scrape."""
        self._registry.register(_GaugeReader(gauges))

    def add_checks(self, checks: Callable[[], Iterable[Check]]) -> None:
        """Read the outcome of *checks* at each scrape."""
        self._registry.register(_CheckReader(checks))

    def add(self, collector: Collector) -> None:
        """Read *collector*, too, at each scrape."""
        self._registry.register(collector)

    def show_quotas(self, text: bytes) -> None:
        """Show *text*, made by `quota_series`, at each scrape until it is replaced."""
        self._quotas = text

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count an answer."""
        self._reviews.add(path, verdict, seconds)

    def count_error(self, reason: str) -> None:
        """Count an error; *reason* is one of a few words, never a text from outside."""
        self._errors.labels(reason).inc()

    def exceeded(self, limits: Iterable[Limit]) -> None:
        """Count *limits*, all of which one request exceeds: there are as many series as the policy has such limits."""
        for each in limits:
            kind = unscoped(each.subject).partition("/")[0]
            scope = selector_of(each.subject)
            self._exceeded.labels(kind, scope, each.cap or "", each.resource, each.mode.value).inc()

    def expired(self, count: int) -> None:
        """Count reservations that expired without an object."""
        self._expired.inc(count)

    def ledger_accessed(self, result: str) -> None:
        """Count an access to the shared ledger: `read`, or a write: `written`, `conflict`, `failed`, or `claim`."""
        if result == "read":
            self._ledger_reads.inc()
        else:
            self._ledger_writes.labels(result).inc()

    def decided_in_memory(self) -> None:
        """Count a create, or a dry-run of one, that was allowed under a grant."""
        self._granted.inc()

    def ledger_lost(self) -> None:
        """Count a ledger that was lost and begun anew."""
        self._ledgers_lost.inc()

    def unadmitted_object_seen(self) -> None:
        """Count an object that appeared without a stamp."""
        self._unadmitted.inc()

    def drifted(self, kind: Kind) -> None:
        """Count an object that was missing from the usage index, or in it and not stored."""
        self._drift.labels(kind.value).inc()

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry) + self._quotas


class _Reviews(Collector):
    """
    Counts of reviews by path and verdict, and their latencies by path.

    The library's own counters take a lock for each of the four numbers that a review changes, which makes 2 us per
    review. This takes half of one.
    """

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, str], int] = {}
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, path: str, verdict: str, seconds: float) -> None:
        verdicts, counts = self._verdicts, self._counts.get(path)
        if counts is None:
            counts = self._counts[path] = [0] * (len(_BUCKETS) + 1)
        verdicts[path, verdict] = verdicts.get((path, verdict), 0) + 1
        counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sums[path] = self._sums.get(path, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        reviews = CounterMetricFamily(
            "userquota_reviews", "Admission reviews answered, by path and verdict.", labels=["path", "verdict"]
        )
        for labels, count in self._verdicts.items():
            reviews.add_metric(labels, count)
        yield reviews
        times = HistogramMetricFamily(
            "userquota_review_duration_seconds", "Time from body read to answer.", labels=["path"]
        )
        bounds = [*map(floatToGoString, _BUCKETS), "+Inf"]
        for path, counts in self._counts.items():
            times.add_metric([path], list(zip(bounds, accumulate(counts), strict=True)), self._sums[path])
        yield times


class _GaugeReader(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"userquota_{name}", _HELP.get(name, name.replace("_", " ")), value=value)


class _CheckReader(Collector):
    def __init__(self, checks: Callable[[], Iterable[Check]]) -> None:
        self._checks = checks

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = GaugeMetricFamily(
            "userquota_healthcheck", "1 if a check of /readyz holds, by its name and type.", labels=["name", "type"]
        )
        for name, kind, holds in self._checks():
            found.add_metric([name, kind], 1 if holds else 0)
        yield found
