"""
Builds Go programs for tests, each a folder with its own go.mod. go.sum pins what is not in the standard library.

Kubernetes' own programs are built by `localcluster.build`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster.binaries import cache_folder, report_to_stderr
from localcluster.build import this_platform
from localcluster.locks import locked
from localcluster.toolchain import find_go, go_environment, parse_go_version

_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")


class ProgramError(Exception):
    """A program cannot be built; the text ends with the output of the compiler."""


def built_program(module: Path, *, environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return the program of the folder *module*, built if it is missing: once per state of its sources.

    It is outside the checkout. Safe against two builds at once. Raises: GoMissingError, ProgramError.
    """
    program = cache_folder(environ).parent / "programs" / f"{module.name}-{_key(module)}"
    lock = program.with_name(f"{program.name}.lock")
    with locked(lock, on_wait=lambda: report_to_stderr(f"another process is building {module.name}")):
        if not program.is_file():
            unfinished = program.with_name(f"{program.name}.unfinished")
            _build(module, unfinished, environ)
            unfinished.rename(program)
    return program


def _build(module: Path, output: Path, environ: Mapping[str, str]) -> None:
    minimum = parse_go_version((module / "go.mod").read_text())
    if minimum is None:
        raise ProgramError(f"{module / 'go.mod'} has no go line")
    command = [str(find_go(minimum, environ=environ)), "build", *_FLAGS, "-o", str(output), "."]
    done = subprocess.run(command, cwd=module, env=go_environment(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramError(f"go build of {module.name} ended with {done.returncode}:\n{done.stderr[-4000:]}")


def _key(module: Path) -> str:
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for path in sorted(path for path in module.rglob("*") if path.name == "go.mod" or path.suffix == ".go"):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(module).as_posix()} {len(content)}\n".encode() + content)
    target = this_platform()
    return f"{target.goos}-{target.goarch}-{digest.hexdigest()[:12]}"
