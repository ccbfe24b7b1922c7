"""The recipe of the image, as far as it can be judged without building it."""

from __future__ import annotations

import fnmatch
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = (ROOT / "Containerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [shlex.split(line) for line in INSTRUCTIONS if line.startswith("COPY ")]
COPIED = [source for step in STEPS if not step[1].startswith("--from=") for source in step[1:-1]]


def argument(instruction: str) -> list[str]:
    """Return the arguments of the last such instruction, which is the one of the image itself."""
    return [line.partition(" ")[2] for line in INSTRUCTIONS if line.startswith(f"{instruction} ")][-1:]


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path of this checkout out of the build; the last pattern that matches decides."""
    verdict = False
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!")
        parts = path.split("/")
        begins = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        anywhere = bare.removeprefix("**/")
        names = parts if bare.startswith("**/") else begins
        if any(fnmatch.fnmatchcase(name, anywhere) for name in names):
            verdict = not pattern.startswith("!")
    return verdict


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_is_there_and_reaches_the_build(source: str) -> None:
    assert (ROOT / source).exists()
    assert not ignored(source)


def test_something_is_copied() -> None:
    assert {"requirements/run.txt", "webhook", "manifests", "image/assemble.py", "image/userquota"} == set(COPIED)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "certs/tls.key",
        "webhook/left.key",
        "manifests/tls.pem",
        "manifests/values.schema.json",
        "manifests/components/cert-manager/kustomization.yaml",
        "manifests/templates/objects.yaml",
        "manifests/kind/cluster.yaml",
        "webhook/adapters/__pycache__/x.pyc",
        "requirements/dev.txt",
        "tests/conftest.py",
    ],
)
def test_no_key_no_history_and_no_leftovers_reach_the_build(path: str) -> None:
    assert ignored(path)


def test_it_does_not_run_as_root_and_serves_unless_told_otherwise() -> None:
    assert argument("USER") == ["65532:65532"]
    assert argument("ENTRYPOINT") == ['["userquota"]']
    assert argument("CMD") == ['["serve"]']


def test_nothing_unpinned_is_installed() -> None:
    installs = [line for line in INSTRUCTIONS if "pip" in line and " install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    for line in (ROOT / "requirements" / "run.txt").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            assert "==" in line
