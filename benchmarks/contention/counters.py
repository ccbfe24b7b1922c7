"""
The counters of our replicas and of the API servers, and the CPU time of each process.

The callers subtract two readings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmarks import machine
from localcluster.controlplane import ControlPlane
from tests.replicas import Replicas

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY"})


def samples(text: str, name: str) -> Iterable[tuple[Mapping[str, str], float]]:
    """Return the labels and the value of each sample of one metric in Prometheus' text format."""
    for found, labels, value in _SAMPLE.findall(text):
        if found == name:
            yield dict(_LABEL.findall(labels)), float(value)


def of_replicas(replicas: Replicas) -> Counter[str]:
    """Return the sums over all replicas: decisions by verdict, and accesses to the ledger by result."""
    counted: Counter[str] = Counter()
    for text in map(replicas.metrics, range(replicas.count)):
        for labels, value in samples(text, "userquota_reviews_total"):
            if labels["path"] == "/validate":
                counted[f"decisions {labels['verdict']}"] += int(value)
        for labels, value in samples(text, "userquota_ledger_writes_total"):
            counted[f"ledger {labels['result']}"] += int(value)
        for _, value in samples(text, "userquota_granted_decisions_total"):
            counted["decisions under a grant"] += int(value)
        for _, value in samples(text, "userquota_ledger_reads_total"):
            counted["ledger read"] += int(value)
    return counted


def of_api_servers(cluster: ControlPlane) -> Counter[str]:
    """Return the writes to ConfigMaps, the kind of the ledger, that the API servers counted, by status."""
    counted: Counter[str] = Counter()
    for number in range(1, len(cluster.server_urls) + 1):
        text = cluster.kubectl("get", "--raw", "/metrics", server=number).stdout
        for labels, value in samples(text, "apiserver_request_total"):
            if labels["resource"] == "configmaps" and labels["verb"] in _WRITES:
                counted[f"configmap writes {labels['code']}"] += int(value)
    return counted


def is_settled(replicas: Replicas, *, pods: int) -> bool:
    """Whether every replica knows of *pods* pods and holds nothing reserved."""
    for text in map(replicas.metrics, range(replicas.count)):
        gauges = {
            name: value
            for name in ("userquota_pods_known", "userquota_reservations")
            for _, value in samples(text, name)
        }
        if gauges != {"userquota_pods_known": pods, "userquota_reservations": 0}:
            return False
    return True


def cpu(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the CPU seconds that the processes of each role have used."""
    return {role: sum(map(machine.cpu_seconds, several)) for role, several in pids.items()}
