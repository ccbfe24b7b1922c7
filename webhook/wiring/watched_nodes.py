"""
Nodes, watched from the moment in which a policy has classes of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from webhook.kube.api import KubernetesApi
from webhook.kube.nodes import COLLECTION, RESOURCE, Node, NodeCapacity
from webhook.kube.reflector import Reflector
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.capacity import NodeFacts
from webhook.quota.commitments import Pool
from webhook.quota.policy import Policy
from webhook.quota.resources import Amount

_REASON = "nodes"

_STALE_SECONDS = 180.0
"""Without a word from the watch. A quiet one is opened again after 130 s, which the API server answers."""


class WatchedNodes:
    """What nodes have. Port `Capacity`. Belongs to one event loop."""

    def __init__(self, api: KubernetesApi, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Watch through *api*."""
        self.capacity = NodeCapacity()
        self._monotonic = monotonic
        self._reflector = Reflector(
            api,
            COLLECTION,
            Node,
            self.capacity,
            resource=RESOURCE,
            undecodable=self.capacity.undecodable,
            clock=monotonic,
        )
        self._policy = Policy()
        self._is_wanted = asyncio.Event()

    def follow(self, policy: Policy) -> None:
        """Watch nodes from now on, if *policy*, which comes into force, has classes of them."""
        self._policy = policy
        self.capacity.classify(policy.node_classes, policy.devices)
        if policy.node_classes:
            self._is_wanted.set()

    async def run(self) -> None:
        """Watch once a policy asks for it. One that asks no more ends no watch: what it shows is not used."""
        await self._is_wanted.wait()
        await self._reflector.run()

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        """Return what the nodes of *pool* have. Raises: UnavailableError while that is not known, or too old."""
        error = self._error()
        if error is not None:
            raise error
        return self.capacity.of(pool)

    def known(self) -> tuple[NodeFacts, ...] | None:
        """Return what nodes there are; None while that is not known, or too old."""
        return None if self._error() else self.capacity.nodes()

    def condition(self) -> Condition:
        """Return whether it is known what nodes have, if the policy in force promises a part of it."""
        error = self._error() if self._policy.commitments else None
        return READY if error is None else Condition(ok=False, reason=_REASON, message=str(error))

    def _error(self) -> UnavailableError | None:
        if not self._reflector.synced:
            return UnavailableError(_REASON, "the nodes, of which a part was promised, are not all known yet")
        silent = self._monotonic() - self._reflector.last_answer_at
        if silent > _STALE_SECONDS:
            return UnavailableError(_REASON, f"the watch of nodes has shown nothing for {silent:.0f} s")
        return None
