"""
The printed page: the table, the CPU time by process, unexpected answers, the versions compared and the machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks import table
from benchmarks.contention.rows import Runs, of, rows
from benchmarks.contention.stage import ALLOW, NOTHING, OURS, QUOTA
from benchmarks.contention.workloads import ALONE, HOT, RUSH, WORKLOADS

_CONTESTANTS = (OURS, QUOTA, ALLOW, NOTHING)


def render(raw: Mapping[str, Any]) -> str:
    """Return the whole page, which is Markdown."""
    return "\n".join([*table.markdown(rows(raw["runs"])), "", *_notes(raw), ""])


def _notes(raw: Mapping[str, Any]) -> Iterator[str]:
    plan, runs = raw["plan"], raw["runs"]
    yield (
        f"Medians of {plan['rounds']} rounds (lowest to highest), contestants in turn; {plan['replicas']} replicas of "
        f"userquota (ledger: {plan['ledger']}), {plan['servers']} API servers and an etcd for each, without fsync."
    )
    done = [each for each in WORKLOADS if each.name in raw["workloads"]]
    yield "Workloads: " + "; ".join(f"{each.name}: {each.creates} creates, {each.told}" for each in done) + "."
    yield from _cpu(runs)
    yield from _settled(runs)
    yield from _unexpected(runs)
    yield table.quietness(raw["noise"])
    yield from table.origin(raw)


def _cpu(runs: Runs) -> Iterator[str]:
    """The CPU time of a create by process: that of the client was not under test."""
    for workload in (HOT, ALONE):
        for contestant in _CONTESTANTS:
            chosen = of(runs, workload, contestant)
            if not chosen:
                continue
            roles = {
                role: median(run["cpu_s"][role] / workload.creates * 1e3 for run in chosen)
                for role in chosen[0]["cpu_s"]
            }
            busy = median(sum(run["cpu_s"].values()) / run["seconds"] for run in chosen)
            told = ", ".join(f"{role} {cost:.2f}" for role, cost in roles.items() if cost)
            yield f"CPU ms per create, {workload.name}, {contestant}: {told}; {busy:.1f} CPUs busy."


def _settled(runs: Runs) -> Iterator[str]:
    waits = [run["settle_s"] for workload in WORKLOADS for run in of(runs, workload, OURS)]
    yield f"Nothing was reserved any more {median(waits):.2f} s after the last answer, {max(waits):.2f} s at most."
    counted: Counter[str] = sum((Counter(run["counted"]) for run in runs), Counter())
    told = ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))
    yield f"Counted in all runs of userquota: {told}."


def _unexpected(runs: Runs) -> Iterator[str]:
    """Answers that no contestant should give: neither created nor, where places are few, refused for that."""
    for run in runs:
        limited = run["workload"] == RUSH.name and run["contestant"] in {OURS, QUOTA}
        wrong = {
            status: n for status, n in run["statuses"].items() if status not in ({"201", "403"} if limited else {"201"})
        }
        if wrong:
            yield f"UNEXPECTED in {run['workload']}, {run['contestant']}: {wrong}, such as {run['messages'][:1]}."
