"""docs/doctor.md has each check and each feature, as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webhook.doctor.checkup import CHECKS
from webhook.doctor.features import FEATURES, NEEDED_VERSION, lacking, written

TEXT = (Path(__file__).parents[2] / "docs/doctor.md").read_text()


def rows(heading: str) -> list[list[str]]:
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_check_has_its_row_in_the_order_of_the_output() -> None:
    assert [re.sub("`", "", row[0]) for row in rows("Checks")] == list(CHECKS)


def test_the_table_of_features_is_that_of_the_code() -> None:
    assert rows("What a feature needs") == [[each.name, written(each.needed), each.below] for each in FEATURES]


@pytest.mark.parametrize(
    ("version", "expected"),
    [((1, 29), 10), ((1, 30), 8), ((1, 33), 7), ((1, 34), 4), ((1, 36), 1), ((1, 37), 0), ((2, 0), 0)],
)
def test_a_feature_is_lacking_below_its_version(version: tuple[int, int], expected: int) -> None:
    assert len(lacking(version)) == expected


def test_the_manifests_need_the_version_that_is_needed() -> None:
    assert FEATURES[0].needed == NEEDED_VERSION
