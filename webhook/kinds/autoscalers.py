"""
Autoscalers: the pods by which a workload may still grow, set aside for it where the policy says so.

An autoscaler costs its number. What all pods cost that its workload may have is held beside that, less what those cost
that exist: the room is `reserved`, and pods of the workload take it. Whoever pays for the workload pays for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from msgspec import Struct, structs

from webhook.kinds.counted import Counted
from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, Kind, PodDefaults, Size, UncountableError
from webhook.kinds.pod_template import future_pod
from webhook.kinds.pod_workload import named, resource_of
from webhook.kinds.workloads import Workload
from webhook.quota.expected import WORKLOAD
from webhook.quota.objects import NOTHING, LabelledMeta, ObjectKey, Shape
from webhook.quota.resources import Amounts
from webhook.quota.subject import Payer

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"


class ScaleTarget(Shape, frozen=True):
    """`CrossVersionObjectReference`."""

    api_version: str = ""
    kind: str = ""
    name: str = ""


class AutoscalerSpec(Shape, frozen=True):
    """What it scales, and to how many pods at most."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    max_replicas: int = 0


class Autoscaler(Shape, frozen=True):
    """A HorizontalPodAutoscaler of any version."""

    metadata: LabelledMeta = LabelledMeta()
    spec: AutoscalerSpec = AutoscalerSpec()


class Scaled(Struct, frozen=True):
    """
    A workload as its autoscaler sees it: what one of its pods costs, and who pays for it.

    `payer` is None for a workload whose owner is not known. `selector` is that of its spec, as JSON: a copy, because
    raw JSON keeps the whole message in memory that it came in.
    """

    pod: Amounts
    payer: Payer | None
    uid: str = ""
    selector: bytes = b""


class AutoscalerWithWorkload(Autoscaler, frozen=True):
    """An autoscaler and its workload as that was read, None for one that does not exist. Never decoded."""

    workload: Scaled | None = None


def with_workload(autoscaler: Autoscaler, workload: Scaled | None) -> Autoscaler:
    """Return *autoscaler* beside its *workload*, by which it is judged whatever the evaluator knows."""
    return AutoscalerWithWorkload(autoscaler.metadata, autoscaler.spec, workload)


def scaled(workload: Workload, payer: Payer | None) -> Scaled:
    """Return what an autoscaler has to know of *workload*, which *payer* pays for. Raises: UncountableError."""
    template = workload.spec.template
    pod = () if template is None else future_pod(template.pod).amounts
    return Scaled(pod, payer, workload.metadata.uid, bytes(workload.spec.selector))


def scaled_if_countable(workload: Workload, payer: Payer | None) -> Scaled:
    """Return the same; of a workload whose pods cannot be counted, each of which is refused, no pods."""
    try:
        return scaled(workload, payer)
    except UncountableError:
        return Scaled((), payer, workload.metadata.uid, bytes(workload.spec.selector))


def without_labels(autoscaler: Autoscaler) -> Autoscaler:
    """Return *autoscaler* to be kept: its labels are raw JSON, see `LabelledMeta`."""
    return structs.replace(autoscaler, metadata=structs.replace(autoscaler.metadata, labels=NOTHING))


def autoscaler_kind(kind: AnyKind, evaluator: AutoscalerEvaluator) -> Kind[Autoscaler]:
    """Return *kind*, as the API serves it, with *evaluator*."""
    return replace(kind, shape=Autoscaler, evaluator=evaluator, scales_others=True)


class AutoscalerEvaluator(Counted[Autoscaler]):
    """
    Charges an autoscaler its number, and while it `reserves` says what all pods of its workload may cost.

    *workloads* are those that are known, by key: a live view.
    """

    def __init__(self, resource: str, workloads: Mapping[ObjectKey, Scaled]) -> None:
        """Count *resource*, and set nothing aside."""
        super().__init__(resource)
        self._workloads = workloads
        self.reserves = False

    def reserve(self, *, is_on: bool) -> bool:
        """Set aside what workloads may grow by from now on, or no more; return whether that is new."""
        if self.reserves == is_on:
            return False
        self.reserves = is_on
        self.generation += 1
        return True

    def scales(self, obj: Autoscaler) -> ObjectKey | None:
        """Return the workload that it scales; None where nothing is set aside, as for a kind that is not known."""
        if not self.reserves:
            return None
        target = obj.spec.scale_target_ref
        resource = resource_of(target.api_version, target.kind)
        return None if resource is None else ObjectKey(resource, obj.metadata.namespace, target.name)

    def size(self, obj: Autoscaler, defaults: PodDefaults = NO_DEFAULTS) -> Size | None:  # noqa: ARG002
        """
        Return what as many pods cost as its workload may have; None where nothing is set aside.

        What LimitRanges, RuntimeClasses and the policy fill into pods is not among it.
        """
        key = self.scales(obj)
        if key is None:
            return None
        workload = self.workload(obj)
        most = max(obj.spec.max_replicas, 0)
        each = () if workload is None or not most else workload.pod
        amounts = tuple((name, amount * most) for name, amount in each)
        labels = (((WORKLOAD, named(key.resource, key.name)),),)
        return Size(amounts, is_running=True, pod_labels=labels, scales=key, is_kept=True)

    def payer(self, obj: Autoscaler) -> Payer | None:
        """Return who pays for its workload; None if that is not known, so that the stamp says who pays."""
        workload = self.workload(obj)
        return None if workload is None else workload.payer

    def workload(self, obj: Autoscaler) -> Scaled | None:
        """Return its workload: as it was read with it, else as it is known."""
        if isinstance(obj, AutoscalerWithWorkload):
            return obj.workload
        key = self.scales(obj)
        return None if key is None else self._workloads.get(key)
