"""Which limits bind a payer, which entries override others, and the entry that each limit names."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.quota.policies import ALICE, NOW, ROBOT, described, entry, resolve
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.policy import AccountLimits, Combine, Defaults, Group, Mode, Policy, Tenant
from webhook.quota.subject import NOBODY, Payer

DEFAULT = Defaults(
    user=entry("defaults.user", "cpu=4 memory=8Gi gpu=0", pod="cpu=2 memory=4Gi"),
    service_account=entry("defaults.serviceAccount", "pods=20"),
    unattributed=entry("defaults.unattributed", "pods=50"),
)
PERSONAL = {
    "an empty policy sets no limit": (Policy(), ALICE, []),
    "the default binds a user without an entry": (
        Policy(defaults=DEFAULT),
        ALICE,
        [
            "user/alice: gpu=0 defaults.user",
            "user/alice: requests.cpu=4 defaults.user",
            "user/alice: requests.memory=8Gi defaults.user",
            "pod: requests.cpu=2 defaults.user.perPod",
            "pod: requests.memory=4Gi defaults.user.perPod",
        ],
    ),
    "an own entry replaces the default field by field, and may raise it": (
        Policy(defaults=DEFAULT, users={"alice": entry("users.alice", "cpu=16 pods=7", pod="cpu=8 gpu=1")}),
        ALICE,
        [
            "user/alice: gpu=0 defaults.user",
            "user/alice: pods=7 users.alice",
            "user/alice: requests.cpu=16 users.alice",
            "user/alice: requests.memory=8Gi defaults.user",
            "pod: gpu=1 users.alice.perPod",
            "pod: requests.cpu=8 users.alice.perPod",
            "pod: requests.memory=4Gi defaults.user.perPod",
        ],
    ),
    "an own entry may lower the default, down to nothing": (
        Policy(defaults=Defaults(user=entry("defaults.user", "cpu=4")), users={"alice": entry("users.alice", "cpu=0")}),
        ALICE,
        ["user/alice: requests.cpu=0 users.alice"],
    ),
    "unlimited lifts the default, and only that field": (
        Policy(defaults=DEFAULT, users={"alice": entry("users.alice", "cpu=unlimited", pod="memory=unlimited")}),
        ALICE,
        [
            "user/alice: gpu=0 defaults.user",
            "user/alice: requests.memory=8Gi defaults.user",
            "pod: requests.cpu=2 defaults.user.perPod",
        ],
    ),
    "0 forbids, unlimited lifts, an absent name sets nothing": (
        Policy(users={"alice": entry("users.alice", "gpu=0 cpu=unlimited")}),
        ALICE,
        ["user/alice: gpu=0 users.alice"],
    ),
    "another user's entry does not bind her": (Policy(users={"bob": entry("users.bob", "cpu=1")}), ALICE, []),
    "a service account has its own default": (
        Policy(defaults=DEFAULT),
        ROBOT,
        ["serviceaccounts/ci: pods=20 defaults.serviceAccount"],
    ),
    "each service account has the default if the policy says so": (
        Policy(defaults=DEFAULT, account_limits=AccountLimits.PER_ACCOUNT),
        ROBOT,
        [f"user/{ROBOT.owner}: pods=20 defaults.serviceAccount"],
    ),
    "a service account's own entry goes by its full name": (
        Policy(
            defaults=DEFAULT,
            service_accounts={ROBOT.owner: entry("serviceAccounts.builder", "pods=90 cpu=1")},
            users={ROBOT.owner: entry("users.builder", "pods=1")},
        ),
        ROBOT,
        [
            f"user/{ROBOT.owner}: pods=90 serviceAccounts.builder",
            f"user/{ROBOT.owner}: requests.cpu=1 serviceAccounts.builder",
        ],
    ),
    "objects without a payer have their own default, even if a user has that name": (
        Policy(defaults=DEFAULT, users={NOBODY.owner: entry("users.nobody", "pods=900")}),
        NOBODY,
        [f"user/{NOBODY.owner}: pods=50 defaults.unattributed"],
    ),
    "objects without a payer are unlimited if the policy has no default for them": (
        Policy(defaults=replace(DEFAULT, unattributed=None)),
        NOBODY,
        [],
    ),
}


@pytest.mark.parametrize(("policy", "payer", "expected"), PERSONAL.values(), ids=PERSONAL)
def test_which_limits_bind_one_payer(policy: Policy, payer: Payer, expected: list[str]) -> None:
    assert described(resolve(policy, payer)) == expected


def tenant(name: str, hard: str, *, each: str | None = None) -> Tenant:
    share = None if each is None else entry(f"tenants.{name}.perNamespace", each)
    return Tenant((("team", "research"),), entry(f"tenants.{name}", hard), share)


def pool(name: str, hard: str, *, pod: str = "") -> Group:
    return Group(pool=entry(f"groups.{name}.pool", hard, pod=pod))


def test_shared_limits_follow_personal_ones_in_a_fixed_order() -> None:
    policy = Policy(
        cluster=entry("cluster", "gpu=64", pod="gpu=8"),
        namespaces={"red": entry("namespaces.red", "cpu=9", pod="cpu=4"), "blue": entry("namespaces.blue", "cpu=1")},
        tenants={"two": tenant("two", "cpu=90", each="cpu=30"), "one": tenant("one", "cpu=80", each="pods=3")},
        groups={
            "staff": pool("staff", "gpu=32"),
            "ml": pool("ml", "gpu=16 cpu=7", pod="gpu=2"),
            "ops": pool("ops", "gpu=1"),
        },
        users={"alice": entry("users.alice", "cpu=5")},
    )
    assert described(resolve(policy, labels={"team": "research"})) == [
        "user/alice: requests.cpu=5 users.alice",
        "group/ml: gpu=16 groups.ml.pool",
        "group/ml: requests.cpu=7 groups.ml.pool",
        "group/staff: gpu=32 groups.staff.pool",
        "tenant/one: requests.cpu=80 tenants.one",
        "namespace/red: pods=3 tenants.one.perNamespace",
        "tenant/two: requests.cpu=90 tenants.two",
        "namespace/red: requests.cpu=30 tenants.two.perNamespace",
        "namespace/red: requests.cpu=9 namespaces.red",
        "cluster: gpu=64 cluster",
        "pod: gpu=2 groups.ml.pool.perPod",
        "pod: requests.cpu=4 namespaces.red.perPod",
        "pod: gpu=8 cluster.perPod",
    ]


def test_a_pool_binds_a_member_listed_by_the_policy() -> None:
    group = replace(pool("night", "gpu=1"), members=frozenset({"alice"}))
    assert described(resolve(Policy(groups={"night": group}), Payer("alice"))) == [
        "group/night: gpu=1 groups.night.pool"
    ]


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        pytest.param(NOW + timedelta(microseconds=1), ["user/alice: gpu=8 users.alice"], id="in force before its end"),
        pytest.param(NOW, ["user/alice: gpu=1 defaults.user"], id="replaced by the default at exactly its end"),
        pytest.param(None, ["user/alice: gpu=8 users.alice"], id="always in force without an end"),
    ],
)
def test_an_own_entry_with_an_end(until: datetime | None, expected: list[str]) -> None:
    default = Defaults(user=entry("defaults.user", "gpu=1"))
    assert (
        described(resolve(Policy(defaults=default, users={"alice": entry("users.alice", "gpu=8", until=until)})))
        == expected
    )


@pytest.mark.parametrize("combine", Combine)
def test_expired_entries_bind_no_payer(combine: Combine) -> None:
    over = entry("over", "gpu=0", pod="gpu=0", until=NOW)
    policy = Policy(
        defaults=Defaults(over, over, over),
        users={"alice": over},
        service_accounts={ROBOT.owner: over},
        groups={"ml": Group(over, over, frozenset({ROBOT.owner, NOBODY.owner}))},
        tenants={"research": Tenant((), over, over)},
        namespaces={"red": over},
        cluster=over,
        combine=combine,
    )
    assert [resolve(policy, payer) for payer in (ALICE, ROBOT, NOBODY)] == [LimitsInForce()] * 3


def test_each_number_keeps_the_mode_and_the_place_of_the_entry_it_is_from() -> None:
    policy = Policy(
        defaults=Defaults(user=entry("defaults.user", "gpu=1 cpu=4", pod="cpu=2")),
        users={"alice": entry("users.alice", "gpu=2", pod="gpu=1", mode=Mode.WARN)},
        cluster=entry("cluster", "pods=9", mode=Mode.AUDIT),
    )
    in_force = resolve(policy)
    rules: list[Limit] = [*in_force.sums, *in_force.caps]
    assert [(rule.entry, rule.place, rule.mode) for rule in rules] == [
        ("users.alice", "users.alice stands here", Mode.WARN),
        ("defaults.user", "defaults.user stands here", Mode.ENFORCE),
        ("cluster", "cluster stands here", Mode.AUDIT),
        ("users.alice.perPod", "users.alice stands here", Mode.WARN),
        ("defaults.user.perPod", "defaults.user stands here", Mode.ENFORCE),
    ]
