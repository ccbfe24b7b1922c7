"""
Pods on a lost node: deleted, but never reported as ended, because no kubelet does so.

Row 42, on a real control plane, compared with a ResourceQuota of the same namespace.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from tests.cluster.creating import one_container
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, pods_of
from tests.replicated.conftest import limited

GRACE = 2
"""Seconds. The API server adds them to the time of the deletion, and the quota adds them to the deletion timestamp."""

SOON = 5.0
HOLD = "terminating: hold\n"


@pytest.fixture
async def node(asking: Asking, place: str) -> AsyncIterator[str]:
    """A Node with the name of the namespace, without a kubelet. Pods of a node without a Node object are collected."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": place}}
    assert (await asking.ask("POST", "/api/v1/nodes", body=body)).status == 201
    yield place
    await asking.delete_all_pods(place)
    await asking.ask("DELETE", f"/api/v1/nodes/{place}")


async def lose(asking: Asking, place: str, node: str, *, user: str, grace: int = GRACE) -> float:
    """Create a pod on the lost node and delete it; return when it was deleted, on the monotonic clock."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lost"},
        "spec": one_container() | {"nodeName": node},
    }
    assert (await asking.ask("POST", pods_of(place), user=user, body=body)).status == 201
    await ledger_object.at_rest(asking, place)
    path = f"{pods_of(place)}/lost?gracePeriodSeconds={grace}"
    deleted = await asking.ask("DELETE", path, user=user)
    assert deleted.status == 200
    return deleted.asked


async def version_of_lost(asking: Asking, place: str) -> str:
    answer = await asking.ask("GET", f"{pods_of(place)}/lost")
    return str(json.loads(answer.text)["metadata"]["resourceVersion"])


async def used_by_resourcequota(asking: Asking, place: str) -> dict[str, str]:
    """Return the usage of a new ResourceQuota, once its controller has counted."""
    path = f"/api/v1/namespaces/{place}/resourcequotas"
    hard = dict.fromkeys(("pods", "count/pods", "requests.cpu"), "1000")
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": hard}}
    assert (await asking.ask("POST", path, body=body)).status == 201
    begun = time.monotonic()
    while True:
        answer = await asking.ask("GET", f"{path}/all")
        used: dict[str, str] = json.loads(answer.text).get("status", {}).get("used", {})
        if used.keys() == hard.keys():
            return used
        assert time.monotonic() - begun < 60
        await asyncio.sleep(0.1)


async def test_its_replacement_fits_once_the_grace_period_is_over_and_resourcequota_agrees(
    replicas: Replicas, asking: Asking, place: str, person: str, node: str
) -> None:
    replicas.set_policy(limited(person, pods=1))
    deleted = await lose(asking, place, node, user=person)
    version = await version_of_lost(asking, place)

    refused = await asking.create_pod(place, "next", user=person)
    assert refused.status == 403
    assert "used: pods=1" in refused.message
    while (answer := await asking.create_pod(place, "next", user=person)).status != 201:
        assert answer.came - deleted < 2 * GRACE + SOON, answer.message
        await asyncio.sleep(0.1)

    assert answer.came - deleted > 2 * GRACE - 1  # the timestamp is cut to whole seconds
    assert await version_of_lost(asking, place) == version  # nothing but time has passed
    assert (await asking.create_pod(place, "third", user=person)).status == 403
    used = await used_by_resourcequota(asking, place)
    assert (used["pods"], used["count/pods"]) == ("1", "2")


async def test_a_policy_that_holds_charges_it_until_it_is_gone(
    replicas: Replicas, asking: Asking, place: str, person: str, node: str
) -> None:
    """A released pod is charged again as soon as the policy says `hold`, and released once it no longer does."""
    policy = limited(person, pods=1)
    replicas.set_policy(HOLD + policy)
    deleted = await lose(asking, place, node, user=person)
    while time.monotonic() - deleted < 2 * GRACE + 2:
        assert (await asking.create_pod(place, "next", user=person)).status == 403
        await asyncio.sleep(0.5)

    for text, status in ((policy, 201), (HOLD + policy, 403), (policy, 201)):
        replicas.set_policy(text)
        changed = time.monotonic()
        while (answer := await asking.create_pod(place, "next", user=person, dry_run=True)).status != status:
            assert time.monotonic() - changed < SOON, answer.message
            await asyncio.sleep(0.1)


async def test_a_grace_period_that_overflows_in_go_releases_nothing(
    replicas: Replicas, asking: Asking, place: str, person: str, node: str
) -> None:
    """ResourceQuota releases such a pod at once, so its owner could run any number of them."""
    replicas.set_policy(limited(person, pods=1))
    await lose(asking, place, node, user=person, grace=10**10)
    await asyncio.sleep(2)

    assert (await asking.create_pod(place, "next", user=person)).status == 403
    assert (await used_by_resourcequota(asking, place))["pods"] == "0"
