"""
`python -m benchmarks.restart`: how soon a replica is ready after kill -9, and its memory, in a full cluster.

A real API server has the pods; two more replicas run meanwhile, as in an installation. The figures are compared with
those of the same replica in the empty cluster: the difference is the cost of the pods.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import aiohttp
import msgspec

from benchmarks import machine, table
from benchmarks.contention import counters
from benchmarks.figures import Figure, Row
from localcluster.binaries import find_binaries
from localcluster.build import GO_MODULE, kubernetes_version
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.replicas import Replicas
from webhook.quota.objects import OWNER_ANNOTATION

_POLICY = "version: 1\ndefaults: {user: {hard: {pods: 1000, cpu: 100}}}\n"
_NAMESPACE = "many"
_IN_FLIGHT = 40
_REPLICAS = 3
_READY = 5.0
_MIB = 256.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart", description=__doc__)
    parser.add_argument("--pods", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--users", type=int, default=2_000, help="who own them (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="restarts of one replica (default: %(default)s)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="userquota-restart-") as name:
        rows = list(_measure(Path(name), asked.pods, asked.users, asked.rounds))
    print("\n".join(table.markdown(rows)))
    versions = machine.versions({"kubernetes": kubernetes_version(GO_MODULE)})
    print("\n".join(["", *table.origin({"versions": versions, "machine": machine.description()})]))


def _measure(folder: Path, pods: int, users: int, rounds: int) -> Iterator[Row]:
    with ControlPlane(folder / "cluster", find_binaries(os.environ), options=Options(servers=2)) as cluster:
        replicas = Replicas(cluster, folder, _REPLICAS)
        replicas.install()
        replicas.apply_policy(_POLICY)
        with replicas:
            replicas.wait_until_ready(within=60)
            empty = [_restart(replicas, pods=0) for _ in range(rounds)]
        replicas.uninstall()  # no webhook is called for these
        cluster.create_namespace(_NAMESPACE)
        print(f"creating {pods} pods", file=sys.stderr, flush=True)
        asyncio.run(_create(cluster, pods, users))
        with replicas:
            replicas.wait_until_ready(within=120)
            full = [_restart(replicas, pods=pods) for _ in range(rounds)]
    yield from _rows(f"{pods} pods of {users} users", empty, full)


def _restart(replicas: Replicas, *, pods: int) -> tuple[float, float, float]:
    """Return the seconds from the start to ready with *pods* to read, and the MB used then and at most."""
    replicas.kill(0)
    replicas.start_one(0)
    seconds = replicas.wait_until_ready(within=60)
    if not counters.is_settled(replicas, pods=pods):
        raise RuntimeError(f"a replica is ready and does not know of {pods} pods")
    return seconds, *machine.memory(replicas.processes["userquota-0"].pid)


def _rows(what: str, empty: Sequence[tuple[float, ...]], full: Sequence[tuple[float, ...]]) -> Iterator[Row]:
    measures = (("start to ready", "s", _READY), ("memory", "MB", _MIB), ("memory at most", "MB", _MIB))
    for at, (name, unit, most) in enumerate(measures):
        ours, none = (_summary([each[at] for each in several], unit) for several in (full, empty))
        yield Row("restart", f"{name}, {what}", ours, "set", Figure(most, unit, most, most), 1)
        yield Row("restart", f"{name}, {what}", ours, "no pods", none, None)


def _summary(values: Sequence[float], unit: str) -> Figure:
    return Figure(median(values), unit, min(values), max(values))


async def _create(cluster: ControlPlane, pods: int, users: int) -> None:
    """Create pods that carry a stamp: no webhook is called for these, so that the admin may write it."""
    tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
    headers = {"Authorization": f"Bearer {cluster.access.token('admin')}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(ssl=tls, limit=_IN_FLIGHT)
    urls = [f"{url}/api/v1/namespaces/{_NAMESPACE}/pods" for url in cluster.server_urls]
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        numbers = iter(range(pods))

        async def work() -> None:
            for number in numbers:
                body = _pod(f"pod-{number:06}", f"person-{number % users:05}")
                async with session.post(urls[number % len(urls)], data=body) as answer:
                    answer.raise_for_status()

        await asyncio.gather(*(work() for _ in range(_IN_FLIGHT)))


def _pod(name: str, owner: str) -> bytes:
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}
    metadata = {"name": name, "annotations": {OWNER_ANNOTATION: owner}}
    return msgspec.json.encode(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    )


if __name__ == "__main__":
    main()
