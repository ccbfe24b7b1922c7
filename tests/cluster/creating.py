"""Many concurrent creates without kubectl: plain POSTs to each API server in turn."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

import aiohttp

from localcluster.controlplane import ControlPlane


async def create_pods(
    cluster: ControlPlane,
    namespace: str,
    names: list[str],
    *,
    user: str,
    spec: dict[str, object],
    at_once: int = 100,
    on_refusal: Callable[[str], None] = lambda _: None,
) -> Counter[int]:
    """Create a pod per name; return the count of each HTTP status."""
    tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
    headers = {"Authorization": f"Bearer {cluster.access.token(user)}"}
    gate = asyncio.Semaphore(at_once)
    statuses: Counter[int] = Counter()

    async def create(session: aiohttp.ClientSession, position: int, name: str) -> None:
        server = cluster.server_urls[position % len(cluster.server_urls)]
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        async with gate, session.post(f"{server}/api/v1/namespaces/{namespace}/pods", json=body) as answer:
            statuses[answer.status] += 1
            if answer.status >= 400:
                on_refusal(str((await answer.json())["message"]))
            else:
                await answer.read()

    connector = aiohttp.TCPConnector(ssl=tls, limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(create(session, position, name) for position, name in enumerate(names)))
    return statuses


def one_container(cpu: str = "10m") -> dict[str, object]:
    """Return the smallest pod spec that is charged."""
    return {"containers": [{"name": "main", "image": "example/x", "resources": {"requests": {"cpu": cpu}}}]}
