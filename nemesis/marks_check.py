"""
I11: the ledger orders the edits of what is promised, and what is let in beside them.

A mark in the ledger says that an edit is judged and may be stored. It is there before an edit is stored that changes
what is promised, and until some replica has seen that edit in force; until then nothing new is let in where anything is
promised, or would be. The write that takes the mark out raises `policyVersion` to the edit. `policyVersion` and
`promisedAt` never go down within an epoch.

An edit that was stored unjudged has no mark, and one that was forced may have none. `pools_check` judges whether what
is let in follows the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nemesis import showing
from nemesis.edits_check import FORCED, STORED, EditsCheck
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Claim, LedgerText, Mark
from nemesis.pools import Pools, use_of
from nemesis.promises import Promises
from nemesis.records import DELETED, POLICY, Edit, TextRevision
from nemesis.world import Standing, Step, World

MARKED = "edits of what is promised that had a mark"
UNMARKED = "edits of what is promised that were forced without a mark"
LEFT = "marks that no edit came of"

_CLOCK = 0.5
"""Seconds by which the recording may be late."""


class _Stored(NamedTuple):
    """What replaced a version of the policy. `is_ordered`: it changed what is promised, and had a mark."""

    version: int
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class _Standing:
    """A mark, and what its edit would promise, if that is known."""

    mark: Mark
    at: float
    draft: Promises | None


class MarksCheck:
    """Follows every mark by its token, and every version of the policy."""

    def __init__(self, findings: Findings, pools: Pools, edits: EditsCheck, drafts: Iterable[Edit]) -> None:
        self._findings = findings
        self._pools = pools
        self._edits = edits
        self._drafts = deque(sorted(drafts, key=lambda each: each.begun))
        self._draft: Promises | None = None
        self._marks: dict[str, _Standing] = {}
        self._lost: set[Mark] = set()
        """Marks of the ledger that was lost: what they were for may still be stored while no other one is open."""
        self._versions: set[int] = set()
        self._replaced: dict[int, _Stored] = {}

    def on_policy(self, world: World, text: TextRevision) -> None:
        """Judge a policy that is stored, before `Pools` has it: whether it had a mark where it needs one."""
        self._versions.add(text.version)
        before, base = self._pools.promises, self._pools.version
        if before is None or text.event == DELETED or not self._pools.is_ordered:
            return
        mark = Mark(text.name, text.uid, base)
        is_marked = mark in self._lost or any(each.mark == mark for each in self._marks.values())
        is_same = before.promises_as(Promises(text.text), self._pools.time(text.at))
        kind = self._edits.kind(text.version)
        is_ordered = is_marked and not is_same and kind in (STORED, FORCED)
        self._replaced[base] = _Stored(text.version, is_ordered=is_ordered)
        if is_same:
            return
        self._findings.counts[MARKED] += is_ordered
        self._findings.counts[UNMARKED] += kind == FORCED and not is_marked
        if kind == STORED and not is_marked:
            told = f"no mark was in the ledger for the edit of {text.name} at {base}, which changes what is promised"
            context = f"{world.standing.value}; {showing.ledger(world.ledger)}"
            self._findings.violated(Invariant.ORDER, told, at=text.at, version=text.version, context=context)

    def on_step(self, world: World, step: Step) -> None:
        """Judge one change of the ledger."""
        if not self._pools.is_ordered:
            return
        self._read_drafts(step.at)
        before, after = step.before, step.after
        if before is not None and after is not None and before.epoch == after.epoch:
            self._judge_order(before, after, step)
            self._judge_leaving(after, step)
            self._judge_new(after, step)
        else:
            self._lost |= {each.mark for each in self._marks.values()}
            self._marks.clear()
        self._judge_clock(before, after, step)
        if world.standing is Standing.OPEN:
            self._lost.clear()
        self._take(after, step)

    def _read_drafts(self, at: float) -> None:
        """Follow the edit that is under way, or was last: they are made one after the other."""
        while self._drafts and self._drafts[0].begun <= at + _CLOCK:
            draft = self._drafts.popleft()
            self._draft = Promises(draft.text) if draft.text else None

    def _take(self, after: LedgerText | None, step: Step) -> None:
        marks = after.edits if after is not None else {}
        for token in self._marks.keys() - marks.keys():
            del self._marks[token]
        for token, mark in marks.items():
            known = self._marks.get(token)
            if known is None:
                self._marks[token] = _Standing(mark, step.at, self._draft)
                self._edits.marked(mark, step.at)
            elif known.mark != mark:
                self._wrong(f"the mark of {token} has changed from {known.mark} to {mark}", step)

    def _judge_order(self, before: LedgerText, after: LedgerText, step: Step) -> None:
        if after.policy_version < before.policy_version:
            self._wrong(f"policyVersion fell from {before.policy_version} to {after.policy_version}", step)
        if after.promised_at < before.promised_at:
            self._wrong(f"promisedAt fell from {before.promised_at} to {after.promised_at}", step)
        if after.policy_version > before.policy_version and after.policy_version not in self._versions:
            self._wrong(f"policyVersion rose to {after.policy_version}, at which no policy was stored", step)

    def _judge_clock(self, before: LedgerText | None, after: LedgerText | None, step: Step) -> None:
        if after is None or (before is not None and before.promised_at == after.promised_at):
            return
        ahead = after.promised_at / 1e6 - self._pools.time(step.at)
        if ahead > _CLOCK:
            self._wrong(f"promisedAt rose to {after.promised_at}, {ahead:.3f} s from now", step)

    def _judge_leaving(self, after: LedgerText, step: Step) -> None:
        for token in self._marks.keys() - after.edits.keys():
            mark = self._marks[token].mark
            self._findings.marks.append(step.at - self._marks[token].at)
            stored = self._replaced.get(mark.base) if mark.name == POLICY else None
            self._findings.counts[LEFT] += stored is None
            if stored is None or not stored.is_ordered or mark in after.edits.values():
                continue
            if after.policy_version < stored.version:
                told = f"a mark was taken out of the edit at {stored.version}, and policyVersion is "
                self._wrong(f"{told}{after.policy_version}: {mark}", step)

    def _judge_new(self, after: LedgerText, step: Step) -> None:
        """Judge what is let in beside a mark: not in the write that brings the mark, which is before the judgement."""
        standing = [self._marks[token] for token in after.edits if token in self._marks]
        for claim in step.new if standing else ():
            beside = [each.mark for each in standing if self._counts(claim, each, step.at)]
            if beside:
                self._wrong(f"let in beside {beside[0]}: {showing.claim(claim)}", step)

    def _counts(self, claim: Claim, standing: _Standing, at: float) -> bool:
        """Whether a claim counts where anything is promised, before or after an edit."""
        several: Sequence[Promises | None] = (
            self._pools.promises_at(standing.mark.base),
            self._pools.promises,
            standing.draft,
        )
        names, now = use_of(claim).amounts.keys(), self._pools.time(at)
        return any(each.promised(claim.place.node_class, now) & names for each in several if each is not None)

    def _wrong(self, told: str, step: Step) -> None:
        context = f"before: {showing.ledger(step.before)}\nafter: {showing.ledger(step.after)}"
        self._findings.violated(Invariant.ORDER, told, at=step.at, version=step.version, context=context)
