"""The house stays as CONTRIBUTING.md says: the import rules hold, and break when they are broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its rules, to be spoilt."""
    shutil.copytree(ROOT / "webhook", tmp_path / "webhook", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([tool, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_rules_hold(copy: Path) -> None:
    answer = lint(copy)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("quota/limits.py", "import time", "The quota package is pure"),
        ("quota/book.py", "import asyncio", "The quota package is pure"),
        ("quota/quantity.py", "from webhook.quota import policy", "The quota package reads downwards too"),
        ("quota/pod.py", "from webhook import ports", "The story reads downwards"),
        ("admission/handler.py", "from webhook.adapters import metrics", "The story reads downwards"),
        ("admission/charge.py", "import aiohttp", "Only adapters and wiring meet the network"),
        ("admission/review.py", "from webhook.admission import handler", "The request path reads downwards"),
        ("adapters/pod_watch.py", "from webhook.adapters import ledger_memory", "Adapters know the API client"),
        ("adapters/events.py", "from webhook import settings", "The story reads downwards"),
        ("adapters/events.py", "import kubernetes", "One module knows the Kubernetes client"),
        ("documents/policy_text.py", "import socket", "Only adapters and wiring meet the network"),
        ("localcluster/state.py", "from webhook.quota import pod", "The local control plane knows nothing"),
    ],
)
def test_each_rule_breaks_when_it_is_broken(copy: Path, module: str, line: str, broken: str) -> None:
    path = copy / "webhook" / module
    text = path.read_text()
    marker = "from __future__ import annotations\n" if "from __future__" in text else '"""\n'
    path.write_text(text.replace(marker, f"{marker}\n{line}\n", 1) if "from __future__" in text else f"{line}\n{text}")
    answer = lint(copy)
    assert answer.returncode == 1
    assert any(broken in row and "BROKEN" in row for row in answer.stdout.splitlines()), answer.stdout


def test_a_new_module_has_to_be_given_a_place(copy: Path) -> None:
    (copy / "webhook" / "utils.py").write_text('"""Whatever."""\n')
    answer = lint(copy)
    assert answer.returncode == 1
    assert "utils" in answer.stdout
