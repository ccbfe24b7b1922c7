"""
The objects that hold the most of a resource, or of somebody's limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Subject, unscoped
from webhook.quota.usage import Row
from webhook.view.standings import Quota, Scene


@dataclass(frozen=True, slots=True)
class Holder:
    """An object, who pays for it, and what it costs. `created` is in seconds since 1970, 0 if unknown."""

    key: ObjectKey
    owner: str
    created: int
    amounts: Amounts


AGE: Final = "age"
"""Asked for in the place of a resource: those that are there the longest."""

Weigh = Callable[[Row, Amounts], Amount | None]
"""Returns how much an object, and what it comes to, counts in the order; None leaves it out."""


class Largest:
    """Collects the objects that weigh most. Memory is bounded by *limit*, whatever is taken."""

    def __init__(self, scene: Scene, weigh: Weigh, *, limit: int, whom: Subject | None = None, owner: str = "") -> None:
        """Keep *limit* objects: those charged to *whom*, or paid by *owner*, if one is given."""
        self._scene = scene
        self._weigh = weigh
        self._limit = limit
        self._whom = whom
        self._owner = owner
        self._found: list[tuple[Amount, Holder]] = []

    def take(self, key: ObjectKey, row: Row) -> None:
        """Take in the object *row* under *key*."""
        if self._owner and row.payer.owner != self._owner:
            return
        if self._whom is not None and not self._is_charged(key, row):
            return
        amounts = self._scene.policy.devices.derive(row.amounts)
        weight = self._weigh(row, amounts)
        if weight is not None:
            self._found.append((weight, Holder(key, row.payer.owner, row.created, amounts)))
            if len(self._found) > 4 * self._limit:
                self._prune()

    def result(self) -> tuple[Holder, ...]:
        """Return what was kept, the largest first; of equal ones the older first."""
        self._prune()
        return tuple(holder for _, holder in self._found)

    def _is_charged(self, key: ObjectKey, row: Row) -> bool:
        return self._whom in self._scene.usage.subjects_of(row.account, key.namespace)

    def _prune(self) -> None:
        self._found.sort(key=lambda each: (-each[0], each[1].created, each[1].key))
        del self._found[self._limit :]


def by_resource(name: str) -> Weigh:
    """
    Return an order by what objects cost of resource *name*, a canonical one; objects without it are left out.

    For AGE one by their age; those of which it is not known are left out.
    """
    if name == AGE:
        return lambda row, _: -row.created if row.created else None
    return lambda _, amounts: dict(amounts).get(name)


def by_part_of(quota: Quota, whom: Subject) -> Weigh:
    """Return an order by the largest part that an object takes of any limit of *whom*; none is left out."""
    hards: dict[str, Amount] = {}
    for each in quota.standings:
        if each.limit is not None and each.limit.hard and unscoped(each.subject) == whom:
            hards[each.resource] = min(each.limit.hard, hards.get(each.resource, each.limit.hard))

    def weigh(_: Row, amounts: Amounts) -> Amount:
        parts = (Fraction(amount) / hards[name] for name, amount in amounts if name in hards)
        return max(parts, default=Fraction(0))

    return weigh
