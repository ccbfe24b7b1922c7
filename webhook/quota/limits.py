"""
Which limits are in force for one payer in one namespace, each with the policy entry it came from.

What is used already and whether a request fits: see `book` and `decision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from webhook.quota import subject
from webhook.quota.policy import Combine, Entry, Hard, Mode, Policy, Unlimited
from webhook.quota.resources import Amount
from webhook.quota.subject import UNATTRIBUTED, Payer, Subject


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one resource that one subject may use in all: the unit on which a decision adds up."""

    subject: Subject
    resource: str
    hard: Amount
    entry: str
    place: str = ""
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class PodCap:
    """The most of one resource that a single pod may ask for."""

    resource: str
    hard: Amount
    entry: str
    place: str = ""
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """All that binds one request, in the order in which a denial names it."""

    limits: tuple[Limit, ...] = ()
    pod_caps: tuple[PodCap, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """One resource's hard amount with the entry that sets it."""

    hard: Hard
    entry: Entry
    path: str


def resolve_limits(
    policy: Policy, payer: Payer, *, namespace: str, labels: Mapping[str, str], now: datetime
) -> LimitsInForce:
    """
    Give every limit that binds *payer* in *namespace*, which carries *labels*, at *now*.

    The payer's own entry replaces the default field by field and may raise it. Members of a group are held to its
    `perMember` cap as well (`most-restrictive`); with `combine: max` or `sum` the caps of all their groups meet in one
    limit, which replaces the default field by field, as an own entry does. Every pool, tenant, namespace and cluster
    limit binds beside these. Order: user, groups by name, tenants by name, each with what it gives this namespace,
    namespace, cluster; resources by name.
    """
    groups = policy.groups_of(payer)
    members = [entry for name in groups if (entry := policy.groups[name].per_member) and entry.in_force(now)]
    personal = _personal(policy, payer, members, now)
    limits: list[Limit] = list(_limits(subject.user(payer.owner), _field_by_field(personal, "hard")))
    caps: list[PodCap] = list(_caps(_field_by_field(personal, "per_pod")))
    if policy.combine is Combine.MOST_RESTRICTIVE:
        for entry in members:
            limits += _limits(subject.user(payer.owner), _field_by_field([entry], "hard"))
            caps += _caps(_field_by_field([entry], "per_pod"))
    for bound, entry in _shared(policy, groups, namespace, labels):
        if entry.in_force(now):
            limits += _limits(bound, _field_by_field([entry], "hard"))
            caps += _caps(_field_by_field([entry], "per_pod"))
    return LimitsInForce(tuple(limits), tuple(caps))


def _personal(policy: Policy, payer: Payer, members: list[Entry], now: datetime) -> list[Entry]:
    """The entries that replace one another field by field, the strongest first."""
    if payer.owner == UNATTRIBUTED:
        own, default = None, policy.defaults.unattributed
    elif payer.is_service_account:
        own, default = policy.service_accounts.get(payer.owner), policy.defaults.service_account
    else:
        own, default = policy.users.get(payer.owner), policy.defaults.user
    combined = () if policy.combine is Combine.MOST_RESTRICTIVE else _combined(members, policy.combine)
    return [entry for entry in (own, *combined, default) if entry is not None and entry.in_force(now)]


def _combined(members: list[Entry], combine: Combine) -> Iterator[Entry]:
    """One entry for each resource, made of the groups that say something about it: the others have no part in it."""
    for name in {name for entry in members for name in entry.hard}:
        those = [entry for entry in members if name in entry.hard]
        yield replace(_joint(those), hard={name: _meet([entry.hard[name] for entry in those], combine)})
    for name in {name for entry in members for name in entry.per_pod}:
        those = [entry for entry in members if name in entry.per_pod]
        most = _meet([entry.per_pod[name] for entry in those], Combine.MAX)  # two groups do not make a pod larger
        yield replace(_joint(those), per_pod={name: most})


def _joint(entries: list[Entry]) -> Entry:
    """Several entries under one name, as strict as the strictest of them, still without amounts."""
    mode = min((entry.mode for entry in entries), key=list(Mode).index)
    places = ", ".join(entry.place for entry in entries if entry.place)
    return Entry("+".join(entry.path for entry in entries), places, mode=mode)


def _meet(several: list[Hard], combine: Combine) -> Hard:
    amounts = [hard for hard in several if not isinstance(hard, Unlimited)]
    if len(amounts) < len(several):
        return Unlimited.UNLIMITED
    return sum(amounts) if combine is Combine.SUM else max(amounts)


def _shared(
    policy: Policy, groups: Iterable[str], namespace: str, labels: Mapping[str, str]
) -> Iterator[tuple[Subject, Entry]]:
    for name in groups:
        pool = policy.groups[name].pool
        if pool is not None:
            yield subject.group(name), pool
    for name in policy.tenants_of(labels):
        tenant = policy.tenants[name]
        yield subject.tenant(name), tenant.entry
        if tenant.per_namespace is not None:
            yield subject.namespace(namespace), tenant.per_namespace
    if namespace in policy.namespaces:
        yield subject.namespace(namespace), policy.namespaces[namespace]
    if policy.cluster is not None:
        yield subject.CLUSTER, policy.cluster


def _field_by_field(strongest_first: list[Entry], part: str) -> list[tuple[str, _Rule]]:
    rules: dict[str, _Rule] = {}
    for entry in strongest_first:
        hards = entry.hard if part == "hard" else entry.per_pod
        for name, hard in hards.items():
            rules.setdefault(name, _Rule(hard, entry, entry.path if part == "hard" else f"{entry.path}.perPod"))
    return sorted(rules.items())


def _limits(bound: Subject, rules: list[tuple[str, _Rule]]) -> Iterator[Limit]:
    for name, rule in rules:
        if not isinstance(rule.hard, Unlimited):
            yield Limit(bound, name, rule.hard, rule.path, rule.entry.place, rule.entry.mode)


def _caps(rules: list[tuple[str, _Rule]]) -> Iterator[PodCap]:
    for name, rule in rules:
        if not isinstance(rule.hard, Unlimited):
            yield PodCap(name, rule.hard, rule.path, rule.entry.place, rule.entry.mode)
