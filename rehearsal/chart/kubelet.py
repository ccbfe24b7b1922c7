"""
Stands for scheduler and kubelets of one namespace: a pod is a process with an address, and the rights of its account.

As the kubelet does it: probes, restarts after a crash or a failed liveness probe, preStop, SIGTERM, and the end of the
grace period. The image of a pod names the checkout whose code runs. Everything else is Kubernetes' own: Deployments,
ReplicaSets and EndpointSlices are those of kube-controller-manager.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from localcluster.processes import ChildProcess
from rehearsal.chart import network
from rehearsal.client import APPLY, MERGE, Client
from rehearsal.manifests import POD, Document

_NODES = ("node-1", "node-2", "node-3")
_READY = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]


@dataclass(slots=True)
class Run:
    """What became of one pod, by the wall clock; 0 for what did not happen."""

    name: str
    image: str
    address: str
    folder: Path
    ready: float = 0.0
    asked_to_end: float = 0.0
    ended: float = 0.0
    crashes: list[int] = field(default_factory=list)
    """The exit codes of ends that nobody had asked for."""


class Kubelet:
    """Runs the pods of *namespace*, with files in *folder*. *checkouts* are by image."""

    def __init__(
        self, client: Client, folder: Path, port: int, *, namespace: str, checkouts: Mapping[str, Path]
    ) -> None:
        self._client = client
        self._folder = folder
        self._port = port
        self._namespace = namespace
        self._checkouts = checkouts
        self._present: dict[str, Document] = {}
        self.runs: dict[str, Run] = {}
        """By UID, in the order in which they were seen."""

    async def run(self) -> None:
        """Run pods until cancelled; then all of them are killed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._be_nodes())
            while True:
                answer = await self._client.ask("GET", POD.path(self._namespace))
                if answer.is_done:
                    self._present = {each["metadata"]["uid"]: each for each in answer.document["items"]}
                for uid, pod in self._present.items():
                    if uid not in self.runs:
                        number = len(self.runs) + 2
                        address = f"10.1.{number // 250}.{number % 250 + 2}"
                        image = pod["spec"]["containers"][0]["image"]
                        name = pod["metadata"]["name"]
                        self.runs[uid] = Run(name, image, address, self._folder / f"{number}-{name}")
                        tasks.create_task(self._live(pod, self.runs[uid], number))
                await asyncio.sleep(0.2)

    def log(self, run: Run) -> str:
        file = run.folder / "log"
        return file.read_text() if file.exists() else ""

    async def _be_nodes(self) -> None:
        for name in _NODES:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
            body = {"metadata": {"name": name, "labels": labels}}
            await self._client.ask("POST", "/api/v1/nodes", body)
            await self._client.change(f"/api/v1/nodes/{name}/status", {"status": {"conditions": _READY}})
        while True:
            now = _rfc3339("%Y-%m-%dT%H:%M:%S.%fZ")
            for name in _NODES:
                lease = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name},
                    "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
                }
                path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
                await self._client.change(f"{path}?fieldManager=kubelet&force=true", lease, content=APPLY)
            await asyncio.sleep(10)

    async def _live(self, pod: Document, run: Run, number: int) -> None:
        node = _NODES[number % len(_NODES)]
        target = {"metadata": {"name": run.name}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}}
        await self._client.ask("POST", POD.path(self._namespace, run.name, "binding"), target)
        [container] = pod["spec"]["containers"]
        process = ChildProcess(
            run.name,
            network.in_a_pod(
                run.address,
                await self._account(pod, run),
                self._checkouts[run.image],
                [sys.executable, "-m", "webhook", *container["args"]],
            ),
            log_file=run.folder / "log",
            environ=self._environ(container),
        )
        starts = 0
        try:
            while not self._is_asked_to_end(pod):
                starts += 1
                process.start()
                with suppress(OSError):  # it has ended already
                    await network.connect(process.pid, run.address, f"pod{number}x{starts}")
                code = await self._until_its_end(pod, run, process)
                if code is None:
                    break
                if pod["spec"]["restartPolicy"] == "Never":
                    await self._tell(pod, run, phase="Failed" if code else "Succeeded", is_ready=False)
                    return
                run.crashes.append(code)
                await self._tell(pod, run, is_ready=False)
                await asyncio.sleep(1)
            await self._end(pod, run, container, process)
        finally:
            process.kill()
            run.ended = time.time()
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._client.ask("DELETE", POD.path(self._namespace, run.name), body)

    async def _until_its_end(self, pod: Document, run: Run, process: ChildProcess) -> int | None:
        """Probe the container until it ends; return its code, None once the pod is asked to end."""
        [container] = pod["spec"]["containers"]
        probing = asyncio.create_task(self._probe(pod, run, container, process))
        try:
            while process.is_running():
                if self._is_asked_to_end(pod):
                    return None
                await asyncio.sleep(0.1)
            return process.exit_code
        finally:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing

    async def _probe(self, pod: Document, run: Run, container: Document, process: ChildProcess) -> None:
        """Tell whether the container is ready whenever that changes, and kill it if it does not live."""
        if "readinessProbe" not in container:
            await self._tell(pod, run, is_ready=True)
            return
        startup, readiness, liveness = (container[f"{each}Probe"] for each in ("startup", "readiness", "liveness"))
        await self._tell(pod, run, is_ready=False)
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=False)) as session:

            async def succeeds(probe: Document) -> bool:
                ports = {each["name"]: each["containerPort"] for each in container["ports"]}
                got = probe["httpGet"]
                url = f"https://{run.address}:{ports[got['port']]}{got['path']}"
                try:
                    async with session.get(url) as answer:
                        return answer.status < 400
                except (aiohttp.ClientError, TimeoutError):
                    return False

            while not await succeeds(startup):
                await asyncio.sleep(startup["periodSeconds"])
            is_ready, unready, dead, looked = False, 0, 0, time.monotonic()
            while True:
                unready = 0 if await succeeds(readiness) else unready + 1
                if not unready and not is_ready:
                    is_ready = True
                    await self._tell(pod, run, is_ready=True)
                    run.ready = run.ready or time.time()
                elif unready >= readiness["failureThreshold"] and is_ready:
                    is_ready = False
                    await self._tell(pod, run, is_ready=False)
                if time.monotonic() - looked >= liveness["periodSeconds"]:
                    looked = time.monotonic()
                    dead = 0 if await succeeds(liveness) else dead + 1
                    if dead >= liveness["failureThreshold"]:
                        process.kill()
                await asyncio.sleep(readiness["periodSeconds"])

    async def _end(self, pod: Document, run: Run, container: Document, process: ChildProcess) -> None:
        """End the container as the kubelet does: preStop, SIGTERM, and SIGKILL when its grace is over."""
        run.asked_to_end = begun = time.time()
        present = self._present.get(pod["metadata"]["uid"])
        grace = 0 if present is None else present["metadata"].get("deletionGracePeriodSeconds", 30)
        stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        await asyncio.sleep(min(stop, grace))
        process.ask_to_end()
        while process.is_running() and time.time() - begun < grace:
            await asyncio.sleep(0.1)

    def _is_asked_to_end(self, pod: Document) -> bool:
        present = self._present.get(pod["metadata"]["uid"])
        return present is None or "deletionTimestamp" in present["metadata"]

    async def _tell(self, pod: Document, run: Run, *, is_ready: bool, phase: str = "Running") -> None:
        now = _rfc3339("%Y-%m-%dT%H:%M:%SZ")
        told = {"lastTransitionTime": now, "status": "True"}
        ready = {**told, "status": str(is_ready)}
        status = {
            "phase": phase,
            "podIP": run.address,
            "podIPs": [{"ip": run.address}],
            "hostIP": network.NODE,
            "startTime": now,
            "conditions": [
                *({"type": each, **told} for each in ("PodScheduled", "Initialized")),
                *({"type": each, **ready} for each in ("ContainersReady", "Ready")),
            ],
            "containerStatuses": [
                {
                    "name": pod["spec"]["containers"][0]["name"],
                    "image": run.image,
                    "imageID": run.image,
                    "ready": is_ready,
                    "restartCount": len(run.crashes),
                    "state": {"running": {"startedAt": now}},
                }
            ],
        }
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        await self._client.change(POD.path(self._namespace, run.name, "status"), body, content=MERGE)

    async def _account(self, pod: Document, run: Run) -> Path:
        """Write what a pod has of its service account; return the folder."""
        meta, account = pod["metadata"], pod["spec"]["serviceAccountName"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        token = await self._client.ask("POST", path, {"spec": {"boundObjectRef": bound}})
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/kube-root-ca.crt"
        while not (authorities := await self._client.ask("GET", path)).is_done:
            await asyncio.sleep(0.1)
        folder = run.folder / "serviceaccount"
        folder.mkdir(parents=True)
        (folder / "token").write_text(token.document["status"]["token"])
        (folder / "ca.crt").write_text(authorities.document["data"]["ca.crt"])
        (folder / "namespace").write_text(self._namespace)
        return folder

    def _environ(self, container: Document) -> dict[str, str]:
        given: dict[str, Any] = {each["name"]: each for each in container.get("env", [])}
        values = {}
        for name, each in given.items():
            field_path = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            values[name] = self._namespace if field_path == "metadata.namespace" else each["value"]
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "KUBERNETES_SERVICE_HOST": network.NODE,
            "KUBERNETES_SERVICE_PORT": str(self._port),
            **values,
        }


def _rfc3339(form: str) -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime(form)
