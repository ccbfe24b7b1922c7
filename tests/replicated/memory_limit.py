"""A limit of memory for one process: the kernel kills it at the limit, as it does in a container."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from localcluster.processes import ChildProcess

_CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def limited_memory(process: ChildProcess, limit: int) -> Iterator[None]:
    """
    Have *process*, which does not run, start with *limit* bytes from now on, until the body ends.

    By a cgroup, version 1 or 2. Where this user may make none, a thread kills it as soon as it sees more.
    """
    with contextlib.ExitStack() as stack:
        group = _new_group(limit)
        if group is None:
            stack.enter_context(_watched(process, limit))
        else:
            stack.callback(group.rmdir)
            argv = process.argv
            process.argv = _inside(group, argv)
            stack.callback(setattr, process, "argv", argv)
        stack.callback(process.kill)
        yield


def _new_group(limit: int) -> Path | None:
    old = _CGROUPS / "memory"
    with contextlib.suppress(OSError):
        is_old = old.is_dir()
        group = (old if is_old else _CGROUPS) / f"userquota-test-{secrets.token_hex(4)}"
        group.mkdir()
        try:
            (group / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(limit))
        except OSError:
            group.rmdir()
            raise
        return group
    return None


def _inside(group: Path, argv: Sequence[str]) -> tuple[str, ...]:
    return ("/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *argv)


@contextlib.contextmanager
def _watched(process: ChildProcess, limit: int) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if process.is_running() and resident(process.pid) > limit:
                os.kill(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def resident(pid: int) -> int:
    """Return the bytes of memory of a process, 0 for one that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0
