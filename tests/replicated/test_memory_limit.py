"""A replica with the memory that the manifests give it, and one with less, which the kernel kills again and again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

from tests.cluster.running import is_ok
from tests.replicas import Replicas
from tests.replicated.asking import Asking, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.load import Load
from tests.replicated.memory_limit import limited_memory
from webhook.serving.bodies import MAX_BODY

MIB = 2**20
GIVEN = 256 * MIB
"""What the manifests give a container."""

TOO_LITTLE = 128 * MIB
"""More than a replica needs to start, and less than with the bodies that it takes in at once."""

LIMIT = 20


async def test_a_replica_that_is_killed_for_its_memory_loses_nothing_and_the_others_serve(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 13: killed twice beside a load, and never with what the manifests give it."""
    replicas.set_policy(limited(person, pods=LIMIT))
    process = replicas.processes["userquota-0"]
    load = Load(asking, place, person)
    async with History(replicas.cluster, place) as history:
        async with load.running():
            replicas.kill(0)
            with limited_memory(process, GIVEN):
                await started(replicas)
                await fill(replicas, bodies=10, seconds=2)
                assert replicas.is_running(0), replicas.log(0)[-2000:]
            with limited_memory(process, TOO_LITTLE):
                for _ in range(2):
                    await started(replicas)
                    await fill(replicas, bodies=10, seconds=20)
                    assert not replicas.is_running(0)
            replicas.start_one(0)
            await asyncio.to_thread(replicas.wait_until_ready)
        assert await history.shows(load.uids), "an object that was created is not stored"
    assert history.most == LIMIT
    assert set(statuses(load.created)) <= {201, 403, 500}, load.summary()
    assert statuses(load.created)[201] > 2 * LIMIT, load.summary()


async def started(replicas: Replicas) -> None:
    replicas.start_one(0)
    end = time.monotonic() + 60
    while not is_ok(await asyncio.to_thread(replicas.readiness, 0)):
        assert replicas.is_running(0), "it needs more than that to start"
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def fill(replicas: Replicas, *, bodies: int, seconds: float) -> None:
    """Send the largest bodies but for their ends to the first replica, and wait until it ends, *seconds* at most."""
    sending = [asyncio.create_task(send(replicas)) for _ in range(bodies)]
    end = time.monotonic() + seconds
    for _ in iter(lambda: replicas.is_running(0) and time.monotonic() < end, False):
        await asyncio.sleep(0.05)
    for each in sending:
        each.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


async def send(replicas: Replicas) -> None:
    host, _, port = replicas._addresses[0].partition(":")
    tls = ssl.create_default_context(cafile=str(replicas._ca_file(0)))
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        try:
            writer.write(
                f"POST /validate?timeout=30s HTTP/1.1\r\nHost: h\r\nContent-Length: {MAX_BODY}\r\n\r\n".encode()
            )
            for _ in range(MAX_BODY // MIB - 1):
                writer.write(b" " * MIB)
                await writer.drain()
            await asyncio.sleep(60)
        finally:
            writer.transport.abort()
