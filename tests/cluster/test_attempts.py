"""What a hostile person tries with fields, names and references that are valid and that nobody writes by mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.older import before_the_installation
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_claims import storage_class
from tests.cluster.test_who_pays import OWNER, stamped
from tests.cluster.workloads import deployment, listed, read

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 1}}}\n"
Named = Callable[[str], Person]


@pytest.mark.parametrize(
    "told",
    [
        {"status": {"phase": "Succeeded"}},
        {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}},
        {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "uid": "made-up"}},
        {"metadata": {"annotations": {OWNER: "bob", "userquota.dev/groups": "[1,"}, "labels": None}},
    ],
    ids=["ended", "deleted", "older", "of another"],
)
def test_what_a_new_pod_says_of_itself_makes_it_no_cheaper(
    running: RunningWebhook, place: str, named: Named, told: dict[str, Any]
) -> None:
    running.set_policy(POLICY)
    alice = named("alice")
    body = pod_body("first")
    for field, values in told.items():
        body[field] = {**body.get(field, {}), **values}

    assert alice.run("create", "--validate=false", "-f", "-", stdin=json.dumps(body)) == "pod/first created\n"
    assert stamped(running, place, "pod", "first")[OWNER] == alice.name
    assert "requested: pods=1, used: pods=1, limited: pods=1" in alice.create(pod("second"))


@pytest.mark.parametrize("name", ["öä ü", "a" * 4000, "x\u202ey", "somebody/else", "a,b"])
def test_a_strange_login_is_charged_as_any_other(running: RunningWebhook, place: str, named: Named, name: str) -> None:
    running.set_policy(POLICY)
    who = Person(running, place, f"{named('x').name} {name}")

    assert who.create(pod("first")) == "pod/first created\n"
    assert stamped(running, place, "pod", "first")[OWNER] == who.name
    assert "used: pods=1, limited: pods=1" in who.create(pod("second"))


@pytest.mark.parametrize("name", ["../../x?y=%2e#ü", "n" * 3000, "A B"])
def test_a_reference_to_a_name_that_is_no_name_fails_no_call(
    running: RunningWebhook, place: str, named: Named, name: str
) -> None:
    """The API server takes any text for the name of an owner, which we would read by its path."""
    alice = named("alice")
    assert " created\n" in alice.create(json.dumps(deployment("web", replicas=0)))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": "x", "controller": True}
    body = {**deployment("made"), "kind": "ReplicaSet"}
    body["metadata"]["ownerReferences"] = [reference]
    body["spec"]["replicas"] = 0

    said = alice.run("patch", "deployment", "web", "-p", json.dumps({"metadata": {"ownerReferences": [reference]}}))

    assert said == "deployment.apps/web patched\n"
    assert alice.create(json.dumps(body)) == "replicaset.apps/made created\n"


def test_a_controller_that_a_person_writes_makes_nobody_else_pay(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    assert " created\n" in bob.create(json.dumps(deployment("web", replicas=0)))
    uid = read(running, place, "deployment", "web")["metadata"]["uid"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": True}
    body = pod_body("hers")
    body["metadata"]["ownerReferences"] = [reference]

    assert alice.create(json.dumps(body)) == "pod/hers created\n"
    assert stamped(running, place, "pod", "hers")[OWNER] == alice.name
    twice = {**body, "metadata": {"name": "twice", "ownerReferences": [reference, {**reference, "uid": "other"}]}}
    assert "Only one reference can have Controller set to true" in alice.create(json.dumps(twice))


def pod_body(name: str) -> dict[str, Any]:
    """Return a pod without requests."""
    spec = {"containers": [{"name": "main", "image": "example/x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def stateful(name: str, template: str, *, replicas: int, size: str = "1Gi") -> str:
    labels = {"app": f"{name}-of-{template}"}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "plain",
        "resources": {"requests": {"storage": size}},
    }
    container = {"name": "main", "image": "example/x"}
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        "volumeClaimTemplates": [{"metadata": {"name": template}, "spec": claim}],
    }
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec})


def test_a_set_pays_for_claims_of_its_own_pods_though_another_makes_such_names(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy("version: 1\n")
    storage_class(running, "plain")
    alice, bob = named("alice"), named("bob")

    def claims() -> dict[str, str]:
        listing = listed(running, place, "persistentvolumeclaims")
        return {each["metadata"]["name"]: each["metadata"]["annotations"][OWNER] for each in listing}

    assert " created\n" in bob.create(stateful("my-db", "data", replicas=1))
    eventually(lambda: len(claims()) == 1)
    assert " created\n" in alice.create(stateful("db", "data-my", replicas=3, size="5Ti"))
    eventually(lambda: len(claims()) == 3)

    payers = [bob.name, alice.name, alice.name]
    assert claims() == {f"data-my-db-{number}": payer for number, payer in enumerate(payers)}


def test_a_replica_set_that_does_not_fit_beside_anothers_stops_no_controller(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    running.set_policy(f"version: 1\nusers: {{{bob.name}: {{hard: {{count/replicasets.apps: 1}}}}}}\n")
    assert " created\n" in bob.create(json.dumps(deployment("web", replicas=0)))
    eventually(lambda: len(listed(running, place, "replicasets")) == 1)
    alike = deployment("alike", replicas=0) | {"kind": "ReplicaSet"}
    alike["metadata"]["labels"] = {"app": "web"}
    for part in (alike["spec"]["selector"]["matchLabels"], alike["spec"]["template"]["metadata"]["labels"]):
        part |= {"app": "web", "more": "x"}

    assert " created\n" in alice.create(json.dumps(alike))
    assert "scaled" in bob.run("scale", "deployment", "web", "--replicas=2")

    eventually(lambda: len(listed(running, place, "pods")) == 2)


def test_a_set_that_is_made_anew_over_pods_that_nobody_owns_can_be_scaled(
    running: RunningWebhook, place: str, named: Named
) -> None:
    storage_class(running, "plain")
    alice = named("alice")
    with before_the_installation(running):
        running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=stateful("db", "data", replicas=3))
        eventually(lambda: len(listed(running, place, "pods")) == 3)
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 2}}}\n")

    alice.delete("statefulset", "db", "--cascade=orphan")
    assert " created\n" in alice.create(stateful("db", "data", replicas=3))
    assert "scaled" in alice.run("scale", "statefulset", "db", "--replicas=1")

    eventually(lambda: len(listed(running, place, "pods")) == 1)


def test_a_login_is_no_part_of_anothers_limits(running: RunningWebhook, place: str, named: Named) -> None:
    part = "scoped: [{scopes: [BestEffort], hard: {pods: 1}}]"
    running.set_policy(f"version: 1\ndefaults: {{user: {{hard: {{pods: 9}}, {part}}}}}\n")
    alice = named("alice")

    assert " created\n" in Person(running, place, f"{alice.name} [BestEffort]").create(pod("his"))
    assert " created\n" in alice.create(json.dumps(pod_body("hers")))
