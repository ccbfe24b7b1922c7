"""
The policy of the admins as frozen values. `documents.policy_text` parses its text.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime

from webhook.quota.catalogue import Catalogue
from webhook.quota.commitments import NO_COMMITMENTS, NO_TERMS, ClassTerms, Commitments, InForce, charged_pools
from webhook.quota.delegation import Delegate, Mark
from webhook.quota.devices import SHIPPED, DeviceWeights
from webhook.quota.exemption import NO_EXEMPTIONS, ExemptBy, Exemptions
from webhook.quota.expected import WORKLOAD
from webhook.quota.guarantees import NO_GUARANTEES, Guarantee, Guarantees
from webhook.quota.membership import GroupObjects, GroupsByMember, Membership, groups_by_member
from webhook.quota.missing import DECLARABLE, Categories, Missing, OnMissing
from webhook.quota.node_classes import NO_CLASSES, NodeClasses
from webhook.quota.presets import Labels, Preset
from webhook.quota.quantity import Quantity
from webhook.quota.resources import LOGICAL, UNPARAMETERISED, Amount, Amounts
from webhook.quota.scopes import PRIORITY_CLASS, Scopes, Selector
from webhook.quota.shapes import Shape
from webhook.quota.subject import (
    CLUSTER,
    NOBODY,
    Account,
    Payer,
    Subject,
    group,
    namespace,
    scoped,
    service_accounts_with,
    tenant,
    user,
)
from webhook.quota.windows import Window

CAPS = ("perPod", "perClaim", "perSession")
"""The caps on one object that a policy may set. Each kind names the cap that binds its objects."""

MINIMUMS = {"perPod": "minPerPod", "perSession": "minPerSession"}
"""The least that one object has to ask for, by the cap that binds the same objects. 0 lifts one."""


class Unlimited(enum.Enum):
    """The word `unlimited`: a separate type, so that no number can be mistaken for it."""

    UNLIMITED = "unlimited"


Hard = Amount | Unlimited
"""The most that may be used, in billionths of the unit. 0 forbids the resource; `unlimited` lifts inherited limits."""


class Mode(enum.Enum):
    """The effect of an exceeded entry: deny the request, warn the user, or only record it for the admin."""

    ENFORCE = "enforce"
    WARN = "warn"
    AUDIT = "audit"


class OnWorkload(enum.Enum):
    """What happens with a workload whose pods do not all fit under a limit: it is refused, or whoever asked is told."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


class Terminating(enum.Enum):
    """The cost of a pod past its deletion grace period: none (as in ResourceQuota), or in full until it is gone."""

    RELEASE = "release"
    HOLD = "hold"


class Reserve(enum.Enum):
    """What is set aside before it is used: what may come by itself."""

    AUTOSCALERS = "autoscalers"
    SESSIONS = "sessions"


class AccountLimits(enum.Enum):
    """
    What `defaults.serviceAccount` binds: all service accounts of a namespace together, or each account.

    Who may edit a namespace makes accounts at will, and each would have an allowance of its own.
    """

    PER_NAMESPACE = "perNamespace"
    PER_ACCOUNT = "perAccount"


class WorkloadPayer(enum.Enum):
    """Who pays for the pods that a workload makes: who made it, or the person who has last changed what it makes."""

    MAKER = "maker"
    LAST_EDITOR = "lastEditor"


class SessionCount(enum.Enum):
    """Which sessions have a place in `sessions`: all that are there, or those that run."""

    ALL = "all"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class WarnAt:
    """How full a limit has to be for people to be warned when they create something: in percent; None: never."""

    percent: int | None = None


class Combine(enum.Enum):
    """How the `perMember` caps of several groups are combined."""

    MOST_RESTRICTIVE = "most-restrictive"
    MAX = "max"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One part of the policy that sets limits.

    `path` is its name in messages (`users.alice`), `place` its source and line (`policy.yaml:7`).
    `hard` binds the sum of what a subject uses; `caps` bind each object by itself, keyed by the cap's name (`perPod`),
    and so do minimums (`minPerPod`) among them.
    `workloads` says what happens with a workload whose pods would exceed it. The entry is in force before `until`.
    `hint` is what the admins say to whoever exceeds it.
    `guaranteed` are parts of the sum that are set aside for somebody inside.
    `scoped` are entries of their own for the objects that a `selector` selects. `tier` names the amounts that it has
    besides, for what it does not limit itself. `windows` are entries whose amounts hold instead while
    their `window` does, the first that holds.
    """

    path: str
    place: str = ""
    hard: Mapping[str, Hard] = field(default_factory=dict)
    caps: Mapping[str, Mapping[str, Hard]] = field(default_factory=dict)
    mode: Mode = Mode.ENFORCE
    workloads: OnWorkload = OnWorkload.WARN
    until: datetime | None = None
    hint: str = ""
    selector: Selector | None = None
    scoped: tuple[Entry, ...] = ()
    tier: str = ""
    window: Window | None = None
    windows: tuple[Entry, ...] = ()
    guaranteed: tuple[Guarantee, ...] = ()

    def in_force(self, now: datetime) -> bool:
        """Whether the entry is in force at *now*; at exactly `until` it no longer is."""
        return self.until is None or now < self.until

    def amounts(self) -> Iterator[tuple[str, str, Hard]]:
        """Yield the cap, empty for a sum, the resource and the amount of all that it limits itself."""
        yield from (("", name, hard) for name, hard in self.hard.items())
        yield from ((cap, name, hard) for cap, hards in self.caps.items() for name, hard in hards.items())

    def added_by(self, tier: Entry, now: datetime | None) -> Entry:
        """
        Return the amounts of *tier* that this entry does not have at *now*, with its mode and all else that it says.

        With None for *now* no entry inside it has ended.
        """
        own = {each.selector: each.hard for each in self.scoped if now is None or each.in_force(now)}
        scoped = (
            replace(
                each,
                path=f"{self.path} ({each.path})",
                hard=_beside(each.hard, own.get(each.selector, {})),
                hint=each.hint or self.hint,
            )
            for each in tier.scoped
        )
        return replace(
            self,
            path=f"{self.path} ({tier.path})",
            place=tier.place,
            hard=_beside(tier.hard, self.hard),
            caps={cap: _beside(hards, self.caps.get(cap, {})) for cap, hards in tier.caps.items()},
            scoped=tuple(scoped),
            tier="",
            windows=(),
        )

    def window_at(self, now: datetime) -> Entry | None:
        """Return the first entry in `windows` whose window holds at *now*."""
        return next((each for each in self.windows if each.window is not None and each.window.holds(now)), None)


def _beside(hards: Mapping[str, Hard], stronger: Mapping[str, Hard]) -> dict[str, Hard]:
    """Return those of *hards* that are on something else than the *stronger* ones."""
    return {name: hard for name, hard in hards.items() if name not in stronger}


@dataclass(frozen=True, slots=True)
class Group:
    """
    A group: a cap for each member, a shared pool, and members in addition to those the API server reports.

    With `membership` LIVE what the API server reports, and so what a stamp says, puts nobody into the group.
    """

    per_member: Entry | None = None
    pool: Entry | None = None
    members: frozenset[str] = frozenset()
    membership: Membership = Membership.CREATION


@dataclass(frozen=True, slots=True)
class PersonRule:
    """People by their names or groups, and the entry that stands before the default for those without one of theirs."""

    entry: Entry
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def holds(self, payer: Payer, groups: Collection[str]) -> bool:
        """Whether *payer*, who is in *groups*, is one of them."""
        return payer.owner in self.users or not self.groups.isdisjoint(groups)


@dataclass(frozen=True, slots=True)
class Tenant:
    """
    A set of namespaces selected by labels, with limits on their sum and on each namespace.

    `project` is the id by which a quota broker knows it, empty if none does.
    """

    match_labels: tuple[tuple[str, str], ...]
    entry: Entry
    per_namespace: Entry | None = None
    project: str = ""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with these *labels* belongs to the tenant."""
        return all(labels.get(key) == value for key, value in self.match_labels)


@dataclass(frozen=True, slots=True)
class Defaults:
    """The entries that bind owners without an own entry."""

    user: Entry | None = None
    service_account: Entry | None = None
    unattributed: Entry | None = None


_NO_LABEL = ("", "")
"""Index key of tenants that require no label. Not a valid label, so it matches nothing else."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The whole policy, merged from all documents.

    `service_accounts` are keyed by full username. `trusted_controllers` are usernames that create objects on behalf of
    the owner of a parent object, in addition to the controllers of kube-controller-manager; `restorers` create objects
    with the stamps that these had before; `delegates`, by username, say themselves for whom they act, and
    `namespace_owners` are where a namespace says who pays for what its service accounts create; `workload_payer` is who
    pays for what a workload makes. `devices` says what
    counts as a `gpu` or an `accelerator`. `missing` says what happens with a pod that does not declare a resource, by
    ResourceQuota's name of the resource. `presets` say which objects are sessions, and `categories` what their pods
    get, before that. `group_objects` are objects of the cluster that list members as well. `tiers` are amounts with a
    name, which entries refer to. The first of the `rules` that holds for a person stands before the default.
    `node_classes` are those of the nodes where pods run. By class, `class_entries` say what happens where its capacity
    does not suffice beside what was promised by `commitments`, and `class_terms` how much of it may be used and
    promised.
    `catalogue` is what is said of resources themselves, and `catalogue_defaults` what people have behind the default.
    `reserve` are those for which room is set aside up to the size that they may grow to. `tags` are the keys of labels
    that allocations show.
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
    account_limits: AccountLimits = AccountLimits.PER_NAMESPACE
    trusted_controllers: frozenset[str] = frozenset()
    devices: DeviceWeights = SHIPPED
    missing: Mapping[str, OnMissing] = field(default_factory=dict)
    exemptions: Exemptions = NO_EXEMPTIONS
    restorers: frozenset[str] = frozenset()
    delegates: Mapping[str, Delegate] = field(default_factory=dict)
    namespace_owners: tuple[Mark, ...] = ()
    workload_payer: WorkloadPayer = WorkloadPayer.MAKER
    presets: tuple[Preset, ...] = ()
    session_count: SessionCount = SessionCount.ALL
    categories: Categories = field(default_factory=dict)
    group_objects: GroupObjects | None = None
    warn_at: WarnAt = WarnAt()
    tiers: Mapping[str, Entry] = field(default_factory=dict)
    rules: tuple[PersonRule, ...] = ()
    node_classes: NodeClasses = NO_CLASSES
    class_entries: Mapping[str, Entry] = field(default_factory=dict)
    class_terms: Mapping[str, ClassTerms] = field(default_factory=dict)
    commitments: Commitments = NO_COMMITMENTS
    catalogue: Catalogue = field(default_factory=dict)
    catalogue_defaults: tuple[Entry, ...] = ()
    reserve: frozenset[Reserve] = frozenset()
    tags: tuple[str, ...] = ()
    limits_cache: dict[object, object] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Results that `limits` computes once per policy; all are derived from the policy alone."""
    _limited: frozenset[str] = field(init=False, repr=False, compare=False)
    _selectors: tuple[Selector, ...] = field(init=False, repr=False, compare=False)
    _groups_by_member: GroupsByMember = field(init=False, repr=False, compare=False)
    _groups_in_objects: GroupsByMember = field(init=False, repr=False, compare=False, default_factory=dict)
    _tenants_by_label: Mapping[tuple[str, str], tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _end_times: tuple[datetime, ...] = field(init=False, repr=False, compare=False)
    _windows: tuple[Window, ...] = field(init=False, repr=False, compare=False)
    _may_require: bool = field(init=False, repr=False, compare=False, default=False)
    guarantees: Guarantees = field(init=False, repr=False, compare=False, default=NO_GUARANTEES)
    _enforces: bool = field(init=False, repr=False, compare=False, default=False)
    shapes: Mapping[str, Shape] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The shapes of pods by class of nodes."""
    _judges_specs: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        """Build the reverse indexes, so that a request does not walk through every group and tenant of the policy."""
        listed = groups_by_member({name: each.members for name, each in self.groups.items()})
        object.__setattr__(self, "_groups_by_member", listed)
        tenants_by_label: dict[tuple[str, str], tuple[str, ...]] = {}
        for name, selected in self.tenants.items():
            first = selected.match_labels[0] if selected.match_labels else _NO_LABEL
            tenants_by_label[first] = (*tenants_by_label.get(first, ()), name)
        object.__setattr__(self, "_tenants_by_label", tenants_by_label)
        entries = tuple(self.entries())
        object.__setattr__(self, "_end_times", tuple(sorted({each.until for each in entries if each.until})))
        windows = dict.fromkeys(each.window for each in entries if each.window is not None)
        object.__setattr__(self, "_windows", tuple(windows))
        hards = [hard for each in entries for hard in (each.hard, *each.caps.values())]
        limited = frozenset(name for hard in hards for name in hard) | self.commitments.resources
        object.__setattr__(self, "_limited", limited)
        object.__setattr__(self, "_enforces", any(self.refuses(each) for each in self.whole_entries()))
        minimums = any(name in each.caps for each in entries for name in MINIMUMS.values())
        shapes = {name: each.shape for name, each in self.class_terms.items() if each.shape is not None}
        object.__setattr__(self, "shapes", shapes)
        object.__setattr__(self, "_judges_specs", minimums or bool(shapes))
        forbids = any(hard.get(name) == 0 for hard in hards for name in DECLARABLE)
        object.__setattr__(self, "_may_require", forbids or Missing.REQUIRE in self.missing.values())
        object.__setattr__(self, "guarantees", Guarantees(dict(self._envelopes())))
        selectors = {each.selector for each in entries if each.selector}
        object.__setattr__(self, "_selectors", tuple(sorted(selectors, key=str)))
        on_demand = {each.node_class for each in self._selectors if each.on_demand}
        object.__setattr__(self, "commitments", self.commitments.with_limits_on_demand(on_demand))

    def groups_of(self, payer: Payer) -> tuple[str, ...]:
        """
        Return the groups of *payer* with an entry: those whose member lists name it, and those in its snapshot that do
        not follow the lists alone.
        """
        entries, owner = self.groups, payer.owner
        names = {name for name in payer.groups if name in entries and entries[name].membership is Membership.CREATION}
        names |= self._groups_by_member.get(owner, frozenset())
        names.update(name for name in self._groups_in_objects.get(owner, ()) if name in entries)
        return tuple(sorted(names))

    def rule_of(self, payer: Payer, groups: Collection[str], now: datetime) -> PersonRule | None:
        """Return the first rule that holds for a person who is in *groups*, of those that have not ended at *now*."""
        if not self.rules or payer == NOBODY or payer.is_service_account:
            return None
        return next((each for each in self.rules if each.holds(payer, groups) and each.entry.in_force(now)), None)

    def holder_of(self, payer: Payer) -> Subject:
        """
        Return the subject that the personal limits of *payer* bind.

        All service accounts of a namespace that the policy does not name are one, unless it says `perAccount`.
        """
        is_shared = self.account_limits is AccountLimits.PER_NAMESPACE and payer.owner not in self.service_accounts
        return service_accounts_with(payer.owner) if is_shared and payer.is_service_account else user(payer.owner)

    @property
    def worth(self) -> Mapping[str, Mapping[str, int]]:
        """What one of each resource is worth, by class of nodes."""
        return {name: each.worth for name, each in self.class_terms.items()}

    def terms_of(self, node_class: str) -> ClassTerms:
        """Return what is agreed on the resources of a class."""
        return self.class_terms.get(node_class, NO_TERMS)

    def promised(self, now: datetime) -> InForce:
        """Return what is promised and guaranteed at *now*; the same object until something begins or ends."""
        return self.guarantees.beside(self.commitments.in_force(now))

    def _envelopes(self) -> Iterator[tuple[Subject, tuple[Guarantee, ...]]]:
        """Yield the subjects of whose limits parts may be set aside, with these parts."""
        yield from ((group(name), each.pool.guaranteed) for name, each in self.groups.items() if each.pool is not None)
        yield from ((tenant(name), each.entry.guaranteed) for name, each in self.tenants.items())
        yield from ((namespace(name), each.guaranteed) for name, each in self.namespaces.items())
        if self.cluster is not None:
            yield CLUSTER, self.cluster.guaranteed

    def class_entry(self, node_class: str) -> Entry:
        """Return what happens where the capacity of a class does not suffice beside what was promised."""
        return self.class_entries.get(node_class) or Entry(f"nodeClasses.{node_class}")

    def holders_of(self, payer: Payer, namespace_name: str, labels: Mapping[str, str]) -> tuple[Subject, ...]:
        """Return whose commitments may cover an object of *payer* in that namespace, the nearest first."""
        groups, tenants = map(group, self.groups_of(payer)), map(tenant, self.tenants_of(labels))
        return (self.holder_of(payer), namespace(namespace_name), *groups, *tenants)

    def sessions_of(self, labels: Mapping[str, str]) -> tuple[Labels, ...]:
        """
        Return those of the *labels* of a pod by which presets know the pods of a session, once for each preset, and by
        which it is known as one of an autoscaled workload.
        """
        if not (self.presets or self.reserve):
            return ()
        known = [label.on_pod(labels) for preset in self.presets for label in preset.pods]
        if Reserve.AUTOSCALERS in self.reserve and WORKLOAD in labels:
            known.append(((WORKLOAD, labels[WORKLOAD]),))
        return tuple(dict.fromkeys(filter(None, known)))

    def counting_time(self, now: datetime) -> datetime | None:
        """Return the time at which usage is counted: *now*, or None if every object counts until it is gone."""
        return now if self.terminating is Terminating.RELEASE else None

    def named(self, payer: Payer) -> Payer:
        """Return *payer* with only those groups that this policy names: no other group can bind or exempt anything."""
        groups = tuple(name for name in payer.groups if name in self.groups or name in self.exemptions.groups)
        return payer if len(groups) == len(payer.groups) else Payer(payer.owner, groups)

    def tenants_of(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the tenants that a namespace with these *labels* belongs to."""
        candidates = [name for label in (*labels.items(), _NO_LABEL) for name in self._tenants_by_label.get(label, ())]
        return tuple(sorted(name for name in candidates if self.tenants[name].holds(labels)))

    @property
    def counted(self) -> frozenset[str]:
        """The resources whose number of objects this policy limits: `deployments.apps` for `count/deployments.apps`."""
        return frozenset(name.removeprefix("count/") for name in self._limited if name.startswith("count/"))

    @property
    def enforces(self) -> bool:
        """Whether any entry refuses what exceeds it. While none does, the policy is on trial, and refuses nothing."""
        return self._enforces

    @property
    def changes_with_time(self) -> bool:
        """Whether any entry or exemption ends at a time of its own, or has windows."""
        return bool(self._end_times or self._windows) or any(each.until is not None for each in self.exemptions.rows)

    @property
    def judges_specs(self) -> bool:
        """Whether it matters what an object asks for, whatever is held for it: to a minimum, or a shape of pods."""
        return self._judges_specs

    @property
    def selects_priority_classes(self) -> bool:
        """Whether the PriorityClass of a pod matters: to the selector of any entry, or to an exemption."""
        chosen = (each.scope for selector in self._selectors for each in selector.requirements)
        return PRIORITY_CLASS in chosen or any(each.by is ExemptBy.PRIORITY_CLASS for each in self.exemptions.rows)

    @property
    def may_require(self) -> bool:
        """Whether any pod may have to declare a resource: because of `missing`, or because a limit of 0 forbids it."""
        return self._may_require

    def limits_any(self, counts: Callable[[str], bool]) -> bool:
        """Whether any entry limits what *counts* is true for, under either name of the devices of a class."""
        second_names = self.devices.second_names
        return any(counts(name) or counts(second_names.get(name, "")) for name in self._limited)

    def limiting(self, resource: str) -> Iterator[Entry]:
        """Yield the entries that limit *resource*, by its canonical name."""
        yield from (each for each in self.entries() if resource in each.hard)

    def held(self, amounts: Amounts) -> Amounts:
        """
        Return what a reservation has to hold of the raw *amounts* of an object.

        People may write thousands of names of devices and classes into one object. Of these only those are held that a
        limit of this policy depends on: the ledger would be full of the others.
        """
        if UNPARAMETERISED.issuperset([name for name, _ in amounts]):
            return amounts
        weighed = {part.name for part in self.devices.parts(amounts)} if self._limited & LOGICAL else ()
        second_names = self.devices.second_names
        return tuple(
            (name, amount)
            for name, amount in amounts
            if name in UNPARAMETERISED
            or name in self._limited
            or name in weighed
            or second_names.get(name) in self._limited
        )

    def with_second_names(self, names: Mapping[str, str]) -> Policy:
        """Return this policy where the DeviceClasses set *names*; it shares what is computed once."""
        named = copy(self)
        object.__setattr__(named, "devices", self.devices.with_second_names(names))
        return named

    def with_group_objects(self, groups: GroupsByMember) -> Policy:
        """Return this policy with the members of *groups* that objects of the cluster list, if it asks for those."""
        if self.group_objects is None:
            return self
        reported = copy(self)
        object.__setattr__(reported, "_groups_in_objects", groups)
        return reported

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Return everything by which an entry selects objects."""
        return self._selectors

    def selecting(self, scopes: Scopes) -> tuple[Selector, ...]:
        """Return the selectors of this policy that select an object in *scopes*."""
        return tuple(each for each in self._selectors if each.selects(scopes)) if self._selectors else ()

    @property
    def missing_defaults(self) -> Mapping[str, Quantity]:
        """What is filled in for containers that do not declare it, by ResourceQuota's name of the resource."""
        return {name: rule for name, rule in self.missing.items() if not isinstance(rule, Missing)}

    @property
    def most_defaults(self) -> Mapping[str, Quantity]:
        """All that may be filled in, for whatever category: whether anything is, and not how much."""
        return {
            name: amount for each in (*self.categories.values(), self.missing_defaults) for name, amount in each.items()
        }

    @property
    def fills(self) -> bool:
        """Whether anything is filled into new pods."""
        return bool(self.most_defaults)

    def phase(self, now: datetime) -> object:
        """Return a key that changes only when an entry reaches its `until`, or a window begins or ends."""
        ended = bisect_right(self._end_times, now) if self._end_times else 0
        return (ended, tuple(each.holds(now) for each in self._windows)) if self._windows else ended

    def entries(self) -> Iterator[Entry]:
        """Yield all entries as they are written, each with those inside it, and the tiers that any of them has."""
        used = set()
        for entry in self.whole_entries():
            used.add(entry.tier)
            yield from (entry, *entry.scoped, *entry.windows)
        for name in sorted(used & self.tiers.keys()):
            yield from (self.tiers[name], *self.tiers[name].scoped)

    def parts_of(self, entry: Entry, now: datetime | None, *, in_windows: bool = True) -> tuple[Entry, ...]:
        """
        Return what sets the limits of *entry* at *now*, the strongest first; no two of them limit the same.

        That is a window that holds, the entry, and what its tier adds. With None for *now* no entry inside it has
        ended, and no window holds, as without *in_windows*.
        """
        parts = (entry, entry.added_by(self.tiers[entry.tier], now)) if entry.tier else (entry,)
        window = entry.window_at(now) if in_windows and now is not None and entry.windows else None
        if window is None:
            return parts
        return (window, *(replace(each, hard=_beside(each.hard, window.hard)) for each in parts))

    def refuses(self, entry: Entry) -> bool:
        """Whether any limit of *entry* refuses what exceeds it."""
        limiting = (each for part in self.parts_of(entry, None) for each in (part, *part.scoped, *part.windows))
        return any(each.mode is Mode.ENFORCE and (each.hard or each.caps) for each in limiting)

    def whole_entries(self) -> Iterator[Entry]:
        """Yield all entries that bind somebody or something, without those inside them."""
        defaults = (self.defaults.user, self.defaults.service_account, self.defaults.unattributed)
        groups = [entry for each in self.groups.values() for entry in (each.per_member, each.pool)]
        tenants = [entry for each in self.tenants.values() for entry in (each.entry, each.per_namespace)]
        rules = [each.entry for each in self.rules]
        named = (*rules, *self.users.values(), *self.service_accounts.values(), *self.namespaces.values())
        for entry in (*defaults, *self.catalogue_defaults, *groups, *tenants, *named, self.cluster):
            if entry is not None:
                yield entry


def subjects(policy: Policy, account: Account, namespace_name: str, labels: Mapping[str, str]) -> tuple[Subject, ...]:
    """
    Return every subject that is charged for an object of *account* in that namespace.

    A group is charged if it has a pool. The namespace and the cluster are always charged, so that a limit added later
    sees what is already used. Each is charged once more for each selector of the policy that selects the object. Pools
    of nodes are charged if anything was promised there, and who has a guarantee, for what it has in the envelope. What
    is covered is not charged on demand; of a holder the usage index counts there what it uses beyond.
    """
    payer = account.payer
    pools = [group(name) for name in policy.groups_of(payer) if policy.groups[name].pool is not None]
    tenants = [tenant(name) for name in policy.tenants_of(labels)]
    charged = (policy.holder_of(payer), *pools, *tenants, namespace(namespace_name), CLUSTER)
    selecting = policy.selecting(account.scopes)
    if not (policy.commitments or policy.guarantees):
        return (*charged, *(scoped(each, selector) for selector in selecting for each in charged))
    holders = policy.holders_of(account.payer, namespace_name, labels)
    if policy.commitments.limited_on_demand:
        places = policy.commitments.places_of(account.scopes, holders)
        covered = {each.node_class for each in places if each.holder is not None}
        selecting = tuple(each for each in selecting if not (each.on_demand and each.node_class in covered))
    every = (*charged, *(scoped(each, selector) for selector in selecting for each in charged))
    pools_of_nodes = charged_pools(policy.commitments, account.scopes, holders)
    return tuple(dict.fromkeys((*every, *policy.guarantees.charged(charged, holders), *pools_of_nodes)))


def accounts_under(
    policy: Policy, labels_of: Callable[[str], Mapping[str, str]]
) -> Callable[[Account, str], tuple[Subject, ...]]:
    """Return a function from account and namespace to the charged subjects, using the namespace's current labels."""

    def accounts_of(account: Account, namespace: str) -> tuple[Subject, ...]:
        return subjects(policy, account, namespace, labels_of(namespace))

    return accounts_of
