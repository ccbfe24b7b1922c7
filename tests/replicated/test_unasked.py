"""Pods created without a review while the webhook configurations were missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.running import eventually
from tests.replicas import Replicas
from tests.replicated.asking import Asking, numbered, statuses

KINDS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
COUNTED_WITHIN = 5.0


@pytest.fixture
def configurations(cluster: ControlPlane, replicas: Replicas) -> Iterator[list[str]]:
    """The current webhook configurations; restored afterwards in any case."""
    found = [cluster.kubectl("get", kind, "userquota", "-o", "json").stdout for kind in KINDS]
    yield found
    put_back(cluster, found)


def put_back(cluster: ControlPlane, configurations: list[str]) -> None:
    for text in configurations:
        body = json.loads(text)
        body["metadata"] = {"name": body["metadata"]["name"]}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(body), check=False)


async def test_pods_created_without_a_review_count_at_once_and_free_only_their_own_usage(
    replicas: Replicas, asking: Asking, place: str, person: str, configurations: list[str]
) -> None:
    """Row 27."""
    replicas.set_policy(f"version: 1\nnamespaces: {{{place}: {{hard: {{pods: 2}}}}}}\n")
    with all_paused(replicas):  # else they would put the configurations back within a second
        for kind in KINDS:
            replicas.cluster.kubectl("delete", kind, "userquota")
        await_absence(replicas.cluster, place)
        assert statuses(await asking.create_pods(place, numbered("unasked", 3), user=person)) == {201: 3}
    for i in range(replicas.count):
        eventually(lambda i=i: "userquota_unadmitted_objects 3.0" in replicas.metrics(i), within=COUNTED_WITHIN)  # type: ignore[misc]

    put_back(replicas.cluster, configurations)
    await_presence(replicas.cluster, place)
    refused = await asking.create_pod(place, "late", user=person)
    assert refused.status == 403
    assert "used: pods=3, limited: pods=2" in refused.message
    for name, room in (("unasked-0", False), ("unasked-1", True), ("unasked-2", True)):
        assert (await asking.delete_pod(place, name)).status == 200
        left = int(name[-1])
        replicas.wait_until_all_know(pods=2 - left, within=COUNTED_WITHIN)
        assert ((await asking.create_pod(place, "tried", user=person, dry_run=True)).status == 201) is room
    answers = await asking.create_decided(place, numbered("proper", 10), user=person)
    assert statuses(answers) == {201: 2, 403: 8}


@contextmanager
def all_paused(replicas: Replicas) -> Iterator[None]:
    for i in range(replicas.count):
        replicas.pause(i)
    try:
        yield
    finally:
        for i in range(replicas.count):
            replicas.resume(i)


def await_absence(cluster: ControlPlane, place: str) -> None:
    """Wait until every API server sees that there is no webhook: a pod it then creates has no stamp."""
    _await(cluster, place, is_stamped=False)


def await_presence(cluster: ControlPlane, place: str) -> None:
    _await(cluster, place, is_stamped=True)


def _await(cluster: ControlPlane, place: str, *, is_stamped: bool) -> None:
    def is_so(server: int) -> bool:
        tried = cluster.kubectl(
            "create", "deployment", "tried", "--image=x", "-n", place, "--dry-run=server", "-o", "json", server=server
        )
        return ("userquota.dev/owner" in tried.stdout) is is_stamped

    for server in (1, 2):
        eventually(lambda server=server: is_so(server))  # type: ignore[misc]
