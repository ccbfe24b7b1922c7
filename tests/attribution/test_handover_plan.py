"""Which objects move in a hand-over, and in which order: from lists of metadata, however their references look."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.attribution.claim_templates import StatefulSet
from webhook.attribution.handover import Family, Owned, Plan
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS
from webhook.quota.objects import Annotations, ObjectKey, ObjectMeta, OwnerReference
from webhook.quota.subject import NOBODY

Listed = tuple[AnyKind, ObjectMeta]


def kind(resource: str) -> AnyKind:
    found = KINDS.of_name(resource)
    assert found is not None
    return found


def listed(resource: str, name: str, owner: str | None = "alice", *, above: str = "", uid: str = "") -> Listed:
    """Return an object in namespace red, whose uid is its name; *above* is the uid of its controller."""
    references = [OwnerReference("apps/v1", "Any", above, above, controller=True)] if above else None
    stamp = None if owner is None else Annotations(owner=owner, groups="[]")
    meta = ObjectMeta(name, namespace="red", uid=uid or name, annotations=stamp, owner_references=references)
    return kind(resource), meta


WEB = [
    listed("pods", "web-1-b", above="web-1"),
    listed("pods", "web-1-a", above="web-1"),
    listed("replicasets", "web-1", above="web"),
    listed("deployments", "web"),
]
DB = [
    listed("statefulsets", "db"),
    listed("pods", "db-0", above="db"),
    listed("persistentvolumeclaims", "data-db-0"),
    listed("persistentvolumeclaims", "data-db-x"),
    listed("persistentvolumeclaims", "other-db-0"),
    listed("persistentvolumeclaims", "data-web-0"),
]
DB_SET = msgspec.convert(
    {"metadata": {"name": "db", "uid": "db"}, "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}},
    StatefulSet,
)

BELOW: dict[str, tuple[list[Listed], str, list[str], list[str]]] = {
    "a Deployment, its ReplicaSet and pods": (WEB, "deployments/web", ["web-1-a", "web-1-b", "web", "web-1"], []),
    "a ReplicaSet without what it was made for": (WEB, "replicasets/web-1", ["web-1-a", "web-1-b", "web-1"], []),
    "one pod": (WEB, "pods/web-1-a", ["web-1-a"], []),
    "another workload beside it stays": (
        [*WEB, listed("deployments", "api"), listed("pods", "api-1", above="api")],
        "deployments/web",
        ["web-1-a", "web-1-b", "web", "web-1"],
        [],
    ),
    "a CronJob, its Jobs and pods": (
        [
            listed("cronjobs", "nightly"),
            listed("jobs", "nightly-1", above="nightly"),
            listed("jobs", "nightly-2", above="nightly"),
            listed("pods", "nightly-1-x", above="nightly-1"),
        ],
        "cronjobs/nightly",
        ["nightly-1-x", "nightly", "nightly-1", "nightly-2"],
        [],
    ),
    "claims that were made for a pod": (
        [
            listed("pods", "p"),
            listed("persistentvolumeclaims", "p-scratch", above="p"),
            listed("resourceclaims", "p-gpu", above="p"),
        ],
        "pods/p",
        ["p", "p-scratch", "p-gpu"],
        [],
    ),
    "a StatefulSet with the claims of its templates": (DB, "statefulsets/db", ["data-db-0", "db-0", "db"], []),
    "a claim of such a name that somebody else owns": (
        [*DB[:2], listed("persistentvolumeclaims", "data-db-0", "carol")],
        "statefulsets/db",
        ["db-0", "db"],
        ["data-db-0"],
    ),
    "a claim of such a name that nobody owns": (
        [*DB[:2], listed("persistentvolumeclaims", "data-db-0", None)],
        "statefulsets/db",
        ["db-0", "db"],
        ["data-db-0"],
    ),
    "a claim of such a name that is also below it, once": (
        [*DB[:2], listed("persistentvolumeclaims", "data-db-0", above="db")],
        "statefulsets/db",
        ["data-db-0", "db-0", "db"],
        [],
    ),
    "what others own below stays, and what is below that is looked at": (
        [
            listed("deployments", "web"),
            listed("replicasets", "web-1", "carol", above="web"),
            listed("pods", "a", above="web-1"),
            listed("pods", "b", "carol", above="web-1"),
        ],
        "deployments/web",
        ["a", "web"],
        ["b", "web-1"],
    ),
    "what nobody owns moves, too": (
        [
            listed("deployments", "web"),
            listed("replicasets", "web-1", None, above="web"),
            listed("pods", "a", None, above="web-1"),
            listed("pods", "b", "system:unattributed", above="web-1"),
        ],
        "deployments/web",
        ["a", "b", "web", "web-1"],
        [],
    ),
    "of what nobody owns, what alice owns below stays": (
        [listed("deployments", "web", None), listed("replicasets", "web-1", above="web")],
        "deployments/web",
        ["web"],
        ["web-1"],
    ),
    "the owner of a workload without one is that of what is above it": (
        [
            listed("deployments", "web"),
            listed("replicasets", "web-1", None, above="web"),
            listed("pods", "a", above="web-1"),
        ],
        "replicasets/web-1",
        ["a", "web-1"],
        [],
    ),
    "what the new owner has already is not told of": (
        [listed("deployments", "web"), listed("replicasets", "web-1", "bob", above="web")],
        "deployments/web",
        ["web"],
        [],
    ),
    "all of it is theirs": ([listed("deployments", "web", "bob")], "deployments/web", [], []),
    "a reference by the name of another object": (
        [listed("deployments", "web"), listed("pods", "a", above="web-of-yesterday")],
        "deployments/web",
        ["web"],
        [],
    ),
    "a circle": (
        [
            listed("deployments", "a", None, above="b"),
            listed("replicasets", "b", None, above="a"),
            listed("pods", "p", None, above="b"),
        ],
        "deployments/a",
        ["p", "a", "b"],
        [],
    ),
    "one that is its own controller": ([listed("jobs", "a", above="a")], "jobs/a", ["a"], []),
}


def names(owned: tuple[Owned, ...]) -> list[str]:
    return [each.meta.name for each in owned]


def below(objects: list[Listed], top: str) -> Plan:
    family = Family(objects)
    resource, _, name = top.partition("/")
    found = family.find(ObjectKey(kind(resource).resource, "red", name))
    assert found is not None
    sets = [DB_SET] if found.kind.kind == "StatefulSet" else []
    return family.plan_below(found, former=found.payer.owner, to="bob", sets=sets)


@pytest.mark.parametrize(("objects", "top", "moves", "left"), BELOW.values(), ids=BELOW.keys())
@pytest.mark.parametrize("order", [list, lambda objects: objects[::-1]], ids=["listed", "reversed"])
def test_what_moves_with_a_named_object(
    objects: list[Listed],
    top: str,
    moves: list[str],
    left: list[str],
    order: Callable[[list[Listed]], list[Listed]],
) -> None:
    plan = below(order(objects), top)

    assert names(plan.moves) == moves
    assert names(plan.left) == left


LEAVERS: dict[str, tuple[str, list[str]]] = {
    "alice": ("alice", ["z", "claim", "pod", "b", "a"]),
    "nobody": ("system:unattributed", ["old-pod", "old"]),
    "somebody without anything": ("dave", []),
}


@pytest.mark.parametrize(("owner", "moves"), LEAVERS.values(), ids=LEAVERS.keys())
def test_all_of_an_owner_moves_with_workloads_last_and_from_the_top(owner: str, moves: list[str]) -> None:
    family = Family(
        [
            listed("deployments", "b"),
            listed("replicasets", "a", above="b"),
            listed("pods", "z"),
            listed("pods", "pod", above="a"),
            listed("persistentvolumeclaims", "claim"),
            listed("pods", "carols", "carol", above="a"),
            listed("deployments", "old", None),
            listed("pods", "old-pod", "system:unattributed", above="old"),
        ]
    )

    plan = family.plan_all_of(owner, to="bob")

    assert sorted(names(plan.moves)) == sorted(moves)
    assert names(plan.moves)[-2:] == moves[-2:]
    assert plan.left == ()


def test_what_a_persons_workload_made_long_ago_is_not_nobodys() -> None:
    """A pod that it makes next is paid by that person: another owner of the ReplicaSet would take that over."""
    family = Family([listed("deployments", "web"), listed("replicasets", "web-1", None, above="web")])

    assert family.plan_all_of("system:unattributed", to="bob") == Plan()
    assert names(family.plan_all_of("alice", to="bob").moves) == ["web", "web-1"]


uids = st.sampled_from("abcdef")


@given(st.dictionaries(uids, st.tuples(uids | st.just(""), st.sampled_from(["alice", "bob", None])), min_size=1))
def test_whatever_refers_to_whatever_each_object_is_planned_once(objects: dict[str, tuple[str, str | None]]) -> None:
    resources = itertools.cycle(["deployments", "replicasets", "pods"])
    family = Family(
        listed(resource, name, owner, above=above)
        for resource, (name, (above, owner)) in zip(resources, objects.items(), strict=False)
    )
    first = next(iter(objects))
    top = family.find(ObjectKey("deployments.apps", "red", first))
    assert top is not None

    for plan in (
        family.plan_below(top, former=top.payer.owner, to="carol"),
        family.plan_all_of(top.payer.owner, to="carol"),
    ):
        planned = names(plan.moves) + names(plan.left)
        assert first in names(plan.moves)
        assert len(planned) == len(set(planned))


def test_what_nobody_owns_is_found_with_the_highest_that_nobody_owns() -> None:
    family = Family(
        [
            listed("deployments", "old", None),
            listed("replicasets", "old-1", None, above="old"),
            listed("pods", "old-1-a", NOBODY.owner, above="old-1"),
            listed("pods", "taken", "alice", above="old-1"),
            listed("deployments", "hers"),
            listed("replicasets", "hers-1", None, above="hers"),
            listed("pods", "hers-1-a", NOBODY.owner, above="hers-1"),
            listed("pods", "bare", None),
            listed("pods", "of-what-is-gone", None, above="nothing"),
        ]
    )

    found = {each.meta.name: top.meta.name for each, top in family.unowned()}

    assert found == {
        "old": "old",
        "old-1": "old",
        "old-1-a": "old",
        "hers-1-a": "hers-1-a",
        "bare": "bare",
        "of-what-is-gone": "of-what-is-gone",
    }
