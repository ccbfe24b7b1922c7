"""
What exists in a cluster, taken object by object: the usage index, who belongs to whom, and who wrote what.

Of an object are kept its row, as in a replica, and a link; what is made of them is in the modules above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.preflight.traces import DaemonSet, TracedMeta
from webhook.quota.objects import ObjectKey, OwnerReference
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY, UNATTRIBUTED
from webhook.quota.usage import Row, UsageIndex


class Link(NamedTuple):
    """
    A pod or a workload, and its controller.

    `is_owned`: its stamp names somebody. The stamp of what is made for an object without an owner names nobody.
    """

    kind: str
    namespace: str
    name: str
    controller: OwnerReference | None
    is_owned: bool


class CountedObject(NamedTuple):
    """An object that costs something, and what it comes to with the weights of the policy."""

    kind: AnyKind
    key: ObjectKey
    row: Row
    amounts: Amounts


class Census:
    """
    The objects of a cluster under one policy, at one time.

    *labels* are those of all namespaces; objects in *exempt* ones, and those that a kind excepts, are left out.
    """

    def __init__(
        self, policy: Policy, *, labels: Mapping[str, Mapping[str, str]], exempt: Container[str], now: datetime
    ) -> None:
        self.policy = policy
        self.labels = labels
        self.exempt = exempt
        self.now = now
        self.index = UsageIndex(accounts_under(policy, self.labels_of), policy.devices)
        self.links: dict[str, Link] = {}
        """Pods and workloads by uid."""
        self.daemon_sets: list[tuple[str, str, int]] = []
        """Namespace, name, and number of nodes."""
        self.written: Counter[str] = Counter()
        """Pods and workloads by field manager; one that several have written counts for each."""
        self.written_topmost: Counter[str] = Counter()
        """Those of them that have no controller."""
        self._kinds: dict[str, AnyKind] = {}

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace, none for one that was not listed."""
        return self.labels.get(namespace, {})

    def take(self, kind: AnyKind, item: Any, meta: TracedMeta) -> None:
        """
        Count *item*, decoded by `traces.shape_of`, whose metadata are *meta*.

        Raises: UncountableError for a field that cannot be read; the object is counted as one nonetheless.
        """
        if not self._counts(kind, meta):
            return
        self._trace(kind, meta)
        if isinstance(item, DaemonSet):
            self.daemon_sets.append((meta.namespace, meta.name, item.nodes))
        if not kind.is_charged:
            return
        try:
            amounts = kind.evaluator.usage(item, now=self.policy.counting_time(self.now))
        except UncountableError:
            self._count(kind, meta, Row(meta.uid, _version(meta), NOBODY, kind.evaluator.unreadable))
            raise
        payer = read_stamp(meta) or NOBODY
        self._count(kind, meta, Row(meta.uid, _version(meta), payer, amounts, kind.evaluator.scopes(item)))

    def take_unreadable(self, kind: AnyKind, meta: TracedMeta) -> None:
        """Count an object of which nothing but *meta* can be read as one without an owner, as a replica does."""
        if not self._counts(kind, meta):
            return
        self._trace(kind, meta)
        if kind.is_charged:
            self._count(kind, meta, Row(meta.uid, _version(meta), NOBODY, kind.evaluator.unreadable))

    def objects(self) -> Iterator[CountedObject]:
        """Return all objects that cost something."""
        for resource, kind in self._kinds.items():
            for path, row in self.index.snapshot(resource).items():
                key = ObjectKey(resource, *path.split("/", 1))
                yield CountedObject(kind, key, row, self.policy.devices.derive(row.amounts))

    def _counts(self, kind: AnyKind, meta: TracedMeta) -> bool:
        return meta.namespace not in self.exempt and not kind.evaluator.is_excepted(meta, None)

    def _count(self, kind: AnyKind, meta: TracedMeta, row: Row) -> None:
        self._kinds[kind.resource] = kind
        self.index.observe(ObjectKey(kind.resource, meta.namespace, meta.name), row)

    def _trace(self, kind: AnyKind, meta: TracedMeta) -> None:
        if not kind.makers:  # neither a pod nor a workload
            return
        payer, controller = read_stamp(meta), meta.controller
        is_owned = payer is not None and payer.owner != UNATTRIBUTED
        self.links[meta.uid] = Link(kind.kind, meta.namespace, meta.name, controller, is_owned)
        self.written.update(meta.writers)
        if controller is None:
            self.written_topmost.update(meta.writers)


def _version(meta: TracedMeta) -> int:
    """Return the version of an object, 1 where it is no number: nothing is compared with it here."""
    return int(meta.resource_version) if meta.resource_version.isdecimal() else 1
