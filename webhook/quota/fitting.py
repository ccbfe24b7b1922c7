"""
How many copies of something fit under the limits that bind them: the early verdict on a workload. Pure.

`decision` decides on each object once it is made, and stays the only judge of what is charged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from webhook.quota.decision import Decision, Denied, Excess, ended
from webhook.quota.expected import PodSet
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Subject
from webhook.quota.usage import UsageView


class Part(NamedTuple):
    """An object of which each copy has one: its derived amounts, the cap that binds it, and the limits in force."""

    amounts: Amounts
    cap: str | None
    in_force: LimitsInForce

    def only(self, names: Collection[str]) -> Part:
        """Return it with the amounts of the resources *names* alone."""
        return self._replace(amounts=tuple(each for each in self.amounts if each[0] in names))


@dataclass(frozen=True, slots=True)
class Copies:
    """
    *number* copies of *parts*, of which the objects of *existing* are there already.

    `are_replaced`: the existing ones are to be replaced by new ones, whoever pays for them now. Otherwise those that
    somebody else pays for stay, and need no room of the payer. The room that a session holds for pods of `pod_sets` is
    theirs.
    """

    number: int
    parts: Sequence[Part]
    existing: Collection[ObjectKey] = ()
    are_replaced: bool = False
    pod_sets: Collection[PodSet] = ()


@dataclass(frozen=True, slots=True)
class Fitting:
    """
    How many of `number` copies fit, those that exist included, and every limit that all of them exceed.

    `binding` is one of the excesses under which not more than `fits` fit. Of an excess `requested` is what they need
    beyond what the existing ones hold, and `fits` the most that all copies could have of the resource; for a cap both
    are amounts of one object.
    """

    number: int
    fits: int
    excesses: tuple[Excess, ...] = ()
    binding: Excess | None = None


class _Unused:
    """A `UsageView` of nothing."""

    def used(self, subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    reserved = used
    allocated = used
    awaited = used

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    def expected(self, pod_sets: Iterable[PodSet], subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    def subjects(self) -> Iterator[Subject]:
        """Return none."""
        return iter(())


UNUSED: UsageView = _Unused()
"""For what is made at another time, when other things are used: it shows what can never fit."""


def fit(copies: Copies, view: UsageView) -> Fitting:
    """
    Return how many *copies* fit beside what *view* shows.

    Only what grows is compared: where the existing objects hold as much as all copies need, the limit is not exceeded
    by them, even if it was lowered.
    """
    found = [(0, Excess(cap, amount, 0, 0, cap.hard)) for cap, amount in _over_caps(copies.parts)]
    for limit, (each, objects) in _needs(copies.parts):
        if view.allocated(limit.subject, limit.resource) + copies.number * each <= limit.hard:
            continue  # beside all that is taken, whoever has it
        own = sum(view.held(key, limit.subject, limit.resource) for key in copies.existing)
        own += view.expected(copies.pod_sets, limit.subject, limit.resource)
        number = max(copies.number - _of_others(copies, limit, view) // objects, 0)
        if number * each <= own:
            continue
        used, reserved = view.used(limit.subject, limit.resource), view.reserved(limit.subject, limit.resource)
        room = max(limit.hard - used - reserved + own, 0)
        if number * each > room:
            fits = copies.number - number + int(room // each)
            awaited = view.awaited(limit.subject, limit.resource)
            excess = Excess(limit, number * each - own, used, reserved, room, own, ended(limit, view), awaited)
            found.append((fits, excess))
    if not found:
        return Fitting(copies.number, copies.number)
    fits, binding = min(found, key=lambda each: each[0])
    return Fitting(copies.number, fits, tuple(excess for _, excess in found), binding)


def with_fitting(decision: Decision, fitting: Fitting, *, may_deny: bool) -> Decision:
    """Return *decision* on an object whose pods have to fit as well: denied for all that is exceeded."""
    if not fitting.excesses:
        return decision
    enforced = tuple(each for each in fitting.excesses if each.rule.mode is Mode.ENFORCE)
    if isinstance(decision, Denied):
        return replace(decision, excesses=(*decision.excesses, *enforced))
    if may_deny and enforced:
        return Denied(enforced)
    return replace(decision, tolerated=(*decision.tolerated, *fitting.excesses))


def _over_caps(parts: Sequence[Part]) -> list[tuple[Limit, Amount]]:
    found = []
    for part in parts:
        amounts = dict(part.amounts)
        caps = (cap for cap in part.in_force.caps if cap.cap == part.cap)
        found += [(cap, amounts[cap.resource]) for cap in caps if amounts.get(cap.resource, 0) > cap.hard]
    return found


class _Need(NamedTuple):
    """What one copy needs under a limit, and of how many objects: two claims of one copy count together."""

    amount: Amount
    objects: int


def _needs(parts: Sequence[Part]) -> Iterable[tuple[Limit, _Need]]:
    """Return each limit with what one copy needs under it."""
    if len(parts) == 1:  # mostly; hashing a limit takes longer than comparing it
        amounts = dict(parts[0].amounts)
        sums = parts[0].in_force.sums
        return [(limit, _Need(amount, 1)) for limit in sums if (amount := amounts.get(limit.resource, 0))]
    needs: dict[Limit, _Need] = {}
    for part in parts:
        amounts = dict(part.amounts)
        for limit in part.in_force.sums:
            if amount := amounts.get(limit.resource, 0):
                known = needs.get(limit, _Need(0, 0))
                needs[limit] = _Need(known.amount + amount, known.objects + 1)
    return needs.items()


def _of_others(copies: Copies, limit: Limit, view: UsageView) -> int:
    """Return how many existing objects that cost the resource are charged to others, and stay."""
    if copies.are_replaced:
        return 0
    alive = (key for key in copies.existing if view.held(key, CLUSTER, limit.resource))
    return sum(1 for key in alive if not view.held(key, limit.subject, limit.resource))
