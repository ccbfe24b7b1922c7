"""
The findings of the judge: violations with what an investigation needs, and figures for the report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Invariant(Enum):
    """The invariants, with the numbers of docs/consistency.md."""

    NO_OVER_ADMISSION = "I1 no over-admission"
    DOMINANCE = "I2 what is stored is held or seen"
    NOTHING_LET_GO = "I3 nothing is let go that may still be stored"
    BOUNDED_LEAK = "I4 what came to nothing is let go in time"
    CONVERGENCE = "I5 at rest the ledger is empty and everything is counted"
    NO_FALSE_DENIAL = "I6 nobody is refused without reason"
    DRY_RUN = "I7 a dry-run leaves nothing behind"
    CLIENTS = "I8 no trouble of ours is told as a conflict, and nothing passes unasked"
    ALIVE = "I9 no replica ends by itself, and each comes back"
    PROMISES = "I10 no edit promises more than nodes have, and none is refused without reason"
    ORDER = "I11 what is promised changes in the order of the ledger"
    HISTORY = "the history itself is complete"


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation, at a version or, for a request, at a time."""

    invariant: Invariant
    at: float
    version: int
    told: str
    context: str = ""


@dataclass(slots=True)
class Findings:
    """All findings of a run."""

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    conversions: list[float] = field(default_factory=list)
    """Seconds from the revision that stored an object to the one that removed its reservation."""
    short_lived: list[float] = field(default_factory=list)
    """The same for objects that were gone by then, or cost nothing."""
    reclaims: list[float] = field(default_factory=list)
    """Seconds that reservations lasted whose object was never stored."""
    worked_reclaims: list[float] = field(default_factory=list)
    """The same, counting only the time in which one replica worked."""
    freed: list[float] = field(default_factory=list)
    """Seconds from a deletion to the next reservation of a user that was at the limit."""
    marks: list[float] = field(default_factory=list)
    """Seconds that marks of edits were in the ledger."""
    expired_grants: list[float] = field(default_factory=list)
    """Seconds that grants were in the ledger which others than their holders took out."""
    delays: Counter[float] = field(default_factory=Counter)
    """By how many seconds the watch behind a right refusal was late, in steps."""
    converged: float | None = None

    def violated(self, invariant: Invariant, told: str, *, at: float, version: int = 0, context: str = "") -> None:
        self.violations.append(Violation(invariant, at, version, told, context))

    def by_invariant(self) -> Counter[Invariant]:
        return Counter(each.invariant for each in self.violations)
