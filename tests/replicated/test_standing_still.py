"""API servers that stand still for longer than anything is held, with writes in hand that we allowed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.etcd_link import EtcdLink
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking
from tests.replicated.conftest import limited
from tests.replicated.history import History

PLACE, PERSON, LIMIT = "standing", "alice", 20
SECOND = "kube-apiserver-2"
ENOUGH, ATTEMPTS = 3, 10

LESS_THAN_HELD, LONGER_THAN_HELD = 30.0, 50.0
"""Seconds. After forty what came to nothing is let go, where all API servers work."""

RENEWALS_ARE_SEEN = 12.0
"""Seconds: each API server renews its Lease every ten."""

LONGER_THAN_A_CALL = 13.0
"""Seconds. After ten a call has had no answer."""

LET_GO_WITHIN = 60.0
"""Seconds after it went on: what had not been waited of the forty, and a renewal that shows that it has."""


class Halt(NamedTuple):
    """How the second API server is made to stand still, and to go on."""

    stop: Callable[[], None]
    go_on: Callable[[], None]


class Stage(NamedTuple):
    """Replicas beside two API servers, and what can happen to the second one."""

    replicas: Replicas
    halts: dict[str, Halt]


@pytest.fixture(scope="module")
def stage(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two API servers that believe to be on machines of their own, as they would be where one of them stands still."""
    folder = tmp_path_factory.mktemp("standing")
    link = EtcdLink(2, folder)
    options = Options(controller_manager=True, servers=2, own_hosts=True, etcd_ports=link.ports)
    try:
        with ControlPlane(folder / "cluster", binaries, options=options, on_started=link.on_started) as cluster:
            cluster.create_namespace(PLACE)
            replicas = Replicas(cluster, folder, 3)
            replicas.install()
            replicas.apply_policy(limited(PERSON, pods=LIMIT))
            halts = {
                "the process": Halt(partial(cluster.pause, SECOND), partial(cluster.resume, SECOND)),
                "its link to etcd": Halt(link.hang, link.flow),
            }
            with replicas:
                yield Stage(replicas, halts)
    finally:
        link.stop()


@pytest.mark.parametrize("which", ["the process", "its link to etcd"])
async def test_what_an_api_server_has_in_hand_when_it_stands_still_is_held_until_it_goes_on(
    stage: Stage, which: str
) -> None:
    """
    Row 16, and 19 for longer than anything is held.

    Some of it may be stored when it goes on, though the time of each request is over (seen on 1.37.2). It has to find
    its room, so nobody may have it in the meantime.
    """
    replicas, halt = stage.replicas, stage.halts[which]
    replicas.wait_until_ready()
    async with Asking(replicas.cluster) as asking, History(replicas.cluster, PLACE) as history:
        await asyncio.sleep(RENEWALS_ARE_SEEN)
        late = await stop_with_writes_in_hand(asking, halt)
        try:
            stopped = time.monotonic()
            await take_what_is_free(asking, until=stopped + LESS_THAN_HELD)
            before = await standing(asking)
            await take_what_is_free(asking, until=stopped + LONGER_THAN_HELD)
            after = await standing(asking)
            told = replicas.readiness(0)
        finally:
            halt.go_on()
        await asyncio.gather(*late)
        await ledger_object.until(asking, lambda found: not found.claims(PLACE), within=LET_GO_WITHIN)
        await take_what_is_free(asking, until=time.monotonic() + 5)
        in_the_end = await standing(asking)
        await asking.delete_all_pods(PLACE)
    assert before.in_flight
    assert len(before.stored) + len(before.in_flight) == LIMIT
    assert after == before, "somebody has got what the API server may still store"
    assert "nothing in flight is let go" in told
    assert history.most == LIMIT
    assert len(in_the_end.stored) == LIMIT, "what came to nothing was never let go"


async def test_who_starts_beside_an_api_server_that_stands_still_waits_for_it(stage: Stage) -> None:
    """Row 10: to end and be started again takes longer each time."""
    replicas, halt = stage.replicas, stage.halts["the process"]
    replicas.wait_until_ready()
    replicas.kill(1)
    halt.stop()
    try:
        replicas.start_one(1)
        await asyncio.sleep(LONGER_THAN_A_CALL)
        assert replicas.is_running(1), replicas.log(1)
    finally:
        halt.go_on()
    replicas.wait_until_ready()


async def stop_with_writes_in_hand(asking: Asking, halt: Halt) -> list[asyncio.Task[Answer]]:
    """
    Have the second API server stand still with writes that we have allowed and that it has not made.

    It has each for some milliseconds only, so that it may take several attempts.
    """
    for attempt in range(ATTEMPTS):
        late = [
            asyncio.create_task(asking.create_pod(PLACE, f"late-{attempt}-{number}", user=PERSON, server=2))
            for number in range(2 * LIMIT)
        ]
        await ledger_object.until(asking, lambda found: bool(found.claims(PLACE)), within=5, server=1)
        halt.stop()
        await asyncio.sleep(2)
        if len((await standing(asking)).in_flight) >= ENOUGH:
            return late
        halt.go_on()
        await asyncio.gather(*late)
        await asking.delete_all_pods(PLACE)
        await ledger_object.at_rest(asking, PLACE, within=LET_GO_WITHIN)
    raise AssertionError("it had no write in hand, however often it was stopped")


class Standing(NamedTuple):
    """The names of what is stored, and the uids of what is in flight."""

    stored: set[str]
    in_flight: set[str]


async def standing(asking: Asking) -> Standing:
    claims = (await ledger_object.seen(asking, server=1)).claims(PLACE)
    return Standing(set(await asking.pods(PLACE, server=1)), {each.uid for each in claims})


async def take_what_is_free(asking: Asking, *, until: float) -> None:
    """Create pods through the other API server for as long; some are sent to the replica that has lost its own."""
    names = itertools.count()

    async def create_again_and_again() -> None:
        while time.monotonic() < until:
            await asking.create_pod(PLACE, f"prompt-{int(until)}-{next(names)}", user=PERSON, server=1)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(create_again_and_again())
