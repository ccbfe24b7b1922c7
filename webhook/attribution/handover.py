"""
Plan a hand-over: which objects get another owner, and in which order. Pure.

Which objects exist, and what a StatefulSet's templates are, is read by the caller; `rules` decides on each object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from webhook.attribution.claim_templates import StatefulSet
from webhook.attribution.stamp import read_stamp
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.quota.objects import ObjectKey, ObjectMeta
from webhook.quota.subject import NOBODY, UNATTRIBUTED, Payer


@dataclass(frozen=True, slots=True)
class Owned:
    """An object that carries an owner, and its payer; `NOBODY` if none is known."""

    kind: AnyKind
    meta: ObjectMeta
    payer: Payer = NOBODY

    @property
    def key(self) -> ObjectKey:
        """Return its name in the API."""
        return ObjectKey(self.kind.resource, self.meta.namespace, self.meta.name)


@dataclass(frozen=True, slots=True)
class Plan:
    """The objects that get another owner, in this order, and those beside them that keep theirs."""

    moves: tuple[Owned, ...] = ()
    left: tuple[Owned, ...] = ()


class Family:
    """Objects as they were listed, each with its controller, by UID. References may be wrong, and may be a circle."""

    def __init__(self, found: Iterable[tuple[AnyKind, ObjectMeta]]) -> None:
        """Keep the objects of *found*, each with its kind."""
        self._by_uid = {meta.uid: Owned(kind, meta, read_stamp(meta) or NOBODY) for kind, meta in found}
        self._by_uid |= {uid: Owned(each.kind, each.meta, self._payer(each)) for uid, each in self._by_uid.items()}
        self._below: defaultdict[str, list[Owned]] = defaultdict(list)
        for each in self._by_uid.values():
            if each.meta.controller is not None:
                self._below[each.meta.controller.uid].append(each)

    def find(self, key: ObjectKey) -> Owned | None:
        """Return the object with this name, None if there is none."""
        return next((each for each in self._by_uid.values() if each.key == key), None)

    def unowned(self) -> Iterator[tuple[Owned, Owned]]:
        """Yield each object that nobody is known to own, with the highest one above it that has no owner either."""
        for each in self._by_uid.values():
            if each.payer == NOBODY:
                top = each
                for above in self._above(each):
                    if above.payer != NOBODY:
                        break
                    top = above
                yield each, top

    def plan_below(self, top: Owned, *, former: str, to: str, sets: Iterable[StatefulSet] = ()) -> Plan:
        """
        Return what moves with *top* from the owner *former* to *to*: what was made for it, of the same owner or nobody.

        A claim that one of *sets* makes by its name moves only if *former* owns it: such a name proves little.
        """
        below = list(self._all_below(top))
        owners = {former, UNATTRIBUTED}
        movable = [each for each in below if each.payer.owner in owners]
        others = [each for each in below if each.payer.owner not in owners]
        uids = {each.meta.uid for each in below}
        for claim in self._claims_of(sets, top.meta.namespace):
            if claim.meta.uid not in uids:
                (movable if claim.payer.owner == former else others).append(claim)
        return self._plan(movable, others, to)

    def plan_all_of(self, former: str, *, to: str) -> Plan:
        """Return what moves if *to* is to pay for all that *former* pays for."""
        return self._plan([each for each in self._by_uid.values() if each.payer.owner == former], (), to)

    def _plan(self, movable: Iterable[Owned], others: Iterable[Owned], to: str) -> Plan:
        """
        Return the plan, in the order in which it is safe to be stopped by a refusal.

        What is charged comes first: limits refuse that and hardly anything else, so that a refusal finds no workload
        moved yet. A workload that moved before its pods would make further ones for the new owner meanwhile. They would
        take the room that its present pods were found to have, and nobody would hand them back.
        Then the workloads come from the top down: from then on what a controller makes on the way, such as the next
        ReplicaSet, has the new owner already. What a workload made for the former owner until its turn came is found by
        looking again afterwards.
        """
        moves = [each for each in movable if each.payer.owner != to]
        moves.sort(key=lambda each: (not each.kind.is_charged, self._depth(each), each.key))
        return Plan(tuple(moves), tuple(sorted((each for each in others if each.payer.owner != to), key=_key)))

    def _payer(self, owned: Owned) -> Payer:
        """
        Return who pays for the object; for a workload without an owner, who pays for what it makes.

        That is the owner of the nearest one above it that has an owner, as `rules` finds it.
        """
        if owned.kind.demand is None:
            return owned.payer
        return next((each.payer for each in (owned, *self._above(owned)) if each.payer != NOBODY), NOBODY)

    def _above(self, owned: Owned) -> Iterator[Owned]:
        """Yield the controller of the object, the controller of that, and so on, each once."""
        seen = {owned.meta.uid}
        reference = owned.meta.controller
        while reference is not None and reference.uid not in seen and reference.uid in self._by_uid:
            seen.add(reference.uid)
            found = self._by_uid[reference.uid]
            yield found
            reference = found.meta.controller

    def _depth(self, owned: Owned) -> int:
        return sum(1 for _ in self._above(owned))

    def _all_below(self, top: Owned) -> Iterator[Owned]:
        """Yield *top* and all that was made for it, each once."""
        seen, waiting = {top.meta.uid}, [top]
        while waiting:
            current = waiting.pop()
            yield current
            new = [each for each in self._below[current.meta.uid] if each.meta.uid not in seen]
            seen.update(each.meta.uid for each in new)
            waiting += new

    def _claims_of(self, sets: Iterable[StatefulSet], namespace: str) -> Iterator[Owned]:
        makers: Collection[StatefulSet] = tuple(sets)
        for each in self._by_uid.values():
            is_claim = each.kind.resource == PERSISTENT_VOLUME_CLAIMS.resource and each.meta.namespace == namespace
            if is_claim and any(maker.makes(each.meta.name) for maker in makers):
                yield each


def _key(owned: Owned) -> ObjectKey:
    return owned.key
