"""
A control plane of plain processes on loopback: etcd, any number of API servers, and a controller manager on request.

There is no scheduler and no kubelet: pods stay Pending. No webhook is registered.
"""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from localcluster.access import ClusterAccess
from localcluster.binaries import Binaries
from localcluster.commands import Layout
from localcluster.errors import LocalClusterError
from localcluster.plan import CONTROLLERS, ETCD, Options, Plan, prepare
from localcluster.processes import ChildProcess
from localcluster.readiness import wait_until_ready
from localcluster.users import ADMIN, permissions

_SECONDS_TO_END = 10


class ControlPlane:
    """
    A control plane in *data_dir*, a folder that it creates; a context manager that starts and stops it, once.

    *on_started* is called with each process as soon as it exists. Not safe to share between threads while it starts or
    stops; ``kubeconfig`` and ``kubectl`` may be called from any thread. Unless it is detached, its processes end with
    the thread that started it: see ChildProcess.
    """

    def __init__(
        self,
        data_dir: Path,
        binaries: Binaries,
        *,
        options: Options | None = None,
        on_started: Callable[[ChildProcess], None] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self._binaries = binaries
        self._options = options or Options()
        self._on_started = on_started
        self._layout = Layout(data_dir)
        self._plan: Plan | None = None

    @property
    def access(self) -> ClusterAccess:
        """
        Addresses and tokens.

        Raises: LocalClusterError before the start, as does every method that needs them.
        """
        return self._started.access

    @property
    def server_urls(self) -> list[str]:
        """One URL per API server."""
        return list(self.access.server_urls)

    @property
    def processes(self) -> dict[str, ChildProcess]:
        """The processes by name: ``etcd``, ``kube-apiserver-1``, ``kube-apiserver-2``, ``kube-controller-manager``."""
        return {name: planned.process for name, planned in self._started.processes.items()}

    def kubeconfig(self, user: str = ADMIN, *, server: int = 1) -> Path:
        """Return a kubeconfig: see ClusterAccess."""
        return self.access.kubeconfig(user, server=server)

    def kubectl(
        self,
        *arguments: str,
        user: str = ADMIN,
        stdin: str | None = None,
        check: bool = True,
        server: int = 1,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl: see ClusterAccess."""
        return self.access.kubectl(*arguments, user=user, stdin=stdin, check=check, server=server, timeout=timeout)

    def audit_log(self, server: int = 1) -> Path:
        """Return the audit log of an API server, one JSON event per line; it exists where ``audit_level`` is set."""
        return self._layout.audit_log(server)

    def start(self) -> None:
        """
        Start all processes; return when the API servers are ready, the people have rights and the controllers run.

        Raises: LocalClusterError, after stopping all that was started.
        """
        self._plan = prepare(self._layout, self._binaries, self._options)
        try:
            self._start_and_wait(self._plan)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process, etcd last, and keep the files. Does nothing where all are stopped."""
        if self._plan is None:
            return
        processes = self.processes
        etcd = processes.pop(ETCD)
        for process in processes.values():
            process.ask_to_end()
        for process in processes.values():
            process.await_end(grace=_SECONDS_TO_END)
        etcd.stop()
        self._release_ports()

    def restart(self, name: str) -> None:
        """
        Stop one process if it runs, start it again at the same address, and return when it is ready.

        The controller manager has no address: its controllers work some tenths of a second later.
        """
        planned = self._started.processes[name]
        planned.process.stop()
        self._start(planned.process)
        if planned.probe is not None:
            wait_until_ready(planned.process, planned.probe)

    def pause(self, name: str) -> None:
        """Stop a process with SIGSTOP, until ``resume``."""
        self.processes[name].send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Continue a paused process."""
        self.processes[name].send(signal.SIGCONT)

    def create_namespace(self, name: str) -> None:
        """Create a namespace, and wait for its service account where there is a controller manager: pods need it."""
        self.kubectl("create", "namespace", name)
        if self._options.controller_manager:
            self.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=30s")

    def let_go(self) -> None:
        """Forget the detached processes, which run on: this object can no longer stop them."""
        for process in self.processes.values():
            process.let_go()
        self._release_ports()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _started(self) -> Plan:
        if self._plan is None:
            raise LocalClusterError("the control plane has not been started")
        return self._plan

    def _start_and_wait(self, plan: Plan) -> None:
        controllers = plan.processes.get(CONTROLLERS)
        probed = {planned.process: planned.probe for planned in plan.processes.values() if planned.probe is not None}
        for process in probed:
            self._start(process)
        for process, probe in probed.items():
            wait_until_ready(process, probe)
        if controllers is not None:  # it ends if its API server does not answer yet
            self._start(controllers.process)
        self.kubectl("create", "--filename=-", stdin=permissions())
        if controllers is not None:
            wait_until_ready(controllers.process, self._has_service_account)

    def _start(self, process: ChildProcess) -> None:
        process.start()
        if self._on_started is not None:
            self._on_started(process)

    def _has_service_account(self) -> bool:
        """Whether the controllers work: the API server itself creates no service account."""
        return self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0

    def _release_ports(self) -> None:
        for port in self._started.ports:
            port.release()
