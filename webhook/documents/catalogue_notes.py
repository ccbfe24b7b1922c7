"""
What an admin should know of a catalogue that is valid: names that only it has, or lacks, and defaults that do less than
they seem to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from webhook.documents.device_notes import DeviceNames
from webhook.documents.mistake import Mistake
from webhook.quota.catalogue import other_name
from webhook.quota.durations import TIMES
from webhook.quota.policy import Combine, Entry, Policy, Unlimited

_NOTHING_LIMITS = "nothing limits it: it has no default, and no entry or commitment names it"
_ACCOUNTS = (
    "service accounts have no such default: write it in defaults.serviceAccount, unlimited if they may use it freely"
)


def entry_notes(policy: Policy, limited: Mapping[str, Mistake]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """
    Yield notes on entries of the catalogue and on groups: the key of the definition, its path, and the note.

    *limited* are the resources that entries limit, each with a place.
    """
    elsewhere = {name for each in policy.catalogue_defaults for name in each.hard}
    elsewhere.update(name for each in policy.commitments.every for name in each.amounts)
    spellings: dict[str, str] = {}
    names = DeviceNames(limited.keys() - policy.catalogue.keys())
    for name, about in policy.catalogue.items():
        key = ("catalogue", name)
        other = spellings.setdefault(name.casefold(), about.entry)
        if other != about.entry:
            yield key, about.entry, f"differs from {other} by small and capital letters only: these are two"
        if name not in limited and name not in elsewhere:
            yield key, about.entry, _NOTHING_LIMITS + _meant(names.meant_by(name))
    for each in policy.catalogue_defaults:
        yield from ((("catalogue", name), each.path, why) for name in each.hard for why in _opt_in(policy, each, name))
        yield from _granted_by_groups(policy, each)


def limit_notes(policy: Policy, limited: Mapping[str, Mistake]) -> Iterator[Mistake]:
    """Yield notes on resources that entries limit and the catalogue lacks, each at its first place."""
    if not policy.catalogue:
        return
    names = DeviceNames(policy.catalogue)
    for name, place in limited.items():
        if name in policy.catalogue or name in TIMES:
            continue
        same = policy.catalogue.get(other_name(name))
        if same is None:
            message = "the catalogue under resources lacks it" + _meant(names.meant_by(name))
        else:
            message = f"{same.entry} has the same devices under another name, and what is said there does not hold here"
        yield replace(place, message=message)


def _opt_in(policy: Policy, default: Entry, name: str) -> Iterator[str]:
    """Yield what is left open where nobody has a resource until it is granted."""
    if default.hard[name] == 0 and not _sets(policy, policy.defaults.service_account, name):
        yield _ACCOUNTS


def _granted_by_groups(policy: Policy, default: Entry) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield groups that seem to grant more than *default*, where no entry that could does."""
    if policy.combine is not Combine.MOST_RESTRICTIVE:
        return
    entries = (policy.defaults.user, *(each.entry for each in policy.rules), *policy.users.values())
    for name, hard in default.hard.items():
        if isinstance(hard, Unlimited) or any(_sets(policy, each, name) for each in entries):
            continue
        for group, each in policy.groups.items():
            if each.per_member is None:
                continue
            given = each.per_member.hard.get(name, Unlimited.UNLIMITED)
            if not isinstance(given, Unlimited) and given > hard:
                why = f"it grants no {name}: with combine most-restrictive it only lowers {default.path}; a rule grants"
                yield ("groups", group), each.per_member.path, why


def _sets(policy: Policy, entry: Entry | None, name: str) -> bool:
    """Whether *entry* says anything of the sum of resource *name*."""
    parts = () if entry is None else policy.parts_of(entry, None)
    return any(name in each.hard for part in parts for each in (part, *part.windows))


def _meant(name: str | None) -> str:
    return f", did you mean {name.removeprefix('requests.')}?" if name else ""
