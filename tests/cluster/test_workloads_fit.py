"""Whoever makes, edits or scales a workload is told at once how many of its pods fit; or is refused, by the policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import run
from tests.cluster.workloads import deployment, listed, pod_owners

Named = Callable[[str], Person]
WARN = "version: 1\ndefaults: {user: {hard: {pods: 3, cpu: 400m, storage: 2Gi}}}\n"
DENY = "version: 1\ndefaults: {user: {hard: {pods: 3, cpu: 400m, storage: 2Gi}, workloads: deny}}\n"
LABELS = {"app": "w"}
SELECTED: dict[str, Any] = {"selector": {"matchLabels": LABELS}, "template": deployment("w")["spec"]["template"]}
JOB = {
    "parallelism": 5,
    "completions": 9,
    "template": {"spec": {**SELECTED["template"]["spec"], "restartPolicy": "Never"}},
}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def workload(kind: str, version: str, spec: dict[str, Any], name: str = "w") -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})


def count(running: RunningWebhook, place: str) -> int:
    return len(listed(running, place, "pods"))


@dataclass(frozen=True)
class Made:
    """A workload, what its author is told, and how many pods there are in the end."""

    kind: str
    version: str
    spec: dict[str, Any] = field(default_factory=dict)
    told: str = ""
    pods: int = 0


NEW = {
    "a Deployment": Made("Deployment", "apps/v1", {**SELECTED, "replicas": 20}, "3 of 20 replicas fit now", 3),
    "a ReplicaSet": Made("ReplicaSet", "apps/v1", {**SELECTED, "replicas": 4}, "3 of 4 replicas fit now", 3),
    "a ReplicationController": Made(
        "ReplicationController",
        "v1",
        {"selector": LABELS, "template": SELECTED["template"], "replicas": 4},
        "3 of 4 replicas fit now",
        3,
    ),
    "a StatefulSet": Made(
        "StatefulSet",
        "apps/v1",
        {**SELECTED, "replicas": 5, "serviceName": "w", "podManagementPolicy": "Parallel"},
        "3 of 5 replicas fit now",
        3,
    ),
    "a StatefulSet with claims": Made(
        "StatefulSet",
        "apps/v1",
        {
            **SELECTED,
            "replicas": 3,
            "serviceName": "w",
            "podManagementPolicy": "Parallel",
            "volumeClaimTemplates": [CLAIM],
        },
        "2 of 3 replicas fit now: over quota defaults.user: requests.storage requested 3Gi, free 2Gi of 2Gi",
        2,
    ),
    "a Job": Made("Job", "batch/v1", JOB, "3 of 5 parallel pods fit now", 3),
    "a suspended Job": Made("Job", "batch/v1", {**JOB, "suspend": True}),
    "a CronJob": Made(
        "CronJob",
        "batch/v1",
        {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}},
        "3 of 5 parallel pods fit now",
    ),
    "a Deployment that fits": Made("Deployment", "apps/v1", {**SELECTED, "replicas": 3}, "", 3),
}


@pytest.mark.parametrize("case", NEW.values(), ids=NEW.keys())
def test_the_author_is_told_what_then_comes_true(running: RunningWebhook, place: str, named: Named, case: Made) -> None:
    running.set_policy(WARN)
    alice = named("alice")

    told = alice.create(workload(case.kind, case.version, case.spec))

    assert " created\n" in told
    assert f"Warning: {case.told}" in told if case.told else "Warning" not in told
    eventually(lambda: count(running, place) == case.pods)


@pytest.mark.parametrize("case", NEW.values(), ids=NEW.keys())
def test_where_the_policy_denies_nothing_is_made_that_does_not_fit(
    running: RunningWebhook, place: str, named: Named, case: Made
) -> None:
    running.set_policy(DENY)
    alice = named("alice")

    told = alice.create(workload(case.kind, case.version, case.spec))

    if not case.told:
        assert " created\n" in told
        return
    assert " quota: defaults.user, requested:" in told
    assert f"would fit: {case.told.partition(' fit')[0]}; charged to {alice.name}" in told
    assert "NotFound" in alice.run("get", case.kind, "w")
    assert count(running, place) == 0


def test_every_way_to_scale_has_the_same_verdict(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(WARN)
    alice = named("alice")
    alice.create(json.dumps(deployment("w", replicas=2)))
    eventually(lambda: count(running, place) == 2)
    nine = json.dumps({"spec": {"replicas": 9}})
    ways: dict[str, Callable[[], str]] = {
        "scale": lambda: alice.run("scale", "deployment", "w", "--replicas=9"),
        "patch": lambda: alice.run("patch", "deployment", "w", "-p", nine),
        "patch of the scale": lambda: alice.run("patch", "deployment", "w", "--subresource=scale", "-p", nine),
        "apply": lambda: alice.run(
            "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(deployment("w", replicas=9))
        ),
    }

    told = {}
    for way, act in ways.items():
        told[way] = act()
        assert "scaled" in alice.run("scale", "deployment", "w", "--replicas=2")
        eventually(lambda: count(running, place) == 2)

    said = "3 of 9 replicas fit now: over quota defaults.user: pods requested 7, free 1 of 3"
    assert {way: said in text for way, text in told.items()} == dict.fromkeys(ways, True)


def test_at_a_full_limit_edits_work_and_tell_what_they_lack(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(WARN)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=3)))
    eventually(lambda: count(running, place) == 3)
    surge = "the rolling update needs 1 more pod than is free: defaults.user: pods free 0 of 3; maxSurge: 0 with"

    assert "Warning" not in alice.run("label", "deployment", "web", "colour=red")
    assert surge in alice.run("rollout", "restart", "deployment/web")
    assert surge in alice.run("set", "image", "deployment/web", "main=example/two")
    larger = ("set", "resources", "deployment/web", "--requests=cpu=300m")
    lacks = "1 of 3 replicas fit now: over quota defaults.user: requests.cpu requested 600m"
    eventually(lambda: lacks in alice.run(*larger, "--dry-run=server"))  # pods are listed as of a moment ago
    assert "replicas fit now" in alice.run(*larger)
    assert "rolled back" in alice.run("rollout", "undo", "deployment/web")
    assert alice.run("scale", "deployment", "web", "--replicas=1") == "deployment.apps/web scaled\n"


def test_what_shrinks_or_rolls_back_is_never_denied(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(WARN)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=20)))
    eventually(lambda: count(running, place) == 3)
    running.set_policy(DENY)

    assert "larger than quota" in alice.run("scale", "deployment", "web", "--replicas=21")
    assert "image updated" in alice.run("set", "image", "deployment/web", "main=example/two")
    assert "rolled back" in alice.run("rollout", "undo", "deployment/web")
    assert "scaled" in alice.run("scale", "deployment", "web", "--replicas=4")
    assert "larger than quota" in alice.run("scale", "deployment", "web", "--replicas=5")
    assert "scaled" in alice.run("scale", "deployment", "web", "--replicas=3")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_what_was_orphaned_is_made_again(running: RunningWebhook, place: str, named: Named, kind: str) -> None:
    running.set_policy(DENY)
    alice = named("alice")
    spec = {**SELECTED, "replicas": 3}
    if kind == "StatefulSet":
        spec |= {"serviceName": "w", "podManagementPolicy": "Parallel"}
    body = workload(kind, "apps/v1", spec)
    assert " created\n" in alice.create(body)
    eventually(lambda: count(running, place) == 3)

    assert "deleted" in alice.run("delete", kind, "w", "--cascade=orphan")
    assert " created\n" in alice.create(body)
    eventually(lambda: pod_owners(running, place) == [alice.name] * 3)


def test_an_autoscaler_is_judged_for_the_owner(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(DENY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=2)))
    eventually(lambda: count(running, place) == 2)

    def events() -> str:
        return alice.run("get", "events", "--field-selector=involvedObject.kind=HorizontalPodAutoscaler", "-o", "yaml")

    assert "autoscaled" in run(running, place, "autoscale", "deployment", "web", "--min=8", "--max=9", user="admin")

    said = f"would fit: 3 of 8 replicas; charged to {alice.name}"
    eventually(lambda: said in " ".join(events().split()), what=lambda: alice.run("get", "hpa", "-o", "yaml"))
    assert count(running, place) == 2


def test_what_limit_ranges_fill_in_counts(running: RunningWebhook, place: str, named: Named) -> None:
    limits = [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "150m"}}]
    running.cluster.kubectl(
        "create", "-n", place, "-f", "-", stdin=workload("LimitRange", "v1", {"limits": limits}, name="defaults")
    )
    running.set_policy(WARN)
    alice = named("alice")
    small = deployment("web", replicas=3)
    del small["spec"]["template"]["spec"]["containers"][0]["resources"]

    told = alice.create(json.dumps(small))

    assert "2 of 3 replicas fit now: over quota defaults.user: requests.cpu requested 450m, free 400m of 400m" in told
    eventually(lambda: count(running, place) == 2)


def test_the_overhead_of_a_runtime_class_counts(
    running: RunningWebhook, place: str, named: Named, runtime_class: str
) -> None:
    running.set_policy(WARN)
    alice = named("alice")
    small = deployment("web", replicas=3)
    small["spec"]["template"]["spec"]["runtimeClassName"] = runtime_class

    told = alice.create(json.dumps(small))

    assert "2 of 3 replicas fit now: over quota defaults.user: requests.cpu requested 450m, free 400m of 400m" in told
    eventually(lambda: count(running, place) == 2)


@pytest.fixture
def default_class(running: RunningWebhook, place: str) -> Iterator[str]:
    """The PriorityClass of pods that name none."""
    name = f"usual-of-{place}"
    pod = {"metadata": {"name": "p"}, "spec": SELECTED["template"]["spec"]}
    body = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": 7,
        "globalDefault": True,
    }

    def filled_in() -> str:
        made = {"apiVersion": "v1", "kind": "Pod", **pod}
        words = ("create", "--dry-run=server", "-o", "json", "-n", place, "-f", "-")
        spec = json.loads(running.cluster.kubectl(*words, stdin=json.dumps(made)).stdout)["spec"]
        return str(spec.get("priorityClassName", ""))

    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: filled_in() == name)
    yield name
    running.cluster.kubectl("delete", "priorityclass", name)
    eventually(lambda: not filled_in())


def test_pods_that_name_no_priority_class_are_judged_by_the_default_one(
    running: RunningWebhook, place: str, named: Named, default_class: str
) -> None:
    selected = f"{{matchExpressions: [{{scopeName: PriorityClass, operator: In, values: [{default_class}]}}]}}"
    limits = f"hard: {{pods: 9}}, scoped: [{{scopeSelector: {selected}, hard: {{pods: 2}}}}]"
    running.set_policy(f"version: 1\ndefaults: {{user: {{{limits}}}}}\n")
    alice = named("alice")

    told = alice.create(json.dumps(deployment("web", replicas=3)))

    assert "2 of 3 replicas fit now: over quota defaults.user" in told
    eventually(lambda: count(running, place) == 2)


def test_claims_for_devices_that_come_with_the_pods_count(running: RunningWebhook, place: str, named: Named) -> None:
    """Pods come without their claims, and wait for them."""
    devices = "big.example.com.deviceclass.resource.k8s.io/devices"
    running.set_policy(f"version: 1\ndefaults: {{user: {{hard: {{{devices}: 4}}}}}}\n")
    alice = named("alice")
    requests = [{"name": "r", "exactly": {"deviceClassName": "big.example.com", "count": 2}}]
    template = {"spec": {"devices": {"requests": requests}}}
    web = deployment("web", replicas=3)
    web["spec"]["template"]["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "two"}]

    def claims() -> int:
        return len(listed(running, place, "resourceclaims"))

    assert "there is no ResourceClaimTemplate two" in alice.create(json.dumps({**web, "metadata": {"name": "early"}}))
    alice.delete("deployment", "early")
    assert " created\n" in alice.create(workload("ResourceClaimTemplate", "resource.k8s.io/v1", template, name="two"))
    eventually(lambda: count(running, place) == claims() == 0)

    told = alice.create(json.dumps(web))
    assert f"2 of 3 replicas fit now: over quota defaults.user: {devices} requested 6, free 4 of 4" in told
    eventually(lambda: count(running, place) == 3 and claims() == 2)

    alice.run("scale", "deployment/web", "--replicas=2")
    eventually(lambda: count(running, place) == claims() == 2)
    told = alice.run("scale", "deployment/web", "--replicas=3")
    assert f"2 of 3 replicas fit now: over quota defaults.user: {devices} requested 2, free 0 of 4" in told
    eventually(lambda: count(running, place) == 3)
    assert claims() == 2


def test_who_took_over_pays_for_what_is_new(running: RunningWebhook, place: str, named: Named) -> None:
    """The pods of another owner stay theirs, so that they need no room of the one who scales."""
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 2}, workloads: deny}}\n")
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web", replicas=2)))
    eventually(lambda: pod_owners(running, place) == [alice.name] * 2)
    owner = f"userquota.dev/owner={bob.name}"
    adopt = ("annotate", "deployment", "web", "--overwrite", owner, "--field-manager=userquota-adopt")
    running.cluster.kubectl(*adopt, "-n", place)

    assert f"would fit: 4 of 5 replicas; charged to {bob.name}" in bob.run("scale", "deployment/web", "--replicas=5")
    assert "scaled" in bob.run("scale", "deployment/web", "--replicas=4")
    eventually(lambda: sorted(pod_owners(running, place)) == [alice.name] * 2 + [bob.name] * 2)


def test_while_no_replica_answers_an_administrator_scales_without_a_verdict(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(DENY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=1)))
    eventually(lambda: count(running, place) == 1)
    running.kill()
    try:
        assert "scaled" in run(running, place, "scale", "deployment/web", "--replicas=9", user="admin")
    finally:
        running.start()
        running.wait_until_ready()
    eventually(lambda: count(running, place) == 3)
