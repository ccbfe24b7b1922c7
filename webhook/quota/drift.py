"""
Whether the book shows what the API has: compared so that neither a late watch nor a quiet cluster looks like a fault.

Pure. The list and the reads behind it are an adapter's, when to compare is told by `reconcile`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from webhook.quota.book import Book, Row
from webhook.quota.charge import Slot


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
    stored: Mapping[Slot, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A name under which the book and a list of version `listed_at` disagree; `uid` is the object in question."""

    kind: Kind
    slot: Slot
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


def snapshot(book: Book, resource: str) -> Snapshot:
    """Give what `suspicions` needs of *book*. Quick, so that a larger book does not hold up whoever else uses it."""
    return Snapshot(book.snapshot(resource), book.position(resource))


def suspicions(book: Snapshot, listing: Listing) -> tuple[Suspicion, ...]:
    """
    Give every name that may be wrong in *book*, which was looked at after *listing* was made.

    An object that the list shows at a version which the watch has passed must be on the book at that version or a
    newer one, unless it was deleted since: hence only a suspicion. The book must not have what the list does not show
    and what was last changed before it, unless the deletion is still on its way.
    """
    stored, rows = listing.stored, book.rows
    missing = [
        Suspicion(Kind.MISSING, slot, uid, listing.version)
        for slot, (uid, version) in stored.items()
        if version <= book.position and not _shows(rows.get(f"{slot.namespace}/{slot.name}"), uid, version)
    ]
    named = ((Slot(listing.resource, *key.split("/", 1)), row) for key, row in rows.items())
    phantom = [
        Suspicion(Kind.PHANTOM, slot, row.uid, listing.version)
        for slot, row in named
        if row.version <= listing.version and stored.get(slot, ("", 0))[0] != row.uid
    ]
    return (*missing, *phantom)


def look(book: Book, suspicion: Suspicion) -> Look:
    """Look at the book, before what is stored is read: `judge` needs them in this order."""
    return Look(book.row(suspicion.slot), book.position(suspicion.slot.resource))


def judge(suspicion: Suspicion, seen: Look, stored: tuple[str, int] | None) -> Verdict:
    """
    Say what becomes of *suspicion*; *stored* is uid and version that a quorum read found under the name after *seen*.

    Missing: the object was stored before the position of *seen* and is stored later, so that it was there at that very
    position, where the book does not have it. Phantom: it was gone at the version of the list, and the book still has
    it at a position that is not before that. Neither can be seen of a book that is merely late.
    """
    if suspicion.kind is Kind.MISSING:
        if stored is None or _shows(seen.row, *stored):
            return Verdict.FINE
        return Verdict.DRIFT if stored[1] <= seen.position else Verdict.OPEN
    row = seen.row
    if row is None or row.uid != suspicion.uid or row.version > suspicion.listed_at:
        return Verdict.FINE
    if stored is not None and stored[0] == suspicion.uid:
        return Verdict.FINE
    return Verdict.DRIFT if seen.position >= suspicion.listed_at else Verdict.OPEN


def _shows(row: Row | None, uid: str, version: int) -> bool:
    return row is not None and row.uid == uid and row.version >= version
