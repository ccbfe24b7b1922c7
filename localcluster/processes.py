"""
Start and stop one process, write its log, and end it with the process that started it.

What is started, and when it is ready: see ``commands`` and ``readiness``.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError

_FOLLOW = Path(__file__).with_name("follow.py")
_TAIL_BYTES = 16_384


class ChildProcess:
    """
    One program, started and stopped any number of times with the same arguments.

    Unless ``detached``, the kernel kills it when the *thread* that called ``start`` ends (Linux only): call it from
    a thread that lives as long as the process has to. Its output is appended to ``log_file``.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_file: Path,
        detached: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log_file = log_file
        self._detached = detached
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """
        The process id of the last start.

        Raises: LocalClusterError if it was never started.
        """
        if self._process is None:
            raise LocalClusterError(f"{self.name} was never started")
        return self._process.pid

    def start(self) -> None:
        """
        Start the program in a session of its own, so that Ctrl-C reaches it only through us.

        Raises: LocalClusterError if it runs already or cannot be started.
        """
        if self.is_running():
            raise LocalClusterError(f"{self.name} runs already")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        follow = () if self._detached else (sys.executable, "-I", "-S", str(_FOLLOW), str(os.getpid()))
        try:
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603  binaries that we built or the user named
                    [*follow, *self.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environ,
                    start_new_session=True,
                )
        except OSError as error:
            raise LocalClusterError(f"cannot start {self.name}: {error}") from error

    def is_running(self) -> bool:
        """Whether the program was started and has not ended; a paused one runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last start, negative for a signal; None while it runs, or before it was started."""
        return None if self._process is None else self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP or SIGKILL, unless the program has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the program, as a crash would end it, and wait for its end."""
        self.send(signal.SIGKILL)
        self.wait()

    def ask_to_end(self) -> None:
        """Send SIGTERM, also to a paused program, without waiting."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def stop(self, *, grace: float = 10) -> None:
        """Send SIGTERM, kill the program after *grace* seconds, and return when it has ended."""
        self.ask_to_end()
        self.await_end(grace=grace)

    def await_end(self, *, grace: float) -> None:
        """Return when the program has ended; kill it after *grace* seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=grace)
        self.kill()

    def wait(self, *, timeout: float | None = None) -> None:
        """
        Return when the program has ended.

        Raises: subprocess.TimeoutExpired after *timeout* seconds.
        """
        if self._process is not None:
            self._process.wait(timeout)

    def let_go(self) -> None:
        """Forget a detached program that still runs: from now on this object reports that it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # Popen warns about a child that runs on

    def log_tail(self, lines: int = 20) -> str:
        """Return the last *lines* of the log; empty if there is none."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
