"""Every test, file and page that the documents refer to is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]

TEST = re.compile(r"`(?:tests/)?(?P<file>[\w/]+\.py)(?:::(?P<names>[\w:]+))?`")
PATH = re.compile(r"`(?P<path>(?:webhook|tests|nemesis|localcluster|manifests|benchmarks|examples|certs)/[\w./-]*)`")
LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?:#[^)]*)?\)")


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the functions and classes of a file, methods as `Class::method`."""
    return frozenset(_definitions(ast.parse(path.read_text())))


def _definitions(tree: ast.Module | ast.ClassDef, around: str = "") -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{around}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{node.name}::")


def missing_in(page: Path) -> Iterator[str]:
    text = page.read_text()
    for found in TEST.finditer(text):
        places = [folder / found["file"] for folder in (ROOT / "tests", ROOT / "webhook", ROOT)]
        names = found["names"]
        if not any(file.exists() and (not names or names in defined_in(file)) for file in places):
            yield found[0]
    yield from (found["path"] for found in PATH.finditer(text) if not (ROOT / found["path"]).exists())
    yield from (found["target"] for found in LINK.finditer(text) if not (page.parent / found["target"]).exists())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_refers_to_is_there(page: Path) -> None:
    assert list(missing_in(page)) == []
