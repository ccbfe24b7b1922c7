"""A process ends when it is asked to, when it is not, and when we do."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from localcluster.errors import LocalClusterError, ProcessError
from localcluster.processes import ChildProcess
from localcluster.readiness import wait_until_ready

SLEEP = "/bin/sleep"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Return a function that makes a process of its arguments; each process is stopped at the end."""
    made: list[ChildProcess] = []

    def make(*argv: str) -> ChildProcess:
        made.append(ChildProcess("child", argv, log_file=tmp_path / "logs" / "child.log"))
        return made[-1]

    yield make
    for process in made:
        process.stop(grace=0)


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


def wait_for_log(process: ChildProcess, text: str) -> None:
    wait_until_ready(process, lambda: text in process.log_tail(), seconds=10)


def test_a_stopped_process_is_gone(child: Callable[..., ChildProcess]) -> None:
    process = child(SLEEP, "60")
    process.start()
    assert is_alive(process.pid)

    process.stop()

    assert not process.is_running()
    assert not is_alive(process.pid)


def test_a_paused_process_is_stopped_without_waiting_for_the_grace_to_pass(child: Callable[..., ChildProcess]) -> None:
    process = child(SLEEP, "60")
    process.start()
    process.send(signal.SIGSTOP)

    started = time.monotonic()
    process.stop(grace=30)

    assert time.monotonic() - started < 10
    assert not is_alive(process.pid)


def test_a_process_that_does_not_listen_is_killed(child: Callable[..., ChildProcess]) -> None:
    process = child("/bin/sh", "-c", STUBBORN)
    process.start()
    wait_for_log(process, "ready")

    process.stop(grace=0.2)

    assert not is_alive(process.pid)


def test_stopping_twice_or_before_the_start_does_nothing(child: Callable[..., ChildProcess]) -> None:
    process = child(SLEEP, "60")
    process.stop()
    process.start()
    process.stop()
    process.stop()

    assert not process.is_running()


def test_a_process_can_be_started_again_and_its_log_goes_on(child: Callable[..., ChildProcess]) -> None:
    process = child("/bin/sh", "-c", "echo hello; exec sleep 60")
    for log in ("hello", "hello\nhello"):
        process.start()
        wait_for_log(process, log)
        process.stop()

    assert process.log_tail() == "hello\nhello"


def test_starting_a_running_process_is_refused(child: Callable[..., ChildProcess]) -> None:
    process = child(SLEEP, "60")
    process.start()
    with pytest.raises(LocalClusterError, match="child runs already"):
        process.start()


def test_a_detached_program_that_cannot_be_run_is_an_error_of_ours(tmp_path: Path) -> None:
    process = ChildProcess("child", ["/does/not/exist"], log_file=tmp_path / "log", detached=True)

    with pytest.raises(LocalClusterError, match="cannot start child"):
        process.start()


def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_last_lines(
    child: Callable[..., ChildProcess],
) -> None:
    process = child("/bin/sh", "-c", "seq 1 100; echo address already in use >&2; exit 1")
    process.start()

    with pytest.raises(ProcessError) as caught:
        wait_until_ready(process, lambda: False, seconds=10)

    text = str(caught.value)
    assert text.startswith(f"child ended before it was ready; the end of {process.log_file}:\n")
    assert text.endswith("\n99\n100\naddress already in use")


def test_a_process_that_is_never_ready_is_reported_when_the_time_is_up(child: Callable[..., ChildProcess]) -> None:
    process = child(SLEEP, "60")
    process.start()
    with pytest.raises(ProcessError, match=r"child was not ready after 0\.2 s"):
        wait_until_ready(process, lambda: False, seconds=0.2)


def test_a_process_dies_when_the_one_that_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from localcluster.processes import ChildProcess\n"
        f"child = ChildProcess('child', [{SLEEP!r}, '61'], log_file=Path({str(tmp_path / 'log')!r}))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()

    wait_for_end(pid)


def test_a_held_port_is_given_to_nobody_else() -> None:
    held = [HeldPort() for _ in range(50)]
    try:
        assert len({port.number for port in held}) == len(held)
    finally:
        for port in held:
            port.release()
