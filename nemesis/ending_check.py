"""
I5 and I8: at rest nothing is in flight and the replicas count what exists; and the answers that clients got meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from nemesis import showing
from nemesis.accounting import as_told, excesses
from nemesis.denials_check import GROWTHS
from nemesis.findings import Findings, Invariant
from nemesis.holds import Holds
from nemesis.pools import Pools
from nemesis.promises import is_of_pool
from nemesis.records import DIED, NOT_READY, PROBE, PROBED_BEFORE, Audited, Fault, Request, Run, Slot
from nemesis.timeline import LATEST
from nemesis.world import Standing, Step, World

_OURS = ("userquota.dev", "userquota-ledger")


_SIGNS = (
    ("context deadline exceeded", "a replica did not answer in time"),
    ("Client.Timeout", "a replica did not answer in time"),
    ("is being rebuilt", "503: the ledger was being rebuilt"),
    ("our watch of", "503: a replica's watch was behind"),
    ("no answer", "503: a replica got no answer in time"),
    ("an error on the server", "503"),
    ("EOF", "a replica went away"),
    ("connection re", "a replica went away"),
    ("closed", "a replica went away"),
    ("broken pipe", "a replica went away"),
)
"""The texts of the API server where it got no verdict, and their meanings."""


class EndingCheck:
    """Judges the end of the run."""

    def __init__(self, findings: Findings, run: Run) -> None:
        self._findings = findings
        self._run = run

    def on_step(self, world: World, step: Step) -> None:
        """Record since when nothing is in flight."""
        ledger = world.ledger if world.standing is Standing.OPEN else None
        is_at_rest = ledger is not None and ledger.has_nothing and not ledger.edits
        if not is_at_rest:
            self._findings.converged = None
        elif self._findings.converged is None:
            self._findings.converged = max(step.at - self._run.rest_began, 0.0)

    def finish(self, world: World, *, within: float) -> None:
        """Judge the last state."""
        converged = self._findings.converged
        if converged is None or converged > within:
            told = (
                "the ledger was never empty" if converged is None else f"the ledger was empty after {converged:.1f} s"
            )
            self._findings.violated(
                Invariant.CONVERGENCE, told, at=self._run.ended, context=showing.ledger(world.ledger)
            )
        replayed = {str(slot): pod.version for slot, pod in world.objects.items()}
        if replayed != self._run.final_pods:
            differing = {
                slot
                for slot in replayed.keys() | self._run.final_pods
                if replayed.get(slot) != self._run.final_pods.get(slot)
            }
            told = f"the replay ends with other objects than a list shows: {sorted(differing)}"
            self._findings.violated(Invariant.HISTORY, told, at=self._run.ended)

    def judge_probes(self, world: World, pools: Pools, holds: Holds, requests: Iterable[Request]) -> None:
        """Judge the usage that replicas reported at rest: nothing is reserved but what is held for pods of sessions."""
        of_pools = pools.used(world)
        for request in requests:
            if request.verb != PROBE:
                continue
            named = excesses(request.message)
            if not named:
                told = f"a probe of {request.user} was answered {request.status} {request.message}"
                self._findings.violated(Invariant.CONVERGENCE, told, at=request.ended)
            for excess in named:
                self._findings.counts["sums compared at rest"] += 1
                held = holds.most(excess.key, request.begun - LATEST, request.ended)
                known = of_pools if is_of_pool(excess.key) else world.used
                used = as_told(known.get(excess.key, 0), excess.key.resource)
                if excess.used != used or not 0 <= excess.reserved <= as_told(held, excess.key.resource):
                    said = f"{showing.amount(excess.used)} used, {showing.amount(excess.reserved)} reserved"
                    told = f"{excess.key}: {said} by a replica, {showing.amount(used)} by the API"
                    told += f", and {showing.amount(held)} held for pods of sessions at most" if held else ""
                    self._findings.violated(Invariant.CONVERGENCE, told, at=request.ended)

    def judge_audit(self, audited: Iterable[Audited]) -> None:
        """Count decisions, and check that nothing passed without one."""
        for each in audited:
            if each.name == PROBED_BEFORE:
                continue
            is_charged = each.verb == "create" or each.subresource == "resize"
            if each.is_decided:
                self._findings.counts["decisions"] += 1
                self._findings.counts[f"decisions: {_verdict(each)}"] += 1
                self._findings.counts[f"decisions on {each.kind}"] += 1
                self._findings.counts["decisions on dry-runs"] += each.is_dry_run
            elif is_charged and 200 <= each.code < 300:
                told = f"{each.user} {each.verb} {Slot(each.namespace, each.name, each.kind)} passed without a decision"
                self._findings.violated(Invariant.CLIENTS, told, at=self._run.ended)

    def judge_answers(self, requests: Iterable[Request]) -> None:
        """Count answers, and check that no error of ours was answered as a conflict."""
        for each in requests:
            self._findings.counts["requests"] += 1
            kind = _kind(each)
            if kind is not None:
                self._findings.counts[f"trouble: {kind}"] += 1
            if each.reason == "Conflict" and (each.verb in ("create", *GROWTHS, "delete") or _is_about_us(each)):
                self._findings.counts["conflicts told"] += 1
                if _is_about_us(each):
                    self._findings.violated(
                        Invariant.CLIENTS, f"{each.verb} {each.slot}: {each.message}", at=each.ended
                    )

    def judge_faults(self, faults: Iterable[Fault]) -> None:
        """Check that no replica ended without a kill, and that all came back."""
        for each in faults:
            if each.kind in (DIED, NOT_READY):
                told = f"{each.target}: {each.kind}"
                self._findings.violated(Invariant.ALIVE, told, at=each.begun, context=each.detail)


def _verdict(each: Audited) -> str:
    return "denied" if each.code == 403 else "allowed"


def _is_about_us(each: Request) -> bool:
    return any(name in each.message for name in _OURS)


def _kind(each: Request) -> str | None:
    """Return in a few words why a client got no decision; None if it got one."""
    if each.status == 0:
        return f"no answer ({each.reason})"
    if each.status < 500 and each.status != 429:
        return None
    if "failed calling webhook" not in each.message:
        return f"{each.status} of the API server"
    for sign, kind in _SIGNS:
        if sign in each.message:
            return kind
    return f"{each.status} {each.message.rsplit(': ', 1)[-1][:80]}"
