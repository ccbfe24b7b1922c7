"""
What a walk shows: creates that failed and need not have, refusals where there is no userquota, sums above limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.chart.load import CREATED, FAILED, REFUSED, Told
from rehearsal.chart.walk import AFTER, BEFORE, INSTALL, LIMITS, POLICY, STEPS, UNINSTALL, UPGRADE, Walked
from rehearsal.judge import Judged, judge

SECONDS_TO_ROUTES = 2.0
"""From the first ready replica until every API server's connections go to it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `judged` are the revisions while limits were enforced."""

    record: Walked
    told: Sequence[Told]
    judged: Judged

    @property
    def had_to_fail(self) -> tuple[float, float]:
        """Return when creates could only fail: from the webhooks' registration until a replica was ready."""
        begun = self.record.began[INSTALL]
        return begun, min((each.ready for each in self.record.runs if each.ready), default=begun) + SECONDS_TO_ROUTES

    @property
    def violations(self) -> list[str]:
        """Return all that must not be."""
        record = self.record
        begin, end = self.had_to_fail
        found = [
            f"{record_step(record, each)}: a create failed: {each.answer.status} {each.answer.document}"
            for each in self.told
            if each.outcome == FAILED and not begin <= each.asked <= end
        ]
        found += [
            f"{step}: a create was refused without userquota"
            for step in (BEFORE, AFTER)
            for each in self._in(step)
            if each.outcome == REFUSED
        ]
        found += [f"{step}: doctor ended with {code}: {text}" for step, (code, text) in record.doctors.items() if code]
        found += [f"{each.name} crashed: {each.crashes}" for each in record.runs if each.crashes]
        return [*found, *(f"left: {each}" for each in record.left), *record.troubles, *self.judged.violations]

    @property
    def void(self) -> list[str]:
        """Return why the walk says nothing."""
        reasons = {
            f"{step}: nothing was {outcome}": not any(each.outcome == outcome for each in self._in(step))
            for step, outcome in {AFTER: CREATED, POLICY: REFUSED, UPGRADE: REFUSED, UNINSTALL: CREATED}.items()
        }
        return [reason for reason, holds in reasons.items() if holds]

    def table(self) -> str:
        """Return one line for each step."""
        lines = ["| step | seconds | creates | created | refused | failed | longest answer |", "|" + "---|" * 7]
        for step in STEPS:
            if step in self.record.began:
                begin, end = self.record.span(step)
                told = self._in(step)
                counts = [sum(each.outcome == outcome for each in told) for outcome in (CREATED, REFUSED, FAILED)]
                longest = max((each.answered - each.asked for each in told), default=0)
                cells = (step, f"{end - begin:.0f}", len(told), *counts, f"{longest:.2f} s")
                lines.append(f"| {' | '.join(map(str, cells))} |")
        return "\n".join(lines)

    def text(self) -> str:
        """Return the report."""
        begin, end = self.had_to_fail
        fullest = ", ".join(f"{key.subject} {key.resource}" for key in list(self.judged.most)[:3])
        lines = [
            self.table(),
            "",
            f"creates could only fail for {end - begin:.1f} s, until a replica was ready",
            f"dry runs: {sum(each.is_dry for each in self.told)}; pods run: {len(self.record.runs)}",
            f"{self.judged.under_limits} revisions under limits, such as of {fullest}",
            *(f"doctor after {step}: exit code {code}" for step, (code, _) in self.record.doctors.items()),
            *self.record.removals,
            *(f"VOID: {each}" for each in self.void),
            *(f"VIOLATION: {each}" for each in self.violations),
            "" if self.violations else "no violation",
        ]
        return "\n".join(lines) + "\n"

    def _in(self, step: str) -> list[Told]:
        begin, end = self.record.span(step)
        return [each for each in self.told if begin <= each.asked < end]


def record_step(record: Walked, told: Told) -> str:
    return next((step for step in reversed(STEPS) if step in record.began and told.asked >= record.began[step]), BEFORE)


def verdict(record: Walked, told: Sequence[Told], folder: Path) -> Verdict:
    """Judge a walk by its record and by every revision of pods that is recorded in *folder*."""
    return Verdict(record, told, judge(folder, LIMITS, begin=record.enforced, end=record.ended))
