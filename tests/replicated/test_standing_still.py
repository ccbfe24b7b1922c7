"""API servers that hang for longer than a reservation is held, with allowed writes not yet made."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.cluster.running import PATIENCE, eventually
from tests.etcd_link import EtcdLink
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.side_by_side import side_by_side

PLACE, PERSON, LIMIT = "standing", "alice", 20
SECOND = "kube-apiserver-2"
ENOUGH, ATTEMPTS = 3, 10

LESS_THAN_HELD, LONGER_THAN_HELD = 15.0, 50.0
"""Seconds. After 40 a reservation whose object is not stored expires if all API servers work."""

RESTARTS = 20.0, 50.0
"""
Seconds after the API server stopped. Each start let reservations age for 20 s once, so that the second was enough
even for what had not aged before.
"""

LONGER_THAN_TWO_RESTARTS = 80.0

RENEWALS_ARE_SEEN = 16.0
"""Seconds: each API server renews its Lease every ten, and a replica looks every five."""

LONGER_THAN_A_CALL = 13.0
"""Seconds. After ten a call times out."""

LET_GO_WITHIN = 60.0
"""Seconds after it resumed: the rest of the 40, and a renewal that shows that it works."""


class Halt(NamedTuple):
    """How the second API server is stopped and resumed."""

    stop: Callable[[], None]
    go_on: Callable[[], None]


class Stage(NamedTuple):
    """Replicas and two API servers, the second of which can be stopped."""

    replicas: Replicas
    halts: dict[str, Halt]


@pytest.fixture(scope="module")
def stages(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Stage]]:
    """Two of them: most of what is told here is waiting, so that it is told on both at once."""
    with built(binaries, tmp_path_factory) as first, built(binaries, tmp_path_factory) as second:
        yield first, second


@contextmanager
def built(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two API servers with different host names, and so Leases, as on two machines."""
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


async def test_allowed_writes_of_a_stopped_api_server_are_held_until_it_resumes(stages: tuple[Stage, Stage]) -> None:
    """
    Row 16, and 19 for longer than any reservation is held: its link to etcd hangs, or the process is stopped.

    Some writes may be stored after it resumes, although each request has timed out (seen on 1.37.2). No other request
    may get their amounts in the meantime. While the process is stopped, a replica is restarted twice: a new process
    sees only the Lease of the hanging API server. The two others run the whole time, so that this also shows what a
    stopped process leaves reserved.
    """
    first, second = stages
    await side_by_side(
        hold_until_it_goes_on(first, first.halts["its link to etcd"], seconds=LONGER_THAN_HELD),
        hold_until_it_goes_on(
            second, second.halts["the process"], seconds=LONGER_THAN_TWO_RESTARTS, restart_after=RESTARTS
        ),
    )


async def test_a_replica_that_starts_beside_a_stopped_api_server_waits_for_it(stages: tuple[Stage, Stage]) -> None:
    """Row 10: a replica that exits instead is restarted after a delay that doubles each time."""
    stage, _ = stages
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


async def hold_until_it_goes_on(
    stage: Stage, halt: Halt, *, seconds: float, restart_after: Sequence[float] = ()
) -> None:
    """Stop the second API server for *seconds* while users take what is free, and restart a replica meanwhile."""
    replicas = stage.replicas
    await asyncio.to_thread(replicas.wait_until_ready)
    async with Asking(replicas.cluster) as asking, History(replicas.cluster, PLACE) as history:
        await asyncio.sleep(RENEWALS_ARE_SEEN)
        late = await stop_with_writes_in_hand(asking, halt)
        try:
            stopped = time.monotonic()
            await take_what_is_free(asking, until=stopped + LESS_THAN_HELD)
            before = await standing(asking)
            for seconds_after in restart_after:
                await take_what_is_free(asking, until=stopped + seconds_after)
                replicas.kill(0)
                replicas.start_one(0)
                await asyncio.to_thread(eventually, partial(serves, replicas))
            await take_what_is_free(asking, until=stopped + seconds)
            after = await standing(asking)
            readiness = replicas.readiness(0)
        finally:
            halt.go_on()
        await asyncio.gather(*late)
        await ledger_object.until(asking, lambda found: not found.pending(PLACE), within=LET_GO_WITHIN)
        await take_what_is_free(asking, until=time.monotonic() + 5)
        in_the_end = await standing(asking)
        await asking.delete_all_pods(PLACE)
    assert before.in_flight
    assert len(before.stored) + len(before.in_flight) == LIMIT
    assert after == before, "another request got amounts of a write that the API server may still store"
    assert "reservations do not expire until they are" in readiness
    assert history.most == LIMIT
    assert len(in_the_end.stored) == LIMIT, "a reservation of an object that was never stored did not expire"


def serves(replicas: Replicas) -> bool:
    """Whether the first replica answers, whatever it remarks: after 20 s it names the Lease that is not renewed."""
    return replicas.readiness(0).startswith("ok\n")


async def stop_with_writes_in_hand(asking: Asking, halt: Halt) -> list[asyncio.Task[Answer]]:
    """
    Stop the second API server while it has allowed writes that it has not made.

    It has each only for some milliseconds: several attempts may be needed.
    """
    for attempt in range(ATTEMPTS):
        late = [
            asyncio.create_task(asking.create_pod(PLACE, f"late-{attempt}-{number}", user=PERSON, server=2))
            for number in range(2 * LIMIT)
        ]
        await ledger_object.until(asking, lambda found: bool(found.pending(PLACE)), within=PATIENCE, server=1)
        halt.stop()
        await asyncio.sleep(2)
        if len((await standing(asking)).in_flight) >= ENOUGH:
            return late
        halt.go_on()
        await asyncio.gather(*late)
        await asking.delete_all_pods(PLACE)
        await ledger_object.at_rest(asking, PLACE, within=LET_GO_WITHIN)
    raise AssertionError(f"it had no write in hand in {ATTEMPTS} attempts")


class Standing(NamedTuple):
    """The names of the stored pods, and the uids of the pending ones."""

    stored: set[str]
    in_flight: set[str]


async def standing(asking: Asking) -> Standing:
    pending = (await ledger_object.seen(asking, server=1)).pending(PLACE)
    return Standing(set(await asking.pods(PLACE, server=1)), {each.uid for each in pending})


async def take_what_is_free(asking: Asking, *, until: float) -> None:
    """Create pods through the first API server until *until*; some reviews reach the replica of the stopped one."""
    names = itertools.count()

    async def create_again_and_again() -> None:
        while time.monotonic() < until:
            await asking.create_pod(PLACE, f"prompt-{int(until)}-{next(names)}", user=PERSON, server=1)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(create_again_and_again())
