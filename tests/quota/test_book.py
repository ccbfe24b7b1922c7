"""What the book says after each kind of sighting and reservation, one at a time. Sequences: `test_book_machine`."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.quota.bookings import ALICE, BOB, OTHER, SLOT, bind, held, row, sums
from webhook.quota.book import Book, Row
from webhook.quota.charge import Reservation
from webhook.quota.subject import CLUSTER, user


@pytest.fixture
def book() -> Book:
    return Book(bind)


# Used.


def test_an_object_is_used_on_every_account_of_its_payer(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    assert [sums(book, each) for each in bind(ALICE, "red")] == [(2, 0)] * 4
    assert book.row(SLOT) == row(5, 2)
    assert (book.rows("pods"), book.rows("jobs.batch")) == (1, 0)
    assert book.totals(user("alice")) == {"requests.cpu": 2}
    assert book.totals(user("bob")) == {}


def test_an_update_replaces_what_the_object_cost_before(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.observe(SLOT, Row("u1", 6, BOB, (("pods", 1),)))
    assert sums(book) == (0, 0)
    assert book.totals(user("alice")) == {}
    assert book.totals(user("bob")) == {"pods": 1}


def test_what_is_given_out_is_a_copy(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.totals(CLUSTER)["requests.cpu"] = 0
    assert sums(book) == (2, 0)


@pytest.mark.parametrize("version", [4, 5])
def test_an_older_or_equal_version_changes_nothing(book: Book, version: int) -> None:
    book.observe(SLOT, row(5, 2))
    assert book.observe(SLOT, row(version, 9)) == ()
    assert sums(book) == (2, 0)


@pytest.mark.parametrize("version", [7, 8])
def test_what_was_told_before_the_position_brings_nothing_back(book: Book, version: int) -> None:
    book.observe(SLOT, row(7))
    book.forget(SLOT, "u1", 8)
    book.reached("pods", 8)
    assert book.observe(SLOT, row(version)) == ()
    assert book.forget(SLOT, "u1", version) == ()
    assert (sums(book), book.row(SLOT)) == ((0, 0), None)


def test_the_positions_of_two_resources_have_nothing_to_do_with_each_other(book: Book) -> None:
    book.reached("jobs.batch", 90)
    book.reached("pods", 9)
    book.reached("pods", 3)
    assert (book.position("jobs.batch"), book.position("pods"), book.position("jobs")) == (90, 9, 0)
    book.observe(SLOT, row(10))
    assert sums(book) == (1, 0)


def test_a_deletion_told_late_leaves_the_object_that_has_the_name_now(book: Book) -> None:
    book.observe(SLOT, row(7, 3, uid="u2"))
    book.forget(SLOT, "u1", 8)
    assert sums(book) == (3, 0)


def test_shares_of_a_device_add_up_to_exactly_one(book: Book) -> None:
    book.observe(SLOT, row(1, Fraction(3, 7)))
    book.observe(OTHER, row(2, Fraction(4, 7), uid="u2"))
    assert sums(book) == (1, 0)
    book.forget(SLOT, "u1", 3)
    book.forget(OTHER, "u2", 4)
    assert book.totals(CLUSTER) == {}


def test_an_object_that_costs_nothing_leaves_no_sum_behind(book: Book) -> None:
    book.observe(SLOT, Row("u1", 1, ALICE, ()))
    assert (book.rows("pods"), book._used) == (1, {})


# Reserved.


def test_a_reservation_counts_until_the_object_is_seen_and_then_is_used(book: Book) -> None:
    book.reserve(held(2))
    assert sums(book) == (0, 2)
    assert book.observe(SLOT, row(1, 2)) == (held(2),)
    assert (sums(book), list(book.reservations())) == ((2, 0), [])


@pytest.mark.parametrize(
    ("seen", "is_settled"),
    [
        pytest.param(row(8, uid="u1"), False, id="at its base: the update is still under way"),
        pytest.param(row(9, uid="u1"), True, id="above its base: done, or never to be done"),
        pytest.param(row(9, uid="u2"), False, id="as another object of that name"),
    ],
)
def test_a_reservation_is_settled_when_its_object_is_seen(book: Book, seen: Row, is_settled: bool) -> None:
    book.reserve(held(5, base=8))
    assert book.observe(SLOT, seen) == ((held(5, base=8),) if is_settled else ())
    assert sums(book) == ((1, 0) if is_settled else (1, 4))


@pytest.mark.parametrize(
    ("uid", "version", "is_settled"),
    [
        pytest.param("u1", 9, True, id="when it is gone above the base"),
        pytest.param("u1", 8, False, id="not when it was gone at the base, which cannot be"),
        pytest.param("u2", 9, False, id="not when another object of that name is gone"),
    ],
)
def test_a_deletion_settles_though_the_object_was_never_seen(
    book: Book, uid: str, version: int, is_settled: bool
) -> None:
    book.reserve(held(5, base=8))
    assert book.forget(SLOT, uid, version) == ((held(5, base=8),) if is_settled else ())
    assert sums(book) == ((0, 0) if is_settled else (0, 5))


def test_an_update_holds_only_what_it_adds(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.reserve(held(3, base=5))
    assert sums(book) == (2, 1)
    book.reserve(held(1, base=4))
    assert sums(book) == (2, 1)
    assert book.held(SLOT, CLUSTER, "requests.cpu") == 3


def test_a_repeated_call_holds_once_and_the_larger(book: Book) -> None:
    for amount in (2, 3, 1):
        book.reserve(held(amount))
    assert list(book.reservations()) == [held(3)]
    assert sums(book) == (0, 3)


def test_the_larger_of_two_is_taken_for_each_resource(book: Book) -> None:
    book.reserve(Reservation(SLOT, "u1", 0, ALICE, (("pods", 1), ("requests.cpu", 1))))
    book.reserve(Reservation(SLOT, "u1", 0, ALICE, (("gpu", 2), ("requests.cpu", 4))))
    (reservation,) = book.reservations()
    assert reservation.amounts == (("gpu", 2), ("pods", 1), ("requests.cpu", 4))


def test_two_creates_of_one_name_hold_as_much_as_the_larger(book: Book) -> None:
    book.reserve(held(2, uid="u1"))
    book.reserve(held(3, uid="u2"))
    assert sums(book) == (0, 3)
    book.drop(held(uid="u2"))
    assert sums(book) == (0, 2)


def test_a_create_into_the_name_of_an_object_that_is_about_to_go_counts_beside_nothing(book: Book) -> None:
    book.observe(SLOT, row(5, 2, uid="old"))
    book.reserve(held(3, uid="new"))
    assert sums(book) == (2, 1)
    book.forget(SLOT, "old", 6)
    assert sums(book) == (0, 3)


def test_while_an_object_is_adopted_both_payers_are_charged(book: Book) -> None:
    book.observe(SLOT, row(5, 2, payer=ALICE))
    book.reserve(held(2, base=5, payer=BOB))
    assert [sums(book, user("alice")), sums(book, user("bob")), sums(book)] == [(2, 0), (0, 2), (2, 0)]
    book.observe(SLOT, row(6, 2, payer=BOB))
    assert [sums(book, user("alice")), sums(book, user("bob")), sums(book)] == [(0, 0), (2, 0), (2, 0)]


def test_an_adoption_does_not_let_go_of_what_the_old_payer_has_in_flight_on_the_same_base(book: Book) -> None:
    """Either of the two updates may be the one that is persisted."""
    book.observe(SLOT, row(5, 1, payer=ALICE))
    book.reserve(held(4, base=5, payer=ALICE))
    book.reserve(held(1, base=5, payer=BOB))
    assert sums(book, user("alice")) == (1, 3)
    assert sums(book, user("bob")) == (0, 1)
    assert len(book.observe(SLOT, row(6, 1, payer=BOB))) == 2
    assert sums(book, user("alice")) == (0, 0)


def test_what_is_dropped_twice_or_was_never_held_changes_nothing(book: Book) -> None:
    book.reserve(held(2))
    for _ in range(2):
        book.drop(held(2))
    book.drop(held(2, slot=OTHER))
    assert sums(book) == (0, 0)


def test_what_is_held_of_a_name_is_asked_per_account(book: Book) -> None:
    book.observe(SLOT, row(5, 2, payer=ALICE))
    book.reserve(held(3, base=5, payer=BOB))
    accounts = [user("alice"), user("bob"), CLUSTER, user("carol")]
    assert [book.held(SLOT, each, "requests.cpu") for each in accounts] == [2, 3, 3, 0]
    assert book.held(SLOT, CLUSTER, "pods") == 0
    assert book.held(OTHER, CLUSTER, "requests.cpu") == 0
