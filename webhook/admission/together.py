"""
Decides several requests, each as if those before it were stored: whether all of it fits together.

Each request goes through the real handler and advice. Their ledger is a `Question`, which records what is asked. Once
each has asked or ended, the real ledger decides all questions in one step without an `await`. In that step each allowed
request is held for the following ones, and all holds are dropped at its end: no other request ever sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from webhook.admission.advice import Judgement, WorkloadAdvice
from webhook.admission.calls import Call, Question
from webhook.admission.handler import AdmissionHandler
from webhook.admission.outcome import Terms
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.admission.submission import Submission, submit
from webhook.admission.verdicts import Left, Together, Verdict, Workload
from webhook.quota import message
from webhook.quota.decision import Allowed, Decision, Denied
from webhook.quota.fitting import Copies, Fitting, Part, Room, rooms
from webhook.quota.limits import LimitsInForce
from webhook.quota.policy import Mode
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import Amount
from webhook.quota.subject import CLUSTER, Subject
from webhook.quota.usage import UsageIndex, UsageView

_TENTATIVE = "would be stored"
"""The uid of what is held. No real object has it, so that dropping these reservations never drops a real one."""


async def decide_together(
    handler: AdmissionHandler,
    advice: WorkloadAdvice,
    requests: Sequence[AdmissionRequest],
    *,
    index: UsageIndex,
    deadline: float,
) -> Together:
    """
    Return the verdict on each of *requests*, decided on what those before it leave. Nothing is held afterwards.

    The requests are as an API server sends them to the mutating webhook, for kinds that are stamped, with a uid for
    each new object. *index* is the one that the ledger of *handler* decides on. *deadline* is on the monotonic clock.

    Raises: ReviewError, UncountableError, UnavailableError; then there is no verdict on any of them.
    """
    submissions = [await submit(handler, each) for each in requests]
    asked = [_Request(handler, advice, each, deadline) for each in submissions]
    try:
        for one in asked:
            for call in one.calls:
                await call.until_asked()
        step = _Step(asked, index)
        if (charge := step.charge) is not None:
            await handler.ledger.transact(charge, step.decide, dry_run=True, deadline=deadline)
        return Together(tuple([await one.verdict() for one in asked]), step.left)
    finally:
        tasks = [call.task for one in asked for call in one.calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Request:
    """One request and the calls that follow its mutating one: the validating call, and for a workload the advice."""

    def __init__(
        self,
        handler: AdmissionHandler,
        advice: WorkloadAdvice,
        submission: Submission,
        deadline: float,
    ) -> None:
        self._mutated, request, is_workload = submission
        self._terms: Terms | None = None
        self._judgement: Judgement | None = None
        self._rooms: tuple[Room, ...] = ()
        self._increase: Mapping[str, Amount] = {}
        self._fitting: Fitting | None = None
        self._notes: tuple[str, ...] = ()
        self._advice_call: Call | None = None
        self.calls: tuple[Call, ...] = ()
        self._denied = Denied(())
        if not self._mutated.allowed:
            return

        async def validate(question: Question) -> AdmissionResponse:
            asking = replace(handler, ledger=question, on_terms=self._take_terms, on_exceeded=_ignore)
            return await asking.validate(request, deadline=deadline)

        async def advise(question: Question) -> AdmissionResponse:
            asking = replace(advice, ledger=question, on_judged=self._take_judgement)
            return await asking.advise(request, deadline=deadline)

        self.calls = (Call(validate),)
        if is_workload:
            self._advice_call = Call(advise)
            self.calls = (*self.calls, self._advice_call)

    @property
    def _has_no_advice(self) -> bool:
        """Whether the advice could not tell what fits: it asked no question, its warning says why. Here it refuses."""
        if self._advice_call is None or self._advice_call.question.charge is not None:
            return False
        return bool(self._advice_call.task.result().warnings)

    def _take_terms(self, terms: Terms) -> None:
        self._terms = terms

    def _take_judgement(self, judgement: Judgement) -> None:
        self._judgement = judgement

    def decide(self, view: UsageView) -> None:
        """Decide what was asked, and note what each limit leaves."""
        for call in self.calls:
            call.decide(view)
        self._fitting, self._notes = None, ()
        charged, copied = self._terms, self._judgement
        added = _Sums()
        found: list[Room] = []
        if charged is not None:
            found += _rooms_of(charged, view)
            added.add(charged.charge.compared, less=_before(charged.charge))
            if charged.charge.pods is not None:
                prior = charged.charge.prior
                needed = prior.pods.needed if prior is not None and prior.pods is not None else ()
                added.add(charged.charge.pods.needed, less=dict(needed))
        if copied is not None:
            found += copied.rooms(view)
            self._fitting = copied.made(view)
            self._denied = copied.refused(self._fitting)
            if not copied.is_later:
                for part in copied.parts():
                    held = {
                        name: sum(view.held(key, CLUSTER, name) for key in copied.existing) for name, _ in part.amounts
                    }
                    added.add(((name, amount * copied.number) for name, amount in part.amounts), less=held)
        self._rooms, self._increase = tuple(found), added.amounts

    def stored(self, view: UsageView) -> Iterator[Reservation]:
        """Yield what to hold for the following requests; nothing if a call refuses it, and of a workload what fits."""
        if any(call.is_refused for call in self.calls) or not self._mutated.allowed:
            return
        for call in self.calls:
            if isinstance(call.decision, Allowed) and call.decision.reservation is not None:
                yield call.decision.reservation
        if self._judgement is not None and self._fitting is not None:
            yield from self._judgement.stored(self._fitting.fits, view)

    def check_later_rollout(self, view: UsageView) -> None:
        """Note a warning if a later rolling update would have no room; *view* already shows the request as stored."""
        copied = self._judgement
        if (
            copied is not None
            and copied.surges_later
            and not copied.fitting.excesses
            and self._fitting is not None
            and self._fitting.fits == self._fitting.number
        ):
            self._notes = tuple(message.surge_warning(each) for each in copied.surge_beside(view)[:1])

    @property
    def rooms(self) -> tuple[Room, ...]:
        return self._rooms

    async def verdict(self) -> Verdict:
        """Return what all calls have answered, now that the ledger has decided. Raises: what a call has raised."""
        for call in self.calls:
            if call.decision is not None:
                call.question.answer.set_result(call.decision)
        responses = (self._mutated, *[await call.task for call in self.calls])
        refusals = [each.status.message for each in responses if not each.allowed and each.status is not None]
        copied, fitting = self._judgement, self._fitting
        workload = None if copied is None or fitting is None else Workload(copied.noun, fitting, copied.is_later)
        advice = None if self._advice_call is None else await self._advice_call.task
        said: set[str] = set()  # warnings of the advice that a refusal says in other words
        if copied is not None and fitting is not None and advice is not None and advice.allowed:
            denied, noun = self._denied, copied.noun
            blocking = next((each for each in copied.surge if each.rule.mode is Mode.ENFORCE), None)
            if denied != Denied(()):
                refusals.append(message.workload_sentence(fitting, denied, noun=noun, owner=copied.payer.owner))
                said.update(message.unfit_warnings(denied.lacks, denied.unmet, noun=noun))
                binding = copied.fitting.binding
                if binding is not None and binding.rule in [each.rule for each in denied.excesses]:
                    said.add(message.workload_warning(copied.fitting, binding, noun=noun))
            elif blocking is not None:
                refusals.append(message.surge_warning(blocking))  # the rollout would not proceed
        if advice is not None and self._has_no_advice:
            refusals += advice.warnings
        said.update(refusals)
        told = [text for each in responses for text in each.warnings if text not in said]
        adds = tuple(sorted((name, amount) for name, amount in self._increase.items() if amount))
        notes = dict.fromkeys((*told, *self._notes))
        return Verdict(self._rooms, adds, workload, tuple(refusals), tuple(notes))


def _ignore(_: object) -> None:
    """Do nothing: what is only asked about exceeds no limit."""


class _Step:
    """The one step in which all questions are decided. The ledger may take it again with newer usage."""

    def __init__(self, asked: Sequence[_Request], index: UsageIndex) -> None:
        self._asked = asked
        self._index = index
        self.left: tuple[Left, ...] = ()

    @property
    def charge(self) -> Charge | None:
        """
        The charge to transact with; None if nothing was asked.

        One that grows is preferred: only for such a one does the ledger catch up before it decides.
        """
        asked = [call.question.charge for each in self._asked for call in each.calls]
        known = [each for each in asked if each is not None]
        return next((each for each in known if each.grows), known[0] if known else None)

    def decide(self, _: UsageView) -> Decision:
        """
        Decide every request on what those before it leave. Nothing is held when this returns, or raises.

        This must not await or call others back: other requests would see what is held.
        """
        held: list[Reservation] = []
        view = _AsStored(self._index)
        try:
            for each in self._asked:
                each.decide(view)
                for reservation in tuple(each.stored(view)):
                    tentative = replace(reservation, uid=_TENTATIVE)
                    held.append(tentative)
                    self._index.reserve(tentative)
                each.check_later_rollout(view)
            self.left = tuple(_left(self._asked, view))
        finally:
            self._index.drop(*held)
        return Allowed(None)


class _AsStored:
    """A `UsageView` of an index in which everything that is reserved after its creation counts as used."""

    def __init__(self, index: UsageIndex) -> None:
        self._index = index
        self._in_flight = index.reserved_sums()
        self.allocated = index.allocated
        self.held = index.held
        self.held_for_pods = index.held_for_pods
        self.held_for_all_pods = index.held_for_all_pods
        self.subjects = index.subjects
        self.promise = index.promise
        self.promised = index.promised
        self.set_aside = index.set_aside
        self.of_holders = index.of_holders

    def used(self, subject: Subject, name: str) -> Amount:
        """Return what is used, with everything that was reserved since."""
        return self._index.allocated(subject, name) - self.reserved(subject, name)

    def reserved(self, subject: Subject, name: str) -> Amount:
        """Return what was reserved before, for requests in flight."""
        return self._in_flight.get(subject, {}).get(name, 0)


class _Sums:
    """Amounts by resource."""

    def __init__(self) -> None:
        self.amounts: dict[str, Amount] = {}

    def add(self, amounts: Iterable[tuple[str, Amount]], *, less: Mapping[str, Amount]) -> None:
        """Add by how much each of *amounts* is more than *less*."""
        for name, amount in amounts:
            self.amounts[name] = self.amounts.get(name, 0) + max(amount - less.get(name, 0), 0)


def _rooms_of(terms: Terms, view: UsageView) -> Iterator[Room]:
    """Return what each limit leaves for an object, and for the pods that are made for it; nothing if it is exempt."""
    charge, in_force = terms.charge, terms.in_force
    if terms.exemption is not None:
        return iter(())
    parts = [Part(charge.compared, None, in_force)]
    if charge.pods is not None:
        parts.append(Part(charge.pods.needed, None, in_force))
    parts += [
        Part(charge.capped, cap, LimitsInForce((), in_force.caps))
        for cap in dict.fromkeys(charge.caps)
        if cap is not None
    ]
    return rooms(Copies(1, parts, (charge.key,), are_replaced=True, pod_sets=tuple(charge.pod_sets)), view)


def _before(charge: Charge) -> Mapping[str, Amount]:
    return {} if charge.prior is None else dict(charge.prior.amounts)


def _left(asked: Iterable[_Request], view: UsageView) -> Iterator[Left]:
    limits = dict.fromkeys(room.limit for each in asked for room in each.rooms if room.limit.cap is None)
    return (Left(each, view.allocated(each.subject, each.resource)) for each in limits)
