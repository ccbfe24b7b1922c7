"""What a list of pods says of the reservations of a ledger."""

from __future__ import annotations

import pytest

from tests.quota.bookings import KEY, held
from webhook.ledger.replica_view import MERGED_UID
from webhook.ledger.reservation_status import ReservationStatus, status_of
from webhook.quota.objects import StoredVersion
from webhook.quota.reservation import Reservation

CASES: dict[str, tuple[Reservation, StoredVersion | None, ReservationStatus]] = {
    "a create, and nothing is stored": (held(), None, ReservationStatus.IN_FLIGHT),
    "a create that is stored": (held(), StoredVersion("u1", 5), ReservationStatus.STORED),
    "a create, and another object has the name": (held(), StoredVersion("u2", 5), ReservationStatus.TAKEN),
    "an update that is not stored yet": (held(base=5), StoredVersion("u1", 5), ReservationStatus.IN_FLIGHT),
    "an update, and something newer is stored": (held(base=5), StoredVersion("u1", 6), ReservationStatus.STORED),
    "an update of an object that is gone": (held(base=5), None, ReservationStatus.IN_FLIGHT),
    "several creates of one name, and nothing is stored": (held(uid=MERGED_UID), None, ReservationStatus.IN_FLIGHT),
    "several creates of one name, and something is stored": (
        held(uid=MERGED_UID),
        StoredVersion("u1", 5),
        ReservationStatus.UNCLEAR,
    ),
}


@pytest.mark.parametrize(("reservation", "found", "expected"), CASES.values(), ids=CASES.keys())
def test_the_fate_of_a_reservation_follows_from_what_has_its_name(
    reservation: Reservation, found: StoredVersion | None, expected: ReservationStatus
) -> None:
    assert status_of(reservation, {} if found is None else {KEY: found}) == expected
