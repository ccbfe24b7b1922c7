"""
Processes that outlive the command that started them: identified by pid and start time, and stopped.

Linux only. psutil would be portable, but the start time that it reports moves when the clock of the machine is set, so
that a later command could take a running process for ended; and it sends signals by pid, not through a pidfd.
Where the processes are recorded: see ``state``.
"""

import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from localcluster.processes import ChildProcess

_ENDED = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class DetachedProcess:
    """
    A process that an earlier command may have started.

    ``birth`` is when the kernel started it: it differs where the pid has been assigned to another process since. A
    command line does not identify a process: it changes when a launcher executes its program.
    """

    name: str
    pid: int
    birth: str
    log_file: Path

    @classmethod
    def of(cls, process: ChildProcess) -> Self:
        """Return the identity of a process that was just started."""
        return cls(process.name, process.pid, _birth(process.pid) or "ended at once", process.log_file)

    def is_running(self) -> bool:
        """Whether this very process runs; one that ended and was not reaped by its parent does not."""
        return _birth(self.pid) == self.birth

    def stop(self, *, grace: float = 10) -> bool:
        """Send SIGTERM, kill after *grace* seconds, return when the process has ended; False if it had ended before."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The handle refers to the process that has the pid now: no other can take its place after this check.
            if not self.is_running():
                return False
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            signal.pidfd_send_signal(handle, signal.SIGCONT)
            if not _has_ended(handle, seconds=grace):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _has_ended(handle, seconds=None)
        except ProcessLookupError:
            return True
        finally:
            os.close(handle)
        return True


def start_detached(
    name: str, argv: Sequence[str], *, log_file: Path, environ: Mapping[str, str] | None = None
) -> DetachedProcess:
    """
    Start a program that runs on when this one ends, and return its identity.

    Raises: LocalClusterError if it cannot be started.
    """
    process = ChildProcess(name, argv, log_file=log_file, detached=True, environ=environ)
    process.start()
    identity = DetachedProcess.of(process)
    process.let_go()
    return identity


def _birth(pid: int) -> str | None:
    """Return the machine's boot id and the clock ticks from boot to the start of a process; None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): "pid (name) state ppid …"; the name may hold anything, the state is field 3, the start time field 22.
    fields = text.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    if state in _ENDED:
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"


def _has_ended(handle: int, *, seconds: float | None) -> bool:
    ready, _, _ = select.select([handle], [], [], seconds)
    return bool(ready)
