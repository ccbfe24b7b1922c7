"""
Which workload a pod belongs to that an autoscaler may scale, told by the pod alone: its controller and its labels.

The room that is set aside for a workload is for pods of its owner and namespace, see `PodSet`. So a pod that only
pretends to belong to it takes what its own payer has.
"""

from __future__ import annotations

from collections.abc import Mapping

from webhook.quota.objects import OwnerReference

SCALED = {
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("", "ReplicationController"): "replicationcontrollers",
}
"""The kinds of Kubernetes whose pods are counted by `spec.replicas`, by group and kind: an autoscaler may set that."""

_TEMPLATE_HASH = "pod-template-hash"


def resource_of(api_version: str, kind: str) -> str | None:
    """Return the resource of a workload in any version; None for a kind that is none of these."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    return SCALED.get((group, kind))


def named(resource: str, name: str) -> str:
    """Return the value of `WORKLOAD` for a workload, e.g. `deployments.apps/web`."""
    return f"{resource}/{name}"


def workload_of(controller: OwnerReference | None, labels: Mapping[str, str]) -> str | None:
    """
    Return the workload of a pod with these *labels*, e.g. `deployments.apps/web`; None if it has no such one.

    A Deployment names its ReplicaSets after itself and the hash that it writes on their pods as a label.
    """
    resource = None if controller is None else resource_of(controller.api_version, controller.kind)
    if controller is None or resource is None:
        return None
    suffix = f"-{labels.get(_TEMPLATE_HASH, '')}"
    if controller.kind == "ReplicaSet" and len(suffix) > 1 and controller.name.endswith(suffix):
        return named(SCALED["apps", "Deployment"], controller.name.removesuffix(suffix))
    return named(resource, controller.name)
