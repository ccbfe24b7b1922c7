"""
Compares the usage index with what the API has, so that neither a late watch nor a quiet cluster looks like a fault.

The comparison is pure; lists and reads are behind ports.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from webhook.ports import QuorumReader, Sleep, UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.usage import Row, UsageIndex

_NOTHING = StoredVersion("", 0)
"""Stands for what no list shows; no object has an empty uid."""


class Kind(enum.Enum):
    """What is wrong: the index lacks an object (or its present state), or has one that is gone."""

    MISSING = "missing"
    PHANTOM = "phantom"


class Verdict(enum.Enum):
    """The result of a second look at a suspicion. OPEN: the watch has not come far enough to know."""

    DRIFT = "drift"
    FINE = "fine"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a resource that the index has to show, as they were at one version."""

    resource: str
    version: int
    stored: Mapping[ObjectKey, StoredVersion]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A key under which the index and a list of version `listed_at` disagree; `uid` is the object in question."""

    kind: Kind
    key: ObjectKey
    uid: str
    listed_at: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the index shows under one key at one moment, and how far its watch had come then."""

    row: Row | None
    position: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of a resource at one moment, by `namespace/name`, and how far the watch had come then."""

    rows: Mapping[str, Row]
    position: int


def snapshot(index: UsageIndex, resource: str) -> Snapshot:
    """Return what `suspicions` needs of *index*. A shallow copy, so that a large index does not delay requests."""
    return Snapshot(index.snapshot(resource), index.position(resource))


def suspicions(index: Snapshot, listing: Listing) -> tuple[Suspicion, ...]:
    """
    Return every key that may be wrong in *index*, a snapshot taken after *listing* was made.

    The index must show an object of the list at that version or a newer one, once the watch has passed it, unless the
    object was deleted since: hence only a suspicion. The index must not show an object that the list lacks and that was
    last changed before the list, unless its deletion is still on its way.
    """
    stored, rows = listing.stored, index.rows
    missing = [
        Suspicion(Kind.MISSING, key, found.uid, listing.version)
        for key, found in stored.items()
        if found.version <= index.position and not _shows(rows.get(f"{key.namespace}/{key.name}"), found)
    ]
    named = ((ObjectKey(listing.resource, *path.split("/", 1)), row) for path, row in rows.items())
    phantom = [
        Suspicion(Kind.PHANTOM, key, row.uid, listing.version)
        for key, row in named
        if row.version <= listing.version and stored.get(key, _NOTHING).uid != row.uid
    ]
    return (*missing, *phantom)


def look(index: UsageIndex, suspicion: Suspicion) -> Look:
    """Return what the index shows now. Call it before the store is read: `confirm` needs them in this order."""
    return Look(index.row(suspicion.key), index.position(suspicion.key.resource))


def confirm(suspicion: Suspicion, seen: Look, stored: StoredVersion | None) -> Verdict:
    """
    Return the verdict on *suspicion*; *stored* is what a quorum read found under the key after *seen*.

    Missing: the object was stored before the position of *seen* and is stored later, so it existed at that position,
    where the index does not show it. Phantom: it was gone at the version of the list, and the index still shows it at a
    position not before that. An index that is merely late shows neither.
    """
    if suspicion.kind is Kind.MISSING:
        if stored is None or _shows(seen.row, stored):
            return Verdict.FINE
        return Verdict.DRIFT if stored.version <= seen.position else Verdict.OPEN
    row = seen.row
    if row is None or row.uid != suspicion.uid or row.version > suspicion.listed_at:
        return Verdict.FINE
    if stored is not None and stored.uid == suspicion.uid:
        return Verdict.FINE
    return Verdict.DRIFT if seen.position >= suspicion.listed_at else Verdict.OPEN


def _shows(row: Row | None, stored: StoredVersion) -> bool:
    return row is not None and row.uid == stored.uid and row.version >= stored.version


_BETWEEN_AUDITS = 600.0
"""
Seconds. A watch that works misses nothing, so an audit looks for defects only; ten minutes bound how long one lasts. A
list of the metadata of 20 000 pods each ten minutes is less than a controller's usual resync.
"""

_LOOKS: Final = (2.0, *(15.0,) * 10)
"""
Seconds before each look at the suspicions. A late watch has caught up after two. On a quiet cluster a bookmark tells
how far the watch has come, once a minute; the second one comes within 152 seconds in any case.
"""

_MOST_SUSPECTED = 200
"""Suspicions that are examined at once. One that is confirmed is enough to list everything anew."""


class Lister(Protocol):
    """All objects that the index has to show, past every cache."""

    async def listing(self, resource: str) -> Listing:
        """Return those of *resource* as they were at one version. Raises: UnavailableError."""


async def find_drift(
    index: UsageIndex, resource: str, *, lister: Lister, quorum: QuorumReader, sleep: Sleep = asyncio.sleep
) -> tuple[Suspicion, ...]:
    """
    Return where *index* differs from what the API has, confirmed by a second look.

    The first few are enough, as one list repairs all.

    Suspicions that stay open for minutes, because the watch does not move, are left to the next audit.
    Raises: UnavailableError.
    """
    listing = await lister.listing(resource)
    # In a thread: 20 000 pods take 50 ms, in which no request would be answered.
    suspected = await asyncio.to_thread(suspicions, snapshot(index, resource), listing)
    suspected = suspected[:_MOST_SUSPECTED]
    found: list[Suspicion] = []
    for pause in _LOOKS:
        if found or not suspected:
            break
        await sleep(pause)
        still_open: list[Suspicion] = []
        for each in suspected:
            seen = look(index, each)
            verdict = confirm(each, seen, await quorum.version_of(each.key))
            if verdict is Verdict.DRIFT:
                found.append(each)
            elif verdict is Verdict.OPEN:
                still_open.append(each)
        suspected = tuple(still_open)
    return tuple(found)


async def audit_forever(
    audit: Callable[[], Awaitable[None]],
    *,
    on_trouble: Callable[[UnavailableError], None],
    sleep: Sleep = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Run *audit* every ten minutes or so until cancelled, at a random moment so that replicas do not coincide."""
    while True:
        await sleep(_BETWEEN_AUDITS * (0.75 + jitter() / 2))
        try:
            await audit()
        except UnavailableError as error:
            on_trouble(error)
