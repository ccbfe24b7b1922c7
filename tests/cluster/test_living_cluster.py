"""Who pays where people work: adoptions, exported manifests, rollbacks, operators, status reports and outages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.older import before_the_installation
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_pod_resize import resize
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.cluster.workloads import (
    await_revision,
    deployment,
    exported,
    image_of,
    listed,
    pod_owners,
    read,
    set_images,
)

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 2}}}\n"
Named = Callable[[str], Person]


def left(owner: Person) -> str:
    return f"Warning: the userquota.dev annotations were left as they are: {owner.name} pays"


def owner_of(running: RunningWebhook, place: str, kind: str, name: str) -> str | None:
    return stamped(running, place, kind, name).get(OWNER)


def is_controlled(running: RunningWebhook, place: str, name: str) -> bool:
    return "ownerReferences" in read(running, place, "pod", name)["metadata"]


def smuggle(running: RunningWebhook, place: str, mal: Person, replica_set: dict[str, Any]) -> None:
    """Make a pod that the ReplicaSet adopts and prefers to its own, and take it out again."""
    labels = replica_set["spec"]["selector"]["matchLabels"]
    body = json.loads(json.dumps(replica_set["spec"]["template"]))
    body |= {"apiVersion": "v1", "kind": "Pod"}
    costly = {"controller.kubernetes.io/pod-deletion-cost": "100"}
    body["metadata"] = {"name": "smuggled", "labels": labels, "annotations": costly}
    own = [each["metadata"]["name"] for each in listed(running, place, "pods")]
    assert len(own) == 1
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}

    # One request, so that the ReplicaSet sees it with its deletion cost; ready, as the one that it is to replace.
    assert " created\n" in mal.create(json.dumps(body))
    for name in ("smuggled", *own):
        report = ("--subresource=status", "-p", json.dumps(ready))
        running.cluster.kubectl("patch", "pod", name, "-n", place, *report, check=False)
    eventually(lambda: is_controlled(running, place, "smuggled"))
    eventually(lambda: [each["metadata"]["name"] for each in listed(running, place, "pods")] == ["smuggled"])
    assert owner_of(running, place, "pod", "smuggled") == mal.name

    assert "labeled" in mal.run("label", "--overwrite", "pod", "smuggled", *(f"{key}=mine" for key in labels))
    eventually(lambda: not is_controlled(running, place, "smuggled"))
    eventually(lambda: len(listed(running, place, "pods")) == 2)
    assert owner_of(running, place, "pod", "smuggled") == mal.name


def test_nobody_launders_pods_through_anothers_deployment(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(POLICY)
    vic, mal = named("vic"), named("mal")
    vic.create(json.dumps(deployment("v")))
    eventually(lambda: pod_owners(running, place) == [vic.name])

    [replica_set] = listed(running, place, "replicasets")
    smuggle(running, place, mal, replica_set)

    assert sorted(pod_owners(running, place)) == sorted([mal.name, vic.name])
    assert " created\n" in mal.create(pod("second"))
    assert "requested: pods=1, used: pods=2, limited: pods=2" in mal.create(pod("third"))
    eventually(lambda: " created\n" in vic.create(pod("fits")))
    assert "requested: pods=1, used: pods=2, limited: pods=2" in vic.create(pod("too-many"))


def test_nobody_launders_pods_through_a_replica_set_that_nobody_owns(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(POLICY)
    mal = named("mal")
    with before_the_installation(running):
        running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=json.dumps(deployment("v")))
        eventually(lambda: len(listed(running, place, "pods")) == 1)

    [replica_set] = listed(running, place, "replicasets")
    smuggle(running, place, mal, replica_set)

    assert sorted(pod_owners(running, place)) == sorted([mal.name, "system:unattributed"])
    assert stamped(running, place, "replicaset", replica_set["metadata"]["name"]) == {}
    assert " created\n" in mal.create(pod("second"))
    assert "requested: pods=1, used: pods=2, limited: pods=2" in mal.create(pod("third"))


@pytest.mark.parametrize("by", ["alice", "bob", "admin"])
def test_a_name_written_on_anothers_deployment_does_not_stay(
    running: RunningWebhook, place: str, named: Named, by: str
) -> None:
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web", replicas=0)))
    before = stamped(running, place, "deployment", "web")
    words = ("annotate", "--overwrite", "deployment", "web", f"{OWNER}={bob.name}", "note=kept")
    act = {"alice": alice.run, "bob": bob.run}.get(by)

    said = run(running, place, *words, user="admin") if act is None else act(*words)

    assert left(alice) in said
    assert "deployment.apps/web annotated" in said
    assert stamped(running, place, "deployment", "web") == before
    assert read(running, place, "deployment", "web")["metadata"]["annotations"]["note"] == "kept"


WAYS = {
    "kubectl apply": ("apply", "-f", "-"),
    "server-side apply": ("apply", "--server-side", "-f", "-"),
    "forced server-side apply": ("apply", "--server-side", "--force-conflicts", "-f", "-"),
    "kubectl replace": ("replace", "-f", "-"),
}


@pytest.mark.parametrize("is_partly_cleaned", [False, True], ids=["whole", "without its owner line"])
@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS.keys())
def test_an_exported_manifest_can_be_used_again_and_again(
    running: RunningWebhook, place: str, named: Named, words: tuple[str, ...], *, is_partly_cleaned: bool
) -> None:
    """It carries the stamp of whom it was exported from, which says nothing about who uses it."""
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web", replicas=0)))
    manifest = exported(running, place, "web", to="copy")
    if is_partly_cleaned:
        del manifest["metadata"]["annotations"][OWNER]
    if words[0] == "replace":
        assert " created\n" in bob.create(json.dumps(manifest))

    for image in ("example/one", "example/two", "example/two"):
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = image
        said = bob.run(*words, stdin=json.dumps(manifest))
        while "the object has been modified" in said:  # by the controller, after kubectl had read its version
            said = bob.run(*words, stdin=json.dumps(manifest))
        assert "deployment.apps/copy " in said, said
        assert "Error" not in said
        assert owner_of(running, place, "deployment", "copy") == bob.name
        assert stamped(running, place, "deployment", "copy")["userquota.dev/groups"] == '["people"]'
        assert image_of(running, place, "copy") == image


def test_who_creates_an_object_anew_pays_for_it(running: RunningWebhook, place: str, named: Named) -> None:
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web", replicas=0)))
    manifest = json.dumps(exported(running, place, "web", to="copy"))

    assert bob.create(manifest) == "deployment.apps/copy created\n"
    assert owner_of(running, place, "deployment", "copy") == bob.name
    assert "replaced" in alice.run("replace", "--force", "-f", "-", stdin=manifest)
    assert owner_of(running, place, "deployment", "copy") == alice.name


def test_an_operator_that_writes_its_own_annotations_is_never_refused(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """It sends the whole object as it wants it, without our annotations, and does so for ever."""
    alice = named("alice")
    operator = Person(running, place, "system:serviceaccount:operators:robot")
    alice.create(json.dumps(deployment("web", replicas=0)))
    before = stamped(running, place, "deployment", "web")
    for turn in range(20):
        body = read(running, place, "deployment", "web")
        body["metadata"] = {"name": "web", "annotations": {"operator.example.com/turn": str(turn)}}
        body["spec"]["minReadySeconds"] = turn
        told = operator.run("replace", "-f", "-", stdin=json.dumps(body))
        if "(Conflict)" in told:  # with a controller that reports at this moment: it tries again, as operators do
            told = operator.run("replace", "-f", "-", stdin=json.dumps(body))
        assert told == "deployment.apps/web replaced\n"
        assert stamped(running, place, "deployment", "web") == before
    assert read(running, place, "deployment", "web")["spec"]["minReadySeconds"] == 19


def test_a_rollback_of_anybody_leaves_the_owner(running: RunningWebhook, place: str, named: Named) -> None:
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web", replicas=0)))
    set_images(alice, "example/two", "example/three")
    before = stamped(running, place, "deployment", "web")

    for number, (who, options, image) in enumerate(
        [(alice, [], "example/two"), (bob, ["--to-revision=1"], "example/x"), (alice, [], "example/two")], start=4
    ):
        assert "rolled back" in who.run("rollout", "undo", "deployment/web", *options)
        await_revision(alice, number)
        assert image_of(running, place, "web") == image
        assert stamped(running, place, "deployment", "web") == before


def test_a_rollback_by_the_old_annotation_does_not_wedge_the_deployment(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """The controller rolls back and takes the annotations of the old ReplicaSet over, ours among them."""
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=0)))
    set_images(alice, "example/two", "example/three")
    before = stamped(running, place, "deployment", "web")

    assert "annotated" in alice.run("annotate", "deployment", "web", "deprecated.deployment.rollback.to=2")
    eventually(lambda: image_of(running, place, "web") == "example/two")
    assert "scaled" in alice.run("scale", "deployment", "web", "--replicas=1")

    eventually(lambda: pod_owners(running, place) == [alice.name])
    assert stamped(running, place, "deployment", "web") == before


@pytest.fixture
def reporting(running: RunningWebhook, place: str) -> None:
    """Let people and accounts write the status of pods, as a badly written role does."""
    kubectl = running.cluster.kubectl
    kubectl("create", "role", "reporting", "-n", place, "--verb=get,patch,update", "--resource=pods,pods/status")
    subjects = ("--group=people", "--group=system:serviceaccounts")
    kubectl("create", "rolebinding", "reporting", "-n", place, "--role=reporting", *subjects)


def report(who: Person, name: str, **status: object) -> str:
    return who.run("patch", "pod", name, "--subresource=status", "-p", json.dumps({"status": status}))


REFUSED = "only the node, components of Kubernetes and trusted controllers may report that a pod uses less"


@pytest.mark.usefixtures("reporting")
def test_only_those_who_know_report_the_end_of_a_pod(running: RunningWebhook, place: str, named: Named) -> None:
    """Else a person ends their pods on paper, and makes more."""
    running.set_policy(f"{POLICY}attribution: {{trustedControllers: [batch-system/queue]}}\n")
    alice, account = named("alice"), Person(running, place, f"system:serviceaccount:{place}:default")
    for name in ("first", "second"):
        assert " created\n" in alice.create(pod(name))

    for who in (alice, account):
        for phase in ("Succeeded", "Failed"):
            assert REFUSED in report(who, "first", phase=phase)
    condition = {"type": "example.com/seen", "status": "True"}
    assert "patched" in report(alice, "first", conditions=[condition])
    assert "used: pods=2" in alice.create(pod("third"))

    body = {**read(running, place, "pod", "first"), "status": {"phase": "Succeeded"}}
    path = f"--raw=/api/v1/namespaces/{place}/pods/first/status"
    node = ("--as=system:node:n1", "--as-group=system:nodes")
    running.cluster.kubectl("replace", path, "-f", "-", *node, stdin=json.dumps(body))
    eventually(lambda: " created\n" in alice.create(pod("third")))

    assert "used: pods=2" in alice.create(pod("fourth"))
    running.cluster.kubectl(
        "patch", "pod", "second", "-n", place, "--subresource=status", "-p", '{"status": {"phase": "Failed"}}'
    )
    eventually(lambda: " created\n" in alice.create(pod("fourth")))

    trusted = Person(running, place, "system:serviceaccount:batch-system:queue")
    assert "used: pods=2" in alice.create(pod("fifth"))
    assert "patched" in report(trusted, "third", phase="Succeeded")
    eventually(lambda: " created\n" in alice.create(pod("fifth")))


@pytest.mark.usefixtures("reporting")
def test_nobody_reports_that_their_own_resize_is_impossible(running: RunningWebhook, place: str, named: Named) -> None:
    """A resize that its node cannot do does not count, and the node may still do it later."""
    running.set_policy("version: 1\ndefaults: {user: {hard: {cpu: 2}}}\n")
    alice = named("alice")
    small = {"cpu": "500m", "memory": "64Mi"}
    container = {"name": "main", "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    container |= {"resources": {"requests": small}, "allocatedResources": small}
    assert " created\n" in alice.create(pod("a", cpu="500m"))
    node = json.dumps({"status": {"phase": "Running", "containerStatuses": [container]}})
    running.cluster.kubectl("patch", "pod", "a", "-n", place, "--subresource=status", "--type=merge", "-p", node)
    assert "patched" in resize(alice, "a", "2")

    waits = {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "observedGeneration": 2}
    assert REFUSED in report(alice, "a", conditions=[waits])
    assert "patched" in report(alice, "a", conditions=[{**waits, "reason": "Deferred"}])
    assert "exceeded quota" in alice.create(pod("b", cpu="1"))


@pytest.fixture
def outage(running: RunningWebhook) -> Iterator[Callable[[], None]]:
    """Return what stops userquota; it starts again after the test."""
    yield running.stop
    running.stop()
    running.start()
    running.wait_until_ready()


def test_pods_are_orphaned_while_userquota_is_down(
    running: RunningWebhook, place: str, named: Named, outage: Callable[[], None]
) -> None:
    running.set_policy(POLICY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web")))
    eventually(lambda: pod_owners(running, place) == [alice.name])
    [replica_set] = listed(running, place, "replicasets")
    name = replica_set["metadata"]["name"]
    before = stamped(running, place, "replicaset", name)

    outage()
    assert "failed calling webhook" in alice.create(pod("refused"))
    alice.delete("deployment", "web", "--cascade=orphan", "--timeout=30s")

    assert "ownerReferences" not in read(running, place, "replicaset", name)["metadata"]
    assert stamped(running, place, "replicaset", name) == before
    assert pod_owners(running, place) == [alice.name]
    running.start()
    running.wait_until_ready()
    assert "scaled" in alice.run("scale", "replicaset", name, "--replicas=3")
    eventually(lambda: pod_owners(running, place) == [alice.name] * 2)
    assert "used: pods=2" in alice.create(pod("too-many"))


def told(running: RunningWebhook, place: str) -> str:
    """Return what is there, for whoever reads why a test failed."""
    kinds = "deployments,replicasets,pods,events"
    return running.cluster.kubectl("get", kinds, "-n", place, "-o", "wide", check=False).stdout


def test_a_replica_set_that_is_released_is_its_makers_again(running: RunningWebhook, place: str, named: Named) -> None:
    """Else whoever has a ReplicaSet adopted and takes it back could scale it on the adopter's account."""
    running.set_policy(POLICY.replace("pods: 2", "pods: 3"))
    vic, mal = named("vic"), named("mal")
    bait = {**deployment("v"), "kind": "ReplicaSet"}
    bait["metadata"] = {"name": "bait", "labels": {"app": "v"}}
    bait["spec"]["replicas"] = 0
    assert " created\n" in mal.create(json.dumps(bait))
    vic.create(json.dumps(deployment("v")))
    eventually(lambda: pod_owners(running, place) == [vic.name])  # its oldest one with such pods is the bait
    assert owner_of(running, place, "replicaset", "bait") == vic.name
    assert stamped(running, place, "replicaset", "bait")["userquota.dev/maker"] == f'["{mal.name}",["people"]]'

    answer = mal.run("annotate", "--overwrite", "replicaset", "bait", "userquota.dev/maker-", f"{OWNER}={mal.name}")
    assert left(vic) in answer
    assert "labeled" in mal.run("label", "--overwrite", "replicaset", "bait", "app=mine")
    eventually(lambda: "ownerReferences" not in read(running, place, "replicaset", "bait")["metadata"])
    assert stamped(running, place, "replicaset", "bait").keys() == {OWNER, "userquota.dev/groups"}
    assert "scaled" in mal.run("scale", "replicaset", "bait", "--replicas=9")

    payers = sorted([*2 * [vic.name], *3 * [mal.name]])
    eventually(lambda: sorted(pod_owners(running, place)) == payers, what=lambda: told(running, place))
    assert " created\n" in vic.create(pod("second"))


def test_who_adopts_anothers_replica_set_pays_for_what_it_makes(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(POLICY.replace("pods: 2", "pods: 5"))
    alice, bob = named("alice"), named("bob")
    alice.create(json.dumps(deployment("web")))
    eventually(lambda: pod_owners(running, place) == [alice.name])
    alice.delete("deployment", "web", "--cascade=orphan")

    assert " created\n" in bob.create(json.dumps(deployment("web", replicas=3)))

    payers = [alice.name, bob.name, bob.name]  # in whatever order: they may be of the same second
    eventually(lambda: sorted(pod_owners(running, place)) == payers, what=lambda: told(running, place))
    [replica_set] = listed(running, place, "replicasets")
    assert owner_of(running, place, "replicaset", replica_set["metadata"]["name"]) == bob.name
    set_images(bob, "example/two")
