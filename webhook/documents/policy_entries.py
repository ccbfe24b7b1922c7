"""
Turns valid parts of a policy document into values of `quota.policy`, each with its line.

The shape of a part is in `policy_schema`; what several documents mean together is in `policy_merge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from webhook.documents import tree
from webhook.documents.catalogue_schema import ResourcePart, ResourcesPart
from webhook.documents.class_units import UnitUse
from webhook.documents.commitment_schema import CommitmentPart
from webhook.documents.device_notes import is_familiar, misspelt
from webhook.documents.limit_notes import DeviceLimit, Ending, WrittenLimit, default_note, limit_note
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.node_class_schema import NodeClassPart
from webhook.documents.policy_schema import (
    AttributionPart,
    EntryPart,
    ExemptPart,
    GroupPart,
    MissingPart,
    PolicyPart,
    PoolPart,
    RulePart,
    ScopedPart,
    SectionPart,
    SessionsPart,
    TenantPart,
    TierPart,
)
from webhook.documents.policy_tiers import TierUse
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.quota import resources, subject
from webhook.quota.catalogue import About, fixed_form, is_in_parts
from webhook.quota.commitments import FINAL, ClassTerms, Commitment, Pool
from webhook.quota.delegation import Delegate, Mark
from webhook.quota.devices import SHIPPED, Weight
from webhook.quota.durations import TIMES
from webhook.quota.exemption import ExemptBy, Exemption
from webhook.quota.guarantees import Guarantee, may_hold
from webhook.quota.membership import GroupObjects
from webhook.quota.missing import NAMES, Category, Missing, OnMissing
from webhook.quota.node_classes import NodeClasses
from webhook.quota.policy import (
    CAPS,
    MINIMUMS,
    AccountLimits,
    Combine,
    Entry,
    Group,
    Hard,
    PersonRule,
    Reserve,
    SessionCount,
    Tenant,
    Terminating,
    Unlimited,
    WarnAt,
    WorkloadPayer,
)
from webhook.quota.presets import Preset
from webhook.quota.quantity import NANOS, Format, Quantity
from webhook.quota.resources import Amount
from webhook.quota.scopes import NODE_CLASS, ZONE, Selector
from webhook.quota.subject import CLUSTER, SERVICE_ACCOUNT_PREFIX, Subject

Steps = tuple[str | int, ...]

_DEFAULTS = ("user", "serviceAccount", "unattributed")
_MOST_NAMED = 3


_NO_PRESET = "nothing is a session without sessions.presets; the limit has no effect"

_LIFTS_NOTHING = (
    "unlimited lifts nothing here: with combine most-restrictive a cap only lowers; combine: max would lift"
)

_CAP_OF = {minimum: cap for cap, minimum in MINIMUMS.items()}

_BINDS_NOBODY = "it binds nobody any more"

_EVERYTHING = Selector(())


@dataclass(frozen=True, slots=True)
class PersonRules:
    """The rules in the order in which they are tried: only one document may give them."""

    rules: tuple[PersonRule, ...]


@dataclass(frozen=True, slots=True)
class NamespaceOwners:
    """The marks of namespaces, in the order in which they are tried: only one document may give them."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class ListedClasses:
    """The classes of nodes in the order in which a node is compared with them: only one document may give them."""

    classes: NodeClasses
    entries: Mapping[str, Entry]
    terms: Mapping[str, ClassTerms]


@dataclass(frozen=True, slots=True)
class BrokerQuotas:
    """What a broker allows one tenant: an entry for each class of nodes, to stand among those inside the tenant's."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Catalogued:
    """What is said of a resource, by its canonical name, and the entry of its default if it has one."""

    name: str
    about: About
    default: Entry | None


_Limiting: TypeAlias = Entry | Group | Tenant
Choice: TypeAlias = (
    Combine
    | Terminating
    | AccountLimits
    | SessionCount
    | GroupObjects
    | WarnAt
    | WorkloadPayer
    | frozenset[Reserve]
    | tuple[str, ...]
)


class Definition(NamedTuple):
    """What a document defines at *steps*; no other document may define the same."""

    steps: tuple[str, ...]
    position: Position
    value: (
        Commitment
        | _Limiting
        | Choice
        | Delegate
        | NamespaceOwners
        | ListedClasses
        | BrokerQuotas
        | PersonRules
        | Weight
        | OnMissing
        | Preset
        | Category
        | Catalogued
    )

    @property
    def key(self) -> tuple[str, ...]:
        """
        Return what may be defined once: a device counts in one logical resource, whichever that is, and categories are
        the same in small and capital letters. A resource is one under its short and its full name.
        """
        if isinstance(self.value, Catalogued):
            return ("catalogue", self.value.name)
        if isinstance(self.value, Category):
            return (*self.steps[:-1], self.steps[-1].casefold())
        return ("resources", self.steps[-1]) if isinstance(self.value, Weight) else self.steps


class Promised(NamedTuple):
    """A commitment, with the places of mistakes in its class and its zone, and of a note on its amounts."""

    commitment: Commitment
    of_class: Mistake
    of_zone: Mistake
    of_amounts: Mistake


@dataclass(slots=True)
class DocumentEntries:
    """What one document defines, and what is wrong with it or has no effect."""

    source: str
    definitions: list[Definition] = field(default_factory=list)
    trusted_controllers: set[str] = field(default_factory=set)
    restorers: set[str] = field(default_factory=set)
    exemptions: list[tuple[Exemption, Mistake]] = field(default_factory=list)
    """Each with the place of a note on it."""
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[Mistake] = field(default_factory=list)
    of_sessions: list[Mistake] = field(default_factory=list)
    """Notes on limits that only sessions cost, for a policy without a preset."""
    of_times: list[tuple[str, Mistake]] = field(default_factory=list)
    """Caps on times, each with the place of a note on presets that do not have it."""
    of_caps: list[Mistake] = field(default_factory=list)
    """Notes on `unlimited` in caps of groups, for a policy that says `most-restrictive`."""
    devices: list[DeviceLimit] = field(default_factory=list)
    limited: dict[str, Mistake] = field(default_factory=dict)
    """The resources that entries limit, each with the place of a note on it: the first."""
    endings: list[Ending] = field(default_factory=list)
    tier_uses: list[TierUse] = field(default_factory=list)
    rule_groups: list[tuple[str, Mistake]] = field(default_factory=list)
    """The groups that rules name, each with the place of a mistake."""
    class_uses: list[tuple[str, Mistake]] = field(default_factory=list)
    """The classes of nodes that limits select by, each with the place of a mistake; empty where any will do."""
    holders: list[tuple[str, str, Mistake]] = field(default_factory=list)
    """The groups and tenants that hold commitments, by section and name, each with the place of a mistake."""
    promised: list[Promised] = field(default_factory=list)
    unit_uses: list[UnitUse] = field(default_factory=list)
    """The amounts that are written in units, which are empty until all texts are read."""
    offers: list[tuple[Commitment, Mistake]] = field(default_factory=list)
    """The commitments that are offered, each with the place of a mistake in the digest of its token."""
    projects: list[tuple[str, Mistake]] = field(default_factory=list)
    """The projects that tenants are to a quota broker, each with the place of a mistake."""
    is_partly_read: bool = False
    """Whether the document may define what could not be read."""

    def add_named(self, section: str, name: str, part: SectionPart, node: tree.Node) -> None:
        """Add the entry *name* of a section; *node* is what it was read from."""
        steps = (section, name)
        value: Entry | Group | Tenant | Commitment
        if isinstance(part, GroupPart):
            value = self._group(steps, part, node)
        elif isinstance(part, TenantPart):
            value = self._tenant(steps, part, node)
        elif isinstance(part, TierPart):
            value = self._tier(steps, part, node)
        elif isinstance(part, CommitmentPart):
            value = self._commitment(steps, part, node)
        else:
            value = self._entry(steps, part, node)
        if section == "users" and name.startswith(SERVICE_ACCOUNT_PREFIX):
            message = "a service account belongs into serviceAccounts, as namespace/name"
            self.mistakes.append(Mistake(self.source, node.position, field_path(steps), message))
        self.definitions.append(Definition(steps, node.position, value))

    def add_fields(self, part: PolicyPart, root: tree.Node) -> None:
        """Add everything but the sections."""
        choices = (
            ("combine", part.combine),
            ("terminating", part.terminating),
            ("reserve", None if part.reserve is None else frozenset(part.reserve)),
            ("tags", None if part.tags is None else tuple(part.tags)),
            ("serviceAccountLimits", part.serviceAccountLimits),
            ("warnAt", part.warnAt),
        )
        for name, choice in choices:
            if choice is not None:
                self.definitions.append(Definition((name,), tree.position_of(root, (name,)), choice))
        self._add_missing(part, root)
        if part.attribution is not None:
            self._add_attribution(part.attribution, root)
        for index, exempt in enumerate(part.exempt):
            place = ("exempt", index)
            self.exemptions.append((_exemption(exempt), self._remark((), place, root, "")))
            self._add_ending((), place, exempt.until, root, "it exempts nothing any more")
        self._add_rules(part.rules, root)
        if part.resources is not None:
            self._add_resources(part.resources, root)
        if part.sessions is not None:
            self._add_presets(part.sessions, root)
        self._add_node_classes(part, root)
        self._add_broker_quotas(part, root)
        self._add_fixed_entries(part, root)

    def _add_fixed_entries(self, part: PolicyPart, root: tree.Node) -> None:
        """Add the entries of which a policy has one each."""
        entries: dict[tuple[str, ...], EntryPart | None] = {("cluster",): part.cluster}
        if part.defaults is not None:
            entries |= {("defaults", name): getattr(part.defaults, name) for name in _DEFAULTS}
        for steps, each in entries.items():
            node = tree.node_at(root, steps)
            if each is not None and node is not None:
                self.definitions.append(Definition(steps, node.position, self._entry(steps, each, node)))

    def _add_node_classes(self, part: PolicyPart, root: tree.Node) -> None:
        """Add all classes, if there are any: only one document may give them, because their order counts."""
        if part.nodeClasses is not None and part.nodeClasses.says_something:
            steps, named = ("nodeClasses",), part.nodeClasses.named
            classes = NodeClasses(tuple(each.named(name) for name, each in named.items()))
            entries = {name: self._class_entry((*steps, name), each, root) for name, each in named.items()}
            terms = {name: each.terms for name, each in named.items()}
            for name, each in named.items():
                node = tree.node_at(root, (*steps, name))
                if node is not None:
                    self._note_amounts((*steps, name), "unit", each.unit, node)
            value = ListedClasses(classes, entries, terms)
            self.definitions.append(Definition(steps, tree.position_of(root, steps), value))

    def _add_broker_quotas(self, part: PolicyPart, root: tree.Node) -> None:
        for tenant, classes in part.brokerQuotas.items():
            steps = ("brokerQuotas", tenant)
            node = tree.node_at(root, steps)
            if node is None:
                continue
            self.holders.append(("tenants", tenant, self._remark((), steps, root, "", at_key=True)))
            entries = []
            for name, hard in classes.items():
                self.class_uses.append((name, self._remark(steps, (name,), node, "", at_key=True)))
                selector = Pool(name).selector
                hards = self._hards(steps, (name,), hard, node, selector=selector)
                place = f"{self.source}:{tree.position_of(node, (name,)).line}"
                entries.append(Entry(field_path((*steps, name)), place, hards, selector=selector))
            self.definitions.append(Definition(steps, node.position, BrokerQuotas(tuple(entries))))

    def _class_entry(self, steps: Steps, part: NodeClassPart, root: tree.Node) -> Entry:
        line = tree.position_of(root, steps).line
        return Entry(field_path(steps), f"{self.source}:{line}", mode=part.mode, hint=part.hint)

    def _add_rules(self, parts: Sequence[RulePart], root: tree.Node) -> None:
        """Add all rules, if there are any; each has another name, by which a refusal calls it."""
        if not parts:
            return
        rules: dict[str, PersonRule] = {}
        for index, part in enumerate(parts):
            place = ("rules", index)
            node = tree.node_at(root, place)
            if node is None:
                continue
            if part.name in rules:
                message = f"there is a rule {part.name} before it: give each another name"
                self.mistakes.append(self._remark((), (*place, "name"), root, message))
            for at, name in enumerate(part.users):
                if name.startswith(SERVICE_ACCOUNT_PREFIX):
                    message = "a service account belongs into serviceAccounts, as namespace/name"
                    self.mistakes.append(self._remark((), (*place, "users", at), root, message))
            self.rule_groups += (
                (name, self._remark((), (*place, "groups", at), root, "")) for at, name in enumerate(part.groups)
            )
            entry = self._entry(("rules", part.name), part, node)
            rules[part.name] = PersonRule(entry, frozenset(part.users), frozenset(part.groups))
        steps = ("rules",)
        self.definitions.append(Definition(steps, tree.position_of(root, steps), PersonRules(tuple(rules.values()))))

    def _add_attribution(self, part: AttributionPart, root: tree.Node) -> None:
        self.trusted_controllers.update(map(username, part.trustedControllers))
        self.restorers.update(map(username, part.restorers))
        for index, each in enumerate(part.delegates):
            position = tree.position_of(root, ("attribution", "delegates", index))
            name = each.user or username(each.serviceAccount or "")
            marks = tuple(mark for place in each.owner for mark in place.marks)
            delegate = Delegate(name, marks, frozenset(each.kinds), frozenset(each.never), each.sessions)
            self.definitions.append(Definition(("attribution", "delegates", name), position, delegate))
        if part.namespaceOwners:
            steps = ("attribution", "namespaceOwners")
            owners = NamespaceOwners(tuple(mark for each in part.namespaceOwners for mark in each.marks))
            self.definitions.append(Definition(steps, tree.position_of(root, steps), owners))
        if part.payer is not None:
            steps = ("attribution", "payer")
            self.definitions.append(Definition(steps, tree.position_of(root, steps), part.payer))
        if part.groupObjects is not None:
            steps = ("attribution", "groupObjects")
            self.definitions.append(Definition(steps, tree.position_of(root, steps), part.groupObjects))

    def _add_presets(self, part: SessionsPart, root: tree.Node) -> None:
        for index, each in enumerate(part.presets):
            position = tree.position_of(root, ("sessions", "presets", index))
            self.definitions.append(Definition(("sessions", "presets", each.name), position, each.preset))
            if KINDS.of_resource(each.preset.resource) not in (None, PODS):
                message = f"{each.preset.resource} are not counted as sessions: it has no effect; their pods can be"
                self.notes.append(self._remark((), ("sessions", "presets", index), root, message))
        if part.count is not None:
            steps = ("sessions", "count")
            self.definitions.append(Definition(steps, tree.position_of(root, steps), part.count))
        for name, amounts in part.categories.items():
            place = ("sessions", "categories", name)
            category = Category({NAMES[resource]: amount for resource, amount in amounts.items()})
            self.definitions.append(Definition(place, tree.position_of(root, place, at_key=True), category))
            for resource, amount in amounts.items():
                self._check_default((*place, resource), resource, amount, root)

    def _add_missing(self, part: PolicyPart, root: tree.Node) -> None:
        rules: Mapping[str, MissingPart | Missing] = part.missing
        for name, rule in rules.items():
            value = rule.default if isinstance(rule, MissingPart) else rule
            steps = ("missing", name)
            self.definitions.append(Definition(steps, tree.position_of(root, steps), value))
            if isinstance(value, Quantity):
                self._check_default((*steps, "default"), name, value, root)

    def _check_default(self, place: Steps, name: str, amount: Quantity, root: tree.Node) -> None:
        if not name.endswith("cpu") and amount.nanos % NANOS:
            message = f"{amount} is no whole number of bytes: write it as in 256Mi"
            self.mistakes.append(self._remark((), place, root, message))
            return
        written = tree.node_at(root, place)
        text = written.text if isinstance(written, tree.Scalar) else ""
        if note := default_note(NAMES[name], amount.nanos, text):
            self.notes.append(self._remark((), place, root, note))

    def _add_resources(self, part: ResourcesPart, root: tree.Node) -> None:
        self._add_weights(part, root)
        for name, said in part.catalogue.items():
            self._add_resource(name, said, root)

    def _add_resource(self, written: str, part: ResourcePart, root: tree.Node) -> None:
        """Add what is said of the resource that is *written* so, and check what depends on which one it is."""
        steps = ("resources", written)
        name = resources.canonical_name(written) or written
        position = tree.position_of(root, steps, at_key=True)
        path, place = field_path(steps), f"{self.source}:{position.line}"
        fixed = fixed_form(name)
        if part.format is not None and fixed is not None and part.format.form is not fixed:
            shown = "as 8Gi" if fixed is Format.BINARY_SI else "without binary suffixes"
            message = f"Kubernetes shows amounts of {name} {shown}: leave it out"
            self.mistakes.append(self._remark((), (*steps, "format"), root, message))
        default = None
        if part.default is not None:
            self._check_amount(name, part.default, (*steps, "default"), root)
            default = Entry(path, place, hard={name: part.default})
        self.definitions.append(Definition(steps, position, Catalogued(name, part.about(path, place), default)))

    def _check_amount(self, name: str, hard: Hard, place: Steps, root: tree.Node) -> None:
        """Check a default, and note what is surely not meant of it."""
        written = tree.node_at(root, place)
        text = written.text if isinstance(written, tree.Scalar) else ""
        if not isinstance(hard, Unlimited) and hard % NANOS and not is_in_parts(name):
            what = "bytes: write it as in 8Gi" if resources.is_in_bytes(name) else f"{name}"
            self.mistakes.append(self._remark((), place, root, f"{text} is no whole number of {what}"))
        elif note := limit_note(WrittenLimit(name, hard, text)):
            self.notes.append(self._remark((), place, root, note))
        if name == "sessions":
            self.of_sessions.append(self._remark((), place, root, _NO_PRESET))
        device = name.removeprefix("requests.")
        if resources.is_extended(device) and not is_familiar(device):
            self.devices.append(DeviceLimit(device, self._remark((), place[:-1], root, "", at_key=True)))

    def _add_weights(self, part: ResourcesPart, root: tree.Node) -> None:
        found = []
        for resource, logical in part.logical.items():
            for name, value in logical.weights.items():
                steps = ("resources", resource, name)
                found.append(Definition(steps, tree.position_of(root, steps), Weight(resource, value)))
                if meant := misspelt(name):
                    message = f"no known device, did you mean {meant}?"
                    self.notes.append(self._remark((), steps, root, message, at_key=True))
                if stronger := SHIPPED.stronger_than(name):
                    named = ", ".join(stronger[:_MOST_NAMED])
                    named += f" and {len(stronger) - _MOST_NAMED} more" if len(stronger) > _MOST_NAMED else ""
                    message = f"the shipped weights of {named} are more exact and stay; weigh those to change them"
                    self.notes.append(self._remark((), steps, root, message))
        self.definitions += sorted(found, key=lambda each: each.position)  # of two for one name the second is wrong

    def _group(self, steps: Steps, part: GroupPart, node: tree.Node) -> Group:
        return Group(
            per_member=self._inner((*steps, "perMember"), part.perMember, node),
            pool=self._inner((*steps, "pool"), part.pool, node),
            members=frozenset(part.members),
            membership=part.membership,
        )

    def _tenant(self, steps: Steps, part: TenantPart, node: tree.Node) -> Tenant:
        if part.project is not None:
            self.projects.append((part.project, self._remark(steps, ("project",), node, "")))
        return Tenant(
            match_labels=tuple(sorted(part.namespaces.matchLabels.items())),
            entry=self._entry(steps, part, node),
            per_namespace=self._inner((*steps, "perNamespace"), part.perNamespace, node),
            project=part.project or "",
        )

    def _commitment(self, steps: Steps, part: CommitmentPart, node: tree.Node) -> Commitment:
        commitment = part.named(str(steps[-1]), f"{self.source}:{node.position.line}")
        if commitment.state not in FINAL:
            at = "until" if part.until is not None else "for"
            self._add_ending(steps, (), part.ends, node, "it covers nothing any more", at=at)
        places = ("nodeClass", "zone", "amounts")
        of_class, of_zone, of_amounts = (self._remark(steps, (each,), node, "") for each in places)
        self.class_uses.append((part.nodeClass, of_class))
        if part.units is not None:
            commitment = replace(commitment, amounts=self._of_units(steps, (), part.nodeClass, part.units, node))
        self._note_amounts(steps, "amounts", part.amounts, node)
        kind, _, name = commitment.holder.partition("/")
        if kind in ("group", "tenant"):
            self.holders.append((f"{kind}s", name, self._remark(steps, (kind,), node, "")))
        self.promised.append(Promised(commitment, of_class, of_zone, of_amounts))
        if commitment.offer is not None:
            self.offers.append((commitment, self._remark(steps, ("offer", "tokenDigest"), node, "")))
        return commitment

    def _of_units(
        self, steps: Steps, inside: Steps, node_class: str, units: int | Unlimited, node: tree.Node
    ) -> dict[str, Any]:
        """Return amounts that are filled once the unit of the class is known."""
        use = UnitUse(node_class, units, {}, self._remark(steps, (*inside, "units"), node, ""))
        self.unit_uses.append(use)
        return use.amounts

    def _note_amounts(self, steps: Steps, within: str, amounts: Mapping[str, Amount], node: tree.Node) -> None:
        """Note what is surely not meant of what nodes have."""
        for name, amount in amounts.items():
            value = tree.node_at(node, (within, name))
            text = value.text if isinstance(value, tree.Scalar) else ""
            if note := limit_note(WrittenLimit(resources.canonical_name(name) or name, amount, text)):
                self.notes.append(self._remark(steps, (within, name), node, note))

    def _tier(self, steps: Steps, part: TierPart, node: tree.Node) -> Entry:
        return Entry(
            path=field_path(steps),
            place=f"{self.source}:{node.position.line}",
            hard=self._hards(steps, ("hard",), part.hard, node),
            caps=self._caps(steps, part, node),
            scoped=self._scoped(steps, part, node),
        )

    def _inner(self, steps: Steps, part: PoolPart | None, around: tree.Node) -> Entry | None:
        node = tree.node_at(around, steps[-1:])
        return self._entry(steps, part, node) if part is not None and node is not None else None

    def _entry(self, steps: Steps, part: PoolPart, node: tree.Node) -> Entry:
        self._add_ending(steps, (), part.until, node, _BINDS_NOBODY)
        if part.tier is not None:
            is_capped = isinstance(part, EntryPart)
            self.tier_uses.append(TierUse(part.tier, self._remark(steps, ("tier",), node, ""), is_capped))
        entry = Entry(
            path=field_path(steps),
            place=f"{self.source}:{node.position.line}",
            hard=self._hards(steps, ("hard",), part.hard, node),
            caps=self._caps(steps, part, node),
            mode=part.mode,
            workloads=part.workloads,
            until=part.until,
            hint=part.hint,
            tier=part.tier or "",
            scoped=tuple(replace(each, hint=each.hint or part.hint) for each in self._scoped(steps, part, node)),
            guaranteed=tuple(self._guaranteed(steps, part, node)),
        )
        return replace(entry, windows=tuple(self._windows(steps, part, node, entry))) if part.windows else entry

    def _guaranteed(self, steps: Steps, whole: PoolPart, around: tree.Node) -> Iterator[Guarantee]:
        """Yield what is set aside of the limits of an entry, for holders inside whom the entry binds."""
        envelope = _envelope_of(steps)
        known: set[Subject] = set()
        for position, part in enumerate(whole.guaranteed):
            inside = ("guaranteed", position)
            why = ""
            if envelope is None:
                why = "nobody shares this limit: parts of it are nobody else's"
            elif not may_hold(part.holder, envelope):
                why = f"{part.holder} is not inside {envelope}"
            elif part.holder in known:
                why = f"{part.holder} has a part before it: give each holder one"
            if why:
                self.mistakes.append(self._remark(steps, inside, around, why))
                continue
            known.add(part.holder)
            kind, _, name = part.holder.partition("/")
            if kind in ("group", "tenant"):
                self.holders.append((f"{kind}s", name, self._remark(steps, (*inside, kind), around, "")))
            amounts: dict[str, Amount] = {}
            for resource, hard in self._hards(steps, (*inside, "hard"), part.hard, around).items():
                if isinstance(hard, Unlimited) or not hard:
                    message = "expected an amount above 0"
                    self.mistakes.append(self._remark(steps, (*inside, "hard"), around, f"{resource}: {message}"))
                else:
                    amounts[resource] = hard
            yield Guarantee(part.holder, amounts)

    def _windows(self, steps: Steps, whole: PoolPart, around: tree.Node, entry: Entry) -> Iterator[Entry]:
        """Yield the windows of *entry*, which say all that the entry says, and have amounts of their own."""
        for index, part in enumerate(whole.windows):
            inside = ("windows", index)
            yield replace(
                entry,
                path=field_path((*steps, *inside)),
                place=f"{self.source}:{tree.position_of(around, inside).line}",
                hard=self._hards(steps, (*inside, "hard"), part.hard, around),
                caps={},
                scoped=(),
                tier="",
                window=part.window,
            )

    def _scoped(self, steps: Steps, whole: PoolPart | TierPart, around: tree.Node) -> tuple[Entry, ...]:
        """Return the entries inside an entry; two of them must not select the same."""
        entries: dict[Selector, Entry] = {}
        for position, part in enumerate(whole.scoped):
            entry = self._scoped_entry(steps, position, part, around)
            if part.selector in entries:
                message = f"{entries[part.selector].path} selects the same"
                self.mistakes.append(self._remark(steps, ("scoped", position), around, message))
            entries[part.selector] = entry
        return tuple(entries.values())

    def _scoped_entry(self, steps: Steps, position: int, part: ScopedPart, around: tree.Node) -> Entry:
        inside = ("scoped", position)
        place = tree.position_of(around, inside)
        self._add_ending(steps, inside, part.until, around, _BINDS_NOBODY)
        if part.onDemand and steps == ("cluster",):
            message = "nothing is promised to the cluster: what nobody was promised is on demand in all"
            self.mistakes.append(self._remark(steps, (*inside, "onDemand"), around, message))
        for place_of_use, name in _class_uses(part):
            self.class_uses.append((name, self._remark(steps, (*inside, *place_of_use), around, "")))
        return Entry(
            path=field_path((*steps, *inside)),
            place=f"{self.source}:{place.line}",
            hard=(
                self._hards(steps, (*inside, "hard"), part.hard, around, selector=part.selector)
                if part.units is None
                else self._of_units(steps, inside, part.node_class, part.units, around)
            ),
            mode=part.mode,
            workloads=part.workloads,
            until=part.until,
            hint=part.hint,
            selector=part.selector,
        )

    def _caps(self, steps: Steps, part: PoolPart | TierPart, node: tree.Node) -> dict[str, Mapping[str, Hard]]:
        caps: dict[str, Mapping[str, Hard]] = {}
        for name in (*CAPS, *MINIMUMS.values()):
            written = getattr(part, name, None)
            if written:
                caps[name] = self._hards(steps, (name,), written, node)
            if written and _CAP_OF.get(name, name) not in KINDS.caps():
                self.of_sessions.append(self._remark(steps, (name,), node, _NO_PRESET))
        return caps

    def _hards(
        self,
        steps: Steps,
        inside: Steps,
        written: Mapping[str, Hard],
        node: tree.Node,
        *,
        selector: Selector = _EVERYTHING,
    ) -> dict[str, Hard]:
        hards: dict[str, Hard] = {}
        scopes = frozenset(each.scope for each in selector.requirements)
        within = str(inside[-1])
        cap = _CAP_OF.get(within, within if within in CAPS else None)
        for resource, hard in written.items():
            canonical = resources.canonical_name(resource) or resource
            place = (*inside, resource)
            if canonical in hards:
                message = f"{canonical} is given twice, under its short and its full name"
                self.mistakes.append(self._remark(steps, place, node, message))
            if canonical == "sessions":
                self.of_sessions.append(self._remark(steps, place, node, _NO_PRESET))
            if canonical in TIMES:
                self.of_times.append((canonical, self._remark(steps, place, node, "")))
            value = tree.node_at(node, place)
            text = value.text if isinstance(value, tree.Scalar) else ""
            if note := limit_note(WrittenLimit(canonical, hard, text, scopes, cap)):
                self.notes.append(self._remark(steps, place, node, note))
            if canonical not in self.limited:
                self.limited[canonical] = self._remark(steps, place, node, "", at_key=True)
            device = canonical.removeprefix("requests.")
            if resources.is_extended(device) and not is_familiar(device):
                self.devices.append(DeviceLimit(device, self._remark(steps, place, node, "", at_key=True)))
            if hard is Unlimited.UNLIMITED and steps[0] == "groups" and steps[2:] == ("perMember",):
                self.of_caps.append(self._remark(steps, place, node, _LIFTS_NOTHING))
            hards[canonical] = hard
        return hards

    def _add_ending(  # noqa: PLR0913 - where it is written, and what follows
        self, steps: Steps, inside: Steps, until: datetime | None, node: tree.Node, effect: str, *, at: str = "until"
    ) -> None:
        if until is not None:
            is_entry = steps[:1] != ("commitments",)
            self.endings.append(Ending(until, self._remark(steps, (*inside, at), node, ""), effect, is_entry))

    def _remark(self, steps: Steps, inside: Steps, node: tree.Node, message: str, *, at_key: bool = False) -> Mistake:
        position = tree.position_of(node, inside, at_key=at_key)
        return Mistake(self.source, position, field_path((*steps, *inside)), message)


def _class_uses(part: ScopedPart) -> Iterator[tuple[Steps, str]]:
    """Yield where *part* selects by a class of nodes, with its name; by any class, or by zone, an empty one."""
    for at, name in enumerate(part.scopes):
        if name in (NODE_CLASS, ZONE):
            yield ("scopes", at), ""
    for at, each in enumerate(part.scopeSelector.matchExpressions if part.scopeSelector is not None else ()):
        place = ("scopeSelector", "matchExpressions", at)
        if each.scopeName == NODE_CLASS:
            yield from (((*place, "values", number), name) for number, name in enumerate(each.values))
        if each.scopeName == ZONE or (each.scopeName == NODE_CLASS and not each.values):
            yield place, ""


def _envelope_of(steps: Steps) -> Subject | None:
    """Return the subject of the entry at *steps* if many share its limits and parts can be told apart, else None."""
    match steps:
        case ("cluster",):
            return CLUSTER
        case ("tenants", str(name)):
            return subject.tenant(name)
        case ("namespaces", str(name)):
            return subject.namespace(name)
        case ("groups", str(name), "pool"):
            return subject.group(name)
        case _:
            return None


def _exemption(part: ExemptPart) -> Exemption:
    [(by, name)] = part.named
    return Exemption(by, username(name) if by is ExemptBy.SERVICE_ACCOUNT else name, part.reason, part.until)


def username(service_account: str) -> str:
    """Return the username of a service account that is given as NAMESPACE/NAME."""
    return SERVICE_ACCOUNT_PREFIX + service_account.replace("/", ":")
