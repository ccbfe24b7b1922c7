"""Which pods a real API server has of a workload: by any selector, and only those that are really its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.object_reads import ObjectReads
from webhook.kube.workload_pods import WorkloadPods
from webhook.ports import UnavailableError

if TYPE_CHECKING:
    from localcluster.controlplane import ControlPlane

PLACE = "pods-of-workloads"
CONTAINERS = [{"name": "c", "image": "x"}]


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.create_namespace(PLACE)
    yield control_plane
    control_plane.kubectl("delete", "namespace", PLACE, "--wait=false")


@pytest.fixture
async def api(cluster: ControlPlane) -> AsyncIterator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig=cluster.kubeconfig())
    yield api
    await api.close()


def create(cluster: ControlPlane, body: dict[str, Any]) -> str:
    """Return the uid of a new object."""
    answer = cluster.kubectl("create", "-f", "-", "-n", PLACE, "-o", "json", stdin=json.dumps(body))
    return str(json.loads(answer.stdout)["metadata"]["uid"])


def listed(cluster: ControlPlane, kind: str, selector: str) -> list[dict[str, Any]]:
    answer = cluster.kubectl("get", kind, "-n", PLACE, "-l", selector, "-o", "json")
    items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
    return items


def reference(kind: str, name: str, uid: str, version: str = "apps/v1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


def pod(name: str, labels: dict[str, str], *owners: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels, "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS}}


SELECTORS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "labels": ({"matchLabels": {"app": "s", "tier": "one"}}, {"one"}),
    "in": ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["one", "two"]}]}, {"one", "two"}),
    "not in": (
        {"matchLabels": {"app": "s"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["one"]}]},
        {"two", "none"},
    ),
    "exists": ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, {"one", "two"}),
    "does not exist": (
        {"matchLabels": {"app": "s"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
        {"none"},
    ),
    "a map, as of a ReplicationController": ({"app": "s", "tier": "two"}, {"two"}),
    "nothing": ({}, set()),
    "what is no selector": ({"matchLabels": 7}, set()),
}


async def test_any_selector(cluster: ControlPlane, api: KubernetesApi) -> None:
    uid = create(cluster, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "maker"}})
    owner = reference("ConfigMap", "maker", uid, "v1")
    for name, labels in {"one": {"tier": "one"}, "two": {"tier": "two"}, "none": {}}.items():
        create(cluster, pod(name, {"app": "s", **labels}, owner))
    pods = WorkloadPods(api, ObjectReads(api, KINDS), KINDS)

    found = {
        what: set(await pods.names(PLACE, uid, msgspec.Raw(json.dumps(selector).encode())))
        for what, (selector, _) in SELECTORS.items()
    }

    assert found == {what: names for what, (_, names) in SELECTORS.items()}


async def test_only_its_own(cluster: ControlPlane, api: KubernetesApi) -> None:
    """A Deployment's pods are those of its ReplicaSets; others have the same labels and belong to somebody else."""
    labels = {"app": "own"}
    cluster.kubectl("create", "deployment", "own", "--image=x", "-n", PLACE)
    cluster.kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/own", "--timeout=30s", "-n", PLACE)
    [replica_set] = listed(cluster, "replicasets", "app=own")
    [deployment] = replica_set["metadata"]["ownerReferences"]
    other = create(cluster, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}})
    former = "00000000-0000-0000-0000-000000000000"
    create(cluster, pod("bare", labels))
    create(cluster, pod("of-another", labels, reference("ConfigMap", "other", other, "v1")))
    create(cluster, pod("of-a-former", labels, reference("ReplicaSet", replica_set["metadata"]["name"], former)))
    selector = msgspec.Raw(json.dumps({"matchLabels": labels}).encode())
    pods = WorkloadPods(api, ObjectReads(api, KINDS), KINDS)

    [name] = await pods.names(PLACE, deployment["uid"], selector)

    assert name.startswith(f"{replica_set['metadata']['name']}-")
    assert await pods.names(PLACE, replica_set["metadata"]["uid"], selector) == (name,)
    assert await pods.names(PLACE, other, selector) == ("of-another",)
    assert await pods.names(PLACE, "somebody's", selector) == ()
    assert await pods.names(PLACE, "", selector) == ("bare",), "a new one adopts what has no controller"
    labels_of = [(("app", "own"),), (("app", "no label value: too many characters in it, and a comma"),)]
    found = set(await pods.labelled(PLACE, labels_of))
    assert found - {"of-a-former"} == {name, "bare", "of-another"}  # that one is garbage, and may be gone


async def test_the_claims_for_devices_that_were_made_for_pods(cluster: ControlPlane, api: KubernetesApi) -> None:
    """Not those of other pods, nor those of people, nor what the scheduler makes for extended resources."""
    uids = {name: create(cluster, pod(name, {"app": "claims"})) for name in ("first", "second", "third")}

    def claim(name: str, *owners: dict[str, Any], **annotations: str) -> None:
        metadata = {"name": name, "ownerReferences": list(owners), "annotations": annotations}
        requests = [{"name": "r", "exactly": {"deviceClassName": "big.example.com"}}]
        body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata}
        create(cluster, {**body, "spec": {"devices": {"requests": requests}}})

    for name, uid in uids.items():
        claim(f"{name}-gpu-x", reference("Pod", name, uid, "v1"))
    claim("second-nic-y", reference("Pod", "second", uids["second"], "v1"))
    claim("first-gpu")
    extended = {"resource.kubernetes.io/extended-resource-claim": "true"}
    claim("first-extended", reference("Pod", "first", uids["first"], "v1"), **extended)
    pods = WorkloadPods(api, ObjectReads(api, KINDS), KINDS)

    assert set(await pods.device_claims(PLACE, ["first", "second"])) == {"first-gpu-x", "second-gpu-x", "second-nic-y"}
    assert await pods.device_claims(PLACE, []) == ()


async def test_an_api_server_that_does_not_answer_is_no_empty_answer(cluster: ControlPlane) -> None:
    api = await KubernetesApi.connect(kubeconfig=cluster.kubeconfig())
    await api.close()
    with pytest.raises(UnavailableError, match="the pods of the workload could not be listed"):
        await WorkloadPods(api, ObjectReads(api, KINDS), KINDS).names(
            PLACE, "uid", msgspec.Raw(b'{"matchLabels":{"app":"own"}}')
        )
    with pytest.raises(UnavailableError, match="the resourceclaims of the workload could not be listed"):
        await WorkloadPods(api, ObjectReads(api, KINDS), KINDS).device_claims(PLACE, ["p"])


async def test_the_pods_of_a_session_that_have_not_ended(cluster: ControlPlane, api: KubernetesApi) -> None:
    for name in ("runs", "ended"):
        create(cluster, pod(name, {"notebook-name": "n"}))
    ended = json.dumps({"status": {"phase": "Succeeded"}})
    cluster.kubectl("patch", "pod", "ended", "-n", PLACE, "--subresource=status", "--type=merge", "-p", ended)
    pods = WorkloadPods(api, ObjectReads(api, KINDS), KINDS)

    assert await pods.labelled(PLACE, [[("notebook-name", "n")], [("notebook-name", "other")]]) == ("runs",)
