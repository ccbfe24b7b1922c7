"""
Where two policies differ: the entries that were added, removed or changed, and everything else that a policy says.

What that means for those who are bound is in `effective` and `edits`.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime

from webhook.quota.catalogue import form_of
from webhook.quota.devices import Weight
from webhook.quota.policy import Entry, Group, Hard, Policy, Tenant, Unlimited, WarnAt
from webhook.quota.quantity import Format, Quantity
from webhook.quota.resources import show
from webhook.quota.windows import Window

_TOLD_APART = frozenset(
    {"defaults", "users", "service_accounts", "groups", "tenants", "namespaces", "cluster", "tiers", "rules"}
    | {"devices", "exemptions", "presets", "categories", "node_classes", "class_entries", "commitments"}
    | {"class_terms", "catalogue", "catalogue_defaults"}
)
"""The fields of a policy that hold entries, or are told in a form of their own."""

_LISTED = "listed"
_NO_ENTRY = Entry("")

_NAMES = {
    "account_limits": "serviceAccountLimits",
    "trusted_controllers": "attribution.trustedControllers",
    "restorers": "attribution.restorers",
    "delegates": "attribution.delegates",
    "workload_payer": "attribution.payer",
    "namespace_owners": "attribution.namespaceOwners",
    "session_count": "sessions.count",
    "group_objects": "attribution.groupObjects",
    "warn_at": "warnAt",
}
"""What the fields of a policy are called in its text, where that is another name."""

_PER_STEP = 50
"""Entries between two pauses: together they take about a millisecond."""

_UNSAID = frozenset({"path", "place", "selector", "scoped", "windows", "hard", "caps", "guaranteed"})
"""The fields of an entry that say which one it is, or are told in another form."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that an entry or a setting says; None: it says nothing of it. A text may be empty if it has no form."""

    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class EntryChange:
    """An entry that is in one policy only, or says something else; `before` and `after` are where it is written."""

    entry: str
    before: str
    after: str
    differences: tuple[Difference, ...]

    @property
    def change(self) -> str:
        """Return what happened to it, in one word."""
        return "changed" if self.before and self.after else "added" if self.after else "removed"


@dataclass(frozen=True, slots=True)
class PolicyChanges:
    """All differences: entries by their names, and the other fields."""

    entries: tuple[EntryChange, ...] = ()
    settings: tuple[Difference, ...] = ()


def changes_between(before: Policy, after: Policy) -> PolicyChanges:
    """Return every difference between two policies but the places where they are written."""
    were, are = _by_name(before), _by_name(after)
    entries = []
    for name in sorted(were.keys() | are.keys()):
        was, new = were.get(name), are.get(name)
        differences = _differences(_said(was or _NO_ENTRY, before), _said(new or _NO_ENTRY, after))
        if differences or was is None or new is None:
            places = ["" if each is None else each.place for each in (was, new)]
            entries.append(EntryChange(name, places[0], places[1], differences))
    return PolicyChanges(tuple(entries), _differences(dict(_settings(before)), dict(_settings(after))))


@dataclass(frozen=True, slots=True)
class ChangedNames:
    """The names of the entries that an edit adds, changes and removes, and of the other settings that it changes."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def names_changed(before: Policy, after: Policy) -> Generator[None, None, ChangedNames]:
    """Yield now and then, and return the names of what `changes_between` does, without what is different there."""
    were = _by_name(before)
    yield
    are = _by_name(after)
    yield
    is_shown_alike = before.catalogue == after.catalogue
    changed = []
    for count, name in enumerate(sorted(were.keys() & are.keys()), start=1):
        was, new = were[name], are[name]
        if is_shown_alike and replace(was, place=new.place) == new:
            pass
        elif _said(was, before) != _said(new, after):
            changed.append(name)
        if count % _PER_STEP == 0:
            yield
    added, removed = sorted(are.keys() - were.keys()), sorted(were.keys() - are.keys())
    yield
    said = dict(_settings(before))
    yield
    settings = [each.what for each in _differences(said, dict(_settings(after)))]
    return ChangedNames(tuple(added), tuple(changed), tuple(removed), tuple(settings))


def _differences(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Difference, ...]:
    return tuple(
        Difference(what, _told(what, before), _told(what, after))
        for what in sorted(before.keys() | after.keys())
        if before.get(what) != after.get(what)
    )


def _told(what: str, said: Mapping[str, object]) -> str | None:
    return _text(said[what]) if what in said else None


def _text(value: object) -> str:
    match value:
        case enum.Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
        case str() | Quantity() | Window():
            return str(value)
        case Weight():
            return str(value.value)
        case WarnAt(percent):
            return "off" if percent is None else f"{percent}%"
        case _:
            return ""


def _by_name(policy: Policy) -> dict[str, Entry]:
    """Return all entries; those inside others by what they select, because their order does not matter."""
    tiers = (each for tier in policy.tiers.values() for each in (tier, *tier.scoped))
    return {_name(each): each for each in (*policy.entries(), *tiers)}


def _name(entry: Entry) -> str:
    around, separator, _ = entry.path.rpartition(".scoped[")
    return f"{around}{separator}{entry.selector}]" if entry.selector is not None else entry.path


def _said(entry: Entry, policy: Policy) -> dict[str, object]:
    """Return what an entry of *policy* says, amounts as text."""
    said: dict[str, object] = {
        f"{cap or 'hard'}.{name}": _amount(name, hard, form_of(policy.catalogue, name))
        for cap, name, hard in entry.amounts()
    }
    for each in entry.guaranteed:
        for name, amount in each.amounts.items():
            said[f"guaranteed[{each.holder}].{name}"] = _amount(name, amount, form_of(policy.catalogue, name))
    others = {each.name: getattr(entry, each.name) for each in fields(entry) if each.name not in _UNSAID}
    return said | {name: value for name, value in others.items() if value not in (None, "")}


def _amount(name: str, hard: Hard, form: Format | None) -> str:
    return hard.value if isinstance(hard, Unlimited) else show(name, hard, form)


def _settings(policy: Policy) -> Iterator[tuple[str, object]]:
    """Yield what a policy says beside its entries, one name or member at a time."""
    for name, group in policy.groups.items():
        yield from ((f"groups.{name}.members[{member}]", _LISTED) for member in group.members)
        yield from _others(f"groups.{name}", group, {"per_member", "pool", "members"})
    for name, tenant in policy.tenants.items():
        yield f"tenants.{name}.namespaces", ",".join(f"{key}={text}" for key, text in tenant.match_labels)
        yield from _others(f"tenants.{name}", tenant, {"entry", "per_namespace", "match_labels"})
    for place, rule in enumerate(policy.rules, start=1):
        yield f"{rule.entry.path} (place)", str(place)
        yield from ((f"{rule.entry.path}.users[{name}]", _LISTED) for name in rule.users)
        yield from ((f"{rule.entry.path}.groups[{name}]", _LISTED) for name in rule.groups)
    yield from _catalogue(policy)
    yield from ((f"resources.{weight.resource}[{name}]", weight) for name, weight in policy.devices.rows)
    exempt: defaultdict[str, list[str]] = defaultdict(list)
    for row in policy.exemptions.rows:
        until = "" if row.until is None else f", until {row.until.isoformat()}"
        exempt[f"exempt[{row.by.value} {row.name}]"].append(row.reason + until)
    yield from ((what, "; ".join(reasons)) for what, reasons in exempt.items())
    yield from _kinds_of_objects(policy)
    for each in fields(policy):
        value, name = getattr(policy, each.name), _NAMES.get(each.name, each.name)
        if not each.compare or each.name in _TOLD_APART or value in (None, ()):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}[{key}]", item) for key, item in value.items())
        elif each.name == "tags":
            yield name, ", ".join(value)
        elif isinstance(value, frozenset):
            yield from ((f"{name}[{item}]", _LISTED) for item in value)
        else:
            yield name, value


def _kinds_of_objects(policy: Policy) -> Iterator[tuple[str, object]]:
    """Yield what is a session, and the classes of nodes."""
    yield from ((f"sessions.presets[{each.name}]", each) for each in policy.presets)
    for name, filled in policy.categories.items():
        yield f"sessions.categories[{name}]", ",".join(f"{resource}={filled[resource]}" for resource in sorted(filled))
    for place, each in enumerate(policy.node_classes.classes, start=1):
        yield f"nodeClasses[{each.name}]", f"{each} (place {place})"
        terms, what = policy.terms_of(each.name), f"nodeClasses[{each.name}]"
        yield from ((f"{what}.worth[{name}]", f"{amount}") for name, amount in terms.worth.items())
        yield from ((f"{what}.overcommit[{name}]", f"{factor}") for name, factor in terms.overcommit.items())
        yield from ((f"{what}.unit[{name}]", show(name, amount)) for name, amount in terms.unit.items())
        if terms.shape is not None:
            yield f"{what}.shape", f"fixed: {terms.shape}"
        if terms.committable != 1:
            yield f"{what}.committable", f"{terms.committable * 100}%"
        if not terms.takes_commitments:
            yield f"{what}.commitments", "false"
    for name, entry in policy.class_entries.items():
        yield from ((f"nodeClasses[{name}].{what}", said) for what, said in _said(entry, policy).items())
    for commitment in policy.commitments.every:
        yield f"commitments[{commitment.name}]", str(commitment)


def _catalogue(policy: Policy) -> Iterator[tuple[str, object]]:
    for about in policy.catalogue.values():
        yield about.entry, _LISTED
        said = {"displayName": about.display_name, "description": about.description, "unit": about.unit}
        said["format"] = "" if about.notation is None else about.notation.value
        yield from ((f"{about.entry}.{name}", text) for name, text in said.items() if text)


def _others(path: str, said: Group | Tenant, told: Collection[str]) -> Iterator[tuple[str, object]]:
    return ((f"{path}.{each.name}", getattr(said, each.name)) for each in fields(said) if each.name not in told)
