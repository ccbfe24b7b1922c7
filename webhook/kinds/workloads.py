"""The workload kinds of Kubernetes: stamped, because controllers make pods for them, and free of charge themselves."""

from __future__ import annotations

from webhook.kinds.evaluator import Kind, Stamped
from webhook.quota.objects import AnyObject
from webhook.quota.subject import controller


def _workload(resource: str, api_version: str, kind: str, maker: str) -> Kind[AnyObject]:
    return Kind(resource, api_version, kind, AnyObject, Stamped[AnyObject](), makers=frozenset({controller(maker)}))


WORKLOADS = (
    _workload("replicationcontrollers", "v1", "ReplicationController", "replication-controller"),
    _workload("deployments.apps", "apps/v1", "Deployment", "deployment-controller"),
    _workload("replicasets.apps", "apps/v1", "ReplicaSet", "replicaset-controller"),
    _workload("statefulsets.apps", "apps/v1", "StatefulSet", "statefulset-controller"),
    _workload("daemonsets.apps", "apps/v1", "DaemonSet", "daemon-set-controller"),
    _workload("jobs.batch", "batch/v1", "Job", "job-controller"),
    _workload("cronjobs.batch", "batch/v1", "CronJob", "cronjob-controller"),
)
