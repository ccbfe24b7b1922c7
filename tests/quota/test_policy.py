"""What a policy alone decides: groups, tenants, end dates, and the subjects that an object is charged to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from webhook.quota.policy import AccountLimits, Defaults, Entry, Group, Policy, Tenant, subjects
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY, Account, Payer

END = datetime(2027, 1, 31, tzinfo=UTC)
ALICE = Payer("alice", ("ml", "staff"))
ROBOT = Payer("system:serviceaccount:ci:builder", ("system:serviceaccounts",))


@pytest.mark.parametrize(
    ("now", "counts"),
    [
        pytest.param(END - timedelta(days=400), True, id="in force long before its end"),
        pytest.param(END - timedelta(microseconds=1), True, id="in force in the last instant"),
        pytest.param(END, False, id="over at exactly its end"),
        pytest.param(END + timedelta(days=1), False, id="over afterwards"),
        pytest.param(END.astimezone(timezone(timedelta(hours=9))), False, id="over at that second in any time zone"),
    ],
)
def test_an_entry_with_an_end(now: datetime, counts: bool) -> None:
    assert Entry("users.alice", until=END).in_force(now) is counts


def test_an_entry_without_an_end_always_counts() -> None:
    assert Entry("users.alice").in_force(datetime.max.replace(tzinfo=UTC))


def group(*members: str, pool: bool = False) -> Group:
    return Group(pool=Entry("groups.some.pool") if pool else None, members=frozenset(members))


@pytest.mark.parametrize(
    ("payer", "groups", "expected"),
    [
        pytest.param(ALICE, {"ml": group()}, ("ml",), id="by the groups the object was made with"),
        pytest.param(ALICE, {"night": group("alice")}, ("night",), id="by the policy's own list"),
        pytest.param(ALICE, {"ml": group("alice", "bob")}, ("ml",), id="once, if both name it"),
        pytest.param(ALICE, {"ops": group("bob")}, (), id="not by a list with others on it"),
        pytest.param(ALICE, {}, (), id="not where the policy knows no such group"),
        pytest.param(
            Payer("alice", ("ml", "staff")),
            {"staff": group(), "day": group("alice"), "ml": group()},
            ("day", "ml", "staff"),
            id="by name, whatever the order of the policy",
        ),
        pytest.param(Payer("ml"), {"ml": group()}, (), id="not by having the name of the group"),
        pytest.param(
            NOBODY, {"lost": group(NOBODY.owner)}, ("lost",), id="the owner of objects without a payer only if listed"
        ),
        pytest.param(
            ROBOT, {"system:serviceaccounts": group()}, ("system:serviceaccounts",), id="service accounts too"
        ),
    ],
)
def test_a_payer_is_in_groups(payer: Payer, groups: dict[str, Group], expected: tuple[str, ...]) -> None:
    assert Policy(groups=groups).groups_of(payer) == expected


@pytest.mark.parametrize(
    ("labels", "holds"),
    [
        pytest.param({"team": "research", "stage": "live"}, True, id="with every required label"),
        pytest.param({"team": "research", "stage": "live", "more": "x"}, True, id="with additional labels"),
        pytest.param({"team": "research"}, False, id="not with only one of two"),
        pytest.param({"team": "research", "stage": "Live"}, False, id="not with another value"),
        pytest.param({"team": "research", "stage": ""}, False, id="not with an empty value"),
        pytest.param({}, False, id="not without labels"),
    ],
)
def test_a_namespace_belongs_to_a_tenant(labels: dict[str, str], holds: bool) -> None:
    assert Tenant((("team", "research"), ("stage", "live")), Entry("tenants.research")).holds(labels) is holds


def test_a_tenant_without_labels_selects_every_namespace() -> None:
    assert Tenant((), Entry("tenants.all")).holds({})


def tenant(team: str) -> Tenant:
    return Tenant((("team", team),), Entry("tenants.some"))


@pytest.mark.parametrize(
    ("payer", "policy", "labels", "expected"),
    [
        pytest.param(ALICE, Policy(), {}, ("user/alice", "namespace/red", "cluster"), id="even under an empty policy"),
        pytest.param(
            ALICE,
            Policy(groups={"staff": group(pool=True), "ml": group(pool=True), "ops": group(pool=True)}),
            {},
            ("user/alice", "group/ml", "group/staff", "namespace/red", "cluster"),
            id="with every pool of the payer, by name",
        ),
        pytest.param(
            ALICE,
            Policy(groups={"ml": Group(per_member=Entry("groups.ml.perMember"))}),
            {},
            ("user/alice", "namespace/red", "cluster"),
            id="not to a group without a pool",
        ),
        pytest.param(
            ALICE,
            Policy(groups={"ml": Group(pool=Entry("groups.ml.pool", until=END - timedelta(days=9999)))}),
            {},
            ("user/alice", "group/ml", "namespace/red", "cluster"),
            id="also to a pool past its end, since it may be prolonged",
        ),
        pytest.param(
            ALICE,
            Policy(tenants={"two": tenant("a"), "one": tenant("a"), "other": tenant("b")}),
            {"team": "a"},
            ("user/alice", "tenant/one", "tenant/two", "namespace/red", "cluster"),
            id="with every tenant the namespace is in, by name",
        ),
        pytest.param(ROBOT, Policy(), {}, ("serviceaccounts/ci", "namespace/red", "cluster"), id="of service accounts"),
        pytest.param(
            ROBOT,
            Policy(account_limits=AccountLimits.PER_ACCOUNT),
            {},
            (f"user/{ROBOT.owner}", "namespace/red", "cluster"),
            id="of a service account by itself",
        ),
        pytest.param(
            ROBOT,
            Policy(service_accounts={ROBOT.owner: Entry("serviceAccounts.ci/builder")}),
            {},
            (f"user/{ROBOT.owner}", "namespace/red", "cluster"),
            id="of a service account that the policy names",
        ),
        pytest.param(
            NOBODY,
            Policy(),
            {},
            (f"user/{NOBODY.owner}", "namespace/red", "cluster"),
            id="of an object without a payer",
        ),
    ],
)
def test_an_object_is_charged_to_the_subjects(
    payer: Payer, policy: Policy, labels: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert subjects(policy, Account(payer), "red", labels) == expected


@pytest.mark.parametrize(
    ("owner", "is_one"),
    [
        pytest.param("system:serviceaccount:ci:builder", True, id="a service account"),
        pytest.param("serviceaccount:ci:builder", False, id="not without the prefix"),
        pytest.param("alice", False, id="not a person"),
        pytest.param(NOBODY.owner, False, id="not the owner of objects without a payer"),
    ],
)
def test_a_service_account_is_known_by_its_name(owner: str, is_one: bool) -> None:
    assert Payer(owner).is_service_account is is_one


def test_policies_that_differ_only_in_order_are_equal() -> None:
    assert Policy(groups={"a": group("x"), "b": group("y")}) == Policy(groups={"b": group("y"), "a": group("x")})
    assert Policy(groups={"a": group("x")}) != Policy(groups={"a": group("y")})


CLASS, RESOURCE = "requests.deviceclass.resource.kubernetes.io/big", "requests.example.com/gpu"


@pytest.mark.parametrize("limited", [CLASS, RESOURCE])
def test_a_reservation_holds_devices_that_are_limited_under_either_name(limited: str) -> None:
    policy = Policy(defaults=Defaults(user=Entry("defaults.user", hard={limited: 1})))
    amounts: Amounts = ((CLASS, 1), ("requests.example.com/other", 1))

    named = policy.with_second_names({CLASS: RESOURCE, RESOURCE: CLASS})

    assert policy.held(amounts) == (amounts[:1] if limited == CLASS else ())
    assert named.held(amounts) == amounts[:1]
    assert named.with_second_names({}) == policy
