"""Pods that userquota allows and ResourceQuota then denies: what is seen at once. Reservations last 40 seconds."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from tests.cluster.running import PATIENCE
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking, numbered
from tests.replicated.ledger_object import Seen

LOOPING, SCATTERING, COLLEAGUE = "person-looping", "person-scattering", "person-colleague"
LIMIT = 4
POOL = 2
POLICY = (
    "version: 1\n"
    f"users: {{{SCATTERING}: {{hard: {{pods: {LIMIT}}}}}}}\n"
    f"groups: {{loop: {{pool: {{hard: {{pods: {POOL}}}}}, members: [{LOOPING}, {COLLEAGUE}]}}}}\n"
)


@dataclass
class Unstored:
    """The observations."""

    closed: str
    """A namespace where ResourceQuota denies every pod."""
    begun: float = 0.0
    ended: float = 0.0
    same_name: list[Answer] = field(default_factory=list)
    other_names: list[Answer] = field(default_factory=list)
    colleagues: list[Answer] = field(default_factory=list)
    ledger: Seen | None = None


async def play(replicas: Replicas, closed: str, opened: str) -> Unstored:
    """Run creates under one name and some under others that are denied after our review; let another user create."""
    seen = Unstored(closed)
    async with Asking(replicas.cluster) as asking:
        await _close(asking, closed)
        await asyncio.to_thread(replicas.set_policy, POLICY)
        seen.begun = time.monotonic()
        seen.same_name = await asking.create_pods(closed, ["again"] * 40, user=LOOPING, at_once=4)
        seen.other_names = await asking.create_pods(closed, numbered("other", 2 * LIMIT), user=SCATTERING)
        seen.ended = time.monotonic()
        seen.ledger = await ledger_object.seen(asking)
        seen.colleagues = await asking.create_pods(opened, numbered("his", POOL), user=COLLEAGUE)
        await asking.delete_all_pods(opened)
    return seen


async def _close(asking: Asking, place: str) -> None:
    """Forbid pods in a namespace by ResourceQuota."""
    metadata, spec = {"name": "no-pods"}, {"hard": {"pods": "0"}}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}
    path = f"/api/v1/namespaces/{place}/resourcequotas"
    assert (await asking.ask("POST", path, body=body)).status == 201
    end = time.monotonic() + PATIENCE
    while "used" not in json.loads((await asking.ask("GET", f"{path}/no-pods")).text)["status"]:
        assert time.monotonic() < end, "the quota is not in force"
        await asyncio.sleep(0.1)
