"""
Resizes of pods on a real API server, up and down, as ResourceQuota counts them in the same namespace.

There is no kubelet: the admin reports what one would. `test_who_pays` has a resize that is refused beside a limit.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.people import Person
from tests.cluster.quotas import Used, agreed
from tests.cluster.running import RunningWebhook, eventually
from tests.replicated.asking import Asking

POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 2, memory: 1Gi}}}\n"
COUNTED = ("pods", "requests.cpu", "requests.memory", "limits.cpu")


def a_pod(name: str, cpu: str, *, pod_level: str | None = None) -> str:
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "main",
                "image": "example/x",
                "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"cpu": "4"}},
            }
        ]
    }
    if pod_level is not None:
        spec["resources"] = {"requests": {"cpu": pod_level}, "limits": {"cpu": "8"}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def resize(person: Person, name: str, cpu: str, *, memory: str = "64Mi") -> str:
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    return _resize(person, name, {"containers": [{"name": "main", "resources": resources}]})


def resize_in_all(person: Person, name: str, cpu: str) -> str:
    """Change the request of the pod itself, which counts instead of those of its containers."""
    return _resize(person, name, {"resources": {"requests": {"cpu": cpu}}})


def _resize(person: Person, name: str, spec: dict[str, Any]) -> str:
    return person.run("patch", "pod", name, "--subresource=resize", "-p", json.dumps({"spec": spec}))


def report(person: Person, name: str, *, actual: str, allocated: str, why: str | None = None) -> None:
    """Report as the kubelet what a container has and was promised, and why the resize that it last saw waits."""
    container = {"name": "main", "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    container |= {
        "resources": {"requests": {"cpu": actual, "memory": "64Mi"}, "limits": {"cpu": "4"}},
        "allocatedResources": {"cpu": allocated, "memory": "64Mi"},
    }
    kubectl = person.running.cluster.kubectl
    seen = kubectl("get", "pod", name, "-n", person.place, "-o", "jsonpath={.metadata.generation}").stdout
    waits = {"type": "PodResizePending", "status": "True", "reason": why, "observedGeneration": int(seen)}
    conditions = [] if why is None else [waits]
    patch = {"status": {"phase": "Running", "containerStatuses": [container], "conditions": conditions}}
    arguments = ("--subresource=status", "--type=merge", "-p", json.dumps(patch))
    kubectl("patch", "pod", name, "-n", person.place, *arguments)


async def count(person: Person) -> Used:
    """Return what both count in the namespace; the policy is in force again afterwards."""
    async with Asking(person.running.cluster) as asking:
        [used] = await agreed(person.running, asking, person.place, [{"hard": dict.fromkeys(COUNTED, "1")}])
    person.running.set_policy(POLICY)
    return used


async def test_a_pod_grows_up_to_the_limit_and_gives_back_what_it_shrinks(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy(POLICY)
    person.create(a_pod("a", "500m"))

    refused = resize(person, "a", "2001m")
    assert "requested: requests.cpu=1501m, used: requests.cpu=500m, limited: requests.cpu=2" in refused
    assert "requested: requests.memory=961Mi, used: requests.memory=64Mi" in resize(person, "a", "1", memory="1025Mi")
    assert (await count(person))["requests.cpu"] == "500m"

    assert "patched" in resize(person, "a", "2")
    assert "requested: requests.cpu=1m, used: requests.cpu=" in resize(person, "a", "2001m")
    assert (await count(person))["requests.cpu"] == "2"

    assert "patched" in resize(person, "a", "700m")
    assert "exceeded quota" in person.create(a_pod("b", "1301m"))
    eventually(lambda: " created\n" in person.create(a_pod("b", "1300m")))
    assert await count(person) == {"pods": "2", "requests.cpu": "2", "requests.memory": "128Mi", "limits.cpu": "8"}


async def test_what_a_container_still_has_counts_until_a_shrink_is_real(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy(POLICY)
    person.create(a_pod("a", "2"))
    report(person, "a", actual="2", allocated="2")

    assert "patched" in resize(person, "a", "500m")
    assert (await count(person))["requests.cpu"] == "2"
    assert "exceeded quota" in person.create(a_pod("b", "1m"))

    report(person, "a", actual="2", allocated="500m")
    assert (await count(person))["requests.cpu"] == "2"

    report(person, "a", actual="500m", allocated="500m")
    assert (await count(person))["requests.cpu"] == "500m"
    assert " created\n" in person.create(a_pod("b", "1500m"))


@pytest.mark.parametrize(("why", "used"), [("Deferred", "2"), ("Infeasible", "500m")])
async def test_a_resize_that_waits_counts_and_one_that_cannot_be_done_does_not(
    running: RunningWebhook, person: Person, why: str, used: str
) -> None:
    """As in ResourceQuota. If the node can do it later after all, usage may exceed the limit, and nothing more fits."""
    running.set_policy(POLICY)
    person.create(a_pod("a", "500m"))
    report(person, "a", actual="500m", allocated="500m")

    assert "patched" in resize(person, "a", "2")
    assert (await count(person))["requests.cpu"] == "2"
    report(person, "a", actual="500m", allocated="500m", why=why)
    assert (await count(person))["requests.cpu"] == used
    assert (" created\n" in person.create(a_pod("b", "1"))) is (why == "Infeasible")

    report(person, "a", actual="2", allocated="2")
    assert (await count(person))["requests.cpu"] == ("3" if why == "Infeasible" else "2")
    assert "exceeded quota" in person.create(a_pod("c", "1m"))


async def test_what_is_said_about_an_earlier_resize_does_not_let_the_next_one_through(
    running: RunningWebhook, person: Person
) -> None:
    """The condition stays until the kubelet has looked at the next resize."""
    running.set_policy(POLICY)
    person.create(a_pod("a", "500m"))
    assert "patched" in resize(person, "a", "2")
    report(person, "a", actual="500m", allocated="500m", why="Infeasible")
    assert " created\n" in person.create(a_pod("b", "1"))

    refused = resize(person, "a", "1500m")
    assert "requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2" in refused
    assert "patched" in resize(person, "a", "1")


@pytest.mark.needs("resizes of pods with resources of their own")
async def test_a_resize_of_a_pod_in_all_counts_instead_of_those_of_its_containers(
    running: RunningWebhook, person: Person
) -> None:
    running.set_policy(POLICY)
    person.create(a_pod("a", "500m", pod_level="1"))
    assert "patched" in resize(person, "a", "900m")
    assert (await count(person))["requests.cpu"] == "1"

    refused = resize_in_all(person, "a", "2001m")
    assert "requested: requests.cpu=1001m, used: requests.cpu=1, limited: requests.cpu=2" in refused
    assert "patched" in resize_in_all(person, "a", "2")
    assert "exceeded quota" in person.create(a_pod("b", "1m"))
    assert await count(person) == {"pods": "1", "requests.cpu": "2", "requests.memory": "64Mi", "limits.cpu": "8"}

    assert "patched" in resize_in_all(person, "a", "1500m")
    eventually(lambda: " created\n" in person.create(a_pod("b", "500m")))
