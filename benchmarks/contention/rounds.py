"""
All workloads on all contestants, in turn, in several rounds: a disturbance of the machine affects all of them.

Numbers are returned as they were read; `rows` compares them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.contention import counters
from benchmarks.contention.client import Client, Outcome
from benchmarks.contention.stage import Contestant
from benchmarks.contention.workloads import ALONE, Workload

Report = Callable[[str], None]


async def measure(
    contestants: Mapping[str, Contestant], workloads: Sequence[Workload], *, rounds: int, report: Report
) -> dict[str, Any]:
    """Perform all rounds; return every run's numbers, and the noise before each round."""
    for contestant in contestants.values():
        await _run(contestant, ALONE, -1)
    chosen = machine.cpus()
    runs: list[dict[str, Any]] = []
    noises: list[dict[str, float]] = []
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        noises += [machine.noise(cpu, seconds=0.5) for cpu in sorted({chosen.server, chosen.client})]
        for workload in workloads:
            for contestant in _in_turn(list(contestants.values()), number):
                run = await _run(contestant, workload, number)
                report(f"  {workload.name}, {contestant.name}: {run['statuses']} in {run['seconds']:.2f} s")
                runs.append(run)
    return {"runs": runs, "noise": noises}


def _in_turn(contestants: Sequence[Contestant], number: int) -> Sequence[Contestant]:
    """Begin with another one each round: none always runs after the same other one."""
    first = number % len(contestants)
    return [*contestants[first:], *contestants[:first]]


async def _run(contestant: Contestant, workload: Workload, number: int) -> dict[str, Any]:
    client = Client(contestant.cluster)
    namespace = contestant.namespace(workload, number)
    contestant.settle()
    counted, used = _counted(contestant), counters.cpu(contestant.pids())
    outcome = await client.run(workload, namespace)
    spent = {role: seconds - used[role] for role, seconds in counters.cpu(contestant.pids()).items()}
    settled = contestant.settle(pods=outcome.statuses[201])
    grown = _counted(contestant) - counted
    await client.empty(namespace)
    contestant.settle()
    return {
        "round": number,
        "workload": workload.name,
        "contestant": contestant.name,
        "settle_s": settled,
        "cpu_s": spent,
        "counted": dict(grown),
        **_told(outcome),
    }


def _counted(contestant: Contestant) -> Counter[str]:
    if contestant.replicas is None:
        return Counter()
    return counters.of_replicas(contestant.replicas) + counters.of_api_servers(contestant.cluster)


def _told(outcome: Outcome) -> dict[str, Any]:
    ordered = sorted(outcome.latencies)
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {
        "seconds": outcome.seconds,
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "messages": outcome.messages,
        "latency_ms": {name: ordered[math.ceil(len(ordered) * point) - 1] * 1e3 for name, point in points.items()},
    }
