"""How soon deleted usage is freed, and how soon the reservation of a stored object is settled."""

from __future__ import annotations

import asyncio
import time

from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.conftest import limited

LIMIT = 30
SECONDS = 2.0
"""Design figures, for p99. On a busy machine one of thirty may need longer."""


async def test_usage_is_freed_within_two_seconds_of_a_deletion(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    replicas.set_policy(limited(person, pods=LIMIT))
    names = numbered("first", LIMIT)
    assert statuses(await asking.create_decided(place, names, user=person)) == {201: LIMIT}
    assert (await asking.create_pod(place, "too-many", user=person)).status == 403
    took = []
    for name in names:
        assert (await asking.delete_pod(place, name, user=person)).status == 200
        begun = time.monotonic()
        while (answer := await asking.create_pod(place, f"after-{name}", user=person)).status != 201:
            assert answer.status == 403, answer.message
            assert time.monotonic() - begun < 20
            await asyncio.sleep(0.02)
        took.append(time.monotonic() - begun)
        assert (await asking.create_pod(place, "too-many", user=person)).status == 403
    assert sorted(took)[-2] < SECONDS, sorted(took)


async def test_what_is_stored_is_no_longer_in_flight_within_two_seconds(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    replicas.set_policy(limited(person, pods=100))
    took = []
    for number in range(6):
        assert statuses(await asking.create_decided(place, numbered(f"wave-{number}", 10), user=person)) == {201: 10}
        took.append(await ledger_object.at_rest(asking, place, within=20))
    assert sorted(took)[-2] < SECONDS, took
