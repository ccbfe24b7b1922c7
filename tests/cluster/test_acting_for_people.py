"""A hub, a robot and namespaces with owners on a real API server: people pay for what is created for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_who_pays import OWNER, run, stamped

USERNAME = "hub.jupyter.org/username"
POLICY = """version: 1
defaults: {{user: {{hard: {{pods: 2, cpu: 4}}}}, serviceAccount: {{hard: {{pods: 1}}}}}}
attribution:
  delegates: [{{serviceAccount: {place}/hub, owner: [{{preset: jupyterhub}}], never: [admin]}}]
  namespaceOwners: [{{namespaceAnnotation: owner}}]
"""


@pytest.fixture
def hub(running: RunningWebhook, place: str) -> Iterator[str]:
    """The user of a hub that may create pods in the place, under a policy in which it is a delegate."""
    running.set_policy(POLICY.format(place=place))
    running.cluster.kubectl(
        "create", "rolebinding", "hub", "-n", place, "--clusterrole=edit", f"--serviceaccount={place}:hub"
    )
    yield f"system:serviceaccount:{place}:hub"
    running.cluster.kubectl("delete", "rolebinding", "hub", "-n", place)


def create(running: RunningWebhook, place: str, by: str, manifest: str) -> str:
    return run(running, place, "create", "-f", "-", f"--as={by}", user="admin", stdin=manifest)


def notebook(name: str, student: str, cpu: str = "1", *, labels: Sequence[str] = ()) -> str:
    return pod(name, cpu=cpu, labels=labels).replace(
        "metadata: {", f"metadata: {{annotations: {{{USERNAME}: {student}}}, "
    )


def test_each_student_of_a_hub_pays_for_their_own_notebooks(running: RunningWebhook, place: str, hub: str) -> None:
    for student in ("s1", "s2", "s3"):
        assert " created\n" in create(running, place, hub, notebook(f"of-{student}", student))
    refused = create(running, place, hub, notebook("large", "s1", "8"))

    assert f"for user/s1; would fit: requests.cpu=3; charged to s1 (named by {hub} in annotation {USERNAME})" in refused
    assert stamped(running, place, "pod", "of-s2") == {OWNER: "s2", "userquota.dev/groups": "[]"}
    assert " created\n" in create(running, place, hub, notebook("second", "s1"))
    assert "exceeded quota: defaults.user, requested: pods=1, used: pods=2" in create(
        running, place, hub, notebook("third", "s1")
    )
    assert "must not name 'admin' as who pays" in create(running, place, hub, notebook("x", "admin"))


def test_the_servers_of_a_hub_are_sessions(running: RunningWebhook, place: str, hub: str) -> None:
    entry = "{hard: {pods: 9, sessions: 1}, perSession: {cpu: 2}}"
    policy = POLICY.format(place=place).replace("{hard: {pods: 2, cpu: 4}}", entry)
    running.set_policy(f"{policy}sessions: {{presets: [jupyterhub]}}\n")

    def server(name: str, cpu: str = "1") -> str:
        return create(running, place, hub, notebook(name, "s7", cpu, labels=["component=singleuser-server"]))

    eventually(lambda: "requests.cpu=2 for one session" in server("large", "3"))
    assert " created\n" in server("first")
    refused = server("second")
    assert "requested: sessions=1, used: sessions=1, limited: sessions=1" in refused
    assert "would fit: nothing until a session ends; charged to s7" in refused
    assert " created\n" in create(running, place, hub, notebook("helper", "s7"))
    run(running, place, "delete", "pod", "first", "--grace-period=0", "--force", user="admin")
    eventually(lambda: " created\n" in server("second"))


def test_the_deployment_that_a_hub_makes_hands_its_owner_down(running: RunningWebhook, place: str, hub: str) -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "lab", "annotations": {USERNAME: "s1"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "lab"}},
            "template": {
                "metadata": {"labels": {"app": "lab"}},
                "spec": {"containers": [{"name": "main", "image": "example/x"}]},
            },
        },
    }
    assert " created\n" in create(running, place, hub, json.dumps(deployment))

    def owners() -> list[str]:
        path = "{.items[*].metadata.annotations.userquota\\.dev/owner}"
        return running.cluster.kubectl("get", "pods", "-n", place, "-o", f"jsonpath={path}").stdout.split()

    eventually(lambda: owners() == ["s1", "s1"])


def test_nobody_else_names_who_pays(running: RunningWebhook, place: str, hub: str) -> None:
    for by in ("alice", f"{hub}-2"):
        groups = "--as-group=people" if by == "alice" else "--as-group=system:masters"
        forged = notebook(f"of-{by[:5]}", "bob")
        said = run(running, place, "create", "-f", "-", f"--as={by}", groups, user="admin", stdin=forged)
        assert " created\n" in said
        assert stamped(running, place, "pod", f"of-{by[:5]}")[OWNER] == by


def test_the_owner_of_a_namespace_pays_for_what_accounts_create_there(
    running: RunningWebhook, place: str, hub: str
) -> None:
    running.cluster.kubectl("annotate", "namespace", place, "owner=bob")

    def mine(name: str) -> str:
        create(running, place, hub, pod(name))
        return stamped(running, place, "pod", name).get(OWNER, "")

    names = iter(f"n{number}" for number in range(100))
    eventually(lambda: mine(next(names)) == "bob")
    person = run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers"))
    assert " created\n" in person
    assert stamped(running, place, "pod", "hers")[OWNER] == "alice"
    said = [create(running, place, hub, pod(f"more{number}")) for number in range(3)]
    assert "charged to bob (owner of namespace" in said[-1]
    running.cluster.kubectl("annotate", "namespace", place, "owner-")


def test_the_executors_of_a_driver_are_paid_by_its_owner(running: RunningWebhook, place: str, hub: str) -> None:
    """The driver acts with the token of a service account that the API server has issued for its pod."""
    driver = pod("driver").replace("spec: {", "spec: {serviceAccountName: hub, ")
    running.cluster.kubectl("create", "serviceaccount", "hub", "-n", place)
    assert " created\n" in run(running, place, "create", "-f", "-", user="alice", stdin=driver)
    bound = ("--bound-object-kind=Pod", "--bound-object-name=driver")
    token = running.cluster.kubectl("create", "token", "hub", "-n", place, *bound).stdout.strip()

    def executor(name: str) -> str:
        return run(running, place, "create", "-f", "-", f"--token={token}", user="alice", stdin=pod(name))

    assert " created\n" in executor("first")
    assert stamped(running, place, "pod", "first") == stamped(running, place, "pod", "driver")
    assert "charged to alice (owner of Pod driver, which acts)" in executor("second")
