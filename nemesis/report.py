"""
Renders a run and its findings in Markdown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from nemesis import records
from nemesis.denials_check import ALLOWED, GRANTED, HELD
from nemesis.edits_check import COMPARED as EDITS_COMPARED
from nemesis.edits_check import EDITS
from nemesis.findings import Findings, Invariant, Violation
from nemesis.grants_check import BACK, EXPIRED, RECALLS, RENEWED, STORED, TAKEN, WRITES
from nemesis.grants_check import COMPARED as GRANTS_COMPARED
from nemesis.judge import read_run
from nemesis.marks_check import LEFT, MARKED, UNMARKED
from nemesis.pools_check import ABOVE, CONTENDED, COVERED, LATE, ON_DEMAND, STORED_COMPARED
from nemesis.pools_check import COMPARED as POOLS_COMPARED
from nemesis.records import Fault, Run
from nemesis.started_pods import BEGUN_ANEW, BEGUN_BEFORE, BROKEN, LOWERED, MADE, REFUSED

LEAST_PER_SECOND = 100.0
LEAST_GRANTED = 0.02
"""Objects stored under a grant, of all decisions that allowed something: fewer say little of grants."""

_ALLOWED = "decisions: allowed"
_NEXT = "ledger: the next one"
_MOST_SHOWN = 20
_KINDS = "pods, claims, ResourceClaims, sessions"


def is_void(run: Run, findings: Findings) -> bool:
    """Whether the run made too few decisions to prove anything."""
    return findings.counts["decisions"] / run.load_seconds < LEAST_PER_SECOND


def render(folder: Path, findings: Findings) -> str:
    """Return the report on the run in *folder*."""
    run = read_run(folder)
    faults = list(records.read(folder / records.FAULTS, Fault))
    parts = [
        f"# Nemesis: seed {run.seed}, {run.minutes:g} minutes, {run.replicas} replicas",
        _verdict(run, findings),
        _table(("what", "value"), _figures(run, findings)),
        _table(("fault", "times", "seconds in all"), _faults(faults)),
        _table(("invariant", "violations"), [(each.value, findings.by_invariant()[each]) for each in Invariant]),
        _table(("trouble told to clients", "times"), _counted(findings, "trouble: ")),
        _table(("turn of the ledger", "times"), _counted(findings, "ledger: ")),
        _table(("edit of the policy", "times"), _counted(findings, EDITS)),
        _table(("what brought a sum above what nodes have", "times"), _counted(findings, ABOVE)),
    ]
    return "\n\n".join([*parts, *_violations(findings)]) + "\n"


def _verdict(run: Run, findings: Findings) -> str:
    verdict = _of_violations(run, findings)
    if run.has_grants and _stored_under_grants(findings) < LEAST_GRANTED * findings.counts[_ALLOWED]:
        verdict += " **Says little of grants**: they were on, and hardly anything was stored under one."
    return verdict


def _stored_under_grants(findings: Findings) -> int:
    return sum(findings.counts[STORED.format(kind)] for kind in records.CHARGED)


def _of_violations(run: Run, findings: Findings) -> str:
    if findings.violations:
        return f"**Violations: {len(findings.violations)}.**"
    if is_void(run, findings):
        return f"**Void**: fewer than {LEAST_PER_SECOND:g} decisions per second. No violation was found."
    return "**No violation.**"


def _figures(run: Run, findings: Findings) -> list[tuple[str, object]]:
    counts = findings.counts
    left_out = ", ".join(run.without) or "none"
    return [
        ("requests", counts["requests"]),
        ("decisions", counts["decisions"]),
        ("of them allowed, denied", f"{counts[_ALLOWED]}, {counts['decisions: denied']}"),
        ("of them dry-runs", counts["decisions on dry-runs"]),
        ("decisions per second", f"{counts['decisions'] / run.load_seconds:.0f}"),
        (f"of them on {_KINDS}", _per_second(run, findings)),
        ("revisions replayed", counts["revisions"]),
        (f"of {_KINDS}, ledger, policy, nodes", _of_kinds(findings)),
        ("sums compared with limits", counts["sums compared with limits"]),
        ("sums raised by a status only", counts["sums raised by a status"]),
        ("sums compared with what nodes have", counts[POOLS_COMPARED]),
        (f"{COVERED}, {ON_DEMAND}", f"{counts[COVERED]}, {counts[ON_DEMAND]}"),
        (LATE, counts[LATE]),
        (STORED_COMPARED, counts[STORED_COMPARED]),
        (EDITS_COMPARED, counts[EDITS_COMPARED]),
        *((name, counts[name]) for name in (MARKED, UNMARKED, LEFT)),
        (f"{_KINDS} checked for cover", _of_each(findings, "{} checked for cover")),
        ("grants", "on" if run.has_grants else "off"),
        (WRITES, counts[WRITES]),
        ("writes of the ledger per decision", f"{counts[_NEXT] / max(counts['decisions'], 1):.2f}"),
        (f"{_KINDS} stored under a grant, without a reservation", _of_each(findings, STORED)),
        *((name, counts[name]) for name in (TAKEN, RENEWED, BACK, EXPIRED, RECALLS, GRANTS_COMPARED)),
        ("age of grants that others took out", _spread(findings.expired_grants)),
        ("limits named in refusals", counts["limits named in refusals"]),
        ("refusals right about news of up to x s ago", _delays(findings)),
        ("of these limits full only with what is held for pods of sessions", counts[HELD]),
        *((f"of these {name}", counts[name]) for name in (ALLOWED, GRANTED)),
        (CONTENDED, counts[CONTENDED]),
        (MADE, counts[MADE]),
        *((name, counts[name]) for name in (LOWERED, BEGUN_ANEW, BROKEN, BEGUN_BEFORE, REFUSED)),
        ("stored to taken out of the ledger", _spread(findings.conversions)),
        ("the same of what was gone by then", _spread(findings.short_lived)),
        ("reservations that nothing came of lasted", _spread(findings.reclaims)),
        ("of that under one replica at work", _spread(findings.worked_reclaims)),
        ("marks of edits in the ledger", _spread(findings.marks)),
        ("room back after a deletion", _spread(findings.freed)),
        ("empty ledger after the last fault", "never" if findings.converged is None else f"{findings.converged:.1f} s"),
        ("sums compared at rest", counts["sums compared at rest"]),
        ("conflicts told to clients about their own writes", counts["conflicts told"]),
        ("kinds of faults left out", left_out),
        *([(f"replicas started with the code of {run.older}", run.starts_of_older)] if run.older else []),
        ("etcd's files", f"{run.etcd_bytes / 2**20:.0f} MiB"),
    ]


def _of_kinds(findings: Findings) -> str:
    others = ", ".join(str(findings.counts[f"revisions of {kind}"]) for kind in ("the ledger", "the policy", "nodes"))
    return f"{_of_each(findings, 'revisions of {}')}, {others}"


def _of_each(findings: Findings, name: str) -> str:
    return ", ".join(str(findings.counts[name.format(kind)]) for kind in records.CHARGED)


def _per_second(run: Run, findings: Findings) -> str:
    return ", ".join(f"{findings.counts[f'decisions on {kind}'] / run.load_seconds:.0f}" for kind in records.CHARGED)


def _delays(findings: Findings) -> str:
    return ", ".join(f"{delay:g}: {number}" for delay, number in sorted(findings.delays.items())) or "none"


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s ({len(ordered)})"


def _faults(faults: Iterable[Fault]) -> list[tuple[str, int, str]]:
    lasted = defaultdict[str, list[float]](list)
    for fault in faults:
        lasted[fault.kind].append(fault.ended - fault.begun)
    return [(kind, len(seconds), f"{sum(seconds):.0f}") for kind, seconds in sorted(lasted.items())]


def _counted(findings: Findings, prefix: str) -> list[tuple[str, int]]:
    return [
        (name.removeprefix(prefix), number) for name, number in findings.counts.most_common() if name.startswith(prefix)
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def _violations(findings: Findings) -> list[str]:
    shown = [_violation(each) for each in findings.violations[:_MOST_SHOWN]]
    more = len(findings.violations) - len(shown)
    return [*shown, f"and {more} more"] if more > 0 else shown


def _violation(each: Violation) -> str:
    where = f"At {each.at:.3f} s, version {each.version}"
    return f"## {each.invariant.value}\n\n{where}: {each.told}\n\n```\n{each.context}\n```"
