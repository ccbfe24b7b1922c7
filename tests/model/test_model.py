"""
The model of the ledger protocol: it holds in every state of the small scenarios, and each of its rules is needed.

The full form, with more than ten million states each for two and for three replicas, is in README.md.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.model.explored import explore, rows

pytestmark = pytest.mark.go

# The invariant that breaks first without each rule, and whether a limit is exceeded.
CAUGHT_BY = {
    "nowater": ("no over-admission", True),
    "nobase": ("dominance: allowed", True),
    "noquorum": ("dominance: stored", True),
    "nofoundwater": ("dominance: stored", True),
    "early": ("dominance: allowed", True),
    "readearly": ("dominance: stored", True),
    "bykey": ("dominance: allowed", True),
    "nocas": ("dominance: allowed", True),
    "notoken": ("dominance: allowed", True),
    "dropunseen": ("dominance: allowed", True),
    "settleany": ("dominance: allowed", True),
    "mergedsettle": ("dominance: allowed", True),
    "rebuildearly": ("dominance: allowed", True),
    "rebuildnowater": ("dominance: stored", True),
    "rebuildoldlist": ("dominance: stored", True),
    "noobject": ("dominance: allowed", True),
    "dryrunwrites": ("dry-run purity", False),
    "staledeny": ("no false denial", False),
    "noexpiry": ("no leak", False),
    "nomerge": ("bounded per name", False),
    "unusedfree": ("no false denial", True),
    "twoholders": ("no false denial", True),
    "nameonce": ("no over-admission", True),
    "indexaside": ("no over-admission", True),
    "endsearly": ("no over-admission", True),
    "needsnodes": ("no false denial", False),
    "nomark": ("dominance: promised", True),
    "judgefirst": ("no over-admission", True),
    "decidesmarked": ("no over-admission", True),
    "unpromised": ("no over-admission", True),
    "deniesmarked": ("no false denial", False),
    "noversion": ("no over-admission", True),
    "markearly": ("dominance: promised", True),
    "marknoquorum": ("dominance: promised", True),
    "owntime": ("no over-admission", True),
    "marknotime": ("no over-admission", True),
    "judgesnow": ("no over-admission", True),
    "believesuse": ("no over-admission", True),
    "judgesbehind": ("no over-admission", True),
    "judgesbeside": ("no over-admission", True),
    "judgesold": ("no over-admission", True),
}

# After a loss of the ledger replicas may go by different promises for a while: how much is used of how much.
MORE_THAN_NODES_HAVE = {"moved, the ledger is lost": (2, 1)}


@pytest.fixture(scope="module")
def answer() -> subprocess.CompletedProcess[str]:
    return explore(".", time_limit=300)


def test_the_protocol_holds_in_every_state(answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    scenarios = rows(answer.stdout, "scenario")
    assert {row["result"] for row in scenarios} == {"holds"}
    assert {row["replicas"] for row in scenarios} == {"2", "3"}
    assert sum(int(row["states"]) for row in scenarios) >= 100_000


def test_only_the_loss_of_the_ledger_while_promises_change_lets_more_through_than_there_is(
    answer: subprocess.CompletedProcess[str],
) -> None:
    scenarios = rows(answer.stdout, "scenario")
    used = {row["scenario"]: (int(row["used at most"]), int(row["limit"].split(" → ")[0])) for row in scenarios}
    assert len(used) == len(scenarios)
    assert {title: (most, limit) for title, (most, limit) in used.items() if most > limit} == MORE_THAN_NODES_HAVE
    assert all(f"\n{title}: " in answer.stdout for title in MORE_THAN_NODES_HAVE)  # the way there is told


def test_no_rule_of_it_can_be_left_out(answer: subprocess.CompletedProcess[str]) -> None:
    variants = rows(answer.stdout, "variant")
    caught = {row["variant"]: (row["caught by"], row["a limit is exceeded"].startswith("after")) for row in variants}
    assert caught == CAUGHT_BY
