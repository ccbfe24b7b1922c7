"""The import rules of pyproject.toml hold, and each of them detects a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BREACHES = (
    ("webhook/quota/limits.py", "time", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/quota/usage.py", "asyncio", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/kinds/pod_cost.py", "logging", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/preflight/census.py", "asyncio", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/liquid/usage.py", "time", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/view/standings.py", "time", "quota, kinds, doctor, liquid, preflight and view are pure"),
    ("webhook/view/rules.py", "webhook.view.wire", "view"),
    ("webhook/quota/quantity.py", "webhook.quota.policy", "quota"),
    ("webhook/kinds/registry.py", "webhook.ports", "A request goes down, imports do too"),
    ("webhook/admission/handler.py", "webhook.serving.metrics", "A request goes down, imports do too"),
    ("webhook/ledger/shared.py", "webhook.kube.events", "A request goes down, imports do too"),
    ("webhook/kube/events.py", "webhook.settings", "A request goes down, imports do too"),
    ("webhook/ledger/codec.py", "webhook.ledger.shared", "ledger"),
    ("webhook/attribution/stamp.py", "webhook.attribution.rules", "attribution"),
    ("webhook/preflight/traces.py", "webhook.preflight.report", "preflight"),
    ("webhook/preflight/report.py", "webhook.kube.object_list", "A request goes down, imports do too"),
    ("webhook/admission/review.py", "webhook.admission.handler", "admission"),
    ("webhook/documents/tree.py", "webhook.documents.policy_text", "documents"),
    ("webhook/kube/namespaces.py", "webhook.kube.object_sink", "kube"),
    ("webhook/admission/charge.py", "aiohttp", "Only the outer rooms meet the network"),
    ("webhook/kube/access.py", "kubernetes", "One module knows the Kubernetes client"),
    ("webhook/kube/identity_leases.py", "kubernetes", "One module knows the Kubernetes client"),
    ("localcluster/state.py", "webhook.quota.policy", "The local control plane knows nothing of the webhook"),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages and their rules, to be broken."""
    for package in ("webhook", "localcluster"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "go"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([tool, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_rules_hold(copy: Path) -> None:
    answer = lint(copy)
    assert answer.returncode == 0, answer.stdout


def test_every_breach_is_found_and_a_new_module_needs_a_place(copy: Path) -> None:
    """All breaches at once: the tool takes seconds for each run, whatever it finds."""
    for file, imported, _ in BREACHES:
        path = copy / file
        path.write_text(f"{path.read_text()}\nimport {imported}\n")
    (copy / "webhook" / "utils.py").write_text('"""Whatever."""\n')

    answer = lint(copy)

    assert answer.returncode == 1
    assert "utils" in answer.stdout  # a module in no layer ends the check of that contract
    (copy / "webhook" / "utils.py").unlink()
    told = lint(copy).stdout
    missing = [
        (file, imported, contract)
        for file, imported, contract in BREACHES
        if f"{contract} BROKEN" not in told
        or f"{file.removesuffix('.py').replace('/', '.')} -> {imported} (l." not in told
    ]
    assert missing == [], told
