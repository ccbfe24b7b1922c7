"""
Which kinds of objects concern us, and which controller makes which of them. Data only.
"""

from __future__ import annotations

from collections.abc import Mapping

from webhook.quota.objects import GroupVersionResource, ObjectKey, ObjectKind

PODS = "pods"

WORKLOADS: Mapping[str, ObjectKind] = {
    "replicationcontrollers": ObjectKind("v1", "ReplicationController"),
    "deployments.apps": ObjectKind("apps/v1", "Deployment"),
    "replicasets.apps": ObjectKind("apps/v1", "ReplicaSet"),
    "statefulsets.apps": ObjectKind("apps/v1", "StatefulSet"),
    "daemonsets.apps": ObjectKind("apps/v1", "DaemonSet"),
    "jobs.batch": ObjectKind("batch/v1", "Job"),
    "cronjobs.batch": ObjectKind("batch/v1", "CronJob"),
}
"""Kinds that are stamped because pods descend from them, by the plural name with its group."""

STAMPED = frozenset({PODS, *WORKLOADS})

_KINDS = {(kind.api_version.partition("/")[0], kind.kind): kind for kind in WORKLOADS.values()}

CONTROLLER_OF: Mapping[str, str] = {
    "ReplicationController": "replication-controller",
    "Deployment": "deployment-controller",
    "ReplicaSet": "replicaset-controller",
    "StatefulSet": "statefulset-controller",
    "DaemonSet": "daemon-set-controller",
    "Job": "job-controller",
    "CronJob": "cronjob-controller",
}
"""The service account in kube-system that makes objects for an owner of this kind, and nobody else does."""

KUBE_CONTROLLER_MANAGER = "system:kube-controller-manager"
"""Makes everything where kube-controller-manager runs without `--use-service-account-credentials`."""


def readable_kind(api_version: str, kind: str) -> ObjectKind | None:
    """Give how to read an owner of this kind, whatever version is named; None for kinds we do not stamp."""
    return _KINDS.get((api_version.partition("/")[0], kind))


def key(resource: GroupVersionResource, namespace: str, name: str) -> ObjectKey:
    """Give the name that an object holds in the API."""
    return ObjectKey(str(resource), namespace, name)
