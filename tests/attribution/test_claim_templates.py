"""Who pays for claims that a StatefulSet's controller makes: the owner of the set that the claim's name tells."""

from __future__ import annotations

import pytest

from tests.fakes import FakeNamespaces, FakeOwners, FakePolicies, FakeRights
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.changes import Change
from webhook.attribution.creations import Written
from webhook.attribution.identities import KUBE_CONTROLLER_MANAGER
from webhook.attribution.rules import Attribution
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.ports import UnavailableError
from webhook.quota.objects import Annotations, ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY, Payer

CONTROLLER = UserInfo("system:serviceaccount:kube-system:statefulset-controller")


def attribution(owners: FakeOwners) -> Attribution:
    return Attribution(owners, FakeNamespaces(), FakePolicies.reading("version: 1\n"), rights=FakeRights(), kinds=KINDS)


MANAGER = UserInfo(KUBE_CONTROLLER_MANAGER)


async def payer_of(
    claim: str,
    owners: FakeOwners,
    *,
    user: UserInfo = CONTROLLER,
    kind: AnyKind = PERSISTENT_VOLUME_CLAIMS,
    written: Written | None = None,
    reference: OwnerReference | None = None,
) -> Payer | str:
    meta = ObjectMeta(name=claim, owner_references=None if reference is None else [reference])
    answer = await attribution(owners).creations.of_new(user, kind, meta, "red", written=lambda: written or Written())
    return answer.message if isinstance(answer, Refused) else answer.payer


@pytest.mark.parametrize("user", [CONTROLLER, MANAGER])
async def test_the_owner_of_the_set_pays(user: UserInfo) -> None:
    owners = FakeOwners()
    owners.put_stateful_set("db", "data", owner="bob")

    assert await payer_of("data-db-0", owners, user=user) == Payer("bob")


async def test_the_template_decides_between_sets_with_similar_names() -> None:
    owners = FakeOwners()
    owners.put_stateful_set("web-db", "logs", owner="mallory")
    owners.put_stateful_set("db", "data-web", owner="bob")

    assert await payer_of("data-web-db-12", owners) == Payer("bob")
    assert await payer_of("logs-web-db-0", owners) == Payer("mallory")


async def test_a_set_without_an_owner_makes_unattributed_claims() -> None:
    owners = FakeOwners()
    owners.put_stateful_set("db", "data", owner=None)

    assert await payer_of("data-db-0", owners) == NOBODY


@pytest.mark.parametrize("claim", ["data-db-0", "data-db", "data", "data-db-٣", "0", "-0", "data-db-x0"])
async def test_a_claim_of_no_set_is_refused(claim: str) -> None:
    owners = FakeOwners()
    owners.put_stateful_set("other", "data")

    assert await payer_of(claim, owners) == f"no StatefulSet of namespace red has a template for claim {claim}"


async def test_a_name_of_a_thousand_hyphens_costs_few_reads() -> None:
    owners = FakeOwners()

    await payer_of("a-" * 1000 + "0", owners)

    assert len(owners.asked) == 32


async def test_what_the_controller_makes_of_other_kinds_is_not_looked_for_by_name() -> None:
    assert await payer_of("data-db-0", FakeOwners(), kind=PODS) == Payer(CONTROLLER.username)


async def test_a_person_pays_for_a_claim_of_such_a_name() -> None:
    owners = FakeOwners()
    owners.put_stateful_set("db", "data", owner="bob")

    assert await payer_of("data-db-0", owners, user=UserInfo("alice")) == Payer("alice")


async def test_a_set_that_cannot_be_read_is_no_answer() -> None:
    with pytest.raises(UnavailableError):
        await payer_of("data-db-0", FakeOwners(trouble="the API server does not answer"))


@pytest.mark.parametrize("before", [Payer("alice"), NOBODY], ids=["attributed", "unattributed"])
async def test_a_set_that_takes_over_a_claim_does_not_pay_for_it(before: Payer) -> None:
    owners = FakeOwners()
    controlled_by = owners.put("StatefulSet", "db", owner="bob")
    old, new = stamped(before), stamped(before, controlled_by)

    answer = await attribution(owners).changes.of_changed(CONTROLLER, PERSISTENT_VOLUME_CLAIMS, Change(old, new), "red")

    assert isinstance(answer, Attributed)
    assert (answer.payer, answer.stamp) == (before, before)


HERS, HIS = {"app": "hers"}, {"app": "his"}


@pytest.mark.parametrize(
    ("claim", "labels", "pays"),
    [
        ("data-my-db-0", HIS, "bob"),
        ("data-my-db-0", HERS, "alice"),
        ("data-my-db-0", {}, "bob"),
        ("data-my-db-1", HIS, "alice"),
        ("data-my-db-3", HERS, "alice"),
        ("data-my-db-4", HIS, "bob"),
        ("data-my-db-99999999999999999999", HIS, "nobody"),
    ],
    ids=["his number and labels", "hers, too", "of both", "her number", "her last", "of neither", "of no set at all"],
)
async def test_of_two_sets_the_one_pays_that_has_the_pod_and_whose_labels_the_claim_carries(
    claim: str, labels: dict[str, str], pays: str
) -> None:
    """One has the template `data` and the name `my-db`, the other `data-my` and `db`."""
    owners = FakeOwners()
    owners.put_stateful_set("my-db", "data", owner="bob", replicas=1, labels=HIS)
    owners.put_stateful_set("db", "data-my", owner="alice", replicas=4, labels=HERS)

    answer = await attribution(owners).creations.of_new(
        CONTROLLER, PERSISTENT_VOLUME_CLAIMS, ObjectMeta(name=claim), "red", written=lambda: Written(labels=labels)
    )

    assert (answer.payer.owner if isinstance(answer, Attributed) else "nobody") == pays


async def test_labels_that_a_template_brings_do_not_make_a_colleague_pay() -> None:
    """Its claims carry the labels of his selector, and those of hers besides."""
    owners = FakeOwners()
    owners.put_stateful_set("my-db", "data", owner="bob", replicas=2, labels=HIS)
    owners.put_stateful_set("db", "data-my", owner="alice", replicas=2, labels={"role": "hers"}, template_labels=HIS)

    found = await payer_of("data-my-db-1", owners, written=Written(labels={"role": "hers", **HIS}))

    assert found == Payer("alice")


@pytest.mark.parametrize(("storage", "pays"), [('"1Gi"', "bob"), ('"5Gi"', "alice"), ('"9Gi"', "bob")])
async def test_of_two_sets_with_equal_labels_the_size_tells(storage: str, pays: str) -> None:
    owners = FakeOwners()
    owners.put_stateful_set("my-db", "data", owner="bob", replicas=1, labels=HIS, storage="1Gi")
    owners.put_stateful_set("db", "data-my", owner="alice", replicas=1, labels=HIS, storage="5Gi")

    assert await payer_of("data-my-db-0", owners, written=Written(labels=HIS, storage=storage)) == Payer(pays)


@pytest.mark.parametrize("user", [CONTROLLER, MANAGER], ids=["an account of its own", "the common one"])
async def test_a_reference_on_a_claim_of_a_set_is_not_believed(user: UserInfo) -> None:
    """The controller copies what a person has written into a claim template."""
    owners = FakeOwners()
    owners.put_stateful_set("hers", "data", owner="alice")
    his = owners.put("StatefulSet", "his", owner="bob")

    assert await payer_of("data-hers-0", owners, user=user, reference=his) == Payer("alice")


async def test_the_common_account_makes_claims_of_pods_as_well() -> None:
    owners = FakeOwners()
    pod = owners.put("Pod", "web-0", owner="bob", api_version="v1")

    assert await payer_of("web-0-scratch", owners, user=MANAGER, reference=pod) == Payer("bob")
    refused = await payer_of("web-0-scratch", owners, reference=pod)
    assert refused == "no StatefulSet of namespace red has a template for claim web-0-scratch"


async def test_a_set_whose_numbers_start_higher_pays_for_those() -> None:
    owners = FakeOwners()
    owners.put_stateful_set("my-db", "data", owner="bob", replicas=1, start=5)
    owners.put_stateful_set("db", "data-my", owner="alice", replicas=5)

    assert await payer_of("data-my-db-5", owners) == Payer("bob")
    assert await payer_of("data-my-db-0", owners) == Payer("alice")


async def test_a_template_of_as_many_parts_as_a_name_can_have_is_found() -> None:
    owners, template = FakeOwners(), "-".join("a" * 32)
    owners.put_stateful_set("db", template, owner="bob")

    assert await payer_of(f"{template}-db-0", owners) == Payer("bob")


def stamped(payer: Payer, reference: OwnerReference | None = None) -> ObjectMeta:
    annotations = Annotations(owner=payer.owner, groups="[]")
    return ObjectMeta(
        name="data-db-0", annotations=annotations, owner_references=None if reference is None else [reference]
    )
