"""Forty pods of a real cluster cost what kube-controller-manager writes into the status of a ResourceQuota."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from localcluster.controlplane import ControlPlane
from webhook.kinds import pod_cost
from webhook.kinds.pod_defaults import with_defaults
from webhook.kinds.pod_shapes import Pod
from webhook.quota import quantity
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import add_to

SEED = 42
PODS = 40
COUNTED = (
    *("count/pods", "pods", "requests.cpu", "requests.memory", "requests.ephemeral-storage"),
    *("limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.hugepages-2Mi", "requests.nvidia.com/gpu"),
    *("requests.example.com/Licence_v1.2", "requests.deviceclass.resource.kubernetes.io/gpu.example.com"),
)
STATUSES: list[dict[str, Any]] = [
    {"phase": "Succeeded"},
    {"phase": "Failed"},
    {"phase": "Running", "containerStatuses": [{"allocatedResources": {"cpu": "9", "memory": "9Gi"}}]},
    {"phase": "Running", "containerStatuses": [{"resources": {"requests": {"cpu": "7"}, "limits": {"memory": "9Gi"}}}]},
    {
        "phase": "Running",
        "containerStatuses": [{"allocatedResources": {"cpu": "1m"}, "resources": {"requests": {"cpu": "3m"}}}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible", "observedGeneration": 1}],
    },
    {
        "phase": "Running",
        "containerStatuses": [{"allocatedResources": {"cpu": "1m"}}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}],
    },
]


class ObjectList(msgspec.Struct):
    """What ``kubectl get pods -o json`` prints."""

    items: list[Pod]


class ValidPods:
    """Makes manifests that the API server accepts: limits not below requests, whole devices, pod-level above all."""

    def __init__(self, runtime_class: str) -> None:
        self._random = random.Random(SEED)  # noqa: S311  nothing secret, and the same every time
        self._runtime_class = runtime_class

    def manifest(self, name: str) -> dict[str, Any]:
        apps = [self._container(f"app-{number}") for number in range(self._random.choice([1, 1, 2, 3]))]
        inits = [self._container(f"init-{number}") for number in range(self._random.choice([0, 0, 1, 2, 4]))]
        for container in inits:
            container.update(self._random.choice([{}, {"restartPolicy": "Always"}]))
        spec: dict[str, Any] = {"containers": apps, "initContainers": inits, "automountServiceAccountToken": False}
        if self._random.random() < 0.3:
            spec["runtimeClassName"] = self._runtime_class
        if self._random.random() < 0.3:
            spec["resources"] = self._random.choice(
                [
                    {"requests": {"cpu": "64"}},
                    {"limits": {"cpu": "64", "memory": "64Gi"}},
                    {"requests": {"memory": "48.5Gi"}, "limits": {"memory": "64Gi"}},
                ]
            )
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def _container(self, name: str) -> dict[str, Any]:
        requests: dict[str, str] = {}
        limits: dict[str, str] = {}
        for resource, smaller, larger in (
            ("cpu", ("1m", "0.5", "5e-1", "100u", "250m"), ("1", "1500m", "2e0", "1.0001")),
            ("memory", ("1Mi", "1.5Mi", "1e6", "1000k", "100.5Mi"), ("1Gi", "1.5Gi", "2G", "1073741825")),
            ("ephemeral-storage", ("1Ki", "1k"), ("1Gi", "1G")),
        ):
            kind = self._random.randrange(5)
            if kind in {1, 2}:
                requests[resource] = self._random.choice(smaller)
            if kind in {2, 3}:
                limits[resource] = self._random.choice(larger)
        if self._random.random() < 0.2:
            device = self._random.choice([name.removeprefix("requests.") for name in COUNTED[-3:]])
            limits[device] = str(self._random.randint(1, 4))
        if self._random.random() < 0.2:
            limits |= {"hugepages-2Mi": "4Mi", "memory": "1Gi"}
        return {"name": name, "image": "example.com/image", "resources": {"requests": requests, "limits": limits}}


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace, and a RuntimeClass of the same name whose pods have overhead."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.create_namespace(name)
    overhead = {"podFixed": {"cpu": "250m", "memory": "64.5Mi"}}
    runtime_class = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "none", "overhead": overhead}
    create(control_plane, name, runtime_class | {"metadata": {"name": name}})
    yield name
    control_plane.kubectl("delete", "runtimeclass", name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def manifests(control_plane: ControlPlane, place: str) -> dict[str, dict[str, Any]]:
    source = ValidPods(place)
    made = {f"pod-{number}": source.manifest(f"pod-{number}") for number in range(PODS)}
    create(control_plane, place, {"apiVersion": "v1", "kind": "List", "items": list(made.values())})
    return made


def test_a_manifest_costs_what_the_stored_pod_costs(
    control_plane: ControlPlane, place: str, manifests: dict[str, dict[str, Any]]
) -> None:
    stored = {each.metadata.name: pod_cost.charge(pod_cost.size_of(each)) for each in pods_of(control_plane, place)}

    for name, manifest in manifests.items():
        if "runtimeClassName" not in manifest["spec"]:  # the overhead comes from the RuntimeClass
            read = msgspec.json.decode(json.dumps(manifest), type=Pod)
            assert amounts(pod_cost.charge(with_defaults(pod_cost.size_of(read)))) == amounts(stored[name]), manifest


@pytest.mark.usefixtures("manifests")
def test_without_resizes_the_sum_of_our_charges_is_what_the_quota_says_is_used(
    control_plane: ControlPlane, place: str
) -> None:
    assert used_in(control_plane, place, quota="first") == amounts(ours_in(control_plane, place))


@pytest.mark.needs("the sums of ResourceQuota during resizes")
@pytest.mark.usefixtures("manifests")
def test_the_sum_of_our_charges_is_what_the_quota_says_is_used(control_plane: ControlPlane, place: str) -> None:
    for number in range(0, PODS, 2):
        patch_status(control_plane, place, f"pod-{number}", STATUSES[number // 2 % len(STATUSES)])

    used = used_in(control_plane, place)

    assert used == amounts(ours_in(control_plane, place))
    assert used["pods"] < used["count/pods"] == PODS * NANOS
    assert all(used.values()), "something is not asked for by any pod, and not compared"


def create(control_plane: ControlPlane, namespace: str, written: dict[str, Any]) -> None:
    control_plane.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(written))


def patch_status(control_plane: ControlPlane, namespace: str, name: str, status: dict[str, Any]) -> None:
    statuses = [
        {"name": "app-0", "image": "x", "imageID": "x", "ready": True, "restartCount": 0, **each}
        for each in status.get("containerStatuses", ())
    ]
    patch = json.dumps({"status": {**status, **({"containerStatuses": statuses} if statuses else {})}})
    arguments = ("--subresource=status", "--type=merge", "-p", patch)
    control_plane.kubectl("patch", "pod", name, "-n", namespace, *arguments)


def pods_of(control_plane: ControlPlane, namespace: str) -> list[Pod]:
    listed = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout
    return msgspec.json.decode(listed, type=ObjectList).items


def ours_in(control_plane: ControlPlane, namespace: str) -> dict[str, Quantity]:
    ours: dict[str, Quantity] = dict.fromkeys(COUNTED, quantity.ZERO)
    for each in pods_of(control_plane, namespace):
        add_to(ours, pod_cost.charge(pod_cost.size_of(each)))
    return ours


def used_in(control_plane: ControlPlane, namespace: str, *, quota: str = "all") -> dict[str, int]:
    """Create a quota that no pod reaches; return what it says is used once its controller has counted."""
    hard = dict.fromkeys(COUNTED, "1000000Gi")
    create(
        control_plane,
        namespace,
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": quota}, "spec": {"hard": hard}},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        read = json.loads(control_plane.kubectl("get", "resourcequota", quota, "-n", namespace, "-o", "json").stdout)
        used = read.get("status", {}).get("used", {})
        if used.keys() == set(COUNTED):
            return {name: quantity.parse(text).nanos for name, text in sorted(used.items())}
        time.sleep(0.2)
    pytest.fail(f"the quota was not counted within a minute: {used}")


def amounts(charged: dict[str, Quantity]) -> dict[str, int]:
    return {name: amount.nanos for name, amount in sorted(charged.items())}
