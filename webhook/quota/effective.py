"""
The limits in force for everybody and everything that two policies name, compared: who may use more, and who less.

`edits` says whom a difference puts over a limit, `policy_changes` where it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from webhook.quota import subject
from webhook.quota.limits import Limit, limits_of_any
from webhook.quota.policy import Entry, Mode, Policy
from webhook.quota.resources import Amount
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, Account, Payer

_PLACES = ("tenants", "namespaces", "cluster")
"""How the entries begin that bind objects by where they are, and not by who pays."""

LabelsOf = Callable[[str], Mapping[str, str]]
"""Returns the labels of a namespace."""


class Bound(NamedTuple):
    """What a limit binds: whom, with the cap on one object or an empty text, and a resource."""

    whom: str
    cap: str
    resource: str


@dataclass(frozen=True, slots=True)
class LimitChange:
    """
    The strictest limit that refuses something, before and after; None: nothing is refused.

    Never the same amount twice.
    """

    bound: Bound
    before: Limit | None
    after: Limit | None

    @property
    def is_stricter(self) -> bool:
        """Whether less is allowed than before."""
        return _allowed(self.after) < _allowed(self.before)


class _Allowed(NamedTuple):
    """What may be used: amounts compare, and each is less than no limit. Of a minimum the negative one."""

    is_unlimited: bool
    amount: Amount


def _allowed(limit: Limit | None) -> _Allowed:
    if limit is None:
        return _Allowed(is_unlimited=True, amount=0)
    return _Allowed(is_unlimited=False, amount=-limit.hard if limit.is_minimum else limit.hard)


@dataclass(frozen=True, slots=True)
class _Probe:
    """
    Somebody, or with `is_place` a namespace, whose limits are asked for; *name* is what they are called.

    A namespace has *labels*, or those that each policy asks of a *tenant*.
    """

    name: str
    payer: Payer = NOBODY
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    tenant: str = ""
    is_place: bool = False

    def labels_under(self, policy: Policy) -> dict[str, str]:
        found = policy.tenants.get(self.tenant)
        return dict(self.labels if found is None else found.match_labels)


def changed_limits(
    before: Policy, after: Policy, now: datetime, *, used_by: Collection[tuple[Payer, str]] = (), labels_of: LabelsOf
) -> tuple[LimitChange, ...]:
    """
    Return whose limits in force differ at *now*, of all that either policy names; sorted.

    That is everybody and everything with an entry, each member that is listed, a further member of each group, and
    whoever no entry names. Payers who use something, each in a namespace, are asked about as well, with their groups.
    Only limits that are enforced count, and none of whom an exemption frees.
    """
    probes = [*_somebody(before, after, used_by), *_places(before, after, used_by, labels_of)]
    were, are = _limits(before, probes, now), _limits(after, probes, now)
    changes = (LimitChange(bound, were.get(bound), are.get(bound)) for bound in sorted(were.keys() | are.keys()))
    return tuple(each for each in changes if _allowed(each.before) != _allowed(each.after))


def _somebody(before: Policy, after: Policy, used_by: Collection[tuple[Payer, str]]) -> Iterator[_Probe]:
    """Yield whoever pays; those who use something with the groups that they have."""
    yield _Probe("any other user", Payer("(any other)"))
    yield _Probe("any other service account", Payer(f"{SERVICE_ACCOUNT_PREFIX}(any):(other)"))
    yield _Probe("what nobody owns")
    for group in sorted(before.groups.keys() | after.groups.keys()):
        yield _Probe(f"any other member of {group}", Payer("(any other)", (group,)))
    known = {payer for payer, _ in used_by if payer != NOBODY}
    named = {name for each in (before, after) for name in (*each.users, *each.service_accounts)}
    named |= {name for each in (before, after) for group in each.groups.values() for name in group.members}
    named |= {name for each in (before, after) for rule in each.rules for name in rule.users}
    known |= {Payer(name) for name in named - {payer.owner for payer in known}}
    yield from (_Probe(_called(payer.owner), payer) for payer in sorted(known))


def _places(
    before: Policy, after: Policy, used_by: Collection[tuple[Payer, str]], labels_of: LabelsOf
) -> Iterator[_Probe]:
    """Yield the namespaces, and one for all of each tenant."""
    for tenant in sorted(before.tenants.keys() | after.tenants.keys()):
        yield _Probe("", namespace=f"(each of {tenant})", tenant=tenant, is_place=True)
    names = {namespace for _, namespace in used_by} | before.namespaces.keys() | after.namespaces.keys()
    for name in ("", *sorted(names)):
        yield _Probe("", namespace=name, labels=tuple(labels_of(name).items()), is_place=True)


def _called(owner: str) -> str:
    if owner.startswith(SERVICE_ACCOUNT_PREFIX):
        return f"service account {owner.removeprefix(SERVICE_ACCOUNT_PREFIX).replace(':', '/')}"
    return str(subject.user(owner))


def _limits(policy: Policy, probes: Iterable[_Probe], now: datetime) -> dict[Bound, Limit]:
    """Return the strictest limit of everything that *probes* find bound."""
    found: dict[Bound, Limit] = {}
    for probe in probes:
        for bound, limit in _of_probe(policy, probe, now):
            if bound not in found or _allowed(limit) < _allowed(found[bound]):
                found[bound] = limit
    return found


def _of_probe(policy: Policy, probe: _Probe, now: datetime) -> Iterator[tuple[Bound, Limit]]:
    payer, labels = policy.named(probe.payer), probe.labels_under(policy)
    in_force = limits_of_any(policy, payer, namespace=probe.namespace, labels=labels, now=now)
    holder = str(policy.holder_of(payer))
    is_exempt = policy.exemptions.of(Account(payer), probe.namespace, now) is not None
    for limit in (*in_force.sums, *in_force.caps):
        if limit.cap is None:
            is_personal = subject.unscoped(limit.subject) == holder
        else:
            is_personal = not limit.entry.startswith(_PLACES)
        if limit.mode is not Mode.ENFORCE or (is_personal and (probe.is_place or is_exempt)):
            continue
        if is_personal:
            scope = "" if limit.cap else limit.subject.removesuffix(holder)
            yield Bound(scope + probe.name, limit.cap or "", limit.resource), limit
        elif limit.cap is None:
            yield Bound(str(limit.subject), "", limit.resource), limit
        elif probe.is_place:
            place = _place_of(policy, limit.entry.removesuffix(f".{limit.cap}"), probe.namespace)
            yield Bound(place, limit.cap, limit.resource), limit


def _place_of(policy: Policy, entry: str, namespace: str) -> str:
    """Return what the caps of an *entry* bind objects in: the cluster, a tenant, or the *namespace*."""
    if policy.cluster is not None and _sets(policy, policy.cluster, entry):
        return str(subject.CLUSTER)
    tenants = (str(subject.tenant(name)) for name, each in policy.tenants.items() if _sets(policy, each.entry, entry))
    return next(tenants, str(subject.namespace(namespace)))


def _sets(policy: Policy, entry: Entry, path: str) -> bool:
    """Whether what is called *path* is a part of *entry*."""
    return any(part.path == path for part in policy.parts_of(entry, None))
