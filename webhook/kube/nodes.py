"""
The nodes of the cluster, watched: what each has for pods, and whether it takes any.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.resource_lists import read_list
from webhook.kube.reflector import Undecodable
from webhook.quota.capacity import NodeFacts, capacity_of
from webhook.quota.commitments import Pool
from webhook.quota.devices import SHIPPED, DeviceWeights
from webhook.quota.node_classes import NO_CLASSES, NodeClasses
from webhook.quota.objects import NOTHING, Shape
from webhook.quota.resources import Amount, Amounts

COLLECTION = "/api/v1/nodes"
RESOURCE = "nodes"


class NodeMeta(Shape, frozen=True, gc=False):
    """The metadata of a node."""

    name: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class NodeSpec(Shape, frozen=True, gc=False):
    """Whether it was cordoned."""

    unschedulable: bool = False


class NodeCondition(Shape, frozen=True, gc=False):
    """One condition of its status."""

    type: str = ""
    status: str = ""


class NodeStatus(Shape, frozen=True, gc=False):
    """What it has for pods, and its conditions."""

    allocatable: Raw = NOTHING
    conditions: list[NodeCondition] | None = None


class Node(Shape, frozen=True, gc=False):
    """A node."""

    metadata: NodeMeta = NodeMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def takes_pods(self) -> bool:
        """Whether the scheduler may place pods there: it is ready, and neither cordoned nor being deleted."""
        is_ready = any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())
        return is_ready and not self.spec.unschedulable and self.metadata.deletion_timestamp is None


class NodeCapacity:
    """
    The sink of the watch on nodes: what they have, by class and zone. Belongs to one event loop.

    A node whose amounts cannot be read counts with none.
    """

    def __init__(self) -> None:
        """Know no node."""
        self._known: dict[str, NodeFacts] = {}
        self._listed: dict[str, NodeFacts] | None = None
        self._classes, self._devices = NO_CLASSES, SHIPPED
        self._has: Mapping[Pool, Mapping[str, Amount]] | None = None

    def classify(self, classes: NodeClasses, devices: DeviceWeights) -> None:
        """Count by these *classes*, and with the weights of *devices*, from now on."""
        if (classes, devices) != (self._classes, self._devices):
            self._classes, self._devices, self._has = classes, devices, None

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        """Return what the nodes of *pool* have; nothing for a pool without nodes."""
        if self._has is None:
            self._has = capacity_of(self._known.values(), self._classes, self._devices)
        return self._has.get(pool, {})

    def nodes(self) -> tuple[NodeFacts, ...]:
        """Return all nodes."""
        return tuple(self._known.values())

    def started(self) -> None:
        """Begin a full list."""
        self._listed = {}

    def seen(self, item: Node) -> None:
        """Record a node as it is now."""
        facts = NodeFacts(item.metadata.labels or {}, _amounts(item.status.allocatable), item.takes_pods)
        if self._listed is not None:
            self._listed[item.metadata.name] = facts
        elif self._known.get(item.metadata.name) != facts:  # most events are heartbeats
            self._known[item.metadata.name] = facts
            self._has = None

    def gone(self, item: Node) -> None:
        """Forget a node."""
        if self._listed is not None:
            self._listed.pop(item.metadata.name, None)
        elif self._known.pop(item.metadata.name, None) is not None:
            self._has = None

    def undecodable(self, item: Undecodable) -> None:
        """Forget a node that cannot be read: nothing can be promised of it."""
        (self._known if self._listed is None else self._listed).pop(item.name, None)
        self._has = None

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - one list follows another in order
        """Replace what is known by what the list has shown."""
        self._known, self._listed, self._has = self._listed or {}, None, None

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far the watch is does not matter."""


def _amounts(allocatable: Raw) -> Amounts:
    """Return the amounts by ResourceQuota's names: those of pods as they are, all others as requests."""
    try:
        listed = read_list(bytes(allocatable), "status.allocatable") or {}
    except UncountableError:
        return ()
    named = ((name if name == "pods" else f"requests.{name}", amount.nanos) for name, amount in listed.items())
    return tuple(sorted((name, amount) for name, amount in named if amount > 0))
