"""
The ConfigMap that holds the copy of the last good policy.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from webhook.documents.policy_copy import StoredCopy
from webhook.kube.api import (
    UNREADABLE,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    KubernetesApi,
    NotFoundError,
    version_read,
)
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

NAME: Final = "userquota-policy-last-good"
KEY: Final = "policy.json.gz"
_LABELS: Final = {"app.kubernetes.io/name": "userquota", "app.kubernetes.io/component": "policy-copy"}
"""Not the label of a policy: the copy must never be read as one of the texts that it is a copy of."""


class _Meta(Shape, frozen=True):
    uid: str = ""
    resource_version: str = ""


class _ConfigMap(Shape, frozen=True):
    metadata: _Meta = _Meta()
    # msgspec reads bytes from base64, which is how the API server sends them.
    binary_data: dict[str, bytes] | None = None


class PolicyCopyConfigMap:
    """Port `PolicyCopy`, over one ConfigMap."""

    def __init__(self, api: KubernetesApi, *, namespace: str) -> None:
        """Keep the copy in *namespace*."""
        self._api = api
        self._namespace = namespace
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"

    async def read(self) -> StoredCopy | None:
        """Return what is stored. See `PolicyCopy.read`."""
        try:
            body = await self._api.get(f"{self._collection}/{NAME}")
            found = msgspec.json.decode(body, type=_ConfigMap)
        except NotFoundError:
            return None
        except (ApiError, *UNREADABLE) as error:
            raise UnavailableError("policy-copy", f"ConfigMap {NAME} cannot be read: {error}") from error
        content = (found.binary_data or {}).get(KEY, b"")
        return StoredCopy(content, found.metadata.uid, version_read(found.metadata.resource_version))

    async def write(self, content: bytes, *, after: StoredCopy | None) -> bool:
        """Replace what is stored if it is still *after*. See `PolicyCopy.write`."""
        try:
            if after is None:
                await self._api.create(self._collection, self._body(content))
            else:
                precondition = {"uid": after.uid, "resourceVersion": str(after.resource_version)}
                await self._api.replace(f"{self._collection}/{NAME}", self._body(content, **precondition))
        except (AlreadyExistsError, ConflictError):
            return False
        except ApiError as error:
            if after is not None and isinstance(error, NotFoundError):
                return False
            raise UnavailableError("policy-copy", f"ConfigMap {NAME} cannot be written: {error}") from error
        return True

    def _body(self, content: bytes, **metadata: str) -> bytes:
        return msgspec.json.encode(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": self._namespace, "labels": _LABELS, **metadata},
                "binaryData": {KEY: base64.b64encode(content).decode()},
            }
        )
