"""
Pools of nodes and commitments as people see them: what nodes have, what is used, what was promised and is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from webhook.quota.commitments import FINAL, Commitment, Pool, State
from webhook.quota.coverage import Using, covered
from webhook.quota.objects import ObjectKey
from webhook.quota.pool_limits import Capacity
from webhook.quota.resources import Amount
from webhook.quota.usage import Row
from webhook.view.standings import Scene


@dataclass(frozen=True, slots=True)
class PoolRow:
    """
    One resource of a pool: what nodes have, what pods use and what is reserved for more, and how much was promised.

    Of what was promised `unused` is not used. `has` is None where there are no nodes to ask.
    """

    resource: str
    has: Amount | None
    used: Amount
    reserved: Amount
    promised: Amount
    unused: Amount

    @property
    def taken(self) -> Amount:
        """Return what is used, what is reserved for more, and what was promised and is not used."""
        return self.used + self.reserved + self.unused

    @property
    def free(self) -> Amount:
        """Return how much may still be asked for on demand."""
        return max((self.has or 0) - self.taken, 0)

    @property
    def missing(self) -> Amount:
        """Return how much more is taken than nodes have, 0 where there are no nodes to ask."""
        return 0 if self.has is None else max(self.taken - self.has, 0)


@dataclass(frozen=True, slots=True)
class PoolStanding:
    """A pool of nodes of which anything was promised."""

    pool: Pool
    rows: tuple[PoolRow, ...]


@dataclass(frozen=True, slots=True)
class CommitmentStanding:
    """
    A commitment, its state by the clock, and by resource what its holder uses in its pool, beyond the amount perhaps.

    What a holder uses counts for all its commitments of one pool together.
    """

    commitment: Commitment
    state: State
    used: tuple[tuple[str, Amount], ...]


class CoveredObject(NamedTuple):
    """An object that a commitment covers, who pays for it, and how much of it is covered."""

    key: ObjectKey
    uid: str
    owner: str
    amounts: tuple[tuple[str, Amount], ...]


class Coverage:
    """
    Finds the objects that one commitment covers, beside the others that its holder has in the pool.

    `note` must be called with each object that exists. What is only reserved is in no list: it has no uid yet.
    """

    def __init__(self, scene: Scene, commitment: Commitment) -> None:
        """Begin without any object."""
        self._scene = scene
        self._commitment = commitment
        self._held_by = commitment.pool.held_by(commitment.holder)
        self._using: list[Using] = []
        self._owners: dict[ObjectKey, str] = {}

    def note(self, key: ObjectKey, row: Row) -> None:
        """Take in an object if it counts for the holder in the pool."""
        if self._held_by in self._scene.usage.subjects_of(row.account, key.namespace):
            amounts = self._scene.policy.devices.derive(row.amounts)
            self._using.append(Using(row.created, row.uid, key, amounts))
            self._owners[key] = row.payer.owner

    def result(self) -> tuple[CoveredObject, ...]:
        """Return what it covers, the oldest first."""
        commitment = self._commitment
        every = [
            each
            for each, held_by in self._scene.policy.commitments.within(commitment.pool)
            if held_by == self._held_by and each.pool == commitment.pool
        ]
        parts = covered(self._using, every, self._scene.now)
        listed = []
        for each in sorted(self._using):
            own = (part for part in parts.get(each.key, ()) if part.commitment == commitment.name)
            amounts = tuple((part.resource, part.amount) for part in own)
            if amounts:
                listed.append(CoveredObject(each.key, each.uid, self._owners[each.key], amounts))
        return tuple(listed)


def pools(scene: Scene, capacity: Capacity) -> Iterator[PoolStanding]:
    """Yield the pools of which anything was promised, each class before its zones. Raises: UnavailableError."""
    commitments, usage = scene.policy.commitments, scene.usage
    usage.promise(scene.policy.promised(scene.now))
    for pool in sorted(commitments.pools):
        if all(each.state_at(scene.now) in FINAL for each, _ in commitments.within(pool)):
            continue
        has, subject = capacity.of(pool), pool.subject
        rows = (
            PoolRow(
                name,
                None if has is None else has.get(name, 0),
                usage.used(subject, name),
                usage.reserved(subject, name),
                usage.promised(subject, name),
                usage.set_aside(subject, name),
            )
            for name in sorted(commitments.resources_of(pool.node_class))
        )
        yield PoolStanding(pool, tuple(rows))


def commitments(scene: Scene) -> Iterator[CommitmentStanding]:
    """Yield all commitments, by name."""
    for each in sorted(scene.policy.commitments.every, key=lambda one: one.name):
        holder = each.pool.held_by(each.holder)
        used = tuple((name, scene.usage.allocated(holder, name)) for name in sorted(each.amounts))
        yield CommitmentStanding(each, each.state_at(scene.now), used)
