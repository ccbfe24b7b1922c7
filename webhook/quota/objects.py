"""
API objects as far as every kind shares them: who sends a request, which object it names, and the metadata we read.

Shapes only. What a kind costs is decided in `kinds`; unknown fields are skipped while decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Raw, Struct


class Shape(Struct, frozen=True, gc=False, rename="camel"):
    """A part of an API object; unknown fields are ignored, null and absent are the same."""


NOTHING = Raw()
"""The raw JSON of a field that is absent."""


class OwnerReference(Shape, frozen=True, gc=False):
    """A reference from an object to the one it belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


OWNER_ANNOTATION = "userquota.dev/owner"
GROUPS_ANNOTATION = "userquota.dev/groups"
_MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


class Annotations(
    Struct,
    frozen=True,
    gc=False,
    rename={"owner": OWNER_ANNOTATION, "groups": GROUPS_ANNOTATION, "mirror": _MIRROR_ANNOTATION},
):
    """
    The annotations of an object that concern us; the others are not decoded.

    `owner` and `groups` are the stamp. `mirror` marks what a kubelet shows of a static pod, but anybody can write it.
    """

    owner: str | None = None
    groups: str | None = None
    mirror: str | None = None


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


class AnyObject(Shape, frozen=True, gc=False):
    """An object of any kind, read for its metadata only."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class GroupVersionResource(Shape, frozen=True):
    """A resource as the API server names it in a review: group, version and plural."""

    group: str = ""
    version: str = ""
    resource: str = ""

    def __str__(self) -> str:
        """Return the plural with its group, as in `deployments.apps`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class UserInfo(Shape, frozen=True):
    """The effective user of a request, after impersonation."""

    username: str = ""
    groups: tuple[str, ...] | None = None


class ObjectKey(NamedTuple):
    """
    One name in the API. Only one object at a time can hold it, so all writes pending on it count once, as the largest.

    `resource` is the plural with its group, as in `pods` or `deployments.apps`.
    """

    resource: str
    namespace: str
    name: str


class StoredVersion(NamedTuple):
    """Which object is stored under a key, and at what resource version."""

    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class PatchOperation:
    """One step of a JSON patch (RFC 6902) that sets *path* to *value*. The webhook only ever adds."""

    path: str
    value: str | Mapping[str, str]
