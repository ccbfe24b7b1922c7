"""Laws of the limits of any policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.limits import LimitsInForce, resolve_limits
from webhook.quota.policy import CAPS, Combine, Defaults, Entry, Group, Mode, Policy, Tenant, Unlimited, subjects
from webhook.quota.resources import Amount
from webhook.quota.subject import NOBODY, Account, Payer

T = TypeVar("T")

NOW = datetime(2026, 11, 1, tzinfo=UTC)

names = st.sampled_from(["ml", "staff", "ops"])
hards = st.dictionaries(
    st.sampled_from(["gpu", "pods", "requests.cpu"]), st.integers(0, 9) | st.just(Unlimited.UNLIMITED)
)
entries = st.builds(
    Entry,
    path=st.sampled_from("abcdef"),
    hard=hards,
    caps=st.dictionaries(st.sampled_from(CAPS), hards),
    mode=st.sampled_from(Mode),
    until=st.sampled_from([None, NOW, NOW + timedelta(days=1)]),
)
maybe = st.none() | entries
owners = st.sampled_from(["alice", "system:serviceaccount:ci:builder", NOBODY.owner])
payers = st.builds(Payer, owners, st.lists(names, unique=True).map(lambda groups: tuple(sorted(groups))))
policies = st.builds(
    Policy,
    defaults=st.builds(Defaults, maybe, maybe, maybe),
    users=st.dictionaries(owners, entries),
    service_accounts=st.dictionaries(owners, entries),
    groups=st.dictionaries(names, st.builds(Group, maybe, maybe, st.frozensets(owners))),
    tenants=st.dictionaries(names, st.builds(Tenant, st.sampled_from([(), (("team", "a"),)]), entries, maybe)),
    namespaces=st.dictionaries(st.sampled_from(["red", "blue"]), entries),
    cluster=maybe,
    combine=st.sampled_from(Combine),
)


def resolve(policy: Policy, payer: Payer, labels: Mapping[str, str]) -> LimitsInForce:
    return resolve_limits(policy, Account(payer), namespace="red", labels=labels, now=NOW)


def backwards(written: Mapping[str, T]) -> dict[str, T]:
    return dict(reversed(list(written.items())))


def turned_entry(entry: Entry) -> Entry:
    return replace(
        entry, hard=backwards(entry.hard), caps=backwards({cap: backwards(hards) for cap, hards in entry.caps.items()})
    )


def turned_group(group: Group) -> Group:
    return replace(group, per_member=group.per_member and turned_entry(group.per_member))


def turned(policy: Policy) -> Policy:
    """Return the same policy with every mapping in the opposite order."""
    return replace(
        policy,
        users={name: turned_entry(each) for name, each in backwards(policy.users).items()},
        groups={name: turned_group(each) for name, each in backwards(policy.groups).items()},
        tenants=backwards(policy.tenants),
        namespaces=backwards(policy.namespaces),
    )


@given(policies, payers)
def test_the_order_of_limits_does_not_depend_on_the_order_of_the_policy(policy: Policy, payer: Payer) -> None:
    assert resolve(turned(policy), payer, {"team": "a"}) == resolve(policy, payer, {"team": "a"})


@given(policies, payers, st.sampled_from([{}, {"team": "a"}]))
def test_every_limit_binds_a_charged_subject(policy: Policy, payer: Payer, labels: dict[str, str]) -> None:
    accounts = subjects(policy, Account(payer), "red", labels)
    assert {limit.subject for limit in resolve(policy, payer, labels).sums} <= set(accounts)
    assert len(accounts) == len(set(accounts))


@given(policies, payers)
def test_most_restrictive_is_never_looser_than_max_and_max_never_than_sum(policy: Policy, payer: Payer) -> None:
    def least(combine: Combine) -> dict[tuple[str, str], Amount]:
        most: dict[tuple[str, str], Amount] = {}
        for limit in resolve(replace(policy, combine=combine), payer, {}).sums:
            key = limit.subject, limit.resource
            most[key] = min(limit.hard, most.get(key, limit.hard))
        return most

    strict, middle, loose = least(Combine.MOST_RESTRICTIVE), least(Combine.MAX), least(Combine.SUM)
    assert all(middle[key] <= hard for key, hard in loose.items())
    assert all(strict[key] <= hard for key, hard in middle.items())
