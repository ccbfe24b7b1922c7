"""
Whether the book shows what the API has: compared so that neither a late watch nor a quiet cluster looks like a fault.

Pure. The list and the reads behind it are an adapter's, when to compare is told by `reconcile`.
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
    """What is wrong: the book lacks an object (or its present state), or has one that is gone."""

    MISSING = "missing"
    PHANTOM = "phantom"


class Verdict(enum.Enum):
    """What a second look at a suspicion tells. OPEN: the watch has not come far enough to know."""

    DRIFT = "drift"
    FINE = "fine"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a resource that have to be on the book, as they were at one version: uid and version by name."""

    resource: str
    version: int
    stored: Mapping[ObjectKey, StoredVersion]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A name under which the book and a list of version `listed_at` disagree; `uid` is the object in question."""

    kind: Kind
    key: ObjectKey
    uid: str
    listed_at: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the book says of one name at one moment, and how far its watch had come then."""

    row: Row | None
    position: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the book had of a resource at one moment, by `namespace/name`, and how far its watch had come then."""

    rows: Mapping[str, Row]
    position: int


def snapshot(index: UsageIndex, resource: str) -> Snapshot:
    """Give what `suspicions` needs of *book*. Quick, so that a larger book does not hold up whoever else uses it."""
    return Snapshot(index.snapshot(resource), index.position(resource))


def suspicions(index: Snapshot, listing: Listing) -> tuple[Suspicion, ...]:
    """
    Give every name that may be wrong in *book*, which was looked at after *listing* was made.

    An object that the list shows at a version which the watch has passed must be on the book at that version or a
    newer one, unless it was deleted since: hence only a suspicion. The book must not have what the list does not show
    and what was last changed before it, unless the deletion is still on its way.
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
    """Look at the book, before what is stored is read: `confirm` needs them in this order."""
    return Look(index.row(suspicion.key), index.position(suspicion.key.resource))


def confirm(suspicion: Suspicion, seen: Look, stored: StoredVersion | None) -> Verdict:
    """
    Say what becomes of *suspicion*; *stored* is uid and version that a quorum read found under the name after *seen*.

    Missing: the object was stored before the position of *seen* and is stored later, so that it was there at that very
    position, where the book does not have it. Phantom: it was gone at the version of the list, and the book still has
    it at a position that is not before that. Neither can be seen of a book that is merely late.
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
Seconds. A watch that works tells everything, so that only a defect is looked for; ten minutes bound how long one lasts,
and a list of 20 000 pods' metadata each ten minutes is less than a controller's usual resync.
"""

_LOOKS: Final = (2.0, *(15.0,) * 10)
"""
Seconds before each look at what is suspected. What is merely late is over after two. On a quiet cluster a bookmark
tells how far the watch has come, once a minute; the second one comes within 152 seconds in any case.
"""

_MOST_SUSPECTED = 200
"""Suspicions that are looked into at once. One that holds is enough to have everything listed anew."""


class Lister(Protocol):
    """All objects that have to be on the book, past every cache."""

    async def listing(self, resource: str) -> Listing:
        """Give those of *resource* as they were at one version. Raises: UnavailableError."""


async def find_drift(
    index: UsageIndex, resource: str, *, lister: Lister, quorum: QuorumReader, sleep: Sleep = asyncio.sleep
) -> tuple[Suspicion, ...]:
    """
    Give where *book* differs from what the API has, confirmed by a second look: the first few, one list repairs all.

    What stays open for minutes because the watch does not move is left to the next audit. Raises: UnavailableError.
    """
    listing = await lister.listing(resource)
    # Elsewhere, because 20 000 pods take 50 ms, in which nobody would be answered.
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
    """Have the book compared every ten minutes or so, not by all replicas at once, until cancelled."""
    while True:
        await sleep(_BETWEEN_AUDITS * (0.75 + jitter() / 2))
        try:
            await audit()
        except UnavailableError as error:
            on_trouble(error)
