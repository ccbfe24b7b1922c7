"""The recipes of docs/install.md are the files in examples/recipes, and decide what the tests beside them say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import USERQUOTA, in_process

ROOT = Path(__file__).parent.parent.parent
RECIPES = ROOT / "examples/recipes"
SECTION = (ROOT / "docs/install.md").read_text().partition("\n## Recipes\n")[2]
CASES = {path.name.removesuffix("-tests.yaml"): path for path in sorted(RECIPES.glob("*-tests.yaml"))}


def test_the_policies_of_the_document_are_those_of_the_files() -> None:
    told = re.findall(r"^```yaml\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    assert sorted(told) == sorted((RECIPES / f"{name}.yaml").read_text() for name in CASES)
    assert len(told) > 8


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_decides_what_its_tests_say(name: str) -> None:
    ended = in_process("policy", "test", str(CASES[name]))
    assert ended.code == 0, ended.out + ended.err
    assert in_process("policy", "validate", "--strict", str(RECIPES / f"{name}.yaml")).code == 0


@pytest.mark.slow
def test_the_command_of_the_document_runs_them() -> None:
    [command] = re.findall(r"^\$ (userquota policy test .*)$", SECTION, re.MULTILINE)
    environ = os.environ | {"PATH": f"{USERQUOTA.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" 0 failed\n")
