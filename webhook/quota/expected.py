"""
The pods that sessions and autoscaled workloads may have: room is held for those that do not exist.

Room for the pods of a session is held from its start until they are allowed.

Pods pay for themselves. Without a hold, a start that was allowed could fail a second later at its pod, and two starts
could be allowed for one place. Nothing here is charged to a session. `usage` adds to `reserved` what is still held, and
`kube/starting` ends the hold of a session after `HOLD_SECONDS`. What an autoscaler may grow to is held as long as it
exists. Below, a session is whatever room is held for.
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
How long room is held for pods that do not come. Controllers make pods within a second or a few; some make claims and
services first.
"""


WORKLOAD = "(workload)"
"""
The label by which a pod of an autoscaled workload is known, e.g. `deployments.apps/web`. No label of an object has
this name, so nobody can write it; see `kinds/pod_workload`.
"""


class Expected(Struct, frozen=True):
    """
    The pods that are made for a session: what all of them cost, and the labels by which they are known.

    A pod belongs to the session if it has all labels of one alternative of `labels`. Without alternatives no pod is
    recognised, and the whole amount stays held until the hold ends. It `is_kept` if it does not end before the object.
    """

    amounts: Amounts
    labels: tuple[Labels, ...] = ()
    is_kept: bool = False


class PodSet(NamedTuple):
    """
    Pods of one owner in one namespace that have the same `labels` of a session.

    Only pods of the owner and namespace of the session may use its room.
    """

    namespace: str
    owner: str
    labels: Labels


class HeldForPods(NamedTuple):
    """Room for pods that may come: held until they do, a minute at most, or kept for as long as the object exists."""

    for_a_while: Amount = 0
    kept: Amount = 0


class _Hold(NamedTuple):
    """Room that one version of a session needs: the charged subjects, the derived amounts, the pods that use it."""

    subjects: tuple[Subject, ...]
    amounts: Amounts
    pod_sets: tuple[PodSet, ...]
    is_kept: bool


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


class _PodCosts:
    """What the pods of one set cost that exist or are in flight."""

    def __init__(self) -> None:
        self.by_pod: dict[ObjectKey, Amounts] = {}
        self.sums: dict[str, Amount] = {}

    def __bool__(self) -> bool:
        return bool(self.by_pod)

    def put(self, key: ObjectKey, amounts: Amounts) -> None:
        """Set what the pod *key* costs. Without amounts it is removed."""
        for name, amount in self.by_pod.pop(key, ()):
            self.sums[name] -= amount
        if amounts:
            self.by_pod[key] = amounts
        for name, amount in amounts:
            self.sums[name] = self.sums.get(name, 0) + amount


class ExpectedPods:
    """
    The session holds: the room that each session needs for its pods, less what those cost that exist or are in flight.

    There are entries for each session that expects pods, and for each pod with labels of a session.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._costs: dict[PodSet, _PodCosts] = defaultdict(_PodCosts)
        self._sets_of_pod: dict[ObjectKey, tuple[PodSet, ...]] = {}
        self._holds: dict[ObjectKey, tuple[_Hold, ...]] = {}
        self._sessions: dict[PodSet, dict[ObjectKey, None]] = {}
        self._held: dict[ObjectKey, dict[Subject, Amounts]] = {}

    def known(self) -> Iterator[ObjectKey]:
        """Return the keys of all sessions that expect pods, and of all pods with labels of a session."""
        return iter([*self._holds, *self._sets_of_pod])

    def update(
        self,
        key: ObjectKey,
        records: Iterable[Record],
        *,
        subjects: Callable[[Account, str], tuple[Subject, ...]],
        derive: Callable[[Amounts], Amounts],
    ) -> list[tuple[dict[Subject, Amounts], dict[Subject, Amounts]]]:
        """
        Update *key* from *records*, its row and reservations; return the old and the new hold of each affected session.

        *subjects* are those charged for an account in a namespace; *derive* returns what raw amounts come to.
        """
        costs: dict[PodSet, list[Amounts]] = defaultdict(list)
        holds: list[_Hold] = []
        for each in records:
            for labels in each.part_of:
                costs[PodSet(key.namespace, each.payer.owner, labels)].append(derive(each.amounts))
            if each.expected is not None:
                pod_sets = dict.fromkeys(PodSet(key.namespace, each.payer.owner, one) for one in each.expected.labels)
                of_all = derive(each.expected.amounts)
                of_each = subjects(each.account, key.namespace)
                holds.append(_Hold(of_each, of_all, tuple(pod_sets), each.expected.is_kept))
        most = {pod_set: tuple(sorted(resources.most_amounts(each).items())) for pod_set, each in costs.items()}
        self._set_session(key, tuple(holds))
        return [self._compute(session) for session in (key, *self._set_pod(key, most))]

    def _set_pod(self, key: ObjectKey, amounts: Mapping[PodSet, Amounts]) -> Sequence[ObjectKey]:
        """Set what the pod *key* costs in each of its sets; return the sessions that these are pods of."""
        former = self._sets_of_pod.pop(key, ())
        for pod_set in former:
            costs = self._costs[pod_set]
            costs.put(key, ())
            if not costs:
                del self._costs[pod_set]
        for pod_set, each in amounts.items():
            self._costs[pod_set].put(key, each)
        if amounts:
            self._sets_of_pod[key] = tuple(amounts)
        return [session for pod_set in {*former, *amounts} for session in self._sessions.get(pod_set, ())]

    def _set_session(self, key: ObjectKey, holds: tuple[_Hold, ...]) -> None:
        """Set the room that each version of the session *key* needs."""
        for former in self._holds.pop(key, ()):
            for pod_set in former.pod_sets:
                sessions = self._sessions.get(pod_set, {})
                sessions.pop(key, None)
                if not sessions:
                    self._sessions.pop(pod_set, None)
        for hold in holds:
            for pod_set in hold.pod_sets:
                self._sessions.setdefault(pod_set, {})[key] = None
        if holds:
            self._holds[key] = holds

    def _compute(self, key: ObjectKey) -> tuple[dict[Subject, Amounts], dict[Subject, Amounts]]:
        """Compute what is held for the pods of the session *key*; return what was held before, and is held now."""
        held = self._still_held(key)
        before = self._held.pop(key, {})
        if held:
            self._held[key] = held
        return before, held

    def clear(self) -> None:
        """Forget what is held, not what sessions need: `update` computes it again."""
        self._held.clear()

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        """Return how much of resource *name* is held for *subject* and the pods of the session *key*."""
        of_session = self._held.get(key)
        return 0 if of_session is None else dict(of_session.get(subject, ())).get(name, 0)

    def held_for_all_pods(self, subject: Subject, name: str) -> HeldForPods:
        """Return how much of resource *name* is held for *subject* and the pods of any session."""
        for_a_while: Amount = 0
        kept: Amount = 0
        for session in self._held:
            held = self.held(session, subject, name)
            if any(each.is_kept for each in self._holds.get(session, ())):
                kept += held
            else:
                for_a_while += held
        return HeldForPods(for_a_while, kept)

    def held_for_pods(self, pod_sets: Iterable[PodSet], subject: Subject, name: str) -> Amount:
        """Return how much of what is held for *subject* a pod in *pod_sets* may use."""
        sessions = {session for pod_set in pod_sets for session in self._sessions.get(pod_set, ())}
        return sum(self.held(session, subject, name) for session in sessions)

    def _still_held(self, key: ObjectKey) -> dict[Subject, Amounts]:
        """Return the room left for pods. Of several versions the largest amount left counts for each subject."""
        most: dict[Subject, dict[str, Amount]] = defaultdict(dict)
        for hold in self._holds.get(key, ()):
            taken = self._taken(hold.pod_sets)
            for name, amount in hold.amounts:
                left = amount - taken.get(name, 0)
                if left > 0:
                    for subject in hold.subjects:
                        most[subject][name] = max(left, most[subject].get(name, 0))
        return {subject: tuple(sorted(amounts.items())) for subject, amounts in most.items()}

    def _taken(self, pod_sets: Iterable[PodSet]) -> Mapping[str, Amount]:
        """Return what the pods of these sets cost; one that is in several counts once."""
        costs = [self._costs[each] for each in pod_sets if each in self._costs]
        if len(costs) < 2:
            return costs[0].sums if costs else {}
        several = _PodCosts()
        for key, amounts in {key: amounts for each in costs for key, amounts in each.by_pod.items()}.items():
            several.put(key, amounts)
        return several.sums
