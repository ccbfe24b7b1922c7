"""
Which objects a commitment covers, for people, bills and brokers. Decisions compare sums alone, see `commitments`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from webhook.quota.commitments import Commitment, Commitments
from webhook.quota.devices import DeviceWeights
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Account, Subject
from webhook.quota.usage import Row


class Using(NamedTuple):
    """An object of a holder in a pool: `created` in seconds since 1970, derived `amounts`, and who pays."""

    created: int
    uid: str
    key: ObjectKey
    amounts: Amounts
    owner: str = ""


class Part(NamedTuple):
    """How much of one resource of one object a commitment covers."""

    commitment: str
    resource: str
    amount: Amount


class Coverage:
    """
    Finds what covers the objects of some holders.

    `note` must be called with each object that exists. What is only reserved is covered by nothing here: it has no uid
    yet, and may never be stored.
    """

    def __init__(
        self,
        commitments: Commitments,
        is_wanted: Callable[[Commitment], bool],
        *,
        subjects_of: Callable[[Account, str], Sequence[Subject]],
        devices: DeviceWeights,
    ) -> None:
        """Cover the objects of whoever holds a commitment that *is_wanted*, with all that they hold in its pool."""
        wanted = {each.pool.held_by(each.holder) for each in commitments.every if is_wanted(each)}
        self._held: defaultdict[Subject, list[Commitment]] = defaultdict(list)
        for each in commitments.every:
            if (held_by := each.pool.held_by(each.holder)) in wanted:
                self._held[held_by].append(each)
        self._subjects_of = subjects_of
        self._devices = devices
        self._using: defaultdict[Subject, list[Using]] = defaultdict(list)

    def note(self, key: ObjectKey, row: Row) -> None:
        """Take in an object if it counts for one of the holders in one of their pools."""
        for subject in self._subjects_of(row.account, key.namespace):
            if subject in self._held:
                amounts = self._devices.derive(row.amounts)
                self._using[subject].append(Using(row.created, row.uid, key, amounts, row.payer.owner))

    def covered(self, now: datetime) -> Mapping[Using, Sequence[Part]]:
        """Return the objects that anything covers at *now*, the oldest first, with what covers each."""
        found: defaultdict[Using, list[Part]] = defaultdict(list)
        for subject, using in self._using.items():
            for each, parts in covered(using, self._held[subject], now).items():
                found[each] += parts
        return {each: found[each] for each in sorted(found)}


def covered(
    objects: Iterable[Using], commitments: Sequence[Commitment], now: datetime
) -> Mapping[Using, Sequence[Part]]:
    """
    Return what covers each of *objects*, all that a holder has in a pool, of all its *commitments* there at *now*.

    For each resource by itself the oldest object comes first, of those the largest, then by uid; and the commitment
    that began first, of those the largest, then by name. One object may be covered by several, and by some in part:
    what no commitment covers is on demand. Objects that nothing covers are left out.
    """
    using = tuple(objects)
    parts: defaultdict[Using, list[Part]] = defaultdict(list)
    in_force = [each for each in commitments if each.covers(now)]
    for name in sorted({name for each in in_force for name in each.amounts}):
        left = [
            (each.name, each.amounts[name])
            for each in sorted(in_force, key=lambda one: (one.begin_key, -one.amounts.get(name, 0), one.name))
            if name in each.amounts
        ]
        needs = [(each, dict(each.amounts).get(name, 0)) for each in using]
        for each, amount in sorted(needs, key=lambda one: (one[0].created, -one[1], one[0].uid)):
            needed = amount
            while needed and left:
                commitment, rest = left[0]
                taken = min(needed, rest)
                parts[each].append(Part(commitment, name, taken))
                needed -= taken
                left[:1] = [(commitment, rest - taken)] if rest > taken else []
    return parts
