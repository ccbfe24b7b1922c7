"""The objects that hold the most."""

from __future__ import annotations

from tests.view.scenes import cost, put, scene
from webhook.quota.objects import ObjectKey
from webhook.quota.subject import Payer, Subject
from webhook.view.holders import AGE, Holder, Largest, Weigh, by_part_of, by_resource
from webhook.view.standings import Scene, own_quota

ALICE, BOB = Payer("alice", ("ml",)), Payer("bob")


def largest(
    made: Scene, weigh: Weigh, *, limit: int = 10, whom: Subject | None = None, owner: str = ""
) -> list[Holder]:
    found = Largest(made, weigh, limit=limit, whom=whom, owner=owner)
    for path, row in made.usage.snapshot("pods").items():
        found.take(ObjectKey("pods", *path.split("/", 1)), row)
    return list(found.result())


def names(found: list[Holder]) -> list[str]:
    return [each.key.name for each in found]


def test_the_largest_come_first_and_of_equal_ones_the_older() -> None:
    made = scene()
    put(made, "small", ALICE, cost(1))
    put(made, "new", BOB, cost(5), created=200)
    put(made, "old", ALICE, cost(5), created=100)
    put(made, "none", ALICE, cost(0))

    assert names(largest(made, by_resource("requests.cpu"))) == ["old", "new", "small"]


def test_by_age_the_oldest_come_first_whatever_they_cost() -> None:
    made = scene()
    put(made, "new", ALICE, cost(5), created=300)
    put(made, "old", BOB, (("pods", 1),), created=100)
    put(made, "unknown", BOB, cost(9), created=0)
    put(made, "between", ALICE, cost(1), created=200)

    assert names(largest(made, by_resource(AGE))) == ["old", "between", "new"]
    assert names(largest(made, by_resource(AGE), limit=1, whom=Subject("user/alice"))) == ["between"]


def test_of_very_many_only_so_many_are_kept() -> None:
    made = scene()
    for number in range(100):
        put(made, f"p-{number:02}", ALICE, cost(number + 1))

    assert names(largest(made, by_resource("requests.cpu"), limit=3)) == ["p-99", "p-98", "p-97"]


def test_one_subject_or_one_owner_may_be_asked_for() -> None:
    made = scene("groups: {ml: {pool: {hard: {cpu: 9}}}}")
    put(made, "a", ALICE)
    put(made, "b", BOB, cost(1), namespace="blue")

    by = by_resource("requests.cpu")
    assert names(largest(made, by, whom=Subject("group/ml"))) == ["a"]
    assert names(largest(made, by, whom=Subject("namespace/blue"))) == ["b"]
    assert names(largest(made, by, owner="bob")) == ["b"]


def test_ones_own_are_ordered_by_the_part_that_they_take_of_a_limit() -> None:
    made = scene("defaults: {user: {hard: {cpu: 100, gpu: 2}}}")
    put(made, "wide", ALICE, cost(30))
    put(made, "gpu", ALICE, cost(1, **{"requests.nvidia.com/gpu": 1}))
    put(made, "nothing", ALICE, (("requests.memory", 1),))

    weigh = by_part_of(own_quota(made, ALICE), Subject("user/alice"))

    assert names(largest(made, weigh, owner="alice")) == ["gpu", "wide", "nothing"]
