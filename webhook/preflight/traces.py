"""
The fields of objects that tell who wrote them, what they belong to, and on how many nodes a DaemonSet runs.

What an object costs is decoded by the struct of its kind.
"""

from __future__ import annotations

from typing import Any

from webhook.attribution.creations import Written
from webhook.kinds.evaluator import AnyKind
from webhook.quota.objects import ObjectMeta, Shape

DAEMON_SETS = "daemonsets.apps"


class FieldManager(Shape, frozen=True, gc=False):
    """Who wrote some fields of an object. It is the name of a program, never of a user."""

    manager: str = ""
    subresource: str = ""


class TracedMeta(ObjectMeta, frozen=True, gc=False):
    """Metadata with the field managers."""

    managed_fields: list[FieldManager] | None = None

    @property
    def writers(self) -> frozenset[str]:
        """Return the field managers of the object itself, without those that report its status or bind it."""
        return frozenset(each.manager for each in self.managed_fields or () if not each.subresource)


class Trace(Shape, frozen=True, gc=False):
    """An object of any kind."""

    metadata: TracedMeta = TracedMeta()


class Marked(Shape, frozen=True, gc=False):
    """An object of any kind, decoded for what it carries that may say who pays for it."""

    metadata: Written = Written()


class DaemonSetStatus(Shape, frozen=True, gc=False):
    """How many nodes should run a pod of a DaemonSet."""

    desired_number_scheduled: int = 0


class DaemonSet(Shape, frozen=True, gc=False):
    """A DaemonSet."""

    metadata: ObjectMeta = ObjectMeta()
    status: DaemonSetStatus | None = None

    @property
    def nodes(self) -> int:
        """Return the number of nodes that should run a pod of it, as its controller has reported."""
        return 0 if self.status is None else self.status.desired_number_scheduled


def shape_of(kind: AnyKind) -> type[Any]:
    """Return the struct by which objects of *kind* are decoded here: that of the kind, or one that has more."""
    return DaemonSet if kind.resource == DAEMON_SETS else kind.shape
