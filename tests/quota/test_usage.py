"""The usage index after each kind of event and reservation. Sequences of them: `test_usage_machine`."""

from __future__ import annotations

from fractions import Fraction

import pytest
from msgspec import structs

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, KEY, OTHER, bind, held, row, sums, totals
from webhook.quota.reservation import Reservation
from webhook.quota.subject import CLUSTER, user
from webhook.quota.usage import Row, UsageIndex


@pytest.fixture
def index() -> UsageIndex:
    return UsageIndex(by_payer(bind))


# Used.


def test_an_object_counts_for_every_subject_of_its_payer(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    assert [sums(index, each) for each in bind(ALICE, "red")] == [(2, 0)] * 4
    assert index.row(KEY) == row(5, 2)
    assert (index.rows("pods"), index.rows("jobs.batch")) == (1, 0)
    assert totals(index, user("alice")) == {"requests.cpu": 2}
    assert totals(index, user("bob")) == {}


def test_an_update_replaces_what_the_object_cost_before(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    index.observe(KEY, Row("u1", 6, BOB, (("pods", 1),)))
    assert sums(index) == (0, 0)
    assert totals(index, user("alice")) == {}
    assert totals(index, user("bob")) == {"pods": 1}


def test_the_returned_totals_are_a_copy(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    totals(index, CLUSTER)["requests.cpu"] = 0
    assert sums(index) == (2, 0)


def test_an_object_that_was_made_again_at_the_same_cost_has_its_own_age(index: UsageIndex) -> None:
    index.observe(KEY, structs.replace(row(5), created=100))
    again = structs.replace(row(9, uid="u2"), created=200)
    index.observe(KEY, again)
    assert index.row(KEY) == again


@pytest.mark.parametrize("version", [4, 5])
def test_an_older_or_equal_version_changes_nothing(index: UsageIndex, version: int) -> None:
    index.observe(KEY, row(5, 2))
    assert index.observe(KEY, row(version, 9)) == ()
    assert sums(index) == (2, 0)


@pytest.mark.parametrize("version", [7, 8])
def test_an_event_at_or_below_the_position_is_ignored(index: UsageIndex, version: int) -> None:
    index.observe(KEY, row(7))
    index.forget(KEY, "u1", 8)
    index.reached("pods", 8)
    assert index.observe(KEY, row(version)) == ()
    assert index.forget(KEY, "u1", version) == ()
    assert (sums(index), index.row(KEY)) == ((0, 0), None)


def test_the_positions_of_two_resources_are_independent(index: UsageIndex) -> None:
    index.reached("jobs.batch", 90)
    index.reached("pods", 9)
    index.reached("pods", 3)
    assert (index.position("jobs.batch"), index.position("pods"), index.position("jobs")) == (90, 9, 0)
    index.observe(KEY, row(10))
    assert sums(index) == (1, 0)


def test_a_late_deletion_leaves_the_object_that_has_the_name_now(index: UsageIndex) -> None:
    index.observe(KEY, row(7, 3, uid="u2"))
    index.forget(KEY, "u1", 8)
    assert sums(index) == (3, 0)


def test_another_object_under_the_name_settles_what_was_in_flight_of_the_first(index: UsageIndex) -> None:
    """A list shows it, and not the event of the end of the first."""
    index.observe(KEY, row(1, 2))
    growing = held(5, base=1)
    index.reserve(growing)
    assert sums(index) == (2, 3)

    index.list_started("pods")
    assert index.observe(KEY, row(9, 3, uid="u2")) == (growing,)
    index.list_finished("pods", 9)

    assert sums(index) == (3, 0)
    assert index.is_gone("u1")


def test_shares_of_a_device_add_up_to_exactly_one(index: UsageIndex) -> None:
    index.observe(KEY, row(1, Fraction(3, 7)))
    index.observe(OTHER, row(2, Fraction(4, 7), uid="u2"))
    assert sums(index) == (1, 0)
    index.forget(KEY, "u1", 3)
    index.forget(OTHER, "u2", 4)
    assert totals(index, CLUSTER) == {}


def test_an_object_that_costs_nothing_leaves_no_sum_behind(index: UsageIndex) -> None:
    index.observe(KEY, Row("u1", 1, ALICE, ()))
    assert (index.rows("pods"), index._used) == (1, {})


# Reserved.


def test_a_reservation_counts_until_the_object_is_seen_and_then_is_used(index: UsageIndex) -> None:
    index.reserve(held(2))
    assert sums(index) == (0, 2)
    assert index.observe(KEY, row(1, 2)) == (held(2),)
    assert (sums(index), list(index.reservations())) == ((2, 0), [])


@pytest.mark.parametrize(
    ("seen", "is_settled"),
    [
        pytest.param(row(8, uid="u1"), False, id="at its base: the update is still in flight"),
        pytest.param(row(9, uid="u1"), True, id="above its base: written, or it never will be"),
        pytest.param(row(9, uid="u2"), False, id="as another object of that name"),
    ],
)
def test_a_reservation_is_settled_when_its_object_is_seen(index: UsageIndex, seen: Row, is_settled: bool) -> None:
    index.reserve(held(5, base=8))
    assert index.observe(KEY, seen) == ((held(5, base=8),) if is_settled else ())
    assert sums(index) == ((1, 0) if is_settled else (1, 4))


@pytest.mark.parametrize(
    ("uid", "version", "is_settled"),
    [
        pytest.param("u1", 9, True, id="when it is gone above the base"),
        pytest.param("u1", 8, False, id="not when it was gone at the base, which is impossible"),
        pytest.param("u2", 9, False, id="not when another object of that name is gone"),
    ],
)
def test_a_deletion_settles_though_the_object_was_never_seen(
    index: UsageIndex, uid: str, version: int, is_settled: bool
) -> None:
    index.reserve(held(5, base=8))
    assert index.forget(KEY, uid, version) == ((held(5, base=8),) if is_settled else ())
    assert sums(index) == ((0, 0) if is_settled else (0, 5))


def test_an_update_holds_only_what_it_adds(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    index.reserve(held(3, base=5))
    assert sums(index) == (2, 1)
    index.reserve(held(1, base=4))
    assert sums(index) == (2, 1)
    assert index.held(KEY, CLUSTER, "requests.cpu") == 3


def test_a_repeated_call_holds_once_and_the_larger(index: UsageIndex) -> None:
    for amount in (2, 3, 1):
        index.reserve(held(amount))
    assert list(index.reservations()) == [held(3)]
    assert sums(index) == (0, 3)


def test_the_larger_of_two_is_taken_for_each_resource(index: UsageIndex) -> None:
    index.reserve(Reservation(KEY, "u1", 0, ALICE, (("pods", 1), ("requests.cpu", 1))))
    index.reserve(Reservation(KEY, "u1", 0, ALICE, (("gpu", 2), ("requests.cpu", 4))))
    (reservation,) = index.reservations()
    assert reservation.amounts == (("gpu", 2), ("pods", 1), ("requests.cpu", 4))


def test_two_creates_of_one_name_hold_as_much_as_the_larger(index: UsageIndex) -> None:
    index.reserve(held(2, uid="u1"))
    index.reserve(held(3, uid="u2"))
    assert sums(index) == (0, 3)
    index.drop(held(uid="u2"))
    assert sums(index) == (0, 2)


def test_a_create_under_the_name_of_an_object_under_deletion_adds_the_difference(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2, uid="old"))
    index.reserve(held(3, uid="new"))
    assert sums(index) == (2, 1)
    index.forget(KEY, "old", 6)
    assert sums(index) == (0, 3)


def test_while_an_object_is_adopted_both_payers_are_charged(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2, payer=ALICE))
    index.reserve(held(2, base=5, payer=BOB))
    assert [sums(index, user("alice")), sums(index, user("bob")), sums(index)] == [(2, 0), (0, 2), (2, 0)]
    index.observe(KEY, row(6, 2, payer=BOB))
    assert [sums(index, user("alice")), sums(index, user("bob")), sums(index)] == [(0, 0), (2, 0), (2, 0)]


def test_an_adoption_keeps_the_old_payers_reservation_on_the_same_base(index: UsageIndex) -> None:
    """Either of the two updates may be the one that is persisted."""
    index.observe(KEY, row(5, 1, payer=ALICE))
    index.reserve(held(4, base=5, payer=ALICE))
    index.reserve(held(1, base=5, payer=BOB))
    assert sums(index, user("alice")) == (1, 3)
    assert sums(index, user("bob")) == (0, 1)
    assert len(index.observe(KEY, row(6, 1, payer=BOB))) == 2
    assert sums(index, user("alice")) == (0, 0)


def test_dropping_a_reservation_twice_or_an_unknown_one_changes_nothing(index: UsageIndex) -> None:
    index.reserve(held(2))
    for _ in range(2):
        index.drop(held(2))
    index.drop(held(2, key=OTHER))
    assert sums(index) == (0, 0)


def test_what_a_key_holds_is_read_per_subject(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2, payer=ALICE))
    index.reserve(held(3, base=5, payer=BOB))
    accounts = [user("alice"), user("bob"), CLUSTER, user("carol")]
    assert [index.held(KEY, each, "requests.cpu") for each in accounts] == [2, 3, 3, 0]
    assert index.held(KEY, CLUSTER, "pods") == 0
    assert index.held(OTHER, CLUSTER, "requests.cpu") == 0
