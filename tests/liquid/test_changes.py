"""What becomes of the commitments that are known when a broker asks for changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.liquid.scenes import changeset, classes, commitment, request
from webhook.liquid.changes import changed
from webhook.liquid.offers import offers_of
from webhook.liquid.requests import MalformedError, read_changes
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.quota.transfer_offer import TransferOffer, digest_of

UUID = "2f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01"
END = datetime(2028, 1, 1, tzinfo=UTC)
KNOWN = Commitment(UUID, tenant("research"), Pool("h100", "a"), {"gpu": 10 * NANOS}, State.CONFIRMED, None, END)
OTHER = Commitment("of-an-admin", tenant("ads"), Pool("h100", "a"), {"gpu": NANOS})
TENANTS = {"p-1": "research", "p-2": "ads"}


def after(known: dict[str, Commitment], by_project: Any = None) -> dict[str, Commitment]:
    return changed(known, read_changes(request(by_project)), offers_of(classes()), TENANTS)


def of(change: dict[str, Any], *, project: str = "p-1", resource: str = "h100_gpu", **sums: Any) -> dict[str, Any]:
    return {project: {"byResource": {resource: changeset(change, **sums)}}}


def test_a_new_one_is_promised_to_the_tenant_in_exact_amounts() -> None:
    assert after({"of-an-admin": OTHER}) == {"of-an-admin": OTHER, UUID: KNOWN}
    memory = of(commitment(amount=3), resource="h100_memory", confirmed=(0, 3))
    assert after({}, memory)[UUID].amounts == {"requests.memory": 3 * 2**20 * NANOS}


@pytest.mark.parametrize(("old", "new"), [("confirmed", "expired"), ("confirmed", "superseded"), ("confirmed", None)])
def test_what_is_over_or_deleted_goes(old: str, new: str | None) -> None:
    change = of(commitment(oldStatus=old, newStatus=new), confirmed=(10, 0))
    assert after({UUID: KNOWN, "of-an-admin": OTHER}, change) == {"of-an-admin": OTHER}
    assert after({}, change) == {}


def test_another_state_and_another_end_take_the_place_of_the_former() -> None:
    change = of(
        commitment(oldStatus="guaranteed", newStatus="confirmed", confirmBy="2026-12-01T00:00:00Z"),
        confirmed=(0, 10),
        guaranteed=(10, 0),
    )
    found = after({UUID: KNOWN}, change)[UUID]
    assert (found.state, found.begins, found.ends) == (State.CONFIRMED, datetime(2026, 12, 1, tzinfo=UTC), END)


@pytest.mark.parametrize("projects", [("p-1", "p-2"), ("p-2", "p-1")])
def test_one_that_moves_is_there_once_in_whatever_order_its_projects_are_named(projects: tuple[str, str]) -> None:
    gone = of(commitment(oldStatus="confirmed", newStatus=None), project="p-1", confirmed=(10, 0))
    come = of(commitment(), project="p-2", confirmed=(0, 10))
    by_project = {name: (gone | come)[name] for name in projects}
    found = after({UUID: KNOWN}, by_project)
    assert [each.holder for each in found.values()] == ["tenant/ads"]
    assert after(found, by_project) == found


def test_what_is_offered_here_stays_so_unless_it_moves_or_its_amount_changes() -> None:
    offer = TransferOffer(digest_of("4f1c"))
    known = {UUID: replace(KNOWN, offer=offer)}
    prolonged = of(commitment(oldStatus="confirmed", expiresAt="2029-01-01T00:00:00Z"), confirmed=(10, 10))
    found = after(known, prolonged)[UUID]
    assert (found.ends, found.offer) == (datetime(2029, 1, 1, tzinfo=UTC), offer)
    gone = of(commitment(oldStatus="confirmed", newStatus=None), project="p-1", confirmed=(10, 0))
    come = of(commitment(), project="p-2", confirmed=(0, 10))
    assert after(known, gone | come)[UUID].offer is None
    assert after(known, of(commitment(oldStatus="confirmed", amount=9), confirmed=(10, 10)))[UUID].offer is None


def test_what_is_guaranteed_says_when_it_begins() -> None:
    with pytest.raises(MalformedError, match=rf"commitment {UUID}: confirmBy: what is guaranteed begins later"):
        after({}, of(commitment(newStatus="guaranteed"), confirmed=(0, 0), guaranteed=(0, 10)))
