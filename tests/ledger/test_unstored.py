"""Creates that were allowed and never stored hold the room of one, until one of their series is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import HOLD, Replica, create, ledger_in
from tests.quota.bookings import held
from webhook.ledger.unstored import Series, series_of
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Charge


@pytest.mark.parametrize(
    ("name", "stem"),
    [("bad-7c9d8b-x8k2p", "bad-7c9d8b"), ("web-0", "web"), ("pod", "pod"), ("a.b-c", "a.b"), ("x-", "x-")],
)
def test_a_series_is_told_by_all_but_the_last_part_of_the_name(name: str, stem: str) -> None:
    assert series_of(held(key=ObjectKey("pods", "red", name))) == Series("alice", "pods", "red", stem)


def generated(number: int) -> Charge:
    return create(f"bad-7c9d8b-{number:05}")


async def come_to_nothing(replica: Replica, *numbers: int) -> None:
    for number in numbers:
        assert await replica.allows(generated(number))
    replica.world.clock.pass_by(HOLD + 1)
    assert len(await replica.maintain()) == len(numbers)


async def test_before_any_came_to_nothing_all_hold_room(replica: Replica) -> None:
    assert [await replica.allows(generated(number)) for number in range(5)] == [True] * 5


async def test_after_that_one_at_a_time_does(replica: Replica) -> None:
    """Confirmed defect W7: a Deployment that another webhook refuses locked a shared pool, again and again."""
    await come_to_nothing(replica, 1, 2, 3, 4, 5)

    assert await replica.allows(generated(6))
    refused = await replica.refusal(generated(7))

    assert refused.reason == "unstored"
    assert refused.affects_all
    assert "pods red/bad-7c9d8b-* of alice were allowed and never stored" in str(refused)
    assert len(replica.held()) == 1


async def test_others_are_not_concerned(replica: Replica) -> None:
    await come_to_nothing(replica, 1)
    assert await replica.allows(generated(2))

    assert await replica.allows(create("good-1"))
    assert await replica.allows(create("bad-7c9d8b-99999", owner="bob"))


async def test_a_dry_run_and_the_same_create_once_more_are_not_kept_waiting(replica: Replica) -> None:
    await come_to_nothing(replica, 1)
    assert await replica.allows(generated(2))

    assert await replica.would_allow(generated(3))
    assert await replica.allows(generated(2))


async def test_once_one_is_stored_they_come_together_again(replica: Replica) -> None:
    await come_to_nothing(replica, 1)
    assert await replica.allows(generated(2))
    replica.sees(generated(2), version=20)

    assert [await replica.allows(generated(number)) for number in range(3, 7)] == [True] * 4


async def test_once_the_one_that_is_tried_came_to_nothing_the_next_is_tried(replica: Replica) -> None:
    await come_to_nothing(replica, 1)
    await come_to_nothing(replica, 2)

    assert await replica.allows(generated(3))
    assert (await replica.refusal(generated(4))).reason == "unstored"


async def test_a_replica_that_sees_another_expire_it_knows_it_too(replica: Replica, other: Replica) -> None:
    assert await replica.allows(generated(1))
    await other.stored_ledger.read()
    replica.world.clock.pass_by(HOLD + 1)
    other.world.clock.pass_by(HOLD + 1)
    await replica.maintain()
    await other.stored_ledger.read()

    assert await other.allows(generated(2))
    assert (await other.refusal(generated(3))).reason == "unstored"


async def test_what_another_replica_saw_stored_first_is_no_failure(replica: Replica, other: Replica) -> None:
    assert await replica.allows(generated(1))
    await other.stored_ledger.read()
    replica.sees(generated(1), version=20)
    await replica.maintain()
    await other.stored_ledger.read()
    other.sees(generated(1), version=20)

    assert [await other.allows(generated(number)) for number in range(2, 5)] == [True] * 3


async def test_what_was_stored_and_deleted_at_once_before_our_watch_shows_it_is_no_failure(
    replica: Replica, other: Replica
) -> None:
    """Nothing has a replica wait until it has seen an object that is gone."""
    late = Replica(replica.stored_in, "late")
    await late.stored_ledger.read()
    assert await replica.allows(generated(1))
    await other.stored_ledger.read()
    late.sees_go(generated(1), version=21)  # before it reads of the reservation
    late.hears()
    await late.maintain()
    assert ledger_in(late.stored_in).reservations == {}
    await other.stored_ledger.read()

    assert [await other.allows(generated(number)) for number in range(2, 5)] == [True] * 3


async def test_the_loss_of_a_ledger_makes_no_series_suspect(replica: Replica, stored_in: FakeLedgerObject) -> None:
    assert await replica.allows(generated(1))
    stored_in.delete()
    await replica.stored_ledger.read()
    replica.world.clock.pass_by(HOLD + 1)
    await replica.maintain()
    await replica.maintain()

    assert [await replica.allows(generated(number)) for number in range(2, 5)] == [True] * 3


async def test_an_update_belongs_to_no_series(replica: Replica) -> None:
    await come_to_nothing(replica, 1)
    assert await replica.allows(generated(2))

    replica.stored_ledger.view.check_series(replace(generated(3).reservation(), base=5))
    with pytest.raises(UnavailableError):
        replica.stored_ledger.view.check_series(generated(3).reservation())
