"""Single objects as a real API server stores them: owners by their kind, and what is really there under a name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import kubeconfig, written
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.workloads import WORKLOADS
from webhook.kube.api import KubernetesApi
from webhook.kube.object_reads import ObjectReads
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey

REPLICA_SET = next(kind for kind in WORKLOADS if kind.kind == "ReplicaSet")
STAMP = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
POD: dict[str, Any] = {"containers": [{"name": "main", "image": "example.com/none"}]}
LABELS = {"app": "work"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
SPECS: dict[str, dict[str, Any]] = {
    "ReplicationController": {"selector": LABELS, "template": TEMPLATE, "replicas": 0},
    "Deployment": {**SELECTED, "replicas": 0},
    "ReplicaSet": {**SELECTED, "replicas": 0},
    "StatefulSet": {**SELECTED, "serviceName": "work", "replicas": 0},
    "DaemonSet": SELECTED,
    "Job": {**JOB, "suspend": True},
    "CronJob": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": JOB}},
}


@pytest.fixture
async def reads(control_plane: ControlPlane) -> AsyncIterator[ObjectReads]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield ObjectReads(api, KINDS)
    await api.close()


def create(control_plane: ControlPlane, namespace: str, document: dict[str, Any]) -> dict[str, Any]:
    """Create an object and return its metadata."""
    made = control_plane.kubectl(
        "create", "--filename=-", f"--namespace={namespace}", "--output=json", stdin=json.dumps(document)
    )
    metadata: dict[str, Any] = json.loads(made.stdout)["metadata"]
    return metadata


def replica_set(name: str = "work") -> dict[str, Any]:
    metadata = {"name": name, "annotations": STAMP}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": SPECS["ReplicaSet"]}


@pytest.mark.parametrize("kind", WORKLOADS, ids=lambda kind: kind.kind)
async def test_an_owner_of_every_kind_that_is_stamped_can_be_read(
    reads: ObjectReads, control_plane: ControlPlane, namespace: str, kind: AnyKind
) -> None:
    above = create(control_plane, namespace, replica_set("above"))
    reference = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "above",
        "uid": above["uid"],
        "controller": True,
    }
    metadata = {"name": "work", "annotations": STAMP, "ownerReferences": [reference]}
    document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": SPECS[kind.kind]}
    made = create(control_plane, namespace, document)

    meta = await reads.read(kind, namespace, "work")

    assert meta is not None
    assert (meta.name, meta.namespace, meta.uid) == ("work", namespace, made["uid"])
    assert meta.annotations is not None
    assert (meta.annotations.owner, meta.annotations.groups) == ("alice", "[]")
    assert meta.controller is not None
    assert (meta.controller.kind, meta.controller.uid) == ("ReplicaSet", above["uid"])


async def test_what_does_not_exist_is_none(reads: ObjectReads, namespace: str) -> None:
    assert await reads.read(REPLICA_SET, namespace, "work") is None
    assert await reads.read(REPLICA_SET, "nowhere", "work") is None
    assert await reads.version_of(ObjectKey("pods", namespace, "work")) is None


@pytest.mark.parametrize(
    "name",
    [
        "work/scale",
        "work/status",
        "work?a=b",
        "work#a",
        "../replicasets/work",
        "./work",
        "%77ork",
        " work",
        "",
        "work/",
    ],
)
async def test_no_name_leads_to_another_address(
    reads: ObjectReads, control_plane: ControlPlane, namespace: str, name: str
) -> None:
    """A person may write any text into the name of an owner reference, and a Scale carries no stamp."""
    create(control_plane, namespace, replica_set())

    assert await reads.read(REPLICA_SET, namespace, name) is None


async def test_a_stored_pod_has_its_uid_and_the_version_of_its_last_change(
    reads: ObjectReads, control_plane: ControlPlane, namespace: str
) -> None:
    made = create(control_plane, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": POD})
    key = ObjectKey("pods", namespace, "p")

    first = await reads.version_of(key)
    control_plane.kubectl("label", "pod", "p", "a=b", f"--namespace={namespace}")
    second = await reads.version_of(key)
    control_plane.kubectl("delete", "pod", "p", "--force", f"--namespace={namespace}")

    assert first == (made["uid"], int(made["resourceVersion"]))
    assert second is not None
    assert second[0] == made["uid"]
    assert second[1] > first[1]
    assert await reads.version_of(key) is None


async def create_pods(control_plane: ControlPlane, namespace: str, count: int) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    names = iter(range(count))

    async def work() -> None:
        for number in names:
            document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{number:03}"}, "spec": POD}
            await api.create(f"/api/v1/namespaces/{namespace}/pods", json.dumps(document).encode(), timeout=60)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(work())
    finally:
        await api.close()


async def test_the_newest_version_is_found_on_whichever_page_it_is(
    reads: ObjectReads, control_plane: ControlPlane, namespace: str
) -> None:
    """After a loss of the ledger: a replica that had not seen the newest pod would let others have its room."""
    await create_pods(control_plane, namespace, 510)  # a page has 500

    for name in ("p-000", "p-509", "p-250"):
        control_plane.kubectl("label", "pod", name, "changed=yes", f"--namespace={namespace}")
        changed = await reads.version_of(ObjectKey("pods", namespace, name))

        assert changed is not None
        assert await reads.newest_version("pods") >= changed.version  # pods of other tests may just be going


async def test_of_a_resource_without_objects_the_newest_version_is_none(reads: ObjectReads) -> None:
    kinds = Registry(counted("podtemplates", "v1", "PodTemplate"))
    assert await ObjectReads(reads._api, kinds).newest_version("podtemplates") == 0


async def test_the_store_is_at_the_version_of_whatever_was_written_last(
    reads: ObjectReads, control_plane: ControlPlane, namespace: str
) -> None:
    """So a store that went back is noticed although no pod was written for long."""
    control_plane.kubectl("create", "configmap", "other", f"--namespace={namespace}")
    written_at = control_plane.kubectl(
        "get", "configmap", "other", f"--namespace={namespace}", "-o", "jsonpath={.metadata.resourceVersion}"
    ).stdout

    assert await reads.store_version() >= int(written_at)


async def test_an_api_server_that_cannot_be_reached_is_no_answer(tmp_path: Path) -> None:
    api = await KubernetesApi.connect(kubeconfig=written(kubeconfig(), tmp_path))
    reads = ObjectReads(api, KINDS)
    try:
        for read in (reads.read(REPLICA_SET, "red", "work"), reads.version_of(ObjectKey("pods", "red", "work"))):
            with pytest.raises(UnavailableError, match="could not be read") as raised:
                await read
            assert raised.value.reason == "api-server"
        with pytest.raises(UnavailableError, match=r"pods could not be listed: .*cannot connect"):
            await reads.newest_version("pods")
        with pytest.raises(UnavailableError, match=r"pods could not be listed: .*cannot connect"):
            await reads.store_version()
    finally:
        await api.close()


async def test_a_right_that_is_missing_is_no_answer(control_plane: ControlPlane, namespace: str) -> None:
    """Not the same as an object that is missing: what was allowed must not be let go for want of a right."""
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("carol"))
    try:
        with pytest.raises(UnavailableError, match="403"):
            await ObjectReads(api, Registry(counted("nodes", "v1", "Node"))).version_of(
                ObjectKey("nodes", namespace, "p")
            )
        with pytest.raises(UnavailableError, match=r"nodes could not be listed: .*403"):
            await ObjectReads(api, Registry(counted("nodes", "v1", "Node"))).newest_version("nodes")
    finally:
        await api.close()
