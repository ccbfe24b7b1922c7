"""Replicas and API servers that are killed or stopped while users create pods at the limit."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.cluster.running import PATIENCE
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import NO_ANSWER, Answer, Asking, numbered, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.ledger_object import Seen
from tests.replicated.load import Load

LIMIT = 20
KILLS = 10
EVERYBODY_TENDED = 2.5
"""Seconds: each replica writes settled reservations once a second. What the ledger still shows then is held."""


async def test_however_often_replicas_are_killed_no_more_is_ever_stored_than_the_limit(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Rows 5, 6, 7 and 10: killed before the swap, after it and after the response, repeatedly."""
    replicas.set_policy(limited(person, pods=LIMIT))
    load = Load(asking, place, person)
    async with History(replicas.cluster, place) as history:
        async with load.running():
            await kill_in_turn(replicas, times=KILLS)
            # What a killed replica was granted is answered 500 until it lapses: wait for as much as has a meaning.
            await load.until({201: 5 * LIMIT + 1, 403: LIMIT + 1}, within=PATIENCE)
        assert await history.shows(load.uids), "an object that was created is not stored"
    # Room that is held for requests whose replica was killed may keep the last places free all the while.
    assert LIMIT - KILLS < history.most <= LIMIT
    assert set(statuses(load.created)) <= {201, 403, 500}, load.summary()

    await asyncio.to_thread(replicas.wait_until_ready)
    await until_settled(asking, place)
    await asking.delete_all_pods(place)
    replicas.wait_until_all_know(pods=0)
    await asyncio.sleep(EVERYBODY_TENDED)
    free = LIMIT - len((await ledger_object.seen(asking)).pending(place))
    assert free > 0
    answers = await asking.create_decided(place, numbered("after", LIMIT + 5), user=person)
    assert statuses(answers) == {201: free, 403: LIMIT + 5 - free}


async def kill_in_turn(replicas: Replicas, *, times: int) -> None:
    """Kill -9 the replicas one after the other and restart each at once; one ready replica is always left."""
    for kill in range(times):
        i = kill % replicas.count
        end = time.monotonic() + PATIENCE
        while not any([await asyncio.to_thread(replicas.is_ready, other) for other in range(3) if other != i]):
            assert time.monotonic() < end, "no replica is ready again"
        replicas.kill(i)
        replicas.start_one(i)
        await asyncio.sleep(0.5)


async def until_settled(asking: Asking, place: str) -> None:
    """
    Wait until no existing object has a reservation left.

    The others were never stored, or were created and deleted unobserved: that is known only after 34 seconds.
    """
    existing = set((await asking.pods(place)).values())

    def none_of_them_is_in_flight(found: Seen) -> bool:
        return not existing & {each.uid for each in found.pending(place)}

    await ledger_object.until(asking, none_of_them_is_in_flight, within=PATIENCE)


async def test_a_replica_stopped_in_a_burst_delays_no_other_and_overwrites_nothing_when_resumed(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 11. Requests to the stopped replica get no response in five seconds; all others do."""
    replicas.set_policy(limited(person, pods=LIMIT))
    load = Load(asking, place, person)
    writes: list[tuple[str, int]] = []
    meanwhile: list[asyncio.Task[Answer]] = []
    async with History(replicas.cluster, place) as history, load.running():
        await asyncio.sleep(1)
        replicas.pause(0)
        for number in range(80):
            meanwhile.append(asyncio.create_task(asking.create_pod(place, f"meanwhile-{number}", user=person)))
            writes.append(await which_write(asking))
            await asyncio.sleep(0.05)
        replicas.resume(0)
        answers = await asyncio.gather(*meanwhile)
        for _ in range(20):
            writes.append(await which_write(asking))
            await asyncio.sleep(0.1)
    assert history.most == LIMIT
    prompt = [each for each in answers if each.came - each.asked < 3]
    assert len(prompt) > len(answers) / 4, sorted(each.came - each.asked for each in answers)
    assert set(statuses(prompt)) <= {201, 403}
    assert set(statuses((*answers, *load.created))) <= {201, 403, 500}, load.summary()
    assert len({epoch for epoch, _ in writes}) == 1
    assert writes == sorted(writes)
    await until_settled(asking, place)


async def which_write(asking: Asking) -> tuple[str, int]:
    ledger = (await ledger_object.seen(asking)).ledger
    return ledger.epoch, ledger.write


async def test_a_crash_of_an_api_server_in_a_burst_never_exceeds_the_limit(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 15: two of the three replicas lose their API server and reconnect."""
    replicas.set_policy(limited(person, pods=LIMIT))
    load = Load(asking, place, person)
    server = replicas.cluster.processes["kube-apiserver-1"]
    async with History(replicas.cluster, place, server=2) as history:
        async with load.running():
            await asyncio.sleep(1)
            server.kill()
            await asyncio.sleep(1)
            server.start()
            await until_served(asking, server=1)
            await asyncio.to_thread(replicas.wait_until_ready)
            await asyncio.sleep(1)
        assert await history.shows(load.uids)
    assert history.most == LIMIT
    assert set(statuses(load.created)) <= {201, 403, 500, NO_ANSWER}, load.summary()
    after = [each.status for each in load.created if each.asked > load.created[-1].came - 0.8]
    assert set(after) <= {201, 403}, load.summary()


async def until_served(asking: Asking, *, server: int, within: float = PATIENCE) -> None:
    """Wait until a restarted API server is ready."""
    end = time.monotonic() + within
    while (await asking.ask("GET", "/readyz", server=server)).status != 200:
        assert time.monotonic() < end, f"API server {server} is not ready again"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["kube-apiserver-2", "etcd"])
async def test_after_a_pause_of_the_api_stale_events_never_exceed_the_limit(
    replicas: Replicas, asking: Asking, place: str, person: str, name: str
) -> None:
    """Rows 17 and 19: watches stop for three seconds and are behind afterwards."""
    replicas.set_policy(limited(person, pods=LIMIT))
    load = Load(asking, place, person)
    async with History(replicas.cluster, place) as history:
        async with load.running():
            await asyncio.sleep(1)
            replicas.cluster.pause(name)
            await asyncio.sleep(3)
            replicas.cluster.resume(name)
            await asyncio.sleep(1.5)
        assert await history.shows(load.uids)
    assert history.most == LIMIT
    assert set(statuses(load.created)) <= {201, 403, 500, 504, NO_ANSWER}, load.summary()
    assert 409 not in statuses(load.created)
