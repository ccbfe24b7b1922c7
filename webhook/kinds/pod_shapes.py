"""
The few fields of a pod that say what it costs and who pays: everything else is skipped while decoding.

Shapes only, as the API sends them. What holds quantities stays raw JSON until `pod` reads it: no number passes a float,
and what is spelled alike is read once.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw, Struct

from webhook.quota.objects import NOTHING, ObjectMeta, Shape


class Resources(Shape, frozen=True, gc=False):
    """`ResourceRequirements`, which is what every `resources` holds."""

    requests: dict[str, Raw] | None = None
    limits: dict[str, Raw] | None = None


class Container(Shape, frozen=True, gc=False):
    """A container or init container. `restart_policy` is `Always` for a sidecar."""

    name: str = ""
    restart_policy: str | None = None
    resources: Raw = NOTHING


class PodSpec(Shape, frozen=True, gc=False):
    """`PodSpec`, as far as it costs."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Raw = NOTHING
    resources: Raw = NOTHING


class ContainerStatus(Shape, frozen=True, gc=False):
    """What a node has set aside for a container (`allocated`) and what runs (`resources`)."""

    name: str = ""
    allocated_resources: Raw = NOTHING
    resources: Raw = NOTHING


class Condition(Shape, frozen=True, gc=False):
    """A status condition."""

    type: str = ""
    reason: str | None = None


class PodStatus(Shape, frozen=True, gc=False):
    """`PodStatus`, as far as it costs."""

    phase: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None

    @property
    def is_infeasible(self) -> bool:
        """Whether a resize will not be done. The first such condition decides, as in `IsPodResizeInfeasible`."""
        for condition in self.conditions or ():
            if condition.type == "PodResizePending":
                return condition.reason == "Infeasible"
        return False

    @property
    def by_container(self) -> dict[str, ContainerStatus]:
        """The first status of each name, those of app containers first, as in `findContainerStatus`."""
        listed = (*(self.container_statuses or ()), *(self.init_container_statuses or ()))
        return {each.name: each for each in reversed(listed)}


class Pod(Shape, frozen=True, gc=False):
    """A pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus | None = None


class ContainerText(Struct, frozen=True, gc=False):
    """How what a container costs is spelled. Copies: raw JSON would hold on to the whole message it came in."""

    is_sidecar: bool
    asked: bytes
    actual: bytes
    allocated: bytes


class PodText(Struct, frozen=True, gc=False):
    """How all that a pod costs is spelled. Pods of equal text cost the same."""

    containers: tuple[ContainerText, ...]
    init_containers: tuple[ContainerText, ...]
    resources: bytes
    overhead: bytes
    phase: str
    is_infeasible: bool

    @property
    def length(self) -> int:
        """How many bytes it takes, roughly."""
        parts = [self.resources, self.overhead]
        for each in (*self.containers, *self.init_containers):
            parts += (each.asked, each.actual, each.allocated)
        return sum(map(len, parts)) + 40 * len(parts)


_NO_STATUS = ContainerStatus()


def text_of(pod: Pod) -> PodText:
    """Give how what *pod* costs is spelled."""
    spec, status = pod.spec, pod.status
    statuses = status.by_container if status is not None else {}
    return PodText(
        tuple([_container_text(each, statuses) for each in spec.containers or ()]),
        tuple([_container_text(each, statuses) for each in spec.init_containers or ()]),
        bytes(spec.resources),
        bytes(spec.overhead),
        (status.phase or "") if status is not None else "",
        status is not None and status.is_infeasible,
    )


def _container_text(container: Container, statuses: Mapping[str, ContainerStatus]) -> ContainerText:
    status = statuses.get(container.name, _NO_STATUS)
    return ContainerText(
        container.restart_policy == "Always",
        bytes(container.resources),
        bytes(status.resources),
        bytes(status.allocated_resources),
    )
