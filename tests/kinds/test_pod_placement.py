"""Where a pod may run: its node selector and its required node affinity, as the API server stores them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.quota.node_classes import ZONE_LABEL, NodeClass, NodeClasses

CLASSES = NodeClasses(
    (
        NodeClass("h100", (("gpu", "h100"),), frozenset({"nvidia.com/gpu"})),
        NodeClass("a100", (("gpu", "a100"),), frozenset({"nvidia.com/gpu"})),
        NodeClass("usual", (("kind", "cpu"),), is_default=True),
    )
)
ELSEWHERE = ("NotBestEffort", "NotTerminating", "PriorityClass")


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": each} for each in terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def expression(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def asking(lists: str, device: str = "nvidia.com/gpu", where: str = "containers") -> dict[str, Any]:
    return {where: [{"name": "x", "resources": {lists: {device: "1"}}}]}


PREFERRED = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}}
SPECS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({}, ("NodeClass=usual", "Zone")),
    "a node selector": ({"nodeSelector": {"gpu": "h100", ZONE_LABEL: "a"}}, ("NodeClass=h100", "Zone=a")),
    "an affinity": (affinity([expression("gpu", "a100")]), ("NodeClass=a100", "Zone")),
    "both": (
        {"nodeSelector": {"gpu": "h100"}, **affinity([expression(ZONE_LABEL, "a", "b")])},
        ("NodeClass=h100", "Zone=a", "Zone=b"),
    ),
    "two terms": (
        affinity([expression("gpu", "a100")], [expression("gpu", "h100")]),
        ("NodeClass=a100", "NodeClass=h100", "Zone"),
    ),
    "a preference requires nothing": (PREFERRED, ("NodeClass=usual", "Zone")),
    "a GPU in requests": (asking("requests"), ("NodeClass=a100", "NodeClass=h100", "Zone")),
    "a GPU in limits": (asking("limits"), ("NodeClass=a100", "NodeClass=h100", "Zone")),
    "a GPU of an init container": (
        asking("limits", where="initContainers"),
        ("NodeClass=a100", "NodeClass=h100", "Zone"),
    ),
    "a device of no class": (asking("limits", "example.com/dongle"), ("NodeClass=usual", "Zone")),
    "texts that no API server stores": ({"nodeSelector": ["x"]}, ("NodeClass=usual", "Zone")),
}


@pytest.mark.parametrize(("spec", "found"), SPECS.values(), ids=SPECS.keys())
def test_a_pod_is_in_the_classes_of_nodes_where_it_may_run(spec: dict[str, Any], found: tuple[str, ...]) -> None:
    decoded = msgspec.json.decode(msgspec.json.encode({"metadata": {}, "spec": spec}), type=Pod)
    pods = PodEvaluator()
    pods.place_by(CLASSES)

    assert tuple(each for each in pods.scopes(decoded) if each not in ELSEWHERE) == found


def test_without_classes_there_are_no_such_scopes_and_other_classes_count_all_anew() -> None:
    pods = PodEvaluator()
    pod = msgspec.json.decode(b'{"metadata":{},"spec":{"nodeSelector":{"gpu":"h100"}}}', type=Pod)
    before = pods.generation

    assert pods.scopes(pod) == PODS.evaluator.scopes(pod)
    assert not pods.place_by(NodeClasses())
    assert pods.place_by(CLASSES)
    assert pods.generation == before + 1
    assert "NodeClass=h100" in pods.scopes(pod)
