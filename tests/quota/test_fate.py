"""What a list of pods says of the reservations of a ledger."""

from __future__ import annotations

import pytest

from tests.quota.bookings import SLOT, held
from webhook.quota.charge import Reservation
from webhook.quota.fate import Fate, fate
from webhook.quota.ledger_mirror import ANY_UID

CASES: dict[str, tuple[Reservation, tuple[str, int] | None, Fate]] = {
    "a create, and nothing is stored": (held(), None, Fate.IN_FLIGHT),
    "a create that is stored": (held(), ("u1", 5), Fate.STORED),
    "a create, and another object has the name": (held(), ("u2", 5), Fate.TAKEN),
    "an update that is not stored yet": (held(base=5), ("u1", 5), Fate.IN_FLIGHT),
    "an update, and something newer is stored": (held(base=5), ("u1", 6), Fate.STORED),
    "an update of an object that is gone": (held(base=5), None, Fate.IN_FLIGHT),
    "several creates of one name, and nothing is stored": (held(uid=ANY_UID), None, Fate.IN_FLIGHT),
    "several creates of one name, and something is stored": (held(uid=ANY_UID), ("u1", 5), Fate.UNCLEAR),
}


@pytest.mark.parametrize(("reservation", "found", "expected"), CASES.values(), ids=CASES.keys())
def test_the_fate_of_a_reservation_follows_from_what_has_its_name(
    reservation: Reservation, found: tuple[str, int] | None, expected: Fate
) -> None:
    assert fate(reservation, {} if found is None else {SLOT: found}) == expected
