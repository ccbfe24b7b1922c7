"""
Run a model with Go, and read the tables that it prints.

What they have to say is in the tests of each model.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from localcluster.toolchain import find_go, go_environment, parse_go_version

HERE = Path(__file__).parent


def explore(package: str, *, time_limit: float) -> subprocess.CompletedProcess[str]:
    """Return what the small scenarios and the variants of the model in *package* give, within *time_limit* seconds."""
    minimum = parse_go_version((HERE / "go.mod").read_text())
    assert minimum is not None
    return subprocess.run(
        [find_go(minimum, environ=os.environ), "run", package, "-reduced"],
        cwd=HERE,
        env=go_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=time_limit,
        check=False,
    )


def rows(output: str, heading: str) -> list[dict[str, str]]:
    """Return the rows of the table that begins with the column *heading*."""
    lines = iter(output.splitlines())
    names = next(cells(line) for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(dict(zip(names, cells(line), strict=True)))
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
