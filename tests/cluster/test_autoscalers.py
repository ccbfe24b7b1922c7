"""Room that is set aside for what an autoscaler may add, with the autoscaler and the controllers of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cli.running import in_process
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import run
from tests.cluster.workloads import deployment, listed

Named = Callable[[str], Person]
SET_ASIDE = "version: 1\nreserve: [autoscalers]\ndefaults: {user: {hard: {pods: 6, cpu: 600m}}}\n"


def autoscaler(most: int, *, least: int = 1, name: str = "web") -> str:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec: dict[str, Any] = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most}
    document = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}}
    return json.dumps({**document, "spec": spec})


def a_pod(name: str, cpu: str = "100m") -> str:
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": cpu}}}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    return json.dumps({**document, "spec": {"containers": [container]}})


def count(running: RunningWebhook, place: str) -> int:
    return len(listed(running, place, "pods"))


def tried(person: Person, manifest: str, expected: str) -> str:
    """Return what is told of *manifest* once API servers ask about autoscalers: the first policy says that they do."""
    told = ""

    def is_told() -> bool:
        nonlocal told
        told = person.run("create", "--dry-run=server", "-f", "-", stdin=manifest)
        return expected in told

    eventually(is_told, what=lambda: told)
    return told


def told_of(person: Person, cpu: str) -> str:
    """Return the answer to a dry-run of a pod of that size."""
    return person.run("create", "--dry-run=server", "-f", "-", stdin=a_pod("tried", cpu))


def started(running: RunningWebhook, place: str, person: Person, *, replicas: int) -> None:
    """Create a Deployment, and wait until it has all pods."""
    assert " created\n" in person.create(json.dumps(deployment("web", replicas=replicas)))
    eventually(lambda: count(running, place) == replicas)


def test_what_an_autoscaler_may_add_is_set_aside_and_goes_to_its_pods(
    running: RunningWebhook, place: str, view: None, named: Named
) -> None:
    running.set_policy(SET_ASIDE)
    alice = named("alice")
    started(running, place, alice, replicas=2)
    refused = tried(alice, autoscaler(7), "larger than quota: defaults.user")
    assert "requested: pods=5, used: pods=2, limited: pods=6" in refused, refused
    assert " created\n" in alice.create(autoscaler(5))

    assert " created\n" in alice.create(a_pod("beside"))
    told = alice.create(a_pod("one-more"))
    assert "requested: pods=1, used: pods=3, limited: pods=6" in told, told
    assert "pods=3,requests.cpu=300m set aside for what autoscalers and sessions may add" in told, told
    kubeconfig = ("--kubeconfig", str(running.cluster.kubeconfig("admin")), "--as", alice.name)
    allocations = [line.split() for line in in_process("get", "allocations", *kubeconfig).out.splitlines()]
    assert ["pods", "used", "6", "=", "3", "committed", "+", "3", "reserved"] in allocations
    assert any(each[0].startswith("horizontalpodautoscalers") and each[4:6] == ["may", "grow"] for each in allocations)
    assert " configured\n" in run(running, place, "apply", "-f", "-", user="admin", stdin=autoscaler(5, least=5))
    eventually(lambda: count(running, place) == 6)


def test_the_owner_of_the_workload_pays_whoever_makes_the_autoscaler_and_a_restart_loses_nothing(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(SET_ASIDE)
    alice, other = named("alice"), named("other")  # as KEDA makes the autoscaler of a ScaledObject
    started(running, place, alice, replicas=2)
    tried(alice, autoscaler(7), "larger than quota: defaults.user")
    assert " created\n" in other.create(autoscaler(4))
    assert "reserved: requests.cpu=200m, free: requests.cpu=200m" in told_of(alice, "400m")
    told = other.run("apply", "-f", "-", stdin=autoscaler(8))
    assert (
        "larger than quota: defaults.user, requested: pods=4, used: pods=2, limited: pods=6, reserved: pods=2" in told
    ), told
    assert f"charged to {alice.name} (pays for the workload that it scales)" in told, told
    assert "set aside" not in told, told  # what it keeps itself is in nobody's way

    running.kill()
    running.start()
    running.wait_until_ready()
    assert "reserved: requests.cpu=200m, free: requests.cpu=200m" in told_of(alice, "400m")
    assert "deleted" in run(running, place, "delete", "hpa", "web", user="admin")
    eventually(lambda: " created " in told_of(alice, "400m"))


def test_what_is_set_aside_follows_the_template_of_the_workload(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(SET_ASIDE)
    alice = named("alice")
    assert " created\n" in alice.create(autoscaler(3))
    started(running, place, alice, replicas=1)  # no event of the autoscaler says what is set aside now
    eventually(lambda: "reserved: requests.cpu=200m" in told_of(alice, "500m"))

    web = deployment("web", replicas=1)
    web["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "150m"
    web["spec"]["strategy"] = {"type": "Recreate"}
    alice.run("apply", "-f", "-", stdin=json.dumps(web))
    counted = "used: requests.cpu=150m, limited: requests.cpu=600m, reserved: requests.cpu=300m"
    eventually(lambda: counted in told_of(alice, "500m"), what=lambda: told_of(alice, "500m"))


def test_nothing_is_set_aside_while_the_policy_does_not_ask_for_it(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(SET_ASIDE)
    alice = named("alice")
    started(running, place, alice, replicas=1)
    assert " created\n" in alice.create(autoscaler(5))
    eventually(lambda: "reserved: requests.cpu=400m" in told_of(alice, "500m"))
    running.set_policy(SET_ASIDE.replace("reserve: [autoscalers]\n", ""))
    eventually(lambda: " created " in told_of(alice, "500m"))
    running.set_policy(SET_ASIDE)
    eventually(lambda: "reserved: requests.cpu=400m" in told_of(alice, "500m"))
