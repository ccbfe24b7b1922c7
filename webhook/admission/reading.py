"""
What the objects of a review say: decoded once each, and whether an update asks for more or for less. No decisions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Raw, Struct, structs

from webhook.admission.charge import Reviewed
from webhook.admission.review import AdmissionRequest
from webhook.attribution.claim_templates import ClaimSpec
from webhook.attribution.creations import Written
from webhook.kinds.evaluator import AnyKind, Evaluator, UncountableError
from webhook.quota.objects import Shape
from webhook.quota.resources import Amounts, grown

_SAYS_HOW_MUCH = frozenset(
    {"replicas", "parallelism", "completions", "suspend", "paused"}
    | {"revisionHistoryLimit", "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "progressDeadlineSeconds"}
)
"""Fields of a workload that do not change what its pods are. Whether it asks for more of them is told by `grows`."""


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


class _Annotations(Struct, frozen=True, rename={"rollback": "deprecated.deployment.rollback.to"}):
    rollback: str | None = None


class _EditedMeta(Shape, frozen=True):
    annotations: _Annotations | None = None


class _Edited(Shape, frozen=True):
    """A workload, decoded for what its pods are made by."""

    metadata: _EditedMeta = _EditedMeta()
    spec: dict[str, Raw] | None = None

    @property
    def making(self) -> dict[str, bytes]:
        """Return the fields that say what is made, and when. What is not known here is taken for one of them."""
        present = {name: bytes(raw) for name, raw in (self.spec or {}).items() if name not in _SAYS_HOW_MUCH}
        return {name: raw for name, raw in present.items() if raw != b"null"}

    @property
    def rollback(self) -> str | None:
        """Return the revision to which the controller is to take the template back, if any."""
        return None if self.metadata.annotations is None else self.metadata.annotations.rollback


def edits(request: AdmissionRequest, kind: AnyKind) -> bool:
    """
    Whether a workload makes other pods than before, or asks for more of them; of a session, whether its pods cost other
    amounts. Who takes a Deployment back to an older template, which its controller does, edits it.
    """
    if grows(request, kind):
        return True
    if kind.demand is None:
        return _size_of(kind, request.decode(kind.shape)) != _size_of(kind, request.decode_old(kind.shape))
    new, old = request.decode(_Edited), request.decode_old(_Edited)
    return new.making != old.making or new.rollback not in (None, old.rollback)


def _size_of(kind: AnyKind, obj: Any) -> Amounts | None:
    try:
        size = kind.evaluator.size(obj)
    except UncountableError:
        return None
    return None if size is None else size.amounts


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
    before, _ = kind.evaluator.former_cost(old, now=None)
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
    usage, size = evaluator.former_cost(obj, now=None)
    needed = size.amounts if size is not None and size.is_running else ()
    return (*usage, *((f"of its pods: {name}", amount) for name, amount in needed))
