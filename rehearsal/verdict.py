"""
Judges an installation: whether all that failed was announced by preflight, and what has no owner in the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from nemesis.accounting import Key
from rehearsal.audit import Write
from rehearsal.commands import Ended
from rehearsal.installing import AFTER, BEFORE, ENFORCE, INSTALL, OWNER, STEPS, Installed
from rehearsal.manifests import STAMPED

_LATE = re.compile(r"failed calling webhook .*(the time for an answer was over|no answer within \d+ s)")
_RARELY = 1000
"""
One in so many writes may be unanswered in time, since the machine has other work and userquota fails closed, and one in
so many may be overtaken by a change of who pays.
"""

_OTHER_STAMP = "the request does not carry the userquota.dev annotations"
"""
The refusal of an object without the right stamp by the validating webhook. A request may be past the place of the
mutating one when both are installed; later, somebody may take over what is above the object between the two calls.
"""

_PASSING = (404, 409)
"""Statuses by which an API server says that another request came first."""


def named_limits(looks: Iterable[Ended]) -> set[Key]:
    """Return the limits that reports of preflight found exceeded."""
    return {Key(each["subject"], each["resource"]) for look in looks for each in look.document["overLimits"]}


@dataclass(slots=True)
class Verdict:
    """
    What the audit logs say: writes by step and what became of them, and every failure that nobody was told of before.

    `refused` counts the refusals for limits that preflight had named, by the limit.
    """

    answers: dict[str, Counter[str]] = field(default_factory=lambda: {step: Counter() for step in STEPS})
    refused: Counter[str] = field(default_factory=Counter)
    asked_to_take_over: Counter[str] = field(default_factory=Counter)
    for_deleted: Counter[str] = field(default_factory=Counter)
    """What a controller that does not know it yet made for an object that was deleted."""
    in_flight: int = 0
    late: list[str] = field(default_factory=list)
    """Those without a decision in time: they are violations if there are more than one in a thousand."""
    overtaken: list[str] = field(default_factory=list)
    """Those whose payer changed while they were reviewed: likewise."""
    failed_before: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def judge_writes(record: Installed, writes: Iterable[Write]) -> Verdict:
    """Return whether each write that failed since the beginning of the installation was announced by preflight."""
    verdict = Verdict()
    told = list(writes)
    known = _Known(record, told)
    for each in told:
        step = record.step_at(each.at)
        if each.at > record.finished:
            continue  # hand-overs come then
        came_second = each.code in _PASSING and _OTHER_STAMP not in each.message
        outcome = "done" if each.code < 400 else "came second" if came_second else "failed"
        verdict.answers[step][outcome] += 1
        verdict.answers[step]["tolerated"] += each.is_tolerated
        if outcome == "failed" and step == BEFORE:
            verdict.failed_before[str(each)[:200]] += 1
        elif outcome == "failed":
            known.sort_failure(verdict, step, each)
    answered = sum(counts.total() for step, counts in verdict.answers.items() if step != BEFORE)
    for rare in (verdict.late, verdict.overtaken):
        if len(rare) * _RARELY > answered:
            verdict.violations += rare
    return verdict


class _Known:
    """What preflight had named, and which objects were deleted when."""

    def __init__(self, record: Installed, writes: Iterable[Write]) -> None:
        self._named = named_limits(look for step, look in record.looks.items() if step != AFTER)
        listed = record.looks[INSTALL].document["withoutOwner"]
        self._ownerless = {(each["namespace"], each["kind"]) for each in listed}
        self._deleted = _deletions(writes)

    def sort_failure(self, verdict: Verdict, step: str, write: Write) -> None:
        """Count a failed write in *verdict* by its reason; it is a violation if there is none."""
        if self._named & write.exceeded and step in (ENFORCE, AFTER):
            verdict.refused.update(str(key) for key in self._named & write.exceeded)
        elif step in (ENFORCE, AFTER) and self._asks_to_take_over(write):
            verdict.asked_to_take_over[step] += 1
        elif _is_for_deleted(write, self._deleted):
            verdict.for_deleted[step] += 1
        elif step == INSTALL and _OTHER_STAMP in write.message:
            verdict.in_flight += 1
        elif _OTHER_STAMP in write.message:
            verdict.overtaken.append(f"{step}: {write}")
        elif write.code == 500 and _LATE.search(write.message):
            verdict.late.append(f"{step}: {write}")
        else:
            verdict.violations.append(f"{step}: {write}")

    def _asks_to_take_over(self, write: Write) -> bool:
        """Whether it was refused because nobody owns the workload, and preflight had listed it."""
        return "take it over first" in write.message and write.verb != "create" and _is_listed(write, self._ownerless)


def _is_listed(write: Write, ownerless: set[tuple[str, str]]) -> bool:
    """Whether preflight listed such workloads without an owner in that namespace."""
    kind = next((kind.name for kind in STAMPED if kind.plural == write.kind.partition("/")[0]), "")
    return (write.namespace, kind) in ownerless


_DELETED = re.compile(
    r"(?:Deployment|ReplicaSet|StatefulSet|DaemonSet|CronJob|Job) (\S+), which this was made for, does not exist"
    r"|no StatefulSet of namespace \S+ has a template for claim data-(\S+)-\d+$"
)


def _deletions(writes: Iterable[Write]) -> dict[tuple[str, str], float]:
    """Return when each object was first deleted, by namespace and name, whatever its kind."""
    when: dict[tuple[str, str], float] = {}
    for each in writes:
        if each.verb == "delete" and each.code < 400:
            name = (each.namespace, each.name)
            when[name] = min(when.get(name, each.at), each.at)
    return when


def _is_for_deleted(write: Write, deleted: dict[tuple[str, str], float]) -> bool:
    """Whether a controller created something for an object that was gone: its deletion may be logged a little later."""
    found = _DELETED.search(write.message)
    is_controller = write.user.startswith("system:serviceaccount:kube-system:")
    if not is_controller or found is None:
        return False
    when = deleted.get((write.namespace, found[1] or found[2]))
    return when is not None and when < write.at + 1


def unexplained(record: Installed) -> list[str]:
    """Return what has no owner at the end, where neither it nor what it was made for is older than the installation."""
    found = []
    for each in record.left:
        top, seen = each, set[str]()
        while top["metadata"]["uid"] not in (record.older | seen):
            seen.add(top["metadata"]["uid"])
            references = [one for one in top["metadata"].get("ownerReferences", []) if one.get("controller")]
            above = record.objects.get(references[0]["uid"]) if references else None
            if above is None:
                break
            top = above
        if top["metadata"]["uid"] not in record.older:
            meta = each["metadata"]
            found.append(f"{each['kind']} {meta['namespace']}/{meta['name']} has no owner, and is not older")
    wrong = {each["metadata"]["uid"] for each in record.left if OWNER not in each["metadata"].get("annotations", {})}
    listed = {uid for uid in record.unstamped if uid in record.objects}
    charged = {uid for uid in wrong if record.objects[uid]["kind"] in ("Pod", "PersistentVolumeClaim")}
    if charged - listed:
        found.append(f"`get --drift` does not list {len(charged - listed)} objects without a stamp")
    return found
