"""The ledger as a value: what the next version keeps, and how far who decides must have seen."""

from __future__ import annotations

from dataclasses import replace

from tests.quota.bookings import BOB, OTHER, held
from webhook.ledger.protocol import Ledger
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation

CLAIM = ObjectKey("persistentvolumeclaims", "red", "data")


def ledger(**reservations: Reservation) -> Ledger:
    return Ledger("e1", is_open=True, write=7, settled_through={"pods": 40}, reservations=reservations)


def test_a_first_ledger_says_that_it_followed_no_other_and_is_opened_by_whoever_made_it() -> None:
    first = Ledger.first("e1")

    assert first.is_first
    assert not first.is_open  # its text does not name its object yet: a copy of it must open nothing
    assert first.opened({}) == Ledger(first.epoch, is_open=True, write=1)


def test_a_ledger_in_the_place_of_a_lost_one_is_closed_and_no_first() -> None:
    lost = Ledger.rebuilding("e1")

    assert not lost.is_first
    assert not lost.is_open


def test_it_still_says_that_it_followed_no_other_after_any_write() -> None:
    assert Ledger.first("e1").followed(without={}, replaced=(), new={"t": held()}).is_first


def test_it_opens_with_the_newest_versions_and_nothing_in_flight() -> None:
    opened = Ledger.rebuilding("e1").opened({"pods": 90})

    assert opened == Ledger("e1", is_open=True, write=1, settled_through={"pods": 90})


def test_each_version_counts_one_up_and_keeps_its_epoch() -> None:
    after = ledger().followed(without={}, replaced=(), new={})

    assert (after.epoch, after.write) == ("e1", 8)


def test_what_is_new_comes_after_what_is_kept() -> None:
    """The order tells which creates of one name are the oldest."""
    after = ledger(b=held(uid="b"), a=held(uid="a")).followed(without={}, replaced=(), new={"0": held(uid="0")})

    assert list(after.reservations) == ["b", "a", "0"]


def test_what_was_seen_goes_and_raises_the_mark_of_its_resource_alone() -> None:
    claim = replace(held(uid="u2"), key=CLAIM)

    after = ledger(a=held(), b=claim).followed(without={"a": 41}, replaced=(), new={})

    assert after.reservations == {"b": claim}
    assert after.settled_through == {"pods": 41}


def test_the_first_of_a_resource_that_was_seen_makes_its_mark() -> None:
    after = ledger(b=replace(held(), key=CLAIM)).followed(without={"b": 3}, replaced=(), new={})

    assert after.settled_through == {"pods": 40, "persistentvolumeclaims": 3}


def test_the_mark_never_falls() -> None:
    """Who has not seen the one at 40 still has to wait for it."""
    assert ledger(a=held()).followed(without={"a": 39}, replaced=(), new={}).settled_through == {"pods": 40}


def test_the_mark_is_the_highest_of_several() -> None:
    several = ledger(a=held(uid="a"), b=held(uid="b"), c=held(uid="c"))

    assert several.followed(without={"a": 50, "b": 70, "c": 60}, replaced=(), new={}).settled_through == {"pods": 70}


def test_what_there_is_nothing_to_see_of_goes_and_leaves_the_mark() -> None:
    after = ledger(a=held()).followed(without={"a": 0}, replaced=(), new={})

    assert (dict(after.reservations), dict(after.settled_through)) == ({}, {"pods": 40})


def test_what_another_replica_took_out_already_leaves_the_mark() -> None:
    after = ledger(a=held()).followed(without={"gone": 99}, replaced=(), new={})

    assert (list(after.reservations), dict(after.settled_through)) == (["a"], {"pods": 40})


def test_what_is_replaced_goes_and_leaves_the_mark() -> None:
    larger = held(5)

    after = ledger(a=held(), b=held(key=OTHER, payer=BOB)).followed(without={}, replaced=["a"], new={"c": larger})

    assert list(after.reservations) == ["b", "c"]
    assert after.reservations["c"] == larger
    assert after.settled_through == {"pods": 40}


def test_what_is_replaced_and_was_seen_raises_the_mark() -> None:
    after = ledger(a=held()).followed(without={"a": 50}, replaced=["a"], new={"c": held(5)})

    assert after.settled_through == {"pods": 50}


def test_what_is_new_and_was_seen_while_it_was_written_is_written_all_the_same() -> None:
    """It is taken out with the next write, which raises the mark then: nobody knows of the token before."""
    after = ledger().followed(without={"c": 50}, replaced=(), new={"c": held()})

    assert list(after.reservations) == ["c"]
    assert after.settled_through == {"pods": 40}
    assert after.followed(without={"c": 50}, replaced=(), new={}).settled_through == {"pods": 50}


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
