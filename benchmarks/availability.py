"""
`python -m benchmarks.availability`: calls that fail while authorities are rotated, replicas roll, and one is killed.

Three replicas behind a balancer serve two API servers, whose connections to them stay open. Calls are dry runs of the
creation of a pod: a refusal is an answer, too. Exit code 1 if a call failed that had to be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks import machine, table
from localcluster.binaries import find_binaries
from localcluster.build import GO_MODULE, kubernetes_version
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.replicas import Replicas
from webhook.kube.api import KubernetesApi
from webhook.registration import WebhookManifest, manifest_files
from webhook.wiring.application import SystemClock
from webhook.wiring.rotation import CallCount, Rotation, calling

_POLICY = "version: 1\ndefaults: {user: {hard: {pods: 1000, cpu: 100}}}\n"
_NAMESPACE = "calls"
_USERQUOTA = "userquota-system"
_REPLICAS = 3
_DRAIN = 10
"""Seconds, as the manifests have it by default."""
_BETWEEN_ROTATIONS = 65.0
"""Seconds: a replica reads the Secret every 30, and takes up an authority that has been trusted for 60."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What was done, how often, and what became of the calls meanwhile."""

    what: str
    times: int
    calls: CallCount
    seconds: float
    longest_gap: float

    def __str__(self) -> str:
        failed = len(self.calls.failures)
        return (
            f"| {self.what} | {self.times} | {self.calls.made} | {failed} | {self.longest_gap:.2f} s | "
            f"{self.seconds:.0f} s |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.availability", description=__doc__)
    parser.add_argument("--rotations", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--restarts", type=int, default=12, help="of all replicas in turn (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=6, help="of one replica (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=75, help="calls a second (default: %(default)s)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="userquota-availability-") as name:
        phases = asyncio.run(_measure(Path(name), asked))
    print("| what | times | calls | failed | longest without an answer | in |")
    print("|---|---|---|---|---|---|")
    for each in phases:
        print(each)
        for reason in dict.fromkeys(each.calls.failures):
            print(f"  failed: {reason}", file=sys.stderr)
    versions = machine.versions({"kubernetes": kubernetes_version(GO_MODULE)})
    print("\n".join(["", *table.origin({"versions": versions, "machine": machine.description()})]))
    if any(each.calls.failures for each in phases if not each.what.startswith("kill")):
        sys.exit(1)


async def _measure(folder: Path, asked: argparse.Namespace) -> list[Phase]:
    with ControlPlane(folder / "cluster", find_binaries(os.environ), options=Options(servers=2)) as cluster:
        replicas = Replicas(cluster, folder, _REPLICAS, options=["--drain", f"{_DRAIN}"])
        replicas.install()
        replicas.apply_policy(_POLICY)
        cluster.create_namespace(_NAMESPACE)
        with replicas:
            await asyncio.to_thread(replicas.wait_until_ready, within=60)
            manifests = manifest_files.webhook_manifests()
            async with _connected(cluster, 1) as admin, _connected(cluster, 2) as caller:
                rotation = Rotation(admin, _USERQUOTA, clock=SystemClock(), manifests=manifests)
                run = _Run(replicas, rotation, caller, manifests, asked.rate)
                return [
                    await run.rotations(asked.rotations),
                    await run.restarts(asked.restarts),
                    await run.kills(asked.kills),
                ]


@asynccontextmanager
async def _connected(cluster: ControlPlane, server: int) -> AsyncIterator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig=cluster.kubeconfig("admin", server=server))
    try:
        yield api
    finally:
        await api.close()


class _Run:
    """The phases, each under calls."""

    def __init__(
        self,
        replicas: Replicas,
        rotation: Rotation,
        caller: KubernetesApi,
        manifests: list[WebhookManifest],
        rate: float,
    ) -> None:
        self._replicas = replicas
        self._rotation = rotation
        self._caller = caller
        self._manifests = manifests
        self._rate = rate

    async def rotations(self, times: int) -> Phase:
        """Have the next authority sign, and every fifth time replace both."""
        async with self._calling() as (count, begun):
            for number in range(times):
                if number % 5 == 4:
                    await self._rotation.replace_both()
                    await asyncio.sleep(2 * _BETWEEN_ROTATIONS)
                else:
                    await self._rotation.replace_signing()
                    await asyncio.sleep(_BETWEEN_ROTATIONS)
                print(f"rotation {number + 1}: {count.made} calls, {len(count.failures)} failed", file=sys.stderr)
        return Phase("rotation of an authority", times, count, monotonic() - begun, count.longest_gap)

    async def restarts(self, times: int) -> Phase:
        """End each replica and start it again, one after the other, as a rollout does."""
        async with self._calling() as (count, begun):
            for _ in range(times):
                for i in range(self._replicas.count):
                    await asyncio.to_thread(self._replicas.end, i)
                    self._replicas.start_one(i)
                    await asyncio.to_thread(self._replicas.wait_until_ready, within=60)
                print(f"restart: {count.made} calls, {len(count.failures)} failed", file=sys.stderr)
        return Phase("rolling restart of three replicas", times, count, monotonic() - begun, count.longest_gap)

    async def kills(self, times: int) -> Phase:
        """Kill one replica of three, as a crash would."""
        async with self._calling() as (count, begun):
            for number in range(times):
                i = number % self._replicas.count
                await asyncio.to_thread(self._replicas.kill, i)
                await asyncio.sleep(5)
                self._replicas.start_one(i)
                await asyncio.to_thread(self._replicas.wait_until_ready, within=60)
        return Phase("kill -9 of one replica of three", times, count, monotonic() - begun, count.longest_gap)

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[tuple[CallCount, float]]:
        async with calling(self._caller, _NAMESPACE, rate=self._rate, manifests=self._manifests) as count:
            yield count, monotonic()


if __name__ == "__main__":
    main()
