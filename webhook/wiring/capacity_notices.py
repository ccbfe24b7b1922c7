"""
Tells in Events on the ConfigMaps of the policy that nodes have less than is used and was promised.

Nobody is evicted for it: whoever runs the cluster brings nodes back, or ends what was promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from webhook.kube.events import ConfigMapEvent
from webhook.ports import Clock, Sleep
from webhook.quota.commitments import Pool
from webhook.wiring.known_pools import KnownPools
from webhook.wiring.policy_notices import Tell, is_told

GRACE: Final = 60
"""Seconds for which nodes have to be missing: one that restarts is told to nobody."""

_EVERY: Final = 3600
"""Seconds for which an Event is kept, and none other of its pool is written."""

_BETWEEN: Final = 15.0
"""Seconds between two looks."""


@dataclass(slots=True)
class CapacityNotices:
    """
    Has one Event written for each pool that lacks nodes, once an hour, by whichever replica is first.

    *tell* writes it, see `EventWriter.tell_once`; *uid_of* returns the uid of a ConfigMap. Belongs to one event loop.
    """

    pools: KnownPools
    uid_of: Callable[[str], str]
    tell: Tell
    clock: Clock
    sleep: Sleep = asyncio.sleep
    _since: dict[Pool, float] = field(default_factory=dict, init=False)
    _told: dict[Pool, int] = field(default_factory=dict, init=False)
    """The hour in which a pool was told last, by this replica or by another."""

    async def run(self) -> NoReturn:
        """Tell forever."""
        while True:
            await self.once()
            await self.sleep(_BETWEEN)

    async def once(self) -> None:
        """Tell of the pools that have lacked nodes for long enough."""
        now, hour = self.clock.monotonic(), int(self.clock.now().timestamp()) // _EVERY
        short = {each.pool: each for each in self.pools.shortages()}
        self._since = {pool: self._since.get(pool, now) for pool in short}
        due = [pool for pool, since in self._since.items() if now - since >= GRACE and self._told.get(pool) != hour]
        for pool in due:
            name = short[pool].place.partition("/")[0]
            message = f"nodes have less than was promised: {short[pool]}"
            event = ConfigMapEvent(name, self.uid_of(name), "CapacityMissing", message)
            if await is_told(event, f"capacity/{pool}/{hour}", self.tell):
                self._told[pool] = hour
