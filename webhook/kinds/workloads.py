"""
The workload kinds of Kubernetes: stamped, because controllers make pods for them, and free of charge themselves.

What a workload asks for is computed only where nobody is known to own it: whoever makes it ask for more takes it over.
"""

from __future__ import annotations

from webhook.kinds import pod_cost
from webhook.kinds.evaluator import Demand, Kind, Stamped
from webhook.kinds.pod_shapes import Pod, PodSpec
from webhook.quota.objects import AnyObject, Shape
from webhook.quota.resources import Amounts
from webhook.quota.subject import controller


class PodTemplate(Shape, frozen=True):
    """`PodTemplateSpec`, without its metadata."""

    spec: PodSpec = PodSpec()


class WorkloadSpec(Shape, frozen=True):
    """
    What decides how many pods a workload makes, and what each costs.

    The kinds have different fields of these; those that a kind does not have are absent from its objects.
    """

    replicas: int | None = None
    parallelism: int | None = None
    suspend: bool | None = None
    template: PodTemplate | None = None
    job_template: JobTemplate | None = None


class JobTemplate(Shape, frozen=True):
    """`JobTemplateSpec`, without its metadata."""

    spec: WorkloadSpec = WorkloadSpec()


class Workload(Shape, frozen=True):
    """A workload of any kind."""

    spec: WorkloadSpec = WorkloadSpec()


def demand_of(workload: Workload) -> Amounts:
    """
    Return what the pods of *workload* cost if it makes all that it may make at a time; for a DaemonSet, those of one
    node. Nothing while it is suspended.

    Raises: UncountableError.
    """
    return _demand_of(workload.spec)


def _demand_of(spec: WorkloadSpec) -> Amounts:
    if spec.suspend:
        return ()
    if spec.job_template is not None:
        return _demand_of(spec.job_template.spec)
    if spec.template is None:
        return ()
    pods = next((number for number in (spec.replicas, spec.parallelism) if number is not None), 1)
    each = pod_cost.amounts_of(Pod(spec=spec.template.spec), is_released=False)
    return tuple((name, amount * pods) for name, amount in each if pods)


def _workload(resource: str, api_version: str, kind: str, maker: str, *, scales: bool = False) -> Kind[AnyObject]:
    return Kind(
        resource,
        api_version,
        kind,
        AnyObject,
        Stamped[AnyObject](),
        makers=frozenset({controller(maker)}),
        demand=Demand(Workload, demand_of),
        subresources=(("status", "UPDATE"), *((("scale", "UPDATE"),) if scales else ())),
    )


WORKLOADS = (
    _workload("replicationcontrollers", "v1", "ReplicationController", "replication-controller", scales=True),
    _workload("deployments.apps", "apps/v1", "Deployment", "deployment-controller", scales=True),
    _workload("replicasets.apps", "apps/v1", "ReplicaSet", "replicaset-controller", scales=True),
    _workload("statefulsets.apps", "apps/v1", "StatefulSet", "statefulset-controller", scales=True),
    _workload("daemonsets.apps", "apps/v1", "DaemonSet", "daemon-set-controller"),
    _workload("jobs.batch", "batch/v1", "Job", "job-controller"),
    _workload("cronjobs.batch", "batch/v1", "CronJob", "cronjob-controller"),
)
