"""
`python -m benchmarks.webhook_window`: how long one API server goes on without a webhook that another has stored.

A webhook that fails closed, at a port where nobody listens, is created through the first of three API servers. From
then on dry runs are asked of each, until each fails: the time from the answer to the creation is the window.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import msgspec

from localcluster.addresses import LOOPBACK
from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.balancer.running import lasting_port
from webhook.kube.api import KubernetesApi, ServerError

_SERVERS = 3
_NAMESPACE = "window"
_HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_CONFIG_MAPS = f"/api/v1/namespaces/{_NAMESPACE}/configmaps"
_BODY = msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "window-"}})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhook_window", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="(default: %(default)s)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="userquota-window-") as name:
        options = Options(servers=_SERVERS)
        with ControlPlane(Path(name) / "cluster", find_binaries(os.environ), options=options) as cluster:
            cluster.create_namespace(_NAMESPACE)
            windows = asyncio.run(_measure(cluster, asked.rounds))
    print("| API server | median | longest | rounds |")
    print("|---|---|---|---|")
    for number, seconds in enumerate(zip(*windows, strict=True), start=1):
        what = "the one that stored it" if number == 1 else f"another one ({number})"
        print(f"| {what} | {median(seconds) * 1000:.0f} ms | {max(seconds) * 1000:.0f} ms | {len(seconds)} |")


async def _measure(cluster: ControlPlane, rounds: int) -> list[Sequence[float]]:
    async with AsyncExitStack() as stack:
        apis = []
        for number in range(1, _SERVERS + 1):
            api = await KubernetesApi.connect(kubeconfig=cluster.kubeconfig("admin", server=number))
            stack.push_async_callback(api.close)
            apis.append(api)
        return [await _window(apis, number) for number in range(rounds)]


async def _window(apis: Sequence[KubernetesApi], number: int) -> Sequence[float]:
    """Return the seconds until each API server called the webhook that the first one stored."""
    name = f"window-{number}"
    url = f"https://{LOOPBACK}:{lasting_port()}/"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    webhook = {
        "name": "window.userquota.dev",
        "clientConfig": {"url": url},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": _NAMESPACE}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    await apis[0].create(_HOOKS, msgspec.json.encode(body))
    stored_at = time.monotonic()
    windows = await asyncio.gather(*(_until_called(api, stored_at, called=True) for api in apis))
    await apis[0].delete(f"{_HOOKS}/{name}")
    await asyncio.gather(*(_until_called(api, stored_at, called=False) for api in apis))
    return windows


async def _until_called(api: KubernetesApi, since: float, *, called: bool) -> float:
    while True:
        try:
            await api.create(_CONFIG_MAPS, _BODY, query={"dryRun": "All"})
        except ServerError:
            if called:
                return time.monotonic() - since
        else:
            if not called:
                return time.monotonic() - since
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    main()
