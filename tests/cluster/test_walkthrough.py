"""
docs/walkthrough.md is what the commands print on a real cluster, in their order.

RECORD=1 writes it anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.running import USERQUOTA
from tests.cluster.conftest import empty
from tests.cluster.running import RunningWebhook, eventually
from webhook.registration import manifest_files

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs/walkthrough.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(admin|alice|bob|carol)\$ (.*)\n")
NAMESPACE = "research"
AGE = r"\b(?:[1-9]m)?\d+s\b|\b[1-9]m\b"
"""Up to ten minutes. The document has no amounts of a few thousandths of a core."""

MOVING = {AGE: "45s", r"\bweb-\w+-\w{5}\b": "web-pod", r'time="[\d.]+"': 'time="0.1"', r" +": " "}
"""What differs from one run to the next: ages, the names of pods, times; and so the widths of columns."""


@pytest.fixture
def folder(running: RunningWebhook, view: None, tmp_path: Path) -> Iterator[Path]:
    """The folder in which the commands run; nothing is left of what they make."""
    [shipped] = yaml.safe_load_all(manifest_files.folder().joinpath("policy.yaml").read_text())
    running.set_policy(shipped["data"]["policy.yaml"])
    yield shutil.copytree(ROOT / "examples/walkthrough", tmp_path / "walkthrough")
    empty(running, NAMESPACE)


def test_the_document_is_what_the_commands_print(running: RunningWebhook, folder: Path) -> None:
    document = DOCUMENT.read_text()
    played = BLOCK.sub(lambda found: f"```console\n{play(running, folder, found[1])}```", document)
    if os.environ.get("RECORD"):
        DOCUMENT.write_text(played)
    assert without_moving(played) == without_moving(document)


def without_moving(text: str) -> str:
    for moving, fixed in MOVING.items():
        text = re.sub(moving, fixed, text)
    return text


def play(running: RunningWebhook, folder: Path, block: str) -> str:
    return "".join(f"{who}$ {line}\n{printed(running, folder, who, line)}" for who, line in COMMAND.findall(block))


def printed(running: RunningWebhook, folder: Path, who: str, line: str) -> str:
    """Return what a command prints, once what it has done is known."""
    kubectl = running.cluster.access.kubectl_binary
    environ = os.environ | {
        "PATH": os.pathsep.join((str(USERQUOTA.parent), str(Path(kubectl).parent), os.environ["PATH"])),
        "KUBECONFIG": str(running.cluster.kubeconfig(who)),
    }
    before = running.log.read_text()
    done = subprocess.run(
        ["bash", "-c", f"{line} 2>&1"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if "userquota-policy serverside-applied\n" in done.stdout:
        eventually(lambda: "policy" in running.log.read_text()[len(before) :])
    elif "apply" in line:
        time.sleep(2)  # controllers make pods, and the replica sees them
        eventually(lambda: "userquota_reservations 0.0" in running.metrics())
    return done.stdout
