"""
From raw numbers to rows: each target of performance.md, the figure that it is compared with, and the ratio.

The targets were set before the code was written; nothing here makes one easier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contestants import BARE, CONTROLLER_RUNTIME, OURS

Raw = Mapping[str, Any]
Runs = Sequence[Raw]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit, and the lowest and highest of the rounds."""

    value: float
    unit: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table. The ratio is ours to the other's; *is_ceiling* means that it must stay below *target*.

    *other* is the figure of a contestant, or a given number. A row without a target only reports.
    """

    id: str
    what: str
    ours: Figure
    against: str
    other: Figure
    target: float | None
    is_ceiling: bool = True

    @property
    def ratio(self) -> float:
        """Return the ratio of our figure to the other one."""
        return self.ours.value / self.other.value if self.other.value else float("inf")

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.is_ceiling else self.ratio >= self.target


def rows(raw: Raw) -> list[Row]:
    """Return the whole table, or the part of it that was measured."""
    return [*(_of_pods(raw) if "wire" in raw else ()), *(_of_kinds(raw["kinds"]) if "kinds" in raw else ())]


def _of_pods(raw: Raw) -> Iterator[Row]:
    wire = raw["wire"]["runs"]
    yield from _cost(wire)
    yield from _throughput(wire)
    yield from _latency(wire)
    yield from _memory(raw)
    yield from _start(raw)
    yield from _watch(raw)
    yield from _scaling(raw)


def _of_kinds(raw: Raw) -> Iterator[Row]:
    """The kinds against the pod, and the memory of all against that of the pods alone."""
    (of_pods, pod), *others = raw["decision_us"].items()
    for what, times in others:
        target = 1.5 if what.startswith(("a session", "early verdict")) else 1.3
        yield Row("kinds", f"decision: {what}", _figure(times, "us"), of_pods, _figure(pod, "us"), target)
    memory = {name: [each[name] for each in raw["memory"]] for name in ("pods", "all")}
    alone, all_told = (_told(memory[name][0]["objects"]) for name in ("pods", "all"))
    whole = {name: _figure((each["rss_mb"] for each in several), "MB") for name, several in memory.items()}
    yield Row("kinds", f"memory: {all_told}", whole["all"], alone, whole["pods"], 1.5)
    grown = {
        name: _figure((each["rss_mb"] - each["rss_before_mb"] for each in several), "MB")
        for name, several in memory.items()
    }
    yield Row("kinds", "memory above an empty one: the same", grown["all"], alone, grown["pods"], None)


def _told(objects: Sequence[int]) -> str:
    names = ("pods", "claims", "ResourceClaims")
    numbers = (f"{count:_} {name}".replace("_", " ") for count, name in zip(objects, names, strict=True) if count)
    return ", ".join(numbers)


def _cost(runs: Runs) -> Iterator[Row]:
    for size in ("m", *sorted({run["size"] for run in runs} - {"m"})):
        told = "" if size == "m" else f", body {size}"
        decision = _cpu(runs, OURS, "/validate", size)
        stamp = _cpu(runs, OURS, "/mutate", size)
        peer, bare = (_cpu(runs, name, "/validate", size) for name in (CONTROLLER_RUNTIME, BARE))
        peer_patch = _cpu(runs, CONTROLLER_RUNTIME, "/mutate", size)
        yield Row("P1", f"CPU of a decision{told}", decision, f"{CONTROLLER_RUNTIME}, allows all", peer, 0.25)
        yield Row("P1", f"CPU of a decision{told}", decision, f"{BARE}, allows all", bare, 1.1)
        yield Row("P2", f"CPU of a stamp{told}", stamp, "our decision", decision, 1.3)
        yield Row("P2", f"CPU of a stamp{told}", stamp, f"{CONTROLLER_RUNTIME}, one annotation", peer_patch, 0.1)


def _throughput(runs: Runs) -> Iterator[Row]:
    """By the clock, from which other processes take; and by the CPU time of the server, from which they do not."""
    ours, target = _per_second(runs, OURS), _set(10_000, "/s")
    used = (run["cpu_us"] for run in _of(runs, OURS, "/validate", 0) if run["size"] == "m")
    yield Row("P3", "decisions a second", ours, "set", target, 1, is_ceiling=False)
    yield Row("P3", "decisions a second of CPU", _figure((1e6 / each for each in used), "/s"), "set", target, None)
    for name in (CONTROLLER_RUNTIME, BARE):
        yield Row("P3", "decisions a second", ours, f"{name}, allows all", _per_second(runs, name), None)


def _latency(runs: Runs) -> Iterator[Row]:
    for rate, point, limit in ((500, "p50", 400), (500, "p99", 1000), (500, "p99.9", 3000), (2500, "p99", 1500)):
        ours = _latencies(runs, OURS, rate, point)
        yield Row("P4", f"{point} at {rate}/s", ours, "set", _set(limit, "us"), 1)
    for rate in (500, 2500):
        ours, peer = (_latencies(runs, name, rate, "p99") for name in (OURS, CONTROLLER_RUNTIME))
        yield Row("P4", f"p99 at {rate}/s", ours, f"{CONTROLLER_RUNTIME}, allows all", peer, None)


def _memory(raw: Raw) -> Iterator[Row]:
    few, many = raw["index"]["traced"]
    per_pod = few["traced_bytes"] / few["pods"]
    # Each further user adds two scopes: its own, and that of its namespace.
    per_scope = (many["traced_bytes"] - few["traced_bytes"]) / (2 * (many["users"] - few["users"]))
    yield Row("P6", "index, per pod", _once(per_pod, "B"), "set", _set(400, "B"), 1)
    yield Row("P6", "index, per active scope", _once(per_scope, "B"), "set", _set(400, "B"), 1)
    for built in raw["index"]["built"]:
        limit = 120 if built["pods"] <= 100_000 else 300
        grown = (built["rss_mb"] - built["rss_before_mb"]) * _MIB / built["pods"]
        told = f"{built['pods']:_} pods, {built['users']:_} users".replace("_", " ")
        yield Row("P6", f"memory, {told}", _once(built["rss_mb"], "MB"), "set", _set(limit, "MB"), 1)
        yield Row("P6", f"memory above an empty one, per pod of {told}", _once(grown, "B"), "set", _set(400, "B"), None)


def _start(raw: Raw) -> Iterator[Row]:
    for built in raw["index"]["built"]:
        told = f"{built['pods']:_} pods".replace("_", " ")
        start = raw["start_cpu_s"] + built["list_cpu_s"]
        if built["pods"] <= 100_000:
            yield Row("P7", f"CPU from start to serving, {told}", _once(start, "s"), "set", _set(3, "s"), 1)
        steady, peak = _once(built["rss_mb"], "MB"), _once(built["rss_peak_mb"], "MB")
        yield Row("P7", f"peak memory, {told}", peak, "steady", steady, 1.3)


def _watch(raw: Raw) -> Iterator[Row]:
    times = raw["index"]["built"][0]["event_us"]
    ours = _figure((1e6 / each for each in times), "/s")
    yield Row("P8", "watch events applied on one core", ours, "set", _set(20_000, "/s"), 1, is_ceiling=False)


def _scaling(raw: Raw) -> Iterator[Row]:
    times = {int(pods): each for pods, each in raw["decisions"]["decision_us"].items()}
    smallest = _figure(times[min(times)], "us")
    for pods in sorted(times)[1:]:
        ours = _figure(times[pods], "us")
        told = f"decision with {pods:_} pods and users".replace("_", " ")
        yield Row("P9", told, ours, f"with {min(times)}", smallest, 4)


def _cpu(runs: Runs, name: str, path: str, size: str) -> Figure:
    return _figure((run["cpu_us"] for run in _of(runs, name, path, 0) if run["size"] == size), "us")


def _per_second(runs: Runs, name: str) -> Figure:
    chosen = (run for run in _of(runs, name, "/validate", 0) if run["size"] == "m")
    return _figure((run["requests"] / run["seconds"] for run in chosen), "/s")


def _latencies(runs: Runs, name: str, rate: int, point: str) -> Figure:
    return _figure((run["latency_us"][point] for run in _of(runs, name, "/validate", rate)), "us")


def _of(runs: Runs, name: str, path: str, rate: int) -> Iterator[Raw]:
    return (run for run in runs if (run["contestant"], run["path"], run["rate"]) == (name, path, rate))


def _figure(values: Iterable[float], unit: str) -> Figure:
    listed = list(values)
    return Figure(median(listed), unit, min(listed), max(listed))


def _once(value: float, unit: str) -> Figure:
    return Figure(value, unit, value, value)


def _set(value: float, unit: str) -> Figure:
    return _once(value, unit)
