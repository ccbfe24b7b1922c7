"""
Judges every revision of pods and claims: what each subject uses, by an accounting that shares no code with the webhook.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path

from nemesis import records
from nemesis.accounting import Key, cost
from nemesis.ledger_text import Amount
from nemesis.records import DELETED, Revision, Slot
from rehearsal.policy import NOBODY, Policy


@dataclass(slots=True)
class Judged:
    """What was found: revisions in all, those at which limits were in force, violations, and the fullest limits."""

    revisions: int = 0
    under_limits: int = 0
    moved: int = 0
    violations: list[str] = field(default_factory=list)
    most: dict[Key, Amount] = field(default_factory=dict)


def revisions(folder: Path) -> Iterator[Revision]:
    """Yield every recorded revision, in the order of etcd."""
    yield from merge(*records.objects(folder), key=lambda each: each.version)


def judge(folder: Path, policy: Policy, *, begin: int, end: int) -> Judged:
    """
    Return what the revisions say of *policy*, which was enforced from version *begin* through *end*.

    A sum may be above its limit, where it was so before; no write may add to it then. Writes of an exempt account are
    none of this rehearsal.
    """
    found = Judged()
    used: defaultdict[Key, Amount] = defaultdict(int)
    known: dict[Slot, dict[Key, Amount]] = {}
    owners: dict[str, str] = {}
    last = 0
    for told in revisions(folder):
        if told.version > end:
            break
        if told.version <= last:
            found.violations.append(f"the record is out of order: version {told.version} after {last}")
        last = told.version
        found.revisions += 1
        before, now = known.pop(told.slot, {}), {}
        if told.event != DELETED:
            subjects = policy.subjects(told.owner, told.namespace)
            now = {Key(subject, name): amount for name, amount in cost(told).items() for subject in subjects}
            known[told.slot] = now
            found.moved += owners.get(told.uid, told.owner) != told.owner
            owners[told.uid] = told.owner
        for key in before.keys() | now.keys():
            used[key] += now.get(key, 0) - before.get(key, 0)
        if told.version < begin:
            continue
        found.under_limits += 1
        for key, amount in now.items():
            hard = policy.hard(key)
            if hard is None:
                continue
            found.most[key] = max(found.most.get(key, 0), used[key])
            if amount > before.get(key, 0) and used[key] > hard:
                found.violations.append(
                    f"version {told.version}: {told.slot} of {told.owner or NOBODY} takes {key} to {used[key]}, "
                    f"and the limit is {hard}"
                )
    return found
