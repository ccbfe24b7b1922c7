"""A balancer as a process, in front of given backends. What it does: see main.go."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from localcluster.addresses import LOOPBACK
from localcluster.processes import ChildProcess
from tests.go_programs import built_program

_PORTS = range(20_000, 32_000)
"""Below the ports of outgoing connections, so that a killed server finds its port free again."""

_START_SECONDS = 10.0


class RunningBalancer:
    """Passes connections to *port* on to *backends*, each HOST:PORT. It dies with the thread that started it."""

    def __init__(self, backends: Sequence[str], folder: Path) -> None:
        self.port = lasting_port()
        argv = [str(built_program(Path(__file__).parent)), f"-listen={LOOPBACK}:{self.port}", *backends]
        self.process = ChildProcess("balancer", argv, log_file=folder / "balancer.log")

    def start(self) -> None:
        """Return when it listens."""
        self.process.start()
        end = time.monotonic() + _START_SECONDS
        while "listens on" not in self.process.log_tail():
            assert self.process.is_running(), self.process.log_tail()
            assert time.monotonic() < end, "the balancer does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        self.process.stop()


def lasting_port() -> int:
    """Return a port that no process listens on and that no outgoing connection takes while its server is down."""
    while True:
        number = random.choice(_PORTS)  # noqa: S311 - only has to differ from its neighbours'
        with socket.socket() as tried:
            try:
                tried.bind((LOOPBACK, number))
            except OSError:
                continue
            return number
