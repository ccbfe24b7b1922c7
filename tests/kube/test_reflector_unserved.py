"""A collection that the API does not have: what 404 means, and what becomes of what was counted before."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.controlplane import ControlPlane
from tests.kube.scripted import server, stream
from tests.kube.test_reflector import Following, following
from tests.kube.test_reflector_faults import LIST
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.object_reads import ObjectReads

NOT_FOUND = b'HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n{"kind": "Status"}\n'


async def test_a_404_of_the_core_group_says_nothing_about_what_exists(tmp_path: Path) -> None:
    """Every API server has it, so that a balancer or a proxy has answered: nothing is known, and nobody is ready."""
    async with server([NOT_FOUND, NOT_FOUND, LIST, stream()], tmp_path) as (api, scripted):
        follower = Following(api, "/api/v1/pods", query={})
        run = asyncio.create_task(follower.reflector.run())
        await follower.until_restarted(2)
        assert (follower.reflector.served, follower.reflector.synced) == (True, False)
        await asyncio.wait_for(scripted.exhausted.wait(), 20)
        assert follower.reflector.synced
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_a_404_of_another_group_does(tmp_path: Path) -> None:
    async with server([NOT_FOUND], tmp_path) as (api, _):
        follower = Following(api, "/apis/resource.k8s.io/v1/resourceclaims", query={})
        run = asyncio.create_task(follower.reflector.run())
        await follower.until_restarted(1)
        assert (follower.reflector.served, follower.reflector.synced) == (False, False)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


class Things:
    """A custom resource that an admin may stop serving, with one object."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.group = f"g{secrets.token_hex(4)}.example.com"
        self.path = f"/apis/{self.group}/v1/things"

    def serve(self, *, served: bool) -> None:
        names = {"kind": "Thing", "plural": "things"}
        schema = {"openAPIV3Schema": {"type": "object"}}
        version: dict[str, Any] = {"name": "v1", "served": served, "storage": True, "schema": schema}
        self.apply(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            f"things.{self.group}",
            spec={"group": self.group, "names": names, "scope": "Namespaced", "versions": [version]},
        )

    def create(self, namespace: str, name: str) -> None:
        self.control_plane.kubectl("wait", "--for=condition=Established", f"crd/things.{self.group}")
        self.apply(f"{self.group}/v1", "Thing", name, namespace=namespace)

    def apply(self, api_version: str, kind: str, name: str, namespace: str = "default", **more: object) -> None:
        document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}
        self.control_plane.kubectl("apply", "--filename=-", f"--namespace={namespace}", stdin=json.dumps(document))

    def remove(self) -> None:
        self.serve(served=True)
        self.control_plane.kubectl("delete", "crd", f"things.{self.group}", "--wait=false")


@pytest.fixture
def things(control_plane: ControlPlane, namespace: str) -> Iterator[Things]:
    made = Things(control_plane)
    made.serve(served=True)
    made.create(namespace, "one")
    yield made
    made.remove()


async def test_what_was_counted_of_an_api_that_is_served_no_more_is_gone_and_comes_back_with_it(
    api: KubernetesApi, things: Things
) -> None:
    """It used to stay counted until the process ended."""
    store_version = ObjectReads(api, KINDS).store_version
    async with following(api, things.path, query={}, unserved_seconds=0.0, store_version=store_version) as follower:
        await follower.until(lambda: follower.sink.names == {"one"})
        reached = follower.sink.version

        await asyncio.to_thread(things.serve, served=False)
        await follower.until(lambda: not follower.sink.names)
        assert follower.sink.version > reached  # a replica must not wait for ever for versions that nothing will show
        assert (follower.reflector.served, follower.reflector.synced) == (False, False)

        await asyncio.to_thread(things.serve, served=True)
        await follower.until(lambda: follower.sink.names == {"one"})
        assert (follower.reflector.served, follower.reflector.synced) == (True, True)


async def test_for_a_while_it_stays_counted(api: KubernetesApi, things: Things) -> None:
    """An API server of an older version, beside a newer one that serves it, answers the same."""
    store_version = ObjectReads(api, KINDS).store_version
    async with following(api, things.path, query={}, unserved_seconds=60.0, store_version=store_version) as follower:
        await asyncio.to_thread(things.serve, served=False)
        await follower.until(lambda: not follower.reflector.served)
        assert follower.sink.names == {"one"}
