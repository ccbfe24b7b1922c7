"""Limits on pods by the nodes where they may run, on a real API server, before and after the policy names classes."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually

ZONE = "topology.kubernetes.io/zone"
CLASSES: dict[str, dict[str, Any]] = {
    "h100": {"nodes": {"matchLabels": {"gpu": "h100"}}, "devices": ["nvidia.com/gpu"]},
    "a100": {"nodes": {"matchLabels": {"gpu": "a100"}}, "devices": ["nvidia.com/gpu"]},
    "general": {"nodes": {"matchLabels": {"pool": "general"}}, "default": True},
}


def a_pod(name: str, gpus: int = 0, **spec: Any) -> str:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    containers = [{"name": "main", "image": "example/x", "resources": resources}]
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}
    )


def limited(*scoped: tuple[dict[str, str], dict[str, str]]) -> str:
    entries = [
        {
            "scopeSelector": {
                "matchExpressions": [
                    {"scopeName": name, "operator": "In", "values": [value]} for name, value in on.items()
                ]
            },
            "hard": hard,
        }
        for on, hard in scoped
    ]
    return json.dumps({"version": 1, "nodeClasses": CLASSES, "defaults": {"user": {"scoped": entries}}})


H100 = {"nodeSelector": {"gpu": "h100"}}


def test_pods_count_in_each_class_where_they_may_run_and_are_counted_anew_by_other_classes(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy("version: 1\n")
    assert " created\n" in person.create(a_pod("before", 2, **H100))
    assert " created\n" in person.create(a_pod("elsewhere", 2, nodeSelector={"gpu": "a100"}))
    running.set_policy(
        limited(({"NodeClass": "h100"}, {"gpu": "5"}), ({"NodeClass": "h100", "Zone": "a"}, {"gpu": "2"}))
    )

    eventually(lambda: "used: gpu=2, limited: gpu=5" in person.create(a_pod("large", 4, **H100)))  # once counted anew
    assert " created\n" in person.create(a_pod("any-model", 2))
    assert "used: gpu=4, limited: gpu=5" in person.create(a_pod("any-model-2", 2))
    assert " created\n" in person.create(a_pod("other-model", 2, nodeSelector={"gpu": "a100"}))
    assert " created\n" in person.create(a_pod("none"))

    in_zone = {"nodeSelector": {"gpu": "h100", ZONE: "a"}}
    assert " created\n" in person.create(a_pod("in-zone", 1, **in_zone))
    told = person.create(a_pod("in-zone-2", 3, **in_zone))
    assert "requested: gpu=3, used: gpu=5, limited: gpu=5" in told
    assert "requested: gpu=3, used: gpu=1, limited: gpu=2" in told


def test_a_workload_is_told_of_the_class_of_its_pods(running: RunningWebhook, person: Person) -> None:
    running.set_policy(limited(({"NodeClass": "h100"}, {"gpu": "2"})))
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": json.loads(a_pod("x", 1, **H100))["spec"]}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}

    def told() -> str:
        return person.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(deployment))

    eventually(lambda: "2 of 3 replicas fit now" in told(), what=told)  # once the pods are counted anew


def shaped(mode: str) -> str:
    unit = {"cpu": "8", "memory": "480Gi", "gpu": 1}
    return json.dumps(
        {"version": 1, "nodeClasses": {"h100": {**CLASSES["h100"], "unit": unit, "shape": "fixed", "mode": mode}}}
    )


def a_shaped_pod(name: str, cpu: str, memory: str, gpus: int) -> str:
    written = json.loads(a_pod(name, gpus, **H100))
    written["spec"]["containers"][0]["resources"]["requests"] = {"cpu": cpu, "memory": memory}
    return json.dumps(written)


def test_a_pod_off_the_shape_of_its_nodes_is_refused_warned_of_or_recorded(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy(shaped("enforce"))
    told = "off shape: nodeClasses.h100, requested: gpu=1,requests.cpu=4,requests.memory=480Gi, unit: "
    told += "gpu=1,requests.cpu=8,requests.memory=480Gi, in shape: gpu=1,requests.cpu=8,requests.memory=480Gi"

    def refused() -> str:
        return person.run("create", "--dry-run=server", "-f", "-", stdin=a_shaped_pod("off", "4", "480Gi", 1))

    eventually(lambda: told in refused(), what=refused)  # once the pods are counted anew
    assert " created\n" in person.create(a_shaped_pod("one", "8", "480Gi", 1))
    assert " created\n" in person.create(a_shaped_pod("three", "24", "1440Gi", 3))
    assert told.rpartition(", ")[2] in person.create(a_shaped_pod("more", "9", "480Gi", 1))

    running.set_policy(shaped("warn"))
    warned = person.create(a_shaped_pod("warned", "4", "480Gi", 1))
    assert "Warning: off shape nodeClasses.h100: gpu=1,requests.cpu=4,requests.memory=480Gi requested" in warned
    assert " created\n" in warned
    running.set_policy(shaped("audit"))
    recorded = person.create(a_shaped_pod("recorded", "4", "480Gi", 1))
    assert " created\n" in recorded
    assert "Warning" not in recorded
