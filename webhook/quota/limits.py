"""
Resolve which limits are in force for one payer in one namespace, each with the policy entry that sets it.

`usage` holds what is used; `decision` compares a request with the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct, structs

from webhook.quota import subject
from webhook.quota.catalogue import About, Catalogue
from webhook.quota.commitments import NOTHING_IN_FORCE, InForce
from webhook.quota.policy import MINIMUMS, Combine, Entry, Hard, Mode, OnWorkload, PersonRule, Policy, Unlimited
from webhook.quota.quantity import Format
from webhook.quota.resources import Amount, show
from webhook.quota.scopes import Selector
from webhook.quota.shapes import Shape
from webhook.quota.subject import UNATTRIBUTED, Account, Payer, Subject

ONE_OBJECT = Subject("one object")
"""The subject of a cap: it binds each object by itself, whichever owner pays."""

_ANYBODY = Subject("anybody")
"""Stands for the user in limits that are not yet bound to one."""

_MAX_PATTERNS = 4096
"""Cached patterns: one per combination of groups with entries, and per payer or namespace with an entry of its own."""


class Limit(Struct, frozen=True):
    """
    The most of one resource: for the sum of what `subject` uses, or for one object.

    `cap` names the cap on one object (`perPod`); None if the limit binds the sum. Of a minimum (`minPerPod`) `hard` is
    the least. `about` is what the policy says of the resource.
    """

    subject: Subject
    resource: str
    hard: Amount
    entry: str
    place: str = ""
    mode: Mode = Mode.ENFORCE
    cap: str | None = None
    workloads: OnWorkload = OnWorkload.WARN
    hint: str = ""
    about: About | None = None

    @property
    def form(self) -> Format | None:
        """Return how amounts of the resource are shown, None: as Kubernetes shows them."""
        return None if self.about is None else self.about.form

    def shown(self, amount: Amount) -> str:
        """Return an *amount* of the resource as text for users."""
        return show(self.resource, amount, self.form)

    @property
    def is_minimum(self) -> bool:
        """Whether `hard` is the least, and not the most."""
        return self.cap in MINIMUMS.values()


class PoolLimit(Struct, frozen=True):
    """
    A limit of which a part was promised to somebody: what one pool of nodes has of one resource, or the limit of an
    envelope of which parts are guaranteed, if it `is_envelope`. Or one on what somebody uses on demand, if it
    `is_on_demand`: beside what was promised.

    Of that `committed` was promised to `holder`, the subject of what covers the object; None if nothing does.
    `on_demand` is the subject of all that nothing covers there.
    """

    limit: Limit
    on_demand: Subject
    holder: Subject | None = None
    committed: Amount = 0
    is_envelope: bool = False
    is_on_demand: bool = False

    @property
    def counted_for(self) -> Subject:
        """The subject for which the object counts in the pool: its holder, or all that nothing covers."""
        return self.on_demand if self.holder is None else self.holder


class ShapeLimit(Struct, frozen=True):
    """
    The shape that a pod has to have because it may run on nodes of a class.

    `limit` has its entry, and no resource and amount: which one is wrong depends on the pod.
    """

    limit: Limit
    node_class: str
    shape: Shape


class LimitsInForce(Struct, frozen=True):
    """
    All limits that bind one request: `shapes`, and in the order in which a denial names them `caps`, `sums`, `pools`.

    `promised` is what was promised of the pools. The limit of an envelope is among `sums` as well. One on what is used
    on demand is among `pools` where anything was promised in the class, and else among `sums`.
    """

    sums: tuple[Limit, ...] = ()
    caps: tuple[Limit, ...] = ()
    pools: tuple[PoolLimit, ...] = ()
    promised: InForce = NOTHING_IN_FORCE
    shapes: tuple[ShapeLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """The hard amount of one resource, with the entry that sets it."""

    hard: Hard
    entry: Entry
    path: str


def resolve_limits(
    policy: Policy, account: Account, *, namespace: str, labels: Mapping[str, str], now: datetime
) -> LimitsInForce:
    """
    Return every limit that binds an object of *account* in *namespace*, which carries *labels*, at *now*.

    Each entry has the amounts of its tier besides, for what it does not limit itself.
    The payer's own entry replaces the default field by field and may raise it, as does the first of the rules that
    holds for a person without such a field. Behind the default of people stand those of the catalogue. With
    `most-restrictive` the `perMember` cap of each of the payer's groups binds as well. With `combine: max` or `sum`
    the caps of all these groups become one limit, which replaces the default field by field like the payer's own
    entry. Pool, tenant, namespace and cluster limits always bind in addition. Order: user, groups by name, tenants by
    name, each followed by its limit per namespace, namespace, cluster; resources by name. The limits on what a
    selector selects follow in the same order, and override each other for each selector by itself.
    """
    return _limits_of(policy, account.payer, policy.selecting(account.scopes), namespace, labels, now)


def limits_of_any(
    policy: Policy, payer: Payer, *, namespace: str, labels: Mapping[str, str], now: datetime
) -> LimitsInForce:
    """Return every limit that binds some object of *payer*, whatever scopes it is in. See `resolve_limits`."""
    return _limits_of(policy, payer, policy.selectors, namespace, labels, now)


def _limits_of(  # noqa: PLR0913, PLR0917 - what decides the limits
    policy: Policy,
    payer: Payer,
    selectors: tuple[Selector, ...],
    namespace: str,
    labels: Mapping[str, str],
    now: datetime,
) -> LimitsInForce:
    groups, tenants = policy.groups_of(payer), policy.tenants_of(labels)
    policy_namespace = namespace if tenants or namespace in policy.namespaces else ""
    rule = policy.rule_of(payer, groups, now)
    kind = (_payer_kind(policy, payer), "" if rule is None else rule.entry.path)
    key = (kind, groups, tenants, policy_namespace, selectors, policy.phase(now))
    pattern = policy.limits_cache.get(key)
    if not isinstance(pattern, _Pattern):
        layers = layers_of(policy, payer, namespace=namespace, labels=labels, now=now)
        pattern = _build_pattern(layers, selectors, now).described_by(policy.catalogue)
        if len(policy.limits_cache) >= _MAX_PATTERNS:
            policy.limits_cache.clear()
        policy.limits_cache[key] = pattern
    return pattern.bound_to(policy.holder_of(payer))


def shared_limits(policy: Policy, bound: Subject, entry: Entry, *, now: datetime) -> tuple[Limit, ...]:
    """Return the limits that *entry* sets at *now* for the sum of what *bound* uses, and of what a selector selects."""
    if not entry.in_force(now):
        return ()
    layer = Layer(entry.path, bound, list(policy.parts_of(entry, now)))
    return tuple(_described(_shared_limits(bound, layer, (None, *policy.selectors), now), policy.catalogue))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """
    The limits shared by all payers of one kind. Computed once, because only the name of the user differs.

    `personal` are limits of nobody yet, each with what it selects of the user's objects.
    """

    personal: tuple[tuple[Selector | None, Limit], ...]
    shared: tuple[Limit, ...]
    caps: tuple[Limit, ...]

    def described_by(self, catalogue: Catalogue) -> _Pattern:
        """Return the limits with what *catalogue* says of their resources."""
        if not catalogue:
            return self
        personal = _described((limit for _, limit in self.personal), catalogue)
        selected = tuple(zip((selector for selector, _ in self.personal), personal, strict=True))
        return _Pattern(selected, tuple(_described(self.shared, catalogue)), tuple(_described(self.caps, catalogue)))

    def bound_to(self, holder: Subject) -> LimitsInForce:
        """Return the limits with *holder* as the subject of the personal ones."""
        personal = [
            structs.replace(limit, subject=holder if selector is None else subject.scoped(holder, selector))
            for selector, limit in self.personal
        ]
        return LimitsInForce((*personal, *self.shared), self.caps)


def _described(limits: Iterable[Limit], catalogue: Catalogue) -> Iterator[Limit]:
    return (structs.replace(each, about=catalogue.get(each.resource)) for each in limits)


def _payer_kind(policy: Policy, payer: Payer) -> str:
    """Return a key that differs for payers with different personal entries: their name if the policy names them."""
    if payer.owner in policy.users or payer.owner in policy.service_accounts or payer.owner == UNATTRIBUTED:
        return payer.owner
    return subject.SERVICE_ACCOUNT_PREFIX if payer.is_service_account else ""


class Layer(NamedTuple):
    """
    Entries that override each other resource by resource, the strongest first, for the subject that they bind.

    `bound` is None for the limits of a person. `name` is another one for each layer of a request, at all times.
    """

    name: str
    bound: Subject | None
    entries: list[Entry]

    def rules(self, cap: str | None, selector: Selector | None, now: datetime) -> dict[str, Rule]:
        """Return what the layer says at *now*, by resource: of a *cap*, or of the sum of what *selector* selects."""
        return _strongest_rules(_selected(self.entries, selector, now), cap)


def layers_of(  # noqa: PLR0913 - what decides the limits
    policy: Policy,
    payer: Payer,
    *,
    namespace: str,
    labels: Mapping[str, str],
    now: datetime,
    in_windows: bool = True,
) -> list[Layer]:
    """
    Return all that binds what *payer* has in *namespace*, which carries *labels*, at *now*; see `resolve_limits`.

    Unless *in_windows*, that is what binds outside all windows.
    """

    def parts_of(entry: Entry) -> list[Entry]:
        return list(policy.parts_of(entry, now, in_windows=in_windows)) if entry.in_force(now) else []

    groups = policy.groups_of(payer)
    members = [entry for name in groups if (entry := policy.groups[name].per_member) is not None]
    rule = policy.rule_of(payer, groups, now)
    layers = [Layer("", None, _personal(policy, payer, members, rule, parts_of, now))]
    if policy.combine is Combine.MOST_RESTRICTIVE:
        layers += (Layer(entry.path, None, parts_of(entry)) for entry in members)
    shared = _shared(policy, groups, policy.tenants_of(labels), namespace)
    return [*layers, *(Layer(entry.path, bound, parts_of(entry)) for bound, entry in shared)]


def _build_pattern(layers: Sequence[Layer], selectors: tuple[Selector, ...], now: datetime) -> _Pattern:
    personal: list[tuple[Selector | None, Limit]] = []
    common: list[Limit] = []
    for selector in (None, *selectors):
        for layer in layers:
            if layer.bound is not None:
                common += _shared_limits(layer.bound, layer, (selector,), now)
                continue
            personal += ((selector, limit) for limit in _limits(_ANYBODY, layer.rules(None, selector, now)))
    caps = (
        limit
        for cap in _cap_names(layer.entries for layer in layers)
        for layer in layers
        for limit in _limits(ONE_OBJECT, layer.rules(cap, None, now), cap)
    )
    return _Pattern(tuple(personal), tuple(common), tuple(caps))


def _shared_limits(
    bound: Subject, layer: Layer, selectors: Iterable[Selector | None], now: datetime
) -> Iterator[Limit]:
    for selector in selectors:
        whom = bound if selector is None else subject.scoped(bound, selector)
        yield from _limits(whom, layer.rules(None, selector, now))


def _selected(layer: Iterable[Entry], selector: Selector | None, now: datetime) -> list[Entry]:
    """Return the entries of *layer*, or those inside them for what *selector* selects."""
    if selector is None:
        return list(layer)
    return [each for entry in layer for each in entry.scoped if each.selector == selector and each.in_force(now)]


def _personal(  # noqa: PLR0913, PLR0917 - what decides the limits
    policy: Policy,
    payer: Payer,
    members: list[Entry],
    rule: PersonRule | None,
    parts_of: Callable[[Entry], list[Entry]],
    now: datetime,
) -> list[Entry]:
    """Return the entries that override each other field by field, the strongest first."""
    last: tuple[Entry, ...] = ()
    if payer.owner == UNATTRIBUTED:
        own, default = None, policy.defaults.unattributed
    elif payer.is_service_account:
        own, default = policy.service_accounts.get(payer.owner), policy.defaults.service_account
    else:
        own, default, last = policy.users.get(payer.owner), policy.defaults.user, policy.catalogue_defaults
    of_members = (
        [] if policy.combine is Combine.MOST_RESTRICTIVE else [part for each in members for part in parts_of(each)]
    )
    combined = _combined(of_members, policy.combine, now)
    before = parts_of(rule.entry) if rule else []
    return [*(parts_of(own) if own else ()), *combined, *before, *(parts_of(default) if default else ()), *last]


def _combined(members: list[Entry], combine: Combine, now: datetime) -> Iterator[Entry]:
    """Yield one entry per resource, combined from the groups that limit this resource; other groups do not count."""
    yield from _combined_hards(members, combine)
    for selector in sorted({each.selector for entry in members for each in entry.scoped if each.selector}, key=str):
        scoped = _combined_hards(_selected(members, selector, now), combine)
        yield Entry("", scoped=tuple(replace(each, selector=selector) for each in scoped))
    for cap in _cap_names([members]):
        for name in {name for entry in members for name in entry.caps.get(cap, {})}:
            limiting = [entry for entry in members if name in entry.caps.get(cap, {})]
            yield replace(_joined(limiting), caps={cap: {name: _combined_cap(cap, name, limiting)}})


def _combined_cap(cap: str, name: str, limiting: list[Entry]) -> Hard:
    """
    Return the cap that allows most: the largest even for `sum`, because a second group never allows a larger single
    object, and the smallest minimum.
    """
    hards = [entry.caps[cap][name] for entry in limiting]
    if cap in MINIMUMS.values():
        return min(hard for hard in hards if not isinstance(hard, Unlimited))
    return _combined_amount(hards, Combine.MAX)


def _combined_hards(entries: list[Entry], combine: Combine) -> Iterator[Entry]:
    for name in {name for entry in entries for name in entry.hard}:
        limiting = [entry for entry in entries if name in entry.hard]
        yield replace(
            _joined(limiting), hard={name: _combined_amount([entry.hard[name] for entry in limiting], combine)}
        )


def _joined(entries: list[Entry]) -> Entry:
    """Return an entry without amounts that names all *entries*, as strict as the strictest, until the first ends."""
    mode = min((entry.mode for entry in entries), key=list(Mode).index)
    workloads = min((entry.workloads for entry in entries), key=list(OnWorkload).index)
    places = ", ".join(entry.place for entry in entries if entry.place)
    hint = next((entry.hint for entry in entries if entry.hint), "")
    until = min((entry.until for entry in entries if entry.until is not None), default=None)
    path = "+".join(entry.path for entry in entries)
    return Entry(path, places, mode=mode, workloads=workloads, until=until, hint=hint)


def _combined_amount(hards: list[Hard], combine: Combine) -> Hard:
    amounts = [hard for hard in hards if not isinstance(hard, Unlimited)]
    if len(amounts) < len(hards):
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


def _cap_names(layers: Iterable[list[Entry]]) -> list[str]:
    return sorted({cap for layer in layers for entry in layer for cap in entry.caps})


def _strongest_rules(strongest_first: list[Entry], cap: str | None) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for entry in strongest_first:
        hards = entry.hard if cap is None else entry.caps.get(cap, {})
        for name, hard in hards.items():
            rules.setdefault(name, Rule(hard, entry, entry.path if cap is None else f"{entry.path}.{cap}"))
    return rules


def _limits(bound: Subject, rules: Mapping[str, Rule], cap: str | None = None) -> Iterator[Limit]:
    for name, rule in sorted(rules.items(), key=itemgetter(0)):
        if not isinstance(rule.hard, Unlimited) and (rule.hard or cap not in MINIMUMS.values()):
            entry = rule.entry
            yield Limit(bound, name, rule.hard, rule.path, entry.place, entry.mode, cap, entry.workloads, entry.hint)
