"""
OpenShift's Groups, watched from the moment in which a policy takes members from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from webhook.kube.api import KubernetesApi
from webhook.kube.group_objects import COLLECTION, RESOURCE, GroupMembers, GroupObject
from webhook.kube.reflector import Reflector
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.membership import GroupsByMember
from webhook.quota.policy import Policy

_REASON = "groups"

_STALE_SECONDS = 180.0
"""Without a word from the watch. A quiet one is opened again after 130 s, which the API server answers."""


class WatchedGroups:
    """Who is in which Group. Belongs to one event loop."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        on_change: Callable[[GroupsByMember, frozenset[str]], None],
        store_version: Callable[[], Awaitable[int]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call *on_change* as `GroupMembers` does."""
        self._members = GroupMembers(on_change=on_change)
        self._monotonic = monotonic
        self._reflector = Reflector(
            api,
            COLLECTION,
            GroupObject,
            self._members,
            resource=RESOURCE,
            store_version=store_version,
            undecodable=self._members.undecodable,
            clock=monotonic,
        )
        self._policy = Policy()
        self._is_wanted = asyncio.Event()

    def follow(self, policy: Policy) -> None:
        """Watch the Groups from now on, if *policy*, which comes into force, takes members from them."""
        self._policy = policy
        if policy.group_objects is not None:
            self._is_wanted.set()

    async def run(self) -> None:
        """Watch once a policy asks for it. One that asks no more ends no watch: what it shows is not used."""
        await self._is_wanted.wait()
        await self._reflector.run()

    def condition(self) -> Condition:
        """Return whether the policy in force has the members that it asks for; where no Group can exist it has none."""
        if self._policy.group_objects is not None and not self._reflector.served:
            return Condition(ok=False, reason=_REASON, message=f"the API serves no {RESOURCE}: they list nobody")
        error = self._error()
        return READY if error is None else Condition(ok=False, reason=_REASON, message=str(error))

    def require_known(self) -> None:
        """Check that the members are known on which limits of the policy in force depend. Raises: UnavailableError."""
        error = self._error()
        if error is not None:
            raise error

    def _error(self) -> UnavailableError | None:
        if self._policy.group_objects is None or not self._policy.groups or not self._reflector.served:
            return None
        if not self._reflector.synced:
            return UnavailableError(_REASON, f"the {RESOURCE} are not all known yet", affects_all=True)
        silent = self._monotonic() - self._reflector.last_answer_at
        if silent > _STALE_SECONDS:
            return UnavailableError(_REASON, f"the watch of {RESOURCE} has shown nothing for {silent:.0f} s")
        unreadable = sorted(name for name in self._members.unreadable if name in self._policy.groups or not name)
        if unreadable:
            told = ", ".join(unreadable)
            return UnavailableError(_REASON, f"the users of {RESOURCE} {told} cannot be read", affects_all=True)
        return None
