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

ONE_OBJECT = Subject("one object")
"""The subject of a cap: it binds an object by itself, whoever owns it."""

_MOST_PATTERNS = 4096
"""Kinds of payers remembered: combinations of groups that have entries, and payers and namespaces with an own entry."""


@dataclass(frozen=True, slots=True)
class Limit:
    """
    The most of one resource: for the sum of what *subject* uses, or for one object.

    `cap` names the per-object cap it is (`perPod`); None where it binds the sum.
    """

    subject: Subject
    resource: str
    hard: Amount
    entry: str
    place: str = ""
    mode: Mode = Mode.ENFORCE
    cap: str | None = None


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """All that binds one request, in the order in which a denial names it: `caps` on one object, and on `sums`."""

    sums: tuple[Limit, ...] = ()
    caps: tuple[Limit, ...] = ()


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
    groups, tenants = policy.groups_of(payer), policy.tenants_of(labels)
    where = namespace if tenants or namespace in policy.namespaces else ""
    key = (_kind(policy, payer), groups, tenants, where, policy.boundary_index(now))
    pattern = policy.remembered.get(key)
    if not isinstance(pattern, _Pattern):
        pattern = _pattern(policy, payer, groups, _shared(policy, groups, tenants, namespace), now=now)
        if len(policy.remembered) >= _MOST_PATTERNS:
            policy.remembered.clear()
        policy.remembered[key] = pattern
    return pattern.bound_to(subject.user(payer.owner))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What everybody of one kind is bound by: worked out once, as only the name of the user differs."""

    personal: tuple[tuple[str, Amount, str, str, Mode], ...]
    shared: tuple[Limit, ...]
    caps: tuple[Limit, ...]

    def bound_to(self, user: Subject) -> LimitsInForce:
        """Put the name in."""
        return LimitsInForce((*[Limit(user, *each) for each in self.personal], *self.shared), self.caps)


def _kind(policy: Policy, payer: Payer) -> str:
    """Give what tells apart payers with other personal entries: their name, if the policy names them."""
    if payer.owner in policy.users or payer.owner in policy.service_accounts or payer.owner == UNATTRIBUTED:
        return payer.owner
    return subject.SERVICE_ACCOUNT_PREFIX if payer.is_service_account else ""


def _pattern(
    policy: Policy, payer: Payer, groups: Iterable[str], shared: Iterable[tuple[Subject, Entry]], *, now: datetime
) -> _Pattern:
    members = [entry for name in groups if (entry := policy.groups[name].per_member) and entry.in_force(now)]
    layers = [_personal(policy, payer, members, now)]
    if policy.combine is Combine.MOST_RESTRICTIVE:
        layers += [[entry] for entry in members]
    own = subject.user(payer.owner)
    personal = [limit for layer in layers for limit in _limits(own, _field_by_field(layer))]
    beside = [(bound, entry) for bound, entry in shared if entry.in_force(now)]
    layers += [[entry] for _, entry in beside]
    return _Pattern(
        tuple((each.resource, each.hard, each.entry, each.place, each.mode) for each in personal),
        tuple(limit for bound, entry in beside for limit in _limits(bound, _field_by_field([entry]))),
        tuple(
            limit
            for cap in _caps_named(layers)
            for layer in layers
            for limit in _limits(ONE_OBJECT, _field_by_field(layer, cap), cap)
        ),
    )


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
    for cap in _caps_named([members]):
        for name in {name for entry in members for name in entry.caps.get(cap, {})}:
            those = [entry for entry in members if name in entry.caps.get(cap, {})]
            most = _meet([entry.caps[cap][name] for entry in those], Combine.MAX)  # two groups make no object larger
            yield replace(_joint(those), caps={cap: {name: most}})


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
    policy: Policy, groups: Iterable[str], tenants: Iterable[str], namespace: str
) -> Iterator[tuple[Subject, Entry]]:
    for name in groups:
        pool = policy.groups[name].pool
        if pool is not None:
            yield subject.group(name), pool
    for name in tenants:
        tenant = policy.tenants[name]
        yield subject.tenant(name), tenant.entry
        if tenant.per_namespace is not None:
            yield subject.namespace(namespace), tenant.per_namespace
    if namespace in policy.namespaces:
        yield subject.namespace(namespace), policy.namespaces[namespace]
    if policy.cluster is not None:
        yield subject.CLUSTER, policy.cluster


def _caps_named(layers: Iterable[list[Entry]]) -> list[str]:
    return sorted({cap for layer in layers for entry in layer for cap in entry.caps})


def _field_by_field(strongest_first: list[Entry], cap: str | None = None) -> list[tuple[str, _Rule]]:
    rules: dict[str, _Rule] = {}
    for entry in strongest_first:
        hards = entry.hard if cap is None else entry.caps.get(cap, {})
        for name, hard in hards.items():
            rules.setdefault(name, _Rule(hard, entry, entry.path if cap is None else f"{entry.path}.{cap}"))
    return sorted(rules.items())


def _limits(bound: Subject, rules: list[tuple[str, _Rule]], cap: str | None = None) -> Iterator[Limit]:
    for name, rule in rules:
        if not isinstance(rule.hard, Unlimited):
            yield Limit(bound, name, rule.hard, rule.path, rule.entry.place, rule.entry.mode, cap)
