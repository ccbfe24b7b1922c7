"""
The few fields of a pod that say what it costs and who pays: everything else is skipped while decoding.

Shapes only, as the API sends them. Quantities stay raw JSON until `pod` reads them, so that no number passes a float.
"""

from __future__ import annotations

from msgspec import Raw, Struct


class Shape(Struct, frozen=True, gc=False, rename="camel"):
    """A part of an API object; unknown fields are ignored, null and absent are the same."""


class Resources(Shape, frozen=True, gc=False):
    """`ResourceRequirements`."""

    requests: dict[str, Raw] | None = None
    limits: dict[str, Raw] | None = None


class Container(Shape, frozen=True, gc=False):
    """A container or init container. `restart_policy` is `Always` for a sidecar."""

    name: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None


class PodSpec(Shape, frozen=True, gc=False):
    """`PodSpec`, as far as it costs."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, Raw] | None = None
    resources: Resources | None = None


class ContainerStatus(Shape, frozen=True, gc=False):
    """What a node has set aside for a container (`allocated`) and what runs (`resources`)."""

    name: str = ""
    allocated_resources: dict[str, Raw] | None = None
    resources: Resources | None = None


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


class OwnerReference(Shape, frozen=True, gc=False):
    """A reference from an object to the one it belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class StampAnnotations(Struct, frozen=True, gc=False):
    """The two annotations that are ours; the others are not decoded."""

    owner: str | None = None
    groups: str | None = None


OWNER_ANNOTATION = "userquota.dev/owner"
GROUPS_ANNOTATION = "userquota.dev/groups"


class Annotations(
    StampAnnotations, frozen=True, gc=False, rename={"owner": OWNER_ANNOTATION, "groups": GROUPS_ANNOTATION}
):
    """The annotations of an object, read for ours only."""


class ObjectMeta(Shape, frozen=True, gc=False):
    """`ObjectMeta`, as far as it names an object and says who pays."""

    name: str = ""
    generate_name: str | None = None
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: Annotations | None = None
    owner_references: list[OwnerReference] | None = None

    @property
    def controller(self) -> OwnerReference | None:
        """The reference to the controller that manages the object, if any."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class Pod(Shape, frozen=True, gc=False):
    """A pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus | None = None


class AnyObject(Shape, frozen=True, gc=False):
    """An object of any kind, read for its metadata only."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
