"""What replicas allow in their memory, far from every limit, and what others make of that."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from tests.contracts.test_ledger_store import POOL, World, share
from tests.fakes import FakeClock, FakeLedgerObject
from tests.ledger.sharing import (
    HOLD,
    RealClock,
    Replica,
    create,
    fails,
    ledger_in,
    store_holding,
    until,
    update,
    watching,
)
from webhook.ledger.codec import read_ledger, write_ledger
from webhook.ledger.own_grant import VALID_FOR
from webhook.ledger.protocol import Grant, Ledger
from webhook.ports import Condition, UnavailableError
from webhook.quota.decision import Allowed, Denied
from webhook.quota.demand import LimitKey
from webhook.quota.reservation import Charge
from webhook.quota.resources import Amounts
from webhook.quota.subject import user

FAR = 1000
"""A limit that nobody comes near."""

ALICE, ALL = LimitKey(user("alice"), "gpu"), LimitKey(POOL, "gpu")
FIRST = 16
"""Requests for which the first grant has room."""


class Granted(Replica):
    """A replica that takes grants."""

    def __post_init__(self) -> None:
        self.ledger = share(self.stored_in, self.world, replica=self.name, charged=self.charged, grants=True)

    async def warms_up(self, owner: str = "alice") -> None:
        """Ask twice: what is asked for again is granted."""
        for number in range(2):
            assert await self.allows(create(f"{self.name}-warm-{number}", owner=owner))

    async def is_written(self, charge: Charge) -> bool:
        """Ask, and tell whether that was written."""
        swaps = self.stored_in.accesses.count("swap")
        assert await self.allows(charge)
        return self.stored_in.accesses.count("swap") > swaps

    async def lives(self, seconds: float) -> None:
        """Pass the time with the periodic work, once a second."""
        for _ in range(int(seconds)):
            self.world.clock.pass_by(1)
            self.hears()
            await self.maintain()

    def hears(self) -> None:
        assert self.stored_in.stored is not None
        self.ledger.on_event(self.stored_in.stored)

    async def rests(self) -> None:
        """Wait for what is under way in the background."""
        if (task := self.ledger._at_grants) is not None:
            await task

    @property
    def text(self) -> str:
        assert self.stored_in.stored is not None
        return self.stored_in.stored.text

    @property
    def granted(self) -> dict[LimitKey, int]:
        """What the ledger grants to this replica."""
        found: Counter[LimitKey] = Counter()
        for each in ledger_in(self.stored_in).grants.values():
            if each.holder.startswith(f"{self.name}-"):
                found.update(each.room)
        return dict(found)


def replicas(names: str = "ab", *, limit: int = FAR, pool: int = FAR) -> list[Granted]:
    """Return replicas of one ledger, with one clock."""
    stored_in, clock = FakeLedgerObject(), FakeClock()
    return [Granted(stored_in, name, World(clock), limit=limit, pool=pool) for name in names]


def replace_amounts(charge: Charge, amounts: Amounts) -> Charge:
    return structs.replace(charge, amounts=amounts)


async def hear(*several: Granted) -> None:
    for each in several:
        each.hears()
        await each.rests()


# Far from a limit.


async def test_what_is_asked_for_again_is_allowed_without_a_write() -> None:
    (one,) = replicas("a")

    written = [await one.is_written(create(f"pod-{number}")) for number in range(2 + FIRST // 2)]

    assert written == [True, True] + [False] * (FIRST // 2)
    assert len(one.held()) == len(written)  # it counts them all the same
    assert len(ledger_in(one.stored_in).reservations) == 2


async def test_a_grant_is_an_eighth_of_what_is_free_at_most() -> None:
    (one,) = replicas("a", limit=42)

    await one.warms_up()

    assert one.granted == {ALICE: 5, ALL: 5}


async def test_near_a_limit_there_is_no_grant() -> None:
    (one,) = replicas("a", limit=8)

    assert [await one.is_written(create(f"pod-{number}")) for number in range(8)] == [True] * 8
    assert one.granted == {}


async def test_what_a_person_asks_for_once_is_not_granted() -> None:
    (one,) = replicas("a")

    for number in range(5):
        assert await one.is_written(create(f"pod-{number}", owner=f"person-{number}"))

    assert one.granted == {}


async def test_a_grant_grows_with_what_is_asked_for_and_is_renewed_before_it_is_used_up() -> None:
    (one,) = replicas("a", limit=100_000, pool=100_000)
    await one.warms_up()

    written = []
    for number in range(200):
        written.append(await one.is_written(create(f"pod-{number}")))
        one.sees(create(f"pod-{number}"), version=200 + number)
        await one.rests()

    assert one.granted[ALICE] > 4 * FIRST
    assert not any(written)
    assert one.stored_in.accesses.count("swap") < 15


async def test_what_others_were_granted_is_not_free() -> None:
    one, other = replicas("ab", limit=100)
    async with watching(one, other):
        await one.warms_up()
        await other.warms_up()
        answers = [await each.ask(create(f"{each.name}-{number}")) for number in range(60) for each in (one, other)]

    assert Counter(map(type, answers)) == {Allowed: 96, Denied: 24}


async def test_all_places_are_given_in_the_end_and_not_one_more() -> None:
    several = replicas("abc", limit=100, pool=100)
    turns = itertools.cycle(several)

    async with watching(*several):
        answers = await asyncio.gather(*(next(turns).ask(create(f"pod-{n}"), within=30) for n in range(300)))

    assert Counter(map(type, answers)) == {Allowed: 100, Denied: 200}


async def test_of_several_replicas_that_want_the_last_place_exactly_one_gets_it() -> None:
    several = replicas("abc", limit=60, pool=60)
    async with watching(*several):
        for each in several:
            await each.warms_up()
        for number in range(53):
            assert await several[0].allows(create(f"pod-{number}"))

        answers = await asyncio.gather(*(each.ask(create(f"last-{each.name}"), within=30) for each in several))

    assert Counter(map(type, answers)) == {Allowed: 1, Denied: 2}


async def test_an_update_is_written_down() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    one.sees(create("a-warm-0"), version=200)

    assert await one.is_written(update("a-warm-0", 2, base=200))


async def test_a_second_create_of_a_name_in_flight_is_written_down() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    assert not await one.is_written(create("pod", uid="one"))

    assert await one.is_written(create("pod", uid="other"))


async def test_a_request_that_comes_twice_is_charged_once() -> None:
    (one,) = replicas("a")
    await one.warms_up()

    for _ in range(3):
        assert not await one.is_written(create("pod"))

    assert one.held().count("uid-of-pod") == 1
    assert one.stored_ledger.view.grants.own.left_of(ALICE) == FIRST - 1


async def test_a_dry_run_is_charged_to_nothing() -> None:
    (one,) = replicas("a")
    await one.warms_up()

    for number in range(100):
        assert await one.would_allow(create(f"pod-{number}"))

    assert one.stored_ledger.view.grants.own.left_of(ALICE) == FIRST
    assert len(one.held()) == 2


async def test_what_is_limited_nowhere_is_not_written() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    free = replace_amounts(create("free"), (("memory", 1),))

    assert not await one.is_written(free)


# Refusals and recalls.


async def test_a_refusal_counts_no_unused_grant() -> None:
    """Others were granted a part; a request that fits without that is not refused."""
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    assert one.granted == {ALICE: 12, ALL: 12}

    async with watching(one, other):
        assert await other.allows(create("large", 98))

    assert one.granted == {}
    assert isinstance(await other.ask(create("one-more")), Denied)


async def test_a_replica_gives_back_what_it_recalls_with_the_same_swap() -> None:
    one, other = replicas("ab", limit=200)
    async with watching(one, other):
        await one.warms_up()
        await other.warms_up()
    assert not await other.is_written(create("in-flight"))

    await other.refusal(create("large", 190), within=0.2)

    assert other.granted == {}
    assert ledger_in(one.stored_in).recalls
    assert "uid-of-in-flight" in {each.uid for each in ledger_in(one.stored_in).reservations.values()}


async def test_what_is_recalled_and_in_flight_counts_by_its_name() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    assert not await one.is_written(create("in-flight"))

    async with watching(one, other):
        assert isinstance(await other.ask(create("large", 98)), Denied)  # three are in flight
        assert await other.allows(create("smaller", 97))

    assert "uid-of-in-flight" in {each.uid for each in ledger_in(one.stored_in).reservations.values()}


async def test_a_create_that_is_asked_again_elsewhere_takes_one_place() -> None:
    one, other = replicas("ab", limit=20)
    await one.warms_up()
    assert not await one.is_written(create("pod"))

    async with watching(one, other):
        assert await other.allows(create("pod"))
        assert await other.allows(create("rest", 17))

    assert Counter(each.uid for each in ledger_in(one.stored_in).reservations.values())["uid-of-pod"] == 1


async def test_a_request_waits_no_longer_than_its_call_for_a_replica_that_is_gone() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()

    refused = await other.refusal(create("large", 98), within=0.2)

    assert refused.reason == "granted"
    assert refused.affects_all
    assert "users: gpu: it fits into what is free, but that is granted to other replicas" in str(refused)


async def test_who_waits_in_vain_for_a_replica_that_is_gone_is_told_so_however_slow_the_ledger_is() -> None:
    """It is drawn again and again; at last there is no time for one more batch."""
    stored_in, clock = FakeLedgerObject(), RealClock()
    one, other = (Granted(stored_in, name, World(clock), limit=100, pool=FAR) for name in "ab")
    await one.warms_up()
    other.ledger._batch_seconds = 0.45  # as batches took lately on a busy replica

    refused = await other.refusal(create("large", 98), within=0.5)

    assert refused.reason == "granted"


async def test_what_is_recalled_while_the_grant_is_written_anew_is_given_back_at_once() -> None:
    """The event of the recall comes while the swap of its holder is under way, and no other one follows."""
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    for number in range(4):  # else it would be given back, and not written anew
        assert not await one.is_written(create(f"asked-for-{number}"))
    one.world.clock.pass_by(VALID_FOR / 2)
    one.stored_in.seconds = 0.1
    before = one.text
    one.hears()
    await until(lambda: one.text != before)  # stored, and the answer is on its way
    one.stored_in.seconds = 0
    other.hears()
    large = asyncio.create_task(other.ask(create("large", 95)))
    await until(lambda: bool(ledger_in(one.stored_in).recalls))
    assert one.granted
    one.hears()
    await one.rests()

    assert one.granted == {}
    other.hears()
    assert isinstance(await large, Denied)  # six are in flight


async def test_who_waits_for_a_recall_is_decided_before_those_who_came_later() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    large = asyncio.create_task(other.ask(create("large", 98)))
    await until(lambda: bool(ledger_in(one.stored_in).recalls))
    one.hears()
    await one.rests()

    smaller = asyncio.create_task(other.ask(create("smaller", 90)))
    await asyncio.sleep(0)
    other.hears()

    assert isinstance(await large, Allowed)
    assert isinstance(await smaller, Denied)


async def test_a_dry_run_recalls_as_the_request_would() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()

    async with watching(one, other):
        assert await other.would_allow(create("large", 98))

    assert one.granted == {}
    assert other.held() == ["uid-of-a-warm-0", "uid-of-a-warm-1"]


async def test_what_was_recalled_is_not_granted_for_a_while() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    async with watching(one, other):
        assert await other.would_allow(create("large", 98))

        await one.warms_up()
        assert one.granted == {}

    await one.lives(6)
    assert ledger_in(one.stored_in).recalls == {}
    for number in range(3):
        await one.allows(create(f"again-{number}"))
    assert one.granted


# Time.


async def test_nothing_is_allowed_in_memory_ten_seconds_after_the_swap_began() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    one.world.clock.pass_by(VALID_FOR)
    assert not await one.is_written(create("just-in-time"))

    one.world.clock.pass_by(0.001)

    assert await one.is_written(create("late"))


async def test_the_clock_of_the_wall_counts_if_the_other_stood_still() -> None:
    (one,) = replicas("a")
    await one.warms_up()

    one.world.clock.wall += timedelta(seconds=VALID_FOR + 1)  # the machine was suspended

    assert await one.is_written(create("late"))


async def test_a_grant_that_nobody_asks_under_is_given_back() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    for number in range(2):
        one.sees(create(f"a-warm-{number}"), version=200 + number)

    await one.lives(6)

    assert one.granted == {}
    assert ledger_in(one.stored_in).reservations == {}


async def test_a_process_that_ends_gives_back_what_it_has_and_writes_down_what_is_in_flight() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    assert not await one.is_written(create("in-flight"))

    await one.ledger.give_back()

    assert one.granted == {}
    assert not await other.allows(create("large", 98))
    assert await other.allows(create("smaller", 97))


async def test_what_a_crash_leaves_goes_after_fifty_seconds_and_not_before() -> None:
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    for number in range(2):
        other.sees(create(f"a-warm-{number}"), version=200 + number)

    await other.lives(VALID_FOR + HOLD - 1)
    assert one.granted

    await other.lives(3)
    assert one.granted == {}
    assert await other.allows(create("large", 98))


async def test_what_a_crash_left_in_flight_is_waited_for() -> None:
    """It was stored, and is no older than the newest that a quorum read found: whoever decides has seen that far."""
    one, other = replicas("ab", limit=100)
    await one.warms_up()
    assert not await one.is_written(create("in-flight"))
    other.world.store = store_holding(create("in-flight"), version=300)
    for number in range(2):
        other.sees(create(f"a-warm-{number}"), version=200 + number)

    await other.lives(VALID_FOR + HOLD + 2)

    assert one.granted == {}
    assert ledger_in(one.stored_in).settled_through["pods"] == 300
    assert (await other.refusal(create("large", 98), within=0.5)).reason in {"watch-behind", "deadline"}
    other.sees(create("in-flight"), version=300)
    assert not await other.allows(create("large", 98))


async def test_what_was_never_stored_comes_back_after_forty_seconds() -> None:
    (one,) = replicas("a", limit=100)
    await one.warms_up()
    assert not await one.is_written(create("never-stored"))

    await one.lives(HOLD + 2)

    assert one.held() == []
    assert one.granted == {}


async def test_what_is_stored_is_charged_until_a_swap_although_the_watch_shows_it() -> None:
    one, other = replicas("ab")
    await one.warms_up()
    assert not await one.is_written(create("pod"))

    one.sees(create("pod"), version=300)
    assert one.stored_ledger.view.grants.own.left_of(ALICE) == FIRST - 1
    await one.lives(6)

    assert ledger_in(one.stored_in).settled_through["pods"] == 300
    assert (await other.refusal(create("another"), within=0.5)).reason in {"watch-behind", "deadline"}


# What ends it.


async def test_a_limit_that_changes_is_decided_by_the_ledger() -> None:
    (one,) = replicas("a")
    await one.warms_up()

    one.limit = 500
    assert await one.is_written(create("pod"))
    assert not await one.is_written(create("next"))


async def test_what_counts_anew_is_written_down_and_what_is_in_flight_with_it() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    assert not await one.is_written(create("in-flight"))

    one.ledger.counted_anew()
    await one.rests()

    assert one.granted == {}
    assert "uid-of-in-flight" in {each.uid for each in ledger_in(one.stored_in).reservations.values()}
    assert await one.is_written(create("next"))


async def test_a_replica_that_is_not_in_step_allows_nothing() -> None:
    (one,) = replicas("a")
    await one.warms_up()

    one.world.condition = Condition(ok=False, reason="history", message="not checked")

    assert (await one.refusal(create("pod"))).reason == "history"


async def test_after_a_swap_without_an_answer_nothing_is_allowed_until_one_has_landed() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    one.stored_in.loses_answers = 1
    with pytest.raises(UnavailableError):
        await one.ask(create("large", 500))

    assert await one.is_written(create("pod"))


async def test_beside_a_reservation_that_did_not_count_it_the_grant_is_taken_anew_or_goes() -> None:
    """Else both together may come to more than the limit."""
    one, other = replicas("ab", limit=100)
    await one.warms_up()

    one.stored_ledger.view.hold(create("large", 90).reservation())
    await one.stored_ledger.swap(one.stored_ledger.view.next_version(may_take=False))

    assert one.granted == {}
    assert await other.allows(create("rest", 8))


async def test_while_a_swap_is_under_way_that_gives_back_nothing_is_allowed_under_the_old_grant() -> None:
    (one,) = replicas("a")
    await one.warms_up()
    one.stored_in.gate = asyncio.Event()
    giving = asyncio.create_task(one.ledger.give_back())
    await until(lambda: one.stored_in.accesses.count("swap") > 3)

    asking = asyncio.create_task(one.ask(create("pod")))
    await asyncio.sleep(0.01)
    assert not asking.done()

    one.stored_in.gate.set()
    await asyncio.gather(giving, asking)
    assert one.granted == {}


async def test_a_lost_ledger_ends_the_grant_and_opens_after_fifty_seconds() -> None:
    one, other = replicas("ab")
    await one.warms_up()
    await other.stored_ledger.read()
    deleted = one.stored_in.delete()
    other.stored_ledger.on_deleted(deleted.uid)
    assert not await one.is_written(create("not-yet-told"))  # it does not know of the loss

    await fails(lambda: other.ask(create("pod")))
    for each in (one, other):
        each.stored_ledger.on_deleted(deleted.uid)
    await other.lives(VALID_FOR + HOLD - 2)
    assert not ledger_in(one.stored_in).is_open

    await other.lives(4)
    assert ledger_in(one.stored_in).is_open
    assert await one.is_written(create("late"))


async def test_what_may_be_promised_is_decided_on_the_ledger() -> None:
    """Edits of what is promised are in order with the ledger's decisions alone: rule 11."""
    (one,) = replicas("a")
    await one.warms_up()

    assert await one.is_written(structs.replace(create("pod"), scopes=("NodeClass=h100",)))


async def test_beside_a_replica_that_does_not_read_grants_none_is_taken() -> None:
    (one,) = replicas("a")
    assert await one.allows(create("pod"))
    stored = one.stored_in.put(one.text, writer="4f2a90c1")
    one.ledger.on_event(stored)

    await one.warms_up()
    assert one.granted == {}

    one.world.clock.pass_by(61)
    await one.warms_up()
    await one.allows(create("again"))
    assert one.granted != {}


async def test_a_grant_under_which_there_may_be_what_we_do_not_watch_is_left_alone() -> None:
    one, other = replicas("ab")
    one.charged = ("pods", "services")
    one.__post_init__()
    one.reaches(1, resource="services")
    await one.warms_up()

    await other.lives(VALID_FOR + HOLD + 5)

    assert one.granted


# The text.


def test_grants_and_recalls_are_read_as_they_were_written() -> None:
    ledger = replace(
        Ledger.first("epoch").opened({}),
        grants={"a-1": Grant("a-f5", ("pods",), {ALICE: 16, ALL: 48})},
        recalls={"b-1": (ALICE,)},
    ).aged(7, {"a-1": 5})

    text = write_ledger(ledger, uid="uid")

    assert text.startswith("userquota-ledger 5 ")
    assert read_ledger(text, uid="uid") == ledger


def test_a_ledger_without_any_is_written_for_those_that_do_not_read_them() -> None:
    assert write_ledger(Ledger.first("epoch").opened({}), uid="uid").startswith("userquota-ledger 2 ")
