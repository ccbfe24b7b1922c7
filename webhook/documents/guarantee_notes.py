"""
What an admin should know of guarantees that nobody can have whole: a limit around them, or of their holder, is smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.quota.commitments import add_amounts
from webhook.quota.policy import Entry, Mode, Policy, Unlimited
from webhook.quota.resources import Amount, show
from webhook.quota.subject import Subject


def guarantee_notes(policy: Policy) -> Iterator[tuple[tuple[str, str], str, str]]:
    """
    Yield notes on the guarantees of envelopes: the key of the envelope, the path, and the note.

    Compared is the most that a limit allows in any window, and no limit that ends or only warns. Which namespaces are
    in a tenant, and who is in a group, may change: the one envelope that is around all others is the cluster.
    """
    around = policy.cluster
    for key, entry in _envelopes(policy):
        path = f"{entry.path}.guaranteed"
        totals: dict[str, Amount] = {}
        for part in entry.guaranteed:
            add_amounts(totals, part.amounts)
            if (own := _own_entry(policy, part.holder)) is not None:
                yield from ((key, path, f"{part.holder}: {why}") for why in _larger(policy, part.amounts, own))
        if around is not None and totals:
            yield from ((key, path, f"the parts come to {why}") for why in _larger(policy, totals, around))


def _envelopes(policy: Policy) -> Iterator[tuple[tuple[str, str], Entry]]:
    """Yield the entries inside the cluster of whose limits parts may be set aside, with their keys."""
    yield from ((("groups", name), each.pool) for name, each in policy.groups.items() if each.pool is not None)
    yield from ((("tenants", name), each.entry) for name, each in policy.tenants.items())
    yield from ((("namespaces", name), each) for name, each in policy.namespaces.items())


def _own_entry(policy: Policy, holder: Subject) -> Entry | None:
    """Return the entry that names *holder* and limits all of its objects, whatever else may bind it."""
    kind, _, name = holder.partition("/")
    if kind == "namespace":
        return policy.namespaces.get(name)
    if kind == "group":
        return policy.groups[name].pool if name in policy.groups else None
    return policy.users.get(name) or policy.service_accounts.get(name)


def _larger(policy: Policy, amounts: Mapping[str, Amount], entry: Entry) -> Iterator[str]:
    """Yield which of *amounts* are more than *entry* ever allows."""
    if entry.mode is not Mode.ENFORCE or entry.until is not None:
        return
    tier = policy.tiers.get(entry.tier)
    for name, amount in amounts.items():
        usual = entry.hard.get(name, None if tier is None else tier.hard.get(name))
        limits = [usual, *(window.hard.get(name, usual) for window in entry.windows)]
        finite = [each for each in limits if each is not None and not isinstance(each, Unlimited)]
        if len(finite) == len(limits) and amount > max(finite):
            limit = f"the limit of {show(name, max(finite))} by {entry.path} at {entry.place}"
            yield f"{name} {show(name, amount)}, more than {limit}, so that nobody can have all of it"
