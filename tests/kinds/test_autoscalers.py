"""What is set aside for an autoscaler, whose it is, and which pods may take it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.kinds.autoscalers import Autoscaler, AutoscalerEvaluator, Scaled, scaled, with_workload
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pod_workload import workload_of
from webhook.kinds.pods import PodEvaluator
from webhook.kinds.workloads import Workload
from webhook.quota.expected import WORKLOAD
from webhook.quota.objects import ObjectKey, OwnerReference
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Payer

COUNT = "count/horizontalpodautoscalers.autoscaling"
WEB = ObjectKey("deployments.apps", "red", "web")
POD = (("pods", NANOS), ("requests.cpu", NANOS // 2))
ALICE = Payer("alice")


def autoscaler(most: object = 4, *, kind: str = "Deployment", api_version: str = "apps/v1", **more: Any) -> Autoscaler:
    target = {"apiVersion": api_version, "kind": kind, "name": "web"}
    document = {
        "metadata": {"name": "hpa", "namespace": "red", "uid": "u"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": most, "metrics": [{"type": "Resource"}]},
        **more,
    }
    return msgspec.json.decode(json.dumps(document), type=Autoscaler)


def reserving(workloads: dict[ObjectKey, Scaled] | None = None) -> AutoscalerEvaluator:
    evaluator = AutoscalerEvaluator(COUNT, {} if workloads is None else workloads)
    assert evaluator.reserve(is_on=True)
    return evaluator


def test_as_many_pods_are_set_aside_as_the_workload_may_have() -> None:
    size = reserving({WEB: Scaled(POD, ALICE)}).size(autoscaler(4))
    assert size is not None
    assert size.amounts == (("pods", 4 * NANOS), ("requests.cpu", 2 * NANOS))
    assert size.pod_labels == (((WORKLOAD, "deployments.apps/web"),),)
    assert (size.scales, size.is_running, size.is_kept) == (WEB, True, True)


def test_it_costs_its_number_alone_and_its_owner_is_that_of_the_workload() -> None:
    evaluator = reserving({WEB: Scaled(POD, ALICE)})
    assert evaluator.usage(autoscaler(), now=None) == ((COUNT, NANOS),)
    assert evaluator.payer(autoscaler()) == ALICE
    assert reserving({WEB: Scaled(POD, None)}).payer(autoscaler()) is None


def test_what_was_read_with_it_counts_whatever_is_known() -> None:
    evaluator, bob = reserving({WEB: Scaled(POD, ALICE)}), Payer("bob")
    found = with_workload(autoscaler(1), Scaled((("pods", NANOS),), bob))
    size = evaluator.size(found)
    assert size is not None
    assert (size.amounts, evaluator.payer(found)) == ((("pods", NANOS),), bob)
    gone = evaluator.size(with_workload(autoscaler(1), None))
    assert gone is not None
    assert gone.amounts == ()


@pytest.mark.parametrize(
    ("kind", "api_version", "resource"),
    [
        ("Deployment", "apps/v1", "deployments.apps"),
        ("StatefulSet", "apps/v1beta2", "statefulsets.apps"),
        ("ReplicaSet", "apps/v1", "replicasets.apps"),
        ("ReplicationController", "v1", "replicationcontrollers"),
        ("Rollout", "argoproj.io/v1alpha1", None),
        ("Deployment", "example.com/v1", None),
    ],
)
def test_what_it_scales(kind: str, api_version: str, resource: str | None) -> None:
    found = reserving().scales(autoscaler(kind=kind, api_version=api_version))
    assert found == (None if resource is None else ObjectKey(resource, "red", "web"))


def test_until_the_workload_is_known_nothing_is_set_aside_and_it_is_followed() -> None:
    size = reserving().size(autoscaler(4))
    assert size is not None
    assert (size.amounts, size.scales) == ((), WEB)


def test_a_policy_that_does_not_ask_sets_nothing_aside() -> None:
    evaluator = AutoscalerEvaluator(COUNT, {WEB: Scaled(POD, ALICE)})
    assert (evaluator.size(autoscaler()), evaluator.payer(autoscaler()), evaluator.scales(autoscaler())) == (None,) * 3
    generation = evaluator.generation
    assert not evaluator.reserve(is_on=False)
    assert evaluator.reserve(is_on=True)
    assert evaluator.generation == generation + 1, "all have to be counted anew"


def test_nobody_writes_the_workload_into_an_autoscaler() -> None:
    forged = autoscaler(1, workload={"pod": [], "payer": None})
    size = reserving({WEB: Scaled(POD, ALICE)}).size(forged)
    assert size is not None
    assert size.amounts == POD


def test_what_is_known_of_a_workload() -> None:
    resources = {"requests": {"cpu": "500m"}}
    document = {
        "metadata": {"name": "web", "namespace": "red", "uid": "w"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "a", "resources": resources}]}},
        },
    }
    found = scaled(msgspec.json.decode(json.dumps(document), type=Workload), ALICE)
    assert dict(found.pod)["requests.cpu"] == NANOS // 2
    assert dict(found.pod)["pods"] == NANOS
    assert (found.payer, found.uid, bytes(found.selector)) == (ALICE, "w", b'{"matchLabels": {"app": "web"}}')
    resources["requests"]["cpu"] = "much"
    with pytest.raises(UncountableError):
        scaled(msgspec.json.decode(json.dumps(document), type=Workload), ALICE)


def reference(kind: str, name: str, api_version: str = "apps/v1") -> OwnerReference:
    return OwnerReference(api_version, kind, name, "u", controller=True)


@pytest.mark.parametrize(
    ("controller", "labels", "workload"),
    [
        (reference("ReplicaSet", "web-7c9"), {"pod-template-hash": "7c9"}, "deployments.apps/web"),
        (reference("ReplicaSet", "a-b-7c9"), {"pod-template-hash": "7c9"}, "deployments.apps/a-b"),
        (reference("ReplicaSet", "web-7c9"), {}, "replicasets.apps/web-7c9"),
        (reference("ReplicaSet", "web"), {"pod-template-hash": "7c9"}, "replicasets.apps/web"),
        (reference("ReplicaSet", "web-"), {"pod-template-hash": ""}, "replicasets.apps/web-"),
        (reference("StatefulSet", "db"), {}, "statefulsets.apps/db"),
        (reference("ReplicationController", "old", "v1"), {}, "replicationcontrollers/old"),
        (reference("Job", "once", "batch/v1"), {}, None),
        (reference("DaemonSet", "each"), {}, None),
        (None, {"pod-template-hash": "7c9"}, None),
    ],
)
def test_a_pod_tells_its_workload(
    controller: OwnerReference | None, labels: dict[str, str], workload: str | None
) -> None:
    assert workload_of(controller, labels) == workload


def test_a_pod_is_known_by_its_workload_only_while_something_is_set_aside() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": True}
    document = {"metadata": {"name": "db-0", "labels": {"app": "db"}, "ownerReferences": [owner]}}
    pod, evaluator = msgspec.json.decode(json.dumps(document), type=Pod), PodEvaluator()
    assert evaluator.labels(pod) == {"app": "db"}
    assert evaluator.name_workloads(is_on=True)
    assert evaluator.labels(pod) == {"app": "db", WORKLOAD: "statefulsets.apps/db"}
    assert not evaluator.name_workloads(is_on=True)
