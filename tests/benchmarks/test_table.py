"""The table says what the recorded numbers say. No time is asserted here: that is what the table is for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, table
from benchmarks.figures import Figure, Row

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())
"""Of a real run, on a machine that was far from quiet."""


def test_every_target_that_is_measured_has_its_row() -> None:
    rows = figures.rows(RECORDED)

    assert {row.id for row in rows} == {"P1", "P2", "P3", "P4", "P6", "P7", "P8", "P9", "kinds"}
    assert {row.id for row in rows if row.target is None} <= {"P3", "P4", "P6", "kinds"}


def test_a_row_is_the_median_of_its_rounds_with_the_spread() -> None:
    raw = copy.deepcopy(RECORDED)
    ours, peer = iter((30.0, 50.0)), iter((200.0, 400.0))
    for run in raw["wire"]["runs"]:
        if (run["path"], run["rate"]) == ("/validate", 0) and run["contestant"] != "bare net/http":
            run["cpu_us"] = next(ours if run["contestant"] == "userquota" else peer)

    row = next(row for row in figures.rows(raw) if row.id == "P1")

    assert (row.ours, row.other) == (Figure(40.0, "us", 30.0, 50.0), Figure(300.0, "us", 200.0, 400.0))
    assert row.ratio == pytest.approx(40 / 300)
    assert row.is_met is True


VERDICTS = {
    "below a ceiling": (20, 100, 0.25, True, True),
    "on a ceiling": (25, 100, 0.25, True, True),
    "above a ceiling": (26, 100, 0.25, True, False),
    "above a floor": (11_000, 10_000, 1, False, True),
    "below a floor": (9_000, 10_000, 1, False, False),
    "without a target": (1, 2, None, True, None),
}


@pytest.mark.parametrize(("ours", "other", "target", "is_ceiling", "met"), VERDICTS.values(), ids=VERDICTS.keys())
def test_a_target_is_met_or_not(
    ours: float, other: float, target: float | None, is_ceiling: bool, met: bool | None
) -> None:
    row = Row("P0", "", Figure(ours, "us", ours, ours), "", Figure(other, "us", other, other), target, is_ceiling)

    assert row.is_met is met


def test_the_table_is_markdown_with_columns_in_line() -> None:
    lines = [line for line in table.render(RECORDED).splitlines() if line.startswith("|")]

    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(figures.rows(RECORDED))


@pytest.mark.parametrize(("longest", "said"), [(0.4, ": quiet."), (20.0, ": NOT quiet: ")])
def test_the_noise_is_told_beside_the_table(longest: float, said: str) -> None:
    raw = copy.deepcopy(RECORDED)
    for noise in raw["wire"]["noise"]:
        noise["longest_ms"] = longest

    assert said in table.render(raw)


def test_the_kinds_are_compared_with_pods_in_the_same_run() -> None:
    rows = [row for row in figures.rows(RECORDED) if row.id == "kinds"]

    assert [row.target for row in rows] == [1.3, 1.3, 1.3, 1.3, 1.5, None]
    assert {(row.against, row.other) for row in rows[:4]} == {("pods", rows[0].other)}
    assert rows[4].what == "memory: 100 000 pods, 50 000 claims, 10 000 ResourceClaims"
    assert rows[4].against == "100 000 pods"


def test_a_run_of_the_kinds_alone_is_a_table_too() -> None:
    raw = {name: RECORDED[name] for name in ("versions", "machine", "kinds")}

    told = table.render(raw)

    assert [row.id for row in figures.rows(raw)] == ["kinds"] * 6
    assert "Noise floor: " in told
    assert "beside 10 000 of each" in told


def test_versions_and_bodies_are_told_beside_the_table() -> None:
    told = table.render(RECORDED)

    for name, version in RECORDED["versions"].items():
        assert f"{name} {version}" in told
    assert "Bodies: m 9.6 kB." in told
