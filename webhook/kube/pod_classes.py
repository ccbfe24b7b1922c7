"""
What classes of the cluster fill into pods, read live: the overheads of RuntimeClasses, and the default PriorityClass.

They are read only where a template names a class, or the policy asks for the one of a template that names none. So no
watch is needed. A cluster has few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.resource_lists import read_list
from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi
from webhook.kube.shared_read import SharedRead
from webhook.ports import UnavailableError
from webhook.quota.objects import NOTHING, Shape
from webhook.quota.resources import ResourceList

_TIMEOUT = 2.0
"""Seconds: an early verdict is waited for three."""

_RUNTIME_CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
_PRIORITY_CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


class ClassMeta(Shape, frozen=True):
    """The metadata of a class."""

    name: str = ""


class Overhead(Shape, frozen=True):
    """What each pod of a RuntimeClass costs beside its containers."""

    pod_fixed: Raw = NOTHING


class RuntimeClass(Shape, frozen=True):
    """A RuntimeClass (`node.k8s.io/v1`)."""

    metadata: ClassMeta = ClassMeta()
    overhead: Overhead | None = None


class RuntimeClassList(Shape, frozen=True):
    """All RuntimeClasses."""

    items: list[RuntimeClass] | None = None


class PriorityClass(Shape, frozen=True):
    """A PriorityClass (`scheduling.k8s.io/v1`)."""

    metadata: ClassMeta = ClassMeta()
    value: int = 0
    global_default: bool = False


class PriorityClassList(Shape, frozen=True):
    """All PriorityClasses."""

    items: list[PriorityClass] | None = None


_priority_classes = msgspec.json.Decoder(PriorityClassList)
_runtime_classes = msgspec.json.Decoder(RuntimeClassList)


class PodClassReads:
    """Port `PodClasses`. Belongs to one event loop."""

    def __init__(self, api: KubernetesApi, *, monotonic: Callable[[], float]) -> None:
        """Read through *api*."""
        self._api = api
        self._overheads = SharedRead(self._read_overheads, monotonic=monotonic)
        self._default_priority_class = SharedRead(self._read_default_priority_class, monotonic=monotonic)

    async def overheads(self) -> Mapping[str, ResourceList]:
        """Return the overheads of all RuntimeClasses, at most a second old. See `PodClasses.overheads`."""
        return await self._overheads.value()

    async def default_priority_class(self) -> str:
        """Return the default PriorityClass, at most a second old. See `PodClasses.default_priority_class`."""
        return await self._default_priority_class.value()

    async def _read_overheads(self) -> Mapping[str, ResourceList]:
        try:
            return overheads_of(_runtime_classes.decode(await self._api.get(_RUNTIME_CLASSES, timeout=_TIMEOUT)))
        except (ApiError, *UNREADABLE, UncountableError) as error:
            raise UnavailableError("runtime-classes", f"the RuntimeClasses could not be read: {error}") from error

    async def _read_default_priority_class(self) -> str:
        try:
            return default_of(_priority_classes.decode(await self._api.get(_PRIORITY_CLASSES, timeout=_TIMEOUT)))
        except (ApiError, *UNREADABLE) as error:
            raise UnavailableError("priority-classes", f"the PriorityClasses could not be read: {error}") from error


def overheads_of(listed: RuntimeClassList) -> Mapping[str, ResourceList]:
    """Return the overheads by the names of the classes that have one. Raises: UncountableError."""
    found = {}
    for each in listed.items or ():
        if each.overhead is not None:
            path = f"overhead.podFixed of {each.metadata.name}"
            found[each.metadata.name] = read_list(bytes(each.overhead.pod_fixed), path) or {}
    return found


def default_of(listed: PriorityClassList) -> str:
    """
    Return the name of the default class, empty if there is none.

    Of several that of the lowest value, as in `getDefaultPriorityClass` of Kubernetes 1.37.2; of equal ones, of which
    the API server may take any, the first by name.
    """
    defaults = [(each.value, each.metadata.name) for each in listed.items or () if each.global_default]
    return min(defaults)[1] if defaults else ""
