"""What time brings: settled reservations are removed, others expire, a lost ledger is opened again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.contracts.test_ledger_store import Partly
from tests.fakes import FakeClock, FakeLedgerObject, FakeStore
from tests.ledger.sharing import HOLD, Replica, create, ledger_in, store_holding, until
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.replica_view import MOST_PER_NAME
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion


@pytest.fixture
async def replica() -> Replica:
    """One that has read its first ledger."""
    replica = Replica(FakeLedgerObject())
    await replica.stored_ledger.read()
    return replica


async def let_pass(replica: Replica, seconds: float) -> list[str]:
    """Let time pass as the background task sees it; give the uids of what expired."""
    gone: list[str] = []
    for _ in range(int(seconds)):
        gone += [each.uid for each in await replica.maintain()]
        replica.world.clock.pass_by(1)
    return gone


# Taking out what is settled.


async def test_with_nothing_to_do_nothing_is_asked_or_written(replica: Replica) -> None:
    await replica.allows(create("pod"))
    replica.stored_in.accesses.clear()

    for _ in range(10):
        assert await replica.maintain() == ()

    assert replica.stored_in.accesses == []


async def test_what_was_seen_is_taken_out_within_one_turn(replica: Replica) -> None:
    await replica.allows(create("pod"))
    replica.sees(create("pod"), version=7)

    await replica.maintain()

    ledger = ledger_in(replica.stored_in)
    assert (dict(ledger.reservations), dict(ledger.settled_through)) == ({}, {"pods": 7})


async def test_what_was_seen_is_taken_out_with_the_next_reservation_and_costs_no_write_of_its_own(
    replica: Replica,
) -> None:
    await replica.allows(create("pod"))
    replica.sees(create("pod"), version=7)
    await replica.allows(create("next"))
    replica.stored_in.accesses.clear()

    await replica.maintain()

    assert [each.uid for each in ledger_in(replica.stored_in).reservations.values()] == ["uid-of-next"]
    assert replica.stored_in.accesses == []


async def test_what_another_replica_took_out_is_not_taken_out_again(replica: Replica) -> None:
    other = Replica(replica.stored_in, "b")
    await replica.allows(create("pod"))
    await other.stored_ledger.read()
    for each in (replica, other):
        each.sees(create("pod"), version=7)
    await replica.maintain()
    other.hears()
    swaps = replica.stored_in.accesses.count("swap")

    await other.maintain()

    assert replica.stored_in.accesses.count("swap") == swaps


async def test_a_flush_that_is_lost_is_made_with_the_next_turn(replica: Replica) -> None:
    other = Replica(replica.stored_in, "b")
    await replica.allows(create("pod"))
    await other.allows(create("theirs"))
    replica.sees(create("pod"), version=7)

    await replica.maintain()
    await replica.maintain()

    assert [each.uid for each in ledger_in(replica.stored_in).reservations.values()] == ["uid-of-theirs"]


async def test_a_write_that_failed_is_tried_again_though_nobody_asks(replica: Replica) -> None:
    """Or the trouble would be told until the next pod is created."""
    replica.stored_in.trouble = "etcd is out of space"
    await replica.refusal(create("pod"))
    replica.stored_in.trouble = ""
    assert "etcd is out of space" in replica.ledger.condition().message

    await replica.maintain()

    assert replica.ledger.condition().ok


async def test_a_deletion_is_noticed_though_nobody_asks(replica: Replica) -> None:
    replica.stored_ledger.on_deleted(replica.stored_in.delete().uid)

    await replica.maintain()

    assert not ledger_in(replica.stored_in).is_open
    assert "being rebuilt" in replica.ledger.condition().message


async def test_damage_that_two_replicas_hear_of_at_once_ends_neither(replica: Replica) -> None:
    other = Replica(replica.stored_in, "b")
    await other.stored_ledger.read()
    replica.stored_in.put("damaged")
    for each in (replica, other):
        each.hears()

    await asyncio.gather(replica.maintain(), other.maintain())

    assert not ledger_in(replica.stored_in).is_open


# Expiry of what can no longer be persisted.


async def test_what_a_crashed_replica_reserved_is_expired_by_another(replica: Replica) -> None:
    replica.limit = 1
    await Replica(replica.stored_in, "crashed").allows(create("pod"))
    replica.hears()

    assert await let_pass(replica, HOLD) == []
    assert await let_pass(replica, 3) == ["uid-of-pod"]

    assert ledger_in(replica.stored_in).reservations == {}
    assert await replica.allows(create("another"))


async def test_who_starts_counts_on_from_what_was_written_down_whatever_its_own_clock_says(replica: Replica) -> None:
    await replica.allows(create("pod"))
    await let_pass(replica, HOLD - 4)
    late = Replica(replica.stored_in, "late")
    late.world.clock.pass_by(10 * HOLD)

    assert await let_pass(late, 4) == []
    assert await let_pass(late, 6) == ["uid-of-pod"]


async def test_replicas_that_crash_every_ten_seconds_expire_together(replica: Replica) -> None:
    await replica.allows(create("pod"))

    gone = [await let_pass(Replica(replica.stored_in, f"life-{life}"), 11) for life in range(5)]

    assert gone == [[], [], [], ["uid-of-pod"], []]


async def test_the_time_before_a_reservation_was_made_counts_for_nobody(replica: Replica) -> None:
    await let_pass(replica, 3 * HOLD)
    late = Replica(replica.stored_in, "late")  # it cannot know how long the other has been there
    await late.allows(create("pod"))
    replica.hears()

    assert await let_pass(replica, HOLD) == []
    assert await let_pass(replica, 3) == ["uid-of-pod"]


async def test_nor_does_it_once_another_has_written_its_own_age(replica: Replica) -> None:
    await let_pass(replica, 3 * HOLD)
    await Replica(replica.stored_in, "late").allows(create("pod"))
    replica.hears()
    await replica.allows(create("another", owner="bob"))

    assert await let_pass(Replica(replica.stored_in, "newcomer"), HOLD) == []


@dataclass
class Slow(FakeLedgerObject):
    """A swap takes half a second."""

    clock: FakeClock = field(default_factory=FakeClock)

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        self.clock.pass_by(0.5)
        return await super().swap(text, after=after, writer=writer)


async def test_swaps_that_take_long_cost_no_time() -> None:
    slow = Slow()
    replica = Replica(slow)
    clock = slow.clock = replica.world.clock
    await replica.allows(create("pod"))
    begun = clock.monotonic()
    while not await let_pass(replica, 1):
        await replica.allows(create("another", owner=f"{clock.monotonic()}"))

    assert HOLD <= clock.monotonic() - begun <= HOLD + 3


async def test_time_that_several_replicas_watch_counts_once(replica: Replica) -> None:
    several = [replica, *(Replica(replica.stored_in, name) for name in "bcd")]
    await replica.allows(create("pod"))
    for _ in range(int(HOLD) - 1):
        for each in several:
            each.hears()
            assert await let_pass(each, 1) == []

    assert 30_000 < ledger_in(replica.stored_in).age < HOLD * 1000


async def test_the_time_is_written_down_only_where_something_waits_for_its_end(replica: Replica) -> None:
    await replica.allows(create("pod"))
    replica.sees(create("pod"), version=7)
    await let_pass(replica, 1)
    replica.stored_in.accesses.clear()

    await let_pass(replica, 3 * HOLD)

    assert replica.stored_in.accesses == []


async def test_what_is_asked_for_again_has_its_whole_time_again_for_every_replica(replica: Replica) -> None:
    other = Replica(replica.stored_in, "b")
    await replica.allows(create("pod"))
    await other.stored_ledger.read()
    await let_pass(other, HOLD - 2)
    await replica.allows(create("pod"))
    other.hears()

    assert await let_pass(other, HOLD - 2) == []

    assert other.held() == ["uid-of-pod"]


async def test_what_is_stored_but_unseen_stays_held_for_all(replica: Replica) -> None:
    await replica.allows(create("pod"))
    replica.world.store = store_holding(create("pod"))

    assert await let_pass(replica, 3 * HOLD) == []

    assert len(ledger_in(replica.stored_in).reservations) == 1


async def test_who_expires_a_merged_reservation_waits_for_the_create_that_is_stored(
    replica: Replica,
) -> None:
    replica.limit = 1
    for number in range(MOST_PER_NAME + 1):
        assert await replica.allows(create("pod", uid=f"attempt-{number}"))
    replica.world.store = store_holding(create("pod", uid="attempt-0"))
    await let_pass(replica, HOLD + 2)
    assert ledger_in(replica.stored_in).reservations == {}
    assert ledger_in(replica.stored_in).settled_through == {"pods": 7}

    asking = asyncio.create_task(replica.allows(create("another")))
    await asyncio.sleep(0.01)
    assert not asking.done()
    replica.sees(create("pod", uid="attempt-0"), version=7)

    assert not await asking


async def test_what_expired_is_written_down_though_something_else_could_not_be_read(replica: Replica) -> None:
    for name in ("one", "two"):
        await replica.allows(create(name))
    await replica.maintain()
    replica.world.clock.pass_by(HOLD)

    await replica.ledger.maintain(quorum=Partly(unreadable=["two"]))

    assert [each.uid for each in ledger_in(replica.stored_in).reservations.values()] == ["uid-of-two"]


async def test_what_expired_is_told_though_it_could_not_be_written_down(replica: Replica) -> None:
    """Nobody counts it any more; the metric of what came to nothing should."""
    await replica.allows(create("pod"))
    await replica.maintain()
    replica.world.clock.pass_by(HOLD)
    swap = replica.stored_in.swap

    async def refuse(text: str, *, after: StoredText, writer: str) -> StoredText:
        raise UnavailableError("ledger-write", "etcd is out of space")

    replica.stored_in.swap = refuse  # type: ignore[method-assign]
    done = await replica.ledger.maintain(quorum=replica.world.store)

    assert [each.uid for each in done.expired] == ["uid-of-pod"]
    assert [each.reason for each in done.failures] == ["ledger-write"]
    replica.stored_in.swap = swap  # type: ignore[method-assign]
    assert await replica.maintain() == ()
    assert ledger_in(replica.stored_in).reservations == {}


async def test_while_names_are_looked_up_others_are_answered(replica: Replica) -> None:
    await replica.allows(create("pod"))
    await replica.maintain()
    replica.world.clock.pass_by(HOLD)
    release = asyncio.Event()

    class Slow(FakeStore):
        async def version_of(self, key: ObjectKey) -> StoredVersion | None:
            self.asked.append(key.name)
            await release.wait()
            return None

    slow = Slow()
    tending = asyncio.create_task(replica.ledger.maintain(quorum=slow))
    await until(lambda: bool(slow.asked))

    assert await replica.allows(create("another"))

    release.set()
    assert [each.uid for each in (await tending).expired] == ["uid-of-pod"]


# A ledger that was lost.


@pytest.fixture
async def lost() -> Replica:
    """One that has found the ledger lost."""
    replica = Replica(FakeLedgerObject())
    replica.world.anybody_asked = True
    await replica.maintain()
    return replica


async def test_while_it_is_rebuilt_nothing_that_grows_is_decided(lost: Replica) -> None:
    error = await lost.refusal(create("pod"))

    assert error.reason == "ledger-rebuilding"
    assert str(error) == "the ledger was lost and is being rebuilt: it opens 40 seconds after it was begun anew"
    assert lost.ledger.condition().message == str(error)
    assert lost.held() == []


async def test_it_opens_after_its_time_and_has_everybody_wait_for_the_newest_object(lost: Replica) -> None:
    lost.limit = 1
    in_flight = create("in-flight")
    lost.world.store = store_holding(in_flight, version=55)
    await let_pass(lost, HOLD)
    assert (await lost.refusal(create("pod"))).reason == "ledger-rebuilding"
    await lost.maintain()
    assert ledger_in(lost.stored_in).settled_through == {"pods": 55}

    asking = asyncio.create_task(lost.allows(create("pod")))
    await asyncio.sleep(0.01)
    assert not asking.done()
    lost.sees(in_flight, version=55)

    assert not await asking


async def test_in_an_empty_cluster_it_opens_as_well(lost: Replica) -> None:
    await let_pass(lost, HOLD + 1)

    assert await lost.allows(create("pod"))


async def test_of_two_replicas_either_may_open_it_and_both_go_on(lost: Replica) -> None:
    other = Replica(lost.stored_in, "b")
    await other.maintain()

    for _ in range(int(HOLD) + 2):
        await asyncio.gather(lost.maintain(), other.maintain())
        for each in (lost, other):
            each.hears()
            each.world.clock.pass_by(1)

    assert await lost.allows(create("pod"))
    assert await other.allows(create("another"))
    assert len(lost.world.losses) + len(other.world.losses) == 1


async def test_while_the_objects_cannot_be_listed_it_stays_closed(lost: Replica) -> None:
    await let_pass(lost, HOLD)
    lost.world.store.trouble = "pods could not be listed"

    with pytest.raises(UnavailableError, match="could not be listed"):
        await lost.maintain()

    assert not ledger_in(lost.stored_in).is_open
    lost.world.store.trouble = ""
    await lost.maintain()
    assert ledger_in(lost.stored_in).is_open


async def test_a_replica_that_starts_meanwhile_decides_nothing_either(lost: Replica) -> None:
    newcomer = Replica(lost.stored_in, "newcomer")

    assert (await newcomer.refusal(create("pod"))).reason == "ledger-rebuilding"
    assert newcomer.world.losses == []
