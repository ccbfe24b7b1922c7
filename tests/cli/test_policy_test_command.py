"""`userquota policy test`: 0 if all cases pass, 1 if one does not, 2 for what cannot be read; and its reports."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.running import userquota

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs/policy-tests.md").read_text()

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 1}}}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
CASES = """\
policy: ../policy.yaml
cases:
  - {name: one pod, as: {user: alice}, namespace: red, when: pod.yaml, expect: allow}
  - {name: "another, <b>", as: {user: alice}, namespace: red, when: pod.yaml, expect: EXPECTED,
     given: [{user: alice, uses: {pods: 1}}]}
  - {name: no namespace, as: {user: alice}, when: pod.yaml, expect: allow}
"""
REFUSAL = (
    "deny by defaults.user: exceeded quota: defaults.user, requested: pods=1, used: pods=1, limited: pods=1, "
    "reserved: pods=0, free: pods=0 for user/alice; would fit: nothing until a pod ends; charged to alice (created it)"
)
NOT_RUN = "it cannot be run: no namespace: write it in the case, or in the object"
SAID = f"""\
pass  tests/cases.yaml:3: one pod
FAIL  tests/cases.yaml:4: another, <b>
      expected: allow
      got:      {REFUSAL}
FAIL  tests/cases.yaml:6: no namespace
      expected: allow
      got:      {NOT_RUN}
1 passed, 2 failed
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "tests/pod.yaml").write_text(POD)
    (tmp_path / "tests/cases.yaml").write_text(CASES.replace("EXPECTED", "allow"))
    good = CASES.replace("EXPECTED", "{verdict: deny, limit: defaults.user, message: pods=1}")
    (tmp_path / "tests/good.yaml").write_text("".join(good.splitlines(keepends=True)[:-1]))
    (tmp_path / "tests/wrong.yaml").write_text(good.replace("expect: allow", "expects: allow"))
    return tmp_path


def test_the_example_of_the_document_says_what_stands_there() -> None:
    (example, *_), (command, said) = (
        re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL),
        re.findall(r"```console\n\$ (.*?)\n(.*?)```", DOCUMENT, re.DOTALL)[0],
    )
    ended = userquota(*command.split()[1:], folder=ROOT)
    assert (ended.code, ended.out, ended.err) == (0, said, "")
    assert (ROOT / "examples/policy-tests.yaml").read_text() == example


def test_a_case_that_fails_is_told_with_what_came(folder: Path) -> None:
    ended = userquota("policy", "test", "tests/cases.yaml", folder=folder)
    assert (ended.code, ended.out, ended.err) == (1, SAID, "")
    assert userquota("policy", "test", "tests/good.yaml", folder=folder).code == 0


def test_a_workflow_gets_annotations(folder: Path) -> None:
    ended = userquota("policy", "test", "tests/cases.yaml", "-o", "github", folder=folder)
    annotations = (
        f"::error file=tests/cases.yaml,line=4,col=5::another, <b>%0Aexpected: allow%0Agot:      {REFUSAL}\n"
        f"::error file=tests/cases.yaml,line=6,col=5::no namespace%0Aexpected: allow%0Agot:      {NOT_RUN}\n"
    )
    assert (ended.code, ended.out) == (1, SAID + annotations)


def test_junit_has_a_suite_for_each_file(folder: Path) -> None:
    ended = userquota("policy", "test", "tests/good.yaml", "tests/cases.yaml", "-o", "junit", folder=folder)
    report = ET.fromstring(ended.out)  # noqa: S314 - our own
    assert ended.code == 1
    assert report.attrib == {"name": "userquota policy test", "tests": "5", "failures": "2", "errors": "0"}
    good, bad = report
    assert [each.attrib["name"] for each in report] == ["tests/good.yaml", "tests/cases.yaml"]
    assert (good.attrib["failures"], bad.attrib["failures"]) == ("0", "2")
    failed = [(case.attrib["name"], each.attrib["message"]) for case in bad for each in case]
    assert failed == [("another, <b>", f"got:      {REFUSAL}"), ("no namespace", f"got:      {NOT_RUN}")]
    assert bad[1].attrib["line"] == "4"


MISSPELT = """\
policy: policy.yaml
cases:
  - {name: nine cpus, as: {user: alice}, namespace: red, when: nine.yaml, expect: EXPECTED}
"""
NINE = POD + "spec: {containers: [{name: main, resource: {requests: {cpu: 9}}}]}\n"
FIELD = "it cannot be run: nine.yaml:1: Pod p: spec.containers[0].resource: unknown field, did you mean resources?"


@pytest.mark.parametrize("expected", ["allow", "deny"])
def test_a_case_whose_manifest_is_misspelt_fails_whatever_it_expects(tmp_path: Path, expected: str) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\ndefaults: {user: {hard: {cpu: 4}}}\n")
    (tmp_path / "nine.yaml").write_text(NINE)
    (tmp_path / "cases.yaml").write_text(MISSPELT.replace("EXPECTED", expected))
    ended = userquota("policy", "test", "cases.yaml", folder=tmp_path)
    assert (ended.code, ended.err) == (1, "")
    said = f"FAIL  cases.yaml:3: nine cpus\n      expected: {expected}\n      got:      {FIELD}\n0 passed, 1 failed\n"
    assert ended.out == said


MISTAKE = "tests/wrong.yaml:3:72: cases[0].expects: unknown field, did you mean expect?"


@pytest.mark.parametrize("output", ["text", "github", "junit"])
def test_a_mistake_in_any_file_ends_it_before_anything_is_run(folder: Path, output: str) -> None:
    ended = userquota("policy", "test", "tests/good.yaml", "tests/wrong.yaml", "-o", output, folder=folder)
    assert ended.code == 2
    assert MISTAKE in (ended.err if output == "junit" else ended.out)
    assert ("::error file=tests/wrong.yaml,line=3,col=72::" in ended.out) == (output == "github")
    assert "passed" not in ended.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.yaml", "userquota: gone.yaml: No such file or directory\n"),
        ("none", "userquota: none: no .yaml, .yml, .json or .jsonl file in it\n"),
    ],
)
def test_what_cannot_be_read_is_told(folder: Path, name: str, said: str) -> None:
    (folder / "none").mkdir()
    ended = userquota("policy", "test", name, folder=folder)
    assert (ended.code, ended.out, ended.err) == (2, "", said)
