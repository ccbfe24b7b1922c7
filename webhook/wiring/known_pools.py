"""
Pools of nodes as a replica knows them, for its metrics and its remarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Clock, Condition, UnavailableError
from webhook.quota.commitments import Pool
from webhook.quota.pool_limits import Capacity
from webhook.quota.resources import show
from webhook.quota.usage import UsageIndex
from webhook.view.pools import PoolRow, PoolStanding, pools
from webhook.view.standings import Scene

_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Shortage:
    """A pool whose nodes have less than is used and was promised, and `place`, where something of it was promised."""

    pool: Pool
    rows: tuple[PoolRow, ...]
    place: str

    def __str__(self) -> str:
        """Return it in words for admins."""
        return "; ".join(_missing(self.pool, each) for each in self.rows)


@dataclass(frozen=True, slots=True)
class KnownPools:
    """What was promised of nodes and what they have, while `conditions` hold. Belongs to one event loop."""

    policy: CurrentPolicy
    index: UsageIndex
    labels: Callable[[str], Mapping[str, str]]
    clock: Clock
    capacity: Capacity
    conditions: Sequence[Callable[[], Condition]] = ()

    def standings(self) -> tuple[PoolStanding, ...]:
        """Return the pools of which anything was promised; none while it is not known what is used or there."""
        policy = self.policy.state.policy
        if policy is None or not policy.commitments or not all(condition().ok for condition in self.conditions):
            return ()
        try:
            return tuple(pools(Scene(policy, self.index, self.labels, self.clock.now()), self.capacity))
        except UnavailableError:  # the remark `nodes` tells why
            return ()

    def shortages(self) -> Iterator[Shortage]:
        """Yield the pools that lack nodes, as far as that is known."""
        policy = self.policy.state.policy
        for each in self.standings():
            rows = tuple(row for row in each.rows if row.missing)
            if rows and policy is not None:
                place = min(commitment.place for commitment, _ in policy.commitments.within(each.pool))
                yield Shortage(each.pool, rows, place)

    def condition(self) -> Condition:
        """Return whether nodes have what is used and was promised, as far as that is known."""
        missing = [(each.pool, row) for each in self.shortages() for row in each.rows]
        if not missing:
            return READY
        told = [_missing(*each) for each in missing[:_MOST_SHOWN]]
        if len(missing) > _MOST_SHOWN:
            told.append(f"and {len(missing) - _MOST_SHOWN} more")
        return Condition(ok=False, reason="capacity", message=f"nodes have less than was promised: {'; '.join(told)}")


def _missing(pool: Pool, row: PoolRow) -> str:
    name = row.resource
    taken, has, missing = (show(name, amount) for amount in (row.taken, row.has or 0, row.missing))
    return f"{pool}: {name} {taken} used or promised, {has} there, {missing} missing"
