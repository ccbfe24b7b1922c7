"""The control plane of ``userquota local``: it outlives the command, and ``down`` stops exactly what ``up`` started."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster.binaries import Binaries
from localcluster.detached import DetachedProcess, start_detached
from localcluster.errors import LocalClusterError
from localcluster.state import current, down, state_folder, up

SLEEP = "/bin/sleep"
UP = "import sys; from localcluster.state import up; print(up(sys.stderr.write).folder)"


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def wait_for_start(process: DetachedProcess, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in process.log_file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def names(process: Path, folder: bytes) -> bool:
    """Whether the command line of a folder of /proc names *folder*."""
    try:
        return folder in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.mark.usefixtures("binaries")
def test_a_local_control_plane_lives_from_up_to_down(environ: dict[str, str], tmp_path: Path) -> None:
    """One test, because each start takes seconds: up, found again, a program beside it, a killed process, down."""
    try:
        first = subprocess.run([sys.executable, "-c", UP], env=environ, check=True, capture_output=True, text=True)
        assert first.stdout.strip() == str(state_folder(environ))
        cluster = current(environ=environ)
        assert cluster is not None
        assert cluster.access.kubectl("auth", "can-i", "create", "pods", user="alice").stdout == "yes\n"

        pids = [process.pid for process in cluster.processes()]
        assert [process.pid for process in up(print, environ=environ).processes()] == pids, "a second up started anew"

        script = tmp_path / "webhook"
        script.write_text(f"#!/bin/sh\necho $ROLE\nexec {SLEEP} 60\n")
        script.chmod(0o755)
        earlier = cluster.start_process("webhook", [str(script)], environ={"ROLE": "earlier"})
        wait_for_start(earlier, "earlier")
        later = cluster.start_process("webhook", [str(script)], environ={"ROLE": "later"})
        wait_for_start(later, "later")
        assert not is_alive(earlier.pid)
        assert cluster.processes()[-1] == later
        assert later.is_running()

        os.kill(pids[1], signal.SIGKILL)
        wait_for_end(pids[1])
        cluster = up(print, environ=environ)
        assert not any(map(is_alive, [*pids, later.pid])), "processes of the damaged control plane are left"
        assert cluster.access.kubectl("get", "namespaces", user="alice").returncode == 0

        pids = [process.pid for process in cluster.processes()]
        assert down(environ=environ)
        assert not any(map(is_alive, pids))
        assert not cluster.data_dir.exists()
        assert current(environ=environ) is None
        assert not down(environ=environ)
        with pytest.raises(LocalClusterError, match="the local control plane was taken down"):
            cluster.start_process("webhook", [SLEEP, "60"])
    finally:
        down(environ=environ)


def test_what_an_interrupted_up_had_started_is_ended_by_down(environ: dict[str, str], binaries: Binaries) -> None:
    """``up`` is killed while it waits for the API server."""
    with subprocess.Popen([sys.executable, "-c", UP], env=environ, stderr=subprocess.DEVNULL) as command:
        state = state_folder(environ) / "cluster.json"
        deadline = time.monotonic() + 30
        while not (state.exists() and "kube-apiserver-1" in state.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        command.kill()
    written = str(state_folder(environ)).encode()
    started = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and names(entry, written)]
    assert len(started) == 2

    assert current(environ=environ) is None
    assert down(environ=environ)

    assert not any(map(is_alive, started))


def test_a_pid_that_belongs_to_another_program_now_is_left_alone(tmp_path: Path) -> None:
    stranger = start_detached("stranger", [SLEEP, "62"], log_file=tmp_path / "log")
    try:
        ours = replace(stranger, name="etcd", birth="another time")

        assert not ours.is_running()
        assert not ours.stop()
        assert stranger.is_running()
    finally:
        assert stranger.stop()
    assert not stranger.is_running()


def test_a_launcher_that_turned_into_its_program_is_known_again(tmp_path: Path) -> None:
    launcher = start_detached("webhook", ["/bin/sh", "-c", f"echo here; exec {SLEEP} 62"], log_file=tmp_path / "log")
    wait_for_start(launcher, "here")

    assert launcher.is_running()
    assert launcher.stop()
    assert not is_alive(launcher.pid)


def test_a_detached_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    argv = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    stubborn = start_detached("stubborn", argv, log_file=tmp_path / "log")
    wait_for_start(stubborn, "ready")

    assert stubborn.stop(grace=0.2)

    assert not is_alive(stubborn.pid)
    assert not stubborn.stop()


def test_without_a_local_control_plane_there_is_nothing_to_take_down(environ: dict[str, str]) -> None:
    assert current(environ=environ) is None
    assert not down(environ=environ)
    assert not state_folder(environ).exists()


def test_a_state_that_cannot_be_read_is_an_error_that_says_what_to_do(environ: dict[str, str]) -> None:
    folder = state_folder(environ)
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text('{"ready": "perhaps"}')

    with pytest.raises(LocalClusterError, match=f"{folder}/cluster.json cannot be read: .*; delete {folder}"):
        current(environ=environ)


@pytest.mark.parametrize(
    ("home", "folder"),
    [
        pytest.param({"XDG_STATE_HOME": "/states"}, Path("/states/userquota/local"), id="as XDG says"),
        pytest.param({}, Path.home() / ".local/state/userquota/local", id="in the home folder"),
    ],
)
def test_the_state_is(home: dict[str, str], folder: Path) -> None:
    assert state_folder(home) == folder
