"""
Look up what is stored, each key and each resource by itself: what cannot be read holds up nothing else.

What follows from an answer is decided by the ledgers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from webhook.ledger.stored_object import came_to_nothing
from webhook.ports import QuorumReader, StoredPolicies, UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.promises import MarkedEdit


class Lookups:
    """The lookups of one run of the periodic work. What failed is kept, the last failure of each resource."""

    def __init__(self, quorum: QuorumReader) -> None:
        """Read through *quorum*."""
        self._quorum = quorum
        self._failures: dict[str, UnavailableError] = {}

    @property
    def failures(self) -> tuple[UnavailableError, ...]:
        """What could not be read: one error for each resource, because a missing right concerns all of its objects."""
        return tuple(self._failures.values())

    async def stored(self, keys: Collection[ObjectKey]) -> dict[ObjectKey, StoredVersion | None]:
        """Return what is stored under each of *keys*, read at once; without those that cannot be read."""
        found: dict[ObjectKey, StoredVersion | None] = {}

        async def look_up(key: ObjectKey) -> None:
            try:
                found[key] = await self._quorum.version_of(key)
            except UnavailableError as error:
                self._failures[key.resource] = error

        await asyncio.gather(*map(look_up, keys))
        return found

    async def newest(self, resources: Collection[str]) -> dict[str, int]:
        """Return the highest stored version of each of *resources*; without those that cannot be read."""
        found: dict[str, int] = {}
        for resource in resources:
            try:
                found[resource] = await self._quorum.newest_version(resource)
            except UnavailableError as error:
                self._failures[resource] = error
        return found

    async def unstored(self, edits: Mapping[str, MarkedEdit], policies: StoredPolicies) -> tuple[str, ...]:
        """
        Return the tokens of those *edits* of which nothing came; without those of which that cannot be told.
        """
        found: list[str] = []
        for token, edit in edits.items():
            try:
                stored = await policies.version_of(edit.name)
            except UnavailableError as error:
                self._failures["configmaps"] = error
                continue
            if came_to_nothing(edit, stored):
                found.append(token)
        return tuple(found)
