"""
Several replicas beside a real control plane, as processes behind one address, each of which can be killed and paused.

One replica without a balancer: see `tests.cluster.running`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from localcluster.addresses import LOOPBACK
from localcluster.controlplane import ControlPlane
from localcluster.processes import ChildProcess
from tests.balancer.running import RunningBalancer, lasting_port
from tests.cluster.running import (
    PATIENCE,
    apply_policy,
    ask,
    eventually,
    has_told_of_policy,
    install,
    is_ok,
    serve_argv,
    uninstall,
)

_ROOT = Path(__file__).parents[1]


def checked_out(revision: str, folder: Path) -> Path:
    """Write the files of a revision of this repository into *folder*, which is new, and return it."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision], stdout=subprocess.PIPE, check=True, cwd=_ROOT).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


class Replicas:
    """
    *count* times `userquota serve --ledger kubernetes`, registered with the API servers at *url*, the balancer's.

    Replica `i`, counted from 0, talks to API server `i` modulo their number. *options* take precedence over ours.
    With *older*, the folder of another checkout, every other start of a replica runs its code: `starts_of_older` counts
    them. Processes end with the thread that started them: see ChildProcess. Call `install` and `apply_policy` first.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        folder: Path,
        count: int,
        options: Sequence[str] = (),
        *,
        older: Path | None = None,
    ) -> None:
        self.cluster = cluster
        self.count = count
        self.starts_of_older = 0
        self._folder = folder
        self._older = older
        self._starts_older = [i % 2 == 0 for i in range(count)]
        self._addresses = [f"{LOOPBACK}:{lasting_port()}" for _ in range(count)]
        self._balancer = RunningBalancer(self._addresses, folder)
        self._options = tuple(options)
        self._replicas = [self._prepared(i) for i in range(count)]
        self._paused: set[int] = set()

    @property
    def url(self) -> str:
        """The URL that the API servers call."""
        return f"https://{LOOPBACK}:{self._balancer.port}"

    @property
    def ca_file(self) -> Path:
        """The authority of *url* and of each replica; the file exists once the first replica is ready."""
        return self._ca_file(0)

    @property
    def processes(self) -> Mapping[str, ChildProcess]:
        """The processes by name: ``balancer``, ``userquota-0``, ``userquota-1``."""
        return {process.name: process for process in (self._balancer.process, *self._replicas)}

    def start(self) -> None:
        """Start the balancer and all replicas, without waiting for the replicas."""
        self._balancer.start()
        for i in range(self.count):
            self.start_one(i)

    def start_one(self, i: int) -> None:
        """Start a replica that does not run, without waiting."""
        if self._older is not None:
            starts_older = self._starts_older[i]
            self.starts_of_older += starts_older
            self._replicas[i] = self._prepared(i, self._older if starts_older else None)
            self._starts_older[i] = not starts_older
        self._replicas[i].start()

    def kill(self, i: int) -> None:
        """Kill a replica (kill -9), as a crash would end it, and wait for its end."""
        self._replicas[i].kill()
        self._paused.discard(i)

    def pause(self, i: int) -> None:
        """Pause a replica (SIGSTOP); its address goes on accepting connections."""
        self._replicas[i].send(signal.SIGSTOP)
        self._paused.add(i)

    def resume(self, i: int) -> None:
        self._replicas[i].send(signal.SIGCONT)
        self._paused.discard(i)

    def end(self, i: int) -> None:
        """Send SIGTERM to a replica, as a rolling restart does, and wait for its end."""
        self._replicas[i].stop(grace=15)

    def stop(self) -> None:
        """Send SIGTERM to all replicas, wait, then stop the balancer."""
        for replica in self._replicas:
            replica.ask_to_end()
        for replica in self._replicas:
            replica.await_end(grace=15)
        self._paused.clear()
        self._balancer.stop()

    def is_running(self, i: int) -> bool:
        """Whether a replica was started and has not ended; a paused one runs."""
        return self._replicas[i].is_running()

    def readiness(self, i: int) -> str:
        """Return the text of /readyz of a replica: `ok`, the failed checks, or that no process listens."""
        return self._ask(i, "/readyz")

    def metrics(self, i: int) -> str:
        return self._ask(i, "/metrics")

    def log(self, i: int) -> str:
        """The log of a replica, over all its starts."""
        file = self._replicas[i].log_file
        return file.read_text() if file.exists() else ""

    def is_ready(self, i: int) -> bool:
        return is_ok(self.readiness(i))

    def wait_until_ready(self, within: float = PATIENCE) -> float:
        """Wait until each replica that runs and is not paused is ready; return the seconds that it took."""
        begun = time.monotonic()
        for i in self._awake():
            left = within - (time.monotonic() - begun)
            eventually(partial(self.is_ready, i), within=left, what=partial(self._told, i))
        return time.monotonic() - begun

    def wait_until_all_know(self, pods: int, within: float = PATIENCE) -> None:
        """Wait until each replica counts so many pods, in all namespaces together."""
        known = f"userquota_pods_known {pods}.0\n"
        for i in range(self.count):
            eventually(partial(self._measures, i, known), within=within, what=partial(self._told, i))

    def set_policy(self, text: str) -> None:
        """Write the ConfigMap of the policy; wait until each replica that is not paused has applied or refused it."""
        seen = {i: len(self.log(i)) for i in self._awake()}
        apply_policy(self.cluster, text)
        for i, length in seen.items():
            eventually(partial(self._has_told_of_policy, i, since=length), what=partial(self._told, i))

    def apply_policy(self, text: str) -> None:
        """Write the ConfigMap of the policy, without waiting."""
        apply_policy(self.cluster, text)

    def install(self) -> None:
        install(self.cluster)

    def uninstall(self) -> None:
        uninstall(self.cluster)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepared(self, i: int, checkout: Path | None = None) -> ChildProcess:
        server = i % len(self.cluster.server_urls) + 1
        argv = serve_argv(
            self.cluster.kubeconfig("admin", server=server),
            listen=self._addresses[i],
            advertise_url=self.url,
            ca_out=self._ca_file(i),
        )
        name = f"userquota-{i}"
        argv += ["--ledger", "kubernetes", *self._options]
        if checkout is not None:  # Python imports `webhook` from where it is started
            argv = [shutil.which("env") or "env", f"--chdir={checkout}", *argv]
        return ChildProcess(name, argv, log_file=self._folder / f"{name}.log")

    def _ca_file(self, i: int) -> Path:
        return self._folder / f"ca-{i}.crt"

    def _ask(self, i: int, path: str) -> str:
        return ask(f"https://{self._addresses[i]}{path}", ca_file=self._ca_file(i))

    def _awake(self) -> list[int]:
        return [i for i in range(self.count) if i not in self._paused and self.is_running(i)]

    def _measures(self, i: int, line: str) -> bool:
        return line in self.metrics(i)

    def _has_told_of_policy(self, i: int, *, since: int) -> bool:
        return has_told_of_policy(self.log(i)[since:])

    def _told(self, i: int) -> str:
        return f"userquota-{i}: {self.readiness(i)}\n{self.log(i)[-4000:]}"
