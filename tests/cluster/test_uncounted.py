"""Resources that the API server stores in a pod and that nothing counts are told of."""

from __future__ import annotations

import json

import msgspec
import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.running import RunningWebhook, eventually
from tests.oracle.building import Object, app
from tests.oracle.building import pod as a_pod
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS

BATCH = "kubernetes.io/batch-cpu"
LIMITED_BY_NOTHING = "neither ResourceQuota nor a policy can limit that"
STORED_AND_UNCOUNTED = (
    *(
        "kubernetes.io/batch-cpu",
        "node.kubernetes.io/x",
        "notkubernetes.io/x",
        "attachable-volumes-csi.kubernetes.io/x",
    ),
    *("requests.kubernetes.io/x", "kubernetes.io/cpu"),
)
COUNTED = (
    *("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu", "example.com/Licence_v1.2"),
    *("deviceclass.resource.kubernetes.io/gpu.example.com", "kubernetes.io.example.com/x"),
)
REFUSED = (
    *("attachable-volumes-aws-ebs", "storage", "pods", "gpu", "requests.cpu", "limits.cpu", "requests.example.com/x"),
    *("deviceclass/gpu.example.com/x", "kubernetes.io/", "hugepages-none"),
)


def pod(name: str, *, limits_only: bool = False) -> Object:
    asked = {"cpu": "1", name: "2Mi" if name.startswith("hugepages-") else "2"}
    return a_pod(app("app", {} if limits_only else asked, limits=asked))


def dry_run(cluster: ControlPlane, namespace: str, document: Object) -> str:
    """Return the pod that would be stored, or what is wrong with it."""
    return cluster.kubectl(
        "create", "-f", "-", "-n", namespace, "--dry-run=server", "-o", "json", stdin=json.dumps(document), check=False
    ).stdout


def named(text: str) -> set[str]:
    return set(PODS.evaluator.uncounted(msgspec.json.decode(text, type=Pod)))


@pytest.mark.parametrize("limits_only", [False, True], ids=["requests", "limits"])
def test_what_the_api_server_stores_is_counted_or_named(
    control_plane: ControlPlane, namespace: str, *, limits_only: bool
) -> None:
    names = (*STORED_AND_UNCOUNTED, *COUNTED, *REFUSED)
    answers = {name: dry_run(control_plane, namespace, pod(name, limits_only=limits_only)) for name in names}

    stored = {name: named(text) for name, text in answers.items() if text}
    assert stored == {
        **{name: {name} for name in STORED_AND_UNCOUNTED},
        **{name: set() for name in COUNTED},
    }


def test_resourcequota_takes_a_limit_on_such_a_name_and_never_counts_it(
    control_plane: ControlPlane, namespace: str
) -> None:
    hard = f"--hard=count/pods=1,requests.{BATCH}=1"
    control_plane.kubectl("create", "quota", "small", hard, "-n", namespace)

    def used() -> Object:
        text = control_plane.kubectl("get", "quota", "small", "-n", namespace, "-o", "json").stdout
        found: Object = json.loads(text)["status"].get("used", {})
        return found

    eventually(lambda: used() == {"count/pods": "0"}, what=lambda: str(used()))
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(pod(BATCH)))
    eventually(lambda: used() == {"count/pods": "1"}, what=lambda: str(used()))


def test_readyz_says_so_as_long_as_there_is_such_a_pod(running: RunningWebhook, place: str) -> None:
    def create(name: str, *more: str) -> None:
        document = a_pod(app("app", dict.fromkeys((BATCH, *more), "2"))) | {"metadata": {"name": name}}
        running.cluster.kubectl("create", "-f", "-", "-n", place, stdin=json.dumps(document))

    def is_told(names: str) -> bool:
        told = f"requested by pods and counted by nothing: {LIMITED_BY_NOTHING}"
        return running.readiness() == (f"ok\nuncounted: {names} {told}\n" if names else "ok\n")

    def delete(name: str) -> None:
        running.cluster.kubectl("delete", "pod", name, "-n", place, "--force", "--grace-period=0")

    create("a")
    eventually(lambda: is_told(f"{BATCH} is"), what=running.readiness)
    create("b", "kubernetes.io/mid-cpu")
    eventually(lambda: is_told(f"{BATCH}, kubernetes.io/mid-cpu are"), what=running.readiness)
    delete("a")
    delete("b")
    eventually(lambda: is_told(""), what=running.readiness)
