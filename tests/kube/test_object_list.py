"""All pods that count, as a real API server lists them: over several pages, at one version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.creating import create_pods, one_container
from tests.kubeconfigs import kubeconfig, written
from webhook.attribution.stamp import read_stamp
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.object_list import ObjectList
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey


def create_pod(
    control_plane: ControlPlane, namespace: str, name: str, annotations: dict[str, str], **spec: str
) -> dict[str, dict[str, str]]:
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {**one_container(), **spec},
    }
    made = control_plane.kubectl("create", "-f", "-", "-n", namespace, "-o", "json", stdin=json.dumps(document))
    created: dict[str, dict[str, str]] = json.loads(made.stdout)
    return created


async def test_a_pod_is_listed_with_its_uid_version_and_stamp(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    stamp = {"userquota.dev/owner": "alice", "userquota.dev/groups": '["ml"]'}
    made = create_pod(control_plane, namespace, "a", stamp)["metadata"]

    listed = await ObjectList(api, kinds=KINDS, exempt=()).read(PODS)

    version = int(made["resourceVersion"])
    assert listed.by_key()[ObjectKey("pods", namespace, "a")] == (made["uid"], version)
    assert listed.version >= version
    [meta] = [each for each in listed.objects if each.namespace == namespace]
    assert read_stamp(meta) == ("alice", ("ml",))


async def test_pods_that_are_not_on_the_book_are_left_out(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    create_pod(control_plane, namespace, "mirror", {"kubernetes.io/config.mirror": "abc"}, nodeName="n")
    create_pod(control_plane, namespace, "plain", {})

    listing = await ObjectList(api, kinds=KINDS, exempt=()).listing("pods")
    exempted = await ObjectList(api, kinds=KINDS, exempt=frozenset({namespace})).listing("pods")

    assert [key.name for key in listing.stored if key.namespace == namespace] == ["plain"]
    assert [key.name for key in exempted.stored if key.namespace == namespace] == []


async def test_more_pods_than_fit_a_page_are_all_listed(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    names = [f"p{number}" for number in range(501)]
    await create_pods(control_plane, namespace, names, user="admin", spec=one_container())

    listing = await ObjectList(api, kinds=KINDS, exempt=()).listing("pods")

    assert {key.name for key in listing.stored if key.namespace == namespace} == set(names)


async def test_an_api_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    client = await KubernetesApi.connect(kubeconfig=written(kubeconfig(), tmp_path))
    with pytest.raises(UnavailableError, match=r"^pods could not be listed: GET /api/v1/pods: cannot connect"):
        await ObjectList(client, kinds=KINDS, exempt=()).read(PODS)
    await client.close()
