"""
The quotas of subjects as metrics, named as kube-state-metrics names those of a ResourceQuota (`kube_resourcequota`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.quota.quantity import NANOS
from webhook.view.fullest import FullestQuotas

_LABELS: Final = ["subject_kind", "subject", "scope", "resource", "type"]


def quota_series(quotas: FullestQuotas) -> bytes:
    """Return *quotas* in Prometheus' text format. It takes 10 us for each series; another thread may call it."""
    registry = CollectorRegistry()
    registry.register(_Series(quotas))
    return generate_latest(registry)


class _Series(Collector):
    def __init__(self, quotas: FullestQuotas) -> None:
        self._quotas = quotas

    def collect(self) -> Iterator[GaugeMetricFamily]:
        quotas = GaugeMetricFamily(
            "userquota_quota",
            "Limits of the fullest subjects (hard) and what they use (used), in cores, bytes, seconds or numbers.",
            labels=_LABELS,
        )
        for each in self._quotas.limits:
            kind, _, name = each.subject.partition("/")
            for amount, of_type in ((each.hard, "hard"), (each.used, "used")):
                quotas.add_metric([kind, name, each.selector, each.resource, of_type], float(amount / NANOS))
        yield quotas
        yield GaugeMetricFamily(
            "userquota_quota_subjects_omitted",
            "Subjects that have limits and use something, and are not in userquota_quota: others are fuller.",
            value=self._quotas.omitted,
        )
