"""
The workload kinds of Kubernetes: stamped, because controllers make pods for them, and free of charge themselves.

What a workload asks for is computed where nobody is known to own it, because whoever makes it ask for more takes it
over, and to tell whether its pods will fit (`workload_copies`).
"""

from __future__ import annotations

from collections import Counter

from msgspec import Raw

from webhook.kinds.claims import PersistentVolumeClaim
from webhook.kinds.evaluator import BaseEvaluator, Demand, Kind
from webhook.kinds.pod_shapes import Pod, PodMeta, PodSpec
from webhook.kinds.pod_template import future_pod
from webhook.quota.objects import NOTHING, AnyObject, ObjectMeta, Shape
from webhook.quota.resources import Amounts
from webhook.quota.subject import controller

_ABSENT = (bytes(NOTHING), b"null")


class EphemeralVolume(Shape, frozen=True):
    """A volume for which a claim is made with each pod; other volumes have no such field."""

    name: str = ""
    ephemeral: Raw = NOTHING


class TemplateSpec(PodSpec, frozen=True, gc=False):
    """A pod's spec with what others add to the pod: claims for storage and devices, the overhead of a class."""

    volumes: list[EphemeralVolume] | None = None
    resource_claims: list[Raw] | None = None

    @property
    def added(self) -> Counter[str]:
        """
        Return the texts by which claims are asked for, and a RuntimeClass.

        Another text counts as more: nobody compares the two.
        """
        texts = [bytes(each.ephemeral) for each in self.volumes or () if bytes(each.ephemeral) not in _ABSENT]
        classes = [f"RuntimeClass {self.runtime_class_name}"] if self.runtime_class_name else []
        texts += map(bytes, self.resource_claims or ())
        return Counter([*classes, *(text.decode(errors="backslashreplace") for text in texts)])


class PodTemplate(Shape, frozen=True):
    """`PodTemplateSpec`."""

    metadata: PodMeta = PodMeta()
    spec: TemplateSpec = TemplateSpec()

    @property
    def pod(self) -> Pod:
        """Return a pod that is made from it, before anything is filled in."""
        return Pod(self.metadata, self.spec)


class Ordinals(Shape, frozen=True):
    """`StatefulSetOrdinals`."""

    start: int = 0


class RollingUpdate(Shape, frozen=True):
    """`RollingUpdateDeployment`: a number, or a percentage of the replicas as text."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class Strategy(Shape, frozen=True):
    """`DeploymentStrategy`."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Shape, frozen=True):
    """
    What decides how many pods a workload makes, and what each costs.

    The kinds have different fields of these; those that a kind does not have are absent from its objects. `selector` is
    a `LabelSelector`, or of a ReplicationController a map of labels.
    """

    replicas: int | None = None
    parallelism: int | None = None
    completions: int | None = None
    suspend: bool | None = None
    paused: bool | None = None
    selector: Raw = NOTHING
    template: PodTemplate | None = None
    job_template: JobTemplate | None = None
    volume_claim_templates: list[PersistentVolumeClaim] | None = None
    ordinals: Ordinals | None = None
    strategy: Strategy | None = None


class JobTemplate(Shape, frozen=True):
    """`JobTemplateSpec`, without its metadata."""

    spec: WorkloadSpec = WorkloadSpec()


class Workload(Shape, frozen=True):
    """A workload of any kind."""

    metadata: ObjectMeta = ObjectMeta()
    spec: WorkloadSpec = WorkloadSpec()


def demand_of(workload: Workload) -> Amounts:
    """
    Return what the pods of *workload* cost if it makes all that it may make at a time; for a DaemonSet, those of one
    node. Nothing while it is suspended. Claims that are made for the pods, and a RuntimeClass, count by their
    text, one each.

    Raises: UncountableError.
    """
    return _demand_of(workload.spec)


def number_of(spec: WorkloadSpec) -> int | None:
    """Return how many pods a workload makes at a time; None for one on each node."""
    if spec.parallelism is not None and spec.completions is not None:
        return min(spec.parallelism, spec.completions)
    return spec.replicas if spec.parallelism is None else spec.parallelism


def _demand_of(spec: WorkloadSpec) -> Amounts:
    if spec.suspend:
        return ()
    if spec.job_template is not None:
        return _demand_of(spec.job_template.spec)
    if spec.template is None:
        return ()
    number = number_of(spec)
    pods = 1 if number is None else number
    amounts = future_pod(spec.template.pod).amounts  # a request that is taken out beside a limit may be more
    each = (*amounts, *spec.template.spec.added.items())
    return tuple((name, amount * pods) for name, amount in each if pods)


def _workload(resource: str, api_version: str, kind: str, maker: str, *, scales: bool = False) -> Kind[AnyObject]:
    return Kind(
        resource,
        api_version,
        kind,
        AnyObject,
        BaseEvaluator[AnyObject](),
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
