"""
The state at one revision: the objects that exist, the reservations in the ledger, and the sums of both.

It only follows the history. The checks judge it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, TypeVar

from nemesis.accounting import Key, cost, counted, is_report, is_reported, payer_of, place_of, subjects
from nemesis.ledger_text import (
    NOWHERE,
    Amount,
    Claim,
    Grant,
    LedgerText,
    Payer,
    Place,
    UnreadableLedgerError,
    read_ledger,
)
from nemesis.records import CHARGED, DELETED, SESSIONS, PodRevision, Revision, Slot, TextRevision

T = TypeVar("T")

_LATE = 15.0
"""
Seconds by which the recorder may have seen the beginning of an epoch late: a killed API server takes as long to come
back. A claim that is removed too soon is found whatever the age is; this only gives the reason.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    An object that exists.

    `grown` is the version at which its cost last grew, in the resources `raised`, and `base` the version before that.
    `is_reported`: a status raised it. `place` is where a pod may run.
    """

    slot: Slot
    uid: str
    version: int
    payer: Payer
    amounts: Mapping[str, Amount]
    grown: int
    base: int
    raised: tuple[str, ...]
    is_reported: bool = False
    place: Place = NOWHERE


class Risen(NamedTuple):
    """
    What new claims on a name add under a key: claims that may come true.

    `place` is that of the claim among the new ones, which are in the order in which they were decided. `is_reported`:
    it is for a status, which is never refused.
    """

    slot: Slot
    key: Key
    amount: Amount
    place: int
    is_reported: bool


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
    """
    One change of the ledger. `before` and `after` hold no claims where no replica wrote that version.

    `writer` is the replica that made it, empty if that is not known.
    """

    at: float
    version: int
    turn: Turn
    before: LedgerText | None
    after: LedgerText | None
    risen: tuple[Risen, ...]
    writer: str = ""

    @property
    def grants_gone(self) -> list[Grant]:
        return _differing(_grants(self.before), _grants(self.after))

    @property
    def grants_new(self) -> list[Grant]:
        return _differing(_grants(self.after), _grants(self.before))

    @property
    def gone(self) -> list[Claim]:
        return _differing(_claims(self.before), _claims(self.after))

    @property
    def new(self) -> list[Claim]:
        return _differing(_claims(self.after), _claims(self.before))


OnChange = Callable[[float, Slot, Key, Amount, Amount], None]
"""Called when the amount of a name changes: time, name, key, amount before, amount from now on."""


@dataclass(slots=True)
class World:
    """The state; it takes revisions in the order of their versions."""

    on_change: OnChange
    objects: dict[Slot, Revision] = field(default_factory=dict)
    rows: dict[Slot, Row] = field(default_factory=dict)
    used: defaultdict[Key, Amount] = field(default_factory=lambda: defaultdict(int))
    """The cost of the objects that exist."""
    counted: defaultdict[Key, Amount] = field(default_factory=lambda: defaultdict(int))
    """The sum of them and the claims, each name once, with its largest amount."""
    binding: defaultdict[Key, Amount] = field(default_factory=lambda: defaultdict(int))
    """The same without claims that can never be stored: what a replica counts at least that has seen everything."""
    claims: defaultdict[Slot, dict[str, Claim]] = field(default_factory=lambda: defaultdict(dict))
    seen: defaultdict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    """The versions and times of the changes of each uid."""
    stored_at: dict[str, dict[int, str]] = field(default_factory=lambda: {kind: {} for kind in CHARGED})
    """By kind, the versions at which an object was stored, and its uid."""
    ledger: LedgerText | None = None
    standing: Standing = Standing.NONE
    _epoch_began: float = -math.inf
    """Unknown for the first epoch, which began before the record."""
    _counted_as: dict[Slot, dict[Key, Amount]] = field(default_factory=dict)
    _bound_as: dict[Slot, dict[Key, Amount]] = field(default_factory=dict)

    def take_object(self, obj: Revision) -> Row | None:
        """Follow an object; return its row if its cost grew."""
        self.seen[obj.uid].append((obj.version, obj.at))
        known = self.rows.pop(obj.slot, None)
        if known is not None:
            self._use(known, -1)
        if obj.event == DELETED:
            self.objects.pop(obj.slot, None)
            row = None
        else:
            self.stored_at[obj.slot.kind][obj.version] = obj.uid
            before = self.objects.get(obj.slot)
            self.objects[obj.slot] = obj
            row = _row(obj, known, before.version if before is not None else 0)
            self.rows[obj.slot] = row
            self._use(row, 1)
        self._recount(obj.slot, obj.at)
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
        step = Step(text.at, text.version, turn, before, kept, (), text.writer)
        for claim in step.gone:
            del self.claims[claim.slot][claim.token]
        for claim in step.new:
            self.claims[claim.slot][claim.token] = claim
        risen: list[Risen] = []
        for slot in {claim.slot for claim in (*step.gone, *step.new)}:
            raised = self._recount(slot, text.at)
            risen += self._risen(slot, raised, step.new)
            if not self.claims[slot]:
                del self.claims[slot]
        self.ledger = kept
        return replace(step, risen=tuple(risen))

    def amounts(self, slot: Slot) -> Mapping[str, Amount]:
        """Return the cost of the object of that name; nothing if there is none."""
        row = self.rows.get(slot)
        return {} if row is None else row.amounts

    def is_free(self, slot: Slot, uid: str) -> bool:
        """Whether that object is gone, or costs nothing any more. A session that is stopped may be started again."""
        row = self.rows.get(slot)
        return row is None or row.uid != uid or not (row.amounts or slot.kind == SESSIONS)

    def may_come_true(self, claim: Claim) -> bool:
        """Whether the write of a claim may still be stored: an object is created once, and a version replaced once."""
        if not claim.base:
            return not claim.uid or claim.uid not in self.seen
        row = self.rows.get(claim.slot)
        return row is not None and (row.uid, row.version) == (claim.uid, claim.base)

    def _risen(self, slot: Slot, raised: Mapping[Key, Amount], new: list[Claim]) -> list[Risen]:
        risen = []
        for key, amount in raised.items():
            several = [
                (_of(claim.payer, counted(claim.amounts)).get(key, 0), place)
                for place, claim in enumerate(new)
                if claim.slot == slot and self.may_come_true(claim)
            ]
            if several:
                _, place = max(several)
                risen.append(Risen(slot, key, amount, place, is_report(new[place])))
        return risen

    def _kept(self, turn: Turn, after: LedgerText | None) -> LedgerText | None:
        if turn is Turn.LOST or after is None:
            self.standing = Standing.LOST
            return None
        self.standing = Standing.OPEN if after.is_open else Standing.REBUILDING
        return after

    def _use(self, row: Row, sign: int) -> None:
        for key, amount in _of(row.payer, row.amounts).items():
            self.used[key] += sign * amount

    def _recount(self, slot: Slot, at: float) -> dict[Key, Amount]:
        """Count a name again; return by how much its amounts grew that bind."""
        row, claims = self.rows.get(slot), self.claims.get(slot, {}).values()
        stored = [] if row is None else [(row.payer, row.amounts)]
        now = _largest([*stored, *((claim.payer, counted(claim.amounts)) for claim in claims)])
        possible = (claim for claim in claims if self.may_come_true(claim))
        binding = _largest([*stored, *((claim.payer, counted(claim.amounts)) for claim in possible)])
        for key, was, is_now in _changes(self._counted_as.pop(slot, {}), now):
            self.counted[key] += is_now - was
            self.on_change(at, slot, key, was, is_now)
        raised = {}
        for key, was, is_now in _changes(self._bound_as.pop(slot, {}), binding):
            self.binding[key] += is_now - was
            if is_now > was:
                raised[key] = is_now - was
        if now:
            self._counted_as[slot], self._bound_as[slot] = now, binding
        return raised


def _largest(several: Iterable[tuple[Payer, Mapping[str, Amount]]]) -> dict[Key, Amount]:
    most = dict[Key, Amount]()
    for payer, amounts in several:
        for key, amount in _of(payer, amounts).items():
            most[key] = max(most.get(key, 0), amount)
    return most


def _changes(before: Mapping[Key, Amount], now: Mapping[Key, Amount]) -> Iterator[tuple[Key, Amount, Amount]]:
    for key in before.keys() | now.keys():
        was, is_now = before.get(key, 0), now.get(key, 0)
        if was != is_now:
            yield key, was, is_now


def _of(payer: Payer, amounts: Mapping[str, Amount]) -> dict[Key, Amount]:
    return {Key(subject, name): amount for name, amount in amounts.items() for subject in subjects(payer)}


def _row(obj: Revision, known: Row | None, version_before: int) -> Row:
    payer, amounts = payer_of(obj), cost(obj)
    if known is None or known.uid != obj.uid:
        known = Row(obj.slot, obj.uid, 0, payer, {}, 0, 0, ())
        version_before = 0
    before = known.amounts if payer == known.payer else {}
    raised = tuple(name for name, amount in amounts.items() if amount > before.get(name, 0))
    if not raised:
        return replace(known, version=obj.version, payer=payer, amounts=amounts)
    return Row(
        obj.slot,
        obj.uid,
        obj.version,
        payer,
        amounts,
        grown=obj.version,
        base=version_before,
        raised=raised,
        is_reported=bool(version_before) and is_reported(obj),
        place=place_of(obj) if isinstance(obj, PodRevision) else NOWHERE,
    )


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
    is_empty = after.has_nothing
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
    if not after.has_nothing or not (after.is_open or after.settled_through == before.settled_through):
        return Turn.WRONG
    return Turn.OPENED if after.is_open else Turn.OLDER


def _claims(ledger: LedgerText | None) -> Mapping[str, Claim]:
    return {} if ledger is None else ledger.claims


def _differing(these: Mapping[str, T], others: Mapping[str, T]) -> list[T]:
    """Return those of *these* that *others* have not under their token, or otherwise."""
    return [each for token, each in these.items() if others.get(token) != each]


def _grants(ledger: LedgerText | None) -> Mapping[str, Grant]:
    return {} if ledger is None else ledger.grants
