"""Other ways to create, change and delete a pod than plain create and delete."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator

import pytest

from tests.cluster.creating import one_container
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking, numbered, pods_of, statuses
from tests.replicated.conftest import limited

SOON = 5.0
MERGE = "application/merge-patch+json"


async def test_a_pod_that_is_applied_by_the_server_costs_what_a_posted_one_does(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 40. The API server creates no pod on PUT."""
    replicas.set_policy(limited(person, pods=2))
    assert statuses([await apply(asking, place, "applied", user=person)]) == {201: 1}
    assert statuses([await apply(asking, place, "applied", user=person)]) == {200: 1}
    assert statuses(await asking.create_decided(place, numbered("posted", 2), user=person)) == {201: 1, 403: 1}
    refused = await apply(asking, place, "applied-too", user=person)
    assert refused.status == 403
    assert "requested: pods=1, used: pods=" in refused.message


async def apply(asking: Asking, place: str, name: str, *, user: str) -> Answer:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": one_container()}
    path = f"{pods_of(place)}/{name}?fieldManager=tests"
    return await asking.ask("PATCH", path, user=user, body=body, content_type="application/apply-patch+yaml")


async def test_resizes_of_one_pod_at_once_are_charged_as_what_is_stored_in_the_end(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 38: a losing update is decided again on the newly stored version, and nothing is charged twice."""
    replicas.set_policy(f"version: 1\nusers: {{{person}: {{hard: {{cpu: 1}}}}}}\n")
    assert (await asking.create_pod(place, "wanted", user=person)).status == 201
    answers = await asyncio.gather(*(resize(asking, place, milli, user=person) for milli in range(100, 1300, 50)))
    assert set(statuses(answers)) <= {200, 403, 409}, statuses(
        answers
    )  # 409: five times overtaken, says the API server
    assert all(re.search("(exceeded|larger than) quota", each.message) for each in answers if each.status == 403)
    assert statuses(answers)[403] >= 5  # over the limit in any order
    stored = await milli_of(asking, place, "wanted")
    assert stored <= 1000
    await ledger_object.at_rest(asking, place)
    rest = one_container(f"{1000 - stored}m")
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rest"}, "spec": rest}
    assert (await asking.ask("POST", pods_of(place), user=person, body=body)).status == 201
    assert (await asking.create_pod(place, "too-much", user=person)).status == 403


async def resize(asking: Asking, place: str, milli: int, *, user: str) -> Answer:
    change = [{"name": "main", "resources": {"requests": {"cpu": f"{milli}m"}}}]
    path = f"{pods_of(place)}/wanted/resize"
    merge = "application/strategic-merge-patch+json"
    return await asking.ask("PATCH", path, user=user, body={"spec": {"containers": change}}, content_type=merge)


async def milli_of(asking: Asking, place: str, name: str) -> int:
    answer = await asking.ask("GET", f"{pods_of(place)}/{name}")
    written = str(json.loads(answer.text)["spec"]["containers"][0]["resources"]["requests"]["cpu"])
    return int(written[:-1]) if written.endswith("m") else 1000 * int(written)


async def test_pods_deleted_all_at_once_are_freed_once(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 41."""
    replicas.set_policy(limited(person, pods=40))
    assert statuses(await asking.create_decided(place, numbered("first", 50), user=person)) == {201: 40, 403: 10}
    await asking.delete_all_pods(place)
    begun = time.monotonic()
    while statuses(again := await asking.create_decided(place, numbered("try", 40), user=person, dry_run=True)) != {
        201: 40
    }:
        assert time.monotonic() - begun < SOON, again[-1].message
    assert statuses(await asking.create_decided(place, numbered("second", 50), user=person)) == {201: 40, 403: 10}


@pytest.fixture
async def kept(replicas: Replicas, asking: Asking, place: str, person: str) -> AsyncIterator[str]:
    """
    The path of a deleted pod that a finalizer keeps: the only pod its owner may have.

    It is bound to a node that does not exist, because the garbage collector of the controller manager, which runs every
    20 seconds, marks terminating pods without a node as failed (seen on 1.37.2).
    """
    replicas.set_policy(HOLD + limited(person, pods=1))
    metadata = {"name": "kept", "finalizers": ["example.com/kept"]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": one_container() | {"nodeName": "away"}}
    assert (await asking.ask("POST", pods_of(place), user=person, body=body)).status == 201
    path = f"{pods_of(place)}/kept"
    assert (await asking.ask("DELETE", f"{path}?gracePeriodSeconds=0", user=person)).status == 200
    await ledger_object.at_rest(asking, place)
    yield path
    await let_go(asking, path)


HOLD = "terminating: hold\n"
"""A pod is charged until it has ended or is gone, also past the grace period of its deletion."""


async def let_go(asking: Asking, path: str) -> Answer:
    patch = {"metadata": {"finalizers": None}}
    return await asking.ask("PATCH", path, body=patch, content_type=MERGE)


async def test_a_pod_that_a_finalizer_keeps_is_charged_until_it_is_gone(
    asking: Asking, place: str, person: str, kept: str
) -> None:
    """Row 42, under `terminating: hold`."""
    await asyncio.sleep(3)
    refused = await asking.create_pod(place, "next", user=person)
    assert refused.status == 403
    assert "used: pods=1" in refused.message
    assert (await let_go(asking, kept)).status == 200
    await there_is_room(asking, place, user=person)


async def test_a_failed_pod_that_a_finalizer_keeps_is_not_charged(
    asking: Asking, place: str, person: str, kept: str
) -> None:
    """Row 42, where garbage collection marks the pod as failed: a pod that cannot run costs nothing."""
    assert (await asking.create_pod(place, "next", user=person)).status == 403
    failed = {"status": {"phase": "Failed"}}
    assert (await asking.ask("PATCH", f"{kept}/status", body=failed, content_type=MERGE)).status == 200
    await there_is_room(asking, place, user=person)
    assert "kept" in await asking.pods(place)


async def test_a_pod_past_its_grace_period_is_released_without_an_event(
    replicas: Replicas, asking: Asking, place: str, person: str, kept: str
) -> None:
    """
    Row 42, by default, as in ResourceQuota: a pod lost with its node must not block its replacement.

    The pod was deleted with a grace period of 0; a change of the policy alone makes it counted again.
    """
    assert (await asking.create_pod(place, "next", user=person)).status == 403
    replicas.set_policy(limited(person, pods=1))
    await there_is_room(asking, place, user=person)
    assert "kept" in await asking.pods(place)
    assert (await let_go(asking, kept)).status == 200


async def there_is_room(asking: Asking, place: str, *, user: str) -> None:
    """Wait until one more pod fits, and create it."""
    begun = time.monotonic()
    while (await asking.create_pod(place, "next", user=user)).status != 201:
        assert time.monotonic() - begun < SOON
