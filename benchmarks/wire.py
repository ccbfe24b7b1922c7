"""
Load over TLS: the cost of a review for each contestant, the reviews per core, and the time of answers at fixed rates.

Contestants take turns within each round, so that a disturbance of the machine affects all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine, reviews
from benchmarks.contestants import BARE, CONTROLLER_RUNTIME, OURS, Contestant

CONNECTIONS = 20
SATURATED = 0
"""The rate of a closed loop: each connection sends its next review as soon as the last is answered."""

RATES = (500, 2500)
_MOST = 500_000
"""The most reviews in one run."""

Report = Callable[[str], None]


class LoadError(Exception):
    """An answer was wrong: there is nothing to compare then."""


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one contestant. *rate* is in reviews per second."""

    contestant: str
    path: str
    size: str
    rate: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The length of the measurement. *seconds* is for one run."""

    rounds: int
    seconds: float
    sizes: tuple[str, ...]


def runs(sizes: tuple[str, ...]) -> Iterator[Run]:
    """Return the loads of one round, in order."""
    for size in sizes:
        for name in (OURS, CONTROLLER_RUNTIME, BARE):
            yield Run(name, "/validate", size, SATURATED)
        for name in (OURS, CONTROLLER_RUNTIME):
            yield Run(name, "/mutate", size, SATURATED)
    for rate in RATES:
        for name in (OURS, CONTROLLER_RUNTIME, BARE):
            yield Run(name, "/validate", "m", rate)


@dataclass(slots=True)
class Load:
    """The load client, with what it needs on disk in *folder*."""

    program: Path
    folder: Path
    next_request: int = 0

    def write_templates(self, sizes: tuple[str, ...]) -> None:
        """Make the reviews. The validating call sees the stamp of the mutating one."""
        for size in {*sizes, "m"}:
            for path, stamped in (("/validate", True), ("/mutate", False)):
                self._templates(path, size).write_bytes(b"\n".join(reviews.templates(size, stamped=stamped)) + b"\n")

    def run(self, run: Run, contestant: Contestant, *, seconds: float) -> dict[str, Any]:
        """Perform one run; return its numbers. Raises: LoadError."""
        with machine.pinned(machine.cpus().client):
            process = subprocess.Popen(
                self.command(run, contestant, seconds),
                env=os.environ | {"GOMAXPROCS": "1", "GOGC": "400"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                ready = process.stdout.readline()
                before = machine.cpu_seconds(contestant.pid)
                told, trouble = process.communicate("go\n", timeout=seconds + 60) if ready else ("", "")
                used = machine.cpu_seconds(contestant.pid) - before
            finally:
                process.kill()
            if not told:
                raise LoadError(f"{run}: {trouble or process.stderr.read()}")
        return self._result(run, contestant, json.loads(told), used)

    def _result(self, run: Run, contestant: Contestant, told: dict[str, Any], used: float) -> dict[str, Any]:
        self.next_request += told["requests"] + CONNECTIONS * 5
        if told["failures"]:
            raise LoadError(
                f"{run}: {told['failures']} of {told['requests']} failed, the first: {told['first_failure']}"
            )
        return {
            "contestant": run.contestant,
            "path": run.path,
            "size": run.size,
            "rate": run.rate,
            "requests": told["requests"],
            "seconds": told["seconds"],
            "cpu_us": used / told["requests"] * 1e6,
            "busy": used / told["seconds"],
            "rss_mb": machine.memory(contestant.pid)[0],
            "latency_us": told["latency"],
        }

    def command(self, run: Run, contestant: Contestant, seconds: float) -> list[str]:
        """Return the command line of one run."""
        return [
            str(self.program),
            f"-address=localhost:{contestant.port}",
            f"-authority={self.folder / 'tls.crt'}",
            f"-path={run.path}",
            f"-templates={self._templates(run.path, run.size)}",
            f"-rate={run.rate}",
            f"-connections={CONNECTIONS}",
            f"-requests={min(int(run.rate * seconds), _MOST) or _MOST}",
            f"-limit={seconds}s",
            f"-first={self.next_request}",
            f"-names={reviews.NAMES}",
            f"-users={reviews.USERS}",
            '-must="patch"' if run.path == "/mutate" else '-must="allowed":true',
        ]

    def _templates(self, path: str, size: str) -> Path:
        return self.folder / f"reviews-{path.strip('/')}-{size}.jsonl"


def measure(load: Load, servers: dict[str, Contestant], plan: Plan, *, report: Report) -> dict[str, Any]:
    """Perform all rounds; return every run's numbers, and the noise before each round. Raises: LoadError."""
    load.write_templates(plan.sizes)
    for warm_up in runs(("m",)):
        if warm_up.rate == SATURATED:
            load.run(warm_up, servers[warm_up.contestant], seconds=1)
    done: list[dict[str, Any]] = []
    noises: list[dict[str, float]] = []
    chosen = machine.cpus()
    for number in range(plan.rounds):
        report(f"round {number + 1} of {plan.rounds}")
        noises += [machine.noise(cpu, seconds=0.5) for cpu in sorted({chosen.server, chosen.client})]
        done += [
            {"round": number, **load.run(run, servers[run.contestant], seconds=plan.seconds)}
            for run in runs(plan.sizes)
        ]
    return {"runs": done, "noise": noises}
