"""
The ConfigMap with the part of the policy that programs write.

It is one of the policy's ConfigMaps: each change of it is judged by the admission of edits, as one that a person makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from webhook.documents.kept_policy import (
    KeptPolicy,
    KeptPolicyError,
    PolicyRefusedError,
    StoredPolicy,
    kept_text,
    read_kept,
)
from webhook.documents.policy_config_map import POLICY_LABEL
from webhook.kube.api import (
    UNREADABLE,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    KubernetesApi,
    NotFoundError,
)
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

NAME: Final = "userquota-commitments"
KEY: Final = "commitments.yaml"
_LABELS: Final = {
    "app.kubernetes.io/name": "userquota",
    "app.kubernetes.io/component": "commitments",
    POLICY_LABEL: "true",
}
_DENIED: Final = re.compile(r'admission webhook "[^"]*" denied the request: ', re.ASCII)
"""What the API server puts before the message of a webhook that refused."""

_TIMEOUT: Final = 12.0
"""Seconds: an edit of a large policy may take the ten that its webhook has."""


class _Meta(Shape, frozen=True):
    resource_version: str = ""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class _ConfigMap(Shape, frozen=True):
    metadata: _Meta = _Meta()
    data: dict[str, str] | None = None


class KeptPolicyConfigMap:
    """Port `KeptPolicyStore`, over one ConfigMap in *namespace*."""

    def __init__(self, api: KubernetesApi, *, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"

    async def read(self) -> StoredPolicy:
        """Return what is stored. See `KeptPolicyStore.read`."""
        try:
            found = msgspec.json.decode(await self._api.get(f"{self._collection}/{NAME}"), type=_ConfigMap)
        except NotFoundError:
            return StoredPolicy(KeptPolicy())
        except (ApiError, *UNREADABLE) as error:
            raise UnavailableError("commitments", f"ConfigMap {NAME} cannot be read: {error}") from error
        data = found.data or {}
        if strange := sorted(data.keys() - {KEY}):
            raise KeptPolicyError(f"ConfigMap {NAME} has the key {strange[0]}: move it to a ConfigMap of your own")
        content = read_kept(data[KEY], source=f"{NAME}/{KEY}") if KEY in data else KeptPolicy()
        return StoredPolicy(content, found.metadata.annotations or {}, found.metadata.resource_version)

    async def write(
        self, content: KeptPolicy, *, after: StoredPolicy, annotations: Mapping[str, str], dry_run: bool = False
    ) -> bool:
        """Replace what is stored if it is still *after*. See `KeptPolicyStore.write`."""
        query = {"dryRun": "All"} if dry_run else {}
        body = self._body(content, {**after.annotations, **annotations}, after.version)
        try:
            if after.version:
                await self._api.replace(f"{self._collection}/{NAME}", body, query=query, timeout=_TIMEOUT)
            else:
                await self._api.create(self._collection, body, query=query, timeout=_TIMEOUT)
        except (AlreadyExistsError, ConflictError, NotFoundError):
            return False
        except ApiError as error:
            message, found = _DENIED.subn("", error.whole, count=1)
            if found and error.status < 500:
                raise PolicyRefusedError(message) from error
            raise UnavailableError("commitments", f"ConfigMap {NAME} cannot be written: {error}") from error
        return True

    def _body(self, content: KeptPolicy, annotations: Mapping[str, str], version: str) -> bytes:
        metadata: dict[str, object] = {"name": NAME, "namespace": self._namespace, "labels": _LABELS}
        if annotations:
            metadata["annotations"] = dict(annotations)
        if version:
            metadata["resourceVersion"] = version
        return msgspec.json.encode(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: kept_text(content)}}
        )
