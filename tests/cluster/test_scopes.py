"""
Limits on a part of the objects, on a real API server: they bind, and count what ResourceQuotas of the same scopes do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.cluster.people import Person
from tests.cluster.quotas import agreed, away, selecting
from tests.cluster.running import RunningWebhook
from tests.cluster.test_claims import storage_class
from tests.replicated.asking import Asking

URGENT, CALM = "scopes-urgent", "scopes-calm"
GOLD, SILVER, BRONZE = "scopes-gold", "scopes-silver", "scopes-bronze"
POD = "/api/v1/namespaces/{}/pods/{}"

OF_PODS: dict[str, dict[str, Any]] = {
    "best effort": {"scopes": ["BestEffort"], "hard": {"pods": "1"}},
    "not best effort": {"scopes": ["NotBestEffort"], "hard": {"pods": "1", "requests.cpu": "1", "limits.memory": "1"}},
    "terminating": {"scopes": ["Terminating"], "hard": {"pods": "1", "requests.cpu": "1"}},
    "not terminating": {"scopes": ["NotTerminating"], "hard": {"pods": "1", "requests.cpu": "1"}},
    "urgent": selecting("PriorityClass", "In", URGENT, "other", **{"pods": "1", "requests.cpu": "1"}),
    "not urgent": selecting("PriorityClass", "NotIn", URGENT, pods="1"),
    "of a class": selecting("PriorityClass", pods="1"),
    "of no class": selecting("PriorityClass", "DoesNotExist", pods="1"),
    "away from others": selecting("CrossNamespacePodAffinity", pods="1"),
    "best effort and terminating": {"scopes": ["BestEffort", "Terminating"], "hard": {"pods": "1"}},
    "urgent and not best effort": {
        "scopes": ["NotBestEffort"],
        **selecting("PriorityClass", "In", URGENT, pods="1"),
    },
}
"""Quotas; in these numbers only the names matter."""


@pytest.fixture(scope="module", autouse=True)
def _classes(running: RunningWebhook) -> Iterator[None]:
    storage_class(running, "plain")
    made = [priority_class(URGENT, 2000), priority_class(CALM, 1000), *map(volume_class, (GOLD, SILVER, BRONZE))]
    for each in made:
        running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(each))
    yield
    for each in made:
        running.cluster.kubectl("delete", each["kind"], each["metadata"]["name"])


def priority_class(name: str, value: int) -> dict[str, Any]:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}


def volume_class(name: str) -> dict[str, Any]:
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": name}}
    return {**body, "driverName": "example.com", "parameters": {"speed": name}}


def a_pod(
    name: str, *, requests: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None, **spec: Any
) -> str:
    resources = {"requests": requests or {}, "limits": limits or {}}
    spec["containers"] = [{"name": "main", "image": "example/x", "resources": resources}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def limited_to(*scoped: Mapping[str, Any]) -> str:
    return json.dumps({"version": 1, "defaults": {"user": {"scoped": scoped}}})


async def test_each_scope_counts_what_a_resource_quota_of_this_scope_counts(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy("version: 1\n")
    cpu, memory = {"cpu": "100m"}, {"memory": "64Mi"}
    for manifest in (
        a_pod("bare"),
        a_pod("with-limits", limits=cpu | memory),
        a_pod("with-memory", requests=memory),
        a_pod("with-a-device", limits={"example.com/gpu": "1"}),
        a_pod("in-all", resources={"requests": cpu}),
        a_pod("ends", activeDeadlineSeconds=60),
        a_pod("ends-soon", requests=cpu, activeDeadlineSeconds=1),
        a_pod("urgent", priorityClassName=URGENT),
        a_pod("urgent-and-more", requests=cpu, priorityClassName=URGENT),
        a_pod("calm", requests=cpu, priorityClassName=CALM),
        a_pod("away", affinity=away("other")),
        a_pod("selecting", affinity=away(namespaceSelector={"matchLabels": {"team": "ads"}})),
        a_pod("everywhere", affinity=away(namespaceSelector={})),
        a_pod("at-home", affinity=away()),
    ):
        assert " created\n" in person.create(manifest)

    async with Asking(running.cluster) as asking:
        used = await agreed(running, asking, person.place, list(OF_PODS.values()))

    assert {name: each["pods"] for name, each in zip(OF_PODS, used, strict=True)} == {
        "best effort": "8",
        "not best effort": "6",
        "terminating": "2",
        "not terminating": "12",
        "urgent": "2",
        "not urgent": "12",
        "of a class": "3",
        "of no class": "11",
        "away from others": "3",
        "best effort and terminating": "1",
        "urgent and not best effort": "1",
    }


IN_SCOPE: dict[str, dict[str, Any]] = {
    "best effort": {},
    "not best effort": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Mi"}},
    "terminating": {"activeDeadlineSeconds": 60},
    "urgent": {"priorityClassName": URGENT},
    "of a class": {"priorityClassName": CALM},
    "away from others": {"affinity": away("other")},
    "best effort and terminating": {"activeDeadlineSeconds": 60},
    "urgent and not best effort": {"priorityClassName": URGENT, "requests": {"cpu": "1"}},
}
BESIDE: dict[str, dict[str, Any]] = {
    "best effort": IN_SCOPE["not best effort"],
    "not best effort": {},
    "best effort and terminating": {"activeDeadlineSeconds": 60, "requests": {"cpu": "1"}},
    "urgent and not best effort": {"priorityClassName": URGENT},
}
"""Pods that the limit does not count; elsewhere the bare one."""


@pytest.mark.parametrize("name", IN_SCOPE)
def test_a_scoped_limit_refuses_one_more_of_its_scope_and_nothing_else(
    running: RunningWebhook, person: Person, name: str
) -> None:
    quota = {**OF_PODS[name], "hard": {"pods": "1"}}
    running.set_policy(limited_to(quota))

    assert " created\n" in person.create(a_pod("first", **IN_SCOPE[name]))
    assert "exceeded quota: defaults.user.scoped[0], requested: pods=1" in person.create(
        a_pod("second", **IN_SCOPE[name])
    )
    assert " created\n" in person.create(a_pod("beside", **BESIDE.get(name, {})))


WITH_DEADLINE = {"spec": {"activeDeadlineSeconds": 60}}
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
WAYS = {"a PUT": "", "a merge patch": MERGE, "a strategic merge patch": STRATEGIC, "a JSON patch": JSON_PATCH}
WAYS |= {"server-side apply": APPLY}


async def set_deadline(asking: Asking, place: str, name: str, way: str) -> tuple[int, str]:
    """Return the status and the message of giving a pod a deadline."""
    path, kind = POD.format(place, name), WAYS[way]
    if way == "a PUT":
        stored = json.loads((await asking.ask("GET", path)).text)
        stored["spec"] |= WITH_DEADLINE["spec"]
        answer = await asking.ask("PUT", path, body=stored)
    elif way == "a JSON patch":
        operation = {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 60}
        answer = await asking.ask("PATCH", path, body=[operation], content_type=kind)
    elif way == "server-side apply":
        applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **WITH_DEADLINE}
        answer = await asking.ask("PATCH", f"{path}?fieldManager=test", body=applied, content_type=kind)
    else:
        answer = await asking.ask("PATCH", path, body=WITH_DEADLINE, content_type=kind)
    return answer.status, answer.message if answer.status >= 400 else ""


async def test_a_pod_that_gets_a_deadline_has_to_fit_among_the_terminating_ones(
    running: RunningWebhook, person: Person
) -> None:
    """As many fit as there are ways to set it. The last pod gets none, and stays among those that do not terminate."""
    hard = {"pods": str(len(WAYS)), "requests.cpu": "9"}
    running.set_policy(limited_to({"scopes": ["Terminating"], "hard": hard}))
    names = [f"pod-{number}" for number in range(len(WAYS) + 1)]
    for name in names:
        assert " created\n" in person.create(a_pod(name, requests={"cpu": "1"}))

    async with Asking(running.cluster) as asking:
        for name, way in zip(names[:-1], WAYS, strict=True):
            assert await set_deadline(asking, person.place, name, way) == (200, ""), way
        refused = [await set_deadline(asking, person.place, names[-1], way) for way in WAYS]
        longer = await set_deadline(asking, person.place, names[0], "a merge patch")
        quotas = [OF_PODS["terminating"], OF_PODS["not terminating"]]
        used = await agreed(running, asking, person.place, quotas)

    assert longer == (200, "")
    assert [status for status, _ in refused] == [403] * len(WAYS)
    clause = "exceeded quota: defaults.user.scoped[0], requested: pods=1, used: pods="
    assert all(clause in message for _, message in refused), refused
    assert used == [{"pods": "5", "requests.cpu": "5"}, {"pods": "1", "requests.cpu": "1"}]


OF_CLAIMS = [
    selecting("VolumeAttributesClass", operator, *values, persistentvolumeclaims="1", **{"requests.storage": "1"})
    for operator, values in (
        ("In", (GOLD,)),
        ("In", (SILVER,)),
        ("NotIn", (GOLD,)),
        ("Exists", ()),
        ("DoesNotExist", ()),
    )
]


def create_bound(person: Person, name: str, volume_class: str) -> None:
    """Create a claim with its volume: the class of a claim can be changed once it is bound."""
    metadata, capacity = {"name": f"{person.place}-{name}"}, {"storage": "1Gi"}
    volume = {
        "capacity": capacity,
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "plain",
        "volumeAttributesClassName": volume_class,
        "claimRef": {"namespace": person.place, "name": name},
        "csi": {"driver": "example.com", "volumeHandle": name},
    }
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}
    person.running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    assert " created\n" in person.create(a_claim(name, volume_class, volumeName=metadata["name"]))
    path = ("pvc", name, "-n", person.place)
    person.running.cluster.kubectl("wait", *path, "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")


def a_claim(name: str, volume_class: str | None, **more: str) -> str:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "plain",
        "resources": {"requests": {"storage": "1Gi"}},
        **({} if volume_class is None else {"volumeAttributesClassName": volume_class}),
        **more,
    }
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
    return json.dumps(body)


async def test_a_claim_counts_in_its_old_class_and_the_new_one_until_the_change_is_done(
    running: RunningWebhook, person: Person
) -> None:
    """What the storage's controllers report of a change is counted and never refused, as of an expansion."""
    policy = limited_to(selecting("VolumeAttributesClass", "In", SILVER, persistentvolumeclaims="1"))
    running.set_policy(policy)
    create_bound(person, "changed", GOLD)
    assert " created\n" in person.create(a_claim("without", None))
    assert " created\n" in person.create(a_claim("silver", SILVER))

    def move() -> str:
        patch = json.dumps({"spec": {"volumeAttributesClassName": SILVER}})
        return person.run("patch", "pvc", "changed", "-p", patch)

    def report(**status: object) -> None:
        patch = json.dumps({"status": status})
        arguments = ("-n", person.place, "--subresource=status", "--type=merge", "-p", patch)
        running.cluster.kubectl("patch", "pvc", "changed", *arguments)

    assert "exceeded quota: defaults.user.scoped[0], requested: persistentvolumeclaims=1" in move()
    report(currentVolumeAttributesClassName=GOLD)
    async with Asking(running.cluster) as asking:

        async def count() -> list[str]:
            used = await agreed(running, asking, person.place, OF_CLAIMS)
            running.set_policy(policy)
            return [each["persistentvolumeclaims"] for each in used]

        assert await count() == ["1", "1", "2", "2", "1"]
        report(modifyVolumeStatus={"targetVolumeAttributesClassName": SILVER, "status": "InProgress"})
        assert await count() == ["1", "2", "3", "2", "1"]
        person.delete("pvc", "silver")
        assert await count() == ["1", "1", "2", "1", "1"]
        assert "patched" in move()
        report(currentVolumeAttributesClassName=SILVER, modifyVolumeStatus=None)
        assert await count() == ["0", "1", "2", "1", "1"]
    assert "exceeded quota" in person.create(a_claim("another", SILVER))
    running.cluster.kubectl("delete", "pv", f"{person.place}-changed", "--wait=false")
