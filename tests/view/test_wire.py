"""The objects of the API group: their texts, and the names of subjects."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.overlays import MANIFESTS
from tests.view.scenes import NOW, cost, put, reserve, scene
from webhook.quota.objects import ObjectKey
from webhook.quota.subject import Payer, Subject
from webhook.view import wire
from webhook.view.allocations import Allocations, Selection
from webhook.view.holders import Largest, by_resource
from webhook.view.standings import own_quota

NAMES = {
    "user/alice": "user:alice",
    "group/ml": "group:ml",
    "cluster": "cluster",
    "serviceaccounts/red": "serviceaccounts:red",
    "user/system:node:n1": "user:system:node:n1",
    "user/https://issuer.example#a b": "user:https:~2F~2Fissuer.example~23a~20b",
    "user/~x%2F": "user:~7Ex~252F",
    "user/jürgen@example.com": "user:j~C3~BCrgen@example.com",
}


@pytest.mark.parametrize(("subject", "name"), NAMES.items())
def test_a_name_in_the_api_stands_for_one_subject(subject: str, name: str) -> None:
    assert wire.name_of(Subject(subject)) == name
    assert wire.subject_named(name) == subject
    assert re.fullmatch(r"[-A-Za-z0-9._:@~]+", name)


def test_a_self_quota_is_told_in_canonical_quantities() -> None:
    alice = Payer("alice", ("ml",))
    made = scene(
        "defaults: {user: {hard: {cpu: 1500m, gpu: 2}, perPod: {memory: 4Gi}}}\n"
        "resources: {gpu: {nvidia.com/gpu.shared: 1/7}}\n"
        "users: {alice: {hard: {gpu: 1}, mode: warn, until: 2027-01-31T00:00:00Z}}"
    )
    taken = put(made, "a", alice, cost(1, **{"requests.nvidia.com/gpu.shared": 3}), created=1_764_374_400)
    largest = Largest(made, by_resource("gpu"), limit=10)
    largest.take(*taken)
    told = wire.self_quota("alice", "", own_quota(made, alice), largest.result(), None)

    assert told["kind"] == "SelfQuota"
    status = told["status"]
    assert isinstance(status, dict)
    assert "exempt" not in status
    assert status["user"] == "alice"
    assert status["limits"][0] == {
        "subject": "user/alice",
        "resource": "gpu",
        "hard": "1",
        "used": "3/7",
        "reserved": "0",
        "free": "4/7",
        "over": "0",
        "mode": "warn",
        "entry": "users.alice",
        "place": "userquota-policy/policy.yaml:4",
        "rule": "own entry, in the place of defaults.user",
        "until": "2027-01-31T00:00:00Z",
    }
    assert [each["hard"] for each in status["limits"] if each["resource"] == "requests.cpu"] == ["1500m"]
    assert [(each["cap"], each["hard"]) for each in status["caps"]] == [("perPod", "4Gi")]
    [holder] = status["holders"]
    assert (holder["created"], holder["amounts"]["gpu"]) == ("2025-11-29T00:00:00Z", "3/7")
    assert NOW.year == 2026


def test_an_object_with_very_many_resources_is_cut_short() -> None:
    made = scene()
    amounts = tuple(sorted((f"requests.example.com/d{number}", 10**9) for number in range(1000)))
    largest = Largest(made, by_resource(amounts[0][0]), limit=1)
    largest.take(*put(made, "a", Payer("alice"), amounts))

    [found] = largest.result()
    status = wire.holder(found, {})["status"]
    assert isinstance(status, dict)
    assert len(status["amounts"]) == 50


def test_an_allocation_is_told_with_what_it_holds_and_what_is_in_flight() -> None:
    made = scene("resources: {gpu: {nvidia.com/gpu.shared: 1/7}}")
    put(made, "a", Payer("alice"), cost(1, **{"requests.nvidia.com/gpu.shared": 3}), created=1_764_374_400)
    reserve(made, "b", Payer("bob"), cost(2))
    found = Allocations(made, Selection(), limit=1)
    for _ in found.walk(made.usage.holdings()):
        pass
    page = found.result()

    told = wire.allocation_list(page, [wire.allocation(each) for each in page.allocations])

    assert told == {
        "apiVersion": "view.userquota.dev/v1alpha1",
        "kind": "AllocationList",
        "metadata": {"resourceVersion": "", "continue": "pods/red/a"},
        "items": [
            {
                "apiVersion": "view.userquota.dev/v1alpha1",
                "kind": "Allocation",
                "metadata": {"name": "pods:a", "namespace": "red", "creationTimestamp": "2025-11-29T00:00:00Z"},
                "status": {
                    "resource": "pods",
                    "namespace": "red",
                    "name": "a",
                    "uid": "a",
                    "owner": "alice",
                    "state": "used",
                    "created": "2025-11-29T00:00:00Z",
                    "committed": {
                        "gpu": "3/7",
                        "pods": "1",
                        "requests.cpu": "1",
                        "requests.nvidia.com/gpu.shared": "3",
                    },
                    "reserved": {},
                    "chargedTo": ("user/alice", "namespace/red", "cluster"),
                },
            }
        ],
        "sums": [
            {"resource": "gpu", "committed": "3/7", "reserved": "0"},
            {"resource": "pods", "committed": "1", "reserved": "1"},
            {"resource": "requests.cpu", "committed": "1", "reserved": "2"},
            {"resource": "requests.nvidia.com/gpu.shared", "committed": "3", "reserved": "0"},
        ],
    }


def test_tags_are_told_as_a_map_and_as_the_labels_that_clients_know() -> None:
    made = scene()
    put(made, "a", Payer("alice"), tags=(("example.com/team", "ml"), ("app", "")))
    put(made, "b", Payer("alice"))
    found = Allocations(made, Selection(), limit=2)
    for _ in found.walk(made.usage.holdings()):
        pass
    first, second = found.result().allocations

    told, untagged = wire.allocation(first), wire.allocation(second)

    tags = {"example.com/team": "ml", "app": ""}
    assert (told["status"]["tags"], told["metadata"]["labels"]) == (tags, tags)  # type: ignore[index]
    assert "tags" not in untagged["status"]  # type: ignore[operator]
    assert "labels" not in untagged["metadata"]  # type: ignore[operator]
    assert [wire.table_row(each)["cells"][-1] for each in (first, second)] == ["example.com/team=ml,app=", "-"]  # type: ignore[index]


@pytest.mark.parametrize("key", [ObjectKey("pods", "red", "a"), ObjectKey("things.example.com", "", "x")])
def test_a_page_goes_on_behind_a_key(key: ObjectKey) -> None:
    assert wire.continued(wire.continuation(key)) == key


@pytest.mark.parametrize("text", ["", "pods", "pods/red", "/red/a", "pods/red/", "pods/red/a/b"])
def test_no_page_goes_on_behind_another_text(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is not told
        wire.continued(text)


def test_a_cell_has_objects_by_number_only_if_there_is_nothing_else() -> None:
    made = scene()
    put(made, "a", Payer("alice"), cost(1, **{"count/pods": 1}))
    put(made, "b", Payer("alice"), (("count/pods", 10**9),))
    found = Allocations(made, Selection(), limit=5)
    for _ in found.walk(made.usage.holdings()):
        pass

    rows = [wire.table_row(each) for each in found.result().allocations]

    assert [each["cells"][3:5] for each in rows] == [["pods=1,requests.cpu=1", "-"], ["count/pods=1", "-"]]  # type: ignore[index]


def test_what_the_policy_says_of_resources_is_told_of_those_in_the_rows() -> None:
    made = scene(
        "resources:\n"
        "  gpu: {displayName: NVIDIA cards, description: Whole cards, unit: GPUs, default: 0}\n"
        "  example.com/vram: {format: binary, default: 8Gi}\n"
        "  storage: {unit: GiB}"
    )
    taken = put(made, "a", Payer("alice"), (("requests.example.com/vram", 2**31 * 10**9),))
    largest = Largest(made, by_resource("requests.example.com/vram"), limit=1)
    largest.take(*taken)
    told = wire.self_quota("alice", "", own_quota(made, Payer("alice")), largest.result(), None)["status"]

    assert isinstance(told, dict)
    assert told["resources"] == {"gpu": {"displayName": "NVIDIA cards", "description": "Whole cards", "unit": "GPUs"}}
    rows = {each["resource"]: each for each in told["limits"]}
    assert (rows["gpu"]["rule"], rows["gpu"]["entry"], rows["gpu"]["hard"]) == (
        "default of the resource",
        "resources.gpu",
        "0",
    )
    vram = rows["requests.example.com/vram"]
    assert (vram["hard"], vram["used"], vram["free"]) == ("8Gi", "2Gi", "6Gi")
    assert told["holders"][0]["amounts"]["requests.example.com/vram"] == "2Gi"
    [found] = largest.result()
    status = wire.holder(found, made.policy.catalogue)["status"]
    assert isinstance(status, dict)
    assert status["amounts"]["requests.example.com/vram"] == "2Gi"


def test_allocations_are_told_in_the_notation_of_the_policy() -> None:
    vram = "requests.example.com/vram"
    made = scene("resources: {example.com/vram: {format: binary, default: 8Gi}}")
    put(made, "a", Payer("alice"), ((vram, 2**31 * 10**9),))
    found = Allocations(made, Selection(), limit=5)
    for _ in found.walk(made.usage.holdings()):
        pass
    page = found.result()
    (told,) = page.allocations

    assert wire.allocated(told)["committed"] == {vram: "2Gi"}
    assert wire.table_row(told)["cells"][3] == f"{vram}=2Gi"  # type: ignore[index]
    assert wire.allocation_list(page, [])["sums"] == [{"resource": vram, "committed": "2Gi", "reserved": "0"}]


def test_without_a_catalogue_nothing_is_said_of_resources() -> None:
    made = scene("cluster: {hard: {gpu: 8}}")
    told = wire.quota_of(Subject("cluster"), own_quota(made, Payer("alice")))["status"]
    assert isinstance(told, dict)
    assert told.keys() == {"limits", "caps"}


def test_discovery_has_all_to_which_the_cluster_roles_give_rights() -> None:
    """`kubectl get` finds nothing else."""
    roles = [
        yaml.safe_load((MANIFESTS / f"clusterrole-view-{whose}.yaml").read_text())["rules"] for whose in ("own", "all")
    ]
    given = {name: rule["verbs"] for rules in roles for rule in rules for name in rule["resources"]}

    assert {each["name"]: each["verbs"] for each in wire.resource_list()["resources"]} == given  # type: ignore[attr-defined]
