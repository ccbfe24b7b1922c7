"""
The one local control plane of this user: started by one command, found and stopped by later ones.

The webhook beside it is not known here: the command line starts it with ``LocalCluster.start_process``.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from localcluster.access import ClusterAccess
from localcluster.binaries import Binaries, find_binaries
from localcluster.build import Report
from localcluster.commands import Layout
from localcluster.controlplane import ControlPlane
from localcluster.detached import DetachedProcess, start_detached
from localcluster.errors import LocalClusterError
from localcluster.locks import locked
from localcluster.pki import write_private
from localcluster.plan import Options
from localcluster.processes import ChildProcess


@dataclass(frozen=True, slots=True)
class _State:
    """What is recorded. ``ready`` is False while ``up`` runs, and after it was killed."""

    ready: bool
    access: ClusterAccess
    control_plane: tuple[DetachedProcess, ...]
    others: tuple[DetachedProcess, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A control plane that runs on between commands."""

    folder: Path
    access: ClusterAccess

    @property
    def data_dir(self) -> Path:
        """The folder of the control plane's files; ``down`` deletes it."""
        return _run_folder(self.folder)

    def processes(self) -> tuple[DetachedProcess, ...]:
        """
        Return every recorded process of it, running or not.

        Raises: LocalClusterError if it was taken down meanwhile.
        """
        state = self._state()
        return (*state.control_plane, *state.others)

    def start_process(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> DetachedProcess:
        """
        Start one more program that ``down`` stops, such as the webhook; an earlier one of that *name* is stopped first.

        Its output goes to *log_file*, by default ``logs/NAME.log`` in the data folder.

        Raises: LocalClusterError if it cannot be started, or the cluster was taken down meanwhile.
        """
        with _locked(self.folder):
            state = self._state()
            for earlier in state.others:
                if earlier.name == name:
                    earlier.stop()
            started = start_detached(name, argv, log_file=log_file or Layout(self.data_dir).log(name), environ=environ)
            others = (*(other for other in state.others if other.name != name), started)
            _save(self.folder, replace(state, others=others))
        return started

    def _state(self) -> _State:
        state = _load(self.folder)
        if state is None:
            raise LocalClusterError("the local control plane was taken down")
        return state


def up(on_progress: Report, *, environ: Mapping[str, str] = os.environ) -> LocalCluster:
    """
    Return the local control plane, started with a controller manager if it does not run; it runs on after us.

    One that lacks a process is replaced by a new and empty one. Whatever ends this function early, ``down`` finds what
    it had started, except after a SIGKILL in the millisecond between a start and the record of it.

    Raises: LocalClusterError; nothing runs then, and the logs stay until the next attempt.
    """
    folder = state_folder(environ)
    binaries = find_binaries(environ, report=on_progress)
    with _locked(folder):
        state = _load(folder)
        if state is not None and state.ready and all(process.is_running() for process in state.control_plane):
            return LocalCluster(folder, state.access)
        _tear_down(folder)
        on_progress("starting etcd, kube-apiserver and kube-controller-manager")
        return _bring_up(folder, binaries)


def down(*, environ: Mapping[str, str] = os.environ) -> bool:
    """Stop the local control plane and what was started beside it, and delete its data; False if nothing ran."""
    folder = state_folder(environ)
    if not folder.exists():
        return False
    with _locked(folder):
        return _tear_down(folder)


def current(*, environ: Mapping[str, str] = os.environ) -> LocalCluster | None:
    """Return the local control plane; None unless it was started completely and a part of it still runs."""
    folder = state_folder(environ)
    state = _load(folder)
    if state is None or not state.ready or not any(process.is_running() for process in state.control_plane):
        return None
    return LocalCluster(folder, state.access)


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder in which the local control plane is recorded."""
    home = environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "userquota" / "local"


def _bring_up(folder: Path, binaries: Binaries) -> LocalCluster:
    started: list[DetachedProcess] = []

    def record(process: ChildProcess) -> None:
        started.append(DetachedProcess.of(process))
        _save(folder, _State(ready=False, access=control_plane.access, control_plane=tuple(started)))

    options = Options(controller_manager=True, detached=True)
    control_plane = ControlPlane(_run_folder(folder), binaries, options=options, on_started=record)
    control_plane.start()
    _save(folder, _State(ready=True, access=control_plane.access, control_plane=tuple(started)))
    control_plane.let_go()
    return LocalCluster(folder, control_plane.access)


def _tear_down(folder: Path) -> bool:
    state = _load(folder)
    processes = () if state is None else (*state.control_plane, *state.others)
    were_running = [process.stop() for process in reversed(processes)]
    _state_file(folder).unlink(missing_ok=True)
    shutil.rmtree(_run_folder(folder), ignore_errors=True)
    return any(were_running)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "lock", on_wait=lambda: None):
        yield


def _run_folder(folder: Path) -> Path:
    return folder / "run"


def _state_file(folder: Path) -> Path:
    return folder / "cluster.json"


def _save(folder: Path, state: _State) -> None:
    write_private(_state_file(folder), msgspec.json.encode(state, enc_hook=str))


def _load(folder: Path) -> _State | None:
    try:
        text = _state_file(folder).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(text, type=_State, dec_hook=_path)
    except msgspec.DecodeError as error:
        raise LocalClusterError(f"{_state_file(folder)} cannot be read: {error}; delete {folder}") from error


def _path(kind: type, value: str) -> Path:
    if kind is not Path:
        raise NotImplementedError(kind)
    return Path(value)
