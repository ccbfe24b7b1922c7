"""
The extended resources that stand for devices of a class: `extendedResourceName` of the DeviceClasses, watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from webhook.quota.devices import IMPLICIT_CLASS
from webhook.quota.objects import Shape


class DeviceClassMeta(Shape, frozen=True, gc=False):
    """The metadata of a DeviceClass."""

    name: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""


class DeviceClassSpec(Shape, frozen=True, gc=False):
    """The extended resource by which a pod may ask for devices of the class."""

    extended_resource_name: str | None = None


class DeviceClass(Shape, frozen=True, gc=False):
    """A DeviceClass (`resource.k8s.io/v1`)."""

    metadata: DeviceClassMeta = DeviceClassMeta()
    spec: DeviceClassSpec = DeviceClassSpec()


class ExtendedNames:
    """The sink of the watch on DeviceClasses. Belongs to one event loop."""

    def __init__(self, *, on_change: Callable[[Mapping[str, str]], None]) -> None:
        """Call *on_change* with what `second_names` returns whenever that has changed."""
        self._on_change = on_change
        self._known: dict[str, DeviceClass] = {}
        self._listed: dict[str, DeviceClass] | None = None
        self._told: Mapping[str, str] = {}

    def started(self) -> None:
        """Begin a full list."""
        self._listed = {}

    def seen(self, item: DeviceClass) -> None:
        """Record a class as it is now."""
        if self._listed is not None:
            self._listed[item.metadata.name] = item
            return
        self._known[item.metadata.name] = item
        self._tell()

    def gone(self, item: DeviceClass) -> None:
        """Forget a class."""
        if self._listed is not None:
            self._listed.pop(item.metadata.name, None)
            return
        self._known.pop(item.metadata.name, None)
        self._tell()

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - one list follows another in order
        """Replace what is known by what the list has shown."""
        self._known, self._listed = self._listed or {}, None
        self._tell()

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far the watch is does not matter."""

    def _tell(self) -> None:
        names = second_names(self._known.values())
        if names != self._told:
            self._told = names
            self._on_change(names)


def second_names(classes: Iterable[DeviceClass]) -> dict[str, str]:
    """
    Return for each name of an amount the other name under which the same devices are charged as well.

    Devices of a class cost its extended resource, whichever way they were asked for. An extended resource that several
    classes name costs devices of the one that the scheduler takes: the youngest, of equally old ones the first by name.
    Source: `ExtendedResourceCache` of Kubernetes 1.37.2.
    """
    named = [each for each in classes if each.spec.extended_resource_name]
    named.sort(key=lambda each: each.metadata.name, reverse=True)
    named.sort(key=lambda each: each.metadata.creation_timestamp)
    names: dict[str, str] = {}
    for each in named:
        by_class, by_resource = f"{IMPLICIT_CLASS}{each.metadata.name}", f"requests.{each.spec.extended_resource_name}"
        names[by_class] = by_resource
        names[by_resource] = by_class
    return names
