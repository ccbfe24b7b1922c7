"""What a replica may decide on what nodes have while they are not listed, or their watch is silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kube.scripted import listed_by_watch, server
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.commitments import Commitment, Commitments, Pool
from webhook.quota.node_classes import NodeClass, NodeClasses
from webhook.quota.policy import Policy
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.wiring.watched_nodes import WatchedNodes

WHOLE = Pool("h100")
CLASSES = Policy(node_classes=NodeClasses((NodeClass("h100", (("gpu", "h100"),)),)))
PROMISED = replace(CLASSES, commitments=Commitments([Commitment("c", tenant("research"), WHOLE, {"gpu": NANOS})]))
NODE = {
    "metadata": {"name": "n", "resourceVersion": "5", "labels": {"gpu": "h100"}},
    "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def watched(folder: Path, clock: Clock) -> AsyncIterator[WatchedNodes]:
    async with server([listed_by_watch(NODE)], folder) as (api, _):
        nodes = WatchedNodes(api, monotonic=clock)
        running = asyncio.create_task(nodes.run())
        try:
            yield nodes
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def known(nodes: WatchedNodes) -> None:
    async with asyncio.timeout(10):
        while nodes.known() is None:  # noqa: ASYNC110 - what is waited for is in another task
            await asyncio.sleep(0.01)


async def test_nobody_asks_for_nodes_before_a_policy_has_classes_of_them(tmp_path: Path) -> None:
    async with watched(tmp_path, Clock()) as nodes:
        nodes.follow(Policy())
        await asyncio.sleep(0.1)

        assert (nodes.known(), nodes.condition()) == (None, READY)


async def test_until_all_nodes_are_known_nothing_is_told_of_them(tmp_path: Path) -> None:
    async with watched(tmp_path, Clock()) as nodes:
        nodes.follow(PROMISED)

        why = "the nodes, of which a part was promised, are not all known yet"
        assert nodes.condition() == Condition(ok=False, reason="nodes", message=why)
        with pytest.raises(UnavailableError, match=why):
            nodes.of(WHOLE)

        await known(nodes)
        assert nodes.of(WHOLE)["gpu"] == 8 * NANOS
        assert nodes.condition() == READY


async def test_after_three_minutes_of_silence_what_was_known_is_too_old(tmp_path: Path) -> None:
    clock = Clock()
    async with watched(tmp_path, clock) as nodes:
        nodes.follow(PROMISED)
        await known(nodes)

        clock.now += 180
        assert nodes.of(WHOLE)["gpu"] == 8 * NANOS
        clock.now += 1
        why = "the watch of nodes has shown nothing for 181 s"
        assert nodes.condition() == Condition(ok=False, reason="nodes", message=why)
        assert nodes.known() is None
        with pytest.raises(UnavailableError, match=why):
            nodes.of(WHOLE)

        nodes.follow(CLASSES)
        assert nodes.condition() == READY  # nothing was promised: nobody asks what nodes have
