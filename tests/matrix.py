"""
`make matrix`: the tests that depend most on Kubernetes, against each minor that is pinned, and a table of the results.

The exit code is 1 if a test failed, or if a minor had nothing to show.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from localcluster.binaries import find_binaries
from localcluster.build import GO_MODULE
from localcluster.versions import Pin, pins

ROOT = Path(__file__).parents[1]

TESTS = (
    "tests/doctor/test_features_of_a_server.py",
    "tests/doctor/test_on_a_cluster.py",
    "tests/kinds/test_charge_equals_resourcequota.py",
    "tests/localcluster/test_controlplane.py",
    "tests/manifests/test_manifests.py",
    "tests/manifests/test_matching.py",
    "tests/cluster/test_claims.py",
    "tests/cluster/test_main_job.py",
    "tests/cluster/test_pod_resize.py",
    "tests/cluster/test_resource_claims.py",
    "tests/cluster/test_resourcequota_cases.py",
    "tests/cluster/test_scopes.py",
    "tests/cluster/test_session_presets.py",
    "tests/cluster/test_sessions.py",
    "tests/cluster/test_view.py",
)
"""What runs beside each minor, of it only what starts an API server: the rest is the same with any."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for one minor; `left_out` has the reasons of the tests that were skipped, and their numbers."""

    pin: Pin
    passed: int
    failed: tuple[str, ...]
    left_out: Mapping[str, int]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether tests ran and none failed."""
        return self.passed > 0 and not self.failed


def read_outcome(report: str, pin: Pin, *, seconds: float) -> Outcome:
    """Return what a report of pytest in the form of JUnit says."""
    passed, failed, left_out = 0, [], Counter[str]()
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314  what our own pytest wrote
        skipped = case.find("skipped")
        if skipped is not None:
            left_out[skipped.get("message", "")] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")
        else:
            passed += 1
    return Outcome(pin, passed, tuple(dict.fromkeys(failed)), left_out, seconds)


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Build one line for each minor, then one for each test that failed or reason why some were left out."""
    listed = list(outcomes)
    yield f"{'minor':6} {'version':9} {'passed':>6} {'failed':>6} {'left out':>8} {'seconds':>7}"
    for each in listed:
        numbers = f"{each.passed:6} {len(each.failed):6} {sum(each.left_out.values()):8} {each.seconds:7.0f}"
        yield f"{each.pin.minor:6} {each.pin.version:9} {numbers}"
    for each in listed:
        yield from (f"{each.pin.minor}: failed: {name}" for name in each.failed)
        yield from (f"{each.pin.minor}: left out: {number} tests: {why}" for why, number in each.left_out.items())


def run(pin: Pin, folder: Path) -> Outcome:
    """Run the tests against one minor, with what they print in *folder*. Raises: LocalClusterError."""
    environ = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
    environ["KUBERNETES"] = pin.version
    find_binaries(environ)
    report = folder / f"{pin.minor}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-m", "cluster", f"--junit-xml={report}", "-o", "junit_family=xunit1"]
    with (folder / f"{pin.minor}.log").open("w") as log:
        subprocess.run([*command, *TESTS], cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT, check=False)
    seconds = time.monotonic() - started
    if not report.is_file():
        return Outcome(pin, 0, (f"pytest wrote no report: see {log.name}",), {}, seconds)
    return read_outcome(report.read_text(), pin, seconds=seconds)


def main() -> int:
    """Run each minor that is asked for, one after the other."""
    known = pins(GO_MODULE)
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("matrix-out"), help="folder for logs (default: %(default)s)")
    parser.add_argument("minors", nargs="*", metavar="MINOR", help=f"of {', '.join(each.minor for each in known)}")
    asked = parser.parse_args()
    unknown = set(asked.minors) - {each.minor for each in known}
    if unknown:
        parser.error(f"not pinned: {', '.join(sorted(unknown))}")
    asked.out.mkdir(exist_ok=True)
    outcomes = []
    for pin in known:
        if not asked.minors or pin.minor in asked.minors:
            print(f"Kubernetes {pin.version}: {asked.out / pin.minor}.log", file=sys.stderr, flush=True)
            outcomes.append(run(pin, asked.out))
    print("\n".join(table(outcomes)))
    return 0 if all(each.is_good for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
