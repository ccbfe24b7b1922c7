"""
What a cluster needs to work and the webhook would bind: DaemonSets, and namespaces of the system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.kinds.pods import PODS
from webhook.preflight.census import Census
from webhook.quota.policy import Entry, Mode, Unlimited
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount

_PREFIXES = ("kube-", "openshift-", "cattle-", "gke-managed-")
_NAMES = frozenset(
    {
        "calico-apiserver",
        "calico-system",
        "cert-manager",
        "cilium-secrets",
        "gatekeeper-system",
        "gke-gmp-system",
        "gmp-public",
        "gmp-system",
        "gpu-operator",
        "istio-system",
        "kai-resource-reservation",
        "kyverno",
        "local-path-storage",
        "longhorn-system",
        "metallb-system",
        "nvidia-gpu-operator",
        "rook-ceph",
        "tigera-operator",
    }
)
"""Where widespread components of the network, of storage and of admission are installed by default."""

_NUMBERS = ("count/pods", "pods")


@dataclass(frozen=True, slots=True)
class PodDefault:
    """A default on the number of pods that a DaemonSet does not fit under: `defaults.user`, say."""

    entry: str
    place: str
    resource: str
    hard: Amount
    mode: Mode


@dataclass(frozen=True, slots=True)
class DaemonSetSize:
    """
    A DaemonSet that the webhook would bind, and the number of nodes that should run a pod of it.

    `above` are the defaults that it does not fit under: if its maker is bound by one, new nodes lack its pod.
    """

    namespace: str
    name: str
    nodes: int
    above: tuple[PodDefault, ...]


@dataclass(frozen=True, slots=True)
class SystemNamespace:
    """A namespace of the system that is not exempt, and the number of stored pods that would be bound in it."""

    name: str
    pods: int


def daemon_sets(census: Census) -> tuple[DaemonSetSize, ...]:
    """Return the DaemonSets outside the exempt namespaces, the largest first."""
    numbers = tuple(_numbers(census))
    found = (
        DaemonSetSize(namespace, name, nodes, tuple(each for each in numbers if nodes * NANOS > each.hard))
        for namespace, name, nodes in census.daemon_sets
    )
    return tuple(sorted(found, key=lambda each: (-each.nodes, each.namespace, each.name)))


def system_namespaces(census: Census) -> tuple[SystemNamespace, ...]:
    """Return the namespaces of the system that are not exempt, by name."""
    bound = [name for name in census.labels if name not in census.exempt and _is_of_the_system(name)]
    pods = dict.fromkeys(sorted(bound), 0)
    for path in census.index.snapshot(PODS.resource) if bound else ():
        namespace = path.partition("/")[0]
        if namespace in pods:
            pods[namespace] += 1
    return tuple(SystemNamespace(name, number) for name, number in pods.items())


def _is_of_the_system(name: str) -> bool:
    return name == "openshift" or name.startswith(_PREFIXES) or name in _NAMES


def _numbers(census: Census) -> Iterator[PodDefault]:
    """Return the limits on the number of pods in the defaults for people and service accounts that are in force."""
    defaults = census.policy.defaults
    for entry in (defaults.service_account, defaults.user, *census.policy.catalogue_defaults):
        if entry is not None and entry.in_force(census.now):
            yield from _numbers_of(entry)


def _numbers_of(entry: Entry) -> Iterator[PodDefault]:
    for resource in _NUMBERS:
        hard = entry.hard.get(resource, Unlimited.UNLIMITED)
        if not isinstance(hard, Unlimited):
            yield PodDefault(entry.path, entry.place, resource, hard, entry.mode)
