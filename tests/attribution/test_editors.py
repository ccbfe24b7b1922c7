"""Who may edit what another person pays for, where the policy has the last editor pay."""

from __future__ import annotations

import pytest

from tests.attribution.test_rules import ALICE, ALICES, DEPLOYMENTS, MASTER, REPLICA_SETS, ROBOT, meta, pays
from tests.fakes import FakeNamespaces, FakeOwners, FakePolicies, FakeRights
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.changes import HANDOVER_MANAGER, Change
from webhook.attribution.rules import Attribution
from webhook.kinds.registry import KINDS
from webhook.quota.objects import Annotations, ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY

POLICY = "version: 1\nattribution: {payer: lastEditor}\ndefaults: {user: {hard: {pods: 9}}}\n"
BOBS = Annotations(owner="bob", groups="[]")
ADOPTED = Annotations(owner="alice", groups="[]", maker='["bob",[]]')
MINE = pays(ALICES, "changed it last")
PART = Refused(
    "bob pays for what Deployment web makes, and replicasets pod is part of that; "
    "change Deployment web itself, and pay for it from then on"
)


def attribution(owners: FakeOwners) -> Attribution:
    rights = FakeRights({"alice": ("red",)})
    return Attribution(owners, FakeNamespaces(), FakePolicies.reading(POLICY), rights=rights, kinds=KINDS)


def put(owners: FakeOwners, owner: str | None) -> OwnerReference:
    return owners.put("Deployment", "web", owner=owner)


EDITED: dict[str, tuple[Annotations | None, str | None, str | None, Attributed | Refused]] = {
    "of another person": (BOBS, None, None, MINE),
    "of nobody": (Annotations(owner=NOBODY.owner, groups="[]"), None, None, MINE),
    "older than the installation": (None, None, None, MINE),
    "made for another person's": (BOBS, "bob", "bob", PART),
    "nobody's, made for another person's": (None, "bob", "bob", PART),
    "one's own, made for what another person has edited": (Annotations(owner="alice", groups="[]"), "bob", "bob", PART),
    "taken out of another person's in the same request": (BOBS, "bob", None, PART),
    "put into another person's in the same request": (BOBS, None, "bob", PART),
    "made for one's own": (BOBS, "alice", "alice", MINE),
    "made for nobody's": (BOBS, NOBODY.owner, NOBODY.owner, MINE),
    "adopted by one's own: its maker must not pay for it once it is released": (ADOPTED, "alice", "alice", MINE),
}


@pytest.mark.parametrize(("stamp", "was", "now", "answer"), EDITED.values(), ids=EDITED.keys())
async def test_the_payer_of_what_a_person_edits(
    stamp: Annotations | None, was: str | None, now: str | None, answer: Attributed | Refused
) -> None:
    owners = FakeOwners()
    before, after = (None if owner is None else put(owners, owner) for owner in (was, now))
    change = Change(meta(before, stamp), meta(after, stamp), edits=lambda: True)
    assert await attribution(owners).changes.of_changed(ALICE, REPLICA_SETS, change, "red") == answer


async def test_a_status_is_no_edit_and_a_handover_goes_before() -> None:
    old, new = meta(stamp=BOBS), meta(stamp=Annotations(owner="carol", groups="[]"))
    status = Change(old, old, "status", edits=lambda: True)
    found = await attribution(FakeOwners()).changes.of_changed(ALICE, DEPLOYMENTS, status, "red")
    assert isinstance(found, Attributed)
    assert found.payer.owner == "bob"

    meant = Change(old, new, field_manager=HANDOVER_MANAGER, edits=lambda: True)
    found = await attribution(FakeOwners()).changes.of_changed(ALICE, DEPLOYMENTS, meant, "red")
    assert isinstance(found, Attributed)
    assert found.payer.owner == "carol"


OF_BOB = Refused(
    "bob pays for deployments work, and would pay for more; to pay for it yourself, change the object instead of its "
    "scale: kubectl edit deployments work -n red"
)


@pytest.mark.parametrize(
    ("user", "owner", "above", "is_exempt", "answer"),
    [
        (ALICE, "bob", None, False, OF_BOB),
        (ALICE, None, "bob", False, OF_BOB),
        (ALICE, "alice", None, False, None),
        (ALICE, "alice", "bob", False, None),
        (ALICE, "bob", None, True, None),
        (ROBOT, "bob", None, False, None),
        (MASTER, "bob", None, False, None),
        (UserInfo("system:serviceaccount:kube-system:horizontal-pod-autoscaler"), "bob", None, False, None),
    ],
    ids=[
        "another person's",
        "one that another person pays above",
        "one's own",
        "one's own, whatever is above",
        "by somebody exempt",
        "by a robot",
        "by an administrator",
        "by an autoscaler",
    ],
)
async def test_nobody_has_another_person_pay_by_a_scale(
    user: UserInfo, owner: str | None, above: str | None, answer: Refused | None, *, is_exempt: bool
) -> None:
    owners = FakeOwners()
    controller = None if above is None else put(owners, above)
    owners.put("Deployment", "work", owner=owner, controller=controller)
    found = await attribution(owners).changes.refuse_scale(
        user, DEPLOYMENTS, "work", "red", is_exempt=lambda: is_exempt
    )
    assert found == answer


async def test_what_nobody_owns_is_taken_over_before_it_is_scaled() -> None:
    owners = FakeOwners()
    owners.put("Deployment", "work")
    refused = await attribution(owners).changes.refuse_scale(ALICE, DEPLOYMENTS, "work", "red")
    assert refused is not None
    assert "take it over first" in refused.message


async def test_nobody_is_asked_about_edits_where_the_maker_pays() -> None:
    def fail() -> bool:
        raise AssertionError

    same = ObjectMeta(annotations=BOBS)
    policy = FakePolicies.reading("version: 1\n")
    rules = Attribution(FakeOwners(), FakeNamespaces(), policy, rights=FakeRights({}), kinds=KINDS)
    change = Change(same, same, edits=fail, is_exempt=fail)
    found = await rules.changes.of_changed(ALICE, DEPLOYMENTS, change, "red")
    assert isinstance(found, Attributed)
    assert found.payer.owner == "bob"
