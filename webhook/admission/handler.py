"""
Handles one AdmissionReview: attribution, charge, limits, decision, response.

No JSON, no HTTP and no Kubernetes here: `review` has the wire format, and everything else is behind ports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook.admission import review
from webhook.admission.charge import Reviewed, charge_for, check_size
from webhook.admission.deciding import Deciding
from webhook.admission.filling import PodFilling
from webhook.admission.outcome import Terms, answer, audit_of, denial_of, payer_notes, refusal, stamp_refused
from webhook.admission.patch import filling_in
from webhook.admission.reading import Marked, edits, frees, grows, is_excepted, read, reports_end
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.admission.scaled_workloads import ScaledWorkloads
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.changes import Change
from webhook.attribution.rules import Attribution
from webhook.attribution.stamp import carries_stamp, stamping
from webhook.kinds import session_kind
from webhook.kinds.evaluator import AnyKind, Effect, UncountableError
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionObject
from webhook.ports import (
    Ancestry,
    Clock,
    Denial,
    LimitRanges,
    NameHolders,
    Namespaces,
    NoOpenEdits,
    OpenEdits,
    PodClasses,
    PodsOfWorkloads,
    PolicySource,
    Transactions,
    UnavailableError,
)
from webhook.quota import message
from webhook.quota.decision import exceeded_limits
from webhook.quota.limits import Limit
from webhook.quota.missing import NO_FILLING
from webhook.quota.objects import AnyObject, ObjectKey, Scale
from webhook.quota.pool_limits import Capacity, NoNodes
from webhook.quota.presets import PER_SESSION
from webhook.quota.subject import NOBODY, UNATTRIBUTED, Account

_REPORTED_LESS = "only the node, components of Kubernetes and trusted controllers may report that a pod uses less"
_REPORTED_END = "it has pods that run: only its platform may report that a session has stopped or ended"
_REPORTED_BLINDLY = "which pods it has is not known: only its platform may report that a session has stopped or ended"


@dataclass(frozen=True, slots=True)
class AdmissionHandler:
    """
    Answers reviews. Any number may run concurrently; the handler itself keeps no state between them.

    `on_delete` is called with key and uid of a charged object for each DELETE request. Only a server without a
    cluster needs it: with a cluster the watch shows deleted objects. `on_terms` is called with what a charge is decided
    on, each time that it is, `on_exceeded` with the limits that a request exceeds, whether it is refused for them or
    not, unless it is a dry-run. `on_denied` is called with each create that a validating call denies to somebody who
    does not read the answer, such as a controller; it must return at once, and never raise.
    """

    attribution: Attribution
    policies: PolicySource
    namespaces: Namespaces
    ledger: Transactions
    clock: Clock
    names: NameHolders
    limit_ranges: LimitRanges
    classes: PodClasses
    pods: PodsOfWorkloads
    ancestry: Ancestry
    kinds: Registry = field(default=KINDS)
    capacity: Capacity = field(default_factory=NoNodes)
    order: OpenEdits = field(default_factory=NoOpenEdits)
    on_delete: Callable[[ObjectKey, str], None] | None = None
    on_terms: Callable[[Terms], None] = lambda _: None
    on_exceeded: Callable[[Sequence[Limit]], None] = lambda _: None
    on_denied: Callable[[Denial], None] = lambda _: None

    async def mutate(self, request: AdmissionRequest) -> AdmissionResponse:
        """
        Return the response that stamps the object with its payer, and fills in what a new one does not declare.

        Reserves nothing, so repeated calls are harmless. Raises: ReviewError, UnavailableError.
        """
        kind, effect = self._effect(request)
        if kind is None or not effect.is_stamped:
            return review.allowed(request.uid)
        is_new_cost = effect.is_charged and request.operation == "CREATE"
        may_fill = is_new_cost and self.policies.current().fills
        is_whole = may_fill or (kind.scales_others and effect.is_charged)
        reviewed = read(request, kind, kind.shape if is_whole else AnyObject)
        if is_whole:
            reviewed = await self._scaled.beside(reviewed)
        if is_excepted(request, reviewed):
            return review.allowed(request.uid)
        attributed = await self._attribute(request, reviewed, effect)
        if isinstance(attributed, Refused):
            return refusal(request, attributed)
        meta = reviewed.new.metadata
        filling = await self._filling.of_new(request, reviewed, self.policies.current()) if may_fill else NO_FILLING
        operations = (*stamping(meta, attributed.stamp, attributed.maker), *filling_in(filling))
        warnings = [*payer_notes(reviewed, attributed), *filling.left_out]
        is_told = reviewed.old is not None and self.attribution.users.is_told(request.user_info)
        if is_told and attributed.payer == NOBODY and grows(request, kind):
            warnings.append(message.nobody_warning(kind.kind))
        return review.patched(request.uid, operations, warnings=warnings)

    async def validate(self, request: AdmissionRequest, *, deadline: float) -> AdmissionResponse:
        """
        Return the decision, and reserve what is allowed. *deadline* is on the monotonic clock.

        Raises: ReviewError, UnavailableError; neither ever leads to an allowed request.
        """
        kind, effect = self._effect(request)
        if kind is None or effect is Effect.IGNORE:
            self._report_deletion(request, kind)
            return review.allowed(request.uid)
        if effect in (Effect.CARRY_NO_STAMP, Effect.SCALE):
            return await self._review_other(request, kind, effect, deadline)
        reviewed = read(request, kind, kind.shape if effect.is_charged else AnyObject)
        if effect.is_charged:
            reviewed = await self._scaled.beside(reviewed)
        if effect.is_stamped and is_excepted(request, reviewed):
            return review.allowed(request.uid)
        attributed = await self._attribute(request, reviewed, effect)
        response = await self._review_object(request, reviewed, attributed, effect, deadline)
        # Whoever creates an object themselves has the answer before them.
        if not response.allowed and not self.attribution.users.is_told(request.user_info):
            denial = denial_of(request, reviewed, attributed, response)
            if denial is not None:
                self.on_denied(denial)
        return response

    async def _review_object(
        self,
        request: AdmissionRequest,
        reviewed: Reviewed,
        attributed: Attributed | Refused,
        effect: Effect,
        deadline: float,
    ) -> AdmissionResponse:
        """Answer a review of an object that *attributed* says who pays for."""
        if isinstance(attributed, Refused):
            return refusal(request, attributed)
        if not attributed.accepts(reviewed.new.metadata):
            return stamp_refused(request, attributed)
        if not effect.is_charged:
            return review.allowed(request.uid, audit=audit_of(attributed))
        may_deny = effect is Effect.CHARGE and not self._is_never_denied(request, reviewed)
        return await self._decide(request, reviewed, attributed, may_deny=may_deny, deadline=deadline)

    def _effect(self, request: AdmissionRequest) -> tuple[AnyKind | None, Effect]:
        """
        Return the kind and what the request means.

        Raises: UnavailableError for a kind without a row while there is no policy, which alone may name it, and for
        sessions that were not looked up yet: others have them intercepted already.
        """
        resource = str(request.resource)
        if resource in self.kinds.awaited:
            raise _unknown(resource)
        kind = self.kinds.of_resource(resource)
        if kind is None:
            self.policies.current()
        return kind, self.kinds.effect(resource, request.operation, request.sub_resource or "")

    async def _attribute(self, request: AdmissionRequest, reviewed: Reviewed, effect: Effect) -> Attributed | Refused:
        user, namespace = request.user_info, request.namespace
        if not user.username:
            raise review.ReviewError("request.userInfo.username is missing", request.uid)
        if user.username == UNATTRIBUTED:
            return Refused(f"{UNATTRIBUTED} stands for nobody, and is no name of a person")
        if not namespace:
            raise review.ReviewError("request.namespace is missing", request.uid)
        meta = reviewed.new.metadata
        if reviewed.old is None and meta.controller is not None and self.kinds.awaits(meta.controller):
            raise _unknown(f"objects of kind {meta.controller.kind}")
        if self._joins_session(request, reviewed):
            return Refused("only the controller of its platform can make a session part of another one")
        why = reviewed.kind.evaluator.forgery(meta, reviewed.old_metadata, user)
        why = why or await self._untrue_report(request, reviewed, effect)
        if why is not None:
            return Refused(why)
        if effect.is_charged and (payer := reviewed.kind.evaluator.payer(reviewed.new)) is not None:
            return Attributed(payer, "pays for the workload that it scales", payer)
        if reviewed.old is None:
            return await self.attribution.creations.of_new(
                user,
                reviewed.kind,
                meta,
                namespace,
                written=lambda: request.decode(Marked).written,
                says=lambda texts: reviewed.kind.evaluator.user_of(request.decode(reviewed.kind.shape), texts),
            )
        change = Change(
            reviewed.old.metadata,
            meta,
            request.sub_resource or "",
            request.field_manager,
            lambda: grows(request, reviewed.kind),
            lambda: edits(request, reviewed.kind),
            lambda: self._is_exempt(request),
        )
        return await self.attribution.changes.of_changed(user, reviewed.kind, change, namespace)

    async def _untrue_report(self, request: AdmissionRequest, reviewed: Reviewed, effect: Effect) -> str | None:
        """Return why a report is not believed by which an object costs less; None if it is, or if it is none."""
        users, kind = self.attribution.users, reviewed.kind
        if reviewed.old is None or users.may_report(request.user_info):
            return None
        if kind.cap != PER_SESSION:
            return _REPORTED_LESS if effect is Effect.KEEP_STAMP and frees(request, kind) else None
        if not (users.is_person(request.user_info, request.namespace) and reports_end(request, kind)):
            return None
        old = request.decode_old(kind.shape)
        _, size = kind.evaluator.former_cost(old, now=None)
        if size is None or not size.pod_labels:
            return _REPORTED_BLINDLY
        return _REPORTED_END if await self._pods_of(kind, request.namespace, old) else None

    def _joins_session(self, request: AdmissionRequest, reviewed: Reviewed) -> bool:
        """Whether a person makes a session part of another one, by its controller: such a part has no place."""
        above, before = reviewed.new.metadata.controller, reviewed.old_metadata
        if above is None or not (reviewed.kind.cap == PER_SESSION and self.kinds.is_session(above)):
            return False
        is_new = before is None or before.controller != above
        return is_new and self.attribution.users.is_person(request.user_info, request.namespace)

    async def _review_other(
        self, request: AdmissionRequest, kind: AnyKind, effect: Effect, deadline: float
    ) -> AdmissionResponse:
        """
        Answer a review whose object is not of *kind*, but a Binding or a Scale of such an object.

        All pods of a session have to fit after it is scaled.
        """
        if effect is Effect.CARRY_NO_STAMP:
            return _review_binding(request)
        new, old = request.decode(Scale), request.decode_old(Scale)
        if new.spec.replicas <= old.spec.replicas:
            return review.allowed(request.uid)
        if kind.cap == PER_SESSION:
            return await self._scale_session(request, kind, new.spec.replicas, deadline)
        refused = await self.attribution.changes.refuse_scale(
            request.user_info, kind, request.name, request.namespace, is_exempt=lambda: self._is_exempt(request)
        )
        return review.allowed(request.uid) if refused is None else refusal(request, refused)

    async def _scale_session(
        self, request: AdmissionRequest, kind: AnyKind, replicas: int, deadline: float
    ) -> AdmissionResponse:
        user, changes = request.user_info, self.attribution.changes
        stored = await self.ancestry.read_whole(kind, request.namespace, request.name, SessionObject)
        if stored is None:
            return review.allowed(request.uid)  # the API server finds none either
        meta = stored.metadata
        of_other = await changes.refuse_scale_of_others(
            user, kind, meta, request.namespace, is_exempt=lambda: self._is_exempt(request)
        )
        if of_other is not None:
            return refusal(request, of_other)
        change = Change(meta, meta, request.sub_resource or "", request.field_manager, lambda: True)
        attributed = await changes.of_changed(user, kind, change, request.namespace)
        if isinstance(attributed, Refused):
            return refusal(request, attributed)
        reviewed = Reviewed(kind, session_kind.scaled(stored, replicas), stored)
        may_deny = not self._is_never_denied(request, reviewed)
        return await self._decide(request, reviewed, attributed, may_deny=may_deny, deadline=deadline)

    def _is_exempt(self, request: AdmissionRequest) -> bool:
        """Whether an exemption in force names the user of *request*, or the namespace."""
        policy, payer = self.policies.current(), self.attribution.users.as_payer(request.user_info, "").payer
        return policy.exemptions.of(Account(payer), request.namespace, self.clock.now()) is not None

    @property
    def _scaled(self) -> ScaledWorkloads:
        return ScaledWorkloads(self.ancestry, self.pods, self.kinds)

    @property
    def _filling(self) -> PodFilling:
        return PodFilling(self.limit_ranges, self.classes, self.ancestry, self.kinds)

    def _is_never_denied(self, request: AdmissionRequest, reviewed: Reviewed) -> bool:
        return reviewed.old is not None and self.attribution.users.is_never_denied(request.user_info, reviewed.kind)

    async def _decide(
        self, request: AdmissionRequest, reviewed: Reviewed, attributed: Attributed, *, may_deny: bool, deadline: float
    ) -> AdmissionResponse:
        evaluator = reviewed.kind.evaluator
        policy = self.policies.current()
        defaults = await self._filling.of_session(request.namespace, reviewed, policy)
        reviewed = reviewed._replace(defaults=defaults)
        try:
            now = None if reviewed.old is None else policy.counting_time(self.clock.now())
            charge = charge_for(request, reviewed, payer=attributed.payer, policy=policy, now=now)
            if may_deny:
                check_size(policy, charge)
        except UncountableError as error:
            if reviewed.old is not None and evaluator.may_stay(reviewed.new, reviewed.old, error):
                return review.allowed(request.uid, audit=audit_of(attributed))
            return review.denied(request.uid, f"cannot be charged: {error}", audit=audit_of(attributed))
        if reviewed.old is None and await self._is_taken(charge.key, charge.uid):
            return review.already_exists(request.uid, charge.key)
        labels = await self.namespaces.labels(request.namespace)
        existing = await self._existing_pods(reviewed, request.namespace) if charge.needs_more else ()

        is_told = reviewed.old is None and self.attribution.users.is_told(request.user_info)
        deciding = Deciding(self, reviewed, charge, labels, existing, may_deny, is_told)
        decision = await self.ledger.transact(charge, deciding.decide, dry_run=bool(request.dry_run), deadline=deadline)
        if not request.dry_run and (exceeded := exceeded_limits(decision)):
            self.on_exceeded(exceeded)
        return answer(request, decision, attributed, reviewed=reviewed, terms=deciding.decided_on())

    async def _is_taken(self, key: ObjectKey, uid: str) -> bool:
        """
        Whether another object holds the name now, so that the API server cannot store this one.

        Such a create is denied before it reserves: its reservation would hold an amount that others could use.
        """
        holder = await self.names.holder(key)
        return holder is not None and holder.uid != uid

    async def _existing_pods(self, reviewed: Reviewed, namespace: str) -> tuple[ObjectKey, ...]:
        """Return the keys of the pods that run for an object already, or for the workload that it scales."""
        if not reviewed.kind.scales_others:
            return await self._pods_of(reviewed.kind, namespace, reviewed.old)
        self.names.require_known(PODS.resource)
        names = await self._scaled.pod_names(reviewed, namespace)
        return tuple(ObjectKey(PODS.resource, namespace, name) for name in names)

    async def _pods_of(self, kind: AnyKind, namespace: str, stored: Any | None) -> tuple[ObjectKey, ...]:
        """Return the keys of the pods that run for the session *stored*, None for one that is new."""
        _, size = (None, None) if stored is None else kind.evaluator.former_cost(stored, now=None)
        if size is None:
            return ()
        self.names.require_known(PODS.resource)
        names = await self.pods.labelled(namespace, size.pod_labels)
        return tuple(ObjectKey(PODS.resource, namespace, name) for name in names)

    def _report_deletion(self, request: AdmissionRequest, kind: AnyKind | None) -> None:
        if self.on_delete is None or request.operation != "DELETE" or request.sub_resource or request.dry_run:
            return
        if kind is not None and kind.is_charged:
            old = request.decode_old(AnyObject).metadata
            self.on_delete(ObjectKey(kind.resource, request.namespace, old.name), old.uid)


def _unknown(what: str) -> UnavailableError:
    return UnavailableError("not-synced", f"the {what} are not all known yet")


def _review_binding(request: AdmissionRequest) -> AdmissionResponse:
    """Deny a Binding with a stamp: the API server merges its annotations into the pod without an update of the pod."""
    if carries_stamp(request.decode(AnyObject).metadata):
        return review.denied(
            request.uid, "a binding cannot change who pays for a pod: it carries userquota.dev annotations"
        )
    return review.allowed(request.uid)
