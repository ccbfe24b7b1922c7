"""What this replica shows of its usage index, and when it shows nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest

from tests.fakes import FakeClock
from tests.view.scenes import LABELS, NOW, cost, put, reserve, scene
from webhook.admission.manifests import Check, Checked
from webhook.documents.object_text import RawObject, object_in
from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Caller, Condition, UnavailableError
from webhook.quota.commitments import Pool
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import accounts_under
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer, Subject
from webhook.quota.usage import Row
from webhook.view import wire
from webhook.view.allocations import Page, Selection, State, UnknownResourceError, UnknownTagError
from webhook.view.label_selector import read_terms
from webhook.wiring.view import Views

ALICE = Caller("alice", ("system:authenticated", "ml"))
POLICY = "defaults: {user: {hard: {cpu: 4}}}\ngroups: {ml: {pool: {hard: {cpu: 9}}}}\n"


class Labels:
    """The labels of two namespaces."""

    def known(self, name: str) -> Mapping[str, str]:
        return LABELS.get(name, {})

    def names(self) -> tuple[str, ...]:
        return tuple(LABELS)


class Checks:
    """Finds that every object costs nothing."""

    async def of(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> Check:
        return Check(tuple(Checked(each, namespace, free=f"{caller.name} may") for each in objects), (), ())


class Nodes:
    """What every pool has, unless that is not known."""

    error: UnavailableError | None = None

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        if self.error is not None:
            raise self.error
        return {"requests.cpu": 8 * NANOS if pool.zone else 20 * NANOS}


class Stage:
    """Views of a replica; a test says what it knows."""

    def __init__(self, text: str = POLICY) -> None:
        self.scene = scene()
        index, labels = self.scene.usage, Labels()
        self.policy = CurrentPolicy(
            on_change=lambda new: index.rebind(accounts_under(new, labels.known), new.devices),
            on_mistakes=lambda _: None,
        )
        self.policy.take([PolicyText("userquota-policy/policy.yaml", f"version: 1\n{text}")])
        self.condition = self.tagged = READY
        self.nodes = Nodes()
        self.views = Views(
            self.policy,
            index,
            labels,
            Checks(),
            clock=FakeClock(NOW),
            conditions=[lambda: READY, lambda: self.condition],
            resources=lambda: ["persistentvolumeclaims", "pods"],
            capacity=self.nodes,
            tagged=lambda: self.tagged,
        )

    async def one(self, whom: str) -> Any:
        return await self.views.one(Subject(whom))


def cpu(document: Any) -> list[tuple[str, str, str]]:
    rows = [each for each in document["status"]["limits"] if each["resource"] == "requests.cpu"]
    return [(each["subject"], each.get("hard", "-"), each["used"]) for each in rows]


async def test_amounts_of_holders_are_in_the_notation_of_the_policy() -> None:
    vram = "requests.example.com/vram"
    stage = Stage("resources: {example.com/vram: {format: binary, default: 8Gi}}\n")
    put(stage.scene, "a", Payer("alice"), ((vram, 2**31 * 10**9),))

    (holder,) = await stage.views.holders(vram, None, 1)

    assert holder["status"]["amounts"] == {vram: "2Gi"}  # type: ignore[index]


async def test_people_and_administrators_see_the_numbers_of_decisions() -> None:
    stage = Stage()
    put(stage.scene, "a", Payer("alice", ("ml",)), cost(1))
    put(stage.scene, "b", Payer("bob", ("ml",)), cost(2))

    own = await stage.views.own(ALICE, "")
    listed = await stage.views.all()
    holders = await stage.views.holders("requests.cpu", Subject("group/ml"), 1)

    assert cpu(own) == [("user/alice", "4", "1"), ("group/ml", "9", "3")]
    assert [row for each in listed for row in cpu(each)][1:3] == [("group/ml", "9", "3"), ("namespace/red", "-", "3")]
    assert [each["metadata"]["name"] for each in holders] == ["b"]  # type: ignore[index]


async def test_allocations_come_to_what_is_used_and_reserved() -> None:
    stage = Stage()
    put(stage.scene, "a", Payer("alice", ("ml",)), cost(1))
    put(stage.scene, "b", Payer("bob", ("ml",)), cost(2))
    reserve(stage.scene, "c", Payer("bob", ("ml",)), cost(4))

    found = await stage.views.allocations(Selection(Subject("group/ml")), 2, None)
    [row] = [each for each in (await stage.one("group/ml"))["status"]["limits"] if each["resource"] == "requests.cpu"]

    assert [(each.key.name, each.owner, each.state) for each in found.allocations] == [
        ("a", "alice", State.USED),
        ("b", "bob", State.USED),
    ]
    assert found.rest == ObjectKey("pods", "red", "b")
    told = [each for each in wire.allocation_list(found, [])["sums"] if each["resource"] == "requests.cpu"]  # type: ignore[attr-defined]
    assert told == [{"resource": "requests.cpu", "committed": row["used"], "reserved": row["reserved"]}]
    assert (row["used"], row["reserved"]) == ("3", "4")


async def test_a_resource_that_nothing_counts_is_told_with_those_that_are_counted() -> None:
    stage = Stage()
    put(stage.scene, "a", Payer("alice"))

    assert (await stage.views.allocations(Selection(resource="persistentvolumeclaims"), 2, None)).allocations == ()
    with pytest.raises(UnknownResourceError, match=r"expected one of persistentvolumeclaims, pods$"):
        await stage.views.allocations(Selection(resource="pod"), 2, None)


async def test_only_by_tags_of_the_policy_can_be_selected() -> None:
    stage, none = Stage("tags: [team, cost-center]\n"), Stage()
    put(stage.scene, "a", Payer("alice"), tags=(("team", "ml"),))
    put(stage.scene, "b", Payer("alice"))

    found = await stage.views.allocations(Selection(terms=read_terms("team=ml,!cost-center")), 2, None)

    assert [each.key.name for each in found.allocations] == ["a"]
    with pytest.raises(UnknownTagError, match="app is no tag; the policy names team, cost-center, see"):
        await stage.views.allocations(Selection(terms=read_terms("team=ml,!app")), 2, None)
    with pytest.raises(UnknownTagError, match="team is no tag; the policy names none, see"):
        await none.views.allocations(Selection(terms=read_terms("team=ml")), 2, None)


async def test_while_objects_are_read_anew_nothing_is_selected_by_tags() -> None:
    """The sums would be too low. Without a selection they are right all the time."""
    stage = Stage("tags: [team]\n")
    put(stage.scene, "a", Payer("alice"))
    stage.tagged = Condition(ok=False, reason="not-synced", message="the tags of pods are not all known yet")

    assert len((await stage.views.allocations(Selection(), 2, None)).allocations) == 1
    with pytest.raises(UnavailableError, match="the tags of pods are not all known yet"):
        await stage.views.allocations(Selection(terms=read_terms("team=ml")), 2, None)


async def test_a_person_who_uses_nothing_has_the_default_and_a_stranger_is_no_subject() -> None:
    stage = Stage()

    assert cpu(await stage.one("user/new")) == [("user/new", "4", "0")]
    assert [await stage.one(whom) for whom in ("group/none", "namespace/none", "user/", "whatever", "")] == [None] * 5


async def test_what_a_check_finds_is_told_to_whoever_asked() -> None:
    pod = object_in(b'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}', source="x")
    [item] = (await Stage().views.check(ALICE, "red", [pod]))["status"]["items"]  # type: ignore[index]

    assert (item["name"], item["namespace"], item["verdict"], item["texts"]) == (
        "p",
        "red",
        "costs nothing",
        ("alice may",),
    )


async def test_while_something_is_not_known_there_is_nothing_to_see() -> None:
    stage = Stage()
    stage.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    for ask in (
        stage.views.own(ALICE, ""),
        stage.views.all(),
        stage.one("cluster"),
        stage.views.check(ALICE, "", []),
        stage.views.holders("gpu", None, 1),
        stage.views.allocations(Selection(), 1, None),
    ):
        with pytest.raises(UnavailableError, match=r"^the pods are not all known yet$"):
            await ask


async def test_mistakes_in_what_is_written_of_others_are_told_to_nobody() -> None:
    stage = Stage("users: {bob: {hrad: {cpu: 1}}}")
    assert "bob" in stage.policy.condition().message

    with pytest.raises(UnavailableError, match=r"^no policy is in force yet$"):
        await stage.views.own(ALICE, "")


@pytest.mark.parametrize(
    "asked", [lambda views: views.all(), lambda views: views.allocations(Selection(), 500, None)], ids=["all", "each"]
)
async def test_reviews_are_answered_while_a_view_is_made(asked: Callable[[Views], Coroutine[Any, Any, object]]) -> None:
    stage = Stage()
    for number in range(2_000):
        put(stage.scene, f"p-{number}", Payer(f"user-{number % 100}"))
    view = asyncio.ensure_future(asked(stage.views))
    steps = 0
    while not view.done():
        await asyncio.sleep(0)
        steps += 1

    found = view.result()
    assert len(found.allocations if isinstance(found, Page) else found) > 100  # type: ignore[arg-type]
    assert steps > 8


PROMISED = """
nodeClasses: {fast: {nodes: {matchLabels: {cpu: fast}}}}
commitments:
  c-2: {user: bob, nodeClass: fast, zone: a, amounts: {cpu: 3}, until: 2999-01-01T00:00:00Z}
  c-1: {user: alice, nodeClass: fast, zone: a, amounts: {cpu: 2}, state: planned, from: 2099-01-01T00:00:00Z}
"""


async def test_pools_tell_what_was_promised_and_commitments_what_of_it_is_in_use() -> None:
    stage = Stage(PROMISED)
    placed = ("NodeClass=fast", "Zone=a")
    for version, (name, owner) in enumerate((("x", "bob"), ("y", "carol")), start=1):
        row = Row(name, version, Payer(owner), cost(1), placed)
        stage.scene.usage.observe(ObjectKey("pods", "red", name), row)

    whole, zone = await stage.views.pools()
    planned, confirmed = await stage.views.commitments()

    assert (whole["metadata"]["name"], zone["metadata"]["name"]) == ("fast", "fast:a")  # type: ignore[index]
    assert zone["status"] == {
        "resources": [
            {
                "resource": "requests.cpu",
                "has": "8",
                "used": "2",
                "reserved": "0",
                "promised": "3",
                "unused": "2",
                "free": "4",
            }
        ]
    }
    assert whole["status"]["resources"][0]["free"] == "16"  # type: ignore[index]
    assert planned["status"]["state"] == "planned"  # type: ignore[index]
    assert confirmed["spec"] == {
        "holder": "user/bob",
        "nodeClass": "fast",
        "zone": "a",
        "amounts": {"requests.cpu": "3"},
        "until": "2999-01-01T00:00:00Z",
    }
    assert confirmed["status"] == {
        "state": "confirmed",
        "used": {"requests.cpu": "1"},
        "place": "userquota-policy/policy.yaml:5",
    }


async def test_of_an_offer_it_is_told_until_when_and_nothing_of_its_token() -> None:
    first, second = (f"sha256:{each * 32}" for each in ("ab", "cd"))
    offered = "{user: bob, nodeClass: fast, zone: a, amounts: {cpu: 1}, offer: {tokenDigest: "
    until = f"  c-3: {offered}{first}, until: 2999-01-01T00:00:00Z}}}}\n"
    stage = Stage(f"{PROMISED}{until}  c-4: {offered}{second}}}}}\n")

    listed = await stage.views.commitments()

    found = [each["spec"].get("offer") for each in json.loads(json.dumps(listed))]
    assert found == [None, None, {"until": "2999-01-01T00:00:00Z"}, {}]
    assert "sha256" not in json.dumps([*listed, await stage.views.commitment("c-3")])


async def test_of_one_commitment_it_is_told_what_it_covers() -> None:
    stage = Stage(PROMISED)
    for version, (name, owner, zone, amount, created) in enumerate(
        (
            ("new", "bob", "Zone=a", 2, 30),
            ("old", "bob", "Zone=a", 2, 10),
            ("last", "bob", "Zone=a", 1, 40),
            ("elsewhere", "bob", "Zone=b", 1, 1),
            ("others", "carol", "Zone=a", 1, 1),
        ),
        start=1,
    ):
        row = Row(f"u-{name}", version, Payer(owner), cost(amount), ("NodeClass=fast", zone), created=created)
        stage.scene.usage.observe(ObjectKey("pods", "red", name), row)

    found = await stage.views.commitment("c-2")

    assert found is not None
    assert found["status"]["covers"] == [  # type: ignore[index]
        {"resource": "pods", "namespace": "red", "name": name, "uid": f"u-{name}", "owner": "bob", "amounts": amounts}
        for name, amounts in (("old", {"requests.cpu": "2"}), ("new", {"requests.cpu": "1"}))
    ]
    nothing = await stage.views.commitment("c-1")
    assert nothing is not None
    assert nothing["status"]["covers"] == []  # type: ignore[index]
    assert await stage.views.commitment("c-9") is None


async def test_pools_are_not_told_while_it_is_not_known_what_nodes_have() -> None:
    stage = Stage(PROMISED)
    stage.nodes.error = UnavailableError("nodes", "the nodes are not all known yet")

    with pytest.raises(UnavailableError, match=r"^the nodes are not all known yet$"):
        await stage.views.pools()
    assert len(await stage.views.commitments()) == 2
