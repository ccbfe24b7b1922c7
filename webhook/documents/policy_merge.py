"""
Makes one policy of several documents, and reports what is wrong between them: a key that two of them define, an entry
that nothing defines, and parts that contradict each other.

In one document a key that is there twice is a mistake of its text. How a document is read is in `policy_text`, what its
parts mean in `policy_entries`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, assert_never

from webhook.documents.catalogue_notes import entry_notes, limit_notes
from webhook.documents.class_units import UnitUse, uneven
from webhook.documents.device_notes import misspelt, weighed_names
from webhook.documents.exempt_notes import effect_notes, exempt_notes
from webhook.documents.group_notes import group_notes
from webhook.documents.guarantee_notes import guarantee_notes
from webhook.documents.limit_notes import DeviceLimit, Ending
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.model_mistakes import suggestion
from webhook.documents.policy_entries import (
    BrokerQuotas,
    Catalogued,
    Choice,
    Definition,
    DocumentEntries,
    ListedClasses,
    NamespaceOwners,
    PersonRules,
    Promised,
    username,
)
from webhook.documents.policy_tiers import TIERS, TierUse, unused_tiers
from webhook.documents.preset_notes import category_notes, time_notes
from webhook.quota.commitments import FINAL, NO_COMMITMENTS, NO_TERMS, ClassTerms, Commitment, Commitments, add_amounts
from webhook.quota.delegation import Delegate, Mark
from webhook.quota.devices import SHIPPED, DeviceWeights, Weight
from webhook.quota.exemption import Exemption, Exemptions
from webhook.quota.membership import GroupObjects
from webhook.quota.missing import NAMES, Category, Missing, OnMissing
from webhook.quota.node_classes import NO_CLASSES
from webhook.quota.policy import (
    AccountLimits,
    Combine,
    Defaults,
    Entry,
    Group,
    PersonRule,
    Policy,
    Reserve,
    SessionCount,
    Tenant,
    Terminating,
    Unlimited,
    WarnAt,
    WorkloadPayer,
)
from webhook.quota.presets import Preset
from webhook.quota.quantity import Quantity
from webhook.quota.resources import Amount, show

_GENERATED = re.compile(r"(?P<base>.+)-[2456789bcdfghkmt]{10}", re.ASCII)
"""A name with the hash that kustomize adds to a generated ConfigMap: ten characters of which none look alike."""

_CATEGORIES = ("sessions", "categories")

_FREE_NAMES = frozenset({"users", "groups", "tenants", "namespaces", TIERS, "commitments"})
"""The sections whose keys may have capital letters, and are names that the policy, or whoever makes one, chooses."""

_PER_STEP = 500
"""Definitions between two steps: together they take about a millisecond."""


class _Place(NamedTuple):
    """A text, and where in it something is defined."""

    source: str
    position: Position

    def __str__(self) -> str:
        return f"{self.source}:{self.position.line}"


class Merger:
    """
    One policy in the making, and what is wrong with it or has no effect.

    What can be judged only after the last document is kept with a blank: a `Mistake` that has its place, and no message
    yet.
    """

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self.notes: list[Mistake] = []
        self.endings: list[Ending] = []
        self.devices: list[DeviceLimit] = []
        self._defined: dict[tuple[str, ...], _Place] = {}
        self._spellings: dict[tuple[str, str], str] = {}
        self._entries: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        self._groups: dict[str, Group] = {}
        self._tenants: dict[str, Tenant] = {}
        self._combine: Combine | None = None
        self._terminating = Terminating.RELEASE
        self._account_limits = AccountLimits.PER_NAMESPACE
        self._trusted: set[str] = set()
        self._restorers: set[str] = set()
        self._exemptions: list[tuple[Exemption, Mistake]] = []
        self._delegates: dict[str, Delegate] = {}
        self._namespace_owners: tuple[Mark, ...] = ()
        self._group_objects: GroupObjects | None = None
        self._workload_payer = WorkloadPayer.MAKER
        self._weights: dict[str, Weight] = {}
        self._catalogue: dict[str, Catalogued] = {}
        self._limited: dict[str, Mistake] = {}
        self._missing: dict[str, OnMissing] = {}
        self._presets: list[Preset] = []
        self._session_count = SessionCount.ALL
        self._reserve: frozenset[Reserve] = frozenset()
        self._tags: tuple[str, ...] = ()
        self._categories: dict[str, Mapping[str, Quantity]] = {}
        self._warn_at = WarnAt()
        self._session_notes: list[Mistake] = []
        self._time_caps: dict[str, Mistake] = {}
        self._group_cap_notes: list[Mistake] = []
        self._tier_uses: list[TierUse] = []
        self._rules: tuple[PersonRule, ...] = ()
        self._rule_groups: list[tuple[str, Mistake]] = []
        self._node_classes = NO_CLASSES
        self._class_entries: Mapping[str, Entry] = {}
        self._class_terms: Mapping[str, ClassTerms] = {}
        self._broker_quotas: dict[str, tuple[Entry, ...]] = {}
        self._class_uses: list[tuple[str, Mistake]] = []
        self._commitments: list[Commitment] = []
        self._holders: list[tuple[str, str, Mistake]] = []
        self._promised: list[Promised] = []
        self._unit_uses: list[UnitUse] = []
        self._offers: list[tuple[Commitment, Mistake]] = []
        self._projects: list[tuple[str, Mistake]] = []
        self._is_partly_read = False
        self._notes_on_policy: list[Mistake] = []

    def add(self, document: DocumentEntries) -> Iterator[None]:
        """Add what *document* defines, and yield now and then, so that the caller can pause."""
        self.mistakes += document.mistakes
        self.notes += document.notes
        self._session_notes += document.of_sessions
        self._time_caps = dict(document.of_times[::-1]) | self._time_caps
        self._group_cap_notes += document.of_caps
        self.endings += document.endings
        self.devices += document.devices
        self._limited = document.limited | self._limited
        self._tier_uses += document.tier_uses
        self._rule_groups += document.rule_groups
        self._class_uses += document.class_uses
        self._holders += document.holders
        self._promised += document.promised
        self._unit_uses += document.unit_uses
        self._offers += document.offers
        self._projects += document.projects
        self._is_partly_read = self._is_partly_read or document.is_partly_read
        self._trusted |= document.trusted_controllers
        self._restorers |= document.restorers
        self._exemptions += document.exemptions
        for count, definition in enumerate(document.definitions, start=1):
            if definition.key in self._defined:
                path, message = field_path(definition.steps), self._defined_twice(definition, document.source)
                self.mistakes.append(Mistake(document.source, definition.position, path, message))
            else:
                self._note_spelling(definition, document.source)
                self._defined[definition.key] = _Place(document.source, definition.position)
                self._keep(definition)
            if count % _PER_STEP == 0:
                yield

    def finish(self) -> Iterator[None]:
        """
        Check, after the last document, what refers to others. All but the uses of tiers is one step, of which only
        commitments may be many.
        """
        tiers = self._entries[TIERS]
        known = sorted(self._groups)
        for name, blank in () if self._is_partly_read else self._rule_groups:
            if name not in self._groups:
                message = f"{name} has no entry under groups" + (suggestion(name, known) if known else "")
                self.mistakes.append(replace(blank, message=message))
        if not self._is_partly_read:
            self._check_classes()
            self._fill_units()
            self._check_commitments()
            self._check_broker_quotas()
            self._check_guarantees()
        self._check_projects()
        for count, use in enumerate(self._tier_uses, start=1):
            self.mistakes += use.mistakes(tiers, are_all_known=not self._is_partly_read)
            if count % _PER_STEP == 0:
                yield

    def _check_classes(self) -> None:
        known = self._node_classes.names
        for name, blank in self._class_uses:
            if not known:
                self.mistakes.append(replace(blank, message="the policy defines no nodeClasses"))
            elif name and name not in known:
                self.mistakes.append(replace(blank, message=f"{name} is not in nodeClasses" + suggestion(name, known)))

    def _fill_units(self) -> None:
        """Put what units come to in their place, and note commitments that are no whole number of units."""
        for use in self._unit_uses:
            terms = self._class_terms.get(use.node_class)
            if terms is None:
                continue  # the class is not there, which is a mistake of its own
            if not terms.unit:
                message = f"{use.node_class} has no unit: nodeClasses.{use.node_class}.unit says what one is"
                self.mistakes.append(replace(use.place, message=message))
            use.fill(terms.unit)
        for commitment, _, _, blank in self._promised:
            terms = self._class_terms.get(commitment.pool.node_class, NO_TERMS)
            if commitment.state not in FINAL and (why := uneven(commitment.amounts, terms.unit)):
                self.notes.append(replace(blank, message=why))

    def _check_projects(self) -> None:
        first: dict[str, Mistake] = {}
        for project, blank in self._projects:
            other = first.setdefault(project, blank)
            if other.path != blank.path:  # a tenant that is defined twice is reported as that alone
                where = f"{other.path} at {other.source}:{other.position.line}"
                message = f"{project} is {where}: each tenant needs a project of its own"
                self.mistakes.append(replace(blank, message=message))

    def _check_commitments(self) -> None:
        known: dict[str, Mapping[str, object]] = {"groups": self._groups, "tenants": self._tenants}
        for section, name, blank in self._holders:
            if name not in known[section]:
                names = sorted(known[section])
                message = f"{name} has no entry under {section}" + (suggestion(name, names) if names else "")
                self.mistakes.append(replace(blank, message=message))
        first: dict[str, Commitment] = {}
        for commitment, of_class, of_zone, _ in self._promised:
            if commitment.state in FINAL:
                continue
            node_class = commitment.pool.node_class
            if not self._class_terms.get(node_class, NO_TERMS).takes_commitments:
                entry = self._class_entries[node_class]
                message = f"{node_class} takes no commitments, as {entry.path} at {entry.place} says"
                self.mistakes.append(replace(of_class, message=message))
            other = first.setdefault(node_class, commitment)
            if bool(other.pool.zone) != bool(commitment.pool.zone):
                named = "a zone" if other.pool.zone else "no zone"
                message = f"{other.name} at {other.place} names {named}: of one class either all do or none"
                self.mistakes.append(replace(of_zone, message=message))
        offered: dict[str, Commitment] = {}
        for commitment, blank in self._offers:
            assert commitment.offer is not None  # noqa: S101 - it is among those that are offered
            other = offered.setdefault(commitment.offer.token_digest, commitment)
            if other.name != commitment.name:  # one that is defined twice is reported as that alone
                message = f"{other.name} at {other.place} is offered by the same token: each takes one of its own"
                self.mistakes.append(replace(blank, message=message))

    def all_notes(self) -> list[Mistake]:
        """Return all notes, once `policy` was called also those on the policy that all documents make together."""
        of_caps = self._group_cap_notes if self._combine in (None, Combine.MOST_RESTRICTIVE) else ()
        of_sessions = () if self._presets else self._session_notes
        return [*self.notes, *self._notes_on_policy, *of_sessions, *of_caps]

    def policy(self) -> Policy:
        """Return the policy of all documents, and make the notes on it. Not to be called after a mistake."""
        policy = self._merged()
        self._notes_on_policy = list(self._found_in(policy))
        return policy

    def namespaces(self) -> dict[str, tuple[str, Position]]:
        """Return the text and the place of each entry under `namespaces`."""
        return {name: self._defined["namespaces", name] for name in self._entries["namespaces"]}

    def _found_in(self, policy: Policy) -> Iterator[Mistake]:
        """Yield the notes on the policy that all documents make together."""
        of_groups = ((("groups", name), message) for name, message in group_notes(policy))
        for steps, message in (*of_groups, *exempt_notes(policy), *unused_tiers(policy.tiers, self._tier_uses)):
            yield Mistake(*self._defined[steps], field_path(steps), message)
        for blank, message in (*effect_notes(self._exemptions), *time_notes(policy, self._time_caps)):
            yield replace(blank, message=message)
        categories = next((place for key, place in self._defined.items() if key[:2] == _CATEGORIES), None)
        if categories is not None:
            yield from (Mistake(*categories, field_path(_CATEGORIES), why) for why in category_notes(policy))
        for key, path, message in (*entry_notes(policy, self._limited), *guarantee_notes(policy)):
            yield Mistake(*self._defined[key], path, message)
        yield from limit_notes(policy, self._limited)
        weighed = weighed_names(policy.devices)
        for device in self.devices:
            if meant := misspelt(device.name) or weighed.meant_by(device.name):
                yield device.meant(meant)

    def _merged(self) -> Policy:
        defaults = self._entries["defaults"]
        return Policy(
            defaults=Defaults(
                user=defaults.get("user"),
                service_account=defaults.get("serviceAccount"),
                unattributed=defaults.get("unattributed"),
            ),
            users=self._entries["users"],
            service_accounts={username(name): entry for name, entry in self._entries["serviceAccounts"].items()},
            groups=self._groups,
            tenants=self._tenants_with_quotas(),
            namespaces=self._entries["namespaces"],
            cluster=self._entries["cluster"].get("cluster"),
            combine=self._combine or Combine.MOST_RESTRICTIVE,
            terminating=self._terminating,
            account_limits=self._account_limits,
            trusted_controllers=frozenset(self._trusted),
            restorers=frozenset(self._restorers),
            devices=DeviceWeights.over_shipped(self._weights) if self._weights else SHIPPED,
            missing=self._missing,
            exemptions=Exemptions(each for each, _ in self._exemptions),
            delegates=self._delegates,
            namespace_owners=self._namespace_owners,
            workload_payer=self._workload_payer,
            presets=tuple(self._presets),
            session_count=self._session_count,
            reserve=self._reserve,
            tags=self._tags,
            categories=self._categories,
            warn_at=self._warn_at,
            tiers=self._entries[TIERS],
            rules=self._rules,
            group_objects=self._group_objects,
            node_classes=self._node_classes,
            class_entries=self._class_entries,
            class_terms=self._class_terms,
            commitments=Commitments(self._commitments) if self._commitments else NO_COMMITMENTS,
            catalogue={name: each.about for name, each in self._catalogue.items()},
            catalogue_defaults=tuple(each.default for each in self._catalogue.values() if each.default is not None),
        )

    def _tenants_with_quotas(self) -> dict[str, Tenant]:
        """Return the tenants with what a broker allows them, as entries inside their own."""
        tenants = dict(self._tenants)
        for name, quotas in self._broker_quotas.items():
            tenant = tenants[name]
            tenants[name] = replace(tenant, entry=replace(tenant.entry, scoped=(*tenant.entry.scoped, *quotas)))
        return tenants

    def _check_broker_quotas(self) -> None:
        """Check that no quota of a broker limits what an entry of its tenant does: one would hide the other."""
        for name, quotas in self._broker_quotas.items():
            scoped = self._tenants[name].entry.scoped if name in self._tenants else ()
            for each in quotas:
                for own in scoped:
                    both = own.hard.keys() & each.hard.keys()
                    if own.selector == each.selector and both:
                        message = f"{own.path} at {own.place} limits {', '.join(sorted(both))} of the same already"
                        self.mistakes.append(Mistake(*self._defined["brokerQuotas", name], each.path, message))

    def _check_guarantees(self) -> None:
        """Check that the guaranteed parts of each limit come to no more than its least amount, in any window."""
        of_groups = ((("groups", name), each.pool) for name, each in self._groups.items() if each.pool is not None)
        of_tenants = ((("tenants", name), each.entry) for name, each in self._tenants.items())
        of_namespaces = ((("namespaces", name), each) for name, each in self._entries["namespaces"].items())
        of_cluster = ((("cluster",), each) for each in self._entries["cluster"].values())
        for key, entry in (*of_groups, *of_tenants, *of_namespaces, *of_cluster):
            totals: dict[str, Amount] = {}
            for part in entry.guaranteed:
                add_amounts(totals, part.amounts)
            for name, total in totals.items():
                if why := self._why_not_guaranteed(entry, name, total):
                    self.mistakes.append(Mistake(*self._defined[key], f"{entry.path}.guaranteed", f"{name}: {why}"))

    def _why_not_guaranteed(self, entry: Entry, name: str, total: Amount) -> str:
        tier = self._entries[TIERS].get(entry.tier)
        usual = entry.hard.get(name, None if tier is None else tier.hard.get(name))
        limits = [usual, *(window.hard.get(name, usual) for window in entry.windows)]
        finite = [each for each in limits if each is not None and not isinstance(each, Unlimited)]
        if not finite:
            return f"{entry.path} has no limit on it of which a part could be set aside"
        if total > min(finite):
            return f"the parts come to {show(name, total)}, more than the limit of {show(name, min(finite))}"
        return ""

    def _note_spelling(self, definition: Definition, source: str) -> None:
        """
        Note a key that differs from another one of its section by case only: these are two. A service account and a
        class of nodes have small letters only.
        """
        section, name = definition.steps[0], definition.steps[-1]
        if section not in _FREE_NAMES:
            return
        other = self._spellings.setdefault((section, name.casefold()), name)
        if other != name:
            place = self._defined[section, other]
            message = f"differs from {other} at {place} by small and capital letters only: these are two"
            self.notes.append(Mistake(source, definition.position, field_path(definition.steps), message))

    def _defined_twice(self, definition: Definition, source: str) -> str:
        """Return what is wrong with a *definition*, in the text *source*, of what is defined before."""
        first, value = self._defined[definition.key], definition.value
        if isinstance(value, Weight):
            counts_in = self._weights[definition.steps[-1]].resource
            if counts_in != value.resource:
                return f"already counts in {counts_in}, by {first}: a device counts in one of the two"
        if isinstance(value, Catalogued) and (known := self._catalogue[value.name].about.entry) != value.about.entry:
            return f"the same resource as {known} at {first}: {value.name}"
        return f"already defined at {first}" + _leftover(first.source, source)

    def _keep(self, definition: Definition) -> None:
        section, name, value = definition.steps[0], definition.steps[-1], definition.value
        if isinstance(value, Entry):
            self._entries[section][name] = value
        elif isinstance(value, Group):
            self._groups[name] = value
        elif isinstance(value, Tenant):
            self._tenants[name] = value
        elif isinstance(value, Weight | Catalogued):
            self._keep_resource(name, value)
        elif isinstance(value, Missing | Quantity):
            self._missing[NAMES[name]] = value
        elif isinstance(value, Category):
            self._categories[name.casefold()] = value.amounts
        elif isinstance(value, PersonRules):
            self._rules = value.rules
        elif isinstance(value, ListedClasses | BrokerQuotas | Commitment):
            self._keep_of_nodes(name, value)
        elif isinstance(value, Delegate | NamespaceOwners | Preset):
            self._keep_marks(name, value)
        else:
            self._choose(value)

    def _keep_resource(self, name: str, value: Weight | Catalogued) -> None:
        if isinstance(value, Weight):
            self._weights[name] = value
        else:
            self._catalogue[value.name] = value

    def _choose(self, value: Choice) -> None:
        if isinstance(value, Combine):
            self._combine = value
        elif isinstance(value, SessionCount):
            self._session_count = value
        elif isinstance(value, frozenset):
            self._reserve = value
        elif isinstance(value, tuple):
            self._tags = value
        elif isinstance(value, WarnAt):
            self._warn_at = value
        elif isinstance(value, AccountLimits):
            self._account_limits = value
        elif isinstance(value, GroupObjects):
            self._group_objects = value
        elif isinstance(value, WorkloadPayer):
            self._workload_payer = value
        elif isinstance(value, Terminating):
            self._terminating = value
        else:
            assert_never(value)

    def _keep_of_nodes(self, name: str, value: ListedClasses | BrokerQuotas | Commitment) -> None:
        if isinstance(value, ListedClasses):
            self._node_classes, self._class_entries, self._class_terms = value.classes, value.entries, value.terms
        elif isinstance(value, BrokerQuotas):
            self._broker_quotas[name] = value.entries
        else:
            self._commitments.append(value)

    def _keep_marks(self, name: str, value: Delegate | NamespaceOwners | Preset) -> None:
        """Keep presets, and what says where the names of owners are written."""
        if isinstance(value, Delegate):
            self._delegates[name] = value
        elif isinstance(value, NamespaceOwners):
            self._namespace_owners = value.marks
        else:
            self._presets.append(value)


def _leftover(first: str, second: str) -> str:
    """Return what to do if two ConfigMaps are generations of one that kustomize generates."""
    generations = [_GENERATED.fullmatch(source.partition("/")[0]) for source in (first, second)]
    if not all(generations) or first.partition("/")[0] == second.partition("/")[0]:
        return ""
    if len({each["base"] for each in generations if each is not None}) > 1:
        return ""
    return ": one of the two is left over from before: delete it, or use disableNameSuffixHash"
