"""
What one policy limits and another one does not, by their entries: whether anybody uses anything does not matter.

`edits` compares the limits of those who use something.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from webhook.quota.catalogue import form_of
from webhook.quota.exemption import Exemption
from webhook.quota.policy import MINIMUMS, Entry, Hard, Mode, Policy, Unlimited
from webhook.quota.quantity import Format
from webhook.quota.resources import Amount

_PER_STEP = 500
"""Entries between two pauses: together they take about a millisecond."""

_OF_PEOPLE = "defaults.user"
"""The name of what binds people behind an entry of their own."""

_Key = tuple[str, str, str]
"""Selector, cap and resource; the first two are empty for a limit on the sum of everything."""


@dataclass(frozen=True, slots=True, order=True)
class Lifted:
    """
    A limit in force that refuses nothing any more.

    `whom` is a subject, or an entry of the policy and so all that it bound. `entry` set the limit, with its `cap` if
    it bound one object.
    """

    whom: str
    resource: str
    hard: Amount
    entry: str
    form: Format | None = field(default=None, compare=False)
    """How its amounts are shown, None: as Kubernetes shows them."""


class _Slot(NamedTuple):
    """The entries that override each other for one name, the strongest first, and what its name falls back to."""

    entries: tuple[Entry | None, ...]
    default: str = ""

    def inherits(self, path: str) -> bool:
        """Whether what the entry called *path* sets is what the name falls back to."""
        own = self.entries[0]
        return bool(self.default) and (own is None or path != own.path)

    @property
    def has_windows(self) -> bool:
        return any(entry is not None and entry.windows for entry in self.entries)


def lifted_entries(before: Policy, after: Policy, now: datetime) -> Generator[None, None, tuple[Lifted, ...]]:
    """
    Yield now and then, and return the limits that *before* enforces at *now* and *after* does not, by their entries.

    Windows are compared at any time, because whoever changes them is told today. A person whose entry goes has no limit
    lifted that the default still sets. Where a default loses a limit, that is
    told once, and not of everybody it bound.
    """
    found: list[Lifted] = []
    ended: dict[tuple[str, bool], frozenset[_Key]] = {}
    slots_after: dict[str, _Slot] = {}
    for count, (name, slot) in enumerate(_slots(after, before), start=1):
        slots_after[name] = slot
        if count % _PER_STEP == 0:
            yield
    for count, (name, slot) in enumerate(_slots(before, after), start=1):
        slot_after = slots_after.get(name, _Slot(()))
        for in_windows in (False, True) if slot.has_windows or slot_after.has_windows else (False,):
            were = _enforced(before, slot, now, in_windows=in_windows)
            are = _enforced(after, slot_after, now, in_windows=in_windows)
            keys = ended[name, in_windows] = frozenset(were.keys() - are.keys())
            for key in keys - ended[name, False] if in_windows else keys:
                hard, path, within = were[key]
                if slot.inherits(within) and key in ended.get((slot.default, in_windows), ()):
                    continue
                selector, cap, resource = key
                called = within if name == _OF_PEOPLE else name
                whom = (f"[{selector}] {called}" if selector else called) + (" in a window" if in_windows else "")
                form = form_of(before.catalogue, resource)
                found.append(Lifted(whom, resource, hard, f"{path}.{cap}" if cap else path, form))
        if count % _PER_STEP == 0:
            yield
    return tuple(sorted(found))


def new_exemptions(before: Policy, after: Policy) -> tuple[Exemption, ...]:
    """Return what *after* exempts from its limits and *before* does not."""
    known = {(each.by, each.name, each.until) for each in before.exemptions.rows}
    return tuple(each for each in after.exemptions.rows if (each.by, each.name, each.until) not in known)


def _slots(policy: Policy, other: Policy) -> Iterator[tuple[str, _Slot]]:
    """Yield all slots of *policy* by their paths: the defaults first, and everybody whom *other* names as well."""
    defaults = policy.defaults
    of_people = (defaults.user, *policy.catalogue_defaults)
    yield _OF_PEOPLE, _Slot(of_people)
    yield "defaults.serviceAccount", _Slot((defaults.service_account,))
    yield "defaults.unattributed", _Slot((defaults.unattributed,))
    yield from _named("users", policy.users, other.users, of_people, _OF_PEOPLE)
    for rule in policy.rules:
        yield rule.entry.path, _Slot((rule.entry, *of_people), _OF_PEOPLE)
    yield from _named(
        "serviceAccounts",
        policy.service_accounts,
        other.service_accounts,
        (defaults.service_account,),
        "defaults.serviceAccount",
    )
    for name, group in policy.groups.items():
        yield f"groups.{name}.perMember", _Slot((group.per_member,))
        yield f"groups.{name}.pool", _Slot((group.pool,))
    for name, tenant in policy.tenants.items():
        yield f"tenants.{name}", _Slot((tenant.entry,))
        yield f"tenants.{name}.perNamespace", _Slot((tenant.per_namespace,))
    for name, entry in policy.namespaces.items():
        yield f"namespaces.{name}", _Slot((entry,))
    yield "cluster", _Slot((policy.cluster,))


def _named(
    section: str, entries: Mapping[str, Entry], others: Collection[str], after: tuple[Entry | None, ...], default: str
) -> Iterator[tuple[str, _Slot]]:
    for name in (*entries, *(each for each in others if each not in entries)):
        yield f"{section}.{name}", _Slot((entries.get(name), *after), default)


def _enforced(policy: Policy, slot: _Slot, now: datetime, *, in_windows: bool) -> dict[_Key, tuple[Amount, str, str]]:
    """
    Return the limits that refuse what exceeds them, each with the path of what sets it, and of the whole entry.

    *in_windows* those that refuse it in every window, at whatever time.
    """
    strongest: dict[_Key, tuple[Hard, Entry, str]] = {}
    for entry in slot.entries:
        if entry is not None and entry.in_force(now):
            windows = sorted(entry.windows, key=_lifts_less) if in_windows else ()
            for part in (*windows, *policy.parts_of(entry, now, in_windows=False)):
                for key, hard, setting in _set_by(part, now):
                    strongest.setdefault(key, (hard, setting, entry.path))
    return {
        key: (hard, entry.path, within)
        for key, (hard, entry, within) in strongest.items()
        if not isinstance(hard, Unlimited) and entry.mode is Mode.ENFORCE and (hard or key[1] not in MINIMUMS.values())
    }


def _lifts_less(window: Entry) -> bool:
    """Return a key that sorts windows with `unlimited` first: what one of them lifts is lifted."""
    return Unlimited.UNLIMITED not in window.hard.values()


def _set_by(entry: Entry, now: datetime) -> Iterator[tuple[_Key, Hard, Entry]]:
    for cap, name, hard in entry.amounts():
        yield ("", cap, name), hard, entry
    for each in entry.scoped:
        if each.in_force(now):
            for name, hard in each.hard.items():
                yield (str(each.selector), "", name), hard, each
