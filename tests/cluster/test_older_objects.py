"""
Objects older than the installation, which nobody is known to own: who makes one grow pays for it from then on.

All tests share one installation, because it takes seconds: the objects of each, in its namespace, are made before it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.cluster.conftest import empty, new_place
from tests.cluster.older import Make, before_the_installation, claims, pods, suspended_job, web
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_claims import a_claim, grown
from tests.cluster.test_main_job import events
from tests.cluster.test_pod_resize import resize
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.cluster.workloads import (
    await_revision,
    deployment,
    image_of,
    listed,
    pod_owners,
    read,
    set_images,
)

NOBODY = "system:unattributed"
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 3, cpu: 1, storage: 10Gi}}}\n"
Named = Callable[[str], Person]
Test = TypeVar("Test", bound=Callable[..., None])

_OLDER: dict[str, Make] = {}


def older(make: Make) -> Callable[[Test], Test]:
    """Have *make* called before the installation, with the namespace of the test."""

    def note(test: Test) -> Test:
        _OLDER[test.__name__] = make
        return test

    return note


@pytest.fixture(scope="module")
def places(running: RunningWebhook) -> dict[str, str]:
    """The namespace of each test, by the name of the test."""
    places = {test: new_place(running) for test in _OLDER}
    with before_the_installation(running):
        for test, make in _OLDER.items():
            make(running, places[test])
    return places


@pytest.fixture
def place(running: RunningWebhook, places: dict[str, str], request: pytest.FixtureRequest) -> Iterator[str]:
    """The namespace of the test, under POLICY; emptied afterwards."""
    name = places[request.function.__name__]
    running.set_policy(POLICY)
    yield name
    empty(running, name)


def taken_over(by: Person) -> str:
    return f"Warning: {by.name} pays from now on (took it over)"


def command_in(refusal: str) -> list[str]:
    """Return the arguments for kubectl of the command that a refusal names."""
    found = re.search(r"take it over first: kubectl (.*)$", refusal, re.MULTILINE)
    assert found is not None, refusal
    return shlex.split(found[1])


def is_owned_by(owner: Person) -> bool:
    """Whether *owner* pays for the Deployment `web`."""
    return stamped(owner.running, owner.place, "deployment", "web").get(OWNER) == owner.name


@older(web(replicas=2))
def test_scaling_up_is_refused_with_the_command_that_makes_it_possible(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice = named("alice")

    refused = alice.run("scale", "deployment", "web", "--replicas=3")
    assert "nobody is known to own deployments web, so nobody would pay for more" in refused
    assert read(running, place, "deployment", "web")["spec"]["replicas"] == 2
    assert "scaled" in alice.run("scale", "deployment", "web", "--replicas=1")
    assert stamped(running, place, "deployment", "web") == {}
    eventually(lambda: len(pod_owners(running, place)) == 1)

    command = command_in(refused)
    assert command == ["annotate", "deployments", "web", "-n", place, "--overwrite", f"{OWNER}={alice.name}"]
    said = alice.run(*command)
    assert taken_over(alice) in said
    assert "annotated" in said
    assert stamped(running, place, "deployment", "web") == {OWNER: alice.name, "userquota.dev/groups": '["people"]'}

    assert "scaled" in alice.run("scale", "deployment", "web", "--replicas=6")
    eventually(lambda: sorted(pod_owners(running, place)) == ["", *[alice.name] * 3])
    eventually(lambda: "exceeded quota: defaults.user, requested: pods=1, used: pods=3" in events(running, place))
    assert "used: pods=3" in alice.create(pod("one-more"))


@older(web(replicas=1))
def test_scaling_by_those_who_mend_what_others_own_passes(running: RunningWebhook, place: str, named: Named) -> None:
    """Members of system:masters, controllers such as autoscalers, and robots with an account of another namespace."""
    autoscaler = Person(running, place, "system:serviceaccount:kube-system:horizontal-pod-autoscaler")
    operator = Person(running, place, "system:serviceaccount:operators:robot")
    robot = Person(running, place, f"system:serviceaccount:{place}:robot")
    words = ("scale", "deployment", "web")

    assert "scaled" in run(running, place, *words, "--replicas=2", user="admin")
    assert "scaled" in autoscaler.run(*words, "--replicas=3")
    assert "scaled" in operator.run(*words, "--replicas=4")
    assert "take it over first" in robot.run(*words, "--replicas=5")
    body = read(running, place, "deployment", "web")
    body["spec"]["replicas"] = 5
    assert operator.run("replace", "-f", "-", stdin=json.dumps(body)) == "deployment.apps/web replaced\n"

    assert stamped(running, place, "deployment", "web") == {}
    eventually(lambda: sorted(pod_owners(running, place)) == ["", *[NOBODY] * 4])


@older(web(replicas=1))
def test_an_apply_with_more_replicas_takes_over_and_other_edits_do_not(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")

    assert alice.run("set", "image", "deployment/web", "main=example/y") == "deployment.apps/web image updated\n"
    assert alice.run("label", "deployment", "web", "colour=red") == "deployment.apps/web labeled\n"
    assert stamped(running, place, "deployment", "web") == {}
    eventually(lambda: sorted(pod_owners(running, place)) == ["", NOBODY])

    said = alice.run("apply", "-f", "-", stdin=json.dumps(deployment("web", replicas=2, image="example/y")))
    assert taken_over(alice) in said
    assert "deployment.apps/web configured" in said
    assert is_owned_by(alice)
    eventually(lambda: alice.name in pod_owners(running, place))

    # It is hers now: bob can change it, and she pays.
    said = bob.run("apply", "-f", "-", stdin=json.dumps(deployment("web", replicas=3, image="example/y")))
    assert said.endswith("deployment.apps/web configured\n")
    assert "pays from now on" not in said
    assert is_owned_by(alice)
    eventually(lambda: pod_owners(running, place).count(alice.name) == 2)


@older(web(replicas=0))
def test_another_name_written_on_what_nobody_owns_does_not_stay(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    words = ("annotate", "--overwrite", "deployment", "web")

    for who in (bob.run, lambda *words: run(running, place, *words, user="admin")):
        said = who(*words, f"{OWNER}={alice.name}", 'userquota.dev/groups=["ml"]')
        assert "Warning: the userquota.dev annotations were left as they are" in said
        assert "annotated" in said
        assert stamped(running, place, "deployment", "web") == {}

    assert taken_over(alice) in alice.run(*words, f"{OWNER}={alice.name}", 'userquota.dev/groups=["ml"]')
    assert stamped(running, place, "deployment", "web") == {OWNER: alice.name, "userquota.dev/groups": '["people"]'}
    assert f"left as they are: {alice.name} pays" in bob.run(*words, f"{OWNER}={bob.name}")
    assert is_owned_by(alice)


@older(web(replicas=1))
def test_rollbacks_pass_and_leave_it_without_an_owner_until_somebody_takes_it_over(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """A rollback takes the annotations of the old ReplicaSet over, and so its stamp, if it is not older, too."""
    alice, bob = named("alice"), named("bob")
    set_images(alice, "example/two", "example/three")
    undo = ("rollout", "undo", "deployment/web")

    def undone(said: str, *, revision: int, image: str) -> None:
        assert "rolled back" in said
        await_revision(alice, revision)
        assert image_of(running, place, "web") == image

    undone(alice.run(*undo), revision=4, image="example/two")
    undone(alice.run(*undo, "--to-revision=1"), revision=5, image="example/x")
    undone(run(running, place, *undo, user="admin"), revision=6, image="example/two")
    undone(run(running, place, *undo, "--to-revision=3", user="admin"), revision=7, image="example/three")
    assert stamped(running, place, "deployment", "web") == {}

    assert taken_over(alice) in alice.run("annotate", "deployment", "web", f"{OWNER}={alice.name}")
    assert "rolled back" in bob.run(*undo)
    assert image_of(running, place, "web") == "example/two"
    assert is_owned_by(alice)


@older(web(replicas=1))
def test_a_rollback_after_a_take_over_is_finished_by_the_controller(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """It copies the Deployment's stamp to the ReplicaSet, and goes on only when that has it."""
    alice = named("alice")
    set_images(alice, "example/two", "example/three")
    assert taken_over(alice) in alice.run("annotate", "deployment", "web", f"{OWNER}={alice.name}")

    assert "rolled back" in alice.run("rollout", "undo", "deployment/web")

    await_revision(alice, 4)
    [current] = [
        each
        for each in listed(running, place, "replicasets")
        if each["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4"
    ]
    assert stamped(running, place, "replicaset", current["metadata"]["name"])[OWNER] == alice.name


@older(web(replicas=1))
def test_a_rollback_by_the_old_annotation_does_not_wedge_it(running: RunningWebhook, place: str, named: Named) -> None:
    alice = named("alice")
    set_images(alice, "example/two", "example/three")

    assert "annotated" in alice.run("annotate", "deployment", "web", "deprecated.deployment.rollback.to=2")
    eventually(lambda: image_of(running, place, "web") == "example/two")

    assert stamped(running, place, "deployment", "web") == {}
    assert "scaled" in run(running, place, "scale", "deployment", "web", "--replicas=2", user="admin")
    eventually(lambda: pod_owners(running, place) == [NOBODY] * 3)  # one more while it is rolled out


@older(pods)
def test_a_pod_grows_after_somebody_has_taken_it_over(running: RunningWebhook, place: str, named: Named) -> None:
    alice, bob = named("alice"), named("bob")

    refused = resize(alice, "small", "600m")
    assert "nobody is known to own pods small, so nobody would pay for more" in refused
    assert "patched" in resize(alice, "small", "300m")
    said = alice.run(*command_in(refused))
    assert taken_over(alice) in said
    assert stamped(running, place, "pod", "small")[OWNER] == alice.name

    assert "requested: requests.cpu=800m, used: requests.cpu=300m" in resize(bob, "small", "1100m")
    assert "patched" in resize(alice, "small", "600m")
    assert "requested: requests.cpu=500m, used: requests.cpu=600m" in alice.create(pod("more", cpu="500m"))

    said = alice.run("annotate", "pod", "large", f"{OWNER}={alice.name}")
    assert "exceeded quota: defaults.user, requested: requests.cpu=900m, used: requests.cpu=600m" in said
    assert stamped(running, place, "pod", "large") == {}
    assert "patched" in run(
        running,
        place,
        *("patch", "pod", "large", "--subresource=resize", "-p"),
        json.dumps({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}),
        user="admin",
    )
    assert stamped(running, place, "pod", "large") == {}


@older(claims)
def test_who_lets_a_claim_grow_pays_for_all_of_it(running: RunningWebhook, place: str, named: Named) -> None:
    alice = named("alice")

    said = alice.run("patch", "pvc", "data", "-p", grown("7Gi"))
    assert taken_over(alice) in said
    assert "patched" in said
    assert stamped(running, place, "pvc", "data")[OWNER] == alice.name
    assert "requested: requests.storage=4Gi, used: requests.storage=7Gi" in alice.create(a_claim("more", "4Gi"))
    assert "larger than quota" in alice.run("patch", "pvc", "huge", "-p", grown("21Gi"))
    assert stamped(running, place, "pvc", "huge") == {}


@older(suspended_job)
def test_who_starts_a_suspended_job_pays_for_it(running: RunningWebhook, place: str, named: Named) -> None:
    alice, bob = named("alice"), named("bob")

    assert bob.run("patch", "job", "work", "-p", '{"spec": {"parallelism": 1}}') == "job.batch/work patched\n"
    said = alice.run("patch", "job", "work", "-p", '{"spec": {"suspend": false}}')
    assert taken_over(alice) in said

    assert stamped(running, place, "job", "work")[OWNER] == alice.name
    eventually(lambda: pod_owners(running, place) == [alice.name])
