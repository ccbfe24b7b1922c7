"""One replica's hold on the stored ledger: reading it, hearing of it, swapping it, and letting others go first."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from tests.contracts.test_ledger_store import World
from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import (
    RealClock,
    Replica,
    create,
    fails,
    reserve,
)
from webhook.ledger.codec import FORMAT
from webhook.ledger.protocol import Ledger
from webhook.ledger.text_size import MOST_BYTES
from webhook.quota.reservation import Charge
from webhook.quota.subject import Payer

POD, OTHER = create("pod"), create("other")


# What the watch tells.


async def test_what_the_watch_told_spares_a_read(replica: Replica, other: Replica) -> None:
    await reserve(other, POD)
    replica.hears()
    reads = replica.stored_in.accesses.count("read")

    await replica.stored_ledger.catch_up()

    assert replica.held() == [POD.uid]
    assert replica.stored_in.accesses.count("read") == reads


async def test_without_news_nothing_is_read(replica: Replica) -> None:
    accesses = list(replica.stored_in.accesses)

    await replica.stored_ledger.catch_up()

    assert replica.stored_in.accesses == accesses


async def test_what_the_watch_tells_late_is_old_news(replica: Replica) -> None:
    old = replica.stored_in.stored
    assert old is not None
    await reserve(replica, POD)

    replica.stored_ledger.on_event(old)
    await replica.stored_ledger.catch_up()

    assert replica.held() == [POD.uid]
    assert replica.world.losses == []


async def test_of_what_the_watch_told_the_newest_counts(replica: Replica, other: Replica) -> None:
    await reserve(other, POD)
    first = replica.stored_in.stored
    assert first is not None
    await reserve(other, OTHER)

    replica.hears()
    replica.stored_ledger.on_event(first)
    await replica.stored_ledger.catch_up()

    assert replica.held() == [OTHER.uid, POD.uid]


async def test_after_a_swap_that_was_lost_the_ledger_is_read_whatever_the_watch_tells(
    replica: Replica, other: Replica
) -> None:
    await reserve(other, POD)
    assert not await reserve(replica, OTHER)

    await replica.stored_ledger.catch_up()

    assert replica.held() == [POD.uid]
    assert await reserve(replica, OTHER)


# What began before what.


async def test_a_read_confirms_what_came_before_it_began_and_nothing_later(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()
    before = replica.stored_ledger.next_order_number()
    reading = asyncio.create_task(replica.stored_ledger.read())
    await asyncio.sleep(0)
    meanwhile = replica.stored_ledger.next_order_number()

    replica.stored_in.gate.set()
    await reading

    assert before < replica.stored_ledger.confirmed_at < meanwhile


async def test_a_swap_confirms_what_came_before_it(replica: Replica) -> None:
    before = replica.stored_ledger.next_order_number()

    await reserve(replica, POD)

    assert before < replica.stored_ledger.confirmed_at < replica.stored_ledger.next_order_number()


async def test_neither_a_lost_swap_nor_the_watch_confirms_anything(replica: Replica, other: Replica) -> None:
    confirmed = replica.stored_ledger.confirmed_at
    await reserve(other, POD)

    await reserve(replica, OTHER)
    assert replica.stored_ledger.confirmed_at == confirmed

    replica.hears()
    replica.stored_ledger._is_stale = False
    await replica.stored_ledger.catch_up()
    assert replica.stored_ledger.confirmed_at == confirmed


# Writing.


async def test_nothing_is_swapped_before_anything_was_read(stored_in: FakeLedgerObject) -> None:
    replica = Replica(stored_in)

    error = await fails(lambda: replica.stored_ledger.swap(Ledger("e", is_open=True)))

    assert error.reason == "ledger-read"
    assert stored_in.accesses == []


async def test_a_swap_whose_answer_was_lost_is_found_by_the_next_read(replica: Replica) -> None:
    replica.stored_in.loses_answers = 1
    await fails(lambda: reserve(replica, POD))
    replica.stored_ledger.view.undo()
    assert replica.held() == []

    await replica.stored_ledger.catch_up()

    assert replica.held() == [POD.uid]


def many(count: int, *, owner: str = "alice") -> list[Charge]:
    return [create(f"pod-{number:06}", owner=owner) for number in range(count)]


async def test_a_ledger_that_is_full_takes_no_more_and_is_left_as_it_is(replica: Replica) -> None:
    before = replica.stored_in.stored

    error = await fails(lambda: reserve(replica, *many(14_500)))

    assert error.reason == "ledger-full"
    assert "14500 reservations are in flight" in str(error)
    assert replica.stored_in.stored == before


async def test_full_is_told_by_bytes_and_not_by_letters(replica: Replica) -> None:
    """An identity provider may call people and their groups anything; the API server counts bytes."""
    payer = Payer("\N{GRINNING FACE}" * (MOST_BYTES // 2))

    error = await fails(lambda: reserve(replica, structs.replace(POD, payer=payer)))

    assert error.reason == "ledger-full"


@pytest.mark.parametrize(
    ("outcome", "told"), [("made", "written"), ("lost", "conflict"), ("unknown", "failed")], ids=str
)
async def test_every_access_is_told(replica: Replica, other: Replica, outcome: str, told: str) -> None:
    if outcome == "lost":
        await reserve(other, OTHER)
    if outcome == "unknown":
        replica.stored_in.loses_answers = 1
        await fails(lambda: reserve(replica, POD))
    else:
        await reserve(replica, POD)

    assert replica.world.writes == ["read", told]


# A ledger of a newer version of ours.

NEWER = f"userquota-ledger {FORMAT + 1} sha512=0\nsomething we do not know\n"


@pytest.mark.parametrize("is_heard", [True, False], ids=["the watch tells", "it is read"])
async def test_a_newer_format_is_never_overwritten(replica: Replica, is_heard: bool) -> None:
    replica.stored_in.put(NEWER)
    if is_heard:
        replica.hears()

    error = await fails(replica.stored_ledger.catch_up if is_heard else replica.stored_ledger.read)

    assert error.reason == "ledger-format"
    assert "newer version" in replica.stored_ledger.condition.message
    assert replica.world.losses == []
    assert not await reserve(replica, POD)
    assert (await fails(replica.stored_ledger.catch_up)).reason == "ledger-format"
    assert replica.stored_in.stored is not None
    assert replica.stored_in.stored.text == NEWER


async def test_a_newer_format_at_the_start_leaves_the_ledger_unknown(stored_in: FakeLedgerObject) -> None:
    stored_in.put(NEWER)
    replica = Replica(stored_in)

    await fails(replica.stored_ledger.read)

    assert not replica.stored_ledger.is_known
    assert "newer version" in replica.stored_ledger.condition.message
    assert stored_in.accesses == ["read"]


# Letting others go first.


async def lose(replica: Replica, other: Replica, times: int) -> None:
    """Have *replica* lose against *other*, which its watch tells of."""
    for number in range(times):
        await reserve(other, create(f"theirs-{number}"))
        assert not await reserve(replica, POD)
        replica.hears()
        if number < times - 1:
            await replica.stored_ledger.refresh()


async def test_who_has_lost_once_goes_on_with_what_the_watch_tells(replica: Replica, other: Replica) -> None:
    await lose(replica, other, 1)
    replica.stored_in.accesses.clear()

    await replica.stored_ledger.refresh()

    assert replica.held() == ["uid-of-theirs-0"]
    assert replica.stored_in.accesses == []


async def test_who_has_lost_and_hears_nothing_reads(replica: Replica, other: Replica) -> None:
    await reserve(other, OTHER)
    assert not await reserve(replica, POD)

    await replica.stored_ledger.refresh()

    assert replica.held() == [OTHER.uid]
    assert replica.stored_in.accesses[-1] == "read"


async def test_who_has_lost_twice_claims_the_next_swap_and_reads_by_that(replica: Replica, other: Replica) -> None:
    await lose(replica, other, 2)

    await replica.stored_ledger.refresh()

    assert replica.stored_in.accesses[-1] == "claim"
    assert replica.held() == ["uid-of-theirs-0", "uid-of-theirs-1"]
    assert await reserve(replica, POD)


async def test_who_hears_of_a_claim_lets_the_other_go_first(stored_in: FakeLedgerObject) -> None:
    replica, other = (Replica(stored_in, name, world=World(RealClock())) for name in "ab")
    for each in (replica, other):
        await each.stored_ledger.read()
    await stored_in.request_turn("a")
    other.hears()
    waiting = asyncio.create_task(other.stored_ledger.wait_for_turn(is_busy=False))
    await asyncio.sleep(0.02)
    assert not waiting.done()

    await replica.stored_ledger.read()
    await reserve(replica, POD)
    other.hears()
    await waiting

    assert other.held() == [POD.uid]


async def test_a_claim_of_somebody_who_never_writes_is_honoured_for_a_moment_only(
    stored_in: FakeLedgerObject,
) -> None:
    replica = Replica(stored_in, world=World(RealClock()))
    await replica.stored_ledger.read()
    await stored_in.request_turn("crashed")
    replica.hears()

    async with asyncio.timeout(3):
        await replica.stored_ledger.wait_for_turn(is_busy=False)

    assert await reserve(replica, POD)


async def test_nobody_waits_for_a_claim_of_his_own(replica: Replica) -> None:
    await replica.stored_in.request_turn(replica.name)
    replica.hears()

    async with asyncio.timeout(1):
        await replica.stored_ledger.wait_for_turn(is_busy=False)


async def test_a_claim_is_no_older_text(replica: Replica) -> None:
    await reserve(replica, POD)
    await replica.stored_in.request_turn("b")

    await replica.stored_ledger.read()

    assert replica.world.losses == []
    assert replica.held() == [POD.uid]
    assert await reserve(replica, OTHER)
