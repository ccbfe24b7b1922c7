"""
Which objects a commitment covers, for people, bills and brokers. Decisions compare sums alone, see `commitments`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from webhook.quota.commitments import Commitment
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, Amounts

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Using(NamedTuple):
    """An object of a holder in a pool: `created` in seconds since 1970, derived `amounts`."""

    created: int
    uid: str
    key: ObjectKey
    amounts: Amounts


class Part(NamedTuple):
    """How much of one resource of one object a commitment covers."""

    commitment: str
    resource: str
    amount: Amount


def covered(
    objects: Iterable[Using], commitments: Sequence[Commitment], now: datetime
) -> Mapping[ObjectKey, Sequence[Part]]:
    """
    Return what covers each of *objects*, all that a holder has in a pool, of all its *commitments* there at *now*.

    For each resource by itself the oldest object comes first, of those the largest, then by uid; and the commitment
    that began first, of those the largest, then by name. One object may be covered by several, and by some in part:
    what no commitment covers is on demand. Objects that nothing covers are left out.
    """
    using = tuple(objects)
    parts: defaultdict[ObjectKey, list[Part]] = defaultdict(list)
    in_force = [each for each in commitments if each.covers(now)]
    for name in sorted({name for each in in_force for name in each.amounts}):
        left = [
            (each.name, each.amounts[name])
            for each in sorted(
                in_force, key=lambda one: (one.begins or _BEFORE_ALL, -one.amounts.get(name, 0), one.name)
            )
            if name in each.amounts
        ]
        needs = [(each, dict(each.amounts).get(name, 0)) for each in using]
        for each, amount in sorted(needs, key=lambda one: (one[0].created, -one[1], one[0].uid)):
            needed = amount
            while needed and left:
                commitment, rest = left[0]
                taken = min(needed, rest)
                parts[each.key].append(Part(commitment, name, taken))
                needed -= taken
                left[:1] = [(commitment, rest - taken)] if rest > taken else []
    return parts
