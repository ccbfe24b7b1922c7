"""Who is in a group: by the stamp, by the lists of a policy, by objects of the cluster; and the usage index with it."""

from __future__ import annotations

import time

import pytest

from tests.quota.policies import NOW, described
from webhook.quota.limits import resolve_limits
from webhook.quota.membership import GroupObjects, GroupsByMember, Membership, groups_by_member
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Entry, Group, Policy, accounts_under
from webhook.quota.reservation import Reservation
from webhook.quota.subject import Account, Payer, Subject, group
from webhook.quota.usage import Row, UsageIndex

LIVE, CREATION = Membership.LIVE, Membership.CREATION
ANYWHERE: dict[str, str] = {}


def policy_of(*, objects: bool = True, **groups: Group) -> Policy:
    return Policy(groups=groups, group_objects=GroupObjects.OPENSHIFT if objects else None)


def pooled(*members: str, membership: Membership = CREATION) -> Group:
    return Group(pool=Entry("pool", hard={"pods": 3}), members=frozenset(members), membership=membership)


def listing(**members: str) -> GroupsByMember:
    """Return who is in which group, by words such as ml="alice bob"."""
    return groups_by_member({name: listed.split() for name, listed in members.items()})


@pytest.mark.parametrize(
    ("stamped", "membership", "members", "listed", "expected"),
    [
        pytest.param(("ml",), CREATION, (), {}, True, id="stamped"),
        pytest.param((), CREATION, (), {}, False, id="nowhere"),
        pytest.param((), CREATION, ("alice",), {}, True, id="listed by the policy"),
        pytest.param((), CREATION, (), {"ml": "alice"}, True, id="listed by an object"),
        pytest.param((), CREATION, (), {"ml": "bob"}, False, id="another is listed by an object"),
        pytest.param(("ml",), LIVE, (), {}, False, id="live, and stamped only"),
        pytest.param(("ml",), LIVE, ("bob",), {"ml": "carol"}, False, id="live, stamped, others are listed"),
        pytest.param((), LIVE, ("alice",), {}, True, id="live, and listed by the policy"),
        pytest.param((), LIVE, (), {"ml": "bob alice"}, True, id="live, and listed by an object"),
        pytest.param(("ml",), LIVE, ("alice",), {"ml": "alice"}, True, id="live, and listed by all"),
        pytest.param((), LIVE, (), {"ML": "alice"}, False, id="an object whose name has other letters"),
        pytest.param((), LIVE, (), {"ml": "Alice"}, False, id="a user whose name has other letters"),
    ],
)
def test_an_object_counts_in_a_group(
    stamped: tuple[str, ...],
    membership: Membership,
    members: tuple[str, ...],
    listed: dict[str, str],
    *,
    expected: bool,
) -> None:
    policy = policy_of(ml=pooled(*members, membership=membership)).with_group_objects(listing(**listed))

    assert policy.groups_of(Payer("alice", stamped)) == (("ml",) if expected else ())


def test_objects_of_the_cluster_count_only_where_the_policy_asks_for_them() -> None:
    policy = policy_of(objects=False, ml=pooled()).with_group_objects(listing(ml="alice"))

    assert policy.groups_of(Payer("alice")) == ()


def test_a_group_of_the_cluster_without_an_entry_is_none() -> None:
    policy = policy_of(ml=pooled()).with_group_objects(listing(staff="alice"))

    assert policy.groups_of(Payer("alice", ("people",))) == ()


def test_what_a_policy_is_told_later_changes_no_other() -> None:
    policy = policy_of(ml=pooled())
    policy.with_group_objects(listing(ml="alice"))

    assert policy.groups_of(Payer("alice")) == ()


def test_a_user_is_in_a_live_and_in_another_group() -> None:
    """He keeps the one of his login on what he made in it, and counts in the live one as of today."""
    policy = policy_of(today=pooled(membership=LIVE), then=pooled())
    payer = Payer("alice", ("then", "today"))

    assert policy.groups_of(payer) == ("then",)
    assert policy.with_group_objects(listing(today="alice")).groups_of(payer) == ("then", "today")
    assert policy.with_group_objects(listing(today="alice")).groups_of(Payer("alice")) == ("today",)


def test_caps_and_pool_of_a_live_group_bind_its_members_only() -> None:
    both = Group(
        per_member=Entry("groups.ml.perMember", hard={"pods": 10**9}),
        pool=Entry("groups.ml.pool", hard={"pods": 3 * 10**9}),
        membership=LIVE,
    )
    policy = policy_of(ml=both)

    def told(policy: Policy) -> list[str]:
        account = Account(Payer("alice", ("ml",)))
        return described(resolve_limits(policy, account, namespace="red", labels=ANYWHERE, now=NOW))

    assert told(policy) == []
    assert told(policy.with_group_objects(listing(ml="alice"))) == [
        "user/alice: pods=1 groups.ml.perMember",
        "group/ml: pods=3 groups.ml.pool",
    ]
    assert told(policy) == []


# The usage index.

POD = (("pods", 1),)


def pods_of(index: UsageIndex, name: str) -> int:
    used = index.used(group(name), "pods")
    assert isinstance(used, int)
    return used


def bound(index: UsageIndex, policy: Policy, *owners: str) -> None:
    index.rebind_owners(accounts_under(policy, lambda _: ANYWHERE), owners)


def test_what_exists_moves_with_who_joins_and_leaves() -> None:
    """Pods in two namespaces, one made as a member; and one that is allowed and not stored yet."""
    policy = policy_of(today=pooled(membership=LIVE), then=pooled())
    index = UsageIndex(accounts_under(policy, lambda _: ANYWHERE))
    index.observe(ObjectKey("pods", "red", "a"), Row("a", 1, Payer("alice"), POD))
    index.observe(ObjectKey("pods", "blue", "b"), Row("b", 2, Payer("alice", ("then", "today")), POD))
    index.observe(ObjectKey("pods", "red", "c"), Row("c", 3, Payer("bob", ("today",)), POD))
    index.reserve(Reservation(ObjectKey("pods", "blue", "d"), "d", 0, Payer("alice"), POD))
    before = [(index.used(each, "pods"), index.reserved(each, "pods")) for each in sorted(index.subjects())]
    assert (pods_of(index, "today"), pods_of(index, "then")) == (0, 1)

    bound(index, policy.with_group_objects(listing(today="alice")), "alice")
    assert (pods_of(index, "today"), index.reserved(group("today"), "pods"), pods_of(index, "then")) == (2, 1, 1)

    bound(index, policy.with_group_objects(listing(today="bob")), "alice", "bob")
    assert (pods_of(index, "today"), index.reserved(group("today"), "pods"), pods_of(index, "then")) == (1, 0, 1)

    bound(index, policy, "bob")
    assert [(index.used(each, "pods"), index.reserved(each, "pods")) for each in sorted(index.subjects())] == before


def test_a_stored_object_and_what_is_in_flight_for_it_move_together() -> None:
    """Of both the larger counts in the pool, as it did for the user."""
    policy = policy_of(today=pooled(membership=LIVE))
    index = UsageIndex(accounts_under(policy, lambda _: ANYWHERE))
    key = ObjectKey("pods", "red", "a")
    index.observe(key, Row("a", 1, Payer("alice"), (("requests.cpu", 2),)))
    index.reserve(Reservation(key, "a", 1, Payer("alice"), (("requests.cpu", 5),)))

    bound(index, policy.with_group_objects(listing(today="alice")), "alice")

    assert (index.used(group("today"), "requests.cpu"), index.reserved(group("today"), "requests.cpu")) == (2, 3)


def test_only_the_accounts_of_those_who_changed_are_bound_again() -> None:
    policy = policy_of(today=pooled(membership=LIVE))
    index = UsageIndex(accounts_under(policy, lambda _: ANYWHERE))
    for number, owner in enumerate(("alice", "bob", "carol")):
        index.observe(ObjectKey("pods", "red", owner), Row(owner, number + 1, Payer(owner), POD))
    asked: list[str] = []

    def recording(account: Account, namespace: str) -> tuple[Subject, ...]:
        asked.append(account.payer.owner)
        return accounts_under(policy, lambda _: ANYWHERE)(account, namespace)

    index.rebind_owners(recording, {"bob", "nobody"})
    index.observe(ObjectKey("pods", "red", "new"), Row("new", 9, Payer("dave"), POD))

    assert asked == ["bob", "dave"]


def test_ten_thousand_members_join_and_leave_in_linear_time() -> None:
    """Eight times as many members, one pod each, take less than 40 times as long; quadratic work takes 64 times."""

    def seconds(members: int) -> float:
        policy = policy_of(today=pooled(membership=LIVE))
        index = UsageIndex(accounts_under(policy, lambda _: ANYWHERE))
        owners = [f"user-{number}" for number in range(members)]
        for number, owner in enumerate(owners):
            index.observe(ObjectKey("pods", f"ns-{number % 50}", owner), Row(owner, number + 1, Payer(owner), POD))
        joined = policy.with_group_objects(groups_by_member({"today": owners}))
        begun = time.process_time()
        index.rebind_owners(accounts_under(joined, lambda _: ANYWHERE), frozenset(owners))
        took = time.process_time() - begun
        assert pods_of(index, "today") == members
        index.rebind_owners(accounts_under(policy, lambda _: ANYWHERE), frozenset(owners))
        assert pods_of(index, "today") == 0
        return took

    few, many = (min(seconds(members) for _ in range(5)) for members in (1250, 10_000))

    assert many < 40 * few
