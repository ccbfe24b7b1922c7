"""What the pods of a template cost, with what is filled into them when they are made."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.kinds.evaluator import PodDefaults
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pod_template import future_pod
from webhook.quota.quantity import NANOS, parse

KATA = PodDefaults(overheads={"kata": {"cpu": parse("250m"), "memory": parse("160Mi")}})


def pod(resources: dict[str, Any], **spec: object) -> Pod:
    body = {"spec": {"containers": [{"name": "c", "resources": resources}], **spec}}
    return msgspec.json.decode(json.dumps(body), type=Pod)


COSTS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "requests": (
        {"requests": {"cpu": "1"}},
        {"requests.cpu": 1250 * NANOS // 1000, "requests.memory": 160 * 2**20 * NANOS},
    ),
    "limits, of which the overhead raises those that there are": (
        {"limits": {"cpu": "1"}},
        {
            "limits.cpu": 1250 * NANOS // 1000,
            "requests.cpu": 1250 * NANOS // 1000,
            "requests.memory": 160 * 2**20 * NANOS,
        },
    ),
    "nothing": ({}, {"requests.cpu": NANOS // 4, "requests.memory": 160 * 2**20 * NANOS}),
}


@pytest.mark.parametrize(("resources", "cost"), COSTS.values(), ids=COSTS.keys())
def test_the_overhead_of_its_class_comes_on_top(resources: dict[str, Any], cost: dict[str, int]) -> None:
    amounts = dict(future_pod(pod(resources, runtimeClassName="kata"), KATA).amounts)
    assert amounts == {**cost, "pods": NANOS, "count/pods": NANOS}


def test_it_replaces_what_is_written_and_without_one_that_stays() -> None:
    written = {"overhead": {"cpu": "1"}}
    by_class = dict(future_pod(pod({}, runtimeClassName="kata", **written), KATA).amounts)
    by_none = dict(future_pod(pod({}, runtimeClassName="gvisor", **written), KATA).amounts)
    assert by_class["requests.cpu"] == NANOS // 4
    assert by_none["requests.cpu"] == NANOS


def test_the_default_priority_class_is_that_of_pods_that_name_none() -> None:
    def classes(defaults: PodDefaults, **spec: object) -> list[str]:
        return [each for each in future_pod(pod({}, **spec), defaults).scopes if each.startswith("PriorityClass")]

    usual = PodDefaults(priority_class="usual")
    assert classes(usual) == classes(usual, priorityClassName="") == ["PriorityClass=usual"]
    assert classes(usual, priorityClassName="high") == ["PriorityClass=high"]
    assert classes(PodDefaults()) == ["PriorityClass"]


def test_it_does_not_change_the_quality_of_service() -> None:
    for resources, scope in (({}, "BestEffort"), ({"requests": {"cpu": "1"}}, "NotBestEffort")):
        assert scope in future_pod(pod(resources, runtimeClassName="kata"), KATA).scopes
