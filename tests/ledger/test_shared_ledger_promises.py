"""Replicas that share a ledger decide by the same promises, one after another, whoever of them judges the edit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contracts.test_ledger_store import EDIT, World, ask_in_order, in_order, sees_policy
from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import HOLD, RealClock, Replica, create, ledger_in
from webhook.ports import PromisesChangingError, StoredPolicyMap, UnavailableError
from webhook.quota.commitments import InForce
from webhook.quota.decision import Allowed, Decision
from webhook.quota.usage import UsageView

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def one() -> Replica:
    return Replica(FakeLedgerObject(), "a")


@pytest.fixture
def other(one: Replica) -> Replica:
    return Replica(one.stored_in, "b")


async def is_held_up(replica: Replica) -> bool:
    replica.hears()
    try:
        await ask_in_order(replica, "pod", within=0.01)
    except PromisesChangingError:
        return True
    return False


async def mark(replica: Replica, *, since: datetime | None = None) -> str:
    return await replica.ledger.mark(EDIT, since=since, deadline=replica.world.clock.monotonic() + 5)


async def test_a_mark_of_one_replica_holds_up_the_others(one: Replica, other: Replica) -> None:
    assert isinstance(await ask_in_order(other, "before"), Allowed)

    await mark(one)

    assert await is_held_up(other)
    assert one.held() == ["uid-of-before"]  # the edit is judged by what the other has allowed


async def test_who_decided_on_the_version_before_the_mark_has_to_decide_again(one: Replica) -> None:
    """Its swap comes second, and so it is lost."""
    other = Replica(one.stored_in, "b", World(RealClock()))
    await other.stored_ledger.read()
    await mark(one)

    with pytest.raises(PromisesChangingError):  # the watch of the ledger has not shown the mark
        await ask_in_order(other, "pod", within=1.0)


async def test_each_replica_goes_on_when_it_goes_by_the_new_policy(one: Replica, other: Replica) -> None:
    await mark(one)
    sees_policy(one, 5)
    sees_policy(other, 5)

    sees_policy(one, 7)
    assert isinstance(await ask_in_order(one, "pod"), Allowed)

    assert ledger_in(one.stored_in).edits == {}
    assert ledger_in(one.stored_in).policy_version == 7
    assert await is_held_up(other)
    sees_policy(other, 7)
    assert isinstance(await ask_in_order(other, "another"), Allowed)


async def test_a_mark_goes_although_nobody_asks_for_anything(one: Replica) -> None:
    await mark(one)
    sees_policy(one, 7)

    await one.maintain()

    assert ledger_in(one.stored_in).edits == {}


async def test_a_mark_outlives_the_replica_that_made_it_and_goes_after_40_seconds(one: Replica) -> None:
    await mark(one)
    follower = Replica(one.stored_in, "c")
    follower.world.policies.stored[EDIT.name] = StoredPolicyMap(EDIT.uid, EDIT.base)
    await follower.stored_ledger.read()
    for _ in range(int(HOLD) - 1):
        await follower.maintain()
        follower.world.clock.pass_by(1)
    assert await is_held_up(follower)

    for _ in range(3):
        follower.world.clock.pass_by(1)
        await follower.maintain()

    assert not await is_held_up(follower)
    assert ledger_in(one.stored_in).policy_version == 0


async def test_an_edit_that_was_refused_holds_up_no_other_replica(one: Replica, other: Replica) -> None:
    token = await mark(one)
    assert await is_held_up(other)

    await one.ledger.unmark(token)

    assert not await is_held_up(other)


async def test_if_a_refused_edit_cannot_be_unmarked_at_once_it_is_later(one: Replica, other: Replica) -> None:
    token = await mark(one)
    one.stored_in.trouble = "the connection broke"
    await one.ledger.unmark(token)
    one.stored_in.trouble = ""
    assert await is_held_up(other)

    await one.maintain()

    assert not await is_held_up(other)


async def test_a_mark_is_tried_again_when_another_write_comes_first(one: Replica, other: Replica) -> None:
    await one.stored_ledger.read()
    assert isinstance(await ask_in_order(other, "pod"), Allowed)

    token = await mark(one)

    assert list(ledger_in(one.stored_in).edits) == [token]
    assert one.held() == ["uid-of-pod"]


async def test_nothing_is_marked_in_a_ledger_that_is_being_rebuilt() -> None:
    one = Replica(FakeLedgerObject(), "a")
    one.world.anybody_asked = True

    with pytest.raises(UnavailableError, match="the ledger was lost and is being rebuilt"):
        await mark(one)


async def test_a_mark_of_which_nobody_knows_whether_it_is_stored_goes_again(one: Replica, other: Replica) -> None:
    await one.stored_ledger.read()
    await other.stored_ledger.read()
    one.stored_in.loses_answers = 1
    with pytest.raises(UnavailableError):
        await mark(one)
    assert len(ledger_in(one.stored_in).edits) == 1

    await one.maintain()

    assert ledger_in(one.stored_in).edits == {}


async def test_a_mark_that_takes_too_long_is_an_error(one: Replica) -> None:
    one = Replica(FakeLedgerObject(seconds=0.05), "a")

    with pytest.raises(UnavailableError, match="could not be marked in the ledger in time"):
        await one.ledger.mark(EDIT, since=None, deadline=one.world.clock.monotonic() + 0.01)


async def test_a_replica_whose_clock_is_late_decides_by_the_time_of_the_others(one: Replica, other: Replica) -> None:
    await other.stored_ledger.read()
    one.world.index.promise(InForce(since=NOON))
    assert isinstance(await ask_in_order(one, "pod"), Allowed)
    times = []

    def judge(view: UsageView) -> Decision:
        times.append(other.ledger.time(NOON - timedelta(seconds=3)))
        return in_order(other, create("another"))(view)

    other.hears()
    deadline = other.world.clock.monotonic() + 5
    await other.ledger.transact(create("another"), judge, dry_run=False, deadline=deadline)

    assert times[-1] == NOON


async def test_a_replica_that_does_not_know_marks_leaves_the_ledger_alone(one: Replica) -> None:
    await mark(one)

    assert one.stored_in.stored is not None
    assert one.stored_in.stored.text.startswith("userquota-ledger 4 ")


async def test_after_a_loss_who_goes_by_the_newest_policy_decides() -> None:
    one = Replica(FakeLedgerObject(), "a")
    one.world.policies.stored = {
        EDIT.name: StoredPolicyMap(EDIT.uid, 7),
        "no-part": StoredPolicyMap("another", 99, is_part=False),
    }
    await mark(one)
    one.stored_in.stored = replace(one.stored_in.stored, text="nonsense") if one.stored_in.stored else None
    one.hears()
    for _ in range(int(HOLD) + 3):
        await one.maintain()
        one.world.clock.pass_by(1)

    assert await is_held_up(one)  # what the policy was at the loss may still be in force here
    sees_policy(one, 7)
    assert isinstance(await ask_in_order(one, "pod"), Allowed)


async def test_many_ask_while_an_edit_is_judged_and_all_are_answered(one: Replica, other: Replica) -> None:
    token = await mark(one)
    asking = [asyncio.create_task(ask_in_order(each, f"{each.name}-{n}")) for each in (one, other) for n in range(20)]
    await asyncio.sleep(0.12)
    assert not any(each.done() for each in asking)

    await one.ledger.unmark(token)
    other.hears()

    assert all(isinstance(each, Allowed) for each in await asyncio.gather(*asking))
