"""Tenants of several namespaces, and namespaces that come and go, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.conftest import emptied, empty, new_place
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod

Named = Callable[[str], Person]


@pytest.fixture
def second_place(running: RunningWebhook) -> Iterator[str]:
    yield from emptied(running)


def member_of(running: RunningWebhook, tenant: str, *places: str) -> None:
    for each in places:
        running.cluster.kubectl("label", "namespace", each, f"tenant={tenant}")


def limits(tenant: str, **hard: object) -> str:
    labels = {"matchLabels": {"tenant": tenant}}
    return json.dumps({"version": 1, "tenants": {tenant: {"namespaces": labels, "hard": hard}}})


def test_two_namespaces_of_a_tenant_share_one_total(
    running: RunningWebhook, place: str, second_place: str, named: Named
) -> None:
    tenant = f"tenant-of-{place}"
    alice = named("alice")
    bob = Person(running, second_place, named("bob").name)
    member_of(running, tenant, place, second_place)
    running.set_policy(limits(tenant, cpu="1", pods=9))

    eventually(lambda: "larger than quota" in alice.create(pod("too-large", cpu="2")))  # its labels are known
    assert " created\n" in alice.create(pod("hers", cpu="600m"))
    assert " created\n" in bob.create(pod("his", cpu="300m"))
    told = bob.create(pod("more", cpu="200m"))
    assert f"exceeded quota: tenants.{tenant}, requested: requests.cpu=200m, used: requests.cpu=" in told
    assert f" for tenant/{tenant}; would fit: requests.cpu=100m; charged to {bob.name} (created it)" in told
    assert " created\n" in bob.create(pod("rest", cpu="100m"))
    assert f"tenants.{tenant}" in alice.create(pod("none-left", cpu="1m"))

    running.cluster.kubectl("label", "namespace", second_place, "tenant-")
    eventually(lambda: " created\n" in alice.create(pod("room", cpu="400m")))
    assert f"tenants.{tenant}" in alice.create(pod("full-again", cpu="1m"))


def test_a_namespace_that_is_deleted_frees_all_that_was_in_it_once(
    running: RunningWebhook, place: str, named: Named
) -> None:
    other, alice, bob = new_place(running), named("alice"), named("bob")
    hers_there, his_there = Person(running, other, alice.name), Person(running, other, bob.name)
    entries = {"users": {alice.name: {"hard": {"pods": 4}}}, "namespaces": {other: {"hard": {"pods": 3}}}}
    running.set_policy(json.dumps({"version": 1, **entries}))
    assert " created\n" in alice.create(pod("stays"))
    for name in ("one", "two", "three"):
        assert " created\n" in hers_there.create(pod(name))
    assert f"namespaces.{other}" in his_there.create(pod("no-room"))
    assert "used: pods=4, limited: pods=4" in settled(alice, "no-room")

    running.cluster.kubectl("delete", "namespace", other, "--timeout=60s", timeout=70)

    eventually(lambda: " created\n" in alice.create(pod("first")))
    for name in ("second", "third"):
        assert " created\n" in alice.create(pod(name))
    assert "used: pods=4, limited: pods=4" in settled(alice, "no-room")
    running.cluster.create_namespace(other)  # another one of the name, in which nothing is used
    for name in ("one", "two", "three"):
        assert " created\n" in his_there.create(pod(name))
    assert f"used: pods=3, limited: pods=3, reserved: pods=0, free: pods=0 for namespace/{other}" in settled(
        his_there, "no-room"
    )
    empty(running, other)


def settled(who: Person, name: str) -> str:
    """Return what is said of one pod too many, once nothing is in flight."""
    told = ""

    def is_settled() -> bool:
        nonlocal told
        told = who.create(pod(name))
        return "reserved: pods=0" in told

    eventually(is_settled, what=lambda: told)
    return told
