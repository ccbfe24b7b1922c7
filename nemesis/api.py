"""
The calls that a run itself makes, as the admin, through the API server without faults.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

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

    async def set_policy(self, text: str) -> None:
        """Replace the policy, with another reason for each text: people are over the limits that are lowered."""
        reason = hashlib.sha256(text.encode()).hexdigest()
        annotations = {"annotations": {"userquota.dev/force": reason}}
        await self._patch(POLICY, {"metadata": annotations, "data": {"policy.yaml": text}})

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
