"""
The limits that the capacity of nodes sets, where a part of it was promised to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from webhook.quota.commitments import Pool
from webhook.quota.limits import Limit, PoolLimit
from webhook.quota.policy import Entry, Policy
from webhook.quota.resources import Amount
from webhook.quota.subject import Account

_NOTHING: Mapping[str, Amount] = {}


class Capacity(Protocol):
    """What nodes have."""

    def of(self, pool: Pool) -> Mapping[str, Amount] | None:
        """
        Return what the nodes of *pool* have for pods, by canonical names; nothing for a pool without nodes. None where
        there are no nodes to ask, as without a cluster: then nothing is compared with them.

        Raises: UnavailableError while that is not known.
        """


class NoNodes:
    """Port `Capacity` without a cluster."""

    def of(self, pool: Pool) -> Mapping[str, Amount] | None:  # noqa: ARG002
        """Return None: there are no nodes to ask."""
        return None


def pool_limits(  # noqa: PLR0913 - what decides the limits
    policy: Policy,
    account: Account,
    *,
    namespace: str,
    labels: Mapping[str, str],
    now: datetime,
    capacity: Capacity,
) -> tuple[PoolLimit, ...]:
    """
    Return the limits that capacity sets for an object of *account* in *namespace*, which carries *labels*, at *now*.

    They are on those resources of which anything was promised in the class; of all others what nodes have is a matter
    of the scheduler.
    Raises: UnavailableError.
    """
    commitments = policy.commitments
    if not commitments:
        return ()
    holders = policy.holders_of(account.payer, namespace, labels)
    covers = commitments.in_force(now).covers
    found = []
    for place in commitments.places_of(account.scopes, holders):
        node_class = place.pools[0].node_class
        entry = policy.class_entries.get(node_class) or Entry(f"nodeClasses.{node_class}")
        cover = covers.get(place.holder) if place.holder is not None else None
        amounts = _NOTHING if cover is None else cover.amounts
        for pool in place.pools:
            has = capacity.of(pool)
            if has is None:
                continue
            for name in sorted(commitments.resources_of(node_class)):
                path = f"{entry.path}[{pool.zone}]" if pool.zone else entry.path
                limit = Limit(pool.subject, name, has.get(name, 0), path, entry.place, entry.mode, hint=entry.hint)
                found.append(PoolLimit(limit, place.holder, amounts.get(name, 0)))
    return tuple(found)
