"""
Builds the Go side: the two peers and the load client, once per state of their sources, outside the checkout.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from localcluster.binaries import cache_folder
from localcluster.build import this_platform
from localcluster.locks import locked
from localcluster.toolchain import find_go, go_environment, parse_go_version

MODULE = Path(__file__).parent / "peer"
PROGRAMS = ("controllerruntime", "bare", "load")

_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")


class PeerBuildError(Exception):
    """The Go side cannot be built; the text ends with the output of the compiler."""


def programs(*, report: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return the folder with all programs, built where they are missing. Safe against two builds at once.

    Raises: GoMissingError, PeerBuildError.
    """
    folder = cache_folder(environ).parent / "benchmarks" / _key()
    with locked(folder.with_name(f"{folder.name}.lock"), on_wait=lambda: report("another process is building")):
        if folder.is_dir():
            return folder
        minimum = parse_go_version((MODULE / "go.mod").read_text()) or (1, 26, 0)
        go = find_go(minimum, environ=environ)
        report(f"building the Go peers and the load client with {go}: some minutes, once")
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        command = [str(go), "build", *_FLAGS, "-o", f"{unfinished}/", *(f"./{name}" for name in PROGRAMS)]
        done = subprocess.run(
            command, cwd=MODULE, env=go_environment(environ), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PeerBuildError(f"go build ended with {done.returncode}:\n{done.stderr[-4000:]}")
        unfinished.rename(folder)
        return folder


def versions(folder: Path) -> dict[str, str]:
    """Return the versions that the peers were built with."""
    module = (MODULE / "go.mod").read_text()
    found = {
        name.rpartition("/")[2]: version
        for name in ("sigs.k8s.io/controller-runtime", "k8s.io/api")
        for version in re.findall(rf"^\s*{re.escape(name)} (\S+)", module, re.MULTILINE)
    }
    told = re.search(rb"\bgo1\.\d+(\.\d+)?", (folder / "bare").read_bytes())
    return {"go": told[0].decode() if told else "unknown", **found}


def _key() -> str:
    digest = hashlib.sha256(repr((_FLAGS, PROGRAMS)).encode())
    for path in sorted(MODULE.rglob("*")):
        if path.name in {"go.mod", "go.sum"} or path.suffix == ".go":
            digest.update(f"{path.relative_to(MODULE).as_posix()}\n".encode() + path.read_bytes())
    target = this_platform()
    return f"{target.goos}-{target.goarch}-{digest.hexdigest()[:12]}"
