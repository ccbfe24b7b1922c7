"""
The calls that a run itself makes, as the admin, through the API server without faults.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from nemesis.promising import MadeUpNode
from nemesis.records import (
    CLAIMS,
    DEVICE_CLAIMS,
    FOREIGN,
    LEDGER,
    PODS,
    POLICY,
    SESSION_TYPE,
    SESSIONS,
    SYSTEM_NAMESPACE,
    Slot,
)

_TIMEOUT = aiohttp.ClientTimeout(total=20)
_MERGE = {"Content-Type": "application/merge-patch+json"}
_NODES = "/api/v1/nodes"
_TEXTS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps"


def collection(kind: str, namespace: str = "") -> str:
    """Return the path of the objects of a kind in a namespace, or of all."""
    plural, _, group = kind.partition(".")
    inside = f"namespaces/{namespace}/" if namespace else ""
    return f"{f'/apis/{group}' if group else '/api'}/v1/{inside}{plural}"


@dataclass(frozen=True, slots=True)
class Api:
    """One API server. Calls are retried: each of them has to succeed."""

    session: aiohttp.ClientSession
    url: str
    token: str

    async def edit_policy(self, text: str, *, reason: str, agent: str) -> tuple[int, int, str]:
        """
        Replace the policy, by force if there is a *reason*, without a retry.

        Return the status, 0 without an answer; the version, 0 if it was not stored; and the message if it was refused.
        """
        forced = {"metadata": {"annotations": {"userquota.dev/force": reason}}} if reason else {}
        headers = {**_MERGE, **self._headers(), "User-Agent": agent}
        body = json.dumps({**forced, "data": {"policy.yaml": text}})
        try:
            async with self.session.patch(
                f"{self.url}{_TEXTS}/{POLICY}", data=body, headers=headers, timeout=_TIMEOUT
            ) as answer:
                said: dict[str, Any] = json.loads(await answer.text())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, 0, repr(error)
        if answer.status != 200:
            return answer.status, 0, str(said.get("message", ""))
        return answer.status, int(said["metadata"]["resourceVersion"]), ""

    async def make_node(self, node: MadeUpNode) -> None:
        """Create a node, which is ready."""
        body = {"metadata": {"name": node.name, "labels": node.labels}}
        await self.call("POST", _NODES, body=body, expected=(201, 409))
        await self.report_node(node, is_ready=True)

    async def report_node(self, node: MadeUpNode, *, is_ready: bool, share: float = 1.0) -> None:
        """Report as its kubelet would what a node has, and whether it is ready."""
        told = {"type": "Ready", "status": str(is_ready), "reason": "Nemesis", "message": "nemesis"}
        status = {"allocatable": node.allocatable(share), "conditions": [told]}
        path = f"{_NODES}/{node.name}/status"
        await self.call("PATCH", path, body={"status": status}, expected=(200, 404), **_MERGE)

    async def cordon_node(self, node: MadeUpNode, *, is_cordoned: bool) -> None:
        body = {"spec": {"unschedulable": is_cordoned}}
        await self.call("PATCH", f"{_NODES}/{node.name}", body=body, expected=(200, 404), **_MERGE)

    async def delete_node(self, node: MadeUpNode) -> None:
        await self.call("DELETE", f"{_NODES}/{node.name}", expected=(200, 404))

    async def set_ledger(self, text: str) -> None:
        """Replace the text of the ledger, with a mark by which the judge recognises that."""
        await self._patch(LEDGER, {"metadata": {"annotations": {FOREIGN: "yes"}}, "data": {"ledger": text}})

    async def delete_ledger(self) -> None:
        await self.call("DELETE", f"{_TEXTS}/{LEDGER}", expected=(200, 404))

    async def mark(self, number: int) -> int:
        """Write an object of each kind, of no other use; return the version, which is above all changes up to now."""
        storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
        specs = {
            collection(PODS, "kube-system"): {"containers": [{"name": "main", "image": "x"}]},
            collection(CLAIMS, "kube-system"): storage,
            collection(DEVICE_CLAIMS, "kube-system"): {},
            collection(SESSIONS, "kube-system"): {},
            _NODES: None,
            _TEXTS: None,
        }
        versions = []
        for path, spec in specs.items():
            typed = SESSION_TYPE if path == collection(SESSIONS, "kube-system") else {}
            body = {**typed, "metadata": {"name": f"nemesis-{number}"}, **({} if spec is None else {"spec": spec})}
            made = await self.call("POST", path, body=body, expected=(201,))
            versions.append(made["metadata"]["resourceVersion"])
        return min(map(int, versions))

    async def objects(self, kind: str, namespace: str) -> dict[str, int]:
        """Return the resource version of each object of a kind, by a consistent list."""
        listed = await self.call("GET", collection(kind, namespace))
        return {
            str(Slot(namespace, each["metadata"]["name"], kind)): int(each["metadata"]["resourceVersion"])
            for each in listed["items"] or ()
        }

    async def is_ready(self) -> bool:
        """Whether the API server answers, without a retry."""
        try:
            async with self.session.get(f"{self.url}/readyz", headers=self._headers(), timeout=_TIMEOUT) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def call(
        self, method: str, path: str, *, body: object = None, expected: tuple[int, ...] = (200,), **headers: str
    ) -> dict[str, Any]:
        """Return the JSON of the answer. Raises: RuntimeError once further retries are pointless."""
        told = ""
        for _ in range(60):
            try:
                async with self.session.request(
                    method,
                    f"{self.url}{path}",
                    data=None if body is None else json.dumps(body),
                    headers={"Content-Type": "application/json", **self._headers(), **headers},
                    timeout=_TIMEOUT,
                ) as answer:
                    told = await answer.text()
                    if answer.status in expected:
                        said: dict[str, Any] = json.loads(told)
                        return said
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                told = repr(error)
            await asyncio.sleep(0.5)
        raise RuntimeError(f"{method} {path}: {told[:400]}")

    async def _patch(self, name: str, change: object) -> None:
        await self.call("PATCH", f"{_TEXTS}/{name}", body=change, expected=(200, 404), **_MERGE)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}
