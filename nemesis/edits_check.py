"""
I10: an edit of the policy that nobody forced promises no more than nodes have, and what is refused would have.

An edit is judged by what a replica knew at some time from a few seconds before the edit until it was stored. From then
on, and from any later time at which a promise begins or ends, no more of a pool may be taken than its nodes have,
unless as much was before. An edit that no replica judged, because none answered, explains what it does.

An edit that had a mark in the ledger was judged after that: what is in use and in flight then has to leave room, at a
time until it was stored. Only what nodes have may have been known late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nemesis import showing
from nemesis.accounting import Key
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount, Mark, Place
from nemesis.pools import Pools
from nemesis.promises import FOLLOWING, Promises, Use, key_of
from nemesis.records import POLICY, AuditedEdit, Edit, TextRevision
from nemesis.timeline import LATEST

COMPARED = "edits compared with nodes"
EDITS = "edits of the policy: "
STORED, FORCED, UNJUDGED, FULL, ILLEGAL, OTHER = (
    "stored",
    "stored, with a reason",
    "stored unjudged: no replica answered",
    "refused: more than nodes have",
    "refused: a change that no commitment may make",
    "refused or failed for another reason",
)
FIRST = "from before the record"
_FULL = "more would be promised than nodes have"
_ILLEGAL = ("cannot follow", "its class and zone stay as they are")

_CLOCK = 0.5
"""Seconds by which the recording may be late."""

_AHEAD = ("guaranteed", "confirmed")


@dataclass(slots=True)
class _Judged:
    edit: Edit
    since: float
    before: Promises
    after: Promises
    kind: str
    base: int
    """The version that it replaces."""
    marked: float | None = None
    """When its mark came into the ledger, if it had one."""
    fits: bool = False
    """Whether it would have been right to accept it at some time."""
    fails: bool = False
    told: str = ""


class EditsCheck:
    """Judges the edits of the policy, in their order."""

    def __init__(
        self,
        findings: Findings,
        pools: Pools,
        *,
        edits: Sequence[Edit],
        audited: Sequence[AuditedEdit],
        policies: Sequence[TextRevision],
    ) -> None:
        self._findings = findings
        self._pools = pools
        unjudged = {each.agent for each in audited if each.is_unjudged and 200 <= each.code < 300}
        self._kinds = {each.version: _kind(each, unjudged) for each in edits if each.version}
        self._kinds |= dict(
            _without_answer(edits, audited, [each for each in policies if each.version not in self._kinds])
        )
        self._coming = sorted(self._read(edits, unjudged, policies), key=lambda each: each.since)
        self._open: list[_Judged] = []

    def kind(self, version: int) -> str:
        """Return how the policy was stored at a version."""
        return self._kinds.get(version, FIRST)

    def reached(self, at: float) -> None:
        """Compare the edits that are under way with what is used until a time."""
        while self._coming and self._coming[0].since <= at:
            self._open.append(self._coming.pop(0))
        for each in self._open:
            self._compare(each, at)
        for each in [each for each in self._open if each.edit.ended + _CLOCK < at]:
            self._open.remove(each)
            self._judge(each)

    def _read(self, edits: Iterable[Edit], unjudged: set[str], policies: Sequence[TextRevision]) -> Iterator[_Judged]:
        known: dict[str, Promises] = {}
        for edit in edits:
            kind = _kind(edit, unjudged)
            self._findings.counts[EDITS + kind] += 1
            if kind not in (STORED, FULL, ILLEGAL):
                continue
            former = [each for each in policies if each.version != edit.version and each.at <= edit.ended]
            if edit.version:
                former = [each for each in former if each.version < edit.version]
            if not former:
                continue
            texts = former[-1].text, edit.text
            before, after = (known.setdefault(text, Promises(text)) for text in texts)
            since = self._pools.troubles.before(edit.begun, LATEST)
            yield _Judged(edit, since, before, after, kind, former[-1].version)

    def marked(self, mark: Mark, at: float) -> None:
        """Follow a mark that has come into the ledger: what was known before does not excuse its edit."""
        for each in self._open:
            is_its_edit = mark.name == POLICY and each.base == mark.base and each.edit.begun <= at + _CLOCK
            if each.kind == STORED and is_its_edit:
                each.marked, each.fits = at, False
                self._compare(each, at)

    def _compare(self, judged: _Judged, at: float) -> None:
        if judged.fits and (judged.fails or judged.kind != FULL):
            return
        now, had = self._pools.time(judged.edit.begun), [self._pools.has]
        if judged.marked is not None:
            now = self._pools.time(min(max(at, judged.edit.begun), judged.edit.ended))
            had = self._pools.had(judged.since)
        names: Sequence[Sequence[Use]] = list(self._pools.binding.values())
        over = [_unkept(judged, names, names, has, now) for has in had]
        if judged.kind == FULL:
            over = [self._refused(judged, now)]
        told = None if None in over else over[0]
        if told is None:
            judged.fits = True
        else:
            judged.fails, judged.told = True, told

    def _refused(self, judged: _Judged, now: float) -> str | None:
        """
        Return why an edit may be refused, None if it may not.

        A replica counts a name once for each holder who asks for it. It does not rely on what those have in flight to
        whom more is promised: that may never be stored.
        """
        more = judged.after.more_than(judged.before, now)
        for seen in (self._pools.seen, self._pools.seen_without(judged.after, more)):
            names, names_before = (
                [uses for several in seen for uses in promises.apart_on_demand(several)]
                for promises in (judged.after, judged.before)
            )
            told = _unkept(judged, names, names_before, self._pools.has, now)
            if told is not None:
                return told
        return None

    def _judge(self, judged: _Judged) -> None:
        edit = judged.edit
        times = [self._pools.time(each) for each in (edit.begun - _CLOCK, edit.ended + _CLOCK)]
        illegal = [_illegal(judged.before, judged.after, now) for now in times]
        told = ""
        if judged.kind == STORED:
            if not judged.fits:
                told = f"accepted, though {judged.told}"
            elif all(illegal):
                told = f"accepted, though {illegal[0]}"
        elif judged.kind == FULL and not judged.fails:
            told = f"refused, though nodes had enough: {edit.message[:400]}"
        elif judged.kind == ILLEGAL and not any(illegal):
            told = f"refused, though no commitment changes what it must not: {edit.message[:400]}"
        self._findings.counts[COMPARED] += 1
        if told:
            self._findings.violated(
                Invariant.PROMISES,
                f"an edit ({edit.what}) was {told}",
                at=edit.ended,
                version=edit.version,
                context=edit.text,
            )


def _kind(edit: Edit, unjudged: set[str]) -> str:
    if edit.version:
        if edit.is_forced:
            return FORCED
        return UNJUDGED if edit.agent in unjudged else STORED
    if _FULL in edit.message:
        return FULL
    return ILLEGAL if any(each in edit.message for each in _ILLEGAL) else OTHER


def _without_answer(
    edits: Sequence[Edit], audited: Iterable[AuditedEdit], policies: Iterable[TextRevision]
) -> Iterator[tuple[int, str]]:
    """Yield the versions of edits that were stored though the client got no answer, by their text, and their kinds."""
    is_unjudged = {each.agent: each.is_unjudged for each in audited}
    for policy in policies:
        for edit in edits:
            is_it = edit.text == policy.text and edit.begun <= policy.at + _CLOCK
            if is_it and _kind(edit, set()) == OTHER and edit.agent in is_unjudged:
                kind = FORCED if edit.is_forced else STORED
                yield policy.version, UNJUDGED if is_unjudged[edit.agent] else kind


def _unkept(
    judged: _Judged,
    names: Sequence[Sequence[Use]],
    names_before: Sequence[Sequence[Use]],
    has: Mapping[Key, Amount],
    now: float,
) -> str | None:
    """Return what more would be taken than nodes have, and than before; None if nothing."""
    before, after = judged.before, judged.after
    for each in sorted({*after.later(now), *before.later(now)}):
        for pool, name in after.sums():
            there = has.get(key_of(pool, name), 0)
            taken = after.taken(each, names, pool, name)
            if taken <= there:
                continue
            was = before.taken(each, names_before, pool, name)
            if taken > was:
                amounts = ", ".join(map(showing.amount, (taken, was, there)))
                return f"of {key_of(pool, name)} from {each:.0f} on would be taken, was before, is there: {amounts}"
    return None


def _illegal(before: Promises, after: Promises, now: float) -> str:
    """Return what a commitment changes that it must not; empty if nothing."""
    for name, will in after.every.items():
        was = before.every.get(name)
        if was is None:
            continue
        state = was.state_at(now)
        if will.state_at(now) not in FOLLOWING[state]:
            return f"{name} was {state} and became {will.state_at(now)}"
        if state in _AHEAD and _pool(was.hold.pool) != _pool(will.hold.pool):
            return f"{name} changed its pool"
    return ""


def _pool(place: Place) -> str:
    return f"{place.node_class}/{place.zone}"
