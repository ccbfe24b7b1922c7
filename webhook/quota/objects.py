"""
The parts of API objects that all kinds share: the user of a request, the key of an object, the metadata we read.

Types for decoding only: unknown fields are skipped. `kinds` computes what an object costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Raw, Struct


class Shape(Struct, frozen=True, gc=False, rename="camel"):
    """A part of an API object. Unknown fields are ignored; null and absent are the same."""


NOTHING = Raw()
"""The raw JSON of an absent field."""


class OwnerReference(Shape, frozen=True, gc=False):
    """A reference from an object to its owner."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


OWNER_ANNOTATION = "userquota.dev/owner"
GROUPS_ANNOTATION = "userquota.dev/groups"
MAKER_ANNOTATION = "userquota.dev/maker"
_MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
_STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
EXTENDED_CLAIM_ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
GPU_FRACTION_ANNOTATION = "gpu-fraction"
GPU_MEMORY_ANNOTATION = "gpu-memory"
GPU_DEVICES_ANNOTATION = "gpu-fraction-num-devices"


class Annotations(
    Struct,
    frozen=True,
    gc=False,
    rename={
        "owner": OWNER_ANNOTATION,
        "groups": GROUPS_ANNOTATION,
        "maker": MAKER_ANNOTATION,
        "mirror": _MIRROR_ANNOTATION,
        "storage_class": _STORAGE_CLASS_ANNOTATION,
        "extended_claim": EXTENDED_CLAIM_ANNOTATION,
        "gpu_fraction": GPU_FRACTION_ANNOTATION,
        "gpu_memory": GPU_MEMORY_ANNOTATION,
        "gpu_devices": GPU_DEVICES_ANNOTATION,
    },
):
    """
    The annotations that userquota reads; the others are not decoded.

    `owner`, `groups` and `maker` are the stamp. `mirror` marks a kubelet's mirror of a static pod, `extended_claim` a
    claim that the scheduler made for the extended resources of a pod; but any user can write both. `storage_class` is
    how old clients name the StorageClass of a claim. The last three are how a pod asks KAI Scheduler for parts of GPUs.
    """

    owner: str | None = None
    groups: str | None = None
    maker: str | None = None
    mirror: str | None = None
    storage_class: str | None = None
    extended_claim: str | None = None
    gpu_fraction: str | None = None
    gpu_memory: str | None = None
    gpu_devices: str | None = None


class ObjectMeta(Shape, frozen=True, gc=False):
    """The fields of `ObjectMeta` that identify an object and its payer."""

    name: str = ""
    generate_name: str | None = None
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    annotations: Annotations | None = None
    owner_references: list[OwnerReference] | None = None

    @property
    def controller(self) -> OwnerReference | None:
        """The reference to the controller that manages the object, None if there is none."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class LabelledMeta(ObjectMeta, frozen=True, gc=False):
    """
    The metadata of an object that is counted: its labels, too, which stay raw until they are asked for.

    Raw JSON keeps the whole message in memory that it came in. So this is no field of all metadata.
    """

    labels: Raw = NOTHING


class AnyObject(Shape, frozen=True, gc=False):
    """An object of any kind, decoded for its metadata only."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class CountedObject(AnyObject, frozen=True, gc=False):
    """An object of any kind that is charged by number, decoded for its metadata only."""

    metadata: LabelledMeta = LabelledMeta()


class ScaleSpec(Shape, frozen=True, gc=False):
    """The number of replicas that is asked for."""

    replicas: int = 0


class Scale(Shape, frozen=True, gc=False):
    """A Scale (`autoscaling/v1`): the subresource by which replicas are set."""

    spec: ScaleSpec = ScaleSpec()


class GroupVersionResource(Shape, frozen=True):
    """A resource as a review names it: group, version and plural."""

    group: str = ""
    version: str = ""
    resource: str = ""

    def __str__(self) -> str:
        """Return the plural with its group, e.g. `deployments.apps`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class UserExtra(
    Struct,
    frozen=True,
    rename={
        "pod_name": "authentication.kubernetes.io/pod-name",
        "pod_uid": "authentication.kubernetes.io/pod-uid",
    },
):
    """What the API server knows of a service account's token: the pod that it was issued for."""

    pod_name: tuple[str, ...] = ()
    pod_uid: tuple[str, ...] = ()


class UserInfo(Shape, frozen=True):
    """The effective user of a request, after impersonation."""

    username: str = ""
    groups: tuple[str, ...] | None = None
    extra: UserExtra | None = None


class ObjectKey(NamedTuple):
    """
    One name in the API. Only one object at a time can have it, so all writes pending on it count once, as the largest.

    `resource` is the plural with its group, e.g. `pods` or `deployments.apps`.
    """

    resource: str
    namespace: str
    name: str


class StoredVersion(NamedTuple):
    """The uid of the object stored under a key, and its resource version."""

    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class PatchOperation:
    """One step of a JSON patch (RFC 6902): `add` sets `path` to `value`; without a value, `remove` takes it away."""

    path: str
    value: str | Mapping[str, str] | Mapping[str, Mapping[str, str]] | None = None
