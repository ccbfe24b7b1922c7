"""
What the replica that is never ended uses, sample by sample, and whether that is flat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from statistics import fmean, median

from benchmarks import machine

MOST_MB_AN_HOUR = 2.0
"""
The growth of memory that counts as flat. A replica that begins at 70 MB then takes four days to reach the 256 MiB of
the manifests, with a churn of names that few clusters have. In an hour less cannot be told from an allocator's noise.
"""

MOST_FILES_APART = 30
"""Between two samples of the second half: a fault closes connections of API servers, and they open others."""

MOST_FILES_MORE = 3
"""Files in the last quarter beyond the one before, by their medians. One lost at each fault would be more."""

MOST_THREADS_APART = 2
"""Threads are of pools that are full by then."""

_SURE = 2.0
"""Standard errors on each side of the slope."""

_GAUGE = re.compile(r"^userquota_(reservations|pods_known) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the process; memory in MB of 1024 x 1024 bytes."""

    seconds: float
    memory: float
    peak: float
    files: int
    threads: int
    reservations: int
    pods: int
    people: int
    namespaces: int
    """Of these two how many there were so far."""


@dataclass(frozen=True, slots=True)
class Slope:
    """What memory grows by, in MB an hour, and how far the truth may be from that on either side."""

    an_hour: float
    noise: float

    def __str__(self) -> str:
        return f"{self.an_hour:+.1f} MB an hour, +/- {self.noise:.1f}"


def look(pid: int, metrics: str, *, seconds: float, people: int, namespaces: int) -> Sample:
    """Return what the process *pid* uses; *metrics* is its text. Raises: KeyError where a gauge is not in the text."""
    now, most = machine.memory(pid)
    status = Path(f"/proc/{pid}/status").read_text()
    threads = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    gauges = {name: int(float(value)) for name, value in _GAUGE.findall(metrics)}
    return Sample(
        seconds,
        now,
        most,
        sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        int(threads[1]) if threads else 0,
        gauges["reservations"],
        gauges["pods_known"],
        people,
        namespaces,
    )


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of the second half of the time."""
    return [each for each in samples if each.seconds >= samples[-1].seconds / 2]


def slope(samples: Sequence[Sample]) -> Slope:
    """
    Fit a line through the means of each minute: neighbouring samples err in the same direction.

    With fewer than three minutes nothing is known, and the noise is infinite.
    """
    minutes = [list(each) for _, each in groupby(samples, key=lambda each: int(each.seconds // 60))]
    points = [(fmean(each.seconds for each in some) / 3600, fmean(each.memory for each in some)) for some in minutes]
    if len(points) < 3:
        return Slope(0.0, math.inf)
    x, y = fmean(hours for hours, _ in points), fmean(memory for _, memory in points)
    spread = sum((hours - x) ** 2 for hours, _ in points)
    rise = sum((hours - x) * (memory - y) for hours, memory in points) / spread
    rest = sum((memory - y - rise * (hours - x)) ** 2 for hours, memory in points)
    return Slope(rise, _SURE * math.sqrt(rest / (len(points) - 2) / spread))


def troubles(samples: Sequence[Sample]) -> list[str]:
    """Return what is not flat in the second half, or could not be told, one line each; none if all is well."""
    told = second_half(samples)
    found = list(_of_memory(slope(told)))
    files, threads = [each.files for each in told], [each.threads for each in told]
    if _apart(files) > MOST_FILES_APART:
        found.append(f"open files differ by {_apart(files)}, at most {MOST_FILES_APART} is flat")
    more = median(files[len(files) // 2 :]) - median(files[: len(files) // 2 or 1])
    if more > MOST_FILES_MORE:
        found.append(f"open files grow: {more:.0f} more in the last quarter than in the one before")
    if _apart(threads) > MOST_THREADS_APART:
        found.append(f"threads differ by {_apart(threads)}, at most {MOST_THREADS_APART} is flat")
    if samples[-1].reservations:
        found.append(f"{samples[-1].reservations} reservations are left after the load has ended")
    return found


def table(samples: Sequence[Sample], *, rows: int = 12) -> list[str]:
    """Return a table in Markdown of about *rows* samples, the first and the last included."""
    step = max(1, (len(samples) - 1) // (rows - 1))
    shown = [*samples[:-1:step], samples[-1]]
    heads = (
        "minute",
        "MB",
        "at most",
        "files",
        "threads",
        "reservations",
        "pods",
        "people so far",
        "namespaces so far",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + "---:|" * len(heads)]
    for each in shown:
        rest = (each.files, each.threads, each.reservations, each.pods, each.people, each.namespaces)
        cells = (f"{each.seconds / 60:.1f}", f"{each.memory:.1f}", f"{each.peak:.1f}", *map(str, rest))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def as_text(samples: Iterable[Sample]) -> str:
    """Return all samples as comma-separated values with a head."""
    lines = [",".join(each.name for each in fields(Sample))]
    lines += [",".join(f"{value:.10g}" for value in asdict(each).values()) for each in samples]
    return "\n".join(lines) + "\n"


def _of_memory(grows: Slope) -> Iterable[str]:
    if grows.an_hour - grows.noise > MOST_MB_AN_HOUR:
        yield f"memory grows: {grows}, at most {MOST_MB_AN_HOUR:.0f} is flat"
    elif grows.an_hour + grows.noise > MOST_MB_AN_HOUR:
        yield f"whether memory grows could not be told, the run was too short: {grows}"


def _apart(values: Sequence[int]) -> int:
    return max(values) - min(values)
