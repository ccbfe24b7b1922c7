"""A proxy as a process, in front of an API server or of etcd. Its signals: see `nemesis.proxy`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from localcluster.processes import ChildProcess

_START_SECONDS = 10.0


class RunningProxy:
    """Passes connections on to *target*, a URL, from *port* or from any. It dies with the thread that started it."""

    def __init__(self, name: str, target: str, folder: Path, *, port: int = 0) -> None:
        self._told_in = folder / f"{name}.url"
        argv = [sys.executable, "-m", "nemesis.proxy", target, str(self._told_in), str(port)]
        self._process = ChildProcess(name, argv, log_file=folder / f"{name}.log")

    @property
    def url(self) -> str:
        """Where it listens; known once it was started."""
        return self._told_in.read_text()

    def start(self) -> None:
        """Return when it listens."""
        self._process.start()
        end = time.monotonic() + _START_SECONDS
        while not self._told_in.exists():
            assert time.monotonic() < end, f"{self._process.name} does not listen: {self._process.log_tail()}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self._process.send(number)

    def stop(self) -> None:
        self._process.stop()
