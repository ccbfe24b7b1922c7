"""
Find etcd, kube-apiserver, kube-controller-manager and kubectl, and build them where they are missing.

How they are built: see ``build``. Nothing is started here.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.build import GO_MODULE, Report, build_key, build_once, go_compiler, this_platform
from localcluster.errors import BinariesMissingError, LocalClusterError
from localcluster.versions import pin_of


@dataclass(frozen=True, slots=True)
class Binaries:
    """
    The programs of one control plane.

    ``kube_controller_manager`` is None where the folder of ``KUBEBUILDER_ASSETS`` has none: envtest's does not.
    """

    etcd: Path
    kube_apiserver: Path
    kubectl: Path
    kube_controller_manager: Path | None


def find_binaries(environ: Mapping[str, str], *, report: Report | None = None) -> Binaries:
    """
    Return the binaries: those of ``KUBEBUILDER_ASSETS`` where it is set, else those of the cache, built if missing.

    Those of the cache are of the minor or the version in ``KUBERNETES``, by default of the newest that is pinned.
    The first build takes about seven minutes on two cores; its progress goes to *report*, by default standard error.

    Raises: BinariesMissingError, GoMissingError, BuildError; LocalClusterError for a version that is not pinned, or
    beside ``KUBEBUILDER_ASSETS``.
    """
    assets, wanted = environ.get("KUBEBUILDER_ASSETS"), environ.get("KUBERNETES")
    if assets and wanted:
        raise LocalClusterError(f"KUBERNETES={wanted} has no effect on KUBEBUILDER_ASSETS={assets}: unset one of them")
    if assets:
        return _binaries_in(Path(assets))
    report = report or report_to_stderr
    target = this_platform()
    pin = pin_of(GO_MODULE, wanted)
    folder = cache_folder(environ) / build_key(GO_MODULE, target, go_mod=pin.go_mod)
    if not folder.is_dir():
        report(f"Kubernetes {pin.version} has to be built: this takes about 7 minutes on 2 cores, once")
        compiler = go_compiler(GO_MODULE, target, environ=environ, go_mod=pin.go_mod)
        build_once(folder, compile_target=compiler, report=report)
    return _binaries_in(folder)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds one folder per build; it is outside any checkout and nothing deletes it."""
    home = environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "userquota" / "controlplane"


def report_to_stderr(line: str) -> None:
    """Write one line of progress to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _binaries_in(folder: Path) -> Binaries:
    folder = folder.resolve()
    missing = tuple(name for name in ("etcd", "kube-apiserver", "kubectl") if not (folder / name).is_file())
    if missing:
        raise BinariesMissingError(folder, missing)
    controller_manager = folder / "kube-controller-manager"
    return Binaries(
        etcd=folder / "etcd",
        kube_apiserver=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        kube_controller_manager=controller_manager if controller_manager.is_file() else None,
    )
