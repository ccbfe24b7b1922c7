"""
The report of a rehearsal, as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rehearsal.installing import STEPS
from rehearsal.run import Rehearsed
from rehearsal.verdict import named_limits

_SHOWN = 40


def render(done: Rehearsed) -> str:
    """Return all figures, and every violation up to a number."""
    installed, writes = done.installed, done.writes
    lines = [f"{done.seconds:.0f} s; {done.during_handover.revisions} revisions of pods and claims", "", "preflight"]
    for step, look in installed.looks.items():
        named = sorted(map(str, named_limits([look])))
        ownerless = sum(each["workloads"] for each in look.document["withoutOwner"])
        lines.append(f"  before {step}: {look.seconds:.1f} s, exit code {look.code}; over: {named}")
        lines.append(f"    workloads without an owner: {ownerless}")
        lines += [f"    unreadable: {each}" for each in look.document["unreadable"]]
    lines += ["", "writes by step"]
    lines += [f"  {step}: {_counts(writes.answers[step])}" for step in STEPS]
    lines += [
        f"  refused, and named by preflight: {_counts(writes.refused)}",
        f"  asked to take over first, which is no create: {_counts(writes.asked_to_take_over)}",
        f"  made for an object that was deleted: {_counts(writes.for_deleted)}",
        f"  in flight while it was installed: {writes.in_flight}",
        f"  without a decision in time: {len(writes.late)}",
        *(f"    {each}" for each in writes.late[:5]),
        f"  failed before the installation: {_counts(writes.failed_before)}",
        f"  warnings read by people: {_counts(installed.warned)}",
        f"  revisions under enforced limits: {done.during_install.under_limits}",
        f"  left without an owner: {_counts(Counter(each['kind'] for each in installed.left))}",
        f"  of these unexplained: {len(done.unexplained)}; unstamped by `get --drift`: {len(installed.unstamped)}",
        "",
        "handing over",
    ]
    for each, halves in done.handed_over:
        states = Counter(item["state"] for item in each.items)
        lines += [
            f"  {each.case.name}: {len(each.items)} objects in {each.ended.seconds:.1f} s, exit code {each.ended.code}",
            f"    states: {_counts(states)}; owners at the end: {_counts(halves.owners)}",
            f"    pods that the competitor got: {each.taken}; made for the heir meanwhile: {halves.made_meanwhile}",
        ]
    judged = done.during_handover
    lines += [f"  {judged.under_limits} revisions under enforced limits, {judged.moved} changes of an owner", ""]
    lines += [f"VOID: {each}" for each in done.void]
    lines.append(f"{len(done.violations)} violations")
    lines += [f"  {each}" for each in done.violations[:_SHOWN]]
    return "\n".join(lines) + "\n"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number) or "none"
