"""
The state at one revision: the pods that exist, the reservations in the ledger, and the sums of both.

It only follows the history. The checks judge it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from nemesis.accounting import COUNTED, Key, cost, payer_of, subjects
from nemesis.ledger_text import Amount, Claim, LedgerText, Payer, UnreadableLedgerError, read_ledger
from nemesis.records import DELETED, PodRevision, Slot, TextRevision

_LATE = 15.0
"""
Seconds by which the recorder may have seen the beginning of an epoch late: a killed API server takes as long to come
back. A claim that is removed too soon is found whatever the age is; this only gives the reason.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    A pod that exists.

    `grown` is the version at which its cost last grew, in the resources `raised`, and `base` the version before that.
    """

    slot: Slot
    uid: str
    version: int
    payer: Payer
    amounts: Mapping[str, Amount]
    grown: int
    base: int
    raised: tuple[str, ...]


class Standing(Enum):
    """The condition of the ledger: whether replicas can decide."""

    NONE = "there has been none yet"
    OPEN = "open"
    REBUILDING = "being rebuilt"
    LOST = "deleted or not ours"


class Turn(Enum):
    """The effect of one write on the ledger."""

    FIRST = "the first one"
    NEXT = "the next one"
    SAME = "the same text again"
    LOST = "lost"
    BEGUN_ANEW = "begun anew"
    OLDER = "still closed, and older"
    OPENED = "opened again"
    WRONG = "none that a replica may make"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the ledger. `before` and `after` hold no claims where no replica wrote that version."""

    at: float
    version: int
    turn: Turn
    before: LedgerText | None
    after: LedgerText | None
    risen: tuple[tuple[Slot, Key], ...]
    """What new claims add to, without updates of pods that are gone or have changed since: they can never be stored."""

    @property
    def gone(self) -> list[Claim]:
        before, after = _claims(self.before), _claims(self.after)
        return [claim for token, claim in before.items() if after.get(token) != claim]

    @property
    def new(self) -> list[Claim]:
        before, after = _claims(self.before), _claims(self.after)
        return [claim for token, claim in after.items() if before.get(token) != claim]


OnChange = Callable[[float, Slot, Key, Amount, Amount], None]
"""Called when the amount of a name changes: time, name, key, amount before, amount from now on."""


@dataclass(slots=True)
class World:
    """The state; it takes revisions in the order of their versions."""

    on_change: OnChange
    pods: dict[Slot, PodRevision] = field(default_factory=dict)
    rows: dict[Slot, Row] = field(default_factory=dict)
    used: defaultdict[Key, Amount] = field(default_factory=lambda: defaultdict(int))
    """The cost of the pods that exist."""
    counted: defaultdict[Key, Amount] = field(default_factory=lambda: defaultdict(int))
    """The sum of them and the claims, each name once, with its largest amount."""
    claims: defaultdict[Slot, dict[str, Claim]] = field(default_factory=lambda: defaultdict(dict))
    seen: defaultdict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    """The versions and times of the changes of each uid."""
    ledger: LedgerText | None = None
    standing: Standing = Standing.NONE
    _epoch_began: float = -math.inf
    """Unknown for the first epoch, which began before the record."""
    _counted_as: dict[Slot, dict[Key, Amount]] = field(default_factory=dict)

    def take_pod(self, pod: PodRevision) -> Row | None:
        """Follow a pod; return its row if its cost grew."""
        self.seen[pod.uid].append((pod.version, pod.at))
        known = self.rows.pop(pod.slot, None)
        if known is not None:
            self._use(known, -1)
        if pod.event == DELETED:
            self.pods.pop(pod.slot, None)
            row = None
        else:
            before = self.pods.get(pod.slot)
            self.pods[pod.slot] = pod
            row = _row(pod, known, before.version if before is not None else 0)
            self.rows[pod.slot] = row
            self._use(row, 1)
        self._recount(pod.slot, pod.at)
        return row if row is not None and row.grown == row.version else None

    def take_ledger(self, text: TextRevision) -> Step:
        """Follow the ledger."""
        before, after = self.ledger, _read(text)
        turn = _turn(self.standing, before, after)
        if turn is Turn.BEGUN_ANEW:
            self._epoch_began = text.at
        if after is not None and after.age > (text.at - self._epoch_began + _LATE) * 1000:
            turn = Turn.WRONG
        kept = self._kept(turn, after)
        step = Step(text.at, text.version, turn, before, kept, ())
        for claim in step.gone:
            del self.claims[claim.slot][claim.token]
        for claim in step.new:
            self.claims[claim.slot][claim.token] = claim
        risen: list[tuple[Slot, Key]] = []
        may_come_true = {claim.slot for claim in step.new if self._may_come_true(claim)}
        for slot in {claim.slot for claim in (*step.gone, *step.new)}:
            keys = self._recount(slot, text.at)
            risen += [(slot, key) for key in keys if slot in may_come_true]
            if not self.claims[slot]:
                del self.claims[slot]
        self.ledger = kept
        return replace(step, risen=tuple(risen))

    def amounts(self, slot: Slot) -> Mapping[str, Amount]:
        """Return the cost of the pod of that name; nothing if there is none."""
        row = self.rows.get(slot)
        return {} if row is None else row.amounts

    def is_free(self, slot: Slot, uid: str) -> bool:
        """Whether that object is gone, or costs nothing."""
        row = self.rows.get(slot)
        return row is None or row.uid != uid or not row.amounts

    def _may_come_true(self, claim: Claim) -> bool:
        row = self.rows.get(claim.slot)
        return not claim.base or (row is not None and (row.uid, row.version) == (claim.uid, claim.base))

    def _kept(self, turn: Turn, after: LedgerText | None) -> LedgerText | None:
        if turn is Turn.LOST or after is None:
            self.standing = Standing.LOST
            return None
        self.standing = Standing.OPEN if after.is_open else Standing.REBUILDING
        return after

    def _use(self, row: Row, sign: int) -> None:
        for key, amount in _of(row.payer, row.amounts).items():
            self.used[key] += sign * amount

    def _recount(self, slot: Slot, at: float) -> list[Key]:
        """Count a name again; return the keys under which its amount grew."""
        row, now = self.rows.get(slot), dict[Key, Amount]()
        several = [] if row is None else [(row.payer, row.amounts)]
        several += [(claim.payer, claim.amounts) for claim in self.claims.get(slot, {}).values()]
        for payer, amounts in several:
            for key, amount in _of(payer, amounts).items():
                now[key] = max(now.get(key, 0), amount)
        before = self._counted_as.pop(slot, {})
        if now:
            self._counted_as[slot] = now
        risen = []
        for key in before.keys() | now.keys():
            was, is_now = before.get(key, 0), now.get(key, 0)
            if was != is_now:
                self.counted[key] += is_now - was
                self.on_change(at, slot, key, was, is_now)
                if is_now > was:
                    risen.append(key)
        return risen


def _of(payer: Payer, amounts: Mapping[str, Amount]) -> dict[Key, Amount]:
    counted = [(name, amount) for name, amount in amounts.items() if name in COUNTED]
    return {Key(subject, name): amount for name, amount in counted for subject in subjects(payer)}


def _row(pod: PodRevision, known: Row | None, version_before: int) -> Row:
    payer, amounts = payer_of(pod), cost(pod)
    if known is None or known.uid != pod.uid:
        known = Row(pod.slot, pod.uid, 0, payer, {}, 0, 0, ())
        version_before = 0
    before = known.amounts if payer == known.payer else {}
    raised = tuple(name for name, amount in amounts.items() if amount > before.get(name, 0))
    grown, base, raised = (pod.version, version_before, raised) if raised else (known.grown, known.base, known.raised)
    return Row(pod.slot, pod.uid, pod.version, payer, amounts, grown, base, raised)


def _read(text: TextRevision) -> LedgerText | None:
    """Return its content; None if it is gone, no replica wrote it, or it cannot be read."""
    if text.event == DELETED or text.is_foreign:
        return None
    try:
        return read_ledger(text.text)
    except UnreadableLedgerError:
        return None


def _turn(standing: Standing, before: LedgerText | None, after: LedgerText | None) -> Turn:
    if after is None:
        return Turn.LOST
    is_empty = not after.claims
    if standing is Standing.NONE:
        return Turn.FIRST if is_empty else Turn.WRONG
    if after == before:
        return Turn.SAME  # a replica may mark the object without changing the text
    if before is None or after.epoch != before.epoch:
        return Turn.BEGUN_ANEW if is_empty and not after.is_open else Turn.WRONG
    return _turn_within_epoch(before, after)


def _turn_within_epoch(before: LedgerText, after: LedgerText) -> Turn:
    if after.write != before.write + 1 or after.age < before.age:
        return Turn.WRONG
    if before.is_open:
        return Turn.NEXT if after.is_open else Turn.WRONG
    if after.claims or not (after.is_open or after.settled_through == before.settled_through):
        return Turn.WRONG
    return Turn.OPENED if after.is_open else Turn.OLDER


def _claims(ledger: LedgerText | None) -> Mapping[str, Claim]:
    return {} if ledger is None else ledger.claims
