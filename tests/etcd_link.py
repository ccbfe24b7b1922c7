"""The connection of one API server to etcd, which can hang."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from localcluster.processes import ChildProcess
from tests.balancer.running import lasting_port
from tests.running_proxy import RunningProxy


class EtcdLink:
    """
    A proxy between API server *number* and etcd, as a process of its own.

    Give `ports` to the control plane's Options, and `on_started` to the control plane itself.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self._number = number
        self._folder = folder
        self._port = lasting_port()
        self._proxy: RunningProxy | None = None

    @property
    def ports(self) -> Mapping[int, int]:
        return {self._number: self._port}

    def on_started(self, process: ChildProcess) -> None:
        """Start to forward connections as soon as etcd runs."""
        if process.name != "etcd":
            return
        prefix = "--advertise-client-urls="
        target = next(word.removeprefix(prefix) for word in process.argv if word.startswith(prefix))
        self._proxy = RunningProxy(f"link-{self._number}", target, self._folder, port=self._port)
        self._proxy.start()

    def hang(self) -> None:
        """Stop forwarding, and keep what arrives; new connections wait, too."""
        self._send(signal.SIGSTOP)

    def flow(self) -> None:
        """Forward what has arrived, and continue."""
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        if self._proxy is not None:
            self._proxy.stop()

    def _send(self, number: signal.Signals) -> None:
        assert self._proxy is not None
        self._proxy.send(number)
