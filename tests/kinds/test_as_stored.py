"""
An object of a file is filled in as the API server fills it in.

test_charge_equals_kubernetes.py checks that Kubernetes fills in the same amounts as `pod_defaults`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.oracle.building import Example
from tests.oracle.manifest_examples import MANIFESTS
from tests.oracle.random_pods import RandomPods
from webhook.kinds import pod_cost, pod_defaults
from webhook.kinds.as_stored import as_stored
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pod_template import future_pod
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.quota import resources

Json = dict[str, Any]


def stored(api_version: str, kind: str, spec: Json) -> Json:
    row = KINDS.of_object(api_version, kind)
    assert row is not None
    filled: Json = as_stored(row, {"apiVersion": api_version, "kind": kind, "spec": spec})["spec"]
    return filled


def pod_of(document: Json) -> Pod:
    return msgspec.json.decode(msgspec.json.encode(document), type=Pod)


@pytest.mark.parametrize("example", MANIFESTS.values(), ids=MANIFESTS)
def test_a_pod_then_costs_what_its_manifest_says(example: Example) -> None:
    manifest: Any = example.pod
    if "status" in manifest:  # what a node reports is not filled in
        manifest = {name: value for name, value in manifest.items() if name != "status"}
    wanted = resources.amounts(pod_cost.charge(pod_defaults.with_defaults(pod_cost.size_of(pod_of(manifest)))))
    assert PODS.evaluator.usage(pod_of(as_stored(PODS, manifest)), now=None) == wanted


def test_any_pod_costs_and_is_in_the_scopes_of_the_pod_of_the_same_template() -> None:
    source = RandomPods(17)
    for manifest in (source.pod() for _ in range(300)):
        assert isinstance(manifest, dict)
        manifest.pop("status", None)
        filled = pod_of(as_stored(PODS, manifest))
        future = future_pod(pod_of(manifest))
        assert (PODS.evaluator.usage(filled, now=None), PODS.evaluator.scopes(filled)) == future, manifest


def test_filling_in_twice_changes_nothing() -> None:
    source = RandomPods(19)
    for manifest in (source.pod() for _ in range(100)):
        assert isinstance(manifest, dict)
        once = as_stored(PODS, manifest)
        assert as_stored(PODS, once) == once


def test_what_else_a_container_has_stays() -> None:
    container: Json = {"name": "main", "image": "x", "resources": {"claims": [{"name": "gpu"}], "limits": {"cpu": "1"}}}
    filled = as_stored(PODS, {"spec": {"containers": [container], "nodeName": "n"}, "status": {"phase": "Running"}})
    given = {**container["resources"], "requests": {"cpu": "1"}}
    assert filled == {
        "spec": {"containers": [{**container, "resources": given}], "nodeName": "n"},
        "status": {"qosClass": "Burstable", "phase": "Running"},
    }


def test_a_pod_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UncountableError, match=r"spec.containers\[0\].resources.limits.cpu"):
        as_stored(PODS, {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "1K"}}}]}})


def test_a_workload_gets_its_number_and_strategy() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert stored("apps/v1", "Deployment", {}) == {"replicas": 1, "strategy": rolling}
    assert stored("apps/v1", "StatefulSet", {"replicas": 0}) == {"replicas": 0}
    assert stored("v1", "ReplicationController", {"replicas": None}) == {"replicas": 1}
    assert stored("apps/v1", "DaemonSet", {}) == {}
    assert stored("batch/v1", "Job", {}) == {"parallelism": 1, "completions": 1}
    assert stored("batch/v1", "Job", {"completions": 3}) == {"parallelism": 1, "completions": 3}
    assert stored("batch/v1", "Job", {"parallelism": 3}) == {"parallelism": 3}
