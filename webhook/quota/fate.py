"""
What became of reservations, as far as a list of what is stored tells: for people who look into the shared ledger.

Whether a reservation may be let go is never decided by this: see `ledger_mirror`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from webhook.quota.charge import Reservation, Slot
from webhook.quota.ledger_mirror import ANY_UID


class Fate(enum.Enum):
    """
    What a list says of one reservation.

    IN_FLIGHT: nothing is stored for it, yet or ever. STORED: its object is there, and the next write of the ledger
    settles it. TAKEN: another object has the name. UNCLEAR: it stands for several creates of one name, and the object
    that has the name may be any of them.
    """

    IN_FLIGHT = "in flight"
    STORED = "stored"
    TAKEN = "another object has the name"
    UNCLEAR = "one of several creates may be stored"


def fate(reservation: Reservation, stored: Mapping[Slot, tuple[str, int]]) -> Fate:
    """Say what became of *reservation*; *stored* has uid and version of everything of its resource by name."""
    found = stored.get(reservation.slot)
    if found is None:
        return Fate.IN_FLIGHT
    uid, version = found
    if uid == reservation.uid:
        return Fate.STORED if version > reservation.base else Fate.IN_FLIGHT
    return Fate.UNCLEAR if reservation.uid == ANY_UID else Fate.TAKEN
