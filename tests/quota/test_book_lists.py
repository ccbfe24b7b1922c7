"""What a full list does to the book, and what a change of everybody's accounts does."""

from __future__ import annotations

import pytest

from tests.quota.bookings import ALICE, BOB, OTHER, SLOT, bind, held, row, sums
from webhook.quota.book import Book, StaleListError
from webhook.quota.charge import Slot
from webhook.quota.subject import CLUSTER, Payer, Subject


@pytest.fixture
def book() -> Book:
    return Book(bind)


def test_a_list_removes_what_it_does_not_show_and_settles_what_was_in_flight_for_it(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.observe(OTHER, row(6, 4, uid="u2"))
    book.reserve(held(3, base=5))
    book.list_started("pods")
    book.observe(OTHER, row(6, 4, uid="u2"))
    assert sums(book) == (6, 1)
    assert book.list_finished("pods", 9) == (held(3, base=5),)
    assert (sums(book), book.position("pods")) == ((4, 0), 9)


def test_a_list_of_one_resource_leaves_the_others(book: Book) -> None:
    book.observe(Slot("jobs.batch", "red", "web"), row(5, 2))
    book.list_started("pods")
    book.list_finished("pods", 9)
    assert sums(book) == (2, 0)


def test_a_list_brings_back_what_an_older_position_would_hide(book: Book) -> None:
    """A list repairs: what was missed, for whatever reason, is told with a version that is long past."""
    book.reached("pods", 9)
    book.list_started("pods")
    book.observe(SLOT, row(5, 2))
    book.list_finished("pods", 9)
    assert sums(book) == (2, 0)


def test_a_list_that_is_older_than_what_is_known_removes_nothing(book: Book) -> None:
    book.observe(SLOT, row(9, 2))
    book.reached("pods", 9)
    book.list_started("pods")
    with pytest.raises(StaleListError, match=r"^the list of pods is of version 8, 9 was seen$"):
        book.list_finished("pods", 8)
    assert (sums(book), book.position("pods")) == ((2, 0), 9)


def test_a_session_that_runs_again_stays_though_an_old_list_shows_it_stopped(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.reserve(held(3, base=5))
    book.list_started("pods")
    assert book.forget(SLOT, "u1", 4) == ()
    assert sums(book) == (2, 1)


def test_what_only_an_old_list_has_shown_goes_with_the_next_one(book: Book) -> None:
    book.reached("pods", 9)
    book.list_started("pods")
    book.observe(SLOT, row(5, 2))
    with pytest.raises(StaleListError):
        book.list_finished("pods", 8)
    assert sums(book) == (2, 0), "too much is counted rather than too little"
    book.list_started("pods")
    book.list_finished("pods", 9)
    assert sums(book) == (0, 0)


def test_a_second_start_forgets_what_the_first_list_has_shown(book: Book) -> None:
    book.list_started("pods")
    book.observe(SLOT, row(5, 2))
    book.list_started("pods")
    book.list_finished("pods", 9)
    assert sums(book) == (0, 0)


def test_a_list_leaves_what_is_newer_than_itself(book: Book) -> None:
    book.observe(SLOT, row(12, 2))
    book.list_started("pods")
    book.list_finished("pods", 9)
    assert sums(book) == (2, 0)


# Accounts.


def test_another_binding_moves_what_is_used_and_reserved(book: Book) -> None:
    book.observe(SLOT, row(5, 2))
    book.reserve(held(3, base=5))
    book.reserve(held(1, uid="u2", slot=OTHER))
    book.rebind(lambda *_: (Subject("tenant/new"),))
    assert [sums(book, Subject("tenant/new")), sums(book)] == [(2, 2), (0, 0)]
    book.forget(SLOT, "u1", 6)
    book.drop(held(1, uid="u2", slot=OTHER))
    assert book._used == book._reserved == {}


def test_the_same_binding_costs_one_question_for_each_pair_that_is_booked(book: Book) -> None:
    for number in range(5):
        book.observe(Slot("pods", "red", f"web-{number}"), row(5, uid=f"u{number}"))
    book.reserve(held(payer=BOB, slot=Slot("pods", "blue", "web")))
    asked: list[tuple[Payer, str]] = []

    def listening(payer: Payer, name: str) -> tuple[Subject, ...]:
        asked.append((payer, name))
        return bind(payer, name)

    book.rebind(listening)
    assert sorted(asked) == [(ALICE, "red"), (BOB, "blue")]
    assert sums(book) == (5, 1)


def test_who_is_gone_is_forgotten_with_the_next_binding(book: Book) -> None:
    """Every build of a CI system has a namespace of its own, and is gone a minute later."""
    for number in range(4096):
        slot = Slot("pods", f"ci-{number}", "web")
        book.observe(slot, row(2 * number + 1))
        book.forget(slot, "u1", 2 * number + 2)
    book.observe(SLOT, row(9000))
    book.reserve(held(payer=BOB, slot=OTHER))
    book.rebind(bind)
    assert sorted(book._bound) == [(ALICE, "red"), (BOB, "red")]
    assert sums(book) == (1, 1)


def test_more_payers_than_are_kept_once_are_counted_all_the_same() -> None:
    book = Book(lambda *_: (CLUSTER,))
    for number in range(65_540):
        book.observe(Slot("pods", "red", str(number)), row(number + 1, payer=Payer(f"user-{number}")))
    assert sums(book) == (65_540, 0)
    assert len(book._payers) < 100
