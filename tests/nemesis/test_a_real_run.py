"""A short run with real processes: kills, pauses, changed limits, and no violation at any revision."""

from __future__ import annotations

from pathlib import Path

from localcluster.binaries import Binaries
from nemesis import report, run
from nemesis.edits_check import COMPARED
from nemesis.grants_check import STORED, WRITES
from nemesis.judge import Patience, judge
from nemesis.pools_check import COVERED, ON_DEMAND
from nemesis.records import PODS
from nemesis.started_pods import MADE


def test_three_replicas_that_are_killed_and_stopped_break_no_promise(binaries: Binaries, tmp_path: Path) -> None:
    plan = run.Plan(seed=11, minutes=0.6, rate=120.0, replicas=3, without=())

    run.perform(plan, tmp_path, report=lambda _: None)

    findings = judge(tmp_path, Patience(reclaim=100, convergence=100))
    assert findings.violations == [], report.render(tmp_path, findings)
    assert findings.counts["decisions: allowed"] > 100
    assert findings.counts["decisions: denied"] > 100
    assert findings.counts["pods checked for cover"] > 0
    assert findings.counts["decisions on persistentvolumeclaims"] > 50
    assert findings.counts["decisions on resourceclaims.resource.k8s.io"] > 50
    assert findings.counts["decisions on notebooks.kubeflow.org"] > 50
    assert findings.counts[MADE] > 0
    assert findings.counts["sums raised by a status"] > 0
    assert findings.counts["ledger: the next one"] > 20
    assert findings.counts[WRITES] > 5
    assert findings.counts[STORED.format(PODS)] > 0
    assert findings.counts[COVERED] > 2
    assert findings.counts[ON_DEMAND] > 2
    assert findings.counts[COMPARED] > 3
