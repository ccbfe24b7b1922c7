"""`make sbom`: each package of the lock with its version and all its hashes, and the same text each time."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9.-]+)==([^\s;]+)((?:.|\n)*?)(?=^[a-z]|\Z)", re.MULTILINE)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text() -> str:
    return sbom()


def sbom() -> str:
    command = ["make", "--silent", "--no-print-directory", "sbom"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_sbom_has_each_package_of_the_lock_with_version_and_hashes(text: str) -> None:
    told = {
        (each["name"], each["version"]): {
            hashed["content"]
            for place in each["externalReferences"]
            for hashed in place["hashes"]
            if hashed["alg"] == "SHA-256"
        }
        for each in json.loads(text)["components"]
    }
    lock = (ROOT / "requirements/run.txt").read_text()
    pinned = {
        (name, version): set(re.findall(r"sha256:([0-9a-f]{64})", rest)) for name, version, rest in PIN.findall(lock)
    }
    assert sum(len(each) for each in pinned.values()) == lock.count("sha256:")
    assert all(pinned.values())
    assert told == pinned
    assert sbom() == text


def test_the_sbom_is_of_userquota_in_a_format_that_scanners_read(text: str) -> None:
    bom = json.loads(text)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["name"] == "userquota"
    assert "timestamp" not in bom["metadata"]
    assert "serialNumber" not in bom
