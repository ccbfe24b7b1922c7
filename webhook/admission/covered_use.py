"""
Whether what an edit promises can be kept, by what is used now.

Where nodes have too little, an edit may only cover use that exists. What is counted may be gone, so it is looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhook.documents.step_by_step import in_thread
from webhook.ports import UnavailableError
from webhook.quota.capacity import NodeFacts
from webhook.quota.edits import Known, kept_promises, only_existing
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import Policy
from webhook.quota.promises import Unkept

_MOST_LOOKED_UP, _AT_ONCE = 2_000, 16
"""Objects that an edit may cover where nodes have too little: each is read, some at once, in four seconds at most."""


class StoredObjects(Protocol):
    """What is stored now, past every cache: a part of `QuorumReader`."""

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        """Return what is stored under *key*. See `QuorumReader.version_of`."""


async def unkept_now(
    policies: tuple[Policy, Policy],
    known: Known,
    nodes: Sequence[NodeFacts],
    stored: StoredObjects,
    *,
    seconds_left: Callable[[], float],
) -> tuple[Unkept, ...]:
    """
    Return what of the second of *policies* cannot be kept, in the place of the first, while *nodes* are there.

    Raises: TimeoutError; UnavailableError if use that decides cannot be looked up.
    """
    kept = await in_thread(kept_promises(*policies, known, nodes), within=seconds_left())
    if kept.relies_on and not kept.unkept:
        existing = only_existing(known, await _gone(kept.relies_on, stored), *policies)
        kept = await in_thread(kept_promises(*policies, existing, nodes), within=seconds_left())
    return kept.unkept


async def _gone(objects: Mapping[ObjectKey, str], stored: StoredObjects) -> frozenset[ObjectKey]:
    """Return which of *objects*, with their uids, are not stored any more."""
    if len(objects) > _MOST_LOOKED_UP:
        why = f"it covers {len(objects)} objects, and {_MOST_LOOKED_UP} at most are looked up: make several edits"
        raise UnavailableError("promises", why)
    gone: set[ObjectKey] = set()
    keys = list(objects)
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        for key, found in zip(some, await asyncio.gather(*map(stored.version_of, some)), strict=True):
            if found is None or found.uid != objects[key]:
                gone.add(key)
    return frozenset(gone)
