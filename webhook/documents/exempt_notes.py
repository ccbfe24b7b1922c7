"""
What an admin should know of entries that bind nobody, because whom they name is exempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from webhook.documents.group_notes import NOT_KEPT
from webhook.documents.mistake import Mistake
from webhook.quota.exemption import ExemptBy, Exemption
from webhook.quota.membership import Membership
from webhook.quota.policy import Entry, Group, Policy
from webhook.quota.subject import AUTHENTICATED, SERVICE_ACCOUNT_PREFIX


def exempt_notes(policy: Policy) -> Iterator[tuple[tuple[str, str], str]]:
    """
    Yield the section and the name of each entry of *policy* that refuses nothing for ever, with what is to be known.

    An exemption that ends is none of them: the entry binds afterwards.
    """
    for each in policy.exemptions.rows:
        if each.until is not None:
            continue
        section, name, entries = _named(policy, each)
        if any(policy.refuses(entry) for entry in entries if entry is not None):
            yield (section, name), f"{each.by.value} {name} is exempt ({each.reason}): this refuses nothing"


def _named(policy: Policy, exemption: Exemption) -> tuple[str, str, tuple[Entry | None, ...]]:
    """Return the section, the name and the entries of whom *exemption* names."""
    name = exemption.name
    match exemption.by:
        case ExemptBy.USER:
            return "users", name, (policy.users.get(name),)
        case ExemptBy.SERVICE_ACCOUNT:
            written = name.removeprefix(SERVICE_ACCOUNT_PREFIX).replace(":", "/")
            return "serviceAccounts", written, (policy.service_accounts.get(name),)
        case ExemptBy.GROUP:
            group = policy.groups.get(name)
            is_whole = group is not None and not _binds_others(policy, group)
            return "groups", name, (group.per_member, group.pool) if group is not None and is_whole else ()
        case ExemptBy.NAMESPACE:
            return "namespaces", name, (policy.namespaces.get(name),)
        case ExemptBy.PRIORITY_CLASS:
            return "", name, ()


def _binds_others(policy: Policy, group: Group) -> bool:
    """Whether *group* binds people who are not exempt with it: those who are listed and do not log in with it."""
    return bool(group.members) or group.membership is Membership.LIVE or policy.group_objects is not None


def effect_notes(exemptions: Iterable[tuple[Exemption, Mistake]]) -> Iterator[tuple[Mistake, str]]:
    """
    Yield the place of each of *exemptions* that has no effect, and the note: nobody is found to be in its group. Or its
    end has none, because another one has no end.
    """
    rows = tuple(exemptions)
    for each, place in rows:
        if (each.by, each.name) == (ExemptBy.GROUP, AUTHENTICATED):
            yield place, f"it exempts nobody: {NOT_KEPT}"
    endless = {(each.by, each.name) for each, _ in rows if each.until is None}
    for each, place in rows:
        if each.until is not None and (each.by, each.name) in endless:
            yield place, f"{each.by.value} {each.name} is also exempt without an end, so that until has no effect"
