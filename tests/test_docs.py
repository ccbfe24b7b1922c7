"""Check that every test, path and link in the documents exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.cluster import kubernetes_cases
from tests.cluster.kubernetes_cases import CASES
from tests.cluster.preset_walks import WALKS
from tests.cluster.session_walks import table
from tests.fakes import NOON
from webhook.documents import preset_files
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.limits import resolve_limits
from webhook.quota.subject import Account, Payer

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "tests/model", "tests/model/grants", "localcluster/go", "manifests", "certs")
    for path in (ROOT / folder).glob("*.md")
    if path.name != "CHANGELOG.md"  # it names what there was
)

_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PACKAGES = ("webhook", "tests", "nemesis", "localcluster", "benchmarks", "rehearsal", "image", "fuzz")
_FOLDERS = tuple(f"{folder}/" for folder in (*_PACKAGES, "docs", "manifests", "examples", "certs"))


def prose(document: str) -> str:
    return _FENCED.sub("", (ROOT / document).read_text())


def code(document: str) -> list[str]:
    """Return what *document* has in backticks, without the blocks."""
    return _CODE.findall(prose(document))


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the functions and classes of a module, methods as `Class::method`."""
    return frozenset(_defined(ast.parse(path.read_text()).body, ""))


def _defined(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _defined(node.body, f"{prefix}{node.name}::")


@cache
def all_test_names() -> frozenset[str]:
    names = {name for path in TESTS.rglob("test_*.py") for name in names_in(path)}
    return frozenset(name.rpartition("::")[2] for name in names)


@cache
def all_modules() -> frozenset[str]:
    return frozenset(path.name for folder in _PACKAGES for path in (ROOT / folder).rglob("*.py"))


def lost_tests(texts: list[str]) -> list[str]:
    """Return the references to no test: `path/test_x.py::name`, with a path relative to tests/, or a bare name."""
    lost = []
    for text in texts:
        file, separator, name = text.partition("::")
        if separator and file.endswith((".py", "…")):
            path = TESTS / file.removeprefix("tests/")
            if not path.is_file() or name not in names_in(path):
                lost.append(text)
        elif text.startswith("test_") and not text.endswith(".py") and text not in all_test_names():
            lost.append(text)
    return lost


def lost_paths(document: str, texts: list[str]) -> list[str]:
    """
    Return the paths that do not exist relative to the root, webhook/, tests/ or the folder of *document*.

    A module without a folder may be in any of our packages.
    """
    bases = (ROOT, ROOT / "webhook", TESTS, (ROOT / document).parent)
    paths = {text.partition("::")[0] for text in texts if " " not in text}
    named = sorted(path for path in paths if path.endswith(".py") or path.startswith(_FOLDERS))
    return [path for path in named if path not in all_modules() and not any((base / path).exists() for base in bases)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_test_exists(document: str) -> None:
    assert lost_tests(code(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_path_exists(document: str) -> None:
    assert lost_paths(document, code(document)) == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_no_merge_has_left_a_mark(document: str) -> None:
    assert re.findall(r"^(?:<{7}|={7}|>{7})(?: .*)?$", (ROOT / document).read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_to_a_file(document: str) -> None:
    targets = [link.partition("#")[0] for link in _LINK.findall(prose(document)) if "://" not in link]
    assert [target for target in targets if not ((ROOT / document).parent / target).exists()] == []


def policies_in(document: str) -> list[PolicyText]:
    """Return the policies that stand in *document* as blocks of YAML."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    return [PolicyText(f"block {number}", text) for number, text in enumerate(blocks, 1) if "version: 1\n" in text]


@pytest.mark.parametrize(("document", "least"), [("docs/install.md", 6), ("docs/attribution.md", 3)])
def test_every_policy_of_a_guide_is_valid(document: str, least: int) -> None:
    texts = policies_in(document)
    readings = [read_policy([text]) for text in texts]
    assert [(each.mistakes, each.notes) for each in readings] == [((), ())] * len(texts)
    assert len(texts) >= least


def test_the_example_for_capsule_limits_the_namespaces_of_its_tenant() -> None:
    [text] = [each for each in policies_in("docs/attribution.md") if "capsule" in each.text]
    policy = read_policy([text]).policy
    assert policy is not None
    labels = {"capsule.clastix.io/tenant": "solar", "kubernetes.io/metadata.name": "solar-dev"}
    limits = resolve_limits(policy, Account(Payer("alice")), namespace="solar-dev", labels=labels, now=NOON)
    assert {(each.subject, each.resource) for each in limits.sums} == {
        ("tenant/solar", "pods"),
        ("tenant/solar", "requests.cpu"),
        ("tenant/solar", "requests.memory"),
        ("namespace/solar-dev", "pods"),
    }
    assert policy.tenants_of({"capsule.clastix.io/tenant": "wind"}) == ()


def test_every_evasion_has_a_test_or_a_reason() -> None:
    lines = (ROOT / "docs/evasions.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.endswith(("| test |", "| shown by |"))]
    assert [row for row in rows if "::test_" not in row and "| none: " not in row] == []
    assert len(rows) > 80


def test_every_feature_of_streamspace_has_a_test_or_a_reason() -> None:
    lines = (ROOT / "docs/streamspace.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| S")]
    numbers = [*range(1, 9), 16, 17, *range(19, 26), *range(29, 42), 43, 47]
    assert [row[0] for row in rows] == [f"S{number}" for number in numbers]
    shown = {row[0]: row[-1] for row in rows if len(row) == 5}
    assert len(shown) == len(rows)
    told = ("not built: ", "not in admission: ")
    assert [number for number, text in shown.items() if "::test_" not in text and not text.startswith(told)] == []


def test_every_feature_of_unikorn_has_a_test_or_a_reason() -> None:
    lines = (ROOT / "docs/unikorn.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| U")]
    numbers = (2, 3, 4, 6, 7, 8, 9, 12, 13, 16, 17, 21, 22, 23, 24, 27, 31, 32, 33)
    assert [row[0] for row in rows] == [f"U{number}" for number in numbers]
    assert [row[0] for row in rows if "::test_" not in row[-1] and not row[-1].startswith("not built: ")] == []


def test_every_requirement_of_contracts_has_a_test_or_a_reason_and_is_counted() -> None:
    lines = (ROOT / "docs/contracts.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    shown = {row[0]: row[2] for row in cells if len(row) == 3 and row[0] != "#"}
    parts = [[f"U{number}" for number in range(1, 35)], [f"C{number}" for number in range(1, 85)]]
    parts.append([str(number) for number in range(1, 26)])
    assert list(shown) == [name for part in parts for name in part]

    def kind(text: str) -> str:
        told = ("partly: ", "**not built**: ", "does not apply: ")
        found = next((each for each in told if text.startswith(each)), "shown")
        assert ("::test_" in text) == (found in {"shown", "partly: "}), text
        assert (". Missing: " in text) == (found == "partly: "), text
        return found

    kinds = ("shown", "partly: ", "**not built**: ", "does not apply: ")
    counts = [[str([kind(shown[name]) for name in part].count(each)) for each in kinds] for part in parts]
    assert [row[1:] for row in cells if len(row) == 5][1:] == counts


def test_the_table_of_presets_under_their_limits_is_what_the_test_of_them_does() -> None:
    wanted = table(WALKS)
    lines = (ROOT / "docs/sessions.md").read_text().splitlines()
    begin = lines.index(wanted[0])
    assert lines[begin : lines.index("", begin)] == wanted
    assert {each.preset for each in WALKS} == set(preset_files.names())


def test_the_table_of_controllers_has_the_cases_that_are_played() -> None:
    wanted = kubernetes_cases.table(CASES.values())
    lines = (ROOT / "docs/policy.md").read_text().splitlines()
    begin = lines.index(wanted[0])
    assert lines[begin : lines.index("", begin)] == wanted


def test_the_main_documents_are_checked() -> None:
    assert {"README.md", "docs/failures.md", "docs/consistency.md", "docs/architecture.md", "docs/install.md"} <= set(
        DOCUMENTS
    )
    assert sum("::test_" in text for text in code("docs/failures.md")) > 50


def test_lost_references_are_found() -> None:
    here = "test_docs.py::test_lost_references_are_found"
    assert lost_tests([here, f"tests/{here}", "test_lost_references_are_found", "userquota get"]) == []
    lost = ["test_docs.py::test_gone", "gone/test_docs.py::test_x", "…::test_x", "test_gone", "test_lost_refer…"]
    assert lost_tests(lost) == lost


def test_lost_paths_are_found() -> None:
    kept = [
        "webhook/",
        "nemesis/judge.py",
        "quota/limits.py",
        "kube/test_events.py",
        "limits.py",
        "replicas.py::Replica",
    ]
    assert lost_paths("README.md", kept) == []
    lost = ["gone.py", "quota/gone.py", "tests/gone/", "webhook/cli/gone.py::name"]
    assert lost_paths("README.md", lost) == ["gone.py", "quota/gone.py", "tests/gone/", "webhook/cli/gone.py"]
