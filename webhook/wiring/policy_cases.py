"""
Runs the tests of a policy: each case goes through the handler that answers reviews, over a cluster in memory.

Nothing is decided here. What a case gives is put into the usage index, what it asks becomes a review.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from webhook.admission.claim_templates import claim_templates, is_claim_template
from webhook.admission.patch import applied
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.admission.submission import mutate
from webhook.attribution.stamp import carries_stamp, stamping
from webhook.documents.case_schema import Verdict
from webhook.documents.case_text import Case, Create, Given, Outcome, ScaleTo, Update
from webhook.documents.manifest_notes import misspelt_in, misspelt_kind
from webhook.documents.object_text import RawObject
from webhook.kinds.as_stored import as_stored
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.misfits import misfit_text
from webhook.ledger.memory import MemoryLedger
from webhook.ports import READY, Clock, Decide
from webhook.quota.decision import Allowed, Decision, Denied
from webhook.quota.errors import WebhookError
from webhook.quota.limits import Limit
from webhook.quota.objects import AnyObject, GroupVersionResource, ObjectKey
from webhook.quota.policy import Mode, Policy
from webhook.quota.reservation import Charge
from webhook.quota.subject import Payer
from webhook.quota.usage import UsageIndex
from webhook.registration import default_exemptions, manifest_files
from webhook.wiring.file_kinds import kind_in_file, kinds_under
from webhook.wiring.simulated_cluster import CaseError, Json, SimulatedCluster, Standing
from webhook.wiring.standalone import reviewers

_UID = "uid of the case"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of a case without one. Nothing depends on it, or the case is not run."""

_CONFLICT = 409

_DEADLINE = 1.0
"""After the time at which the clock of a case stands."""


def _asked_about(when: Create | Update | ScaleTo) -> RawObject:
    return when.workload if isinstance(when, ScaleTo) else when.new


async def run_cases(cases: Iterable[Case], policy: Policy) -> list[Outcome]:
    """Return what each of *cases* comes to, each by itself."""
    exempt = default_exemptions(manifest_files.webhook_manifests())
    outcomes = []
    for case in cases:
        try:
            outcomes.append(await _Run(case, policy, exempt).outcome())
        except (WebhookError, msgspec.MsgspecError) as error:
            outcomes.append(Outcome(None, trouble=misfit_text(error)))
    return outcomes


class _Recorder(MemoryLedger):
    """Keeps what was decided: an answer has the text, and not the limits."""

    def __init__(self, index: UsageIndex, clock: Clock) -> None:
        super().__init__(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
        self.decisions: list[Decision] = []

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        decision = await super().transact(charge, decide, dry_run=dry_run, deadline=deadline)
        self.decisions.append(decision)
        return decision


class _Run:
    """One case."""

    def __init__(self, case: Case, policy: Policy, exempt: frozenset[str]) -> None:
        """Build what answers reviews. Raises: CaseError if that depends on a time that the case does not have."""
        if case.at is None and policy.changes_with_time:
            raise CaseError("the policy has entries with until or windows: write at, the time of the case")
        self._case = case
        self._policy = policy
        self._exempt = exempt
        self._kinds = kinds_under(policy)
        standing = Standing(case.at or _ANY_TIME, policy)
        self._cluster = SimulatedCluster(policy, case.namespaces, dict(self._templates()))
        self._ledger = _Recorder(self._cluster.index, standing)
        self._handler, self._advice = reviewers(self._cluster, standing, self._ledger, standing, self._kinds)
        self._unnamed = 0

    async def outcome(self) -> Outcome:
        """Return what the case comes to. Raises: CaseError, UncountableError and others if it cannot be run."""
        self._require_well_spelt()
        for each in self._case.given:
            self._give(each)
        match self._case.when:
            case Create(new):
                responses = await self._create(new)
            case Update(new, old, owner):
                responses = await self._update(new, old, owner)
            case ScaleTo(workload, replicas, owner):
                responses = await self._scale(workload, replicas, owner)
        return _outcome(responses, self._ledger.decisions)

    # What exists.

    def _templates(self) -> Iterator[tuple[ObjectKey, bytes]]:
        """Yield the ResourceClaimTemplates that are given. Nobody pays for one: they say what pods claim."""
        here = self._case.namespace or _asked_about(self._case.when).namespace
        for each in self._case.given:
            yield from claim_templates(each.objects, otherwise=each.namespace or here).items()

    def _give(self, given: Given) -> None:
        if given.group and given.group not in self._policy.groups_of(given.payer):
            raise CaseError(
                f"group {given.group}: the policy has no such group, or counts only those that it lists: name a user"
            )
        here = self._case.namespace or _asked_about(self._case.when).namespace
        for each in given.objects:
            if is_claim_template(each):
                continue
            namespace = self._placed(each, given.namespace, otherwise=here)
            uid = f"uid of {each.kind} {namespace}/{each.name}"
            self._cluster.put(self._kind(each), self._named(each, namespace, uid), given.payer)
        if given.amounts:
            self._cluster.put_amounts(self._checked(given.namespace or here), given.payer, given.amounts)

    # What is asked.

    async def _create(self, new: RawObject) -> list[AdmissionResponse]:
        kind, document = self._kind(new), self._named(new, self._namespace(new))
        return await self._ask(kind, new, as_stored(kind, document), None)

    async def _update(self, new: RawObject, old: RawObject, owner: Payer) -> list[AdmissionResponse]:
        kind, namespace = self._kind(new), self._namespace(new)
        if (old.kind, old.name, self._namespace(old)) != (new.kind, new.name, namespace):
            raise CaseError(f"update and old are two objects: {new.kind} {new.name} and {old.kind} {old.name}")
        stored = self._cluster.put(kind, self._named(old, namespace), owner)
        document = self._named(new, namespace)
        document["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        written, before = (msgspec.convert(each, AnyObject).metadata for each in (document, stored))
        if not carries_stamp(written) and carries_stamp(before):
            document = applied(document, stamping(written, owner))
        return await self._ask(kind, new, as_stored(kind, document), stored)

    async def _scale(self, workload: RawObject, replicas: int, owner: Payer) -> list[AdmissionResponse]:
        kind = self._kind(workload)
        if ("scale", "UPDATE") not in kind.subresources:
            raise CaseError(f"{kind.kind} is no workload with a scale: write an update of it")
        stored = self._cluster.put(kind, self._named(workload, self._namespace(workload)), owner)
        former = stored.get("spec", {}).get("replicas")
        scale, before = ({"spec": {"replicas": each}} for each in (replicas, former))
        request = self._request(kind, workload, scale, before, operation="UPDATE", sub_resource="scale")
        return [await self._handler.validate(request, deadline=_DEADLINE), await self._advised(request)]

    async def _ask(
        self, kind: AnyKind, written: RawObject, document: Json, old: Json | None
    ) -> list[AdmissionResponse]:
        """Return the answers to the mutating call, and to those that follow with the object as it is then."""
        operation = "CREATE" if old is None else "UPDATE"
        asked = self._request(kind, written, document, old, operation=operation)
        mutated, request = await mutate(self._handler, asked)
        if not mutated.allowed:
            return [mutated]
        validated = await self._handler.validate(request, deadline=_DEADLINE)
        return [mutated, validated, *([await self._advised(request)] if kind.demand is not None else [])]

    async def _advised(self, request: AdmissionRequest) -> AdmissionResponse:
        return await self._advice.advise(request, deadline=_DEADLINE)

    def _request(  # noqa: PLR0913 - what a review has
        self,
        kind: AnyKind,
        written: RawObject,
        document: Json,
        old: Json | None,
        *,
        operation: str,
        sub_resource: str = "",
    ) -> AdmissionRequest:
        return AdmissionRequest(
            _UID,
            GroupVersionResource(kind.group, written.version, kind.plural),
            operation,
            self._case.user,
            sub_resource=sub_resource or None,
            namespace=self._namespace(written),
            name=(document.get("metadata") or {}).get("name") or written.name,
            object=Raw(msgspec.json.encode(document)),
            old_object=Raw(msgspec.json.encode(old)),
            dry_run=True,
        )

    # What an object of a file is.

    def _require_well_spelt(self) -> None:
        """Raises: CaseError for an object with a misspelt field or kind, which costs less than was meant."""
        asked = self._case.when
        others = (asked.old,) if isinstance(asked, Update) else ()
        given = (each for group in self._case.given for each in group.objects)
        for each in (*given, *others, _asked_about(asked)):
            is_known = kind_in_file(each, self._kinds, self._policy) is not None
            kind = "" if is_known else misspelt_kind(each, self._kinds)
            if wrong := [*filter(None, (kind,)), *misspelt_in(each)]:
                raise CaseError(f"{each.title}: {'; '.join(wrong)}")

    def _kind(self, written: RawObject) -> AnyKind:
        """Return the kind of an object. Raises: CaseError for one that the webhook is never asked about."""
        kind = kind_in_file(written, self._kinds, self._policy)
        if kind is None or not kind.is_stamped:
            raise CaseError(f"{written.kind} of {written.api_version} is neither charged nor limited by this policy")
        return kind

    def _namespace(self, written: RawObject) -> str:
        """Return the namespace of an object of the request."""
        return self._placed(written, self._case.namespace, otherwise="")

    def _placed(self, written: RawObject, said: str, *, otherwise: str) -> str:
        """Return the namespace of an object: the one that is *said*, which has to be its own if it has any."""
        if said and written.namespace not in ("", said):
            raise CaseError(f"{written.kind} {written.name} says namespace {written.namespace}, the case says {said}")
        return self._checked(said or written.namespace or otherwise)

    def _checked(self, namespace: str) -> str:
        if not namespace:
            raise CaseError("no namespace: write it in the case, or in the object")
        if namespace in self._exempt:
            raise CaseError(f"userquota is not asked in namespace {namespace}: the webhook configurations exempt it")
        return namespace

    def _named(self, written: RawObject, namespace: str, uid: str = _UID) -> Json:
        """Return an object with the metadata that the API server gives it."""
        document: Json = msgspec.json.decode(written.body)
        metadata: dict[str, Any] = dict(document.get("metadata") or {})
        if not metadata.get("name"):
            self._unnamed += 1
            metadata["name"] = f"{written.name or written.kind.lower()}-{self._unnamed}"
        return {**document, "metadata": {**metadata, "namespace": namespace, "uid": uid}}


def _outcome(responses: Sequence[AdmissionResponse], decisions: Sequence[Decision]) -> Outcome:
    """Return what the answers to one request come to together."""
    refusals = [each.status for each in responses if each.status is not None and not each.allowed]
    if any(each.code == _CONFLICT for each in refusals):
        raise CaseError(f"{refusals[0].message}: it is given")
    if refusals:
        limits = [limit for each in decisions if isinstance(each, Denied) for limit in _broken(each)]
        return Outcome(Verdict.DENY, _entries(limits), tuple(each.message for each in refusals))
    warnings = tuple(dict.fromkeys(text for each in responses for text in each.warnings))
    if not warnings:
        return Outcome(Verdict.ALLOW)
    limits = [limit for each in decisions for limit in _broken(each) if limit.mode is not Mode.AUDIT]
    return Outcome(Verdict.WARN, _entries(limits), warnings)


def _broken(decision: Decision) -> Iterator[Limit]:
    """Yield the limits that are exceeded, or whose resource is not declared."""
    match decision:
        case Denied(excesses, lacks) | Allowed(_, excesses, lacks):
            yield from (each.rule for each in excesses)
            yield from (each.rule for each in lacks)


def _entries(limits: Iterable[Limit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.entry for each in limits))
