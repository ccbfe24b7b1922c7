"""
Judges edits of the policy: mistakes, limits below what is used, and limits that are lifted.

The API server stores an edit if the call fails, so that an outage locks no admin out. So an edit that cannot be judged
is denied here: a failed call would let it through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol

from msgspec import structs

from webhook.admission import review
from webhook.admission.config_map_edit import ConfigMapEdit, read_edit
from webhook.admission.covered_use import StoredObjects, unkept_now
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.documents.mistake import Mistake
from webhook.documents.policy_config_map import FORCE_ANNOTATION, POLICY_LABEL, PolicyConfigMap
from webhook.documents.policy_draft import Complaint, brought, brought_notes, read_draft
from webhook.documents.policy_notes import Facts, policy_notes
from webhook.documents.policy_text import PolicyReading, PolicyText
from webhook.documents.step_by_step import in_thread
from webhook.ports import (
    Clock,
    Namespaces,
    NoPolicies,
    PromiseOrdering,
    PromisesChangingError,
    StoredPolicies,
    UnavailableError,
)
from webhook.quota import edit_message
from webhook.quota.capacity import NodeFacts
from webhook.quota.edits import Effect, Known, effect_of
from webhook.quota.message import Cause
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.policy_changes import names_changed
from webhook.quota.promises import MarkedEdit, is_more_promised, is_promised_otherwise
from webhook.quota.usage import Holdings

_MOST_TOLD = 10
"""Mistakes in one refusal."""

_BETWEEN_TRIES = 0.1
"""Seconds until an edit is judged again that waits for another edit of what is promised."""

_LAST_TRY = 3.0
"""Seconds. If no more are left, such an edit is not judged again."""

_LONGEST_MISTAKE = 400
_LONGEST_REASON = 200
_LONGEST_AUDIT = 1024

_LAST = (
    f"it is the last ConfigMap with the label {POLICY_LABEL}=true, and without it the policy in force would stay: to "
    "limit nobody, have it say no more than version: 1"
)


class PolicyMaps(Protocol):
    """The ConfigMaps of the policy, as the watch shows them."""

    may_be_absent: bool

    def others(self, name: str) -> Sequence[PolicyConfigMap]:
        """Return all of them but *name*. Raises: UnavailableError while they are not all known."""

    def uid_of(self, name: str) -> str:
        """Return the uid of *name*, empty if it is none of them."""


class PolicyInForce(Protocol):
    """The policy in force, and what would be in force with other texts."""

    def in_force(self) -> Policy | None:
        """Return it, None if what is written never was without mistakes. Raises: UnavailableError if none was read."""

    def made_of(self, texts: Iterable[PolicyText]) -> Policy | None:
        """Return it if it was made of *texts*."""

    def reading_of(self, texts: Iterable[PolicyText]) -> PolicyReading | None:
        """Return what *texts* were read as if they are in force, None otherwise."""

    def completed(self, policy: Policy) -> Policy:
        """Return *policy* with what the cluster adds to it."""


class KnownUsage(Protocol):
    """All that is used and reserved."""

    def holdings(self) -> Holdings:
        """Return it. Raises: UnavailableError while not all of it is known."""

    def is_counted(self, resource: str) -> bool:
        """Return whether all objects of *resource* are counted."""

    def devices(self) -> frozenset[str]:
        """Return the devices that objects ask for."""

    def nodes(self) -> tuple[NodeFacts, ...] | None:
        """Return what nodes there are, None while that is not known."""


class _Unknown(NamedTuple):
    """`what` is not known of an edit, as a question in words such as "who is over a limit", and `why`."""

    what: str
    why: str


_NO_NODES = _Unknown(
    "whether nodes have what is promised", "the nodes are not all known, or the watch of them is silent"
)


_UNORDERED = "whether others take what it promises before it is in force"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an edit does."""

    brought: tuple[Complaint, ...] = ()
    """Mistakes that are new with it."""
    remaining: tuple[Complaint, ...] = ()
    """All mistakes of the policy after it."""
    effect: Effect = field(default_factory=Effect)
    """Whom it concerns."""
    notes: tuple[Mistake, ...] = ()
    """What in it is surely not meant."""
    unknown: _Unknown | None = None
    """What of its effect is not known."""
    policies: tuple[Policy, Policy] | None = None
    """The policies before and after it, if what is promised differs."""
    changed: str = ""
    """What it adds, changes and removes, in words."""

    @property
    def needs_force(self) -> bool:
        """Whether the edit takes a reason."""
        return self.effect.is_refused or self.unknown is not None


class EditReports(Protocol):
    """Tells admins of edits, in the background. None of these raises, or waits."""

    def edited(self, edit: ConfigMapEdit, message: str) -> None:
        """Tell that *edit* was accepted: once, although several replicas may be asked about it."""

    def forced(self, edit: ConfigMapEdit, message: str) -> None:
        """Tell that *edit* was accepted only because of its reason."""

    def refused(self, edit: ConfigMapEdit, user: str, message: str) -> None:
        """Tell that *edit* of *user* was refused: it may come again and again."""


class Untold:
    """The `EditReports` of a process that tells nobody."""

    def edited(self, edit: ConfigMapEdit, message: str) -> None:
        """Do nothing."""

    def forced(self, edit: ConfigMapEdit, message: str) -> None:
        """Do nothing."""

    def refused(self, edit: ConfigMapEdit, user: str, message: str) -> None:
        """Do nothing."""


async def _stays() -> bool:
    return False


@dataclass(slots=True)
class PolicyEdits:
    """
    Answers reviews of the policy's ConfigMaps in *namespace*, one at a time: a large one takes seconds in a thread.

    `exempt` returns the namespaces that the webhooks leave out. `reports` are told of each edit that is accepted or
    refused, and of no dry run. `is_ending` tells whether *namespace* itself is being deleted: what goes with it is not
    held back.
    """

    namespace: str
    maps: PolicyMaps
    policies: PolicyInForce
    namespaces: Namespaces
    usage: KnownUsage
    order: PromiseOrdering
    objects: StoredObjects
    clock: Clock
    stored_policies: StoredPolicies = field(default_factory=NoPolicies)
    exempt: Callable[[], frozenset[str]] = frozenset
    reports: EditReports = field(default_factory=Untold)
    is_ending: Callable[[], Awaitable[bool]] = _stays
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def judge(self, request: AdmissionRequest, *, deadline: float) -> AdmissionResponse:
        """
        Return whether the edit may be stored. *deadline* is on the monotonic clock.

        Raises nothing for an edit that cannot be judged: that is a denial.
        """
        if (request.namespace, str(request.resource)) != (self.namespace, "configmaps") or request.sub_resource:
            return review.allowed(request.uid)
        try:
            edit = read_edit(request)
            if edit is None:
                return review.allowed(request.uid)
            async with asyncio.timeout(self._seconds_left(deadline)), self._turn:
                response = await self._judge_with_retries(request, edit, deadline)
            return self._told(request, edit, response)
        except ReviewError as error:
            return review.failed(request.uid, str(error))
        except TimeoutError:
            return review.not_now(request.uid, "the edit of the policy could not be judged in time: try again")
        except UnavailableError as error:
            return review.not_now(request.uid, f"the edit of the policy cannot be judged yet: {error}: try again")

    def _told(self, request: AdmissionRequest, edit: ConfigMapEdit, response: AdmissionResponse) -> AdmissionResponse:
        """Return *response* with who asked for it in the audit log, and report it unless it was a dry run."""
        audit, user = response.audit_annotations, request.user_info.username
        if not audit:  # nothing was judged
            return response
        if not request.dry_run:
            if (reason := audit.get("forced")) is not None:
                text = f"{user} forced an edit of the policy ({reason}): {audit['over']}"
                self.reports.forced(edit, edit_message.shortened(text, _LONGEST_AUDIT))
            elif (why := audit.get("refused")) is not None:
                text = f"an edit of the policy by {user} was refused: {why}"
                self.reports.refused(edit, user, edit_message.shortened(text, _LONGEST_AUDIT))
            else:
                text = f"{user} edited the policy: {audit['changed']}"
                self.reports.edited(edit, edit_message.shortened(text, _LONGEST_AUDIT))
        who = edit_message.shortened(user, _LONGEST_AUDIT)
        return structs.replace(response, audit_annotations={**audit, "edited-by": who})

    async def _judge_with_retries(
        self, request: AdmissionRequest, edit: ConfigMapEdit, deadline: float
    ) -> AdmissionResponse:
        """Judge the edit; begin again if another edit of what is promised comes into force meanwhile."""
        if request.operation == "DELETE" and await self.is_ending():
            return review.allowed(request.uid)
        while True:
            try:
                return await self._judge(request, edit, deadline)
            except PromisesChangingError:
                if not self._may_wait(deadline):
                    raise
            await asyncio.sleep(_BETWEEN_TRIES)

    def _may_wait(self, deadline: float) -> bool:
        return self._seconds_left(deadline) > _LAST_TRY

    async def _judge(self, request: AdmissionRequest, edit: ConfigMapEdit, deadline: float) -> AdmissionResponse:
        others = self.maps.others(edit.name)
        if (refused := await self._refused_unread(request, edit, others)) is not None:
            return refused
        now = self.clock.now()
        known = await self._known(now)
        in_force = self.policies.in_force()
        facts = Facts(now, self.usage.devices(), self.exempt())  # here: the thread may not read what this loop changes
        steps = self._verdict(edit, others, in_force, known, facts)
        verdict = await in_thread(steps, within=self._seconds_left(deadline))
        if verdict.brought:
            return _mistaken(request, verdict.brought)
        if verdict.remaining:
            audit = {"changed": _stored_only(verdict.remaining)}
            return review.allowed(request.uid, warnings=_remaining(verdict.remaining), audit=audit)
        if in_force is None:
            told = (
                "no policy was in force, and so nothing is counted yet: userquota preflight tells who is over a limit"
            )
            warnings = [told, *edit_message.warnings(verdict.effect, list(map(str, verdict.notes)))]
            return review.allowed(request.uid, warnings=warnings, audit={"changed": verdict.changed})
        return await self._answer(request, edit, verdict, others, deadline)

    async def _refused_unread(
        self, request: AdmissionRequest, edit: ConfigMapEdit, others: Sequence[PolicyConfigMap]
    ) -> AdmissionResponse | None:
        """Return the refusal of an edit that is refused whatever its text says; None for any other."""
        if request.operation == "CREATE" and await self._is_taken(edit):  # then nobody should wait for it
            return review.already_exists(request.uid, ObjectKey("configmaps", self.namespace, edit.name))
        if edit.new is None and not others and not self.maps.may_be_absent:
            return _refused(request, _LAST)
        if edit.force is not None and not _is_reason(edit.force):
            why = f"expected a reason of 1 to {_LONGEST_REASON} characters on one line"
            return _refused(request, f"metadata.annotations[{FORCE_ANNOTATION}]: {why}")
        return None

    async def _is_taken(self, edit: ConfigMapEdit) -> bool:
        if self.maps.uid_of(edit.name) in ("", edit.uid):
            return False
        found = await self.stored_policies.version_of(edit.name)
        return found is not None and found.uid != edit.uid

    async def _answer(
        self,
        request: AdmissionRequest,
        edit: ConfigMapEdit,
        verdict: _Verdict,
        others: Sequence[PolicyConfigMap],
        deadline: float,
    ) -> AdmissionResponse:
        """
        Return the answer to an edit without mistakes, which was read beside the *others*.

        An edit of what is promised is judged once more, with a mark in the ledger: nobody decides on what is promised
        while that is there, so what the edit was judged by still holds when it comes into force.
        """
        policies = verdict.policies
        if policies is None or request.dry_run or self._is_refused(edit, verdict):
            return self._response_to(request, edit, verdict)
        now = self.clock.now()
        try:
            token = await self._mark(edit, policies, now, deadline)
        except UnavailableError as error:
            if edit.force is None or (isinstance(error, PromisesChangingError) and self._may_wait(deadline)):
                raise
            unordered = verdict.unknown or _Unknown(_UNORDERED, str(error))
            return self._response_to(request, edit, replace(verdict, unknown=unordered))
        try:
            self._require_unchanged(edit, others)
            verdict = await self._promises_judged(verdict, policies, now, deadline)
            response = self._response_to(request, edit, verdict)
        except BaseException:
            if self._seconds_left(deadline) > 0:  # past it the API server fails open and stores the edit: keep the mark
                await self.order.unmark(token)
            raise
        if not response.allowed:
            await self.order.unmark(token)
        return response

    async def _mark(self, edit: ConfigMapEdit, policies: tuple[Policy, Policy], now: datetime, deadline: float) -> str:
        """Mark *edit* in the ledger; return the token. Raises: UnavailableError. See `PromiseOrdering.mark`."""
        marked = MarkedEdit(edit.name, edit.uid, edit.base, edit.old is not None)
        passed = [last for each in policies if (last := each.promised(now).since) is not None]
        return await self.order.mark(marked, since=max(passed, default=None), deadline=deadline)

    def _require_unchanged(self, edit: ConfigMapEdit, others: Sequence[PolicyConfigMap]) -> None:
        """Check that the other ConfigMaps are still the *others*. Raises: PromisesChangingError."""
        if tuple(self.maps.others(edit.name)) != tuple(others):
            raise PromisesChangingError("another ConfigMap of the policy has changed meanwhile: try again")

    async def _promises_judged(
        self, verdict: _Verdict, policies: tuple[Policy, Policy], now: datetime, deadline: float
    ) -> _Verdict:
        """Return *verdict* with what is promised judged by what is known at *now*."""
        known = await self._known(now)
        if isinstance(known, UnavailableError):
            return replace(verdict, unknown=verdict.unknown or _Unknown(_NO_NODES.what, str(known)))
        if known.nodes is None:
            return replace(verdict, unknown=_NO_NODES) if _is_blind(*policies, known) else verdict
        seconds_left = partial(self._seconds_left, deadline)
        unkept = await unkept_now(policies, known, known.nodes, self.objects, seconds_left=seconds_left)
        return replace(verdict, effect=replace(verdict.effect, unkept=unkept))

    def _seconds_left(self, deadline: float) -> float:
        return deadline - self.clock.monotonic()

    async def _known(self, now: datetime) -> Known | UnavailableError:
        """Return what an edit is compared over: no edit is refused for what a replica holds that loses its swap."""
        try:
            async with self.order.at_rest():
                holdings, nodes = self.usage.holdings(), self.usage.nodes()
            return Known(holdings, self.namespaces.known, now, self.usage.is_counted, nodes)
        except UnavailableError as error:
            return error

    def _verdict(
        self,
        edit: ConfigMapEdit,
        others: Sequence[PolicyConfigMap],
        in_force: Policy | None,
        known: Known | UnavailableError,
        facts: Facts,
    ) -> Generator[None, None, _Verdict]:
        """Return the verdict, yielding between steps. Without *known* usage it has mistakes and notes alone."""
        former_maps = [*others, edit.old] if edit.old is not None else others
        after = yield from read_draft([*others, edit.new] if edit.new is not None else others)
        if after.policy is None:
            before = yield from read_draft(former_maps)
            return _Verdict(brought(after.complaints, before.complaints), after.complaints)
        texts = [text for each in former_maps for text in each.texts()]
        former, reading = self.policies.made_of(texts), self.policies.reading_of(texts)
        if former is None or reading is None:
            # The watch has not shown the last edit yet, or it has mistakes: then the last good one is replaced.
            before = yield from read_draft(former_maps)
            reading = before.reading
            former = in_force if before.policy is None else self.policies.completed(before.policy)
        notes = brought_notes(policy_notes(after.reading, facts), policy_notes(reading, facts))
        names = yield from names_changed(former or Policy(), after.policy)
        changed = edit_message.shortened(edit_message.changed(names), _LONGEST_AUDIT)
        if isinstance(known, UnavailableError):
            return _Verdict(notes=notes, unknown=_Unknown("who is over a limit", str(known)), changed=changed)
        if former is None:
            return _Verdict(notes=notes, changed=changed)
        completed = self.policies.completed(after.policy)
        effect = yield from effect_of(former, completed, known)
        policies = (former, completed) if is_promised_otherwise(former, completed) else None
        unknown = _NO_NODES if _is_blind(former, completed, known) else None
        return _Verdict(effect=effect, notes=notes, unknown=unknown, policies=policies, changed=changed)

    @staticmethod
    def _is_refused(edit: ConfigMapEdit, verdict: _Verdict) -> bool:
        return edit.force is None and verdict.needs_force

    def _response_to(self, request: AdmissionRequest, edit: ConfigMapEdit, verdict: _Verdict) -> AdmissionResponse:
        """Return the answer to *edit* with its *verdict*."""
        effect, unknown = verdict.effect, verdict.unknown
        if self._is_refused(edit, verdict):
            if effect.is_refused or unknown is None:
                other = "" if edit.new is None else edit_message.until_a_date(effect)
                return _refused(request, f"{edit_message.refusal(effect)}. {edit.how}{other}")
            why = f"it cannot be told yet {unknown.what}: {unknown.why}: try again"
            return review.not_now(request.uid, f"{why}. {edit.how}")
        told = edit_message.warnings(effect, list(map(str, verdict.notes)))
        if unknown is not None:
            text = f"forced, and it is not known {unknown.what}: {unknown.why}"
            told.append(edit_message.shortened(text, edit_message.LONGEST_WARNING))
        reason = edit.force if verdict.needs_force else None
        if reason is None:
            return review.allowed(request.uid, warnings=told, audit={"changed": verdict.changed})
        not_known = "" if unknown is None else f"it was not known {unknown.what}: {unknown.why}"
        what = "; ".join(filter(None, (edit_message.summary(effect), not_known)))
        over = edit_message.shortened(what, _LONGEST_AUDIT)
        audit = {"forced": reason.strip(), "over": over, "changed": verdict.changed}
        return review.allowed(request.uid, warnings=told, audit=audit)


def _is_blind(before: Policy, after: Policy, known: Known) -> bool:
    """Whether more is promised of nodes that are not known. Before the first class of nodes none need be watched."""
    if known.nodes is not None or not before.node_classes:
        return False
    return is_more_promised(before.commitments, after.commitments)


def _is_reason(text: str) -> bool:
    return 0 < len(text.strip()) <= _LONGEST_REASON and text.strip().isprintable()


def _refused(request: AdmissionRequest, message: str, *, causes: Iterable[Cause] = ()) -> AdmissionResponse:
    audit = {"refused": edit_message.shortened(message, _LONGEST_AUDIT)}
    return review.denied(request.uid, message, causes=causes, audit=audit)


def _mistaken(request: AdmissionRequest, complaints: Sequence[Complaint]) -> AdmissionResponse:
    """Return the refusal of mistakes, each on a line of its own: editors jump to such places."""
    count = len(complaints)
    lines = [edit_message.shortened(each.message, _LONGEST_MISTAKE) for each in complaints[:_MOST_TOLD]]
    causes = [Cause("FieldValueInvalid", line, each.field) for line, each in zip(lines, complaints, strict=False)]
    if count > _MOST_TOLD:
        lines.append(f"and {count - _MOST_TOLD} more")
    title = "the policy would have a mistake:" if count == 1 else f"the policy would have {count} mistakes:"
    return _refused(request, "\n".join([title, *lines]), causes=causes)


def _stored_only(complaints: Sequence[Complaint]) -> str:
    count = len(complaints)
    what = "a mistake that was there" if count == 1 else f"{count} mistakes that were there"
    return f"stored, and not in force because of {what} before"


def _remaining(complaints: Sequence[Complaint]) -> Iterable[str]:
    """Return the warnings for an edit that is stored and not in force, because of mistakes that were there before."""
    count = len(complaints)
    told = [f"{_stored_only(complaints)}; what is used is compared once none is left"]
    told += [each.message for each in complaints[:_MOST_TOLD]]
    if count > _MOST_TOLD:
        told.append(f"and {count - _MOST_TOLD} more")
    return [edit_message.shortened(each, edit_message.LONGEST_WARNING) for each in told]
