"""Limits that change while users create pods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.cluster.running import PATIENCE
from tests.replicas import Replicas
from tests.replicated.asking import Asking, statuses
from tests.replicated.conftest import limited
from tests.replicated.load import Load

IN_FORCE_WITHIN = 2.0


async def test_a_limit_lowered_in_a_burst_allows_no_further_pod_and_evicts_none(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 35."""
    replicas.set_policy(limited(person, pods=60))
    load = Load(asking, place, person, deletes=False)
    async with load.running():
        await until(lambda: statuses(load.created)[201] >= 25)
        await asyncio.to_thread(replicas.set_policy, limited(person, pods=10))
        in_force = time.monotonic()
        stored = await asking.pods(place)
        await asyncio.sleep(1.5)
    late = [each for each in load.created if each.asked > in_force]
    assert len(late) > 20
    assert set(statuses(late)) == {403}
    assert "limited: pods=10" in late[-1].message
    assert len(stored) > 10
    assert stored.keys() <= (await asking.pods(place)).keys()


async def test_a_limit_that_is_raised_works_at_every_replica_within_two_seconds(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 36."""
    replicas.set_policy(limited(person, pods=0))
    assert (await asking.create_pod(place, "early", user=person)).status == 403
    seen = [len(replicas.log(i)) for i in range(replicas.count)]
    begun = time.monotonic()
    replicas.apply_policy(limited(person, pods=30))
    took = []
    for i, length in enumerate(seen):
        await until(lambda i=i, length=length: "policy in force" in replicas.log(i)[length:])  # type: ignore[misc]
        took.append(time.monotonic() - begun)
    answers = [await asking.create_pod(place, f"late-{number}", user=person) for number in range(30)]
    assert statuses(answers) == {201: 30}
    assert max(took) < IN_FORCE_WITHIN


async def until(claim: Callable[[], bool], within: float = PATIENCE) -> None:
    end = time.monotonic() + within
    while not claim():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
