"""
The pods that sessions wait for: their room is held from the start of a session until they come.

Pods pay for themselves. Without a hold, a start that was allowed could fail a second later at its pod, and two starts
could be allowed for one place. Nothing here is charged to a session. `usage` adds to `reserved` what is still due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from webhook.quota import resources
from webhook.quota.objects import ObjectKey
from webhook.quota.presets import Labels
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Account, Payer, Subject

HOLD_SECONDS = 60.0
"""
For how long the room of pods is held that do not come. Controllers make pods within a second or a few; some make claims
and services first.
"""


class Expected(Struct, frozen=True):
    """
    The pods that are made for a session: what all of them cost, and the labels by which they are known.

    A pod of it has all labels of one of `labels`; without any, none is known, and all of the room is held.
    """

    amounts: Amounts
    labels: tuple[Labels, ...] = ()


class PodSet(NamedTuple):
    """Pods of one owner in one namespace that have the same `labels` of a session. Nobody else's take its room."""

    namespace: str
    owner: str
    labels: Labels


class _Claim(NamedTuple):
    """What one version of a session expects: for whom it is held, what in all, derived, and which pods take it."""

    subjects: tuple[Subject, ...]
    amounts: Amounts
    pod_sets: tuple[PodSet, ...]


class Record(Protocol):
    """An object as last seen, or a write in flight."""

    @property
    def payer(self) -> Payer:
        """Who pays for it."""

    @property
    def account(self) -> Account:
        """What it is charged to."""

    @property
    def amounts(self) -> Amounts:
        """What it costs, raw."""

    @property
    def expected(self) -> Expected | None:
        """The pods that it waits for, if it is a session."""

    @property
    def part_of(self) -> tuple[Labels, ...]:
        """The labels by which it may be a pod of a session."""


class _Made:
    """What the pods of one set cost that exist or are in flight."""

    def __init__(self) -> None:
        self.by_pod: dict[ObjectKey, Amounts] = {}
        self.sums: dict[str, Amount] = {}

    def __bool__(self) -> bool:
        return bool(self.by_pod)

    def put(self, key: ObjectKey, amounts: Amounts) -> None:
        for name, amount in self.by_pod.pop(key, ()):
            self.sums[name] -= amount
        if amounts:
            self.by_pod[key] = amounts
        for name, amount in amounts:
            self.sums[name] = self.sums.get(name, 0) + amount


class ExpectedPods:
    """What each session waits for, and what its pods have taken of that. One entry per session that waits."""

    def __init__(self) -> None:
        """Start without any."""
        self._made: dict[PodSet, _Made] = defaultdict(_Made)
        self._sets_of_pod: dict[ObjectKey, tuple[PodSet, ...]] = {}
        self._claims: dict[ObjectKey, tuple[_Claim, ...]] = {}
        self._waiting: dict[PodSet, dict[ObjectKey, None]] = {}
        self._due: dict[ObjectKey, dict[Subject, Amounts]] = {}

    def known(self) -> Iterator[ObjectKey]:
        """Return the keys of all sessions that wait, and of all pods that are known as some of a session."""
        return iter([*self._claims, *self._sets_of_pod])

    def follow(
        self,
        key: ObjectKey,
        records: Iterable[Record],
        *,
        subjects: Callable[[Account, str], tuple[Subject, ...]],
        derive: Callable[[Amounts], Amounts],
    ) -> Iterator[tuple[dict[Subject, Amounts], dict[Subject, Amounts]]]:
        """
        Take in what there is of *key*, *records*; yield what was due, and is due, of each session that this concerns.

        *subjects* are those charged for an account in a namespace; *derive* returns what raw amounts come to.
        """
        costs: dict[PodSet, list[Amounts]] = defaultdict(list)
        claims: list[_Claim] = []
        for each in records:
            for labels in each.part_of:
                costs[PodSet(key.namespace, each.payer.owner, labels)].append(derive(each.amounts))
            if each.expected is not None:
                pod_sets = dict.fromkeys(PodSet(key.namespace, each.payer.owner, one) for one in each.expected.labels)
                of_all = derive(each.expected.amounts)
                claims.append(_Claim(subjects(each.account, key.namespace), of_all, tuple(pod_sets)))
        most = {pod_set: tuple(sorted(resources.most_amounts(each).items())) for pod_set, each in costs.items()}
        self._set_session(key, tuple(claims))
        for session in (key, *self._set_pod(key, most)):
            yield self._update(session)

    def _set_pod(self, key: ObjectKey, amounts: Mapping[PodSet, Amounts]) -> Sequence[ObjectKey]:
        """Set what the pod *key* costs in each of its sets; return the sessions that wait for these."""
        former = self._sets_of_pod.pop(key, ())
        for pod_set in former:
            made = self._made[pod_set]
            made.put(key, ())
            if not made:
                del self._made[pod_set]
        for pod_set, each in amounts.items():
            self._made[pod_set].put(key, each)
        if amounts:
            self._sets_of_pod[key] = tuple(amounts)
        return [session for pod_set in {*former, *amounts} for session in self._waiting.get(pod_set, ())]

    def _set_session(self, key: ObjectKey, claims: tuple[_Claim, ...]) -> None:
        """Set what the session *key* expects: of several claims of one subject the largest holds."""
        for claim in self._claims.pop(key, ()):
            for pod_set in claim.pod_sets:
                waiting = self._waiting.get(pod_set, {})
                waiting.pop(key, None)
                if not waiting:
                    self._waiting.pop(pod_set, None)
        for claim in claims:
            for pod_set in claim.pod_sets:
                self._waiting.setdefault(pod_set, {})[key] = None
        if claims:
            self._claims[key] = claims

    def _update(self, key: ObjectKey) -> tuple[dict[Subject, Amounts], dict[Subject, Amounts]]:
        """Compute what the session *key* still waits for; return what was due before, and what is due now."""
        due = self._still_due(key)
        before = self._due.pop(key, {})
        if due:
            self._due[key] = due
        return before, due

    def forget_due(self) -> None:
        """Have nothing due until `follow`: all sums are computed anew."""
        self._due.clear()

    def due(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        """Return how much of resource *name* is held of *subject* for the pods of the session *key*."""
        of_session = self._due.get(key)
        return 0 if of_session is None else dict(of_session.get(subject, ())).get(name, 0)

    def due_in_all(self, subject: Subject, name: str) -> Amount:
        """Return how much of resource *name* is held of *subject* for pods of any session."""
        return sum(self.due(session, subject, name) for session in self._due)

    def due_to(self, pod_sets: Iterable[PodSet], subject: Subject, name: str) -> Amount:
        """Return how much a pod in *pod_sets* may take of what is held of *subject*."""
        sessions = {session for pod_set in pod_sets for session in self._waiting.get(pod_set, ())}
        return sum(self.due(session, subject, name) for session in sessions)

    def _still_due(self, key: ObjectKey) -> dict[Subject, Amounts]:
        most: dict[Subject, dict[str, Amount]] = defaultdict(dict)
        for claim in self._claims.get(key, ()):
            taken = self._taken(claim.pod_sets)
            for name, amount in claim.amounts:
                left = amount - taken.get(name, 0)
                if left > 0:
                    for subject in claim.subjects:
                        most[subject][name] = max(left, most[subject].get(name, 0))
        return {subject: tuple(sorted(amounts.items())) for subject, amounts in most.items()}

    def _taken(self, pod_sets: Iterable[PodSet]) -> Mapping[str, Amount]:
        """Return what the pods of these sets cost; one that is in several counts once."""
        made = [self._made[each] for each in pod_sets if each in self._made]
        if len(made) < 2:
            return made[0].sums if made else {}
        several = _Made()
        for key, amounts in {key: amounts for each in made for key, amounts in each.by_pod.items()}.items():
            several.put(key, amounts)
        return several.sums
