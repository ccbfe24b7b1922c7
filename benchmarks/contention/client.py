"""
The client: plain POSTs to every API server in turn, each timed. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from benchmarks.contention.workloads import Workload, pod
from localcluster.controlplane import ControlPlane

_PATIENCE = aiohttp.ClientTimeout(total=60)
_MESSAGES = 3


@dataclass(slots=True)
class Outcome:
    """The time of all creates and of each, the answers, and the first words of the refusals."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to the API servers of *cluster* as its admin, who impersonates."""

    cluster: ControlPlane

    async def run(self, workload: Workload, namespace: str) -> Outcome:
        """Send all creates of *workload*. Connections are open before the clock starts."""
        outcome = Outcome()
        numbers = iter(range(workload.creates))
        async with self._session(workload.in_flight) as session:
            await self._connect(session, workload.in_flight)
            begun = time.perf_counter()
            workers = (self._work(session, workload, namespace, numbers, outcome) for _ in range(workload.in_flight))
            await asyncio.gather(*workers)
            outcome.seconds = time.perf_counter() - begun
        return outcome

    async def empty(self, namespace: str) -> None:
        """Delete all pods of a namespace, and wait until they are gone."""
        url = f"{self.cluster.server_urls[0]}/api/v1/namespaces/{namespace}/pods"
        async with self._session(1) as session:
            while True:
                async with session.delete(url, params={"gracePeriodSeconds": "0"}) as answer:
                    answer.raise_for_status()
                    await answer.read()
                async with session.get(url, params={"limit": "1"}) as answer:
                    answer.raise_for_status()
                    if not (await answer.json())["items"]:
                        return

    def _session(self, in_flight: int) -> aiohttp.ClientSession:
        access = self.cluster.access
        tls = ssl.create_default_context(cafile=str(access.ca_file))
        connector = aiohttp.TCPConnector(ssl=tls, limit=in_flight, keepalive_timeout=60)
        headers = {"Authorization": f"Bearer {access.token('admin')}", "Content-Type": "application/json"}
        return aiohttp.ClientSession(connector=connector, headers=headers, timeout=_PATIENCE)

    async def _connect(self, session: aiohttp.ClientSession, in_flight: int) -> None:
        async def greet(url: str) -> None:
            async with session.get(f"{url}/readyz") as answer:
                await answer.read()

        urls = self.cluster.server_urls
        await asyncio.gather(*(greet(urls[number % len(urls)]) for number in range(in_flight * len(urls))))

    async def _work(
        self,
        session: aiohttp.ClientSession,
        workload: Workload,
        namespace: str,
        numbers: Iterator[int],
        outcome: Outcome,
    ) -> None:
        """Send one create after the other, until all workers together have sent all."""
        urls = [f"{url}/api/v1/namespaces/{namespace}/pods" for url in self.cluster.server_urls]
        groups = [("Impersonate-Group", group) for group in workload.groups()]
        for number in numbers:
            headers = [("Impersonate-User", workload.creator(number)), *groups]
            body, url = pod(f"pod-{number:05}"), urls[number % len(urls)]
            begun = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as answer:
                said = await answer.read()
            outcome.latencies.append(time.perf_counter() - begun)
            outcome.statuses[answer.status] += 1
            if answer.status >= 400 and len(outcome.messages) < _MESSAGES:
                outcome.messages.append(said.decode(errors="replace")[:500])
