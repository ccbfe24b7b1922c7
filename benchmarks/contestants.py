"""
The servers that are compared, each started once, on the same CPU, with the same certificate.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine

POLICY = Path(__file__).parent / "policy.yaml"

OURS = "userquota"
CONTROLLER_RUNTIME = "controller-runtime"
BARE = "bare net/http"

_START_SECONDS = 30.0


class ContestantError(Exception):
    """A server does not run. The text ends with its output."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that listens on *port*. *start_cpu* is the CPU time until it listened."""

    name: str
    port: int
    pid: int
    start_cpu: float


@contextlib.contextmanager
def running(programs: Path, folder: Path) -> Iterator[dict[str, Contestant]]:
    """
    Start all of them; stop them at the end. *folder* has tls.crt and tls.key, and gets their logs.

    Raises: ContestantError.
    """
    with contextlib.ExitStack() as stack:
        commands = _commands(programs, folder)
        yield {name: stack.enter_context(started(name, command, folder)) for name, command in commands.items()}


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Contestant]:
    """Start userquota alone. Raises: ContestantError."""
    with started(OURS, _commands(folder, folder)[OURS], folder) as contestant:
        yield contestant


def _commands(programs: Path, folder: Path) -> dict[str, Callable[[int], list[str]]]:
    def ours(port: int) -> list[str]:
        serve = [sys.executable, "-m", "webhook", "serve", "--standalone", "--policy", str(POLICY), "--drain", "0"]
        tls = ["--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")]
        return [*serve, *tls, "--listen", f"127.0.0.1:{port}"]

    def peer(program: str) -> Callable[[int], list[str]]:
        return lambda port: [str(programs / program), f"-port={port}", f"-certificates={folder}"]

    return {OURS: ours, CONTROLLER_RUNTIME: peer("controllerruntime"), BARE: peer("bare")}


@contextlib.contextmanager
def started(name: str, command: Callable[[int], list[str]], folder: Path) -> Iterator[Contestant]:
    """Start a server with the *command* for a port; stop it at the end. Raises: ContestantError."""
    port = _free_port()
    log = folder / f"{name.replace('/', '-')}.log"
    with log.open("w") as output, machine.pinned(machine.cpus().server):
        process = subprocess.Popen(
            command(port), env=os.environ | {"GOMAXPROCS": "1"}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(port, process, log)
        yield Contestant(name, port, process.pid, machine.cpu_seconds(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.05)
    raise ContestantError(f"{process.args!r} does not answer:\n{log.read_text()[-2000:]}")
