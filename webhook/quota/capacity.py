"""
What nodes have for pods, by class and zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webhook.quota.commitments import Pool
from webhook.quota.devices import DeviceWeights
from webhook.quota.node_classes import ZONE_LABEL, NodeClasses
from webhook.quota.resources import Amount, Amounts


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """
    A node: its labels, and what pods may have of it, by ResourceQuota's names.

    It `takes_pods` unless it was cordoned, is being deleted or is not ready.
    """

    labels: Mapping[str, str]
    allocatable: Amounts
    takes_pods: bool = True


def capacity_of(
    nodes: Iterable[NodeFacts], classes: NodeClasses, devices: DeviceWeights
) -> Mapping[Pool, Mapping[str, Amount]]:
    """
    Return what the nodes that take pods have, for each zone of each class and for each whole class.

    A node is of one class, the first whose labels it has, so that nothing is counted twice. A node without a zone
    counts in its class alone.
    """
    found: defaultdict[Pool, dict[str, Amount]] = defaultdict(dict)
    for node in nodes:
        name = classes.of_node(node.labels) if node.takes_pods else ""
        if not name:
            continue
        zone = node.labels.get(ZONE_LABEL, "")
        for pool in {Pool(name), Pool(name, zone)}:
            has = found[pool]
            for resource, amount in devices.derive(node.allocatable):
                has[resource] = has.get(resource, 0) + amount
    return found
