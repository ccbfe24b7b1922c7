"""
The ledger as a value: which reservations the next version keeps, and which versions a replica must have seen.

Only what neither the replica's view nor the machine nor the codec would notice.
"""

from __future__ import annotations

from dataclasses import replace

from tests.quota.bookings import held
from webhook.ledger.protocol import Ledger
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation

CLAIM = ObjectKey("persistentvolumeclaims", "red", "data")


def ledger(**reservations: Reservation) -> Ledger:
    watermarks = {"pods": 40, CLAIM.resource: 30}
    return Ledger("e1", is_open=True, write=7, settled_through=watermarks, reservations=reservations)


def test_a_rebuilt_ledger_opens_with_the_newest_versions_and_no_reservations() -> None:
    opened = Ledger.rebuilding("e1").opened({"pods": 90})

    assert opened == Ledger("e1", is_open=True, write=1, settled_through={"pods": 90})


def test_new_reservations_come_after_those_that_are_kept() -> None:
    """The order shows which creates of one name are the oldest."""
    after = ledger(b=held(uid="b"), a=held(uid="a")).followed(without={}, replaced=(), new={"0": held(uid="0")})

    assert list(after.reservations) == ["b", "a", "0"]


def test_a_settled_reservation_raises_the_watermark_of_its_resource_alone() -> None:
    claim = replace(held(uid="u2"), key=CLAIM)

    after = ledger(a=held(), b=claim).followed(without={"a": 41}, replaced=(), new={})

    assert after.reservations == {"b": claim}
    assert after.settled_through == {"pods": 41, CLAIM.resource: 30}


def test_the_watermark_is_the_highest_version_seen_and_never_falls() -> None:
    several = ledger(a=held(uid="a"), b=held(uid="b"), c=held(uid="c"))

    highest = several.followed(without={"a": 50, "b": 70, "c": 60}, replaced=(), new={})
    lower = several.followed(without={"a": 39}, replaced=(), new={})

    assert (highest.settled_through["pods"], lower.settled_through["pods"]) == (70, 40)


def test_a_reservation_that_another_replica_removed_leaves_the_watermark() -> None:
    after = ledger(a=held()).followed(without={"gone": 99}, replaced=(), new={})

    assert (list(after.reservations), after.settled_through) == (["a"], ledger().settled_through)


def test_a_replaced_reservation_that_was_settled_raises_the_watermark() -> None:
    after = ledger(a=held()).followed(without={"a": 50}, replaced=["a"], new={"c": held(5)})

    assert after.settled_through["pods"] == 50


def test_a_new_reservation_that_is_settled_already_is_written_all_the_same() -> None:
    """The next write removes it and raises the watermark then: no replica knows the token before."""
    after = ledger().followed(without={"c": 50}, replaced=(), new={"c": held()})

    assert list(after.reservations) == ["c"]
    assert after.settled_through["pods"] == 40
    assert after.followed(without={"c": 50}, replaced=(), new={}).settled_through["pods"] == 50


def test_the_version_before_is_not_touched() -> None:
    before = ledger(a=held())

    before.followed(without={"a": 50}, replaced=(), new={"b": held(uid="b")})

    assert before == ledger(a=held())


def test_a_token_that_was_never_written_has_waited_for_nothing() -> None:
    first = ledger(a=held()).aged(1000, {})
    second = first.followed(without={}, replaced=(), new={"b": held(uid="b")}).aged(1500, {"a": 400})
    third = second.followed(without={"a": 50}, replaced=(), new={}).aged(2500, {"a": 1400, "b": 900})

    assert (first.age, first.waited) == (1000, {"a": 0})
    assert (second.age, second.waited) == (1500, {"a": 400, "b": 0})
    assert (third.age, third.waited) == (2500, {"b": 900})


def test_an_age_does_not_go_back() -> None:
    assert ledger(a=held()).aged(1000, {}).aged(999, {}).age == 1000
