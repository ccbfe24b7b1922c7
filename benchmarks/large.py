"""
`python -m benchmarks.large`: reviews of the largest objects, two of 3 MiB in each, at one replica. Takes some minutes.

What etcd stores is half of that at most; the API server asks webhooks before it asks etcd.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import io
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks import certificate, contestants, machine

SIZE = 3 * 1024 * 1024
"""Bytes of one object."""

CONTAINERS = 1000
AT_ONCE = 3
"""As many as a replica takes into memory at once; it answers 503 to more."""

TIMEOUT = 5
"""Seconds: what the manifests have the API server wait."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured. *growth* is in MB, from before the first to the most that there was."""

    reviews: int
    decided: int
    slowest: float
    median: float
    before: float
    growth: float


async def measure(reviews: int, replica: contestants.Contestant, tls: ssl.SSLContext, *, at_once: int) -> Found:
    """Post so many reviews to *replica*."""
    pid = replica.pid
    body = review()
    before = machine.memory(pid)[0]
    times: list[float] = []
    decided = 0
    left = iter(range(reviews))
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(f"https://localhost:{replica.port}", connector=connector) as client:

        async def caller() -> None:
            nonlocal decided
            for _ in left:
                begun = time.monotonic()
                async with client.post(f"/validate?timeout={TIMEOUT}s", data=io.BytesIO(body)) as response:
                    answered = await response.read()
                times.append(time.monotonic() - begun)
                decided += response.status == 200 and b'"allowed":' in answered

        await asyncio.gather(*(caller() for _ in range(at_once)))
    times.sort()
    return Found(reviews, decided, times[-1], times[len(times) // 2], before, machine.memory(pid)[1] - before)


def review() -> bytes:
    """Return the review of an update of a pod with very many containers, whose annotations fill it up."""
    new, old = _pod("new"), _pod("old")
    request = {
        "uid": "7d3e2a10-44f1-4b0c-9c55-000000000001",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "large",
        "namespace": "default",
        "operation": "UPDATE",
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": False,
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return msgspec.json.encode(body)


def _pod(note: str) -> dict[str, Any]:
    one = {"image": "example/image:1", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "large",
            "namespace": "default",
            "uid": "1c1a2f6e-0000-4000-8000-000000000001",
            "resourceVersion": "100",
            "annotations": {"note": note},
        },
        "spec": {"containers": [{"name": f"c-{number}", **one} for number in range(CONTAINERS)]},
    }
    pod["metadata"]["annotations"]["filling"] = "x" * (SIZE - len(msgspec.json.encode(pod)))
    return pod


def main(reviews: int, *, at_once: int = AT_ONCE) -> Found:
    """Start a replica, and measure."""
    with tempfile.TemporaryDirectory(prefix="userquota-benchmark-") as name:
        folder = Path(name)
        certificate.write(folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - a certificate has dates
        tls = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        with contestants.ours(folder) as replica:
            return asyncio.run(measure(reviews, replica, tls, at_once=at_once))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--reviews", type=int, default=1000, help="default: %(default)s")
    print(main(parser.parse_args().reviews))
