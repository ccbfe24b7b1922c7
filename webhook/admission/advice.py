"""
The early verdict on a workload: whoever creates or scales it is told at once how many of its pods fit.

Nothing is charged and nothing is held: each pod is decided on when it is made (`handler`), whatever was said here. So
where no verdict can be worked out, the client is warned and nothing is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from msgspec import structs

from webhook.admission import review
from webhook.admission.filling import filled_by_plugins
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.attribution.identities import Identities
from webhook.attribution.lineage import known_owner
from webhook.kinds import pod_workload
from webhook.kinds.claims import CLAIMS, PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind, PodDefaults, UncountableError
from webhook.kinds.pod_template import future_pod, future_undeclared
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.resource_claims import (
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    ResourceClaim,
    ResourceClaimTemplate,
)
from webhook.kinds.workload_copies import Made, RolledOut, made_by, needs_surge
from webhook.kinds.workloads import Workload, demand_of
from webhook.ports import (
    Ancestry,
    Clock,
    LimitRanges,
    NameHolders,
    Namespaces,
    PodClasses,
    PodsOfWorkloads,
    PolicySource,
    Transactions,
    UnavailableError,
)
from webhook.quota import message
from webhook.quota.decision import (
    Allowed,
    Decision,
    Denied,
    Excess,
    Lack,
    Unmet,
    below_minimums,
    lacks_of,
    must_declare,
    off_shapes,
)
from webhook.quota.expected import WORKLOAD, PodSet
from webhook.quota.fitting import UNUSED, Copies, Fitting, Part, Room, fit, rooms
from webhook.quota.limits import Limit
from webhook.quota.objects import ObjectKey, Scale
from webhook.quota.policy import MINIMUMS, Mode, OnWorkload, Policy
from webhook.quota.pool_limits import Capacity, NoNodes, limits_in_force
from webhook.quota.presets import Labels
from webhook.quota.reservation import CREATED, Charge, Reservation
from webhook.quota.resources import Amount, Amounts, grown
from webhook.quota.scopes import Scopes
from webhook.quota.subject import CLUSTER, NOBODY, Account, Payer
from webhook.quota.usage import UsageView

_MOST_DEVICE_CLAIMS = 32
"""Claims of one pod for devices that are looked at: each template is read, and Kubernetes bounds neither."""

_DEVICES = "spec.template.spec.resourceClaims"

_LEAST_OF_A_POD = MINIMUMS[PODS.cap or ""]

_NOUNS = {"Job": "parallel pods", "CronJob": "parallel pods", "DaemonSet": "pods"}


class _Asked(NamedTuple):
    """A workload as it would be stored, and as it is; None for a new one. `is_new_template` is what a rollout needs."""

    kind: AnyKind
    name: str
    new: Workload
    old: Workload | None
    is_new_template: bool

    @property
    def grows(self) -> bool:
        """Whether it asks for more of anything than before. Raises: UncountableError."""
        if self.old is None:
            return True
        return bool(grown(demand_of(self.new), demand_of(self.old)))


class MadeObject(NamedTuple):
    """What one copy has one of: its cost, its scopes, the cap that binds it, and of which sessions it may be a pod."""

    resource: str
    amounts: Amounts
    scopes: Scopes
    cap: str | None
    part_of: tuple[Labels, ...] = ()

    @property
    def unit(self) -> str:
        """The resource of which it costs one while it is in use: a pod that has ended costs `count/pods` alone."""
        return self.resource if self.resource in dict(self.amounts) else f"count/{self.resource}"


@dataclass(slots=True)
class Judgement:
    """
    Fits the copies of a workload, with the limits of the moment in which the ledger decides.

    `grown` are the resources of which all copies together ask for more than before: no other limit counts. `parts`
    returns what each copy has one of, with all limits in force; `objects` are the same without. `surge` are the limits
    under which one more pod has no room. `surges_later`: it is new, and a rolling update of it will need one.
    `undeclared` is what no pod will declare, of which `lacks` are the limits that require it, and `unmet` are the
    minimums that each pod is below and the shapes that it has not: with any of these that is enforced no pod is made.
    """

    key: ObjectKey
    payer: Payer
    noun: str
    objects: Collection[MadeObject]
    parts: Callable[[], list[Part]]
    grown: frozenset[str]
    number: int
    existing: Collection[ObjectKey]
    is_new_template: bool
    is_surging: bool
    is_later: bool
    surges_later: bool
    pod_sets: Collection[PodSet]
    requires: Callable[[Part], tuple[Lack, ...]]
    fitting: Fitting = field(default_factory=lambda: Fitting(0, 0))
    surge: tuple[Excess, ...] = ()
    lacks: tuple[Lack, ...] = ()
    unmet: tuple[Unmet, ...] = ()

    def decide(self, view: UsageView) -> Decision:
        """Return the decision; nothing is ever reserved. Raises: UnavailableError."""
        self.fitting, self.surge = self._fit(_is_told, view), ()
        self.lacks, self.unmet = self._unfit(_is_told)
        if self.is_surging and not (self.fitting.excesses or self.lacks or self.unmet):
            self.surge = self.surge_beside(view)
        denying = tuple(each for each in self.fitting.excesses if _denies(each.rule))
        lacks = tuple(each for each in self.lacks if _denies(each.rule))
        unmet = tuple(each for each in self.unmet if _denies(each.rule))
        if denying or lacks or unmet:
            return Denied(denying, lacks, unmet)
        return Allowed(None, self.fitting.excesses, self.lacks, tolerated_unmet=self.unmet)

    def surge_beside(self, view: UsageView) -> tuple[Excess, ...]:
        """Return the limits under which one more pod has no room. Raises: UnavailableError."""
        parts = [each.under(_is_told) for each in self.parts()]
        return fit(Copies(1, parts, pod_sets=self.pod_sets), view).excesses

    def made(self, view: UsageView) -> Fitting:
        """Return how many copies will be made under all enforced limits, those that give no early warning included."""
        fitting = self._fit(_is_enforced, view)
        return replace(fitting, fits=0) if any(self._unfit(_is_enforced)) else fitting

    def refused(self, made: Fitting) -> Denied:
        """Return why copies beyond *made* will be refused when they are made; empty if all will be made."""
        return Denied(made.excesses, *self._unfit(_is_enforced))

    def rooms(self, view: UsageView) -> Iterator[Room]:
        """Return what each limit leaves for the copies. Raises: UnavailableError."""
        return rooms(self._copies(self.parts()), UNUSED if self.is_later else view)

    def stored(self, number: int, view: UsageView) -> Iterator[Reservation]:
        """
        Yield what is held once *number* copies exist: on the names of those that do now, and in one for the others.

        Nothing for what is made by a schedule.
        """
        objects = () if self.is_later else self.objects
        alike, seen = Counter(each.resource for each in objects), Counter[str]()
        for position, each in enumerate(objects):
            kept = [
                key for key in self.existing if key.resource == each.resource and view.held(key, CLUSTER, each.unit)
            ]
            present = kept[seen[each.resource] :: alike[each.resource]]  # of two claims of a pod one is for each
            seen[each.resource] += 1
            for key in present:
                yield Reservation(key, "", CREATED, self.payer, each.amounts, each.scopes, part_of=each.part_of)
            if (new := number - len(present)) > 0:
                key = ObjectKey(each.resource, self.key.namespace, f"made for {self.key}: {position}")
                amounts = tuple((name, amount * new) for name, amount in each.amounts)
                yield Reservation(key, "", CREATED, self.payer, amounts, each.scopes, part_of=each.part_of)

    def _unfit(self, counts: Callable[[Limit], bool]) -> tuple[tuple[Lack, ...], tuple[Unmet, ...]]:
        """Return what keeps each pod from being made beside room, of the limits that *counts* is true for."""
        lacks: tuple[Lack, ...] = ()
        unmet: tuple[Unmet, ...] = ()
        for part in (each.under(counts) for each in self.parts() if each.cap == PODS.cap):
            lacks += self.requires(part)
            minimums = (each for each in part.in_force.caps if each.cap == _LEAST_OF_A_POD)
            unmet += (*below_minimums(part.amounts, minimums), *off_shapes(part.amounts, part.in_force.shapes))
        return lacks, unmet

    def _fit(self, counts: Callable[[Limit], bool], view: UsageView) -> Fitting:
        """Return how many copies fit under the limits that *counts* is true for."""
        parts = [each.under(counts).only(self.grown) for each in self.parts()]
        if not self.grown:
            return Fitting(self.number, self.number)
        return fit(self._copies(parts), UNUSED if self.is_later else view)

    def _copies(self, parts: list[Part]) -> Copies:
        return Copies(self.number, parts, self.existing, self.is_new_template, self.pod_sets)


@dataclass(frozen=True, slots=True)
class WorkloadAdvice:
    """
    Answers reviews of workloads and their scales. Any number may run concurrently.

    `on_untold` is called with the reason for which there was no verdict, which goes to whoever asked, too; not for what
    cannot be counted, which is a matter of the object. `on_judged` is called with what the ledger is about to decide.
    """

    users: Identities
    ancestry: Ancestry
    pods: PodsOfWorkloads
    policies: PolicySource
    namespaces: Namespaces
    ledger: Transactions
    clock: Clock
    names: NameHolders
    limit_ranges: LimitRanges
    classes: PodClasses
    kinds: Registry = field(default=KINDS)
    capacity: Capacity = field(default_factory=NoNodes)
    on_untold: Callable[[UnavailableError], None] = lambda _: None
    on_judged: Callable[[Judgement], None] = lambda _: None

    async def advise(self, request: AdmissionRequest, *, deadline: float) -> AdmissionResponse:
        """
        Return whether all pods of the workload fit: a warning, or where the policy says so a refusal, if they do not.

        Writes of trusted controllers are not judged: the object that caused them was. *deadline* is on the monotonic
        clock. Raises: ReviewError.
        """
        if self.users.is_trusted(request.user_info):
            return review.allowed(request.uid)
        try:
            asked = await self._read(request)
            return review.allowed(request.uid) if asked is None else await self._judge(request, asked, deadline)
        except (UncountableError, UnavailableError) as error:
            if isinstance(error, UnavailableError):
                self.on_untold(error)
            return review.allowed(request.uid, warnings=(f"could not determine whether its pods fit: {error}",))

    async def _read(self, request: AdmissionRequest) -> _Asked | None:
        """Return the workload; None for what is none, or is gone."""
        kind = self.kinds.of_resource(str(request.resource))
        if kind is None or kind.demand is None or request.operation not in ("CREATE", "UPDATE"):
            return None
        if request.sub_resource == "scale":
            stored = await self.ancestry.read_whole(kind, request.namespace, request.name, Workload)
            if stored is None:
                return None
            spec = structs.replace(stored.spec, replicas=request.decode(Scale).spec.replicas)
            return _Asked(kind, request.name, structs.replace(stored, spec=spec), stored, is_new_template=False)
        if request.sub_resource:
            return None
        new = request.decode(Workload)
        if request.operation == "CREATE":
            return _Asked(kind, new.metadata.name, new, None, is_new_template=False)
        is_new_template = request.decode(RolledOut).template != request.decode_old(RolledOut).template
        return _Asked(kind, request.name, new, request.decode_old(Workload), is_new_template)

    async def _judge(self, request: AdmissionRequest, asked: _Asked, deadline: float) -> AdmissionResponse:
        made = made_by(asked.new)
        grows, is_surging = asked.grows, asked.is_new_template and needs_surge(asked.new)
        if made is None or not (grows or is_surging):
            return review.allowed(request.uid)
        policy, namespace = self.policies.current(), request.namespace
        labels = await self.namespaces.labels(namespace)
        former = made_by(asked.old) if asked.old is not None and grows else None
        defaults, pods, devices = await asyncio.gather(
            self._defaults(namespace, (made, former), policy),
            self._pods_of(namespace, asked, made),
            self._devices(namespace, made, former, policy),
        )
        claims = await self.pods.device_claims(namespace, pods) if devices and pods else ()
        payer = policy.named(known_owner(asked.new.metadata) or NOBODY)
        objects = _objects(asked, made, defaults, devices, policy)

        undeclared = future_undeclared(made.pod, defaults) if policy.may_require else {}

        def requires(part: Part) -> tuple[Lack, ...]:
            current = self.policies.current()
            return lacks_of(must_declare(current, part.in_force, caps=(part.cap,)), undeclared) if undeclared else ()

        def parts() -> list[Part]:
            for resource in dict.fromkeys(each.resource for each in objects):
                self.names.require_known(resource)
            return list(self._parts(objects, payer, namespace, self.namespaces.known(namespace) or labels))

        before = {} if former is None else _totals(former, _objects(asked, former, defaults, devices, policy), policy)
        judgement = Judgement(
            ObjectKey(asked.kind.resource, namespace, asked.name),
            payer,
            _NOUNS.get(asked.kind.kind, "replicas"),
            objects,
            parts,
            grown(_totals(made, objects, policy).items(), before.items()) if grows else frozenset(),
            max(len(pods), 1) if made.number is None else made.number,
            (
                *made.objects(namespace, asked.name, pods),
                *(ObjectKey(RESOURCE_CLAIMS.resource, namespace, each) for each in claims),
            ),
            is_new_template=asked.is_new_template,
            is_surging=is_surging,
            is_later=made.is_later,
            surges_later=asked.old is None and needs_surge(asked.new),
            pod_sets=[PodSet(namespace, payer.owner, labels) for each in objects for labels in each.part_of],
            requires=requires,
        )
        self.on_judged(judgement)
        # Without `prior` the empty charge counts as growing, so the ledger catches up before it decides.
        charge = Charge(judgement.key, asked.new.metadata.uid or request.uid, CREATED, payer, ())
        decision = await self.ledger.transact(charge, judgement.decide, dry_run=True, deadline=deadline)
        answer = _answer(request, decision, judgement)
        is_nobodys_scale = payer == NOBODY and request.sub_resource == "scale"  # of an edit the mutating call tells
        if is_nobodys_scale and answer.allowed and self.users.is_told(request.user_info):
            return structs.replace(answer, warnings=(*answer.warnings, message.nobody_warning(asked.kind.kind)))
        return answer

    async def _defaults(self, namespace: str, made: Iterable[Made | None], policy: Policy) -> PodDefaults:
        """Return what the pods of *made* get. Raises: UnavailableError."""
        specs = [each.pod.spec for each in made if each is not None]
        found = await filled_by_plugins(self.limit_ranges, self.classes, namespace, specs, policy)
        return found._replace(missing=policy.missing_defaults)

    async def _devices(
        self, namespace: str, made: Made, former: Made | None, policy: Policy
    ) -> Mapping[str, ResourceClaim]:
        """
        Return what comes with the pods from ResourceClaimTemplates, by name; nothing where no limit counts it.

        A template of the *former* pods that is gone is left out: what it made counts as more. Raises: UnavailableError,
        and UncountableError where nobody knows what the new pods get.
        """
        if not policy.limits_any(RESOURCE_CLAIMS.evaluator.counts):
            return {}
        names = tuple(dict.fromkeys((*made.devices, *(() if former is None else former.devices))))
        if max(len(names), len(made.devices)) > _MOST_DEVICE_CLAIMS:
            raise UncountableError(_DEVICES, ValueError(f"more than {_MOST_DEVICE_CLAIMS} claims are not looked at"))
        kind, shape = RESOURCE_CLAIM_TEMPLATES, ResourceClaimTemplate
        found = await asyncio.gather(*(self.ancestry.read_whole(kind, namespace, each, shape) for each in names))
        claims = {name: template.claim for name, template in zip(names, found, strict=True) if template is not None}
        unknown = next((each for each in made.devices if each not in claims), None)
        if unknown is not None:
            raise UncountableError(_DEVICES, ValueError(f"there is no ResourceClaimTemplate {unknown}"))
        return claims

    def _parts(
        self, objects: Iterable[MadeObject], payer: Payer, namespace: str, labels: Mapping[str, str]
    ) -> Iterator[Part]:
        """Yield what one copy has one of, with the limits in force; nothing that is exempt."""
        policy, now = self.policies.current(), self.clock.now()
        for each in objects:
            account = Account(policy.named(payer), each.scopes)
            if policy.exemptions.of(account, namespace, now) is None:
                in_force = limits_in_force(
                    policy, account, namespace=namespace, labels=labels, now=now, capacity=self.capacity
                )
                yield Part(policy.devices.derive(each.amounts), each.cap, in_force)

    async def _pods_of(self, namespace: str, asked: _Asked, made: Made) -> tuple[str, ...]:
        """
        Return the names of the pods that a workload has, or a new one adopts.

        One that runs later has those of its Jobs, which end. A new Job has no selector, and adopts nothing.
        """
        if made.is_later:
            return ()
        uid = "" if asked.old is None else asked.old.metadata.uid
        return await self.pods.names(namespace, uid, asked.new.spec.selector)


def _answer(request: AdmissionRequest, decision: Decision, judged: Judgement) -> AdmissionResponse:
    noun = judged.noun
    if isinstance(decision, Denied):
        lacks, unmet = decision.lacks, decision.unmet
        fitting = replace(judged.fitting, fits=0) if lacks or unmet else judged.fitting
        text = message.workload_sentence(fitting, decision, noun=noun, owner=judged.payer.owner)
        return review.denied(request.uid, text, causes=message.causes(decision.excesses, lacks, unmet))
    binding = judged.fitting.binding
    told = message.unfit_warnings(judged.lacks, judged.unmet, noun=noun)
    told += [message.workload_warning(judged.fitting, binding, noun=noun)] if binding is not None else []
    told += [message.surge_warning(each) for each in judged.surge[:1]]
    return review.allowed(request.uid, warnings=told)


def _objects(
    asked: _Asked, made: Made, defaults: PodDefaults, devices: Mapping[str, ResourceClaim], policy: Policy
) -> tuple[MadeObject, ...]:
    """Return what each copy has one of, of its claims for *devices* those that are known. Raises: UncountableError."""
    evaluator, cap = PERSISTENT_VOLUME_CLAIMS.evaluator, PERSISTENT_VOLUME_CLAIMS.cap
    amounts, scopes = future_pod(made.pod, defaults)
    labels = made.pod.metadata.labelled()
    if asked.kind.resource in pod_workload.SCALED.values():
        labels = {**labels, WORKLOAD: pod_workload.named(asked.kind.resource, asked.name)}
    part_of = policy.sessions_of(labels)
    pod = MadeObject(PODS.resource, amounts, scopes, PODS.cap, part_of)
    claims = (MadeObject(CLAIMS, evaluator.usage(each, now=None), evaluator.scopes(each), cap) for each in made.claims)
    return (pod, *claims, *(_device_claim(name, devices[name]) for name in made.devices if name in devices))


def _device_claim(template: str, claim: ResourceClaim) -> MadeObject:
    evaluator = RESOURCE_CLAIMS.evaluator
    try:
        amounts = evaluator.usage(claim, now=None)
    except UncountableError as error:
        raise UncountableError(f"ResourceClaimTemplate {template}: spec.{error.path}", error.cause) from error
    return MadeObject(RESOURCE_CLAIMS.resource, amounts, evaluator.scopes(claim), RESOURCE_CLAIMS.cap)


def _totals(made: Made, objects: Iterable[MadeObject], policy: Policy) -> dict[str, Amount]:
    """Return what all copies ask for together, by derived resource; of a DaemonSet, those on one node."""
    number = 1 if made.number is None else made.number
    totals: dict[str, Amount] = {}
    for each in objects:
        for name, amount in policy.devices.derive(each.amounts):
            totals[name] = totals.get(name, 0) + amount * number
    return totals


def _is_told(limit: Limit) -> bool:
    """Whether a workload is judged by a limit: not by one that nobody is told of."""
    return limit.workloads is not OnWorkload.OFF and limit.mode is not Mode.AUDIT


def _is_enforced(limit: Limit) -> bool:
    return limit.mode is Mode.ENFORCE


def _denies(limit: Limit) -> bool:
    return limit.workloads is OnWorkload.DENY and limit.mode is Mode.ENFORCE
