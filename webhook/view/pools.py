"""
Pools of nodes and commitments as people see them: what nodes have, what is used, what was promised and is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.quota.commitments import FINAL, Commitment, Pool, State
from webhook.quota.coverage import Coverage
from webhook.quota.pool_limits import Capacity
from webhook.quota.resources import Amount
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


def pools(scene: Scene, capacity: Capacity) -> Iterator[PoolStanding]:
    """Yield the pools of which anything was promised, each class before its zones. Raises: UnavailableError."""
    commitments, usage = scene.policy.commitments, scene.usage
    usage.promise(scene.policy.promised(scene.now))
    for pool in sorted(commitments.pools):
        if all(each.state_at(scene.now) in FINAL for each, _ in commitments.within(pool)):
            continue
        there, subject = capacity.of(pool), pool.subject
        has = None if there is None else scene.policy.terms_of(pool.node_class).usable(there)
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
        yield standing_of(scene, each)


def standing_of(scene: Scene, each: Commitment) -> CommitmentStanding:
    """Return how one commitment stands."""
    holder = each.pool.held_by(each.holder)
    used = tuple((name, scene.usage.allocated(holder, name)) for name in sorted(each.amounts))
    return CommitmentStanding(each, each.state_at(scene.now), used)


def coverage_of(scene: Scene, name: str) -> Coverage:
    """Return what finds the objects that the commitment *name* covers, beside the others of its holder."""
    return Coverage(
        scene.policy.commitments,
        lambda each: each.name == name,
        subjects_of=scene.usage.subjects_of,
        devices=scene.policy.devices,
    )
