"""
The machine: the use of each CPU, the noise, and the versions that are compared.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_NOTICEABLE = 50_000
"""Nanoseconds. A spinning thread loses less to an interrupt, and more to another process."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """The CPU of the server under test, and that of its load; the same one on a machine with one CPU."""

    server: int
    client: int


def cpus() -> Cpus:
    """Return the first two CPUs that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cpus(usable[0], usable[min(1, len(usable) - 1)])


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Bind this process to *cpu*; a process that is started meanwhile stays there for its whole life."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Noise:
    """What a spinning thread lost to other processes: the longest gap, the number above 1 ms, the share of its time."""

    cpu: int
    longest_ms: float
    gaps_above_1ms: int
    lost_share: float
    seconds: float


def noise(cpu: int, *, seconds: float) -> dict[str, float]:
    """Spin on *cpu*; return the time that was lost. On a quiet machine that is next to nothing."""
    longest = lost = above = 0
    was_enabled = gc.isenabled()
    gc.disable()
    with pinned(cpu):
        begun = now = time.perf_counter_ns()
        end = begun + int(seconds * 1e9)
        while now < end:
            before, now = now, time.perf_counter_ns()
            gap = now - before
            if gap > _NOTICEABLE:
                lost += gap
                longest = max(longest, gap)
                above += gap > 1_000_000
    if was_enabled:
        gc.enable()
    return asdict(Noise(cpu, longest / 1e6, above, lost / (now - begun), (now - begun) / 1e9))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that all threads of a process have used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory(pid: int) -> tuple[float, float]:
    """Return the memory of a process now and its maximum so far, in MB of 1024 x 1024 bytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def versions(peer: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of what is compared; *peer* are those of the Go side."""
    ours = {name: importlib.metadata.version(name) for name in ("userquota", "msgspec", "aiohttp")}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        ours["uvloop"] = importlib.metadata.version("uvloop")
    return {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION, **ours, **peer}


def description() -> dict[str, str | int]:
    """Return the kind of this machine, without its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release().partition("-")[0]}
