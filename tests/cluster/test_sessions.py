"""Sessions of platforms: counted, capped, started and stopped under quota."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.running import in_process
from tests.cluster.people import Person
from tests.cluster.platforms import DASK, HUB, NOTEBOOKS, RAY, STREAMSPACE, TRAINJOBS, WORKFLOWS, makes_pods, set_policy
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_claims import a_claim
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.cluster.workloads import listed, pod_owners

Named = Callable[[str], Person]
POLICY = (
    "version: 1\n"
    "sessions: {presets: PRESETS, count: running}\n"
    "defaults: {user: {hard: {sessions: 2, cpu: 3}, perSession: {cpu: 2}}}\n"
)
pytestmark = pytest.mark.usefixtures("platforms")


def pod_spec(cpu: str) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}]}


def notebook(name: str, cpu: str, **metadata: object) -> str:
    return NOTEBOOKS.object(name, {"template": {"spec": pod_spec(cpu)}}, **metadata)


def a_pod(name: str, cpu: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(cpu)})


def patch(person: Person, what: str, name: str, spec: dict[str, Any]) -> str:
    return person.run("patch", what, name, "--type=merge", "-p", json.dumps({"spec": spec}))


def has_pods(running: RunningWebhook, place: str, owner: Person, number: int) -> None:
    """Wait until the pods are there, and known to the replica."""
    eventually(lambda: pod_owners(running, place) == [owner.name] * number)


def test_a_notebook_is_judged_when_it_is_made_started_and_resized(
    running: RunningWebhook, place: str, named: Named
) -> None:
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")
    charged = f"charged to {alice.name}"

    refused = alice.create(notebook("big", "2500m"))
    assert (
        "larger than quota: defaults.user.perSession, requested: requests.cpu=2500m, limited: requests.cpu=2 for"
        in refused
    )
    assert f"one session; would fit: requests.cpu=2; {charged} (created it)" in refused
    assert " created\n" in alice.create(notebook("one", "1"))
    labels = {"notebook-name": "one"}
    assert " created\n" in makes_pods(running, place, NOTEBOOKS, "one", template=pod_spec("1"), labels=labels)
    has_pods(running, place, alice, 1)
    assert stamped(running, place, "statefulset", "one")[OWNER] == alice.name

    assert " created\n" in alice.create(notebook("two", "1500m"))
    refused = alice.create(notebook("three", "500m"))
    assert "requested: sessions=1, used: sessions=2, limited: sessions=2" in refused
    assert "would fit: nothing until a session ends" in refused
    assert "annotated" in alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped=now")
    assert " created\n" in alice.create(notebook("three", "500m"))
    refused = alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped-")
    assert "requested: sessions=1, used: sessions=2, limited: sessions=2" in refused
    assert "deleted" in alice.run("delete", "notebook", "three")
    eventually(lambda: "annotated" in alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped-"))

    assert "annotated" in alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped=now")
    assert "patched" in patch(alice, "notebook", "one", {"template": {"spec": pod_spec("2")}})
    refused = patch(alice, "notebook", "one", {"template": {"spec": pod_spec("2500m")}})
    assert "limited: requests.cpu=2 for one session" in refused
    assert "labeled" in alice.run("label", "notebook", "one", "colour=red")


def test_the_overhead_of_the_runtime_class_of_its_pods_is_a_part_of_the_size(
    running: RunningWebhook, place: str, named: Named, runtime_class: str
) -> None:
    """The class adds 50m of cpu."""
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")

    def of_class(name: str, cpu: str) -> str:
        return NOTEBOOKS.object(name, {"template": {"spec": {**pod_spec(cpu), "runtimeClassName": runtime_class}}})

    refused = alice.create(of_class("big", "1951m"))
    assert "requested: requests.cpu=2001m, limited: requests.cpu=2 for one session" in refused
    assert " created\n" in alice.create(of_class("one", "1950m"))
    template, labels = {**pod_spec("1950m"), "runtimeClassName": runtime_class}, {"notebook-name": "one"}
    assert " created\n" in makes_pods(running, place, NOTEBOOKS, "one", template=template, labels=labels)
    has_pods(running, place, alice, 1)
    assert "requested: requests.cpu=1001m, used: requests.cpu=2," in alice.create(notebook("two", "1001m"))


def test_a_start_is_refused_while_its_pods_have_no_room(running: RunningWebhook, place: str, named: Named) -> None:
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")
    assert " created\n" in alice.create(notebook("one", "2"))
    labels = {"notebook-name": "one"}
    makes_pods(running, place, NOTEBOOKS, "one", template=pod_spec("2"), labels=labels)
    has_pods(running, place, alice, 1)

    refused = alice.create(notebook("two", "1500m"))
    assert "exceeded quota: defaults.user, requested: requests.cpu=1500m, used: requests.cpu=2" in refused
    assert "would fit: requests.cpu=1; " in refused
    stopped = {"annotations": {"kubeflow-resource-stopped": "now"}}
    assert " created\n" in alice.create(notebook("two", "1500m", **stopped))
    refused = alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped-")
    assert "requested: requests.cpu=1500m, used: requests.cpu=2" in refused
    alice.run("annotate", "notebook", "one", "kubeflow-resource-stopped=now")
    alice.run("delete", "statefulset", "one")
    eventually(lambda: listed(running, place, "pods") == [])
    eventually(lambda: "annotated" in alice.run("annotate", "notebook", "two", "kubeflow-resource-stopped-"))


def test_a_stopped_session_keeps_its_claims_and_gives_back_the_rest(
    running: RunningWebhook, place: str, named: Named
) -> None:
    set_policy(running, POLICY.replace("{sessions: 2, cpu: 3}", "{sessions: 1, cpu: 1, storage: 1Gi}"), NOTEBOOKS)
    alice = named("alice")
    assert " created\n" in alice.create(notebook("one", "1"))
    labels = {"notebook-name": "one"}
    claims = [json.loads(a_claim("home", "1Gi"))]
    makes_pods(running, place, NOTEBOOKS, "one", template=pod_spec("1"), labels=labels, claims=claims)
    has_pods(running, place, alice, 1)
    assert stamped(running, place, "pvc", "home-one-0")[OWNER] == alice.name
    refused = alice.create(notebook("two", "1"))
    assert "requested: sessions=1, used: sessions=1, limited: sessions=1" in refused
    assert "requested: requests.cpu=1, used: requests.cpu=1, limited: requests.cpu=1" in refused

    assert "annotated" in alice.run("annotate", "notebook", "one", "kubeflow-resource-stopped=now")
    scaled = ("scale", "statefulset", "one", "--replicas=0", f"--as={NOTEBOOKS.controller}")
    assert "scaled" in run(running, place, *scaled, user="admin")
    eventually(lambda: " created\n" in alice.create(notebook("two", "1")))
    refused = alice.create(a_claim("other", "1"))
    assert "requested: requests.storage=1, used: requests.storage=1Gi, limited: requests.storage=1Gi" in refused
    alice.delete("notebook", "one")
    assert "used: requests.storage=1Gi" in alice.create(a_claim("other", "1"))
    alice.delete("pvc", "home-one-0")
    eventually(lambda: " created\n" in alice.create(a_claim("other", "1Gi")))


def test_a_platform_makes_sessions_for_people(running: RunningWebhook, place: str, named: Named) -> None:
    policy = POLICY + "attribution: {delegates: [{serviceAccount: streamspace/api, sessions: true, never: [root]}]}\n"
    set_policy(running, policy, STREAMSPACE)
    alice = named("alice")

    def starts(name: str, user: str, **spec: object) -> str:
        resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
        body = STREAMSPACE.object(name, {"user": user, "state": "running", "resources": resources, **spec})
        return run(running, place, "create", "-f", "-", f"--as={HUB}", user="admin", stdin=body)

    assert " created\n" in starts("one", alice.name)
    assert stamped(running, place, "sessions.stream.space", "one")[OWNER] == alice.name
    labels = {"app": "streamspace-session", "session": "one"}
    assert " created\n" in makes_pods(running, place, STREAMSPACE, "one", template=pod_spec("1"), labels=labels)
    has_pods(running, place, alice, 1)
    assert " created\n" in starts("two", alice.name)
    refused = starts("three", alice.name)
    assert "requested: sessions=1, used: sessions=2, limited: sessions=2" in refused
    assert f"charged to {alice.name} (named by {HUB} in field spec.user)" in refused
    assert "must not name 'root' as who pays" in starts("three", "root")
    assert "system:" not in starts("four", f"{alice.name}-other")

    state = {"state": "hibernated"}
    assert "patched" in patch(alice, "sessions.stream.space", "two", state)
    assert " created\n" in starts("three", alice.name)
    refused = patch(alice, "sessions.stream.space", "two", {"state": "running"})
    assert "requested: sessions=1, used: sessions=2" in refused
    assert "deleted" in alice.run("delete", "sessions.stream.space", "two")


def test_a_person_names_nobody_else(running: RunningWebhook, place: str, named: Named) -> None:
    set_policy(running, POLICY, STREAMSPACE)
    alice, bob = named("alice"), named("bob")

    assert " created\n" in alice.create(STREAMSPACE.object("one", {"user": bob.name, "state": "running"}))

    assert stamped(running, place, "sessions.stream.space", "one")[OWNER] == alice.name


def test_nobody_makes_a_session_part_of_another_one_to_save_its_place(
    running: RunningWebhook, place: str, named: Named
) -> None:
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")
    assert " created\n" in alice.create(notebook("one", "1"))
    assert " created\n" in alice.create(notebook("two", "1"))
    found = json.loads(running.cluster.kubectl("get", "notebook", "one", "-n", place, "-o", "json").stdout)
    owner = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "name": "one", "uid": found["metadata"]["uid"]}
    reference = [{**owner, "controller": True}]
    refusal = "only the controller of its platform can make a session part of another one"

    assert refusal in alice.create(notebook("three", "1", ownerReferences=reference))
    body = json.dumps({"metadata": {"ownerReferences": reference}})
    assert refusal in alice.run("patch", "notebook", "two", "--type=merge", "-p", body)
    words = ("create", "-f", "-", f"--as={NOTEBOOKS.controller}")
    part = notebook("part", "1", ownerReferences=reference)
    assert " created\n" in run(running, place, *words, user="admin", stdin=part)
    assert stamped(running, place, "notebook", "part")[OWNER] == alice.name


def ray_cluster(workers: int, **group: object) -> dict[str, Any]:
    workers_of = {"groupName": "w", "replicas": workers, "minReplicas": 0, "maxReplicas": 10}
    return {
        "headGroupSpec": {"template": {"spec": pod_spec("500m")}},
        "workerGroupSpecs": [{**workers_of, "template": {"spec": pod_spec("500m")}, **group}],
    }


def test_a_ray_cluster_grows_as_far_as_its_workers_fit(running: RunningWebhook, place: str, named: Named) -> None:
    operated = "[{preset: raycluster, controllers: [ray/kuberay-operator]}]"
    set_policy(running, POLICY.replace(", perSession: {cpu: 2}", "").replace("PRESETS", operated), RAY)
    alice = named("alice")
    assert " created\n" in alice.create(RAY.object("ray", ray_cluster(4)))
    labels = {"ray.io/cluster": "ray"}
    makes_pods(running, place, RAY, "ray", template=pod_spec("500m"), labels=labels, replicas=5)
    has_pods(running, place, alice, 5)

    assert "patched" in patch(alice, "raycluster", "ray", ray_cluster(5))
    refused = patch(alice, "raycluster", "ray", ray_cluster(6))
    assert "requested: requests.cpu=500m, used: requests.cpu=2500m, limited: requests.cpu=3" in refused
    assert "would fit: requests.cpu=3" in refused
    assert "patched" in patch(alice, "raycluster", "ray", ray_cluster(2))


def test_a_cluster_of_workers_is_scaled_as_far_as_they_fit(running: RunningWebhook, place: str, named: Named) -> None:
    set_policy(running, POLICY.replace(", perSession: {cpu: 2}", ", perSession: {cpu: 2500m}"), DASK)
    alice, bob = named("alice"), named("bob")
    parts = {"scheduler": {"spec": pod_spec("500m")}, "worker": {"replicas": 2, "spec": pod_spec("500m")}}
    assert " created\n" in alice.create(DASK.object("dask", parts))

    def scale(person: Person, workers: int) -> str:
        return person.run("scale", "daskcluster", "dask", f"--replicas={workers}")

    assert "scaled" in scale(alice, 4)
    for person in (alice, bob):  # an autoscaler is no owner either
        refused = scale(person, 5)
        assert "larger than quota: defaults.user.perSession, requested: requests.cpu=3, limited" in refused
        assert f"charged to {alice.name} (stamped when it was created)" in refused
    assert "scaled" in scale(bob, 1)
    assert " created\n" in alice.create(DASK.object("other", parts))
    refused = scale(alice, 3)
    assert "exceeded quota: defaults.user, requested: requests.cpu=1, used: requests.cpu=0, limited" in refused
    assert "would fit: requests.cpu=1500m" in refused


def test_a_person_cannot_say_that_a_session_with_pods_has_ended(
    running: RunningWebhook, place: str, named: Named
) -> None:
    set_policy(running, POLICY.replace("sessions: 2", "sessions: 1"), TRAINJOBS)
    alice = named("alice")
    spec = {"runtimeRef": {"name": "r"}, "trainer": {"numNodes": 1, "resourcesPerNode": {"requests": {"cpu": "1"}}}}
    assert " created\n" in alice.create(TRAINJOBS.object("one", spec))
    labels = {"jobset.sigs.k8s.io/jobset-name": "one"}
    makes_pods(running, place, TRAINJOBS, "one", template=pod_spec("1"), labels=labels)
    has_pods(running, place, alice, 1)

    body = json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    words = ("patch", "trainjob", "one", "--type=merge", "--subresource=status", "-p", body)
    assert "it has pods that run: only its platform may report that a session has stopped or ended" in alice.run(*words)
    kubectl = running.cluster.kubectl
    kubectl(
        "create", "rolebinding", "edits", "-n", place, "--clusterrole=platforms", f"--serviceaccount={place}:default"
    )
    account = f"--as=system:serviceaccount:{place}:default"
    assert "it has pods that run: " in run(running, place, *words, account, user="admin")
    assert "used: sessions=1, limited: sessions=1" in alice.create(TRAINJOBS.object("two", spec))
    assert "patched" in run(running, place, *words, f"--as={TRAINJOBS.controller}", user="admin")
    eventually(lambda: " created\n" in alice.create(TRAINJOBS.object("two", spec)))


def test_a_status_that_a_person_takes_back_is_a_start(running: RunningWebhook, place: str, named: Named) -> None:
    """The kind has no status subresource, so that whoever makes an object writes its status, too."""
    set_policy(running, POLICY, WORKFLOWS)
    alice = named("alice")
    for name in ("one", "two", "three"):
        ended = json.loads(WORKFLOWS.object(name, {"entrypoint": "main"})) | {"status": {"phase": "Succeeded"}}
        assert " created\n" in alice.create(json.dumps(ended))

    def runs(name: str) -> str:
        return alice.run("patch", "workflow", name, "--type=merge", "-p", '{"status": {"phase": "Running"}}')

    assert "patched" in runs("one")
    assert "patched" in runs("two")
    assert "requested: sessions=1, used: sessions=" in runs("three")


BAD = {
    "a negative number": (ray_cluster(1, numOfHosts=-1), "spec.workerGroupSpecs[0].numOfHosts: -1 is negative"),
    "no pod": ({**ray_cluster(1), "headGroupSpec": {"template": {}}}, "spec.headGroupSpec.template: there is no"),
    "an amount that is none": (
        {**ray_cluster(1), "headGroupSpec": {"template": {"spec": pod_spec("much")}}},
        "spec.headGroupSpec.template.spec",
    ),
}


@pytest.mark.parametrize(("spec", "named_field"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_counted_is_refused_with_the_field(
    running: RunningWebhook, place: str, named: Named, spec: dict[str, Any], named_field: str
) -> None:
    set_policy(running, POLICY, RAY)
    refused = named("alice").create(RAY.object("bad", spec))
    assert "denied the request: cannot be charged: " in refused
    assert named_field in refused


def test_another_policy_reads_them_otherwise_and_without_a_preset_they_are_free(
    running: RunningWebhook, place: str, named: Named
) -> None:
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")
    stopped = {"annotations": {"kubeflow-resource-stopped": "now"}}
    for name in ("one", "two", "three"):
        assert " created\n" in alice.create(notebook(name, "1", **stopped))

    set_policy(running, POLICY.replace("count: running", "count: all"), NOTEBOOKS)
    assert "used: sessions=3, limited: sessions=2" in alice.create(notebook("four", "1"))

    running.set_policy("version: 1\ndefaults: {user: {hard: {sessions: 2, cpu: 3}}}\n")
    assert " created\n" in alice.create(notebook("four", "9"))


def test_a_session_asks_for_no_longer_than_it_may_run(running: RunningWebhook, place: str, named: Named) -> None:
    bounds = "{duration: 8h, idle: 30m}, minPerSession: {cpu: 500m}, minPerPod: {cpu: 100m}"
    set_policy(running, POLICY.replace("{cpu: 2}", bounds), STREAMSPACE)
    alice, times = named("alice"), {"maxSessionDuration": "8h", "idleTimeout": "1800s"}

    def starts(**spec: object) -> str:
        return alice.create(STREAMSPACE.object("desk", {"user": alice.name, "state": "running", **spec}))

    assert "must specify duration for: spec.maxSessionDuration; idle for: spec.idleTimeout;" in starts()
    assert "requested: duration=8h30m, limited: duration=8h" in starts(**{**times, "maxSessionDuration": "510m"})
    small = starts(**times, resources={"requests": {"cpu": "499m"}})
    assert "denied the request: below minimum: defaults.user.minPerSession, requested: requests.cpu=499m" in small
    assert "minimum: requests.cpu=100m for one pod; charged" in alice.create(a_pod("small", "99m"))
    assert " created\n" in starts(**times, resources={"requests": {"cpu": "500m"}})
    assert "requested: idle=31m" in patch(alice, "sessions.stream.space", "desk", {"idleTimeout": "31m"})
    assert "patched" in patch(alice, "sessions.stream.space", "desk", {"idleTimeout": "10m"})


def test_pods_get_what_the_category_of_their_session_says(running: RunningWebhook, place: str, named: Named) -> None:
    by = "[{preset: kubeflow-notebook, category: [{annotation: example.com/class}]}], categories: {small: {cpu: 500m}}"
    set_policy(running, POLICY.replace("PRESETS", by) + "missing: {memory: {default: 64Mi}}\n", NOTEBOOKS)
    alice = named("alice")
    template = {"containers": [{"name": "main", "image": "x"}]}
    asked = NOTEBOOKS.object("one", {"template": {"spec": template}}, annotations={"example.com/class": "Small"})
    assert " created\n" in alice.create(asked)
    assert " created\n" in makes_pods(
        running, place, NOTEBOOKS, "one", template=template, labels={"notebook-name": "one"}
    )
    has_pods(running, place, alice, 1)
    [pod] = json.loads(running.cluster.kubectl("get", "pods", "-n", place, "-o", "json").stdout)["items"]
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "64Mi"}


def test_the_room_of_a_session_is_reserved_in_its_allocation_until_its_pods_come(
    running: RunningWebhook, place: str, view: None, named: Named
) -> None:
    """What allocations come to is what `userquota get` says, before and after."""
    set_policy(running, POLICY, NOTEBOOKS)
    alice = named("alice")
    assert " created\n" in alice.create(notebook("one", "2"))

    def told(*words: str) -> list[list[str]]:
        who = ("--as", alice.name, "--kubeconfig", str(running.cluster.kubeconfig("admin")))
        return [line.split() for line in in_process("get", *words, *who).out.splitlines()]

    def held() -> list[list[str]]:
        return [[each[0], *each[2:5]] for each in told("allocations", "-n", place)[1:] if each[1:2] == [place]]

    def reserved() -> list[str]:
        return next(each[2:4] for each in told() if each[1:2] == ["requests.cpu"])

    eventually(lambda: held() == [["notebooks.kubeflow.org", "one", alice.name, "starting"]])
    assert reserved() == ["0", "2"]
    assert ["requests.cpu", "used", "2", "=", "0", "committed", "+", "2", "reserved"] in told("allocations")
    assert ["sessions", "used", "1", "=", "1", "committed", "+", "0", "reserved"] in told("allocations")

    labels = {"notebook-name": "one"}
    makes_pods(running, place, NOTEBOOKS, "one", template=pod_spec("2"), labels=labels)
    has_pods(running, place, alice, 1)

    eventually(lambda: ["notebooks.kubeflow.org", "one", alice.name, "used"] in held())
    assert ["pods", "one-0", alice.name, "used"] in held()
    assert reserved() == ["2", "0"]
    assert ["requests.cpu", "used", "2", "=", "2", "committed", "+", "0", "reserved"] in told("allocations")
