"""Several replicas that share one ledger: no place is given twice, everybody is answered, nobody waits for ever."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager, nullcontext
from statistics import median

import pytest

from tests.contracts.test_ledger_store import World
from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import RealClock, Replica, create, ledger_in, watching
from webhook.ports import UnavailableError
from webhook.quota.decision import Allowed, Denied
from webhook.quota.reservation import Charge

PLACES = 100


def replicas(count: int, *, pool: int = PLACES, seconds: float = 0.0) -> list[Replica]:
    """Return replicas on one ledger that takes *seconds* each way; each person may have what the pool has."""
    stored_in = FakeLedgerObject(seconds=seconds)
    return [Replica(stored_in, name, World(RealClock()), limit=pool, pool=pool) for name in "abcdef"[:count]]


def watched(several: list[Replica], *, is_watched: bool) -> AbstractAsyncContextManager[None]:
    return watching(*several) if is_watched else nullcontext()


@pytest.mark.parametrize("is_watched", [True, False], ids=["with a watch", "without a watch"])
@pytest.mark.parametrize("count", [2, 3])
async def test_of_hundreds_of_requests_at_once_exactly_as_many_are_allowed_as_there_are_places(
    count: int, is_watched: bool
) -> None:
    several = replicas(count, seconds=0.0005)
    turns = itertools.cycle(several)

    async with watched(several, is_watched=is_watched):
        answers = await asyncio.gather(*(next(turns).ask(create(f"pod-{n}"), within=30) for n in range(400)))

    assert Counter(map(type, answers)) == {Allowed: PLACES, Denied: 300}
    held = ledger_in(several[0].stored_in).reservations.values()
    assert len({each.uid for each in held}) == len(held) == PLACES


async def test_of_requests_that_trickle_in_exactly_as_many_are_allowed_as_there_are_places() -> None:
    several = replicas(3, seconds=0.0005)
    await several[0].stored_ledger.read()  # the first ledger is closed while one makes it and the others find it
    dice = random.Random(3)  # noqa: S311 - a shuffled table, not a secret

    async def ask(number: int) -> bool:
        await asyncio.sleep(dice.random() / 4)
        answer = await dice.choice(several).ask(create(f"pod-{number}", owner=f"person-{number % 7}"), within=30)
        return isinstance(answer, Allowed)

    async with watching(*several):
        answers = await asyncio.gather(*map(ask, range(300)))

    assert answers.count(True) == PLACES


async def test_the_same_request_to_every_replica_takes_one_place() -> None:
    several = replicas(3, pool=1)

    answers = await asyncio.gather(*(each.ask(create("pod"), within=30) for each in several for _ in range(5)))

    assert Counter(map(type, answers)) == {Allowed: 15}
    assert len(ledger_in(several[0].stored_in).reservations) == 1
    assert not await several[0].allows(create("another"))


async def test_while_answers_and_accesses_get_lost_no_more_is_held_than_there_is() -> None:
    several = replicas(3)
    stored_in = several[0].stored_in
    dice = random.Random(5)  # noqa: S311 - a shuffled table, not a secret

    async def disturb() -> None:
        while True:
            stored_in.loses_answers = dice.randint(0, 1)
            stored_in.trouble = dice.choice(["", "", "", "the connection broke"])
            await asyncio.sleep(0.002)

    async def client(number: int) -> bool:
        """Ask until there is an answer, as the API server and its clients do."""
        while True:
            try:
                return isinstance(await dice.choice(several).ask(create(f"pod-{number}"), within=30), Allowed)
            except UnavailableError:
                await asyncio.sleep(0.001 * dice.random())

    disturbing = asyncio.create_task(disturb())
    async with asyncio.timeout(30), watching(*several):
        answers = await asyncio.gather(*map(client, range(200)))
    disturbing.cancel()

    assert answers.count(True) == PLACES  # each name gets its place at last, as it is held under that name already
    assert len(ledger_in(stored_in).reservations) == PLACES


async def test_places_that_one_replica_saw_taken_are_taken_for_all() -> None:
    """Settled by one whose watch is ahead; the other must not decide before it has seen that far, too."""
    one, other = replicas(2, pool=1)
    assert await one.allows(create("pod"))
    one.sees(create("pod"), version=7)
    await one.maintain()

    asking = asyncio.create_task(other.ask(create("another")))
    await asyncio.sleep(0.02)
    assert not asking.done()
    other.sees(create("pod"), version=7)

    assert isinstance(await asking, Denied)


async def test_a_replica_that_is_ahead_of_the_ledger_counts_once() -> None:
    one, other = replicas(2, pool=2)
    assert await one.allows(create("pod"))

    other.sees(create("pod"), version=7)

    assert await other.allows(create("second"))
    assert not await other.allows(create("third"))


# Nobody starves.


async def load(replica: Replica, number: int) -> None:
    """Ask for what has to be written, without end."""
    while True:
        await replica.ask(create(f"busy-{replica.name}-{number}"), within=30)


@pytest.mark.parametrize("is_watched", [True, False], ids=["with a watch", "without a watch"])
async def test_under_the_load_of_two_others_a_single_request_is_answered_after_a_few_swaps(is_watched: bool) -> None:
    *busy, quiet = replicas(3, pool=10**6, seconds=0.001)
    stored_in = quiet.stored_in
    swaps: list[int] = []
    seconds: list[float] = []
    await quiet.stored_ledger.read()
    async with watched([*busy, quiet], is_watched=is_watched):
        loads = [asyncio.create_task(load(each, number)) for each in busy for number in range(8)]
        await asyncio.sleep(0.05)

        for number in range(15):
            before, begun = ledger_in(stored_in).write, time.monotonic()
            assert await quiet.allows(create(f"quiet-{number}"))
            swaps.append(ledger_in(stored_in).write - before)
            seconds.append(time.monotonic() - begun)

        for each in loads:
            each.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    assert median(swaps) <= 6
    assert max(seconds) < 2


async def test_under_the_load_of_others_nobody_is_told_to_come_back() -> None:
    several = replicas(3, pool=10**6, seconds=0.001)
    numbers = itertools.count()

    async def client(replica: Replica) -> list[float]:
        waited = []
        for _ in range(12):
            begun = time.monotonic()
            assert await replica.allows(create(f"pod-{next(numbers)}"))
            waited.append(time.monotonic() - begun)
        return waited

    async with watching(*several):
        waited = await asyncio.gather(*(client(each) for each in several for _ in range(6)))

    assert len(ledger_in(several[0].stored_in).reservations) == 12 * 6 * 3
    assert max(map(max, waited)) < 3


# The ledger gets lost while they decide.


async def outcome(replica: Replica, charge: Charge) -> str:
    try:
        return type(await replica.ask(charge, within=2)).__name__
    except UnavailableError as error:
        return error.reason


@pytest.mark.parametrize("damage", ["deleted", "garbled"])
async def test_a_ledger_lost_in_the_middle_is_a_refusal_to_decide_and_never_an_error(damage: str) -> None:
    several = replicas(3, pool=10**6, seconds=0.0005)
    await asyncio.gather(*(each.stored_ledger.read() for each in several))
    stored_in = several[0].stored_in

    async with watching(*several):
        asking = [asyncio.create_task(outcome(several[n % 3], create(f"pod-{n}"))) for n in range(60)]
        await asyncio.sleep(0.004)
        if damage == "deleted":
            stored_in.delete()
        else:
            stored_in.put("garbled")
        asking += [asyncio.create_task(outcome(several[n % 3], create(f"later-{n}"))) for n in range(60)]
        outcomes = Counter(await asyncio.gather(*asking))

    assert outcomes.keys() <= {"Allowed", "ledger-rebuilding"}
    assert outcomes["ledger-rebuilding"] >= 60
    assert not ledger_in(stored_in).is_open
    assert len({each.stored_ledger.view.ledger.epoch for each in several}) == 1
