"""
What decides by the order of promises that replicas share: pools of nodes, and the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from webhook.ports import Clock, PromiseOrdering
from webhook.quota.commitments import Pool
from webhook.quota.pool_limits import Capacity
from webhook.quota.resources import Amount


@dataclass(frozen=True, slots=True)
class OrderedCapacity:
    """Port `Capacity` for decisions: no pool is known while what is promised is being edited."""

    capacity: Capacity
    order: PromiseOrdering

    def of(self, pool: Pool) -> Mapping[str, Amount] | None:
        """Return what the nodes of *pool* have. Raises: UnavailableError."""
        self.order.require_settled_promises()
        return self.capacity.of(pool)


@dataclass(frozen=True, slots=True)
class OrderedClock:
    """Port `Clock` for decisions: what has begun or ended for one replica has for all."""

    clock: Clock
    order: PromiseOrdering

    def now(self) -> datetime:
        """Return the time to decide by."""
        return self.order.time(self.clock.now())

    def monotonic(self) -> float:
        """Return the monotonic time in seconds."""
        return self.clock.monotonic()
