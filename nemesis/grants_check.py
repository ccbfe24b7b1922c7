"""
Grants: amounts under limit keys for which a replica allows creates in its memory, without a reservation for each.

I2: what is stored and neither held nor seen by all fits into what is granted, under every limit, all together. I1: a
grant is taken, or made larger, only if it fits into each limit beside all that is stored, held or granted. I3: only its
holder gives a grant back before nothing can be stored any more that was allowed under it; whoever takes it out then has
everybody wait for what may have been. I4: a grant and a recall go in time.

A grant does not name what was allowed under it. So an object that nothing else stands for counts as allowed under some
grant if it is one that may be: a create, and of a kind and shape that are not always decided on the ledger.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from nemesis import showing
from nemesis.accounting import Key, subjects
from nemesis.counted import Counted
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount, Grant
from nemesis.limits_check import LimitHistory
from nemesis.records import CLAIMS, DEVICE_CLAIMS, PODS, PodRevision, Slot
from nemesis.timeline import Workers
from nemesis.world import Row, Step, Turn, World

BOUND = 34.0
"""Seconds after which an API server drops a write. No claim may be removed before, however long we hold it."""

VALID_FOR = 10.0
"""Seconds after it was written in which anything is allowed under a grant."""

_UNLIMITED = 60.0
"""Seconds before an object is stored. If nothing limited a key at any time of them, it needs no grant of that key."""

_REMEMBERED = 240.0

WRITES, STORED = "writes of the ledger with grants", "{} stored under a grant"
"""Two counts; the second one is by kind."""
TAKEN, RENEWED, BACK, EXPIRED, RECALLS = (
    "grants taken",
    "grants written anew",
    "grants given back",
    "grants taken out by others",
    "recalls of grants",
)
COMPARED = "sums compared with what is granted"


@dataclass(frozen=True, slots=True)
class _Entered:
    """A grant, or a recall by what it says, and when it came into the ledger."""

    token: str
    told: str
    at: float
    version: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """An object that only a grant can stand for, when it was stored, and the keys of which it needs one."""

    row: Row
    at: float
    needs: frozenset[Key]


class GrantsCheck:
    """Follows every grant by its token, and the objects that only grants stand for."""

    def __init__(self, findings: Findings, limits: LimitHistory) -> None:
        self._findings = findings
        self._limits = limits
        self._entered: dict[str, _Entered] = {}
        self._recalls: dict[str, _Entered] = {}
        self._at_loss: list[Grant] = []
        self._last = float("-inf")
        """When the ledger had a grant last."""
        self._room: dict[Key, Amount] = {}
        self._objects: dict[Slot, _Stored] = {}
        self._uids: set[str] = set()
        """Of all creates that may have been allowed under a grant."""
        self._left: list[tuple[_Entered, float]] = []
        """The grants and recalls that left, and when."""
        self._taken_out: list[_Entered] = []
        self._given_back: list[_Entered] = []
        """By the last step: the grants of others than its writer, and those that the writer gave back for good."""
        self._rooms: dict[tuple[str, Key], Amount] = {}
        self._over_time = Counted()
        """The room of each holder, in place of a name."""
        self._late = deque[tuple[float, Slot, dict[Key, Amount]]]()
        """What was stored under grants, and when."""

    # The ledger.

    def on_step(self, step: Step) -> None:
        """Follow one change of the ledger, before anything is compared with it."""
        if step.turn in (Turn.LOST, Turn.BEGUN_ANEW) and step.before is not None:
            self._at_loss += step.before.grants.values()
        elif step.turn in (Turn.OPENED, Turn.WRONG):
            self._at_loss.clear()
        self._taken_out, self._given_back = [], []
        for grant in step.grants_gone:
            self._leave(grant, step)
        for grant in step.grants_new:
            self._enter(grant, step)
        self._follow_recalls(step)
        before, after = (() if each is None else each.grants.values() for each in (step.before, step.after))
        if step.turn is Turn.NEXT:
            self._findings.counts[WRITES] += bool(after)
        if before or after or self._at_loss:
            self._last = step.at
        granted = [*after, *self._at_loss]
        self._room = _summed(granted)
        self._follow_holders(granted, step.at)

    @property
    def was_one_taken_out(self) -> bool:
        """Whether the last step took out a grant of another than its writer."""
        return bool(self._taken_out)

    def since(self, step: Step) -> float:
        """
        Return when the claims of a step may have been decided.

        A holder that gives back writes down what it has allowed under its grant: by the policy that it knew when it
        wrote that last. With another one it would have given back before.
        """
        return min((each.at for each in self._given_back), default=step.at)

    def compare(self, world: World, step: Step) -> set[tuple[str, int]]:
        """
        Judge the sums, once all that is held or seen was left out; return the uid and version of what was told.
        """
        told = self._judge_taken_out(step)
        several = {key for each in self._objects.values() for key in each.needs}
        while over := self._over(world, several):
            key, taken = over
            rows = [each.row for each in self._objects.values() if key in each.needs and _costs(world, each.row)]
            what = f"{key}: {showing.amount(taken)} neither held nor seen, {showing.amount(self._room.get(key, 0))} "
            what += f"granted: {'; '.join(map(showing.row, rows))}"
            self._wrong(Invariant.DOMINANCE, what, step)
            told |= self._told(rows)
        if step.turn is Turn.NEXT:
            self._judge_taking(world, step)
        return told

    def _told(self, rows: Iterable[Row]) -> set[tuple[str, int]]:
        """Leave out what was told once."""
        rows = list(rows)
        for row in rows:
            self._objects.pop(row.slot, None)
        return {(row.uid, row.grown) for row in rows}

    def finish(self, workers: Workers, *, at: float, in_time: float) -> None:
        """Judge how long grants and recalls lasted; in each time that one replica works for so long it can act."""
        self._left += [(each, at) for each in (*self._entered.values(), *self._recalls.values())]
        for entered, left in self._left:
            lasted = left - entered.at
            worked = workers.longest_work(entered.at, left) if lasted > in_time + VALID_FOR else 0.0
            if worked > in_time + VALID_FOR:
                told = f"there for {lasted:.1f} s, {worked:.1f} s of them under one replica: {entered.told}"
                self._findings.violated(Invariant.BOUNDED_LEAK, told, at=left, version=entered.version)

    # The objects.

    def refuses(self, world: World, row: Row, *, at: float) -> str | None:
        """Return why an object was not allowed under a grant, or None if it may have been; then it is followed."""
        is_near = bool(self._room) or at - self._last <= VALID_FOR + BOUND
        if not (is_near and _may_be_granted(world, row)):
            return "no grant is for it"
        self._uids.add(row.uid)
        needs = frozenset(each for each in _keys(row) if self._is_limited(each, at, row.version))
        self._objects[row.slot] = _Stored(row, at, needs)
        if over := self._over(world, needs):
            del self._objects[row.slot]
            key, taken = over
            granted = showing.amount(self._room.get(key, 0))
            return f"{key}: {showing.amount(taken)} neither held nor seen, {granted} granted"
        self._findings.counts[STORED.format(row.slot.kind)] += 1
        self._late.append((at, row.slot, {key: row.amounts[key.resource] for key in _keys(row)}))
        while self._late[0][0] < at - _REMEMBERED:
            self._late.popleft()
        return None

    def held(self, world: World, row: Row, *, at: float) -> None:
        """Follow an object that a claim covers: its create may have been allowed under a grant before."""
        self.leave_out(row.slot)
        if at - self._last <= VALID_FOR + BOUND and _may_be_granted(world, row):
            self._uids.add(row.uid)

    def stands_for(self, slot: Slot) -> bool:
        """Whether an object is followed that only a grant can stand for."""
        return slot in self._objects

    def leave_out(self, slot: Slot) -> None:
        """Something else stands for an object, or it is gone, or seen by all."""
        self._objects.pop(slot, None)

    def may_settle(self, uid: str) -> bool:
        """Whether the holder of a grant may have seen that object."""
        return uid in self._uids

    # What explains a refusal.

    def stored_since(self, key: Key, begun: float, ended: float) -> dict[Slot, Amount]:
        """Return what was stored under grants between two times: it was allowed before."""
        found: dict[Slot, Amount] = {}
        for at, slot, amounts in reversed(self._late):
            if at < begun:
                break
            if at <= ended and key in amounts:
                found[slot] = max(found.get(slot, 0), amounts[key])
        return found

    def most_of_one(self, key: Key, begun: float, ended: float) -> Amount:
        """Return the most that one holder was granted at any time between two: it knows what it allowed, not others."""
        return max(self._over_time.largest(key, begun, ended).values(), default=0)

    # How grants come and go.

    def _enter(self, grant: Grant, step: Step) -> None:
        if step.before is not None and grant.token in step.before.grants:
            self._wrong(Invariant.DOMINANCE, f"the grant of a token has changed: {showing.grant(grant)}", step)
        self._entered[grant.token] = _Entered(grant.token, showing.grant(grant), step.at, step.version)
        assert step.after is not None
        if sum(each.holder == grant.holder for each in step.after.grants.values()) > 1:
            self._wrong(Invariant.DOMINANCE, f"it has two grants: {showing.grant(grant)}", step)
        if step.writer and step.writer != grant.holder:
            self._wrong(Invariant.DOMINANCE, f"{step.writer} has granted to another: {showing.grant(grant)}", step)
        had_one = any(each.holder == grant.holder for each in step.grants_gone)
        self._findings.counts[RENEWED if had_one else TAKEN] += 1

    def _leave(self, grant: Grant, step: Step) -> None:
        entered = self._entered.pop(grant.token, None)
        if entered is None:
            return
        self._left.append((entered, step.at))
        if step.turn is not Turn.NEXT:
            return
        if not step.writer or step.writer == grant.holder:
            if all(each.holder != grant.holder for each in step.grants_new):
                self._given_back.append(entered)
                self._findings.counts[BACK] += 1
            return
        age = step.at - entered.at
        self._taken_out.append(entered)
        self._findings.counts[EXPIRED] += 1
        self._findings.expired_grants.append(age)
        if age < BOUND + VALID_FOR:
            told = f"taken out by {step.writer} after {age:.1f} s: {showing.grant(grant)}"
            self._wrong(Invariant.NOTHING_LET_GO, told, step)

    def _follow_recalls(self, step: Step) -> None:
        now = {} if step.after is None else step.after.recalls
        self._left += [(self._recalls.pop(token), step.at) for token in self._recalls.keys() - now.keys()]
        for token in now.keys() - self._recalls.keys():
            told = f"{token} asks back {', '.join(str(Key(*key)) for key in now[token])}"
            self._recalls[token] = _Entered(token, told, step.at, step.version)
            self._findings.counts[RECALLS] += 1

    def _follow_holders(self, granted: Iterable[Grant], at: float) -> None:
        now = {(each.holder, Key(*key)): amount for each in granted for key, amount in each.room.items()}
        for holder, key in self._rooms.keys() | now.keys():
            was, is_now = self._rooms.get((holder, key), 0), now.get((holder, key), 0)
            if was != is_now:
                self._over_time.change(at, Slot("", holder), key, was, is_now)
        self._rooms = now

    def _judge_taken_out(self, step: Step) -> set[tuple[str, int]]:
        """
        Judge whether everybody waits for what may have been allowed under a grant that was taken out.

        What was stored until nothing of it could be any more was there when the newest versions were read.
        """
        until = max((each.at for each in self._taken_out), default=float("-inf")) + VALID_FOR + BOUND
        rows = [each.row for each in self._objects.values() if each.at < until]
        for row in rows:
            told = f"a grant was taken out, and nobody waits for what may be of it: {showing.row(row)}"
            self._wrong(Invariant.NOTHING_LET_GO, told, step)
        return self._told(rows)

    def _judge_taking(self, world: World, step: Step) -> None:
        before = _summed(() if step.before is None else step.before.grants.values())
        risen = [key for key, amount in self._room.items() if amount > before.get(key, 0)]
        taken = self._taken(world, risen, of_all=True)
        for key in risen:
            self._findings.counts[COMPARED] += 1
            total = world.binding[key] + max(self._room[key] - taken.get(key, 0), 0)
            possible = self._limits.possible(key, since=step.at, until=step.version)
            highest = max((hard for hard in possible if hard is not None), default=None)
            if None not in possible and highest is not None and total > highest:
                told = f"{key} rose to {showing.amount(total)} with what is granted, "
                told += f"the limit was {showing.amount(highest)} at most"
                context = showing.account(world, key)
                self._findings.violated(
                    Invariant.NO_OVER_ADMISSION, told, at=step.at, version=step.version, context=context
                )

    # Sums.

    def _is_limited(self, key: Key, at: float, version: int) -> bool:
        possible = self._limits.possible(key, since=at - _UNLIMITED, until=version)
        return bool(possible) and None not in possible

    def _over(self, world: World, keys: Iterable[Key]) -> tuple[Key, Amount] | None:
        """Return the first key under which more is stored than is granted, and how much."""
        several = sorted(keys)
        self._findings.counts[COMPARED] += len(several)
        taken = self._taken(world, several)
        return next(((key, taken[key]) for key in several if taken.get(key, 0) > self._room.get(key, 0)), None)

    def _taken(self, world: World, keys: Iterable[Key], *, of_all: bool = False) -> Mapping[Key, Amount]:
        """Return what objects cost that only grants stand for; those that need one, or all."""
        among, total = set(keys), defaultdict[Key, Amount](int)
        for each in self._objects.values():
            for name, amount in _costs(world, each.row).items():
                for subject in subjects(each.row.payer):
                    key = Key(subject, name)
                    if key in among and (of_all or key in each.needs):
                        total[key] += amount
        return total

    def _wrong(self, invariant: Invariant, told: str, step: Step) -> None:
        context = f"before: {showing.ledger(step.before)}\nafter: {showing.ledger(step.after)}"
        self._findings.violated(invariant, told, at=step.at, version=step.version, context=context)


def _may_be_granted(world: World, row: Row) -> bool:
    """Whether a create may be allowed without the ledger: no update, no session or pod of one, and in no class."""
    obj = world.objects.get(row.slot)
    if row.base or row.slot.kind not in (PODS, CLAIMS, DEVICE_CLAIMS):
        return False
    return not (isinstance(obj, PodRevision) and (row.place.node_class or obj.session))


def _costs(world: World, row: Row) -> Mapping[str, Amount]:
    """Return what an object costs by now; nothing if it is gone."""
    now = world.rows.get(row.slot)
    return now.amounts if now is not None and now.uid == row.uid else {}


def _keys(row: Row) -> Iterable[Key]:
    return (Key(subject, name) for subject, name in product(subjects(row.payer), row.amounts))


def _summed(grants: Iterable[Grant]) -> dict[Key, Amount]:
    total = defaultdict[Key, Amount](int)
    for each in grants:
        for key, amount in each.room.items():
            total[Key(*key)] += amount
    return dict(total)
