"""
The model of the ledger protocol: it holds in every state of the small scenarios, and each of its rules is needed.

The full form, with more than ten million states each for two and for three replicas, is in README.md.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from localcluster.toolchain import find_go, go_environment, parse_go_version

pytestmark = pytest.mark.go

HERE = Path(__file__).parent
TIME_LIMIT = 300

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
}


def rows(output: str, heading: str) -> list[dict[str, str]]:
    """Return the rows of the table that begins with the column *heading*."""
    lines = iter(output.splitlines())
    names = next(cells(line) for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(dict(zip(names, cells(line), strict=True)))
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def answer() -> subprocess.CompletedProcess[str]:
    minimum = parse_go_version((HERE / "go.mod").read_text())
    assert minimum is not None
    go = find_go(minimum, environ=os.environ)
    return subprocess.run(
        [go, "run", ".", "-reduced"],
        cwd=HERE,
        env=go_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def test_the_protocol_holds_in_every_state(answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    scenarios = rows(answer.stdout, "scenario")
    assert {row["result"] for row in scenarios} == {"holds"}
    assert {row["replicas"] for row in scenarios} == {"2", "3"}
    assert sum(int(row["states"]) for row in scenarios) >= 100_000


def test_no_rule_of_it_can_be_left_out(answer: subprocess.CompletedProcess[str]) -> None:
    variants = rows(answer.stdout, "variant")
    caught = {row["variant"]: (row["caught by"], row["a limit is exceeded"].startswith("after")) for row in variants}
    assert caught == CAUGHT_BY
