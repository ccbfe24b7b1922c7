"""
What exists in a cluster now, and the policy that stands there, for `userquota policy diff --live`.

It is listed with the rights of the caller, as for `preflight`: what the replicas show of it is counted by the policy in
force, and a policy that counts otherwise is compared by the objects themselves. What is in flight is not among them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from webhook.documents.policy_config_map import POLICY_LABEL
from webhook.documents.policy_text import read_policy
from webhook.kube.api import ActingAs, KubernetesApi
from webhook.kube.policy_maps import read_policy_maps
from webhook.ports import UnavailableError
from webhook.quota.edits import Known
from webhook.quota.policy import Policy
from webhook.wiring.cluster_look import ClusterLook
from webhook.wiring.commitment_editor import trouble_with

_MOST_TOLD = 5


class LiveComparison(NamedTuple):
    """Two policies, with what objects of the cluster tell them, and what they are compared over."""

    before: Policy
    after: Policy
    known: Known


async def live_comparison(  # noqa: PLR0913 - the cluster, and the two sides
    kubeconfig: Path | None,
    context: str | None,
    acting_as: ActingAs | None,
    *,
    before: Policy | None,
    after: Policy,
    namespace: str,
    now: datetime,
) -> LiveComparison:
    """
    Return *before* and *after* with all that exists at *now*, counted under *after*; None for the policy that stands in
    the ConfigMaps of *namespace*.

    Raises: KubeconfigError; UnavailableError if anything cannot be read, or if that policy has mistakes.
    """
    api = await KubernetesApi.connect(kubeconfig=kubeconfig, context=context, acting_as=acting_as)
    try:
        if before is None:
            before = await _policy_in(api, namespace)
        look = ClusterLook(api)
        exempt = await look.exempt_namespaces()
        before, after = await look.informed(before, after)
        census, kinds = await look.census(after, exempt=exempt, now=now, with_workloads=False)
    finally:
        await api.close()
    if look.unreadable:
        told = [f"{each.what}: {each.why}" for each in look.unreadable[:_MOST_TOLD]]
        more = len(look.unreadable) - len(told)
        raise UnavailableError("usage", "\n".join([*told, *([f"and {more} more"] if more else [])]))
    read = frozenset(kind.resource for kind in kinds if kind.is_charged)
    return LiveComparison(before, after, Known(census.index.holdings(), census.labels_of, now, read.__contains__))


async def _policy_in(api: KubernetesApi, namespace: str) -> Policy:
    """Return the policy in the ConfigMaps of *namespace*. Raises: UnavailableError."""
    maps = await read_policy_maps(api, namespace=namespace)
    if not maps:
        why = f'no ConfigMap in namespace {namespace} has the label {POLICY_LABEL}: "true"'
        raise UnavailableError("policy", f"{why}: is userquota installed there?")
    reading = await asyncio.to_thread(read_policy, [text for each in maps for text in each.texts()])
    trouble = trouble_with(maps, reading)
    if trouble or reading.policy is None:
        raise UnavailableError("policy", f"the policy of the cluster has mistakes, and is not in force: {trouble}")
    return reading.policy
