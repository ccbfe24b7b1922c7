"""
From the numbers of the runs to the table: figures of userquota, beside those of the others in the same rounds.

The targets were set before the code was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contention.stage import ALLOW, NOTHING, OURS, QUOTA
from benchmarks.contention.workloads import ALONE, HOT, PLACES, RUSH, SPREAD, Workload
from benchmarks.figures import Figure, Row

Run = Mapping[str, Any]
Runs = Sequence[Run]
Read = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a run."""

    told: str
    read: Read
    unit: str = ""


_OTHERS = (NOTHING, ALLOW, QUOTA)


def rows(runs: Runs) -> list[Row]:
    """Return the whole table, without the workloads that were left out."""
    several = {HOT: _hot, SPREAD: _spread, RUSH: _rush, ALONE: _alone}
    done = {run["workload"] for run in runs}
    return [row for workload, found in several.items() if workload.name in done for row in found(runs)]


def of(runs: Runs, workload: Workload, contestant: str) -> list[Run]:
    """Return the runs of one contestant with one workload, by round."""
    return [run for run in runs if (run["workload"], run["contestant"]) == (workload.name, contestant)]


def _hot(runs: Runs) -> Iterator[Row]:
    decided, late = _figure(runs, HOT, OURS, _DECIDED), _figure(runs, HOT, OURS, _P99)
    yield Row("hot", _DECIDED.told, decided, "set", _set(300, "/s"), 1, is_ceiling=False)
    yield Row("hot", _P99.told, late, "set", _set(500, "ms"), 1)
    yield from _load(runs, HOT)


def _spread(runs: Runs) -> Iterator[Row]:
    yield from _load(runs, SPREAD)


def _load(runs: Runs, workload: Workload) -> Iterator[Row]:
    for measure in (_CREATED_A_SECOND, _P50, _P99):
        yield from _against(runs, workload, measure, _OTHERS)
    yield from _against(runs, workload, _FAILED, (QUOTA,))
    written, lost = (_figure(runs, workload, OURS, measure) for measure in (_WRITTEN, _LOST))
    yield Row(workload.name, _LOST.told, lost, _WRITTEN.told, written, None)
    yield Row(workload.name, _PER_CREATE.told, _figure(runs, workload, OURS, _PER_CREATE), "set", _set(1, ""), 1)


def _rush(runs: Runs) -> Iterator[Row]:
    """Exactly as many as there are places: no more, and no fewer."""
    ours = _figure(runs, RUSH, OURS, _CREATED)
    yield Row("rush", "most created", _set(ours.high, ""), "places", _set(PLACES, ""), 1)
    yield Row("rush", "fewest created", _set(ours.low, ""), "places", _set(PLACES, ""), 1, is_ceiling=False)
    for measure in (_CREATED, _SECONDS, _P99):
        yield from _against(runs, RUSH, measure, (QUOTA,))


def _alone(runs: Runs) -> Iterator[Row]:
    for measure in (_P50, _P99):
        yield from _against(runs, ALONE, measure, _OTHERS)
    for other, target in ((NOTHING, 1), (ALLOW, None)):
        yield Row("alone", f"added to the p50 of {other}", _added(runs, other), "set", _set(5, "ms"), target)


def _against(runs: Runs, workload: Workload, measure: Measure, others: Iterable[str]) -> Iterator[Row]:
    ours = _figure(runs, workload, OURS, measure)
    for other in others:
        yield Row(workload.name, measure.told, ours, other, _figure(runs, workload, other, measure), None)


def _figure(runs: Runs, workload: Workload, contestant: str, measure: Measure) -> Figure:
    return _summary(map(measure.read, of(runs, workload, contestant)), measure.unit)


def _added(runs: Runs, other: str) -> Figure:
    """Return the difference in each round: both runs of a round had the same noise."""
    pairs = zip(of(runs, ALONE, OURS), of(runs, ALONE, other), strict=True)
    return _summary((_P50.read(ours) - _P50.read(its) for ours, its in pairs), "ms")


def _summary(values: Iterable[float], unit: str) -> Figure:
    listed = list(values)
    return Figure(median(listed), unit, min(listed), max(listed))


def _set(value: float, unit: str) -> Figure:
    return Figure(value, unit, value, value)


def _created(run: Run) -> float:
    return float(run["statuses"].get("201", 0))


def _seconds(run: Run) -> float:
    return float(run["seconds"])


def _decisions(run: Run) -> float:
    made = sum(run["counted"].get(f"decisions {verdict}", 0) for verdict in ("allowed", "denied"))
    return float(made) / _seconds(run)


def _counted(name: str) -> Read:
    return lambda run: float(run["counted"].get(name, 0))


def _latency(point: str) -> Read:
    return lambda run: float(run["latency_ms"][point])


_CREATED = Measure("created", _created)
_CREATED_A_SECOND = Measure("creates a second", lambda run: _created(run) / _seconds(run), "/s")
_FAILED = Measure("creates that failed", lambda run: sum(run["statuses"].values()) - _created(run))
_DECIDED = Measure("decisions a second", _decisions, "/s")
_SECONDS = Measure("until all were answered", _seconds, "s")
_P50 = Measure("p50 of a create", _latency("p50"), "ms")
_P99 = Measure("p99 of a create", _latency("p99"), "ms")
_WRITTEN = Measure("ledger writes", _counted("ledger written"))
_LOST = Measure("swaps lost to another replica", _counted("ledger conflict"))
_PER_CREATE = Measure("ledger writes per create", lambda run: _WRITTEN.read(run) / max(_created(run), 1.0))
