"""The order of decisions on what is promised, of one replica: which marks are over, and by what time is decided."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from webhook.ledger.promise_order import PromiseOrder
from webhook.ledger.protocol import Ledger
from webhook.ports import PromisesChangingError
from webhook.quota.objects import StoredVersion
from webhook.quota.promises import MarkedEdit

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
EDIT = MarkedEdit("quotas", "uid", 5, was_part=True)
NEW = MarkedEdit("quotas", "uid", 0, was_part=False)
MARKED = Ledger("e", is_open=True, edits={"t": EDIT})


def order(counted_since: datetime | None = None) -> PromiseOrder:
    numbers = itertools.count()
    return PromiseOrder(new_token=lambda: f"new-{next(numbers)}", counted_since=lambda: counted_since)


def going_by(position: int, changed_at: int | None = None, **seen: int) -> PromiseOrder:
    """Return that of a replica whose watch of the policy is at *position*, and has *seen* ConfigMaps at versions."""
    found = order()
    uids = {"quotas": "uid", "others": "uid-of-others"}
    versions = {name: StoredVersion(uids[name], version) for name, version in seen.items()}
    found.policy_seen(versions, version=position)
    found.policy_in_force(versions, version=position, changed_at=position if changed_at is None else changed_at)
    return found


def passes(check: Callable[[Ledger], None], ledger: Ledger) -> bool:
    try:
        check(ledger)
    except PromisesChangingError:
        return False
    return True


def decides(found: PromiseOrder, ledger: Ledger) -> bool:
    return passes(found.require_no_open_edit, ledger)


def marking(edit: MarkedEdit) -> Ledger:
    return replace(MARKED, edits={"t": edit})


@pytest.mark.parametrize(
    ("edit", "replica", "in_force_at"),
    [
        (EDIT, going_by(5, quotas=5), 0),
        (EDIT, going_by(6, quotas=6), 6),
        (EDIT, going_by(9, quotas=8), 8),
        (EDIT, going_by(9, others=9), 9),  # it existed at the base, and does not now
        (EDIT, going_by(9, changed_at=3, others=3), 3),  # the list does not say when it went
        (EDIT, going_by(9, changed_at=0), 1),
        (EDIT, going_by(5, others=5), 0),  # the watch is not past the base
        (EDIT, going_by(4, quotas=4), 0),
        (NEW, going_by(9, others=9), 0),  # it may still be made
        (NEW, going_by(9, quotas=9), 9),
        (EDIT, order(), 0),
    ],
)
def test_an_edit_is_in_force_once_the_watch_has_shown_what_became_of_it(
    edit: MarkedEdit, replica: PromiseOrder, in_force_at: int
) -> None:
    ledger = marking(edit)

    assert decides(replica, ledger) == bool(in_force_at)
    assert replica.has_changes(ledger) == bool(in_force_at)
    following = replica.following(ledger)
    assert (following.edits, following.policy_version) == ({} if in_force_at else {"t": edit}, in_force_at)


LABELLED = EDIT._replace(was_part=False)


@pytest.mark.parametrize(
    ("replica", "is_over"),
    [(going_by(9, others=9), False), (going_by(5, quotas=5), False), (going_by(9, quotas=9), True)],
    ids=["it is no part yet", "it was one before", "it has become one"],
)
def test_an_edit_by_which_a_config_map_becomes_a_part_is_over_once_it_is_one(
    replica: PromiseOrder, is_over: bool
) -> None:
    assert decides(replica, marking(LABELLED)) == is_over


def test_what_was_a_part_before_and_is_none_may_become_one_again() -> None:
    replica = going_by(4, quotas=4)
    replica.policy_in_force({}, version=9, changed_at=9)

    assert not decides(replica, marking(LABELLED))


def test_of_a_copy_of_the_policy_it_is_not_known_which_edits_are_in_it() -> None:
    replica = order()
    replica.policy_in_force(None, version=9, changed_at=0)

    assert not decides(replica, MARKED)
    assert decides(replica, Ledger("e", is_open=True, policy_version=9))


def test_a_create_is_not_over_because_another_object_has_the_name() -> None:
    replica = order()
    replica.policy_in_force({"quotas": StoredVersion("another", 9)}, version=9, changed_at=9)

    assert not decides(replica, marking(NEW))


def test_a_create_is_over_once_what_it_made_was_seen_and_is_gone() -> None:
    replica = going_by(9, quotas=9)
    replica.policy_in_force({}, version=12, changed_at=12)

    assert decides(replica, marking(NEW))
    assert replica.following(marking(NEW)).policy_version == 12


def test_what_was_made_is_remembered_for_as_many_as_there_may_be() -> None:
    replica = going_by(9, quotas=9)
    for number in range(1000):
        replica.policy_in_force({"others": StoredVersion(f"uid-{number}", 10)}, version=10, changed_at=10)

    assert not decides(replica, marking(NEW))


def test_an_update_is_over_once_the_name_has_another_object() -> None:
    replica = order()
    replica.policy_in_force({"quotas": StoredVersion("another", 9)}, version=9, changed_at=9)

    assert decides(replica, MARKED)


def test_a_replica_that_goes_by_an_older_policy_than_another_does_not_decide() -> None:
    ledger = Ledger("e", is_open=True, policy_version=9)

    assert not decides(going_by(8, quotas=8), ledger)
    assert decides(going_by(9, quotas=9), ledger)
    with pytest.raises(
        PromisesChangingError,
        match="the policy of version 8 in force, and version 9 is newer: ",
    ):
        going_by(8, quotas=8).require_no_open_edit(ledger)


def test_the_version_of_the_policy_never_goes_down() -> None:
    ledger = replace(MARKED, policy_version=20)

    assert going_by(6, quotas=6).following(ledger).policy_version == 20


def test_a_mark_is_in_what_the_next_swap_writes() -> None:
    replica = order()
    token = replica.mark(EDIT, since=None)

    assert replica.has_marks
    following = replica.following(Ledger("e", is_open=True))
    assert following.edits == {token: EDIT}
    replica.take_in(following)
    assert not replica.has_marks
    assert not decides(replica, following)


def test_a_mark_of_which_the_swap_was_lost_is_forgotten() -> None:
    replica = order()
    replica.mark(EDIT, since=NOON)
    replica.undo()

    assert replica.following(Ledger("e", is_open=True)) == Ledger("e", is_open=True)


def test_an_edit_that_was_refused_does_not_raise_the_version() -> None:
    replica = going_by(9, quotas=9)
    replica.unmark("t")

    assert replica.has_changes(MARKED)
    following = replica.following(MARKED)
    assert (following.edits, following.policy_version) == ({}, 0)
    assert decides(replica, MARKED)


def test_what_was_unmarked_before_its_swap_was_seen_stays_unmarked() -> None:
    replica = order()
    token = replica.mark(EDIT, since=None)
    replica.unmark(token)

    assert not replica.has_marks
    assert decides(replica, replace(MARKED, edits={token: EDIT}))


def test_a_token_that_was_unmarked_is_forgotten_once_the_ledger_is_without_it() -> None:
    replica = order()
    replica.unmark("t")
    replica.take_in(Ledger("e", is_open=True))

    assert not decides(replica, MARKED)


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_what_has_begun_or_ended_by_what_is_counted_is_written() -> None:
    moment = NOON + timedelta(microseconds=1)

    assert order(moment).following(MARKED).promised_at == micros(moment)
    assert order(moment).following(replace(MARKED, promised_at=2**60)).promised_at == 2**60
    assert order().following(MARKED).promised_at == 0


def test_what_an_edit_is_judged_by_is_written_with_its_mark_only() -> None:
    replica = order()
    replica.mark(EDIT, since=NOON)
    following = replica.following(MARKED)
    assert following.promised_at == micros(NOON)

    replica.take_in(following)
    assert replica.following(Ledger("e", is_open=True)).promised_at == 0


def test_each_mark_of_one_swap_is_judged_by_its_own_time() -> None:
    replica = order()
    replica.mark(EDIT, since=NOON)
    replica.mark(NEW, since=None)

    assert replica.following(MARKED).promised_at == micros(NOON)


@pytest.mark.parametrize(
    ("ahead", "decided_at"),
    [(timedelta(0), 0), (timedelta(seconds=-9), 0), (timedelta(seconds=9), 9), (timedelta(minutes=5), 300)],
)
def test_the_time_is_the_later_of_the_clock_and_of_what_others_have_decided_by(
    ahead: timedelta, decided_at: int
) -> None:
    ledger = replace(MARKED, promised_at=micros(NOON + ahead))

    assert order().time(ledger, NOON) == NOON + timedelta(seconds=decided_at)


def test_a_clock_that_is_far_ahead_is_not_believed() -> None:
    ledger = replace(MARKED, promised_at=micros(NOON + timedelta(minutes=5, microseconds=1)))

    assert order().time(ledger, NOON) == NOON
    assert order().time(Ledger("e", is_open=True), NOON) == NOON


def may_mark(found: PromiseOrder, ledger: Ledger) -> bool:
    return passes(found.check_may_mark, ledger)


def test_an_edit_is_marked_once_the_watch_shows_the_one_before_be_it_in_force_or_not() -> None:
    replica = going_by(5, quotas=5)
    assert not may_mark(replica, MARKED)

    replica.policy_seen({"quotas": StoredVersion("uid", 6)}, version=6)  # it has mistakes, which an edit has to mend

    assert may_mark(replica, MARKED)
    assert not decides(replica, MARKED)


def test_a_create_that_is_seen_and_not_in_force_holds_decisions_up() -> None:
    replica = going_by(5)
    replica.policy_seen({"quotas": StoredVersion("uid", 6)}, version=6)

    assert may_mark(replica, marking(NEW))
    assert not decides(replica, marking(NEW))


def test_an_edit_is_marked_by_a_replica_that_has_seen_the_newest_policy() -> None:
    ledger = Ledger("e", is_open=True, policy_version=9)

    assert not may_mark(going_by(8, quotas=8), ledger)
    assert may_mark(going_by(9, quotas=9), ledger)


def test_a_mark_that_was_taken_back_keeps_no_other_from_being_made() -> None:
    replica = order()
    replica.unmark("t")

    assert may_mark(replica, MARKED)
