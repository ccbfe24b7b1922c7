"""
Judges a run from its records alone: replays every revision in order, and runs every check at each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import NamedTuple

import msgspec

from nemesis import records
from nemesis.counted import Counted
from nemesis.denials_check import DenialsCheck
from nemesis.edits_check import EditsCheck
from nemesis.ending_check import EndingCheck
from nemesis.findings import Findings, Invariant
from nemesis.freed import FreedRoom
from nemesis.grants_check import GrantsCheck
from nemesis.holds import Holds
from nemesis.ledger_text import has_order
from nemesis.limits_check import LimitHistory, LimitsCheck
from nemesis.marks_check import MarksCheck
from nemesis.pools import Pools
from nemesis.pools_check import PoolsCheck
from nemesis.records import (
    PROBE,
    Audited,
    AuditedEdit,
    Edit,
    Fault,
    Life,
    NodeRevision,
    PodRevision,
    Request,
    Revision,
    Run,
    TextRevision,
)
from nemesis.reservations_check import ReservationsCheck
from nemesis.started_pods import StartedPods
from nemesis.timeline import troubles, workers
from nemesis.world import World


def read_run(folder: Path) -> Run:
    """Return the plan of the run in *folder*, and how far it got."""
    return msgspec.json.decode((folder / records.RUN).read_bytes(), type=Run)


class Patience(NamedTuple):
    """
    The promised times, in seconds; a busy machine may need longer.

    `reclaim` is how long one replica works until it drops a reservation whose object was never stored; a grant is valid
    for 10 more. `convergence` is how long after the last fault and the last answer the ledger is empty. In the first 16
    of each the replica may have just started: then nothing ages before it has seen each API server renew its Lease.
    """

    reclaim: float = 61.0
    convergence: float = 76.0


def judge(folder: Path, patience: Patience = Patience()) -> Findings:  # noqa: B008 - it is immutable
    """Judge the run whose records are in *folder*."""
    run, findings = read_run(folder), Findings()
    faults = list(records.read(folder / records.FAULTS, Fault))
    requests = list(records.read(folder / records.REQUESTS, Request))
    lives = list(records.read(folder / records.LIVES, Life))
    spans = troubles(faults)
    drafts = list(records.read(folder / records.EDITS, Edit))
    policies, is_ordered = _policies(folder)
    limits, counted, holds = LimitHistory(spans), Counted(), Holds(spans)
    grants = GrantsCheck(findings, limits)
    pools = Pools(spans, epoch=run.epoch, is_ordered=is_ordered)
    world = World(counted.change)
    ending, of_pools = EndingCheck(findings, run), PoolsCheck(findings, pools)
    edits = EditsCheck(
        findings,
        pools,
        edits=drafts,
        audited=list(records.read(folder / records.AUDITED_EDITS, AuditedEdit)),
        policies=policies,
    )
    checks = Checks(
        LimitsCheck(findings, limits),
        ReservationsCheck(findings, grants),
        grants,
        DenialsCheck(
            findings,
            (each for each in requests if each.verb != PROBE),
            counted=counted,
            holds=holds,
            grants=grants,
            limits=limits,
            pools=of_pools,
            troubles=spans,
        ),
        ending,
        FreedRoom(findings, limits),
        StartedPods(
            findings,
            (each for each in requests if each.session),
            limits=limits,
            holds=holds,
            lives=lives,
            troubles=spans,
        ),
        counted,
        holds,
        of_pools,
        edits,
        MarksCheck(findings, pools, edits, drafts),
        pools,
    )
    _replay(folder, world, checks, findings)
    checks.reached(world, float("inf"), run.last_version + 1)
    working = workers(lives, faults, checks.reservations.lost)
    checks.reservations.finish(working, at=run.ended, in_time=patience.reclaim)
    grants.finish(working, at=run.ended, in_time=patience.reclaim)
    ending.finish(world, within=patience.convergence)
    ending.judge_probes(world, pools, holds, requests)
    ending.judge_answers(requests)
    ending.judge_audit(records.read(folder / records.AUDITED, Audited))
    ending.judge_faults(faults)
    return findings


class Checks(msgspec.Struct):
    """The checks that run at each revision."""

    limits: LimitsCheck
    reservations: ReservationsCheck
    grants: GrantsCheck
    denials: DenialsCheck
    ending: EndingCheck
    freed: FreedRoom
    started: StartedPods
    counted: Counted
    holds: Holds
    of_pools: PoolsCheck
    edits: EditsCheck
    marks: MarksCheck
    pools: Pools

    def reached(self, world: World, at: float, version: int) -> None:
        self.holds.reached(world, at)
        self.of_pools.reached(at)
        self.edits.reached(at)
        self.denials.reached(at, version)
        self.started.reached(at, version)

    def on_object(self, world: World, obj: Revision) -> None:
        if isinstance(obj, PodRevision):
            self.freed.before_pod(world, obj)
        before = world.amounts(obj.slot)
        row = world.take_object(obj)
        self.holds.on_object(world, obj)
        if isinstance(obj, PodRevision):
            self.of_pools.on_pod(world, obj.slot, obj)
        if world.amounts(obj.slot) != before:
            self.counted.changed(obj.at, obj.slot)
        if row is not None:
            decided = self.reservations.on_grown(world, row, at=obj.at)
            if self.grants.stands_for(row.slot):
                self.freed.used(row.payer.owner, obj)
            self.limits.on_grown(world, row, decided, at=obj.at)
            self.of_pools.on_grown(world, row, decided, at=obj.at)

    def on_ledger(self, world: World, text: TextRevision) -> None:
        step = world.take_ledger(text)
        self.holds.on_step(world, step)
        self.grants.on_step(step)
        self.reservations.on_step(world, step)
        self.limits.on_step(world, step, since=self.grants.since(step))
        self.of_pools.on_step(world, step)
        self.marks.on_step(world, step)
        self.ending.on_step(world, step)
        self.freed.on_step(step)

    def on_policy(self, world: World, text: TextRevision) -> None:
        self.marks.on_policy(world, text)
        self.limits.history.take(text)
        self.pools.take_policy(text)
        self.of_pools.look(text.at, f"an edit {self.edits.kind(text.version)}")

    def on_node(self, node: NodeRevision) -> None:
        if self.pools.take_node(node):
            self.of_pools.look(node.at, "a change of nodes")


def _replay(folder: Path, world: World, checks: Checks, findings: Findings) -> None:
    last = 0
    for told in _revisions(folder):
        if told.version < last:
            findings.violated(Invariant.HISTORY, f"version {told.version} after {last}", at=told.at)
        last = told.version
        findings.counts["revisions"] += 1
        checks.reached(world, told.at, told.version)
        if isinstance(told, NodeRevision):
            findings.counts["revisions of nodes"] += 1
            checks.on_node(told)
        elif not isinstance(told, TextRevision):
            findings.counts[f"revisions of {told.slot.kind}"] += 1
            checks.on_object(world, told)
        elif told.name == records.LEDGER:
            findings.counts["revisions of the ledger"] += 1
            checks.on_ledger(world, told)
        elif told.name == records.POLICY:
            findings.counts["revisions of the policy"] += 1
            checks.on_policy(world, told)


def _revisions(folder: Path) -> Iterator[Revision | TextRevision | NodeRevision]:
    several: Iterator[Iterator[Revision | TextRevision | NodeRevision]] = records.objects(folder)
    nodes = records.read(folder / records.NODES, NodeRevision)
    return merge(*several, _texts(folder), nodes, key=lambda each: each.version)


def _policies(folder: Path) -> tuple[list[TextRevision], bool]:
    """Return the policies, and whether any ledger that a replica wrote orders them."""
    policies, is_ordered = [], False
    for each in _texts(folder):
        if each.name == records.POLICY:
            policies.append(each)
        elif each.name == records.LEDGER and not each.is_foreign:
            is_ordered = is_ordered or has_order(each.text)
    return policies, is_ordered


def _texts(folder: Path) -> Iterator[TextRevision]:
    return records.read(folder / records.TEXTS, TextRevision)
