"""
The exercise of CONTRIBUTING.md, kept as a test: a made-up kind with an evaluator of its own, in one file.

A Gadget costs `requests.cpu` for each of its seats, and a watt is a watt. `test_a_new_kind` adds it in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from webhook.kinds.counted import Counted
from webhook.kinds.evaluator import CostLine, Kind, UncountableError
from webhook.quota import quantity
from webhook.quota.objects import LabelledMeta, Shape
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import Amounts


class GadgetSpec(Shape, frozen=True):
    """The fields of its spec that cost something."""

    seats: int = 0


class Gadget(Shape, frozen=True):
    """The fields that are decoded."""

    metadata: LabelledMeta = LabelledMeta()
    spec: GadgetSpec = GadgetSpec()


class GadgetEvaluator(Counted[Gadget]):
    """Charges a core for each seat, in addition to the count."""

    def usage(self, obj: Gadget, *, now: datetime | None) -> Amounts:  # noqa: ARG002
        """Return the seats as cores. Raises: UncountableError."""
        if obj.spec.seats < 0:
            raise UncountableError("spec.seats", ValueError("it must not be negative"))
        return (*self.unreadable, ("requests.cpu", obj.spec.seats * NANOS))

    def counts(self, resource: str) -> bool:
        """Whether *resource* is the count or cores."""
        return super().counts(resource) or resource == "requests.cpu"

    def explain(self, obj: Gadget) -> Mapping[str, CostLine]:
        """Return the seats."""
        seats = CostLine(Quantity(obj.spec.seats * NANOS), f"{obj.spec.seats} seats")
        return {"count/gadgets.example.com": CostLine(quantity.ONE, "one object"), "requests.cpu": seats}


GADGETS = Kind("gadgets.example.com", "example.com/v1", "Gadget", Gadget, GadgetEvaluator("count/gadgets.example.com"))
