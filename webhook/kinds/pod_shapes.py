"""
The fields of a pod that decide what it costs and who pays; the decoder skips all others.

Shapes only, as the API sends them. Fields that hold quantities or times stay raw JSON until `pod_cost` and `pods` read
them: no number passes a float, and equal texts are read once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.kinds.evaluator import UncountableError
from webhook.quota.objects import NOTHING, LabelledMeta, ObjectMeta, Shape

T = TypeVar("T")

_TIME = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)] | None)
_SECONDS = msgspec.json.Decoder(int | None)
_LABELS = msgspec.json.Decoder(dict[str, str])


class Resources(Shape, frozen=True, gc=False):
    """`ResourceRequirements`: what every `resources` holds. None: the list is absent or null, which is not empty."""

    requests: dict[str, Raw] | None = None
    limits: dict[str, Raw] | None = None


class Container(Shape, frozen=True, gc=False):
    """A container or init container. `restart_policy` is `Always` for a sidecar."""

    name: str = ""
    restart_policy: str | None = None
    resources: Raw = NOTHING


class AffinityTerm(Shape, frozen=True, gc=False):
    """`PodAffinityTerm`: it leaves its own namespace if either of these is there."""

    namespaces: list[str] | None = None
    namespace_selector: dict[str, Raw] | None = None


class WeightedTerm(Shape, frozen=True, gc=False):
    """`WeightedPodAffinityTerm`."""

    pod_affinity_term: AffinityTerm = AffinityTerm()


class PodAffinity(Shape, frozen=True, gc=False):
    """`PodAffinity` or `PodAntiAffinity`."""

    required_during_scheduling_ignored_during_execution: list[AffinityTerm] | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedTerm] | None = None

    @property
    def terms(self) -> list[AffinityTerm]:
        """Return the terms, required and preferred ones."""
        preferred = self.preferred_during_scheduling_ignored_during_execution or ()
        return [
            *(self.required_during_scheduling_ignored_during_execution or ()),
            *(each.pod_affinity_term for each in preferred),
        ]


class NodeExpression(Shape, frozen=True, gc=False):
    """`NodeSelectorRequirement`."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class NodeTerm(Shape, frozen=True, gc=False):
    """`NodeSelectorTerm`, without the conditions on fields: these name single nodes."""

    match_expressions: list[NodeExpression] | None = None


class NodeSelector(Shape, frozen=True, gc=False):
    """`NodeSelector`: one of its terms has to hold."""

    node_selector_terms: list[NodeTerm] | None = None


class NodeAffinity(Shape, frozen=True, gc=False):
    """The part of `NodeAffinity` that a scheduler must not ignore."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class Affinity(Shape, frozen=True, gc=False):
    """The parts of `Affinity` that concern other pods, and the text of that which concerns nodes."""

    node_affinity: Raw = NOTHING
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None

    @property
    def leaves_namespace(self) -> bool:
        """Whether any term looks at pods of other namespaces. An empty selector selects all namespaces."""
        parts = (self.pod_affinity, self.pod_anti_affinity)
        terms = [term for part in parts if part is not None for term in part.terms]
        return any(term.namespaces or term.namespace_selector is not None for term in terms)


class PodSpec(Shape, frozen=True, gc=False):
    """The fields of `PodSpec` that cost something."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Raw = NOTHING
    resources: Raw = NOTHING
    active_deadline_seconds: int | None = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    affinity: Affinity | None = None
    node_selector: Raw = NOTHING


class ContainerStatus(Shape, frozen=True, gc=False):
    """What a node has allocated for a container (`allocated_resources`), and what the container runs with."""

    name: str = ""
    allocated_resources: Raw = NOTHING
    resources: Raw = NOTHING


class Condition(Shape, frozen=True, gc=False):
    """A status condition, and the generation of the object that it is about; 0 if that is not said."""

    type: str = ""
    reason: str | None = None
    observed_generation: int = 0


class PodStatus(Shape, frozen=True, gc=False):
    """The fields of `PodStatus` that change what a pod costs."""

    phase: str | None = None
    qos_class: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None

    def is_infeasible(self, generation: int) -> bool:
        """
        Whether the node cannot do the resize that is asked for by this *generation* of the pod.

        The first such condition decides, as in `IsPodResizeInfeasible`. One of an earlier generation is about another
        resize, and is not believed. An API server that counts no generations writes 0, as do kubelets before 1.34.
        """
        for condition in self.conditions or ():
            if condition.type == "PodResizePending":
                return condition.reason == "Infeasible" and condition.observed_generation >= generation
        return False

    @property
    def by_container(self) -> dict[str, ContainerStatus]:
        """Return the first status of each name, those of app containers first, as `findContainerStatus` does."""
        listed = (*(self.container_statuses or ()), *(self.init_container_statuses or ()))
        return {each.name: each for each in reversed(listed)}


class PodMeta(LabelledMeta, frozen=True, gc=False):
    """The metadata of a pod. The API server alone sets `generation` and, when a deletion is requested, the last two."""

    generation: int = 0
    deletion_timestamp: Raw = NOTHING
    deletion_grace_period_seconds: Raw = NOTHING

    @property
    def is_being_deleted(self) -> bool:
        """Whether a deletion was requested and is not over."""
        return bytes(self.deletion_timestamp) not in (b"", b"null")

    def labelled(self) -> Mapping[str, str]:
        """Return the labels; none if they are no texts, which no API server stores."""
        try:
            return _LABELS.decode(self.labels) if bytes(self.labels) else {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return {}

    def deletion(self) -> tuple[datetime | None, int | None]:
        """Return the deletion timestamp and the grace period in seconds, None if absent. Raises: UncountableError."""
        return (
            _decoded(_TIME, self.deletion_timestamp, "metadata.deletionTimestamp"),
            _decoded(_SECONDS, self.deletion_grace_period_seconds, "metadata.deletionGracePeriodSeconds"),
        )


class Pod(Shape, frozen=True, gc=False):
    """A pod."""

    metadata: PodMeta = PodMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus | None = None


class ContainerText(Struct, frozen=True, gc=False):
    """
    The JSON of everything that a container costs.

    Absent, `null` and `{}` are different texts, because they can cost differently. Copies: raw JSON would keep the
    whole message in memory that it came in.
    """

    is_sidecar: bool
    asked: bytes
    actual: bytes
    allocated: bytes


class SharedGpuText(Struct, frozen=True, gc=False):
    """The annotations by which a pod asks for parts of GPUs; at least one of the first two is there."""

    fraction: str | None
    memory: str | None
    devices: str | None


class PodText(Struct, frozen=True, gc=False):
    """The text of everything that a pod costs, all but annotations as JSON. Pods with equal texts cost the same."""

    containers: tuple[ContainerText, ...]
    init_containers: tuple[ContainerText, ...]
    resources: bytes
    overhead: bytes
    is_terminal: bool
    is_infeasible: bool
    shared_gpu: SharedGpuText | None

    @property
    def length(self) -> int:
        """The number of bytes it takes, roughly."""
        parts: list[bytes | str] = [self.resources, self.overhead]
        for each in (*self.containers, *self.init_containers):
            parts += (each.asked, each.actual, each.allocated)
        if self.shared_gpu is not None:
            shared = (self.shared_gpu.fraction, self.shared_gpu.memory, self.shared_gpu.devices)
            parts += [each for each in shared if each is not None]
        return sum(map(len, parts)) + 40 * len(parts)


TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
"""A pod in such a phase runs nothing and never will again: it costs its place in storage and nothing else."""

_NO_STATUS = ContainerStatus()


def is_terminal(pod: Pod) -> bool:
    """Whether *pod* is in a terminal phase."""
    return pod.status is not None and pod.status.phase in TERMINAL_PHASES


def shared_gpu_of(meta: ObjectMeta) -> SharedGpuText | None:
    """Return the annotations by which a pod asks for parts of GPUs, None if it asks for none."""
    annotations = meta.annotations
    if annotations is None or (annotations.gpu_fraction is None and annotations.gpu_memory is None):
        return None
    return SharedGpuText(annotations.gpu_fraction, annotations.gpu_memory, annotations.gpu_devices)


def text_of(pod: Pod, *, is_released: bool = False) -> PodText:
    """Return the text that decides what *pod* costs; a pod that *is_released* costs what a terminal one costs."""
    spec, status = pod.spec, pod.status
    statuses = status.by_container if status is not None else {}
    return PodText(
        tuple([_container_text(each, statuses) for each in spec.containers or ()]),
        tuple([_container_text(each, statuses) for each in spec.init_containers or ()]),
        bytes(spec.resources),
        bytes(spec.overhead),
        is_released or is_terminal(pod),
        status is not None and status.is_infeasible(pod.metadata.generation),
        shared_gpu_of(pod.metadata),
    )


def _container_text(container: Container, statuses: Mapping[str, ContainerStatus]) -> ContainerText:
    status = statuses.get(container.name, _NO_STATUS)
    return ContainerText(
        container.restart_policy == "Always",
        bytes(container.resources),
        bytes(status.resources),
        bytes(status.allocated_resources),
    )


def _decoded(decoder: msgspec.json.Decoder[T], raw: Raw, path: str) -> T | None:
    try:
        return decoder.decode(raw) if bytes(raw) else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UncountableError(path, error) from error
