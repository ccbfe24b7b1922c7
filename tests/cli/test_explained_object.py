"""`userquota explain KIND/NAME`: why somebody pays for an object, with canned answers of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.canned import Cluster, answering
from tests.cli.running import Ended, in_process

VIEW = "/apis/view.userquota.dev/v1alpha1"
PODS = "/api/v1/namespaces/red/pods"
SETS = "/apis/apps/v1/namespaces/red/replicasets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/red/deployments"
SOURCE = {"mode": "enforce", "entry": "users.alice", "place": "userquota-policy/policy.yaml:4", "rule": "own entry"}
CHARGED = ["user/alice", "group/ml", "namespace/red", "cluster", "[BestEffort] user/alice"]


def limit(subject: str, resource: str, *, hard: str | None = "4", **others: str) -> dict[str, Any]:
    row = {"subject": subject, "resource": resource, "used": "1", "reserved": "0", **others}
    return row if hard is None else {**row, "hard": hard, "free": "3", "over": "0", **SOURCE}


def allocated(name: str, owner: str = "alice", **others: Any) -> dict[str, Any]:
    key = {"resource": "pods", "namespace": "red", "name": name, "uid": f"u-{name}", "owner": owner, "state": "used"}
    costs = {"created": "2026-01-01T00:00:00Z", "committed": {"pods": "1", "requests.cpu": "2"}, "reserved": {}}
    return {**key, **costs, "chargedTo": CHARGED, **others}


def meta(
    name: str, owner: str = "", *, groups: str = '["ml"]', above: tuple[str, str] = ("", ""), maker: str = ""
) -> dict[str, Any]:
    stamp = {"userquota.dev/owner": owner, "userquota.dev/groups": groups} if owner else {}
    if maker:
        stamp["userquota.dev/maker"] = json.dumps([maker, []])
    kind, parent = above
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": parent, "uid": f"u-{parent}", "controller": True}
    return {
        "metadata": {
            "name": name,
            "namespace": "red",
            "uid": f"u-{name}",
            "annotations": stamp,
            "ownerReferences": [reference] if kind else [],
        }
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Alice has pod `web-1` of ReplicaSet `web-5d` of her Deployment `web`; her view has more limits than bind it."""
    limits = [
        limit("user/alice", "requests.cpu"),
        limit("user/alice", "pods", scopes="BestEffort"),
        limit("user/alice", "pods", scopes="Terminating"),
        limit("user/alice", "requests.memory"),
        limit("group/ml", "pods"),
        limit("group/other", "pods"),
        limit("cluster", "pods", hard=None),
    ]
    with answering(tmp_path) as cluster:
        cluster.answers |= {
            f"{VIEW}/selfallocations": (201, {"status": {"user": "alice", "allocations": [allocated("web-1")]}}),
            f"{VIEW}/selfquotas": (201, {"status": {"user": "alice", "limits": limits}}),
            f"{PODS}/web-1": meta("web-1", "alice", above=("ReplicaSet", "web-5d")),
            f"{SETS}/web-5d": meta("web-5d", "alice", above=("Deployment", "web")),
            f"{DEPLOYMENTS}/web": meta("web", "alice"),
            f"{VIEW}/namespaces/red/allocations": refused("you may not list allocations"),
            f"{VIEW}/quotas": refused("you may not list quotas"),
        }
        yield cluster


def refused(why: str) -> tuple[int, Mapping[str, Any]]:
    return 403, {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": why, "code": 403}


def explain(cluster: Cluster, *words: str) -> Ended:
    return in_process("explain", *words, "-n", "red", "--kubeconfig", str(cluster.config))


def document(cluster: Cluster, named: str = "pod/web-1") -> dict[str, Any]:
    ended = explain(cluster, named, "-o", "json")
    assert (ended.code, ended.err) == (0, ""), ended
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_payer_rule_controllers_costs_and_limits_are_told(cluster: Cluster) -> None:
    ended = explain(cluster, "pod/web-1")

    assert (ended.code, ended.err) == (0, "")
    facts, controllers, limits = (block.splitlines() for block in ended.out.split("\n\n"))
    assert [line.split(None, 1) for line in facts[:3]] == [
        ["OBJECT", "pods red/web-1"],
        ["PAYER", "alice"],
        ["WHY", "its stamp: the owner of ReplicaSet web-5d, for which it was made"],
    ]
    assert "COSTS        pods=1,requests.cpu=2" in facts
    assert [line.split() for line in controllers] == [
        ["CONTROLLER", "PAYER"],
        ["ReplicaSet", "web-5d", "alice"],
        ["Deployment", "web", "alice"],
    ]
    assert [line.split()[:3] for line in limits] == [
        ["SUBJECT", "RESOURCE", "HARD"],
        ["user/alice", "requests.cpu", "4"],
        ["user/alice", "[BestEffort]", "pods"],
        ["group/ml", "pods", "4"],
    ]
    assert limits[1].split()[-3:] == ["users.alice", "userquota-policy/policy.yaml:4", "-"]


def test_the_document_has_all_of_it(cluster: Cluster) -> None:
    found = document(cluster, "pods/web-1")

    assert (found["payer"], found["stamp"]) == ("alice", {"owner": "alice", "groups": ["ml"]})
    assert [(each["name"], each["stamp"]["owner"]) for each in found["controllers"]] == [
        ("ReplicaSet web-5d", "alice"),
        ("Deployment web", "alice"),
    ]
    assert found["chargedTo"] == CHARGED
    assert [(each["subject"], each["scopes"], each["resource"]) for each in found["limits"]] == [
        ("user/alice", "", "requests.cpu"),
        ("user/alice", "BestEffort", "pods"),
        ("group/ml", "", "pods"),
    ]


NOBODY = "system:unattributed"
RULES = {
    "no stamp": (meta("web-1"), "it has no stamp: it is older than userquota"),
    "one that nobody wrote": (meta("web-1", "alice", groups="ml"), "its stamp is none that userquota writes"),
    "nobody": (meta("web-1", NOBODY, groups="[]"), "its stamp: it was made for an object that nobody is known to own"),
    "who made it": (meta("web-1", "alice"), "its stamp: who made it, or got it handed over, pays until it is gone"),
    "taken along": (
        meta("web-1", "alice", maker="carol", above=("ReplicaSet", "web-5d")),
        "its stamp: it follows its controller; carol made it",
    ),
    "of another one": (
        meta("web-1", "bob", above=("ReplicaSet", "web-5d")),
        "its stamp: who made it pays until it is gone, whoever owns ReplicaSet web-5d",
    ),
}


@pytest.mark.parametrize(("stored", "rule"), RULES.values(), ids=RULES.keys())
def test_the_rule_is_told_as_far_as_the_object_has_it(cluster: Cluster, stored: object, rule: str) -> None:
    cluster.answers[f"{PODS}/web-1"] = stored
    assert document(cluster)["rule"].startswith(rule)


def test_what_is_in_flight_has_neither_stamp_nor_controllers(cluster: Cluster) -> None:
    del cluster.answers[f"{PODS}/web-1"]
    found = document(cluster)
    assert (found["rule"], found["stamp"], found["controllers"]) == (
        "it is not stored yet: whoever asked for it pays",
        None,
        [],
    )


ABOVE = {
    "gone": (None, "it does not exist any more"),
    "another one": ({"metadata": {"name": "web-5d", "uid": "other"}}, "it does not exist any more"),
    "not to be read": (refused("no"), f"{SETS}/web-5d could not be read: "),
}


@pytest.mark.parametrize(("answer", "why"), ABOVE.values(), ids=ABOVE.keys())
def test_a_controller_that_is_not_known_is_named_with_the_reason(cluster: Cluster, answer: object, why: str) -> None:
    if answer is None:
        del cluster.answers[f"{SETS}/web-5d"]
    else:
        cluster.answers[f"{SETS}/web-5d"] = answer
    [found] = document(cluster)["controllers"]
    assert (found["name"], found["stamp"]) == ("ReplicaSet web-5d", None)
    assert found["unknown"].startswith(why)


def test_limits_of_a_namespace_where_one_may_make_nothing_are_left_out_with_a_note(cluster: Cluster) -> None:
    answer = cluster.answers.pop(f"{VIEW}/selfquotas")

    class Denying(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            return key == f"{VIEW}/selfquotas" or super().__contains__(key)

        def __getitem__(self, key: str) -> Any:
            if key != f"{VIEW}/selfquotas":
                return super().__getitem__(key)
            asked = cluster.asked.count(key)
            return refused("you may not create pods in namespace red") if asked == 1 else answer

    cluster.answers = Denying(cluster.answers)
    ended = explain(cluster, "pod/web-1")
    assert ended.code == 0
    assert "group/ml" in ended.out
    assert ended.err == "note: limits of namespace red and its tenants are told to those who may create pods there\n"


def test_objects_of_others_take_the_right_to_see_them(cluster: Cluster) -> None:
    cluster.answers[f"{PODS}/bobs"] = meta("bobs", "bob")
    ended = explain(cluster, "pod/bobs")
    assert ended == Ended(2, "", "userquota: you may not list allocations\n")
    assert f"{PODS}/bobs" not in cluster.asked

    charged = ["user/bob", "namespace/red"]
    cluster.has(f"{VIEW}/namespaces/red/allocations", {"status": allocated("bobs", "bob", chargedTo=charged)})
    assert explain(cluster, "pod/bobs") == Ended(2, "", "userquota: you may not list quotas\n")

    rows = [limit(whom, "pods") for whom in ("user/alice", "user/bob", "namespace/red", "cluster")]
    cluster.has(f"{VIEW}/quotas", *({"status": {"limits": [row]}} for row in rows))
    found = document(cluster, "pod/bobs")
    assert (found["payer"], [each["subject"] for each in found["limits"]]) == ("bob", charged)


TROUBLE = {
    "nothing of that name": ("pod/none", "pods red/none costs nothing, or there is none"),
    "no such kind": ("widgets.example.com/a", "widgets.example.com: the API serves no such kind"),
}


@pytest.mark.parametrize(("named", "why"), TROUBLE.values(), ids=TROUBLE.keys())
def test_what_is_not_counted_is_trouble(cluster: Cluster, named: str, why: str) -> None:
    cluster.has(f"{VIEW}/namespaces/red/allocations")
    assert explain(cluster, named) == Ended(2, "", f"userquota: {why}\n")


def test_an_object_that_may_not_be_read_is_not_explained(cluster: Cluster) -> None:
    cluster.answers[f"{PODS}/web-1"] = refused("no")
    ended = explain(cluster, "pod/web-1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"userquota: {PODS}/web-1 could not be read: ")


def test_an_older_replica_is_told(cluster: Cluster) -> None:
    older = allocated("web-1")
    del older["chargedTo"]
    cluster.answers[f"{VIEW}/selfallocations"] = (201, {"status": {"allocations": [older]}})
    ended = explain(cluster, "pod/web-1")
    assert (ended.code, ended.out) == (2, "")
    assert "older than this command" in ended.err
