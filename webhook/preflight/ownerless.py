"""
The workloads that nobody is known to own, and an entry that bounds what they use now.

Owners are found in memory, by controller references: nothing is read for a single object.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from webhook.kinds.pods import PODS
from webhook.preflight.census import Census
from webhook.quota.resources import LOGICAL, Amount, Amounts
from webhook.quota.subject import UNATTRIBUTED, user

SUGGESTED = ("pods", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage")
"""The resources of a suggested entry, beside the logical ones, under ResourceQuota's names."""


@dataclass(frozen=True, slots=True)
class Ownerless:
    """
    The workloads of one kind in a namespace that nobody is known to own.

    `used` is what their pods cost, in billionths of the unit of each resource. `pods` are those that have ended, too.
    """

    namespace: str
    kind: str
    workloads: int
    pods: int
    used: Amounts


class _Top(NamedTuple):
    uid: str
    namespace: str
    kind: str


def ownerless(census: Census) -> tuple[Ownerless, ...]:
    """Return the workloads without an owner by namespace and kind, those whose pods use most cpu and memory first."""
    workloads: dict[tuple[str, str], set[str]] = defaultdict(set)
    for top in _tops(census):
        workloads[top.namespace, top.kind].add(top.uid)
    pods: Counter[tuple[str, str]] = Counter()
    used: dict[tuple[str, str], dict[str, Amount]] = defaultdict(dict)
    for each in census.objects():
        if each.kind.resource != PODS.resource or each.row.payer.owner != UNATTRIBUTED:
            continue
        top = _top(census, each.row.uid)
        place = (top.namespace, top.kind)
        pods[place] += 1
        for name, amount in each.amounts:
            used[place][name] = used[place].get(name, 0) + amount
    found = (
        Ownerless(*place, len(uids), pods[place], tuple(sorted(used[place].items())))
        for place, uids in workloads.items()
    )
    return tuple(sorted(found, key=_order))


def suggestion(census: Census) -> Amounts:
    """
    Return what the `hard` of `defaults.unattributed` has to allow for all that nobody is known to own, under
    ResourceQuota's names; nothing if there is no such object, or if the policy has that entry.
    """
    if census.policy.defaults.unattributed is not None:
        return ()
    nobody = user(UNATTRIBUTED)
    names = (*SUGGESTED, *sorted(LOGICAL))
    return tuple((name, used) for name in names if (used := census.index.used(nobody, name)))


def _tops(census: Census) -> Iterator[_Top]:
    for uid, link in census.links.items():
        if not link.is_owned:
            yield _top(census, uid)


def _top(census: Census, uid: str) -> _Top:
    """
    Return the highest object above *uid* that nobody owns.

    A controller that was not listed, of another kind or gone meanwhile, is the highest, by what the reference says.
    """
    seen: set[str] = set()
    while uid not in seen:
        seen.add(uid)
        link = census.links[uid]
        controller = link.controller
        if controller is None:
            break
        above = census.links.get(controller.uid)
        if above is None:
            return _Top(controller.uid, link.namespace, controller.kind)
        if above.is_owned:
            break
        uid = controller.uid
    link = census.links[uid]
    return _Top(uid, link.namespace, link.kind)


def _order(each: Ownerless) -> tuple[object, ...]:
    used = dict(each.used)
    size = (used.get("requests.cpu", 0), used.get("requests.memory", 0), each.pods, each.workloads)
    return (*(-amount for amount in size), each.namespace, each.kind)
