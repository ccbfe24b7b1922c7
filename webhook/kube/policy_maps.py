"""
The ConfigMaps of the policy, read once, for commands. Replicas watch them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from webhook.documents.policy_config_map import POLICY_LABEL, PolicyConfigMap
from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi
from webhook.ports import UnavailableError
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
