"""
What the judge has found: violations with everything needed to look into them, and figures for the report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Invariant(Enum):
    """What has to hold. The numbers are those of docs/consistency.md."""

    NO_OVER_ADMISSION = "I1 no over-admission"
    DOMINANCE = "I2 what is stored is held or seen"
    NOTHING_LET_GO = "I3 nothing is let go that may still be stored"
    BOUNDED_LEAK = "I4 what came to nothing is let go in time"
    CONVERGENCE = "I5 at rest the ledger is empty and everything is counted"
    NO_FALSE_DENIAL = "I6 nobody is refused without reason"
    DRY_RUN = "I7 a dry-run leaves nothing behind"
    CLIENTS = "I8 no trouble of ours is told as a conflict, and nothing passes unasked"
    ALIVE = "I9 no replica ends by itself, and each comes back"
    HISTORY = "the history itself is complete"


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation, at a version or, where it is about a request, at a time."""

    invariant: Invariant
    at: float
    version: int
    told: str
    context: str = ""


@dataclass(slots=True)
class Findings:
    """Everything that was found."""

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    conversions: list[float] = field(default_factory=list)
    """Seconds from the revision that stored an object to the one that took its reservation out."""
    short_lived: list[float] = field(default_factory=list)
    """The same for objects that were gone by then, or cost nothing any more."""
    reclaims: list[float] = field(default_factory=list)
    """Seconds that reservations lasted that nothing came of."""
    worked_reclaims: list[float] = field(default_factory=list)
    """The same, as far as a single replica could work on it."""
    freed: list[float] = field(default_factory=list)
    """Seconds from a deletion to the next reservation of somebody who was full before."""
    delays: Counter[float] = field(default_factory=Counter)
    """How old the news was that a refusal was right about, in steps of seconds."""
    converged: float | None = None

    def violated(self, invariant: Invariant, told: str, *, at: float, version: int = 0, context: str = "") -> None:
        self.violations.append(Violation(invariant, at, version, told, context))

    def by_invariant(self) -> Counter[Invariant]:
        return Counter(each.invariant for each in self.violations)
