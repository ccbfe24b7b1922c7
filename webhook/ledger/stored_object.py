"""
What a stored object tells about a reservation: whether it is the object that was allowed, and whether it counts. And
what a stored ConfigMap tells about a marked edit.

Looking it up is for the ledgers.
"""

from __future__ import annotations

from webhook.ports import StoredPolicyMap
from webhook.quota.objects import StoredVersion
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Reservation
from webhook.quota.usage import UsageIndex


def is_stored(reservation: Reservation, found: StoredVersion | None) -> bool:
    """Whether *found*, stored under its key, is the object that was allowed, written after the base."""
    return found is not None and found.uid == reservation.uid and found.version > reservation.base


def is_left_out(reservation: Reservation, found: StoredVersion, index: UsageIndex) -> bool:
    """
    Whether the object of *reservation*, stored as *found*, does not count: our watch has passed it, and left it out.

    So it is where a namespace becomes exempt after its object was allowed. An object that has gone since is no such
    case: its reservation was settled when the watch showed that.
    """
    row = index.row(reservation.key)
    return index.position(reservation.key.resource) >= found.version and (row is None or row.uid != found.uid)


def came_to_nothing(edit: MarkedEdit, found: StoredPolicyMap | None) -> bool:
    """
    Whether *edit*, which can no longer be stored, was not: *found* is what is stored of its ConfigMap.

    A ConfigMap that was part of the policy and is not now may be so by the edit, and one that is newer than the base
    may be what was written: a watch shows either.
    """
    if found is None or found.uid != edit.uid or not found.is_part:
        return not edit.was_part
    return found.version <= edit.base
