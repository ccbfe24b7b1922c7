"""Claims on a real API server: by people and controllers, grown and shrunk in every way, at the limit and beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_main_job import events
from tests.cluster.test_who_pays import OWNER, run, stamped

POLICY = """\
version: 1
defaults:
  user: {hard: {storage: 10Gi, late.storageclass.storage.k8s.io/requests.storage: 1Gi, persistentvolumeclaims: 3}}
"""


def a_claim(name: str, storage: str, *, class_name: str | None = "plain", volume: str | None = None) -> str:
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }
    if class_name is not None:
        claim["spec"]["storageClassName"] = class_name
    if volume is not None:
        claim["spec"]["volumeName"] = volume
    return json.dumps(claim)


def create(running: RunningWebhook, place: str, claim: str, *, user: str = "alice") -> str:
    return run(running, place, "create", "-f", "-", user=user, stdin=claim)


def storage_class(running: RunningWebhook, name: str, *, is_default: bool = False) -> None:
    document = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"} if is_default else {},
        },
        "provisioner": "example.com/none",
        "allowVolumeExpansion": True,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    running.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))


@pytest.fixture(autouse=True)
def _plain_class(running: RunningWebhook) -> None:
    storage_class(running, "plain")


def test_claims_are_charged_to_their_maker_up_to_the_limit(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)

    assert " created\n" in create(running, place, a_claim("a", "9Gi"))
    assert "exceeded quota: defaults.user, requested: requests.storage=1025Mi" in create(
        running, place, a_claim("b", "1073741825")
    )
    assert " created\n" in create(running, place, a_claim("b", "1Gi"))
    assert "exceeded quota" in create(running, place, a_claim("c", "1"))
    assert " created\n" in create(running, place, a_claim("c", "10Gi"), user="bob")
    assert stamped(running, place, "pvc", "a")[OWNER] == "alice"

    run(running, place, "delete", "pvc", "b", user="alice")
    eventually(lambda: " created\n" in create(running, place, a_claim("d", "1Gi")))


def test_the_number_of_claims_is_limited(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    for name in ("a", "b", "c"):
        assert " created\n" in create(running, place, a_claim(name, "1Gi"))

    assert "would fit: nothing until a claim is deleted" in create(running, place, a_claim("d", "1Gi"))


# Only a bound claim can grow, and the binder binds at once where volume and claim name each other.


def create_bound(running: RunningWebhook, place: str, name: str, storage: str) -> None:
    """Create a claim of alice with its volume."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{place}-{name}"},
        "spec": {
            "capacity": {"storage": storage},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "plain",
            "claimRef": {"namespace": place, "name": name},
            "csi": {"driver": "example.com", "volumeHandle": name},
        },
    }
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(volume))
    create(running, place, a_claim(name, storage, volume=f"{place}-{name}"))
    phase = ("get", "pvc", name, "-n", place, "-o", "jsonpath={.status.phase}")
    eventually(lambda: running.cluster.kubectl(*phase).stdout == "Bound")


def grown(storage: str) -> str:
    return json.dumps({"spec": {"resources": {"requests": {"storage": storage}}}})


WAYS = {
    "a merge patch": ("patch", "pvc", "a", "--type=merge", "-p", grown("{}")),
    "a strategic merge patch": ("patch", "pvc", "a", "--type=strategic", "-p", grown("{}")),
    "a JSON patch": (
        "patch",
        "pvc",
        "a",
        "--type=json",
        "-p",
        '[{"op": "replace", "path": "/spec/resources/requests/storage", "value": "{}"}]',
    ),
    "kubectl apply": ("apply", "-f", "-"),
    "server-side apply": ("apply", "--server-side", "--force-conflicts", "-f", "-"),
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS.keys())
def test_a_claim_grows_up_to_the_limit_in_every_way(
    running: RunningWebhook, place: str, words: tuple[str, ...]
) -> None:
    running.set_policy(POLICY)
    create_bound(running, place, "a", "2Gi")
    create(running, place, a_claim("b", "3Gi"))

    def grow(storage: str) -> str:
        filled = [word.replace("{}", storage) for word in words]
        return run(running, place, *filled, user="alice", stdin=a_claim("a", storage, volume=f"{place}-a"))

    assert "exceeded quota: defaults.user, requested: requests.storage=5121Mi" in grow("7516192769")
    grow("7Gi")
    assert "free: requests.storage=0" in create(running, place, a_claim("c", "1"))


def test_an_expansion_that_is_called_off_is_credited_when_it_is_given_back(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    create_bound(running, place, "a", "2Gi")
    run(running, place, "patch", "pvc", "a", "-p", grown("9Gi"), user="alice")

    def report(**allocated: str | None) -> str:
        patch = json.dumps({"status": {"allocatedResources": allocated}})
        return run(running, place, "patch", "pvc", "a", "--subresource=status", "-p", patch, user="admin")

    assert "patched" in report(storage="9Gi")
    assert "patched" in run(running, place, "patch", "pvc", "a", "-p", grown("3Gi"), user="alice")
    assert "used: requests.storage=9Gi" in create(running, place, a_claim("b", "2Gi"))

    assert "patched" in report(storage="3Gi")
    eventually(lambda: " created\n" in create(running, place, a_claim("b", "7Gi")))


def test_a_status_above_the_limit_is_counted_and_not_refused(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    create_bound(running, place, "a", "2Gi")

    patch = json.dumps({"status": {"allocatedResources": {"storage": "20Gi"}}})
    answer = run(running, place, "patch", "pvc", "a", "--subresource=status", "-p", patch, user="admin")

    assert "patched" in answer
    assert "exceeded quota" in create(running, place, a_claim("b", "1"))


def test_a_default_class_that_comes_later_moves_the_charge(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    create(running, place, a_claim("a", "2Gi", class_name=None))

    storage_class(running, "late", is_default=True)
    try:
        eventually(lambda: class_of(running, place, "a") == "late")
        refused = create(running, place, a_claim("b", "1", class_name="late"))
        assert "used: late.storageclass.storage.k8s.io/requests.storage=2Gi" in refused
        assert " created\n" in create(running, place, a_claim("c", "1"))
    finally:
        running.cluster.kubectl("delete", "storageclass", "late")


def owner_of(running: RunningWebhook, place: str, name: str) -> str:
    """Return who pays for a claim that a controller makes in its own time: "" until it exists."""
    owner = f"jsonpath={{.metadata.annotations.{OWNER.replace('.', chr(92) + '.')}}}"
    return running.cluster.kubectl("get", "pvc", name, "-n", place, "--ignore-not-found", "-o", owner).stdout


def class_of(running: RunningWebhook, place: str, name: str) -> str:
    return running.cluster.kubectl("get", "pvc", name, "-n", place, "-o", "jsonpath={.spec.storageClassName}").stdout


def test_the_owner_of_a_stateful_set_pays_for_its_claims(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    document = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "main", "image": "example/x"}]},
            },
            "volumeClaimTemplates": [json.loads(a_claim("data", "6Gi"))],
        },
    }

    assert " created\n" in run(running, place, "create", "-f", "-", user="carol", stdin=json.dumps(document))

    eventually(lambda: owner_of(running, place, "data-db-0") == "carol")
    eventually(lambda: "exceeded quota: defaults.user, requested: requests.storage=6Gi" in events(running, place))


def test_the_owner_of_a_pod_pays_for_its_ephemeral_volumes(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    volume = {
        "name": "scratch",
        "ephemeral": {"volumeClaimTemplate": {"spec": json.loads(a_claim("x", "4Gi"))["spec"]}},
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker"},
        "spec": {"containers": [{"name": "main", "image": "example/x"}], "volumes": [volume]},
    }

    assert " created\n" in run(running, place, "create", "-f", "-", user="carol", stdin=json.dumps(document))

    eventually(lambda: owner_of(running, place, "worker-scratch") == "carol")
    assert "used: requests.storage=4Gi" in create(running, place, a_claim("more", "7Gi"), user="carol")
