"""
The payer of an object: rules 1, 2, 3 and 6 of docs/attribution.md as tables. The owners are in memory.

`test_stamp_protection` tests requests that change a stamp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from msgspec import structs

from tests.fakes import FakeNamespaces, FakeOwners, FakePolicies, FakeRights, reference
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.changes import HANDOVER_MANAGER, HANDOVER_WITH_GROUPS, Change
from webhook.attribution.rules import Attribution
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kinds.workloads import WORKLOADS
from webhook.ports import UnavailableError
from webhook.quota.objects import Annotations, ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY, Payer

[DEPLOYMENTS] = [each for each in WORKLOADS if each.kind == "Deployment"]
CONTROLLER_OF = {kind.kind: maker.rpartition(":")[2] for kind in WORKLOADS for maker in kind.makers}

KUBE_SYSTEM = "system:serviceaccount:kube-system"
MANAGER = UserInfo("system:kube-controller-manager", ("system:authenticated",))
ALICE = UserInfo("alice", ("staff", "ml", "ml", "system:authenticated"))
ALICES = Payer("alice", ("ml", "staff"))
ROBOT = UserInfo("system:serviceaccount:ci:runner", ("system:serviceaccounts", "system:serviceaccounts:ci"))
ROBOTS = Payer("system:serviceaccount:ci:runner", ("system:serviceaccounts", "system:serviceaccounts:ci"))
OPERATOR = UserInfo("system:serviceaccount:hub:operator")
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 9}}}\nattribution: {trustedControllers: [hub/operator]}\n"
BOB = Payer("bob")

CREATED = "created it"
ITSELF = "service account"
STAMPED = "stamped when it was created"


def controller(name: str) -> UserInfo:
    return UserInfo(f"{KUBE_SYSTEM}:{name}")


RS_CONTROLLER = controller("replicaset-controller")


def pays(payer: Payer, found_by: str) -> Attributed:
    return Attributed(payer, found_by, payer)


def pays_itself(user: UserInfo) -> Attributed:
    return pays(Payer(user.username, tuple(user.groups or ())), ITSELF)


NO_OWNER = "has no owner"
NEVER = Attributed(NOBODY, "never attributed", None)


def nothing(_: FakeOwners) -> OwnerReference | None:
    return None


Put = Callable[[FakeOwners], OwnerReference | None]
"""Puts owners into the cluster and returns the controller reference of the object."""


def bobs(kind: str = "ReplicaSet", name: str = "web") -> Put:
    return lambda owners: owners.put(kind, name, owner="bob")


def mine(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "web", owner="alice", groups='["ml","staff"]')


def middle_unstamped(owners: FakeOwners) -> OwnerReference:
    above = owners.put("Deployment", "web", owner="bob")
    return owners.put("ReplicaSet", "web-1", controller=above)


def middle_nobodys(owners: FakeOwners) -> OwnerReference:
    above = owners.put("Deployment", "web", owner="bob")
    return owners.put("ReplicaSet", "web-1", owner=NOBODY.owner, controller=above)


def mine_too(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "hers", owner="alice")


def three_up(owners: FakeOwners) -> OwnerReference:
    above = owners.put("CronJob", "nightly", owner="bob")
    return owners.put("Job", "nightly-1", controller=above)


def nearest(owners: FakeOwners) -> OwnerReference:
    above = owners.put("Deployment", "web", owner="alice")
    return owners.put("ReplicaSet", "web-1", owner="bob", controller=above)


def half_stamped(owners: FakeOwners) -> OwnerReference:
    above = owners.put("Deployment", "web", owner="bob")
    return owners.put("ReplicaSet", "web-1", owner="mallory", groups=None, controller=above)


def nobodys(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "old")


def stamped_nobodys(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "old", owner=NOBODY.owner)


def gone(_: FakeOwners) -> OwnerReference:
    return reference("ReplicaSet", "web", uid="uid-of-web")


def made_again(owners: FakeOwners) -> OwnerReference:
    owners.put("ReplicaSet", "web", owner="bob", uid="the new one")
    return reference("ReplicaSet", "web", uid="the old one")


def middle_gone(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "web-1", controller=reference("Deployment", "web", uid="uid-of-web"))


def middle_made_again(owners: FakeOwners) -> OwnerReference:
    owners.put("Deployment", "web", owner="mallory", uid="the new one")
    return owners.put("ReplicaSet", "web-1", controller=reference("Deployment", "web", uid="the old one"))


def loop(owners: FakeOwners) -> OwnerReference:
    first = reference("ReplicaSet", "a", uid="uid-of-a")
    owners.put("ReplicaSet", "a", controller=owners.put("ReplicaSet", "b", controller=first))
    return first


def own_parent(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "a", controller=reference("ReplicaSet", "a", uid="uid-of-a"))


def elsewhere(owners: FakeOwners) -> OwnerReference:
    return owners.put("ReplicaSet", "web", owner="bob", namespace="blue")


def not_controlling(owners: FakeOwners) -> OwnerReference:
    owners.put("ReplicaSet", "web", owner="bob")
    return reference("ReplicaSet", "web", uid="uid-of-web", controller=False)


def of_another_group(owners: FakeOwners) -> OwnerReference:
    owners.put("ReplicaSet", "web", owner="bob")
    return reference("ReplicaSet", "web", uid="uid-of-web", api_version="apps.example.com/v1")


def of_an_older_version(owners: FakeOwners) -> OwnerReference:
    owners.put("ReplicaSet", "web", owner="bob")
    return reference("ReplicaSet", "web", uid="uid-of-web", api_version="apps/v1beta2")


def custom(_: FakeOwners) -> OwnerReference:
    return reference("Notebook", "work", uid="uid-of-work", api_version="kubeflow.org/v1")


def under_custom(owners: FakeOwners) -> OwnerReference:
    above = reference("Rollout", "web", uid="uid-of-web", api_version="argoproj.io/v1alpha1")
    return owners.put("ReplicaSet", "web-1", controller=above)


@dataclass(frozen=True)
class New:
    """An object that *user* creates, for an owner that *put* puts into the cluster."""

    user: UserInfo
    put: Put
    answer: Attributed | Refused
    asked: tuple[str, ...] = ()
    stamp: Annotations | None = None


FORGED = Annotations(owner="bob", groups="[]")
OF_WEB = "owner of ReplicaSet web"
GONE = Refused("ReplicaSet web, which this was made for, does not exist")
DEPLOYMENT_GONE = Refused("Deployment web, which this was made for, does not exist")
WEB, WEB_1 = "ReplicaSet web", "ReplicaSet web-1"

NEW = {
    # Rule 1.
    "a person pays": New(ALICE, nothing, pays(ALICES, CREATED)),
    "a person without groups pays": New(UserInfo("alice"), nothing, pays(Payer("alice"), CREATED)),
    "a person pays whatever stamp they sent": New(ALICE, nothing, pays(ALICES, CREATED), stamp=FORGED),
    "a person pays whatever owner they named, which is not even read": New(ALICE, bobs(), pays(ALICES, CREATED)),
    "a person pays for an object of an owner that is gone": New(ALICE, gone, pays(ALICES, CREATED)),
    "a node pays as a person does": New(
        UserInfo("system:node:n1", ("system:nodes",)),
        nothing,
        pays(Payer("system:node:n1", ("system:nodes",)), CREATED),
    ),
    # Rule 2.
    "the controller-manager without accounts acts for any owner": New(
        MANAGER, bobs("StatefulSet", "db"), pays(BOB, "owner of StatefulSet db"), ("StatefulSet db",)
    ),
    "an unstamped owner in the middle is passed over": New(
        RS_CONTROLLER, middle_unstamped, pays(BOB, "owner of ReplicaSet web-1"), (WEB_1, "Deployment web")
    ),
    "a half stamped owner in the middle is passed over": New(
        RS_CONTROLLER, half_stamped, pays(BOB, "owner of ReplicaSet web-1"), (WEB_1, "Deployment web")
    ),
    "a pod of a job of a cron job": New(
        controller("job-controller"),
        three_up,
        pays(BOB, "owner of Job nightly-1"),
        ("Job nightly-1", "CronJob nightly"),
    ),
    "the nearest stamp counts": New(RS_CONTROLLER, nearest, pays(BOB, "owner of ReplicaSet web-1"), (WEB_1,)),
    "a stamp sent by a controller is ignored": New(RS_CONTROLLER, mine, pays(ALICES, OF_WEB), (WEB,), stamp=FORGED),
    "an older version of the kind is the same kind": New(RS_CONTROLLER, of_an_older_version, pays(BOB, OF_WEB), (WEB,)),
    "an object of an owner without a stamp is unattributed": New(
        RS_CONTROLLER, nobodys, pays(NOBODY, f"ReplicaSet old {NO_OWNER}"), ("ReplicaSet old",)
    ),
    "an object of an unattributed owner is unattributed": New(
        RS_CONTROLLER, stamped_nobodys, pays(NOBODY, f"ReplicaSet old {NO_OWNER}"), ("ReplicaSet old",)
    ),
    "an unattributed owner in the middle is passed over": New(
        RS_CONTROLLER, middle_nobodys, pays(BOB, "owner of ReplicaSet web-1"), (WEB_1, "Deployment web")
    ),
    "a chain that ends at a kind we do not stamp is unattributed": New(
        RS_CONTROLLER, under_custom, pays(NOBODY, f"ReplicaSet web-1 {NO_OWNER}"), (WEB_1,)
    ),
    "a loop is unattributed": New(
        RS_CONTROLLER, loop, pays(NOBODY, f"ReplicaSet a {NO_OWNER}"), ("ReplicaSet a", "ReplicaSet b") * 4
    ),
    "an object that owns itself is unattributed": New(
        RS_CONTROLLER, own_parent, pays(NOBODY, f"ReplicaSet a {NO_OWNER}"), ("ReplicaSet a",) * 8
    ),
    "an owner that is gone": New(RS_CONTROLLER, gone, GONE, (WEB,)),
    "an owner that was made again under the same name": New(RS_CONTROLLER, made_again, GONE, (WEB,)),
    "an owner in another namespace": New(RS_CONTROLLER, elsewhere, GONE, (WEB,)),
    "an ancestor that is gone": New(RS_CONTROLLER, middle_gone, DEPLOYMENT_GONE, (WEB_1, "Deployment web")),
    "an ancestor that was made again": New(
        RS_CONTROLLER, middle_made_again, DEPLOYMENT_GONE, (WEB_1, "Deployment web")
    ),
    "a trusted controller of the policy acts for the owner": New(OPERATOR, bobs(), pays(BOB, OF_WEB), (WEB,)),
    "a trusted controller of the policy, for an owner that is gone": New(OPERATOR, gone, GONE, (WEB,)),
    # Rule 6.
    "a trusted controller of the policy pays for an object of an owner without a stamp": New(
        OPERATOR, nobodys, pays_itself(OPERATOR), ("ReplicaSet old",)
    ),
    "a trusted controller of the policy pays for an object of its own kind": New(
        OPERATOR, custom, pays_itself(OPERATOR)
    ),
    "a trusted controller of the policy pays for an object without an owner": New(
        OPERATOR, nothing, pays_itself(OPERATOR)
    ),
    "a service account pays": New(ROBOT, nothing, pays(ROBOTS, ITSELF)),
    "a service account pays whatever stamp it sent": New(ROBOT, nothing, pays(ROBOTS, ITSELF), stamp=FORGED),
    "a service account pays whatever owner it named": New(ROBOT, bobs(), pays(ROBOTS, ITSELF)),
    "a controller pays when the reference does not control": New(
        RS_CONTROLLER, not_controlling, pays_itself(RS_CONTROLLER)
    ),
    "a controller pays for a kind with the same name in another group": New(
        RS_CONTROLLER, of_another_group, pays_itself(RS_CONTROLLER)
    ),
    "a controller pays for an object without an owner": New(RS_CONTROLLER, nothing, pays_itself(RS_CONTROLLER)),
    "a controller's namesake in another namespace pays": New(
        UserInfo("system:serviceaccount:mallory:replicaset-controller"),
        bobs(),
        pays_itself(UserInfo("system:serviceaccount:mallory:replicaset-controller")),
    ),
    "another account of kube-system pays": New(controller("default"), bobs(), pays_itself(controller("default"))),
}


def attribution(owners: FakeOwners, policy: str = POLICY) -> Attribution:
    return Attribution(
        owners, FakeNamespaces(), FakePolicies.reading(policy), rights=FakeRights({"admin": ("red",)}), kinds=KINDS
    )


def meta(reference: OwnerReference | None = None, stamp: Annotations | None = None) -> ObjectMeta:
    return ObjectMeta(name="pod", annotations=stamp, owner_references=None if reference is None else [reference])


@pytest.mark.parametrize("case", NEW.values(), ids=NEW.keys())
async def test_the_payer_of_a_new_object(case: New) -> None:
    owners = FakeOwners()
    found = meta(case.put(owners), case.stamp)

    assert await attribution(owners).creations.of_new(case.user, PODS, found, "red") == case.answer
    assert tuple(owners.asked) == case.asked


@pytest.mark.parametrize("name", sorted(set(CONTROLLER_OF.values())))
@pytest.mark.parametrize("kind", sorted(CONTROLLER_OF))
async def test_a_controller_of_kubernetes_acts_for_its_own_kind_only(kind: str, name: str) -> None:
    owners = FakeOwners()
    found = meta(bobs(kind, "work")(owners))

    answer = await attribution(owners).creations.of_new(controller(name), PODS, found, "red")

    right = CONTROLLER_OF[kind] == name
    assert answer == (pays(BOB, f"owner of {kind} work") if right else pays_itself(controller(name)))


@pytest.mark.parametrize("kind", sorted(CONTROLLER_OF))
async def test_the_controller_manager_without_accounts_acts_for_every_kind(kind: str) -> None:
    owners = FakeOwners()

    answer = await attribution(owners).creations.of_new(MANAGER, PODS, meta(bobs(kind, "work")(owners)), "red")

    assert answer == pays(BOB, f"owner of {kind} work")


STAYS = pays(ALICES, STAMPED)
HERS = Annotations(owner="alice", groups='["ml","staff"]')

OWNED: dict[str, tuple[UserInfo, Put, Put]] = {
    "without a controller": (ALICE, nothing, nothing),
    "another user's change": (UserInfo("bob"), nothing, nothing),
    "a controller's change": (RS_CONTROLLER, mine, mine),
    "a controller whose owner got another payer": (RS_CONTROLLER, bobs(), bobs()),
    "a controller adopts": (RS_CONTROLLER, nothing, bobs()),
    "the controller-manager without accounts adopts": (MANAGER, nothing, bobs()),
    "a trusted controller of the policy adopts": (OPERATOR, nothing, bobs()),
    "a controller adopts an object of another owner": (RS_CONTROLLER, bobs("ReplicaSet", "other"), bobs()),
    "a controller adopts for an unattributed owner": (RS_CONTROLLER, nothing, stamped_nobodys),
    "a controller adopts for an owner without a stamp": (RS_CONTROLLER, nothing, nobodys),
    "a controller adopts for an owner that is gone": (RS_CONTROLLER, nothing, gone),
    "a controller of another kind sets a reference": (controller("job-controller"), nothing, bobs()),
    "a controller releases it": (RS_CONTROLLER, bobs(), nothing),
    "the garbage collector orphans it": (controller("generic-garbage-collector"), bobs(), nothing),
    "a person makes it part of another user's object": (ALICE, nothing, bobs()),
    "the other person makes it part of their own": (UserInfo("bob"), nothing, bobs()),
    "a person moves it to another user's object": (ALICE, mine, bobs("ReplicaSet", "his")),
    "a service account makes it part of another user's object": (ROBOT, nothing, bobs()),
    "a person makes it part of an unattributed object": (ALICE, nothing, stamped_nobodys),
    "a person makes it part of a kind that we do not stamp": (ALICE, nothing, custom),
    "a person drops its controller": (ALICE, bobs(), nothing),
}


@pytest.mark.parametrize("kind", [PODS, PERSISTENT_VOLUME_CLAIMS], ids=lambda kind: kind.kind)
@pytest.mark.parametrize(("user", "was", "now"), OWNED.values(), ids=OWNED.keys())
async def test_the_owner_of_an_object_pays_until_it_is_gone(user: UserInfo, was: Put, now: Put, kind: AnyKind) -> None:
    owners = FakeOwners()
    change = Change(meta(was(owners), HERS), meta(now(owners), FORGED), grows=lambda: True)

    assert await attribution(owners).changes.of_changed(user, kind, change, "red") == STAYS
    assert owners.asked == []


@pytest.mark.parametrize(
    ("user", "kind", "subresource", "groups"),
    [
        (UserInfo("alice", ("ops", "system:authenticated")), DEPLOYMENTS, "", ("ops",)),
        (UserInfo("alice"), DEPLOYMENTS, "", ()),
        (UserInfo("alice", ("ops",)), DEPLOYMENTS, "status", ("ml", "staff")),
        (UserInfo("alice", ("ops",)), PODS, "", ("ml", "staff")),
        (UserInfo("bob", ("ops",)), DEPLOYMENTS, "", ("ml", "staff")),
    ],
    ids=["other groups", "none", "through a subresource", "a pod", "somebody else"],
)
async def test_the_owners_own_change_of_a_workload_brings_their_groups_of_today(
    user: UserInfo, kind: AnyKind, subresource: str, groups: tuple[str, ...]
) -> None:
    change = Change(meta(stamp=HERS), meta(stamp=HERS), subresource)

    answer = await attribution(FakeOwners()).changes.of_changed(user, kind, change, "red")

    assert answer == pays(Payer("alice", groups), STAMPED)


@pytest.mark.parametrize(
    ("user", "owner", "groups"),
    [
        (controller("deployment-controller"), "alice", ("ops",)),
        (controller("deployment-controller"), "bob", ("ops",)),
        (controller("deployment-controller"), NOBODY.owner, ("ml", "staff")),
        (controller("job-controller"), "bob", ("ml", "staff")),
        (ROBOT, "bob", ("ml", "staff")),
        (ALICE, "bob", ("ml", "staff")),
    ],
    ids=["its controller", "for another owner", "for nobody", "another controller", "a robot", "a person"],
)
async def test_a_workload_follows_the_owner_of_its_controller(
    user: UserInfo, owner: str, groups: tuple[str, ...]
) -> None:
    owners = FakeOwners()
    above = owners.put("Deployment", "web", owner=owner, groups="[]" if owner == NOBODY.owner else '["ops"]')
    of_web = structs.replace(meta(stamp=HERS), owner_references=[above])
    [replica_sets] = [each for each in WORKLOADS if each.kind == "ReplicaSet"]

    answer = await attribution(owners).changes.of_changed(user, replica_sets, Change(of_web, of_web), "red")

    assert isinstance(answer, Attributed)
    assert answer.payer == Payer(owner if groups == ("ops",) else "alice", groups)


[REPLICA_SETS] = [each for each in WORKLOADS if each.kind == "ReplicaSet"]
DEPLOYMENT_CONTROLLER = controller("deployment-controller")
KEPT = '["alice",["ml","staff"]]'
BOBS_BY_ADOPTION = Annotations(owner="bob", groups="[]", maker=KEPT)
OF_DEPLOYMENT = "owner of Deployment web"
RELEASED = "made it, and its controller has released it"


def deployment_of(owner: str, name: str = "web") -> Put:
    return lambda owners: owners.put("Deployment", name, owner=owner)


@dataclass(frozen=True)
class Followed:
    """A ReplicaSet that *user* changes; *was* and *now* return its controller before and after."""

    user: UserInfo
    before: Annotations
    was: Put
    now: Put
    answer: Attributed
    subresource: str = ""


ADOPTED = replace(pays(BOB, OF_DEPLOYMENT), maker=ALICES)
FOLLOWED = {
    "adopted, its maker is kept": Followed(DEPLOYMENT_CONTROLLER, HERS, nothing, deployment_of("bob"), ADOPTED),
    "adopted with a reference that its maker wrote": Followed(
        DEPLOYMENT_CONTROLLER, HERS, deployment_of("bob"), deployment_of("bob"), ADOPTED
    ),
    "adopted by its maker's own": Followed(
        DEPLOYMENT_CONTROLLER, HERS, nothing, deployment_of("alice"), pays(Payer("alice"), OF_DEPLOYMENT)
    ),
    "changed while it is adopted": Followed(
        DEPLOYMENT_CONTROLLER, BOBS_BY_ADOPTION, deployment_of("bob"), deployment_of("bob"), ADOPTED
    ),
    "adopted by a second one: the first maker is kept": Followed(
        DEPLOYMENT_CONTROLLER,
        BOBS_BY_ADOPTION,
        deployment_of("bob"),
        deployment_of("carol", "other"),
        replace(pays(Payer("carol"), "owner of Deployment other"), maker=ALICES),
    ),
    "the adopter's own change": Followed(
        UserInfo("bob", ("ops",)),
        BOBS_BY_ADOPTION,
        deployment_of("bob"),
        deployment_of("bob"),
        replace(pays(Payer("bob", ("ops",)), STAMPED), maker=ALICES),
    ),
    "the maker's change": Followed(
        ALICE,
        BOBS_BY_ADOPTION,
        deployment_of("bob"),
        deployment_of("bob"),
        replace(pays(BOB, STAMPED), maker=ALICES),
    ),
    "released by the controller": Followed(
        DEPLOYMENT_CONTROLLER, BOBS_BY_ADOPTION, deployment_of("bob"), nothing, pays(ALICES, RELEASED)
    ),
    "orphaned": Followed(
        controller("generic-garbage-collector"),
        BOBS_BY_ADOPTION,
        deployment_of("bob"),
        nothing,
        pays(ALICES, RELEASED),
    ),
    "taken away by its maker": Followed(ALICE, BOBS_BY_ADOPTION, deployment_of("bob"), nothing, pays(ALICES, RELEASED)),
    "taken away by the adopter": Followed(
        UserInfo("bob"), BOBS_BY_ADOPTION, deployment_of("bob"), nothing, pays(ALICES, RELEASED)
    ),
    "given to another by its maker": Followed(
        ALICE, BOBS_BY_ADOPTION, deployment_of("bob"), deployment_of("carol", "other"), pays(ALICES, RELEASED)
    ),
    "taken away through its status, which cannot write a stamp": Followed(
        ALICE, BOBS_BY_ADOPTION, deployment_of("bob"), nothing, pays(ALICES, RELEASED), subresource="status"
    ),
    "its status is reported": Followed(
        DEPLOYMENT_CONTROLLER,
        BOBS_BY_ADOPTION,
        deployment_of("bob"),
        deployment_of("bob"),
        replace(pays(BOB, STAMPED), maker=ALICES),
        subresource="status",
    ),
    "released without a maker: it stays": Followed(
        DEPLOYMENT_CONTROLLER,
        Annotations(owner="bob", groups="[]"),
        deployment_of("bob"),
        nothing,
        pays(BOB, STAMPED),
    ),
    "a maker that we cannot have written": Followed(
        DEPLOYMENT_CONTROLLER,
        Annotations(owner="bob", groups="[]", maker="alice"),
        deployment_of("bob"),
        nothing,
        pays(BOB, STAMPED),
    ),
}


@pytest.mark.parametrize("case", FOLLOWED.values(), ids=FOLLOWED.keys())
async def test_a_released_workload_goes_back_to_its_maker(case: Followed) -> None:
    owners = FakeOwners()
    change = Change(meta(case.was(owners), case.before), meta(case.now(owners), case.before), case.subresource)

    assert await attribution(owners).changes.of_changed(case.user, REPLICA_SETS, change, "red") == case.answer


async def test_a_hand_over_forgets_the_maker() -> None:
    carols = Annotations(owner="carol", groups="[]", maker=KEPT)
    change = Change(meta(stamp=BOBS_BY_ADOPTION), meta(stamp=carols), field_manager=HANDOVER_MANAGER)
    admin = UserInfo("admin")

    answer = await attribution(FakeOwners()).changes.of_changed(admin, REPLICA_SETS, change, "red")

    assert isinstance(answer, Attributed)
    assert (answer.payer, answer.maker) == (Payer("carol"), None)


@dataclass(frozen=True)
class Changed:
    """An unattributed object that *user* changes; *was* and *now* return its controller before and after."""

    user: UserInfo
    was: Put
    now: Put
    answer: Attributed | Refused
    grows: bool = False
    kind: AnyKind = DEPLOYMENTS
    written: Annotations | None = None
    subresource: str = ""


NAMESAKE = UserInfo("system:serviceaccount:red:mine", ("system:serviceaccounts",))
MASTER = UserInfo("admin", ("system:masters",))
TOOK = "took it over"
ONLY_ITS_CONTROLLER = Refused("ReplicaSet web belongs to bob; only its controller can make this object part of it")


def unowned(plural: str) -> Refused:
    return Refused(
        f"nobody is known to own {plural} work, so nobody would pay for more; take it over first: "
        f"kubectl annotate {plural} work -n red --overwrite userquota.dev/owner=alice"
    )


UNATTRIBUTED = {
    "a person changes it": Changed(ALICE, nothing, nothing, NEVER),
    "a controller changes it": Changed(RS_CONTROLLER, nobodys, nobodys, NEVER),
    # Adoption.
    "a controller adopts it": Changed(RS_CONTROLLER, nothing, bobs(), pays(BOB, OF_WEB)),
    "a controller adopts it by an ancestor's stamp": Changed(
        RS_CONTROLLER, nothing, middle_unstamped, pays(BOB, "owner of ReplicaSet web-1")
    ),
    "a controller adopts it for an unattributed owner": Changed(RS_CONTROLLER, nothing, stamped_nobodys, NEVER),
    "a controller adopts it for an owner that is gone": Changed(RS_CONTROLLER, nothing, gone, NEVER),
    "a controller of another kind cannot adopt it": Changed(
        controller("job-controller"), nothing, bobs(), ONLY_ITS_CONTROLLER
    ),
    "a controller adopts a pod": Changed(RS_CONTROLLER, nothing, bobs(), NEVER, kind=PODS),
    "a controller adopts a claim": Changed(RS_CONTROLLER, nothing, bobs(), NEVER, kind=PERSISTENT_VOLUME_CLAIMS),
    "a person makes a pod part of another user's object": Changed(ALICE, nothing, bobs(), NEVER, kind=PODS),
    "a controller finds the owner of a workload when it changes it": Changed(
        RS_CONTROLLER, bobs(), bobs(), pays(BOB, OF_WEB)
    ),
    "a controller that changes a pod does not charge it": Changed(RS_CONTROLLER, bobs(), bobs(), NEVER, kind=PODS),
    # People and owner references.
    "a person makes it part of another user's object": Changed(ALICE, nothing, bobs(), ONLY_ITS_CONTROLLER),
    "the other person makes it part of their own": Changed(UserInfo("bob"), nothing, bobs(), ONLY_ITS_CONTROLLER),
    "a person makes it part of an object with another payer further up": Changed(
        ALICE,
        nothing,
        middle_unstamped,
        Refused("ReplicaSet web-1 belongs to bob; only its controller can make this object part of it"),
    ),
    "a person makes it part of an unattributed object": Changed(ALICE, nothing, stamped_nobodys, NEVER),
    "a person makes it part of a kind that we do not stamp": Changed(ALICE, nothing, custom, NEVER),
    "a person adds a reference that does not control": Changed(ALICE, nothing, not_controlling, NEVER),
    "a workload keeps the owner of the controller that a person drops": Changed(
        ALICE, bobs(), nothing, pays(BOB, OF_WEB)
    ),
    "a workload keeps it when the garbage collector drops it": Changed(
        controller("generic-garbage-collector"), bobs(), nothing, pays(BOB, OF_WEB)
    ),
    "a workload keeps it when a person moves it": Changed(ALICE, bobs(), mine_too, pays(BOB, OF_WEB)),
    "a pod whose controller is dropped has never been paid for": Changed(ALICE, bobs(), nothing, NEVER, kind=PODS),
    # Taking over.
    "a person makes it grow": Changed(ALICE, nothing, nothing, pays(ALICES, TOOK), grows=True),
    "a person makes a claim grow": Changed(
        ALICE, nothing, nothing, pays(ALICES, TOOK), grows=True, kind=PERSISTENT_VOLUME_CLAIMS
    ),
    "a person makes grow what an owner above pays": Changed(ALICE, bobs(), bobs(), NEVER, grows=True),
    "a person makes a claim grow that is part of another user's object": Changed(
        ALICE, bobs(), bobs(), pays(ALICES, TOOK), grows=True, kind=PERSISTENT_VOLUME_CLAIMS
    ),
    "an account of the namespace makes it grow": Changed(
        NAMESAKE, nothing, nothing, pays(Payer(NAMESAKE.username, ("system:serviceaccounts",)), TOOK), grows=True
    ),
    "an account of another namespace makes it grow": Changed(ROBOT, nothing, nothing, NEVER, grows=True),
    "a controller makes it grow": Changed(RS_CONTROLLER, nothing, nothing, NEVER, grows=True),
    "a component of Kubernetes makes it grow": Changed(
        UserInfo("system:kube-scheduler"), nothing, nothing, NEVER, grows=True
    ),
    "a trusted controller of the policy makes it grow": Changed(OPERATOR, nothing, nothing, NEVER, grows=True),
    "an administrator makes it grow": Changed(MASTER, nothing, nothing, NEVER, grows=True),
    "a person writes their own name": Changed(
        ALICE, nothing, nothing, pays(ALICES, TOOK), written=Annotations(owner="alice")
    ),
    "an administrator writes their own name": Changed(
        MASTER, nothing, nothing, pays(Payer("admin", ("system:masters",)), TOOK), written=Annotations(owner="admin")
    ),
    "a person writes another name": Changed(ALICE, nothing, nothing, NEVER, written=FORGED),
    "a person writes their own name through a subresource": Changed(
        ALICE, nothing, nothing, NEVER, written=Annotations(owner="alice"), subresource="status"
    ),
    "a person makes a pod grow through a subresource": Changed(
        ALICE, nothing, nothing, unowned("pods"), grows=True, kind=PODS, subresource="resize"
    ),
}


@pytest.mark.parametrize("stamp", [None, Annotations(owner=NOBODY.owner, groups="[]")], ids=["unstamped", "nobody's"])
@pytest.mark.parametrize("case", UNATTRIBUTED.values(), ids=UNATTRIBUTED.keys())
async def test_the_payer_of_an_unattributed_object(case: Changed, stamp: Annotations | None) -> None:
    owners = FakeOwners()
    old = structs.replace(meta(case.was(owners), stamp), name="work")
    new = structs.replace(meta(case.now(owners), case.written or stamp), name="work")
    change = Change(old, new, case.subresource, grows=lambda: case.grows)

    answer = await attribution(owners).changes.of_changed(case.user, case.kind, change, "red")

    expected = case.answer if case.answer != NEVER or stamp is None else replace(NEVER, stamp=NOBODY)
    assert answer == expected


ADMINISTRATORS = Annotations(owner="admin", groups='["system:masters"]')


@pytest.mark.parametrize(
    ("user", "grows", "subresource", "owner"),
    [
        (ALICE, True, "", "alice"),
        (ALICE, False, "", "admin"),
        (ALICE, True, "resize", None),
        (UserInfo("admin", ("system:masters",)), True, "", "admin"),
        (ROBOT, True, "", "admin"),
        (RS_CONTROLLER, True, "", "admin"),
    ],
    ids=["a person raises it", "or only changes it", "or resizes it", "an administrator", "a robot", "a controller"],
)
@pytest.mark.parametrize("kind", [PODS, DEPLOYMENTS], ids=lambda kind: kind.kind)
async def test_who_raises_what_an_administrator_made_pays_for_it(
    user: UserInfo, kind: AnyKind, *, grows: bool, subresource: str, owner: str | None
) -> None:
    """Administrators are exempt: a colleague's growth would be bound by no limit."""
    same = meta(stamp=ADMINISTRATORS)
    change = Change(same, same, subresource, grows=lambda: grows)

    answer = await attribution(FakeOwners()).changes.of_changed(user, kind, change, "red")

    if owner is None:
        assert isinstance(answer, Refused)
        assert answer.message.startswith(f"an administrator owns {kind.plural} ")
        assert "so no limit binds it; take it over first: kubectl annotate" in answer.message
    else:
        assert isinstance(answer, Attributed)
        assert answer.payer.owner == owner


async def test_an_administrators_object_is_taken_over_by_ones_own_name() -> None:
    hers = Annotations(owner="alice", groups='["system:masters"]')
    change = Change(meta(stamp=ADMINISTRATORS), meta(stamp=hers))

    answer = await attribution(FakeOwners()).changes.of_changed(ALICE, DEPLOYMENTS, change, "red")

    assert answer == pays(ALICES, "took it over")


async def test_half_a_stamp_is_no_stamp() -> None:
    half = meta(stamp=Annotations(owner="bob"))

    assert await attribution(FakeOwners()).changes.of_changed(ALICE, PODS, Change(half, half), "red") == NEVER


async def test_the_command_that_takes_over_can_be_pasted_whatever_the_name() -> None:
    owners = FakeOwners()
    owners.put("Deployment", "work")

    refused = await attribution(owners).changes.refuse_scale(UserInfo("Jane $Doe"), DEPLOYMENTS, "work", "red")

    assert refused is not None
    assert refused.message.endswith(" work -n red --overwrite 'userquota.dev/owner=Jane $Doe'")


SCALED: dict[str, tuple[UserInfo, Callable[[FakeOwners], object], Refused | None]] = {
    "nobody's": (ALICE, lambda owners: owners.put("Deployment", "work"), unowned("deployments")),
    "one stamped as nobody's": (
        ALICE,
        lambda owners: owners.put("Deployment", "work", owner=NOBODY.owner),
        unowned("deployments"),
    ),
    "nobody's, by an administrator": (MASTER, lambda owners: owners.put("Deployment", "work"), None),
    "nobody's, by a robot": (ROBOT, lambda owners: owners.put("Deployment", "work"), None),
    "another person's": (ALICE, lambda owners: owners.put("Deployment", "work", owner="bob"), None),
    "one of another person's controller": (
        ALICE,
        lambda owners: owners.put("Deployment", "work", controller=bobs()(owners)),
        None,
    ),
    "one that is not there": (ALICE, nothing, None),
}


@pytest.mark.parametrize(("user", "put", "answer"), SCALED.values(), ids=SCALED.keys())
async def test_who_may_scale(user: UserInfo, put: Callable[[FakeOwners], object], answer: Refused | None) -> None:
    owners = FakeOwners()
    put(owners)

    assert await attribution(owners).changes.refuse_scale(user, DEPLOYMENTS, "work", "red") == answer


@pytest.mark.parametrize(
    ("user", "believed"),
    [
        (UserInfo("system:node:n1", ("system:nodes",)), True),
        (UserInfo("system:kube-scheduler"), True),
        (controller("pod-garbage-collector"), True),
        (MASTER, True),
        (OPERATOR, True),
        (ALICE, False),
        (ROBOT, False),
        (UserInfo("system:serviceaccount:kube-system-2:x"), False),
    ],
    ids=lambda value: value.username if isinstance(value, UserInfo) else "",
)
def test_whose_reports_that_a_pod_uses_less_are_believed(user: UserInfo, believed: bool) -> None:
    assert attribution(FakeOwners()).users.may_report(user) is believed


async def test_an_unreadable_owner_raises_and_is_neither_skipped_nor_denied() -> None:
    owners = FakeOwners(trouble="connection refused")
    found = meta(gone(owners))

    with pytest.raises(UnavailableError, match="connection refused"):
        await attribution(owners).creations.of_new(RS_CONTROLLER, PODS, found, "red")
    with pytest.raises(UnavailableError, match="connection refused"):
        await attribution(owners).changes.of_changed(ALICE, DEPLOYMENTS, Change(meta(), found), "red")


async def test_before_a_policy_is_loaded_no_payer_is_found() -> None:
    rules = Attribution(FakeOwners(), FakeNamespaces(), FakePolicies(None), rights=FakeRights(), kinds=KINDS)

    with pytest.raises(UnavailableError):
        await rules.creations.of_new(OPERATOR, PODS, meta(gone(FakeOwners())), "red")


@pytest.mark.parametrize(
    ("user", "trusted"),
    [
        *((controller(name), True) for name in sorted(set(CONTROLLER_OF.values()))),
        (MANAGER, True),
        (OPERATOR, True),
        (ALICE, False),
        (ROBOT, False),
        (controller("default"), False),
        (controller("generic-garbage-collector"), False),
        (UserInfo("system:serviceaccount:mallory:replicaset-controller"), False),
        (UserInfo("system:serviceaccount:hub:operator2"), False),
        (UserInfo("replicaset-controller"), False),
    ],
    ids=lambda value: value.username if isinstance(value, UserInfo) else "",
)
def test_which_users_may_write_stamps_for_others(user: UserInfo, trusted: bool) -> None:
    assert attribution(FakeOwners()).users.is_trusted(user) is trusted


ADMIN = UserInfo("admin", ("system:masters",))
HANDED = "handed over by admin"
MAY_NOT = "may not hand objects over to bob: that takes the verb adopt on owners.userquota.dev"

WITH_GROUPS = HANDOVER_WITH_GROUPS
HANDED_OVER: dict[str, tuple[UserInfo, Annotations | None, Annotations | None, str, Attributed | Refused]] = {
    "to another person": (ADMIN, HERS, Annotations(owner="bob", groups='["ml","staff"]'), "", pays(BOB, HANDED)),
    "with groups": (
        ADMIN,
        HERS,
        Annotations(owner="bob", groups='["ml","staff"]'),
        WITH_GROUPS,
        pays(Payer("bob", ("ml", "staff")), HANDED),
    ),
    "with groups that cannot be read": (
        ADMIN,
        HERS,
        Annotations(owner="bob", groups="ml"),
        WITH_GROUPS,
        pays(BOB, HANDED),
    ),
    "of an object without an owner": (ADMIN, None, Annotations(owner="bob"), "", pays(BOB, HANDED)),
    "to an account": (
        ADMIN,
        HERS,
        Annotations(owner=ROBOT.username),
        "",
        pays(Payer(ROBOT.username), HANDED),
    ),
    "to nobody": (
        ADMIN,
        HERS,
        Annotations(owner=NOBODY.owner, groups='["ml","staff"]'),
        WITH_GROUPS,
        pays(NOBODY, HANDED),
    ),
    "without a name": (
        ADMIN,
        HERS,
        None,
        "",
        Refused("nothing can be handed over to '': name a person or a service account"),
    ),
    "to what cannot own": (
        ADMIN,
        HERS,
        Annotations(owner="system:masters"),
        "",
        Refused("nothing can be handed over to 'system:masters': name a person or a service account"),
    ),
    "by the owner, who has no right": (ALICE, HERS, Annotations(owner="bob"), "", Refused(f"alice {MAY_NOT}")),
    "by the new owner, who has no right": (
        UserInfo("bob"),
        HERS,
        Annotations(owner="bob"),
        "",
        Refused(f"bob {MAY_NOT}"),
    ),
    "not at all, because the owner stays": (ADMIN, HERS, Annotations(owner="alice"), "", STAYS),
}


@pytest.mark.parametrize("kind", [PODS, DEPLOYMENTS], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("case", HANDED_OVER.values(), ids=HANDED_OVER.keys())
async def test_handing_an_object_over(
    case: tuple[UserInfo, Annotations | None, Annotations | None, str, Attributed | Refused], kind: AnyKind
) -> None:
    user, old, new, manager, answer = case
    change = Change(meta(stamp=old), meta(stamp=new), field_manager=manager or HANDOVER_MANAGER)

    assert await attribution(FakeOwners()).changes.of_changed(user, kind, change, "red") == answer


@pytest.mark.parametrize(("manager", "subresource"), [("kubectl-annotate", ""), ("", ""), (HANDOVER_MANAGER, "status")])
async def test_without_saying_so_nobody_hands_an_object_over(manager: str, subresource: str) -> None:
    change = Change(meta(stamp=HERS), meta(stamp=FORGED), subresource, manager)

    assert await attribution(FakeOwners()).changes.of_changed(ADMIN, PODS, change, "red") == STAYS


async def test_whether_a_right_exists_must_be_known() -> None:
    rights = FakeRights(trouble="the API server does not answer")
    rules = Attribution(FakeOwners(), FakeNamespaces(), FakePolicies.reading(POLICY), rights=rights, kinds=KINDS)
    change = Change(meta(stamp=HERS), meta(stamp=FORGED), field_manager=HANDOVER_MANAGER)

    with pytest.raises(UnavailableError):
        await rules.changes.of_changed(ADMIN, PODS, change, "red")
