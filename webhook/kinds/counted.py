"""Kinds that are charged by number only: `count/<resource>.<group>`, as ResourceQuota counts any namespaced kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from webhook.kinds.evaluator import BaseEvaluator, CostLine, Effect, Kind, T_contra
from webhook.quota import quantity
from webhook.quota.objects import CountedObject
from webhook.quota.resources import Amounts


class Counted(BaseEvaluator[T_contra]):
    """The evaluator of a kind whose objects cost one unit of a resource each, as long as they exist."""

    def __init__(self, resource: str) -> None:
        """Charge *resource*, e.g. `count/widgets.example.com`."""
        self._resource = resource
        self.unreadable: Amounts = ((resource, quantity.NANOS),)

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return CHARGE for the object itself, and KEEP_STAMP for a subresource that can change its metadata."""
        effect = super().effect(operation, subresource)
        return Effect.CHARGE if effect is Effect.STAMP else effect

    def usage(self, obj: T_contra, *, now: datetime | None) -> Amounts:  # noqa: ARG002 - all cost the same
        """Return one unit."""
        return self.unreadable

    def counts(self, resource: str) -> bool:
        """Whether *resource* is the count of this kind."""
        return resource == self._resource

    def explain(self, obj: T_contra) -> Mapping[str, CostLine]:  # noqa: ARG002
        """Return one object."""
        return {self._resource: CostLine(quantity.ONE, "one object")}


def counted(resource: str, api_version: str, kind: str) -> Kind[CountedObject]:
    """Return the row of a namespaced kind that is charged by number; *resource* is its plural with its group."""
    return Kind(resource, api_version, kind, CountedObject, Counted[CountedObject](f"count/{resource}"))
