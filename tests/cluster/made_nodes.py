"""
Two nodes, a scheduler and kubelets, made by the tests: as far as controllers see them.

Each acts under the name that the real one has. What a pod does is in its annotation `example.com/does`.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.replicated.asking import Answer, Asking

Json = dict[str, Any]

DOES = "example.com/does"
"""
What a pod does: `run` (as without it), `hang` (never starts), `succeed`, `fail CODE`, or `lead` (as the first pod of an
Indexed Job it succeeds, as another it runs).
"""

NODES = ("made-1", "made-2")
_STRATEGIC = "application/strategic-merge-patch+json"
_INDEX = "batch.kubernetes.io/job-completion-index"
_GONE = (404, 409)
_SECONDS_BETWEEN_BEATS = 8
_SIGTERM = 143


class MadeNodes:
    """
    Bind pods, report that they run, ready, or how they end, and complete their deletion.

    `refused` lists what the API server did not let them do. Belongs to one event loop.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._done: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused: list[str] = []

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Create the nodes, keep them ready while the body runs, and delete them."""
        for name in NODES:
            labels = {"kubernetes.io/hostname": name, f"example.com/{name}": ""}
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
            answer = await self._asking.ask("POST", "/api/v1/nodes", body=body)
            assert answer.status == 201, answer.text
        beating = asyncio.create_task(self._beat())
        try:
            await self._await_no_taints()
            yield
        finally:
            beating.cancel()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(beating, *self._tasks, return_exceptions=True)
            for name in NODES:
                await self._asking.ask("DELETE", f"/api/v1/nodes/{name}")

    def see(self, pod: Json) -> None:
        """Start what the scheduler or the node of a pod does next, as the pod is now."""
        step = _next_step(pod)
        mark = (pod["metadata"]["uid"], step)
        if not step or mark in self._done:
            return
        self._done.add(mark)
        acts = {"bind": self._bind, "start": self._start, "end": self._end, "stop": self._stop}
        self._run(acts[step](pod))

    async def fail(self, pod: Json) -> None:
        """Report that a running pod has failed, as a node does that throws it out."""
        await self._report(pod, {"phase": "Failed", "reason": "Evicted", "message": "a test"})

    async def say_ready(self, pod: Json, *, is_ready: bool) -> None:
        """Report whether a running pod is ready."""
        await self._report(pod, {"conditions": _ready("True" if is_ready else "False")})

    def _run(self, act: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bind(self, pod: Json) -> None:
        meta = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": _node_for(pod)},
        }
        self._note(
            await self._asking.ask("POST", f"{_path(pod)}/binding", body=body, acting_as="system:kube-scheduler")
        )

    async def _start(self, pod: Json) -> None:
        state = {"running": {"startedAt": _now()}}
        ready = [
            {"type": each, "status": "True", "lastTransitionTime": _now()} for each in ("ContainersReady", "Ready")
        ]
        await self._report(pod, {"phase": "Running", "conditions": ready, **_containers(pod, state, is_ready=True)})

    async def _end(self, pod: Json) -> None:
        word, _, code = _does(pod).partition(" ")
        await self._report(pod, _ended("Succeeded" if word == "succeed" else "Failed", pod, int(code or 0)))

    async def _stop(self, pod: Json) -> None:
        """Report that the containers were ended by their signal, unless they had ended, and let the pod go."""
        if pod["status"]["phase"] not in ("Succeeded", "Failed"):
            await self._report(pod, _ended("Failed", pod, _SIGTERM))
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod["metadata"]["uid"]},
        }
        self._note(await self._as_node(pod, "DELETE", _path(pod), options))

    async def _report(self, pod: Json, status: Json) -> None:
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        self._note(await self._as_node(pod, "PATCH", f"{_path(pod)}/status", body))

    async def _as_node(self, pod: Json, method: str, path: str, body: Json) -> Answer:
        node = pod["spec"]["nodeName"]
        return await self._asking.ask(
            method,
            path,
            body=body,
            content_type=_STRATEGIC if method == "PATCH" else "application/json",
            acting_as=f"system:node:{node}",
            in_groups=("system:nodes",),
        )

    async def _beat(self) -> None:
        """Report that the nodes are ready, until cancelled: without that their pods are thrown out."""
        while True:
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
            for name in NODES:
                answer = await self._asking.ask(
                    "PATCH",
                    f"/api/v1/nodes/{name}/status",
                    body={"status": {"conditions": [ready]}},
                    content_type=_STRATEGIC,
                    acting_as=f"system:node:{name}",
                    in_groups=("system:nodes",),
                )
                self._note(answer)
            await asyncio.sleep(_SECONDS_BETWEEN_BEATS)

    async def _await_no_taints(self) -> None:
        for name in NODES:
            async with asyncio.timeout(30):
                while True:
                    answer = await self._asking.ask("GET", f"/api/v1/nodes/{name}")
                    if "taints" not in json.loads(answer.text)["spec"]:
                        break
                    await asyncio.sleep(0.2)

    def _note(self, answer: Answer) -> None:
        if answer.status not in (200, 201, *_GONE):
            self.refused.append(answer.text)


def _next_step(pod: Json) -> str:
    """Return what has to be done for a pod; empty for nothing."""
    is_deleted = "deletionTimestamp" in pod["metadata"]
    if "nodeName" not in pod["spec"]:
        return "" if is_deleted else "bind"
    if is_deleted:
        return "stop"
    phase = pod["status"]["phase"]
    if phase == "Pending" and _does(pod) != "hang":
        return "start"
    return "end" if phase == "Running" and _does(pod) not in ("run", "hang") else ""


def _does(pod: Json) -> str:
    meta = pod["metadata"]
    does = str(meta.get("annotations", {}).get(DOES, "run"))
    if does == "lead":
        return "succeed" if meta["labels"][_INDEX] == "0" else "run"
    return does


def _node_for(pod: Json) -> str:
    """Return the node that the pod has to be on, as those of a DaemonSet, or any."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", ()):
        for field in term.get("matchFields", ()):
            return str(field["values"][0])
    return NODES[zlib.crc32(pod["metadata"]["name"].encode()) % len(NODES)]


def _ready(status: str) -> list[Json]:
    return [{"type": each, "status": status, "lastTransitionTime": _now()} for each in ("ContainersReady", "Ready")]


def _containers(pod: Json, state: Json, *, is_ready: bool) -> Json:
    statuses = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": each["image"],
            "ready": is_ready,
            "restartCount": 0,
            "state": state,
        }
        for each in pod["spec"]["containers"]
    ]
    return {"containerStatuses": statuses}


def _ended(phase: str, pod: Json, code: int) -> Json:
    state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": _now()}}
    return {"phase": phase, "conditions": _ready("False"), **_containers(pod, state, is_ready=False)}


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
