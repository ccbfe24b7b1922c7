"""What one replica makes of the shared ledger: for each reservation the ledger's entry or the object, never both."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import by_payer, grants_of
from tests.quota.bookings import ALICE, BOB, KEY, OTHER, bind, cpu, held, row, sums
from webhook.ledger.protocol import Ledger
from webhook.ledger.replica_view import MERGED_UID, MOST_PER_NAME, ReplicaView
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation
from webhook.quota.subject import Payer, user
from webhook.quota.usage import UsageIndex

THIRD = ObjectKey("pods", "red", "third")


@dataclass
class Replica:
    """A usage index and a view of the ledger, and a watch that a test moves."""

    name: str = "r"
    index: UsageIndex = field(default_factory=lambda: UsageIndex(by_payer(bind)))
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    charged: tuple[str, ...] = ("pods",)

    def __post_init__(self) -> None:
        self.view = ReplicaView(
            self.index,
            charged=self.charged,
            new_token=lambda: f"{self.name}{next(self.numbers)}",
            grants=grants_of(self.name),
        )

    def sees(
        self, version: int, amount: int = 1, *, uid: str = "u1", payer: Payer = ALICE, key: ObjectKey = KEY
    ) -> None:
        settled = self.index.observe(key, row(version, amount, uid=uid, payer=payer))
        self.view.settle(settled, seen_at=version)
        self.index.reached("pods", version)

    def sees_go(self, version: int, *, uid: str = "u1", key: ObjectKey = KEY) -> None:
        self.view.settle(self.index.forget(key, uid, version), seen_at=0)
        self.index.reached("pods", version)

    def writes(self) -> Ledger:
        """Swap, as the first to do so."""
        ledger = self.view.next_version()
        self.view.written(ledger)
        return ledger

    def holds(self, *reservations: Reservation) -> Ledger:
        """Hold for good."""
        for each in reservations:
            self.view.hold(each)
        return self.writes()

    @property
    def claims(self) -> Counter[Reservation]:
        return Counter(self.index.reservations())


def ledger(**reservations: Reservation) -> Ledger:
    return Ledger("e1", is_open=True, write=7, reservations=reservations)


@pytest.fixture
def replica() -> Replica:
    replica = Replica()
    replica.view.take_in(ledger())
    return replica


# Reading.


def test_before_anything_is_read_the_ledger_is_not_open() -> None:
    assert not Replica().view.ledger.is_open


def test_what_others_reserved_is_in_the_index(replica: Replica) -> None:
    replica.view.take_in(ledger(a=held(2), b=held(3, uid="u2", key=OTHER, payer=BOB)))

    assert sums(replica.index) == (0, 5)
    assert (replica.view.in_flight("alice"), replica.view.in_flight("bob")) == (1, 1)


def test_what_others_removed_leaves_the_index(replica: Replica) -> None:
    replica.view.take_in(ledger(a=held(2), b=held(3, uid="u2", key=OTHER)))

    replica.view.take_in(ledger(b=held(3, uid="u2", key=OTHER)))

    assert sums(replica.index) == (0, 3)
    assert replica.view.in_flight("alice") == 1


def test_the_same_version_read_again_changes_nothing(replica: Replica) -> None:
    for _ in range(3):
        replica.view.take_in(ledger(a=held(2)))

    assert sums(replica.index) == (0, 2)
    assert replica.view.in_flight("alice") == 1


def test_an_attempt_that_another_replica_holds_anew_is_held_once(replica: Replica) -> None:
    replica.view.take_in(ledger(a=held(2)))

    replica.view.take_in(ledger(b=held(5)))

    assert sums(replica.index) == (0, 5)
    assert replica.view.in_flight("alice") == 1
    assert [token for token, _ in replica.view.live()] == ["b"]


def test_a_lost_ledger_takes_what_was_held_with_it(replica: Replica) -> None:
    replica.holds(held(2))

    replica.view.take_in(Ledger.rebuilding("e2"))

    assert sums(replica.index) == (0, 0)
    assert replica.view.in_flight("alice") == 0
    assert not replica.view.ledger.is_open


# A watch ahead of the ledger.


def test_what_our_watch_has_shown_already_is_not_counted_twice(replica: Replica) -> None:
    replica.sees(10, 2)

    replica.view.take_in(ledger(a=held(2)))

    assert sums(replica.index) == (2, 0)
    assert replica.view.in_flight("alice") == 0
    assert list(replica.view.live()) == []


def test_what_our_watch_has_shown_already_is_taken_out_with_its_version(replica: Replica) -> None:
    replica.sees(10, 2)
    replica.view.take_in(ledger(a=held(2)))

    assert replica.view.has_removals
    assert replica.writes() == Ledger("e1", is_open=True, write=8, settled_through={"pods": 10})
    assert not replica.view.has_removals


def test_an_update_on_the_very_version_that_our_watch_shows_is_held(replica: Replica) -> None:
    replica.sees(10, 2)

    replica.view.take_in(ledger(a=held(5, base=10)))

    assert sums(replica.index) == (2, 3)
    assert not replica.view.has_removals


def test_an_object_of_another_uid_under_the_name_settles_nothing(replica: Replica) -> None:
    replica.sees(10, 2, uid="another")

    replica.view.take_in(ledger(a=held(5)))

    assert sums(replica.index) == (2, 3)
    assert not replica.view.has_removals


def test_a_retry_of_what_was_seen_holds_nothing(replica: Replica) -> None:
    replica.sees(10, 2)

    replica.view.hold(held(2))

    assert not replica.view.has_additions
    assert sums(replica.index) == (2, 0)


# A watch behind the ledger.


def test_who_has_not_seen_what_was_taken_out_is_behind_until_it_has(replica: Replica) -> None:
    replica.view.take_in(Ledger("e1", is_open=True, write=8, settled_through={"pods": 10}))
    assert replica.view.unreached_target() == ("pods", 10)

    replica.sees(9, 1, uid="another")
    assert replica.view.unreached_target() == ("pods", 10)

    replica.index.reached("pods", 10)
    assert replica.view.unreached_target() is None


def test_one_resource_that_is_behind_is_enough() -> None:
    replica = Replica(charged=("pods", "services"))
    replica.index.reached("pods", 10)

    replica.view.take_in(Ledger("e1", is_open=True, settled_through={"pods": 10, "services": 3}))

    assert replica.view.unreached_target() == ("services", 3)


# Holding.


def test_what_is_held_is_in_the_index_at_once_and_in_the_next_version(replica: Replica) -> None:
    replica.view.hold(held(2))

    assert replica.view.has_additions
    assert sums(replica.index) == (0, 2)
    assert replica.view.in_flight("alice") == 1
    assert replica.view.next_version() == Ledger("e1", is_open=True, write=8, reservations={"r0": held(2)})


def test_nothing_is_live_that_is_not_written(replica: Replica) -> None:
    replica.view.hold(held(2))
    assert list(replica.view.live()) == []

    replica.writes()
    assert list(replica.view.live()) == [("r0", held(2))]
    assert not replica.view.has_additions


def test_asking_for_the_next_version_changes_nothing(replica: Replica) -> None:
    replica.view.hold(held(2))

    assert replica.view.next_version() == replica.view.next_version()


def test_an_attempt_held_anew_gets_a_new_token_so_that_its_time_starts_anew(replica: Replica) -> None:
    replica.holds(held(2))

    assert replica.holds(held(2)).reservations == {"r1": held(2)}
    assert replica.view.in_flight("alice") == 1


@pytest.mark.parametrize(("first", "second"), [(2, 5), (5, 2)])
def test_of_an_attempt_held_twice_the_larger_amounts_stay(replica: Replica, first: int, second: int) -> None:
    replica.holds(held(first))
    replica.holds(held(second))

    assert sums(replica.index) == (0, 5)
    assert list(replica.view.ledger.reservations.values()) == [held(5)]


def test_an_attempt_held_twice_before_one_write_is_written_once(replica: Replica) -> None:
    after = replica.holds(held(2), held(5), held(3))

    assert list(after.reservations.values()) == [held(5)]
    assert replica.view.in_flight("alice") == 1


def test_updates_on_several_bases_and_by_several_payers_are_apart(replica: Replica) -> None:
    replica.sees(3, 1)
    several = [held(2, base=4), held(3, base=5), held(4, base=5, payer=BOB)]

    assert list(replica.holds(*several).reservations.values()) == several
    assert (replica.view.in_flight("alice"), replica.view.in_flight("bob")) == (2, 1)


# A swap that is lost.


def test_after_a_lost_swap_it_is_as_if_nothing_had_been_held(replica: Replica) -> None:
    replica.view.hold(held(2))

    replica.view.undo()

    assert not replica.view.has_additions
    assert not replica.view.has_removals
    assert sums(replica.index) == (0, 0)
    assert replica.view.in_flight("alice") == 0


def test_after_a_lost_swap_what_was_to_be_replaced_is_held_again(replica: Replica) -> None:
    replica.holds(held(2))
    replica.view.hold(held(5))

    replica.view.undo()

    assert sums(replica.index) == (0, 2)
    assert list(replica.view.live()) == [("r0", held(2))]
    assert replica.view.in_flight("alice") == 1
    assert replica.holds(held(3)).reservations == {"r2": held(3)}  # the old token is found and replaced


def test_an_attempt_decided_again_after_a_lost_swap_that_another_replica_won_meets_its_reservation(
    replica: Replica,
) -> None:
    replica.view.hold(held(2))
    replica.view.undo()

    replica.view.take_in(ledger(a=held(5)))
    after = replica.holds(held(2))

    assert after.reservations == {"r1": held(5)}
    assert sums(replica.index) == (0, 5)


def test_a_swap_whose_answer_was_lost_is_found_and_not_counted_twice(replica: Replica) -> None:
    replica.view.hold(held(2))
    made = replica.view.next_version()
    replica.view.undo()

    replica.view.take_in(made)
    assert sums(replica.index) == (0, 2)

    assert len(replica.holds(held(2)).reservations) == 1
    assert sums(replica.index) == (0, 2)
    assert replica.view.in_flight("alice") == 1


# Seeing.


def test_what_is_seen_is_used_and_taken_out_of_the_ledger_with_its_version(replica: Replica) -> None:
    replica.holds(held(2))

    replica.sees(10, 2)

    assert sums(replica.index) == (2, 0)
    assert replica.view.in_flight("alice") == 0
    assert list(replica.view.live()) == []
    assert replica.writes() == Ledger("e1", is_open=True, write=9, settled_through={"pods": 10})


def test_what_is_seen_to_be_gone_is_taken_out_without_a_version(replica: Replica) -> None:
    replica.sees(9, 1)
    replica.holds(held(2, base=9))

    replica.sees_go(10)

    assert sums(replica.index) == (0, 0)
    assert replica.writes() == Ledger("e1", is_open=True, write=9)


def test_what_is_finished_stays_so_until_the_ledger_shows_it(replica: Replica) -> None:
    replica.holds(held(2), held(3, uid="u2", key=OTHER))
    replica.sees(10, 2)

    replica.view.take_in(ledger(r0=held(2), r1=held(3, uid="u2", key=OTHER), b=held(1, uid="u3", key=THIRD)))
    assert sums(replica.index) == (2, 4)
    assert replica.view.has_removals

    replica.view.take_in(ledger(r1=held(3, uid="u2", key=OTHER)))
    assert not replica.view.has_removals


def test_a_reservation_seen_while_its_swap_is_under_way_is_taken_out_with_the_next(replica: Replica) -> None:
    replica.view.hold(held(2))
    swapped = replica.view.next_version()

    replica.sees(10, 2)
    replica.view.written(swapped)

    assert sums(replica.index) == (2, 0)
    assert replica.view.in_flight("alice") == 0
    assert replica.view.has_removals
    assert replica.writes() == Ledger("e1", is_open=True, write=9, settled_through={"pods": 10})


def test_a_reservation_seen_while_its_swap_is_lost_leaves_nothing(replica: Replica) -> None:
    replica.view.hold(held(2))

    replica.sees(10, 2)
    replica.view.undo()
    replica.view.take_in(ledger())

    assert sums(replica.index) == (2, 0)
    assert replica.view.in_flight("alice") == 0
    assert not replica.view.has_removals


def test_what_was_to_be_replaced_and_is_seen_while_the_swap_is_lost_is_finished_too(replica: Replica) -> None:
    replica.holds(held(2))
    replica.view.hold(held(5))

    replica.sees(10, 5)
    replica.view.undo()

    assert sums(replica.index) == (5, 0)
    assert replica.view.in_flight("alice") == 0
    assert list(replica.view.live()) == []
    assert replica.writes() == Ledger("e1", is_open=True, write=9, settled_through={"pods": 10})


def test_what_was_to_be_replaced_and_is_seen_to_be_gone_while_the_swap_is_lost_is_not_held_again(
    replica: Replica,
) -> None:
    replica.sees(9, 1)
    replica.holds(held(2, base=9))
    replica.view.hold(held(5, base=9))

    replica.sees_go(10)
    replica.view.undo()

    assert sums(replica.index) == (0, 0)
    assert replica.view.in_flight("alice") == 0
    assert replica.writes() == Ledger("e1", is_open=True, write=9)


def test_another_reservation_seen_while_a_swap_is_under_way_is_not_forgotten(replica: Replica) -> None:
    replica.holds(held(2))
    replica.view.hold(held(3, uid="u2", key=OTHER))
    swapped = replica.view.next_version()

    replica.sees(10, 2)
    replica.view.written(swapped)

    assert sums(replica.index) == (2, 3)
    assert [each.uid for _, each in replica.view.live()] == ["u2"]
    assert replica.writes().settled_through == {"pods": 10}


def test_what_nobody_holds_settles_nothing(replica: Replica) -> None:
    replica.view.settle([held(2)], seen_at=10)

    assert not replica.view.has_removals
    assert replica.view.in_flight("alice") == 0


def test_of_an_owner_that_holds_nothing_nothing_is_kept(replica: Replica) -> None:
    replica.holds(held(2))
    replica.sees(10, 2)

    assert replica.view._by_owner == {}


# Expiry.


@pytest.mark.parametrize("found", [None, StoredVersion("another", 99)], ids=["nothing", "another object"])
def test_what_is_not_stored_expires_and_settles_nothing(replica: Replica, found: StoredVersion | None) -> None:
    replica.holds(held(2))

    assert replica.view.expire("r0", found=found)

    assert sums(replica.index) == (0, 0)
    assert replica.view.in_flight("alice") == 0
    assert list(replica.view.live()) == []
    assert replica.writes() == Ledger("e1", is_open=True, write=9)


def test_what_is_stored_stays_held(replica: Replica) -> None:
    replica.holds(held(2))

    assert not replica.view.expire("r0", found=StoredVersion("u1", 10))

    assert sums(replica.index) == (0, 2)
    assert [token for token, _ in replica.view.live()] == ["r0"]


def test_what_is_stored_and_left_out_is_settled_at_its_version(replica: Replica) -> None:
    """Another replica may count it: it has to have seen it before it decides without the reservation."""
    replica.holds(held(2))
    replica.index.reached("pods", 10)

    assert not replica.view.expire("r0", found=StoredVersion("u1", 10))

    assert sums(replica.index) == (0, 0)
    assert replica.view.in_flight("alice") == 0
    assert replica.writes() == Ledger("e1", is_open=True, write=9, settled_through={"pods": 10})


def test_what_is_stored_under_a_name_that_our_watch_shows_for_another_is_left_out_too(replica: Replica) -> None:
    replica.holds(held(2))
    replica.sees(12, 1, uid="another")

    assert not replica.view.expire("r0", found=StoredVersion("u1", 10))

    assert sums(replica.index) == (1, 0)


@pytest.mark.parametrize(("version", "went"), [(9, True), (10, False)])
def test_an_update_expires_only_if_its_object_is_still_at_the_base(replica: Replica, version: int, went: bool) -> None:
    replica.sees(9, 1)
    replica.holds(held(2, base=9))

    assert replica.view.expire("r0", found=StoredVersion("u1", version)) is went


def test_a_merged_reservation_expires_with_the_version_of_whatever_is_stored(replica: Replica) -> None:
    """It may be one of the merged creates: every replica has to see it before it decides."""
    replica.view.take_in(ledger(a=held(2, uid=MERGED_UID)))

    assert replica.view.expire("a", found=StoredVersion("whichever", 10))

    assert replica.writes().settled_through == {"pods": 10}
    assert replica.view.unreached_target() == ("pods", 10)


def test_who_expires_a_merged_reservation_waits_for_what_is_stored_before_that_is_written(replica: Replica) -> None:
    replica.view.take_in(replace(ledger(a=held(2, uid=MERGED_UID)), epoch="first-e1"))

    replica.view.expire("a", found=StoredVersion("whichever", 10))

    assert replica.view.unreached_target() == ("pods", 10)
    replica.sees(10, 2, uid="whichever")
    assert replica.view.unreached_target() is None


def test_a_merged_reservation_of_which_nothing_is_stored_expires_and_settles_nothing(replica: Replica) -> None:
    replica.view.take_in(ledger(a=held(2, uid=MERGED_UID)))

    assert replica.view.expire("a", found=None)

    assert replica.writes().settled_through == {}


def test_what_expired_is_held_again_if_it_is_asked_for_again(replica: Replica) -> None:
    replica.holds(held(2))
    replica.view.expire("r0", found=None)

    after = replica.holds(held(3))

    assert after.reservations == {"r1": held(3)}
    assert sums(replica.index) == (0, 3)


# Creates of one name.


def create(number: int, amount: int = 1, *, payer: Payer = ALICE) -> Reservation:
    return held(amount, uid=f"attempt-{number}", payer=payer)


def test_a_few_creates_of_one_name_keep_their_own_reservations(replica: Replica) -> None:
    several = [create(number) for number in range(MOST_PER_NAME)]

    assert list(replica.holds(*several).reservations.values()) == several


@pytest.mark.parametrize("at_once", [True, False], ids=["in one write", "in a write each"])
def test_of_many_the_oldest_are_merged_and_hold_the_most_of_them(replica: Replica, at_once: bool) -> None:
    creates = [create(number, amount=100 - number) for number in range(50)]
    if at_once:
        replica.holds(*creates)
    else:
        for each in creates:
            replica.holds(each)

    written = list(replica.view.ledger.reservations.values())
    merged = [each for each in written if each.uid == MERGED_UID]

    assert [each.amounts for each in merged] == [cpu(100)]
    assert sorted(each.uid for each in written if each.uid) == sorted(each.uid for each in creates[1 - MOST_PER_NAME :])
    assert sums(replica.index) == (0, 100)
    assert replica.view.in_flight("alice") == MOST_PER_NAME


def test_creates_of_one_name_by_two_payers_and_updates_are_not_merged(replica: Replica) -> None:
    replica.sees(3, 1)
    replica.holds(held(7, base=3))
    for number in range(20):
        replica.holds(create(number), create(100 + number, payer=BOB))

    written = list(replica.view.ledger.reservations.values())

    assert Counter((each.payer, each.base) for each in written) == {
        (ALICE, 3): 1,
        (ALICE, 0): MOST_PER_NAME,
        (BOB, 0): MOST_PER_NAME,
    }


def test_creates_of_many_names_are_not_merged(replica: Replica) -> None:
    several = [held(1, uid=f"u{n}", key=ObjectKey("pods", "red", f"p{n}")) for n in range(3 * MOST_PER_NAME)]

    assert list(replica.holds(*several).reservations.values()) == several


def test_the_time_of_merged_creates_starts_anew(replica: Replica) -> None:
    for number in range(MOST_PER_NAME + 1):
        replica.holds(create(number))
    (first,) = [token for token, each in replica.view.live() if each.uid == MERGED_UID]

    replica.holds(create(MOST_PER_NAME + 1))
    (second,) = [token for token, each in replica.view.live() if each.uid == MERGED_UID]

    assert first != second


def test_a_merged_create_that_is_seen_is_not_counted_beside_the_merged_reservation(replica: Replica) -> None:
    for number in range(MOST_PER_NAME + 2):
        replica.holds(create(number, 3))

    replica.sees(10, 3, uid="attempt-0")

    assert sums(replica.index) == (3, 0)


def test_after_a_lost_swap_merged_creates_have_their_own_reservations_again(replica: Replica) -> None:
    several = [create(number) for number in range(MOST_PER_NAME)]
    replica.holds(*several)

    for number in range(50, 60):
        replica.view.hold(create(number, 9))
    replica.view.undo()

    assert replica.claims == Counter(several)
    assert sums(replica.index) == (0, 1)
    assert replica.view.in_flight("alice") == MOST_PER_NAME
    assert [each for _, each in replica.view.live()] == several


def test_creates_merged_by_two_replicas_in_turn_never_count_less_than_the_most() -> None:
    one, other = Replica("one"), Replica("other")
    version = ledger()
    for number in range(40):
        replica = (one, other)[number % 2]
        replica.view.take_in(version)
        version = replica.holds(create(number, 40 - number))
        assert sums(replica.index) == (0, 40)

    assert len(version.reservations) == MOST_PER_NAME


# Whatever is held before, undoing it leaves it.

slots = st.sampled_from([KEY, OTHER])
uids = st.sampled_from([f"u{number}" for number in range(2 * MOST_PER_NAME)])
payers = st.sampled_from([ALICE, BOB])
attempts = st.builds(held, st.integers(1, 9), uid=uids, base=st.sampled_from([0, 0, 0, 5, 8]), payer=payers, key=slots)
sightings = st.tuples(slots, uids, st.integers(1, 9))


@given(
    shown=st.lists(sightings, max_size=2),
    before=st.lists(attempts, max_size=25),
    tried=st.lists(attempts, max_size=25),
)
def test_holding_anything_and_undoing_it_leaves_everything_as_it_was(
    shown: list[tuple[ObjectKey, str, int]], before: list[Reservation], tried: list[Reservation]
) -> None:
    replica = Replica()
    replica.view.take_in(ledger())
    for version, (key, uid, amount) in enumerate(shown, 6):
        replica.sees(version, amount, uid=uid, key=key)
    replica.holds(*before)
    known = replica.claims, totals(replica), replica.view.next_version(), list(replica.view.live())

    for each in tried:
        replica.view.hold(each)
    replica.view.undo()

    assert (replica.claims, totals(replica), replica.view.next_version(), list(replica.view.live())) == known


@given(
    before=st.lists(attempts, max_size=12),
    tried=st.lists(attempts, max_size=12),
    shown=st.lists(sightings, max_size=2, unique_by=lambda each: each[0]),
    is_written=st.booleans(),
)
def test_the_index_of_who_wrote_is_that_of_who_reads_it(
    before: list[Reservation], tried: list[Reservation], shown: list[tuple[ObjectKey, str, int]], is_written: bool
) -> None:
    """
    Whatever is seen while a swap is under way, and whether it is made or not.

    But for updates of objects that never existed, which only a test can ask for: who reads of one past its base knows
    that it is dead, while who held it before waits for a deletion that does not come.
    """
    before, tried = ([each for each in several if each.base == 0 or shown == []] for several in (before, tried))
    writer, reader = Replica("writer"), Replica("reader")
    writer.view.take_in(ledger())
    present = writer.holds(*before)
    for each in tried:
        writer.view.hold(each)
    swapped = writer.view.next_version()
    for version, (key, uid, amount) in enumerate(shown, 6):
        writer.sees(version, amount, uid=uid, key=key)
        reader.sees(version, amount, uid=uid, key=key)

    if is_written:
        writer.view.written(swapped)
        present = swapped
    else:
        writer.view.undo()
        writer.view.take_in(present)
    reader.view.take_in(present)

    assert (writer.claims, totals(writer)) == (reader.claims, totals(reader))


def totals(replica: Replica) -> list[object]:
    subjects = [user("alice"), user("bob")]
    in_flight = [replica.view.in_flight(name) for name in ("alice", "bob")]
    return [*(sums(replica.index, subject) for subject in subjects), sums(replica.index), *in_flight]


def test_an_update_of_what_is_gone_is_not_held(replica: Replica) -> None:
    """Its base is behind our watch, and the object is not there: it was deleted, so the update can never be written."""
    replica.index.reached("pods", 9)

    replica.view.hold(held(3, uid="gone", base=7))

    assert not replica.view.has_additions


def test_an_update_of_what_our_watch_has_not_shown_yet_is_held(replica: Replica) -> None:
    replica.index.reached("pods", 6)

    replica.view.hold(held(3, uid="yet-to-come", base=7))

    assert replica.view.has_additions


def test_a_create_that_came_and_went_before_we_read_of_it_is_not_counted(replica: Replica) -> None:
    replica.sees_go(9, uid="came-and-went")

    replica.view.take_in(ledger(t=held(3, uid="came-and-went")))

    assert replica.claims == Counter()
    assert replica.view.has_removals  # and the next write takes it out
