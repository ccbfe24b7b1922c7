"""
The machine: which CPU does what, how quiet it is, and what versions stand against each other.
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
"""Nanoseconds. A spinning thread that loses less has met an interrupt, not a neighbour."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """One for the server under test, one for whatever keeps it busy. The same one on a machine that has no other."""

    server: int
    client: int


def cpus() -> Cpus:
    """Give the first two that we may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cpus(usable[0], usable[min(1, len(usable) - 1)])


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Stay on *cpu*, with every process that is started meanwhile and for as long as that lives."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Noise:
    """What a thread that only spins lost to others: the longest gap, how many above 1 ms, and the share of its time."""

    cpu: int
    longest_ms: float
    gaps_above_1ms: int
    lost_share: float
    seconds: float


def noise(cpu: int, *, seconds: float) -> dict[str, float]:
    """Spin on *cpu* and give what was lost. On a quiet machine that is next to nothing."""
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
    """Give the CPU time that all threads of a process have used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory(pid: int) -> tuple[float, float]:
    """Give what a process holds in memory now and has held at most, in MB of 1024 x 1024 bytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def versions(peer: Mapping[str, str]) -> dict[str, str]:
    """Give all versions that matter; *peer* are those of the Go side."""
    ours = {name: importlib.metadata.version(name) for name in ("userquota", "msgspec", "aiohttp")}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        ours["uvloop"] = importlib.metadata.version("uvloop")
    return {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION, **ours, **peer}


def description() -> dict[str, str | int]:
    """Give what kind of machine this is, without its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release().partition("-")[0]}
