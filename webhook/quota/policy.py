"""
What admins decided: the policy as frozen values. How its text is read lies in `documents.policy_text`.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from webhook.quota.resources import Amount
from webhook.quota.subject import CLUSTER, Payer, Subject, group, namespace, tenant, user

CAPS = ("perPod", "perClaim", "perSession")
"""The caps on one object that a policy may have; which kinds they bind is said by the kinds."""


class Unlimited(enum.Enum):
    """The word `unlimited`: a value of its own, so that no number can be mistaken for it."""

    UNLIMITED = "unlimited"


Hard = Amount | Unlimited
"""The most that may be used, in billionths of the unit; 0 forbids; `unlimited` lifts what would be inherited."""


class Mode(enum.Enum):
    """What an entry does when it is exceeded: refuse, tell the person, or only tell the admin."""

    ENFORCE = "enforce"
    WARN = "warn"
    AUDIT = "audit"


class Terminating(enum.Enum):
    """What a pod costs whose deletion grace period is over: nothing (as ResourceQuota), or all until it is gone."""

    RELEASE = "release"
    HOLD = "hold"


class Combine(enum.Enum):
    """How the `perMember` caps of several groups meet."""

    MOST_RESTRICTIVE = "most-restrictive"
    MAX = "max"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One place of the policy that sets limits.

    `path` is its name in messages (`users.alice`), `place` its source and line (`policy.yaml:7`).
    `hard` binds the sum of what a subject uses; `caps` bind one object each, by the name of the cap (`perPod`).
    `until` is when it stops being in force.
    """

    path: str
    place: str = ""
    hard: Mapping[str, Hard] = field(default_factory=dict)
    caps: Mapping[str, Mapping[str, Hard]] = field(default_factory=dict)
    mode: Mode = Mode.ENFORCE
    until: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Say whether the entry still counts at *now*; at the very second of `until` it does not."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Group:
    """A group: a cap for each member, a pool that all share, and members beyond those the API server reports."""

    per_member: Entry | None = None
    pool: Entry | None = None
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A set of namespaces by their labels, with limits over all of them and for each."""

    match_labels: tuple[tuple[str, str], ...]
    entry: Entry
    per_namespace: Entry | None = None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether a namespace with these *labels* belongs to the tenant."""
        return all(labels.get(key) == value for key, value in self.match_labels)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What binds owners without an entry of their own."""

    user: Entry | None = None
    service_account: Entry | None = None
    unattributed: Entry | None = None


_EVERYWHERE = ("", "")
"""Stands for the label of tenants that ask for none; no label is spelled so."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    Everything admins decided, merged from all documents.

    `service_accounts` are keyed by full username. `trusted_controllers` are usernames that may act for the owner of
    the object they make something for, beside kube-controller-manager's.
    """

    defaults: Defaults = Defaults()
    users: Mapping[str, Entry] = field(default_factory=dict)
    service_accounts: Mapping[str, Entry] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    namespaces: Mapping[str, Entry] = field(default_factory=dict)
    cluster: Entry | None = None
    combine: Combine = Combine.MOST_RESTRICTIVE
    terminating: Terminating = Terminating.RELEASE
    trusted_controllers: frozenset[str] = frozenset()
    remembered: dict[object, object] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Room for what `limits` works out once per policy; nothing in it says more than the policy does."""
    _listed_in: Mapping[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    _labelled: Mapping[tuple[str, str], tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _ends: tuple[datetime, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Turn lists round once: a request must not walk through every group and tenant of the policy."""
        listed_in: dict[str, set[str]] = {}
        for name, each in self.groups.items():
            for member in each.members:
                listed_in.setdefault(member, set()).add(name)
        object.__setattr__(self, "_listed_in", {member: frozenset(names) for member, names in listed_in.items()})
        labelled: dict[tuple[str, str], tuple[str, ...]] = {}
        for name, selected in self.tenants.items():
            first = selected.match_labels[0] if selected.match_labels else _EVERYWHERE
            labelled[first] = (*labelled.get(first, ()), name)
        object.__setattr__(self, "_labelled", labelled)
        object.__setattr__(self, "_ends", tuple(sorted({each.until for each in self._entries() if each.until})))

    def groups_of(self, payer: Payer) -> tuple[str, ...]:
        """Give the groups with an entry that *payer* is in: by the snapshot, or by the policy's own member lists."""
        stamped = {name for name in payer.groups if name in self.groups}
        return tuple(sorted(stamped | self._listed_in.get(payer.owner, frozenset())))

    def counting_time(self, now: datetime) -> datetime | None:
        """Return the time at which usage is to be counted: *now*, or None where an object counts until it is gone."""
        return now if self.terminating is Terminating.RELEASE else None

    def named(self, payer: Payer) -> Payer:
        """Return *payer* with those groups alone that have an entry here: no other group can bind anything."""
        groups = tuple(name for name in payer.groups if name in self.groups)
        return payer if len(groups) == len(payer.groups) else Payer(payer.owner, groups)

    def tenants_of(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Give the tenants that a namespace with these *labels* belongs to."""
        candidates = [name for label in (*labels.items(), _EVERYWHERE) for name in self._labelled.get(label, ())]
        return tuple(sorted(name for name in candidates if self.tenants[name].holds(labels)))

    def boundary_index(self, now: datetime) -> int:
        """Give a number that is the same as long as no entry has ended in between."""
        return bisect_right(self._ends, now) if self._ends else 0

    def _entries(self) -> Iterator[Entry]:
        defaults = (self.defaults.user, self.defaults.service_account, self.defaults.unattributed)
        groups = [entry for each in self.groups.values() for entry in (each.per_member, each.pool)]
        tenants = [entry for each in self.tenants.values() for entry in (each.entry, each.per_namespace)]
        named = (*self.users.values(), *self.service_accounts.values(), *self.namespaces.values())
        yield from (entry for entry in (*defaults, *groups, *tenants, *named, self.cluster) if entry is not None)


def subjects(policy: Policy, payer: Payer, namespace_name: str, labels: Mapping[str, str]) -> tuple[Subject, ...]:
    """
    Give every subject on whose account an object of *payer* in that namespace is booked.

    Groups count where they have a pool. The namespace and the cluster always count, so that a limit added later finds
    what is used already.
    """
    pools = [group(name) for name in policy.groups_of(payer) if policy.groups[name].pool is not None]
    tenants = [tenant(name) for name in policy.tenants_of(labels)]
    return (user(payer.owner), *pools, *tenants, namespace(namespace_name), CLUSTER)


def accounts_under(
    policy: Policy, labels_of: Callable[[str], Mapping[str, str]]
) -> Callable[[Payer, str], tuple[Subject, ...]]:
    """Return a function from payer and namespace to the subjects charged, by the namespace's present labels."""

    def accounts_of(payer: Payer, namespace: str) -> tuple[Subject, ...]:
        return subjects(policy, payer, namespace, labels_of(namespace))

    return accounts_of
