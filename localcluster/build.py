"""
Build the binaries of the control plane from the Go module beside this file, once per pinned version.

Whether to build at all is decided in ``binaries``.
"""

import contextlib
import hashlib
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import BuildError, LocalClusterError
from localcluster.locks import locked
from localcluster.toolchain import find_go, go_environment, parse_go_version

GO_MODULE = Path(__file__).parent / "go"
GO_MOD = "go.mod"
"""What pins the versions by default; see ``versions`` for others."""

Report = Callable[[str], None]

_VERSION_PACKAGES = ("k8s.io/client-go/pkg/version", "k8s.io/component-base/version")
_SECONDS_BETWEEN_REPORTS = 30
_LINES_OF_OUTPUT = 30


@dataclass(frozen=True, slots=True)
class Target:
    """One binary and the Go package it is built from."""

    name: str
    package: str


# The small ones first: on a machine that cannot build, the first one fails within a minute.
TARGETS = (
    Target("etcd", "./cmd/etcd"),
    Target("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Target("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Target("kubectl", "./cmd/kubectl"),
)

Compile = Callable[[Target, Path, Report], None]


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor, as Go names them."""

    goos: str
    goarch: str


def this_platform() -> Platform:
    """Return the platform of this machine."""
    machine = platform.machine().lower()
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return Platform(goos=platform.system().lower(), goarch=names.get(machine, machine))


def kubernetes_version(module: Path, go_mod: str = GO_MOD) -> str:
    """Return the version of Kubernetes that *go_mod* in *module* pins, such as ``v1.37.2``."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (module / go_mod).read_text(), re.MULTILINE)
    if found is None:
        raise LocalClusterError(f"{module / go_mod} does not name k8s.io/kubernetes")
    return found[1]


def build_key(module: Path, target: Platform, *, go_mod: str = GO_MOD) -> str:
    """Return a folder name that differs whenever the binaries do: by sources, versions, flags and platform."""
    digest = hashlib.sha256()
    pinning = module / go_mod
    for path in sorted([*module.rglob("*.go"), pinning, pinning.with_suffix(".sum")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(module).as_posix()} {len(content)}\n".encode() + content)
    version = kubernetes_version(module, go_mod)
    for built in TARGETS:
        digest.update(f"{built.name} {built.package}\n".encode())
    digest.update("\n".join(_build_flags(version)).encode())
    return f"{version}-{target.goos}-{target.goarch}-{digest.hexdigest()[:12]}"


def build_once(folder: Path, *, compile_target: Compile, report: Report) -> None:
    """
    Build all binaries into *folder*, unless it exists.

    Safe against two builds at once, in one process or in several: the second waits for the first and finds its
    result. The folder appears whole or not at all.

    Raises: what *compile_target* raises; only the lock file is left then.
    """
    lock = folder.with_name(f"{folder.name}.lock")
    with locked(lock, on_wait=lambda: report("another process is building the control plane: waiting for it")):
        if folder.is_dir():
            return
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed: we hold the lock
        unfinished.mkdir()
        started = time.monotonic()
        try:
            for number, target in enumerate(TARGETS, start=1):
                elapsed = round(time.monotonic() - started)
                report(f"building {target.name} ({number} of {len(TARGETS)}, {elapsed} s so far)")
                compile_target(target, unfinished / target.name, report)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        report(f"built the control plane in {round(time.monotonic() - started)} s: {folder}")


def go_compiler(module: Path, target: Platform, *, environ: Mapping[str, str], go_mod: str = GO_MOD) -> Compile:
    """
    Return the function that builds one target of *module* with Go, with the versions of *go_mod*.

    Go's own caches of modules and packages are used and kept.

    Raises: GoMissingError at once; the function raises BuildError with the last lines of Go's output.
    """
    minimum = parse_go_version((module / go_mod).read_text())
    if minimum is None:
        raise LocalClusterError(f"{module / go_mod} has no go line")
    go = find_go(minimum, environ=environ)
    environment = go_environment(environ) | {"GOOS": target.goos, "GOARCH": target.goarch}
    flags = [f"-modfile={go_mod}", *_build_flags(kubernetes_version(module, go_mod))]

    def compile_target(built: Target, output: Path, report: Report) -> None:
        command = [str(go), "build", *flags, "-o", str(output), built.package]
        _run(command, name=built.name, folder=module, environment=environment, report=report)

    return compile_target


def _build_flags(version: str) -> tuple[str, ...]:
    # Without these a server reports the version v0.0.0-master, and kubectl refuses to compare versions.
    major, minor = version.removeprefix("v").split(".")[:2]
    numbers = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    stamps = [f"-X {package}.{name}={value}" for package in _VERSION_PACKAGES for name, value in numbers.items()]
    return ("-trimpath", "-buildvcs=false", "-ldflags", " ".join(["-s -w", *stamps]))


def _run(command: list[str], *, name: str, folder: Path, environment: Mapping[str, str], report: Report) -> None:
    started = time.monotonic()
    with subprocess.Popen(  # noqa: S603  the go that find_go returned, with arguments of ours
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output = None
            while output is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = process.communicate(timeout=_SECONDS_BETWEEN_REPORTS)
                if output is None:
                    report(f"still building {name}, {round(time.monotonic() - started)} s")
        finally:
            process.kill()  # without effect on one that has ended
    if process.returncode != 0:
        raise BuildError(name, "\n".join(output.splitlines()[-_LINES_OF_OUTPUT:]))
