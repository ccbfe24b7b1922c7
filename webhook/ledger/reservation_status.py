"""
The status of reservations by a list of what is stored: for people who look into the shared ledger.

It never decides whether a reservation may be released: see `replica_view`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from webhook.ledger.replica_view import MERGED_UID
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation


class ReservationStatus(enum.Enum):
    """
    The status of one reservation.

    IN_FLIGHT: nothing is stored for it, yet or ever. STORED: its object is stored, and the next write of the ledger
    settles it. TAKEN: another object has the name. UNCLEAR: it is a merged reservation, and the object with that name
    may be of any of its creates.
    """

    IN_FLIGHT = "in flight"
    STORED = "stored"
    TAKEN = "another object has the name"
    UNCLEAR = "one of several creates may be stored"


def status_of(reservation: Reservation, stored: Mapping[ObjectKey, StoredVersion]) -> ReservationStatus:
    """Return the status of *reservation*; *stored* maps every stored object of its resource."""
    found = stored.get(reservation.key)
    if found is None:
        return ReservationStatus.IN_FLIGHT
    if found.uid == reservation.uid:
        return ReservationStatus.STORED if found.version > reservation.base else ReservationStatus.IN_FLIGHT
    return ReservationStatus.UNCLEAR if reservation.uid == MERGED_UID else ReservationStatus.TAKEN
