"""
Processes that outlive the command that started them: known again by pid and time of birth, and ended.

Linux only: it reads /proc. Where they are written down is told in ``state``.
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
    A process that some earlier command may have started.

    ``birth`` is when the kernel started it: a pid that was given to another process since has another one. (A command
    line would not do: it changes when a launcher turns into the program it launches.)
    """

    name: str
    pid: int
    birth: str
    log_file: Path

    @classmethod
    def of(cls, process: ChildProcess) -> Self:
        """Give the identity of a process that was just started."""
        return cls(process.name, process.pid, _birth(process.pid) or "ended at once", process.log_file)

    def is_running(self) -> bool:
        """Say whether this very process is there; one that ended and was not collected by its parent is not."""
        return _birth(self.pid) == self.birth

    def stop(self, *, grace: float = 10) -> bool:
        """Ask the process to end, kill it after *grace* seconds, return when it is gone; False when it was already."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The handle stays with the process that has the pid now, so nothing can slip in after this question.
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
    Start a program that lives on when this one ends, and give its identity.

    Raises: LocalClusterError when it cannot be started.
    """
    process = ChildProcess(name, argv, log_file=log_file, detached=True, environ=environ)
    process.start()
    identity = DetachedProcess.of(process)
    process.let_go()
    return identity


def _birth(pid: int) -> str | None:
    """Give the boot of the machine, and the clock ticks from there to the start of a process; None if it has ended."""
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
