"""
The ConfigMaps of the policy, read once: all of them for commands, and one for the ledger. Replicas watch them.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from webhook.documents.policy_config_map import POLICY_LABEL, PolicyConfigMap
from webhook.kube.api import METADATA_ONLY, UNREADABLE, ApiError, KubernetesApi, NotFoundError, version_read
from webhook.ports import StoredPolicyMap, UnavailableError
from webhook.quota.objects import Shape


class _ConfigMaps(Shape, frozen=True):
    items: list[PolicyConfigMap] | None = None


async def read_policy_maps(api: KubernetesApi, *, namespace: str) -> Sequence[PolicyConfigMap]:
    """Return all ConfigMaps of the policy in *namespace*. Raises: UnavailableError."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    try:
        answer = await api.get(path, query={"labelSelector": f"{POLICY_LABEL}=true"})
        return msgspec.json.decode(answer, type=_ConfigMaps).items or ()
    except (ApiError, *UNREADABLE) as error:
        raise UnavailableError("policy", f"the ConfigMaps of the policy cannot be read: {error}") from error


class StoredPolicyMaps:
    """Port `StoredPolicies`: a GET without a resource version goes to etcd's quorum."""

    def __init__(self, api: KubernetesApi, *, namespace: str) -> None:
        """Read ConfigMaps of *namespace*."""
        self._api = api
        self._namespace = namespace

    async def version_of(self, name: str) -> StoredPolicyMap | None:
        """Return the ConfigMap *name*. See `StoredPolicies.version_of`."""
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/{quote(name)}"
        try:
            found = msgspec.json.decode(await self._api.get(path, accept=METADATA_ONLY), type=PolicyConfigMap)
        except NotFoundError:
            return None
        except (ApiError, *UNREADABLE) as error:
            raise UnavailableError("policy", f"ConfigMap {name} cannot be read: {error}") from error
        return StoredPolicyMap(found.metadata.uid, version_read(found.metadata.resource_version), found.is_labelled)

    async def newest_version(self) -> int:
        """Return the highest version of any ConfigMap of the policy. See `StoredPolicies.newest_version`."""
        found = await read_policy_maps(self._api, namespace=self._namespace)
        return max((version_read(each.metadata.resource_version) for each in found), default=0)
