"""
The story of one review, top to bottom: who pays, what it costs, what is in force, does it fit, what is answered.

No JSON, no HTTP and no Kubernetes here; those are `review`'s and the adapters'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from webhook.admission import review
from webhook.admission.charge import charge_for
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.attribution.rules import Attributed, Attribution, Refused
from webhook.attribution.stamp import has_stamp, stamping
from webhook.kinds import registry
from webhook.kinds.pod_cost import PodError
from webhook.kinds.pod_shapes import Pod
from webhook.ports import Clock, LedgerStore, Namespaces, PolicySource
from webhook.quota import message, resources
from webhook.quota.decision import Allowed, Decision, Denied, decide
from webhook.quota.limits import resolve_limits
from webhook.quota.objects import AnyObject, ObjectMeta
from webhook.quota.policy import Mode, subjects
from webhook.quota.resources import Amounts

_NODES = "system:nodes"
_MAX_AUDIT_VALUE = 1024
_MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class AdmissionHandler:
    """Answers reviews. Any number may be under way; nothing is kept between them but what the ports keep."""

    attribution: Attribution
    policies: PolicySource
    namespaces: Namespaces
    ledger: LedgerStore
    clock: Clock

    async def mutate(self, request: AdmissionRequest) -> AdmissionResponse:
        """
        Put the owner's stamp on the object. Reserves nothing, so that it may be called any number of times.

        Raises: ReviewError, UnavailableError.
        """
        if not _is_stamped(request):
            return review.allowed(request.uid)
        meta = request.decode(AnyObject).metadata
        attributed = await self._attribute(request, meta)
        if isinstance(attributed, Refused):
            return _refused(request, attributed)
        if attributed.stamp is None or has_stamp(meta, attributed.stamp):
            return review.allowed(request.uid)
        if (
            request.operation == "UPDATE"
            and _carries_stamp(meta)
            and not self.attribution.is_trusted(request.user_info)
        ):
            return _refused(request, _forged(attributed))
        return review.patched(request.uid, stamping(meta, attributed.stamp))

    async def validate(self, request: AdmissionRequest, *, deadline: float) -> AdmissionResponse:
        """
        Decide, and hold what is allowed. *deadline* is on the monotonic clock.

        Raises: ReviewError, UnavailableError; neither is ever turned into a pass.
        """
        if request.operation == "DELETE":
            self._hear_of_deletion(request)
            return review.allowed(request.uid)
        if "binding" in (
            request.sub_resource,
            request.resource.resource.removesuffix("s"),
        ):  # bindings: the old address
            return _binding(request)
        if not _is_stamped(request) and not _is_subresource(request):
            return review.allowed(request.uid)
        return await self._judge(request, deadline)

    async def _judge(self, request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        read = request.decode(Pod) if _is_charged(request) else request.decode(AnyObject)
        attributed = await self._attribute(request, read.metadata)
        if isinstance(attributed, Refused):
            return _refused(request, attributed)
        if not has_stamp(read.metadata, attributed.stamp):
            return _refused(request, _forged(attributed))
        if not isinstance(read, Pod):
            return review.allowed(request.uid, audit=_audit(attributed))
        return await self._decide(request, read, attributed, deadline=deadline)

    async def _attribute(self, request: AdmissionRequest, meta: ObjectMeta) -> Attributed | Refused:
        user, namespace = request.user_info, request.namespace
        if not user.username:
            raise review.ReviewError("request.userInfo.username is missing", request.uid)
        if not namespace:
            raise review.ReviewError("request.namespace is missing", request.uid)
        if request.operation == "CREATE":
            return await self.attribution.of_new(user, meta, namespace)
        old = request.decode_old(AnyObject).metadata
        return await self.attribution.of_changed(user, old, meta, namespace)

    async def _decide(
        self, request: AdmissionRequest, pod: Pod, attributed: Attributed, *, deadline: float
    ) -> AdmissionResponse:
        policy, payer = self.policies.current(), attributed.payer
        labels = await self.namespaces.labels(request.namespace)
        bound = partial(subjects, policy, namespace_name=request.namespace, labels=labels)
        try:
            charge = charge_for(request, pod, payer, subjects=bound)
        except PodError as error:
            return review.denied(request.uid, f"cannot be charged: {error}", audit=_audit(attributed))
        in_force = resolve_limits(policy, payer, namespace=request.namespace, labels=labels, now=self.clock.now())
        decision = await self.ledger.transact(
            charge, partial(decide, charge, in_force), dry_run=bool(request.dry_run), deadline=deadline
        )
        return _answer(request, decision, attributed, _audit(attributed, _shown(charge.amounts)))

    def _hear_of_deletion(self, request: AdmissionRequest) -> None:
        if str(request.resource) == registry.PODS and not request.sub_resource and not request.dry_run:
            old = request.decode_old(AnyObject).metadata
            self.ledger.deleted(registry.key(request.resource, request.namespace, old.name), old.uid)


_remembered = lru_cache(maxsize=1024)(resources.show_list)
"""The pods of one workload cost the same, and printing that takes longer than deciding on it."""


def _shown(amounts: Amounts) -> str:
    """A pod may ask for tens of thousands of resources; what is printed, and remembered, is for people."""
    shown = _remembered(amounts[:_MAX_SHOWN])
    return shown if len(amounts) <= _MAX_SHOWN else f"{shown},..."


def _answer(
    request: AdmissionRequest, decision: Decision, attributed: Attributed, audit: Mapping[str, str]
) -> AdmissionResponse:
    match decision:
        case Denied(excesses):
            text = message.sentence(excesses, owner=attributed.payer.owner, found_by=attributed.found_by)
            return review.denied(request.uid, text, causes=message.causes(excesses), audit=audit)
        case Allowed(_, tolerated):
            warned = [message.warning(excess) for excess in tolerated if excess.rule.mode is Mode.WARN]
            if tolerated:
                audit = {**audit, "tolerated": "; ".join(map(message.warning, tolerated))[:_MAX_AUDIT_VALUE]}
            return review.allowed(request.uid, warnings=warned, audit=audit)


def _is_stamped(request: AdmissionRequest) -> bool:
    """Say whether this creates or changes an object that carries a stamp."""
    if request.operation not in ("CREATE", "UPDATE") or str(request.resource) not in registry.STAMPED:
        return False
    if request.sub_resource:
        return request.sub_resource == "resize"
    return not _is_mirror_pod(request)


def _is_mirror_pod(request: AdmissionRequest) -> bool:
    """
    Say whether a kubelet shows one of its static pods: refusing would not stop it.

    Anybody can write the annotation, so it counts only when a node sends it.
    """
    if _NODES not in (request.user_info.groups or ()) or str(request.resource) != registry.PODS:
        return False
    annotations = request.decode(AnyObject).metadata.annotations
    return annotations is not None and annotations.mirror is not None


def _is_subresource(request: AdmissionRequest) -> bool:
    """Say whether this is a route by which a stamp could change without a plain update."""
    return bool(request.sub_resource) and str(request.resource) in registry.STAMPED and request.operation == "UPDATE"


def _is_charged(request: AdmissionRequest) -> bool:
    return str(request.resource) == registry.PODS and request.sub_resource in (None, "", "resize")


def _binding(request: AdmissionRequest) -> AdmissionResponse:
    """A Binding's annotations are merged into the pod without any update that we would see."""
    if _carries_stamp(request.decode(AnyObject).metadata):
        return review.denied(
            request.uid, "a binding cannot change who pays for a pod: it carries userquota.dev annotations"
        )
    return review.allowed(request.uid)


def _carries_stamp(meta: ObjectMeta) -> bool:
    return not has_stamp(meta, None)


def _forged(attributed: Attributed) -> Refused:
    if attributed.stamp is None:
        return Refused("userquota.dev annotations cannot be added to an object that was never attributed")
    return Refused(
        f"the userquota.dev annotations say who pays and cannot be changed: "
        f"{attributed.payer.owner} pays ({attributed.found_by})"
    )


def _refused(request: AdmissionRequest, refused: Refused) -> AdmissionResponse:
    return review.denied(request.uid, refused.message)


def _audit(attributed: Attributed, asked: str = "") -> dict[str, str]:
    audit = {"owner": attributed.payer.owner[:_MAX_AUDIT_VALUE], "found-by": attributed.found_by[:_MAX_AUDIT_VALUE]}
    if asked:
        audit["requested"] = asked[:_MAX_AUDIT_VALUE]
    return audit
