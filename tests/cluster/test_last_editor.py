"""Who pays for the pods of a Deployment that another person edits, on a real API server with its controllers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.cluster.workloads import await_revision, deployment, listed, pod_owners, revision_of

Named = Callable[[str], Person]
POLICY = "version: 1\nattribution: {payer: PAYER}\ndefaults: {user: {hard: {pods: 6}}}\n"


def in_force(running: RunningWebhook, payer: str) -> None:
    """Put the policy in force; wait until every API server calls us about edits, if the last editor pays."""
    running.set_policy(POLICY.replace("PAYER", payer))
    if payer == "maker":
        return
    probe = json.dumps(deployment("probe", replicas=0))
    running.cluster.kubectl("apply", "-n", "default", "-f", "-", user="alice", stdin=probe)
    words = (
        "set",
        "image",
        "deployment/probe",
        "main=example/other",
        "-n",
        "default",
        "--dry-run=server",
        "-o",
        "json",
    )

    def is_called(server: int) -> bool:
        answer = running.cluster.kubectl(*words, user="bob", server=server, check=False)
        return f'"{OWNER}": "bob"' in answer.stdout

    eventually(lambda: all(map(is_called, range(1, len(running.cluster.server_urls) + 1))), what=running.output)
    running.cluster.kubectl("delete", "deployment", "probe", "-n", "default")


def alices_deployment(running: RunningWebhook, place: str, alice: Person, *, keep: int = 2) -> None:
    """Make a Deployment of three pods whose rollouts keep so many of the old ones: nothing says that new ones run."""
    made = deployment("web", replicas=3)
    made["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 3 - keep}}
    assert " created" in alice.create(json.dumps(made))
    eventually(lambda: pod_owners(running, place) == [alice.name] * 3)
    for each in listed(running, place, "pods"):
        runs(running, place, each["metadata"]["name"])
    eventually(lambda: ready_replicas(running, place) == 3)


def runs(running: RunningWebhook, place: str, name: str) -> None:
    """Report that a pod is ready, as its node would."""
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    running.cluster.kubectl("patch", "pod", name, "-n", place, "--subresource=status", "-p", json.dumps(status))


def ready_replicas(running: RunningWebhook, place: str) -> int:
    path = "jsonpath={.status.readyReplicas}"
    return int(running.cluster.kubectl("get", "deployment/web", "-n", place, "-o", path).stdout or 0)


def owners(running: RunningWebhook, place: str) -> Counter[str]:
    return Counter(pod_owners(running, place))


@pytest.mark.parametrize("payer", ["lastEditor", "maker"])
def test_the_pods_of_a_new_template_are_paid_by_whom_the_policy_says(
    running: RunningWebhook, place: str, named: Named, payer: str
) -> None:
    in_force(running, payer)
    alice, bob = named("alice"), named("bob")
    alices_deployment(running, place, alice)
    await_revision(alice, 1)

    said = bob.run("set", "image", "deployment/web", "main=example/two")

    assert "image updated" in said
    assert (f"Warning: {bob.name} pays from now on (changed it last)" in said) is (payer == "lastEditor")
    of_new = bob if payer == "lastEditor" else alice
    assert stamped(running, place, "deployment", "web")[OWNER] == of_new.name
    await_revision(alice, 2)
    expected = Counter({alice.name: 2}) + Counter({of_new.name: 1})  # the new pod does not run, so the old ones stay
    eventually(lambda: owners(running, place) == expected, what=lambda: str(owners(running, place)))

    def finished() -> bool:
        for each in listed(running, place, "pods"):
            runs(running, place, each["metadata"]["name"])
        return owners(running, place) == Counter({of_new.name: 3})

    eventually(finished, what=lambda: str(owners(running, place)))


def test_nobody_makes_another_person_pay(running: RunningWebhook, place: str, named: Named) -> None:
    in_force(running, "lastEditor")
    alice, bob = named("alice"), named("bob")
    alices_deployment(running, place, alice)

    refused = bob.run("scale", "deployment/web", "--replicas=4")
    assert f"{alice.name} pays for deployments web, and would pay for more; to pay for it yourself" in refused
    assert "scaled" in bob.run("scale", "deployment/web", "--replicas=2")
    eventually(lambda: owners(running, place) == Counter({alice.name: 2}))
    assert "scaled" in alice.run("scale", "deployment/web", "--replicas=3")
    eventually(lambda: owners(running, place) == Counter({alice.name: 3}))

    [replica_set] = [each["metadata"]["name"] for each in listed(running, place, "replicasets")]
    larger = '{"spec": {"template": {"spec": {"priority": 0, "hostname": "x"}}}}'
    refused = bob.run("patch", "replicaset", replica_set, "-p", larger)
    assert f"{alice.name} pays for what Deployment web makes, and replicasets {replica_set} is part of that" in refused

    assert "patched" in bob.run("patch", "deployment", "web", "-p", '{"spec": {"replicas": 4}}')
    eventually(lambda: owners(running, place) == Counter({alice.name: 3, bob.name: 1}))
    refused = alice.run("scale", "deployment/web", "--replicas=5")
    assert f"{bob.name} pays for deployments web" in refused


def test_a_rollback_that_its_controller_makes_is_an_edit_of_who_asked_for_it(
    running: RunningWebhook, place: str, named: Named
) -> None:
    in_force(running, "lastEditor")
    alice, bob = named("alice"), named("bob")
    alices_deployment(running, place, alice)
    for person, image in ((bob, "two"), (alice, "three")):
        before = int(revision_of(running, place, "web"))
        assert "image updated" in person.run("set", "image", "deployment/web", f"main=example/{image}")
        await_revision(alice, before + 1)
    assert stamped(running, place, "deployment", "web")[OWNER] == alice.name

    said = bob.run("annotate", "deployment", "web", "deprecated.deployment.rollback.to=2")

    assert f"Warning: {bob.name} pays from now on (changed it last)" in said
    await_revision(alice, 4)
    assert stamped(running, place, "deployment", "web")[OWNER] == bob.name


def test_what_no_person_does_changes_no_payer(running: RunningWebhook, place: str, named: Named) -> None:
    in_force(running, "lastEditor")
    alice, bob = named("alice"), named("bob")
    alices_deployment(running, place, alice)
    for user in ("system:serviceaccount:argocd:controller", f"system:serviceaccount:{place}:default"):
        words = ("set", "image", "deployment/web", f"main=example/{len(user)}", f"--as={user}")
        assert "image updated" in run(running, place, *words, "--as-group=system:masters", user="admin")
        assert stamped(running, place, "deployment", "web")[OWNER] == alice.name
    assert "labeled" in bob.run("label", "deployment", "web", "note=mine")
    assert "paused" in bob.run("rollout", "pause", "deployment/web")
    assert stamped(running, place, "deployment", "web")[OWNER] == alice.name
