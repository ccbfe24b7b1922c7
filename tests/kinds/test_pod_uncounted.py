"""What a pod asks for and nothing counts; tests/cluster has which of these names the API server stores."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.oracle.building import Object, app, pod, sidecar
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS

BATCH, MID = "kubernetes.io/batch-cpu", "kubernetes.io/mid-memory"


def read(document: Object) -> Pod:
    return msgspec.json.decode(json.dumps(document), type=Pod)


def uncounted(document: Object) -> set[str]:
    return set(PODS.evaluator.uncounted(read(document)))


COUNTED = (
    *("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu", "example.com/Licence_v1.2"),
    "deviceclass.resource.kubernetes.io/gpu.example.com",
)


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_is_not_named(name: str) -> None:
    assert uncounted(pod(app("app", {name: "1"}, limits={name: "1"}))) == set()
    assert uncounted(pod(app("app", limits={name: "1"}))) == set()  # the request equals it


NAMES = (
    *("kubernetes.io/batch-cpu", "node.kubernetes.io/x", "x.kubernetes.io/cpu", "notkubernetes.io/x"),
    *("requests.kubernetes.io/x", "attachable-volumes-csi.kubernetes.io/x", "attachable-volumes-aws-ebs", "storage"),
)


@pytest.mark.parametrize("name", NAMES)
def test_what_no_row_counts_is_named(name: str) -> None:
    assert uncounted(pod(app("app", {name: "1"}))) == {name}


WHERE = {
    "a request": pod(app("app", {BATCH: "1"})),
    "a limit alone": pod(app("app", limits={BATCH: "1"})),
    "beside others": pod(app("app", {BATCH: "1"}, cpu="1", limits={"cpu": "2"})),
    "an init container": pod(app(cpu="1"), inits=(app("setup", {BATCH: "1"}),)),
    "a sidecar": pod(app(cpu="1"), inits=(sidecar(more={BATCH: "1"}),)),
    "a later container": pod(app(cpu="1"), app("b", {BATCH: "1"})),
    "the pod": pod(app(cpu="1"), resources={"limits": {BATCH: "1"}}),
    "the overhead": pod(app(cpu="1"), overhead={BATCH: "1", "cpu": "1"}),
    "a container whose text is too long to be remembered": pod(
        app("app", {BATCH: "1"}, limits={f"example.com/{number}": "1" for number in range(100)})
    ),
    "a pod that is being deleted": pod(app("app", {BATCH: "1"})) | {"metadata": {"deletionTimestamp": "2026-11-01"}},
}


@pytest.mark.parametrize("document", WHERE.values(), ids=WHERE)
def test_it_is_found_in(document: Object) -> None:
    assert uncounted(document) == {BATCH}


def test_all_of_them_are_named() -> None:
    setup = app("setup", limits={"kubernetes.io/other": "1"})
    document = pod(app("a", {BATCH: "1"}), app("b", {MID: "1"}), inits=(setup,), overhead={"x.kubernetes.io/y": "1"})

    assert uncounted(document) == {BATCH, MID, "kubernetes.io/other", "x.kubernetes.io/y"}


NONE = {
    "zero": pod(app("app", {BATCH: "0"}, limits={BATCH: "0"})),
    "null": pod({"name": "app", "resources": {"requests": {BATCH: None}}}),
    "no lists": pod({"name": "app", "resources": None}, {"name": "b"}),
    "no containers": {"spec": {}},
    "a pod that has ended": pod(app("app", {BATCH: "1"}), status={"phase": "Succeeded"}),
    "what a node says only": pod(
        app(), status={"containerStatuses": [{"name": "app", "allocatedResources": {BATCH: "1"}}]}
    ),
}


@pytest.mark.parametrize("document", NONE.values(), ids=NONE)
def test_nothing_is_asked_for_by(document: Object) -> None:
    assert uncounted(document) == set()


UNREADABLE = {
    "requests": pod(app("app", {BATCH: "lots"}), app("b", {MID: "1"})),
    "a list": pod({"name": "app", "resources": {"requests": [1]}}, app("b", {MID: "1"})),
    "overhead": pod(app("b", {MID: "1"}), overhead={BATCH: "lots"}),
}


@pytest.mark.parametrize("document", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_left_out(document: Object) -> None:
    assert uncounted(document) == {MID}
