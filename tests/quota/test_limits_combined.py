"""How the per-member caps of several groups are combined, for each value of `combine`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.quota.policies import NOW, described, entry, members, resolve
from webhook.quota.limits import Limit
from webhook.quota.policy import Combine, Defaults, Entry, Group, Mode, Policy
from webhook.quota.subject import user

GROUPS = {"ml": members("ml", "gpu=2 cpu=8", pod="cpu=2"), "staff": members("staff", "gpu=4", pod="cpu=3")}
LOW = Defaults(user=entry("defaults.user", "gpu=1 pods=5", pod="cpu=1"))
BOTH = "groups.ml.perMember+groups.staff.perMember"
COMBINED = {
    "most-restrictive: every cap binds beside the default": (
        Policy(defaults=LOW, groups=GROUPS),
        [
            "user/alice: gpu=1 defaults.user",
            "user/alice: pods=5 defaults.user",
            "user/alice: gpu=2 groups.ml.perMember",
            "user/alice: requests.cpu=8 groups.ml.perMember",
            "user/alice: gpu=4 groups.staff.perMember",
            "pod: requests.cpu=1 defaults.user.perPod",
            "pod: requests.cpu=2 groups.ml.perMember.perPod",
            "pod: requests.cpu=3 groups.staff.perMember.perPod",
        ],
    ),
    "most-restrictive: an own entry does not lift a cap": (
        Policy(users={"alice": entry("users.alice", "gpu=9")}, groups={"ml": members("ml", "gpu=2")}),
        ["user/alice: gpu=9 users.alice", "user/alice: gpu=2 groups.ml.perMember"],
    ),
    "most-restrictive: unlimited for members adds nothing and lifts nothing": (
        Policy(defaults=Defaults(user=entry("defaults.user", "gpu=1")), groups={"ml": members("ml", "gpu=unlimited")}),
        ["user/alice: gpu=1 defaults.user"],
    ),
    "max: the largest cap replaces the default": (
        Policy(defaults=LOW, groups=GROUPS, combine=Combine.MAX),
        [
            f"user/alice: gpu=4 {BOTH}",
            "user/alice: pods=5 defaults.user",
            "user/alice: requests.cpu=8 groups.ml.perMember",
            f"pod: requests.cpu=3 {BOTH}.perPod",
        ],
    ),
    "sum: the caps add up, but two groups do not make a pod larger": (
        Policy(defaults=LOW, groups=GROUPS, combine=Combine.SUM),
        [
            f"user/alice: gpu=6 {BOTH}",
            "user/alice: pods=5 defaults.user",
            "user/alice: requests.cpu=8 groups.ml.perMember",
            f"pod: requests.cpu=3 {BOTH}.perPod",
        ],
    ),
    "max: an own entry replaces the caps of the groups": (
        Policy(users={"alice": entry("users.alice", "gpu=1")}, groups=GROUPS, combine=Combine.MAX),
        [
            "user/alice: gpu=1 users.alice",
            "user/alice: requests.cpu=8 groups.ml.perMember",
            f"pod: requests.cpu=3 {BOTH}.perPod",
        ],
    ),
    "max: one group's unlimited lifts the others' and the default": (
        Policy(
            defaults=Defaults(user=entry("defaults.user", "gpu=1")),
            groups={"ml": members("ml", "gpu=2"), "staff": members("staff", "gpu=unlimited")},
            combine=Combine.MAX,
        ),
        [],
    ),
    "sum: unlimited plus an amount is unlimited, in either order": (
        Policy(
            groups={"ml": members("ml", "gpu=unlimited cpu=1"), "staff": members("staff", "gpu=2 cpu=unlimited")},
            combine=Combine.SUM,
        ),
        [],
    ),
    "sum: one group forbids, the other allows": (
        Policy(groups={"ml": members("ml", "gpu=0"), "staff": members("staff", "gpu=3")}, combine=Combine.SUM),
        [f"user/alice: gpu=3 {BOTH}"],
    ),
    "sum: a user in no group has the default": (
        Policy(defaults=LOW, groups={"ops": members("ops", "gpu=9")}, combine=Combine.SUM),
        [
            "user/alice: gpu=1 defaults.user",
            "user/alice: pods=5 defaults.user",
            "pod: requests.cpu=1 defaults.user.perPod",
        ],
    ),
}


@pytest.mark.parametrize(("policy", "expected"), COMBINED.values(), ids=COMBINED)
def test_the_combined_caps_of_several_groups(policy: Policy, expected: list[str]) -> None:
    assert described(resolve(policy)) == expected


def test_an_expired_cap_is_not_added() -> None:
    over = Group(per_member=entry("groups.ml.perMember", "gpu=5", until=NOW))
    policy = Policy(groups={"ml": over, "staff": members("staff", "gpu=2")}, combine=Combine.SUM)
    assert described(resolve(policy)) == ["user/alice: gpu=2 groups.staff.perMember"]


@pytest.mark.parametrize("combine", [Combine.MAX, Combine.SUM])
def test_a_combined_cap_is_as_strict_as_the_strictest_group_that_limits_that_resource(combine: Combine) -> None:
    policy = Policy(
        groups={"ml": members("ml", "cpu=8 pods=4"), "staff": members("staff", "gpu=4 pods=2", mode=Mode.WARN)},
        combine=combine,
    )
    assert [(limit.resource, limit.entry, limit.place, limit.mode) for limit in resolve(policy).sums] == [
        ("gpu", "groups.staff.perMember", "groups.staff.perMember stands here", Mode.WARN),
        ("pods", BOTH, "groups.ml.perMember stands here, groups.staff.perMember stands here", Mode.ENFORCE),
        ("requests.cpu", "groups.ml.perMember", "groups.ml.perMember stands here", Mode.ENFORCE),
    ]


def test_a_combined_cap_of_entries_without_a_place_has_none() -> None:
    policy = Policy(groups={"ml": Group(Entry("a", hard={"gpu": 1})), "staff": Group(Entry("b", hard={"gpu": 2}))})
    assert resolve(replace(policy, combine=Combine.MAX)).sums == (Limit(user("alice"), "gpu", 2, "a+b"),)


MINIMUMS = {
    name: Group(per_member=Entry(f"groups.{name}", caps={"minPerPod": {"requests.cpu": least}}))
    for name, least in (("ml", 2), ("staff", 3))
}


@pytest.mark.parametrize(
    ("combine", "least"),
    [(Combine.MOST_RESTRICTIVE, [2, 3]), (Combine.MAX, [2]), (Combine.SUM, [2])],
)
def test_of_minimums_the_smallest_is_left_where_groups_give_more(combine: Combine, least: list[int]) -> None:
    in_force = resolve(Policy(groups=MINIMUMS, combine=combine))
    assert [each.hard for each in in_force.caps] == least
