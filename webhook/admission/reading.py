"""
What the objects of a review say: decoded once each, and whether an update asks for more or for less. No decisions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import structs

from webhook.admission.charge import Reviewed
from webhook.admission.review import AdmissionRequest
from webhook.attribution.claim_templates import ClaimSpec
from webhook.attribution.creations import Written
from webhook.kinds.evaluator import AnyKind, Evaluator, UncountableError
from webhook.quota.objects import Shape
from webhook.quota.resources import Amounts, grown


class Marked(Shape, frozen=True):
    """An object, decoded for what it carries that may say who pays for it."""

    metadata: Written = Written()
    spec: ClaimSpec = ClaimSpec()

    @property
    def written(self) -> Written:
        """Return its labels and annotations, and the storage that a claim asks for."""
        return structs.replace(self.metadata, storage=self.spec.storage)


def read(request: AdmissionRequest, kind: AnyKind, shape: type[Any]) -> Reviewed:
    """Decode the object, and for an update the object it replaces, once each."""
    new = request.decode(shape)
    return Reviewed(kind, new, None if request.operation == "CREATE" else request.decode_old(shape))


def grows(request: AdmissionRequest, kind: AnyKind) -> bool:
    """Whether the object asks for more of anything than before: for its pods, if it is a workload or a session."""
    shape, cost = kind.demand or (kind.shape, partial(_cost, kind.evaluator))
    try:
        return bool(grown(cost(request.decode(shape)), cost(request.decode_old(shape))))
    except UncountableError:
        return True


def frees(request: AdmissionRequest, kind: AnyKind) -> bool:
    """Whether the object costs less of anything than before."""
    usage = kind.evaluator.usage
    try:
        was, will_be = (usage(each, now=None) for each in (request.decode_old(kind.shape), request.decode(kind.shape)))
        return bool(grown(was, will_be))
    except UncountableError:
        return True


def reports_end(request: AdmissionRequest, kind: AnyKind) -> bool:
    """Whether the status of a session says that it costs less than before: that it has stopped or ended."""
    new, old = request.decode(kind.shape), request.decode_old(kind.shape)
    before, _ = kind.evaluator.before(old, now=None)
    try:
        return bool(grown(before, kind.evaluator.usage(structs.replace(old, status=new.status), now=None)))
    except UncountableError:
        return False  # what cannot be read has its place


def is_excepted(request: AdmissionRequest, reviewed: Reviewed) -> bool:
    """Whether the object is neither stamped nor charged. See `Evaluator.is_excepted`."""
    if request.sub_resource:
        return False
    return reviewed.kind.evaluator.is_excepted(reviewed.new.metadata, request.user_info)


def _cost(evaluator: Evaluator[Any], obj: Any) -> Amounts:
    """Return what an object costs, and what its pods cost that others make now. Raises: UncountableError."""
    usage, size = evaluator.before(obj, now=None)
    needed = size.amounts if size is not None and size.is_running else ()
    return (*usage, *((f"of its pods: {name}", amount) for name, amount in needed))
