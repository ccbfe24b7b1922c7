"""What `make matrix` makes of the reports of pytest, and what it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localcluster.build import GO_MODULE
from localcluster.versions import Pin, pins
from tests.conftest import asked_version, why_left_out
from tests.matrix import TESTS, Outcome, read_outcome, table

ROOT = Path(__file__).parents[1]
PIN = Pin("v1.36.3", "minors/1.36.mod")

REPORT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite tests="6">
<testcase classname="tests.kube.test_events" name="test_a"/>
<testcase classname="tests.kube.test_events" name="test_b[x]"><failure message="assert 1 == 2">...</failure></testcase>
<testcase classname="tests.kube.test_events" name="test_c"><error message="failed on setup">...</error></testcase>
<testcase classname="tests.kube.test_events" name="test_c"><error message="failed on teardown">...</error></testcase>
<testcase classname="tests.kube.test_events" name="test_d"><skipped message="needs jq">...</skipped></testcase>
<testcase classname="tests.kube.test_events" name="test_e"><skipped message="needs jq">...</skipped></testcase>
</testsuite></testsuites>
"""


def test_a_report_is_read() -> None:
    failed = ("tests/kube/test_events.py::test_b[x]", "tests/kube/test_events.py::test_c")

    assert read_outcome(REPORT, PIN, seconds=3) == Outcome(PIN, 1, failed, {"needs jq": 2}, 3)


def test_the_table_has_a_line_for_each_minor_and_names_what_failed_and_was_left_out() -> None:
    assert list(table([Outcome(Pin("v1.37.2", "go.mod"), 7, (), {}, 61.4), read_outcome(REPORT, PIN, seconds=3)])) == [
        "minor  version   passed failed left out seconds",
        "1.37   v1.37.2        7      0        0      61",
        "1.36   v1.36.3        1      2        2       3",
        "1.36: failed: tests/kube/test_events.py::test_b[x]",
        "1.36: failed: tests/kube/test_events.py::test_c",
        "1.36: left out: 2 tests: needs jq",
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(PIN, 1, (), {}, 1), True),
        (Outcome(PIN, 1, ("test_a",), {}, 1), False),
        (Outcome(PIN, 0, (), {"needs jq": 1}, 1), False),
    ],
)
def test_a_minor_for_which_nothing_passed_is_no_success(outcome: Outcome, expected: bool) -> None:
    assert outcome.is_good == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"KUBERNETES": "1.36"}, (1, 36)),
        ({"KUBERNETES": PIN.version}, (1, 36)),
        ({"KUBEBUILDER_ASSETS": "/somewhere"}, None),
        ({"USERQUOTA_KUBECONFIG": "/somewhere"}, None),
    ],
)
def test_the_version_that_tests_run_against(environ: dict[str, str], expected: tuple[int, int] | None) -> None:
    assert asked_version(environ) == expected
    newest = ".".join(map(str, asked_version({}) or ()))
    assert newest == pins(GO_MODULE)[0].minor


def test_a_test_is_left_out_by_the_table_of_features_alone() -> None:
    feature = "resources of whole pods"
    reason = f"{feature}: from Kubernetes 1.34 on; below, `spec.resources` does not exist, unless a feature gate is set"
    assert why_left_out(feature, (1, 33)) == reason
    assert [why_left_out(feature, version) for version in ((1, 34), (1, 37), None)] == ["", "", ""]
    with pytest.raises(ValueError, match="not enough values"):
        why_left_out("resources of hole pods", (1, 33))


def test_what_it_runs_exists() -> None:
    assert [each for each in TESTS if not (ROOT / each).exists()] == []


def test_the_documents_name_the_minors_that_are_pinned() -> None:
    text = (ROOT / "docs/versions.md").read_text()
    rows = re.findall(r"^\| (1\.\d+) \| (v\S+) \|", text, re.MULTILINE)
    assert rows == [(each.minor, each.version) for each in pins(GO_MODULE)]

    minors = [each.minor for each in pins(GO_MODULE)]
    named = f"Kubernetes {', '.join(reversed(minors[1:]))} and {minors[0]}"
    assert named in " ".join((ROOT / "README.md").read_text().split())
