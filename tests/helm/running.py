"""
Helm as a process. The program beside this file is upstream's, built once per pinned version.

For another version: `go get helm.sh/helm/v4@VERSION && go mod tidy` in this folder.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.go_programs import built_program

CHART = Path(__file__).parents[2] / "manifests"
RELEASE = "userquota"
TEST_POD = ("Pod", "userquota-test")

Objects = dict[tuple[str, str], dict[str, Any]]


class HelmError(Exception):
    """Helm ended with an error; the text is what it said."""


class Helm:
    """Runs helm with files of its own in *folder*, nothing of the user's."""

    def __init__(self, folder: Path) -> None:
        self._program = built_program(Path(__file__).parent)
        self._environ = {
            "PATH": os.defpath,
            "HOME": str(folder),
            **{f"HELM_{each}_HOME": str(folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")},
        }

    def __call__(self, *arguments: str, kubeconfig: Path | None = None, values: object = None) -> str:
        """Return what helm prints. *values* are given to it as a file. Raises: HelmError."""
        return self.ended(*arguments, kubeconfig=kubeconfig, values=values).stdout

    def ended(
        self, *arguments: str, kubeconfig: Path | None = None, values: object = None
    ) -> subprocess.CompletedProcess[str]:
        """Return what helm printed, and what it logged with `--debug` on standard error. Raises: HelmError."""
        given = [] if values is None else ["--values=-"]
        done = subprocess.run(
            [str(self._program), *arguments, *given],
            env=self._environ | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}),
            input=None if values is None else yaml.safe_dump(values),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise HelmError(done.stderr)
        return done

    def rendered(self, values: object = None, *, namespace: str = "userquota-system", chart: Path = CHART) -> Objects:
        """Return the objects of the chart, the pod of `helm test` among them."""
        return by_name(self("template", RELEASE, str(chart), f"--namespace={namespace}", values=values))


def by_name(text: str) -> Objects:
    """Return the objects in *text* by kind and name, each of which may be there once."""
    found = [each for each in yaml.safe_load_all(text) if each is not None]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found)
    return named
