"""Handing objects over to another owner on a real API server: who may, if it fits, and not by accident."""

from __future__ import annotations

import pytest

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_who_pays import OWNER, run, stamped

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 10, cpu: 2}}}\n"
ROLE = """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: adopter}
rules:
  - {apiGroups: [userquota.dev], resources: [owners], resourceNames: [bob], verbs: [adopt]}
"""
BY_HAND = "--field-manager=userquota-adopt"


@pytest.fixture
def hers(running: RunningWebhook, place: str) -> str:
    """A pod of alice, of one core."""
    running.set_policy(POLICY)
    assert " created\n" in run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers", cpu="1"))
    return "hers"


def hand_over(
    running: RunningWebhook, place: str, to: str, *options: str, by: str = "admin", what: str = "pod/hers"
) -> str:
    return run(running, place, "annotate", "--overwrite", what, f"{OWNER}={to}", *options, user=by)


def test_a_pod_is_handed_over_if_it_fits_and_the_former_owner_has_the_room_again(
    running: RunningWebhook, place: str, hers: str
) -> None:
    run(running, place, "create", "-f", "-", user="bob", stdin=pod("his", cpu="1500m"))

    refused = hand_over(running, place, "bob", BY_HAND)
    assert "exceeded quota: defaults.user, requested: requests.cpu=1, used: requests.cpu=1500m" in refused
    assert "charged to bob (handed over by " in refused
    assert stamped(running, place, "pod", hers)[OWNER] == "alice"

    done = hand_over(running, place, "carol", BY_HAND)
    assert "carol pays from now on (handed over by " in done
    assert stamped(running, place, "pod", hers) == {OWNER: "carol", "userquota.dev/groups": "[]"}
    eventually(
        lambda: " created" in run(running, place, "create", "-f", "-", user="alice", stdin=pod("second", cpu="2"))
    )
    more = run(running, place, "create", "-f", "-", user="carol", stdin=pod("hers-too", cpu="1500m"))
    assert "requested: requests.cpu=1500m, used: requests.cpu=1" in more


def test_who_has_the_verb_may_hand_over_and_nobody_else(running: RunningWebhook, place: str, hers: str) -> None:
    for person in ("alice", "bob"):
        said = hand_over(running, place, "bob", BY_HAND, by=person)
        assert f"{person} may not hand objects over to bob: that takes the verb adopt on owners.userquota.dev" in said
    running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=ROLE)
    running.cluster.kubectl("create", "rolebinding", "adopter", "-n", place, "--role=adopter", "--user=alice")

    eventually(lambda: "bob pays from now on" in hand_over(running, place, "bob", BY_HAND, by="alice"))
    assert "alice may not hand objects over to carol" in hand_over(running, place, "carol", BY_HAND, by="alice")


def test_without_the_field_manager_nothing_is_handed_over(running: RunningWebhook, place: str, hers: str) -> None:
    said = hand_over(running, place, "bob")

    assert "the userquota.dev annotations were left as they are: alice pays" in said
    assert stamped(running, place, "pod", hers)[OWNER] == "alice"


def test_what_a_workload_makes_afterwards_is_paid_by_its_new_owner(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "deployment", "web", "--image=example/x", "--replicas=1", user="alice")
    eventually(lambda: " 1 " in run(running, place, "get", "deployment", "web", user="admin"))

    assert "carol pays from now on" in hand_over(running, place, "carol", BY_HAND, what="deployment/web")
    path = "{.items[*].metadata.annotations.userquota\\.dev/owner}"
    read = ("get", "replicasets", "-n", place, "-o", f"jsonpath={path}")
    eventually(lambda: running.cluster.kubectl(*read).stdout == "carol")
    run(running, place, "scale", "deployment", "web", "--replicas=3", user="carol")

    def owners() -> list[str]:
        path = "{.items[*].metadata.annotations.userquota\\.dev/owner}"
        return sorted(running.cluster.kubectl("get", "pods", "-n", place, "-o", f"jsonpath={path}").stdout.split())

    eventually(lambda: owners() == ["alice", "carol", "carol"])


def test_who_leaves_a_group_leaves_it_with_the_next_change_of_a_workload(running: RunningWebhook, place: str) -> None:
    running.set_policy(f"{POLICY}groups: {{ml: {{pool: {{hard: {{pods: 1}}}}}}}}\n")

    def as_dora(*words: str, groups: tuple[str, ...] = ("people",)) -> str:
        impersonated = ("--as=dora", *(f"--as-group={group}" for group in groups))
        return run(running, place, *words, *impersonated, user="admin")

    def groups_of(kind: str) -> set[str]:
        path = "{.items[*].metadata.annotations.userquota\\.dev/groups}"
        return set(running.cluster.kubectl("get", kind, "-n", place, "-o", f"jsonpath={path}").stdout.split())

    def pods() -> int:
        return len(running.cluster.kubectl("get", "pods", "-n", place, "-o", "name").stdout.split())

    as_dora("create", "deployment", "web", "--image=example/x", "--replicas=2", groups=("people", "ml"))
    eventually(lambda: pods() == 1)
    assert groups_of("deployments") == {'["ml","people"]'}

    assert "Warning" not in as_dora("annotate", "deployment", "web", "note=mine")
    said = as_dora("patch", "deployment", "web", "-p", '{"spec": {"replicas": 3}}')
    assert "dora pays with the groups of today from now on" in said
    assert groups_of("deployments") == {'["people"]'}
    eventually(lambda: groups_of("replicasets") == {'["people"]'})
    eventually(lambda: pods() == 3)
    assert groups_of("pods") == {'["ml","people"]', '["people"]'}
