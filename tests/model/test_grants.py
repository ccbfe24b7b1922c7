"""
The model of grants: it holds in every state of the small scenarios, and each of its rules is needed.

The webhook has no grants yet: this is the protocol that it is to follow. The full form is in grants/README.md.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.model.explored import explore, rows

pytestmark = pytest.mark.go

# The invariant that breaks first without each rule, and whether a limit is exceeded.
CAUGHT_BY = {
    "notcharged": ("no over-admission", True),
    "refills": ("dominance", True),
    "forgetsearly": ("dominance", True),
    "dropsinflight": ("dominance", True),
    "nosettle": ("dominance", True),
    "nowater": ("no over-admission", True),
    "nobound": ("dominance", True),
    "frozenclock": ("dominance", True),
    "fromend": ("dominance", True),
    "readextends": ("dominance", True),
    "expiresearly": ("dominance", True),
    "waitst": ("dominance", True),
    "waits40": ("dominance", True),
    "expirynowater": ("dominance", True),
    "ownwater": ("dominance", True),
    "readsearly": ("dominance", True),
    "byholder": ("dominance", True),
    "noexpiry": ("no leak", False),
    "rebuilds40": ("dominance", True),
    "rebuildnowater": ("dominance", True),
    "partial": ("dominance", True),
    "exactkeeps": ("no over-admission", True),
    "besideswap": ("dominance", True),
    "latereturn": ("dominance", True),
    "believesconflict": ("dominance", True),
    "nocas": ("dominance", True),
    "doublereturn": ("dominance", True),
    "believesold": ("dominance", True),
    "deaf": ("all room is usable", False),
    "deniesfull": ("no false denial", False),
    "anonymous": ("no false denial", False),
    "askedagain": ("no false denial", False),
    "judgesgranted": ("no over-admission", True),
    "judgesfull": ("no false refusal of an edit", False),
    "dryruntakes": ("dry-run purity", False),
}


@pytest.fixture(scope="module")
def answer() -> subprocess.CompletedProcess[str]:
    return explore("./grants", time_limit=300)


def test_the_protocol_holds_in_every_state(answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    scenarios = rows(answer.stdout, "scenario")
    assert {row["result"] for row in scenarios} == {"holds"}
    assert {row["replicas"] for row in scenarios} == {"2", "3"}
    assert sum(int(row["states"]) for row in scenarios) >= 1_000_000


def test_no_rule_of_it_can_be_left_out(answer: subprocess.CompletedProcess[str]) -> None:
    variants = rows(answer.stdout, "variant")
    caught = {row["variant"]: (row["caught by"], row["a limit is exceeded"].startswith("after")) for row in variants}
    assert caught == CAUGHT_BY
