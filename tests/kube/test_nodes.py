"""What nodes have, from what a watch shows of them."""

from __future__ import annotations

from typing import Any

import msgspec

from webhook.kube.nodes import Node, NodeCapacity
from webhook.kube.reflector import Undecodable
from webhook.quota.commitments import Pool
from webhook.quota.devices import SHIPPED
from webhook.quota.node_classes import ZONE_LABEL, NodeClass, NodeClasses
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount

CLASSES = NodeClasses((NodeClass("h100", (("gpu", "h100"),)), NodeClass("all", (("kind", "gpu"),))))


def node(name: str, gpus: str = "8", *, zone: str = "a", gpu: str = "h100", **others: Any) -> Node:
    labels = {"gpu": gpu, "kind": "gpu", **({ZONE_LABEL: zone} if zone else {})}
    status = {"allocatable": {"nvidia.com/gpu": gpus}, "conditions": [{"type": "Ready", "status": "True"}]}
    document = {
        "metadata": {"name": name, "labels": labels},
        "status": {**status, **others.pop("status", {})},
        **others,
    }
    return msgspec.json.decode(msgspec.json.encode(document), type=Node)


def capacity(*nodes: Node) -> NodeCapacity:
    found = NodeCapacity()
    found.classify(CLASSES, SHIPPED)
    found.started()
    for each in nodes:
        found.seen(each)
    found.synced(1)
    return found


def gpus(has: NodeCapacity, pool: Pool) -> Amount:
    return has.of(pool).get("gpu", 0) // NANOS


def test_a_node_counts_in_its_zone_and_its_class_and_in_no_second_class() -> None:
    has = capacity(node("1"), node("2", zone="b"), node("3", zone=""), node("4", gpu="a100"))

    assert [gpus(has, Pool("h100", zone)) for zone in ("a", "b", "")] == [8, 8, 24]
    assert gpus(has, Pool("all")) == 8
    assert gpus(has, Pool("other")) == 0
    assert has.of(Pool("h100", "a")) == {"gpu": 8 * NANOS, "requests.nvidia.com/gpu": 8 * NANOS}


def test_a_node_that_takes_no_pods_has_nothing() -> None:
    not_ready = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    ended = {"name": "3", "labels": {"gpu": "h100"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    has = capacity(
        node("1", spec={"unschedulable": True}),
        node("2", status=not_ready),
        node("3", metadata=ended),
        node("4", status={"conditions": None}),
    )

    assert gpus(has, Pool("h100")) == 0


def test_what_changes_counts_at_once_and_what_cannot_be_read_as_nothing() -> None:
    has = capacity(node("1"))

    has.seen(node("1", "4"))
    assert gpus(has, Pool("h100")) == 4
    has.seen(node("2"))
    has.gone(node("1"))
    assert gpus(has, Pool("h100")) == 8
    has.seen(node("3", "many"))
    assert gpus(has, Pool("h100")) == 8
    has.undecodable(Undecodable("", "2", "u", "7", "what"))
    assert gpus(has, Pool("h100")) == 0


def test_other_classes_count_anew_and_a_list_replaces_what_was_known() -> None:
    has = capacity(node("1"))

    has.classify(NodeClasses((NodeClass("one", (("kind", "gpu"),)),)), SHIPPED)
    assert (gpus(has, Pool("one")), gpus(has, Pool("h100"))) == (8, 0)
    has.started()
    has.seen(node("2", "1"))
    assert gpus(has, Pool("one")) == 8
    has.synced(2)
    assert gpus(has, Pool("one")) == 1
