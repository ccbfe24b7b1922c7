"""
I2, I3, I4 and I7: the life of every reservation, from the write that added it to the one that removed it.

I2: while the ledger is open, every object that exists is covered by a claim, or got its present cost at a version that
the ledger's `settledThrough` of its kind has reached, or was allowed under a grant (see `grants_check`). I3: a claim
whose object was never stored is removed only when the API server can no longer store it, and `settledThrough` names no
version that no replica could have seen. I4: it is removed in time.
"""

from __future__ import annotations

from dataclasses import dataclass

from nemesis import showing
from nemesis.accounting import STORAGE, UNIT, counted, quantity
from nemesis.findings import Findings, Invariant
from nemesis.grants_check import BOUND, VALID_FOR, GrantsCheck
from nemesis.ledger_text import Claim
from nemesis.limits_check import Decided
from nemesis.records import CHARGED, CLAIMS, DRY, DRY_CPU, DRY_NAME, MIB, PODS, SESSIONS, Slot
from nemesis.timeline import Span, Workers
from nemesis.world import Row, Standing, Step, Turn, World


@dataclass(frozen=True, slots=True)
class _Entered:
    """A claim, when it came into the ledger, and when it may have been decided: before, if under a grant."""

    claim: Claim
    at: float
    version: int
    decided: float


class ReservationsCheck:
    """Follows every claim by its token, and every object until the ledger need not hold it."""

    def __init__(self, findings: Findings, grants: GrantsCheck) -> None:
        self.lost: list[Span] = []
        """The times without an open ledger."""
        self._findings = findings
        self._grants = grants
        self._entered: dict[str, _Entered] = {}
        self._at_loss: list[Claim] = []
        self._unsettled: dict[Slot, Row] = {}
        self._told: set[tuple[str, int]] = set()
        self._lost_at: float | None = None
        self._had_grants = False
        """Whether there were grants when the ledger was lost: their holders may not have known."""
        self._leaks: list[tuple[_Entered, float]] = []

    def on_grown(self, world: World, row: Row, *, at: float) -> Decided:
        """Judge an object whose cost grew; return when that was decided."""
        self._unsettled[row.slot] = row
        self._grants.leave_out(row.slot)
        claim = next((each for each in world.claims.get(row.slot, {}).values() if _covers(each, row)), None)
        if claim is not None:
            self._grants.held(world, row, at=at)
            entered = self._entered[claim.token]
            return Decided(entered.decided, entered.version)
        if world.standing is not Standing.OPEN and any(_covers(each, row) for each in self._at_loss):
            return Decided(at - BOUND, row.version)
        why = self._grants.refuses(world, row, at=at)
        if why is not None:
            self._violated(world, row, why, at=at, version=row.version)
        return Decided(at - BOUND, row.version)

    def on_step(self, world: World, step: Step) -> None:
        """Judge one change of the ledger."""
        self._judge_turn(step)
        for claim in step.new:
            if claim.token in self._entered:
                self._wrong(Invariant.DOMINANCE, f"the claim of a token has changed: {showing.claim(claim)}", step)
            self._entered[claim.token] = _Entered(claim, step.at, step.version, self._grants.since(step))
            self._judge_dry_run(claim, step)
        for claim in step.gone:
            entered = self._entered.pop(claim.token, None)
            if entered is not None and step.turn is Turn.NEXT:
                self._judge_leaving(world, step, entered)
        if step.turn is Turn.NEXT:
            self._judge_watermark(world, step)
        if world.standing is Standing.OPEN:
            self._sweep(world, step)
        self._told |= self._grants.compare(world, step)

    def finish(self, workers: Workers, *, at: float, in_time: float) -> None:
        """Judge how long the claims lasted whose object was never stored, and what is left at the end."""
        self._leaks += [(entered, at) for entered in self._entered.values()]
        for entered, left in self._leaks:
            worked = workers.longest_work(entered.at, left)
            self._findings.reclaims.append(left - entered.at)
            self._findings.worked_reclaims.append(worked)
            if worked > in_time:
                told = f"held for {left - entered.at:.1f} s, {worked:.1f} s of them under one replica: "
                self._findings.violated(
                    Invariant.BOUNDED_LEAK, told + showing.claim(entered.claim), at=left, version=entered.version
                )

    # What happens to the ledger as a whole.

    def _judge_turn(self, step: Step) -> None:
        self._findings.counts[f"ledger: {step.turn.value}"] += 1
        if step.turn in (Turn.LOST, Turn.BEGUN_ANEW) and step.before is not None:
            self._at_loss += step.before.claims.values()
            self._had_grants |= bool(step.before.grants)
        match step.turn:
            case Turn.LOST:
                self._lost_at = step.at
            case Turn.BEGUN_ANEW:
                self._lost_at = step.at if self._lost_at is None else self._lost_at
            case Turn.OPENED:
                self._judge_opening(step)
            case Turn.WRONG:
                told = "went on from a text that was lost or changed" if step.before is None else "made a wrong turn"
                self._wrong(Invariant.DOMINANCE, f"the ledger {told}", step)
                self._end_of_loss(step)
        if step.turn is Turn.OPENED:
            self._end_of_loss(step)

    def _judge_opening(self, step: Step) -> None:
        least = BOUND + (VALID_FOR if self._had_grants else 0.0)
        if self._lost_at is not None and step.at - self._lost_at < least:
            told = f"the ledger was opened {step.at - self._lost_at:.1f} s after it was lost"
            self._wrong(Invariant.NOTHING_LET_GO, told, step)

    def _end_of_loss(self, step: Step) -> None:
        if self._lost_at is not None:
            self.lost.append(Span(self._lost_at, step.at))
        self._lost_at = None
        self._had_grants = False
        self._at_loss.clear()

    # What happens to one claim.

    def _judge_leaving(self, world: World, step: Step, entered: _Entered) -> None:
        claim = entered.claim
        if any(_replaces(each, claim) for each in step.new):
            return
        stored = next(((v, at) for v, at in world.seen.get(claim.uid, ()) if v > claim.base), None)
        if stored is not None:
            is_gone = world.is_free(claim.slot, claim.uid)
            figures = self._findings.short_lived if is_gone else self._findings.conversions
            figures.append(max(step.at - stored[1], 0.0))
            return
        if claim.base and world.is_free(claim.slot, claim.uid):
            return  # an update of what is gone
        self._leaks.append((entered, step.at))
        if step.at - entered.at < BOUND:
            told = f"let go after {step.at - entered.at:.1f} s, unseen: {showing.claim(claim)}"
            self._wrong(Invariant.NOTHING_LET_GO, told, step)

    def _judge_watermark(self, world: World, step: Step) -> None:
        if step.before is None or step.after is None:
            return
        for kind in CHARGED:
            before, through = step.before.settled_through[kind], step.after.settled_through[kind]
            if through != before:
                self._judge_watermark_of(world, step, kind, before, through)

    def _judge_watermark_of(self, world: World, step: Step, kind: str, before: int, through: int) -> None:
        of_kind = "" if kind == PODS else f" of {kind}"
        if through < before:
            self._wrong(Invariant.DOMINANCE, f"settledThrough{of_kind} fell to {through}", step)
        gone = [claim for claim in step.gone if claim.slot.kind == kind]
        uids = {claim.uid for claim in gone} | {
            obj.uid for claim in gone if not claim.uid and (obj := world.objects.get(claim.slot)) is not None
        }
        if any(version == through for uid in uids for version, _ in world.seen.get(uid, ())):
            return
        if not self._is_of_grants(world, kind, through):
            told = f"settledThrough{of_kind} rose to {through}, where nothing was settled"
            self._wrong(Invariant.NOTHING_LET_GO, told, step)

    def _is_of_grants(self, world: World, kind: str, through: int) -> bool:
        """
        Whether the holder of a grant may have seen an object at that version, or, where the grant of another was taken
        out, it may have been the newest one.
        """
        uid = world.stored_at[kind].get(through)
        if self._grants.was_one_taken_out:
            return uid is not None or through < min(world.stored_at[kind], default=through + 1)
        return uid is not None and self._grants.may_settle(uid)

    def _judge_dry_run(self, claim: Claim, step: Step) -> None:
        if claim.slot.kind == SESSIONS:
            is_dry_change = claim.expected is not None and claim.expected.get("requests.cpu") == quantity(DRY_CPU)
        elif claim.slot.kind == PODS:
            is_dry_change = claim.amounts.get("requests.cpu") == quantity(DRY_CPU)
        else:
            is_dry_change = claim.slot.kind == CLAIMS and claim.amounts.get(STORAGE, 0) % (MIB * UNIT) == DRY * UNIT
        if claim.slot.name.startswith(DRY_NAME) or (claim.base > 0 and is_dry_change):
            self._wrong(Invariant.DRY_RUN, f"a dry-run is held: {showing.claim(claim)}", step)

    # What has to be held.

    def _sweep(self, world: World, step: Step) -> None:
        """Judge every object above `settledThrough`."""
        assert world.ledger is not None
        for slot, row in list(self._unsettled.items()):
            now = world.rows.get(slot)
            if (
                now is None
                or now.uid != row.uid
                or not now.amounts
                or row.grown <= world.ledger.settled_through[slot.kind]
            ):
                del self._unsettled[slot]
                self._grants.leave_out(slot)
                continue
            self._findings.counts[f"{slot.kind} checked for cover"] += 1
            if any(_covers(each, row) for each in world.claims.get(slot, {}).values()):
                self._grants.leave_out(slot)
            elif not self._grants.stands_for(slot):
                self._violated(world, row, "no grant is for it", at=step.at, version=step.version)

    def _violated(self, world: World, row: Row, why: str, *, at: float, version: int) -> None:
        if (row.uid, row.grown) not in self._told:
            self._told.add((row.uid, row.grown))
            context = f"{world.standing.value}; {showing.ledger(world.ledger)}"
            told = f"neither held nor seen: {showing.row(row)}; {why}"
            self._findings.violated(Invariant.DOMINANCE, told, at=at, version=version, context=context)

    def _wrong(self, invariant: Invariant, told: str, step: Step) -> None:
        context = f"before: {showing.ledger(step.before)}\nafter: {showing.ledger(step.after)}"
        self._findings.violated(invariant, told, at=step.at, version=step.version, context=context)


def _covers(claim: Claim, row: Row) -> bool:
    """Whether *claim* covers the write that raised the cost of *row*."""
    is_that_write = claim.base < row.grown if claim.uid == row.uid else not claim.uid and not row.base
    held = counted(claim.amounts)
    enough = all(held.get(name, 0) >= amount for name, amount in row.amounts.items())
    return is_that_write and enough and claim.payer == row.payer and claim.place == row.place


def _replaces(new: Claim, gone: Claim) -> bool:
    is_same = new.slot == gone.slot and new.payer == gone.payer and new.base == gone.base
    enough = all(new.amounts.get(name, 0) >= amount for name, amount in gone.amounts.items())
    return is_same and enough and new.uid in (gone.uid, "")
