"""
Guarantees: parts of a limit on what many share, each set aside for one of them.

The limit is an envelope, such as that of a tenant, and the part that of somebody inside it, such as a namespace. What
is guaranteed and not used is not free for the others. It is the same sum as with commitments, over a limit instead of
nodes: what each holder uses in the envelope or is guaranteed, whichever is more, and what all others use there, must
not exceed it. That the parts come to no more than the limit is checked by the reader of the policy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from webhook.quota.commitments import NOTHING_IN_FORCE, Cover, InForce, add_amounts
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject

_NESTING = ("cluster", "tenant", "namespace", "group", "user")
"""What may hold a part of what: each only of those before it."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`amounts` of an envelope that are set aside for `holder`, in billionths, by canonical names."""

    holder: Subject
    amounts: Mapping[str, Amount]


def may_hold(holder: Subject, envelope: Subject) -> bool:
    """Whether a part of the limit of *envelope* may be set aside for *holder*, who is smaller."""
    inner, outer = (_NESTING.index(each.partition("/")[0]) for each in (holder, envelope))
    return outer < inner


def held_by(envelope: Subject, holder: Subject) -> Subject:
    """Return the subject of those objects in *envelope* that count for what is guaranteed to *holder*."""
    return Subject(f"[within {envelope}] {holder}")


def on_demand_in(envelope: Subject) -> Subject:
    """Return the subject of those objects in *envelope* that count for nobody to whom a part is guaranteed."""
    return Subject(f"[within {envelope}, on demand] {envelope}")


class Guarantees:
    """All guarantees of a policy, by the subject of the envelope; no holder has two of one envelope."""

    def __init__(self, of_envelopes: Mapping[Subject, Sequence[Guarantee]]) -> None:
        """Keep what is set aside of each envelope."""
        self._holders = {
            envelope: {each.holder: held_by(envelope, each.holder) for each in parts}
            for envelope, parts in of_envelopes.items()
            if parts
        }
        self._covers: dict[Subject, Cover] = {}
        self._sums: defaultdict[Subject, dict[str, Amount]] = defaultdict(dict)
        for envelope, parts in of_envelopes.items():
            total = self._sums[envelope] if parts else {}
            for each in parts:
                self._covers[held_by(envelope, each.holder)] = Cover(each.amounts, (envelope,))
                add_amounts(total, each.amounts)
        self._beside = (NOTHING_IN_FORCE, replace(NOTHING_IN_FORCE, covers=self._covers, sums=self._sums))

    def __bool__(self) -> bool:
        return bool(self._holders)

    def sets_aside(self, envelope: Subject, resource: str) -> bool:
        """Whether any of *resource* is set aside in *envelope*."""
        return resource in self._sums.get(envelope, {})

    def holder_in(self, envelope: Subject, holders: Iterable[Subject]) -> Subject | None:
        """Return what an object of *holders* counts for in *envelope*: the first with a guarantee there, or None."""
        known = self._holders.get(envelope)
        return next((known[each] for each in holders if each in known), None) if known else None

    def amount_of(self, held: Subject, resource: str) -> Amount:
        """Return how much of *resource* is guaranteed to *held*, a subject of `held_by`."""
        return self._covers[held].amounts.get(resource, 0)

    def charged(self, subjects: Iterable[Subject], holders: Collection[Subject]) -> Iterator[Subject]:
        """Yield what else is charged for an object of *holders* that is charged to *subjects*."""
        if self._holders:
            for each in subjects:
                if each in self._holders:
                    yield self.holder_in(each, holders) or on_demand_in(each)

    def beside(self, promised: InForce) -> InForce:
        """Return what is *promised* and guaranteed together: the same object for the same one."""
        if not self._holders:
            return promised
        if self._beside[0] is not promised:
            covers, sums = {**promised.covers, **self._covers}, {**promised.sums, **self._sums}
            self._beside = (promised, replace(promised, covers=covers, sums=sums))
        return self._beside[1]


NO_GUARANTEES = Guarantees({})
